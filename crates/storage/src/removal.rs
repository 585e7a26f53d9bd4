//! Removing archives that were judged, and nothing else (spec/retention.md, "Deleting").
//!
//! An archive goes before what is beside it, so a visible archive never lacks its descriptor; what was replaced since it
//! was listed stays.

use crate::address::{Address, Place};
use crate::error::Error;
use crate::listing::{Growing, Identity, Listed, Listing, Litter};
use crate::settings::Settings;
use crate::store::Store;

/// The verb of removing.
pub(crate) const REMOVE: &str = "remove";

/// Removes archives from one folder.
#[derive(Debug)]
pub struct Remover(Kind);

#[derive(Debug)]
enum Kind {
    Local,
    Remote(Store),
}

/// What was removed.
#[derive(Debug)]
pub struct Removed {
    /// Why a descriptor or signature of the archive stays behind, as litter.
    pub left: Option<Error>,
}

impl Remover {
    /// Opens the folder of `listing`, always in the primary region.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open(listing: &Listing, settings: &Settings) -> Result<Self, Error> {
        match &listing.folder {
            Place::Local(_) => Ok(Self(Kind::Local)),
            Place::Remote(address) => Ok(Self::in_store(&Store::open(address, settings)?)),
        }
    }

    /// In a store that is open.
    #[must_use]
    pub fn in_store(store: &Store) -> Self {
        Self(Kind::Remote(store.clone()))
    }

    /// Removes an archive, then what is beside it. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Changed`] when it is not the one that was listed; the store refuses. The archive and what is beside it
    /// are then as they were.
    pub fn archive(&self, listed: &Listed) -> Result<Removed, Error> {
        self.exactly(&listed.place, &listed.identity)?;
        let left = match &listed.document {
            Some((place, identity)) => self
                .beside(place, identity, listed.signature.as_ref())
                .err(),
            None => None,
        };
        Ok(Removed { left })
    }

    /// Removes a descriptor that has no archive, unless one has appeared.
    ///
    /// # Errors
    /// As [`Self::archive`].
    pub fn litter(&self, litter: &Litter) -> Result<(), Error> {
        for archive in &litter.archives {
            if self.look(archive)?.is_some() {
                return Err(Error::Changed {
                    url: litter.place.to_string(),
                });
            }
        }
        self.beside(&litter.place, &litter.identity, litter.signature.as_ref())
    }

    /// Removes what a killed run left of its archive, unless somebody wrote into it since it was listed.
    ///
    /// # Errors
    /// As [`Self::archive`].
    pub fn growing(&self, growing: &Growing) -> Result<(), Error> {
        self.exactly(&growing.place, &growing.identity)
    }

    /// The signature first: what stays when something goes wrong is then a descriptor, which says what it is.
    fn beside(
        &self,
        place: &Place,
        identity: &Identity,
        signature: Option<&Place>,
    ) -> Result<(), Error> {
        if let Some(signature) = signature {
            // A run that takes the name has replaced the descriptor first.
            if self.look(place)?.is_some_and(|found| found != *identity) {
                return Err(Error::Changed {
                    url: place.to_string(),
                });
            }
            if let Some(found) = self.look(signature)? {
                self.delete(signature, Some(&found))?;
            }
        }
        self.exactly(place, identity)
    }

    /// Removes an object or file in this state, and no other.
    pub(crate) fn exactly(&self, place: &Place, identity: &Identity) -> Result<(), Error> {
        match self.look(place)? {
            None => Ok(()),
            Some(found) if found == *identity => self.delete(place, Some(identity)),
            Some(_) => Err(Error::Changed {
                url: place.to_string(),
            }),
        }
    }

    fn look(&self, place: &Place) -> Result<Option<Identity>, Error> {
        match (&self.0, place) {
            (Kind::Remote(store), Place::Remote(address)) => store.identity(address),
            (_, Place::Local(path)) => crate::local::identity(path),
            (Kind::Local, Place::Remote(address)) => Err(elsewhere(address)),
        }
    }

    fn delete(&self, place: &Place, identity: Option<&Identity>) -> Result<(), Error> {
        let removed = match (&self.0, place) {
            (Kind::Remote(store), Place::Remote(address)) => store.delete(address, identity),
            (_, Place::Local(path)) => crate::local::remove(path),
            (Kind::Local, Place::Remote(address)) => Err(elsewhere(address)),
        };
        match removed {
            Err(Error::NotFound { .. }) => Ok(()),
            // A repeated request whose first answer was lost fails on its condition.
            Err(Error::Changed { .. }) if self.look(place)?.is_none() => Ok(()),
            other => other,
        }
    }
}

/// An archive is removed only where it was listed.
fn elsewhere(address: &Address) -> Error {
    Error::Unexpected {
        doing: REMOVE,
        url: address.shown.clone(),
        what: "it is not in the folder that was opened".to_owned(),
    }
}
