//! Access control: one call per object, made while contents are still being read, kept as texts until the end.
//!
//! Owns the reading and the tables `data/acls/<kind>`; what entries mean is the catalog's. The summary has a row
//! `acls/<kind>` for each kind. Specified in `spec/export.md`, "Access control".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use lifeboat_archive::{Fate, Listing};
use lifeboat_catalog::{Kind, acl, places};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::{Context, Phase};
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::Source;
use crate::objects;
use crate::spill::{Slot, Spill};
use crate::workspace::{NodeId, Tree};

/// An object whose access control is wanted.
#[derive(Debug)]
pub(crate) enum AclRequest {
    /// An object outside the tree.
    Object(Box<Object>),
    /// An object of the workspace tree.
    Node(NodeId),
}

/// An object outside the tree.
#[derive(Debug)]
pub(crate) struct Object {
    kind: &'static Kind,
    id: String,
    name: String,
}

impl AclRequest {
    /// For an object outside the tree.
    pub(crate) fn object(kind: &'static Kind, id: String, name: String) -> Self {
        Self::Object(Box::new(Object { kind, id, name }))
    }
}

/// What was read so far.
pub(crate) struct Acls {
    state: Mutex<State>,
}

struct State {
    spill: Spill,
    objects: BTreeMap<&'static str, Vec<(Box<Object>, Slot)>>,
    nodes: Vec<(NodeId, Slot, Source)>,
    /// Kinds of which a reply was taken over from the base.
    reused: BTreeSet<&'static str>,
    failed_nodes: Vec<(NodeId, Failure)>,
    /// Kinds of which there is a reply.
    read: BTreeSet<&'static str>,
    /// What was told, or taken, to be switched off.
    refused: BTreeMap<&'static str, Refused>,
}

/// The objects of a kind whose access control is said to be switched off. One such answer may be a mistake.
struct Refused {
    kind: &'static Kind,
    /// What the service said of the first.
    failure: Failure,
    /// How many the service said it of.
    said: usize,
    /// All of them, and those that were not asked for any more.
    requests: Vec<AclRequest>,
}

/// A line of a table; the reply goes in as the text that it is.
#[derive(Serialize)]
struct AclText<'a> {
    kind: &'a str,
    id: &'a str,
    name: &'a str,
    body: &'a RawValue,
}

/// A reply that was read.
enum Row {
    Object(Box<Object>, Slot),
    Node(NodeId, Slot),
}

/// Texts of one table in the order of their keys.
pub(crate) struct AclTable {
    pub(crate) kind: &'static str,
    rows: Vec<Row>,
}

impl Acls {
    pub(crate) fn new() -> Self {
        let state = State {
            spill: Spill::new(),
            objects: BTreeMap::new(),
            nodes: Vec::new(),
            reused: BTreeSet::new(),
            failed_nodes: Vec::new(),
            read: BTreeSet::new(),
            refused: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Reads what is requested until nobody requests any more.
    pub(crate) async fn read_all(
        &self,
        ctx: &Context<'_>,
        tree: &Mutex<Tree>,
        mut requests: UnboundedReceiver<AclRequest>,
        phase: &Phase<'_>,
    ) -> Result<(), Error> {
        let mut running = FuturesUnordered::new();
        let mut open = true;
        while open || !running.is_empty() {
            let free = running.len() < ctx.acls_at_a_time();
            tokio::select! {
                request = requests.recv(), if open && free => match request {
                    Some(request) => {
                        let Some((kind, id)) = target(tree, &request) else { continue };
                        let Some(request) = self.unless_held(ctx, tree, kind, &id, request)? else { continue };
                        if let Some(request) = self.unless_off(kind, request) {
                            running.push(async move { (read(ctx, kind, &id).await, kind, request) });
                        }
                    }
                    None => open = false,
                },
                Some((reply, kind, request)) = running.next(), if !running.is_empty() => {
                    if ctx.walked.get().is_some() {
                        phase.left((running.len() + requests.len()) as u64 + 1);
                    }
                    phase.step(0);
                    self.keep(ctx, reply, kind, request).await?;
                }
            }
        }
        Ok(())
    }

    /// The request, unless the base has the answer and it is young enough.
    fn unless_held(
        &self,
        ctx: &Context<'_>,
        tree: &Mutex<Tree>,
        kind: &'static Kind,
        id: &str,
        request: AclRequest,
    ) -> Result<Option<AclRequest>, Error> {
        let Some(base) = &ctx.base else {
            return Ok(Some(request));
        };
        let held = match &request {
            AclRequest::Object(object) => base.acl(kind.name, id, &object.name)?,
            AclRequest::Node(node) => {
                let path = crate::workspace::walk::lock(tree).path(*node);
                base.acl(kind.name, id, &path)?
            }
        };
        match held {
            Some(text) => {
                self.take(ctx, &text, Source::Base, kind, request)?;
                Ok(None)
            }
            None => Ok(Some(request)),
        }
    }

    /// Keeps an answer.
    fn take(
        &self,
        ctx: &Context<'_>,
        text: &str,
        source: Source,
        kind: &'static Kind,
        request: AclRequest,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        state.read.insert(kind.name);
        if source == Source::Base {
            state.reused.insert(kind.name);
        }
        let slot = state.spill.put(text).map_err(Error::temporary)?;
        match request {
            AclRequest::Node(node) => state.nodes.push((node, slot, source)),
            AclRequest::Object(object) => {
                state
                    .objects
                    .entry(kind.name)
                    .or_default()
                    .push((object, slot));
                ctx.ledger
                    .captured(&row(kind), source, u64::from(slot.length()));
            }
        }
        Ok(())
    }

    /// When the access control of each kind was read last, as far as it is in the archive: by this run, or by the one
    /// that the oldest part of it was taken over from.
    pub(crate) fn ages(&self, ctx: &Context<'_>) -> BTreeMap<&'static str, Timestamp> {
        let state = self.lock();
        let age = |kind: &'static str| {
            let of_base = ctx.base.as_ref().and_then(|base| base.acls_read(kind));
            let reused = state.reused.contains(kind);
            (
                kind,
                of_base.filter(|_| reused).unwrap_or(ctx.options.started),
            )
        };
        state.read.iter().copied().map(age).collect()
    }

    /// The request, unless it is known that access control of its kind is switched off.
    fn unless_off(&self, kind: &'static Kind, request: AclRequest) -> Option<AclRequest> {
        let mut state = self.lock();
        let was_read = state.read.contains(kind.name);
        match state.refused.get_mut(kind.name) {
            Some(refused) if refused.said > 1 && !was_read => {
                refused.requests.push(request);
                None
            }
            _ => Some(request),
        }
    }

    async fn keep(
        &self,
        ctx: &Context<'_>,
        reply: Result<String, Failure>,
        kind: &'static Kind,
        request: AclRequest,
    ) -> Result<(), Error> {
        let row = row(kind);
        match (reply, request) {
            (Ok(text), request) => self.take(ctx, &text, Source::Service, kind, request)?,
            (Err(failure), request) if failure.is_switched_off() => {
                let mut state = self.lock();
                let refused = state.refused.entry(kind.name).or_insert_with(|| Refused {
                    kind,
                    failure,
                    said: 0,
                    requests: Vec::new(),
                });
                refused.said += 1;
                refused.requests.push(request);
            }
            (Err(failure), AclRequest::Node(node)) => {
                self.lock().failed_nodes.push((node, failure))
            }
            (Err(failure), AclRequest::Object(object)) => {
                let fate = if failure.is_gone() && is_gone(ctx, kind, &object.id).await {
                    Fate::Vanished
                } else {
                    Fate::Failed
                };
                ctx.ledger
                    .gap(&failure.line(&row, &object.id, &object.name, fate));
            }
        }
        Ok(())
    }

    /// States the fate of the access control of the tree's objects, and gives all tables in their order.
    pub(crate) fn finish(self, ctx: &Context<'_>, tree: &Tree) -> (AclTexts, Vec<AclTable>) {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for (node, failure) in state.failed_nodes {
            state_failed(ctx, tree, &failure, &AclRequest::Node(node));
        }
        // A kind with a single object is taken for switched off when no other kind says otherwise.
        let everywhere = state.read.is_empty() && state.refused.len() > 1;
        for refused in state.refused.into_values() {
            let row = row(refused.kind);
            if !state.read.contains(refused.kind.name) && (refused.said > 1 || everywhere) {
                let (listing, reason) = refused.failure.listing();
                ctx.ledger.listing(&row, listing, Some(reason));
                continue;
            }
            for request in &refused.requests {
                state_failed(ctx, tree, &refused.failure, request);
            }
        }
        let mut tables: BTreeMap<&'static str, Vec<Row>> = BTreeMap::new();
        for (kind, objects) in state.objects {
            let rows = objects
                .into_iter()
                .map(|(object, slot)| Row::Object(object, slot));
            tables.insert(kind, rows.collect());
        }
        for (node, slot, source) in state.nodes {
            if tree.is_recorded(node) {
                let (kind, _) = tree.kind_and_id(node);
                ctx.ledger
                    .captured(&row(kind), source, u64::from(slot.length()));
                tables
                    .entry(kind.name)
                    .or_default()
                    .push(Row::Node(node, slot));
            }
        }
        for rows in tables.values_mut() {
            rows.sort_by(|a, b| a.id(tree).cmp(b.id(tree)));
        }
        let tables = tables
            .into_iter()
            .map(|(kind, rows)| AclTable { kind, rows })
            .collect();
        (AclTexts { spill: state.spill }, tables)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// States that the access control of an object could not be read, if the object is in the archive.
fn state_failed(ctx: &Context<'_>, tree: &Tree, failure: &Failure, request: &AclRequest) {
    let line = match request {
        AclRequest::Object(object) => {
            failure.line(&row(object.kind), &object.id, &object.name, Fate::Failed)
        }
        AclRequest::Node(node) => match tree.recorded(*node) {
            Some((kind, id, path)) => failure.line(&row(kind), id, &path, Fate::Failed),
            None => return,
        },
    };
    ctx.ledger.gap(&line);
}

/// The texts behind the tables.
pub(crate) struct AclTexts {
    spill: Spill,
}

impl Row {
    fn id<'r>(&'r self, tree: &'r Tree) -> &'r str {
        match self {
            Self::Object(object, _) => &object.id,
            Self::Node(node, _) => tree.kind_and_id(*node).1,
        }
    }
}

impl AclTable {
    /// The lines of the table.
    pub(crate) fn lines(
        self,
        texts: &mut AclTexts,
        tree: &Tree,
    ) -> impl Iterator<Item = Result<String, Error>> {
        const WHAT: &str = "an access control list";
        let kind = self.kind;
        self.rows.into_iter().map(move |row| {
            let (name, slot) = match &row {
                Row::Object(object, slot) => (object.name.clone(), *slot),
                Row::Node(node, slot) => (tree.path(*node), *slot),
            };
            let body = texts.spill.get(slot).map_err(Error::temporary)?;
            let body = RawValue::from_string(body)
                .map_err(|source| Error::Serialise { what: WHAT, source })?;
            objects::serialise(
                WHAT,
                &AclText {
                    kind,
                    id: row.id(tree),
                    name: &name,
                    body: &body,
                },
            )
        })
    }
}

/// The row of the summary for the access control of a kind.
pub(crate) fn row(kind: &Kind) -> String {
    format!("acls/{}", kind.name)
}

/// States for each kind with access control whether it is asked for at all.
pub(crate) fn state_rows(ctx: &Context<'_>) {
    for kind in lifeboat_catalog::kinds()
        .iter()
        .filter(|kind| kind.permissions.is_some())
    {
        if ctx.selected.kind(kind.name) {
            ctx.ledger.listing(&row(kind), Listing::Listed, None);
        } else {
            ctx.ledger.not_asked(&row(kind));
        }
    }
}

fn target(tree: &Mutex<Tree>, request: &AclRequest) -> Option<(&'static Kind, String)> {
    match request {
        AclRequest::Object(object) => Some((object.kind, object.id.clone())),
        AclRequest::Node(node) => {
            let tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            let (kind, id) = tree.kind_and_id(*node);
            kind.permissions.is_some().then(|| (kind, id.to_owned()))
        }
    }
}

async fn read(ctx: &Context<'_>, kind: &'static Kind, id: &str) -> Result<String, Failure> {
    let segment = kind
        .permissions
        .map(|permissions| permissions.segment)
        .unwrap_or_default();
    let path = format!(
        "/api/2.0/permissions/{segment}/{}",
        lifeboat_databricks::segment(id)
    );
    let unusable = |what: String| Failure::Reply {
        request: format!("GET {path}"),
        what,
    };
    if id.is_empty() {
        // Without an id the call would be another one.
        return Err(unusable("the listing names no id to ask for".to_owned()));
    }
    let body = ctx.gate.ask(ctx.gate.client.get(&path, &[])).await?;
    check(&body, id).map_err(&unusable)?;
    serde_json::to_string(&acl::archive_form(body)).map_err(|error| unusable(error.to_string()))
}

/// Whether a reply is the access control of this object. Nobody else may be named for it; the service leaves out an
/// empty list. It names the object `/notebooks/12`, other servers `12`.
fn check(body: &Value, id: &str) -> Result<(), String> {
    let fields = body.as_object().ok_or("the reply is not an object")?;
    let named = fields.get("object_id").and_then(places::scalar);
    match fields.get("access_control_list") {
        Some(Value::Array(_)) => {}
        None if named.is_some() || fields.contains_key("object_type") => {}
        _ => return Err("the reply has no access control list".to_owned()),
    }
    match named {
        Some(named) if named.rsplit('/').next() != Some(id) => {
            Err(format!("the reply is not of {id} but of {named}"))
        }
        _ => Ok(()),
    }
}

/// Whether an object outside the tree is gone, by a second look at the object itself.
async fn is_gone(ctx: &Context<'_>, kind: &'static Kind, id: &str) -> bool {
    kind.read.is_some()
        && objects::get(ctx, kind, id)
            .await
            .is_err_and(|failure| failure.is_gone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_must_be_of_the_object() {
        let list = json!([{ "group_name": "users" }]);
        for good in [
            json!({ "object_id": "/notebooks/12", "object_type": "notebook", "access_control_list": list }),
            json!({ "object_id": "12", "access_control_list": list }),
            json!({ "object_id": 12, "object_type": "notebook" }),
            json!({ "access_control_list": [] }),
        ] {
            assert_eq!(check(&good, "12"), Ok(()), "{good}");
        }
        for bad in [
            json!([]),
            json!({}),
            json!({ "object_id": "/notebooks/12", "access_control_list": "none" }),
            json!({ "object_id": "/notebooks/112", "access_control_list": list }),
        ] {
            assert!(check(&bad, "12").is_err(), "{bad}");
        }
    }
}
