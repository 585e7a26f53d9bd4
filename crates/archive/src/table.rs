//! Tables: JSON lines in parts of at most 4 MiB (spec, "Tables").

use std::io::Write;

use serde::Deserialize;

use crate::bag;
use crate::entry::Member;
use crate::error::{Damage, WriteError};
use crate::index::{self, TablePart};
use crate::writer::{Content, Writer};

/// The most that one part holds, unless one line alone is larger.
const PART_BYTES: usize = 4 << 20;

/// Collects the lines of one table into parts `<table>/NNNNNN.jsonl`.
///
/// The key of a line is its `path`, else its `id`, when that is a string. While keys ascend (compared by their
/// UTF-8 bytes), the root notes the first key of each part, and one line is found without reading the others.
pub struct TableWriter {
    table: String,
    payload: bool,
    part: Vec<u8>,
    lines: u64,
    first: Option<String>,
    last: Option<String>,
    ordered: bool,
    parts: Vec<TablePart>,
}

/// The members of a line that may be its key.
#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(borrow)]
    path: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<std::borrow::Cow<'a, str>>,
}

impl TableWriter {
    /// A table of the payload, such as `data/users`.
    pub fn new(table: &str) -> Self {
        Self::begin(table, true)
    }

    /// A table among the tag files, such as `ledger`.
    pub fn tag(table: &str) -> Self {
        Self::begin(table, false)
    }

    fn begin(table: &str, payload: bool) -> Self {
        Self {
            table: table.to_owned(),
            payload,
            part: Vec::new(),
            lines: 0,
            first: None,
            last: None,
            ordered: true,
            parts: Vec::new(),
        }
    }

    /// Adds one line, given without its line break.
    pub fn push<W: Write>(&mut self, writer: &mut Writer<W>, line: &str) -> Result<(), WriteError> {
        if line.contains(['\n', '\r']) {
            return Err(WriteError::Line {
                table: self.table.clone(),
            });
        }
        if !self.part.is_empty() && self.part.len() + line.len() + 1 > PART_BYTES {
            self.write_part(writer)?;
        }
        self.note_key(line);
        self.part.extend_from_slice(line.as_bytes());
        self.part.push(b'\n');
        self.lines += 1;
        Ok(())
    }

    /// Writes what is left and gives the number of parts; a table without lines has none.
    pub fn finish<W: Write>(mut self, writer: &mut Writer<W>) -> Result<u64, WriteError> {
        if !self.part.is_empty() {
            self.write_part(writer)?;
        }
        if !self.ordered {
            self.parts.iter_mut().for_each(|part| part.first = None);
        }
        let count = self.parts.len() as u64;
        writer.note_table(self.parts);
        Ok(count)
    }

    fn note_key(&mut self, line: &str) {
        if !self.ordered {
            return;
        }
        let key = key(line);
        self.ordered = key.is_some() && (self.last.is_none() || key > self.last);
        if self.part.is_empty() {
            self.first.clone_from(&key);
        }
        self.last = key;
    }

    fn write_part<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), WriteError> {
        let path = format!("{}/{:06}.jsonl", self.table, self.parts.len());
        let content = Content::Bytes(std::mem::take(&mut self.part));
        let member = if self.payload {
            writer.add_payload(&path, content)?
        } else {
            writer.add_tag_file(&path, content)?
        };
        self.parts.push(TablePart {
            path,
            first: self.first.take(),
            lines: std::mem::take(&mut self.lines),
            offset: member.offset,
            length: member.size,
            sha256: member.sha256,
        });
        Ok(())
    }
}

/// Whether the path is that of a part of a table, `<table>/NNNNNN.jsonl`: neither a page of the index nor a content,
/// below `data/<kind>/content/`, whose names are those of the workspace.
pub(crate) fn is_part(path: &str) -> bool {
    let Some((table, name)) = path.rsplit_once('/') else {
        return false;
    };
    let numbered = name
        .strip_suffix(".jsonl")
        .is_some_and(|number| number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()));
    let content = path.starts_with(bag::PAYLOAD) && table.split('/').nth(2) == Some("content");
    numbered && !content && !path.starts_with(index::FOLDER)
}

/// The damage of a part of which the page of the index and the root do not say the same.
pub(crate) fn disagreement(
    path: &str,
    page: Option<&Member>,
    root: Option<&TablePart>,
) -> Box<Damage> {
    let shown = |member: Option<Member>| match member {
        Some(m) if m.path == path => {
            format!("{} bytes at {}, digest {}", m.size, m.offset, m.sha256)
        }
        Some(m) => format!("{:?}", m.path),
        None => "nothing".to_owned(),
    };
    Damage::new("the index root and the index do not agree on the part of a table")
        .at_path(path)
        .values(shown(page.cloned()), shown(root.map(TablePart::member)))
}

/// The key of a line. A line without one is not wrong: its table is then read from the front.
pub(crate) fn key(line: &str) -> Option<String> {
    let keyed: Keyed<'_> = serde_json::from_str(line).ok()?;
    keyed.path.or(keyed.id).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_from_pages_and_contents() {
        for path in [
            "data/users/000000.jsonl",
            "data/acls/jobs/1234567.jsonl",
            "ledger/000001.jsonl",
            "data/content/000000.jsonl",
        ] {
            assert!(is_part(path), "{path}");
        }
        for path in [
            "index/000000.jsonl",
            "000000.jsonl",
            "data/users/00000.jsonl",
            "data/users/00000x.jsonl",
            "observed/jobs.jsonl",
            "data/workspace/content/000000.jsonl",
            "data/dbfs/content/logs/000000.jsonl",
        ] {
            assert!(!is_part(path), "{path}");
        }
    }
}
