//! An archive on its way into a store: what stands beside it first, the archive last, and nothing replaced (spec, "Writing");
//! and the other name of one whose run ended early (spec, "An archive whose run ended early").

use std::io::Write as _;
use std::sync::Arc;

use lifeboat_archive::{Descriptor, Hasher, ReadAt as _};

use crate::address::{Address, Place};
use crate::destination::{Beside, Leftover, is_descriptor, is_signature, partial_name};
use crate::error::{Error, READ};
use crate::listing::Identity;
use crate::protect::SigningKey;
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
    /// The versions of descriptor and signature without an archive, as a killed run may leave them; they alone may be replaced.
    litter: Leftover<Version>,
}

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
        let Err(NotCommitted {
            error,
            may_be_there,
        }) = committed
        else {
            return Ok(());
        };
        if !may_be_there {
            // What cannot be removed is litter, which the next run of this name clears away.
            let _ = self.take_back(beside);
        }
        Err(error)
    }

    /// Removes what this run placed beside an archive that is not there. The signature first: one without its descriptor
    /// says nothing.
    fn take_back(&self, beside: &Beside) -> Result<(), Error> {
        let descriptor = self.address.descriptor();
        if !self.is_ours(&descriptor, &beside.descriptor) {
            return Ok(());
        }
        let signature = self.address.signature();
        if let Some(text) = &beside.signature
            && self.is_ours(&signature, text)
        {
            self.store.delete(&signature, None)?;
        }
        self.store.delete(&descriptor, None)
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
                let removed = self.store.delete(&self.address, Some(&first));
                (to, removed.and_then(|()| self.take_back(beside)).err())
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
        let to = self.free_partial()?;
        let remote = Self::create(&self.store, &to, key.is_some())?;
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
            &Beside::of(descriptor, &Place::Remote(to.clone()), key)?,
        )?;
        Ok((to, first))
    }

    /// A free name for an archive whose run ended early. The first one may be taken by the base that this run went on
    /// from.
    fn free_partial(&self) -> Result<Address, Error> {
        let mut number = 1;
        loop {
            let free = self.address.renamed(|name| partial_name(name, number));
            match refuse_existing(&self.store, &free) {
                Err(Error::Exists { .. }) => number += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(free),
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

/// The verb of what is asked before anything is written.
const LOOK: &str = "look at";

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
