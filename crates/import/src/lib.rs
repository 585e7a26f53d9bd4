//! From an archive to a workspace.
//!
//! An import is guards, a pure plan, and an apply that executes the plan and journals every write; at its end the
//! target is read back and compared. Nothing runs in the target afterwards: jobs are paused, pools idle at zero,
//! clusters terminated. This crate implements `spec/import.md`.
//!
//! It writes to one workspace and never reads another; what it knows of the source is the archive.

mod activation;
mod apply;
mod archived;
mod calls;
mod closure;
mod compare;
mod difference;
mod engine;
mod error;
mod events;
mod failback;
mod filter;
mod guards;
mod held;
pub mod journal;
mod map;
mod options;
pub mod plan;
mod preflight;
mod report;
mod resolve;
mod stop;
mod target;

use lifeboat_archive::Archive;
use lifeboat_databricks::Client;

pub use activation::{
    Choice, Chosen, Direction, Move, SwitchContact, SwitchOptions, Switched, Transition, Turn,
    contact as switch_contact, plan as switch_plan, read_back_word, switch,
};
pub use difference::Change;
pub use error::{Error, Refusal, Rule};
pub use events::{Event, Observer, Silent};
pub use filter::Filter;
pub use lifeboat_catalog::selection::Selection;
pub use map::MapEntry;
pub use options::{DeleteLimit, Options, Recheck};
pub use plan::{Action, Cost, Counts, Plan, What};
pub use preflight::{Effect, Finding};
pub use report::{
    Comparison, Difference, Fate, ObjectResult, Report, Todo, Totals, Verdict, Verdicts,
};
pub use stop::Stop;

/// What is known before the first import into a target: enough to ask the operator.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Contact {
    /// Workspace id of the archive's source.
    pub source: String,
    /// Host of the archive's source.
    pub source_host: String,
    /// Workspace id of the target.
    pub target: String,
    /// Host of the target.
    pub host: String,
    /// The caller's user name or application id.
    pub caller: String,
    /// Whether the caller is a workspace administrator.
    pub is_admin: bool,
    /// Where the journal of this pair stands.
    pub journal: std::path::PathBuf,
    /// True when the journal knows the target: no confirmation is needed.
    pub known: bool,
}

/// Asks the target who it is and the journal whether it knows it.
///
/// # Errors
/// [`Error::Service`], a journal of another pair.
pub async fn contact(
    archive: &Archive,
    client: &Client,
    options: &Options,
) -> Result<Contact, Error> {
    engine::contact(archive, client, options).await
}

/// What an apply would do. Nothing is written, neither to the target nor to the journal.
///
/// # Errors
/// The guards of the archive and of the pair; [`Error::Service`] when the target cannot be listed.
pub async fn plan(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Plan, Error> {
    Box::pin(engine::plan(archive, client, options, observer)).await
}

/// Imports the archive.
///
/// # Errors
/// The guards, before anything is written; [`Error::Stopped`] when the credentials or the network are lost, or when
/// [`Options::stop`] asks for it; [`Error::Interrupted`] when it asks before the first write.
pub async fn apply(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    // On the heap: in a debug build the whole of it takes more than a thread's stack has to spare.
    Box::pin(engine::apply(archive, client, options, observer)).await
}

/// Reads the target back and compares it with the archive.
///
/// # Errors
/// The guards of the archive and of the pair; [`Error::Service`] when the target cannot be listed.
pub async fn compare(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Comparison, Error> {
    Box::pin(engine::compare(archive, client, options, observer)).await
}

fn reading_header(archive: &Archive) -> Result<lifeboat_archive::Header, Error> {
    archive
        .header()
        .map_err(|source| archived::reading("lifeboat.json", source))
}
