//! Everything that ends a command, in one type; its exit code and its hints are decided here and nowhere else.

mod hints;

use std::io;
use std::path::PathBuf;

use lifeboat_archive::ReadError;
use lifeboat_databricks::{ConfigError, LimitsError};

use crate::exit::Exit;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot find out which workspace is meant and who asks")]
    Config(#[from] ConfigError),
    #[error("cannot reach {host}")]
    Client {
        host: String,
        #[source]
        source: lifeboat_databricks::Error,
    },
    #[error("cannot get a token for {host}")]
    Token {
        host: String,
        #[source]
        source: lifeboat_databricks::Error,
    },
    #[error("cannot read the limits file {path}")]
    LimitsFile {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the limits file {path} cannot be used")]
    Limits {
        path: String,
        #[source]
        source: LimitsError,
    },
    #[error("the fleet file {} cannot be used", path.display())]
    Fleet {
        path: PathBuf,
        problems: Vec<String>,
    },
    #[error("cannot open the archive {archive}")]
    Open {
        archive: String,
        #[source]
        source: ReadError,
    },
    #[error("--workspace says which archive FOLDER/latest is, and {archive} is one archive")]
    NotLatest { archive: String },
    #[error("cannot read {archive}")]
    Read {
        archive: String,
        #[source]
        source: io::Error,
    },
    #[error("{} is no metrics file of Lifeboat and is not replaced", path.display())]
    NotMetrics { path: PathBuf },
    #[error("these rules keep no archive")]
    KeepsNothing,
    #[error("without a terminal it has to be said whether to delete")]
    Unattended,
    #[error(transparent)]
    Storage(#[from] lifeboat_storage::Error),
    #[error("a run that signs cannot take over from this base")]
    BaseNotSigned { source: lifeboat_storage::Error },
    #[error(transparent)]
    Inspect(#[from] lifeboat_inspect::Error),
    #[error("the archive {archive} is damaged in {}, the first: {first}", lifeboat_console::counted(*places, "place"))]
    Damaged {
        archive: String,
        places: u64,
        first: String,
    },
    #[error(transparent)]
    Export(#[from] lifeboat_export::Error),
    #[error(transparent)]
    Import(#[from] lifeboat_import::Error),
    #[error("SOURCE_DATE_EPOCH is {value:?}, which is no number of seconds since 1970")]
    Epoch { value: String },
    #[error("values of secrets go into no archive that is not encrypted")]
    SecretValues,
    #[error("{typed:?} is not the host of the target, {host}")]
    NotConfirmed { typed: String, host: String },
    #[error("the answer cannot be read from the terminal")]
    Answer {
        #[source]
        source: io::Error,
    },
    #[error("the simulated workspace does not start")]
    Simulator(#[source] lifeboat_sim::Error),
    #[error("{what}")]
    Demo { what: String },
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Output {
        #[source]
        source: io::Error,
    },
    #[error("cannot start")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error("a worker ended unexpectedly: {what}")]
    Panicked { what: String },
    /// A signal ended work that the same command goes on with.
    #[error("{} by a signal", if *exit == Exit::Terminated { "terminated" } else { "interrupted" })]
    Stopped { exit: Exit },
    #[error("interrupted")]
    Interrupted,
    #[error("terminated")]
    Terminated,
}

impl From<lifeboat_storage::ProtectError> for Failure {
    fn from(error: lifeboat_storage::ProtectError) -> Self {
        Self::Storage(error.into())
    }
}

impl Failure {
    /// The exit code (spec/exit-codes.md).
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => of_config(error),
            Self::Client { .. } | Self::Token { .. } => Exit::Refused,
            Self::LimitsFile { .. }
            | Self::Limits { .. }
            | Self::Epoch { .. }
            | Self::NotLatest { .. }
            | Self::KeepsNothing
            | Self::Unattended
            | Self::Fleet { .. } => Exit::Usage,
            Self::Storage(error) | Self::BaseNotSigned { source: error } => {
                Exit::of(error.exit_code())
            }
            Self::Open { source, .. } => of_read(source),
            Self::Read { source, .. } => of_storage(source),
            Self::Inspect(error) => of_inspect(error),
            Self::Damaged { .. } => Exit::Damaged,
            Self::Export(error) => of_export(error),
            Self::Import(error) => of_import(error),
            Self::NotConfirmed { .. } | Self::NotMetrics { .. } | Self::SecretValues => {
                Exit::Safety
            }
            Self::Stopped { exit } => *exit,
            Self::Interrupted => Exit::Interrupted,
            Self::Terminated => Exit::Terminated,
            Self::Answer { .. }
            | Self::Simulator(_)
            | Self::Demo { .. }
            | Self::File { .. }
            | Self::Output { .. }
            | Self::Runtime { .. }
            | Self::Panicked { .. } => Exit::Failed,
        }
    }

    /// What the user can do about it.
    pub(crate) fn hints(&self) -> Vec<String> {
        hints::of(self)
    }

    /// The reader of standard output has gone away.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Inspect(lifeboat_inspect::Error::Output { source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What the operator wrote contradicts itself; else there is nobody who could be let in.
fn of_config(error: &ConfigError) -> Exit {
    match error {
        ConfigError::Conflict { .. }
        | ConfigError::Unsupported { .. }
        | ConfigError::BadValue { .. } => Exit::Usage,
        _ => Exit::Refused,
    }
}

fn of_read(error: &ReadError) -> Exit {
    if error.is_damage() {
        Exit::Damaged
    } else if error.is_not_archive() {
        Exit::NotArchive
    } else {
        of_storage(error)
    }
}

/// What a store reported on the way of an error, if one did.
fn of_storage(error: &(dyn std::error::Error + 'static)) -> Exit {
    first_storage(error).map_or(Exit::Failed, |error| Exit::of(error.exit_code()))
}

/// The storage error in a chain: reader and writer of archives hand it on within an error of the system.
fn first_storage<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e lifeboat_storage::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error
            .downcast_ref()
            .and_then(lifeboat_storage::Error::inside);
        if let Some(found) = error.downcast_ref().or(inside) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn of_inspect(error: &lifeboat_inspect::Error) -> Exit {
    if error.is_damage() {
        Exit::Damaged
    } else if error.is_not_archive() {
        Exit::NotArchive
    } else if matches!(error, lifeboat_inspect::Error::Pattern { .. }) {
        Exit::Usage
    } else {
        of_storage(error)
    }
}

fn of_export(error: &lifeboat_export::Error) -> Exit {
    use lifeboat_export::Error;
    match error {
        Error::Identity { source, .. } if is_wrong_door(source) => Exit::Refused,
        Error::Write(error) => of_storage(error),
        Error::Base { source, .. } => of_read(source),
        other => Exit::of(other.exit_code()),
    }
}

fn of_import(error: &lifeboat_import::Error) -> Exit {
    use lifeboat_import::Error;
    match error {
        Error::Refused { .. } | Error::Map { .. } => Exit::Safety,
        Error::Selection { .. } | Error::MapFile { .. } => Exit::Usage,
        Error::Stopped {
            credentials: true, ..
        }
        | Error::Switch {
            credentials: true, ..
        } => Exit::Refused,
        Error::Service { source, .. } if is_wrong_door(source) => Exit::Refused,
        Error::Archive { source, .. } => of_read(source),
        other if other.is_damage() => Exit::Damaged,
        _ => Exit::Failed,
    }
}

/// The call that asks who is calling fails like this when the host is not the workspace, or does not let the caller in:
/// everything but a service that is there and has a bad moment.
fn is_wrong_door(error: &lifeboat_databricks::Error) -> bool {
    let bad_moment = error.is_throttled() || error.status().is_some_and(|status| status >= 500);
    error.is_auth() || error.is_refused() || !bad_moment
}
