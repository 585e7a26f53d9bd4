//! Verifying an archive part by part.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_archive::{
    Archive, Content, Header, Inventory, Scope, Source, Summary, Writer, WriterOptions,
};
use lifeboat_inspect::{Part, verify_part};

const MEMBERS: usize = 40;
const SIZE: usize = 200_000;

/// Forty members of 200 kB that do not compress: eight blocks in several frames.
fn bytes() -> Vec<u8> {
    let started = "2026-11-22T01:00:00Z".parse().unwrap();
    let source = Source {
        host: "host".to_owned(),
        workspace_id: "1".to_owned(),
        cloud: "azure".to_owned(),
    };
    let options = serde_json::json!({});
    let header = Header::new(
        "test".to_owned(),
        source,
        started,
        Scope::Workspace,
        options,
    );
    let options = WriterOptions {
        bag: "bag".to_owned(),
        level: 1,
        threads: 1,
        spill_dir: None,
    };
    let mut writer = Writer::create(Vec::new(), options, &header).unwrap();
    let mut state = 7_u64;
    for member in 0..MEMBERS {
        let next = || {
            // A random sequence of its own: the content only must not compress.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let content = std::iter::repeat_with(next).take(SIZE).collect();
        let path = format!("data/workspace/content/{member:02}");
        writer.add(&path, Content::Bytes(content)).unwrap();
    }
    let summary = Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: BTreeMap::new(),
    };
    writer.finish(&summary, started).unwrap().0
}

#[test]
fn every_member_has_its_turn_once_and_the_parts_are_alike() {
    let archive = Archive::from_source(Box::new(bytes())).unwrap();
    let all = verify_part(&archive, Part::of_day(1.0, 3), &mut |_| {}).unwrap();
    assert!(
        all.members > MEMBERS as u64 && all.read == all.members,
        "{all:?}"
    );
    let mut read = 0;
    for day in 0..4 {
        let sampled = verify_part(&archive, Part::of_day(0.25, day), &mut |_| {}).unwrap();
        assert_eq!(sampled.members, all.members);
        assert!(
            sampled.bytes <= all.bytes / 4 + 2 * (1 << 20),
            "{sampled:?}"
        );
        read += sampled.read;
    }
    assert_eq!(read, all.members);
}

#[test]
fn damage_is_found_on_exactly_the_day_of_its_part() {
    let mut damaged = bytes();
    // In the middle of the contents, before the index.
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    let archive = Archive::from_source(Box::new(damaged)).unwrap();
    let mut found = BTreeSet::new();
    for day in 0..4 {
        match verify_part(&archive, Part::of_day(0.25, day), &mut |_| {}) {
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                found.insert(day);
            }
        }
    }
    // A frame may lie in two blocks.
    assert!((1..=2).contains(&found.len()), "{found:?}");
}
