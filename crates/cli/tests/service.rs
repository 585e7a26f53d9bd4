//! What bad hosts, credentials and rights get, and an export that is refused, cut short or out of room.

mod common;

use common::{Room, process, stderr, stdout, writes};
use lifeboat_sim::Fault;

#[test]
fn whoever_is_not_let_in_hears_why_and_what_to_do() {
    let room = Room::new();
    for (profile, said, hint) in [
        (
            "nowhere",
            "profile nowhere is not in",
            "expired, nobody, primary, secondary",
        ),
        (
            "nobody",
            "cannot reach http://127.0.0.1:9",
            "check the host",
        ),
        ("expired", "403", "expired"),
    ] {
        // Where nobody watches, `run` tries a host that does not answer for longer.
        let command: &[&str] = match profile {
            "nobody" => &["check", "--profile", profile],
            _ => &["run", "--profile", profile, "--to", "out/"],
        };
        let assert = room.tool("lifeboat-export", command).assert().code(12);
        let text = stderr(&assert);
        assert!(
            text.starts_with("error: ") && text.contains(said),
            "{profile}: {text}"
        );
        assert!(
            text.lines()
                .any(|line| line.starts_with("hint: ") && line.contains(hint)),
            "{profile}: {text}"
        );
        assert_eq!(stdout(&assert), "", "{profile}");
    }
    assert_eq!(room.files("out"), Vec::<String>::new());
}

#[test]
fn no_credentials_at_all_is_12() {
    let room = Room::new();
    std::fs::remove_file(room.path("profiles")).unwrap();
    let assert = room.tool("lifeboat-export", &["check"]).assert().code(12);
    assert!(
        stderr(&assert).contains("hint: name a profile"),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn a_profile_without_a_token_is_named() {
    let room = Room::new();
    std::fs::write(room.path("profiles"), "[bare]\nhost = http://127.0.0.1:9\n").unwrap();
    let assert = room
        .tool("lifeboat-export", &["check", "--profile", "bare"])
        .assert()
        .code(12);
    let text = stderr(&assert);
    assert!(
        text.contains("because: no authorization method works\n  because: pat lacks token (DATABRICKS_TOKEN)\n")
            && text.contains("because: found: host from profile bare of "),
        "{text}"
    );
}

#[test]
fn a_quiet_run_into_a_folder_prints_the_name_of_the_archive() {
    let room = Room::new();
    let assert = room
        .tool(
            "lifeboat-export",
            &["run", "-q", "--profile", "primary", "--to", "out/"],
        )
        .assert()
        .success();
    let text = stdout(&assert);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(room.path(text.trim_end()).is_file(), "{text}");
}

#[test]
fn a_selection_that_matches_nothing_is_3() {
    let room = Room::filled();
    for (name, selection, code) in [
        ("a", ["--users", "nobody@nowhere.example"], 3),
        ("b", ["--include", "/Nowhere/**"], 3),
        ("c", ["--include", "/Users/**"], 0),
    ] {
        let to = format!("{name}.tar.zst");
        let assert = room
            .tool(
                "lifeboat-export",
                &["run", "--profile", "primary", "--limits", "off"],
            )
            .args(selection)
            .args(["--to", &to])
            .assert()
            .code(code);
        assert_eq!(
            stderr(&assert).contains("matches nothing"),
            code == 3,
            "{}",
            stderr(&assert)
        );
    }
}

#[test]
fn a_login_page_is_recognised() {
    let room = Room::new();
    room.primary.set_login_page(true);
    let assert = room
        .tool(
            "lifeboat-export",
            &["run", "--profile", "primary", "--to", "out/"],
        )
        .assert()
        .code(12);
    assert!(
        stderr(&assert).contains("login page"),
        "{}",
        stderr(&assert)
    );
    assert!(
        stderr(&assert).contains("hint: the host answers people"),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn the_import_does_not_fall_back_to_the_default_profile() {
    let room = Room::filled();
    let archive = room.export("a.tar.zst");
    let profiles = std::fs::read_to_string(room.path("profiles")).unwrap();
    std::fs::write(
        room.path("profiles"),
        profiles.replace("[primary]", "[DEFAULT]"),
    )
    .unwrap();
    room.tool("lifeboat-export", &["check", "-q"])
        .assert()
        .success();
    room.primary.reset_calls();
    room.tool("lifeboat-import", &["plan"])
        .arg(&archive)
        .assert()
        .code(12);
    assert_eq!(room.primary.calls().len(), 0);
}

#[test]
fn a_token_never_appears() {
    let room = Room::filled();
    let archive = room.path("a.tar.zst");
    let assert = room
        .tool(
            "lifeboat-export",
            &["run", "-v", "--profile", "primary", "--to", "a.tar.zst"],
        )
        .assert()
        .success();
    let token = room.primary.token();
    assert!(!stdout(&assert).contains(token) && !stderr(&assert).contains(token));
    let member = |name: &str| {
        stdout(
            &room
                .tool("lifeboat-inspect", &["cat"])
                .arg(&archive)
                .arg(name)
                .assert()
                .success(),
        )
    };
    for name in ["lifeboat.json", "run.json", "summary.json"] {
        assert!(!member(name).contains(token), "{name}");
    }
}

#[test]
fn an_existing_archive_is_never_replaced() {
    let room = Room::new();
    std::fs::write(room.path("a.tar.zst"), "mine").unwrap();
    let assert = room
        .tool(
            "lifeboat-export",
            &["run", "--profile", "primary", "--to", "a.tar.zst"],
        )
        .assert()
        .code(14);
    assert!(stderr(&assert).contains("exists"), "{}", stderr(&assert));
    assert_eq!(
        std::fs::read_to_string(room.path("a.tar.zst")).unwrap(),
        "mine"
    );
}

#[test]
fn a_kind_that_cannot_be_listed_is_a_gap() {
    let room = Room::filled();
    room.primary
        .fault(Fault::status("GET", "*/instance-pools/list", 403));
    let assert = room.export_with("a.tar.zst", &[]).code(3);
    assert!(stdout(&assert).contains("unknown"), "{}", stdout(&assert));
    assert!(
        stderr(&assert).contains("finished with gaps"),
        "{}",
        stderr(&assert)
    );
    let archive = room.path("a.tar.zst");
    let info = room
        .tool("lifeboat-inspect", &["info"])
        .arg(&archive)
        .assert()
        .success();
    assert!(stdout(&info).contains("incomplete"), "{}", stdout(&info));
    // Such an archive is not imported by mistake.
    let refused = room
        .import("plan", &archive, &["--target", "2222222222222222"])
        .code(14);
    assert!(
        stderr(&refused).contains("--allow-incomplete"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn check_names_what_a_caller_may_not_read() {
    let room = Room::filled();
    room.primary
        .fault(Fault::status("GET", "*/instance-pools/list", 403));
    let assert = room
        .tool("lifeboat-export", &["check", "--profile", "primary"])
        .assert()
        .code(3);
    assert!(
        stdout(&assert).contains("instance-pools"),
        "{}",
        stdout(&assert)
    );
    assert_eq!(writes(&room.primary), [""; 0]);
}

/// Runs a script in the room, with what the commands get.
#[cfg(target_os = "linux")]
fn script(room: &Room, program: &[&str], text: &str) -> std::io::Result<std::process::Output> {
    let surroundings = process(room.dir.path(), "lifeboat-export", &[]);
    let variables = surroundings
        .get_envs()
        .filter_map(|(key, value)| Some((key, value?)));
    std::process::Command::new(program[0])
        .args(&program[1..])
        .arg(text)
        .current_dir(room.dir.path())
        .env_clear()
        .envs(variables)
        .output()
}

/// The same with a file system of 16 KiB at `disk`, where the system lets us have one and the command fails on it.
#[cfg(target_os = "linux")]
fn with_tiny_disk(room: &Room, text: &str) -> Option<std::process::Output> {
    std::fs::create_dir_all(room.path("disk")).ok()?;
    let text = format!("mount -t tmpfs -o size=16k tmpfs disk && {text}");
    let output = script(room, &["unshare", "-rm", "sh", "-c"], &text).ok()?;
    let failed = String::from_utf8_lossy(&output.stderr).contains("error:");
    (output.status.code() == Some(1) && failed).then_some(output)
}

#[cfg(target_os = "linux")]
fn told(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Where the system gives no small file system, a limit on the size of files ends in the same place.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_nothing_and_says_so() {
    let room = Room::filled();
    let export = format!(
        "'{}' run --profile primary --limits off --to disk/a.tar.zst; code=$?; ls -A disk; exit $code",
        common::binary("lifeboat-export")
    );
    let limited = format!("trap '' XFSZ; ulimit -f 8; {export}");
    let output = with_tiny_disk(&room, &export)
        .unwrap_or_else(|| script(&room, &["sh", "-c"], &limited).unwrap());
    let (out, err) = told(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(
        err.contains("cannot write the archive") || err.contains("cannot place the archive"),
        "{err}"
    );
    assert!(err.contains("hint: make room"), "{err}");
    assert!(
        !out.contains("a.tar.zst") && !out.contains(".part"),
        "{out}"
    );
}

/// Large contents, and many records, wait for their turn in temporary files.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_of_temporary_files_leaves_nothing_and_says_so() {
    // Without such a file system nothing tells a temporary file from the archive.
    let probe = Room::new();
    let mounts = script(
        &probe,
        &["unshare", "-rm", "sh", "-c"],
        "mount -t tmpfs tmpfs .",
    );
    if !mounts.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED a small file system: not permitted");
        return;
    }
    for (notebooks, cells) in [(2, 6000), (1500, 1)] {
        let room = Room::new();
        room.primary.fill(&lifeboat_sim::Fill {
            notebooks,
            cells,
            ..lifeboat_sim::Fill::small()
        });
        std::fs::create_dir(room.path("to")).unwrap();
        let export = format!(
            "TMPDIR=\"$PWD/disk\" '{}' run --profile primary --limits off --to to/a.tar.zst; code=$?; ls -A disk to; exit $code",
            common::binary("lifeboat-export")
        );
        let (out, err) = told(&with_tiny_disk(&room, &export).unwrap());
        assert!(err.contains("cannot use a temporary file in"), "{err}");
        assert!(err.contains("No space left on device"), "{err}");
        assert!(err.contains("hint: make room"), "{err}");
        assert!(
            !out.contains("a.tar.zst") && !out.contains(".part") && !out.contains(".tmp"),
            "{out}"
        );
    }
}

#[test]
fn a_run_that_waits_for_the_service_says_so() {
    use std::io::{BufRead as _, BufReader};
    let room = Room::filled();
    room.primary
        .fault(Fault::status("GET", "/api/2.0/workspace/list", 503));
    let arguments = ["run", "--profile", "primary", "--to", "x.tar.zst"];
    let mut child = process(room.dir.path(), "lifeboat-export", &arguments)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = lines
        .map_while(Result::ok)
        .find(|line| line.contains("calls repeated so far"));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = told.unwrap();
    assert!(
        told.contains("the service fails or does not answer"),
        "{told}"
    );
}
