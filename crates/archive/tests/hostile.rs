//! Archives that lie: every claim is checked, nothing outside is touched, no memory is taken on trust.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use common::*;
use lifeboat_archive::*;
use tar::EntryType;
use zstd::zstd_safe::CParameter;

fn sound() -> Forged {
    Forged::new(&[("data/a", "one"), ("data/b", "two")])
}

/// The one damage that `forged` has with a text like this.
fn the_damage(forged: &Forged, what: &str) -> Damage {
    let all = forged.damage();
    let found: Vec<&Damage> = all
        .iter()
        .filter(|damage| damage.what.contains(what))
        .collect();
    assert_eq!(found.len(), 1, "{what:?} in {all:?}");
    found[0].clone()
}

#[test]
fn an_archive_made_by_hand_is_sound() {
    assert_eq!(sound().damage(), []);
}

#[test]
fn paths_that_leave_the_folder() {
    for (path, what) in [
        ("!/etc/passwd", "absolute"),
        ("../x", "component \"..\""),
        ("data/../../x", "component \"..\""),
        ("data/./x", "component \".\""),
        ("data//x", "component \"\""),
        ("data\\..\\x", "character '\\\\'"),
        ("data/C:x", "character ':'"),
        ("data/a\nb", "character '\\n'"),
        ("!other/data/x", "outside the top folder"),
        ("!x", "outside the top folder"),
    ] {
        let mut forged = sound();
        forged.front.push(Raw::file(path, b"x"));
        let damage = the_damage(&forged, what);
        assert_eq!(damage.frame, Some(0));
        let shown = path
            .strip_prefix('!')
            .map_or(format!("bag/{path}"), str::to_owned);
        assert_eq!(damage.path, Some(shown));
    }
}

#[test]
fn a_name_that_is_not_utf_8() {
    let mut forged = sound();
    forged.front.push(Raw {
        path: b"data/\xff".to_vec(),
        ..Raw::file("", b"x")
    });
    the_damage(&forged, "not UTF-8");
}

#[test]
fn links_devices_and_folders() {
    for (kind, what) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Directory, "directory"),
        (EntryType::GNULongName, "GNU long name"),
        (EntryType::GNUSparse, "sparse"),
        (EntryType::XGlobalHeader, "global pax header"),
    ] {
        let mut forged = sound();
        forged.front.insert(
            3,
            Raw {
                kind,
                ..Raw::file("data/link", b"")
            },
        );
        forged.describe();
        let damage = the_damage(&forged, what);
        assert_eq!(damage.path.as_deref(), Some("bag/data/link"), "{kind:?}");
        // The members around it are still checked.
        assert_eq!(forged.damage().len(), 1);
    }
}

#[test]
fn a_member_that_is_there_twice() {
    let mut forged = sound();
    forged.front.push(Raw::file("data/a", b"other"));
    assert_eq!(
        the_damage(&forged, "there twice").path.as_deref(),
        Some("data/a")
    );
}

#[test]
fn members_that_no_manifest_lists_and_lists_without_members() {
    let mut forged = sound();
    forged.front.push(Raw::file("data/extra", b"x"));
    assert_eq!(
        the_damage(&forged, "no manifest").path.as_deref(),
        Some("data/extra")
    );
    assert_eq!(
        the_damage(&forged, "index does not list").path.as_deref(),
        Some("data/extra")
    );

    let mut forged = sound();
    forged.front.retain(|raw| raw.path != b"data/b");
    let damage = the_damage(&forged, "missing");
    assert_eq!(damage.path.as_deref(), Some("data/b"));
    assert_eq!(damage.expected, Some(Digest::of(b"two").to_string()));
}

#[test]
fn a_content_with_another_digest() {
    let mut forged = sound();
    forged.entry("data/a").sha256 = Digest::of(b"not one");
    let damage = the_damage(&forged, "does not have its digest");
    assert_eq!(damage.path.as_deref(), Some("data/a"));
    assert_eq!(damage.frame, Some(0));
    assert_eq!(damage.expected, Some(Digest::of(b"not one").to_string()));
    assert_eq!(damage.actual, Some(Digest::of(b"one").to_string()));
    let archive = open(&forged.build()).unwrap();
    let member = archive.find("data/a").unwrap().unwrap();
    assert!(archive.read(&member).unwrap_err().is_damage());
}

#[test]
fn sizes_and_offsets_that_lie() {
    for (offset, size) in [
        (None, 4),
        (None, u64::MAX),
        (Some(1 << 63), 3),
        (Some(u64::MAX), 3),
        (Some(u64::MAX - 1), 1),
        (Some(0), 1 << 40),
    ] {
        let mut forged = sound();
        let entry = forged.entry("data/a");
        entry.offset = offset.unwrap_or(entry.offset);
        entry.size = size;
        forged.totals = Some((2, 6));
        assert_eq!(
            the_damage(&forged, "places the member elsewhere")
                .path
                .as_deref(),
            Some("data/a")
        );
        let archive = open(&forged.build()).unwrap();
        let member = archive.find("data/a").unwrap().unwrap();
        let mut sink = Vec::new();
        assert!(
            archive.copy(&member, &mut sink).unwrap_err().is_damage(),
            "{member:?}"
        );
        assert!(sink.len() < 100_000);
    }
}

#[test]
fn a_header_whose_size_reaches_over_its_neighbours() {
    for size in [u64::from(u32::MAX), 1 << 34, 600] {
        let mut forged = sound();
        forged.front[3].size = Some(size);
        let damage = forged.damage();
        assert!(
            damage.iter().any(|d| d.path.as_deref() == Some("data/b")),
            "{damage:?}"
        );
    }
}

#[test]
fn entries_that_overlap() {
    let mut forged = sound();
    let (offset, whole) = (
        forged.entry("data/a").offset,
        forged.front.len() as u64 * 2_000,
    );
    let entry = forged.entry("data/b");
    (entry.offset, entry.size) = (offset, 3);
    entry.sha256 = Digest::of(b"one");
    let damage = forged.damage();
    assert!(
        damage.iter().all(|d| d.path.as_deref() == Some("data/b")),
        "{damage:?}"
    );

    // Many entries that all show the same large content: listing ends before it is a bomb.
    let mut forged = sound();
    for i in 0..50 {
        forged.entries.push(Member {
            path: format!("data/bomb/{i}"),
            offset: 0,
            size: whole / 2,
            sha256: Digest::of(b""),
        });
    }
    let archive = open(&forged.build()).unwrap();
    let listed: Result<Vec<Member>, ReadError> = archive.members("data/").unwrap().collect();
    assert!(listed.unwrap_err().to_string().contains("overlap"));
}

/// A sound archive with a table of three parts.
fn with_table() -> Forged {
    let mut forged = Forged::new(&[
        ("data/users/000000.jsonl", "{\"id\":\"1\"}\n"),
        ("data/users/000001.jsonl", "{\"id\":\"2\"}\n"),
        ("data/users/000002.jsonl", "{\"id\":\"3\"}\n"),
        ("data/workspace/content/000000.jsonl", "a user's file\n"),
    ]);
    for number in 0..3 {
        forged.table_part(&format!("data/users/{number:06}.jsonl"));
    }
    forged
}

fn lines(forged: &Forged) -> Result<Vec<String>, ReadError> {
    open(&forged.build())?.lines("data/users")?.collect()
}

#[test]
fn a_table_of_a_sound_archive_is_read() {
    assert_eq!(with_table().damage(), []);
    assert_eq!(lines(&with_table()).unwrap().len(), 3);
}

#[test]
fn parts_of_tables_that_repeat_cross_or_overlap_are_refused() {
    type Change = fn(&mut Vec<TablePart>);
    let changes: [(&str, Change); 7] = [
        ("not in order", |tables| {
            *tables = vec![tables[0].clone(); 2_000];
        }),
        ("not in order", |tables| tables.swap(0, 1)),
        ("overlap", |tables| tables[1].offset = tables[0].offset),
        ("overlap", |tables| tables[0].length += 2_048),
        ("overlap", |tables| tables[2].length = u64::MAX),
        ("keys of a table", |tables| {
            tables[0].first = Some("2".to_owned());
            tables[1].first = Some("1".to_owned());
            tables[2].first = Some("3".to_owned());
        }),
        ("that no part of a table has", |tables| {
            tables[2].path = "data/workspace/content/000000.jsonl".to_owned();
        }),
    ];
    for (what, change) in changes {
        let mut forged = with_table();
        change(&mut forged.tables);
        let error = open(&forged.build()).unwrap_err();
        assert!(
            error.is_damage() && error.to_string().contains(what),
            "{what}: {error}"
        );
    }
}

#[test]
fn parts_of_tables_that_the_index_places_elsewhere() {
    type Change = fn(&mut TablePart);
    let changes: [Change; 4] = [
        |part| part.offset += 1,
        |part| part.length -= 1,
        |part| part.sha256 = Digest::of(b"other"),
        // Both the root and the content that it points to are consistent, but it is another member.
        |part| part.path = "data/users/000009.jsonl".to_owned(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut forged = with_table();
        change(&mut forged.tables[2]);
        let error = lines(&forged).unwrap_err();
        assert!(
            error.is_damage() && error.to_string().contains("do not agree"),
            "change {number}: {error}"
        );
        let damage = the_damage(&forged, "do not agree");
        assert_eq!(damage.path.as_deref(), Some("data/users/000002.jsonl"));
    }
}

#[test]
fn parts_of_tables_that_only_the_root_or_only_the_bag_has() {
    let mut forged = with_table();
    forged.tables.pop();
    let damage = the_damage(&forged, "do not agree");
    assert_eq!(damage.path.as_deref(), Some("data/users/000002.jsonl"));
    assert_eq!(damage.actual.as_deref(), Some("nothing"));
    assert_eq!(forged.damage().len(), 1);
    assert!(lines(&forged).unwrap_err().is_damage());

    let mut forged = with_table();
    forged.tables.clear();
    assert_eq!(forged.damage().len(), 3);
    assert!(lines(&forged).unwrap_err().is_damage());

    let mut forged = with_table();
    let mut extra = forged.tables[2].clone();
    extra.path = "data/users/000003.jsonl".to_owned();
    extra.offset += 512;
    forged.tables.push(extra);
    let damage = the_damage(&forged, "missing");
    assert_eq!(damage.path.as_deref(), Some("data/users/000003.jsonl"));
    assert_eq!(forged.damage().len(), 1);
    assert!(lines(&forged).unwrap_err().is_damage());
}

#[test]
fn a_first_key_that_lies_hides_no_line() {
    let mut forged = with_table();
    for (part, first) in forged.tables.iter_mut().zip(["1", "2", "25"]) {
        part.first = Some(first.to_owned());
    }
    let archive = open(&forged.build()).unwrap();
    assert!(archive.find_line("data/users", "2").unwrap().is_some());
    let error = archive.find_line("data/users", "3").unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("another key"),
        "{error}"
    );
}

#[test]
fn totals_that_lie() {
    let mut forged = sound();
    forged.totals = Some((3, 6));
    let damage = the_damage(&forged, "other totals");
    assert_eq!(damage.expected.as_deref(), Some("3 members, 6 bytes"));
    assert_eq!(damage.actual.as_deref(), Some("2 members, 6 bytes"));

    let mut forged = sound();
    forged.entry_count = Some(7);
    let damage = the_damage(&forged, "another number of entries");
    assert_eq!(damage.expected.as_deref(), Some("7"));
    // Two of payload, three tag files and the manifest.
    assert_eq!(damage.actual.as_deref(), Some("6"));
}

#[test]
fn a_bag_that_wants_to_be_fetched() {
    let mut forged = sound();
    forged.front.push(Raw::file(
        "fetch.txt",
        b"http://example.invalid/x 3 data/x\n",
    ));
    forged.describe();
    assert_eq!(
        the_damage(&forged, "fetched").path.as_deref(),
        Some("fetch.txt")
    );
}

#[test]
fn bytes_behind_the_end_of_the_tar() {
    let mut forged = sound();
    forged.after_end = b"hidden".to_vec();
    the_damage(&forged, "bytes follow the end");
}

#[test]
fn index_paths_that_leave_the_folder() {
    let mut forged = sound();
    forged.entries.push(Member {
        path: "data/../../x".to_owned(),
        offset: 0,
        size: 0,
        sha256: Digest::of(b""),
    });
    let archive = open(&forged.build()).unwrap();
    let error = archive.find("data/a").unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains(".."),
        "{error}"
    );
}

#[test]
fn versions() {
    let mut forged = sound();
    forged.version = "0.12".to_owned();
    let report = verify(&forged.build());
    // A higher minor is read; only the header was not changed with it.
    assert_eq!(report.damaged, 1);
    assert!(report.damage[0].what.contains("another version"));

    forged.version = "3.1".to_owned();
    let error = open(&forged.build()).unwrap_err();
    assert!(error.is_not_archive() && !error.is_damage());
    let text = error.to_string();
    assert!(
        text.contains("version 3.1") && text.contains("3.0 or later"),
        "{text}"
    );
}

#[test]
fn unknown_members_are_kept() {
    let mut forged = sound();
    forged.front.push(Raw::file("tomorrow/x.json", b"{}"));
    forged.front.push(Raw::file("data/tomorrow/y", b"y"));
    forged.describe();
    assert_eq!(forged.damage(), []);
    let archive = open(&forged.build()).unwrap();
    let member = archive.find("data/tomorrow/y").unwrap().unwrap();
    assert_eq!(archive.read(&member).unwrap(), b"y");
}

/// A frame that claims more than it may is refused before memory is taken.
#[test]
fn frames_that_claim_too_much() {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    for parameter in [CParameter::ChecksumFlag(true), CParameter::WindowLog(26)] {
        compressor.set_parameter(parameter).unwrap();
    }
    let bomb = compressor.compress(&vec![0; 40 << 20]).unwrap();
    assert!(bomb.len() < 10_000);
    let mut table = zeekstd::SeekTable::new();
    let tail = compress(&[1; 600]);
    table.log_frame(bomb.len() as u32, 1 << 20).unwrap();
    table.log_frame(tail.len() as u32, 600).unwrap();
    let mut file = bomb.clone();
    file.extend_from_slice(&tail);
    file.extend(seek_table(table));
    assert!(open(&file).is_err());

    // As a first frame of an otherwise sound archive.
    let sound = sound().build();
    let front = zstd::zstd_safe::find_frame_compressed_size(&sound).unwrap();
    let table_at = sound.len() - 17 - 8 * 3;
    let mut table = zeekstd::SeekTable::new();
    table.log_frame(bomb.len() as u32, 2 << 20).unwrap();
    let mut at = front;
    while at < table_at {
        let len = zstd::zstd_safe::find_frame_compressed_size(&sound[at..]).unwrap();
        let size = zstd::zstd_safe::get_frame_content_size(&sound[at..])
            .unwrap()
            .unwrap();
        table.log_frame(len as u32, size as u32).unwrap();
        at += len;
    }
    let mut file = bomb;
    file.extend_from_slice(&sound[front..table_at]);
    file.extend(seek_table(table));
    let report = verify(&file);
    let claims = |damage: &Damage| {
        damage.frame == Some(0) && damage.what.contains("larger than a frame may be")
    };
    assert!(report.damage.iter().any(claims), "{:?}", report.damage);
}

#[test]
fn a_frame_count_that_lies() {
    let mut file = sound().build();
    let at = file.len() - 9;
    for frames in [0u32, 1, 4, 1 << 27, u32::MAX] {
        file[at..at + 4].copy_from_slice(&frames.to_le_bytes());
        let error = open(&file).unwrap_err();
        assert!(error.is_damage(), "{frames}: {error}");
    }
}

#[test]
fn salvage_hands_on_no_path_that_leaves_the_folder() {
    let mut forged = sound();
    forged.front.push(Raw::file("../x", b"x"));
    forged.front.push(Raw {
        kind: EntryType::Symlink,
        ..Raw::file("data/link", b"")
    });
    let file = forged.build();
    let mut paths = Vec::new();
    let report = salvage(&file, &mut |event| {
        if let SalvageEvent::Begin { path, .. } = event {
            paths.push(path.to_owned());
        }
        Ok(())
    })
    .unwrap();
    assert!(report.complete);
    assert_eq!(report.damage.len(), 2);
    assert!(paths.contains(&"data/b".to_owned()));
    assert!(
        paths
            .iter()
            .all(|path| !path.contains("..") && path != "data/link")
    );
}
