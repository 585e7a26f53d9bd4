//! Reading an archive in a store by ranges, from the primary region or from its copy (spec, "Reading").

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lifeboat_archive::ReadAt;

use crate::address::Address;
use crate::blocks::Blocks;
use crate::client::Traffic;
use crate::error::{Error, READ};
use crate::region::{Region, Served};
use crate::settings::Settings;
use crate::store::{Facts, Pending, Store};

/// Hears which region serves when it begins to.
pub type Notice = dyn Fn(&Served) + Send + Sync;

/// An object of a store, read at offsets. All reads are of the state that was found when it was opened.
pub struct Source {
    address: Address,
    facts: Facts,
    blocks: Mutex<Blocks>,
    regions: Mutex<Regions>,
    notice: Box<Notice>,
}

/// Where the object can be read.
struct Regions {
    now: (Region, Store),
    /// The copy that is asked when the primary region is away.
    next: Option<Store>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("address", &self.address)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens the object at `address` with one request for its length. When the primary region does not answer, the
    /// secondary one is asked, now and later; with `Region::Secondary` it alone. `notice` hears which one serves.
    ///
    /// # Errors
    /// There is no such object or container, the store refuses, or no region answers (the error is then that of the
    /// primary one).
    pub fn open(
        address: &Address,
        settings: &Settings,
        region: Region,
        notice: Box<Notice>,
    ) -> Result<Self, Error> {
        let copy = Store::open_in(address, settings, Region::Secondary)?;
        let regions = match (region, copy) {
            (Region::Secondary, Some(copy)) => Regions {
                now: (Region::Secondary, copy),
                next: None,
            },
            (Region::Secondary, None) => {
                return Err(Error::NoSecondary {
                    url: address.shown.clone(),
                });
            }
            (Region::Primary, copy) => {
                let store = Store::open_with_copy(address, settings, copy.is_some())?;
                Regions {
                    now: (Region::Primary, store),
                    next: copy,
                }
            }
        };
        Self::look(address, regions, notice)
    }

    /// The same in a store that is open.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn in_store(store: &Store, address: &Address) -> Result<Self, Error> {
        let regions = Regions {
            now: (Region::Primary, store.clone()),
            next: None,
        };
        Self::look(address, regions, Box::new(|_| {}))
    }

    fn look(address: &Address, mut regions: Regions, notice: Box<Notice>) -> Result<Self, Error> {
        let (region, store) = &regions.now;
        let facts = if *region == Region::Secondary {
            Self::look_in_copy(address, store, None, &notice)?
        } else {
            match (store.look(READ, address), regions.next.take()) {
                (Ok(Some(facts)), next) => {
                    regions.next = next;
                    notice(&served_by_primary(store));
                    facts
                }
                (Ok(None), _) => {
                    return Err(Error::NotFound {
                        url: address.shown.clone(),
                    });
                }
                (Err(error), Some(copy)) if error.is_outage() => {
                    let facts = Self::look_in_copy(address, &copy, Some(error), &notice)?;
                    regions.now = (Region::Secondary, copy);
                    facts
                }
                (Err(error), _) => return Err(error),
            }
        };
        Ok(Self {
            address: address.clone(),
            facts,
            blocks: Mutex::default(),
            regions: Mutex::new(regions),
            notice,
        })
    }

    /// Looks at the copy, `instead_of` the primary region that failed so.
    fn look_in_copy(
        address: &Address,
        copy: &Store,
        instead_of: Option<Error>,
        notice: &Notice,
    ) -> Result<Facts, Error> {
        match (copy.look(READ, address), instead_of) {
            (Ok(Some(facts)), instead_of) => {
                notice(&served_by_copy(address, copy, instead_of));
                Ok(facts)
            }
            (Ok(None), _) => Err(Error::NotInSecondary {
                url: address.shown.clone(),
                last_sync: copy.last_sync(address).map_err(Box::new),
            }),
            // An account without a copy has no such host; what the primary region said is what matters.
            (Err(_), Some(primary)) => Err(primary),
            (Err(error), None) => Err(error),
        }
    }

    /// What was sent to and received from the region that is read now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.regions().now.1.traffic()
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn regions(&self) -> MutexGuard<'_, Regions> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let (region, store) = self.regions().now.clone();
        let read = |store: &Store| {
            store
                .read(&self.address, &self.facts, range.clone())
                .and_then(Pending::wait)
        };
        let error = match read(&store) {
            Err(error) if region == Region::Primary && error.is_outage() => error,
            result => return result,
        };
        let copy = {
            let regions = self.regions();
            match &regions.next {
                Some(copy) => copy.clone(),
                // Another thread has changed over meanwhile.
                None if regions.now.0 == Region::Secondary => regions.now.1.clone(),
                None => return Err(error),
            }
        };
        match read(&copy) {
            Ok(bytes) => {
                if self.change_over(&copy) {
                    (self.notice)(&served_by_copy(&self.address, &copy, Some(error)));
                }
                Ok(bytes)
            }
            Err(of_copy) if of_copy.is_outage() => Err(error),
            Err(of_copy) => Err(of_copy),
        }
    }

    /// Reads from the copy from here on, which has served a first read. Only one of several threads is the first.
    fn change_over(&self, copy: &Store) -> bool {
        let mut regions = self.regions();
        let first = regions.next.take().is_some();
        if first {
            regions.now = (Region::Secondary, copy.clone());
        }
        first
    }
}

/// What is told of the primary region that serves.
pub(crate) fn served_by_primary(store: &Store) -> Served {
    Served {
        region: Region::Primary,
        host: store.host().unwrap_or_default().to_owned(),
        last_sync: None,
        instead_of: None,
    }
}

/// What is told of the copy that serves.
pub(crate) fn served_by_copy(address: &Address, copy: &Store, instead_of: Option<Error>) -> Served {
    Served {
        region: Region::Secondary,
        host: copy.host().unwrap_or_default().to_owned(),
        last_sync: Some(copy.last_sync(address)),
        instead_of,
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
        let bytes = self.range(offset..offset + asked).map_err(Error::into_io)?;
        let mut blocks = self.blocks();
        blocks.keep(offset, bytes);
        Ok(blocks.copy(offset, buf))
    }

    fn name(&self) -> String {
        self.address.shown.clone()
    }
}
