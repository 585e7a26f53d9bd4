//! What a base holds, by key: keys in memory, the rest in a temporary file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use lifeboat_archive::{Archive, Member};
use lifeboat_catalog::records::{
    ContentRef, DBFS_CONTENT, DBFS_TABLE, DbfsLine, WORKSPACE_CONTENT, WORKSPACE_TABLE,
    WorkspaceLine, acl_table,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Held, HeldAcl, NamedFormat, dbfs_state, temporary, tree_state, unusable};
use crate::error::Error;
use crate::spill::{Slot, Spill};

/// Values by key.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<Box<str>, Slot>,
    texts: Spill,
}

impl Index {
    fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        let text =
            serde_json::to_string(value).map_err(|error| Error::temporary(temporary(error)))?;
        let slot = self.texts.put(&text).map_err(Error::temporary)?;
        self.slots.insert(key.into(), slot);
        Ok(())
    }

    pub(super) fn get<T: DeserializeOwned>(&mut self, key: &str) -> io::Result<Option<T>> {
        let Some(slot) = self.slots.get(key) else {
            return Ok(None);
        };
        let text = self.texts.get(*slot)?;
        serde_json::from_str(&text).map(Some).map_err(temporary)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// Members by the hash of their path. A hash that two paths share costs a reading and no more: size and digest of the
/// record have to fit too.
struct Members(HashMap<u64, Member>);

impl Members {
    fn take(&mut self, content: &ContentRef) -> Option<Member> {
        let mut member = self.0.remove(&hash(&content.path))?;
        let fits = member.size == content.size && member.sha256.to_string() == content.sha256;
        member.path.clone_from(&content.path);
        fits.then_some(member)
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// A line of access control, as far as it is looked at.
#[derive(Deserialize)]
struct AclRow {
    id: String,
    name: String,
    body: Box<RawValue>,
}

/// Reads the tables of a base.
pub(super) struct Reader<'a> {
    pub(super) archive: &'a Archive,
    pub(super) name: &'a str,
    /// All of the workspace was listed a second time, after its contents were read.
    pub(super) confirmed: bool,
    /// Contents of objects that were modified at this moment or later are not taken over, in epoch milliseconds.
    pub(super) settled_before: i64,
}

impl Reader<'_> {
    /// Contents of the tree by object id.
    pub(super) fn contents(&self, fits: impl Fn(&Held) -> bool) -> Result<Index, Error> {
        let mut members = self.members(WORKSPACE_CONTENT)?;
        let mut index = Index::default();
        self.each(WORKSPACE_TABLE, |line: WorkspaceLine| {
            let settled = self.is_settled(&line.facts, "modified_at");
            let state = tree_state(&line.path, &line.facts);
            let held = line
                .content
                .and_then(|content| held(&mut members, content, state, None))
                .filter(|held| settled && fits(held));
            match held {
                // Objects without an id cannot be told apart.
                Some(_) if line.object_id.is_empty() => Ok(()),
                Some(held) => {
                    let path = (!self.confirmed).then_some(line.path);
                    index.put(&line.object_id, &Held { path, ..held })
                }
                None => Ok(()),
            }
        })?;
        Ok(index)
    }

    /// DBFS files by path.
    pub(super) fn dbfs(&self) -> Result<Index, Error> {
        let mut members = self.members(DBFS_CONTENT)?;
        let mut index = Index::default();
        self.each(DBFS_TABLE, |line: DbfsLine| {
            let settled = self.is_settled(&line.facts, "modification_time");
            let state = dbfs_state(&line.facts);
            let held = line
                .content
                .and_then(|content| held(&mut members, content, state, Some(line.facts)))
                .filter(|_| settled);
            match held {
                Some(held) => index.put(&line.path, &held),
                None => Ok(()),
            }
        })?;
        Ok(index)
    }

    /// The access control of a kind by object id.
    pub(super) fn acls(&self, kind: &str) -> Result<Index, Error> {
        let mut index = Index::default();
        self.each(&acl_table(kind), |AclRow { id, name, body }: AclRow| {
            index.put(&id, &HeldAcl { name, body })
        })?;
        Ok(index)
    }

    /// Whether an object had rested when it was listed. One without a time never does.
    fn is_settled(&self, facts: &Value, field: &str) -> bool {
        facts
            .get(field)
            .and_then(Value::as_i64)
            .is_some_and(|time| time < self.settled_before)
    }

    fn members(&self, prefix: &str) -> Result<Members, Error> {
        let prefix = format!("{prefix}/");
        let members = self
            .archive
            .members(&prefix)
            .map_err(|source| unusable(self.name, source))?;
        let mut found = HashMap::new();
        for member in members {
            let mut member = member.map_err(|source| unusable(self.name, source))?;
            let path = std::mem::take(&mut member.path);
            found.insert(hash(&path), member);
        }
        Ok(Members(found))
    }

    fn each<T: DeserializeOwned>(
        &self,
        table: &str,
        mut take: impl FnMut(T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let lines = self
            .archive
            .lines(table)
            .map_err(|source| unusable(self.name, source))?;
        for line in lines {
            let line = line.map_err(|source| unusable(self.name, source))?;
            let line = serde_json::from_str(&line).map_err(|source| Error::BaseRecord {
                archive: self.name.to_owned(),
                table: table.to_owned(),
                source,
            })?;
            take(line)?;
        }
        Ok(())
    }
}

/// A content with its place; nothing when record and index disagree or the format is none that this version reads.
fn held(
    members: &mut Members,
    content: ContentRef,
    state: String,
    facts: Option<Value>,
) -> Option<Held> {
    let formats = [NamedFormat::Source, NamedFormat::Jupyter, NamedFormat::Raw];
    let format = formats
        .into_iter()
        .find(|format| format.name() == content.format)?;
    let member = members.take(&content)?;
    Some(Held {
        state,
        path: None,
        member,
        format,
        file_type: content.file_type,
        facts,
    })
}
