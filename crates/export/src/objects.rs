//! Kinds that are plain JSON objects: listed, read one by one where the listing does not show everything, and kept as
//! records. What a kind is made of stands in the catalog; here is no knowledge of single kinds.
//!
//! Specified in `spec/export.md`, "Objects".

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::Fate;
use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Kind, Paging};
use lifeboat_databricks::Listing;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use crate::access_control::AclRequest;
use crate::context::{Context, Phase};
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::line;
use crate::spill::SortedSpill;

/// What was read of one kind.
pub(crate) struct KindRecords {
    pub(crate) kind: &'static Kind,
    /// Record texts by id.
    pub(crate) records: SortedSpill,
    /// Volatile fields by id.
    pub(crate) observed: SortedSpill,
    /// Ids of everything that was listed, captured or not.
    pub(crate) listed: BTreeSet<String>,
    /// Ids of what was captured.
    pub(crate) captured: BTreeSet<String>,
}

impl KindRecords {
    pub(crate) fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            records: SortedSpill::new(),
            observed: SortedSpill::new(),
            listed: BTreeSet::new(),
            captured: BTreeSet::new(),
        }
    }

    /// Keeps an object whose body is complete, states that it is stored and asks for its access control.
    pub(crate) fn keep(
        &mut self,
        ctx: &Context<'_>,
        acls: &UnboundedSender<AclRequest>,
        id: String,
        body: Value,
    ) -> Result<(), Error> {
        let name = self.keep_record(ctx, &id, body)?;
        if self.kind.permissions.is_some() {
            // The receiver outlives every sender but in a run that failed.
            drop(acls.send(AclRequest::object(self.kind, id, name)));
        }
        Ok(())
    }

    /// The same without access control; gives the name.
    pub(crate) fn keep_record(
        &mut self,
        ctx: &Context<'_>,
        id: &str,
        body: Value,
    ) -> Result<String, Error> {
        let name = self.kind.label_of(&body).unwrap_or_default();
        ctx.note_references(self.kind, &format!("{id} ({name})"), &body);
        let (body, observed) = self.kind.archive_form(body);
        if let Some(observed) = observed {
            let text = serialise(
                "observed fields",
                &serde_json::json!({ "id": id, "observed": observed }),
            )?;
            self.observed.put(id, &text).map_err(Error::temporary)?;
        }
        let record = ObjectRecord {
            kind: self.kind.name.to_owned(),
            id: id.to_owned(),
            name,
            body,
        };
        let text = serialise("a record", &record)?;
        self.records.put(id, &text).map_err(Error::temporary)?;
        ctx.ledger.stored(self.kind.name, text.len() as u64);
        self.listed.insert(id.to_owned());
        self.captured.insert(id.to_owned());
        Ok(record.name)
    }
}

/// An element of a listing.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// Lists a kind. A failure is stated in the ledger and gives `None`.
pub(crate) async fn list(ctx: &Context<'_>, kind: &'static Kind) -> Option<Vec<Box<RawValue>>> {
    let list = kind.list?;
    ctx.gate.touch(kind.name);
    let query = list
        .query
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let listing = Listing {
        path: list.path,
        query,
        array: list.array,
        paging: paging(list.paging),
    };
    let result = ctx.gate.ask(ctx.gate.client.list(&listing)).await;
    ctx.gate.touch(kind.name);
    match result {
        Ok(elements) => {
            ctx.ledger
                .listing(kind.name, lifeboat_archive::Listing::Listed, None);
            Some(elements)
        }
        Err(failure) => {
            let (listing, reason) = failure.listing();
            ctx.ledger.listing(kind.name, listing, Some(reason));
            None
        }
    }
}

/// Lists and reads a kind.
pub(crate) async fn read_kind(
    ctx: &Context<'_>,
    kind: &'static Kind,
    acls: &UnboundedSender<AclRequest>,
    phase: &Phase<'_>,
) -> Result<KindRecords, Error> {
    let mut records = KindRecords::new(kind);
    let Some(elements) = list(ctx, kind).await else {
        return Ok(records);
    };
    let wanted = wanted(ctx, kind, elements, &mut records.listed);
    read_wanted(ctx, wanted, &mut records, acls, phase).await?;
    Ok(records)
}

/// Reads listed objects into `records`.
pub(crate) async fn read_wanted(
    ctx: &Context<'_>,
    wanted: Vec<Listed>,
    records: &mut KindRecords,
    acls: &UnboundedSender<AclRequest>,
    phase: &Phase<'_>,
) -> Result<(), Error> {
    let kind = records.kind;
    phase.expect(wanted.len() as u64);
    let mut bodies = stream::iter(wanted)
        .map(|listed| async {
            let body = read(ctx, kind, &listed).await;
            (listed, body)
        })
        .buffer_unordered(ctx.concurrency());
    while let Some((listed, body)) = bodies.next().await {
        phase.step(0);
        match body {
            Ok(body) => records.keep(ctx, acls, listed.id, body)?,
            Err((fate, failure)) => {
                ctx.ledger
                    .gap(&failure.line(kind.name, &listed.id, &listed.name, fate))
            }
        }
    }
    ctx.gate.touch(kind.name);
    Ok(())
}

/// The listed objects that belong into the archive; the fate of the others is stated.
pub(crate) fn wanted(
    ctx: &Context<'_>,
    kind: &'static Kind,
    elements: Vec<Box<RawValue>>,
    seen: &mut BTreeSet<String>,
) -> Vec<Listed> {
    let mut wanted = Vec::new();
    for element in elements {
        let body: Value = match serde_json::from_str(element.get()) {
            Ok(body) => body,
            Err(error) => {
                ctx.ledger.gap(&line(
                    kind.name,
                    "",
                    "",
                    Fate::Failed,
                    format!("not a JSON object: {error}"),
                ));
                continue;
            }
        };
        let Some(id) = kind.id_of(&body) else {
            let message = format!("the listing names no id at {:?}", kind.id);
            ctx.ledger
                .gap(&line(kind.name, "", "", Fate::Failed, message));
            continue;
        };
        // Pages may overlap while objects are made.
        if !seen.insert(id.clone()) {
            continue;
        }
        let name = kind.label_of(&body).unwrap_or_default();
        match (kind.include)(&body) {
            Ok(()) => wanted.push(Listed { id, name, body }),
            Err(reason) => {
                ctx.ledger.gap(&line(
                    kind.name,
                    &id,
                    &name,
                    Fate::Excluded,
                    format!("rule: {reason}"),
                ));
            }
        }
    }
    wanted
}

/// The whole body of a listed object, or its fate.
async fn read(
    ctx: &Context<'_>,
    kind: &'static Kind,
    listed: &Listed,
) -> Result<Value, (Fate, Failure)> {
    if kind.read.is_none() {
        return Ok(kind.from_listed(listed.body.clone()));
    }
    match get(ctx, kind, &listed.id).await {
        Ok(body) => Ok(kind.with_listed(&listed.body, body)),
        // Gone is said only after a second look.
        Err(failure) if failure.is_gone() => match get(ctx, kind, &listed.id).await {
            Ok(body) => Ok(kind.with_listed(&listed.body, body)),
            Err(failure) if failure.is_gone() => Err((Fate::Vanished, failure)),
            Err(failure) => Err((Fate::Failed, failure)),
        },
        Err(failure) => Err((Fate::Failed, failure)),
    }
}

/// Reads one object by id.
pub(crate) async fn get(
    ctx: &Context<'_>,
    kind: &'static Kind,
    id: &str,
) -> Result<Value, Failure> {
    let Some(read) = kind.read else {
        return Err(Failure::Reply {
            request: String::new(),
            what: format!("{} cannot be read by id", kind.name),
        });
    };
    let path = Kind::path_for(read.path, &lifeboat_databricks::segment(id));
    let query: Vec<(&str, &str)> = read.id_query.map(|name| (name, id)).into_iter().collect();
    let client = ctx.gate.client;
    let body = if read.paged_arrays.is_empty() {
        ctx.gate.ask(client.get(&path, &query)).await?
    } else {
        ctx.gate
            .ask(client.get_merged(&path, &query, read.paged_arrays))
            .await?
    };
    match kind.id_of(&body) {
        Some(found) if found == id => Ok(body),
        found => Err(Failure::Reply {
            request: format!("GET {path}"),
            what: format!(
                "the reply is not of {id} but of {}",
                found.as_deref().unwrap_or("nothing")
            ),
        }),
    }
}

/// JSON text of something of ours.
pub(crate) fn serialise(
    what: &'static str,
    value: &impl serde::Serialize,
) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Serialise { what, source })
}

fn paging(paging: Paging) -> lifeboat_databricks::Paging {
    use lifeboat_databricks::Paging as Client;
    match paging {
        Paging::None => Client::None,
        Paging::PageToken { size } => Client::PageToken { size: Some(size) },
        Paging::NextPageToken => Client::NextPageToken,
        Paging::Scim { count } => Client::Scim { count },
    }
}
