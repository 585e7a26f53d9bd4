//! Folders of archives: list, latest, status, prune.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assert_cmd::assert::Assert;
use common::{shape, small_archive, stderr, stdout, tool};
use serde_json::{Value, json};

/// A folder with archives that were made hours ago.
struct Shelf {
    dir: tempfile::TempDir,
    descriptor: Value,
}

impl Shelf {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("backups")).unwrap();
        Self {
            dir,
            descriptor: common::small_descriptor(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("backups").join(name)
    }

    /// An archive of `workspace` whose run began so many hours ago; `change` changes its descriptor.
    fn put(&self, workspace: &str, hours: i64, change: impl FnOnce(&mut Value)) -> String {
        let mut descriptor = self.descriptor.clone();
        let started = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        descriptor["workspace-id"] = json!(workspace);
        descriptor["started"] = json!(started.to_string());
        descriptor["finished"] = json!(started.to_string());
        change(&mut descriptor);
        let name = format!("{workspace}-{hours:05}");
        std::fs::write(self.path(&format!("{name}.tar.zst")), small_archive()).unwrap();
        std::fs::write(self.path(&format!("{name}.json")), descriptor.to_string()).unwrap();
        format!("{name}.tar.zst")
    }

    fn complete(&self, workspace: &str, hours: i64) -> String {
        self.put(workspace, hours, |_| {})
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Assert {
        tool(self.dir.path(), name, arguments).assert()
    }

    fn inspect(&self, arguments: &[&str]) -> Assert {
        self.run("lifeboat-inspect", arguments)
    }

    fn prune(&self, arguments: &[&str]) -> Assert {
        let mut all = vec!["prune", "backups/"];
        all.extend(arguments);
        self.run("lifeboat-export", &all)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn last(assert: &Assert) -> Value {
    serde_json::from_str(stdout(assert).lines().last().unwrap()).unwrap()
}

fn age_file(path: &Path, days: u64) {
    let then = SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(then).unwrap();
}

#[test]
fn a_folder_is_listed_with_what_each_archive_is_good_for() {
    let shelf = Shelf::new();
    shelf.complete("7", 3);
    shelf.put("7", 50, |descriptor| {
        descriptor["inventory"] = json!("incomplete")
    });
    shelf.put("8", 4, |descriptor| {
        descriptor["scope"] = json!("selection")
    });
    std::fs::write(shelf.path("x.tar.zst"), b"no descriptor").unwrap();
    std::fs::write(shelf.path("notes.txt"), b"foreign").unwrap();
    let assert = shelf.inspect(&["list", "backups"]).success();
    let text = stdout(&assert);
    for expected in [
        "workspace  started",
        "complete",
        "incomplete",
        "selection",
        "2 d 2 h",
        "4 archives (1 complete, 1 unknown)",
        "1 other file",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(stderr(&assert).contains("x.tar.zst: no descriptor is beside it"));
    let assert = shelf
        .inspect(&["list", "backups", "--json", "--workspace", "8"])
        .success();
    assert_eq!(last(&assert)["archives"], 2, "one of 8 and the unknown one");
    insta::assert_snapshot!(
        "inspect-list",
        shape(&stdout(&shelf.inspect(&["list", "backups", "--json"])))
    );
}

#[test]
fn latest_is_read_wherever_an_archive_is() {
    let shelf = Shelf::new();
    shelf.complete("7", 30);
    let newest = shelf.complete("7", 3);
    shelf.put("7", 1, |descriptor| {
        descriptor["inventory"] = json!("incomplete")
    });
    shelf.put("7", -48, |_| {});
    let assert = shelf.inspect(&["info", "backups/latest"]).success();
    assert!(stdout(&assert).contains(&newest), "{}", stdout(&assert));
    assert!(stderr(&assert).contains("latest is backups/7-00003.tar.zst"));
    let assert = shelf
        .inspect(&["cat", "backups/latest", "bagit.txt"])
        .success();
    assert!(
        stdout(&assert).starts_with("BagIt-Version"),
        "{}",
        stdout(&assert)
    );
    shelf.complete("8", 2);
    let assert = shelf.inspect(&["info", "backups/latest"]).code(2);
    assert!(
        stderr(&assert).contains("several workspaces: 7, 8"),
        "{}",
        stderr(&assert)
    );
    let assert = shelf
        .inspect(&["info", "backups/latest", "--workspace", "8"])
        .success();
    assert!(stdout(&assert).contains("8-00002"), "{}", stdout(&assert));
    shelf
        .inspect(&["info", "backups/latest", "--workspace", "9"])
        .code(1);
    let one = format!("backups/{newest}");
    shelf.inspect(&["info", &one, "--workspace", "7"]).code(2);
    shelf.inspect(&["info", "nowhere/latest"]).code(1);
}

#[test]
fn status_is_a_dead_mans_switch() {
    let shelf = Shelf::new();
    let assert = shelf.inspect(&["status", "backups"]).code(13);
    assert!(
        stdout(&assert).contains("no archive of any workspace"),
        "{}",
        stdout(&assert)
    );
    shelf.complete("7", 3);
    shelf.complete("7", 30);
    let assert = shelf
        .inspect(&["status", "backups", "--min-count", "2"])
        .success();
    let text = stdout(&assert);
    assert!(
        text.starts_with("7: ok, newest 3 h 0 min old (7-00003.tar.zst), 2 complete"),
        "{text}"
    );
    shelf
        .inspect(&["status", "backups", "--min-count", "3"])
        .code(13);
    let assert = shelf
        .inspect(&["status", "backups", "--max-age", "2h"])
        .code(13);
    assert!(
        stdout(&assert).contains("TROUBLE: too old, at most 2 h 0 min allowed"),
        "{}",
        stdout(&assert)
    );
    // A fresh one that does not count changes nothing, another workspace does.
    shelf.put("7", 1, |descriptor| {
        descriptor["inventory"] = json!("incomplete")
    });
    shelf
        .inspect(&["status", "backups", "--max-age", "2h"])
        .code(13);
    shelf.complete("8", 27);
    let assert = shelf.inspect(&["status", "backups", "--json"]).code(13);
    insta::assert_snapshot!("inspect-status", shape(&stdout(&assert)));
    assert_eq!(last(&assert)["in_trouble"], 1);
    shelf
        .inspect(&["status", "backups", "--workspace", "7"])
        .success();
    shelf
        .inspect(&["status", "backups", "--workspace", "9"])
        .code(13);
    shelf.inspect(&["status", "nowhere"]).code(1);
    shelf.inspect(&["status", "backups", "--secondary"]).code(2);
    shelf
        .inspect(&["status", "backups", "--max-age", "soon"])
        .code(2);
}

/// All was listed and every content refused: the night counts, and status says what it is.
#[test]
fn a_hollow_night_is_told() {
    let shelf = Shelf::new();
    shelf.complete("7", 4);
    shelf.put("7", 3, |descriptor| {
        descriptor["counts"]["failed"] = json!(360)
    });
    let status = |more: &[&str]| shelf.inspect(&[&["status", "backups"], more].concat());
    let assert = status(&["--metrics", "s.prom"]).success();
    let text = stdout(&assert);
    assert!(
        text.contains("(7-00003.tar.zst), 360 objects failed in it, 2 complete"),
        "{text}"
    );
    let strict = stdout(&status(&["--max-failed", "359"]).code(13));
    assert!(
        strict.contains("TROUBLE: too many objects failed, at most 359 allowed"),
        "{strict}"
    );
    status(&["--max-failed", "360"]).success();
    let fields = stdout(&status(&["--json"]).success());
    assert!(fields.contains(r#""failed":360"#), "{fields}");
    let text = std::fs::read_to_string(shelf.dir.path().join("s.prom")).unwrap();
    let failed = metric(&text, "lifeboat_status_newest_failed{");
    assert_eq!(failed, Some(360.0), "{text}");
}

#[test]
fn a_cut_archive_is_not_fresh() {
    let shelf = Shelf::new();
    let name = shelf.complete("7", 3);
    std::fs::write(shelf.path(&name), b"cut").unwrap();
    let assert = shelf.inspect(&["status", "backups"]).code(13);
    assert!(
        stderr(&assert).contains("this one has 3"),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn prune_deletes_what_no_rule_keeps_and_says_why() {
    let shelf = Shelf::new();
    for hours in [3, 27, 51, 75] {
        shelf.complete("7", hours);
    }
    shelf.complete("8", 900);
    shelf.put("8", 1000, |descriptor| {
        descriptor["scope"] = json!("selection")
    });
    std::fs::write(shelf.path("7-00075.json.minisig"), b"signature").unwrap();
    std::fs::write(shelf.path("unknown.tar.zst"), b"x").unwrap();
    std::fs::write(shelf.path("notes.txt"), b"x").unwrap();
    let litter = shelf.put("7", 2000, |_| {});
    std::fs::remove_file(shelf.path(&litter)).unwrap();
    let before = shelf.names();
    // Without a terminal one of the two has to be said.
    let assert = shelf.prune(&["--keep-last", "2"]).code(2);
    assert!(stderr(&assert).contains("--apply"), "{}", stderr(&assert));
    let assert = shelf.prune(&["--apply"]).code(2);
    assert!(
        stderr(&assert).contains("keep no archive"),
        "{}",
        stderr(&assert)
    );
    let assert = shelf.prune(&["--keep-last", "2", "--dry-run"]).success();
    assert!(
        stdout(&assert).contains("newest, last 1"),
        "{}",
        stdout(&assert)
    );
    assert_eq!(shelf.names(), before);
    // The descriptor without an archive is new, as far as the disk knows.
    let text = stdout(&assert);
    let alone = text.lines().find(|line| line.ends_with("7-02000.json"));
    assert!(
        alone.is_some_and(|line| line.contains("keep") && line.contains("until 20")),
        "{text}"
    );
    let kept = shelf
        .prune(&["--keep-last", "2", "--dry-run", "--json"])
        .success();
    assert_eq!(last(&kept)["would_delete"], 3);
    age_file(&shelf.path("7-02000.json"), 15);
    let assert = shelf
        .prune(&["--keep-last", "2", "--apply", "--json"])
        .success();
    insta::assert_snapshot!("export-prune", shape(&stdout(&assert)));
    assert_eq!(last(&assert)["deleted"], 4);
    assert_eq!(
        shelf.names(),
        [
            "7-00003.json",
            "7-00003.tar.zst",
            "7-00027.json",
            "7-00027.tar.zst",
            "8-00900.json",
            "8-00900.tar.zst",
            "notes.txt",
            "unknown.tar.zst",
        ]
    );
    let assert = shelf
        .prune(&["--keep-last", "2", "--apply", "--json"])
        .success();
    assert_eq!(last(&assert)["deleted"], 0);
}

/// What `kill -9` leaves of an export to a disk: gigabytes under a name that nobody looks for.
#[test]
fn prune_removes_what_killed_runs_left_and_nothing_that_may_be_under_way() {
    let shelf = Shelf::new();
    shelf.complete("7", 3);
    for (name, days) in [
        (".lifeboat-Killed.part", 8),
        (".lifeboat-Growin.part", 6),
        (".lifeboat-AnArch.part", 8),
        (".lifeboat-by-hand.part", 8),
        ("killed.part", 8),
    ] {
        std::fs::write(shelf.path(name), b"begun").unwrap();
        age_file(&shelf.path(name), days);
    }
    // A descriptor beside it: by the names of a folder it is an archive.
    let text = shelf.descriptor.to_string();
    std::fs::write(shelf.path(".lifeboat-AnArch.part.json"), text).unwrap();
    let before = shelf.names();
    let assert = shelf.inspect(&["list", "backups", "--json"]).success();
    let listed = last(&assert);
    assert_eq!(
        (&listed["growing"], &listed["foreign"]),
        (&json!(2), &json!(2))
    );
    let text = stdout(&shelf.inspect(&["list", "backups"]).success());
    assert!(text.contains("2 unfinished (10 B)"), "{text}");
    let text = stdout(&shelf.prune(&["--keep-last", "1", "--dry-run"]).success());
    let line = |name: &str| text.lines().find(|line| line.ends_with(name)).unwrap();
    let killed = line(".lifeboat-Killed.part");
    assert!(
        killed.contains("delete") && killed.contains("left by a run that was killed"),
        "{text}"
    );
    let growing = line(".lifeboat-Growin.part");
    assert!(
        growing.contains("keep") && growing.contains("until 20"),
        "{text}"
    );
    assert!(text.contains("1 would be deleted (5 B)"), "{text}");
    // Whose it was is not known.
    shelf
        .prune(&["--keep-last", "1", "--apply", "--workspace", "7"])
        .success();
    assert_eq!(shelf.names(), before);
    let assert = shelf
        .prune(&["--keep-last", "1", "--apply", "--json"])
        .success();
    assert_eq!(last(&assert)["deleted"], 1);
    let mut left = before;
    left.retain(|name| name != ".lifeboat-Killed.part");
    assert_eq!(shelf.names(), left);
}

#[test]
fn prune_of_one_workspace_leaves_the_others_alone() {
    let shelf = Shelf::new();
    for workspace in ["7", "8"] {
        shelf.complete(workspace, 3);
        shelf.complete(workspace, 27);
    }
    let assert = shelf
        .prune(&["--keep-last", "1", "--workspace", "9", "--apply"])
        .code(13);
    let told = stderr(&assert);
    assert!(told.contains("has no archive of workspace 9"), "{told}");
    shelf
        .prune(&["--keep-last", "1", "--workspace", "8", "--apply"])
        .success();
    let archives: Vec<String> = shelf
        .names()
        .into_iter()
        .filter(|name| name.ends_with("zst"))
        .collect();
    assert_eq!(
        archives,
        ["7-00003.tar.zst", "7-00027.tar.zst", "8-00003.tar.zst"]
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_an_archive_with_a_broken_descriptor_stays() {
    let shelf = Shelf::new();
    let assert = shelf.run(
        "lifeboat-export",
        &["prune", "nowhere", "--keep-last", "1", "--apply"],
    );
    let assert = assert.code(1);
    assert!(
        stderr(&assert).contains("cannot list nowhere"),
        "{}",
        stderr(&assert)
    );
    // A descriptor that cannot be read (a folder in its place is none) makes its archive unknown, and unknown ones stay.
    let name = shelf.complete("7", 50);
    shelf.complete("7", 3);
    std::fs::write(shelf.path("7-00050.json"), b"{").unwrap();
    shelf.prune(&["--keep-last", "1", "--apply"]).success();
    assert!(shelf.path(&name).exists());
}

#[test]
fn all_archives_of_a_folder_are_verified_and_the_damaged_ones_named() {
    let shelf = Shelf::new();
    let (first, second) = (shelf.complete("7", 3), shelf.complete("7", 27));
    let assert = shelf.inspect(&["verify", "--all", "backups"]).success();
    assert!(
        stdout(&assert).contains("2 intact, 0 damaged, 0 unknown, 0 unreadable; read: everything"),
        "{}",
        stdout(&assert)
    );
    let assert = shelf
        .inspect(&["verify", "--all", "backups", "--sample", "5%", "--json"])
        .success();
    insta::assert_snapshot!("inspect-verify-all", shape(&stdout(&assert)));
    assert!(last(&assert)["part"].as_str().unwrap().ends_with("of 20"));
    // A byte in the middle of one, an archive that is none, one that is another than its descriptor says.
    let mut bytes = small_archive().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(shelf.path(&first), &bytes).unwrap();
    let text = std::fs::read_to_string(shelf.path("7-00027.json")).unwrap();
    let id = shelf.descriptor["archive-id"].as_str().unwrap().to_owned();
    std::fs::write(
        shelf.path("7-00027.json"),
        text.replace(&id, &"0".repeat(64)),
    )
    .unwrap();
    std::fs::write(shelf.path("none.tar.zst"), b"none").unwrap();
    std::fs::write(
        shelf.path("sealed.tar.zst.age"),
        b"age-encryption.org/v1 and so on",
    )
    .unwrap();
    let assert = shelf.inspect(&["verify", "--all", "backups"]).code(11);
    let text = stdout(&assert);
    for expected in [
        format!("{first} is damaged:"),
        "the stored file is not the one of its descriptor".to_owned(),
        format!("{second} is damaged:"),
        "the descriptor is of the archive 0000".to_owned(),
        "none.tar.zst is damaged:".to_owned(),
        "sealed.tar.zst.age is damaged:".to_owned(),
        "0 intact, 4 damaged, 0 unknown, 0 unreadable".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected}: {text}");
    }
    // The first one names the frame too.
    let assert = shelf
        .inspect(&["verify", "--all", "backups", "--json"])
        .code(11);
    let damage: Vec<Value> = stdout(&assert)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["event"] == "damage")
        .collect();
    assert!(
        damage.iter().any(|one| one["frame"].is_number()),
        "{damage:?}"
    );
    std::fs::remove_dir_all(shelf.path("")).unwrap();
    shelf.inspect(&["verify", "--all", "backups"]).code(1);
    shelf
        .inspect(&["verify", "backups", "--sample", "5%"])
        .code(2);
}

/// Somebody mistyped the folder in a nightly job.
#[test]
fn a_folder_without_archives_is_no_success_to_be_silent_about() {
    let shelf = Shelf::new();
    std::fs::write(shelf.path("notes.txt"), b"foreign").unwrap();
    for sample in ["5%", "100%"] {
        let assert = shelf
            .inspect(&["verify", "--all", "backups", "--sample", sample, "--json"])
            .code(13);
        assert_eq!(last(&assert)["exit_code"], 13);
        let told = stdout(&assert);
        assert!(
            told.contains("backups has no archive: nothing was verified"),
            "{told}"
        );
    }
    let assert = shelf.prune(&["--keep-last", "3", "--apply"]).code(13);
    let told = stderr(&assert);
    assert!(told.contains("backups/ has no archive"), "{told}");
    let told = stderr(&shelf.inspect(&["list", "backups"]).success());
    assert!(told.contains("backups has no archive"), "{told}");
    // A sample of nothing would be a success without a look.
    shelf
        .inspect(&["verify", "--all", "backups", "--sample", "0%"])
        .code(2);
    shelf.complete("7", 3);
    let assert = shelf
        .inspect(&["verify", "--all", "backups", "--workspace", "8"])
        .code(13);
    let told = stderr(&assert);
    assert!(told.contains("has no archive of workspace 8"), "{told}");
    shelf.inspect(&["verify", "--all", "backups"]).success();
}

#[test]
fn an_encrypted_archive_is_listed_without_its_key_and_verified_with_it() {
    if !common::vault::stock() {
        return;
    }
    let vault = common::vault::Vault::new();
    vault.protected("night.tar.zst.age");
    let assert = vault.inspect(&["list", "."]).success();
    assert!(
        stdout(&assert).contains("encrypted, signed"),
        "{}",
        stdout(&assert)
    );
    vault.inspect(&["status", "."]).success();
    for sample in ["5%", "100%"] {
        let all = ["verify", "--all", ".", "--sample", sample];
        let assert = vault.inspect(&all).code(3);
        let text = stdout(&assert);
        assert!(
            text.contains("unknown: encrypted, and no identity fits"),
            "{text}"
        );
        let with_key = [&all[..], &["--identity", "a.key"]].concat();
        let assert = vault.inspect(&with_key).success();
        assert!(stdout(&assert).contains("1 intact"), "{}", stdout(&assert));
    }
    vault
        .inspect(&["verify", "--all", ".", "--identity", "no-such.key"])
        .code(2);
    // Nothing is known of damage in an archive that is not authentic.
    let signed_by = ["--identity", "a.key", "--require-signature", "other.pub"];
    let all = [&["verify", "--all", "."], &signed_by[..]].concat();
    let assert = vault.inspect(&all).code(11);
    let text = stdout(&assert);
    assert!(
        text.contains("is not authentic") && !text.contains("damaged in"),
        "{text}"
    );
}

fn metric(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn metrics_of_a_run_are_left_also_by_a_night_that_fails() {
    let room = common::Room::filled();
    let run = |profile: &str, to: &str| {
        let arguments = [
            "run",
            "--profile",
            profile,
            "--limits",
            "off",
            "-q",
            "--to",
            to,
            "--metrics",
            "lifeboat.prom",
        ];
        room.tool("lifeboat-export", &arguments).assert()
    };
    let read = || std::fs::read_to_string(room.path("lifeboat.prom")).unwrap();
    run("primary", "a.tar.zst").success();
    let first = read();
    let of = |text: &str, name: &str| metric(text, &format!("lifeboat_export_{name}{{"));
    assert_eq!(of(&first, "last_run_exit_code"), Some(0.0));
    let success = of(&first, "last_success_timestamp_seconds").unwrap();
    assert!(of(&first, "last_run_calls").unwrap() > 100.0, "{first}");
    assert!(
        first.contains("kind=\"notebooks\",fate=\"stored\"} 30"),
        "{first}"
    );
    assert!(of(&first, "archive_size_bytes").unwrap() > 1000.0);
    assert!(
        !first.contains("token") && first.contains("archive=\"a.tar.zst\""),
        "{first}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(room.path("lifeboat.prom"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o644);
    // The name is taken; then the token has expired.
    run("primary", "a.tar.zst").code(14);
    run("expired", "b.tar.zst").code(12);
    let failed = read();
    assert_eq!(of(&failed, "last_run_exit_code"), Some(12.0));
    assert_eq!(of(&failed, "last_success_timestamp_seconds"), Some(success));
    assert_eq!(
        of(&failed, "last_complete_archive_timestamp_seconds"),
        of(&first, "last_complete_archive_timestamp_seconds")
    );
    assert_eq!(of(&failed, "archive_size_bytes"), None);
    // No such profile: the host is that of the file before.
    run("nowhere", "b.tar.zst").code(12);
    assert_eq!(of(&read(), "last_success_timestamp_seconds"), Some(success));
    let names = room.files("");
    assert!(
        !names.iter().any(|name| name.ends_with(".tmp")),
        "{names:?}"
    );
}

#[test]
fn the_failure_of_a_workspace_is_not_told_of_the_one_before() {
    let room = common::Room::filled();
    let run = |arguments: &[&str]| {
        let common = ["run", "-q", "--to", "a.tar.zst", "--metrics", "m.prom"];
        let arguments = [common.as_slice(), arguments].concat();
        room.tool("lifeboat-export", &arguments).assert()
    };
    run(&["--profile", "primary", "--limits", "off"]).success();
    let other = room.secondary.url().replace("127.0.0.1", "localhost");
    std::fs::write(
        room.path("profiles"),
        format!("[other]\nhost = {other}\ntoken = dapi-wrong\n"),
    )
    .unwrap();
    run(&["--profile", "other"]).code(12);
    let page = std::fs::read_to_string(room.path("m.prom")).unwrap();
    assert!(
        page.contains(&format!("last_run_exit_code{{host=\"{other}\"}} 12")),
        "{page}"
    );
    assert!(!page.contains(&room.primary.url()), "{page}");
}

#[test]
fn metrics_that_could_not_be_written_are_refused_at_the_begin() {
    let shelf = Shelf::new();
    shelf.complete("7", 3);
    std::fs::write(shelf.path("notes.txt"), b"by hand").unwrap();
    shelf
        .inspect(&["status", "backups", "--metrics", "no/such/folder.prom"])
        .code(1);
    let assert = shelf
        .inspect(&["status", "backups", "--metrics", "backups/notes.txt"])
        .code(14);
    assert!(
        stderr(&assert).contains("is not replaced"),
        "{}",
        stderr(&assert)
    );
    assert_eq!(std::fs::read(shelf.path("notes.txt")).unwrap(), b"by hand");
}

#[test]
fn metrics_of_status_and_prune_tell_what_came_of_it() {
    let shelf = Shelf::new();
    shelf.complete("7", 3);
    shelf.complete("7", 27);
    shelf.complete("8", 50);
    shelf
        .inspect(&["status", "backups", "--metrics", "s.prom"])
        .code(13);
    let read = |name: &str| std::fs::read_to_string(shelf.dir.path().join(name)).unwrap();
    let text = read("s.prom");
    for expected in [
        "lifeboat_status_exit_code{place=\"backups\"} 13",
        "lifeboat_status_ok{place=\"backups\",workspace_id=\"7\"} 1",
        "lifeboat_status_ok{place=\"backups\",workspace_id=\"8\"} 0",
        "lifeboat_status_archives{place=\"backups\",workspace_id=\"7\"} 2",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    shelf
        .prune(&["--keep-last", "1", "--apply", "--metrics", "p.prom"])
        .success();
    let text = read("p.prom");
    assert_eq!(
        metric(&text, "lifeboat_prune_deleted{"),
        Some(1.0),
        "{text}"
    );
    assert_eq!(metric(&text, "lifeboat_prune_kept{"), Some(2.0), "{text}");
    let success = metric(&text, "lifeboat_prune_last_success_timestamp_seconds");
    assert!(success.is_some(), "{text}");
}
