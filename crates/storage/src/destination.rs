//! An archive that appears under its name only when it is complete, wherever that is.
//!
//! [`Destination::commit`] places the descriptor, then the archive, and never replaces one that is there (spec,
//! "Writing").

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use lifeboat_archive::Descriptor;

use crate::address::{Address, Place};
use crate::error::Error;
use crate::local::Growing;
use crate::settings::Settings;
use crate::store::{Store, Version};
use crate::upload::{NotCommitted, Parts, Transfer};

/// The verb of what is asked before anything is written.
const LOOK: &str = "look at";

/// An archive on its way. Dropped without [`Self::commit`], nothing of it remains visible.
#[derive(Debug)]
pub struct Destination(Kind);

#[derive(Debug)]
enum Kind {
    Local(Growing),
    Remote(Remote),
}

/// Where the bytes of the archive go.
#[derive(Debug)]
pub struct Sink(Way);

#[derive(Debug)]
enum Way {
    File(File),
    Parts(Parts),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Way::File(file) => file.write(bytes),
            Way::Parts(parts) => parts.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Way::File(file) => file.flush(),
            Way::Parts(parts) => parts.flush(),
        }
    }
}

impl Destination {
    /// Opens the way to `to`. A folder (it ends in `/`, or is a container) gets the file name `name`.
    ///
    /// # Errors
    /// An archive of that name (or a descriptor of one) is there, or the place cannot be written: a store is
    /// tried out with one byte that never becomes visible.
    pub fn create(to: &Place, name: &str, settings: &Settings) -> Result<(Self, Sink), Error> {
        match to {
            Place::Local(path) => {
                let (growing, file) = Growing::create(path, name)?;
                Ok((Self(Kind::Local(growing)), Sink(Way::File(file))))
            }
            Place::Remote(address) => {
                let address = address.in_folder(name);
                Self::in_store(&Store::open(&address, settings)?, &address)
            }
        }
    }

    /// The same for a name in a store that is open.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub fn in_store(store: &Store, address: &Address) -> Result<(Self, Sink), Error> {
        let remote = Remote::create(store, address)?;
        let parts = Parts::new(&remote.transfer);
        Ok((Self(Kind::Remote(remote)), Sink(Way::Parts(parts))))
    }

    /// Where the archive will appear.
    #[must_use]
    pub fn place(&self) -> Place {
        match &self.0 {
            Kind::Local(growing) => Place::Local(growing.path().to_owned()),
            Kind::Remote(remote) => Place::Remote(remote.address.clone()),
        }
    }

    /// The same for an archive whose run ended early: it gets the name `X.partial.tar.zst`. In a store an upload has its
    /// name from the beginning and keeps it.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn commit_partial(self, sink: Sink, descriptor: &Descriptor) -> Result<Place, Error> {
        let kind = match self.0 {
            Kind::Local(growing) => Kind::Local(growing.into_partial()?),
            remote @ Kind::Remote(_) => remote,
        };
        Self(kind).commit(sink, descriptor)
    }

    /// Makes the archive durable and visible: descriptor first, archive second.
    ///
    /// # Errors
    /// An archive of that name appeared meanwhile, or the place refused; nothing is visible then.
    /// Two exceptions. A local folder that cannot be flushed at the very end: archive and descriptor are there, but may
    /// not outlive a power cut. A store that falls silent at the commit: what is there is then unknown.
    pub fn commit(self, sink: Sink, descriptor: &Descriptor) -> Result<Place, Error> {
        match (self.0, sink.0) {
            (Kind::Local(growing), Way::File(file)) => {
                growing.commit(file, descriptor).map(Place::Local)
            }
            (Kind::Remote(remote), Way::Parts(parts)) => {
                remote.commit(parts, descriptor).map(Place::Remote)
            }
            (kind, _) => Err(Error::GivenUp {
                url: Self(kind).place().to_string(),
            }),
        }
    }
}

/// An archive on its way into a store.
#[derive(Debug)]
struct Remote {
    store: Store,
    address: Address,
    transfer: Arc<Transfer>,
    /// The version of a descriptor without an archive, as a killed run may leave it; it alone may be replaced.
    litter: Option<Version>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.transfer.abandon();
    }
}

impl Remote {
    fn create(store: &Store, address: &Address) -> Result<Self, Error> {
        refuse_existing(store, address)?;
        let litter = litter(store, &address.descriptor())?;
        Ok(Self {
            store: store.clone(),
            address: address.clone(),
            transfer: Transfer::begin(store, address)?,
            litter,
        })
    }

    fn commit(self, parts: Parts, descriptor: &Descriptor) -> Result<Address, Error> {
        // All bytes first: the descriptor is to be without its archive for a moment only.
        parts.finish()?;
        refuse_existing(&self.store, &self.address)?;
        let beside = self.address.descriptor();
        let text = descriptor.to_bytes().map_err(Error::Descriptor)?;
        self.place_descriptor(&beside, &text)?;
        match self.transfer.commit() {
            Ok(()) => Ok(self.address.clone()),
            Err(NotCommitted {
                error,
                may_be_there,
            }) => {
                if !may_be_there && self.is_ours(&beside, &text) {
                    // What cannot be removed is litter, which the next run of this name clears away.
                    let _ = self.store.delete(&beside, None);
                }
                Err(error)
            }
        }
    }

    fn place_descriptor(&self, beside: &Address, text: &[u8]) -> Result<(), Error> {
        let placed = self.store.put(beside, text.to_vec(), self.litter.clone());
        match placed {
            Ok(()) => Ok(()),
            // A lost answer makes a repeated request fail on what the first one has written.
            Err(_) if self.is_ours(beside, text) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the descriptor that is there now is the one of this run.
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

/// The version of a descriptor that has no archive; any other object of that name is in the way.
fn litter(store: &Store, beside: &Address) -> Result<Option<Version>, Error> {
    let Some((bytes, version)) = store.get(beside)? else {
        return Ok(None);
    };
    match Descriptor::parse(&bytes) {
        Ok(_) => Ok(Some(version)),
        Err(_) => Err(Error::Exists {
            place: beside.shown.clone(),
        }),
    }
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

    fn memory() -> Store {
        Store::of(Arc::new(object_store::memory::InMemory::new())).unwrap()
    }

    #[test]
    fn a_commit_that_fails_takes_its_descriptor_back() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address).unwrap();
        sink.write_all(b"bytes").unwrap();
        let Destination(Kind::Remote(remote)) = &destination else {
            panic!("{destination:?}");
        };
        let Way::Parts(parts) = sink.0 else {
            panic!("no parts");
        };
        parts.finish().unwrap();
        remote.transfer.abandon();
        let sink = Sink(Way::Parts(Parts::new(&remote.transfer)));
        let error = destination.commit(sink, &descriptor()).unwrap_err();
        assert!(matches!(error, Error::GivenUp { .. }), "{error:?}");
        assert!(store.get(&address.descriptor()).unwrap().is_none());
        assert!(store.look(LOOK, &address).unwrap().is_none());
    }

    #[test]
    fn an_archive_and_its_encrypted_twin_cannot_both_be_there() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address).unwrap();
        sink.write_all(b"bytes").unwrap();
        destination.commit(sink, &descriptor()).unwrap();
        let twin = address.twin().unwrap();
        let error = Destination::in_store(&store, &twin).unwrap_err();
        assert!(
            matches!(&error, Error::Exists { place } if *place == address.shown),
            "{error:?}"
        );
        assert!(store.get(&address.descriptor()).unwrap().is_some());
    }

    #[test]
    fn a_descriptor_that_another_run_put_there_is_not_replaced() {
        let (store, address) = (memory(), archive());
        let (destination, mut sink) = Destination::in_store(&store, &address).unwrap();
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
