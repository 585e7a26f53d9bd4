//! One writer per journal: an operating-system lock on a file beside it, which also says who holds it since when.
//!
//! Whoever takes the lock makes the folder of the journal where there is none. A run that is refused afterwards leaves
//! nothing of that behind.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::{Error, Rule};

/// The lock of a journal, held until it is dropped. The system releases it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    // Dropped first: what is taken back is taken back under the lock.
    made: Made,
    _file: File,
}

impl Lock {
    /// Takes the lock of the journal at `journal`. Folders that are missing above it are made for nobody but the caller;
    /// they go again, and so does the lock's file, unless a journal is opened with this lock.
    ///
    /// # Errors
    /// [`Error::Refused`] when another process holds it; [`Error::Io`].
    pub fn take(journal: &Path) -> Result<Self, Error> {
        let mut made = Made::default();
        if let Some(folder) = folder_of(journal) {
            made.folder(folder).map_err(fault("creating", folder))?;
        }
        let path = Self::path(journal);
        loop {
            if let Some(file) = take_file(&path, &mut made)? {
                return Ok(Self { made, _file: file });
            }
        }
    }

    /// Beside the file itself: two names of one journal have one lock.
    fn path(journal: &Path) -> PathBuf {
        let real = std::fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
        let mut name = real.into_os_string();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// The journal's own file is about to be made.
    pub(super) fn makes(&mut self, journal: &Path) {
        self.made.0.push(journal.to_owned());
    }

    /// A journal is begun: everything stays.
    pub(super) fn keep(&mut self) {
        self.made.0.clear();
    }
}

fn folder_of(journal: &Path) -> Option<&Path> {
    journal
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
}

fn fault(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path: path.clone(),
        source,
    }
}

/// Folders and files that were made on the way to a journal, outermost first; taken back when dropped.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder, and those above it, for nobody but the caller.
    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        let missing = folder
            .ancestors()
            .take_while(|one| !one.as_os_str().is_empty() && !one.exists());
        self.0.extend(missing.map(Path::to_owned));
        self.0.reverse();
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.drain(..).rev() {
            // What somebody put into a folder meanwhile keeps it; the refusal is told in any case.
            let _ = match path.is_dir() {
                true => std::fs::remove_dir(&path),
                false => std::fs::remove_file(&path),
            };
        }
    }
}

/// Opens and locks the file of a lock; nothing when it was taken back by another process between the two.
fn take_file(path: &Path, made: &mut Made) -> Result<Option<File>, Error> {
    let mut options = super::private();
    options.read(true).write(true);
    let mut file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            made.0.push(path.to_owned());
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(fault("opening", path)(source)),
        },
        Err(source) => return Err(fault("opening", path)(source)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // It is that of the other process, whoever made it.
            made.0.retain(|one| one != path);
            return Err(held(path, &mut file));
        }
        Err(TryLockError::Error(source)) => return Err(fault("locking", path)(source)),
    }
    let owner = format!(
        "process {} since {}\n",
        std::process::id(),
        Timestamp::now()
    );
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(owner.as_bytes()))
        .map_err(fault("writing", path))?;
    // The other process may have taken its file back after it was opened here: then this lock keeps nobody out.
    let replaced = match std::fs::read(path) {
        Ok(text) => text != owner.as_bytes(),
        // Where a locked file can be read through its own handle alone, none that is locked can be taken back.
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    Ok((!replaced).then_some(file))
}

fn held(path: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    // The text only helps a person; where it cannot be read the refusal stands without it.
    let owner = match file.read_to_string(&mut owner) {
        Ok(_) if !owner.trim().is_empty() => owner.trim().to_owned(),
        _ => "an unnamed process".to_owned(),
    };
    let age = owner
        .rsplit(' ')
        .next()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map(|since| {
            format!(
                " ({} s ago)",
                Timestamp::now().duration_since(since).as_secs()
            )
        })
        .unwrap_or_default();
    Error::Refused {
        rule: Rule::JournalLocked,
        detail: format!("{} is held by {owner}{age}", path.display()),
        hint: "wait for the other import to end; the lock goes with its process".to_owned(),
    }
}
