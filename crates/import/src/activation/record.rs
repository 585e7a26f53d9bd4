//! Writing the ledger at the end of an import: what changed of what the journal knows already.

use std::collections::{BTreeMap, HashMap};

use lifeboat_catalog::{Kind, places};
use serde_json::Value;

use super::change::state_of;
use super::kinds;
use crate::archived::ArchiveState;
use crate::error::Error;
use crate::filter::Filter;
use crate::journal::{Journal, LineKind, Standing};
use crate::plan;
use crate::report::{Difference, Fate, ObjectResult, Report, Verdict};

/// Notes that name no lack of the object itself: who may see it, who owns it, and how long the service keeps it.
const HARMLESS: [&str; 4] = [
    "not granted",
    "access control",
    plan::NOT_OWNED,
    "not pinned",
];

/// What an import can speak of.
pub(crate) struct Covered<'a> {
    pub state: &'a ArchiveState,
    pub filter: &'a Filter,
    /// The source is the target: only what the import made has a standing.
    pub into_source: bool,
    /// The run came to its end. Where it did not, only what was restored well is told.
    pub finished: bool,
}

/// Records the standing of every object of the import, where it is not what the journal knows.
pub(crate) fn record(
    journal: &Journal,
    covered: &Covered<'_>,
    report: &Report,
) -> Result<(), Error> {
    let results: HashMap<(&str, &str), &ObjectResult> = report
        .objects
        .iter()
        .map(|result| ((result.kind.as_str(), result.id.as_str()), result))
        .collect();
    let differences: HashMap<(&str, &str), &Difference> = report
        .comparison
        .iter()
        .flat_map(|comparison| &comparison.differences)
        .map(|one| ((one.kind.as_str(), one.id.as_str()), one))
        .collect();
    let knowledge = journal.knowledge();
    for kind in kinds().filter(|kind| covered.filter.kind(kind.name)) {
        for object in covered.state.of_kind(kind.name) {
            // Another object of the target stands in for it, which is nobody's to activate.
            let stand_ins = &covered.state.translation.stand_ins;
            if stand_ins.contains_key(&(kind.name.to_owned(), object.id.clone())) {
                continue;
            }
            // What the selection leaves out has no result.
            let key = (kind.name, object.id.as_str());
            let Some(result) = results.get(&key) else {
                continue;
            };
            let linked = knowledge
                .entry(kind.name, &object.id)
                .is_some_and(crate::journal::Entry::is_linked);
            let well = matches!(
                result.fate,
                Fate::Created | Fate::Updated | Fate::Unchanged | Fate::Adopted
            );
            if (covered.into_source && !linked) || (!covered.finished && !well) {
                continue;
            }
            let standing = Standing {
                tags: tags(kind, &object.body),
                active: state_of(kind, &object.body),
                bars: bars(result, differences.get(&key).copied()),
                gone: false,
            };
            tell(journal, kind, &object.id, &result.name, standing)?;
        }
        if covered.finished && covered.state.complete && covered.state.listed.contains(kind.name) {
            gone(journal, covered, kind)?;
        }
    }
    Ok(())
}

/// The state of an object that changed in the source stands in the ledger before anything is written: an import that is
/// killed must not leave the new object with the old state, by which a job that was paused on purpose would run.
pub(crate) fn expect(journal: &Journal, covered: &Covered<'_>) -> Result<(), Error> {
    let knowledge = journal.knowledge();
    for kind in kinds().filter(|kind| covered.filter.kind(kind.name)) {
        for object in covered.state.of_kind(kind.name) {
            let known = knowledge.standing(kind.name, &object.id);
            let active = state_of(kind, &object.body);
            let Some(known) = known.filter(|known| known.active != active) else {
                continue;
            };
            if !covered.filter.wants(kind.name, &object.id) {
                continue;
            }
            let standing = Standing {
                active,
                bars: vec![
                    "its state changed in the source, and the import that brings it did not come to its end: run it again"
                        .to_owned(),
                ],
                ..known.clone()
            };
            let entry = knowledge.entry(kind.name, &object.id);
            let name = entry.map_or("", |entry| entry.name.as_str());
            tell(journal, kind, &object.id, name, standing)?;
        }
    }
    Ok(())
}

/// What the journal knows and the archive does not name any more.
fn gone(journal: &Journal, covered: &Covered<'_>, kind: &'static Kind) -> Result<(), Error> {
    let knowledge = journal.knowledge();
    let here = |id: &str| {
        !covered.filter.wants(kind.name, id)
            || covered.state.uncaptured.contains(id)
            || covered
                .state
                .of_kind(kind.name)
                .iter()
                .any(|object| object.id == id)
    };
    for (id, name, standing) in knowledge.ledger(kind.name).filter(|(id, ..)| !here(id)) {
        let standing = Standing {
            gone: true,
            ..standing.clone()
        };
        tell(journal, kind, id, name, standing)?;
    }
    for (id, entry) in knowledge.of_kind(kind.name) {
        if entry.is_linked() && knowledge.standing(kind.name, id).is_none() && !here(id) {
            let standing = Standing {
                gone: true,
                ..Standing::default()
            };
            tell(journal, kind, id, &entry.name, standing)?;
        }
    }
    Ok(())
}

fn tell(
    journal: &Journal,
    kind: &Kind,
    id: &str,
    name: &str,
    standing: Standing,
) -> Result<(), Error> {
    // After it was switched, that an import found it in order is news.
    let switched = journal
        .entry(kind.name, id)
        .is_some_and(|entry| entry.switched && standing.bars.is_empty());
    if !switched && journal.standing(kind.name, id).as_ref() == Some(&standing) {
        return Ok(());
    }
    let mut line = journal.line(LineKind::Standing);
    line.kind = Some(kind.name.to_owned());
    line.id = Some(id.to_owned());
    line.name = Some(name.to_owned());
    line.standing = Some(standing);
    journal.append(&line, false)
}

/// Why an object must not be activated: it does not run as its owner, or is not what the archive holds.
fn bars(result: &ObjectResult, difference: Option<&Difference>) -> Vec<String> {
    let mut bars: Vec<String> = match result.fate {
        Fate::Blocked | Fate::Failed | Fate::Skipped => {
            let reason = result.reason.as_deref().unwrap_or("unknown");
            vec![format!("{}: {reason}", result.fate.word())]
        }
        _ => Vec::new(),
    };
    let lacks = |note: &&String| !HARMLESS.iter().any(|harmless| note.starts_with(harmless));
    bars.extend(result.notes.iter().filter(lacks).cloned());
    if bars.is_empty()
        && let Some(difference) = difference
    {
        let places: Vec<&str> = difference
            .places
            .iter()
            .map(String::as_str)
            .filter(|place| !place.contains(plan::ACCESS_CONTROL))
            .collect();
        if difference.verdict == Verdict::Missing || !places.is_empty() {
            bars.push(format!(
                "not equal to the archive when it was read back: {}",
                if places.is_empty() {
                    "missing".to_owned()
                } else {
                    places.join(", ")
                }
            ));
        }
    }
    bars
}

/// Tags by which people group what they own.
fn tags(kind: &Kind, body: &Value) -> BTreeMap<String, String> {
    let place = match kind.name {
        "jobs" => "settings.tags",
        _ => "custom_tags",
    };
    places::get(body, place)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), places::scalar(value)?)))
        .collect()
}
