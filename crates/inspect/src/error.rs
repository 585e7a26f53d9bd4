//! What can go wrong while looking into an archive.

use std::path::PathBuf;

use lifeboat_archive::ReadError;

/// Why a question about an archive has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive itself cannot be read.
    #[error("cannot read the archive")]
    Archive {
        /// Where and why.
        #[source]
        source: ReadError,
    },
    /// A record does not look as spec/records.md says, or disagrees with the member that it names.
    #[error("the record {record} is damaged: {what}")]
    Record {
        /// Member path, or table and line.
        record: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing in the archive bears that name.
    #[error("{what} is not in the archive")]
    NotFound {
        /// The name as it was given.
        what: String,
    },
    /// The object was listed, and the ledger says why it is not in the archive.
    #[error("{what} is not in the archive: {fate}{}{message}", if message.is_empty() { "" } else { ": " })]
    NotCaptured {
        /// The name as it was given.
        what: String,
        /// The fate, as in the ledger: `failed`.
        fate: String,
        /// The reason.
        message: String,
    },
    /// More than one object bears that name.
    #[error("{what} names {count} objects of the archive")]
    Ambiguous {
        /// The name as it was given.
        what: String,
        /// How many objects bear it.
        count: usize,
    },
    /// The object is a folder, or of a type whose content is not captured.
    #[error("{path} has no content in the archive: it is of type {object_type}")]
    NoContent {
        /// Path of the object.
        path: String,
        /// Type in the words of the service.
        object_type: String,
    },
    /// The pattern is not a glob.
    #[error("{pattern} is not a pattern that can be matched")]
    Pattern {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
    /// A file or folder of the destination cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of that name is there already; it is never overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Something that is no folder stands where a folder is needed: a link would lead outside the destination.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What stands in the way.
        path: PathBuf,
    },
    /// The reader of the output has failed.
    #[error("cannot hand on the content of {path}")]
    Output {
        /// Path of the object.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The archive is damaged, as opposed to unreadable or to a wrong question.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Archive { source } => source.is_damage(),
            Self::Record { .. } => true,
            _ => false,
        }
    }

    /// The file is no archive, or of a version that this build cannot read.
    pub fn is_not_archive(&self) -> bool {
        matches!(self, Self::Archive { source } if source.is_not_archive())
    }
}

impl From<ReadError> for Error {
    fn from(source: ReadError) -> Self {
        Self::Archive { source }
    }
}
