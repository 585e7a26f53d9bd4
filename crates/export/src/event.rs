//! What a run tells while it works. Who shows it, and how, is the caller's business.

use jiff::Timestamp;
use lifeboat_archive::{KindSummary, LedgerLine};

use crate::error::Stop;

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The service answered and said who the caller is.
    Connected {
        /// Host of the workspace.
        host: &'a str,
        /// Id of the workspace, empty when the service did not name it.
        workspace_id: &'a str,
        /// Name of the caller.
        user: &'a str,
        /// Whether the caller is a workspace administrator.
        admin: bool,
    },
    /// Unchanged contents are taken over from an earlier archive.
    Base {
        /// What it is called.
        archive: &'a str,
        /// When its run began.
        started: Timestamp,
        /// Contents that can be taken over if they have not changed.
        reusable: u64,
    },
    /// A phase begins. Phases overlap: tree, objects, contents, dbfs, access-control, second-listing, sealing.
    Phase {
        /// Name of the phase.
        name: &'static str,
        /// How many steps it will take, if known yet.
        total: Option<u64>,
    },
    /// A phase went on.
    Progress {
        /// Name of the phase.
        phase: &'static str,
        /// Steps done so far.
        done: u64,
        /// Steps known so far.
        total: Option<u64>,
        /// Bytes received by this phase so far.
        bytes: u64,
    },
    /// A phase ended.
    PhaseDone {
        /// Name of the phase.
        name: &'static str,
        /// Steps that it took.
        done: u64,
    },
    /// Something the operator should know at once.
    Warning {
        /// A full sentence.
        text: &'a str,
    },
    /// An object was not stored; the same line stands in the archive's ledger. Excluded objects are not told here.
    Gap(&'a LedgerLine),
    /// The run asks the service nothing any more; the rest is *failed: not attempted*.
    Stopped(&'a Stop),
    /// Final counts of one kind, told in name order at the end.
    Kind {
        /// Name of the kind.
        name: &'a str,
        /// Its counts.
        summary: &'a KindSummary,
    },
}

/// Receives events. Called from the task that runs the export; it must not block for long.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);
}

/// An observer that hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event<'_>) {}
}
