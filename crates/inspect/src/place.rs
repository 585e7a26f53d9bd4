//! Where extracted objects go: original names where the file system allows them, never outside the destination, never
//! through a link, never over an existing file.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use lifeboat_archive::names::{self, Sibling};
use tempfile::NamedTempFile;

use crate::error::Error;

/// The longest file name of the usual file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// A destination folder and what this run has put into it.
pub(crate) struct Place {
    root: PathBuf,
    /// Folders by their path in the archive.
    folders: HashMap<String, PathBuf>,
    /// Hashes of the case-folded paths that are taken: an equal one gets a name of its own.
    taken: HashSet<u64>,
}

impl Place {
    /// Uses `root`, made if it is not there.
    pub(crate) fn new(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(|source| Error::Write {
            path: root.to_owned(),
            source,
        })?;
        Ok(Self {
            root: root.to_owned(),
            folders: HashMap::new(),
            taken: HashSet::new(),
        })
    }

    /// Makes the folder with these names, one below the other.
    pub(crate) fn folder(&mut self, names: &[&str]) -> Result<PathBuf, Error> {
        let Some((name, parents)) = names.split_last() else {
            return Ok(self.root.clone());
        };
        let key = names.join("/");
        if let Some(known) = self.folders.get(&key) {
            return Ok(known.clone());
        }
        let parent = self.folder(parents)?;
        let path = self.free(&parent, name, "", "folder");
        make_folder(&path)?;
        self.taken.insert(fold(&path));
        self.folders.insert(key, path.clone());
        Ok(path)
    }

    /// Puts a file into `folder`. `write` fills it; the file gets its name only when that has succeeded.
    pub(crate) fn file(
        &mut self,
        folder: &Path,
        name: &str,
        extension: &str,
        id: &str,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let path = self.free(folder, name, extension, id);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Error::Exists { path });
        }
        let failed = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
        write(file.as_file_mut())?;
        match file.persist_noclobber(&path) {
            Ok(_) => {
                self.taken.insert(fold(&path));
                Ok(path)
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::Exists { path })
            }
            Err(error) => Err(failed(error.error)),
        }
    }

    /// The original name, or the archive's form of it when the file system does not allow it or a sibling of this run
    /// has it already.
    fn free(&self, folder: &Path, name: &str, extension: &str, id: &str) -> PathBuf {
        let original = format!("{name}{extension}");
        if is_allowed(&original) {
            let path = folder.join(&original);
            if !self.taken.contains(&fold(&path)) {
                return path;
            }
        }
        // Equal siblings are told apart by their ids, and nothing unsafe gets through.
        let marked = names::assign(&[
            Sibling {
                name,
                extension,
                id,
            },
            Sibling {
                name,
                extension,
                id: "",
            },
        ]);
        folder.join(
            marked
                .into_iter()
                .next()
                .unwrap_or_else(|| names::component(id, id)),
        )
    }
}

/// One name that this file system takes as it is.
fn is_allowed(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && name != "." && name != "..";
    fits && !name.contains(['/', '\0']) && (cfg!(unix) || names::component(name, "0") == name)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(path).map_err(|source| Error::Write {
                path: path.to_owned(),
                source,
            })?;
            if found.is_dir() {
                Ok(())
            } else {
                Err(Error::NotAFolder {
                    path: path.to_owned(),
                })
            }
        }
        Err(source) => Err(Error::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

fn fold(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.to_string_lossy().to_lowercase().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(
        place: &mut Place,
        folder: &Path,
        name: &str,
        extension: &str,
        id: &str,
    ) -> Result<PathBuf, Error> {
        place.file(folder, name, extension, id, |out| {
            out.write_all(id.as_bytes()).map_err(|source| Error::Write {
                path: PathBuf::new(),
                source,
            })
        })
    }

    #[test]
    fn hostile_names_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(&dir.path().join("out")).unwrap();
        let long = "x".repeat(300);
        for (index, name) in ["..", ".", "", "a/../../b", "nul\0", long.as_str()]
            .into_iter()
            .enumerate()
        {
            let folder = place.folder(&["workspace", name]).unwrap();
            let path = put(&mut place, &folder, name, "", &index.to_string()).unwrap();
            assert!(
                path.starts_with(dir.path().join("out/workspace")),
                "{}",
                path.display()
            );
            assert!(
                path.components()
                    .all(|part| part != std::path::Component::ParentDir)
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), index.to_string());
        }
        let outside: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(outside, ["out"]);
    }

    #[test]
    fn odd_but_allowed_names_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let folder = place.folder(&["Größe 100 %"]).unwrap();
        let path = put(&mut place, &folder, "what? *", ".py", "1").unwrap();
        assert_eq!(path, dir.path().join("Größe 100 %").join("what? *.py"));
    }

    #[test]
    fn siblings_that_fall_together_get_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let root = place.folder(&[]).unwrap();
        let first = put(&mut place, &root, "etl", ".py", "1").unwrap();
        let second = put(&mut place, &root, "ETL.py", "", "2").unwrap();
        let folder = place.folder(&["etl.py"]).unwrap();
        assert_eq!(first, dir.path().join("etl.py"));
        assert_ne!(second, first);
        assert_ne!(folder, first);
        assert_eq!(fs::read_to_string(second).unwrap(), "2");
    }

    #[test]
    fn nothing_is_overwritten_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nb.py"), "mine").unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let root = place.folder(&[]).unwrap();
        assert!(matches!(
            put(&mut place, &root, "nb", ".py", "1"),
            Err(Error::Exists { .. })
        ));
        assert_eq!(
            fs::read_to_string(dir.path().join("nb.py")).unwrap(),
            "mine"
        );

        #[cfg(unix)]
        {
            let outside = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(outside.path(), dir.path().join("workspace")).unwrap();
            assert!(matches!(
                place.folder(&["workspace"]),
                Err(Error::NotAFolder { .. })
            ));
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let root = place.folder(&[]).unwrap();
        let failed = place.file(&root, "nb", "", "1", |_| {
            Err(Error::NotFound { what: "x".into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
