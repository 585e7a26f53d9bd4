//! The way to a container: which service, which endpoint, with which credentials and patience.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::{ClientConfigKey, RetryConfig};

use super::{Inner, Store};
use crate::address::{Address, Service};
use crate::client::{AccountSigner, Connector, Noted};
use crate::error::Error;
use crate::region::Region;
use crate::settings::Settings;

/// The secondary region of an account whose endpoint was given.
const SECONDARY_ENDPOINT: &str = "AZURE_STORAGE_SECONDARY_ENDPOINT";
/// A whole request may take so long: 8 MiB at half a megabit per second.
const REQUEST_TIMEOUT: &str = "150s";
/// How long the primary region is asked when there is a copy to ask.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(30);
/// So long nothing at all may arrive.
const READ_TIMEOUT: &str = "60s";

const TIMEOUTS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
    (ClientConfigKey::ReadTimeout, READ_TIMEOUT),
];

impl Store {
    /// The container of `address` in its primary region, with credentials from `settings`. Asks nothing yet.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::Settings`].
    pub fn open(address: &Address, settings: &Settings) -> Result<Self, Error> {
        match Self::open_in(address, settings, Region::Primary)? {
            Some(store) => Ok(store),
            None => Err(Error::NoSecondary {
                url: address.shown.clone(),
            }),
        }
    }

    /// The same for reading. Where there is a copy to ask instead, the primary region is not asked for as long.
    pub(crate) fn open_with_copy(
        address: &Address,
        settings: &Settings,
        copy: bool,
    ) -> Result<Self, Error> {
        let patience = settings.patience();
        let patience = if copy {
            patience.min(PATIENCE_WITH_COPY)
        } else {
            patience
        };
        Self::open(address, &settings.clone().with_patience(patience))
    }

    /// The same in any region; nothing when no address of that region can be known.
    pub(crate) fn open_in(
        address: &Address,
        settings: &Settings,
        region: Region,
    ) -> Result<Option<Self>, Error> {
        // The only other provider would be one that was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match &address.service {
            Service::Azure { account, suffix } => {
                let named = settings.get("AZURE_STORAGE_ACCOUNT_NAME");
                let account = account.as_deref().or(named);
                let account = account.ok_or_else(|| Error::NoAccount {
                    url: address.shown.clone(),
                })?;
                endpoint(account, suffix.as_deref(), settings, region)
                    .map(|endpoint| Self::azure(address, account, endpoint, settings))
                    .transpose()
            }
            Service::S3 if region == Region::Secondary => Ok(None),
            Service::S3 => Self::s3(address, settings).map(Some),
        }
    }

    fn azure(
        address: &Address,
        account: &str,
        endpoint: String,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let connector = Connector::default();
        let builder = azure(address, account, &endpoint, settings, &connector);
        let plain = builder.clone().build().map_err(bad_settings(address))?;
        let credentials = Arc::new(Noted(Arc::clone(plain.credentials())));
        let store = builder
            .with_credentials(credentials)
            .build()
            .map_err(bad_settings(address))?;
        // Nobody has set it before.
        let _ = connector.signer.set(AccountSigner {
            account: account.to_owned(),
            credentials: Arc::clone(store.credentials()),
        });
        let sas = address.signature.as_deref();
        let sas = sas.or(settings.get("AZURE_STORAGE_SAS_KEY"));
        let sas = sas.or(settings.get("AZURE_STORAGE_SAS_TOKEN"));
        Self::with(Inner {
            objects: Arc::new(store),
            runtime: None,
            connector,
            host: host_of(&endpoint),
            endpoint: Some(endpoint),
            container: address.container.clone(),
            signature_until: sas.and_then(expiry),
            patience: settings.patience(),
        })
    }

    fn s3(address: &Address, settings: &Settings) -> Result<Self, Error> {
        let connector = Connector::default();
        let builder = s3(address, settings, &connector);
        let host = s3_host(&builder, &address.container);
        Self::with(Inner {
            objects: Arc::new(builder.build().map_err(bad_settings(address))?),
            runtime: None,
            connector,
            host,
            endpoint: None,
            container: address.container.clone(),
            signature_until: None,
            patience: settings.patience(),
        })
    }
}

/// Where the account is reached. Of an endpoint that was given, only a given one can be the secondary one.
fn endpoint(
    account: &str,
    suffix: Option<&str>,
    settings: &Settings,
    region: Region,
) -> Option<String> {
    let own = settings.get("AZURE_STORAGE_ENDPOINT");
    let own = own.or(settings.get("AZURE_ENDPOINT"));
    let given = match region {
        Region::Primary => own,
        Region::Secondary => settings.get(SECONDARY_ENDPOINT),
    };
    if let Some(endpoint) = given {
        return Some(endpoint.trim_end_matches('/').to_owned());
    }
    let suffix = suffix.unwrap_or("core.windows.net");
    match region {
        Region::Primary => Some(format!("https://{account}.blob.{suffix}")),
        Region::Secondary if own.is_some() => None,
        Region::Secondary => Some(format!("https://{account}-secondary.blob.{suffix}")),
    }
}

fn bad_settings(address: &Address) -> impl FnOnce(object_store::Error) -> Error {
    let url = address.shown.clone();
    move |error| Error::Settings {
        url,
        what: crate::client::innermost(&error),
    }
}

fn azure(
    address: &Address,
    account: &str,
    endpoint: &str,
    settings: &Settings,
    connector: &Connector,
) -> MicrosoftAzureBuilder {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    for (name, value) in settings.all("AZURE_") {
        // Other tools have variables of that beginning too.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(signature) = &address.signature {
        builder = builder.with_config(AzureConfigKey::SasKey, signature);
        builder = builder.with_config(AzureConfigKey::CredentialType, "sas_token");
    }
    builder
        .with_account(account)
        .with_container_name(&address.container)
        .with_endpoint(endpoint.to_owned())
        .with_retry(retry(settings))
        .with_http_connector(connector.clone())
}

fn s3(address: &Address, settings: &Settings, connector: &Connector) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (name, value) in settings.all("AWS_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder
        .with_bucket_name(&address.container)
        // One object per request: its answer then says why it was refused.
        .with_disable_bulk_delete(true)
        .with_retry(retry(settings))
        .with_http_connector(connector.clone())
}

fn retry(settings: &Settings) -> RetryConfig {
    RetryConfig {
        retry_timeout: settings.patience(),
        // The time alone decides.
        max_retries: usize::MAX,
        ..RetryConfig::default()
    }
}

/// The host that the bucket is asked at.
fn s3_host(builder: &AmazonS3Builder, bucket: &str) -> Option<String> {
    let value = |key| builder.get_config_value(&key);
    if let Some(endpoint) = value(AmazonS3ConfigKey::Endpoint) {
        return host_of(&endpoint);
    }
    let region = value(AmazonS3ConfigKey::Region).or(value(AmazonS3ConfigKey::DefaultRegion));
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let virtual_hosted = value(AmazonS3ConfigKey::VirtualHostedStyleRequest);
    Some(if virtual_hosted.is_some_and(|value| value == "true") {
        format!("{bucket}.s3.{region}.amazonaws.com")
    } else {
        format!("s3.{region}.amazonaws.com")
    })
}

/// Host of a URL, and its port where it is not the usual one: two services may share a host.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// When a shared access signature expires: its `se`.
fn expiry(signature: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(signature.trim_start_matches('?').as_bytes());
    pairs
        .into_iter()
        .find(|(name, _)| name == "se")
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_with_a_port_of_its_own() {
        for (url, host) in [
            (
                "https://a.blob.core.windows.net/x?y",
                "a.blob.core.windows.net",
            ),
            (
                "https://a.blob.core.windows.net:443",
                "a.blob.core.windows.net",
            ),
            ("http://127.0.0.1:10000/account", "127.0.0.1:10000"),
            ("http://[::1]:10000/account", "[::1]:10000"),
        ] {
            assert_eq!(host_of(url).as_deref(), Some(host));
        }
    }

    #[test]
    fn the_end_of_a_signature_is_read() {
        let signature = "?sv=2024-11-04&se=2026-11-22T01%3A00%3A00Z&sig=x";
        assert_eq!(expiry(signature).as_deref(), Some("2026-11-22T01:00:00Z"));
        assert_eq!(expiry("sv=2024&sig=x"), None);
    }
}
