//! What an import tells the program around it while it runs. Nothing in this crate prints.

use crate::report::ObjectResult;

/// Takes the events of a run. Called from the run's own task, often: keep it short.
pub trait Observer: Send + Sync {
    /// One event.
    fn event(&self, event: Event<'_>);
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// An event of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The archive is being verified: bytes done, of all.
    Verifying {
        /// Bytes verified so far.
        done: u64,
        /// Bytes of the archive.
        total: u64,
    },
    /// The archive is intact and this is what it says of itself.
    Source {
        /// Workspace id of the source.
        workspace_id: &'a str,
        /// Host of the source.
        host: &'a str,
        /// The archive id.
        archive_id: &'a str,
    },
    /// The target answered.
    Target {
        /// Workspace id of the target.
        workspace_id: &'a str,
        /// Host of the target.
        host: &'a str,
        /// The caller's user name or application id.
        caller: &'a str,
        /// Whether the caller is a workspace administrator.
        is_admin: bool,
    },
    /// The plan is made and its execution begins.
    Planned {
        /// Objects to write.
        objects: u64,
        /// Seconds that the writes take at least, at the known limits of the service.
        floor: f64,
    },
    /// A phase begins. Phases overlap; each has its own name.
    Phase {
        /// Name, for example "notebooks and files".
        name: &'a str,
        /// Number of objects in it, where known.
        total: Option<u64>,
    },
    /// Objects of a phase that are done.
    Progress {
        /// The phase's name.
        phase: &'a str,
        /// Objects done so far.
        done: u64,
    },
    /// Something that the operator should know and that no result carries; the run goes on.
    Warning(&'a str),
    /// The fate of one object.
    Result(&'a ObjectResult),
}
