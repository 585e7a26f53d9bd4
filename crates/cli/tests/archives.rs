//! Reading archives that are whole, damaged, cut, newer, or none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{process, small_archive, stderr, stdout, tool};

struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn inspect(&self, command: &str, archive: &Path, more: &[&str]) -> assert_cmd::assert::Assert {
        tool(self.0.path(), "lifeboat-inspect", &[command])
            .arg(archive)
            .args(more)
            .assert()
    }
}

/// The archive as the folder that `tar` makes of it, without its top folder's name.
fn unpack(archive: &Path, to: &Path) {
    let mut tar =
        tar::Archive::new(zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap());
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap();
        let path = to.join(path.components().skip(1).collect::<PathBuf>());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        entry.unpack(path).unwrap();
    }
}

#[test]
fn an_intact_archive_verifies() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let assert = shelf.inspect("verify", &archive, &[]).success();
    assert!(
        stdout(&assert).starts_with("intact: "),
        "{}",
        stdout(&assert)
    );
    assert_eq!(
        stdout(&shelf.inspect("verify", &archive, &["-q"]).success()),
        ""
    );
}

#[test]
fn what_is_no_archive_is_10() {
    let shelf = Shelf::new();
    let path = shelf.put(
        "text",
        b"hello, this is no archive at all, however long the text may be",
    );
    let assert = shelf.inspect("info", &path, &[]).code(10);
    assert!(
        stderr(&assert).contains("is not a Lifeboat archive"),
        "{}",
        stderr(&assert)
    );
    assert!(stderr(&assert).contains("hint: "), "{}", stderr(&assert));
    let missing = shelf
        .inspect("info", Path::new("no-such-file"), &[])
        .code(1);
    assert!(
        stderr(&missing).contains("hint: check the path"),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn a_newer_major_version_is_10_and_names_the_version() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let bag = shelf.0.path().join("bag");
    unpack(&archive, &bag);
    for name in ["lifeboat.json", "index/root.json"] {
        let text = std::fs::read_to_string(bag.join(name)).unwrap();
        assert!(text.contains("\"0.9\""), "{name}");
        std::fs::write(bag.join(name), text.replace("\"0.9\"", "\"9.0\"")).unwrap();
    }
    let assert = shelf.inspect("info", &bag, &[]).code(10);
    assert!(stderr(&assert).contains("9.0"), "{}", stderr(&assert));
}

#[test]
fn an_unpacked_bag_is_read_like_an_archive() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let bag = shelf.0.path().join("bag");
    unpack(&archive, &bag);
    shelf.inspect("verify", &bag, &[]).success();
    let listed = |archive: &Path| stdout(&shelf.inspect("ls", archive, &["-l", "jobs"]).success());
    assert_eq!(listed(&bag), listed(&archive));
}

#[test]
fn a_flipped_byte_is_11_and_has_a_place() {
    let shelf = Shelf::new();
    let mut bytes = small_archive().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let archive = shelf.put("flipped.tar.zst", &bytes);
    let assert = shelf.inspect("verify", &archive, &[]).code(11);
    let table = stdout(&assert);
    for column in ["path", "frame", "offset", "what", "expected", "actual"] {
        assert!(table.lines().next().unwrap().contains(column), "{table}");
    }
    assert!(
        stderr(&assert).contains("is damaged in"),
        "{}",
        stderr(&assert)
    );

    let assert = shelf.inspect("verify", &archive, &["--json"]).code(11);
    let events: Vec<serde_json::Value> = stdout(&assert)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let damage = events
        .iter()
        .find(|event| event["event"] == "damage")
        .unwrap();
    assert!(
        damage["frame"].is_u64() && damage["offset"].is_u64(),
        "{damage}"
    );
    let last = events.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["exit_code"].as_u64()),
        (Some("error"), Some(11))
    );
    assert_eq!(stderr(&assert), "");
}

#[test]
fn a_cut_tail_is_11_and_says_where() {
    let shelf = Shelf::new();
    let bytes = small_archive();
    let archive = shelf.put("cut.tar.zst", &bytes[..bytes.len() - 1000]);
    let assert = shelf.inspect("ls", &archive, &[]).code(11);
    assert!(
        stderr(&assert).contains(&format!("truncated at byte {}", bytes.len() - 1000)),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn folders_kinds_and_contents_are_shown() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let kinds = stdout(&shelf.inspect("ls", &archive, &[]).success());
    assert!(
        kinds
            .lines()
            .any(|line| line.starts_with("notebooks ") && line.contains(" 30 ")),
        "{kinds}"
    );
    let root = stdout(&shelf.inspect("ls", &archive, &["/"]).success());
    assert!(root.lines().any(|line| line == "/Users/"), "{root}");
    let below = stdout(&shelf.inspect("ls", &archive, &["-r", "/"]).success());
    assert!(!below.lines().any(|line| line.starts_with("//")), "{below}");
    let jobs = stdout(&shelf.inspect("ls", &archive, &["jobs"]).success());
    assert_eq!(jobs.lines().count(), 10);
    let first = jobs.split_whitespace().next().unwrap();
    let job: serde_json::Value =
        serde_json::from_str(&stdout(&shelf.inspect("cat", &archive, &[first]).success())).unwrap();
    assert!(job["settings"].is_object());
    let missing = shelf.inspect("cat", &archive, &["jobs/0"]).code(1);
    assert!(
        stderr(&missing).contains("jobs/0 is not in the archive"),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn extraction_writes_every_object_once() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let assert = shelf
        .inspect("extract", &archive, &["--to", "out", "jobs", "/Users"])
        .success();
    assert!(
        stdout(&assert).contains(" 0 skipped"),
        "{}",
        stdout(&assert)
    );
    assert_eq!(
        std::fs::read_dir(shelf.0.path().join("out/jobs"))
            .unwrap()
            .count(),
        10
    );
    let again = shelf
        .inspect("extract", &archive, &["--to", "out", "jobs"])
        .code(3);
    assert!(
        stderr(&again).contains("exists already"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn a_closed_pipe_is_quiet() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    for arguments in [&["ls", "-lr"][..], &["ls", "--json", "-r"], &["cat"]] {
        let name = if arguments[0] == "cat" {
            "data/jobs"
        } else {
            "/"
        };
        let mut child = process(shelf.0.path(), "lifeboat-inspect", arguments)
            .arg(&archive)
            .arg(name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let code = child.wait().unwrap().code();
        if name == "/" {
            assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments:?}");
        } else {
            // There is no such member: the error is told although nobody reads the output.
            assert_eq!(code, Some(1), "{said}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_a_failure() {
    let shelf = Shelf::new();
    let archive = shelf.put("a.tar.zst", small_archive());
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = process(shelf.0.path(), "lifeboat-inspect", &["ls"])
        .arg(&archive)
        .arg("jobs")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot write to standard output"), "{said}");
}
