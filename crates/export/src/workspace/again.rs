//! The second listing: what appeared or changed since the first is read, what is gone is said to be gone after a second
//! look, and an object that moved is recorded once, at its later place.
//!
//! Specified in `spec/export.md`, "The second listing".

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use lifeboat_archive::Fate;
use lifeboat_catalog::{places, tree as rules};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::table::give_up;
use super::tree::{Folder, NodeId, State, Tree};
use super::walk::{self, Pace, lock};
use crate::access_control::AclRequest;
use crate::base::tree_state;
use crate::context::{Context, Phase};
use crate::gate::Failure;

/// How often the tree is listed once more when objects are missing or stand at two places: they may have moved while it
/// was listed.
pub(super) const MORE_LISTINGS: u32 = 2;

/// What the second listing found.
pub(crate) struct Again {
    /// Objects whose content is to be read (again), in archive order.
    pub(crate) wanted: Vec<NodeId>,
    /// Objects that both listings showed.
    seen_twice: HashSet<NodeId>,
}

/// What is learnt on the way.
#[derive(Default)]
struct Pass {
    /// What this listing shows; the number grows with the time at which it was shown.
    seen: HashMap<NodeId, usize>,
    /// Nodes that no listing before this one showed.
    appeared: HashSet<NodeId>,
    /// Folders that could not be listed again.
    failed: BTreeMap<NodeId, Failure>,
    wanted: Vec<NodeId>,
}

/// Contents that may still be on their way when the second listing begins: a second or two of reading.
const LAST_CONTENTS: usize = 128;

/// How far the reading of contents is.
pub(crate) struct Reading {
    /// How many contents the walk handed on, once it is over.
    walked: oneshot::Receiver<usize>,
    /// Contents that are read or given up.
    done: UnboundedReceiver<NodeId>,
}

impl Reading {
    pub(crate) fn new(walked: oneshot::Receiver<usize>, done: UnboundedReceiver<NodeId>) -> Self {
        Self { walked, done }
    }

    /// Waits until the walk is over and only the last contents are being read.
    async fn nearly_done(&mut self) {
        // Without an answer the walk failed, and with it the run.
        let mut left = (&mut self.walked).await.unwrap_or(0);
        while left > LAST_CONTENTS && self.done.recv().await.is_some() {
            left -= 1;
        }
    }
}

/// Lists every folder again, each after the contents of its objects were read, and compares.
pub(crate) async fn list_again(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    acls: &UnboundedSender<AclRequest>,
    mut reading: Reading,
) -> Again {
    reading.nearly_done().await;
    let phase = &ctx.phase("second-listing");
    let mut pass = relist(ctx, tree, acls, Some(reading), phase).await;
    let mut doubtful = doubtful(&lock(tree), &mut pass);
    for _ in 0..MORE_LISTINGS {
        if doubtful.is_empty() || ctx.gate.stopped().is_some() {
            break;
        }
        let next = relist(ctx, tree, acls, None, phase).await;
        let wanted = std::mem::replace(&mut pass, next).wanted;
        pass.wanted.extend(wanted);
        let before = std::mem::replace(&mut doubtful, self::doubtful(&lock(tree), &mut pass));
        if doubtful == before {
            break;
        }
    }
    state_unlisted(ctx, &mut lock(tree), &pass);
    let lost = resolve_moved(&mut lock(tree), &pass);
    second_look(ctx, tree, lost, &mut pass).await;
    phase.end();
    let tree = lock(tree);
    let mut wanted: Vec<NodeId> = pass
        .wanted
        .into_iter()
        .filter(|id| matches!(tree.node(*id).state, State::Wanted))
        .collect();
    wanted.sort_by_cached_key(|id| (tree.first_member(*id), *id));
    wanted.dedup();
    let appeared = pass.appeared;
    Again {
        wanted,
        seen_twice: pass
            .seen
            .into_keys()
            .filter(|id| !appeared.contains(id))
            .collect(),
    }
}

async fn relist(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    acls: &UnboundedSender<AclRequest>,
    mut reading: Option<Reading>,
    phase: &Phase<'_>,
) -> Pass {
    let mut pass = Pass::default();
    // Folders whose contents are still being read wait for them.
    let (mut waiting, ready): (HashSet<NodeId>, HashSet<NodeId>) = {
        let tree = lock(tree);
        tree.ids()
            .filter(|id| is_walked(&tree, *id))
            .partition(|id| reading.is_some() && is_being_read(&tree, *id))
    };
    phase.expect((waiting.len() + ready.len()) as u64);
    let mut pending = BTreeMap::new();
    let enqueue = |pending: &mut BTreeMap<String, NodeId>, folders: HashSet<NodeId>| {
        let tree = lock(tree);
        pending.extend(folders.into_iter().map(|id| (tree.order_key(id), id)));
    };
    enqueue(&mut pending, ready);
    let mut pace = Pace::new(ctx.gate.client);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < pace.limit
            && let Some((_, folder)) = pending.pop_first()
        {
            let path = lock(tree).path(folder);
            running.push(async move { (folder, walk::list(ctx, &path).await) });
        }
        let (folder, reply) = tokio::select! {
            Some(listed) = running.next(), if !running.is_empty() => listed,
            node = next_done(&mut reading), if reading.is_some() => {
                let ready = match node {
                    Some(node) => {
                        let tree = lock(tree);
                        Some(tree.parent(node))
                            .filter(|folder| !is_being_read(&tree, *folder))
                            .and_then(|folder| waiting.take(&folder))
                            .into_iter()
                            .collect()
                    }
                    None => {
                        reading = None;
                        std::mem::take(&mut waiting)
                    }
                };
                enqueue(&mut pending, ready);
                continue;
            }
            else => return pass,
        };
        pace.learn(ctx.gate.client);
        phase.step(0);
        let mut tree = lock(tree);
        match reply {
            Ok(entries) => {
                let appeared = compare(ctx, &mut tree, folder, &entries, acls, &mut pass);
                let folders = appeared
                    .into_iter()
                    .filter(|id| matches!(tree.node(*id).folder, Folder::Pending));
                pending.extend(folders.map(|id| (tree.order_key(id), id)));
            }
            Err(failure) => {
                pass.failed.insert(folder, failure);
            }
        }
    }
}

/// The next content that is read or given up; nothing when all are.
async fn next_done(reading: &mut Option<Reading>) -> Option<NodeId> {
    reading.as_mut()?.done.recv().await
}

/// Whether a content in a folder is still to be read.
fn is_being_read(tree: &Tree, folder: NodeId) -> bool {
    match &tree.node(folder).folder {
        Folder::Listed(children) => children
            .iter()
            .rev()
            .any(|child| matches!(tree.node(*child).state, State::Wanted)),
        _ => false,
    }
}

fn is_walked(tree: &Tree, id: NodeId) -> bool {
    !matches!(tree.node(id).folder, Folder::No)
}

/// Compares a folder's entries with its children; gives the new ones.
fn compare(
    ctx: &Context<'_>,
    tree: &mut Tree,
    folder: NodeId,
    entries: &[Box<RawValue>],
    acls: &UnboundedSender<AclRequest>,
    pass: &mut Pass,
) -> Vec<NodeId> {
    let path = tree.path(folder);
    let known: HashMap<(Box<str>, Box<str>), NodeId> = match &tree.node(folder).folder {
        Folder::Listed(children) => children
            .iter()
            .map(|child| {
                let node = tree.node(*child);
                ((node.name.clone(), node.object_id.clone()), *child)
            })
            .collect(),
        _ => HashMap::new(),
    };
    let mut new = Vec::new();
    for raw in entries {
        let Some(entry) = walk::parse(ctx, &path, raw) else {
            continue;
        };
        match known.get(&(entry.name.clone(), entry.object_id.clone())) {
            Some(child) => {
                pass.saw(*child);
                if update(tree, *child, &entry) {
                    pass.wanted.push(*child);
                }
            }
            None => new.push(entry),
        }
    }
    let appeared = walk::take_in_parsed(ctx, tree, folder, &path, new, acls);
    for id in &appeared {
        pass.appeared.insert(*id);
        pass.saw(*id);
        if matches!(tree.node(*id).state, State::Wanted) {
            pass.wanted.push(*id);
        }
    }
    appeared
}

/// Takes the newer facts of a known object; true when its content is to be read again.
fn update(tree: &mut Tree, id: NodeId, entry: &Entry) -> bool {
    if matches!(tree.node(id).state, State::Out) || tree.has_facts(id, &entry.raw) {
        return retry(tree, id);
    }
    if !matches!(tree.node(id).state, State::Content(_)) {
        tree.set_facts(id, &entry.raw);
        return retry(tree, id);
    }
    let changed = facts_changed(tree.facts(id).as_deref(), Some(&entry.raw));
    if changed {
        tree.want_again(id, &entry.raw);
    }
    changed
}

/// A content that answered "not found" is tried once more, now that the object is known to be there.
fn retry(tree: &mut Tree, id: NodeId) -> bool {
    let again = matches!(tree.node(id).state, State::Wanted | State::Missing(_));
    if again {
        tree.node_mut(id).state = State::Wanted;
    }
    again
}

fn facts_changed(before: Option<&str>, after: Option<&str>) -> bool {
    let parse = |text: Option<&str>| serde_json::from_str::<Value>(text?).ok();
    match (parse(before), parse(after)) {
        (Some(before), Some(after)) => rules::changed(&before, &after),
        _ => true,
    }
}

impl Pass {
    fn saw(&mut self, id: NodeId) {
        let at = self.seen.len() + 1;
        self.seen.insert(id, at);
    }

    /// Folders that could not be listed although they are there. One that is not there any more takes its children
    /// with it.
    fn unlisted(&self) -> impl Iterator<Item = (NodeId, &Failure)> {
        // Parents have smaller numbers than their children.
        self.failed.iter().filter_map(|(folder, failure)| {
            let is_there = *folder == 0 || self.seen.contains_key(folder);
            (is_there || !failure.is_gone()).then_some((*folder, failure))
        })
    }

    /// Where each object was seen last.
    fn places(&self, tree: &Tree) -> HashMap<Box<str>, NodeId> {
        let mut places: HashMap<Box<str>, NodeId> = HashMap::new();
        for (id, at) in &self.seen {
            let object_id = &tree.node(*id).object_id;
            if object_id.is_empty() {
                continue;
            }
            let place = places.entry(object_id.clone()).or_insert(*id);
            if self.seen[place] < *at {
                *place = *id;
            }
        }
        places
    }

    /// Objects of the archive that this listing does not show at their place, or shows at a later one too.
    fn elsewhere(&self, tree: &Tree, places: &HashMap<Box<str>, NodeId>) -> Vec<NodeId> {
        tree.ids()
            .skip(1)
            .filter(|id| !matches!(tree.node(*id).state, State::Out | State::Inventoried))
            .filter(|id| {
                let place = places.get(&tree.node(*id).object_id);
                !self.seen.contains_key(id) || place.is_some_and(|place| place != id)
            })
            .collect()
    }
}

/// What the first listing showed in a folder that cannot be listed again stays. Gives the objects that are not shown at
/// all, those at two places, and folders that are shown but not found.
fn doubtful(tree: &Tree, pass: &mut Pass) -> Vec<NodeId> {
    let kept: Vec<NodeId> = pass
        .unlisted()
        .filter_map(|(folder, _)| match &tree.node(folder).folder {
            Folder::Listed(children) => Some(children),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    for id in kept {
        // Earlier than whatever was really seen.
        pass.seen.entry(id).or_insert(0);
    }
    let places = pass.places(tree);
    let elsewhere = pass
        .elsewhere(tree, &places)
        .into_iter()
        .filter(|id| pass.seen.contains_key(id) || !places.contains_key(&tree.node(*id).object_id));
    // A folder that its parent shows and that is not found may have gone between the two listings.
    let hidden = pass
        .unlisted()
        .filter(|(_, failure)| failure.is_gone())
        .map(|(folder, _)| folder);
    elsewhere.chain(hidden).collect()
}

/// A folder that cannot be listed (again) but is still there makes the inventory incomplete.
fn state_unlisted(ctx: &Context<'_>, tree: &mut Tree, pass: &Pass) {
    let mut first_reason = None;
    let mut relisted_in_vain = 0_u64;
    for (folder, failure) in pass.unlisted() {
        ctx.ledger.unlisted();
        first_reason.get_or_insert_with(|| failure.to_string());
        match &tree.node(folder).folder {
            Folder::Listed(_) => relisted_in_vain += 1,
            _ if folder == 0 => {}
            _ => {
                let path = tree.path(folder);
                let node = tree.node_mut(folder);
                node.state = State::Out;
                if ctx.selected.kind(node.kind.name) {
                    ctx.ledger.gap(&failure.line(
                        node.kind.name,
                        &node.object_id,
                        &path,
                        Fate::Failed,
                    ));
                }
            }
        }
    }
    if let (Some(reason), 1..) = (first_reason, relisted_in_vain) {
        let text =
            format!("{relisted_in_vain} folders could not be listed a second time: {reason}");
        ctx.observer
            .event(crate::event::Event::Warning { text: &text });
    }
}

/// Objects that the second listing shows elsewhere are recorded there; gives those that it does not show at all.
fn resolve_moved(tree: &mut Tree, pass: &Pass) -> Vec<NodeId> {
    let places = pass.places(tree);
    let elsewhere = pass.elsewhere(tree, &places);
    elsewhere
        .into_iter()
        .filter(|id| match places.get(&tree.node(*id).object_id) {
            Some(place) => {
                hand_over(tree, *id, *place);
                false
            }
            None => true,
        })
        .collect()
}

/// Gives the content that was read at the earlier place to the later one.
fn hand_over(tree: &mut Tree, earlier: NodeId, later: NodeId) {
    // What decides is what decides for a base: the type of a file goes with its extension.
    let mut state = |id| {
        let facts = serde_json::from_str(tree.facts(id)?.as_str()).ok()?;
        Some(tree_state(&tree.path(id), &facts))
    };
    let (before, after) = (state(earlier), state(later));
    let unchanged = before.is_some() && before == after;
    tree.hand_over(earlier, later, unchanged);
}

/// Asks for each lost object by its path: gone is said only when that call says so too.
async fn second_look(ctx: &Context<'_>, tree: &Mutex<Tree>, lost: Vec<NodeId>, pass: &mut Pass) {
    let mut lost: HashSet<NodeId> = lost.into_iter().collect();
    let mut gone: HashSet<NodeId> = HashSet::new();
    while !lost.is_empty() {
        // Those below a folder that is gone need no question of their own.
        let (without, mut asked): (Vec<NodeId>, Vec<NodeId>) = {
            let tree = lock(tree);
            lost.iter()
                .filter(|id| !lost.contains(&tree.parent(**id)))
                .partition(|id| gone.contains(&tree.parent(**id)))
        };
        asked.sort_unstable();
        for id in without {
            lost.remove(&id);
            gone.insert(id);
            state_vanished(ctx, &mut lock(tree), id, None);
        }
        let mut looks = stream::iter(asked)
            .map(|id| {
                let path = lock(tree).path(id);
                async move { (id, status(ctx, &path).await) }
            })
            .buffer_unordered(ctx.concurrency());
        while let Some((id, reply)) = looks.next().await {
            lost.remove(&id);
            let mut tree = lock(tree);
            match reply {
                Ok(object_id) if object_id.as_deref() == Some(&*tree.node(id).object_id) => {
                    if pass.failed.contains_key(&id) {
                        // There, but neither its parent nor a listing of its own shows what is in it.
                        ctx.ledger.unlisted();
                    }
                    if matches!(tree.node(id).state, State::Missing(_)) {
                        tree.node_mut(id).state = State::Wanted;
                        pass.wanted.push(id);
                    }
                }
                Ok(_) => {
                    gone.insert(id);
                    state_vanished(ctx, &mut tree, id, None);
                }
                Err(failure) if failure.is_gone() => {
                    gone.insert(id);
                    state_vanished(ctx, &mut tree, id, Some(&failure));
                }
                Err(_) => ctx.ledger.unlisted(),
            }
        }
    }
}

/// The object id of what is at a path.
async fn status(ctx: &Context<'_>, path: &str) -> Result<Option<String>, Failure> {
    let facts = ctx
        .gate
        .ask(
            ctx.gate
                .client
                .get("/api/2.0/workspace/get-status", &[("path", path)]),
        )
        .await?;
    Ok(facts.get("object_id").and_then(places::scalar))
}

fn state_vanished(ctx: &Context<'_>, tree: &mut Tree, id: NodeId, failure: Option<&Failure>) {
    let path = tree.path(id);
    let node = tree.node_mut(id);
    let was = std::mem::replace(&mut node.state, State::Out);
    if matches!(was, State::Passing | State::Out) || !ctx.selected.kind(node.kind.name) {
        return;
    }
    let mut line = match failure {
        Some(failure) => failure.line(node.kind.name, &node.object_id, &path, Fate::Vanished),
        None => crate::ledger::line(
            node.kind.name,
            &node.object_id,
            &path,
            Fate::Vanished,
            "its folder is gone",
        ),
    };
    line.message = format!(
        "listed at first, gone at the second listing: {}",
        line.message
    );
    ctx.ledger.gap(&line);
}

/// States the fate of contents that answered "not found" to the last.
pub(crate) async fn settle_missing(ctx: &Context<'_>, tree: &Mutex<Tree>, again: &Again) {
    let missing: Vec<NodeId> = {
        let tree = lock(tree);
        tree.ids()
            .filter(|id| matches!(tree.node(*id).state, State::Missing(_)))
            .collect()
    };
    for id in missing {
        let path = lock(tree).path(id);
        // What two listings showed is there, but this caller may not read it.
        let hidden = again.seen_twice.contains(&id);
        let gone = !hidden
            && status(ctx, &path)
                .await
                .is_err_and(|failure| failure.is_gone());
        let mut tree = lock(tree);
        let node = tree.node_mut(id);
        if let State::Missing(failure) = std::mem::replace(&mut node.state, State::Out) {
            let fate = if gone { Fate::Vanished } else { Fate::Failed };
            let line = failure.line(node.kind.name, &node.object_id, &path, fate);
            if gone {
                ctx.ledger.gap(&line);
            } else {
                give_up(ctx, &mut tree, id, line);
            }
        }
    }
}
