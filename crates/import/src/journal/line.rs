//! One line of the journal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MapEntries, Standing, State};

/// Version of the line format. A reader refuses a higher one and accepts every lower one. 2 brought the standings and
/// the activations, without which a reader would take a target that runs production for one that somebody changed; 3 the
/// operation `own`.
pub const VERSION: u32 = 3;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineKind {
    /// An import opened the journal for this pair.
    Open,
    /// The target's state from now on.
    State,
    /// A call is about to be made.
    Intent,
    /// The call was answered, or given up.
    Result,
    /// An object was read back and is equal to what was written.
    Seen,
    /// What an activation gives back to an object, or why it does not.
    Standing,
}

/// What an intent announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// The object is made.
    Create,
    /// The object is linked without being written.
    Adopt,
    /// The object is changed.
    Update,
    /// A new cluster is stopped.
    Terminate,
    /// A new cluster gets its archived specification.
    Configure,
    /// A cluster is pinned.
    Pin,
    /// A cluster is unpinned.
    Unpin,
    /// A cluster gets another owner.
    Own,
    /// The access control list is written.
    Access,
    /// The object is deleted.
    Delete,
    /// The object gets the state that it had in the source.
    Activate,
    /// The object becomes passive again.
    Deactivate,
}

/// How an object came to be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// This tool made it.
    Created,
    /// It was there, equal, and adopted.
    Adopted,
    /// It was there and is never changed as a whole: built-ins, identities of the account.
    Found,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`VERSION`].
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The archive that it served.
    pub archive: String,
    /// What it says.
    pub line: LineKind,
    /// Number of the intent, repeated in its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What is announced or answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its id in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its id in the target; for the opening line the target workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// For the opening line: the source workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For the opening line: the tool and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// SHA-256 of what is written, lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Idempotency token of a create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How the object came to be linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// True when the import covers a part of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<bool>,
    /// Path in the source, where a map file or another folder makes the id another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// True when the import restores below another folder: the id is no path of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<bool>,
    /// The target's `modified_at`, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<i64>,
    /// For a result: whether the call did what was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// For a failed result: whether it is certain that nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certain: Option<bool>,
    /// For a failed result: the service has the feature switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<bool>,
    /// For a failed result: it says nothing of the object (the caller's token, a busy service, the network).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passing: Option<bool>,
    /// For a failed result: the error. For access control that was written in part: who was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For a state line: the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// For an adoption: digest of the form that counts as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// For a seen line: a comparison found the object and its access control equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<bool>,
    /// For the opening line of an import with a map that is not that of the last one: its entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapEntries>,
    /// For a seen line of an object that a map file translated: digest of its form in the words of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<String>,
    /// For a standing line: the standing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

impl Line {
    /// A line of this kind with nothing in it, written now.
    #[must_use]
    pub fn new(line: LineKind, archive: &str) -> Self {
        Self {
            v: VERSION,
            at: Timestamp::now(),
            archive: archive.to_owned(),
            line,
            seq: None,
            op: None,
            kind: None,
            id: None,
            name: None,
            target: None,
            source: None,
            tool: None,
            digest: None,
            token: None,
            made: None,
            part: None,
            origin: None,
            elsewhere: None,
            modified_at: None,
            ok: None,
            certain: None,
            off: None,
            passing: None,
            error: None,
            state: None,
            seen: None,
            proved: None,
            map: None,
            archived: None,
            standing: None,
        }
    }

    /// Kind and source id of the object that the line is about.
    #[must_use]
    pub fn object(&self) -> Option<(&str, &str)> {
        Some((self.kind.as_deref()?, self.id.as_deref()?))
    }
}
