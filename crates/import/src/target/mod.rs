//! The target as it is: what was listed of it, as far as the archive names it (`spec/import.md`, "Plan").

mod confirm;
mod contents;
mod named;
mod offer;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalog::Target;
use lifeboat_catalog::acl::Principal;
use serde_json::Value;

use crate::held::Reply;

pub(crate) use contents::{
    Content, Wanted, dbfs_digest, digest_of, normal_digest, read_content, read_contents,
};
pub(crate) use named::{NamedPaths, Sight, look_up};
pub use offer::{Asked, NodeType, Offer};
pub(crate) use offer::{account_groups, missing_account_groups, read as read_offer};
pub(crate) use read::{
    Reader, concurrently, dbfs_info, integer, is_identity, is_listed, list_directory, list_whole,
    read_now, read_object, service, tree_info,
};

/// An object of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetObject {
    /// Its id.
    pub id: String,
    /// As listed, or as read where it may matter.
    pub body: Value,
}

/// An object of which nobody can say whether it is there: it is listed and cannot be read, or the other way round. Never
/// the same as an absent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// Its id.
    pub id: String,
    /// Its natural key, where it is known.
    pub key: Option<String>,
    /// What speaks for it and what against it.
    pub why: String,
}

impl Unclear {
    pub(crate) fn new(id: String, key: Option<String>, why: String) -> Self {
        Self { id, key, why }
    }
}

/// Whether a kind could be listed. A refused listing is never an empty one.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// Its objects.
    Yes(Vec<TargetObject>),
    /// Why not.
    No(String),
}

/// An object of the target's tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeInfo {
    /// `NOTEBOOK`, `DIRECTORY`, ...
    pub object_type: String,
    /// Numeric id as text.
    pub object_id: String,
    /// Language of a notebook.
    pub language: Option<String>,
    /// Milliseconds.
    pub modified_at: Option<i64>,
}

/// A file or directory of the target's DBFS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DbfsInfo {
    /// True for a directory.
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
    /// Milliseconds.
    pub modified_at: Option<i64>,
}

/// The target as it is.
#[derive(Debug, Default)]
pub struct TargetState {
    /// Workspace id.
    pub workspace_id: String,
    /// Host.
    pub host: String,
    /// The caller's user name or application id.
    pub caller: String,
    /// The caller's SCIM id.
    pub caller_id: String,
    /// Whether the caller is a workspace administrator.
    pub is_admin: bool,
    /// Listings by kind.
    pub kinds: BTreeMap<String, Listed>,
    /// Objects of which nobody knows, by kind.
    pub unclear: BTreeMap<String, Vec<Unclear>>,
    /// A listing of users, groups or service principals that was refused: the kind and the error. Without it everybody
    /// would count as missing, so nothing may be written.
    pub nobody: Option<(&'static str, lifeboat_databricks::Error)>,
    /// The tree by path: every directory that the archive has content for, and what stands in it.
    pub tree: BTreeMap<String, TreeInfo>,
    /// Directories that exist and could not be listed, with the reason.
    pub unlisted: BTreeMap<String, String>,
    /// DBFS by path, as far as the archive names it.
    pub dbfs: BTreeMap<String, DbfsInfo>,
    /// Why DBFS could not be read, if so.
    pub dbfs_refused: Option<String>,
    /// Paths that bodies name and that are looked up one by one.
    pub(crate) named: NamedPaths,
    /// Contents that had to be read to decide, by kind and path in the target.
    pub(crate) contents: BTreeMap<(String, String), Content>,
    /// Access control by kind and id in the target, where it was read.
    pub acls: BTreeMap<(String, String), Reply>,
    /// Homes that exist.
    pub homes: BTreeSet<String>,
    /// What the target offers besides objects.
    pub offer: Offer,
}

impl TargetState {
    /// The objects of a kind; empty when it was not listed.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> &[TargetObject] {
        match self.kinds.get(kind) {
            Some(Listed::Yes(objects)) => objects,
            _ => &[],
        }
    }

    /// Why a kind could not be listed.
    #[must_use]
    pub fn refused(&self, kind: &str) -> Option<&str> {
        match self.kinds.get(kind) {
            Some(Listed::No(reason)) => Some(reason),
            _ => None,
        }
    }

    /// The object of a kind with this id.
    #[must_use]
    pub fn by_id(&self, kind: &str, id: &str) -> Option<&TargetObject> {
        self.of_kind(kind).iter().find(|object| object.id == id)
    }

    /// The object of a kind of which nobody knows, and that is wanted.
    #[must_use]
    pub fn unclear(&self, kind: &str, wanted: impl Fn(&Unclear) -> bool) -> Option<&Unclear> {
        let unclear = self.unclear.get(kind)?;
        unclear.iter().find(|one| wanted(one))
    }

    /// The caller as a grantee.
    #[must_use]
    pub fn caller_principal(&self) -> Principal {
        let kind = if lifeboat_catalog::jobs::is_guid(&self.caller) {
            Target::ServicePrincipal
        } else {
            Target::User
        };
        Principal {
            kind,
            name: self.caller.clone(),
        }
    }
}
