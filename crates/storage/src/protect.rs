//! Encryption with age and signatures with minisign (spec, "Encryption and signatures").
//!
//! Owns the keys of both, the end of a sink that encrypts, the [`lifeboat_archive::ReadAt`] that decrypts, and the proof that an
//! archive is the one whose descriptor was signed. Keys show in no message. Which files and passwords are meant is the
//! caller's business.

mod authentic;
mod decrypted;
mod encrypted;
mod error;
mod identities;
mod recipients;
mod signing;

pub use authentic::authenticate;
pub use decrypted::Decrypted;
pub use error::ProtectError;
pub use identities::Identities;
pub use recipients::Recipients;
pub use signing::{PublicKey, SigningKey};

pub(crate) use encrypted::Encrypted;

use crate::address::Place;
use crate::error::Error;

/// How a new archive is protected.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    /// To whom it is encrypted; to nobody when absent.
    pub recipients: Option<Recipients>,
    /// Who signs its descriptor; nobody when absent.
    pub signing_key: Option<SigningKey>,
}

impl Protection {
    /// Refuses a name that says something else of the archive than this, and one that a listing takes for something else;
    /// a folder has none yet.
    ///
    /// # Errors
    /// [`ProtectError::Name`], [`Error::NewName`].
    pub fn check(&self, place: &Place) -> Result<(), Error> {
        if place.is_folder() {
            return Ok(());
        }
        let name = place.to_string();
        if let Some(what) = crate::listing::other_than_complete(&name) {
            return Err(Error::NewName { place: name, what });
        }
        let encrypted = self.recipients.is_some();
        if name.ends_with(".age") == encrypted {
            return Ok(());
        }
        Err(ProtectError::Name {
            place: name,
            encrypted,
        }
        .into())
    }
}
