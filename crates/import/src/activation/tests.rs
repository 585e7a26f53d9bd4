//! The plan of an activation, without a server.

use serde_json::{Map, Value, json};

use super::*;
use crate::journal::{Journal, Knowledge, Line, LineKind, Lock, Op};
use crate::target::{Listed, TargetObject, TargetState, Unclear};

fn line(kind: LineKind, id: &str) -> Line {
    let mut line = Line::new(kind, "archive");
    line.kind = Some("jobs".to_owned());
    line.id = Some(id.to_owned());
    line.name = Some(format!("job {id}"));
    line
}

/// A ledger with one job, `7` in the source and `70` in the target, whose schedule ran without saying so.
fn ledger(change: impl FnOnce(&mut Standing)) -> Knowledge {
    let mut standing = Standing {
        active: Map::from_iter([("/settings/schedule/pause_status".to_owned(), Value::Null)]),
        ..Standing::default()
    };
    change(&mut standing);
    let mut created = line(LineKind::Result, "7");
    created.op = Some(Op::Create);
    created.ok = Some(true);
    created.target = Some("70".to_owned());
    let mut told = line(LineKind::Standing, "7");
    told.standing = Some(standing);
    let mut known = Knowledge::default();
    known.apply(&created);
    known.apply(&told);
    known
}

fn target(settings: &Value) -> TargetState {
    let object = TargetObject {
        id: "70".to_owned(),
        body: json!({ "job_id": 70, "settings": settings }),
    };
    let mut target = nothing();
    target
        .kinds
        .insert("jobs".to_owned(), Listed::Yes(vec![object]));
    target
}

/// A target without objects, read by an administrator.
fn nothing() -> TargetState {
    TargetState {
        is_admin: true,
        ..TargetState::default()
    }
}

fn turn(known: &Knowledge, target: &TargetState) -> Turn {
    let moves = plan(Direction::Activate, known, target, &Chosen::default());
    assert_eq!(moves.len(), 1, "{moves:?}");
    moves[0].turn
}

#[test]
fn each_object_of_the_ledger_has_its_turn() {
    let paused = target(&json!({ "schedule": { "pause_status": "PAUSED" } }));
    let running = target(&json!({ "schedule": { "pause_status": "UNPAUSED" } }));
    let free = ledger(|_| ());
    assert_eq!(turn(&free, &paused), Turn::Change);
    assert_eq!(turn(&free, &running), Turn::Unchanged);
    assert_eq!(turn(&free, &nothing()), Turn::Missing);
    let barred = ledger(|standing| standing.bars.push("owner missing".to_owned()));
    assert_eq!(turn(&barred, &paused), Turn::Blocked);
    let gone = ledger(|standing| standing.gone = true);
    assert_eq!(turn(&gone, &paused), Turn::Orphaned);
    let mut refused = nothing();
    let no = Listed::No("403".to_owned());
    refused.kinds.insert("jobs".to_owned(), no);
    assert_eq!(turn(&free, &refused), Turn::Blocked);
    let mut unclear = nothing();
    let one = Unclear {
        id: "70".to_owned(),
        key: None,
        why: "listed and not read".to_owned(),
    };
    unclear.unclear.insert("jobs".to_owned(), vec![one]);
    assert_eq!(turn(&free, &unclear), Turn::Blocked);
}

#[test]
fn a_schedule_that_somebody_took_away_is_not_made_up() {
    let moves = plan(
        Direction::Activate,
        &ledger(|_| ()),
        &target(&json!({})),
        &Chosen::default(),
    );
    assert_eq!(moves[0].turn, Turn::Unchanged);
    assert!(moves[0].remarks[0].contains("no schedule any more"));
}

#[test]
fn what_the_ledger_does_not_tell_of_is_blocked_and_not_called_unchanged() {
    let told = |settings: Value| {
        let known = ledger(|_| ());
        let mut moves = plan(
            Direction::Activate,
            &known,
            &target(&settings),
            &Chosen::default(),
        );
        moves.remove(0)
    };
    let replaced = told(json!({ "continuous": { "pause_status": "PAUSED" } }));
    assert_eq!(replaced.turn, Turn::Blocked);
    let reason = replaced.reason.unwrap();
    assert!(
        reason.contains("archived state of its continuous"),
        "{reason}"
    );
    let beside = told(json!({
        "schedule": { "pause_status": "PAUSED" },
        "trigger": { "pause_status": "PAUSED", "periodic": { "interval": 1 } },
    }));
    assert_eq!(beside.turn, Turn::Blocked);
    // What somebody made run does run.
    let running = told(json!({ "continuous": { "pause_status": "UNPAUSED" } }));
    assert_eq!(running.turn, Turn::Unchanged);
}

#[test]
fn what_a_caller_may_not_see_is_not_taken_for_deleted() {
    let known = ledger(|_| ());
    let hidden = TargetState::default();
    assert!(!hidden.is_admin);
    for direction in [Direction::Activate, Direction::Deactivate] {
        let moves = plan(direction, &known, &hidden, &Chosen::default());
        assert_eq!(moves[0].turn, Turn::Blocked, "{direction:?}");
        assert!(!run::nothing_left(&known, &hidden, &moves));
        let moves = plan(direction, &known, &nothing(), &Chosen::default());
        assert_eq!(moves[0].turn, Turn::Missing, "{direction:?}");
        assert!(run::nothing_left(&known, &nothing(), &moves));
    }
}

#[test]
fn a_choice_holds_what_fulfils_all_of_it() {
    let standing = Standing {
        tags: [("team".to_owned(), "ops".to_owned())].into(),
        ..Standing::default()
    };
    let chosen = Choice {
        kinds: Some(vec!["jobs".to_owned()]),
        names: vec!["night*".to_owned()],
        tags: vec![("team".to_owned(), Some("ops".to_owned()))],
    };
    let chosen = chosen.compile().unwrap();
    assert!(chosen.holds("jobs", "nightly", &standing));
    assert!(!chosen.holds("jobs", "daily", &standing));
    assert!(!chosen.holds("clusters", "nightly", &standing));
    assert!(!chosen.holds("jobs", "nightly", &Standing::default()));
}

#[test]
fn every_kind_that_lands_passive_can_be_activated() {
    for kind in lifeboat_catalog::kinds() {
        assert!(
            kind.passive.is_empty() || ORDER.contains(&kind.name),
            "{}",
            kind.name
        );
    }
}

#[test]
fn what_a_refused_or_switched_off_listing_does_not_name_is_not_gone() {
    for (listed, gone) in [(true, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let lock = Lock::take(&path).unwrap();
        let journal = Journal::open(&path, lock, "1", "2", "archive").unwrap();
        let mut told = line(LineKind::Standing, "7");
        told.standing = Some(Standing::default());
        journal.append(&told, false).unwrap();
        let mut state = crate::archived::ArchiveState {
            complete: true,
            ..Default::default()
        };
        if listed {
            state.listed.insert("jobs".to_owned());
        }
        let filter = crate::filter::Filter::compile(&Default::default()).unwrap();
        let covered = Covered {
            state: &state,
            filter: &filter,
            into_source: false,
            finished: true,
        };
        record(&journal, &covered, &crate::report::Report::default()).unwrap();
        let known = journal.knowledge();
        assert_eq!(known.standing("jobs", "7").unwrap().gone, gone);
    }
}
