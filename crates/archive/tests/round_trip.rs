//! What is written is read back: any names, any contents, any order, any number of threads.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::io::Write as _;

use common::*;
use lifeboat_archive::*;
use proptest::prelude::*;

fn check_all(archive: &Archive, expected: &BTreeMap<String, Vec<u8>>) {
    let found: Vec<Member> = archive
        .members("data/")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let paths: Vec<&String> = found.iter().map(|member| &member.path).collect();
    assert_eq!(paths, expected.keys().collect::<Vec<_>>());
    for member in &found {
        assert_eq!(archive.read(member).unwrap(), expected[&member.path]);
        assert_eq!(archive.find(&member.path).unwrap().as_ref(), Some(member));
    }
    let report = archive.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!(report.intact, report.members);
    assert!(report.is_intact());
}

#[test]
fn facts_of_a_small_archive() {
    let mut writer = writer(2);
    writer
        .add("data/b", Content::Bytes(b"two".to_vec()))
        .unwrap();
    let stored = writer
        .add("data/a/x", Content::Bytes(b"one".to_vec()))
        .unwrap();
    assert_eq!((stored.size, stored.sha256), (3, Digest::of(b"one")));
    writer
        .add_tag("run.json", Content::Bytes(b"{\"calls\":3}".to_vec()))
        .unwrap();
    let (bytes, sealed) = finish(writer);
    assert_eq!(sealed.size, bytes.len() as u64);
    assert_eq!(sealed.sha256, Digest::of(&bytes));
    assert_eq!((sealed.payload_members, sealed.payload_bytes), (2, 6));

    let archive = open(&bytes).unwrap();
    assert_eq!(archive.version(), FORMAT_VERSION);
    assert_eq!(archive.archive_id().unwrap(), sealed.archive_id);
    assert_eq!(archive.content_id().unwrap(), sealed.content_id);
    assert_eq!(archive.header().unwrap(), header());
    assert_eq!(archive.summary().unwrap(), summary());
    assert_eq!(archive.finished(), FINISHED.parse().unwrap());
    assert_eq!(archive.payload(), (2, 6));
    let run: serde_json::Value = archive.document("run.json").unwrap();
    assert_eq!(run, serde_json::json!({"calls": 3}));
    assert_eq!(archive.find("data/a").unwrap(), None);
    assert_eq!(archive.find("a").unwrap(), None);
    assert_eq!(archive.find("zzz").unwrap(), None);

    for (path, id) in [
        ("tagmanifest-sha256.txt", sealed.archive_id),
        ("manifest-sha256.txt", sealed.content_id),
    ] {
        let member = archive.find(path).unwrap().unwrap();
        assert_eq!(Digest::of(&archive.read(&member).unwrap()), id);
    }
    for path in [
        "index/000000.jsonl",
        "index/root.json",
        "bag-info.txt",
        "bagit.txt",
    ] {
        let member = archive.find(path).unwrap().unwrap();
        assert_eq!(
            archive.read(&member).unwrap().len() as u64,
            member.size,
            "{path}"
        );
    }
    assert_eq!(
        archive.verify(&mut |_, _| {}).unwrap().members,
        sealed.members
    );
}

#[test]
fn the_content_id_knows_only_the_payload() {
    let ids = |run: &[u8], content: &[u8]| {
        let mut writer = writer(1);
        writer
            .add("data/a", Content::Bytes(content.to_vec()))
            .unwrap();
        writer
            .add_tag("run.json", Content::Bytes(run.to_vec()))
            .unwrap();
        let (_, sealed) = finish(writer);
        (sealed.content_id, sealed.archive_id)
    };
    let (monday, tuesday, changed) = (ids(b"1", b"x"), ids(b"2", b"x"), ids(b"1", b"y"));
    assert_eq!(monday.0, tuesday.0);
    assert_ne!(monday.1, tuesday.1);
    assert_ne!(monday.0, changed.0);
}

#[test]
fn an_archive_without_payload_is_still_a_bag() {
    let (bytes, sealed) = finish(writer(1));
    assert_eq!((sealed.payload_members, sealed.payload_bytes), (1, 0));
    check_all(
        &open(&bytes).unwrap(),
        &BTreeMap::from([("data/empty".to_owned(), Vec::new())]),
    );
}

/// Sizes around every border: block, frame, several frames.
#[test]
fn members_of_every_size_and_the_same_bytes_for_any_number_of_threads() {
    let mebi = 1 << 20;
    let sizes = [
        0,
        1,
        511,
        512,
        513,
        mebi - 513,
        mebi,
        mebi,
        3 * mebi,
        2 * mebi - 512,
        2 * mebi - 511,
        2 * mebi,
        5 * mebi + 7,
        4,
    ];
    let members: Vec<(String, Vec<u8>)> = sizes
        .iter()
        .enumerate()
        .map(|(i, size)| (format!("data/{i:02}"), content(i as u64, *size)))
        .collect();
    let (one, sealed) = archive_of(&members, 1);
    for threads in [0, 2, 5] {
        let (other, other_sealed) = archive_of(&members, threads);
        assert_eq!(sealed, other_sealed);
        assert!(one == other, "{threads} threads give other bytes");
    }
    check_all(&open(&one).unwrap(), &members.into_iter().collect());
}

#[test]
fn files_are_read_from_their_beginning_and_have_to_have_their_size() {
    let bytes = content(1, 700_000);
    let file = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    };
    let mut writer = writer(2);
    let size = bytes.len() as u64;
    for wrong in [size - 1, size + 1] {
        let refused = writer.add(
            "data/a",
            Content::File {
                file: file(),
                size: wrong,
            },
        );
        assert!(
            matches!(refused, Err(WriteError::Size { expected, actual, .. }) if expected == wrong && actual == size)
        );
    }
    // Nothing was written of it: the archive goes on.
    let stored = writer
        .add("data/a", Content::File { file: file(), size })
        .unwrap();
    assert_eq!(stored.sha256, Digest::of(&bytes));
    let (archive, _) = finish(writer);
    check_all(
        &open(&archive).unwrap(),
        &BTreeMap::from([("data/a".to_owned(), bytes)]),
    );
}

#[test]
fn what_the_writer_refuses() {
    let mut writer = writer(1);
    let empty = || Content::Bytes(Vec::new());
    writer.add("data/a", empty()).unwrap();
    assert!(matches!(
        writer.add("data/a", empty()),
        Err(WriteError::Duplicate { .. })
    ));
    assert!(matches!(
        writer.add("data/a/b", empty()),
        Err(WriteError::FileAndFolder { .. })
    ));
    for path in [
        "a",
        "data/../a",
        "/data/a",
        "data/a\nb",
        "data/con",
        "data/",
    ] {
        assert!(
            matches!(writer.add(path, empty()), Err(WriteError::Name { .. })),
            "{path:?}"
        );
    }
    for path in [
        "bagit.txt",
        "bag-info.txt",
        "fetch.txt",
        "manifest-md5.txt",
        "tagmanifest-sha256.txt",
        "index/x",
        "index",
        "summary.json",
        "data",
        "ledger/000000.jsonl",
    ] {
        assert!(
            matches!(
                writer.add_tag(path, empty()),
                Err(WriteError::Reserved { .. })
            ),
            "{path:?}"
        );
    }
    // A part that no table writer made would be in no root.
    assert!(matches!(
        writer.add("data/users/000000.jsonl", empty()),
        Err(WriteError::Reserved { .. })
    ));
    writer
        .add("data/workspace/content/000000.jsonl", empty())
        .unwrap();
    assert!(matches!(
        writer.add_tag("data/t", empty()),
        Err(WriteError::Name { .. })
    ));
    writer.add("data/still-open", empty()).unwrap();
    writer.add_tag("run.json", empty()).unwrap();
    assert!(matches!(
        writer.add("data/late", empty()),
        Err(WriteError::PayloadClosed { .. })
    ));
    let (bytes, _) = finish(writer);
    assert!(verify(&bytes).is_intact());
    let bag = WriterOptions {
        bag: "a/b".to_owned(),
        ..options(1)
    };
    assert!(matches!(
        Writer::create(Vec::new(), bag, &header()),
        Err(WriteError::Name { .. })
    ));
}

/// A sink that is full after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(self.0);
        self.0 -= count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_with_its_offset_and_ends_the_archive() {
    let mut writer = Writer::create(Full(300_000), options(2), &header()).unwrap();
    let mut failed = None;
    for i in 0..20 {
        let added = writer.add(&format!("data/{i}"), Content::Bytes(content(i, 900_000)));
        if let Err(error) = added {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(WriteError::Sink { offset, .. }) if offset <= 300_000));
    let after = writer.add("data/after", Content::Bytes(Vec::new()));
    assert!(matches!(after, Err(WriteError::Broken)));
    let end = writer.finish(&summary(), FINISHED.parse().unwrap());
    assert!(matches!(end, Err(WriteError::Broken)));
}

#[test]
fn tables_are_cut_into_parts_and_found_by_key() {
    let mut writer = writer(2);
    let mut table = TableWriter::new("data/workspace");
    let line = |i: u32| {
        format!(
            r#"{{"path":"/Users/{i:06}","facts":"{}"}}"#,
            "x".repeat(900)
        )
    };
    for i in 0..10_000 {
        table.push(&mut writer, &line(i)).unwrap();
    }
    assert_eq!(table.finish(&mut writer).unwrap(), 3);
    let mut unsorted = TableWriter::new("data/users");
    for id in ["2", "10", "1"] {
        unsorted
            .push(&mut writer, &format!(r#"{{"id":"{id}"}}"#))
            .unwrap();
    }
    assert!(matches!(
        unsorted.push(&mut writer, "a\nb"),
        Err(WriteError::Line { .. })
    ));
    unsorted.finish(&mut writer).unwrap();
    assert_eq!(
        TableWriter::new("data/empty").finish(&mut writer).unwrap(),
        0
    );
    let mut ledger = TableWriter::tag("ledger");
    ledger.push(&mut writer, r#"{"kind":"jobs"}"#).unwrap();
    ledger.finish(&mut writer).unwrap();
    writer
        .add_tag("observed/jobs.jsonl", Content::Bytes(b"1\n2\n".to_vec()))
        .unwrap();
    let (bytes, _) = finish(writer);

    check_tables(&open(&bytes).unwrap(), line);
}

fn check_tables(archive: &Archive, line: impl Fn(u32) -> String) {
    let parts: Vec<&TablePart> = archive.table_parts("data/workspace").collect();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.length <= 4 << 20));
    assert_eq!(parts.iter().map(|part| part.lines).sum::<u64>(), 10_000);
    assert_eq!(parts[0].first.as_deref(), Some("/Users/000000"));
    let lines: Vec<String> = archive
        .lines("data/workspace")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(i, found)| *found == line(i as u32))
    );
    assert_eq!(lines.len(), 10_000);
    assert_eq!(
        archive
            .find_line("data/workspace", "/Users/007777")
            .unwrap(),
        Some(line(7_777))
    );
    assert_eq!(
        archive.find_line("data/workspace", "/Users/x").unwrap(),
        None
    );
    assert_eq!(archive.find_line("data/workspace", "/").unwrap(), None);

    assert_eq!(
        archive.table_parts("data/users").next().unwrap().first,
        None
    );
    assert_eq!(
        archive.find_line("data/users", "10").unwrap().as_deref(),
        Some(r#"{"id":"10"}"#)
    );
    assert_eq!(archive.find_line("data/users", "3").unwrap(), None);
    let all = |table| {
        archive
            .lines(table)
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<String>>()
    };
    assert_eq!(all("ledger"), [r#"{"kind":"jobs"}"#]);
    assert_eq!(all("observed/jobs"), ["1", "2"]);
    assert_eq!(all("data/nothing"), Vec::<String>::new());
    assert!(archive.verify(&mut |_, _| {}).unwrap().is_intact());
}

#[test]
fn what_is_too_large_for_memory_is_only_copied() {
    let mut writer = writer(2);
    let large = vec![7u8; (64 << 20) + 1];
    writer
        .add("data/large", Content::Bytes(large.clone()))
        .unwrap();
    let (bytes, _) = finish(writer);
    let archive = open(&bytes).unwrap();
    let member = archive.find("data/large").unwrap().unwrap();
    assert!(
        matches!(archive.read(&member), Err(ReadError::TooLarge { size, .. }) if size == large.len() as u64)
    );
    let mut copied = Vec::new();
    archive.copy(&member, &mut copied).unwrap();
    assert!(copied == large);
    let refused = archive.copy(&member, &mut Full(10));
    assert!(matches!(refused, Err(ReadError::Output { .. })));
}

#[test]
fn many_pages_and_prefixes() {
    let mut writer = writer(2);
    for i in (0..3_000u32).rev() {
        let folder = ["a", "ab", "b/c"][(i % 3) as usize];
        writer
            .add(
                &format!("data/{folder}/{i:05}"),
                Content::Bytes(vec![0; (i % 5) as usize]),
            )
            .unwrap();
    }
    let (bytes, _) = finish(writer);
    let archive = open(&bytes).unwrap();
    for (prefix, count) in [
        ("data/", 3_000),
        ("data/a", 2_000),
        ("data/a/", 1_000),
        ("data/b/c/", 1_000),
        ("data/ab/0001", 4),
        ("data/c", 0),
        ("", 3_004),
        ("zzz", 0),
        ("\u{10ffff}", 0),
    ] {
        let found: Vec<String> = archive
            .members(prefix)
            .unwrap()
            .map(|member| member.unwrap().path)
            .collect();
        assert_eq!(found.len(), count, "{prefix:?}");
        assert!(found.iter().all(|path| path.starts_with(prefix)));
        assert!(found.is_sorted());
    }
}

/// Names that people and programs come up with.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ._~-]{1,12}",
        2 => any::<String>(),
        1 => "\\PC{1,80}",
        1 => prop::sample::select(vec!["con", "..", ".", "", " ", "a/b", "e\u{301}", "\u{202e}x", "x\u{85}", "nul.py"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_names_and_contents_in_any_order(
        names in prop::collection::vec((any_name(), prop::collection::vec(any::<u8>(), 0..2_000)), 0..40),
        seed in any::<u64>(),
    ) {
        let ids: Vec<String> = (0..names.len()).map(|i| i.to_string()).collect();
        let siblings: Vec<names::Sibling<'_>> = names
            .iter()
            .zip(&ids)
            .map(|((name, _), id)| names::Sibling { name, extension: "", id })
            .collect();
        let assigned = names::assign(&siblings);
        let expected: BTreeMap<String, Vec<u8>> = assigned
            .iter()
            .zip(&names)
            .map(|(name, (_, content))| (format!("data/x/{name}"), content.clone()))
            .collect();
        // Every object keeps a name of its own.
        prop_assert_eq!(expected.len(), names.len());
        let mut members: Vec<(String, Vec<u8>)> = expected.clone().into_iter().collect();
        members.sort_by_key(|(path, _)| Digest::of(format!("{seed}{path}").as_bytes()));
        let (bytes, sealed) = archive_of(&members, 2);
        let archive = open(&bytes).unwrap();
        if !expected.is_empty() {
            check_all(&archive, &expected);
        }
        members.reverse();
        let (_, reversed) = archive_of(&members, 1);
        prop_assert_eq!(sealed.content_id, reversed.content_id);
    }
}
