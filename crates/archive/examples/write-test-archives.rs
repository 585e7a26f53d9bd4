//! Writes the frozen archives below `testdata/`: run it from the root of the repository.
//!
//! `cargo run -p lifeboat-archive --example write-test-archives`
//!
//! What is written is described in `testdata/archives/README.md` and `testdata/damaged/README.md`.
#![allow(clippy::unwrap_used, reason = "a tool that is run by hand")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{FINISHED, Forged, Raw, STARTED};
use lifeboat_archive::*;
use serde_json::{Value, json};

fn main() {
    let archives = Path::new("testdata/archives").join(format!("v{FORMAT_VERSION}"));
    let damaged = Path::new("testdata/damaged");
    for folder in [&archives, damaged] {
        fs::create_dir_all(folder).unwrap();
    }
    let sound = one_of_each_kind();
    write(&archives, "one-of-each-kind", &sound);
    write(&archives, "awkward-names", &awkward_names());
    write(&archives, "several-frames", &several_frames());
    for (defect, bytes) in defects(&sound.0) {
        let folder = damaged.join(defect);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("archive.tar.zst"), bytes).unwrap();
    }
}

type Written = (Vec<u8>, Sealed, Header, Summary);

fn write(folder: &Path, name: &str, (bytes, sealed, header, summary): &Written) {
    let file = folder.join(format!("{name}.tar.zst"));
    fs::write(&file, bytes).unwrap();
    let descriptor = Descriptor::new(header, summary, sealed, FINISHED.parse().unwrap());
    fs::write(Descriptor::path_for(&file), descriptor.to_bytes().unwrap()).unwrap();
}

fn begin(bag: &str, scope: Scope) -> (Writer<Vec<u8>>, Header) {
    let source = Source {
        host: "adb-7405609123456789.9.azuredatabricks.net".to_owned(),
        workspace_id: "7405609123456789".to_owned(),
        cloud: "azure".to_owned(),
    };
    let options = json!({"include": [], "exclude": [], "notebook-format": "source"});
    let header = Header::new(
        format!("write-test-archives {}", env!("CARGO_PKG_VERSION")),
        source,
        STARTED.parse().unwrap(),
        scope,
        options,
    );
    let options = WriterOptions {
        bag: bag.to_owned(),
        ..common::options(1)
    };
    (
        Writer::create(Vec::new(), options, &header).unwrap(),
        header,
    )
}

fn end(writer: Writer<Vec<u8>>, header: Header, kinds: BTreeMap<String, KindSummary>) -> Written {
    let summary = Summary {
        scope: header.scope,
        inventory: Inventory::Complete,
        kinds,
    };
    let (bytes, sealed) = writer.finish(&summary, FINISHED.parse().unwrap()).unwrap();
    (bytes, sealed, header, summary)
}

fn listed(stored: u64, failed: u64) -> KindSummary {
    KindSummary {
        listing: Listing::Listed,
        reason: None,
        listed: stored + failed,
        stored,
        reused: 0,
        excluded: 0,
        unsupported: 0,
        vanished: 0,
        failed,
        bytes: 0,
    }
}

fn table(writer: &mut Writer<Vec<u8>>, name: &str, lines: &[Value]) {
    let mut table = if name.starts_with("data/") {
        TableWriter::new(name)
    } else {
        TableWriter::tag(name)
    };
    for line in lines {
        table.push(writer, &line.to_string()).unwrap();
    }
    table.finish(writer).unwrap();
}

/// Adds a content and gives the reference to it.
fn content(writer: &mut Writer<Vec<u8>>, path: &str, text: &str, format: &str) -> Value {
    let stored = writer
        .add(path, Content::Bytes(text.as_bytes().to_vec()))
        .unwrap();
    json!({"path": path, "size": stored.size, "sha256": stored.sha256, "format": format})
}

/// Objects that are a file each: kind, id, name, body.
fn objects() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        (
            "instance-pools",
            "1122-090001-pool1",
            "small",
            json!({"instance_pool_id": "1122-090001-pool1", "instance_pool_name": "small", "node_type_id": "Standard_DS3_v2",
                "min_idle_instances": 1, "max_capacity": 10}),
        ),
        (
            "cluster-policies",
            "ABC123DEF4567890",
            "Cheap only",
            json!({"policy_id": "ABC123DEF4567890", "name": "Cheap only",
                "definition": "{\"instance_pool_id\":{\"type\":\"fixed\",\"value\":\"1122-090001-pool1\"}}"}),
        ),
        (
            "global-init-scripts",
            "9F1A2B3C4D5E6F70",
            "proxy",
            json!({"script_id": "9F1A2B3C4D5E6F70", "name": "proxy", "enabled": true, "position": 0, "script": "ZWNobyBoaQo="}),
        ),
        (
            "secret-scopes",
            "etl",
            "etl",
            json!({"scope": {"name": "etl", "backend_type": "DATABRICKS"}, "keys": [{"key": "token"}],
                "acls": [{"principal": "users", "permission": "READ"}]}),
        ),
        (
            "clusters",
            "1122-090002-shared1",
            "shared",
            json!({"cluster_id": "1122-090002-shared1", "cluster_name": "shared", "spark_version": "15.4.x-scala2.12",
                "instance_pool_id": "1122-090001-pool1", "num_workers": 2, "autotermination_minutes": 30}),
        ),
        (
            "libraries",
            "1122-090002-shared1",
            "shared",
            json!({"cluster_id": "1122-090002-shared1", "libraries": [{"pypi": {"package": "requests==2.32.0"}}]}),
        ),
        (
            "jobs",
            "620001",
            "nightly",
            json!({"job_id": 620001, "creator_user_name": "anna@example.com", "settings": {"name": "nightly",
                "schedule": {"quartz_cron_expression": "0 0 1 * * ?", "timezone_id": "UTC", "pause_status": "UNPAUSED"},
                "tasks": [{"task_key": "main", "existing_cluster_id": "1122-090002-shared1",
                    "notebook_task": {"notebook_path": "/Users/anna@example.com/etl"}}]}}),
        ),
        (
            "git-folders",
            "880001",
            "/Users/anna@example.com/project",
            json!({"id": 880001, "path": "/Users/anna@example.com/project", "url": "https://git.example.com/project.git",
                "provider": "gitHub", "branch": "main", "head_commit_id": "0123456789abcdef0123456789abcdef01234567"}),
        ),
    ]
}

fn one_of_each_kind() -> Written {
    let (mut writer, header) = begin("7405609123456789-20261122T010000Z", Scope::Workspace);
    let record = |kind: &str, id: &str, name: &str, body: Value| json!({"kind": kind, "id": id, "name": name, "body": body});
    let user = json!({"id": "101", "userName": "anna@example.com", "active": true});
    table(
        &mut writer,
        "data/users",
        &[record("users", "101", "anna@example.com", user)],
    );
    let principal = json!({"id": "201", "applicationId": "0b1f0d8e-9a3e-4b8e-8f5e-3d2c1b0a9f8e", "displayName": "loader"});
    table(
        &mut writer,
        "data/service-principals",
        &[record("service-principals", "201", "loader", principal)],
    );
    let group = json!({"id": "301", "displayName": "data engineers", "members": [{"value": "101", "$ref": "Users/101"}]});
    table(
        &mut writer,
        "data/groups",
        &[record("groups", "301", "data engineers", group)],
    );
    for (kind, id, name, body) in objects() {
        let text = record(kind, id, name, body).to_string();
        let path = format!("data/{kind}/{}.json", names::component(id, id));
        writer
            .add(&path, Content::Bytes(text.into_bytes()))
            .unwrap();
    }
    workspace(&mut writer);
    let jar = content(
        &mut writer,
        "data/dbfs/content/FileStore/jars/tool.jar",
        "PK\u{3}\u{4}",
        "RAW",
    );
    let facts = |path: &str, size: u64| json!({"path": path, "is_dir": size == 0, "file_size": size, "modification_time": 1795309200000u64});
    table(
        &mut writer,
        "data/dbfs",
        &[
            json!({"path": "/FileStore/jars", "is_dir": true, "facts": facts("/FileStore/jars", 0)}),
            json!({"path": "/FileStore/jars/tool.jar", "is_dir": false, "facts": facts("/FileStore/jars/tool.jar", 4), "content": jar}),
        ],
    );
    for (kind, id, name, segment) in [
        ("clusters", "1122-090002-shared1", "shared", "clusters"),
        ("jobs", "620001", "nightly", "jobs"),
        (
            "notebooks",
            "500002",
            "/Users/anna@example.com/etl",
            "notebooks",
        ),
    ] {
        let entry = json!({"user_name": "anna@example.com", "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": false}]});
        let body = json!({"object_id": format!("/{segment}/{id}"), "access_control_list": [entry]});
        let line = json!({"kind": kind, "id": id, "name": name, "body": body});
        table(&mut writer, &format!("data/acls/{kind}"), &[line]);
    }
    tags(&mut writer);
    let mut kinds: BTreeMap<String, KindSummary> = [
        "users",
        "groups",
        "service-principals",
        "directories",
        "notebooks",
        "files",
        "dbfs",
    ]
    .into_iter()
    .map(|kind| (kind.to_owned(), listed(1, 0)))
    .collect();
    kinds.extend(
        objects()
            .into_iter()
            .map(|(kind, ..)| (kind.to_owned(), listed(1, 0))),
    );
    kinds.insert("notebooks".to_owned(), listed(1, 1));
    end(writer, header, kinds)
}

fn workspace(writer: &mut Writer<Vec<u8>>) {
    let home = "/Users/anna@example.com";
    let notebook = content(
        writer,
        "data/workspace/content/Users/anna@example.com/etl.py",
        "# Databricks notebook source\nprint(1)\n",
        "SOURCE",
    );
    let file = content(
        writer,
        "data/workspace/content/Users/anna@example.com/settings.yaml",
        "retries: 3\n",
        "RAW",
    );
    let line = |path: String, id: u64, kind: &str, content: Option<Value>| {
        let mut line = json!({"path": path, "object_id": id.to_string(), "object_type": kind,
            "facts": {"path": path, "object_id": id, "object_type": kind}});
        if let Some(content) = content {
            line["content"] = content;
        }
        line
    };
    table(
        writer,
        "data/workspace",
        &[
            line(home.to_owned(), 500001, "DIRECTORY", None),
            line(format!("{home}/etl"), 500002, "NOTEBOOK", Some(notebook)),
            line(format!("{home}/settings.yaml"), 500003, "FILE", Some(file)),
        ],
    );
}

fn tags(writer: &mut Writer<Vec<u8>>) {
    let run = json!({"caller": "admin@example.com", "admin": true, "calls": 42, "retries": 0});
    writer
        .add_tag("run.json", Content::Bytes(run.to_string().into_bytes()))
        .unwrap();
    let gap = LedgerLine {
        kind: "notebooks".to_owned(),
        id: "500004".to_owned(),
        name: "/Users/anna@example.com/huge".to_owned(),
        fate: Fate::Failed,
        request: Some("GET /api/2.0/workspace/export".to_owned()),
        status: Some(400),
        code: Some("MAX_NOTEBOOK_SIZE_EXCEEDED".to_owned()),
        message: "content size exceeds the limit of 10485760 bytes".to_owned(),
    };
    table(writer, "ledger", &[serde_json::to_value(gap).unwrap()]);
    let observed = json!({"id": "1122-090002-shared1", "observed": {"/state": "TERMINATED"}});
    writer
        .add_tag(
            "observed/clusters.jsonl",
            Content::Bytes(format!("{observed}\n").into_bytes()),
        )
        .unwrap();
}

/// Every name that a person or a program was seen to give, as the rules for names store it.
fn awkward_names() -> Written {
    let long = "long ".repeat(40);
    let wide = "é".repeat(140);
    let awkward = [
        "plain",
        "ETL",
        "etl",
        "Etl ",
        " leading",
        "trailing.",
        "...",
        ".hidden",
        "a:b",
        "a*b?c",
        "\"quoted\"",
        "<tag>",
        "a|b",
        "100%",
        "back\\slash",
        "slash/inside",
        "tab\there",
        "line\nbreak",
        "next\u{85}line",
        "para\u{2029}graph",
        "no-break\u{a0}",
        "zero\u{200b}width",
        "right\u{202e}left",
        "con",
        "AUX.txt",
        "com7",
        "lpt¹",
        "e\u{301}",
        "é",
        "Straße",
        "STRASSE",
        "ﬁle",
        "FILE",
        "tilde~1",
        "日本語のノート",
        "😀 notebook",
        "مرحبا",
        long.as_str(),
        wide.as_str(),
        "",
    ];
    let ids: Vec<String> = (0..awkward.len())
        .map(|i| (700_000 + i).to_string())
        .collect();
    let siblings: Vec<names::Sibling<'_>> = awkward
        .iter()
        .zip(&ids)
        .map(|(name, id)| names::Sibling {
            name,
            extension: ".py",
            id,
        })
        .collect();
    let (mut writer, header) = begin("awkward names, ünïcode", Scope::Selection);
    let mut lines: Vec<(String, Value)> = Vec::new();
    for ((name, id), component) in awkward.iter().zip(&ids).zip(names::assign(&siblings)) {
        let path = format!("data/workspace/content/Shared/{component}");
        let reference = content(&mut writer, &path, &format!("# {id}\n"), "SOURCE");
        let exact = format!("/Shared/{name}");
        let line = json!({"path": exact, "object_id": id, "object_type": "NOTEBOOK", "facts": {}, "content": reference});
        lines.push((exact, line));
    }
    // As deep as it gets: a path that no ustar header holds.
    let deep = format!(
        "data/workspace/content/{}/deep.py",
        vec!["folder with a rather long name"; 20].join("/")
    );
    content(&mut writer, &deep, "# deep\n", "SOURCE");
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let lines: Vec<Value> = lines.into_iter().map(|(_, line)| line).collect();
    table(&mut writer, "data/workspace", &lines);
    let stored = lines.len() as u64;
    end(
        writer,
        header,
        BTreeMap::from([("notebooks".to_owned(), listed(stored, 0))]),
    )
}

/// A member of several frames between small ones, and an index of several pages.
fn several_frames() -> Written {
    let (mut writer, header) = begin("several-frames", Scope::Selection);
    let large: String = (0..400_000)
        .map(|i| format!("{:011}\n", i / 1_000))
        .collect();
    content(&mut writer, "data/dbfs/content/large.csv", &large, "RAW");
    for i in 0..1_200 {
        content(
            &mut writer,
            &format!("data/workspace/content/Shared/{i:04}.py"),
            &format!("# {i}\n"),
            "SOURCE",
        );
    }
    end(writer, header, BTreeMap::new())
}

/// Damaged archives by the name of their defect.
fn defects(sound: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut at = 0;
    while sound[at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let len = zstd::zstd_safe::find_frame_compressed_size(&sound[at..]).unwrap();
        frames.push((at, len));
        at += len;
    }
    let flipped = |place: usize| {
        let mut bytes = sound.to_vec();
        bytes[place] ^= 0x10;
        bytes
    };
    let middle = |frame: usize| frames[frame].0 + frames[frame].1 / 2;
    let count = frames.len();
    let mut all = vec![
        ("flipped-byte-in-header", flipped(middle(0))),
        ("flipped-byte-in-payload", flipped(middle(1))),
        ("flipped-byte-in-manifest", flipped(middle(2))),
        ("flipped-byte-in-index-page", flipped(middle(count - 2))),
        ("flipped-byte-in-last-frame", flipped(middle(count - 1))),
        ("flipped-byte-in-seek-table", flipped(at + 10)),
        ("cut-short", sound[..middle(1)].to_vec()),
        ("cut-in-seek-table", sound[..sound.len() - 5].to_vec()),
    ];
    all.extend(forged());
    all
}

/// Archives whose frames are sound and whose statements are not.
fn forged() -> Vec<(&'static str, Vec<u8>)> {
    let sound = Forged::new(&[("data/a", "one"), ("data/b", "two")]);
    let change = |change: &dyn Fn(&mut Forged)| {
        let mut forged = sound.clone();
        change(&mut forged);
        forged.build()
    };
    let link = Raw {
        kind: tar::EntryType::Symlink,
        ..Raw::file("data/link", b"")
    };
    vec![
        (
            "wrong-digest",
            change(&|forged| forged.entry("data/a").sha256 = Digest::of(b"other")),
        ),
        (
            "missing-member",
            change(&|forged| forged.front.retain(|raw| raw.path != b"data/b")),
        ),
        (
            "extra-member",
            change(&|forged| forged.front.push(Raw::file("data/extra", b"x"))),
        ),
        (
            "duplicate-member",
            change(&|forged| forged.front.push(Raw::file("data/a", b"x"))),
        ),
        (
            "overlapping-entries",
            change(&|forged| forged.entry("data/b").offset = forged.entries[1].offset),
        ),
        (
            "offset-beyond-the-end",
            change(&|forged| forged.entry("data/b").offset = 1 << 63),
        ),
        (
            "path-leaves-the-folder",
            change(&|forged| forged.front.push(Raw::file("../outside", b"x"))),
        ),
        (
            "absolute-path",
            change(&|forged| forged.front.push(Raw::file("!/etc/passwd", b"x"))),
        ),
        (
            "symbolic-link",
            change(&|forged| forged.front.push(link.clone())),
        ),
        (
            "to-be-fetched",
            change(&|forged| {
                forged
                    .front
                    .push(Raw::file("fetch.txt", b"https://example.com/x 1 data/x\n"));
                forged.describe();
            }),
        ),
        (
            "newer-major-version",
            change(&|forged| forged.version = "7.0".to_owned()),
        ),
    ]
}
