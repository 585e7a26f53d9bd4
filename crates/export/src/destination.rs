//! A local archive file that appears under its name only when it is complete.
//!
//! The bytes grow in a file of another name in the same folder, readable by its owner only. [`Destination::commit`]
//! makes them durable, places the descriptor, then the archive, and never replaces a file that is there. Whatever
//! else happens - an error, a cancelled run, a panic - the growing file is removed. Specified in `spec/export.md`,
//! "Destination".

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_archive::{Descriptor, DescriptorError};
use tempfile::NamedTempFile;
use thiserror::Error;

/// Why an archive cannot be placed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// A file of that name is there; it is never replaced.
    #[error("{path} exists and is not replaced")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The place has no file name, or is a URL that is not of a local file.
    #[error("{to:?} does not name a local file or a folder ending in a slash")]
    NoName {
        /// The place as given.
        to: String,
    },
    /// The system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried: a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The descriptor cannot be written as JSON.
    #[error("cannot serialise the descriptor")]
    Descriptor(#[source] DescriptorError),
}

impl DestinationError {
    /// Whether a safety rule refused, so that nothing was written (exit 14).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Exists { .. })
    }
}

/// An archive file on its way.
#[derive(Debug)]
pub struct Destination {
    archive: PathBuf,
    folder: PathBuf,
    growing: NamedTempFile,
    /// A descriptor without an archive, as a killed run may leave it; it alone may be replaced.
    litter: Option<Vec<u8>>,
}

impl Destination {
    /// Opens a growing file for `to`: a path or `file://` URL; one that ends in `/` gets the name
    /// `<workspace id>-<UTC start>.tar.zst`. The file handle is the sink for [`crate::run`].
    ///
    /// # Errors
    /// A file of the final name (or a descriptor of an existing archive) is there, or the folder cannot be used.
    pub fn create(
        to: &str,
        workspace_id: &str,
        started: Timestamp,
    ) -> Result<(Self, File), DestinationError> {
        let archive = resolve(to, workspace_id, started)?;
        let folder = match archive.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if to.ends_with('/') {
            std::fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
        }
        refuse_existing(&archive)?;
        let litter = litter(&Descriptor::path_for(&archive))?;
        let growing = temporary(&folder)?;
        let sink = growing.reopen().map_err(io_error("open", growing.path()))?;
        Ok((
            Self {
                archive,
                folder,
                growing,
                litter,
            },
            sink,
        ))
    }

    /// The name under which the archive will appear.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.archive
    }

    /// Makes the archive durable and visible: descriptor first, archive second.
    ///
    /// # Errors
    /// A file of that name appeared meanwhile, or the system refused; nothing is visible then.
    /// One exception: when the folder cannot be flushed at the very end, archive and descriptor are there, but may
    /// not outlive a power cut.
    pub fn commit(self, sink: File, descriptor: &Descriptor) -> Result<PathBuf, DestinationError> {
        self.commit_with(sink, descriptor, sync_folder)
    }

    fn commit_with(
        self,
        sink: File,
        descriptor: &Descriptor,
        sync_folder: impl Fn(&Path) -> Result<(), DestinationError>,
    ) -> Result<PathBuf, DestinationError> {
        sink.sync_all()
            .map_err(io_error("flush", self.growing.path()))?;
        drop(sink);
        refuse_existing(&self.archive)?;
        let beside = Descriptor::path_for(&self.archive);
        self.place_descriptor(&beside, descriptor)?;
        let placed = self
            .growing
            .persist_noclobber(&self.archive)
            .map(drop)
            .map_err(|error| placing_error(&self.archive, error.error));
        match placed {
            Ok(()) => {
                sync_folder(&self.folder)?;
                Ok(self.archive)
            }
            Err(error) => {
                // A descriptor of our own without its archive is litter; if another run placed an archive of this
                // name meanwhile, the descriptor is no longer ours to judge.
                if !matches!(error, DestinationError::Exists { .. }) {
                    std::fs::remove_file(&beside).map_err(io_error("remove", &beside))?;
                }
                Err(error)
            }
        }
    }

    fn place_descriptor(
        &self,
        beside: &Path,
        descriptor: &Descriptor,
    ) -> Result<(), DestinationError> {
        let text = descriptor
            .to_bytes()
            .map_err(DestinationError::Descriptor)?;
        let mut file = temporary(&self.folder)?;
        file.write_all(&text)
            .map_err(io_error("write", file.path()))?;
        file.as_file()
            .sync_all()
            .map_err(io_error("flush", file.path()))?;
        let is_litter = self.litter.is_some() && litter(beside)? == self.litter;
        let placed = if is_litter {
            file.persist(beside)
        } else {
            file.persist_noclobber(beside)
        };
        placed
            .map(drop)
            .map_err(|error| placing_error(beside, error.error))?;
        sync_folder(&self.folder)
    }
}

fn resolve(to: &str, workspace_id: &str, started: Timestamp) -> Result<PathBuf, DestinationError> {
    let no_name = || DestinationError::NoName { to: to.to_owned() };
    let local = to.strip_prefix("file://").unwrap_or(to);
    if local.contains("://") || local.is_empty() {
        return Err(no_name());
    }
    if local.ends_with('/') {
        return Ok(Path::new(local).join(format!("{}.tar.zst", run_name(workspace_id, started))));
    }
    let path = PathBuf::from(local);
    if path.file_name().is_none() || path.is_dir() {
        return Err(no_name());
    }
    Ok(path)
}

/// `<workspace id>-<UTC start, 20261122T010000Z>`: name of the archive and of its top folder.
pub(crate) fn run_name(workspace_id: &str, started: Timestamp) -> String {
    let id = if workspace_id.is_empty() {
        "workspace"
    } else {
        workspace_id
    };
    format!(
        "{id}-{}",
        started.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ")
    )
}

fn exists(path: &Path) -> Result<bool, DestinationError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

fn refuse_existing(path: &Path) -> Result<(), DestinationError> {
    if exists(path)? {
        Err(DestinationError::Exists {
            path: path.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// The bytes of a descriptor that has no archive; any other file of that name is in the way.
fn litter(beside: &Path) -> Result<Option<Vec<u8>>, DestinationError> {
    if !exists(beside)? {
        return Ok(None);
    }
    let bytes = std::fs::read(beside).map_err(io_error("read", beside))?;
    match Descriptor::parse(&bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(_) => Err(DestinationError::Exists {
            path: beside.to_owned(),
        }),
    }
}

fn temporary(folder: &Path) -> Result<NamedTempFile, DestinationError> {
    // The crate creates such files with mode 0600.
    tempfile::Builder::new()
        .prefix(OsStr::new(".lifeboat-"))
        .suffix(OsStr::new(".part"))
        .tempfile_in(folder)
        .map_err(io_error("create a file in", folder))
}

fn placing_error(path: &Path, source: io::Error) -> DestinationError {
    if source.kind() == io::ErrorKind::AlreadyExists {
        DestinationError::Exists {
            path: path.to_owned(),
        }
    } else {
        DestinationError::Io {
            doing: "place",
            path: path.to_owned(),
            source,
        }
    }
}

/// The name is durable only when the folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), DestinationError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("flush", folder))
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<(), DestinationError> {
    Ok(())
}

fn io_error(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> DestinationError + use<> {
    let path = path.to_owned();
    move |source| DestinationError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_archive_in_a_folder_that_cannot_be_flushed_keeps_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let to = format!("{}/x.tar.zst", folder.path().display());
        let started: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        let (destination, sink) = Destination::create(&to, "1", started).unwrap();
        let error = destination
            .commit_with(sink, &descriptor(started), |folder| {
                Err(io_error("flush", folder)(io::Error::other("no")))
            })
            .err();
        assert!(
            matches!(error, Some(DestinationError::Io { .. })),
            "{error:?}"
        );
        assert!(Path::new(&to).exists());
        assert!(Descriptor::path_for(Path::new(&to)).exists());
    }

    #[expect(
        clippy::unwrap_used,
        reason = "a helper that fails is a test that fails"
    )]
    fn descriptor(started: Timestamp) -> Descriptor {
        use lifeboat_archive::{Content, Header, Inventory, Scope, Source, Summary, Writer};
        let source = Source {
            host: "host".to_owned(),
            workspace_id: "1".to_owned(),
            cloud: "azure".to_owned(),
        };
        let scope = Scope::Workspace;
        let options = serde_json::json!({});
        let header = Header::new("test".to_owned(), source, started, scope, options);
        let writer = lifeboat_archive::WriterOptions {
            bag: "bag".to_owned(),
            level: 1,
            threads: 1,
            spill_dir: None,
        };
        let mut writer = Writer::create(Vec::new(), writer, &header).unwrap();
        writer.add("data/a", Content::Bytes(Vec::new())).unwrap();
        let summary = Summary {
            scope,
            inventory: Inventory::Complete,
            kinds: std::collections::BTreeMap::new(),
        };
        let (_, sealed) = writer.finish(&summary, started).unwrap();
        Descriptor::new(&header, &summary, &sealed, started)
    }
}
