//! What came of an import: totals per kind, the fate of each object, the checklist of what nobody can carry, and the
//! comparison with the target as it was read back (`spec/import.md`, "Results").

use std::collections::BTreeMap;

use lifeboat_databricks::Stats;
use serde::Serialize;

use crate::preflight::Finding;

/// The fate of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is new in the target.
    Created,
    /// It existed and was changed.
    Updated,
    /// It existed and is as the archive wants it.
    Unchanged,
    /// It existed, is equal, and belongs to this import from now on.
    Adopted,
    /// It was left alone on purpose.
    Skipped,
    /// It cannot be restored as things are; nothing was tried.
    Blocked,
    /// It was tried and failed.
    Failed,
    /// It was gone from the source and is deleted in the target.
    Deleted,
}

impl Fate {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Adopted => "adopted",
            Self::Skipped => "skipped",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

/// One object and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectResult {
    /// Kind as in the archive.
    pub kind: String,
    /// Id in the source.
    pub id: String,
    /// Name or workspace path in the source.
    pub name: String,
    /// Id in the target, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What came of it.
    pub fate: Fate,
    /// Why, for every fate that needs a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// True when it is gone from the source: the archive does not hold it, the journal does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// What could not be restored although the object itself was: grantees that exist nowhere, an owner that is
    /// missing. A gap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is worth knowing and is not a gap: a path that leads nowhere in the source already, a home that was
    /// restored elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// How it compared with the archive when it was read back; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Verdict>,
}

/// Number of objects per fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// See [`Fate::Created`].
    pub created: u64,
    /// See [`Fate::Updated`].
    pub updated: u64,
    /// See [`Fate::Unchanged`].
    pub unchanged: u64,
    /// See [`Fate::Adopted`].
    pub adopted: u64,
    /// See [`Fate::Skipped`].
    pub skipped: u64,
    /// See [`Fate::Blocked`].
    pub blocked: u64,
    /// See [`Fate::Failed`].
    pub failed: u64,
    /// See [`Fate::Deleted`].
    pub deleted: u64,
}

impl Totals {
    /// Counts one object.
    pub fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Created => &mut self.created,
            Fate::Updated => &mut self.updated,
            Fate::Unchanged => &mut self.unchanged,
            Fate::Adopted => &mut self.adopted,
            Fate::Skipped => &mut self.skipped,
            Fate::Blocked => &mut self.blocked,
            Fate::Failed => &mut self.failed,
            Fate::Deleted => &mut self.deleted,
        } += 1;
    }
}

/// Something that a person has to do, because no tool can carry it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Todo {
    /// Kind of the object concerned.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is missing and why.
    pub what: String,
    /// A command that does it, with placeholders in capitals.
    pub command: String,
}

/// How one object compares with the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Object and access control are as the archive wants them.
    Equal,
    /// It exists and differs.
    Different,
    /// It does not exist.
    Missing,
    /// It could not be read back.
    Unknown,
}

/// One object that is not equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Kind as in the archive.
    pub kind: String,
    /// Id in the source.
    pub id: String,
    /// Name or workspace path.
    pub name: String,
    /// How it compares.
    pub verdict: Verdict,
    /// Places that differ (never values: they may be secret), or why it is missing or unknown.
    pub places: Vec<String>,
}

/// Number of objects per verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Verdicts {
    /// See [`Verdict::Equal`].
    pub equal: u64,
    /// See [`Verdict::Different`].
    pub different: u64,
    /// See [`Verdict::Missing`].
    pub missing: u64,
    /// See [`Verdict::Unknown`].
    pub unknown: u64,
}

/// The archive beside the target as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Verdicts per kind.
    pub kinds: BTreeMap<String, Verdicts>,
    /// Objects among the equal ones whose content and access control an earlier comparison read: nobody but the listing of
    /// this run was asked about them.
    pub not_read_again: u64,
    /// Every object that is not equal.
    pub differences: Vec<Difference>,
    /// Kind and id of every object that is equal.
    #[serde(skip)]
    pub(crate) equal: std::collections::BTreeSet<(String, String)>,
}

impl Comparison {
    /// True when everything is equal.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// What came of an import.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Workspace id of the source.
    pub source: String,
    /// Workspace id of the target.
    pub target: String,
    /// Host of the target.
    pub host: String,
    /// The archive that was imported.
    pub archive_id: String,
    /// Totals per kind.
    pub kinds: BTreeMap<String, Totals>,
    /// The fate of each object, in order of kinds and names.
    pub objects: Vec<ObjectResult>,
    /// What a person has to do.
    pub checklist: Vec<Todo>,
    /// Warnings on the run as a whole: kinds that this build does not know, gaps of the archive.
    pub warnings: Vec<String>,
    /// The comparison, when one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What the target lacks, and what could not be checked before.
    pub preflight: Vec<Finding>,
    /// Calls to the service, repeated ones and those of the read-back among them.
    pub calls: u64,
    /// Calls that were repetitions.
    pub retries: u64,
    /// Replies of the service that asked to slow down.
    pub throttled: u64,
    /// Calls that changed something in the target.
    pub writes: u64,
    /// Seconds per phase, in order.
    pub phases: Vec<(String, f64)>,
    /// True when the archive holds kinds that this build cannot restore.
    pub unknown_kinds: bool,
    /// True when the archive's inventory is incomplete: what it does not name was not restored either. A warning says
    /// which kinds.
    pub incomplete: bool,
}

impl Report {
    /// True when something could not be restored: exit code 3.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.unknown_kinds
            || self.incomplete
            || self
                .kinds
                .values()
                .any(|totals| totals.blocked + totals.failed > 0)
            || self.objects.iter().any(|object| !object.notes.is_empty())
    }

    pub(crate) fn count_calls(&mut self, before: &Stats, after: &Stats) {
        self.calls = after.calls - before.calls;
        self.retries = after.retries - before.retries;
        self.throttled = after.throttled - before.throttled;
    }

    /// Adds a comparison, and to each object how it compared.
    pub(crate) fn add_comparison(&mut self, comparison: Comparison) {
        let mut verdicts: BTreeMap<(&str, &str), Verdict> = comparison
            .equal
            .iter()
            .map(|(kind, id)| ((kind.as_str(), id.as_str()), Verdict::Equal))
            .collect();
        verdicts.extend(
            comparison
                .differences
                .iter()
                .map(|one| ((one.kind.as_str(), one.id.as_str()), one.verdict)),
        );
        for object in &mut self.objects {
            object.compared = verdicts
                .get(&(object.kind.as_str(), object.id.as_str()))
                .copied();
        }
        self.comparison = Some(comparison);
    }

    /// Totals over all kinds.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for totals in self.kinds.values() {
            sum.created += totals.created;
            sum.updated += totals.updated;
            sum.unchanged += totals.unchanged;
            sum.adopted += totals.adopted;
            sum.skipped += totals.skipped;
            sum.blocked += totals.blocked;
            sum.failed += totals.failed;
            sum.deleted += totals.deleted;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_incomplete_archive_does_not_name_is_a_gap() {
        let mut report = Report::default();
        assert!(!report.has_gaps());
        report.incomplete = true;
        assert!(report.has_gaps());
    }
}
