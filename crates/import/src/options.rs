//! What a run is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_catalog::selection::Selection;

/// How much of what the journal calls unchanged is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recheck {
    /// Nothing: the journal and the listing decide.
    #[default]
    None,
    /// Access control lists.
    Acls,
    /// Contents and access control lists.
    All,
}

/// How many objects of one kind may be deleted in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteLimit {
    /// This many in a hundred of the kind's linked objects, and one in any case.
    Percent(u8),
    /// This many.
    Count(u64),
}

impl DeleteLimit {
    /// The number of objects out of `linked`.
    #[must_use]
    pub fn of(self, linked: u64) -> u64 {
        match self {
            Self::Percent(percent) => (linked * u64::from(percent) / 100).max(1),
            Self::Count(count) => count,
        }
    }
}

impl Default for DeleteLimit {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl std::str::FromStr for DeleteLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a percentage up to 100% nor a number");
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The part of the archive to import.
    pub selection: Selection,
    /// Workspace id of the target, as the operator named it. Needed for the first apply into a target.
    pub target: Option<String>,
    /// Allows the archive's source as target; then only absent objects are created.
    pub into_source: bool,
    /// The target is an old primary, and the archive one of the secondary that was imported from it: the journal of that
    /// import, read in reverse, links the objects. `Some(None)` takes it from its usual place.
    pub failback: Option<Option<PathBuf>>,
    /// Links objects that the target already holds, by natural key and equal content.
    pub adopt: bool,
    /// Goes on with an archive whose inventory is incomplete.
    pub allow_incomplete: bool,
    /// The journal, when not at its usual place.
    pub journal: Option<PathBuf>,
    /// Where `lifeboat/<source>-<target>/journal.jsonl` stands; by default `$XDG_STATE_HOME`, else `~/.local/state`.
    pub state_home: Option<PathBuf>,
    /// The map file: what names of the source are called in the target.
    pub map: Option<PathBuf>,
    /// Folder below which the selected part of the tree is restored, each object under its path in the source.
    pub as_prefix: Option<String>,
    /// Folder for the homes of users that exist nowhere.
    pub orphans: String,
    /// Overwrites what was changed in the target since the last import.
    pub overwrite_changed: bool,
    /// Deletes what this tool made and the source no longer has.
    pub delete_removed: bool,
    /// How many objects of one kind that may concern.
    pub delete_limit: DeleteLimit,
    /// Adds members to the group `admins`.
    pub admins: bool,
    /// What is read again although the journal calls it unchanged.
    pub recheck: Recheck,
    /// Puts the values of changed fields into a plan; those that look like secrets never.
    pub show_values: bool,
    /// Reads the target back after an apply.
    pub compare: bool,
    /// Objects in work at the same time (64); the client has a limit of its own on calls.
    pub concurrency: usize,
    /// How long the home of a new user is waited for.
    pub home_wait: Duration,
    /// How long a new cluster is waited for to be terminated.
    pub cluster_wait: Duration,
    /// Pause before the target is asked again for a create whose answer was lost; each further one is twice as long.
    pub create_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            target: None,
            into_source: false,
            failback: None,
            adopt: false,
            allow_incomplete: false,
            journal: None,
            state_home: None,
            map: None,
            as_prefix: None,
            orphans: "/Restored-homes".to_owned(),
            overwrite_changed: false,
            delete_removed: false,
            delete_limit: DeleteLimit::default(),
            admins: false,
            recheck: Recheck::None,
            show_values: false,
            compare: true,
            concurrency: 64,
            home_wait: Duration::from_secs(120),
            cluster_wait: Duration::from_secs(900),
            create_pause: Duration::from_secs(1),
        }
    }
}
