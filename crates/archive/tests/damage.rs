//! Damage is found and placed, wherever it is: every flipped byte, every cut, frame by frame.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use common::*;
use lifeboat_archive::*;
use proptest::prelude::*;

/// Opens and verifies; what is wrong, or how opening failed.
fn examine(bytes: Vec<u8>) -> Result<VerifyReport, ReadError> {
    Archive::from_source(Box::new(bytes))?.verify(&mut |_, _| {})
}

fn is_placed(damage: &Damage) -> bool {
    damage.path.is_some() || damage.frame.is_some() || damage.offset.is_some()
}

#[test]
fn every_flipped_byte_is_found_and_placed() {
    let good = small();
    assert!(examine(good.clone()).unwrap().is_intact());
    for at in 0..good.len() {
        // Another bit of each byte, and all of them.
        for mask in [1 << (at % 8), 0xff] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            match examine(bad) {
                Ok(report) => {
                    assert!(!report.is_intact(), "byte {at} ^ {mask:#x} went unseen");
                    assert!(report.damage.iter().all(is_placed), "{:?}", report.damage);
                }
                Err(ReadError::Damaged { damage, .. }) => assert!(is_placed(&damage), "{damage:?}"),
                Err(ReadError::Truncated { .. }) => {}
                // The first four bytes are what tells an archive from anything else, but only without a tail.
                Err(error) => panic!("byte {at} ^ {mask:#x}: {error}"),
            }
        }
    }
}

#[test]
fn every_truncation_is_found_and_says_where_the_file_ends() {
    let good = small();
    for len in 1..good.len() {
        match examine(good[..len].to_vec()) {
            Err(error @ ReadError::Truncated { at, .. }) => {
                assert_eq!(at, len as u64);
                assert!(error.is_damage() && !error.is_not_archive());
            }
            other => panic!("cut at {len}: {other:?}"),
        }
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(examine(longer).is_err());
}

#[test]
fn what_is_no_archive_is_told_from_what_is_damaged() {
    let is_foreign = |bytes: Vec<u8>, reason: &str| match examine(bytes) {
        Err(ReadError::NotAnArchive { reason: found, .. }) => {
            assert!(found.contains(reason), "{found}")
        }
        other => panic!("{reason}: {other:?}"),
    };
    is_foreign(
        b"PK\x03\x04 something else".to_vec(),
        "does not begin with a zstd frame",
    );
    let encrypted = examine(b"age-encryption.org/v1\n-> X25519".to_vec());
    assert!(
        matches!(&encrypted, Err(error @ ReadError::Encrypted { .. }) if error.is_not_archive()),
        "{encrypted:?}"
    );
    is_foreign(compress(&[b'x'; 5_000]), "holds no bag");
    is_foreign(compress(&content(1, 400_000)), "holds no bag");
    is_foreign(pack(&[vec![1; 600], vec![2; 600]]), "holds no bag");
    let mut with_tail = vec![0; 100];
    with_tail.extend_from_slice(&small()[100..]);
    is_foreign_or_damaged(with_tail);
    is_foreign(Vec::new(), "the file is empty");
}

/// A file with our tail and another head is ours, damaged.
fn is_foreign_or_damaged(bytes: Vec<u8>) {
    let report = examine(bytes).unwrap();
    assert!(!report.is_intact());
}

/// An archive of three frames of payload, and the places of all its frames.
fn three_frames() -> (Vec<u8>, Vec<(usize, usize)>) {
    let members: Vec<(String, Vec<u8>)> = (0..6)
        .map(|i| (format!("data/{i}"), content(i, 700_000)))
        .collect();
    let (bytes, _) = archive_of(&members, 2);
    let mut places = Vec::new();
    let mut at = 0;
    while bytes[at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let len = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]).unwrap();
        places.push((at, len));
        at += len;
    }
    (bytes, places)
}

fn paths(report: &VerifyReport) -> Vec<&str> {
    report
        .damage
        .iter()
        .filter_map(|damage| damage.path.as_deref())
        .collect()
}

/// The matrix: each frame in turn, flipped, zeroed or replaced, and what verification says about it.
#[test]
fn damage_by_region() {
    let (good, places) = three_frames();
    // Header, three frames of two members, manifest, summary, page, last frame.
    assert_eq!(places.len(), 8, "{places:?}");
    let expected: [&[&str]; 7] = [
        &["bagit.txt", "lifeboat.json"],
        &["data/0", "data/1"],
        &["data/2", "data/3"],
        &["data/4", "data/5"],
        &["manifest-sha256.txt"],
        &["summary.json"],
        &["index/000000.jsonl"],
    ];
    for (frame, expected) in expected.iter().enumerate() {
        let (at, len) = places[frame];
        for action in ["flip", "zero", "magic"] {
            let mut bad = good.clone();
            match action {
                "flip" => bad[at + len / 2] ^= 0x10,
                "zero" => bad[at..at + len].fill(0),
                _ => bad[at] = 0,
            }
            let report = examine(bad).unwrap();
            let mut found = paths(&report);
            found.sort_unstable();
            assert_eq!(
                found, *expected,
                "{action} in frame {frame}: {:?}",
                report.damage
            );
            for damage in &report.damage {
                assert_eq!(damage.frame, Some(frame as u64));
                assert_eq!(damage.offset, Some(at as u64));
                assert!(damage.expected.is_some());
            }
            // Everything else was still checked.
            assert_eq!(
                report.intact + expected.len() as u64,
                14,
                "{action} in frame {frame}"
            );
        }
    }
}

#[test]
fn a_damaged_last_frame_or_seek_table_is_placed_when_opening() {
    let (good, places) = three_frames();
    let (last, len) = *places.last().unwrap();
    let at = |bytes: Vec<u8>| match examine(bytes) {
        Err(ReadError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    let mut bad = good.clone();
    bad[last + len / 2] ^= 1;
    let damage = at(bad);
    assert_eq!((damage.frame, damage.offset), (Some(7), Some(last as u64)));
    let table = last + len;
    for byte in [
        table,
        table + 4,
        table + 8,
        good.len() - 9,
        good.len() - 5,
        good.len() - 1,
    ] {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        let damage = at(bad);
        let offset = damage.offset.unwrap() as usize;
        assert!(offset >= table, "byte {byte} of {table}..: {damage:?}");
    }
}

#[test]
fn a_wrong_size_in_the_seek_table_is_placed_there_and_nothing_else_is_lost() {
    let (good, places) = three_frames();
    let (last, len) = *places.last().unwrap();
    let entry = last + len + 8 + 8 * 2 + 4;
    let mut bad = good.clone();
    bad[entry] ^= 1;
    let report = examine(bad).unwrap();
    let sizes: Vec<&Damage> = report
        .damage
        .iter()
        .filter(|d| d.what.contains("seek table"))
        .collect();
    assert_eq!(sizes.len(), 1);
    assert_eq!(
        (sizes[0].frame, sizes[0].offset),
        (Some(2), Some(entry as u64))
    );
}

/// Sizes in the seek table that lie place what was found intact elsewhere, or nowhere: all of it is reported.
#[test]
fn no_size_in_the_seek_table_keeps_the_report_from_being_made() {
    let good = small();
    // Nine bytes of footer, before it eight for each frame: the stored size, then the size.
    let footer = good.len() - 9;
    let frames = u32::from_le_bytes(good[footer..footer + 4].try_into().unwrap()) as usize;
    let lie = |bytes: &mut Vec<u8>, frame: usize, size: u32| {
        let at = footer - 8 * (frames - frame) + 4;
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
    };
    let mut opened = 0;
    let mut nowhere = 0;
    let mut all = good.clone();
    for frame in 0..frames - 1 {
        lie(&mut all, frame, 1);
        let mut each = vec![all.clone()];
        // Those that are no whole blocks of tar, and those that are.
        for size in (0..64).flat_map(|blocks| [blocks * 512, blocks * 512 + 7]) {
            let mut bad = good.clone();
            lie(&mut bad, frame, size);
            each.push(bad);
        }
        for bad in each {
            let Ok(archive) = open(&bad) else { continue };
            opened += 1;
            let report = archive.verify(&mut |_, _| {}).unwrap();
            assert_eq!(report.is_intact(), bad == good);
            let beyond = |damage: &Damage| damage.what.contains("beyond the end");
            nowhere += usize::from(report.damage.iter().any(beyond));
        }
    }
    assert!(opened > 100 && nowhere > 0, "{opened}, {nowhere}");
}

#[test]
fn a_broken_frame_that_lies_of_its_size_does_not_move_what_follows() {
    let (good, places) = three_frames();
    let (second, len) = places[1];
    let mut bad = good.clone();
    // The size stands behind the magic number and one byte of flags.
    bad[second + 6] ^= 1;
    bad[second + len / 2] ^= 1;
    let report = examine(bad).unwrap();
    let elsewhere = |damage: &&Damage| damage.what.contains("elsewhere");
    assert_eq!(report.damage.iter().find(elsewhere), None);
    assert!(!report.damage.is_empty());
    assert!(
        report.damage.iter().all(|damage| damage.frame == Some(1)),
        "{report:?}"
    );
}

#[test]
fn a_large_member_with_a_hole_does_not_hide_what_follows() {
    let large = content(9, 7 << 20);
    let members = [
        ("data/a", b"small".to_vec()),
        ("data/b", large),
        ("data/c", b"behind".to_vec()),
    ];
    let (good, _) = archive_of(&members, 2);
    // The third frame is the second of the large member.
    let mut at = 0;
    for _ in 0..3 {
        at += zstd::zstd_safe::find_frame_compressed_size(&good[at..]).unwrap();
    }
    let mut bad = good;
    bad[at + 1_000] ^= 1;
    let report = examine(bad.clone()).unwrap();
    assert_eq!(paths(&report), ["data/b"]);
    assert_eq!(
        (report.damage[0].frame, report.damage[0].offset),
        (Some(3), Some(at as u64))
    );
    // Reading finds the same place, and its neighbours are read as if nothing had happened.
    let archive = open(&bad).unwrap();
    let read = |path: &str| archive.read(&archive.find(path).unwrap().unwrap());
    assert_eq!(read("data/c").unwrap(), b"behind");
    match read("data/b") {
        Err(ReadError::Damaged { damage, .. }) => {
            assert_eq!(
                (damage.frame, damage.path.as_deref()),
                (Some(3), Some("data/b"))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn progress_goes_to_the_end() {
    let (good, _) = three_frames();
    let mut last = (0, 0);
    let archive = open(&good).unwrap();
    archive
        .verify(&mut |done, total| {
            assert!(done > last.0 && done <= total);
            last = (done, total);
        })
        .unwrap();
    assert_eq!(last.0, last.1);
    assert!(last.1 < good.len() as u64 && last.1 > 1_000);
}

/// A source that fails at one place: not damage, but the failure itself.
struct Failing(Vec<u8>);

impl ReadAt for Failing {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        if offset < 200_000 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        self.0.read_at(offset, buf)
    }

    fn name(&self) -> String {
        "failing".to_owned()
    }
}

#[test]
fn a_source_that_fails_is_not_damage() {
    let (good, _) = three_frames();
    let archive = Archive::from_source(Box::new(Failing(good))).unwrap();
    let error = archive.verify(&mut |_, _| {}).unwrap_err();
    assert!(
        matches!(error, ReadError::Io { offset: 0, .. }),
        "{error:?}"
    );
    assert!(!error.is_damage());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to the bytes: an answer, never a panic or a hang, and what is read is what was written.
    #[test]
    fn any_change_is_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..60)), 0..4),
        removed in prop::option::of((any::<prop::sample::Index>(), 1usize..200)),
    ) {
        let good = small();
        let mut bytes = good.clone();
        for (at, new) in edits {
            let at = at.index(bytes.len());
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        if let Some((at, count)) = removed {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        let whole = bytes == good;
        salvage(&bytes, &mut |_| Ok(())).unwrap();
        match open(&bytes) {
            Ok(archive) => {
                let report = archive.verify(&mut |_, _| {}).unwrap();
                prop_assert_eq!(report.is_intact(), whole);
                if let Ok(Some(member)) = archive.find("data/jobs/7.json")
                    && let Ok(content) = archive.read(&member)
                {
                    prop_assert_eq!(content, b"{\"job\":7}\n");
                }
            }
            Err(_) => prop_assert!(!whole),
        }
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..600), ours in any::<bool>()) {
        if ours && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        }
        prop_assert!(open(&bytes).is_err());
        salvage(&bytes, &mut |_| Ok(())).unwrap();
    }
}
