//! Archives at places: local files, Azure Blob Storage, S3.
//!
//! Owns the addresses that commands take ([`Place`]), the sink that an archive grows through until it appears under its
//! name ([`Destination`], [`Sink`]), the blocking [`lifeboat_archive::ReadAt`] over ranged reads ([`Source`]), the encryption
//! and signatures that protect an archive there ([`Protection`], [`Decrypted`], [`authenticate`]), and what is in a folder of
//! archives ([`Listing`]).
//! Knows nothing of what is in an archive but its descriptor, and prints nothing. Everything here blocks: the network
//! has a runtime of its own per store, so a caller needs none.
//!
//! The behaviour is specified in `spec/storage.md`.

mod address;
mod blocks;
mod client;
mod destination;
mod error;
mod listing;
mod local;
mod protect;
mod refusal;
mod region;
mod remote;
mod removal;
pub mod retention;
mod settings;
mod source;
mod store;
mod upload;
pub mod watch;

pub use address::{Address, Place};
pub use client::Traffic;
pub use destination::{Destination, Sink};
pub use error::Error;
pub use listing::{
    CLOCK_SKEW, Growing, LATEST, LIST, Listed, Listing, Litter, Standing, State, resolve,
};
pub use protect::{
    Decrypted, Identities, ProtectError, Protection, PublicKey, Recipients, SigningKey,
    authenticate,
};
pub use refusal::Refusal;
pub use region::{Region, Served};
pub use removal::{Removed, Remover};
pub use settings::Settings;
pub use source::{Notice, Source};
pub use store::Store;
