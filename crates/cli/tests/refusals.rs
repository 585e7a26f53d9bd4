//! Bad input of an import: each is refused with its code, a rule and a way on, and nothing was written anywhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::assert::Assert;
use common::{Room, process, stderr, stdout, writes};
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
    let script = room.script_by_hand();
    let before = room.secondary.dump();
    let assert = apply(&room, &archive, &[]);
    refused(&room, assert, 14, &script);
    assert_eq!(room.secondary.dump(), before);
}

impl Room {
    /// Makes a global init script in the target that has the name of one of the archive; gives the name.
    fn script_by_hand(&self) -> String {
        let twin = Sim::start(lifeboat_sim::Options::default()).unwrap();
        twin.fill(&Fill::small());
        let dump = twin.dump();
        let name = dump["global-init-scripts"]
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap();
        self.secondary.with(|world| {
            lifeboat_sim::init_scripts::add(world, name, b"#!/bin/sh\necho mine\n", false);
        });
        name.clone()
    }

    /// A user of the archive.
    fn primary_user(&self) -> String {
        let twin = Sim::start(lifeboat_sim::Options::default()).unwrap();
        twin.fill(&Fill::small());
        let dump = twin.dump();
        let mut users = dump["users"].as_object().unwrap().keys();
        users
            .find(|name| !self.secondary.dump()["users"][name.as_str()].is_object())
            .unwrap()
            .clone()
    }

    /// Everything below the room's folder, by path.
    fn everything(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

#[test]
fn a_refused_run_leaves_no_new_folder_and_no_new_file() {
    let (room, archive) = room();
    std::fs::write(room.path("map.toml"), "[users]\n\"nobody@x\" = \"a@x\"\n").unwrap();
    room.script_by_hand();
    let before = room.everything();
    let journal = ["--journal", "mistyped/place/journal.jsonl"];
    let report = ["--report", "report.json"];
    let with = |more: &[&'static str]| [&journal[..], &report[..], more].concat();
    // Before and after the lock of the journal is taken; by a guard, by the service, and by the map.
    refused(
        &room,
        apply(&room, &archive, &with(&[])),
        14,
        "natural keys",
    );
    let refused_map = apply(&room, &archive, &with(&["--map", "map.toml"]));
    refused(&room, refused_map, 14, "matches nothing in the archive");
    room.secondary
        .fault(Fault::status("GET", "*/scim/v2/Groups", 403));
    refused(&room, apply(&room, &archive, &with(&[])), 12, "groups");
    room.secondary.clear_faults();
    assert_eq!(room.everything(), before);
}

#[test]
fn a_map_with_a_typo_and_one_that_names_nobody() {
    let (room, archive) = room();
    let user = room.primary_user();
    for (text, said) in [
        ("[user]\n\"a\" = \"b\"\n".to_owned(), "no section is named"),
        ("[users\n".to_owned(), "line 1: not TOML"),
        (
            "[users]\n\"no.such@user\" = \"b\"\n".to_owned(),
            "matches nothing in the archive",
        ),
        (
            format!("[users]\n\"{user}\" = \"nobody@nowhere.example\"\n"),
            "\"nobody@nowhere.example\": does not exist in the target",
        ),
        (
            "[node-types]\n\"Standard_DS3_v2\" = \"Standard_Typo\"\n".to_owned(),
            "\"Standard_Typo\": the target does not offer it",
        ),
    ] {
        std::fs::write(room.path("map.toml"), text).unwrap();
        let assert = apply(&room, &archive, &["--map", "map.toml"]);
        refused(&room, assert, 14, said);
    }
    let absent = apply(&room, &archive, &["--map", "no/such.toml"]);
    refused(&room, absent, 2, "no/such.toml");
}

/// Modes of files and folders, whatever the surroundings would allow.
#[test]
#[cfg(unix)]
fn journals_locks_and_reports_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (room, archive) = room();
    let open = |line: &str| {
        let program = common::binary("lifeboat-import");
        let surroundings = process(room.dir.path(), "lifeboat-import", &[]);
        let variables = surroundings.get_envs();
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("umask 0; exec '{program}' {line}")])
            .current_dir(room.dir.path())
            .env_clear()
            .envs(variables.filter_map(|(key, value)| Some((key, value?))))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let mode = |name: &str| {
        let data = std::fs::metadata(room.path(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    let archive = archive.display();
    let there = "--profile secondary --limits off";
    open(&format!(
        "apply {archive} {there} --admins --target {TARGET} --report report.json"
    ));
    let folder = format!("state/lifeboat/{SOURCE}-{TARGET}");
    for (name, expected) in [
        ("state", 0o700),
        ("state/lifeboat", 0o700),
        (&folder, 0o700),
        (&format!("{folder}/journal.jsonl"), 0o600),
        (&format!("{folder}/journal.jsonl.lock"), 0o600),
        ("report.json", 0o600),
    ] {
        assert_eq!(
            format!("{:o}", mode(name)),
            format!("{expected:o}"),
            "{name}"
        );
    }
    // A journal where --journal says, in folders that are not there yet.
    let elsewhere =
        format!("apply {archive} {there} --admins --adopt --journal a/b/j.jsonl --target {TARGET}");
    open(&elsewhere);
    for (name, expected) in [("a", 0o700), ("a/b", 0o700), ("a/b/j.jsonl", 0o600)] {
        assert_eq!(
            format!("{:o}", mode(name)),
            format!("{expected:o}"),
            "{name}"
        );
    }
    // An activation makes the lock again where somebody has cleaned up.
    std::fs::remove_file(room.path(&format!("{folder}/journal.jsonl.lock"))).unwrap();
    open(&format!("activate {there} --source-fenced"));
    for name in ["journal.jsonl", "journal.jsonl.lock"] {
        assert_eq!(mode(&format!("{folder}/{name}")), 0o600, "{name}");
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
    room.export_with("gap.tar.zst", &["-q"]).code(3);
    refused(&room, apply(&room, &archive, &[]), 14, "cluster-policies");
}
