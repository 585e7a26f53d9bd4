//! The index: from a path to a member, from a table to its lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::Archive;
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::index::{MAX_PAGE, Page, TablePart};
use crate::names;
use crate::source::lock;
use crate::table;

/// Parsed pages that are kept.
const CACHED_PAGES: usize = 8;
/// The most that one part of a table may take. Writers make 4 MiB, more for one long line.
const MAX_PART: u64 = 64 << 20;

/// The pages that were used last.
#[derive(Default)]
pub(super) struct PageCache(Mutex<VecDeque<(usize, Arc<Vec<Member>>)>>);

/// The member at `path`.
pub(super) fn find(archive: &Archive, path: &str) -> Result<Option<Member>, ReadError> {
    if let Some(member) = archive
        .closing
        .members
        .iter()
        .find(|member| member.path == path)
    {
        return Ok(Some(member.clone()));
    }
    if let Some(page) = archive.closing.root.page_at(path) {
        return Ok(Some(page));
    }
    let pages = &archive.closing.root.pages;
    let after = pages.partition_point(|page| page.first.as_str() <= path);
    let Some(number) = after.checked_sub(1) else {
        return Ok(None);
    };
    let members = page(archive, number)?;
    let found = members.binary_search_by(|member| member.path.as_str().cmp(path));
    Ok(found.ok().map(|at| members[at].clone()))
}

/// One page of the index, proved by the root.
pub(super) fn page(archive: &Archive, number: usize) -> Result<Arc<Vec<Member>>, ReadError> {
    let cached = lock(&archive.pages.0)
        .iter()
        .find(|(cached, _)| *cached == number)
        .map(|(_, members)| Arc::clone(members));
    if let Some(members) = cached {
        return Ok(members);
    }
    let pages = &archive.closing.root.pages;
    let bytes = archive.read_limited(&pages[number].member(), MAX_PAGE)?;
    let next = pages.get(number + 1).map(|page| page.first.as_str());
    let members =
        parse_page(&pages[number], &bytes, next).map_err(|damage| archive.damaged(damage))?;
    let members = Arc::new(members);
    let mut cache = lock(&archive.pages.0);
    cache.push_front((number, Arc::clone(&members)));
    cache.truncate(CACHED_PAGES);
    Ok(members)
}

/// Parses a page; every path on it is checked here. `next` is the first path of the page after it.
fn parse_page(page: &Page, bytes: &[u8], next: Option<&str>) -> Result<Vec<Member>, Box<Damage>> {
    let wrong = |what: String| Damage::new(what).at_path(&page.path);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("the page is not UTF-8".to_owned()))?;
    let mut members: Vec<Member> = Vec::new();
    for line in text.lines() {
        let member: Member = serde_json::from_str(line)
            .map_err(|error| wrong(format!("the page has an unreadable line: {error}")))?;
        names::check_safe(&member.path).map_err(|error| {
            wrong(format!(
                "the path {:?} is not allowed: {error}",
                member.path
            ))
        })?;
        if members.last().is_some_and(|last| last.path >= member.path) {
            return Err(wrong(format!(
                "the page is not in order at {:?}",
                member.path
            )));
        }
        members.push(member);
    }
    let first = members.first().map(|member| member.path.as_str());
    if first != Some(page.first.as_str()) {
        return Err(
            wrong("the page begins with another path than the root states".to_owned())
                .values(&page.first, first.unwrap_or("nothing")),
        );
    }
    let last = members.last().map(|member| member.path.as_str());
    if next.is_some() && last >= next {
        return Err(wrong("the page reaches into the next page".to_owned()));
    }
    Ok(members)
}

/// Members by prefix, page by page.
pub(super) struct Members<'a> {
    archive: &'a Archive,
    prefix: String,
    page: Arc<Vec<Member>>,
    at: usize,
    next_page: usize,
    /// What the members so far take in the stream; more than the stream itself means that they overlap.
    bytes: u64,
    done: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(archive: &'a Archive, prefix: &str) -> Self {
        let pages = &archive.closing.root.pages;
        let after = pages.partition_point(|page| page.first.as_str() <= prefix);
        Self {
            archive,
            prefix: prefix.to_owned(),
            page: Arc::new(Vec::new()),
            at: 0,
            next_page: after.saturating_sub(1),
            bytes: 0,
            done: false,
        }
    }

    fn advance(&mut self) -> Result<Option<Member>, ReadError> {
        loop {
            if let Some(member) = self.page.get(self.at) {
                self.at += 1;
                if member.path.starts_with(&self.prefix) {
                    return self.counted(member.clone()).map(Some);
                }
                if member.path.as_str() > self.prefix.as_str() {
                    return Ok(None);
                }
            } else if self.next_page < self.archive.closing.root.pages.len() {
                self.page = page(self.archive, self.next_page)?;
                self.at = 0;
                self.next_page += 1;
            } else {
                return Ok(None);
            }
        }
    }

    fn counted(&mut self, member: Member) -> Result<Member, ReadError> {
        self.bytes = self.bytes.saturating_add(member.size);
        match self.archive.store.stream_len() {
            Some(total) if self.bytes > total => Err(self.archive.damaged(
                Damage::new(
                    "the members of the index take more than the archive holds: they overlap",
                )
                .at_path(&member.path)
                .values(
                    format!("at most {total} bytes"),
                    format!("{} bytes", self.bytes),
                ),
            )),
            _ => Ok(member),
        }
    }
}

impl Iterator for Members<'_> {
    type Item = Result<Member, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Lines of a table, part by part.
pub(super) struct Lines<'a> {
    archive: &'a Archive,
    parts: VecDeque<Member>,
    text: String,
    at: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(archive: &'a Archive, table: &str) -> Result<Self, ReadError> {
        Ok(Self {
            archive,
            parts: parts(archive, table)?,
            text: String::new(),
            at: 0,
        })
    }

    fn advance(&mut self) -> Result<Option<String>, ReadError> {
        loop {
            let rest = &self.text[self.at..];
            if !rest.is_empty() {
                let (line, used) = match rest.split_once('\n') {
                    Some((line, _)) => (line, line.len() + 1),
                    None => (rest, rest.len()),
                };
                let line = line.to_owned();
                self.at += used;
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            let Some(part) = self.parts.pop_front() else {
                return Ok(None);
            };
            self.text = part_text(self.archive, &part)?;
            self.at = 0;
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<String, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.parts.clear();
            self.text.clear();
            self.at = 0;
        }
        next
    }
}

fn part_text(archive: &Archive, part: &Member) -> Result<String, ReadError> {
    let bytes = archive.read_limited(part, MAX_PART)?;
    String::from_utf8(bytes)
        .map_err(|_| archive.damaged(Damage::new("the table is not UTF-8").at_path(&part.path)))
}

/// The parts of a table, on which the root and the pages have to agree; else the one member `<table>.jsonl`.
fn parts(archive: &Archive, table: &str) -> Result<VecDeque<Member>, ReadError> {
    let prefix = format!("{table}/");
    let mut stated = archive.table_parts(table);
    let mut found = VecDeque::new();
    for member in archive.members(&prefix)? {
        let member = member?;
        let name = &member.path[prefix.len()..];
        // The names of parts begin with a digit: behind these, in the order of paths, there are no more.
        if name.as_bytes().first() > Some(&b'9') {
            break;
        }
        if name.contains('/') || !table::is_part(&member.path) {
            continue;
        }
        let part = stated.next();
        if part.is_none_or(|part| part.member() != member) {
            return Err(archive.damaged(table::disagreement(&member.path, Some(&member), part)));
        }
        found.push_back(member);
    }
    if let Some(part) = stated.next() {
        return Err(archive.damaged(table::disagreement(&part.path, None, Some(part))));
    }
    if found.is_empty() {
        found.extend(archive.find(&format!("{table}.jsonl"))?);
    }
    Ok(found)
}

/// The line of `table` with this key.
pub(super) fn find_line(
    archive: &Archive,
    table: &str,
    key: &str,
) -> Result<Option<String>, ReadError> {
    let listed: Vec<&TablePart> = archive.table_parts(table).collect();
    let sorted = !listed.is_empty() && listed.iter().all(|part| part.first.is_some());
    if !sorted {
        return archive
            .lines(table)?
            .find(|line| line.as_ref().map_or(true, |line| has_key(line, key)))
            .transpose();
    }
    let after = listed.partition_point(|part| part.first.as_deref() <= Some(key));
    let Some(at) = after.checked_sub(1) else {
        return Ok(None);
    };
    let part = listed[at];
    // All of them, so that a key is not missed for a part that only one side lists.
    parts(archive, table)?;
    let text = part_text(archive, &part.member())?;
    let first = text.lines().next().and_then(table::key);
    if first != part.first {
        return Err(archive.damaged(
            Damage::new("the part of a table begins with another key than the index root states")
                .at_path(&part.path)
                .values(
                    part.first.as_deref().unwrap_or("nothing"),
                    first.as_deref().unwrap_or("nothing"),
                ),
        ));
    }
    Ok(text
        .lines()
        .find(|line| has_key(line, key))
        .map(str::to_owned))
}

fn has_key(line: &str, key: &str) -> bool {
    table::key(line).as_deref() == Some(key)
}
