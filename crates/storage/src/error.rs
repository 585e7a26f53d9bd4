//! Why a place cannot be read or written. Every message names the place without what is secret in it.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use lifeboat_archive::DescriptorError;
use thiserror::Error;

use crate::client::{Trouble, What};
use crate::protect::ProtectError;
use crate::refusal::Refusal;
use crate::removal::REMOVE;

/// Why a place cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no place.
    #[error("{url} is no place for an archive: {what}")]
    Address {
        /// The text, without its query.
        url: String,
        /// What is wrong with it, and what to write instead.
        what: &'static str,
    },
    /// Neither the address nor the settings name the storage account.
    #[error("{url} names no storage account")]
    NoAccount {
        /// The address.
        url: String,
    },
    /// Credentials or options cannot be used.
    #[error("the settings for {url} cannot be used: {what}")]
    Settings {
        /// The address.
        url: String,
        /// What is wrong, without values.
        what: String,
    },
    /// An object or file of that name is there; it is never replaced.
    #[error("{place} exists and is not replaced")]
    Exists {
        /// The path or URL.
        place: String,
    },
    /// A new archive would not be found again under that name.
    #[error("{place} is no name for a new archive: {what}")]
    NewName {
        /// The path or URL.
        place: String,
        /// What a listing takes it for.
        what: &'static str,
    },
    /// The place names no file, where a file is needed.
    #[error("{to:?} does not name a file, nor a folder ending in a slash")]
    NoName {
        /// The place as given.
        to: String,
    },
    /// There is no such object.
    #[error("{url} does not exist")]
    NotFound {
        /// The address.
        url: String,
    },
    /// There is no such object in the secondary region, which may be behind.
    #[error("{url} does not exist in the secondary region{}", synced(last_sync))]
    NotInSecondary {
        /// The address.
        url: String,
        /// Up to when the secondary region has everything, or why it does not say so.
        last_sync: Result<Timestamp, Box<Error>>,
    },
    /// No archive of a folder can stand for `latest`.
    #[error("{place} has no latest archive: {what}")]
    NoLatest {
        /// The folder.
        place: String,
        /// What is there instead.
        what: String,
    },
    /// Several workspaces have archives in a folder.
    #[error("{place} has archives of several workspaces: {}", workspaces.join(", "))]
    ManyWorkspaces {
        /// The folder.
        place: String,
        /// Their ids.
        workspaces: Vec<String>,
    },
    /// No secondary region of the account is known.
    #[error("{url} has no secondary region that could be read")]
    NoSecondary {
        /// The address.
        url: String,
    },
    /// There is no such container or bucket.
    #[error("cannot {doing} {url}: there is no container {container}")]
    NoContainer {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// Its name.
        container: String,
    },
    /// The store does not let this caller do it.
    #[error("not allowed to {doing} {url}: {refusal}")]
    Refused {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// What the store said.
        refusal: Box<Refusal>,
        /// The moment at which the shared access signature that was used expires.
        signature_until: Option<String>,
    },
    /// No token for the store could be had.
    #[error("no credentials for {url}: {what}")]
    Credentials {
        /// The address.
        url: String,
        /// Who gave none, and why.
        what: String,
    },
    /// The store asks for less, and still did when the tries were used up.
    #[error("cannot {doing} {url}: the store is busy: {refusal}")]
    Throttled {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// What the store said.
        refusal: Box<Refusal>,
    },
    /// The object is not the one that was opened.
    #[error("{url} was changed meanwhile")]
    Changed {
        /// The address.
        url: String,
    },
    /// No whole reply came, however often it was tried.
    #[error("cannot {doing} {url}: {host} does not answer: {cause}")]
    Unreachable {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// The host that was asked.
        host: String,
        /// What the system says.
        cause: String,
    },
    /// Any other refusal.
    #[error("cannot {doing} {url}: {refusal}")]
    Service {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// What the store said.
        refusal: Box<Refusal>,
    },
    /// A reply that cannot be understood, or a failure without one.
    #[error("cannot {doing} {url}: {what}")]
    Unexpected {
        /// What was tried: a verb.
        doing: &'static str,
        /// The address.
        url: String,
        /// What is known about it.
        what: String,
    },
    /// The upload was given up before it was complete.
    #[error("the upload to {url} was given up")]
    GivenUp {
        /// The address.
        url: String,
    },
    /// The archive is larger than a store takes in parts.
    #[error("{url} is too large: a store takes no more than {parts} parts")]
    TooLarge {
        /// The address.
        url: String,
        /// The most that it takes.
        parts: usize,
    },
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried: a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No runtime for the network could be had.
    #[error("cannot start the network")]
    Runtime(#[source] io::Error),
    /// The descriptor cannot be written as JSON.
    #[error("cannot serialise the descriptor")]
    Descriptor(#[source] DescriptorError),
    /// A key, a ciphertext or a signature.
    #[error(transparent)]
    Protect(#[from] ProtectError),
}

impl Error {
    /// Exit code of a command that ended so (`spec/exit-codes.md`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. }
            | Self::NewName { .. }
            | Self::NoName { .. }
            | Self::NoAccount { .. }
            | Self::NoSecondary { .. }
            | Self::ManyWorkspaces { .. } => 2,
            Self::Exists { .. } => 14,
            Self::Settings { .. }
            | Self::NoContainer { .. }
            | Self::Refused { .. }
            | Self::Credentials { .. } => 12,
            Self::Protect(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// Whether the store itself is away or has a bad moment, so that its copy may be asked instead.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Throttled { .. } => true,
            Self::Service { refusal, .. } => refusal.status >= 500,
            _ => false,
        }
    }

    /// Whether the store has refused, so that it does not do later what it was asked for.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::Service { refusal, .. } => refusal.status < 500,
            Self::Unreachable { .. } | Self::Throttled { .. } | Self::Unexpected { .. } => false,
            _ => true,
        }
    }

    /// The storage error inside an error of the system, as the archive's reader and writer hand it on.
    #[must_use]
    pub fn inside(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The storage error inside an error of the system; without one, what was tried where.
    pub(crate) fn from_io(error: io::Error, doing: &'static str, path: PathBuf) -> Self {
        match error.downcast() {
            Ok(inside) => inside,
            Err(source) => Self::Io {
                doing,
                path,
                source,
            },
        }
    }

    /// As an error of the system, from which [`Self::inside`] takes it out again.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::NotFound { .. } | Self::NoContainer { .. } => io::ErrorKind::NotFound,
            Self::Refused { .. } | Self::Credentials { .. } => io::ErrorKind::PermissionDenied,
            Self::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

fn synced(last_sync: &Result<Timestamp, Box<Error>>) -> String {
    match last_sync {
        Ok(time) => {
            format!(", which has everything up to {time} and may lack what was written later")
        }
        Err(error) => format!(", which does not say how far behind it is: {error}"),
    }
}

/// What was tried and where.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) doing: &'static str,
    pub(crate) url: String,
    pub(crate) container: String,
    /// Host of the store, with a port that is not the usual one, to tell it from token endpoints; none for a store without
    /// network.
    pub(crate) host: Option<String>,
    pub(crate) signature_until: Option<String>,
}

impl Attempt {
    /// Turns what `object_store` reports, and what was noted on the way, into one of ours.
    pub(crate) fn failed(self, error: &object_store::Error, trouble: Option<Trouble>) -> Error {
        let Some(Trouble { host, what }) = trouble else {
            return self.without_note(error);
        };
        let of_store = self.host.as_ref().is_none_or(|store| *store == host);
        let url = self.url;
        match what {
            What::NoCredentials(what) => Error::Credentials { url, what },
            What::Refused(refusal) if !of_store => Error::Credentials {
                url,
                what: format!("{host} says {refusal}"),
            },
            What::Unreachable(cause) if !of_store => Error::Credentials {
                url,
                what: format!("{host} says {cause}"),
            },
            What::Unreachable(cause) => Error::Unreachable {
                doing: self.doing,
                url,
                host,
                cause,
            },
            What::Refused(refusal) => Self { url, ..self }.refused(refusal),
        }
    }

    fn refused(self, refusal: Refusal) -> Error {
        let Self {
            doing,
            url,
            container,
            signature_until,
            ..
        } = self;
        let refusal = Box::new(refusal);
        if refusal.is_no_container() {
            return Error::NoContainer {
                doing,
                url,
                container,
            };
        }
        if refusal.is_throttling() {
            return Error::Throttled {
                doing,
                url,
                refusal,
            };
        }
        match refusal.status {
            404 => Error::NotFound { url },
            401 | 403 => Error::Refused {
                doing,
                url,
                refusal,
                signature_until,
            },
            412 if doing == READ => Error::Changed { url },
            412 if doing == REMOVE && refusal.is_existing() => Error::Changed { url },
            409 | 412 if refusal.is_existing() => Error::Exists { place: url },
            _ => Error::Service {
                doing,
                url,
                refusal,
            },
        }
    }

    /// A store without network (or a failure before any request) has only the error itself.
    fn without_note(self, error: &object_store::Error) -> Error {
        use object_store::Error as Inner;
        let Self {
            doing, url, host, ..
        } = self;
        match error {
            Inner::NotFound { .. } => Error::NotFound { url },
            Inner::AlreadyExists { .. } => Error::Exists { place: url },
            Inner::Precondition { .. } if doing == READ => Error::Changed { url },
            Inner::Precondition { .. } => Error::Exists { place: url },
            // The reply began well and did not come whole.
            other if is_of_network(other) => Error::Unreachable {
                doing,
                url,
                host: host.unwrap_or_default(),
                cause: crate::client::innermost(other),
            },
            // The innermost error alone: the ones around it repeat addresses.
            other => Error::Unexpected {
                doing,
                url,
                what: crate::client::innermost(other),
            },
        }
    }
}

fn is_of_network(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<object_store::client::HttpError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The verb of reading, which decides what a broken condition means.
pub(crate) const READ: &str = "read";
