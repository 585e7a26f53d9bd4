//! What is done with each object of the ledger: a pure function of the journal and the target as it is.

use lifeboat_catalog::Kind;

use super::change::{changes, is_active, lost, untold_places, wanted};
use super::{Chosen, Direction, Move, Turn, kinds};
use crate::journal::{Entry, Knowledge, Standing};
use crate::plan::is_as_seen;
use crate::target::{TargetObject, TargetState};

/// Why nobody can say what becomes of an object that an administrator would see or not see.
const UNSEEN: &str =
    "the caller, who is no workspace administrator, does not see it: it may still be there";

/// Decides on every object of the ledger that is chosen, in the order of the run.
#[must_use]
pub fn plan(
    direction: Direction,
    journal: &Knowledge,
    target: &TargetState,
    chosen: &Chosen,
) -> Vec<Move> {
    let mut moves = Vec::new();
    for kind in kinds() {
        for (id, name, standing) in ledger(journal, kind) {
            if chosen.holds(kind.name, &name, &standing) {
                let entry = journal.entry(kind.name, id).cloned().unwrap_or_default();
                let blank = Move {
                    kind: kind.name.to_owned(),
                    id: id.to_owned(),
                    name,
                    target: entry.target.clone(),
                    turn: Turn::Unchanged,
                    reason: None,
                    changes: Vec::new(),
                    remarks: Vec::new(),
                    read_back: None,
                };
                moves.extend(decide(direction, kind, target, &entry, &standing, blank));
            }
        }
    }
    if direction == Direction::Deactivate {
        // What starts by itself stops first.
        moves.reverse();
    }
    moves
}

/// Of the objects that the journal keeps passive and an activation would start: how many there are, and which of them run.
pub(crate) fn running(journal: &Knowledge, target: &TargetState) -> (usize, Vec<String>) {
    let (mut waiting, mut running) = (0, Vec::new());
    for kind in kinds().filter(|kind| kind.name != "clusters") {
        for (id, name, standing) in journal.ledger(kind.name) {
            let entry = journal.entry(kind.name, id);
            let linked = entry.filter(|entry| entry.is_ours() && !entry.activated);
            let object = linked
                .and_then(|entry| entry.target.as_deref())
                .and_then(|id| target.by_id(kind.name, id));
            let Some(object) = object.filter(|_| !standing.gone) else {
                continue;
            };
            let mut passive = object.body.clone();
            kind.land_passive(&mut passive);
            let state = wanted(kind, &passive, &standing.active, Direction::Activate, true);
            if !changes(kind, &passive, &state).is_empty() {
                waiting += 1;
                if is_active(kind, &object.body) {
                    running.push(format!("{} {name}", kind.singular));
                }
            }
        }
    }
    (waiting, running)
}

/// The standings of a kind, and what is linked without one: its import did not come to its end, or was of a version that
/// kept no ledger.
fn ledger<'k>(journal: &'k Knowledge, kind: &Kind) -> Vec<(&'k str, String, Standing)> {
    let mut all: Vec<(&str, String, Standing)> = journal
        .ledger(kind.name)
        .map(|(id, name, standing)| (id, name.to_owned(), standing.clone()))
        .collect();
    for (id, entry) in journal.of_kind(kind.name) {
        if entry.is_linked() && journal.standing(kind.name, id).is_none() {
            let standing = Standing {
                bars: vec![
                    "the ledger does not hold its archived state: no import that names it came to its end"
                        .to_owned(),
                ],
                ..Standing::default()
            };
            all.push((id, entry.name.clone(), standing));
        }
    }
    all.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
    all
}

fn decide(
    direction: Direction,
    kind: &'static Kind,
    target: &TargetState,
    entry: &Entry,
    standing: &Standing,
    blank: Move,
) -> Option<Move> {
    let activating = direction == Direction::Activate;
    let end = |one: Move, turn: Turn, reason: String| {
        Some(Move {
            turn,
            reason: Some(reason),
            ..one
        })
    };
    let Some(id) = entry.target.as_deref().filter(|_| entry.is_linked()) else {
        // Nothing stands in the target: nothing to make passive, and an orphan that never was is none.
        return if activating && !standing.gone {
            let why = barred(standing).unwrap_or_else(|| "it was not restored".to_owned());
            end(blank, Turn::Blocked, why)
        } else {
            None
        };
    };
    if let Some(reason) = target.refused(kind.name) {
        let why = format!("the target's {} cannot be listed: {reason}", kind.name);
        return end(blank, Turn::Blocked, why);
    }
    let Some(object) = target.by_id(kind.name, id) else {
        if let Some(one) = target.unclear(kind.name, |one| one.id == id) {
            let why = format!("nobody can say whether it is still there: {}", one.why);
            return end(blank, Turn::Blocked, why);
        }
        if !target.is_admin {
            return end(blank, Turn::Blocked, UNSEEN.to_owned());
        }
        return end(
            blank,
            Turn::Missing,
            "it was deleted in the target".to_owned(),
        );
    };
    let mut one = blank;
    let state = wanted(
        kind,
        &object.body,
        &standing.active,
        direction,
        entry.is_ours(),
    );
    one.changes = changes(kind, &object.body, &state)
        .into_iter()
        .map(|(_, change)| change)
        .collect();
    one.remarks = remarks(direction, kind, entry, standing, object);
    if activating && standing.gone {
        let why = "not in the last archive any more: it stays as it is";
        return end(one, Turn::Orphaned, why.to_owned());
    }
    // A bar without a change blocks nothing, but what the ledger does not know may well be one.
    let unknown = standing.active.is_empty() && has_state(kind, object);
    if activating && let Some(why) = untold(kind, standing, object) {
        return end(one, Turn::Blocked, why);
    }
    if activating
        && (!one.changes.is_empty() || unknown)
        && let Some(why) = barred(standing)
    {
        return end(one, Turn::Blocked, why);
    }
    if !one.changes.is_empty() {
        one.turn = Turn::Change;
    }
    Some(one)
}

/// What is passive in an object and has no state in its standing: nobody knows whether it ran in the source.
fn untold(kind: &Kind, standing: &Standing, object: &TargetObject) -> Option<String> {
    if standing.active.is_empty() && !standing.bars.is_empty() {
        return None;
    }
    let places = untold_places(kind, &object.body, &standing.active);
    (!places.is_empty()).then(|| {
        format!(
            "the ledger does not hold the archived state of its {}, which stays passive: it was changed in the target, or by \
             an import that did not come to its end",
            places.join(", ")
        )
    })
}

fn has_state(kind: &Kind, object: &TargetObject) -> bool {
    kind.name != "clusters" && !kind.state(&object.body).is_empty()
}

fn barred(standing: &Standing) -> Option<String> {
    (!standing.bars.is_empty()).then(|| standing.bars.join("; "))
}

fn remarks(
    direction: Direction,
    kind: &'static Kind,
    entry: &Entry,
    standing: &Standing,
    object: &TargetObject,
) -> Vec<String> {
    let mut remarks = Vec::new();
    if direction == Direction::Deactivate {
        return remarks;
    }
    for place in lost(kind, &object.body, &standing.active) {
        remarks.push(format!("changed in the target: it has no {place} any more"));
    }
    if !entry.activated && is_active(kind, &object.body) {
        remarks.push("changed in the target: it was made active by hand".to_owned());
    }
    let mut passive = object.body.clone();
    kind.land_passive(&mut passive);
    let known = entry.seen.is_some() && entry.pending.is_none();
    if remarks.is_empty() && known && !is_as_seen(kind, entry, &passive) {
        remarks.push("changed in the target since the last import".to_owned());
    }
    remarks
}
