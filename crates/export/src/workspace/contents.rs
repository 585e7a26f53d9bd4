//! Contents of notebooks and workspace files: taken concurrently from the base or from the service, handed on in the order
//! asked for.
//!
//! Owns the order, the window and the fate of each content; how the service is asked is in [`super::read`]. Specified in
//! `spec/export.md`, "Contents" and "Incremental".

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{Stream, StreamExt};
use lifeboat_archive::{Content, Fate};
use lifeboat_catalog::tree as rules;
use serde_json::Value;
use tokio::sync::mpsc;

use super::read::{Read, Trouble, from_service, size_of};
use super::table::give_up;
use super::tree::{ContentFacts, NodeId, State, Tree};
use super::walk::lock;
use crate::base::Held;
use crate::context::{Context, Phase};
use crate::error::Error;
use crate::ledger::{Source, line};
use crate::window::{IN_MEMORY, Share, Window};

/// A content on its way to the archive.
pub(crate) struct Fetched {
    pub(crate) node: NodeId,
    pub(crate) member: String,
    pub(crate) content: Content,
    pub(crate) share: Share,
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
        // Before the walk is over nobody knows how many there are, and how long they take.
        if let Some(all) = ctx.walked.get() {
            phase.at_least(*all as u64);
        }
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
pub(super) struct Request {
    node: NodeId,
    pub(super) path: String,
    id: Box<str>,
    pub(super) kind: &'static str,
    /// As listed, of a file.
    pub(super) size: Option<u64>,
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
        let path = tree.path(id);
        let node = tree.node(id);
        let held = match (&ctx.base, &facts) {
            (Some(base), Some(facts)) => base.content(&node.object_id, &path, facts)?,
            _ => None,
        };
        let kind = node.kind.name;
        let held = held.filter(|held| kind != "files" || held.member.size <= ctx.options.max_file);
        Ok(Self {
            node: id,
            path,
            id: node.object_id.clone(),
            kind,
            size: facts.as_ref().and_then(size_of).filter(|_| kind == "files"),
            in_sample: held.is_some() && ctx.sample.holds(&node.object_id),
            held,
        })
    }
}

fn keep(tree: &Mutex<Tree>, request: &Request, read: &Read) -> String {
    let mut tree = lock(tree);
    let (path, member) = tree.next_member(request.node);
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
