//! The records of the tree: one line per object, sorted by path, written when every fate is known.

use std::collections::HashMap;

use lifeboat_archive::{Fate, LedgerLine, Stored};
use lifeboat_catalog::places;
use lifeboat_catalog::records::{ContentRef, WorkspaceLine};
use serde_json::Value;

use super::tree::{NodeId, State, Tree};
use crate::context::{Context, SECOND_READINGS};
use crate::error::Error;
use crate::ledger::line;
use crate::objects::serialise;

/// States that a content could not be read. Where an earlier reading of it is in the archive, that one stands, and the
/// line says so in a row of its own.
pub(crate) fn give_up(ctx: &Context<'_>, tree: &mut Tree, id: NodeId, mut line: LedgerLine) {
    if tree.restore(id) {
        line.kind = SECOND_READINGS.to_owned();
        line.message = format!(
            "changed after it was read and could not be read again, the archive has the content of the first reading: {}",
            line.message
        );
    } else {
        tree.node_mut(id).state = State::Out;
    }
    ctx.ledger.gap(&line);
}

/// States the fate of everything that still waits to be read.
pub(crate) fn settle_unread(ctx: &Context<'_>, tree: &mut Tree) {
    for id in tree.ids() {
        let path = tree.path(id);
        let node = tree.node_mut(id);
        let (kind, fate) = (node.kind.name, Fate::Failed);
        let line = match &node.state {
            State::Wanted => line(kind, &node.object_id, &path, fate, "not attempted"),
            State::Missing(failure) => failure.line(kind, &node.object_id, &path, fate),
            _ => continue,
        };
        give_up(ctx, tree, id, line);
    }
}

/// Notes sizes and digests that the writer told; gives what it refused. Later ones of the same object come later.
pub(crate) fn take_stored(
    tree: &mut Tree,
    stored: Vec<(NodeId, Result<Stored, String>)>,
) -> HashMap<NodeId, String> {
    let mut refused = HashMap::new();
    // Contents of moved objects were written under the node of the earlier place.
    let mut moved: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for id in tree.ids() {
        if let State::Content(facts) = &tree.node(id).state
            && facts.token != id
        {
            moved.entry(facts.token).or_default().push(id);
        }
    }
    for (token, stored) in stored {
        let holders = moved.get(&token).map_or(&[][..], Vec::as_slice);
        for id in holders.iter().chain([&token]) {
            if let State::Content(facts) = &mut tree.node_mut(*id).state
                && facts.token == token
            {
                match &stored {
                    Ok(stored) => facts.stored = Some(*stored),
                    Err(message) => {
                        facts.stored = None;
                        refused.insert(*id, message.clone());
                    }
                }
            }
        }
    }
    refused
}

/// States the fate of everything that has none yet; `refused` says what the archive did not take.
pub(crate) fn settle(ctx: &Context<'_>, tree: &mut Tree, refused: &HashMap<NodeId, String>) {
    for id in tree.ids() {
        let path = tree.path(id);
        let node = tree.node_mut(id);
        let kind = node.kind.name;
        let selected = ctx.selected.kind(kind);
        match &node.state {
            // Git folders are stated with their records; the root is no object of a listing.
            State::Plain if kind == "git-folders" => {}
            State::Plain => ctx.ledger.stored(kind, 0),
            State::Content(facts) => match facts.stored {
                Some(stored) => {
                    ctx.ledger.captured(kind, facts.source, stored.size);
                    if let Some(expected) = &facts.expected {
                        let same = **expected == stored.sha256;
                        ctx.sample.read(kind, &node.object_id, &path, same);
                    }
                }
                None => {
                    let message = refused
                        .get(&id)
                        .map_or("its content was lost", String::as_str);
                    ctx.ledger
                        .gap(&line(kind, &node.object_id, &path, Fate::Failed, message));
                    node.state = State::Out;
                }
            },
            State::Passing if id != 0 && selected => {
                let message = "not included by the selection";
                ctx.ledger
                    .gap(&line(kind, &node.object_id, &path, Fate::Excluded, message));
                node.state = State::Out;
            }
            State::Wanted
            | State::Missing(_)
            | State::Passing
            | State::Inventoried
            | State::Out => {}
        }
    }
}

/// What the table `data/workspace` holds, in its order.
pub(crate) fn order(tree: &Tree) -> Vec<(String, NodeId)> {
    let mut recorded: Vec<(String, NodeId)> = tree
        .ids()
        .filter(|id| {
            let node = tree.node(*id);
            matches!(
                node.state,
                State::Plain | State::Content(_) | State::Inventoried
            ) && node.has_any_facts()
        })
        .map(|id| (tree.path(id), id))
        .collect();
    recorded.sort_unstable();
    recorded
}

/// One line of the table.
pub(crate) fn record(tree: &mut Tree, path: String, id: NodeId) -> Result<String, Error> {
    let text = tree.facts(id).unwrap_or_default();
    if let Some(error) = tree.take_broken() {
        return Err(Error::temporary(error));
    }
    let node = tree.node(id);
    let facts: Value = serde_json::from_str(&text).map_err(|source| Error::Serialise {
        what: "the facts of a workspace object",
        source,
    })?;
    let object_type = facts
        .get("object_type")
        .and_then(places::scalar)
        .unwrap_or_default();
    let content = match &node.state {
        State::Content(content) => content.stored.map(|stored| ContentRef {
            path: content
                .member
                .as_deref()
                .map_or_else(|| tree.first_member(id), str::to_owned),
            size: stored.size,
            sha256: stored.sha256.to_string(),
            format: content.format.to_owned(),
            file_type: content.file_type.as_deref().map(str::to_owned),
        }),
        _ => None,
    };
    let line = WorkspaceLine {
        path,
        object_id: node.object_id.to_string(),
        object_type,
        facts,
        content,
    };
    serialise("a record of the workspace tree", &line)
}
