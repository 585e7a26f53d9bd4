//! The index: pages of sorted entries and the root that lists them (spec, "Index").

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::entry::Member;
use crate::version::FormatVersion;

/// The folder of the index.
pub(crate) const FOLDER: &str = "index/";
/// Path of the root.
pub(crate) const ROOT: &str = "index/root.json";
/// Entries on a full page.
pub(crate) const PAGE_ENTRIES: usize = 512;
/// The most that a reader takes for one page.
pub(crate) const MAX_PAGE: u64 = 64 << 20;

/// The path of page `number`.
pub(crate) fn page_path(number: usize) -> String {
    format!("index/{number:06}.jsonl")
}

/// `index/root.json`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Root {
    /// Always `lifeboat`.
    pub(crate) format: String,
    /// As in `lifeboat.json`; readers check it here.
    pub(crate) version: FormatVersion,
    /// When the run ended.
    pub(crate) finished: Timestamp,
    /// Members listed in pages.
    pub(crate) entries: u64,
    /// Members below `data/` and their bytes.
    pub(crate) payload: Payload,
    /// The stored file up to the last frame.
    pub(crate) stored: Span,
    /// Pages in order.
    pub(crate) pages: Vec<Page>,
    /// Parts of tables, by table, in order.
    pub(crate) tables: Vec<TablePart>,
}

/// Totals of the payload.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) members: u64,
    pub(crate) bytes: u64,
}

/// A length and the digest of that many bytes.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) length: u64,
    pub(crate) sha256: Digest,
}

/// One page of the index.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Path of the page.
    pub(crate) path: String,
    /// The first path on it.
    pub(crate) first: String,
    /// Offset of its content in the uncompressed stream.
    pub(crate) offset: u64,
    /// Bytes of its content.
    pub(crate) length: u64,
    /// Digest of its content.
    pub(crate) sha256: Digest,
}

impl Page {
    /// The page as a member.
    pub(crate) fn member(&self) -> Member {
        Member {
            path: self.path.clone(),
            offset: self.offset,
            size: self.length,
            sha256: self.sha256,
        }
    }
}

impl Root {
    /// The page of the index at `path`.
    pub(crate) fn page_at(&self, path: &str) -> Option<Member> {
        if !path.starts_with(FOLDER) {
            return None;
        }
        let page = self.pages.iter().find(|page| page.path == path)?;
        Some(page.member())
    }
}

/// One part of a table.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TablePart {
    /// Path of the part: `<table>/NNNNNN.jsonl`.
    pub path: String,
    /// Key of its first line, when all lines of the table have keys and stand in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Lines in it.
    pub lines: u64,
    /// Offset of its content in the uncompressed stream.
    pub offset: u64,
    /// Bytes of its content.
    pub length: u64,
    /// Digest of its content.
    pub sha256: Digest,
}

impl TablePart {
    /// The part as a member.
    pub(crate) fn member(&self) -> Member {
        Member {
            path: self.path.clone(),
            offset: self.offset,
            size: self.length,
            sha256: self.sha256,
        }
    }

    /// The table that this is a part of.
    pub fn table(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(table, _)| table)
    }
}
