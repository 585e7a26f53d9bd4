//! Writing the index: sorted entries in pages, each page in a frame of its own.

use std::io::Write;

use super::{Writer, spill};
use crate::entry::Member;
use crate::error::WriteError;
use crate::frame::Kind;
use crate::index::{self, Page};

impl<W: Write> Writer<W> {
    /// Writes the index pages, each in a frame of its own; gives the pages and how many entries they hold.
    pub(super) fn write_index(&mut self) -> Result<(Vec<Page>, u64), WriteError> {
        let mut sorted = self.closed.take().ok_or(WriteError::Broken)?;
        let mut tags = self.tags.clone();
        tags.sort_unstable();
        let mut tags = tags.into_iter().peekable();
        let mut payload = sorted.iter().map_err(spill)?.peekable();
        let mut pages = Vec::new();
        let mut entries = 0;
        let mut page = PageBuilder::default();
        loop {
            let tag_first = match (tags.peek(), payload.peek()) {
                (None, None) => break,
                (Some(tag), Some(Ok(member))) => tag.path < member.path,
                (tag, _) => tag.is_some(),
            };
            let next = if tag_first {
                tags.next().map(Ok)
            } else {
                payload.next()
            };
            let Some(member) = next else { break };
            page.push(&member.map_err(spill)?)?;
            entries += 1;
            if page.entries == index::PAGE_ENTRIES {
                pages.push(self.write_page(std::mem::take(&mut page), pages.len())?);
            }
        }
        if page.entries > 0 {
            pages.push(self.write_page(page, pages.len())?);
        }
        Ok((pages, entries))
    }

    fn write_page(&mut self, page: PageBuilder, number: usize) -> Result<Page, WriteError> {
        let path = index::page_path(number);
        self.stream.frame_of(Kind::Digests)?;
        self.generate(&path, &page.lines)?;
        self.stream.frame_of(Kind::Ordinary)?;
        let written = self.tags.last().ok_or(WriteError::Broken)?;
        Ok(Page {
            path,
            first: page.first,
            offset: written.offset,
            length: written.size,
            sha256: written.sha256,
        })
    }
}

/// Lines of one page.
#[derive(Default)]
struct PageBuilder {
    first: String,
    lines: Vec<u8>,
    entries: usize,
}

impl PageBuilder {
    fn push(&mut self, member: &Member) -> Result<(), WriteError> {
        if self.entries == 0 {
            self.first.clone_from(&member.path);
        }
        serde_json::to_writer(&mut self.lines, member).map_err(|source| WriteError::Json {
            path: member.path.clone(),
            source,
        })?;
        self.lines.push(b'\n');
        self.entries += 1;
        Ok(())
    }
}
