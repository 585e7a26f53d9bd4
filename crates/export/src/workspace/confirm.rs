//! A last look at the folders of what was read after the second listing.
//!
//! Specified in `spec/export.md`, "The second listing".

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::stream;
use lifeboat_archive::Fate;
use serde_json::value::RawValue;

use super::again::{Again, MORE_LISTINGS};
use super::table::give_up;
use super::tree::{NodeId, State, Tree};
use super::walk::{self, Pace, lock};
use crate::context::Context;
use crate::gate::Failure;
use crate::ledger::Source;

/// Lists the folders of contents that were read after the second listing: contents are asked for by path, and where
/// another object stands by now, nobody knows whose content it was.
pub(crate) async fn confirm(ctx: &Context<'_>, tree: &Mutex<Tree>, again: &Again) {
    let mut unsure: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    {
        let tree = lock(tree);
        let is_read = |id: &NodeId| matches!(&tree.node(*id).state, State::Content(content) if content.source == Source::Service);
        for id in again.wanted.iter().copied().filter(is_read) {
            unsure.entry(tree.parent(id)).or_default().push(id);
        }
    }
    let mut unlisted: HashMap<NodeId, Failure> = HashMap::new();
    for _ in 0..=MORE_LISTINGS {
        let mut listed = stream::iter(unsure)
            .map(|(folder, nodes)| async move {
                let path = lock(tree).path(folder);
                (folder, nodes, walk::list(ctx, &path).await)
            })
            .buffer_unordered(Pace::new(ctx.gate.client).limit);
        let mut left = BTreeMap::new();
        while let Some((folder, mut nodes, entries)) = listed.next().await {
            unlisted.remove(&folder);
            match entries {
                Ok(entries) => {
                    let tree = lock(tree);
                    let there = names_and_ids(ctx, &tree.path(folder), &entries);
                    nodes.retain(|id| {
                        let node = tree.node(*id);
                        !there.contains(&(node.name.clone(), node.object_id.clone()))
                    });
                }
                Err(failure) => {
                    unlisted.insert(folder, failure);
                }
            }
            if !nodes.is_empty() {
                left.insert(folder, nodes);
            }
        }
        unsure = left;
    }
    let mut tree = lock(tree);
    for (folder, nodes) in unsure {
        for id in nodes {
            let path = tree.path(id);
            let (kind, object_id) = tree.kind_and_id(id);
            let mut line = match unlisted.get(&folder) {
                Some(failure) => failure.line(kind.name, object_id, &path, Fate::Failed),
                None => crate::ledger::line(
                    kind.name,
                    object_id,
                    &path,
                    Fate::Failed,
                    "it is not there any more",
                ),
            };
            line.message = format!("what was read may be another object's: {}", line.message);
            give_up(ctx, &mut tree, id, line);
        }
    }
}

fn names_and_ids(
    ctx: &Context<'_>,
    folder: &str,
    entries: &[Box<RawValue>],
) -> HashSet<(Box<str>, Box<str>)> {
    entries
        .iter()
        .filter_map(|raw| walk::parse(ctx, folder, raw))
        .map(|entry| (entry.name, entry.object_id))
        .collect()
}
