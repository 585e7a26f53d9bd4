//! An unpacked bag is read like the archive that it came from.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use std::path::Path;

use common::*;
use lifeboat_archive::*;

/// Unpacks with the tar crate, as `tar` would.
fn unpack(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plain = zstd::stream::read::Decoder::new(bytes).unwrap();
    tar::Archive::new(plain).unpack(folder.path()).unwrap();
    folder
}

fn verify(path: &Path) -> VerifyReport {
    Archive::open(path).unwrap().verify(&mut |_, _| {}).unwrap()
}

fn paths(report: &VerifyReport) -> Vec<(&str, &str)> {
    report
        .damage
        .iter()
        .map(|damage| (damage.path.as_deref().unwrap(), damage.what.as_str()))
        .collect()
}

#[test]
fn it_says_the_same_as_the_archive() {
    let bytes = small();
    let folder = unpack(&bytes);
    let bag = folder.path().join("bag");
    let (packed, unpacked) = (open(&bytes).unwrap(), Archive::open(&bag).unwrap());
    assert_eq!(packed.archive_id().unwrap(), unpacked.archive_id().unwrap());
    assert_eq!(packed.content_id().unwrap(), unpacked.content_id().unwrap());
    assert_eq!(packed.header().unwrap(), unpacked.header().unwrap());
    let members = |archive: &Archive| -> Vec<Member> {
        archive.members("").unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(members(&packed), members(&unpacked));
    for member in members(&packed) {
        assert_eq!(
            packed.read(&member).unwrap(),
            unpacked.read(&member).unwrap()
        );
    }
    let lines: Vec<String> = unpacked
        .lines("data/users")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines.len(), 2);
    let report = verify(&bag);
    assert_eq!(report.damage, []);
    assert_eq!(report.members, common::verify(&bytes).members);

    let file = folder.path().join("x.tar.zst");
    std::fs::write(&file, &bytes).unwrap();
    assert!(verify(&file).is_intact());
}

#[test]
fn changed_missing_and_extra_files() {
    let folder = unpack(&small());
    let bag = folder.path().join("bag");
    std::fs::write(bag.join("data/jobs/7.json"), "changed").unwrap();
    std::fs::remove_file(bag.join("run.json")).unwrap();
    std::fs::write(bag.join("data/extra"), "x").unwrap();
    let report = verify(&bag);
    assert_eq!(
        paths(&report),
        [
            ("data/extra", "no manifest lists the member"),
            ("data/extra", "the index does not list the member"),
            ("data/jobs/7.json", "the content does not have its digest"),
            ("data/jobs/7.json", "the index places the member elsewhere"),
            ("run.json", "the member is missing"),
            (
                "index/root.json",
                "the payload has other totals than the index root states"
            ),
        ]
    );
    let archive = Archive::open(&bag).unwrap();
    let member = archive.find("data/jobs/7.json").unwrap().unwrap();
    assert!(archive.read(&member).unwrap_err().is_damage());
}

#[test]
fn parts_of_tables_are_compared_with_the_root() {
    let mut forged = Forged::new(&[("data/users/000000.jsonl", "{}\n")]);
    forged.table_part("data/users/000000.jsonl");
    assert!(verify(&unpack(&forged.build()).path().join("bag")).is_intact());
    forged.tables.clear();
    let folder = unpack(&forged.build());
    let bag = folder.path().join("bag");
    let what = "the index root and the index do not agree on the part of a table";
    assert_eq!(paths(&verify(&bag)), [("data/users/000000.jsonl", what)]);
    let archive = Archive::open(&bag).unwrap();
    let lines: Result<Vec<String>, ReadError> =
        archive.lines("data/users").and_then(Iterator::collect);
    assert!(lines.unwrap_err().is_damage());
}

#[test]
fn links_and_special_files_are_refused() {
    let folder = unpack(&small());
    let bag = folder.path().join("bag");
    let secret = folder.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("7.json"), "{\"job\":7}\n").unwrap();
    std::fs::remove_dir_all(bag.join("data/jobs")).unwrap();
    std::os::unix::fs::symlink(&secret, bag.join("data/jobs")).unwrap();
    // A socket stands for all special files: it needs no rights to make.
    let _socket = std::os::unix::net::UnixListener::bind(bag.join("data/s")).unwrap();
    let archive = Archive::open(&bag).unwrap();
    let member = archive.find("data/jobs/7.json").unwrap().unwrap();
    let error = archive.read(&member).unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("link"),
        "{error}"
    );
    let report = verify(&bag);
    let found = paths(&report);
    assert!(
        found.contains(&("data/jobs", "a link or special file")),
        "{found:?}"
    );
    assert!(
        found.contains(&("data/s", "a link or special file")),
        "{found:?}"
    );
    assert!(
        found.contains(&("data/jobs/7.json", "the member is missing")),
        "{found:?}"
    );
}

#[test]
fn other_folders_are_not_archives() {
    let folder = tempfile::tempdir().unwrap();
    let error = Archive::open(folder.path()).unwrap_err();
    assert!(error.is_not_archive(), "{error}");
    let error = Archive::open(&folder.path().join("nothing")).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }), "{error}");
    let bag = unpack(&small());
    std::fs::remove_file(bag.path().join("bag/index/root.json")).unwrap();
    let error = Archive::open(&bag.path().join("bag")).unwrap_err();
    assert!(error.is_damage(), "{error}");
}
