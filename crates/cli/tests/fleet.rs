//! Many workspaces, one command: what fails fails alone, secrets stay in the environment, and signals end all.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use common::{Room, process, stderr, stdout};
use lifeboat_sim::{Fault, FaultKind};
use serde_json::Value;

/// Three workspaces: the second one is not let in.
const FLEET: &str = r#"
[defaults]
limits = "off"
to = "vault/"

[[workspace]]
name = "first"
profile = "primary"
include = ["/Shared/**", "/Users/**"]

[[workspace]]
name = "locked"
profile = "expired"

[[workspace]]
name = "third"
host = "SECONDARY"
kinds = "notebooks,directories"
environment.DATABRICKS_TOKEN = "THIRD_TOKEN"
"#;

fn fleet(room: &Room, arguments: &[&str]) -> Command {
    let text = FLEET.replace("SECONDARY", &room.secondary.url());
    std::fs::write(room.path("fleet.toml"), text).unwrap();
    let mut command = room.tool("lifeboat-export", &["fleet", "fleet.toml"]);
    command
        .args(arguments)
        .env("THIRD_TOKEN", room.secondary.token());
    command
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let room = Room::filled();
    for jobs in ["1", "3"] {
        let assert = fleet(&room, &["--jobs", jobs]).assert().code(12);
        let (out, err) = (stdout(&assert), stderr(&assert));
        assert!(
            out.contains("3 workspaces: 2 done, 0 with gaps, 1 failed, 0 not begun"),
            "{out}{err}"
        );
        assert!(
            err.contains("warning: locked: cannot read the caller's identity")
                && err.contains("expired"),
            "{err}"
        );
        let archives = room
            .files("vault")
            .into_iter()
            .filter(|name| name.ends_with(".tar.zst"));
        assert_eq!(archives.count(), 2, "{:?}", room.files("vault"));
        for secret in [room.secondary.token(), "dapi-expired"] {
            assert!(!out.contains(secret) && !err.contains(secret));
        }
        std::fs::remove_dir_all(room.path("vault")).unwrap();
    }
}

#[test]
fn shards_share_the_list() {
    let room = Room::filled();
    let names = |shard: &str, code: i32| -> Vec<String> {
        let assert = fleet(&room, &["--json", "--shard", shard])
            .assert()
            .code(code);
        assert_eq!(stderr(&assert), "");
        let out = stdout(&assert);
        let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "summary");
        assert_eq!(last["exit_code"], code);
        let workspaces = last["workspaces"].as_array().unwrap();
        for line in out
            .lines()
            .filter(|line| line.contains(r#""event":"connected""#))
        {
            let event: Value = serde_json::from_str(line).unwrap();
            assert!(
                workspaces
                    .iter()
                    .any(|one| one["workspace"] == event["workspace"]),
                "{line}"
            );
        }
        let name = |one: &Value| one["workspace"].as_str().unwrap().to_owned();
        workspaces.iter().map(name).collect()
    };
    assert_eq!(names("0/2", 0), ["first", "third"]);
    assert_eq!(names("1/2", 12), ["locked"]);
    assert_eq!(names("3/4", 0), Vec::<String>::new());
}

#[test]
fn settings_of_one_workspace_do_not_reach_another() {
    let room = Room::filled();
    // A token of this environment would be stronger than the profiles' own.
    let assert = fleet(&room, &["--shard", "0/2"])
        .env("DATABRICKS_TOKEN", "dapi-wrong")
        .env("DATABRICKS_HOST", "http://127.0.0.1:9")
        .assert()
        .success();
    assert!(stdout(&assert).contains("2 done"), "{}", stdout(&assert));
    let assert = fleet(&room, &["--shard", "2/3"])
        .env_remove("THIRD_TOKEN")
        .assert()
        .code(12);
    let said = "third: the variable THIRD_TOKEN, which DATABRICKS_TOKEN is taken from, is not set";
    assert!(stderr(&assert).contains(said), "{}", stderr(&assert));
}

#[test]
fn a_file_with_a_mistake_anywhere_begins_nothing() {
    let room = Room::filled();
    for (text, said) in [
        (
            FLEET.replace("kinds =", "kind ="),
            "workspace third: unknown key kind",
        ),
        (
            FLEET.replace("\"THIRD_TOKEN\"", "\"dapi-geheim\""),
            "is not the name of a variable",
        ),
        (
            FLEET.replace("name = \"third\"", "name = \"first\""),
            "the name first is given twice",
        ),
        (
            FLEET.replace("limits =", "metrics = \"all.prom\"\nlimits ="),
            "another one has the same file of metrics",
        ),
    ] {
        std::fs::write(room.path("fleet.toml"), text).unwrap();
        let assert = room
            .tool("lifeboat-export", &["fleet", "fleet.toml"])
            .assert()
            .code(2);
        let text = stderr(&assert);
        assert!(
            text.contains(said) && text.contains("hint: ") && !text.contains("geheim"),
            "{text}"
        );
    }
    for shard in ["3/3", "x", "-1/2"] {
        fleet(&room, &[&format!("--shard={shard}")])
            .assert()
            .code(2);
    }
    assert_eq!(room.primary.calls(), []);
    assert_eq!(room.secondary.calls(), []);
}

#[test]
fn a_signal_ends_the_exports_and_begins_no_other() {
    let room = Room::filled();
    drop(fleet(&room, &[]));
    room.primary.fault(Fault {
        kind: FaultKind::Hang,
        ..Fault::status("GET", "*/workspace/list", 0)
    });
    let child = process(room.dir.path(), "lifeboat-export", &["fleet", "fleet.toml"])
        .env("THIRD_TOKEN", room.secondary.token())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first export is in the middle of its listing when it is asked who calls and for the root.
    let asked = || {
        room.primary
            .calls()
            .iter()
            .any(|call| call.path.ends_with("/jobs/list"))
    };
    while !asked() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(143), "{out}{err}");
    assert!(
        out.contains("0 done, 0 with gaps, 1 failed, 2 not begun"),
        "{out}{err}"
    );
    assert!(err.contains("first: terminated"), "{err}");
    assert_eq!(room.secondary.calls(), []);
    assert_eq!(
        room.files("vault")
            .iter()
            .filter(|name| name.ends_with(".tar.zst"))
            .count(),
        0
    );
}
