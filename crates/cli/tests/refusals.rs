//! Bad input of an import: each is refused with its code, a rule and a way on, and nothing was written anywhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::assert::Assert;
use common::{Room, process, stderr, stdout};
use lifeboat_import::journal::{Journal, Lock, State};
use lifeboat_sim::{Fault, FaultKind, Fill, Sim};

const SOURCE: &str = "1111111111111111";
const TARGET: &str = "2222222222222222";

/// An empty target, and a small archive of another workspace.
fn room() -> (Room, PathBuf) {
    let room = Room::new();
    room.secondary
        .with(|world| Fill::small().join_account(world));
    let archive = room.path("small.tar.zst");
    std::fs::write(&archive, common::small_archive()).unwrap();
    (room, archive)
}

fn apply(room: &Room, archive: &Path, more: &[&str]) -> Assert {
    let mut arguments = vec!["--target", TARGET];
    arguments.extend(more);
    room.import("apply", archive, &arguments)
}

fn writes(sim: &Sim) -> Vec<String> {
    let calls = sim.calls().into_iter().filter(|call| call.method != "GET");
    calls
        .map(|call| format!("{} {}", call.method, call.path))
        .collect()
}

/// The code, what is said, and that nothing was written: neither to a workspace nor to the usual journal.
fn refused(room: &Room, assert: Assert, code: i32, said: &str) {
    let assert = assert.code(code);
    let text = stderr(&assert);
    assert!(text.contains(said), "{said:?} is not in {text}");
    assert!(text.contains("hint: "), "no way on: {text}");
    assert_eq!(writes(&room.primary), Vec::<String>::new());
    assert_eq!(writes(&room.secondary), Vec::<String>::new());
    assert!(!usual_journal(room).exists(), "a journal was begun");
}

fn usual_journal(room: &Room) -> PathBuf {
    room.path(&format!("state/lifeboat/{SOURCE}-{TARGET}/journal.jsonl"))
}

fn journal_for(path: &Path, target: &str) -> Journal {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Journal::open(path, Lock::take(path).unwrap(), SOURCE, target, "archive").unwrap()
}

#[test]
fn a_journal_of_another_pair() {
    let (room, archive) = room();
    let path = room.path("other/journal.jsonl");
    drop(journal_for(&path, "9999"));
    let before = std::fs::read(&path).unwrap();
    let assert = apply(&room, &archive, &["--journal", "other/journal.jsonl"]);
    refused(&room, assert, 14, "another pair of workspaces");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn two_importers_at_once() {
    let (room, archive) = room();
    // The first one waits for an answer that never comes, with the lock in its hands.
    room.secondary.fault(Fault {
        method: "GET".to_owned(),
        path: "*/workspace/list".to_owned(),
        kind: FaultKind::Hang,
        times: 1,
        ..Fault::default()
    });
    let mut first = process(room.dir.path(), "lifeboat-import", &["apply"]);
    first.arg(&archive).args([
        "--profile",
        "secondary",
        "--limits",
        "off",
        "--target",
        TARGET,
    ]);
    let mut first = first
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !room.secondary.calls().iter().any(|call| call.status == 0) {
        assert!(
            first.try_wait().unwrap().is_none(),
            "the first import ended"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let assert = apply(&room, &archive, &[]);
    let owner = format!("process {}", first.id());
    refused(&room, assert, 14, &owner);
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock went with its process.
    room.secondary.clear_faults();
    apply(&room, &archive, &["--admins"]).success();
}

#[test]
fn an_active_target() {
    let (room, archive) = room();
    let path = room.path("journal/journal.jsonl");
    journal_for(&path, TARGET).set_state(State::Active).unwrap();
    let assert = apply(&room, &archive, &["--journal", "journal/journal.jsonl"]);
    refused(&room, assert, 14, "deactivate");
}

#[test]
fn a_target_with_objects_of_the_same_names_made_by_hand() {
    let (room, archive) = room();
    let script = room.primary_script_name();
    room.secondary.with(|world| {
        lifeboat_sim::init_scripts::add(world, &script, b"#!/bin/sh\necho mine\n", false);
    });
    let before = room.secondary.dump();
    let assert = apply(&room, &archive, &[]);
    refused(&room, assert, 14, &script);
    assert_eq!(room.secondary.dump(), before);
}

impl Room {
    /// The name of a global init script of the archive.
    fn primary_script_name(&self) -> String {
        let twin = Sim::start(lifeboat_sim::Options::default()).unwrap();
        twin.fill(&Fill::small());
        twin.dump()["global-init-scripts"]
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap()
            .clone()
    }
}

#[test]
fn the_source_as_target() {
    let (room, archive) = room();
    let assert = room
        .tool("lifeboat-import", &["apply"])
        .arg(&archive)
        .args([
            "--profile",
            "primary",
            "--limits",
            "off",
            "--target",
            SOURCE,
        ])
        .assert();
    refused(&room, assert, 14, "--into-source");
}

#[test]
fn a_target_that_may_not_be_written() {
    let (room, archive) = room();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        room.secondary.fault(Fault::status(method, "*", 403));
    }
    let before = room.secondary.dump();
    let assert = apply(&room, &archive, &[]).code(12);
    let text = stderr(&assert);
    assert!(text.contains("may not write"), "{text}");
    assert!(text.contains("hint: "), "{text}");
    assert_eq!(room.secondary.dump(), before);
    // It does not ask thousands of times.
    let refused = writes(&room.secondary).len();
    assert!(refused < 40, "{refused}");
    // Whoever may write goes on with the same journal.
    room.secondary.clear_faults();
    apply(&room, &archive, &["--admins"]).success();
}

#[test]
fn a_journal_that_cannot_be_written() {
    let (room, archive) = room();
    // A file stands where the folder should be: no right can make it one.
    std::fs::write(room.path("state"), "").unwrap();
    let assert = apply(&room, &archive, &[]);
    refused(&room, assert, 14, "the journal cannot be used");
}

#[test]
fn a_user_that_does_not_exist() {
    let (room, archive) = room();
    let assert = apply(&room, &archive, &["--users", "nobody@nowhere.example"]).code(2);
    assert!(
        stderr(&assert).contains("nobody@nowhere.example"),
        "{} {}",
        stderr(&assert),
        stdout(&assert)
    );
    assert_eq!(writes(&room.secondary), Vec::<String>::new());
}

#[test]
fn an_archive_that_is_damaged_anywhere_or_cut_anywhere() {
    let (room, archive) = room();
    let bytes = common::small_archive();
    for part in 1..8 {
        let at = bytes.len() * part / 8;
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        std::fs::write(&archive, damaged).unwrap();
        refused(&room, apply(&room, &archive, &[]), 11, "error: ");
        std::fs::write(&archive, &bytes[..at]).unwrap();
        refused(&room, apply(&room, &archive, &[]), 11, "error: ");
    }
    std::fs::write(&archive, "no archive").unwrap();
    let assert = apply(&room, &archive, &[]).code(10);
    assert!(
        stderr(&assert).starts_with("error: "),
        "{}",
        stderr(&assert)
    );
    // Whoever gives a host asks once who is there; nothing of the workspace is read.
    let calls = room.secondary.calls();
    assert!(
        calls.iter().all(|call| call.path.ends_with("/Me")),
        "{calls:?}"
    );
}

#[test]
fn an_archive_with_an_incomplete_inventory() {
    let room = Room::filled();
    room.primary
        .fault(Fault::status("GET", "*/policies/clusters/list", 403));
    let archive = room.path("gap.tar.zst");
    room.tool(
        "lifeboat-export",
        &[
            "run",
            "--profile",
            "primary",
            "--limits",
            "off",
            "-q",
            "--to",
            "gap.tar.zst",
        ],
    )
    .assert()
    .code(3);
    refused(&room, apply(&room, &archive, &[]), 14, "cluster-policies");
}
