//! The statements of an archive about itself: where it comes from, what was asked for, what was captured
//! (spec, "What was captured").
//!
//! Owns the JSON of `lifeboat.json`, `summary.json` and of ledger lines. Which kinds of object exist is the
//! catalog's business: here a kind is a name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::version::{FORMAT_VERSION, FormatVersion};

/// The value of `format` in every JSON document of the format.
pub const FORMAT: &str = "lifeboat";

/// What the run was asked to capture.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything that the tool knows how to capture.
    Workspace,
    /// Less than that: any include, exclude, kinds or users option was given.
    Selection,
}

/// Whether everything in scope could be listed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Inventory {
    /// Every kind in scope and every directory was listed.
    Complete,
    /// At least one listing failed.
    Incomplete,
}

/// How the listing of one kind went. None found is not the same as not known.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// Listed to the end.
    Listed,
    /// The service says that the feature is off.
    Unavailable,
    /// Any other failure.
    Unknown,
    /// Not in the scope of this run.
    NotAsked,
}

/// What became of one listed object.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Read in this run and in the archive.
    Stored,
    /// Taken over unchanged from an earlier archive.
    Reused,
    /// Left out by the user's rule or by a named rule of the tool.
    Excluded,
    /// Of a type that this version inventories but cannot capture.
    Unsupported,
    /// Listed, then gone; confirmed by a second look.
    Vanished,
    /// Could not be read.
    Failed,
}

/// The outcome for one kind. The six counts by fate add up to `listed`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct KindSummary {
    /// How the listing went.
    pub listing: Listing,
    /// Why it is not `listed`, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Objects that the service listed.
    pub listed: u64,
    /// See [`Fate::Stored`].
    pub stored: u64,
    /// See [`Fate::Reused`].
    pub reused: u64,
    /// See [`Fate::Excluded`].
    pub excluded: u64,
    /// See [`Fate::Unsupported`].
    pub unsupported: u64,
    /// See [`Fate::Vanished`].
    pub vanished: u64,
    /// See [`Fate::Failed`].
    pub failed: u64,
    /// Bytes of content stored for this kind.
    pub bytes: u64,
}

/// `summary.json`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// What was asked for.
    pub scope: Scope,
    /// Whether all of it could be listed.
    pub inventory: Inventory,
    /// By the kind's name in the archive.
    pub kinds: BTreeMap<String, KindSummary>,
}

/// One line of `ledger/NNNNNN.jsonl`: an object that is not in the archive, and why.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct LedgerLine {
    /// The kind's name in the archive.
    pub kind: String,
    /// The service's id.
    pub id: String,
    /// What a person calls it: a workspace path or a name.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
    /// Method and path of the call that failed, such as `GET /api/2.0/workspace/export`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The service's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, in words.
    pub message: String,
}

/// The workspace that an archive was taken from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// Host name of the workspace, without a scheme.
    pub host: String,
    /// The workspace id, as the service writes it.
    pub workspace_id: String,
    /// The cloud, such as `azure`.
    pub cloud: String,
}

/// `lifeboat.json`, in the first kilobyte of every archive.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// The version of the format.
    pub version: FormatVersion,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// Where it was taken from.
    pub source: Source,
    /// When the run began; also the modification time of every member in the tar, in whole seconds.
    pub started: Timestamp,
    /// What was asked for.
    pub scope: Scope,
    /// The options of the run, as the tool writes them.
    pub options: serde_json::Value,
}

impl Header {
    /// A header of this build's format and version.
    pub fn new(
        tool: String,
        source: Source,
        started: Timestamp,
        scope: Scope,
        options: serde_json::Value,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            tool,
            source,
            started,
            scope,
            options,
        }
    }
}
