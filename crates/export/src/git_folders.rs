//! Git folders: recorded with url, branch and commit. The listing shows those that the caller manages; the others are
//! known from the tree and read one by one.
//!
//! Specified in `spec/export.md`, "Git folders".

use std::collections::HashMap;
use std::sync::Mutex;

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::Fate;
use lifeboat_catalog::{Kind, tree as rules};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use crate::access_control::AclRequest;
use crate::context::Context;
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::line;
use crate::objects::{self, KindRecords, Listed};
use crate::workspace::walk::lock;
use crate::workspace::{NodeId, Tree};

/// Name of the kind.
pub(crate) const KIND: &str = "git-folders";

/// Records all git folders, when the tree is completely known.
pub(crate) async fn read_all(
    ctx: &Context<'_>,
    kind: &'static Kind,
    listed: Option<Vec<Box<RawValue>>>,
    tree: &Mutex<Tree>,
    acls: &UnboundedSender<AclRequest>,
) -> Result<KindRecords, Error> {
    let mut records = KindRecords::new(kind);
    let mut in_tree = in_tree(&lock(tree));
    let elements = listed.unwrap_or_default();
    for listed in objects::wanted(ctx, kind, elements, &mut records.listed) {
        match in_tree.remove(&listed.id) {
            // Its access control is asked for with the tree.
            Some(Some(_)) => drop(records.keep_record(ctx, &listed.id, listed.body)?),
            // The walk stated its fate.
            Some(None) => {}
            None => keep_outside_tree(ctx, &mut records, listed, acls)?,
        }
    }
    let mut rest: Vec<(String, NodeId, String)> = in_tree
        .into_iter()
        .filter_map(|(object_id, node)| node.map(|(id, path)| (object_id, id, path)))
        .collect();
    rest.sort();
    let mut replies = stream::iter(rest)
        .map(|(object_id, id, path)| async move {
            let reply = get(ctx, &object_id).await;
            (object_id, id, path, reply)
        })
        .buffer_unordered(ctx.concurrency());
    while let Some((object_id, id, path, reply)) = replies.next().await {
        match reply {
            Ok(body) => {
                records.keep_record(ctx, &object_id, body)?;
            }
            Err(failure) => {
                lock(tree).leave_out(id);
                ctx.ledger
                    .gap(&failure.line(KIND, &object_id, &path, Fate::Failed));
            }
        }
    }
    Ok(records)
}

/// Git folders of the tree by object id; without node when they are not in the archive.
fn in_tree(tree: &Tree) -> HashMap<String, Option<(NodeId, String)>> {
    let mut found = HashMap::new();
    for id in tree.ids().filter(|id| tree.node(*id).kind.name == KIND) {
        let (_, object_id) = tree.kind_and_id(id);
        let recorded = tree.recorded(id).map(|(.., path)| (id, path));
        // One that moved has two nodes, of which one is recorded.
        let known = found.entry(object_id.to_owned()).or_insert(None);
        *known = known.take().or(recorded);
    }
    found
}

/// A git folder that the tree does not show: left out by the selection, or below a folder that could not be listed.
fn keep_outside_tree(
    ctx: &Context<'_>,
    records: &mut KindRecords,
    listed: Listed,
    acls: &UnboundedSender<AclRequest>,
) -> Result<(), Error> {
    let path = rules::without_alias(&listed.name).to_owned();
    let why = match (rules::excluded(&path), ctx.selected.excluded_by(&path)) {
        (Some(rule), _) => Some(format!("rule: {rule}")),
        (None, Some(pattern)) => Some(format!("excluded by {pattern:?}")),
        (None, None) if !ctx.selected.includes(&path) => {
            Some("not included by the selection".to_owned())
        }
        (None, None) => None,
    };
    match why {
        Some(why) => {
            ctx.ledger
                .gap(&line(KIND, &listed.id, &path, Fate::Excluded, why));
            Ok(())
        }
        None => records.keep(ctx, acls, listed.id, listed.body),
    }
}

async fn get(ctx: &Context<'_>, id: &str) -> Result<Value, Failure> {
    let path = format!("/api/2.0/repos/{}", lifeboat_databricks::segment(id));
    ctx.gate.ask(ctx.gate.client.get(&path, &[])).await
}
