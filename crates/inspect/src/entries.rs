//! The objects of an archive as one stream of entries, whatever table or file their records stand in
//! (spec/records.md).

use std::ops::ControlFlow;

use lifeboat_archive::{Archive, Member};
use lifeboat_catalog::records::{AclLine, ContentRef, DbfsLine, ObjectRecord, WorkspaceLine};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// Table of the workspace tree.
pub(crate) const WORKSPACE: &str = "workspace";
/// Table of the DBFS files.
pub(crate) const DBFS: &str = "dbfs";
/// Folder of the access control tables.
pub(crate) const ACLS: &str = "acls";

/// In which sort of record an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Origin {
    #[default]
    Workspace,
    Dbfs,
    Object,
    Acl,
    Member,
}

/// One object of an archive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Kind, as in `--kinds`; objects of the tree by their type in the words of the service (`NOTEBOOK`).
    pub kind: String,
    /// Id that the source workspace gave; for DBFS files their path.
    pub id: String,
    /// Workspace path, DBFS path (`dbfs:/...`), or the name of the object.
    pub name: String,
    /// Size of the content in bytes, where the object has one.
    pub size: Option<u64>,
    /// Digest of the content in lower-case hexadecimal, where the object has one.
    pub sha256: Option<String>,
    /// Member of the archive that holds the content, or the record of an object without content.
    pub member: Option<String>,
    /// The record's body, or the facts of the listing.
    #[serde(skip)]
    pub body: Value,
    /// How the content stands in the archive.
    #[serde(skip)]
    pub content: Option<ContentRef>,
    #[serde(skip)]
    pub(crate) origin: Origin,
}

impl Entry {
    /// Its id or its name is that text.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        self.id == text || self.name == text
    }

    /// Its name is a path that `cat` takes as it is.
    pub fn has_path(&self) -> bool {
        matches!(
            self.origin,
            Origin::Workspace | Origin::Dbfs | Origin::Member
        )
    }

    /// A folder of the workspace or of DBFS.
    pub fn is_directory(&self) -> bool {
        self.kind == "DIRECTORY"
    }
}

/// Goes on until the visitor breaks; then nothing more is read.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(Entry) -> Result<ControlFlow<()>, Error>;

/// One of the two trees of paths: how it is walked, and how one path is found without a walk.
pub(crate) struct Tree {
    pub(crate) walk: fn(&Archive, Visit<'_>) -> Result<ControlFlow<()>, Error>,
    pub(crate) find: fn(&Archive, &str) -> Result<Option<Entry>, Error>,
}

/// The workspace.
pub(crate) const WORKSPACE_TREE: Tree = Tree {
    walk: workspace,
    find: |archive, path| Ok(line::<WorkspaceLine>(archive, WORKSPACE, path)?.map(of_workspace)),
};

/// DBFS; paths begin with `dbfs:/`.
pub(crate) const DBFS_TREE: Tree = Tree {
    walk: dbfs,
    find: |archive, path| {
        let path = path.strip_prefix("dbfs:").unwrap_or(path);
        Ok(line::<DbfsLine>(archive, DBFS, path)?.map(of_dbfs))
    },
};

/// Visits the workspace tree in the order of its paths.
pub(crate) fn workspace(archive: &Archive, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
    table(archive, WORKSPACE, |line| visit(of_workspace(line)))
}

/// Visits the DBFS files in the order of their paths; names begin with `dbfs:/`.
pub(crate) fn dbfs(archive: &Archive, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
    table(archive, DBFS, |line| visit(of_dbfs(line)))
}

/// Visits the objects of a kind whose records are files or lines `{kind, id, name, body}`. Works for kinds that this
/// version does not know, too.
pub(crate) fn objects(
    archive: &Archive,
    kind: &str,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    for member in archive.members(&format!("data/{kind}/"))? {
        let member = member?;
        if member.path.ends_with(".json") && visit(object(archive, &member)?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    table(archive, kind, |record: ObjectRecord| {
        visit(entry_of(record, None))
    })
}

/// Visits the access control lists of one kind; the body is the reply of the service.
pub(crate) fn acls(
    archive: &Archive,
    kind: &str,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    table(archive, &format!("{ACLS}/{kind}"), |line: AclLine| {
        visit(Entry {
            kind: format!("{ACLS}/{}", line.kind),
            id: line.id,
            name: line.name,
            body: line.body,
            ..with_content(None, Origin::Acl)
        })
    })
}

/// The object whose record is that member.
pub(crate) fn object(archive: &Archive, member: &Member) -> Result<Entry, Error> {
    let bytes = archive.read(member)?;
    let record: ObjectRecord = serde_json::from_slice(&bytes).map_err(|error| Error::Record {
        record: member.path.clone(),
        what: error.to_string(),
    })?;
    let mut entry = entry_of(record, Some(member.path.clone()));
    entry.size = Some(member.size);
    entry.sha256 = Some(member.sha256.to_string());
    Ok(entry)
}

fn of_workspace(line: WorkspaceLine) -> Entry {
    Entry {
        kind: line.object_type,
        id: line.object_id,
        name: line.path,
        body: line.facts,
        ..with_content(line.content, Origin::Workspace)
    }
}

fn of_dbfs(line: DbfsLine) -> Entry {
    let name = if line.path.starts_with("dbfs:") {
        line.path.clone()
    } else {
        format!("dbfs:{}", line.path)
    };
    Entry {
        kind: if line.is_dir {
            "DIRECTORY"
        } else {
            "DBFS_FILE"
        }
        .to_owned(),
        id: line.path,
        name,
        body: line.facts,
        ..with_content(line.content, Origin::Dbfs)
    }
}

fn entry_of(record: ObjectRecord, member: Option<String>) -> Entry {
    let ObjectRecord {
        kind,
        id,
        name,
        body,
    } = record;
    Entry {
        kind,
        id,
        name,
        size: None,
        sha256: None,
        member,
        body,
        content: None,
        origin: Origin::Object,
    }
}

fn with_content(content: Option<ContentRef>, origin: Origin) -> Entry {
    Entry {
        kind: String::new(),
        id: String::new(),
        name: String::new(),
        size: content.as_ref().map(|content| content.size),
        sha256: content.as_ref().map(|content| content.sha256.clone()),
        member: content.as_ref().map(|content| content.path.clone()),
        body: Value::Null,
        content,
        origin,
    }
}

fn line<L: DeserializeOwned>(archive: &Archive, name: &str, key: &str) -> Result<Option<L>, Error> {
    match archive.find_line(&format!("data/{name}"), key)? {
        Some(line) => parse(&line, || format!("data/{name}, {key}")).map(Some),
        None => Ok(None),
    }
}

fn table<L: DeserializeOwned>(
    archive: &Archive,
    name: &str,
    mut visit: impl FnMut(L) -> Result<ControlFlow<()>, Error>,
) -> Result<ControlFlow<()>, Error> {
    for (index, line) in archive.lines(&format!("data/{name}"))?.enumerate() {
        let record = parse(&line?, || format!("data/{name}, line {}", index + 1))?;
        if visit(record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn parse<L: DeserializeOwned>(line: &str, record: impl FnOnce() -> String) -> Result<L, Error> {
    serde_json::from_str(line).map_err(|error| Error::Record {
        record: record(),
        what: error.to_string(),
    })
}
