//! One content of the tree as the service gives it.
//!
//! Owns the choice of call and format; the size rule of the service (10 MB) makes more than one necessary. Specified in
//! `spec/export.md`, "Contents".

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lifeboat_archive::{Content, Digest};
use lifeboat_catalog::tree as rules;
use serde::Deserialize;
use serde_json::Value;

use super::contents::Request;
use crate::context::Context;
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::Source;
use crate::options::NotebookFormat;
use crate::window;

const EXPORT: &str = "/api/2.0/workspace/export";
/// Bytes of a JSON reply of which many may be in memory.
const SMALL_REPLY: u64 = 1 << 20;
/// Bytes of a JSON reply at most: what the size rule allows, as base64, and the fields around it.
const LARGEST_REPLY: u64 = 16 << 20;

/// A content as read.
pub(super) struct Read {
    pub(super) content: Content,
    pub(super) size: u64,
    pub(super) format: &'static str,
    pub(super) file_type: Option<String>,
    pub(super) source: Source,
    /// Digest of the same content in the base, where a reading is to be compared with it.
    pub(super) expected: Option<Digest>,
}

impl Read {
    fn from_service(
        content: Content,
        size: u64,
        format: &'static str,
        file_type: Option<String>,
    ) -> Self {
        Self {
            content,
            size,
            format,
            file_type,
            source: Source::Service,
            expected: None,
        }
    }
}

/// Why a content was not read.
pub(super) enum Trouble {
    Service(Failure),
    /// Larger than `--max-file`.
    TooLarge(Option<u64>),
    Local(Error),
}

/// The size that facts state.
pub(super) fn size_of(facts: &Value) -> Option<u64> {
    lifeboat_catalog::places::scalar(facts.get("size")?)?
        .parse()
        .ok()
}

/// The content as the service gives it now, in its turn.
pub(super) async fn from_service(ctx: &Context<'_>, request: &Request) -> Result<Read, Trouble> {
    // The semaphore is never closed.
    let _turn = ctx.content_calls.acquire().await;
    if request.kind == "notebooks" {
        return notebook(ctx, &request.path).await;
    }
    if let Some(size) = request.size.filter(|size| *size > ctx.options.max_file) {
        return Err(Trouble::TooLarge(Some(size)));
    }
    file(ctx, request).await
}

/// A notebook in the preferred format, on the size error in the other one.
async fn notebook(ctx: &Context<'_>, path: &str) -> Result<Read, Trouble> {
    let preferred = ctx.options.notebook_format;
    match one_format(ctx, path, preferred).await {
        Err(Trouble::Service(failure)) if is_too_large(&failure) => {
            match one_format(ctx, path, preferred.other()).await {
                // The first refusal is the one that says what is wrong with this notebook.
                Err(Trouble::Service(second)) if is_too_large(&second) => {
                    Err(Trouble::Service(failure))
                }
                result => result,
            }
        }
        result => result,
    }
}

async fn one_format(
    ctx: &Context<'_>,
    path: &str,
    format: NotebookFormat,
) -> Result<Read, Trouble> {
    match export(ctx, path, format.name(), format.name(), false).await? {
        Exported::Read(read) => Ok(read),
        Exported::NoContent => Err(unusable("the reply has no content")),
    }
}

/// A file whose length is the one that the service states. It may have changed since it was listed, so the service is
/// asked again before a length counts as wrong.
async fn file(ctx: &Context<'_>, request: &Request) -> Result<Read, Trouble> {
    let mut read = any_length(ctx, request).await?;
    let Some(listed) = request.size else {
        return Ok(read);
    };
    for _ in 0..2 {
        if read.size == listed || read.size == size_now(ctx, &request.path).await?.unwrap_or(listed)
        {
            return Ok(read);
        }
        read = any_length(ctx, request).await?;
    }
    Err(Trouble::Service(Failure::Reply {
        request: format!("GET {EXPORT}"),
        what: format!("the content has {} bytes, not {listed}", read.size),
    }))
}

/// Size of a file as the service states it now.
async fn size_now(ctx: &Context<'_>, path: &str) -> Result<Option<u64>, Trouble> {
    let query = [("path", path)];
    let call = ctx.gate.client.get("/api/2.0/workspace/get-status", &query);
    let facts = ctx.gate.ask(call).await.map_err(Trouble::Service)?;
    Ok(size_of(&facts))
}

/// A file by JSON, as a download, or through the older file call: the first that the service's size rule lets pass.
async fn any_length(ctx: &Context<'_>, request: &Request) -> Result<Read, Trouble> {
    let path = &request.path;
    if request.size.is_none_or(|size| size <= rules::JSON_LIMIT) {
        let large = request.size.is_some_and(|size| size > SMALL_REPLY / 2);
        match export(ctx, path, "AUTO", "RAW", large).await {
            Ok(Exported::Read(read)) => return Ok(read),
            // The service leaves out an empty content; without a size that may also mean something else.
            Ok(Exported::NoContent) if request.size == Some(0) => return empty(),
            Ok(Exported::NoContent) if request.size.is_none() => {}
            Ok(Exported::NoContent) => return Err(unusable("the reply has no content")),
            Err(Trouble::Service(failure)) if is_too_large(&failure) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    let query = [
        ("path", path.as_str()),
        ("format", "AUTO"),
        ("direct_download", "true"),
    ];
    let refused = match download(ctx, EXPORT, &query).await {
        Err(Trouble::Service(failure)) if failure.is_too_large() => failure,
        result => return result,
    };
    let older = format!(
        "/api/2.0/workspace-files/{}",
        lifeboat_databricks::segment(path.trim_start_matches('/'))
    );
    match download(ctx, &older, &[]).await {
        // A service without that call: what the known call said is the reason.
        Err(Trouble::Service(failure)) if failure.is_gone() || failure.is_unknown_call() => {
            Err(Trouble::Service(refused))
        }
        result => result,
    }
}

/// What an export as JSON gives.
enum Exported {
    Read(Read),
    /// A reply without the field.
    NoContent,
}

#[derive(Deserialize)]
struct Reply<'r> {
    #[serde(borrow, default)]
    content: Option<Cow<'r, str>>,
    #[serde(borrow, default)]
    file_type: Option<Cow<'r, str>>,
}

fn unusable(what: &str) -> Trouble {
    Trouble::Service(Failure::Reply {
        request: format!("GET {EXPORT}"),
        what: what.to_owned(),
    })
}

/// Larger than the service, or we, let a JSON reply be.
fn is_too_large(failure: &Failure) -> bool {
    failure.is_too_large() || is_over_cap(failure)
}

fn is_over_cap(failure: &Failure) -> bool {
    matches!(failure, Failure::Service(error) if error.is_over_cap())
}

fn empty() -> Result<Read, Trouble> {
    let content = Content::Bytes(Vec::new());
    Ok(Read::from_service(content, 0, "RAW", None))
}

/// One JSON reply. Small ones are many at a time; a large one is asked for again when it is its turn, so that few are
/// in memory.
async fn export(
    ctx: &Context<'_>,
    path: &str,
    format: &str,
    name: &'static str,
    large: bool,
) -> Result<Exported, Trouble> {
    let query = [("path", path), ("format", format)];
    if !large {
        let call = ctx.gate.client.get_bytes(EXPORT, &query, SMALL_REPLY);
        match ctx.gate.ask(call).await {
            Ok(bytes) => return decoded(&bytes, name),
            Err(failure) if is_over_cap(&failure) => {}
            Err(failure) => return Err(Trouble::Service(failure)),
        }
    }
    // The semaphore is never closed.
    let _turn = ctx.large_replies.acquire().await;
    let call = ctx.gate.client.get_bytes(EXPORT, &query, LARGEST_REPLY);
    let bytes = ctx.gate.ask(call).await.map_err(Trouble::Service)?;
    decoded(&bytes, name)
}

fn decoded(bytes: &[u8], name: &'static str) -> Result<Exported, Trouble> {
    let reply: Reply<'_> =
        serde_json::from_slice(bytes).map_err(|error| unusable(&error.to_string()))?;
    // Of a folder the service makes an archive instead of refusing.
    if reply.file_type.as_deref() == Some("dbc") {
        return Err(unusable("the reply is an archive of a folder"));
    }
    let Some(text) = reply.content else {
        return Ok(Exported::NoContent);
    };
    let bytes = decode(&text).ok_or_else(|| unusable("the content is not base64"))?;
    let (content, size) =
        window::content(bytes).map_err(|error| Trouble::Local(Error::temporary(error)))?;
    let file_type = reply.file_type.filter(|text| !text.is_empty());
    let file_type = file_type.map(Cow::into_owned);
    let read = Read::from_service(content, size, name, file_type);
    Ok(Exported::Read(read))
}

async fn download(ctx: &Context<'_>, path: &str, query: &[(&str, &str)]) -> Result<Read, Trouble> {
    let mut file =
        window::unnamed_file().map_err(|error| Trouble::Local(Error::temporary(error)))?;
    let cap = ctx.options.max_file;
    match ctx
        .gate
        .ask(ctx.gate.client.get_to_file(path, query, cap, &mut file))
        .await
    {
        Ok(size) => {
            let content = Content::File { file, size };
            Ok(Read::from_service(content, size, "RAW", None))
        }
        Err(Failure::Service(error)) if error.is_over_cap() => Err(Trouble::TooLarge(None)),
        Err(failure) => Err(Trouble::Service(failure)),
    }
}

/// Base64, with line breaks where a server puts them.
fn decode(text: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = STANDARD.decode(text) {
        return Some(bytes);
    }
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_broken_into_lines() {
        assert_eq!(decode("aGVs\r\nbG8=").as_deref(), Some(&b"hello"[..]));
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(decode("a!"), None);
    }
}
