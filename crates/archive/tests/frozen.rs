//! The frozen archives below `testdata/`: each one is read as it always was, and none is forgotten.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lifeboat_archive::*;

const V0_9: [&str; 3] = ["awkward-names", "one-of-each-kind", "several-frames"];

/// Defect, and what is said about it: the start of the first damage, or of the error of opening.
const DAMAGED: [(&str, &str); 19] = [
    ("absolute-path", "the path is not allowed: it is absolute"),
    ("cut-in-seek-table", "truncated"),
    ("cut-short", "truncated"),
    ("duplicate-member", "the member is there twice"),
    ("extra-member", "no manifest lists the member"),
    ("flipped-byte-in-header", "the zstd frame is corrupt"),
    ("flipped-byte-in-index-page", "the zstd frame is corrupt"),
    ("flipped-byte-in-last-frame", "the zstd frame is corrupt"),
    ("flipped-byte-in-manifest", "the zstd frame is corrupt"),
    ("flipped-byte-in-payload", "the zstd frame is corrupt"),
    (
        "flipped-byte-in-seek-table",
        "the frames of the seek table do not add up",
    ),
    ("missing-member", "the member is missing"),
    ("newer-major-version", "unsupported"),
    (
        "offset-beyond-the-end",
        "the index places the member elsewhere",
    ),
    (
        "overlapping-entries",
        "the index places the member elsewhere",
    ),
    (
        "path-leaves-the-folder",
        "the path is not allowed: it holds the component \"..\"",
    ),
    (
        "symbolic-link",
        "the member is not a regular file: a symbolic link",
    ),
    ("to-be-fetched", "a bag that is to be fetched"),
    ("wrong-digest", "the content does not have its digest"),
];

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata")
        .join(folder)
}

fn names_in(folder: &Path, keep: impl Fn(&Path) -> Option<String>) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| keep(&entry.unwrap().path()))
        .collect()
}

#[test]
fn none_is_forgotten() {
    let versions = names_in(&testdata("archives"), |path| {
        path.is_dir()
            .then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    });
    assert_eq!(versions, BTreeSet::from(["v0.9".to_owned()]));
    let archives = names_in(&testdata("archives/v0.9"), |path| {
        path.to_str().unwrap().strip_suffix(".tar.zst").map(|_| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_end_matches(".tar.zst")
                .to_owned()
        })
    });
    assert_eq!(archives, V0_9.map(str::to_owned).into());
    let defects = names_in(&testdata("damaged"), |path| {
        path.is_dir()
            .then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    });
    assert_eq!(defects, DAMAGED.map(|(defect, _)| defect.to_owned()).into());
}

#[test]
fn every_archive_of_0_9_is_read() {
    for name in V0_9 {
        let path = testdata("archives/v0.9").join(format!("{name}.tar.zst"));
        let archive = Archive::open(&path).unwrap();
        assert_eq!(archive.version(), FormatVersion { major: 0, minor: 9 });
        let report = archive.verify(&mut |_, _| {}).unwrap();
        assert_eq!(report.damage, [], "{name}");
        let bytes = std::fs::read(Descriptor::path_for(&path)).unwrap();
        let descriptor = Descriptor::parse(&bytes).unwrap();
        assert_eq!(descriptor.archive_id, archive.archive_id().unwrap());
        assert_eq!(descriptor.content_id, archive.content_id().unwrap());
        assert_eq!(descriptor.counts.members, report.members);
        assert_eq!(
            descriptor.sha256,
            Digest::of(&std::fs::read(&path).unwrap())
        );
        assert_eq!(
            descriptor.workspace_id,
            archive.header().unwrap().source.workspace_id
        );
        assert_eq!(descriptor.started, archive.header().unwrap().started);
        assert_eq!(archive.finished(), descriptor.finished);
    }
}

fn archive(name: &str) -> Archive {
    Archive::open(&testdata("archives/v0.9").join(format!("{name}.tar.zst"))).unwrap()
}

#[test]
fn one_of_each_kind() {
    let archive = archive("one-of-each-kind");
    let summary = archive.summary().unwrap();
    assert_eq!(summary.kinds.len(), 15);
    for kind in ["users", "groups", "service-principals", "workspace", "dbfs"] {
        assert!(
            archive.lines(&format!("data/{kind}")).unwrap().count() > 0,
            "{kind}"
        );
    }
    for kind in [
        "clusters",
        "jobs",
        "instance-pools",
        "cluster-policies",
        "libraries",
        "secret-scopes",
    ] {
        assert_eq!(
            archive.members(&format!("data/{kind}/")).unwrap().count(),
            1,
            "{kind}"
        );
    }
    let ledger: Vec<LedgerLine> = archive
        .lines("ledger")
        .unwrap()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        (ledger[0].fate, ledger[0].status),
        (Fate::Failed, Some(400))
    );
    let line = archive
        .find_line("data/workspace", "/Users/anna@example.com/etl")
        .unwrap()
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let member = archive
        .find(line["content"]["path"].as_str().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(
        member.sha256.to_string(),
        line["content"]["sha256"].as_str().unwrap()
    );
    assert_eq!(
        archive.read(&member).unwrap(),
        b"# Databricks notebook source\nprint(1)\n"
    );
}

#[test]
fn awkward_names_keep_their_exact_name_in_the_record() {
    let archive = archive("awkward-names");
    let mut paths = BTreeSet::new();
    for line in archive.lines("data/workspace").unwrap() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let member = archive
            .find(line["content"]["path"].as_str().unwrap())
            .unwrap()
            .unwrap();
        let text = String::from_utf8(archive.read(&member).unwrap()).unwrap();
        assert_eq!(text, format!("# {}\n", line["object_id"].as_str().unwrap()));
        assert_eq!(names::check(&member.path), Ok(()));
        paths.insert(member.path.to_lowercase());
    }
    assert_eq!(paths.len(), 40);
}

fn said_about(path: &Path) -> (String, bool) {
    let error = match Archive::open(path) {
        Ok(archive) => {
            let report = archive.verify(&mut |_, _| {}).unwrap();
            let first = report.damage.first().map(|damage| damage.what.clone());
            return (first.unwrap_or_default(), true);
        }
        Err(error) => error,
    };
    let damage = error.is_damage();
    assert_ne!(damage, error.is_not_archive());
    match error {
        ReadError::Truncated { at, .. } => {
            assert_eq!(at, std::fs::metadata(path).unwrap().len());
            ("truncated".to_owned(), damage)
        }
        ReadError::Damaged { damage: found, .. } => (found.what, damage),
        ReadError::UnsupportedVersion { .. } => ("unsupported".to_owned(), damage),
        other => (other.to_string(), damage),
    }
}

#[test]
fn every_defect_is_named() {
    for (defect, expected) in DAMAGED {
        let (said, damage) = said_about(&testdata("damaged").join(defect).join("archive.tar.zst"));
        assert!(said.starts_with(expected), "{defect}: {said}");
        assert_eq!(damage, expected != "unsupported", "{defect}");
    }
}
