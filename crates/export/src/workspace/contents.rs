//! Contents of notebooks and workspace files: read concurrently, handed on in the order asked for.
//!
//! Owns the choice of call and format; the size rule of the service (10 MB) makes more than one necessary. Specified in
//! `spec/export.md`, "Contents".

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{Stream, StreamExt};
use lifeboat_archive::{Content, Digest, Fate};
use lifeboat_catalog::tree as rules;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::table::give_up;
use super::tree::{ContentFacts, NodeId, State, Tree};
use super::walk::lock;
use crate::base::Held;
use crate::context::{Context, Phase};
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::{Source, line};
use crate::options::NotebookFormat;
use crate::window::{self, IN_MEMORY, Share, Window};

const EXPORT: &str = "/api/2.0/workspace/export";
/// Bytes of a JSON reply of which many may be in memory.
const SMALL_REPLY: u64 = 1 << 20;
/// Bytes of a JSON reply at most: what the size rule allows, as base64, and the fields around it.
const LARGEST_REPLY: u64 = 16 << 20;

/// A content on its way to the archive.
pub(crate) struct Fetched {
    pub(crate) node: NodeId,
    pub(crate) member: String,
    pub(crate) content: Content,
    pub(crate) share: Share,
}

/// A content as read.
struct Read {
    content: Content,
    size: u64,
    format: &'static str,
    file_type: Option<String>,
    source: Source,
    /// Digest of the same content in the base, where a reading is to be compared with it.
    expected: Option<Digest>,
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
enum Trouble {
    Service(Failure),
    /// Larger than `--max-file`.
    TooLarge(Option<u64>),
    Local(Error),
}

/// Reads contents and sends them on in the order of `nodes`, and each node to `done` when it is read or given up. What
/// cannot be read is stated, or left for the second listing when the service says that it is not there.
pub(crate) async fn fetch_all(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    window: &Window,
    nodes: impl Stream<Item = NodeId>,
    out: &mpsc::Sender<Fetched>,
    done: Option<mpsc::UnboundedSender<NodeId>>,
    phase: &Phase<'_>,
) -> Result<(), Error> {
    let sizes = Sizes::new();
    let fetched = nodes
        .then(|node| {
            phase.expect(1);
            let request = Request::of(ctx, &mut lock(tree), node);
            let sizes = &sizes;
            async move {
                let request = request?;
                let share = window.share(sizes.reserve(&request)).await;
                Ok::<_, Error>((request, share))
            }
        })
        .map(|step| {
            let sizes = &sizes;
            async move {
                let (request, share) = step?;
                let read = fetch(ctx, &request).await;
                if let Ok(read) = &read
                    && read.source == Source::Service
                {
                    sizes.learn(read.size);
                }
                Ok::<_, Error>((request, share, read))
            }
        })
        .buffered(ctx.contents_at_a_time());
    let mut fetched = std::pin::pin!(fetched);
    while let Some(step) = fetched.next().await {
        let (request, mut share, read) = step?;
        let node = request.node;
        match read {
            Ok(read) => {
                phase.step(read.size);
                share.shrink(match &read.content {
                    Content::Bytes(_) => read.size,
                    // On disk; still counted in part, so that the files do not fill it.
                    Content::File { .. } => read.size / 16,
                });
                let member = keep(tree, &request, &read);
                let fetched = Fetched {
                    node: request.node,
                    member,
                    content: read.content,
                    share,
                };
                if out.send(fetched).await.is_err() {
                    return Err(Error::Writer {
                        what: "it takes no more contents".to_owned(),
                    });
                }
            }
            Err(trouble) => {
                phase.step(0);
                settle(ctx, tree, &request, trouble)?;
            }
        }
        if let Some(done) = &done {
            // Nobody listens when there is no second listing.
            let _ = done.send(node);
        }
    }
    Ok(())
}

/// What is asked for.
struct Request {
    node: NodeId,
    path: String,
    id: Box<str>,
    kind: &'static str,
    size: Option<u64>,
    /// The same content in the base.
    held: Option<Held>,
    /// It is read all the same.
    in_sample: bool,
}

impl Request {
    fn of(ctx: &Context<'_>, tree: &mut Tree, id: NodeId) -> Result<Self, Error> {
        let facts = if tree.node(id).kind.name == "files" || ctx.base.is_some() {
            tree.facts(id)
        } else {
            None
        };
        // Facts were parsed when they were listed; without them nothing is known of size and base.
        let facts: Option<Value> = facts.and_then(|facts| serde_json::from_str(&facts).ok());
        let node = tree.node(id);
        let held = match (&ctx.base, &facts) {
            (Some(base), Some(facts)) => base.content(&node.object_id, &node.name, facts)?,
            _ => None,
        };
        let kind = node.kind.name;
        let held = held.filter(|held| kind != "files" || held.member.size <= ctx.options.max_file);
        Ok(Self {
            node: id,
            path: tree.path(id),
            id: node.object_id.clone(),
            kind,
            size: facts.as_ref().and_then(size_of).filter(|_| kind == "files"),
            in_sample: held.is_some() && ctx.sample.holds(&node.object_id),
            held,
        })
    }
}

fn size_of(facts: &Value) -> Option<u64> {
    lifeboat_catalog::places::scalar(facts.get("size")?)?
        .parse()
        .ok()
}

fn keep(tree: &Mutex<Tree>, request: &Request, read: &Read) -> String {
    let mut tree = lock(tree);
    let (path, member) = tree.next_member(request.node);
    tree.forget_earlier(request.node);
    tree.node_mut(request.node).state = State::Content(Box::new(ContentFacts {
        format: read.format,
        file_type: read.file_type.as_deref().map(interned),
        member,
        token: request.node,
        stored: None,
        source: read.source,
        expected: read.expected.map(Box::new),
    }));
    path
}

/// File types as the service names them, without an allocation for each notebook.
fn interned(file_type: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 6] = ["py", "sql", "scala", "r", "ipynb", "auto"];
    match KNOWN.iter().find(|known| **known == file_type) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(file_type.to_owned()),
    }
}

fn settle(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    request: &Request,
    trouble: Trouble,
) -> Result<(), Error> {
    let line = match trouble {
        Trouble::Local(error) => return Err(error),
        Trouble::Service(failure) if failure.is_gone() => {
            lock(tree).node_mut(request.node).state = State::Missing(Box::new(failure));
            return Ok(());
        }
        Trouble::Service(failure) => {
            failure.line(request.kind, &request.id, &request.path, Fate::Failed)
        }
        Trouble::TooLarge(size) => {
            let size = size.map_or_else(|| "it".to_owned(), |size| format!("{size} bytes"));
            let message = format!(
                "larger than the limit for files: {size}, limit {}",
                ctx.options.max_file
            );
            line(
                request.kind,
                &request.id,
                &request.path,
                Fate::Unsupported,
                message,
            )
        }
    };
    give_up(ctx, &mut lock(tree), request.node, line);
    Ok(())
}

/// From the base what did not change, all else from the service. What is in the sample is read; where that fails, the
/// content of the base is as good as it is for the others.
async fn fetch(ctx: &Context<'_>, request: &Request) -> Result<Read, Trouble> {
    if !request.in_sample
        && let Some(read) = from_base(ctx, request).await?
    {
        return Ok(read);
    }
    match (from_service(ctx, request).await, &request.held) {
        (Ok(read), Some(held)) if request.in_sample => Ok(Read {
            expected: Some(held.member.sha256),
            ..read
        }),
        (Err(Trouble::Service(failure)), Some(_)) if request.in_sample && !failure.is_gone() => {
            match from_base(ctx, request).await? {
                Some(read) => Ok(read),
                None => Err(Trouble::Service(failure)),
            }
        }
        (read, _) => read,
    }
}

/// The content of the base, if there is one and it can be read.
async fn from_base(ctx: &Context<'_>, request: &Request) -> Result<Option<Read>, Trouble> {
    let (Some(base), Some(held)) = (&ctx.base, &request.held) else {
        return Ok(None);
    };
    let content = base
        .copy(held, ctx.observer)
        .await
        .map_err(Trouble::Local)?;
    Ok(content.map(|content| Read {
        content,
        size: held.member.size,
        format: held.format.name(),
        file_type: held.file_type.clone(),
        source: Source::Base,
        expected: None,
    }))
}

async fn from_service(ctx: &Context<'_>, request: &Request) -> Result<Read, Trouble> {
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

/// How much of the window a content of unknown size takes beforehand: a multiple of the largest lately.
struct Sizes {
    lately: AtomicU64,
}

impl Sizes {
    const LEAST: u64 = 64 * 1024;
    const MOST: u64 = 8 << 20;

    fn new() -> Self {
        Self {
            lately: AtomicU64::new(Self::LEAST),
        }
    }

    fn reserve(&self, request: &Request) -> u64 {
        if let Some(held) = request.held.as_ref().filter(|_| !request.in_sample) {
            let size = held.member.size;
            return if size > IN_MEMORY {
                size / 16
            } else {
                size.max(1)
            };
        }
        match request.size {
            // Goes to a file piece by piece; the share that the file will have while it waits.
            Some(size) if size > rules::JSON_LIMIT => Self::LEAST.max(size / 16),
            // The reply, its text and the bytes exist at the same time.
            Some(size) => size.saturating_mul(3).max(1),
            None => self
                .lately
                .load(Ordering::Relaxed)
                .saturating_mul(4)
                .clamp(Self::LEAST, Self::MOST),
        }
    }

    fn learn(&self, size: u64) {
        let lately = self.lately.load(Ordering::Relaxed);
        // Falls slowly, rises at once.
        self.lately
            .store(size.max(lately - lately / 16), Ordering::Relaxed);
    }
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

    #[test]
    fn the_reserve_follows_the_sizes_that_come() {
        let request = |size| Request {
            node: 0,
            path: String::new(),
            id: "".into(),
            kind: "files",
            size,
            held: None,
            in_sample: false,
        };
        let sizes = Sizes::new();
        assert_eq!(sizes.reserve(&request(None)), 4 * Sizes::LEAST);
        sizes.learn(9 << 20);
        assert_eq!(sizes.reserve(&request(None)), Sizes::MOST);
        for _ in 0..200 {
            sizes.learn(1000);
        }
        assert_eq!(sizes.reserve(&request(None)), Sizes::LEAST);
        assert_eq!(sizes.reserve(&request(Some(100))), 300);
        assert_eq!(
            sizes.reserve(&request(Some(256 << 20))),
            16 << 20,
            "a file has the share from the start that it keeps while it waits"
        );
    }
}
