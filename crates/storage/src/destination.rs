//! An archive that appears under its name only when it is complete, wherever that is.
//!
//! [`Destination::commit`] places the descriptor and its signature, then the archive, and never replaces one that is there
//! (spec, "Writing").

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lifeboat_archive::{Descriptor, ENCRYPTED_EXTENSION, EXTENSION};

use crate::address::{Address, Place};
use crate::error::Error;
use crate::local::Growing;
use crate::protect::{Encrypted, Protection, SigningKey};
use crate::remote::Remote;
use crate::settings::Settings;
use crate::store::Store;
use crate::upload::Parts;

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
        let parts = remote.parts();
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

    /// Makes the archive durable and visible: descriptor first, signature second, archive last. Gives its place, and the
    /// descriptor as it was written: that of an encrypted archive has the size and digest of the encrypted file.
    ///
    /// # Errors
    /// An archive of that name appeared meanwhile, or the place refused; nothing is visible then.
    /// Two exceptions. A local folder that cannot be flushed at the very end: archive and descriptor are there, but may
    /// not outlive a power cut. A store that falls silent at the commit: what is there is then unknown.
    pub fn commit(self, sink: Sink, descriptor: &Descriptor) -> Result<(Place, Descriptor), Error> {
        let (way, descriptor) = self.seal(sink, descriptor)?;
        let place = self.place();
        let beside = Beside::of(&descriptor, &place, self.signing_key.as_ref())?;
        match (self.kind, way) {
            (Kind::Local(growing), Way::File(file)) => growing.commit(file, &beside),
            (Kind::Remote(remote), Way::Parts(parts)) => remote.commit(parts, &beside),
            (kind, _) => Err(kind.given_up()),
        }?;
        Ok((place, descriptor))
    }

    /// The same for an archive whose run ended early: it gets the name `X.partial.tar.zst`. In a store an upload has its
    /// name from the beginning, so it is copied; `told` hears how many bytes of it so far,
    /// first 0 when the archive is there under the first name.
    ///
    /// Gives with its place why the name that it was opened for is not free, if that is so: there is no name of that kind,
    /// or the store did not copy the archive or remove the first one, which is there still.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn commit_partial(
        self,
        sink: Sink,
        descriptor: &Descriptor,
        told: &dyn Fn(u64),
    ) -> Result<(Place, Descriptor, Option<Error>), Error> {
        let (way, descriptor) = self.seal(sink, descriptor)?;
        let key = self.signing_key.as_ref();
        match (self.kind, way) {
            (Kind::Local(growing), Way::File(file)) => {
                let (growing, taken) = growing.into_partial();
                let place = Place::Local(growing.path().to_owned());
                growing.commit(file, &Beside::of(&descriptor, &place, key)?)?;
                Ok((place, descriptor, taken))
            }
            (Kind::Remote(remote), Way::Parts(parts)) => {
                let place = Place::Remote(remote.address().clone());
                let beside = Beside::of(&descriptor, &place, key)?;
                remote.commit(parts, &beside)?;
                told(0);
                let (address, taken) = remote.rename_partial(&beside, &descriptor, key, told);
                Ok((Place::Remote(address), descriptor, taken))
            }
            (kind, _) => Err(kind.given_up()),
        }
    }

    /// Ends the encryption, if there is one.
    fn seal(&self, sink: Sink, descriptor: &Descriptor) -> Result<(Way, Descriptor), Error> {
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
        Ok((way, descriptor))
    }
}

impl Kind {
    fn place(&self) -> Place {
        match self {
            Self::Local(growing) => Place::Local(growing.path().to_owned()),
            Self::Remote(remote) => Place::Remote(remote.address().clone()),
        }
    }

    /// A sink that belongs to another destination.
    fn given_up(&self) -> Error {
        Error::GivenUp {
            url: self.place().to_string(),
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
    /// The descriptor of the archive at `place`, and its signature where there is a key.
    pub(crate) fn of(
        descriptor: &Descriptor,
        place: &Place,
        key: Option<&SigningKey>,
    ) -> Result<Self, Error> {
        let bytes = descriptor.to_bytes().map_err(Error::Descriptor)?;
        let name = Descriptor::path_for(Path::new(&place.to_string()));
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let comment = format!(
            "timestamp:{}\tfile:{name}\thashed",
            descriptor.finished.as_second()
        );
        let signature = key.map(|key| key.sign(&bytes, &comment)).transpose()?;
        Ok(Self {
            descriptor: bytes,
            signature,
        })
    }
}

/// What a run that was killed left beside the place of its archive.
#[derive(Debug)]
pub(crate) struct Leftover<T> {
    pub(crate) descriptor: Option<T>,
    pub(crate) signature: Option<T>,
}

/// Takes the first place of those that are numbered from 1 that is not taken.
pub(crate) fn first_free<T>(take: impl Fn(u32) -> Result<T, Error>) -> Result<T, Error> {
    let mut number = 1;
    loop {
        match take(number) {
            Err(Error::Exists { .. }) => number += 1,
            taken => return taken,
        }
    }
}

/// The `number`th name for `archive` when its run ended early: `X.partial.tar.zst`, `X-2.partial.tar.zst`, and so on.
pub(crate) fn partial_name(archive: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return Descriptor::partial_path_for(archive);
    }
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let extension = [ENCRYPTED_EXTENSION, EXTENSION]
        .into_iter()
        .find(|extension| name.ends_with(extension))
        .unwrap_or_default();
    let stem = name.strip_suffix(extension).unwrap_or(&name);
    Descriptor::partial_path_for(&archive.with_file_name(format!("{stem}-{number}{extension}")))
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
        Store::of(std::sync::Arc::new(object_store::memory::InMemory::new())).unwrap()
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
        remote.abandon();
        let sink = Sink(Seal::Open(Way::Parts(remote.parts())));
        let error = destination.commit(sink, &descriptor()).unwrap_err();
        assert!(matches!(error, Error::GivenUp { .. }), "{error:?}");
        assert!(store.get(&address.descriptor()).unwrap().is_none());
        assert!(store.look("look at", &address).unwrap().is_none());
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
        assert!(store.look("look at", &address).unwrap().is_none());
    }
}
