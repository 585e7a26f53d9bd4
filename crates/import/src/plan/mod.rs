//! What an import would do, decided without a server: a pure function of the archive, the target as listed, the
//! journal and the options (`spec/import.md`, "Plan").

mod build;
mod contents;
mod cost;
mod forms;
pub(crate) mod homes;
mod identities;
mod libraries;
mod matching;
mod objects;
mod owner;
mod removed;
mod secrets;
mod tree;
pub(crate) mod uncaptured;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::difference::Change;
use crate::error::Refusal;
use crate::journal::Made;
use crate::preflight::Finding;

pub(crate) use build::{ACCESS_OFF, build_to_compare, not_known};
pub use build::{Prepared, build};
pub(crate) use contents::wanted_contents;
pub use cost::Cost;
pub(crate) use forms::{
    created_form, desired, desired_active, is_as_seen, is_made_of, is_terminated, landing,
    overrides_digest, same_form, same_overrides, target_form,
};
pub(crate) use identities::{
    Members, another_name, assignment_digest, entitlement_changes, member_changes, of_the_account,
    unassigned,
};
pub(crate) use libraries::{library_changes, no_libraries};
pub(crate) use objects::{STAND_IN, UNCLEAR, clone_todo, is_offered_name, not_checked_out};
pub(crate) use owner::{
    CHANGE_OWNER, CREATOR, NOT_OWNED, OWNER, is_owner_refused, owner_digest, owner_to_set,
};
pub use removed::Limits;
pub(crate) use removed::{ORDER as REMOVED_ORDER, delete_call, home_of, removed_paths};
pub(crate) use secrets::{VAULT_NEEDS, acl_changes, value_changes, vault_todo};
pub(crate) use tree::{
    GIT_CONTENT, ON_THE_WAY, directory_parents, no_home, parent, wanted_directories,
};

/// What is done with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It is made.
    Create,
    /// It is changed, or its access control list is.
    Update,
    /// Nothing.
    Unchanged,
    /// It is there, equal, and linked from now on.
    Adopt,
    /// It is left alone on purpose.
    Skip,
    /// It cannot be restored as things are.
    Blocked,
    /// It is gone from the source, and is deleted.
    Delete,
}

impl What {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::Adopt => "adopt",
            Self::Skip => "skip",
            Self::Blocked => "blocked",
            Self::Delete => "delete",
        }
    }
}

/// What is done with one object of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Kind as in the archive.
    pub kind: String,
    /// Id in the source.
    pub id: String,
    /// Name or workspace path in the source.
    pub name: String,
    /// What is done.
    pub what: What,
    /// Why it is skipped, blocked or updated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its id or path in the target, where that is known already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// True when the object itself is written.
    pub writes_object: bool,
    /// True when its access control list is written.
    pub writes_access: bool,
    /// True when it gets another owner: clusters, of which the importer is the creator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub writes_owner: bool,
    /// What will be missing from the restored object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is worth knowing and no gap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// True when it is gone from the source: the archive does not hold it, the journal does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Calls that it takes.
    pub calls: u64,
    /// Where an update changes it, as far as that is known before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// True when an interrupted run made it and its answer was lost: it is linked as made by this tool.
    #[serde(skip)]
    pub recovered: bool,
}

/// What a comparison calls the access control of an object that is otherwise as it should be.
pub(crate) const ACCESS_CONTROL: &str = "access control";

/// Why an object that somebody changed is kept.
pub(crate) const CHANGED: &str =
    "changed in the target since the last import; kept without --overwrite-changed";

impl Action {
    /// How an object that is linked without a write came to be: by this tool, when a create whose answer was lost is
    /// found again. Only such objects may ever be deleted by it.
    pub(crate) fn made(&self) -> Made {
        if self.recovered {
            Made::Created
        } else {
            Made::Adopted
        }
    }

    /// An action that writes nothing.
    #[must_use]
    pub fn new(kind: &str, id: &str, name: &str, what: What) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            what,
            reason: None,
            target: None,
            writes_object: matches!(what, What::Create | What::Update | What::Delete),
            writes_access: false,
            writes_owner: false,
            notes: Vec::new(),
            remarks: Vec::new(),
            removed: false,
            calls: 0,
            changes: Vec::new(),
            recovered: false,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the id or path in the target.
    #[must_use]
    pub fn at(mut self, target: Option<String>) -> Self {
        self.target = target;
        self
    }

    /// True when an apply has something to do for it.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.writes_object || self.writes_access || self.writes_owner || self.what == What::Adopt
    }
}

/// Number of objects per decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// See [`What::Create`].
    pub create: u64,
    /// See [`What::Update`].
    pub update: u64,
    /// See [`What::Unchanged`].
    pub unchanged: u64,
    /// See [`What::Adopt`].
    pub adopt: u64,
    /// See [`What::Skip`].
    pub skip: u64,
    /// See [`What::Blocked`].
    pub blocked: u64,
    /// See [`What::Delete`].
    pub delete: u64,
}

impl Counts {
    fn add(&mut self, what: What) {
        *match what {
            What::Create => &mut self.create,
            What::Update => &mut self.update,
            What::Unchanged => &mut self.unchanged,
            What::Adopt => &mut self.adopt,
            What::Skip => &mut self.skip,
            What::Blocked => &mut self.blocked,
            What::Delete => &mut self.delete,
        } += 1;
    }
}

/// What an import would do, in the order in which it would do it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// Workspace id of the source.
    pub source: String,
    /// Workspace id of the target.
    pub target: String,
    /// Host of the target.
    pub host: String,
    /// The archive.
    pub archive_id: String,
    /// One action per object, in dependency order.
    pub actions: Vec<Action>,
    /// Calls per family of endpoints, and the time that they take at the known limits.
    pub cost: Cost,
    /// What an apply would be refused for as things are.
    pub refusals: Vec<Refusal>,
    /// What the target lacks, and what could not be checked.
    pub preflight: Vec<Finding>,
    /// What a person has to do.
    pub checklist: Vec<crate::report::Todo>,
    /// Warnings on the run as a whole.
    pub warnings: Vec<String>,
    /// True when the archive holds kinds that this build cannot restore.
    pub unknown_kinds: bool,
    /// The entries of the map file with what they translated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub map: Vec<crate::MapEntry>,
}

impl Plan {
    /// Number of objects per kind and decision, kinds in the order of the catalog.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, Counts)> {
        let mut order: Vec<String> = Vec::new();
        let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
        for action in &self.actions {
            if !counts.contains_key(action.kind.as_str()) {
                order.push(action.kind.clone());
            }
            counts.entry(&action.kind).or_default().add(action.what);
        }
        order
            .into_iter()
            .map(|kind| {
                let count = counts.get(kind.as_str()).copied().unwrap_or_default();
                (kind, count)
            })
            .collect()
    }

    /// True when an apply would write nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.actions.iter().any(Action::has_work)
    }

    /// True when something cannot be restored as things are.
    #[must_use]
    pub fn has_blocked(&self) -> bool {
        self.unknown_kinds
            || self
                .actions
                .iter()
                .any(|action| action.what == What::Blocked)
    }
}

#[cfg(test)]
mod tests;
