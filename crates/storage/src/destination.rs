//! An archive that appears under its name only when it is complete, wherever that is.
//!
//! [`Destination::commit`] places the descriptor and its signature, then the archive, and never replaces one that is there
//! (spec, "Writing").

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use lifeboat_archive::Descriptor;

use crate::address::{Address, Place};
use crate::error::Error;
use crate::local::Growing;
use crate::protect::{Encrypted, Protection, SigningKey};
use crate::settings::Settings;
use crate::store::{Store, Version};
use crate::upload::{NotCommitted, Parts, Transfer};

/// The verb of what is asked before anything is written.
const LOOK: &str = "look at";

/// An archive on its way. Dropped without [`Self::commit`], nothing of it remains visible.
#[derive(Debug)]
pub struct Destination {
    kind: Kind,
    signing_key: Option<SigningKey>,
}

#[derive(Debug)]
enum Kind {
    Local(Growing),
    Remote(Remote),
}

/// Where the bytes of the archive go.
#[derive(Debug)]
pub struct Sink(Seal);

#[derive(Debug)]
enum Seal {
    Open(Way),
    Encrypted(Box<Encrypted<Way>>),
}

#[derive(Debug)]
enum Way {
    File(File),
    Parts(Parts),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Seal::Open(way) => way.write(bytes),
            Seal::Encrypted(way) => way.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Seal::Open(way) => way.flush(),
            Seal::Encrypted(way) => way.flush(),
        }
    }
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Parts(parts) => parts.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Parts(parts) => parts.flush(),
        }
    }
}

impl Destination {
    /// Opens the way to `to`. A folder (it ends in `/`, or is a container) gets the file name `name`.
    ///
    /// # Errors
    /// An archive of that name, its encrypted twin, or something in the place of its descriptor or signature is there, or the place
    /// cannot be written: a store is tried out with one byte that never becomes visible.
    pub fn create(
        to: &Place,
        name: &str,
        protection: &Protection,
        settings: &Settings,
    ) -> Result<(Self, Sink), Error> {
        match to {
            Place::Local(path) => {
                let signed = protection.signing_key.is_some();
                let (growing, file) = Growing::create(path, name, signed)?;
                Self::protected(Kind::Local(growing), Way::File(file), protection)
            }
            Place::Remote(address) => {
                let address = address.in_folder(name);
                Self::in_store(&Store::open(&address, settings)?, &address, protection)
            }
        }
    }

    /// The same for a name in a store that is open.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub fn in_store(
        store: &Store,
        address: &Address,
        protection: &Protection,
    ) -> Result<(Self, Sink), Error> {
        let remote = Remote::create(store, address, protection.signing_key.is_some())?;
        let parts = Parts::new(&remote.transfer);
        Self::protected(Kind::Remote(remote), Way::Parts(parts), protection)
    }

    fn protected(kind: Kind, way: Way, protection: &Protection) -> Result<(Self, Sink), Error> {
        protection.check(&kind.place())?;
        let destination = Self {
            kind,
            signing_key: protection.signing_key.clone(),
        };
        let seal = match &protection.recipients {
            None => Seal::Open(way),
            Some(recipients) => {
                let encrypted = Encrypted::begin(recipients, way)
                    .map_err(|error| destination.not_written(error))?;
                Seal::Encrypted(Box::new(encrypted))
            }
        };
        Ok((destination, Sink(seal)))
    }

    /// Where the archive will appear.
    #[must_use]
    pub fn place(&self) -> Place {
        self.kind.place()
    }

    fn not_written(&self, error: io::Error) -> Error {
        Error::from_io(error, "write", self.place().to_string().into())
    }

    /// The same for an archive whose run ended early: it gets the name `X.partial.tar.zst`. In a store an upload has its
    /// name from the beginning and keeps it.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn commit_partial(
        self,
        sink: Sink,
        descriptor: &Descriptor,
    ) -> Result<(Place, Descriptor), Error> {
        let kind = match self.kind {
            Kind::Local(growing) => Kind::Local(growing.into_partial()?),
            remote @ Kind::Remote(_) => remote,
        };
        Self { kind, ..self }.commit(sink, descriptor)
    }

    /// Makes the archive durable and visible: descriptor first, signature second, archive last. Gives its place, and the
    /// descriptor as it was written: that of an encrypted archive has the size and digest of the encrypted file.
    ///
    /// # Errors
    /// An archive of that name appeared meanwhile, or the place refused; nothing is visible then.
    /// Two exceptions. A local folder that cannot be flushed at the very end: archive and descriptor are there, but may
    /// not outlive a power cut. A store that falls silent at the commit: what is there is then unknown.
    pub fn commit(self, sink: Sink, descriptor: &Descriptor) -> Result<(Place, Descriptor), Error> {
        let mut descriptor = descriptor.clone();
        let way = match sink.0 {
            Seal::Open(way) => way,
            Seal::Encrypted(encrypted) => {
                let finished = encrypted.finish();
                let (way, written) = finished.map_err(|error| self.not_written(error))?;
                descriptor.size = written.size;
                descriptor.sha256 = written.sha256;
                descriptor.encrypted = true;
                way
            }
        };
        let beside = Beside::of(&descriptor, &self)?;
        let place = match (self.kind, way) {
            (Kind::Local(growing), Way::File(file)) => {
                growing.commit(file, &beside).map(Place::Local)
            }
            (Kind::Remote(remote), Way::Parts(parts)) => {
                remote.commit(parts, &beside).map(Place::Remote)
            }
            (kind, _) => Err(Error::GivenUp {
                url: kind.place().to_string(),
            }),
        };
        Ok((place?, descriptor))
    }
}

impl Kind {
    fn place(&self) -> Place {
        match self {
            Self::Local(growing) => Place::Local(growing.path().to_owned()),
            Self::Remote(remote) => Place::Remote(remote.address.clone()),
        }
    }
}

/// What stands beside an archive, as it is written.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) descriptor: Vec<u8>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Beside {
    fn of(descriptor: &Descriptor, destination: &Destination) -> Result<Self, Error> {
        let bytes = descriptor.to_bytes().map_err(Error::Descriptor)?;
        let name = destination.place().to_string();
        let name = Descriptor::path_for(Path::new(&name));
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let comment = format!(
            "timestamp:{}\tfile:{name}\thashed",
            descriptor.finished.as_second()
        );
        let key = destination.signing_key.as_ref();
        let signature = key.map(|key| key.sign(&bytes, &comment)).transpose()?;
        Ok(Self {
            descriptor: bytes,
            signature,
        })
    }
}

/// An archive on its way into a store.
#[derive(Debug)]
struct Remote {
    store: Store,
    address: Address,
    transfer: Arc<Transfer>,
    /// The versions of descriptor and signature without an archive, as a killed run may leave them; they alone may be replaced.
    litter: Leftover<Version>,
}

/// What a run that was killed left beside the place of its archive.
#[derive(Debug)]
pub(crate) struct Leftover<T> {
    pub(crate) descriptor: Option<T>,
    pub(crate) signature: Option<T>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.transfer.abandon();
    }
}

impl Remote {
    fn create(store: &Store, address: &Address, signed: bool) -> Result<Self, Error> {
        refuse_existing(store, address)?;
        let litter = Leftover {
            descriptor: litter(store, &address.descriptor(), is_descriptor)?,
            signature: litter(store, &address.signature(), |bytes| {
                signed && is_signature(bytes)
            })?,
        };
        Ok(Self {
            store: store.clone(),
            address: address.clone(),
            transfer: Transfer::begin(store, address)?,
            litter,
        })
    }

    fn commit(self, parts: Parts, beside: &Beside) -> Result<Address, Error> {
        // All bytes first: the descriptor is to be without its archive for a moment only.
        parts.finish()?;
        refuse_existing(&self.store, &self.address)?;
        let descriptor = self.address.descriptor();
        let signature = self.address.signature();
        self.place(&descriptor, &beside.descriptor, &self.litter.descriptor)?;
        let signed = match &beside.signature {
            Some(text) => self.place(&signature, text, &self.litter.signature),
            None => Ok(()),
        };
        let committed = match signed {
            Ok(()) => self.transfer.commit(),
            Err(error) => Err(NotCommitted {
                error,
                may_be_there: false,
            }),
        };
        match committed {
            Ok(()) => Ok(self.address.clone()),
            Err(NotCommitted {
                error,
                may_be_there,
            }) => {
                if !may_be_there && self.is_ours(&descriptor, &beside.descriptor) {
                    // What cannot be removed is litter, which the next run of this name clears away. The signature first:
                    // one without its descriptor says nothing.
                    if let Some(text) = &beside.signature
                        && self.is_ours(&signature, text)
                    {
                        let _ = self.store.delete(&signature, None);
                    }
                    let _ = self.store.delete(&descriptor, None);
                }
                Err(error)
            }
        }
    }

    fn place(&self, beside: &Address, text: &[u8], litter: &Option<Version>) -> Result<(), Error> {
        let placed = self.store.put(beside, text.to_vec(), litter.clone());
        match placed {
            Ok(()) => Ok(()),
            // A lost answer makes a repeated request fail on what the first one has written.
            Err(_) if self.is_ours(beside, text) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the file that is there now is the one of this run.
    fn is_ours(&self, beside: &Address, text: &[u8]) -> bool {
        matches!(self.store.get(beside), Ok(Some((bytes, _))) if bytes == text)
    }
}

/// Refuses when the archive is there, or the one that would have the same descriptor.
fn refuse_existing(store: &Store, address: &Address) -> Result<(), Error> {
    for archive in std::iter::once(address.clone()).chain(address.twin()) {
        if store.look(LOOK, &archive)?.is_some() {
            return Err(Error::Exists {
                place: archive.shown,
            });
        }
    }
    Ok(())
}

/// The version of what stands beside a place without an archive, when it is `expected`; any other object of that name is in
/// the way.
fn litter(
    store: &Store,
    beside: &Address,
    expected: impl Fn(&[u8]) -> bool,
) -> Result<Option<Version>, Error> {
    match store.get(beside)? {
        None => Ok(None),
        Some((bytes, version)) if expected(&bytes) => Ok(Some(version)),
        Some(_) => Err(Error::Exists {
            place: beside.shown.clone(),
        }),
    }
}

pub(crate) fn is_descriptor(bytes: &[u8]) -> bool {
    Descriptor::parse(bytes).is_ok()
}

pub(crate) fn is_signature(bytes: &[u8]) -> bool {
    bytes.starts_with(b"untrusted comment: ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The descriptor of an empty archive.
    pub(crate) fn descriptor() -> Descriptor {
        use lifeboat_archive::{Content, Header, Inventory, Scope, Source, Summary, Writer};
        let started: jiff::Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        let source = Source {
            host: "host".to_owned(),
            workspace_id: "1".to_owned(),
            cloud: "azure".to_owned(),
        };
        let scope = Scope::Workspace;
        let options = serde_json::json!({});
        let header = Header::new("test".to_owned(), source, started, scope, options);
        let writer = lifeboat_archive::WriterOptions {
            bag: "bag".to_owned(),
            level: 1,
            threads: 1,
            spill_dir: None,
        };
        let mut writer = Writer::create(Vec::new(), writer, &header).unwrap();
        writer.add("data/a", Content::Bytes(Vec::new())).unwrap();
        let summary = Summary {
            scope,
            inventory: Inventory::Complete,
            kinds: std::collections::BTreeMap::new(),
        };
        let (_, sealed) = writer.finish(&summary, started).unwrap();
        Descriptor::new(&header, &summary, &sealed, started)
    }

    fn archive() -> Address {
        match Place::parse("az://memory/nightly/x.tar.zst").unwrap() {
            Place::Remote(address) => address,
            Place::Local(path) => panic!("{path:?}"),
        }
    }

    /// No protection.
    fn open() -> Protection {
        Protection::default()
    }

    fn memory() -> Store {
        Store::of(Arc::new(object_store::memory::InMemory::new())).unwrap()
    }

    #[test]
    fn a_commit_that_fails_takes_its_descriptor_back() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address, &open()).unwrap();
        sink.write_all(b"bytes").unwrap();
        let Kind::Remote(remote) = &destination.kind else {
            panic!("{destination:?}");
        };
        let Seal::Open(Way::Parts(parts)) = sink.0 else {
            panic!("no parts");
        };
        parts.finish().unwrap();
        remote.transfer.abandon();
        let sink = Sink(Seal::Open(Way::Parts(Parts::new(&remote.transfer))));
        let error = destination.commit(sink, &descriptor()).unwrap_err();
        assert!(matches!(error, Error::GivenUp { .. }), "{error:?}");
        assert!(store.get(&address.descriptor()).unwrap().is_none());
        assert!(store.look(LOOK, &address).unwrap().is_none());
    }

    #[test]
    fn an_archive_and_its_encrypted_twin_cannot_both_be_there() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address, &open()).unwrap();
        sink.write_all(b"bytes").unwrap();
        destination.commit(sink, &descriptor()).unwrap();
        let twin = address.twin().unwrap();
        let error = Destination::in_store(&store, &twin, &open()).unwrap_err();
        assert!(
            matches!(&error, Error::Exists { place } if *place == address.shown),
            "{error:?}"
        );
        assert!(store.get(&address.descriptor()).unwrap().is_some());
    }

    #[test]
    fn a_descriptor_that_another_run_put_there_is_not_replaced() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address, &open()).unwrap();
        sink.write_all(b"bytes").unwrap();
        store
            .put(&address.descriptor(), b"{}".to_vec(), None)
            .unwrap();
        let error = destination.commit(sink, &descriptor()).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error:?}");
        let (bytes, _) = store.get(&address.descriptor()).unwrap().unwrap();
        assert_eq!(bytes, "{}");
        assert!(store.look(LOOK, &address).unwrap().is_none());
    }
}
