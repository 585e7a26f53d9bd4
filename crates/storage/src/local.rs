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

use crate::destination::{Beside, Leftover, first_free, is_descriptor, is_signature, partial_name};
use crate::error::Error;
use crate::listing::{Identity, LIST, MOST_BYTES, Object};
use crate::removal::REMOVE;

/// An archive file on its way.
#[derive(Debug)]
pub(crate) struct Growing {
    archive: PathBuf,
    folder: PathBuf,
    growing: NamedTempFile,
    /// Descriptor and signature without an archive, as a killed run may leave them; they alone may be replaced.
    litter: Leftover<Vec<u8>>,
    signed: bool,
}

impl Growing {
    /// Opens a growing file for `to`; one that ends in `/` gets the file name `name`.
    pub(crate) fn create(to: &Path, name: &str, signed: bool) -> Result<(Self, File), Error> {
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
        let litter = leftovers(&archive, signed)?;
        let growing = temporary(&folder)?;
        let sink = growing.reopen().map_err(io_error("open", growing.path()))?;
        let growing = Self {
            archive,
            folder,
            growing,
            litter,
            signed,
        };
        Ok((growing, sink))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.archive
    }

    /// The same file for the name of an archive whose run ended early. Without such a name it keeps its own: why, is told.
    pub(crate) fn into_partial(self) -> (Self, Option<Error>) {
        match free_partial(&self.archive, self.signed) {
            Err(error) => (self, Some(error)),
            Ok((archive, litter)) => {
                let partial = Self {
                    archive,
                    litter,
                    ..self
                };
                (partial, None)
            }
        }
    }

    /// Makes the archive durable and visible: what stands beside it first, the archive last.
    pub(crate) fn commit(self, sink: File, beside: &Beside) -> Result<(), Error> {
        self.commit_with(sink, beside, sync_folder)
    }

    fn commit_with(
        self,
        sink: File,
        beside: &Beside,
        sync_folder: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        sink.sync_all()
            .map_err(io_error("flush", self.growing.path()))?;
        drop(sink);
        refuse_existing(&self.archive)?;
        let descriptor = Descriptor::path_for(&self.archive);
        let signature = Descriptor::signature_path_for(&self.archive);
        self.place(
            &descriptor,
            &beside.descriptor,
            &self.litter.descriptor,
            is_descriptor,
        )?;
        let signed = match &beside.signature {
            Some(text) => self.place(&signature, text, &self.litter.signature, is_signature),
            None => Ok(()),
        };
        let placed = signed.and_then(|()| {
            self.growing
                .persist_noclobber(&self.archive)
                .map(drop)
                .map_err(|error| placing_error(&self.archive, error.error))
        });
        let Err(error) = placed else {
            return sync_folder(&self.folder);
        };
        // What is ours without its archive is litter; if another run placed an archive of this name meanwhile, it is no
        // longer ours to judge.
        if !exists(&self.archive)? {
            for (path, text) in [
                (&signature, beside.signature.as_ref()),
                (&descriptor, Some(&beside.descriptor)),
            ] {
                if text.is_some_and(|text| std::fs::read(path).is_ok_and(|found| found == *text)) {
                    std::fs::remove_file(path).map_err(io_error("remove", path))?;
                }
            }
        }
        Err(error)
    }

    fn place(
        &self,
        beside: &Path,
        text: &[u8],
        found: &Option<Vec<u8>>,
        expected: fn(&[u8]) -> bool,
    ) -> Result<(), Error> {
        let mut file = temporary(&self.folder)?;
        file.write_all(text)
            .map_err(io_error("write", file.path()))?;
        file.as_file()
            .sync_all()
            .map_err(io_error("flush", file.path()))?;
        let is_litter = found.is_some() && litter(beside, expected)? == *found;
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

/// A free name for an archive whose run ended early. `X.partial.tar.zst` may be there as the base that this run went on
/// from; then it is `X-2.partial.tar.zst`, and so on, so that nothing that was read is lost for want of a name.
fn free_partial(archive: &Path, signed: bool) -> Result<(PathBuf, Leftover<Vec<u8>>), Error> {
    first_free(|number| {
        let free = partial_name(archive, number);
        refuse_existing(&free)?;
        let litter = leftovers(&free, signed)?;
        Ok((free, litter))
    })
}

/// What a run that was killed left beside the place of its archive; a signature is none for a run that does not sign.
fn leftovers(archive: &Path, signed: bool) -> Result<Leftover<Vec<u8>>, Error> {
    let of_ours = |bytes: &[u8]| signed && is_signature(bytes);
    Ok(Leftover {
        descriptor: litter(&Descriptor::path_for(archive), is_descriptor)?,
        signature: litter(&Descriptor::signature_path_for(archive), of_ours)?,
    })
}

/// The bytes of what stands beside a place without an archive, when it is `expected`; any other file of that name is in the
/// way.
fn litter(beside: &Path, expected: impl Fn(&[u8]) -> bool) -> Result<Option<Vec<u8>>, Error> {
    if !exists(beside)? {
        return Ok(None);
    }
    match read_at_most(beside, MOST_BYTES + 1)? {
        None => Ok(None),
        Some(bytes) if bytes.len() as u64 <= MOST_BYTES && expected(&bytes) => Ok(Some(bytes)),
        Some(_) => Err(existing(beside)),
    }
}

/// How a growing file is called: `.lifeboat-`, so many letters and digits, `.part`.
const PREFIX: &str = ".lifeboat-";
const RANDOM: usize = 6;
const SUFFIX: &str = ".part";

/// The name is that of a growing file.
pub(crate) fn is_growing(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|name| name.strip_suffix(SUFFIX))
        .is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

fn temporary(folder: &Path) -> Result<NamedTempFile, Error> {
    // The crate creates such files with mode 0600.
    tempfile::Builder::new()
        .prefix(OsStr::new(PREFIX))
        .rand_bytes(RANDOM)
        .suffix(OsStr::new(SUFFIX))
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
    fn a_growing_file_is_known_by_its_name_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = temporary(folder.path()).unwrap();
        let name = file.path().file_name().unwrap().to_string_lossy();
        assert!(is_growing(&name), "{name}");
        for other in [
            ".lifeboat-.part",
            ".lifeboat-abcde.part",
            ".lifeboat-abcdefg.part",
            ".lifeboat-abc-ef.part",
            ".lifeboat-abcdef.tmp",
            "x.lifeboat-abcdef.part",
            ".lifeboat-abcdef.part.tar.zst",
            "lifeboat-abcdef.part",
        ] {
            assert!(!is_growing(other), "{other}");
        }
    }

    #[test]
    fn a_partial_archive_finds_a_name_beside_the_one_that_it_went_on_from() {
        let folder = tempfile::tempdir().unwrap();
        for (name, taken, free) in [
            ("x.tar.zst", "x.partial.tar.zst", "x-2.partial.tar.zst"),
            (
                "y.tar.zst.age",
                "y.partial.tar.zst",
                "y-2.partial.tar.zst.age",
            ),
            ("z", "z.partial", "z-2.partial"),
        ] {
            std::fs::write(folder.path().join(taken), "").unwrap();
            let found = free_partial(&folder.path().join(name), false).unwrap().0;
            assert_eq!(found, folder.path().join(free));
        }
    }

    /// What was read for hours is not lost for want of a name.
    #[test]
    fn whatever_is_in_the_way_of_a_partial_archive_it_is_kept() {
        let long = format!("{}.tar.zst", "x".repeat(240));
        for (name, in_the_way, expected) in [
            ("x.tar.zst", "x.partial.json", "x-2.partial.tar.zst"),
            ("x.tar.zst", "x.partial.json.minisig", "x-2.partial.tar.zst"),
            (long.as_str(), "other", long.as_str()),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(in_the_way), "untrusted comment: x").unwrap();
            let (growing, _) = Growing::create(&folder.path().join(name), "", false).unwrap();
            let (partial, taken) = growing.into_partial();
            assert_eq!(partial.path(), folder.path().join(expected));
            assert_eq!(taken.is_some(), name == expected, "{taken:?}");
        }
    }

    #[test]
    fn an_archive_in_a_folder_that_cannot_be_flushed_keeps_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("x.tar.zst");
        let (growing, sink) = Growing::create(&to, "unused", false).unwrap();
        let beside = Beside {
            descriptor: crate::destination::tests::descriptor().to_bytes().unwrap(),
            signature: None,
        };
        let error = growing
            .commit_with(sink, &beside, |folder| {
                Err(io_error("flush", folder)(io::Error::other("no")))
            })
            .err();
        assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
        assert!(to.exists());
        assert!(Descriptor::path_for(&to).exists());
    }
}
