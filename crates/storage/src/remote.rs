//! An archive on its way into a store: what stands beside it first, the archive last, and nothing replaced (spec, "Writing");
//! and the other name of one whose run ended early (spec, "An archive whose run ended early").

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use lifeboat_archive::{Descriptor, Hasher, ReadAt as _};

use crate::address::{Address, Place};
use crate::destination::{Beside, Leftover, first_free, is_descriptor, is_signature, partial_name};
use crate::error::{Error, READ};
use crate::listing::{Identity, MOST_BYTES};
use crate::protect::SigningKey;
use crate::removal::Remover;
use crate::source::Source;
use crate::store::{Store, Version};
use crate::upload::{NotCommitted, Parts, Transfer, mark};

/// So much of an archive is copied at a time.
const PIECE: usize = 1 << 20;

/// An archive on its way into a store.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Store,
    address: Address,
    transfer: Arc<Transfer>,
    /// Descriptor and signature without an archive, as a killed run may leave them; they alone may be replaced.
    litter: Leftover<Litter>,
}

/// A file without its archive, as it was found.
#[derive(Debug)]
struct Litter {
    bytes: Bytes,
    version: Version,
}

/// A file that stands beside the archive.
struct BesideFile<'b> {
    place: Address,
    text: &'b [u8],
    litter: Option<&'b Litter>,
}

/// How a file came to be there as this run wants it.
#[derive(Debug, Clone, Copy)]
enum How {
    Created,
    /// In the place of litter.
    Replaced,
    /// The store refused, and it was there: written by this run, or the same by another one.
    Found,
}

/// So often what stands beside an archive is written again before that is an error.
const TRIES: usize = 3;

impl Drop for Remote {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Remote {
    pub(crate) fn create(store: &Store, address: &Address, signed: bool) -> Result<Self, Error> {
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

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Gives up what is not committed.
    pub(crate) fn abandon(&self) {
        self.transfer.abandon();
    }

    /// The sink of its parts.
    pub(crate) fn parts(&self) -> Parts {
        Parts::new(&self.transfer)
    }

    pub(crate) fn commit(&self, parts: Parts, beside: &Beside) -> Result<(), Error> {
        // All bytes first: the descriptor is to be without its archive for a moment only.
        parts.finish()?;
        refuse_existing(&self.store, &self.address)?;
        let mut placed = Vec::new();
        let mut all_placed = Ok(());
        for file in self.files(beside) {
            match self.place(&file) {
                Ok(how) => placed.push((file, how)),
                Err(error) => {
                    all_placed = Err(error);
                    break;
                }
            }
        }
        let committed = match all_placed {
            Ok(()) => self.transfer.commit(),
            Err(error) => Err(NotCommitted {
                error,
                may_be_there: false,
            }),
        };
        let Err(NotCommitted {
            error,
            may_be_there,
        }) = committed
        else {
            return self.confirm(beside);
        };
        if !may_be_there {
            // The signature first: one without its descriptor says nothing.
            for (file, how) in placed.iter().rev() {
                // What cannot be removed is litter, which the next run of this name clears away.
                let _ = self.take_back(file, *how);
            }
        }
        Err(error)
    }

    /// Another run of this name may have taken what this one placed for litter before the archive appeared, and have
    /// replaced or removed it. The archive is this run's, so what stands beside it has to be, too.
    fn confirm(&self, beside: &Beside) -> Result<(), Error> {
        self.files(beside)
            .iter()
            .try_for_each(|file| self.confirm_one(file))
    }

    fn confirm_one(&self, file: &BesideFile<'_>) -> Result<(), Error> {
        let mut refused = None;
        for _ in 0..TRIES {
            let found = match self.store.get(&file.place) {
                Ok(found) => found,
                // It was placed, and this is a second look.
                Err(error) if error.is_outage() => return Ok(()),
                Err(error) => return Err(error),
            };
            let version = match found {
                Some((bytes, _)) if bytes == file.text => return Ok(()),
                found => found.map(|(_, version)| version),
            };
            let placed = self.store.put(&file.place, file.text.to_vec(), version);
            refused = placed.err();
        }
        refused.map_or(Ok(()), Err)
    }

    /// What is to stand beside the archive, in the order in which it is placed.
    fn files<'b>(&'b self, beside: &'b Beside) -> Vec<BesideFile<'b>> {
        let descriptor = BesideFile {
            place: self.address.descriptor(),
            text: &beside.descriptor,
            litter: self.litter.descriptor.as_ref(),
        };
        let signature = beside.signature.as_ref().map(|text| BesideFile {
            place: self.address.signature(),
            text,
            litter: self.litter.signature.as_ref(),
        });
        std::iter::once(descriptor).chain(signature).collect()
    }

    fn place(&self, file: &BesideFile<'_>) -> Result<How, Error> {
        let put = |version| self.store.put(&file.place, file.text.to_vec(), version);
        let version = file.litter.map(|litter| litter.version.clone());
        let error = match (put(version), file.litter) {
            (Ok(()), None) => return Ok(How::Created),
            (Ok(()), Some(_)) => return Ok(How::Replaced),
            (Err(error), _) => error,
        };
        match self.store.get(&file.place) {
            // A lost answer makes a repeated request fail on what the first one has written.
            Ok(Some((bytes, _))) if bytes == file.text => Ok(How::Found),
            // Somebody cleared the litter away meanwhile.
            Ok(None) if file.litter.is_some() => put(None).map(|()| How::Created),
            _ => Err(error),
        }
    }

    /// Undoes what this run placed beside an archive that did not appear, if it is there still.
    fn take_back(&self, file: &BesideFile<'_>, how: How) -> Result<(), Error> {
        match (how, file.litter) {
            // It may be what another run waits for, for all that is known.
            (How::Replaced, Some(litter)) => match self.store.get(&file.place)? {
                Some((bytes, version)) if bytes == file.text => {
                    let text = litter.bytes.to_vec();
                    self.store.put(&file.place, text, Some(version))
                }
                _ => Ok(()),
            },
            // Two runs may have written the same bytes; the one whose archive is there needs them.
            (How::Found, _) if refuse_existing(&self.store, &self.address).is_err() => Ok(()),
            _ => self.remove_ours(file),
        }
    }

    fn remove_ours(&self, file: &BesideFile<'_>) -> Result<(), Error> {
        let Some(identity) = self.store.identity(&file.place)? else {
            return Ok(());
        };
        match self.store.get(&file.place)? {
            Some((bytes, _)) if bytes == file.text => {
                let place = Place::Remote(file.place.clone());
                Remover::in_store(&self.store).exactly(&place, &identity)
            }
            _ => Ok(()),
        }
    }

    /// Gives the archive that was committed with `beside` the name of one whose run ended early, and frees its own. `told`
    /// hears how many bytes were copied so far.
    ///
    /// Gives where the archive is now, and why its first name is not free: the archive is there still, alone or as well.
    pub(crate) fn rename_partial(
        &self,
        beside: &Beside,
        descriptor: &Descriptor,
        key: Option<&SigningKey>,
        told: &dyn Fn(u64),
    ) -> (Address, Option<Error>) {
        let copied = self
            .may_remove()
            .and_then(|()| self.copy_to_partial(descriptor, key, told));
        match copied {
            Err(error) => (self.address.clone(), Some(error)),
            Ok((to, first)) => {
                // The archive goes before what is beside it, as everywhere.
                let place = Place::Remote(self.address.clone());
                let remover = Remover::in_store(&self.store);
                let removed = remover.exactly(&place, &first).and_then(|()| {
                    let mut files = self.files(beside);
                    files.reverse();
                    files.iter().try_for_each(|file| self.remove_ours(file))
                });
                (to, removed.err())
            }
        }
    }

    /// Whether this caller may remove what he wrote: asked by removing a name that nobody has. One who may only add would
    /// leave two archives in the place of one.
    fn may_remove(&self) -> Result<(), Error> {
        let nobodys = self.address.renamed(|name| {
            let mut name = name.as_os_str().to_owned();
            name.push(format!(".{}", mark()));
            name.into()
        });
        match self.store.delete(&nobodys, None) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            // Nobody knows the other name.
            Err(Error::Refused {
                doing,
                refusal,
                signature_until,
                ..
            }) => Err(Error::Refused {
                doing,
                url: self.address.shown.clone(),
                refusal,
                signature_until,
            }),
            Err(error) => Err(error),
        }
    }

    /// Copies the archive by reading and sending it: a store copies 5 GB at most by itself (S3), or later than it says so
    /// (Azure). Gives where, and which state of the first object was copied.
    fn copy_to_partial(
        &self,
        descriptor: &Descriptor,
        key: Option<&SigningKey>,
        told: &dyn Fn(u64),
    ) -> Result<(Address, Identity), Error> {
        let changed = || Error::Changed {
            url: self.address.shown.clone(),
        };
        let first = self.store.identity(&self.address)?.ok_or_else(changed)?;
        let source = Source::in_store(&self.store, &self.address)?;
        let remote = self.open_partial(key.is_some())?;
        let mut parts = remote.parts();
        let mut digest = Hasher::new();
        let mut piece = vec![0; PIECE];
        let mut copied = 0;
        loop {
            let io = |doing| {
                move |error| Error::from_io(error, doing, self.address.shown.clone().into())
            };
            let count = source.read_at(copied, &mut piece).map_err(io(READ))?;
            if count == 0 {
                break;
            }
            digest.update(&piece[..count]);
            parts.write_all(&piece[..count]).map_err(io("write"))?;
            copied += count as u64;
            told(copied);
        }
        if copied != descriptor.size || digest.finish() != descriptor.sha256 {
            return Err(changed());
        }
        remote.commit(
            parts,
            &Beside::of(descriptor, &Place::Remote(remote.address.clone()), key)?,
        )?;
        Ok((remote.address.clone(), first))
    }

    /// The way to a free name for an archive whose run ended early. The first one may be taken by the base that this run
    /// went on from.
    fn open_partial(&self, signed: bool) -> Result<Self, Error> {
        first_free(|number| {
            let free = self.address.renamed(|name| partial_name(name, number));
            Self::create(&self.store, &free, signed)
        })
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

/// The verb of what is asked before anything is written.
const LOOK: &str = "look at";

/// What stands beside a place without an archive, when it is `expected`; any other object of that name is in the way.
fn litter(
    store: &Store,
    beside: &Address,
    expected: impl Fn(&[u8]) -> bool,
) -> Result<Option<Litter>, Error> {
    let in_the_way = || Error::Exists {
        place: beside.shown.clone(),
    };
    match store.look(LOOK, beside)? {
        None => return Ok(None),
        Some(facts) if facts.size > MOST_BYTES => return Err(in_the_way()),
        Some(_) => {}
    }
    match store.get(beside)? {
        None => Ok(None),
        Some((bytes, version)) if expected(&bytes) => Ok(Some(Litter { bytes, version })),
        Some(_) => Err(in_the_way()),
    }
}

#[cfg(test)]
mod tests;
