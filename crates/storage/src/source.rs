//! Reading an archive in a store by ranges (spec, "Reading").

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lifeboat_archive::ReadAt;

use crate::address::Address;
use crate::blocks::Blocks;
use crate::client::Traffic;
use crate::error::{Error, READ};
use crate::settings::Settings;
use crate::store::{Facts, Store};

/// An object of a store, read at offsets. All reads are of the state that was found when it was opened.
#[derive(Debug)]
pub struct Source {
    store: Store,
    address: Address,
    facts: Facts,
    blocks: Mutex<Blocks>,
}

impl Source {
    /// Opens the object at `address` with one request for its length.
    ///
    /// # Errors
    /// There is no such object or container, the store refuses or does not answer.
    pub fn open(address: &Address, settings: &Settings) -> Result<Self, Error> {
        Self::in_store(&Store::open(address, settings)?, address)
    }

    /// The same in a store that is open.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn in_store(store: &Store, address: &Address) -> Result<Self, Error> {
        let facts = store.look(READ, address)?;
        let facts = facts.ok_or_else(|| Error::NotFound {
            url: address.shown.clone(),
        })?;
        Ok(Self {
            store: store.clone(),
            address: address.clone(),
            facts,
            blocks: Mutex::default(),
        })
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.store.traffic()
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Source {
    fn size(&self) -> io::Result<u64> {
        Ok(self.facts.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.facts.size.saturating_sub(offset);
        if rest == 0 || buf.is_empty() {
            return Ok(0);
        }
        let asked = {
            let mut blocks = self.blocks();
            let count = blocks.copy(offset, buf);
            if count > 0 {
                return Ok(count);
            }
            blocks.ask(offset, buf.len() as u64).min(rest)
        };
        // Without the lock: another thread may read elsewhere meanwhile.
        let range = offset..offset + asked;
        let read = self.store.read(&self.address, &self.facts, range);
        let bytes = read
            .and_then(crate::store::Pending::wait)
            .map_err(Error::into_io)?;
        let mut blocks = self.blocks();
        blocks.keep(offset, bytes);
        Ok(blocks.copy(offset, buf))
    }

    fn name(&self) -> String {
        self.address.shown.clone()
    }
}
