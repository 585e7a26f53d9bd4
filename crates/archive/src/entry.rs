//! One line of the index: a member and where its content is.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A member of the archive.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Path below the top folder, with `/` between components.
    pub path: String,
    /// Offset of the content in the uncompressed stream.
    pub offset: u64,
    /// Size of the content in bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Digest,
}

impl Member {
    /// About the memory that the member takes.
    pub(crate) fn weight(&self) -> usize {
        self.path.len() + size_of::<Self>() + 16
    }

    /// Appends the form used in temporary files.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        // A path is at most 65,535 bytes.
        out.extend_from_slice(&(self.path.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(self.sha256.as_bytes());
        out.extend_from_slice(self.path.as_bytes());
    }

    /// Reads that form.
    pub(crate) fn decode(from: &mut impl Read) -> io::Result<Self> {
        let mut fixed = [0u8; 52];
        from.read_exact(&mut fixed)?;
        let number = |at: usize, len: usize| {
            let mut bytes = [0u8; 8];
            bytes[..len].copy_from_slice(&fixed[at..at + len]);
            u64::from_le_bytes(bytes)
        };
        let mut digest = [0u8; 32];
        digest.copy_from_slice(&fixed[20..]);
        let mut path = vec![0; number(0, 4) as usize];
        from.read_exact(&mut path)?;
        Ok(Self {
            path: String::from_utf8(path).map_err(io::Error::other)?,
            offset: number(4, 8),
            size: number(12, 8),
            sha256: Digest::from_bytes(digest),
        })
    }
}
