//! One DBFS file: read in pieces between two looks at its size and time, and again when they differ.

use std::io::{Seek, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lifeboat_archive::{Content, Digest, Fate, LedgerLine};
use lifeboat_catalog::{places, tree as rules};
use serde_json::Value;

use super::inventory::{self, File};
use super::{KIND, gap};
use crate::base::Held;
use crate::context::Context;
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::Source;
use crate::window::{self, IN_MEMORY};

/// Bytes that one file holds in memory at most: a piece as text, as bytes, and the buffer.
pub(crate) const RESERVE: u64 = 512 * 1024;
/// How often a file is read when it changes meanwhile.
const READS: u32 = 3;
const READ: &str = "/api/2.0/dbfs/read";

/// A content as read, with the facts that stood before and after.
pub(crate) struct Read {
    pub(crate) content: Content,
    pub(crate) size: u64,
    pub(crate) facts: Value,
    pub(crate) source: Source,
    /// Digest of the same content in the base, where this reading is to be compared with it.
    pub(crate) expected: Option<Digest>,
}

/// Why a file is not in the archive.
pub(crate) enum Trouble {
    Gap(LedgerLine),
    Local(Error),
}

/// One file: from the base when it did not change, else from the service. What is in the sample is read; where that
/// fails, the content of the base is as good as it is for the others.
pub(crate) async fn file(ctx: &Context<'_>, file: &File) -> Result<Read, Trouble> {
    let held = match &ctx.base {
        Some(base) => base
            .dbfs_file(&file.path, &file.facts)
            .map_err(Trouble::Local)?
            .filter(|held| held.member.size <= ctx.options.max_file),
        None => None,
    };
    let Some(held) = held else {
        return from_service(ctx, &file.path).await;
    };
    let in_sample = ctx.sample.holds(&file.path);
    if !in_sample && let Some(read) = from_base(ctx, &held).await? {
        return Ok(read);
    }
    match from_service(ctx, &file.path).await {
        Ok(read) if in_sample && same(&read.facts, &file.facts) => Ok(Read {
            expected: Some(held.member.sha256),
            ..read
        }),
        Err(Trouble::Gap(line)) if in_sample && line.fate == Fate::Failed => {
            match from_base(ctx, &held).await? {
                Some(read) => Ok(read),
                None => Err(Trouble::Gap(line)),
            }
        }
        read => read,
    }
}

/// The content of the base with the FileInfo of its reading, if it can be read.
async fn from_base(ctx: &Context<'_>, held: &Held) -> Result<Option<Read>, Trouble> {
    let Some(base) = &ctx.base else {
        return Ok(None);
    };
    let content = base
        .copy(held, ctx.observer)
        .await
        .map_err(Trouble::Local)?;
    Ok(content.map(|content| Read {
        content,
        size: held.member.size,
        facts: held.facts.clone().unwrap_or_default(),
        source: Source::Base,
        expected: None,
    }))
}

async fn from_service(ctx: &Context<'_>, path: &str) -> Result<Read, Trouble> {
    let mut before = look(ctx, path).await?;
    for _ in 0..READS {
        let size = size_of(&before);
        if size.is_some_and(|size| size > ctx.options.max_file) {
            let message = format!(
                "larger than the limit for files, {} bytes",
                ctx.options.max_file
            );
            return Err(Trouble::Gap(gap(path, Fate::Unsupported, message)));
        }
        let Some((content, read)) = pieces(ctx, path, size).await? else {
            before = look(ctx, path).await?;
            continue;
        };
        let after = look(ctx, path).await?;
        if same(&before, &after) && size.is_none_or(|size| size == read) {
            return Ok(Read {
                content,
                size: read,
                facts: before,
                source: Source::Service,
                expected: None,
            });
        }
        before = after;
    }
    Err(Trouble::Gap(gap(
        path,
        Fate::Failed,
        format!("it changed during each of {READS} reads"),
    )))
}

async fn look(ctx: &Context<'_>, path: &str) -> Result<Value, Trouble> {
    match inventory::status(ctx, path).await {
        Err(failure) if failure.is_gone() => match inventory::status(ctx, path).await {
            Ok(facts) => Ok(facts),
            Err(failure) => Err(trouble(path, &failure)),
        },
        result => result.map_err(|failure| trouble(path, &failure)),
    }
}

fn trouble(path: &str, failure: &Failure) -> Trouble {
    let fate = if failure.is_gone() {
        Fate::Vanished
    } else {
        Fate::Failed
    };
    Trouble::Gap(failure.line(KIND, path, path, fate))
}

pub(super) fn size_of(facts: &Value) -> Option<u64> {
    facts
        .get("file_size")
        .and_then(places::scalar)?
        .parse()
        .ok()
}

fn same(before: &Value, after: &Value) -> bool {
    ["file_size", "modification_time"]
        .iter()
        .all(|field| before.get(field) == after.get(field))
}

/// The whole content. `None` when the file is not there in the middle of the reading, or grows without end.
async fn pieces(
    ctx: &Context<'_>,
    path: &str,
    size: Option<u64>,
) -> Result<Option<(Content, u64)>, Trouble> {
    let local = |error| Trouble::Local(Error::temporary(error));
    let mut memory = Vec::new();
    let mut file = None;
    let mut offset = 0_u64;
    loop {
        // An empty read at the end is needed only when the size is not known.
        if size == Some(offset) {
            break;
        }
        let piece = match piece(ctx, path, offset).await {
            Ok(piece) => piece,
            Err(failure) if failure.is_gone() => return Ok(None),
            Err(failure) => return Err(trouble(path, &failure)),
        };
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        if offset > size.unwrap_or(ctx.options.max_file) {
            return Ok(None);
        }
        match &mut file {
            None if offset <= IN_MEMORY => memory.extend_from_slice(&piece),
            None => {
                let mut created = window::unnamed_file().map_err(local)?;
                created
                    .write_all(&std::mem::take(&mut memory))
                    .map_err(local)?;
                created.write_all(&piece).map_err(local)?;
                file = Some(created);
            }
            Some(file) => file.write_all(&piece).map_err(local)?,
        }
    }
    match file {
        None => Ok(Some((Content::Bytes(memory), offset))),
        Some(mut file) => {
            file.rewind().map_err(local)?;
            Ok(Some((Content::File { file, size: offset }, offset)))
        }
    }
}

async fn piece(ctx: &Context<'_>, path: &str, offset: u64) -> Result<Vec<u8>, Failure> {
    let unusable = |what: &str| Failure::Reply {
        request: format!("GET {READ}"),
        what: what.to_owned(),
    };
    let (offset, length) = (offset.to_string(), rules::DBFS_BLOCK.to_string());
    let query = [
        ("path", path),
        ("offset", offset.as_str()),
        ("length", length.as_str()),
    ];
    let reply = ctx.gate.ask(ctx.gate.client.get(READ, &query)).await?;
    let bytes = match reply.get("data") {
        Some(Value::String(text)) => STANDARD
            .decode(text)
            .map_err(|_| unusable("the data is not base64"))?,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(unusable("the data is not a text")),
    };
    let told = reply
        .get("bytes_read")
        .and_then(places::scalar)
        .and_then(|text| text.parse::<usize>().ok());
    if told.is_some_and(|told| told != bytes.len()) {
        return Err(unusable("the data has another length than stated"));
    }
    Ok(bytes)
}
