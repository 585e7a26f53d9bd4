//! `lifeboat-export run --base`: nights after the first one, and runs that go on where one was ended.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{Room, kill, process, stderr, stdout};
use lifeboat_sim::Sim;
use lifeboat_sim::tree::{self, Object};

const HOURS: Duration = Duration::from_secs(7200);

fn export(room: &Room, to: &str, more: &[&str]) -> assert_cmd::assert::Assert {
    let fixed = [
        "run",
        "--profile",
        "primary",
        "--limits",
        "off",
        "--reread",
        "0",
        "--base",
    ];
    room.tool("lifeboat-export", &fixed)
        .args(more)
        .args(["--to", to])
        .assert()
}

/// Contents that were asked for since the last time.
fn contents(sim: &Sim) -> usize {
    let calls = sim.calls();
    sim.reset_calls();
    let is_content = |call: &&lifeboat_sim::Call| call.path == "/api/2.0/workspace/export";
    calls.iter().filter(is_content).count()
}

fn edit(sim: &Sim, path: &str) {
    sim.with(|world| {
        let admin = world.admin();
        let notebook = Object::Notebook {
            language: "PYTHON",
            content: b"# Databricks notebook source\n# edited\n"[..].into(),
            jupyter: false,
        };
        tree::put(world, path, notebook, &admin);
    });
}

#[test]
fn each_night_takes_over_from_the_latest() {
    let room = Room::filled();
    edit(&room.primary, "/Shared/edited");
    room.primary.advance(HOURS);
    std::fs::create_dir(room.path("out")).unwrap();
    let first = export(&room, "out/1.tar.zst", &["latest"]).success();
    assert!(
        stdout(&first)
            .contains("no base: there is no archive of workspace 1111111111111111 in out yet")
    );
    let all = contents(&room.primary);
    assert!(all > 10, "{all}");
    room.primary.advance(HOURS);
    edit(&room.primary, "/Shared/edited");
    let second = export(&room, "out/2.tar.zst", &["latest", "--acls", "weekly"]).success();
    assert!(
        stdout(&second).contains("base out/1.tar.zst of "),
        "{}",
        stdout(&second)
    );
    assert!(
        stdout(&second).contains("taken over from the base"),
        "{}",
        stdout(&second)
    );
    let calls = room.primary.calls();
    assert!(
        !calls
            .iter()
            .any(|call| call.path.starts_with("/api/2.0/permissions/"))
    );
    assert_eq!(contents(&room.primary), 1);
    room.tool("lifeboat-inspect", &["verify", "out/2.tar.zst"])
        .assert()
        .success();

    // A damaged one does not keep the nights after it from being made.
    let path = room.path("out/2.tar.zst");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 600;
    bytes[at] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    room.primary.advance(HOURS);
    let third = export(&room, "out/3.tar.zst", &["latest"]).success();
    let said = stderr(&third);
    assert!(said.contains("out/2.tar.zst cannot be the base"), "{said}");
    assert!(
        stdout(&third).contains("base out/1.tar.zst of "),
        "{}",
        stdout(&third)
    );
    assert_eq!(contents(&room.primary), 1);
    // Asked for by name it is refused: what takes minutes must not become hours unsaid.
    let refused = export(&room, "out/4.tar.zst", &["out/2.tar.zst"]).code(11);
    assert!(stderr(&refused).contains("hint: "), "{}", stderr(&refused));
    let latest = export(&room, "out/5.tar.zst", &["out/latest"]).success();
    assert!(
        stdout(&latest).contains("base out/3.tar.zst of "),
        "{}",
        stdout(&latest)
    );
}

#[test]
fn a_base_of_another_workspace_is_refused() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    let assert = room
        .tool(
            "lifeboat-export",
            &[
                "run",
                "--profile",
                "secondary",
                "--to",
                "b.tar.zst",
                "--base",
            ],
        )
        .arg(&archive)
        .assert()
        .code(14);
    let said = stderr(&assert);
    assert!(
        said.contains("of workspace \"1111111111111111\", not of \"2222222222222222\""),
        "{said}"
    );
    assert!(!room.path("b.tar.zst").exists());
    for wrong in [["--acls", "never"], ["--reread", "5%"], ["--base", ""]] {
        room.tool(
            "lifeboat-export",
            &["run", "--profile", "primary", "--to", "c.tar.zst"],
        )
        .args(wrong)
        .assert()
        .failure();
    }
}

#[test]
#[cfg(unix)]
fn a_signal_keeps_what_was_read_and_the_next_run_goes_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let room = Room::filled();
        room.primary.advance(HOURS);
        std::fs::create_dir(room.path("out")).unwrap();
        room.primary.set_latency(Duration::from_millis(100));
        let arguments = [
            "run",
            "--profile",
            "primary",
            "--limits",
            "off",
            "--keep-partial",
            "--to",
            "out/x.tar.zst",
        ];
        let child = process(room.dir.path(), "lifeboat-export", &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let is_content = |call: &lifeboat_sim::Call| call.path == "/api/2.0/workspace/export";
        while !room.primary.calls().iter().any(is_content) {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(signal, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains("stopping: nothing more is asked for"),
            "{said}"
        );
        assert!(said.contains("`--base out/x.partial.tar.zst`"), "{said}");
        assert_eq!(room.files("out"), ["x.partial.json", "x.partial.tar.zst"]);
        room.primary.set_latency(Duration::ZERO);
        room.primary.reset_calls();
        let next = export(&room, "out/x.tar.zst", &["latest"]).success();
        assert!(
            stdout(&next).contains("base out/x.partial.tar.zst of "),
            "{}",
            stdout(&next)
        );
        let rest = contents(&room.primary);
        export(&room, "full.tar.zst", &["latest"]).success();
        assert!(rest < contents(&room.primary), "{rest} were read");
        let ids = ["out/x.json", "full.json"].map(|name| {
            let text = std::fs::read_to_string(room.path(name)).unwrap();
            let descriptor: serde_json::Value = serde_json::from_str(&text).unwrap();
            descriptor["content-id"].clone()
        });
        assert_eq!(ids[0], ids[1]);
    }
}
