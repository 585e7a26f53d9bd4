//! One container of a store, and the runtime that its requests run on.
//!
//! Every call blocks its caller and works within a runtime's thread too: the caller waits on a channel, not on the
//! runtime.

mod open;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    Attribute, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::client::{Connector, NOTE, Note, Traffic};
use crate::error::{Attempt, Error, READ};
use crate::listing::{Identity, LIST, Object};
use crate::removal::REMOVE;

pub(crate) use open::host_of;

/// Small objects that are read at the same time.
const SMALL_IN_FLIGHT: usize = 16;

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
