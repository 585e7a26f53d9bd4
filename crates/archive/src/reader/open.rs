//! Opening: seek table, last frame, root, version; telling "not an archive" from "cut short" from "damaged".

use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::Closing;
use super::folder::Folder;
use super::packed::{Packed, decode, decoder, read_range};
use super::walk::{Visitor, Walk};
use crate::bag;
use crate::digest::{Digest, Hasher};
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::frame::{LAST_MAX, MAGIC};
use crate::index::{self, Root, TablePart};
use crate::names;
use crate::seek::{self, Footer, Frames, Place};
use crate::source::ReadAt;
use crate::statement::FORMAT;
use crate::table;
use crate::tarball::BLOCK;
use crate::version::FormatVersion;

/// The first read, from the end of the file: holds the seek table of 8,000 frames, and in small archives the last
/// frame too.
const TAIL: u64 = 64 << 10;

/// What is read of the front of a file that cannot be opened: the longest block of zstd and more.
const HEAD: u64 = 192 << 10;

/// Only what must be understood before the rest is looked at.
#[derive(Deserialize)]
struct Prelude {
    format: String,
    version: FormatVersion,
}

/// Opens an archive file.
pub(super) fn packed(source: Box<dyn ReadAt>) -> Result<(Packed, Closing), ReadError> {
    let name = source.name();
    let len = source.size().map_err(|source| ReadError::Io {
        name: name.clone(),
        offset: 0,
        source,
    })?;
    if len == 0 {
        // Not even the beginning of one.
        return Err(ReadError::NotAnArchive {
            name,
            reason: "the file is empty".to_owned(),
        });
    }
    let tail_at = len.saturating_sub(TAIL);
    let mut tail = read_range(&*source, &name, tail_at, (len - tail_at) as usize)?;
    let table_len = match seek::table_len(&tail, len) {
        Ok(table_len) => table_len,
        Err(Footer::Damaged(damage)) => {
            return Err(unless_foreign(
                &*source,
                &name,
                len,
                ReadError::damaged(&name, damage),
            ));
        }
        Err(Footer::Missing) => {
            let truncated = ReadError::Truncated {
                name: name.clone(),
                at: len,
            };
            return Err(unless_foreign(&*source, &name, len, truncated));
        }
    };
    if table_len > tail.len() as u64 {
        tail = read_range(&*source, &name, len - table_len, table_len as usize)?;
    }
    let tail_at = len - tail.len() as u64;
    let frames = seek::parse(&tail[tail.len() - table_len as usize..], len).map_err(|damage| {
        unless_foreign(&*source, &name, len, ReadError::damaged(&name, damage))
    })?;
    let last = last_frame(&frames, &name)?;
    let stored = match last.stored.checked_sub(tail_at) {
        Some(at) => tail[at as usize..at as usize + last.stored_len].to_vec(),
        None => read_range(&*source, &name, last.stored, last.stored_len)?,
    };
    let closing = closing_frame(&*source, &name, &frames, last, &stored)?;
    Ok((Packed::new(source, name, frames), closing))
}

fn last_frame(frames: &Frames, name: &str) -> Result<Place, ReadError> {
    frames
        .place(frames.count() - 1)
        .ok_or_else(|| ReadError::damaged(name, Damage::new("the seek table has no last frame")))
}

/// Reads the members of the last frame.
fn closing_frame(
    source: &dyn ReadAt,
    name: &str,
    frames: &Frames,
    last: Place,
    stored: &[u8],
) -> Result<Closing, ReadError> {
    let mut bytes = Vec::new();
    decode(
        &mut decoder(name, last.stored)?,
        frames,
        last,
        stored,
        &mut bytes,
    )
    .map_err(|damage| ReadError::damaged(name, damage))?;
    let mut found = Collector::default();
    let mut walk = Walk::new();
    let Ok(()) = walk.frame(&bytes, last.start, &mut found);
    let whole = found.damage.is_empty() && walk.complete();
    let (Some(root), Some(tags)) = (found.content(index::ROOT), found.content(bag::TAGMANIFEST))
    else {
        let damage = found
            .damage
            .into_iter()
            .next()
            .map(Box::new)
            .unwrap_or_else(|| {
                Damage::new("the last frame does not hold the index root and the tag manifest")
            });
        let error = ReadError::damaged(name, damage.at_frame(last.frame, last.stored));
        return Err(unless_foreign(source, name, last.stored, error));
    };
    let located =
        |damage: Box<Damage>| ReadError::damaged(name, damage.at_frame(last.frame, last.stored));
    let root = parse_root(name, root, located)?;
    if !whole {
        let damage = found.damage.into_iter().next().map(Box::new);
        return Err(located(
            damage.unwrap_or_else(|| Damage::new("the tar has no end")),
        ));
    }
    let closing = closing(root, tags, found.members.clone()).map_err(located)?;
    prove_closing(&closing).map_err(located)?;
    Ok(closing)
}

/// Opens the folder that an archive was unpacked into.
pub(super) fn folder(path: &Path) -> Result<(Folder, Closing), ReadError> {
    let folder = Folder::new(path);
    let name = folder.name().to_owned();
    if !path.join(bag::BAGIT).exists() {
        return Err(ReadError::NotAnArchive {
            name,
            reason: format!("the folder holds no {}", bag::BAGIT),
        });
    }
    let mut members = Vec::new();
    let mut contents = Vec::new();
    for document in [bag::INFO, index::ROOT, bag::TAGMANIFEST] {
        let mut bytes = Vec::new();
        let length = folder.stream_path(document, LAST_MAX as u64, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        if length > LAST_MAX as u64 {
            return Err(ReadError::TooLarge {
                path: document.to_owned(),
                size: length,
                limit: LAST_MAX as u64,
            });
        }
        members.push(Member {
            path: document.to_owned(),
            offset: 0,
            size: length,
            sha256: Digest::of(&bytes),
        });
        contents.push(bytes);
    }
    let located = |damage: Box<Damage>| ReadError::damaged(&name, damage);
    let root = parse_root(&name, &contents[1], located)?;
    let closing = closing(root, &contents[2], members).map_err(located)?;
    prove_closing(&closing).map_err(located)?;
    Ok((folder, closing))
}

/// Parses the root: version first, then everything else.
fn parse_root(
    name: &str,
    bytes: &[u8],
    located: impl Fn(Box<Damage>) -> ReadError,
) -> Result<Root, ReadError> {
    let unreadable = |error: serde_json::Error| {
        located(Damage::new(format!("the index root cannot be read: {error}")).at_path(index::ROOT))
    };
    let prelude: Prelude = serde_json::from_slice(bytes).map_err(unreadable)?;
    if prelude.format != FORMAT {
        return Err(ReadError::NotAnArchive {
            name: name.to_owned(),
            reason: format!("its format is {:?}", prelude.format),
        });
    }
    if !prelude.version.readable() {
        return Err(ReadError::UnsupportedVersion {
            name: name.to_owned(),
            found: prelude.version,
        });
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

/// Takes the documents apart and checks everything in them that names a member.
fn closing(root: Root, tagmanifest: &[u8], members: Vec<Member>) -> Result<Closing, Box<Damage>> {
    let in_tags = |what: String| Damage::new(what).at_path(bag::TAGMANIFEST);
    let text = std::str::from_utf8(tagmanifest)
        .map_err(|_| in_tags("the tag manifest is not UTF-8".to_owned()))?;
    let mut tags: Vec<(String, Digest)> = Vec::new();
    for line in text.lines() {
        let (digest, path) = bag::parse_manifest_line(line)
            .ok_or_else(|| in_tags(format!("the tag manifest has a malformed line: {line:?}")))?;
        check_path(path)?;
        if tags.last().is_some_and(|(last, _)| last.as_str() >= path) {
            return Err(in_tags(format!(
                "the tag manifest is not in order at {path:?}"
            )));
        }
        tags.push((path.to_owned(), digest));
    }
    let mut last: Option<&str> = None;
    for page in &root.pages {
        check_path(&page.path)?;
        check_path(&page.first)?;
        if last.is_some_and(|last| last >= page.first.as_str()) {
            return Err(Damage::new("the pages of the index are not in order").at_path(&page.path));
        }
        last = Some(&page.first);
    }
    check_tables(&root.tables)?;
    Ok(Closing {
        root,
        tags,
        archive_id: Digest::of(tagmanifest),
        members,
    })
}

/// Checks what the root alone tells of the parts of tables: names, order, keys, and that none lies upon another.
fn check_tables(parts: &[TablePart]) -> Result<(), Box<Damage>> {
    for part in parts {
        check_path(&part.path)?;
        if !table::is_part(&part.path) {
            return Err(
                Damage::new("the index root lists a path that no part of a table has")
                    .at_path(&part.path),
            );
        }
    }
    for pair in parts.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if before.path >= after.path {
            return Err(
                Damage::new("the parts of tables in the index root are not in order")
                    .at_path(&after.path),
            );
        }
        let ascending = match (&before.first, &after.first) {
            (Some(before), Some(after)) => before < after,
            (None, None) => true,
            _ => false,
        };
        if before.table() == after.table() && !ascending {
            return Err(
                Damage::new("the keys of a table in the index root are not in order")
                    .at_path(&after.path),
            );
        }
    }
    let mut by_place: Vec<&TablePart> = parts.iter().collect();
    by_place.sort_by_key(|part| part.offset);
    let mut free = 0;
    for part in by_place {
        let end = part.offset.checked_add(part.length);
        match end.filter(|_| part.offset >= free) {
            Some(end) => free = end,
            None => {
                return Err(Damage::new("the parts of tables overlap")
                    .at_path(&part.path)
                    .values(
                        format!("at {free} or later"),
                        format!("{} bytes at {}", part.length, part.offset),
                    ));
            }
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Box<Damage>> {
    names::check_safe(path)
        .map_err(|error| Damage::new(format!("the path is not allowed: {error}")).at_path(path))
}

/// Compares the closing members with the tag manifest among them: from here on the root is proved by the archive id.
fn prove_closing(closing: &Closing) -> Result<(), Box<Damage>> {
    for member in &closing.members {
        if member.path == bag::TAGMANIFEST {
            continue;
        }
        match closing.tag(&member.path) {
            Some(expected) if expected == member.sha256 => {}
            Some(expected) => {
                return Err(Damage::new("the content does not have its digest")
                    .at_path(&member.path)
                    .values(expected, member.sha256));
            }
            None => {
                return Err(
                    Damage::new("the tag manifest does not list the member").at_path(&member.path)
                );
            }
        }
    }
    Ok(())
}

/// `error`, unless the file begins as none of ours does.
fn unless_foreign(source: &dyn ReadAt, name: &str, len: u64, error: ReadError) -> ReadError {
    let head_len = len.min(HEAD) as usize;
    let head = match read_range(source, name, 0, head_len) {
        Ok(head) => head,
        Err(failed) => return failed,
    };
    let known = head.len().min(MAGIC.len());
    if head[..known] != MAGIC[..known] {
        let name = name.to_owned();
        if head.starts_with(b"age-encryption.org/") {
            return ReadError::Encrypted { name };
        }
        return ReadError::NotAnArchive {
            name,
            reason: "it does not begin with a zstd frame".to_owned(),
        };
    }
    // What the first frame says, as far as it is there: the first member is the declaration.
    let mut first = [0u8; BLOCK];
    let readable = zstd::stream::read::Decoder::with_buffer(head.as_slice())
        .and_then(|mut decoder| decoder.read_exact(&mut first))
        .is_ok();
    let declaration = format!("/{}", bag::BAGIT);
    let ours = matches!(
        crate::tarball::parse(&first),
        Ok(crate::tarball::Block::File { path, .. }) if path.ends_with(declaration.as_bytes())
    ) || matches!(
        crate::tarball::parse(&first),
        Ok(crate::tarball::Block::Pax { .. })
    );
    if readable && !ours {
        return ReadError::NotAnArchive {
            name: name.to_owned(),
            reason: "it is compressed with zstd, and holds no bag".to_owned(),
        };
    }
    error
}

/// Keeps the contents of the last frame.
#[derive(Default)]
struct Collector {
    members: Vec<Member>,
    contents: Vec<Vec<u8>>,
    hasher: Hasher,
    damage: Vec<Damage>,
}

impl Collector {
    /// The content of the one member at `path`.
    fn content(&self, path: &str) -> Option<&[u8]> {
        let mut found = self
            .members
            .iter()
            .zip(&self.contents)
            .filter(|(member, _)| member.path == path);
        let (_, content) = found.next()?;
        found.next().is_none().then_some(content.as_slice())
    }
}

impl Visitor for Collector {
    type Error = std::convert::Infallible;

    fn begin(&mut self, path: &str, size: u64, offset: u64) -> Result<(), Self::Error> {
        self.hasher = Hasher::new();
        self.members.push(Member {
            path: path.to_owned(),
            offset,
            size,
            sha256: Digest::of(&[]),
        });
        self.contents.push(Vec::new());
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.hasher.update(bytes);
        if let Some(content) = self.contents.last_mut() {
            content.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Self::Error> {
        if let Some(member) = self.members.last_mut() {
            member.sha256 = std::mem::take(&mut self.hasher).finish();
        }
        Ok(())
    }

    fn lost(&mut self) -> Result<(), Self::Error> {
        self.members.pop();
        self.contents.pop();
        Ok(())
    }

    fn damage(&mut self, damage: Box<Damage>) -> Result<(), Self::Error> {
        self.damage.push(*damage);
        Ok(())
    }
}
