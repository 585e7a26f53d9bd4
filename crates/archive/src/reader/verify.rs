//! Verification of a whole archive (spec, "Verification").
//!
//! Two passes. The first reads the file from front to back once: one thread decodes frames, the other walks the tar
//! and hashes. The second compares what was found with the manifests and the index, all sorted by path, so that
//! memory stays bounded.

mod compare;
mod scan;
mod stated;

use std::collections::BTreeMap;

use super::{Archive, Store};
use crate::digest::Digest;
use crate::error::{Damage, ReadError};
use crate::sort::Sorted;

/// Damages that a report lists; more are only counted.
pub const MAX_DAMAGE: usize = 10_000;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Members found, whatever their state.
    pub members: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Frames of the file; 0 for an unpacked bag.
    pub frames: u64,
    /// Members that agree with their manifest and with the index.
    pub intact: u64,
    /// What is wrong, at most [`MAX_DAMAGE`] of it.
    pub damage: Vec<Damage>,
    /// How much is wrong, listed or not.
    pub damaged: u64,
}

impl VerifyReport {
    /// Nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.damaged == 0
    }

    fn add(&mut self, damage: impl Into<Damage>) {
        self.damaged += 1;
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage.into());
        }
    }
}

/// What the first pass found.
struct Found {
    report: VerifyReport,
    /// Members with the digests of what is really there.
    members: Sorted,
    /// Payload members and their bytes.
    payload: (u64, u64),
    /// Frames that could not be decoded, by the start of their range in the stream.
    bad: BTreeMap<u64, BadFrame>,
    /// Digest of the stored file up to the last frame, and its length.
    stored: Option<(u64, Digest)>,
}

struct BadFrame {
    /// End of its range in the stream.
    end: u64,
    damage: Box<Damage>,
    /// A path was reported with it.
    reported: bool,
}

/// Checks every byte of `archive`.
pub(super) fn verify(
    archive: &Archive,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, ReadError> {
    let found = match &archive.store {
        Store::Packed(packed) => scan::packed(packed, progress)?,
        Store::Folder(folder) => scan::folder(folder, archive.payload().1, progress)?,
    };
    compare::compare(archive, found)
}

fn spill(source: std::io::Error) -> ReadError {
    ReadError::Spill { source }
}
