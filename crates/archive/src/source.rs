//! Where an archive is read from: anything that answers ranged reads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A stored file of fixed length that is read at offsets.
pub trait ReadAt: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset` into `buf`. Less than asked for is allowed, 0 only at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// What messages call it: a path or URL without secrets.
    fn name(&self) -> String;
}

/// A file on disk.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    // Positioned reads without a lock are not in the standard library for every platform.
    file: Mutex<fs_err::File>,
}

impl FileSource {
    /// Opens `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(fs_err::File::open(path)?),
        })
    }
}

impl ReadAt for FileSource {
    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.file).metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(offset))?;
        file.read(buf)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The guarded value, whatever a panicking holder left: every use begins with a seek or a look-up of its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A source that several readers share.
impl ReadAt for std::sync::Arc<dyn ReadAt> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buf)
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// Bytes in memory, for tests and for archives that were received whole.
impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.len(), |start| start.min(self.len()));
        let count = buf.len().min(self.len() - start);
        buf[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }

    fn name(&self) -> String {
        "archive in memory".to_owned()
    }
}
