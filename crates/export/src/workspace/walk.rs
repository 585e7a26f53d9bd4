//! The walk: folders are listed concurrently, nearest in the archive's order first, and their objects are handed on in
//! that order while the walk still goes on.
//!
//! Owns the pace of listings; the service allows twenty at a time in the whole workspace and others list too. Specified
//! in `spec/export.md`, "The workspace tree".

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lifeboat_archive::{Fate, Listing as State3};
use lifeboat_databricks::{Client, Family, Listing, Paging};
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use super::entry::{Decision, Entry};
use super::tree::{Folder, NodeId, State, Tree};
use crate::access_control::AclRequest;
use crate::context::{Context, GIT_FOLDER_FILES, Phase, TREE_KINDS};
use crate::gate::Failure;
use crate::ledger::line;

/// Listings at a time at most, well below the service's twenty for everybody.
const MOST_LISTINGS: usize = 16;
/// Listings at a time at least.
const FEWEST_LISTINGS: usize = 2;

/// Where the walk hands objects on to.
pub(crate) struct Outlets<'a> {
    /// Objects whose content is wanted, in archive order.
    pub(crate) contents: &'a UnboundedSender<NodeId>,
    /// Objects whose access control is wanted.
    pub(crate) acls: &'a UnboundedSender<AclRequest>,
}

/// Whether any kind of the tree is asked for.
pub(crate) fn is_asked(ctx: &Context<'_>) -> bool {
    TREE_KINDS.iter().any(|kind| ctx.selected.kind(kind))
}

/// States for each kind of the tree whether it is asked for, and makes the tree.
pub(crate) fn start(ctx: &Context<'_>) -> Tree {
    for kind in TREE_KINDS {
        if ctx.selected.kind(kind) {
            ctx.ledger.listing(kind, State3::Listed, None);
        } else {
            ctx.ledger.not_asked(kind);
        }
    }
    let included = ctx.selected.kind("directories") && ctx.selected.includes("/");
    Tree::new(if included {
        State::Plain
    } else {
        State::Passing
    })
}

/// Walks the whole tree; gives how many objects with content it handed on.
pub(crate) async fn walk(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    outlets: &Outlets<'_>,
    phase: &Phase<'_>,
) -> usize {
    let ((), contents) = futures_util::future::join(
        read_root(ctx, tree, outlets),
        list_all(ctx, tree, outlets, phase),
    )
    .await;
    contents
}

/// The facts of the root, which no listing shows.
async fn read_root(ctx: &Context<'_>, tree: &Mutex<Tree>, outlets: &Outlets<'_>) {
    if !matches!(lock(tree).node(0).state, State::Plain) {
        return;
    }
    let reply = ctx
        .gate
        .ask(
            ctx.gate
                .client
                .get("/api/2.0/workspace/get-status", &[("path", "/")]),
        )
        .await;
    let mut tree = lock(tree);
    match reply {
        Ok(facts) => {
            let object_id = facts
                .get("object_id")
                .and_then(lifeboat_catalog::places::scalar);
            // The root of every workspace has the id 0.
            tree.node_mut(0).object_id = object_id
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| "0".to_owned())
                .into();
            tree.set_facts(0, &facts.to_string());
            drop(outlets.acls.send(AclRequest::Node(0)));
        }
        Err(failure) => {
            tree.node_mut(0).state = State::Out;
            // There always is a root, so even "not found" is a gap: its access control is missing.
            ctx.ledger
                .gap(&failure.line("directories", "0", "/", Fate::Failed));
        }
    }
}

async fn list_all(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    outlets: &Outlets<'_>,
    phase: &Phase<'_>,
) -> usize {
    let mut order = InOrder::new();
    let mut pending = BTreeMap::from([("/".to_owned(), 0)]);
    let mut pace = Pace::new(ctx.gate.client);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < pace.limit
            && let Some((_, folder)) = pending.pop_first()
        {
            let path = lock(tree).path(folder);
            running.push(async move { (folder, list(ctx, &path).await) });
        }
        let Some((folder, reply)) = running.next().await else {
            return order.handed_on;
        };
        pace.learn(ctx.gate.client);
        phase.step(0);
        let mut tree = lock(tree);
        match reply {
            Ok(entries) => {
                let added = take_in(ctx, &mut tree, folder, entries, outlets.acls);
                let folders = added
                    .into_iter()
                    .filter(|id| matches!(tree.node(*id).folder, Folder::Pending));
                pending.extend(folders.map(|id| (tree.order_key(id), id)));
            }
            Err(failure) => {
                if folder == 0 {
                    state_unlisted(ctx, &failure);
                }
                tree.node_mut(folder).folder = Folder::Failed(Box::new(failure));
            }
        }
        order.advance(&tree, outlets.contents);
    }
}

/// Lists one folder.
pub(crate) async fn list(ctx: &Context<'_>, path: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    let listing = Listing {
        path: "/api/2.0/workspace/list",
        query: vec![("path", path.to_owned())],
        array: "objects",
        paging: Paging::None,
    };
    for kind in TREE_KINDS {
        ctx.gate.touch(kind);
    }
    ctx.gate.ask(ctx.gate.client.list(&listing)).await
}

/// Takes the entries of a folder into the tree; gives the new nodes.
pub(crate) fn take_in(
    ctx: &Context<'_>,
    tree: &mut Tree,
    folder: NodeId,
    entries: Vec<Box<RawValue>>,
    acls: &UnboundedSender<AclRequest>,
) -> Vec<NodeId> {
    let path = tree.path(folder);
    let entries = entries
        .iter()
        .filter_map(|raw| parse(ctx, &path, raw))
        .collect();
    take_in_parsed(ctx, tree, folder, &path, entries, acls)
}

/// An understood entry; one that cannot be understood is stated as failed.
pub(crate) fn parse(ctx: &Context<'_>, folder: &str, raw: &RawValue) -> Option<Entry> {
    match Entry::parse(folder, raw, ctx.options.notebook_format.name()) {
        Ok(entry) => entry,
        Err(what) => {
            let message = format!("an entry of the listing cannot be understood: {what}");
            ctx.ledger.gap(&line(
                "workspace-objects",
                "",
                folder,
                Fate::Failed,
                message,
            ));
            None
        }
    }
}

/// Takes understood entries into the tree; gives the new nodes.
pub(crate) fn take_in_parsed(
    ctx: &Context<'_>,
    tree: &mut Tree,
    folder: NodeId,
    path: &str,
    entries: Vec<Entry>,
    acls: &UnboundedSender<AclRequest>,
) -> Vec<NodeId> {
    let decided = entries
        .into_iter()
        .map(|entry| {
            let path = below(path, &entry.name);
            let decision = entry.decide(ctx, &path);
            let state = state_of(ctx, &entry, &path, decision);
            let walked = decision != Decision::Out && entry.is_walked(ctx.options.git_folder_files);
            (entry, state, walked)
        })
        .collect();
    let added = tree.add_children(folder, decided);
    for id in &added {
        if matches!(
            tree.node(*id).state,
            State::Plain | State::Wanted | State::Inventoried
        ) {
            include_folders_above(ctx, tree, *id, acls);
        }
        if matches!(tree.node(*id).state, State::Plain | State::Wanted) {
            drop(acls.send(AclRequest::Node(*id)));
        }
    }
    added
}

fn state_of(ctx: &Context<'_>, entry: &Entry, path: &str, decision: Decision) -> State {
    match decision {
        Decision::Out => State::Out,
        Decision::Passing => State::Passing,
        Decision::Included => match entry.kind.name {
            "notebooks" | "files" => State::Wanted,
            "workspace-objects" => {
                let message = format!(
                    "objects of type {:?} are listed but not captured",
                    entry.object_type
                );
                ctx.ledger.gap(&line(
                    entry.kind.name,
                    &entry.object_id,
                    path,
                    Fate::Unsupported,
                    message,
                ));
                State::Inventoried
            }
            "git-folders" if !ctx.options.git_folder_files => {
                let message =
                    "uncommitted changes are not captured; --git-folder-files captures the files";
                ctx.ledger.gap(&line(
                    GIT_FOLDER_FILES,
                    &entry.object_id,
                    path,
                    Fate::Unsupported,
                    message,
                ));
                State::Plain
            }
            _ => State::Plain,
        },
    }
}

/// The folders above a captured object are captured too: with their access control nothing restored below them is more
/// visible than it was.
fn include_folders_above(
    ctx: &Context<'_>,
    tree: &mut Tree,
    id: NodeId,
    acls: &UnboundedSender<AclRequest>,
) {
    if !ctx.selected.kind("directories") {
        return;
    }
    let mut at = tree.parent(id);
    while matches!(tree.node(at).state, State::Passing) && tree.node(at).kind.name == "directories"
    {
        if !tree.node(at).has_any_facts() {
            break;
        }
        tree.node_mut(at).state = State::Plain;
        drop(acls.send(AclRequest::Node(at)));
        at = tree.parent(at);
    }
}

fn state_unlisted(ctx: &Context<'_>, failure: &Failure) {
    let (listing, reason) = failure.listing();
    for kind in TREE_KINDS.iter().filter(|kind| ctx.selected.kind(kind)) {
        ctx.ledger.listing(kind, listing, Some(reason.clone()));
    }
}

/// Path of a name in a folder.
pub(crate) fn below(folder: &str, name: &str) -> String {
    if folder == "/" {
        format!("/{name}")
    } else {
        format!("{folder}/{name}")
    }
}

pub(crate) fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many listings run at a time: halved when the service says "too many", one more after a while without.
pub(crate) struct Pace {
    pub(crate) limit: usize,
    throttled: u64,
    calm: usize,
}

impl Pace {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            limit: MOST_LISTINGS,
            throttled: throttled(client),
            calm: 0,
        }
    }

    /// A listing ended.
    pub(crate) fn learn(&mut self, client: &Client) {
        self.observe(throttled(client));
    }

    fn observe(&mut self, throttled: u64) {
        if throttled > self.throttled {
            self.throttled = throttled;
            self.limit = (self.limit / 2).max(FEWEST_LISTINGS);
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm >= 4 * self.limit && self.limit < MOST_LISTINGS {
            self.limit += 1;
            self.calm = 0;
        }
    }
}

fn throttled(client: &Client) -> u64 {
    client
        .stats()
        .families
        .get(&Family::WorkspaceList)
        .map_or(0, |family| family.throttled)
}

/// Goes through the tree in the order of archive paths as far as it is listed.
struct InOrder {
    /// Folders that are being gone through: node and next child.
    stack: Vec<(NodeId, usize)>,
    /// Contents handed on so far.
    handed_on: usize,
}

impl InOrder {
    fn new() -> Self {
        Self {
            stack: vec![(0, 0)],
            handed_on: 0,
        }
    }

    fn advance(&mut self, tree: &Tree, contents: &UnboundedSender<NodeId>) {
        while let Some((folder, next)) = self.stack.last_mut() {
            let children = match &tree.node(*folder).folder {
                Folder::Pending => return,
                Folder::Listed(children) => children.as_slice(),
                Folder::No | Folder::Failed(_) => &[],
            };
            let Some(child) = children.get(*next) else {
                self.stack.pop();
                continue;
            };
            *next += 1;
            let node = tree.node(*child);
            if matches!(node.state, State::Wanted) {
                self.handed_on += 1;
                // The receiver outlives the walk but in a run that failed.
                let _ = contents.send(*child);
            }
            if !matches!(node.folder, Folder::No) {
                self.stack.push((*child, 0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_yields_and_recovers() {
        let mut pace = Pace {
            limit: MOST_LISTINGS,
            throttled: 0,
            calm: 0,
        };
        pace.observe(3);
        assert_eq!(pace.limit, 8);
        pace.observe(4);
        pace.observe(5);
        pace.observe(6);
        pace.observe(7);
        assert_eq!(pace.limit, FEWEST_LISTINGS, "never below the least");
        for _ in 0..8 {
            pace.observe(7);
        }
        assert_eq!(pace.limit, FEWEST_LISTINGS + 1);
        for _ in 0..10_000 {
            pace.observe(7);
        }
        assert_eq!(pace.limit, MOST_LISTINGS);
    }
}
