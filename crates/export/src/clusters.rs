//! What clusters need beyond the generic reading: pins, clusters that only jobs still name, and library lists.
//!
//! The listing holds active and pinned clusters and those that ended in the last 30 days; a job may name an older one.
//! Specified in `spec/export.md`, "Clusters".

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::Fate;
use lifeboat_catalog::Kind;
use lifeboat_databricks::{Listing, Paging};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use crate::access_control::AclRequest;
use crate::context::{Context, Phase, some_of};
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::line;
use crate::objects::{self, KindRecords};

/// Name of the kind.
pub(crate) const KIND: &str = "clusters";
/// Name of the kind of library lists.
pub(crate) const LIBRARIES: &str = "libraries";
/// Row of the summary for pins that could not be read; not a kind of the catalog.
const PINS: &str = "cluster-pins";
/// Field by which a body says that the cluster is pinned.
const PINNED: &str = "pinned_by_user_name";

/// Reads all clusters that the service lists.
pub(crate) async fn read_all(
    ctx: &Context<'_>,
    kind: &'static Kind,
    acls: &UnboundedSender<AclRequest>,
    phase: &Phase<'_>,
) -> Result<KindRecords, Error> {
    let mut records = KindRecords::new(kind);
    let (elements, pinned) =
        futures_util::future::join(objects::list(ctx, kind), filtered(ctx, true)).await;
    let Some(elements) = elements else {
        return Ok(records);
    };
    let mut wanted = objects::wanted(ctx, kind, elements, &mut records.listed);
    // The plain listing names who pinned a cluster; the filter is for services that leave the name out.
    if wanted
        .iter()
        .all(|listed| listed.body.get(PINNED).is_none())
        && !wanted.is_empty()
    {
        match told_apart(ctx, pinned, &records.listed).await {
            Ok(pinned) => mark_pinned(&mut wanted, &pinned),
            Err(failure) => {
                let mut line = failure.line(PINS, "", "", Fate::Failed);
                line.message = format!("which clusters are pinned is not known: {}", line.message);
                ctx.ledger.gap(&line);
            }
        }
    }
    objects::read_wanted(ctx, wanted, &mut records, acls, phase).await?;
    Ok(records)
}

fn mark_pinned(wanted: &mut [objects::Listed], pinned: &BTreeSet<String>) {
    for listed in wanted
        .iter_mut()
        .filter(|listed| pinned.contains(&listed.id))
    {
        if let Some(body) = listed.body.as_object_mut() {
            body.insert(PINNED.to_owned(), Value::from("unknown"));
        }
    }
}

/// The pinned clusters, given the filter's answer. When it names every cluster, either all are pinned or the service
/// does not know the filter: then the opposite filter names them all too, and nothing can be said.
async fn told_apart(
    ctx: &Context<'_>,
    pinned: Result<BTreeSet<String>, Failure>,
    listed: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Failure> {
    let pinned = pinned?;
    if !listed.is_subset(&pinned) {
        return Ok(pinned);
    }
    let not_pinned = filtered(ctx, false).await?;
    Ok(pinned.difference(&not_pinned).cloned().collect())
}

/// Ids of the clusters that are pinned, or not, as the service's filter gives them.
async fn filtered(ctx: &Context<'_>, pinned: bool) -> Result<BTreeSet<String>, Failure> {
    let listing = Listing {
        path: "/api/2.1/clusters/list",
        query: vec![("filter_by.is_pinned", pinned.to_string())],
        array: "clusters",
        paging: Paging::PageToken {
            size: Some(("page_size", 100)),
        },
    };
    let elements = ctx.gate.ask(ctx.gate.client.list(&listing)).await?;
    Ok(elements
        .iter()
        .filter_map(|element| id_of(element))
        .collect())
}

fn id_of(element: &RawValue) -> Option<String> {
    let body: Value = serde_json::from_str(element.get()).ok()?;
    body.get("cluster_id")?.as_str().map(str::to_owned)
}

/// Fetches once, by id, the clusters that jobs name and the listing did not hold.
pub(crate) async fn read_named_by_jobs(
    ctx: &Context<'_>,
    records: &mut KindRecords,
    named: &BTreeMap<String, BTreeSet<String>>,
    acls: &UnboundedSender<AclRequest>,
) -> Result<(), Error> {
    let kind = records.kind;
    let missing: Vec<&String> = named
        .keys()
        .filter(|id| !records.listed.contains(*id))
        .collect();
    let mut replies = stream::iter(missing)
        .map(|id| async move { (id, objects::get(ctx, kind, id).await) })
        .buffer_unordered(ctx.concurrency());
    let mut found = Vec::new();
    while let Some((id, reply)) = replies.next().await {
        let jobs = named.get(id).map(some_of).unwrap_or_default();
        match reply {
            Ok(body) => match (kind.include)(&body) {
                Ok(()) => found.push((id.clone(), body)),
                Err(reason) => {
                    let message = format!("rule: {reason}; named by {jobs}");
                    ctx.ledger.gap(&line(KIND, id, "", Fate::Excluded, message));
                }
            },
            Err(failure) => {
                let fate = if failure.is_gone() {
                    Fate::Vanished
                } else {
                    Fate::Failed
                };
                let mut line = failure.line(KIND, id, "", fate);
                line.message = format!("{jobs} points nowhere: {}", line.message);
                ctx.ledger.gap(&line);
            }
        }
    }
    drop(replies);
    for (id, body) in found {
        records.keep(ctx, acls, id, body)?;
    }
    Ok(())
}

/// Keeps the library lists of captured clusters.
pub(crate) fn keep_libraries(
    ctx: &Context<'_>,
    kind: &'static Kind,
    listed: Option<Vec<Box<RawValue>>>,
    clusters: Option<&KindRecords>,
    acls: &UnboundedSender<AclRequest>,
) -> Result<KindRecords, Error> {
    let mut records = KindRecords::new(kind);
    let Some(elements) = listed else {
        return Ok(records);
    };
    for listed in objects::wanted(ctx, kind, elements, &mut BTreeSet::new()) {
        // Without a list of clusters nothing can be said against a library list.
        if clusters.is_none_or(|clusters| clusters.captured.contains(&listed.id)) {
            records.keep(ctx, acls, listed.id, kind.from_listed(listed.body))?;
        } else {
            let message = "rule: the cluster is not captured";
            ctx.ledger.gap(&line(
                LIBRARIES,
                &listed.id,
                &listed.name,
                Fate::Excluded,
                message,
            ));
        }
    }
    Ok(records)
}
