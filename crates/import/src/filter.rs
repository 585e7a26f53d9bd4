//! The part of an archive that a run covers (`spec/import.md`, "Selection").

use std::collections::HashMap;

use lifeboat_catalog::selection::{Selected, Selection, SelectionError, Unmatched};

use crate::archived::ArchiveState;
use crate::closure::Closure;
use crate::error::Error;

/// Kinds of the workspace tree: their objects are chosen by path.
const TREE: [&str; 5] = [
    "directories",
    "notebooks",
    "files",
    "git-folders",
    "workspace-objects",
];

/// A compiled [`Selection`] as an import understands it.
#[derive(Debug, Clone)]
pub struct Filter {
    selection: Selection,
    selected: Selected,
    /// Paths in the source of what stands elsewhere in the target: a selection names the source's.
    origins: HashMap<String, String>,
    /// Only these objects.
    closure: Option<Closure>,
}

impl Filter {
    /// Compiles a selection.
    ///
    /// # Errors
    /// [`Error::Selection`].
    pub fn compile(selection: &Selection) -> Result<Self, Error> {
        Ok(Self {
            selected: Selected::compile(selection).map_err(wrong)?,
            selection: selection.clone(),
            origins: HashMap::new(),
            closure: None,
        })
    }

    /// Takes paths of the target from now on: `origins` says what they are in the source.
    pub(crate) fn translated(&mut self, origins: &HashMap<String, String>) {
        self.origins.clone_from(origins);
    }

    /// True when the whole archive is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.selection.is_everything() && self.closure.is_none()
    }

    /// Narrows it to a closure.
    pub(crate) fn only(&mut self, closure: Closure) {
        self.closure = Some(closure);
    }

    /// Why the closure holds an object.
    pub(crate) fn why(&self, kind: &str, id: &str) -> Option<&str> {
        let id = self.origins.get(id).map_or(id, String::as_str);
        self.closure.as_ref()?.why(kind, id)
    }

    /// Whether objects of this kind may be wanted. Who names paths or users and no kinds wants nothing but the tree.
    #[must_use]
    pub fn kind(&self, kind: &str) -> bool {
        let only_tree = self.selection.kinds.is_none()
            && (!self.selection.include.is_empty() || self.selection.users.is_some());
        let in_closure = |closure: &Closure| closure.has(kind);
        self.closure.as_ref().is_none_or(in_closure)
            && self.selected.kind(kind)
            && (!only_tree || TREE.contains(&kind))
    }

    /// True when nothing but objects of the tree may be wanted.
    pub(crate) fn is_only_tree(&self) -> bool {
        let mut kinds = lifeboat_catalog::kinds().iter();
        kinds.all(|kind| TREE.contains(&kind.name) || !self.kind(kind.name))
    }

    /// Whether an object is wanted. `id` is the path (without alias) for objects of the tree, the path for DBFS files,
    /// the id in the source for everything else.
    #[must_use]
    pub fn wants(&self, kind: &str, id: &str) -> bool {
        let id = self.origins.get(id).map_or(id, String::as_str);
        let in_closure = |closure: &Closure| closure.why(kind, id).is_some();
        self.kind(kind)
            && self.closure.as_ref().is_none_or(in_closure)
            && (!TREE.contains(&kind)
                || (self.selected.includes(id) && self.selected.excluded_by(id).is_none()))
    }

    /// Checks that every pattern and every user of the selection names something in the archive.
    ///
    /// # Errors
    /// [`Error::Selection`] with the first that does not.
    pub(crate) fn check(&self, archive: &ArchiveState) -> Result<(), Error> {
        let paths: Vec<&str> = archive.tree.iter().map(|line| line.path.as_str()).collect();
        match self.selection.unmatched(&paths).map_err(wrong)?.first() {
            None => Ok(()),
            Some(Unmatched::Include(pattern)) => {
                Err(nothing(pattern, "no path of the archive matches it"))
            }
            Some(Unmatched::User(user)) => {
                Err(nothing(user, "the archive holds no home of this user"))
            }
        }
    }
}

fn nothing(pattern: &str, what: &str) -> Error {
    Error::Selection {
        pattern: pattern.to_owned(),
        what: what.to_owned(),
    }
}

fn wrong(error: SelectionError) -> Error {
    let (pattern, what) = match error {
        SelectionError::Glob { pattern, source } => (pattern, format!("not a glob: {source}")),
        SelectionError::Relative { pattern } => (pattern, "does not begin with a slash".to_owned()),
        SelectionError::UnknownKind { name, known } => (
            name,
            format!("no such kind of object; the kinds are {}", known.join(", ")),
        ),
        SelectionError::User { name } => (name, "cannot be a user name".to_owned()),
        other => (String::new(), other.to_string()),
    };
    Error::Selection { pattern, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_users_without_kinds_mean_the_tree() {
        let filter = |selection: Selection| Filter::compile(&selection).unwrap();
        let include = vec!["/Shared/a".to_owned()];
        let paths = filter(Selection {
            include: include.clone(),
            ..Selection::default()
        });
        assert!(paths.wants("git-folders", "/Shared/a/repo"));
        assert!(!paths.wants("git-folders", "/Repos/b/repo"));
        assert!(!paths.kind("jobs") && !paths.kind("dbfs") && !paths.kind("users"));
        let both = filter(Selection {
            include,
            kinds: Some(vec!["jobs".to_owned(), "notebooks".to_owned()]),
            ..Selection::default()
        });
        assert!(both.wants("jobs", "1") && both.wants("notebooks", "/Shared/a/x"));
        assert!(!both.wants("files", "/Shared/a/x") && !both.wants("clusters", "1"));
        // Leaving something out leaves the rest as it is.
        let without = filter(Selection {
            exclude: vec!["/Shared/a".to_owned()],
            ..Selection::default()
        });
        assert!(without.wants("jobs", "1") && without.wants("files", "/Shared/b"));
        assert!(!without.wants("files", "/Shared/a/x"));
    }
}
