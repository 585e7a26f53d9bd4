//! Archives for tests: made by the writer, or by hand where the writer would refuse.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part, and fails where a helper fails"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_archive::*;

pub const STARTED: &str = "2026-11-22T01:00:00Z";
pub const FINISHED: &str = "2026-11-22T01:10:00Z";

pub fn header() -> Header {
    let source = Source {
        host: "adb-1.0.azuredatabricks.net".to_owned(),
        workspace_id: "1".to_owned(),
        cloud: "azure".to_owned(),
    };
    Header::new(
        "lifeboat-test 0.9".to_owned(),
        source,
        STARTED.parse().unwrap(),
        Scope::Workspace,
        serde_json::json!({}),
    )
}

pub fn summary() -> Summary {
    Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: Default::default(),
    }
}

pub fn options(threads: usize) -> WriterOptions {
    WriterOptions {
        bag: "bag".to_owned(),
        level: 3,
        threads,
        spill_dir: None,
    }
}

pub fn writer(threads: usize) -> Writer<Vec<u8>> {
    Writer::create(Vec::new(), options(threads), &header()).unwrap()
}

pub fn finish(writer: Writer<Vec<u8>>) -> (Vec<u8>, Sealed) {
    writer
        .finish(&summary(), FINISHED.parse().unwrap())
        .unwrap()
}

/// An archive of these payload members.
pub fn archive_of<P: AsRef<str>>(members: &[(P, Vec<u8>)], threads: usize) -> (Vec<u8>, Sealed) {
    let mut writer = writer(threads);
    for (path, content) in members {
        writer
            .add(path.as_ref(), Content::Bytes(content.clone()))
            .unwrap();
    }
    finish(writer)
}

/// A small archive with several members, a table and tag files.
pub fn small() -> Vec<u8> {
    let mut writer = writer(2);
    for (path, content) in [
        ("data/jobs/7.json", "{\"job\":7}\n"),
        ("data/workspace/content/nb.py", "print(1)\n"),
    ] {
        writer
            .add(path, Content::Bytes(content.as_bytes().to_vec()))
            .unwrap();
    }
    let mut table = TableWriter::new("data/users");
    table.push(&mut writer, r#"{"id":"1"}"#).unwrap();
    table.push(&mut writer, r#"{"id":"2"}"#).unwrap();
    table.finish(&mut writer).unwrap();
    writer
        .add_tag("run.json", Content::Bytes(b"{}\n".to_vec()))
        .unwrap();
    finish(writer).0
}

pub fn open(bytes: &[u8]) -> Result<Archive, ReadError> {
    Archive::from_source(Box::new(bytes.to_vec()))
}

pub fn verify(bytes: &[u8]) -> VerifyReport {
    open(bytes).unwrap().verify(&mut |_, _| {}).unwrap()
}

/// Content that compresses neither away nor not at all, the same for the same seed.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(format!("{:x} ", state % 65_521).as_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What a counted source was asked for.
#[derive(Default)]
pub struct Calls {
    pub sizes: AtomicU64,
    pub reads: AtomicU64,
    pub bytes: AtomicU64,
}

/// A source that counts its calls.
pub struct Counting {
    pub bytes: Vec<u8>,
    pub calls: Arc<Calls>,
}

impl ReadAt for Counting {
    fn size(&self) -> io::Result<u64> {
        self.calls.sizes.fetch_add(1, Ordering::Relaxed);
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.calls.reads.fetch_add(1, Ordering::Relaxed);
        let count = self.bytes.read_at(offset, buf)?;
        self.calls.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn name(&self) -> String {
        "counted".to_owned()
    }
}

/// One member of an archive that is made by hand.
#[derive(Clone)]
pub struct Raw {
    pub path: Vec<u8>,
    pub kind: tar::EntryType,
    pub content: Vec<u8>,
    /// The size in the header, when it lies.
    pub size: Option<u64>,
}

impl Raw {
    pub fn file(path: &str, content: &[u8]) -> Self {
        Self {
            path: path.as_bytes().to_vec(),
            kind: tar::EntryType::Regular,
            content: content.to_vec(),
            size: None,
        }
    }

    fn append(&self, out: &mut Vec<u8>) {
        let mut path = b"bag/".to_vec();
        path.extend_from_slice(&self.path);
        if self.path.starts_with(b"!") {
            // Outside the top folder.
            path = self.path[1..].to_vec();
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(self.kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(&path);
        header.set_size(self.size.unwrap_or(self.content.len() as u64));
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
}

/// An archive that is made by hand, from front members to the last frame.
///
/// The index and the manifests describe `front` as it is, unless a test changes them.
#[derive(Clone)]
pub struct Forged {
    pub front: Vec<Raw>,
    /// What manifest and index say in place of the truth.
    pub entries: Vec<Member>,
    pub version: String,
    pub totals: Option<(u64, u64)>,
    /// The number of entries in the root, when it lies.
    pub entry_count: Option<usize>,
    /// The parts of tables in the root.
    pub tables: Vec<TablePart>,
    /// Bytes that follow the two zero blocks at the end of the tar.
    pub after_end: Vec<u8>,
}

impl Forged {
    /// A sound archive of these payload members.
    pub fn new(payload: &[(&str, &str)]) -> Self {
        let mut front = vec![
            Raw::file(
                "bagit.txt",
                b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
            ),
            Raw::file("lifeboat.json", &serde_json::to_vec(&header()).unwrap()),
            Raw::file("summary.json", &serde_json::to_vec(&summary()).unwrap()),
        ];
        front.extend(
            payload
                .iter()
                .map(|(path, content)| Raw::file(path, content.as_bytes())),
        );
        let mut forged = Self {
            front,
            entries: Vec::new(),
            version: "0.9".to_owned(),
            totals: None,
            entry_count: None,
            tables: Vec::new(),
            after_end: Vec::new(),
        };
        forged.describe();
        forged
    }

    /// Takes the entries from the members as they are.
    pub fn describe(&mut self) {
        self.entries.clear();
        let mut out = Vec::new();
        for raw in &self.front {
            let offset = out.len() as u64 + 512;
            raw.append(&mut out);
            if raw.kind == tar::EntryType::Regular
                && let Ok(path) = String::from_utf8(raw.path.clone())
            {
                self.entries.push(Member {
                    path,
                    offset,
                    size: raw.content.len() as u64,
                    sha256: Digest::of(&raw.content),
                });
            }
        }
        self.entries.sort();
        self.entries.dedup_by(|a, b| a.path == b.path);
    }

    /// Lists the member at `path` in the root, as it is, as a part of a table.
    pub fn table_part(&mut self, path: &str) {
        let member = self.entry(path).clone();
        self.tables.push(TablePart {
            path: member.path,
            first: None,
            lines: 1,
            offset: member.offset,
            length: member.size,
            sha256: member.sha256,
        });
    }

    pub fn entry(&mut self, path: &str) -> &mut Member {
        self.entries
            .iter_mut()
            .find(|entry| entry.path == path)
            .unwrap()
    }

    /// The archive file.
    pub fn build(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut tar = Vec::new();
        self.front.iter().for_each(|raw| raw.append(&mut tar));
        let manifest: String = self.lines(|path| path.starts_with("data/"));
        let mut entries = self.entries.clone();
        entries.push(member_at(
            "manifest-sha256.txt",
            tar.len(),
            manifest.as_bytes(),
        ));
        Raw::file("manifest-sha256.txt", manifest.as_bytes()).append(&mut tar);
        let mut start = tar.len();
        frames.push(std::mem::take(&mut tar));

        entries.sort();
        let page: String = entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        let first = entries[0].path.clone();
        let page_entry = member_at("index/000000.jsonl", start, page.as_bytes());
        Raw::file("index/000000.jsonl", page.as_bytes()).append(&mut tar);
        start += tar.len();
        frames.push(std::mem::take(&mut tar));

        let stored: Vec<u8> = frames.iter().flat_map(|frame| compress(frame)).collect();
        let payload: Vec<&Member> = self
            .entries
            .iter()
            .filter(|e| e.path.starts_with("data/"))
            .collect();
        let (members, bytes) = self.totals.unwrap_or((
            payload.len() as u64,
            payload.iter().fold(0, |sum, e| e.size.saturating_add(sum)),
        ));
        let info = format!("Payload-Oxum: {bytes}.{members}\n");
        let root = serde_json::json!({
            "format": "lifeboat",
            "version": self.version,
            "finished": FINISHED,
            "entries": self.entry_count.unwrap_or(entries.len()),
            "payload": {"members": members, "bytes": bytes},
            "stored": {"length": stored.len(), "sha256": Digest::of(&stored)},
            "pages": [{
                "path": page_entry.path, "first": first, "offset": page_entry.offset,
                "length": page_entry.size, "sha256": page_entry.sha256,
            }],
            "tables": self.tables,
            "unknown": true,
        })
        .to_string();
        let mut tags: Vec<Member> = entries
            .into_iter()
            .filter(|e| !e.path.starts_with("data/"))
            .collect();
        tags.push(page_entry);
        tags.push(member_at("bag-info.txt", start, info.as_bytes()));
        tags.push(member_at("index/root.json", start, root.as_bytes()));
        tags.sort();
        let tagmanifest: String = tags
            .iter()
            .map(|tag| format!("{}  {}\n", tag.sha256, tag.path))
            .collect();
        Raw::file("bag-info.txt", info.as_bytes()).append(&mut tar);
        Raw::file("index/root.json", root.as_bytes()).append(&mut tar);
        Raw::file("tagmanifest-sha256.txt", tagmanifest.as_bytes()).append(&mut tar);
        tar.extend_from_slice(&[0; 1024]);
        tar.extend_from_slice(&self.after_end);
        frames.push(tar);
        pack(&frames)
    }

    fn lines(&self, keep: impl Fn(&str) -> bool) -> String {
        self.entries
            .iter()
            .filter(|entry| keep(&entry.path))
            .map(|entry| format!("{}  {}\n", entry.sha256, entry.path))
            .collect()
    }

    /// Whether the file can be opened, and what is wrong with it.
    pub fn damage(&self) -> Vec<Damage> {
        match open(&self.build()) {
            Ok(archive) => archive.verify(&mut |_, _| {}).unwrap().damage,
            Err(ReadError::Damaged { damage, .. }) => vec![*damage],
            Err(error) => panic!("{error}"),
        }
    }
}

fn member_at(path: &str, header_at: usize, content: &[u8]) -> Member {
    Member {
        path: path.to_owned(),
        offset: header_at as u64 + 512,
        size: content.len() as u64,
        sha256: Digest::of(content),
    }
}

/// One frame as the format wants it.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor
        .set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))
        .unwrap();
    compressor.compress(raw).unwrap()
}

/// Frames with a seek table behind them.
pub fn pack(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut table = zeekstd::SeekTable::new();
    let mut file = Vec::new();
    for frame in frames {
        let stored = compress(frame);
        table
            .log_frame(stored.len() as u32, frame.len() as u32)
            .unwrap();
        file.extend(stored);
    }
    file.extend(seek_table(table));
    file
}

pub fn seek_table(table: zeekstd::SeekTable) -> Vec<u8> {
    let mut serializer = table.into_serializer();
    let mut bytes = vec![0; serializer.encoded_len()];
    let written = serializer.write_into(&mut bytes);
    assert_eq!(written, bytes.len());
    bytes
}
