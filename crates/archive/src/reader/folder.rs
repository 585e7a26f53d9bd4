//! Contents from the folder that an archive was unpacked into.
//!
//! Only regular files below the folder are read: a link on the way, or a device, is refused.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::packed::read_into;
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::names;
use crate::source::FileSource;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// An unpacked bag.
pub(super) struct Folder {
    path: PathBuf,
    name: String,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            name: path.display().to_string(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Streams the file of `member`, which has to have its size.
    pub(super) fn stream(
        &self,
        member: &Member,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let length = self.stream_path(&member.path, member.size, to)?;
        if length == member.size {
            return Ok(());
        }
        Err(self.damaged(
            Damage::new("the file has another size")
                .at_path(&member.path)
                .values(format!("{} bytes", member.size), format!("{length} bytes")),
        ))
    }

    /// Streams `len` bytes from `from` of the file of `member`.
    pub(super) fn range(
        &self,
        member: &Member,
        from: u64,
        len: u64,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let file = self.regular_file(&member.path)?;
        let file = FileSource::open(&file).map_err(|source| self.io(from, source))?;
        let mut buffer = vec![0; READ_BYTES];
        let mut done = 0;
        while done < len {
            let want = (len - done).min(READ_BYTES as u64) as usize;
            read_into(&file, &self.name, from + done, &mut buffer[..want])?;
            to(&buffer[..want])?;
            done += want as u64;
        }
        Ok(())
    }

    /// Streams the file at `path` and gives its length; stops once it is longer than `limit`.
    pub(super) fn stream_path(
        &self,
        path: &str,
        limit: u64,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<u64, ReadError> {
        let file = self.regular_file(path)?;
        let mut file = fs_err::File::open(file).map_err(|source| self.io(0, source))?;
        let mut buffer = vec![0; READ_BYTES];
        let mut length = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(count) => {
                    length += count as u64;
                    if length > limit {
                        return Ok(length);
                    }
                    to(&buffer[..count])?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.io(length, source)),
            }
        }
    }

    /// The place of `path` on disk, once nothing on the way is a link and its end is a regular file.
    fn regular_file(&self, path: &str) -> Result<PathBuf, ReadError> {
        names::check_safe(path).map_err(|error| {
            self.damaged(Damage::new(format!("the path is not allowed: {error}")).at_path(path))
        })?;
        let mut on_disk = self.path.clone();
        let mut components = path.split('/').peekable();
        while let Some(component) = components.next() {
            on_disk.push(component);
            let metadata = match fs_err::symlink_metadata(&on_disk) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(self.damaged(Damage::new("the file is missing").at_path(path)));
                }
                Err(source) => return Err(self.io(0, source)),
            };
            let expected = if components.peek().is_some() {
                metadata.is_dir()
            } else {
                metadata.is_file()
            };
            if !expected {
                return Err(self.damaged(
                    Damage::new("a link or special file stands where a regular file should")
                        .at_path(path),
                ));
            }
        }
        Ok(on_disk)
    }

    fn io(&self, offset: u64, source: std::io::Error) -> ReadError {
        ReadError::Io {
            name: self.name.clone(),
            offset,
            source,
        }
    }

    fn damaged(&self, damage: Box<Damage>) -> ReadError {
        ReadError::damaged(&self.name, damage)
    }
}
