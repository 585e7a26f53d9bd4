//! Looking into archives, offline: no workspace and no network.
//!
//! Owns how an object in an archive is named by a person (workspace path, `jobs/123`, `dbfs:/...`, member path), and
//! the five questions of `lifeboat-inspect`: [`info`], [`ls`], [`cat`], [`extract`] and [`verify`] (spec/cli.md). How
//! members are found and proved belongs to `lifeboat-archive`; how records look, to `lifeboat-catalog`.
//!
//! An archive is input like any other: names in it are never used as paths outside the folder that the user named.

mod cat;
mod entries;
mod error;
mod extract;
mod info;
mod ledger;
mod ls;
mod place;
mod sample;
mod select;
mod verify;

pub use crate::cat::{Shown, cat};
pub use crate::entries::Entry;
pub use crate::error::Error;
pub use crate::extract::{Extracted, Skipped, extract};
pub use crate::info::{Info, info};
pub use crate::ledger::{LEDGER, ledger};
pub use crate::ls::{KindLine, Listed, kinds, ls};
pub use crate::sample::{Part, Sampled, verify_part};
pub use crate::verify::{Verification, verify};
