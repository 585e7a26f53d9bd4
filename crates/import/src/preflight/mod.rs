//! What an import needs of the target and will not find there: a pure function of what was read and of the planned
//! actions (`spec/import.md`, "Preflight").
//!
//! One finding per missing thing, with those who need it and what to do about it. An endpoint that refused is a finding
//! too: what it would have said is *unchecked*. What a finding means for an object is decided by the plan; the preflight
//! only tells.

mod capacity;
pub(crate) use capacity::MOST_PINNED;
mod offered;
mod references;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use lifeboat_catalog::records::ObjectRecord;
use serde::Serialize;

use crate::archived::ArchiveState;
use crate::plan::{Action, What};
use crate::resolve::Resolver;
use crate::target::TargetState;

/// So many of those who need a thing are named; the rest is counted.
const NAMED: usize = 5;

/// What a finding means for those who need the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// They are not restored.
    Blocks,
    /// They are restored without it.
    Gap,
    /// They are written; the service may refuse them, or they may not start.
    Risk,
    /// Nobody could be asked.
    Unchecked,
    /// Nothing is lost: the source had it the same way.
    Remark,
}

impl Effect {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Gap => "gap",
            Self::Risk => "risk",
            Self::Unchecked => "unchecked",
            Self::Remark => "remark",
        }
    }
}

/// A thing that the target lacks, or about which nobody could be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    pub effect: Effect,
    /// The sort of thing: `node-type`, `spark-version`, `instance-pool`, `user`, `quota`, `rights`, ...
    pub check: &'static str,
    /// Its name or id; empty when all things of the sort are meant.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// Who needs it, as `kind name`: the first of them.
    pub needed_by: Vec<String>,
    /// How many need it.
    pub needed: u64,
    /// What to do about it; empty when there is nothing to do.
    pub hint: String,
}

/// Everything that the preflight looks at.
pub(crate) struct Seen<'a> {
    pub archive: &'a ArchiveState,
    pub target: &'a TargetState,
    pub resolver: &'a Resolver,
    pub actions: &'a [Action],
    records: HashMap<(&'a str, &'a str), &'a ObjectRecord>,
}

impl<'a> Seen<'a> {
    pub fn new(
        archive: &'a ArchiveState,
        target: &'a TargetState,
        resolver: &'a Resolver,
        actions: &'a [Action],
    ) -> Self {
        let records = archive
            .objects
            .iter()
            .flat_map(|(kind, records)| {
                records
                    .iter()
                    .map(move |record| ((kind.as_str(), record.id.as_str()), record))
            })
            .collect();
        Self {
            archive,
            target,
            resolver,
            actions,
            records,
        }
    }

    fn record(&self, action: &Action) -> Option<&'a ObjectRecord> {
        self.records
            .get(&(action.kind.as_str(), action.id.as_str()))
            .copied()
    }

    /// Everything that the plan does not leave alone.
    fn wanted(&self) -> impl Iterator<Item = &'a Action> {
        self.actions
            .iter()
            .filter(|action| action.what != What::Skip)
    }
}

/// Looks for everything that the planned actions need. Findings come in the order of their effect, then by what and name.
pub(crate) fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    references::check(seen, &mut findings);
    offered::check(seen, &mut findings);
    capacity::check(seen, &mut findings);
    findings.sorted()
}

/// Findings under way, one per thing.
#[derive(Default)]
struct Findings {
    by_thing: BTreeMap<(Effect, &'static str, String), Finding>,
}

impl Findings {
    /// Adds somebody who needs a thing; the first one's text stands.
    fn add(
        &mut self,
        (effect, check, name): (Effect, &'static str, &str),
        by: Option<String>,
        text: impl FnOnce() -> (String, String),
    ) {
        let finding = self
            .by_thing
            .entry((effect, check, name.to_owned()))
            .or_insert_with(|| {
                let (what, hint) = text();
                Finding {
                    effect,
                    check,
                    name: name.to_owned(),
                    what,
                    needed_by: Vec::new(),
                    needed: 0,
                    hint,
                }
            });
        let Some(by) = by else { return };
        // An object that names a thing in several places needs it once; its places follow each other.
        if finding.needed_by.last() == Some(&by) {
            return;
        }
        finding.needed += 1;
        if finding.needed_by.len() < NAMED {
            finding.needed_by.push(by);
        }
    }

    fn sorted(self) -> Vec<Finding> {
        self.by_thing.into_values().collect()
    }
}

/// `cluster nightly etl`
fn by(action: &Action) -> String {
    let noun =
        lifeboat_catalog::kind(&action.kind).map_or(action.kind.as_str(), |kind| kind.singular);
    format!("{noun} {}", action.name)
}
