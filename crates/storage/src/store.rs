//! One container of a store, and the runtime that its requests run on.
//!
//! Every call blocks its caller and works within a runtime's thread too: the caller waits on a channel, not on the
//! runtime.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{Attribute, PutOptions, RetryConfig, UpdateVersion};
use object_store::{ClientConfigKey, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::address::{Address, Service};
use crate::client::{AccountSigner, Connector, NOTE, Note, Noted, Traffic};
use crate::error::{Attempt, Error, READ};
use crate::listing::{Identity, LIST, Object};
use crate::region::Region;
use crate::removal::REMOVE;
use crate::settings::Settings;

/// The secondary region of an account whose endpoint was given.
const SECONDARY_ENDPOINT: &str = "AZURE_STORAGE_SECONDARY_ENDPOINT";
/// A whole request may take so long: 8 MiB at half a megabit per second.
const REQUEST_TIMEOUT: &str = "150s";
/// How long the primary region is asked when there is a copy to ask.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(30);
/// Small objects that are read at the same time.
const SMALL_IN_FLIGHT: usize = 16;
/// So long nothing at all may arrive.
const READ_TIMEOUT: &str = "60s";

/// A container or bucket that is open. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Arc<dyn ObjectStore>,
    runtime: Option<Runtime>,
    connector: Connector,
    host: Option<String>,
    /// Where an Azure account is reached.
    endpoint: Option<String>,
    container: String,
    signature_until: Option<String>,
    /// How long a request is repeated.
    patience: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for threads is not allowed within a runtime, and the caller may have one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not `objects`: what it prints of its credentials is its own affair.
        f.debug_struct("Store")
            .field("host", &self.inner.host)
            .field("container", &self.inner.container)
            .finish_non_exhaustive()
    }
}

/// What a store says of an object without its content.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) version: Version,
}

/// Which state of an object is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    e_tag: Option<String>,
    version: Option<String>,
}

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

    /// A store that somebody else opened, such as one in memory.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn of(objects: Arc<dyn ObjectStore>) -> Result<Self, Error> {
        Self::with(Inner {
            objects,
            runtime: None,
            connector: Connector::default(),
            host: None,
            endpoint: None,
            container: String::new(),
            signature_until: None,
            patience: Duration::ZERO,
        })
    }

    fn with(mut inner: Inner) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lifeboat-storage")
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        inner.runtime = Some(runtime);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The host that it asks; nothing for a store without network.
    pub(crate) fn host(&self) -> Option<&str> {
        self.inner.host.as_deref()
    }

    /// Asks a secondary region up to when it has everything.
    pub(crate) fn last_sync(&self, address: &Address) -> Result<Timestamp, Error> {
        let inner = &self.inner;
        let (Some(endpoint), Some(_)) = (&inner.endpoint, inner.connector.signer.get()) else {
            return Err(Error::NoSecondary {
                url: address.shown.clone(),
            });
        };
        let (connector, endpoint) = (inner.connector.clone(), endpoint.clone());
        let body = self.run("ask for the state of", address, async move {
            connector.stats(&endpoint).await
        })?;
        crate::region::last_sync(&body).map_err(|what| Error::Unexpected {
            doing: "ask for the state of",
            url: address.shown.clone(),
            what,
        })
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.inner.connector.counters.traffic()
    }

    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.objects)
    }

    /// Starts a request; the answer is waited for with [`Pending::wait`].
    pub(crate) fn start<T: Send + 'static>(
        &self,
        doing: &'static str,
        address: &Address,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Pending<T> {
        let attempt = Attempt {
            doing,
            url: address.shown.clone(),
            container: self.inner.container.clone(),
            host: self.inner.host.clone(),
            signature_until: self.inner.signature_until.clone(),
        };
        let (answer, answered) = sync_channel(1);
        let note = Note::default();
        let noted = Arc::clone(&note);
        let work = async move {
            let result = NOTE.scope(note, work).await;
            let result = result.map_err(|error| {
                let trouble = noted.lock().unwrap_or_else(PoisonError::into_inner).take();
                attempt.failed(&error, trouble)
            });
            // Whoever asked may have gone.
            let _ = answer.send(result);
        };
        let abort = self
            .inner
            .runtime
            .as_ref()
            .map(|runtime| runtime.spawn(work).abort_handle());
        Pending {
            url: address.shown.clone(),
            answered,
            abort,
        }
    }

    fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        address: &Address,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, Error> {
        self.start(doing, address, work).wait()
    }

    /// Length and version of an object; none when there is no such object.
    pub(crate) fn look(
        &self,
        doing: &'static str,
        address: &Address,
    ) -> Result<Option<Facts>, Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let looked = self.run(doing, address, async move { objects.head(&path).await });
        match looked {
            Ok(meta) => Ok(Some(Facts {
                size: meta.size,
                version: Version {
                    e_tag: meta.e_tag,
                    version: meta.version,
                },
            })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts reading `start..end` of the object as it was when `facts` were asked for.
    pub(crate) fn read(
        &self,
        address: &Address,
        facts: &Facts,
        range: std::ops::Range<u64>,
    ) -> Result<Pending<Bytes>, Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let options = GetOptions {
            if_match: facts.version.e_tag.clone(),
            range: Some(range.into()),
            ..GetOptions::default()
        };
        Ok(self.start(READ, address, async move {
            objects.get_opts(&path, options).await?.bytes().await
        }))
    }

    /// The content and version of a small object; none when there is no such object.
    pub(crate) fn get(&self, address: &Address) -> Result<Option<(Bytes, Version)>, Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let got = self.run(READ, address, async move {
            let got = objects.get_opts(&path, GetOptions::default()).await?;
            let version = Version {
                e_tag: got.meta.e_tag.clone(),
                version: got.meta.version.clone(),
            };
            Ok((got.bytes().await?, version))
        });
        match got {
            Ok(got) => Ok(Some(got)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The contents of small objects of these sizes, several at a time; none for one that is not there. Of an object
    /// that is larger by now, no more than that size.
    pub(crate) fn get_all(
        &self,
        addresses: Vec<(Address, u64)>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut contents = Vec::with_capacity(addresses.len());
        let mut pending: VecDeque<Pending<Bytes>> = VecDeque::new();
        let mut take = |pending: &mut VecDeque<Pending<Bytes>>| {
            match pending.pop_front().map(Pending::wait) {
                Some(Ok(bytes)) => contents.push(Some(bytes.to_vec())),
                Some(Err(Error::NotFound { .. })) => contents.push(None),
                Some(Err(error)) => return Err(error),
                None => {}
            }
            Ok(())
        };
        for (address, size) in addresses {
            if pending.len() == SMALL_IN_FLIGHT {
                take(&mut pending)?;
            }
            let (objects, path) = (self.objects(), path(&address)?);
            let options = GetOptions {
                range: Some((0..size).into()),
                ..GetOptions::default()
            };
            pending.push_back(self.start(READ, &address, async move {
                objects.get_opts(&path, options).await?.bytes().await
            }));
        }
        while !pending.is_empty() {
            take(&mut pending)?;
        }
        Ok(contents)
    }

    /// Every object in the folder `address`, not those in folders below it. All pages of the answer, or an error.
    pub(crate) fn list(&self, address: &Address) -> Result<Vec<Object>, Error> {
        let (objects, prefix) = (self.objects(), path(address)?);
        let listed = self.run(LIST, address, async move {
            objects.list_with_delimiter(Some(&prefix)).await
        })?;
        let unexpected = |what: String| Error::Unexpected {
            doing: LIST,
            url: address.shown.clone(),
            what,
        };
        let mut found = Vec::with_capacity(listed.objects.len());
        for meta in listed.objects {
            let name = meta.location.as_ref();
            if name == address.key.trim_end_matches('/') {
                // The empty object by which some tools mark a folder.
                continue;
            }
            let name = name
                .strip_prefix(address.key.as_str())
                .filter(|name| !name.is_empty() && !name.contains('/'))
                .ok_or_else(|| unexpected(format!("{name} is not in it")))?;
            let modified = modified(&meta).map_err(unexpected)?;
            let name = name.to_owned();
            found.push(Object {
                name,
                modified,
                identity: Identity::of(meta.size, meta.e_tag, modified),
            });
        }
        Ok(found)
    }

    /// Writes a small object that must not be there, or that must still be of the version `instead`.
    pub(crate) fn put(
        &self,
        address: &Address,
        content: Vec<u8>,
        instead: Option<Version>,
    ) -> Result<(), Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let mode = match instead {
            None => PutMode::Create,
            Some(Version { e_tag, version }) => PutMode::Update(UpdateVersion { e_tag, version }),
        };
        let options = PutOptions::from(mode);
        self.run("write", address, async move {
            objects.put_opts(&path, content.into(), options).await
        })
        .map(drop)
    }

    /// The metadata `key` of an object: nothing when there is no such object, no text when it has no such metadata.
    pub(crate) fn mark(
        &self,
        address: &Address,
        key: &'static str,
    ) -> Result<Option<Option<String>>, Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let options = GetOptions::new().with_head(true);
        let got = self.run(READ, address, async move {
            let got = objects.get_opts(&path, options).await?;
            let mark = got.attributes.get(&Attribute::Metadata(key.into()));
            Ok(mark.map(|mark| mark.as_ref().to_owned()))
        });
        match got {
            Ok(mark) => Ok(Some(mark)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which state of an object is there now; none when there is no such object.
    pub(crate) fn identity(&self, address: &Address) -> Result<Option<Identity>, Error> {
        let (objects, path) = (self.objects(), path(address)?);
        let looked = self.run("look at", address, async move { objects.head(&path).await });
        let meta = match looked {
            Ok(meta) => meta,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let modified = modified(&meta).map_err(|what| Error::Unexpected {
            doing: "look at",
            url: address.shown.clone(),
            what,
        })?;
        Ok(Some(Identity::of(meta.size, meta.e_tag, modified)))
    }

    /// Removes an object; where the store knows conditions, only in this state.
    pub(crate) fn delete(&self, address: &Address, state: Option<&Identity>) -> Result<(), Error> {
        let path = path(address)?;
        let Some(endpoint) = &self.inner.endpoint else {
            let objects = self.objects();
            return self.run(REMOVE, address, async move { objects.delete(&path).await });
        };
        let url = blob_url(endpoint, &address.container, path.as_ref());
        let url = url.ok_or_else(|| Error::Unexpected {
            doing: REMOVE,
            url: address.shown.clone(),
            what: "its URL cannot be made".to_owned(),
        })?;
        let e_tag = state.and_then(|state| state.e_tag.clone());
        let (connector, patience) = (self.inner.connector.clone(), self.inner.patience);
        self.run(REMOVE, address, async move {
            connector.delete(&url, e_tag.as_deref(), patience).await
        })
    }
}

/// A request under way.
pub(crate) struct Pending<T> {
    url: String,
    answered: Receiver<Result<T, Error>>,
    abort: Option<AbortHandle>,
}

impl<T> Pending<T> {
    pub(crate) fn wait(self) -> Result<T, Error> {
        let gone = Error::GivenUp { url: self.url };
        self.answered.recv().unwrap_or(Err(gone))
    }

    /// Waits so long at most; nothing when it took longer.
    pub(crate) fn wait_for(self, longest: Duration) -> Option<Result<T, Error>> {
        match self.answered.recv_timeout(longest) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(Error::GivenUp { url: self.url })),
        }
    }

    /// Ends it wherever it is.
    pub(crate) fn abort(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

impl Identity {
    fn of(size: u64, e_tag: Option<String>, modified: Timestamp) -> Self {
        let e_tag = e_tag.map(|tag| tag.trim_matches('"').to_owned());
        Self {
            size,
            modified: e_tag.is_none().then_some(modified),
            e_tag,
        }
    }
}

fn modified(meta: &object_store::ObjectMeta) -> Result<Timestamp, String> {
    Timestamp::from_second(meta.last_modified.timestamp()).map_err(|error| error.to_string())
}

/// Where Azure has a blob.
fn blob_url(endpoint: &str, container: &str, key: &str) -> Option<url::Url> {
    let mut url = url::Url::parse(endpoint).ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push(container)
        .extend(key.split('/'));
    Some(url)
}

pub(crate) fn path(address: &Address) -> Result<Path, Error> {
    Path::parse(address.key.as_str()).map_err(|_| Error::Address {
        url: address.shown.clone(),
        what: "its path has an empty part, `.` or `..`",
    })
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
    let timeouts = [
        (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
        (ClientConfigKey::ReadTimeout, READ_TIMEOUT),
    ];
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in timeouts {
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
    let timeouts = [
        (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
        (ClientConfigKey::ReadTimeout, READ_TIMEOUT),
    ];
    let mut builder = AmazonS3Builder::new();
    for (key, value) in timeouts {
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
