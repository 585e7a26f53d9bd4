//! What can go wrong while writing or reading an archive, as facts: path, frame, offset, expected, actual.

use std::io;

use crate::names::NameError;
use crate::version::{FORMAT_VERSION, FormatVersion};

/// A failure while writing. After one that concerns the sink, the spill file or a content, the writer refuses
/// everything else: the file behind it is not an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A path that the format does not allow.
    #[error("{path:?} cannot be the path of a member")]
    Name {
        /// The path as given.
        path: String,
        /// The rule that it breaks.
        #[source]
        source: NameError,
    },
    /// The path is taken.
    #[error("{path:?} is already in the archive")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// A path that is a file for one member and a folder for another.
    #[error("{path:?} would be both a file and a folder")]
    FileAndFolder {
        /// The path that is both.
        path: String,
    },
    /// Payload after the first tag file: the payload manifest is already written.
    #[error("{path:?} is payload, and the payload is closed since the first tag file")]
    PayloadClosed {
        /// The path.
        path: String,
    },
    /// A tag file that the writer makes itself, or a part of a table that is not written as one.
    #[error("{path:?} is written by the archive writer itself")]
    Reserved {
        /// The path.
        path: String,
    },
    /// A content that is longer or shorter than its stated size.
    #[error("the content of {path:?} has {actual} bytes, not {expected}")]
    Size {
        /// The member.
        path: String,
        /// The stated size in bytes.
        expected: u64,
        /// The bytes found; when longer, at least this many.
        actual: u64,
    },
    /// A content could not be read.
    #[error("cannot read the content of {path:?}")]
    Content {
        /// The member.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A table line that is not one line.
    #[error("a line of table {table:?} holds a line break")]
    Line {
        /// The table.
        table: String,
    },
    /// The sink refused bytes.
    #[error("cannot write the archive at byte {offset}")]
    Sink {
        /// Offset in the stored file.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The temporary file of the index could not be written or read back.
    #[error("cannot use the temporary file of the index")]
    Spill {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A frame could not be compressed.
    #[error("cannot compress frame {frame}")]
    Compress {
        /// Number of the frame, from 0.
        frame: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit of the format.
    #[error("the archive would have more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most that the format allows.
        limit: u64,
    },
    /// A document of the format could not be serialised.
    #[error("cannot serialise {path:?}")]
    Json {
        /// The member.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An earlier call failed.
    #[error("an earlier failure broke this archive")]
    Broken,
}

/// A place in an archive and what is wrong there.
///
/// `path` is relative to the top folder. `offset` counts bytes of the stored file (of the file on disk for an
/// unpacked bag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The member, when it is known.
    pub path: Option<String>,
    /// Number of the frame, from 0; none in an unpacked bag.
    pub frame: Option<u64>,
    /// Offset of the frame (or of the seek table) in the stored file.
    pub offset: Option<u64>,
    /// What is wrong, a lowercase phrase.
    pub what: String,
    /// What should be there, such as a digest or a size.
    pub expected: Option<String>,
    /// What is there.
    pub actual: Option<String>,
}

impl Damage {
    /// Damage that has no place yet.
    pub(crate) fn new(what: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            path: None,
            frame: None,
            offset: None,
            what: what.into(),
            expected: None,
            actual: None,
        })
    }

    pub(crate) fn at_path(mut self: Box<Self>, path: impl Into<String>) -> Box<Self> {
        self.path = Some(path.into());
        self
    }

    pub(crate) fn at_frame(mut self: Box<Self>, frame: u64, offset: u64) -> Box<Self> {
        self.frame = Some(frame);
        self.offset = Some(offset);
        self
    }

    pub(crate) fn at_offset(mut self: Box<Self>, offset: u64) -> Box<Self> {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn values(
        mut self: Box<Self>,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Box<Self> {
        self.expected = Some(expected.to_string());
        self.actual = Some(actual.to_string());
        self
    }
}

impl From<Box<Damage>> for Damage {
    fn from(damage: Box<Damage>) -> Self {
        *damage
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if let Some(path) = &self.path {
            write!(f, ", path {path:?}")?;
        }
        if let Some(frame) = self.frame {
            write!(f, ", frame {frame}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        if let Some(actual) = &self.actual {
            write!(f, ", found {actual}")?;
        }
        Ok(())
    }
}

/// A failure while reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Something else than an archive.
    #[error("{name} is not a Lifeboat archive: {reason}")]
    NotAnArchive {
        /// The file.
        name: String,
        /// What was found instead.
        reason: String,
    },
    /// An encrypted file: an archive may be in it.
    #[error("{name} is encrypted with age")]
    Encrypted {
        /// The file.
        name: String,
    },
    /// An archive of a later major version.
    #[error("{name} has format version {found}, this build reads up to {FORMAT_VERSION}; a build for version {}.0 or later is needed", found.major)]
    UnsupportedVersion {
        /// The file.
        name: String,
        /// The version of the archive.
        found: FormatVersion,
    },
    /// The file ends before its seek table.
    #[error("{name} is truncated at byte {at}")]
    Truncated {
        /// The file.
        name: String,
        /// The length of what is there, in bytes.
        at: u64,
    },
    /// The archive contradicts itself or its digests.
    #[error("{name} is damaged: {damage}")]
    Damaged {
        /// The file.
        name: String,
        /// The place.
        damage: Box<Damage>,
    },
    /// The source could not be read.
    #[error("cannot read {name} at byte {offset}")]
    Io {
        /// The file.
        name: String,
        /// Offset in the stored file.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The member is too large to be held in memory.
    #[error(
        "{path:?} has {size} bytes, more than the {limit} that are read into memory; use `copy`"
    )]
    TooLarge {
        /// The member.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The most that `read` takes.
        limit: u64,
    },
    /// The receiver of a content refused bytes.
    #[error("cannot write out {path:?}")]
    Output {
        /// The member.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The temporary file that verification sorts in could not be used.
    #[error("cannot use the temporary file of the verification")]
    Spill {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// The archive is cut short or contradicts itself.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Damaged { .. })
    }

    /// Something else than an archive, or of a version that this build cannot read.
    pub fn is_not_archive(&self) -> bool {
        matches!(
            self,
            Self::NotAnArchive { .. } | Self::Encrypted { .. } | Self::UnsupportedVersion { .. }
        )
    }

    pub(crate) fn damaged(name: &str, damage: Box<Damage>) -> Self {
        Self::Damaged {
            name: name.to_owned(),
            damage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let damage = Damage::new("the content does not have its digest")
            .at_path("data/a")
            .at_frame(3, 4_096)
            .values("aa", "bb");
        let error = ReadError::damaged("x.tar.zst", damage);
        assert_eq!(
            error.to_string(),
            "x.tar.zst is damaged: the content does not have its digest, path \"data/a\", frame 3, byte 4096, \
             expected aa, found bb"
        );
        assert!(error.is_damage() && !error.is_not_archive());
        let error = ReadError::Truncated {
            name: "x.tar.zst".to_owned(),
            at: 7,
        };
        assert_eq!(error.to_string(), "x.tar.zst is truncated at byte 7");
        let error = ReadError::UnsupportedVersion {
            name: "x.tar.zst".to_owned(),
            found: FormatVersion { major: 2, minor: 3 },
        };
        assert_eq!(
            error.to_string(),
            "x.tar.zst has format version 2.3, this build reads up to 0.9; a build for version 2.0 or later is needed"
        );
        assert!(!error.is_damage() && error.is_not_archive());
    }
}
