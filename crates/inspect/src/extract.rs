//! `extract`: objects out of the archive into a folder.
//!
//! Workspace objects go below `workspace/`, DBFS files below `dbfs/`, other objects into `<kind>/<id>.json`, members of
//! the archive below their own path.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lifeboat_archive::{Archive, Member, ReadError};
use lifeboat_catalog::tree;

use crate::cat::content_member;
use crate::entries::{self, DBFS, Entry, Origin, WORKSPACE};
use crate::error::Error;
use crate::ls::of_kind;
use crate::place::Place;
use crate::select::{PathPattern, Selector, known_kinds};

/// What an extraction did.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Files written.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Objects that could not be written; the others were.
    pub skipped: Vec<Skipped>,
}

/// An object that was named but could not be written.
#[derive(Debug)]
pub struct Skipped {
    /// Its name in the archive.
    pub name: String,
    /// Why.
    pub error: Error,
}

/// Extracts everything that `patterns` name into `folder`; no pattern means the whole workspace, DBFS and all objects.
/// A folder or a matching folder stands for everything below it. `written` is told each object's name and
/// file, and ends the extraction by breaking.
///
/// Nothing is overwritten, and each file gets its name only after its digest was proved.
///
/// # Errors
/// [`Error::NotFound`] when a pattern names nothing; [`Error::Write`] when the destination fails; otherwise when the
/// archive cannot be read. A single object that is damaged or whose name is taken is *skipped*, not an error.
pub fn extract(
    archive: &Archive,
    patterns: &[String],
    folder: &Path,
    written: &mut dyn FnMut(&str, &Path) -> ControlFlow<()>,
) -> Result<Extracted, Error> {
    let kinds = known_kinds(archive)?;
    let mut everything = vec![WORKSPACE.to_owned(), DBFS.to_owned()];
    let all = patterns.is_empty();
    if all {
        everything.extend(
            archive
                .summary()?
                .kinds
                .into_keys()
                .filter(|kind| kind != DBFS && !crate::ls::is_tree_kind(kind)),
        );
    }
    let mut run = Run {
        archive,
        place: Place::new(folder)?,
        outcome: Extracted::default(),
        written,
        stopped: false,
    };
    for what in if all { &everything } else { patterns } {
        let found = run.selector(Selector::parse(what, &kinds)?)?;
        if !found && !all {
            return Err(Error::NotFound { what: what.clone() });
        }
    }
    Ok(run.outcome)
}

struct Run<'a> {
    archive: &'a Archive,
    place: Place,
    outcome: Extracted,
    written: &'a mut dyn FnMut(&str, &Path) -> ControlFlow<()>,
    stopped: bool,
}

impl Run<'_> {
    /// Returns whether the selector names anything.
    fn selector(&mut self, selector: Selector) -> Result<bool, Error> {
        let archive = self.archive;
        let mut found = false;
        let mut each = |run: &mut Self, wanted: bool, entry: &Entry| {
            if wanted {
                found = true;
                let result = run.put(entry);
                run.note(&entry.name, result)?;
            }
            Ok(if run.stopped {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        let _ = match selector {
            Selector::Workspace(pattern) => entries::workspace(archive, &mut |entry| {
                let wanted = covers(&pattern, &entry)?;
                each(self, wanted, &entry)
            }),
            Selector::Dbfs(pattern) => entries::dbfs(archive, &mut |entry| {
                let wanted = covers(&pattern, &entry)?;
                each(self, wanted, &entry)
            }),
            Selector::Kind(kind) => of_kind(archive, &kind, &mut |entry| each(self, true, &entry)),
            Selector::Object { kind, id } => of_kind(archive, &kind, &mut |entry| {
                each(self, entry.is_called(&id), &entry)
            }),
            Selector::Acls(kind) => {
                entries::acls(archive, &kind, &mut |entry| each(self, true, &entry))
            }
            Selector::Acl { kind, id } => entries::acls(archive, &kind, &mut |entry| {
                each(self, entry.is_called(&id), &entry)
            }),
            Selector::Member(path) => return self.members(&path),
        }?;
        Ok(found)
    }

    fn put(&mut self, entry: &Entry) -> Result<Put, Error> {
        match entry.origin {
            Origin::Workspace => self.tree(WORKSPACE, &entry.name, entry),
            Origin::Dbfs => self.tree(DBFS, &entry.id, entry),
            Origin::Object | Origin::Acl => self.object(entry),
            Origin::Member => Ok(Put::Nothing),
        }
    }

    fn note(&mut self, name: &str, result: Result<Put, Error>) -> Result<(), Error> {
        match result {
            Ok(Put::File { path, size }) => {
                self.outcome.files += 1;
                self.outcome.bytes += size;
                self.stopped |= (self.written)(name, &path).is_break();
            }
            Ok(Put::Nothing) => {}
            Err(error) if is_fatal(&error) => return Err(error),
            Err(error) => self.outcome.skipped.push(Skipped {
                name: name.to_owned(),
                error,
            }),
        }
        Ok(())
    }

    /// An object of the workspace or of DBFS: a folder, a content, or nothing when its type has none.
    fn tree(&mut self, top: &str, path: &str, entry: &Entry) -> Result<Put, Error> {
        let mut names = vec![top];
        if path != "/" {
            names.extend(path.strip_prefix('/').unwrap_or(path).split('/'));
        }
        if entry.is_directory() || tree::is_folder(&entry.kind) {
            return self.place.folder(&names).map(|_| Put::Nothing);
        }
        if entry.content.is_none()
            && entry.origin == Origin::Workspace
            && !tree::has_content(&entry.kind)
        {
            return Ok(Put::Nothing);
        }
        let member = content_member(self.archive, entry)?;
        let extension = if entry.kind == "NOTEBOOK" {
            extension(&member.path)
        } else {
            ""
        };
        let (name, parents) = names.split_last().unwrap_or((&"", &[]));
        let folder = self.place.folder(parents)?;
        self.copy(&folder, name, extension, &entry.id, &member)
    }

    /// An object whose record holds everything: its body as indented JSON.
    fn object(&mut self, entry: &Entry) -> Result<Put, Error> {
        let names: Vec<&str> = entry.kind.split('/').collect();
        let folder = self.place.folder(&names)?;
        let text = serde_json::to_string_pretty(&entry.body).map_err(|error| Error::Record {
            record: entry.name.clone(),
            what: error.to_string(),
        })?;
        let path = self
            .place
            .file(&folder, &entry.id, ".json", &entry.id, |out| {
                let written = out
                    .write_all(text.as_bytes())
                    .and_then(|()| out.write_all(b"\n"));
                written.map_err(|source| Error::Write {
                    path: folder.clone(),
                    source,
                })
            })?;
        Ok(Put::File {
            path,
            size: text.len() as u64 + 1,
        })
    }

    fn members(&mut self, prefix: &str) -> Result<bool, Error> {
        let mut found = false;
        for member in self.archive.members(prefix)? {
            let member = member?;
            let below = member
                .path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !below {
                continue;
            }
            found = true;
            let names: Vec<&str> = member.path.split('/').collect();
            let (name, parents) = names.split_last().unwrap_or((&"", &[]));
            let folder = self.place.folder(parents);
            let result = folder.and_then(|folder| self.copy(&folder, name, "", "member", &member));
            self.note(&member.path, result)?;
        }
        Ok(found)
    }

    fn copy(
        &mut self,
        folder: &Path,
        name: &str,
        extension: &str,
        id: &str,
        member: &Member,
    ) -> Result<Put, Error> {
        let archive = self.archive;
        let path = self.place.file(folder, name, extension, id, |out| {
            let mut out = io::BufWriter::new(out);
            archive
                .copy(member, &mut out)
                .map_err(|error| match error {
                    ReadError::Output { source, .. } => Error::Write {
                        path: folder.to_owned(),
                        source,
                    },
                    other => other.into(),
                })?;
            out.flush().map_err(|source| Error::Write {
                path: folder.to_owned(),
                source,
            })
        })?;
        Ok(Put::File {
            path,
            size: member.size,
        })
    }
}

enum Put {
    File {
        path: PathBuf,
        size: u64,
    },
    /// A folder, or an object without a content of its own.
    Nothing,
}

/// The entry is wanted. One that is named literally must have a content.
fn covers(pattern: &PathPattern, entry: &Entry) -> Result<bool, Error> {
    let alone = entry.name == pattern.text() && entry.content.is_none();
    if alone && !entry.is_directory() && !tree::is_folder(&entry.kind) {
        return Err(Error::NoContent {
            path: entry.name.clone(),
            object_type: entry.kind.clone(),
        });
    }
    Ok(pattern.covers(&entry.name))
}

/// The extension that the archive gave to a notebook's content, with its dot.
fn extension(member: &str) -> &str {
    let name = member.rsplit('/').next().unwrap_or(member);
    name.rfind('.').map_or("", |dot| &name[dot..])
}

/// The rest would fail in the same way, or the archive cannot be read any further.
fn is_fatal(error: &Error) -> bool {
    match error {
        Error::Write { .. } => true,
        Error::Archive { source } => !source.is_damage(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notebooks_get_the_extension_of_their_content() {
        assert_eq!(
            extension("data/workspace/content/Users/a.b/nb~1.ipynb"),
            ".ipynb"
        );
        assert_eq!(extension("data/workspace/content/Users/a.b/nb"), "");
    }
}
