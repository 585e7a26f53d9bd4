//! Why a run ended without an archive, and why it asked no further.

use lifeboat_archive::{ReadError, WriteError};
use thiserror::Error;

use lifeboat_catalog::selection::SelectionError;

/// Why the service is not asked any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The service takes the credentials no longer.
    CredentialsLost {
        /// What the service or the client said.
        message: String,
    },
    /// Many calls in a row did not reach the service.
    NetworkLost {
        /// How many in a row.
        failures: u32,
        /// What the last one said.
        message: String,
    },
    /// The run was cancelled, and what it has is kept.
    Interrupted,
}

impl Stop {
    /// Exit code of a run that ended so (`spec/exit-codes.md`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CredentialsLost { .. } => 12,
            Self::NetworkLost { .. } => 1,
            Self::Interrupted => 130,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CredentialsLost { message } => {
                write!(f, "the credentials are no longer accepted: {message}")
            }
            Self::NetworkLost { failures, message } => {
                write!(
                    f,
                    "{failures} calls in a row did not reach the service: {message}"
                )
            }
            Self::Interrupted => f.write_str("the run was interrupted"),
        }
    }
}

/// Why there is no archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A glob, kind or path among the options cannot be used.
    #[error("the selection cannot be used")]
    Selection(#[source] SelectionError),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The service did not say who is calling.
    #[error("cannot read the caller's identity from {host}")]
    Identity {
        /// Host of the workspace.
        host: String,
        /// What the client reports.
        #[source]
        source: Box<lifeboat_databricks::Error>,
    },
    /// The service was lost before anything useful was read.
    #[error("nothing was captured: {stop}")]
    Stopped {
        /// Why.
        stop: Stop,
    },
    /// The base is an archive of another workspace, or does not say of which.
    #[error("the base {archive} is of workspace {found:?}, not of {expected:?}")]
    BaseOfAnother {
        /// The base.
        archive: String,
        /// Id of the workspace that it is of.
        found: String,
        /// Id of the workspace that is exported.
        expected: String,
    },
    /// The base, or what it says of its contents, cannot be read.
    #[error("the base {archive} cannot be used")]
    Base {
        /// The base.
        archive: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A record of the base cannot be understood.
    #[error("the base {archive} has a line in its table {table} that cannot be understood")]
    BaseRecord {
        /// The base.
        archive: String,
        /// The table.
        table: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// The thread that reads the base ended.
    #[error("the reader of the base ended early: {what}")]
    BaseReader {
        /// What is known about it.
        what: String,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[source] WriteError),
    /// The thread that writes the archive ended without a result.
    #[error("the archive writer ended early: {what}")]
    Writer {
        /// What is known about it.
        what: String,
    },
    /// A temporary file could not be written or read.
    #[error("cannot use a temporary file in {dir}")]
    Temporary {
        /// The folder.
        dir: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Something of ours could not be turned into JSON.
    #[error("cannot serialise {what}")]
    Serialise {
        /// What it is.
        what: &'static str,
        /// What the serialiser says.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Exit code of a run that ended so (`spec/exit-codes.md`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Selection(_) => 2,
            Self::Cancelled => 130,
            Self::Identity { source, .. } if source.is_auth() || source.is_refused() => 12,
            Self::Stopped { stop } => stop.exit_code(),
            Self::BaseOfAnother { .. } => 14,
            Self::BaseRecord { .. } => 11,
            Self::Base { source, .. } if source.is_damage() => 11,
            Self::Base { source, .. } if source.is_not_archive() => 10,
            _ => 1,
        }
    }

    pub(crate) fn temporary(source: std::io::Error) -> Self {
        Self::Temporary {
            dir: std::env::temp_dir().display().to_string(),
            source,
        }
    }
}
