//! The records of the tree: one line per object, sorted by path, written when every fate is known.

use std::collections::HashMap;

use lifeboat_archive::{Fate, Stored};
use lifeboat_catalog::places;
use lifeboat_catalog::records::{ContentRef, WorkspaceLine};
use serde_json::Value;

use super::tree::{NodeId, State, Tree};
use crate::context::Context;
use crate::error::Error;
use crate::ledger::line;
use crate::objects::serialise;

/// Notes sizes and digests that the writer told. Later ones of the same object come later.
pub(crate) fn take_stored(tree: &mut Tree, stored: Vec<(NodeId, Stored)>) {
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
                facts.stored = Some(stored);
            }
        }
    }
}

/// States the fate of everything that has none yet.
pub(crate) fn settle(ctx: &Context<'_>, tree: &mut Tree) {
    for id in tree.ids() {
        let path = tree.path(id);
        let node = tree.node_mut(id);
        let kind = node.kind.name;
        let selected = ctx.selected.kind(kind);
        match &node.state {
            // Git folders are stated with their records; the root is no object of a listing.
            State::Plain if kind == "git-folders" => {}
            State::Plain => ctx.ledger.stored(kind, 0),
            State::Content(facts) => ctx
                .ledger
                .stored(kind, facts.stored.map_or(0, |stored| stored.size)),
            State::Passing if id != 0 && selected => {
                let message = "not included by the selection";
                ctx.ledger
                    .gap(&line(kind, &node.object_id, &path, Fate::Excluded, message));
                node.state = State::Out;
            }
            State::Wanted => {
                ctx.ledger.gap(&line(
                    kind,
                    &node.object_id,
                    &path,
                    Fate::Failed,
                    "not attempted",
                ));
                node.state = State::Out;
            }
            State::Missing(failure) => {
                ctx.ledger
                    .gap(&failure.line(kind, &node.object_id, &path, Fate::Failed));
                node.state = State::Out;
            }
            State::Passing | State::Inventoried | State::Out => {}
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
