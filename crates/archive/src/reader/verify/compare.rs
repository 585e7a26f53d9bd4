//! The second pass: what was found, what the manifests state and what the index states, path by path.

use std::collections::BTreeSet;
use std::iter::Peekable;

use super::stated::Stated;
use super::{Found, VerifyReport, spill};
use crate::bag;
use crate::digest::Digest;
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::index::{self, TablePart};
use crate::reader::{Archive, Closing, lookup};
use crate::sort::{Merge, Sorted};
use crate::statement::Header;
use crate::table;

/// Compares everything and completes the report.
pub(super) fn compare(archive: &Archive, found: Found) -> Result<VerifyReport, ReadError> {
    let Found {
        report,
        mut members,
        payload,
        bad,
        stored,
    } = found;
    let all_frames_read = bad.is_empty();
    let manifest = find_manifest(archive, &mut members)?;
    let mut join = Join {
        archive,
        report,
        bad,
        bad_pages: BTreeSet::new(),
        duplicate: None,
        entries: 0,
    };
    join.run(members.iter().map_err(spill)?.peekable(), manifest)?;
    let entries = join.bad_pages.is_empty().then_some(join.entries);
    let mut report = join.finish();
    if let Some(entries) = entries.filter(|entries| *entries != archive.closing.root.entries) {
        report.add(
            Damage::new("the pages have another number of entries than the index root states")
                .at_path(index::ROOT)
                .values(archive.closing.root.entries, entries),
        );
    }
    if all_frames_read {
        check_totals(archive, payload, stored, &mut report);
    }
    check_versions(archive, &mut report)?;
    Ok(report)
}

/// The payload manifest as it was found, when it is intact.
fn find_manifest(archive: &Archive, members: &mut Sorted) -> Result<Option<Member>, ReadError> {
    let expected = archive.closing.tag(bag::MANIFEST);
    for member in members.iter().map_err(spill)? {
        let member = member.map_err(spill)?;
        if member.path == bag::MANIFEST && Some(member.sha256) == expected {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// Totals and digests that concern no single member.
fn check_totals(
    archive: &Archive,
    payload: (u64, u64),
    stored: Option<(u64, Digest)>,
    report: &mut VerifyReport,
) {
    let root = &archive.closing.root;
    if payload != (root.payload.members, root.payload.bytes) {
        report.add(
            Damage::new("the payload has other totals than the index root states")
                .at_path(index::ROOT)
                .values(
                    format!(
                        "{} members, {} bytes",
                        root.payload.members, root.payload.bytes
                    ),
                    format!("{} members, {} bytes", payload.0, payload.1),
                ),
        );
    }
    // zstd has several forms for one content: a changed byte may decode to the same bytes.
    if let Some((length, sha256)) = stored
        && (length, sha256) != (root.stored.length, root.stored.sha256)
    {
        report.add(
            Damage::new(format!(
                "the first {length} bytes of the file are not as they were written"
            ))
            .at_offset(0)
            .values(
                format!(
                    "{} bytes with digest {}",
                    root.stored.length, root.stored.sha256
                ),
                format!("{length} bytes with digest {sha256}"),
            ),
        );
    }
}

/// The version that was checked is the one in the root: the header has to say the same.
fn check_versions(archive: &Archive, report: &mut VerifyReport) -> Result<(), ReadError> {
    match archive.document::<Header>(bag::HEADER) {
        Ok(header) if header.version == archive.version() => Ok(()),
        Ok(header) => {
            report.add(
                Damage::new("the header states another version than the index root")
                    .at_path(bag::HEADER)
                    .values(archive.version(), header.version),
            );
            Ok(())
        }
        // An unreadable member is reported where the members are compared; a missing or malformed one here.
        Err(ReadError::Damaged { damage, .. }) => {
            if damage.frame.is_none() {
                report.add(damage);
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What is stated of one path.
struct Claims<'a> {
    /// Whether the payload manifest could be read so far, so that its silence means something.
    has_manifest: bool,
    /// By a manifest.
    digest: Option<Digest>,
    /// By a page of the index.
    entry: Option<Member>,
    /// By the root, of a part of a table.
    part: Option<&'a TablePart>,
}

/// The comparison under way.
struct Join<'a> {
    archive: &'a Archive,
    report: VerifyReport,
    bad: std::collections::BTreeMap<u64, super::BadFrame>,
    bad_pages: BTreeSet<usize>,
    duplicate: Option<String>,
    /// Entries on the pages so far.
    entries: u64,
}

impl Join<'_> {
    fn run(
        &mut self,
        mut found: Peekable<Merge<'_>>,
        manifest: Option<Member>,
    ) -> Result<(), ReadError> {
        let archive = self.archive;
        let mut stated = Stated::new(archive, manifest);
        let mut listed = Listed {
            archive,
            page: 0,
            members: Vec::new().into_iter(),
        };
        let mut next_stated = stated.next(&mut self.report)?;
        let mut next_listed = listed.next(self)?;
        let mut parts = archive.closing.root.tables.iter().peekable();
        loop {
            let first_found = match found.peek() {
                Some(Ok(member)) => Some(member.path.as_str()),
                Some(Err(_)) => return Err(spill_of(found.next())),
                None => None,
            };
            let paths = [
                first_found,
                next_stated.as_ref().map(|(path, _)| path.as_str()),
                next_listed.as_ref().map(|member| member.path.as_str()),
                parts.peek().map(|part| part.path.as_str()),
            ];
            let Some(path) = paths.into_iter().flatten().min().map(str::to_owned) else {
                return Ok(());
            };
            let fact = found
                .next_if(|member| member.as_ref().is_ok_and(|member| member.path == path))
                .transpose()
                .map_err(spill)?;
            let digest = match next_stated.take_if(|(stated, _)| *stated == path) {
                Some((_, digest)) => {
                    next_stated = stated.next(&mut self.report)?;
                    Some(digest)
                }
                None => None,
            };
            let entry = next_listed.take_if(|member| member.path == path);
            if entry.is_some() {
                next_listed = listed.next(self)?;
            }
            let part = parts.next_if(|part| part.path == path);
            let claims = Claims {
                has_manifest: stated.has_manifest(),
                digest,
                entry,
                part,
            };
            self.path(&path, fact, claims);
        }
    }

    /// Everything that is known about one path.
    fn path(&mut self, path: &str, fact: Option<Member>, claims: Claims<'_>) {
        let Some(fact) = fact else {
            return self.missing(path, claims);
        };
        if self.duplicate.as_deref() == Some(path) {
            let damage = self.at(&fact, Damage::new("the member is there twice"));
            return self.report.add(damage);
        }
        self.duplicate = Some(path.to_owned());
        let before = self.report.damaged;
        if path == bag::FETCH {
            let damage = self.at(
                &fact,
                Damage::new("a bag that is to be fetched from elsewhere is no backup"),
            );
            self.report.add(damage);
        }
        match claims.digest {
            Some(expected) if expected != fact.sha256 => {
                let damage = Damage::new("the content does not have its digest")
                    .values(expected, fact.sha256);
                let damage = self.at(&fact, damage);
                self.report.add(damage);
            }
            None if path != bag::TAGMANIFEST
                && (claims.has_manifest || !path.starts_with(bag::PAYLOAD)) =>
            {
                let damage = self.at(&fact, Damage::new("no manifest lists the member"));
                self.report.add(damage);
            }
            _ => {}
        }
        self.compare_part(&fact, &claims);
        self.compare_entry(&fact, claims.entry);
        if self.report.damaged == before {
            self.report.intact += 1;
        }
    }

    fn compare_entry(&mut self, fact: &Member, entry: Option<Member>) {
        let folder = self.archive.store.stream_len().is_none();
        let expected = match entry {
            Some(entry) => entry,
            None => match self.closing_entry(&fact.path) {
                Some(entry) => entry,
                None => {
                    if self.indexed(&fact.path) {
                        let damage =
                            self.at(fact, Damage::new("the index does not list the member"));
                        self.report.add(damage);
                    }
                    return;
                }
            },
        };
        let same_place = folder || expected.offset == fact.offset;
        if !same_place || expected.size != fact.size {
            let damage = Damage::new("the index places the member elsewhere").values(
                format!("{} bytes at {}", expected.size, expected.offset),
                format!("{} bytes at {}", fact.size, fact.offset),
            );
            let damage = self.at(fact, damage);
            self.report.add(damage);
        } else if expected.sha256 != fact.sha256 {
            let damage = Damage::new("the content does not have the digest that the index states")
                .values(expected.sha256, fact.sha256);
            let damage = self.at(fact, damage);
            self.report.add(damage);
        }
    }

    /// The parts of tables stand in the root too. Where a page lists the part, the root is compared with it, so that
    /// a changed content is not reported once more.
    fn compare_part(&mut self, fact: &Member, claims: &Claims<'_>) {
        if claims.part.is_none() && !table::is_part(&fact.path) {
            return;
        }
        let page = claims.entry.as_ref().unwrap_or(fact);
        let folder = self.archive.store.stream_len().is_none();
        let agrees = claims.part.is_some_and(|part| {
            let placed = claims.entry.is_none() && folder || part.offset == page.offset;
            placed && part.length == page.size && part.sha256 == page.sha256
        });
        if !agrees {
            let damage = table::disagreement(&fact.path, Some(page), claims.part);
            let damage = self.at(fact, damage);
            self.report.add(damage);
        }
    }

    /// A path that is stated or listed, and not there.
    fn missing(&mut self, path: &str, claims: Claims<'_>) {
        let entry = claims
            .entry
            .or_else(|| claims.part.map(TablePart::member))
            .or_else(|| self.closing_entry(path));
        let expected = claims.digest.or(entry.as_ref().map(|entry| entry.sha256));
        let mut damage = Damage::new("the member is missing");
        if let Some(entry) = &entry
            && let Some(bad) = self.bad_frame(entry)
        {
            bad.reported = true;
            damage = bad.damage.clone();
        }
        damage.path = Some(path.to_owned());
        damage.expected = damage
            .expected
            .or(expected.map(|digest| digest.to_string()));
        self.report.add(damage);
    }

    /// An undecodable frame in the range of `member` and its header.
    fn bad_frame(&mut self, member: &Member) -> Option<&mut super::BadFrame> {
        let begin = member.offset.saturating_sub(1);
        let end = member.offset.saturating_add(member.size).saturating_add(1);
        self.bad
            .range_mut(..end)
            .map(|(_, bad)| bad)
            .find(|bad| bad.end > begin)
    }

    /// The members of the last frame and the pages are placed by the seek table and the root, not by a page.
    fn closing_entry(&self, path: &str) -> Option<Member> {
        let closing: &Closing = &self.archive.closing;
        closing.root.page_at(path).or_else(|| {
            closing
                .members
                .iter()
                .find(|member| member.path == path)
                .cloned()
        })
    }

    /// Whether the page for `path` could be read, so that its silence means something.
    fn indexed(&self, path: &str) -> bool {
        let pages = &self.archive.closing.root.pages;
        let page = pages
            .partition_point(|page| page.first.as_str() <= path)
            .saturating_sub(1);
        !self.bad_pages.contains(&page)
    }

    fn at(&self, fact: &Member, damage: Box<Damage>) -> Box<Damage> {
        let damage = damage.at_path(&fact.path);
        match self.archive.store.place(fact.offset) {
            Some(place) => damage.at_frame(place.frame, place.stored),
            None => damage,
        }
    }

    /// Adds the undecodable frames that no path was reported with.
    fn finish(mut self) -> VerifyReport {
        for bad in std::mem::take(&mut self.bad).into_values() {
            if !bad.reported {
                self.report.add(bad.damage);
            }
        }
        self.report
    }
}

fn spill_of(item: Option<std::io::Result<Member>>) -> ReadError {
    let source = item.and_then(Result::err);
    spill(source.unwrap_or_else(|| std::io::Error::other("the sorted members end early")))
}

/// Walks the index page by page.
struct Listed<'a> {
    archive: &'a Archive,
    page: usize,
    members: std::vec::IntoIter<Member>,
}

impl Listed<'_> {
    fn next(&mut self, join: &mut Join<'_>) -> Result<Option<Member>, ReadError> {
        loop {
            if let Some(member) = self.members.next() {
                join.entries += 1;
                return Ok(Some(member));
            }
            let number = self.page;
            if number >= self.archive.closing.root.pages.len() {
                return Ok(None);
            }
            self.page += 1;
            match lookup::page(self.archive, number) {
                Ok(members) => self.members = members.as_ref().clone().into_iter(),
                Err(ReadError::Damaged { damage, .. }) => {
                    join.bad_pages.insert(number);
                    // A page in an undecodable frame is reported as a missing member.
                    if join.bad.is_empty() {
                        join.report.add(damage);
                    }
                }
                Err(error @ ReadError::TooLarge { .. }) => {
                    join.bad_pages.insert(number);
                    join.report.add(Damage::new(error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
