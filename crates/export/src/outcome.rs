//! What a finished run or check hands back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_archive::{
    Descriptor, Fate, Header, Inventory, LedgerLine, Listing, Scope, Sealed, Summary,
};
use lifeboat_catalog::selection::Unmatched;
use serde::Serialize;

use crate::error::Stop;

/// A written archive and what is in it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The archive's first record.
    pub header: Header,
    /// Ids, sizes and digests of the archive.
    pub sealed: Sealed,
    /// The three statements: scope, inventory, fate of every object.
    pub summary: Summary,
    /// End of the run.
    pub finished: Timestamp,
    /// What was neither stored nor excluded: the first [`Outcome::MAX_GAPS`] lines of the ledger of that sort.
    pub gaps: Vec<LedgerLine>,
    /// How many such lines the ledger has.
    pub gaps_total: u64,
    /// Patterns and users of the selection of which nothing is in the archive.
    pub unmatched: Vec<Unmatched>,
    /// The record that is placed beside the archive.
    pub descriptor: Descriptor,
    /// Why the service was not asked to the end, if so. Such an archive is useful, but its inventory is incomplete.
    pub stopped: Option<Stop>,
    /// Whether the caller is a workspace administrator.
    pub caller_is_admin: bool,
    /// Calls made, retries included.
    pub calls: u64,
    /// Contents that changed without their time of change, as far as the sample showed.
    pub reread_changed: u64,
    /// Whether the options asked for strictness.
    pub strict: bool,
}

impl Outcome {
    /// Most gap lines that are kept in memory; all of them stand in the archive's ledger.
    pub const MAX_GAPS: usize = 1000;

    /// How many objects of all kinds met this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.summary
            .kinds
            .values()
            .map(|kind| of_fate(kind, fate))
            .sum()
    }

    /// Exit code of the run (`spec/exit-codes.md`): 0, 3 with gaps, 12 or 1 when the service was lost on the way.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if let Some(stop) = &self.stopped {
            return stop.exit_code();
        }
        let gaps = self.summary.inventory == Inventory::Incomplete || self.count(Fate::Failed) > 0;
        let strict_gaps = self.strict
            && self.count(Fate::Unsupported) + self.count(Fate::Vanished) + self.reread_changed > 0;
        if gaps || strict_gaps { 3 } else { 0 }
    }
}

fn of_fate(kind: &lifeboat_archive::KindSummary, fate: Fate) -> u64 {
    match fate {
        Fate::Stored => kind.stored,
        Fate::Reused => kind.reused,
        Fate::Excluded => kind.excluded,
        Fate::Unsupported => kind.unsupported,
        Fate::Vanished => kind.vanished,
        Fate::Failed => kind.failed,
    }
}

/// What a run would capture, and what this caller may not read.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Host of the workspace.
    pub host: String,
    /// Id of the workspace, empty when the service did not name it.
    pub workspace_id: String,
    /// Name of the caller.
    pub user: String,
    /// Whether the caller is a workspace administrator.
    pub admin: bool,
    /// Scope that the run would have.
    pub scope: Scope,
    /// Inventory that the run would have.
    pub inventory: Inventory,
    /// Per kind, in name order.
    pub kinds: BTreeMap<String, CheckKind>,
    /// Folders and kinds that could not be read, and objects of unsupported types.
    pub unreadable: Vec<LedgerLine>,
    /// Estimated calls of a run.
    pub calls: u64,
    /// Estimated duration of a run at the service's limits, in seconds.
    pub seconds: f64,
}

/// One kind of a [`CheckReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckKind {
    /// Whether the kind could be listed.
    pub listing: Listing,
    /// Why not.
    pub reason: Option<String>,
    /// Objects listed.
    pub listed: u64,
    /// Objects that would be captured.
    pub captured: u64,
    /// Objects that the selection or a rule leaves out.
    pub excluded: u64,
    /// Objects of types that this version cannot capture.
    pub unsupported: u64,
    /// Folders or objects that this caller cannot read.
    pub unreadable: u64,
    /// Estimated calls for this kind, access control included.
    pub calls: u64,
}
