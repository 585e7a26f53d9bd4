//! `ls`: the kinds of an archive, the objects of a kind, a folder of the workspace, or whatever a pattern matches.

use std::collections::HashSet;
use std::ops::ControlFlow;

use lifeboat_archive::{Archive, KindSummary};
use lifeboat_catalog::{Layout, tree};
use serde::Serialize;

use crate::entries::{self, DBFS, Entry, Origin, Tree, Visit};
use crate::error::Error;
use crate::select::{PathPattern, Selector, known_kinds};

/// One kind of an archive with its counts.
#[derive(Debug, Clone, Serialize)]
pub struct KindLine {
    /// The kind, as in `--kinds`.
    pub kind: String,
    /// What the archive says about it.
    pub summary: KindSummary,
}

/// How many entries a listing had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Entries visited.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// The kinds of the archive, by name.
///
/// # Errors
/// When the archive cannot be read.
pub fn kinds(archive: &Archive) -> Result<Vec<KindLine>, Error> {
    Ok(archive
        .summary()?
        .kinds
        .into_iter()
        .map(|(kind, summary)| KindLine { kind, summary })
        .collect())
}

/// Visits what `what` names: the children of a folder (with `recursive` everything below), the objects that match a
/// pattern, the objects of a kind, or the members below a member path. Stops when the visitor breaks.
///
/// # Errors
/// [`Error::NotFound`] when nothing bears that name; otherwise when the archive cannot be read.
pub fn ls(
    archive: &Archive,
    what: &str,
    recursive: bool,
    visit: &mut dyn FnMut(&Entry) -> ControlFlow<()>,
) -> Result<Listed, Error> {
    let kinds = known_kinds(archive)?;
    let mut listed = Listed::default();
    // A folder that is there but empty, or a kind that the archive knows without objects, is found.
    let mut found = false;
    let mut show = |entry: Entry| {
        listed.entries += 1;
        listed.bytes += entry.size.unwrap_or(0);
        Ok(visit(&entry))
    };
    let _ = match Selector::parse(what, &kinds)? {
        Selector::Workspace(pattern) => folder(
            archive,
            &entries::WORKSPACE_TREE,
            &pattern,
            recursive,
            &mut found,
            &mut show,
        )?,
        Selector::Dbfs(pattern) => folder(
            archive,
            &entries::DBFS_TREE,
            &pattern,
            recursive,
            &mut found,
            &mut show,
        )?,
        Selector::Kind(kind) => {
            found = true;
            of_kind(archive, &kind, &mut show)?
        }
        Selector::Object { kind, id } => of_kind(archive, &kind, &mut |entry| {
            if entry.is_called(&id) {
                show(entry)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        })?,
        Selector::Acls(kind) => entries::acls(archive, &kind, &mut show)?,
        Selector::Acl { kind, id } => entries::acls(archive, &kind, &mut |entry| {
            if entry.is_called(&id) {
                show(entry)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        })?,
        Selector::Member(path) => members(archive, &path, &mut show)?,
    };
    if listed.entries == 0 && !found {
        return Err(Error::NotFound {
            what: what.to_owned(),
        });
    }
    Ok(listed)
}

/// The objects of a kind. Kinds of the tree are the workspace's objects of that kind.
pub(crate) fn of_kind(
    archive: &Archive,
    kind: &str,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    if is_tree_kind(kind) {
        return entries::workspace(archive, &mut |entry| {
            if tree::kind_of(&entry.kind).name == kind {
                visit(entry)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        });
    }
    entries::objects(archive, kind, visit)
}

/// The objects of that kind are lines of the workspace tree and nothing else.
pub(crate) fn is_tree_kind(kind: &str) -> bool {
    kind != DBFS && lifeboat_catalog::kind(kind).is_some_and(|kind| kind.layout == Layout::Tree)
}

fn folder(
    archive: &Archive,
    tree: &Tree,
    pattern: &PathPattern,
    recursive: bool,
    found: &mut bool,
    show: Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    // DBFS folders that hold nothing but folders have no record of their own.
    let mut shown: HashSet<String> = HashSet::new();
    (tree.walk)(archive, &mut |entry| {
        if !recursive
            && let Some(child) = pattern.child_above(&entry.name)
            && shown.insert(child.to_owned())
        {
            *found = true;
            return show(Entry {
                kind: "DIRECTORY".to_owned(),
                id: child.to_owned(),
                name: child.to_owned(),
                size: None,
                sha256: None,
                member: None,
                body: serde_json::Value::Null,
                content: None,
                origin: entry.origin,
            });
        }
        let itself = pattern.is_match(&entry.name);
        let below = if recursive {
            pattern.covers(&entry.name)
        } else {
            pattern.is_child(&entry.name)
        };
        *found |= itself || below;
        // A folder named literally stands for its content, as with the `ls` of a shell.
        let folder = entry.is_directory() && entry.name == pattern.text();
        if below || (itself && !folder) {
            if below && entry.is_directory() {
                shown.insert(entry.name.clone());
            }
            show(entry)
        } else {
            Ok(ControlFlow::Continue(()))
        }
    })
}

fn members(archive: &Archive, path: &str, show: Visit<'_>) -> Result<ControlFlow<()>, Error> {
    for member in archive.members(path)? {
        let member = member?;
        let below = member
            .path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let entry = Entry {
            kind: "member".to_owned(),
            id: member.path.clone(),
            name: member.path.clone(),
            size: Some(member.size),
            sha256: Some(member.sha256.to_string()),
            member: Some(member.path),
            body: serde_json::Value::Null,
            content: None,
            origin: Origin::Member,
        };
        if below && show(entry)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
