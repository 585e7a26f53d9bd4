//! What lines add up to, what a torn or foreign file does.

use std::path::PathBuf;

use super::*;
use crate::error::{Error, Rule};

fn step(kind: LineKind, op: Op, id: &str) -> Line {
    let mut line = Line::new(kind, "archive");
    line.op = Some(op);
    line.kind = Some("jobs".to_owned());
    line.id = Some(id.to_owned());
    line
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    (folder, path)
}

fn open(path: &std::path::Path) -> Journal {
    Journal::open(path, Lock::take(path).unwrap(), "1", "2", "archive").unwrap()
}

#[test]
fn a_create_is_known_by_its_result_and_pending_without() {
    let mut knowledge = Knowledge::default();
    let mut intent = step(LineKind::Intent, Op::Create, "7");
    intent.digest = Some("d".to_owned());
    intent.token = Some("t".to_owned());
    knowledge.apply(&intent);
    let entry = knowledge.entry("jobs", "7").unwrap();
    assert!(entry.is_create_pending() && !entry.is_linked());
    assert_eq!(entry.pending.as_ref().unwrap().token.as_deref(), Some("t"));

    let mut result = step(LineKind::Result, Op::Create, "7");
    result.ok = Some(true);
    result.target = Some("70".to_owned());
    knowledge.apply(&result);
    let entry = knowledge.entry("jobs", "7").unwrap();
    assert!(entry.is_ours() && !entry.is_create_pending());
    assert_eq!(
        (entry.target.as_deref(), entry.digest.as_deref()),
        (Some("70"), Some("d"))
    );
}

#[test]
fn an_uncertain_failure_stays_pending_and_a_certain_one_does_not() {
    for certain in [true, false] {
        let mut knowledge = Knowledge::default();
        knowledge.apply(&step(LineKind::Intent, Op::Create, "7"));
        let mut result = step(LineKind::Result, Op::Create, "7");
        result.ok = Some(false);
        result.certain = Some(certain);
        knowledge.apply(&result);
        assert_eq!(
            knowledge.entry("jobs", "7").unwrap().is_create_pending(),
            !certain
        );
    }
}

#[test]
fn a_write_forgets_what_was_seen_before_it() {
    let mut knowledge = Knowledge::default();
    let mut seen = step(LineKind::Seen, Op::Update, "7");
    seen.modified_at = Some(5);
    seen.digest = Some("form".to_owned());
    knowledge.apply(&seen);
    assert_eq!(knowledge.entry("jobs", "7").unwrap().modified_at, Some(5));
    let mut result = step(LineKind::Result, Op::Update, "7");
    result.ok = Some(true);
    knowledge.apply(&result);
    let entry = knowledge.entry("jobs", "7").unwrap();
    assert_eq!((entry.modified_at, entry.seen.as_deref()), (None, None));
}

#[test]
fn what_is_written_is_read_again_and_numbers_go_on() {
    let (_folder, path) = file();
    let journal = open(&path);
    assert_eq!(
        journal
            .intent(step(LineKind::Intent, Op::Create, "7"), true)
            .unwrap(),
        1
    );
    let mut result = step(LineKind::Result, Op::Create, "7");
    result.ok = Some(true);
    result.target = Some("70".to_owned());
    journal.append(&result, false).unwrap();
    journal.set_state(State::Active).unwrap();
    let known = journal.knowledge();
    drop(journal);
    assert_eq!(Journal::read(&path, "1", "2").unwrap(), known);
    assert_eq!(known.state, State::Active);
    let journal = open(&path);
    assert_eq!(
        journal
            .intent(step(LineKind::Intent, Op::Update, "7"), false)
            .unwrap(),
        2
    );
}

#[test]
fn a_torn_last_line_is_cut_off_and_any_other_bad_line_is_an_error() {
    let (_folder, path) = file();
    drop(open(&path));
    let whole = fs_err::read(&path).unwrap();
    let mut torn = whole.clone();
    torn.extend_from_slice(b"{\"v\":1,\"at\":\"20");
    fs_err::write(&path, &torn).unwrap();
    drop(open(&path));
    assert!(fs_err::read(&path).unwrap().starts_with(&whole));
    assert!(Journal::read(&path, "1", "2").unwrap().confirmed);

    torn.extend_from_slice(b"\n");
    fs_err::write(&path, &torn).unwrap();
    match Journal::read(&path, "1", "2") {
        Err(Error::Journal { line, .. }) => assert_eq!(line, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_pair_and_a_newer_format_are_refused() {
    let (_folder, path) = file();
    drop(open(&path));
    let refused = Journal::read(&path, "1", "3").unwrap_err();
    assert!(matches!(
        refused,
        Error::Refused {
            rule: Rule::JournalOfAnotherPair,
            ..
        }
    ));
    let text = fs_err::read_to_string(&path).unwrap().replace(
        &format!("\"v\":{VERSION}"),
        &format!("\"v\":{}", VERSION + 1),
    );
    fs_err::write(&path, text).unwrap();
    assert!(
        Journal::read(&path, "1", "2")
            .unwrap_err()
            .to_string()
            .contains("newer")
    );
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let (_folder, path) = file();
    let first = Lock::take(&path).unwrap();
    match Lock::take(&path) {
        Err(Error::Refused {
            rule: Rule::JournalLocked,
            detail,
            ..
        }) => {
            assert!(
                detail.contains(&format!("process {}", std::process::id())),
                "{detail}"
            );
            assert!(detail.contains("s ago"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    Lock::take(&path).unwrap();
}

/// Everything below a folder, by path.
fn below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_lock_without_a_journal_takes_back_what_it_made_and_nothing_else() {
    let (folder, _) = file();
    let path = folder.path().join("one/two/journal.jsonl");
    drop(Lock::take(&path).unwrap());
    assert_eq!(below(folder.path()), Vec::<PathBuf>::new());

    // What was there before stays, and so does a folder that somebody uses meanwhile.
    fs_err::create_dir(folder.path().join("one")).unwrap();
    let lock = Lock::take(&path).unwrap();
    fs_err::write(folder.path().join("one/two/mine"), "").unwrap();
    drop(lock);
    let left = ["one", "one/two", "one/two/mine"].map(|name| folder.path().join(name));
    assert_eq!(below(folder.path()), left);

    // A lock file that was there, of a run that died, is no news either.
    fs_err::write(
        folder.path().join("one/two/journal.jsonl.lock"),
        "process 1\n",
    )
    .unwrap();
    drop(Lock::take(&path).unwrap());
    assert!(folder.path().join("one/two/journal.jsonl.lock").exists());

    drop(open(&path));
    assert!(path.exists() && folder.path().join("one/two/journal.jsonl.lock").exists());
}

#[test]
fn who_is_refused_takes_nothing_from_the_one_who_holds_the_lock() {
    let (folder, _) = file();
    let path = folder.path().join("one/journal.jsonl");
    let first = Lock::take(&path).unwrap();
    Lock::take(&path).unwrap_err();
    assert_eq!(below(folder.path()).len(), 2);
    drop(first);
    assert_eq!(below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn the_map_of_the_last_import_that_named_one_is_known() {
    let (_folder, path) = file();
    let map = |to: &str| {
        let entry = BTreeMap::from([("anna".to_owned(), to.to_owned())]);
        MapEntries::from([("users".to_owned(), entry)])
    };
    let import = |map: Option<MapEntries>| {
        let lock = Lock::take(&path).unwrap();
        drop(Journal::open_mapped(&path, lock, ("1", "2"), "archive", map).unwrap());
        Journal::read(&path, "1", "2").unwrap().map
    };
    assert_eq!(import(None), MapEntries::new());
    assert_eq!(import(Some(map("berta"))), map("berta"));
    let once = fs_err::read_to_string(&path).unwrap();
    assert_eq!(import(Some(map("berta"))), map("berta"));
    assert_eq!(import(None), map("berta"), "who names none says nothing");
    let text = fs_err::read_to_string(&path).unwrap();
    let named = |text: &str| text.matches("berta").count();
    assert_eq!(named(&text), named(&once), "it is written when it changes");
    assert_eq!(import(Some(map("clara"))), map("clara"));
    assert_eq!(import(Some(MapEntries::new())), MapEntries::new());
}

#[test]
fn an_absent_journal_knows_nothing() {
    let (_folder, path) = file();
    let knowledge = Journal::read(&path, "1", "2").unwrap();
    assert!(knowledge.is_empty() && !knowledge.confirmed);
    assert_eq!(knowledge.state, State::Standby);
}

#[test]
fn an_activation_in_doubt_counts_as_active_and_touches_nothing_else() {
    let mut knowledge = Knowledge::default();
    let mut seen = step(LineKind::Seen, Op::Update, "7");
    seen.digest = Some("form".to_owned());
    knowledge.apply(&seen);
    knowledge.apply(&step(LineKind::Intent, Op::Update, "7"));
    let before = knowledge.entry("jobs", "7").unwrap().clone();
    knowledge.apply(&step(LineKind::Intent, Op::Activate, "7"));
    let entry = knowledge.entry("jobs", "7").unwrap().clone();
    assert!(entry.activated && entry.switched);
    assert_eq!(
        Entry {
            activated: false,
            switched: false,
            ..entry
        },
        before
    );
    // An import that found it in order knows again how it is; one that must not touch it does not.
    let mut told = Line::new(LineKind::Standing, "archive");
    (told.kind, told.id) = (Some("jobs".to_owned()), Some("7".to_owned()));
    for (bars, switched) in [
        (vec!["skipped: changed".to_owned()], true),
        (Vec::new(), false),
    ] {
        told.standing = Some(Standing {
            bars,
            ..Standing::default()
        });
        let mut later = knowledge.clone();
        later.apply(&told);
        assert_eq!(later.entry("jobs", "7").unwrap().switched, switched);
    }
    let mut result = step(LineKind::Result, Op::Activate, "7");
    result.ok = Some(false);
    result.certain = Some(false);
    knowledge.apply(&result);
    assert!(knowledge.entry("jobs", "7").unwrap().activated);
    knowledge.apply(&step(LineKind::Intent, Op::Deactivate, "7"));
    assert!(knowledge.entry("jobs", "7").unwrap().activated);
    let mut result = step(LineKind::Result, Op::Deactivate, "7");
    result.ok = Some(true);
    knowledge.apply(&result);
    let after = knowledge.entry("jobs", "7").unwrap().clone();
    assert_eq!(
        Entry {
            switched: false,
            ..after
        },
        before
    );
}

#[test]
fn a_journal_of_the_first_version_is_read_and_a_standing_survives_its_line() {
    let (_folder, path) = file();
    drop(open(&path));
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("\"v\":2", "\"v\":1")).unwrap();
    let journal = open(&path);
    assert!(journal.knowledge().has_no_ledger());
    let standing = Standing {
        tags: [("team".to_owned(), "a".to_owned())].into(),
        active: [(
            "/settings/schedule/pause_status".to_owned(),
            serde_json::Value::Null,
        )]
        .into_iter()
        .collect(),
        bars: vec!["owner missing".to_owned()],
        gone: true,
    };
    let mut line = journal.line(LineKind::Standing);
    line.kind = Some("jobs".to_owned());
    line.id = Some("7".to_owned());
    line.name = Some("nightly".to_owned());
    line.standing = Some(standing.clone());
    journal.append(&line, false).unwrap();
    let known = Journal::read(&path, "1", "2").unwrap();
    assert_eq!(known.standing("jobs", "7"), Some(&standing));
    assert!(known.is_empty(), "a standing announces no write");
    let pair = Journal::pair(&path).unwrap();
    assert_eq!(pair, Some(("1".to_owned(), "2".to_owned())));
}

#[test]
fn a_failed_activation_leaves_what_an_earlier_one_did() {
    let answer = |ok, certain| {
        let mut result = step(LineKind::Result, Op::Activate, "7");
        (result.ok, result.certain) = (Some(ok), certain);
        result
    };
    let intent = step(LineKind::Intent, Op::Activate, "7");
    let refused = answer(false, Some(true));
    // Nothing, done before, or in doubt since before: then the refusal proves nothing.
    for (before, activated) in [
        (vec![], false),
        (vec![intent.clone(), answer(true, None)], true),
        (vec![intent.clone()], true),
        (vec![intent.clone(), answer(false, Some(false))], true),
        (vec![intent.clone(), refused.clone()], false),
    ] {
        let mut known = Knowledge::default();
        for line in before.iter().chain([&intent, &refused]) {
            known.apply(line);
        }
        let entry = known.entry("jobs", "7").unwrap();
        assert_eq!(entry.activated, activated, "{before:?}");
    }
}

#[test]
fn what_is_restored_below_another_folder_announces_nothing_of_its_own_place() {
    let mut known = Knowledge::default();
    for kind in [LineKind::Intent, LineKind::Result] {
        let mut line = step(kind, Op::Create, "/Restored/a");
        line.kind = Some("notebooks".to_owned());
        line.elsewhere = Some(true);
        line.ok = Some(true);
        known.apply(&line);
    }
    assert!(known.is_empty() && known.entry("notebooks", "/Restored/a").is_some());
    known.apply(&step(LineKind::Intent, Op::Create, "7"));
    assert!(!known.is_empty());
}

#[test]
fn a_certain_failure_leaves_an_older_create_without_an_answer_open() {
    let mut known = Knowledge::default();
    let mut first = step(LineKind::Intent, Op::Create, "7");
    first.digest = Some("first".to_owned());
    let mut lost = step(LineKind::Result, Op::Create, "7");
    lost.ok = Some(false);
    lost.certain = Some(false);
    let again = step(LineKind::Intent, Op::Create, "7");
    let mut exists = lost.clone();
    exists.certain = Some(true);
    for line in [&first, &lost, &again, &exists] {
        known.apply(line);
    }
    let entry = known.entry("jobs", "7").unwrap();
    assert!(entry.is_create_pending());
    let digest = entry.pending.as_ref().unwrap().digest.as_deref();
    assert_eq!(digest, Some("first"));
    let mut found = step(LineKind::Result, Op::Adopt, "7");
    found.ok = Some(true);
    found.made = Some(Made::Created);
    known.apply(&found);
    let entry = known.entry("jobs", "7").unwrap();
    assert_eq!(
        (entry.pending.as_ref(), entry.earlier.as_ref()),
        (None, None)
    );
}

/// The lines of a call that was refused for certain.
fn refused(kind: &str) -> [Line; 2] {
    [LineKind::Intent, LineKind::Result].map(|line| {
        let mut line = step(line, Op::Create, "7");
        line.kind = Some(kind.to_owned());
        (line.ok, line.certain) = (Some(false), Some(true));
        line
    })
}

fn remembers(known: &Knowledge, kind: &str) -> bool {
    let entry = known.entry(kind, "7").unwrap();
    entry.refusal(Op::Create, None).is_some()
}

#[test]
fn a_failure_that_says_nothing_of_the_object_is_not_remembered() {
    for passing in [None, Some(true)] {
        let mut known = Knowledge::default();
        for mut line in refused("git-folders") {
            line.passing = passing;
            known.apply(&line);
        }
        assert_eq!(remembers(&known, "git-folders"), passing.is_none());
    }
}

#[test]
fn what_a_caller_who_may_write_nothing_was_refused_is_asked_again() {
    let open = step(LineKind::Open, Op::Create, "");
    for (kinds, wrote, remembered) in [
        (&["jobs", "clusters", "git-folders"][..], false, false),
        (&["jobs", "clusters", "git-folders"], true, true),
        (&["jobs", "clusters"], false, true),
    ] {
        let mut known = Knowledge::default();
        known.apply(&open);
        if wrote {
            let mut done = step(LineKind::Result, Op::Create, "8");
            done.ok = Some(true);
            known.apply(&done);
        }
        for line in kinds.iter().flat_map(|kind| refused(kind)) {
            known.apply(&line);
        }
        known.apply(&open);
        assert_eq!(remembers(&known, "jobs"), remembered, "{kinds:?} {wrote}");
    }
}
