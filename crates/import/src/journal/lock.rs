//! One writer per journal: an operating-system lock on a file beside it, which also says who holds it since when.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::{Error, Rule};

/// The lock of a journal, held until it is dropped. The system releases it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the journal at `journal`.
    ///
    /// # Errors
    /// [`Error::Refused`] when another process holds it; [`Error::Io`].
    pub fn take(journal: &Path) -> Result<Self, Error> {
        let path = Self::path(journal);
        let io = |doing| {
            let path = path.clone();
            move |source| Error::Io {
                doing,
                path,
                source,
            }
        };
        let mut file = super::private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("opening"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&path, &mut file)),
            Err(TryLockError::Error(source)) => return Err(io("locking")(source)),
        }
        let owner = format!(
            "process {} since {}\n",
            std::process::id(),
            Timestamp::now()
        );
        file.set_len(0).map_err(io("writing"))?;
        file.seek(SeekFrom::Start(0)).map_err(io("writing"))?;
        file.write_all(owner.as_bytes()).map_err(io("writing"))?;
        Ok(Self { _file: file })
    }

    fn path(journal: &Path) -> PathBuf {
        let mut name = journal.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }
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
