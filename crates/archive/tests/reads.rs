//! What a read costs: one object of a 100,000-object archive in one length request and at most four reads.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::*;
use lifeboat_archive::*;

fn counted(bytes: Vec<u8>) -> (Archive, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let source = Counting {
        bytes,
        calls: Arc::clone(&calls),
    };
    (Archive::from_source(Box::new(source)).unwrap(), calls)
}

#[test]
fn one_object_of_100_000() {
    let mut writer = writer(2);
    let texts: Vec<Vec<u8>> = (0..64).map(|i| content(i, 300 + 20 * i as usize)).collect();
    let path = |i: usize| {
        format!(
            "data/workspace/content/Users/user{:03}@example.com/notebook-{i:06}.py",
            i % 400
        )
    };
    for i in 0..100_000 {
        let mut text = texts[i % texts.len()].clone();
        text.extend_from_slice(i.to_string().as_bytes());
        writer.add(&path(i), Content::Bytes(text)).unwrap();
    }
    let (bytes, _) = finish(writer);
    for i in [0, 54_321, 99_999] {
        let (archive, calls) = counted(bytes.clone());
        let member = archive.find(&path(i)).unwrap().unwrap();
        let text = archive.read(&member).unwrap();
        assert!(text.ends_with(i.to_string().as_bytes()));
        let (sizes, reads, read) = (&calls.sizes, &calls.reads, &calls.bytes);
        assert_eq!(sizes.load(Ordering::Relaxed), 1);
        assert!(
            reads.load(Ordering::Relaxed) <= 4,
            "{} reads",
            reads.load(Ordering::Relaxed)
        );
        assert!(
            read.load(Ordering::Relaxed) <= 4 << 20,
            "{} bytes",
            read.load(Ordering::Relaxed)
        );
    }
}

#[test]
fn members_in_path_order_share_frames_and_pages() {
    let members: Vec<(String, Vec<u8>)> = (0..1_000)
        .map(|i| (format!("data/{i:05}"), content(i, 3_000)))
        .collect();
    let (bytes, _) = archive_of(&members, 2);
    let (archive, calls) = counted(bytes);
    for member in archive.members("data/").unwrap() {
        archive.read(&member.unwrap()).unwrap();
    }
    // Three frames of payload, two pages, and the opening.
    let reads = calls.reads.load(Ordering::Relaxed);
    assert!(reads <= 8, "{reads} reads for 1000 members");
}

#[test]
fn a_small_archive_is_opened_with_one_read() {
    let (_, calls) = counted(small());
    assert_eq!(calls.sizes.load(Ordering::Relaxed), 1);
    assert_eq!(calls.reads.load(Ordering::Relaxed), 1);
}

/// A source that answers a few bytes at a time is slow, not wrong.
struct Stingy(Vec<u8>);

impl ReadAt for Stingy {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = buf.len().min(7);
        self.0.read_at(offset, &mut buf[..count])
    }

    fn name(&self) -> String {
        "stingy".to_owned()
    }
}

#[test]
fn short_answers_are_put_together() {
    let archive = Archive::from_source(Box::new(Stingy(small()))).unwrap();
    assert!(archive.verify(&mut |_, _| {}).unwrap().is_intact());
}
