//! The commands one after the other: guards, differences, repetition, and JSON outputs that scripts may rely on.

mod common;

use common::{Room, shape, stderr, stdout, writes};

const TARGET: &[&str] = &["--target", "2222222222222222"];

#[test]
fn the_chain_of_commands_speaks_json() {
    let room = Room::filled();
    let export = room.export_with("a.tar.zst", &["--json"]).success();
    insta::assert_snapshot!("export-run", shape(&stdout(&export)));
    assert_eq!(stderr(&export), "");
    let archive = room.path("a.tar.zst");

    let check = room
        .tool(
            "lifeboat-export",
            &["check", "--profile", "primary", "--json"],
        )
        .assert()
        .success();
    insta::assert_snapshot!("export-check", shape(&stdout(&check)));
    let inspect = |command: &str, more: &[&str]| {
        shape(&stdout(
            &room
                .tool("lifeboat-inspect", &[command, "--json"])
                .arg(&archive)
                .args(more)
                .assert()
                .success(),
        ))
    };
    insta::assert_snapshot!("inspect-info", inspect("info", &[]));
    insta::assert_snapshot!("inspect-ls", inspect("ls", &["/Users"]));
    insta::assert_snapshot!("inspect-verify", inspect("verify", &[]));

    let import = |command: &str, more: &[&str]| {
        shape(&stdout(
            &room
                .import(command, &archive, &[&["--json", "--admins"], more].concat())
                .success(),
        ))
    };
    insta::assert_snapshot!("import-plan", import("plan", &[]));
    insta::assert_snapshot!("import-apply", import("apply", TARGET));
    insta::assert_snapshot!("import-compare", import("compare", &[]));
    let refused = room
        .import(
            "apply",
            &archive,
            &["--json", "--target", "3333333333333333"],
        )
        .code(14);
    insta::assert_snapshot!("import-refused", shape(&stdout(&refused)));
    assert_eq!(stderr(&refused), "");
}

#[test]
fn guards_refuse_with_14_before_anything_is_written() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    let unknown = room.import("apply", &archive, &[]).code(14);
    assert!(
        stderr(&unknown).contains("--target"),
        "{}",
        stderr(&unknown)
    );
    let other = room
        .import("apply", &archive, &["--target", "3333333333333333"])
        .code(14);
    assert!(stderr(&other).contains("hint: "), "{}", stderr(&other));
    let source = room
        .tool("lifeboat-import", &["apply"])
        .arg(&archive)
        .args(["--profile", "primary", "--target", "1111111111111111"])
        .assert()
        .code(14);
    assert!(
        stderr(&source).contains("--into-source"),
        "{}",
        stderr(&source)
    );
    for sim in [&room.primary, &room.secondary] {
        assert_eq!(writes(sim), [""; 0]);
    }
}

#[test]
fn a_damaged_archive_is_refused_with_11() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    room.import("apply", &archive, TARGET).code(11);
    assert_eq!(writes(&room.secondary), [""; 0]);
}

#[test]
fn differences_are_13_and_a_second_run_writes_nothing() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    room.import("plan", &archive, &["--detailed-exitcode"])
        .code(13);
    let before = room.import("compare", &archive, &[]).code(13);
    assert!(stdout(&before).contains("missing"), "{}", stdout(&before));
    room.import(
        "apply",
        &archive,
        &["--admins", "--no-compare", "--target", "2222222222222222"],
    )
    .success();
    room.import("compare", &archive, &["--admins"]).success();
    room.import("plan", &archive, &["--admins", "--detailed-exitcode"])
        .success();

    room.secondary.reset_calls();
    let again = room
        .import("apply", &archive, &["--admins", "--no-compare"])
        .success();
    let said = stdout(&again);
    assert!(said.contains(": 0 writes"), "{said}");
    // What nobody can carry still waits to be done.
    assert!(said.contains("to be done by hand"), "{said}");
    assert!(said.contains("databricks secrets put-secret "), "{said}");
    assert_eq!(writes(&room.secondary), [""; 0]);
}

#[test]
fn a_plan_says_what_an_apply_would_be_refused_for_and_the_report_file_holds_every_object() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    let plan = room.import("plan", &archive, &[]).success();
    assert!(
        stderr(&plan).contains("an apply would be refused: ") && stderr(&plan).contains("--target"),
        "{}",
        stderr(&plan)
    );
    let text = stdout(&plan);
    for part in [
        "users\n  create ",
        " and ",
        "calls that write, without limits",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let no_folder = [
        "--admins",
        "--target",
        "2222222222222222",
        "--report",
        "no/such.json",
    ];
    room.import("apply", &archive, &no_folder).code(1);
    assert!(
        room.secondary
            .calls()
            .iter()
            .all(|call| call.method == "GET"),
        "refused before the first write"
    );
    let apply = [
        "--admins",
        "--target",
        "2222222222222222",
        "--report",
        "report.json",
    ];
    room.import("apply", &archive, &apply).success();
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(room.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["incomplete"], false);
    let objects = report["objects"].as_array().unwrap();
    assert!(
        objects
            .iter()
            .any(|object| object["compared"] == "equal" && object["fate"] == "created")
    );
    assert!(
        report["calls"].as_u64() > report["writes"].as_u64(),
        "{}",
        report["calls"]
    );
}

#[test]
fn the_demo_ends_with_equal_workspaces_and_an_archive() {
    let room = Room::new();
    let assert = room
        .tool("lifeboat-demo", &["--fill", "small"])
        .assert()
        .success();
    let text = stdout(&assert);
    assert!(text.contains("Everything else is equal."), "{text}");
    assert!(text.contains("Killed after "), "{text}");
    // The same archive again, and once more after the way there and back; any other number fails the demonstration.
    let quiet = text.matches("calls, 0 of them writes").count();
    assert_eq!(quiet, 2, "{text}");
    assert!(!text.contains("--no-compare"), "{text}");
    assert!(text.contains(": was standby, now active, "), "{text}");
    assert!(text.contains("the target is active"), "{text}");
    assert!(
        text.contains("the secondary workspace saw 0 writes"),
        "{text}"
    );
    assert!(text.contains(": was active, now standby, "), "{text}");
    let left = room.files("lifeboat-demo");
    for name in [
        "primary.tar.zst",
        "primary.json",
        "journal.jsonl",
        "profiles",
    ] {
        assert!(left.contains(&name.to_owned()), "{name} is not in {left:?}");
    }
    room.tool(
        "lifeboat-inspect",
        &["verify", "lifeboat-demo/primary.tar.zst"],
    )
    .assert()
    .success();
}
