//! What a run is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_catalog::selection::Selection;
use lifeboat_databricks::LimitTable;

use crate::stop::Stop;

/// How much of what the journal calls unchanged is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recheck {
    /// Nothing: the journal and the listing decide.
    #[default]
    None,
    /// Access control lists.
    Acls,
    /// Contents and access control lists of one object in twenty, others each day: the number is that of the day.
    Sample(u32),
    /// Contents and access control lists.
    All,
}

/// One object in so many is in a sample.
const SAMPLE: u32 = 20;

impl Recheck {
    /// Whether the content of an object of the target (by path or id) is read again.
    pub(crate) fn contents(self, target: &str) -> bool {
        match self {
            Self::None | Self::Acls => false,
            Self::Sample(day) => in_sample(target, day),
            Self::All => true,
        }
    }

    /// Whether its access control is.
    pub(crate) fn acls(self, target: &str) -> bool {
        self == Self::Acls || self.contents(target)
    }
}

/// Each object comes up once in [`SAMPLE`] days.
fn in_sample(target: &str, day: u32) -> bool {
    let digest = lifeboat_archive::Digest::of(target.as_bytes()).to_string();
    let number = u32::from_str_radix(&digest[..8], 16).unwrap_or(0);
    number % SAMPLE == day % SAMPLE
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
    /// Objects that are imported with everything that they need, and nothing else: `KIND/ID`, `KIND/NAME` or a path.
    pub closure: Vec<String>,
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
    /// Asks the run to stop.
    pub stop: Stop,
    /// The limits by which the plan says how long an apply takes: those of the client.
    pub limits: LimitTable,
    /// Length of a second in the pauses between two looks at the target: tests have shorter ones.
    pub second: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            closure: Vec::new(),
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
            stop: Stop::default(),
            limits: LimitTable::default(),
            second: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_comes_to_every_object_once_in_its_round() {
        for id in ["/Shared/a", "/Users/a@x/b", "1234567890"] {
            let days: Vec<u32> = (100..140)
                .filter(|day| Recheck::Sample(*day).contents(id))
                .collect();
            assert_eq!(days.len(), 2, "{id}");
            assert_eq!(days[1] - days[0], SAMPLE);
        }
        assert!(Recheck::Acls.acls("x") && !Recheck::Acls.contents("x"));
        assert!(Recheck::All.contents("x") && !Recheck::None.acls("x"));
    }

    #[test]
    fn a_limit_of_deletions_is_a_number_or_a_percentage() {
        let of = |text: &str, linked| text.parse::<DeleteLimit>().unwrap().of(linked);
        assert_eq!([of("10%", 3), of("10%", 39), of("100%", 7)], [1, 3, 7]);
        assert_eq!([of("0", 100), of("5", 2)], [0, 5]);
        for wrong in ["101%", "-1", "ten", "%", "1.5%"] {
            assert!(wrong.parse::<DeleteLimit>().is_err(), "{wrong}");
        }
    }
}
