//! Cutting over to the target and back: the ledger of what each object was in the source, written by imports, and the
//! runs that give it back (`spec/import.md`, "Activation").
//!
//! Owns which objects take part and in which order. The ledger is written by `record`, the journal of a target found by
//! `find`, the decisions made by `plan`, the calls by `run`, and what they wrote read again by `readback`. It knows no
//! archive.

mod change;
mod find;
mod plan;
mod readback;
mod record;
mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use lifeboat_catalog::Kind;
use serde::Serialize;

use crate::error::Error;
use crate::journal::{Standing, State};
use crate::report::Verdict;
use crate::stop::Stop;

pub use plan::plan;
pub(crate) use plan::running;
pub(crate) use record::{Covered, expect, record};
pub use run::{SwitchContact, contact, switch};

/// Kinds that can wait, in the order in which they are activated: what clusters start with first, jobs last.
pub(crate) const ORDER: [&str; 4] = ["global-init-scripts", "instance-pools", "clusters", "jobs"];

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the state that the source had.
    Activate,
    /// Back to passive.
    Deactivate,
}

/// Which objects of the ledger. Empty means all; what is given must all be true of an object.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Names of kinds.
    pub kinds: Option<Vec<String>>,
    /// Patterns of names; one of them must match.
    pub names: Vec<String>,
    /// Tags that an object must have, with this value where one is given.
    pub tags: Vec<(String, Option<String>)>,
}

impl Choice {
    /// # Errors
    /// A pattern that is not a glob, a kind that cannot be activated.
    pub fn compile(&self) -> Result<Chosen, Error> {
        for kind in self.kinds.iter().flatten() {
            if !ORDER.contains(&kind.as_str()) {
                return Err(Error::Selection {
                    pattern: kind.clone(),
                    what: format!("nothing of this kind waits; known: {}", ORDER.join(", ")),
                });
            }
        }
        let mut names = GlobSetBuilder::new();
        for pattern in &self.names {
            let glob = GlobBuilder::new(pattern).build();
            names.add(glob.map_err(|source| Error::Selection {
                pattern: pattern.clone(),
                what: source.to_string(),
            })?);
        }
        let names = names.build().map_err(|source| Error::Selection {
            pattern: self.names.join(" "),
            what: source.to_string(),
        })?;
        Ok(Chosen {
            kinds: self.kinds.clone(),
            names: (!self.names.is_empty()).then_some(names),
            tags: self.tags.clone(),
        })
    }
}

/// A compiled [`Choice`].
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    kinds: Option<Vec<String>>,
    names: Option<GlobSet>,
    tags: Vec<(String, Option<String>)>,
}

impl Chosen {
    /// Whether an object is meant.
    #[must_use]
    pub fn holds(&self, kind: &str, name: &str, standing: &Standing) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
            && self.names.as_ref().is_none_or(|names| names.is_match(name))
            && self.tags.iter().all(|(key, value)| {
                let tag = standing.tags.get(key);
                tag.is_some_and(|tag| value.as_ref().is_none_or(|value| value == tag))
            })
    }
}

/// The options of an activation or deactivation.
#[derive(Debug, Clone)]
pub struct SwitchOptions {
    /// The objects that are meant.
    pub choice: Choice,
    /// The operator states that the source runs nothing any more. Needed to activate.
    pub source_fenced: bool,
    /// Workspace id of the source whose ledger is meant, where several have one for this target.
    pub source: Option<String>,
    /// The journal, when not at its usual place.
    pub journal: Option<PathBuf>,
    /// Workspace id of the target, as the operator named it.
    pub target: Option<String>,
    /// As in [`crate::Options::state_home`].
    pub state_home: Option<PathBuf>,
    /// Says what would be done and does nothing.
    pub dry_run: bool,
    /// Objects in work at the same time.
    pub concurrency: usize,
    /// Asks the run to stop.
    pub stop: Stop,
    /// As in [`crate::Options::second`].
    pub second: Duration,
}

impl Default for SwitchOptions {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            source_fenced: false,
            source: None,
            journal: None,
            target: None,
            state_home: None,
            dry_run: false,
            concurrency: 32,
            stop: Stop::default(),
            second: Duration::from_secs(1),
        }
    }
}

/// What is done with an object of the ledger, or what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Its state changes.
    Change,
    /// It has the wanted state already.
    Unchanged,
    /// The last archive does not contain it any more: it stays passive.
    Orphaned,
    /// It must not be activated, for a reason.
    Blocked,
    /// It does not exist in the target any more.
    Missing,
    /// It was tried and failed.
    Failed,
}

impl Turn {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Unchanged => "unchanged",
            Self::Orphaned => "orphaned",
            Self::Blocked => "blocked",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// What it belongs to, for people: `schedule`, `trigger (periodic)`, `min_idle_instances`.
    pub place: String,
    /// What it means now.
    pub before: String,
    /// What it will mean.
    pub after: String,
}

/// An object of the ledger and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Kind as in the archive.
    pub kind: String,
    /// Id in the source.
    pub id: String,
    /// Name.
    pub name: String,
    /// Id in the target, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is done.
    pub turn: Turn,
    /// Why, for everything but changes that were read back as they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that change, or that would if it were not blocked or orphaned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Transition>,
    /// What is worth knowing: that somebody changed it in the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// How the state of what was changed compared with the wanted one when it was read again; absent where nothing was
    /// written, and where the run ended before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_back: Option<Verdict>,
}

/// What came of an activation or deactivation.
#[derive(Debug, Clone, Serialize)]
pub struct Switched {
    /// Which way.
    pub direction: Direction,
    /// Workspace id of the source.
    pub source: String,
    /// Workspace id of the target.
    pub target: String,
    /// Host of the target.
    pub host: String,
    /// State of the journal before.
    pub before: State,
    /// State of the journal afterwards.
    pub after: State,
    /// True when nothing was done, only said.
    pub dry_run: bool,
    /// Every object of the selection, in the order of the run.
    pub moves: Vec<Move>,
    /// What starts or costs in the target and is not in the ledger: kind and name.
    pub unknown: Vec<(String, String)>,
    /// Warnings on the run as a whole.
    pub warnings: Vec<String>,
    /// Calls that changed something in the target.
    pub writes: u64,
}

impl Switched {
    /// True when an object of the selection does not have the wanted state: exit code 3. Orphans are meant to stay passive.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.moves.iter().any(|one| {
            matches!(one.turn, Turn::Blocked | Turn::Failed)
                || (one.turn == Turn::Missing && self.direction == Direction::Activate)
        })
    }

    /// True when something that was changed was not read back with the state that was written: exit code 13.
    #[must_use]
    pub fn differs(&self) -> bool {
        let mut read = self.moves.iter().filter_map(|one| one.read_back);
        read.any(|verdict| verdict != Verdict::Equal)
    }

    /// Number of objects per turn, and of those that were changed and read back as `verified` or `different`.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for one in &self.moves {
            *counts.entry(one.turn.word()).or_default() += 1;
            if let Some(verdict) = one.read_back {
                *counts.entry(read_back_word(verdict)).or_default() += 1;
            }
        }
        counts
    }
}

/// The word for what was read back: what is gone, or was not shown, is not as it was written either.
#[must_use]
pub fn read_back_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "verified",
        Verdict::Different | Verdict::Missing | Verdict::Unknown => "different",
    }
}

/// The kinds of [`ORDER`].
fn kinds() -> impl Iterator<Item = &'static Kind> {
    ORDER.iter().filter_map(|name| lifeboat_catalog::kind(name))
}

#[cfg(test)]
mod tests;
