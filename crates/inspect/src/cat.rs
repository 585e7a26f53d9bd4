//! `cat`: the content of one object, proved by its digest.

use std::io::Write;
use std::ops::ControlFlow;

use lifeboat_archive::{Archive, Fate, Member, ReadError};

use crate::entries::{self, Entry, Tree, Visit};
use crate::error::Error;
use crate::ledger::{self, LEDGER};
use crate::ls::of_kind;
use crate::select::{PathPattern, Selector, known_kinds};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The member that was copied; `None` when a record's body was written.
    pub member: Option<String>,
    /// Bytes of the content.
    pub size: u64,
}

/// Writes the content of a notebook, workspace file, DBFS file or member as it is, or the body of an object as indented
/// JSON, or the lines of a table. `what`: `/Users/a/nb`, `dbfs:/x`, `jobs/123`, `jobs/<name>`, `acls/jobs/123`, a
/// table such as `ledger` or `users`, or a member path.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotCaptured`] (the ledger names it), [`Error::Ambiguous`], [`Error::NoContent`] (a folder, or a type that is not captured),
/// [`Error::Output`] when `out` fails; otherwise when the archive cannot be read.
pub fn cat(archive: &Archive, what: &str, out: &mut dyn Write) -> Result<Shown, Error> {
    // A member is found on the page that names it; whether it is a table would take further reads.
    if what.starts_with("data/")
        && let Some(member) = archive.find(what)?
    {
        return copy(archive, &member, what, out);
    }
    if let Some(shown) = table(archive, what.trim_end_matches('/'), out)? {
        return Ok(shown);
    }
    match object(archive, what, out) {
        Err(error @ (Error::NotFound { .. } | Error::NoContent { .. })) => {
            Err(match ledger::find(archive, what)? {
                Some(line) => Error::NotCaptured {
                    what: what.to_owned(),
                    fate: fate(line.fate).to_owned(),
                    message: line.message,
                },
                None => error,
            })
        }
        outcome => outcome,
    }
}

/// The word of the ledger for a fate.
fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Stored => "stored",
        Fate::Reused => "reused",
        Fate::Excluded => "excluded",
        Fate::Unsupported => "unsupported",
        Fate::Vanished => "vanished",
        Fate::Failed => "failed",
    }
}

/// All lines of a table, when there is one of that name with or without `data/`: `ledger`, `users`, `acls/jobs`.
fn table(archive: &Archive, name: &str, out: &mut dyn Write) -> Result<Option<Shown>, Error> {
    if name.is_empty() || name.starts_with('/') || name.contains(':') {
        return Ok(None);
    }
    for table in [name.to_owned(), format!("data/{name}")] {
        let mut size = 0;
        for line in archive.lines(&table)? {
            let mut line = line?;
            line.push('\n');
            size += line.len() as u64;
            out.write_all(line.as_bytes())
                .map_err(|source| Error::Output {
                    path: table.clone(),
                    source,
                })?;
        }
        if size > 0 || name == LEDGER {
            return Ok(Some(Shown { member: None, size }));
        }
    }
    Ok(None)
}

fn object(archive: &Archive, what: &str, out: &mut dyn Write) -> Result<Shown, Error> {
    let selector = match Selector::of_path(what)? {
        Some(path) => path,
        None => Selector::parse(what, &known_kinds(archive)?)?,
    };
    match selector {
        Selector::Workspace(pattern) => content(
            archive,
            &at_path(archive, what, &pattern, &entries::WORKSPACE_TREE)?,
            out,
        ),
        Selector::Dbfs(pattern) => content(
            archive,
            &at_path(archive, what, &pattern, &entries::DBFS_TREE)?,
            out,
        ),
        Selector::Object { kind, id } => {
            let entry = one(what, |visit| {
                named(&id, visit, |visit| of_kind(archive, &kind, visit))
            })?;
            if entry.content.is_some() {
                content(archive, &entry, out)
            } else {
                body(&entry, out)
            }
        }
        Selector::Acl { kind, id } => body(
            &one(what, |visit| {
                named(&id, visit, |visit| entries::acls(archive, &kind, visit))
            })?,
            out,
        ),
        Selector::Member(path) => {
            let member = archive.find(&path)?.ok_or_else(|| Error::NotFound {
                what: what.to_owned(),
            })?;
            copy(archive, &member, what, out)
        }
        Selector::Kind(_) | Selector::Acls(_) => Err(Error::NoContent {
            path: what.to_owned(),
            object_type: "kind".to_owned(),
        }),
    }
}

/// Exactly one entry, or an error that says how many there are.
fn one(
    what: &str,
    walk: impl FnOnce(Visit<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<Entry, Error> {
    let mut first = None;
    let mut count = 0;
    let _ = walk(&mut |entry| {
        count += 1;
        first.get_or_insert(entry);
        Ok(ControlFlow::Continue(()))
    })?;
    match (first, count) {
        (Some(entry), 1) => Ok(entry),
        (None, _) => Err(Error::NotFound {
            what: what.to_owned(),
        }),
        (Some(_), count) => Err(Error::Ambiguous {
            what: what.to_owned(),
            count,
        }),
    }
}

/// A path that is there literally wins over what the same text matches as a pattern; it is found without a walk.
fn at_path(
    archive: &Archive,
    what: &str,
    pattern: &PathPattern,
    tree: &Tree,
) -> Result<Entry, Error> {
    match (tree.find)(archive, pattern.text())? {
        Some(entry) => Ok(entry),
        None if pattern.is_literal() => Err(Error::NotFound {
            what: what.to_owned(),
        }),
        None => one(what, |visit| {
            (tree.walk)(archive, &mut |entry| {
                if pattern.is_match(&entry.name) {
                    visit(entry)
                } else {
                    Ok(ControlFlow::Continue(()))
                }
            })
        }),
    }
}

/// An id that fits wins over names that fit.
fn named(
    id: &str,
    visit: Visit<'_>,
    walk: impl FnOnce(Visit<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<ControlFlow<()>, Error> {
    let mut matches = Vec::new();
    let _ = walk(&mut |entry| {
        if entry.id == id {
            matches = vec![entry];
            return Ok(ControlFlow::Break(()));
        }
        if entry.name == id {
            matches.push(entry);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for entry in matches {
        let _ = visit(entry)?;
    }
    Ok(ControlFlow::Continue(()))
}

fn content(archive: &Archive, entry: &Entry, out: &mut dyn Write) -> Result<Shown, Error> {
    copy(archive, &content_member(archive, entry)?, &entry.name, out)
}

/// The member that holds the content of `entry`; it must be the one that the record describes.
pub(crate) fn content_member(archive: &Archive, entry: &Entry) -> Result<Member, Error> {
    let Some(content) = &entry.content else {
        return Err(Error::NoContent {
            path: entry.name.clone(),
            object_type: entry.kind.clone(),
        });
    };
    let damaged = |what: String| Error::Record {
        record: format!("of {}", entry.name),
        what,
    };
    let member = archive
        .find(&content.path)?
        .ok_or_else(|| damaged(format!("it names {}, which is missing", content.path)))?;
    let actual = member.sha256.to_string();
    if actual != content.sha256 {
        return Err(damaged(format!(
            "it states the digest {}, the member has {actual}",
            content.sha256
        )));
    }
    Ok(member)
}

fn copy(
    archive: &Archive,
    member: &Member,
    name: &str,
    out: &mut dyn Write,
) -> Result<Shown, Error> {
    match archive.copy(member, out) {
        Ok(()) => Ok(Shown {
            member: Some(member.path.clone()),
            size: member.size,
        }),
        Err(ReadError::Output { source, .. }) => Err(Error::Output {
            path: name.to_owned(),
            source,
        }),
        Err(source) => Err(source.into()),
    }
}

fn body(entry: &Entry, out: &mut dyn Write) -> Result<Shown, Error> {
    let mut text = serde_json::to_string_pretty(&entry.body).map_err(|error| Error::Record {
        record: entry.name.clone(),
        what: error.to_string(),
    })?;
    text.push('\n');
    out.write_all(text.as_bytes())
        .map_err(|source| Error::Output {
            path: entry.name.clone(),
            source,
        })?;
    Ok(Shown {
        member: None,
        size: text.len() as u64,
    })
}
