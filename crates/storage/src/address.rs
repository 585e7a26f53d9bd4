//! What a user may write for the place of an archive (spec, "Addresses").

use std::path::{Path, PathBuf};

use lifeboat_archive::Descriptor;
use url::Url;

use crate::error::Error;
use crate::listing::LATEST;

/// The place of an archive, or of a folder for archives when it ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a disk of this machine.
    Local(PathBuf),
    /// In a store.
    Remote(Address),
}

/// A name in a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) service: Service,
    /// Container or bucket.
    pub(crate) container: String,
    /// Name in it, without a slash in front; a folder ends in `/`, the container itself is empty.
    pub(crate) key: String,
    /// The URL as it was given, without a query.
    pub(crate) shown: String,
    /// A shared access signature that stood in the URL.
    pub(crate) signature: Option<String>,
}

/// Who keeps the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    Azure {
        /// From the address; else the settings name it.
        account: Option<String>,
        /// What follows `<account>.blob.`, such as `core.windows.net`.
        suffix: Option<String>,
    },
    S3,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote(address) => address.shown.fmt(f),
        }
    }
}

impl Place {
    /// Understands `text`: a path, `file:`, `az://`, `abfss://`, `https://<account>.blob...`, `s3://`.
    ///
    /// # Errors
    /// [`Error::Address`], which names the text without its query.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((scheme, _)) = text.split_once("://") else {
            return match text.strip_prefix("file:") {
                Some(path) => Ok(Self::Local(PathBuf::from(path))),
                None => Ok(Self::Local(PathBuf::from(text))),
            };
        };
        let shown = text.split(['?', '#']).next().unwrap_or(text).to_owned();
        let wrong = |what: &'static str| Error::Address {
            // A password in front of an @ is not shown either; the user part of abfss is no secret.
            url: without_password(&shown),
            what,
        };
        let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
        if url.password().is_some() {
            return Err(wrong("a password in a URL is not supported"));
        }
        if scheme.eq_ignore_ascii_case("file") {
            let path = url
                .to_file_path()
                .map_err(|()| wrong("it names no local file"))?;
            return Ok(Self::Local(keep_slash(path, text)));
        }
        Address::of(&url, shown.clone())
            .map(Self::Remote)
            .map_err(wrong)
    }

    /// Whether it is a folder in which the archive gets a name of its own.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        match self {
            Self::Local(path) => path.as_os_str().to_string_lossy().ends_with('/'),
            Self::Remote(address) => address.key.is_empty() || address.key.ends_with('/'),
        }
    }
}

impl Place {
    /// The place `name` in this folder.
    pub(crate) fn child(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::Remote(address) => Self::Remote(address.as_folder().in_folder(name)),
        }
    }

    /// The folder in which an archive at this place is; a folder itself.
    #[must_use]
    pub fn folder(&self) -> Self {
        if self.is_folder() {
            return self.clone();
        }
        match self {
            Self::Local(path) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => Self::Local(parent.to_owned()),
                _ => Self::Local(".".into()),
            },
            Self::Remote(address) => Self::Remote(address.parent()),
        }
    }

    /// The folder whose newest archive is meant, when the last part is `latest` and no local file has that name.
    #[must_use]
    pub fn folder_of_latest(&self) -> Option<Self> {
        match self {
            Self::Local(path) => {
                let is_latest = path.file_name().is_some_and(|name| name == LATEST);
                let folder = path.parent().filter(|_| is_latest && !path.exists())?;
                let here = folder.as_os_str().is_empty();
                Some(Self::Local(if here { ".".into() } else { folder.into() }))
            }
            Self::Remote(address) => address.parent_of(LATEST).map(Self::Remote),
        }
    }
}

fn without_password(shown: &str) -> String {
    let Some((scheme, rest)) = shown.split_once("://") else {
        return shown.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}{path}")
        }
        _ => shown.to_owned(),
    }
}

/// A URL's path may lose the slash at its end, which says that it is a folder.
fn keep_slash(path: PathBuf, text: &str) -> PathBuf {
    if text.ends_with('/') && !path.to_string_lossy().ends_with('/') {
        let mut path = path.into_os_string();
        path.push("/");
        PathBuf::from(path)
    } else {
        path
    }
}

impl Address {
    fn of(url: &Url, shown: String) -> Result<Self, &'static str> {
        let host = url.host_str().unwrap_or_default();
        let path =
            percent_encoding::percent_decode_str(url.path().strip_prefix('/').unwrap_or_default())
                .decode_utf8()
                .map_err(|_| "its path is not UTF-8")?;
        let signature = url.query().filter(|query| !query.is_empty());
        if url.fragment().is_some() {
            return Err("a name with `#` has to be written with %23");
        }
        let (service, container, key) = match url.scheme() {
            "az" | "azure" | "abfs" | "abfss" => azure(url.username(), host, &path)?,
            "https" => blob(host, &path)?,
            "s3" | "s3a" => (Service::S3, host.to_owned(), path.clone().into_owned()),
            "http" => return Err("http is not supported: use az:// with AZURE_STORAGE_ENDPOINT"),
            _ => {
                return Err(
                    "use a path, file:, az://, abfss://, https://<account>.blob.core.windows.net/ or s3://",
                );
            }
        };
        if container.is_empty() {
            return Err("it names no container");
        }
        if signature.is_some() && service == Service::S3 {
            return Err("a query is not supported here");
        }
        if matches!(service, Service::Azure { .. }) {
            check_container(&container)?;
        }
        check_key(&key)?;
        Ok(Self {
            service,
            container,
            key,
            shown,
            signature: signature.map(str::to_owned),
        })
    }

    /// The name `name` in this folder; this very name when it is no folder.
    pub(crate) fn in_folder(&self, name: &str) -> Self {
        if !self.key.is_empty() && !self.key.ends_with('/') {
            return self.clone();
        }
        let slash = if self.shown.ends_with('/') { "" } else { "/" };
        Self {
            key: format!("{}{name}", self.key),
            shown: format!("{}{slash}{name}", self.shown),
            ..self.clone()
        }
    }

    /// The same as a folder: with a slash at its end, when it is not the container itself.
    pub(crate) fn as_folder(&self) -> Self {
        let mut folder = self.clone();
        if !folder.key.is_empty() && !folder.key.ends_with('/') {
            folder.key.push('/');
            folder.shown.push('/');
        }
        folder
    }

    /// The folder of this address.
    fn parent(&self) -> Self {
        let cut = |text: &str| text[..text.rfind('/').map_or(0, |slash| slash + 1)].to_owned();
        Self {
            key: cut(&self.key),
            shown: cut(&self.shown),
            ..self.clone()
        }
    }

    /// The folder of this address, when its last part is `name`.
    fn parent_of(&self, name: &str) -> Option<Self> {
        let key = self.key.strip_suffix(name)?;
        let shown = self.shown.strip_suffix(name)?;
        (key.is_empty() || key.ends_with('/')).then(|| Self {
            key: key.to_owned(),
            shown: shown.to_owned(),
            ..self.clone()
        })
    }

    /// The address of the archive's descriptor.
    pub(crate) fn descriptor(&self) -> Self {
        self.renamed(Descriptor::path_for)
    }

    /// The address of that descriptor's signature.
    pub(crate) fn signature(&self) -> Self {
        self.renamed(Descriptor::signature_path_for)
    }

    /// The address of the other archive that would have the same descriptor.
    pub(crate) fn twin(&self) -> Option<Self> {
        Descriptor::twin_of(Path::new(&self.key))?;
        Some(self.renamed(|name| Descriptor::twin_of(name).unwrap_or_else(|| name.to_owned())))
    }

    /// The address of another object in the same folder.
    pub(crate) fn renamed(&self, rename: impl Fn(&Path) -> PathBuf) -> Self {
        let rename = |text: &str| rename(Path::new(text)).to_string_lossy().into_owned();
        Self {
            key: rename(&self.key),
            shown: rename(&self.shown),
            ..self.clone()
        }
    }
}

/// `az://container/key`, `abfss://container@account.dfs.core.windows.net/key`.
fn azure(user: &str, host: &str, path: &str) -> Result<(Service, String, String), &'static str> {
    if user.is_empty() {
        if host.contains('.') {
            return Err(
                "write az://<container>/..., or abfss://<container>@<account>.dfs.core.windows.net/...",
            );
        }
        let service = Service::Azure {
            account: None,
            suffix: None,
        };
        return Ok((service, host.to_owned(), path.to_owned()));
    }
    let service = account(host).ok_or("its host is not <account>.dfs.core.windows.net")?;
    Ok((service, user.to_owned(), path.to_owned()))
}

/// `https://account.blob.core.windows.net/container/key`.
fn blob(host: &str, path: &str) -> Result<(Service, String, String), &'static str> {
    let service = account(host).ok_or(
        "its host is not <account>.blob.core.windows.net; for another endpoint use az:// with AZURE_STORAGE_ENDPOINT",
    )?;
    let (container, key) = path.split_once('/').unwrap_or((path, ""));
    Ok((service, container.to_owned(), key.to_owned()))
}

/// Account and cloud of a storage host, in the public cloud and the sovereign ones.
fn account(host: &str) -> Option<Service> {
    let (account, rest) = host.split_once('.')?;
    let suffix = rest
        .strip_prefix("blob.")
        .or_else(|| rest.strip_prefix("dfs."))
        .filter(|suffix| suffix.starts_with("core."))?;
    let service = Service::Azure {
        account: Some(account.to_owned()),
        suffix: Some(suffix.to_owned()),
    };
    (!account.is_empty()).then_some(service)
}

/// What Azure takes as the name of a container (Microsoft Learn, "Naming and referencing containers, blobs, and metadata"); of
/// another one it says only that the request is invalid.
fn check_container(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let own = ["$root", "$web", "$logs"].contains(&name);
    let fits = (3..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if own || fits {
        Ok(())
    } else {
        Err("a container is named by 3 to 63 lower-case letters, digits and single hyphens")
    }
}

/// Names that a store would take and that no path could name again.
fn check_key(key: &str) -> Result<(), &'static str> {
    let inner = key.strip_suffix('/').unwrap_or(key);
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if !inner.is_empty() && inner.split('/').any(bad) {
        return Err("its path has an empty part, `.` or `..`");
    }
    if inner.chars().any(char::is_control) {
        return Err("its path has a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::panic, reason = "a helper that fails is a test that fails")]
    fn remote(text: &str) -> Address {
        match Place::parse(text) {
            Ok(Place::Remote(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_and_file_urls_are_local() {
        for (text, path) in [
            ("backups/x.tar.zst", "backups/x.tar.zst"),
            ("backups/", "backups/"),
            ("/a b/x", "/a b/x"),
            ("file:///a%20b/x", "/a b/x"),
            ("file:///backups/", "/backups/"),
            ("file:x.tar.zst", "x.tar.zst"),
        ] {
            assert_eq!(
                Place::parse(text).unwrap(),
                Place::Local(path.into()),
                "{text}"
            );
        }
        assert!(Place::parse("file:///backups/").unwrap().is_folder());
        assert!(!Place::parse("backups").unwrap().is_folder());
        for (place, folder) in [("a/x.tar.zst", "a"), ("x.tar.zst", "."), ("a/b/", "a/b/")] {
            let place = Place::Local(place.into());
            assert_eq!(place.folder(), Place::Local(folder.into()));
        }
    }

    #[test]
    fn the_forms_of_an_azure_address_are_one() {
        let public = Service::Azure {
            account: Some("acme".to_owned()),
            suffix: Some("core.windows.net".to_owned()),
        };
        for text in [
            "abfss://vault@acme.dfs.core.windows.net/nightly/x.tar.zst",
            "https://acme.blob.core.windows.net/vault/nightly/x.tar.zst",
            "https://acme.blob.core.windows.net/vault/nightly/x.tar.zst?sv=2024&sig=secret",
        ] {
            let address = remote(text);
            assert_eq!(address.service, public, "{text}");
            assert_eq!(address.container, "vault", "{text}");
            assert_eq!(address.key, "nightly/x.tar.zst", "{text}");
        }
        let address = remote("az://vault/nightly/");
        assert_eq!(
            (address.container.as_str(), address.key.as_str()),
            ("vault", "nightly/")
        );
        let file = address.in_folder("7-20261122T010000Z.tar.zst");
        assert_eq!(file.key, "nightly/7-20261122T010000Z.tar.zst");
        assert_eq!(file.shown, "az://vault/nightly/7-20261122T010000Z.tar.zst");
        assert_eq!(file.descriptor().key, "nightly/7-20261122T010000Z.json");
        assert_eq!(
            file.signature().key,
            "nightly/7-20261122T010000Z.json.minisig"
        );
        assert_eq!(
            file.twin().map(|twin| twin.shown).as_deref(),
            Some("az://vault/nightly/7-20261122T010000Z.tar.zst.age")
        );
        assert_eq!(remote("az://vault").in_folder("x").shown, "az://vault/x");
        let folder = Place::Remote(file).folder();
        assert_eq!(folder, Place::Remote(address));
        assert_eq!(
            Place::Remote(remote("az://vault/x")).folder().to_string(),
            "az://vault/"
        );
        assert_eq!(folder.folder(), folder);
    }

    #[test]
    fn a_signature_is_kept_and_never_shown() {
        let address = remote("https://acme.blob.core.windows.net/vault/x?sv=2024&sig=s3cr3t");
        assert_eq!(address.signature.as_deref(), Some("sv=2024&sig=s3cr3t"));
        let text = format!("{address:?} {}", Place::Remote(address.clone()));
        assert!(!text.contains("s3cr3t"), "{text}");
        let refused = Place::parse("https://example.org/vault/x?sig=s3cr3t").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("s3cr3t"));
        let refused = Place::parse("https://me:s3cr3t@acme.blob.core.windows.net/x").unwrap_err();
        assert!(
            !format!("{refused} {refused:?}").contains("s3cr3t"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_reason() {
        for text in [
            "gs://bucket/x",
            "az:///x",
            "az://acme.blob.core.windows.net/x",
            "https://example.org/x",
            "https://acme.blob.core.windows.net/",
            "abfss://vault@example.org/x",
            "http://127.0.0.1:10000/devstoreaccount1/x",
            "s3://bucket//x",
            "s3://bucket/a/%2e%2e%2fx",
            "s3://bucket/x?versionId=1",
            "az://vault/a#b",
        ] {
            let error = Place::parse(text);
            assert!(
                matches!(error, Err(Error::Address { .. })),
                "{text}: {error:?}"
            );
        }
    }
}
