//! A local archive file that appears under its name only when it is complete.
//!
//! The bytes grow in a file of another name in the same folder, readable by its owner only. Whatever else happens - an
//! error, a cancelled run, a panic - the growing file is removed (spec, "Local files").

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lifeboat_archive::Descriptor;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::listing::{Identity, LIST, Object};
use crate::removal::REMOVE;

/// An archive file on its way.
#[derive(Debug)]
pub(crate) struct Growing {
    archive: PathBuf,
    folder: PathBuf,
    growing: NamedTempFile,
    /// A descriptor without an archive, as a killed run may leave it; it alone may be replaced.
    litter: Option<Vec<u8>>,
}

impl Growing {
    /// Opens a growing file for `to`; one that ends in `/` gets the file name `name`.
    pub(crate) fn create(to: &Path, name: &str) -> Result<(Self, File), Error> {
        let is_folder = to.as_os_str().to_string_lossy().ends_with('/');
        let archive = if is_folder {
            to.join(name)
        } else {
            to.to_owned()
        };
        if archive.file_name().is_none() || archive.is_dir() {
            return Err(Error::NoName {
                to: to.to_string_lossy().into_owned(),
            });
        }
        let folder = match archive.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if is_folder {
            std::fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
        }
        refuse_existing(&archive)?;
        let litter = litter(&Descriptor::path_for(&archive))?;
        let growing = temporary(&folder)?;
        let sink = growing.reopen().map_err(io_error("open", growing.path()))?;
        let growing = Self {
            archive,
            folder,
            growing,
            litter,
        };
        Ok((growing, sink))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.archive
    }

    /// The same file for the name of an archive whose run ended early.
    pub(crate) fn into_partial(self) -> Result<Self, Error> {
        let archive = Descriptor::partial_path_for(&self.archive);
        let litter = litter(&Descriptor::path_for(&archive))?;
        Ok(Self {
            archive,
            litter,
            ..self
        })
    }

    /// Makes the archive durable and visible: descriptor first, archive second.
    pub(crate) fn commit(self, sink: File, descriptor: &Descriptor) -> Result<PathBuf, Error> {
        self.commit_with(sink, descriptor, sync_folder)
    }

    fn commit_with(
        self,
        sink: File,
        descriptor: &Descriptor,
        sync_folder: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
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
                if !matches!(error, Error::Exists { .. }) {
                    std::fs::remove_file(&beside).map_err(io_error("remove", &beside))?;
                }
                Err(error)
            }
        }
    }

    fn place_descriptor(&self, beside: &Path, descriptor: &Descriptor) -> Result<(), Error> {
        let text = descriptor.to_bytes().map_err(Error::Descriptor)?;
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

/// Every regular file in a folder, links to files included.
pub(crate) fn list(folder: &Path) -> Result<Vec<Object>, Error> {
    let failed = || io_error(LIST, folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let path = entry.path();
        let facts = match std::fs::metadata(&path) {
            Ok(facts) => facts,
            // Removed since, or a link to nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error("look at", &path)(error)),
        };
        if !facts.is_file() {
            continue;
        }
        let modified = modified(&path, &facts)?;
        found.push(Object {
            // A name that is no text is none of ours, whatever is put in the place of its bytes.
            name: entry.file_name().to_string_lossy().into_owned(),
            modified,
            identity: Identity {
                size: facts.len(),
                e_tag: None,
                modified: Some(modified),
            },
        });
    }
    Ok(found)
}

fn modified(path: &Path, facts: &Metadata) -> Result<Timestamp, Error> {
    let modified = facts.modified().map_err(io_error("look at", path))?;
    Timestamp::try_from(modified)
        .map_err(|error| io_error("look at", path)(io::Error::other(error)))
}

/// Which state of a file is there now; none when it is not there.
pub(crate) fn identity(path: &Path) -> Result<Option<Identity>, Error> {
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("look at", path)(error)),
    };
    Ok(Some(Identity {
        size: facts.len(),
        e_tag: None,
        modified: Some(modified(path, &facts)?),
    }))
}

/// Removes a file; a link, not what it points to.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(REMOVE, path)(error)),
        _ => Ok(()),
    }
}

/// The first `most` bytes of a file; none when it is not there.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    Ok(Some(bytes))
}

fn exists(path: &Path) -> Result<bool, Error> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

fn existing(path: &Path) -> Error {
    Error::Exists {
        place: path.display().to_string(),
    }
}

/// Refuses when the archive is there, or the one that would have the same descriptor.
fn refuse_existing(archive: &Path) -> Result<(), Error> {
    for archive in std::iter::once(archive.to_owned()).chain(Descriptor::twin_of(archive)) {
        if exists(&archive)? {
            return Err(existing(&archive));
        }
    }
    Ok(())
}

/// The bytes of a descriptor that has no archive; any other file of that name is in the way.
fn litter(beside: &Path) -> Result<Option<Vec<u8>>, Error> {
    if !exists(beside)? {
        return Ok(None);
    }
    let bytes = std::fs::read(beside).map_err(io_error("read", beside))?;
    match Descriptor::parse(&bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(_) => Err(existing(beside)),
    }
}

fn temporary(folder: &Path) -> Result<NamedTempFile, Error> {
    // The crate creates such files with mode 0600.
    tempfile::Builder::new()
        .prefix(OsStr::new(".lifeboat-"))
        .suffix(OsStr::new(".part"))
        .tempfile_in(folder)
        .map_err(io_error("create a file in", folder))
}

fn placing_error(path: &Path, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::AlreadyExists {
        existing(path)
    } else {
        io_error("place", path)(source)
    }
}

/// The name is durable only when the folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("flush", folder))
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<(), Error> {
    Ok(())
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io {
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
        let to = folder.path().join("x.tar.zst");
        let (growing, sink) = Growing::create(&to, "unused").unwrap();
        let error = growing
            .commit_with(sink, &crate::destination::tests::descriptor(), |folder| {
                Err(io_error("flush", folder)(io::Error::other("no")))
            })
            .err();
        assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
        assert!(to.exists());
        assert!(Descriptor::path_for(&to).exists());
    }
}
