//! The paths that are taken, in 16 bytes each.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};

use crate::error::WriteError;

/// Paths of members and of the folders above them.
///
/// Paths are kept as two 64-bit keyed hashes: a million members fit in memory, and two paths that agree in 128
/// bits do not occur.
#[derive(Default)]
pub(super) struct Paths {
    members: HashSet<u128>,
    folders: HashSet<u128>,
}

impl Paths {
    /// Takes `path`, or says why it cannot be taken.
    pub(super) fn take(&mut self, path: &str) -> Result<(), WriteError> {
        let key = key(path);
        if self.folders.contains(&key) {
            return Err(both(path));
        }
        // Nearest folder first: once one is known, so are all above it.
        let mut new_folders = Vec::new();
        let mut rest = path;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            let key = self::key(folder);
            if self.folders.contains(&key) {
                break;
            }
            if self.members.contains(&key) {
                return Err(both(folder));
            }
            new_folders.push(key);
            rest = folder;
        }
        if !self.members.insert(key) {
            return Err(WriteError::Duplicate {
                path: path.to_owned(),
            });
        }
        self.folders.extend(new_folders);
        Ok(())
    }
}

fn both(path: &str) -> WriteError {
    WriteError::FileAndFolder {
        path: path.to_owned(),
    }
}

fn key(path: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(path.as_bytes());
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_once_and_as_one_thing() {
        let mut paths = Paths::default();
        paths.take("data/a/b/c").unwrap();
        paths.take("data/a/b/d").unwrap();
        paths.take("data/ab").unwrap();
        assert!(matches!(
            paths.take("data/a/b/c"),
            Err(WriteError::Duplicate { .. })
        ));
        assert!(
            matches!(paths.take("data/a"), Err(WriteError::FileAndFolder { path }) if path == "data/a")
        );
        assert!(
            matches!(paths.take("data/ab/x/y"), Err(WriteError::FileAndFolder { path }) if path == "data/ab")
        );
        paths.take("data/a!").unwrap();
    }
}
