//! What can be saved from a file that lost its tail or a part.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::*;
use lifeboat_archive::*;

/// Complete members and the report.
fn save(bytes: &Vec<u8>) -> (BTreeMap<String, Vec<u8>>, SalvageReport) {
    let mut saved = BTreeMap::new();
    let mut current = (String::new(), Vec::new());
    let report = salvage(bytes, &mut |event| {
        match event {
            SalvageEvent::Begin { path, .. } => current = (path.to_owned(), Vec::new()),
            SalvageEvent::Data(part) => current.1.extend_from_slice(part),
            SalvageEvent::End { sha256 } => {
                assert_eq!(sha256, Digest::of(&current.1));
                let (path, content) = std::mem::take(&mut current);
                saved.insert(path, content);
            }
            SalvageEvent::Lost => current = Default::default(),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(report.members, saved.len() as u64);
    (saved, report)
}

fn members() -> Vec<(String, Vec<u8>)> {
    let mut members: Vec<(String, Vec<u8>)> = (0..8)
        .map(|i| (format!("data/{i}"), content(i, 600_000)))
        .collect();
    members.insert(4, ("data/large".to_owned(), content(99, 5 << 20)));
    members
}

#[test]
fn a_whole_file_is_saved_whole() {
    let (bytes, sealed) = archive_of(&members(), 2);
    let (saved, report) = save(&bytes);
    assert!(report.complete);
    assert_eq!(report.damage, []);
    assert_eq!(report.members, sealed.members);
    for (path, content) in members() {
        assert!(saved[&path] == content, "{path}");
    }
}

#[test]
fn a_file_without_its_tail_gives_every_member_that_is_there() {
    let (bytes, _) = archive_of(&members(), 2);
    for cut in [10, bytes.len() / 4, bytes.len() / 2, bytes.len() - 3_000] {
        let (saved, report) = save(&bytes[..cut].to_vec());
        assert!(!report.complete, "cut at {cut}");
        assert!(report.readable <= cut as u64);
        for (path, content) in members() {
            if let Some(found) = saved.get(&path) {
                assert!(*found == content, "{path}");
            }
        }
    }
    let (saved, _) = save(&bytes[..bytes.len() / 2].to_vec());
    assert!(saved.len() > 3, "{:?}", saved.keys());
}

#[test]
fn after_a_hole_the_next_frame_is_found() {
    let (mut bytes, _) = archive_of(&members(), 2);
    let second = zstd::zstd_safe::find_frame_compressed_size(&bytes).unwrap();
    bytes[second..second + 1_000].fill(0xaa);
    let (saved, report) = save(&bytes);
    assert!(report.complete);
    assert!(!report.damage.is_empty());
    assert!(!saved.contains_key("data/0"));
    for path in ["bagit.txt", "data/7", "data/large", "manifest-sha256.txt"] {
        assert!(
            saved.contains_key(path),
            "{path} is lost: {:?}",
            saved.keys()
        );
    }
}

/// A stored tar inside a large member must not be taken for members of the archive.
#[test]
fn a_tar_inside_a_large_member_stays_inside() {
    let mut inner = Vec::new();
    while inner.len() < 9 << 20 {
        let mut header = tar::Header::new_ustar();
        header.set_path("other/evil").unwrap();
        header.set_size(0);
        header.set_cksum();
        inner.extend_from_slice(header.as_bytes());
    }
    let (mut bytes, _) = archive_of(&[("data/inner.tar", inner)], 1);
    let second = zstd::zstd_safe::find_frame_compressed_size(&bytes).unwrap();
    bytes[second] ^= 1;
    let (saved, report) = save(&bytes);
    assert!(report.complete);
    assert!(
        saved.keys().all(|path| !path.contains("evil")),
        "{:?}",
        saved.keys()
    );
}

#[test]
fn a_receiver_that_refuses_ends_the_salvage() {
    let (bytes, _) = archive_of(&members(), 2);
    let result = salvage(&bytes, &mut |_| Err(std::io::ErrorKind::StorageFull.into()));
    assert!(matches!(result, Err(ReadError::Output { .. })));
}
