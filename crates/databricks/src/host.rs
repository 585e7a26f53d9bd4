//! The host as people write it (fact sheet, section 2.2), and what its name says.

use std::net::IpAddr;

use url::{Host as UrlHost, Url};

use crate::ConfigError;

/// A normalised host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// `https://name[:port]`.
    pub(crate) base: String,
    /// From `?o=` or `?workspace_id=`, as copied from a browser.
    pub(crate) workspace_id: Option<String>,
}

/// Brings a host into one form: a scheme, no path, no query, no default port. Plain `http` is for loopback only, since a
/// token would travel readable.
pub(crate) fn normalise(text: &str) -> Result<Host, ConfigError> {
    let text = text.trim();
    let bad = |what: &str| ConfigError::BadHost {
        host: shown(text),
        what: what.to_owned(),
    };
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
    let name = url.host_str().ok_or_else(|| bad("no host name"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("user name and password do not belong into the host"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(bad(
                "http is allowed for this machine only: the token would travel readable",
            ));
        }
        _ => return Err(bad("the scheme must be https")),
    }
    if name.starts_with("accounts.") {
        return Err(bad("this is the account console, not a workspace"));
    }
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let workspace_id = url
        .query_pairs()
        .find(|(key, value)| matches!(key.as_ref(), "o" | "workspace_id") && !value.is_empty())
        .map(|(_, value)| value.into_owned());
    Ok(Host {
        base: format!("{}://{name}{port}", url.scheme()),
        workspace_id,
    })
}

/// Whether the URL names this machine: no proxy, and plain `http` is harmless.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(UrlHost::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(UrlHost::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// The Azure cloud by DNS zone.
pub(crate) fn cloud(base: &str) -> &'static str {
    let name = base
        .rsplit('/')
        .next()
        .unwrap_or(base)
        .split(':')
        .next()
        .unwrap_or(base)
        .to_ascii_lowercase();
    let zones = [
        (".azuredatabricks.net", "azure"),
        (".databricks.azure.us", "azure-usgov"),
        (".databricks.azure.cn", "azure-china"),
    ];
    zones
        .iter()
        .find(|(zone, _)| name.ends_with(zone))
        .map_or("unknown", |(_, cloud)| cloud)
}

/// The text without anything that could be a password.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> String {
        normalise(text).unwrap().base
    }

    #[test]
    fn every_way_of_writing_a_host_gives_one_form() {
        for text in [
            "adb-1.2.azuredatabricks.net",
            "https://adb-1.2.azuredatabricks.net/",
            "https://adb-1.2.azuredatabricks.net:443",
            "adb-1.2.azuredatabricks.net:443/",
            " https://ADB-1.2.azuredatabricks.net/?o=1#notebook/7 ",
            "https://adb-1.2.azuredatabricks.net/browse/folders/12?workspace_id=1",
        ] {
            assert_eq!(base(text), "https://adb-1.2.azuredatabricks.net", "{text}");
        }
        assert_eq!(
            base("https://adb.example:8443/"),
            "https://adb.example:8443"
        );
    }

    #[test]
    fn the_workspace_id_of_a_browser_url_is_kept() {
        let id = |text| normalise(text).unwrap().workspace_id;
        assert_eq!(
            id("https://westeurope.azuredatabricks.net/?o=123456").as_deref(),
            Some("123456")
        );
        assert_eq!(
            id("https://a.azuredatabricks.net?workspace_id=9&a=x").as_deref(),
            Some("9")
        );
        assert_eq!(id("https://a.azuredatabricks.net/?o="), None);
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert_eq!(base("http://127.0.0.1:8080/"), "http://127.0.0.1:8080");
        assert_eq!(base("http://localhost:80"), "http://localhost");
        assert_eq!(base("http://[::1]:7"), "http://[::1]:7");
        assert!(normalise("http://adb-1.2.azuredatabricks.net").is_err());
        assert!(normalise("http://127.0.0.1.example.org").is_err());
    }

    #[test]
    fn unusable_hosts_are_named_without_passwords() {
        for text in [
            "",
            "ftp://x",
            "https://",
            "https://accounts.azuredatabricks.net",
        ] {
            assert!(normalise(text).is_err(), "{text:?}");
        }
        let error = normalise("https://me:geheim@adb.example")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("adb.example") && !error.contains("geheim"),
            "{error}"
        );
    }

    #[test]
    fn clouds_follow_from_the_zone() {
        assert_eq!(cloud("https://adb-1.2.azuredatabricks.net"), "azure");
        assert_eq!(cloud("https://adb-1.2.databricks.azure.us"), "azure-usgov");
        assert_eq!(
            cloud("https://adb-1.2.databricks.azure.cn:8443"),
            "azure-china"
        );
        assert_eq!(cloud("http://127.0.0.1:80"), "unknown");
    }
}
