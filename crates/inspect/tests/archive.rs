//! The questions of `lifeboat-inspect`, asked of a small archive with friendly and hostile names.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lifeboat_archive::{
    Archive, Content, FORMAT, FORMAT_VERSION, Header, Inventory, KindSummary, Listing, Scope,
    Source, Summary, TableWriter, Writer, WriterOptions,
};
use lifeboat_inspect::{Error, cat, extract, info, kinds, ls, verify};
use serde_json::{Value, json};

struct Built {
    dir: tempfile::TempDir,
    archive: Archive,
}

/// One notebook or file of the tree.
struct Node(
    &'static str,
    &'static str,
    &'static str,
    Option<&'static [u8]>,
);

const TREE: [Node; 9] = [
    Node("/", "DIRECTORY", "", None),
    Node("/Users", "DIRECTORY", "", None),
    Node("/Users/a@x", "DIRECTORY", "", None),
    Node("/Users/a@x/dashboard", "DASHBOARD", "", None),
    Node(
        "/Users/a@x/etl",
        "NOTEBOOK",
        "data/workspace/content/Users/a@x/etl.py",
        Some(b"# Databricks notebook source\n1\n"),
    ),
    Node(
        "/Users/a@x/etl.py",
        "FILE",
        "data/workspace/content/Users/a@x/etl.py~6",
        Some(b"file"),
    ),
    Node("/Users/a@x/empty", "DIRECTORY", "", None),
    Node(
        "/Users/a@x/what? [1]",
        "FILE",
        "data/workspace/content/Users/a@x/what~8",
        Some(b"odd name"),
    ),
    Node(
        "/Users/../../../escape",
        "FILE",
        "data/workspace/content/escape~9",
        Some(b"hostile"),
    ),
];

fn header() -> Header {
    Header {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        tool: "test".to_owned(),
        source: Source {
            host: "https://source.example".to_owned(),
            workspace_id: "1".to_owned(),
            cloud: "azure".to_owned(),
        },
        started: "2026-11-22T01:00:00Z".parse().unwrap(),
        scope: Scope::Workspace,
        options: json!({}),
    }
}

fn summary() -> Summary {
    let kind = |listed| KindSummary {
        listing: Listing::Listed,
        reason: None,
        listed,
        stored: listed,
        reused: 0,
        excluded: 0,
        unsupported: 0,
        vanished: 0,
        failed: 0,
        bytes: 0,
    };
    let kinds = [
        ("jobs", kind(2)),
        ("dbfs", kind(1)),
        ("notebooks", kind(1)),
        ("users", kind(1)),
    ];
    Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: BTreeMap::from(kinds.map(|(name, kind)| (name.to_owned(), kind))),
    }
}

fn tree_line(index: usize, node: &Node, sha256: Option<String>) -> String {
    let Node(path, object_type, member, bytes) = node;
    let content = bytes.map(
        |bytes| json!({"path": member, "size": bytes.len(), "sha256": sha256, "format": "SOURCE"}),
    );
    let mut line = json!({"path": path, "object_id": (index + 1).to_string(), "object_type": object_type, "facts": {}});
    if let (Some(content), Value::Object(map)) = (content, &mut line) {
        map.insert("content".to_owned(), content);
    }
    line.to_string()
}

/// One DBFS file, and one notebook that is not in the archive.
fn dbfs_and_ledger(writer: &mut Writer<std::fs::File>) {
    let mut dbfs = TableWriter::new("data/dbfs");
    let stored = writer
        .add("data/dbfs/content/x.sh", Content::Bytes(b"script".to_vec()))
        .unwrap();
    let content = json!({"path": "data/dbfs/content/x.sh", "size": 6, "sha256": stored.sha256.to_string(), "format": "RAW"});
    dbfs.push(
        writer,
        &json!({"path": "/x.sh", "is_dir": false, "facts": {}, "content": content}).to_string(),
    )
    .unwrap();
    dbfs.finish(writer).unwrap();
    let mut ledger = TableWriter::tag("ledger");
    ledger
        .push(
            writer,
            &json!({"kind": "notebooks", "id": "99", "name": "/Users/a@x/big", "fate": "failed", "message": "over 10 MB"})
                .to_string(),
        )
        .unwrap();
    ledger.finish(writer).unwrap();
}

/// `lie`: the record of one notebook states another digest than its member has.
fn build(lie: bool) -> Built {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar.zst");
    let options = WriterOptions {
        bag: "bag".to_owned(),
        level: 3,
        threads: 1,
        spill_dir: None,
    };
    let mut writer =
        Writer::create(std::fs::File::create(&path).unwrap(), options, &header()).unwrap();
    let mut table = TableWriter::new("data/workspace");
    let mut lines = Vec::new();
    for (index, node) in TREE.iter().enumerate() {
        let digest = node.3.map(|bytes| {
            let stored = writer.add(node.2, Content::Bytes(bytes.to_vec())).unwrap();
            if lie && node.0.ends_with("/etl") {
                "0".repeat(64)
            } else {
                stored.sha256.to_string()
            }
        });
        lines.push(tree_line(index, node, digest));
    }
    for line in &lines {
        table.push(&mut writer, line).unwrap();
    }
    table.finish(&mut writer).unwrap();
    for (id, name, body) in [
        (
            "12",
            "Nightly",
            json!({"job_id": 12, "settings": {"name": "Nightly", "timeout_seconds": 1.50}}),
        ),
        (
            "13",
            "Nightly",
            json!({"job_id": 13, "settings": {"name": "Nightly"}}),
        ),
    ] {
        let record = json!({"kind": "jobs", "id": id, "name": name, "body": body}).to_string();
        writer
            .add(
                &format!("data/jobs/{id}.json"),
                Content::Bytes(record.into_bytes()),
            )
            .unwrap();
    }
    let mut users = TableWriter::new("data/users");
    users
        .push(
            &mut writer,
            &json!({"kind": "users", "id": "7", "name": "a@x", "body": {"id": "7"}}).to_string(),
        )
        .unwrap();
    users.finish(&mut writer).unwrap();
    let mut acls = TableWriter::new("data/acls/jobs");
    acls.push(
        &mut writer,
        &json!({"kind": "jobs", "id": "12", "name": "Nightly", "body": {"object_id": "/jobs/12"}})
            .to_string(),
    )
    .unwrap();
    acls.finish(&mut writer).unwrap();
    dbfs_and_ledger(&mut writer);
    writer
        .finish(&summary(), "2026-11-22T01:01:00Z".parse().unwrap())
        .unwrap();
    Built {
        archive: Archive::open(&path).unwrap(),
        dir,
    }
}

fn listed(archive: &Archive, what: &str, recursive: bool) -> Vec<String> {
    let mut names = Vec::new();
    ls(archive, what, recursive, &mut |entry| {
        names.push(format!("{} {}", entry.kind, entry.name));
        ControlFlow::Continue(())
    })
    .unwrap();
    names
}

fn shown(archive: &Archive, what: &str) -> String {
    let mut out = Vec::new();
    cat(archive, what, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn info_tells_the_statements() {
    let built = build(false);
    let info = info(&built.archive).unwrap();
    assert_eq!(info.header.source.workspace_id, "1");
    assert_eq!(info.summary, summary());
    assert_eq!(info.archive_id.len(), 64);
    assert_eq!(kinds(&built.archive).unwrap().len(), 4);
}

#[test]
fn folders_kinds_objects_patterns_and_members_are_listed() {
    let built = build(false);
    let archive = &built.archive;
    assert_eq!(listed(archive, "/", false), ["DIRECTORY /Users"]);
    assert_eq!(
        listed(archive, "/Users/a@x/", false),
        [
            "DASHBOARD /Users/a@x/dashboard",
            "NOTEBOOK /Users/a@x/etl",
            "FILE /Users/a@x/etl.py",
            "DIRECTORY /Users/a@x/empty",
            "FILE /Users/a@x/what? [1]"
        ]
    );
    assert_eq!(
        listed(archive, "/Users/a@x/etl*", false),
        ["NOTEBOOK /Users/a@x/etl", "FILE /Users/a@x/etl.py"]
    );
    assert_eq!(
        listed(archive, "/Users/a@x/what? [1]", false),
        ["FILE /Users/a@x/what? [1]"]
    );
    assert_eq!(
        listed(archive, "/Users/a@x/empty", false),
        Vec::<String>::new()
    );
    assert_eq!(listed(archive, "/Users", true).len(), 8);
    assert_eq!(
        listed(archive, "jobs", false),
        ["jobs Nightly", "jobs Nightly"]
    );
    assert_eq!(listed(archive, "jobs/13", false), ["jobs Nightly"]);
    assert_eq!(
        listed(archive, "notebooks", false),
        ["NOTEBOOK /Users/a@x/etl"]
    );
    assert_eq!(listed(archive, "users", false), ["users a@x"]);
    assert_eq!(listed(archive, "acls/jobs", false), ["acls/jobs Nightly"]);
    assert_eq!(
        listed(archive, "data/jobs", false),
        ["member data/jobs/12.json", "member data/jobs/13.json"]
    );
    for missing in [
        "/Users/nobody",
        "jobs/99",
        "nothing",
        "dbfs:/x",
        "acls/clusters",
    ] {
        let error = ls(archive, missing, false, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(
            matches!(error, Error::NotFound { .. }),
            "{missing}: {error}"
        );
    }
}

#[test]
fn a_listing_stops_when_nobody_reads_on() {
    let built = build(false);
    let listed = ls(&built.archive, "/Users", true, &mut |_| {
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(listed.entries, 1);
}

#[test]
fn contents_come_out_as_they_are() {
    let built = build(false);
    let archive = &built.archive;
    assert_eq!(
        shown(archive, "/Users/a@x/etl"),
        "# Databricks notebook source\n1\n"
    );
    assert_eq!(shown(archive, "/Users/a@x/etl.py"), "file");
    assert_eq!(shown(archive, "/Users/a@x/what? [1]"), "odd name");
    assert_eq!(
        shown(archive, "jobs/12"),
        "{\n  \"job_id\": 12,\n  \"settings\": {\n    \"name\": \"Nightly\",\n    \"timeout_seconds\": 1.50\n  }\n}\n".replace("1.50", "1.5")
    );
    assert_eq!(shown(archive, "users/a@x"), "{\n  \"id\": \"7\"\n}\n");
    assert_eq!(
        shown(archive, "acls/jobs/12"),
        "{\n  \"object_id\": \"/jobs/12\"\n}\n"
    );
    assert!(shown(archive, "data/jobs/12.json").starts_with("{\"kind\":\"jobs\""));
    assert!(shown(archive, "lifeboat.json").contains("source.example"));
}

#[test]
fn tables_are_shown_and_the_ledger_answers_for_what_is_missing() {
    let built = build(false);
    for (table, part) in [
        ("ledger", "over 10 MB"),
        ("users", "a@x"),
        ("data/acls/jobs", "Nightly"),
        ("acls/jobs", "Nightly"),
        ("dbfs", "/x.sh"),
    ] {
        let text = shown(&built.archive, table);
        assert_eq!(text.lines().count(), 1, "{table}: {text}");
        assert!(text.contains(part), "{table}: {text}");
    }
    for what in ["/Users/a@x/big", "notebooks/99"] {
        let error = cat(&built.archive, what, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{what} is not in the archive: failed: over 10 MB")
        );
    }
    assert!(matches!(
        cat(&built.archive, "dbfs:/Users/a@x/big", &mut Vec::new()),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn what_cannot_be_shown_says_why() {
    let built = build(false);
    let fail = |what: &str| cat(&built.archive, what, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(fail("/Users/a@x"), Error::NoContent { object_type, .. } if object_type == "DIRECTORY")
    );
    assert!(matches!(
        fail("/Users/a@x/dashboard"),
        Error::NoContent { .. }
    ));
    assert!(matches!(
        fail("/Users/a@x/e*"),
        Error::Ambiguous { count: 3, .. }
    ));
    assert!(matches!(
        fail("jobs/Nightly"),
        Error::Ambiguous { count: 2, .. }
    ));
    assert!(matches!(fail("jobs/99"), Error::NotFound { .. }));
    assert!(matches!(fail("/nothing"), Error::NotFound { .. }));
    assert!(matches!(fail("jobs"), Error::NoContent { .. }));
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                found.push(format!("{name}/"));
                open.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

fn put(built: &Built, patterns: &[&str], to: &Path) -> lifeboat_inspect::Extracted {
    let patterns: Vec<String> = patterns
        .iter()
        .map(|pattern| (*pattern).to_owned())
        .collect();
    extract(&built.archive, &patterns, to, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

#[test]
fn everything_is_extracted_inside_the_folder_with_original_names() {
    let built = build(false);
    let to = built.dir.path().join("deep/out");
    let extracted = put(&built, &[], &to);
    assert!(extracted.skipped.is_empty(), "{:?}", extracted.skipped);
    let names = files(&to);
    for expected in [
        "jobs/12.json",
        "jobs/13.json",
        "users/7.json",
        "workspace/Users/a@x/empty/",
        "workspace/Users/a@x/etl.py",
        "workspace/Users/a@x/what? [1]",
    ] {
        assert!(
            names.contains(&expected.to_owned()),
            "{expected} is not in {names:?}"
        );
    }
    let once = names.iter().filter(|name| name.starts_with("dbfs/x.sh"));
    assert_eq!(once.count(), 1, "{names:?}");
    assert_eq!(extracted.files, 8);
    // The notebook `etl` and the file `etl.py` would have one name: the second one is marked with its id.
    assert!(
        names
            .iter()
            .any(|name| *name == "workspace/Users/a@x/etl.py~6"),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.ends_with("escape")),
        "{names:?}"
    );
    assert_eq!(
        files(built.dir.path())
            .iter()
            .filter(|name| name.ends_with("escape"))
            .count(),
        1
    );
    assert!(!built.dir.path().join("escape").exists());
}

#[test]
fn patterns_choose_and_nothing_is_overwritten() {
    let built = build(false);
    let to = built.dir.path().join("out");
    let first = put(&built, &["/Users/a@x/etl", "jobs/12", "data/users"], &to);
    assert_eq!(first.files, 3);
    assert_eq!(
        files(&to)
            .into_iter()
            .filter(|name| !name.ends_with('/'))
            .collect::<Vec<_>>(),
        [
            "data/users/000000.jsonl",
            "jobs/12.json",
            "workspace/Users/a@x/etl.py"
        ]
    );
    std::fs::write(to.join("jobs/12.json"), "mine").unwrap();
    let again = put(&built, &["jobs"], &to);
    assert_eq!(again.files, 1);
    assert!(matches!(&again.skipped[..], [one] if matches!(one.error, Error::Exists { .. })));
    assert_eq!(
        std::fs::read_to_string(to.join("jobs/12.json")).unwrap(),
        "mine"
    );
    let missing = extract(&built.archive, &["jobs/99".to_owned()], &to, &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[test]
fn an_intact_archive_verifies_and_a_lying_record_is_found() {
    let honest = build(false);
    let mut last = (0, 0);
    let verification = verify(&honest.archive, &mut |done, total| last = (done, total)).unwrap();
    assert!(verification.is_intact());
    assert_eq!(last.0, last.1);

    let lying = build(true);
    let verification = verify(&lying.archive, &mut |_, _| {}).unwrap();
    assert!(!verification.is_intact());
    let paths: Vec<_> = verification
        .damage()
        .filter_map(|damage| damage.path.as_deref())
        .collect();
    assert_eq!(paths, ["data/workspace/content/Users/a@x/etl.py"]);
    let error = cat(&lying.archive, "/Users/a@x/etl", &mut Vec::new()).unwrap_err();
    assert!(error.is_damage(), "{error}");
}
