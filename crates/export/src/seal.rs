//! The end of a run: access control, what the run says about itself, and the seal.
//!
//! Specified in `spec/export.md`, "The end of a run".

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use lifeboat_archive::{
    Content, Descriptor, Header, Inventory, KindSummary, Listing, Summary, TableWriter,
};
use lifeboat_catalog::records;
use lifeboat_catalog::selection::Unmatched;
use lifeboat_databricks::Identity;
use serde_json::{Map, Value, json};

use crate::access_control::Acls;
use crate::base::Base;
use crate::context::{Context, TREE_KINDS};
use crate::error::{Error, Stop};
use crate::event::Event;
use crate::ledger::Closed;
use crate::outcome::Outcome;
use crate::run::now;
use crate::spill::SortedSpill;
use crate::window;
use crate::workspace::{Tree, table};
use crate::writer::ArchiveWriter;

/// What is left of the branches.
pub(crate) struct Sealing<'a> {
    pub(crate) header: Header,
    pub(crate) identity: &'a Identity,
    pub(crate) tree: Mutex<Tree>,
    pub(crate) acls: Acls,
    pub(crate) observed: Vec<(&'static str, SortedSpill)>,
}

/// Writes the access control and the tag files, and seals the archive.
pub(crate) async fn seal<W: Write + Send + 'static>(
    ctx: Context<'_>,
    sealing: Sealing<'_>,
    mut writer: ArchiveWriter<W>,
) -> Result<(W, Outcome), Error> {
    let phase = ctx.phase("sealing");
    let Sealing {
        header,
        identity,
        tree,
        acls,
        observed,
    } = sealing;
    let tree = tree.into_inner().unwrap_or_else(PoisonError::into_inner);
    let acls_read = acls.ages(&ctx);
    let (mut texts, tables) = acls.finish(&ctx, &tree);
    for table in tables {
        let writer_of = TableWriter::new(&records::acl_table(table.kind));
        writer
            .table(writer_of, table.lines(&mut texts, &tree))
            .await?;
    }
    let unmatched = unmatched(&ctx, &tree)?;
    drop((texts, tree));
    let finished = now(ctx.options);
    let stopped = ctx.gate.stopped();
    let run = run_record(&ctx, identity, &acls_read, finished);
    ctx.sample.finish(ctx.observer);
    if let Some(base) = &ctx.base {
        base.finish(ctx.observer);
    }
    let reread_changed = ctx.sample.changed();
    let (scope, options, observer, calls) = (
        ctx.scope(),
        ctx.options,
        ctx.observer,
        ctx.gate.client.stats().calls,
    );
    let Closed {
        kinds,
        lines,
        gaps,
        gaps_total,
        unlisted,
    } = ctx.ledger.close()?;
    if let Some(stop) = &stopped
        && kinds.values().all(|kind| kind.stored + kind.reused == 0)
    {
        return Err(Error::Stopped { stop: stop.clone() });
    }
    let summary = Summary {
        scope,
        inventory: inventory(&kinds, unlisted, stopped.as_ref()),
        kinds,
    };
    write_tags(&mut writer, run, lines, observed).await?;
    let (sink, sealed) = writer.finish(summary.clone(), finished).await?;
    phase.end();
    for (name, summary) in &summary.kinds {
        observer.event(Event::Kind { name, summary });
    }
    let descriptor = Descriptor::new(&header, &summary, &sealed, finished);
    let outcome = Outcome {
        header,
        sealed,
        summary,
        finished,
        gaps,
        gaps_total,
        unmatched,
        descriptor,
        stopped,
        caller_is_admin: identity.is_admin,
        calls,
        reread_changed,
        strict: options.strict,
    };
    Ok((sink, outcome))
}

/// What of the selection names nothing that is recorded in the archive.
fn unmatched(ctx: &Context<'_>, tree: &Tree) -> Result<Vec<Unmatched>, Error> {
    if !TREE_KINDS.iter().any(|kind| ctx.selected.kind(kind)) {
        return Ok(Vec::new());
    }
    let recorded = table::order(tree);
    let paths: Vec<&str> = recorded.iter().map(|(path, _)| path.as_str()).collect();
    ctx.options
        .selection
        .unmatched(&paths)
        .map_err(Error::Selection)
}

/// A run that was ended early has not listed the tree a second time.
pub(crate) fn inventory(
    kinds: &BTreeMap<String, KindSummary>,
    unlisted: bool,
    stopped: Option<&Stop>,
) -> Inventory {
    let unknown = kinds.values().any(|kind| kind.listing == Listing::Unknown);
    if unknown || unlisted || stopped.is_some() {
        Inventory::Incomplete
    } else {
        Inventory::Complete
    }
}

async fn write_tags<W: Write + Send + 'static>(
    writer: &mut ArchiveWriter<W>,
    run: Value,
    lines: SortedSpill,
    observed: Vec<(&'static str, SortedSpill)>,
) -> Result<(), Error> {
    let mut run = serde_json::to_vec_pretty(&run).map_err(|source| Error::Serialise {
        what: "run.json",
        source,
    })?;
    run.push(b'\n');
    writer
        .add_tag("run.json".to_owned(), Content::Bytes(run))
        .await?;
    let lines = lines
        .sorted()
        .map(|line| line.map(|(_, text)| text).map_err(Error::temporary));
    writer.table(TableWriter::tag("ledger"), lines).await?;
    for (kind, texts) in observed {
        let content = lines_in_file(texts).map_err(Error::temporary)?;
        writer
            .add_tag(format!("observed/{kind}.jsonl"), content)
            .await?;
    }
    Ok(())
}

/// Lines in the order of their keys, in a temporary file: there may be one for each job of a large workspace.
fn lines_in_file(texts: SortedSpill) -> io::Result<Content> {
    let mut file = BufWriter::new(window::unnamed_file()?);
    let mut size = 0;
    for text in texts.sorted() {
        let (_, text) = text?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        size += text.len() as u64 + 1;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(Content::File { file, size })
}

/// `run.json`: who called, when each kind was read, and what it took.
fn run_record(
    ctx: &Context<'_>,
    identity: &Identity,
    acls_read: &BTreeMap<&'static str, Timestamp>,
    finished: Timestamp,
) -> Value {
    let mut record = json!({
        "caller": { "user-name": identity.user_name, "id": identity.id, "admin": identity.is_admin },
        "started": ctx.options.started,
        "finished": finished,
        "stopped": ctx.gate.stopped().map(|stop| stop.to_string()),
        "acls": acls_read,
        "base": ctx.base.as_ref().map(Base::record),
        "reread": ctx.base.as_ref().map(|_| ctx.sample.record()),
    });
    if ctx.options.reproducible {
        return record;
    }
    let kinds: Map<String, Value> = ctx
        .gate
        .times()
        .into_iter()
        .map(|(kind, (began, ended))| (kind, json!({ "began": began, "ended": ended })))
        .collect();
    let stats = ctx.gate.client.stats();
    let families: Map<String, Value> = stats
        .families
        .iter()
        .map(|(family, counts)| {
            let counts = json!({
                "calls": counts.calls,
                "retries": counts.retries,
                "throttled": counts.throttled,
                "bytes": counts.bytes,
                "waited-seconds": counts.waited.as_secs_f64(),
            });
            (family.name().to_owned(), counts)
        })
        .collect();
    if let Some(record) = record.as_object_mut() {
        record.insert("service-time".to_owned(), json!(service_time(identity)));
        record.insert("kinds".to_owned(), Value::Object(kinds));
        record.insert("calls".to_owned(), json!(stats.calls));
        record.insert("retries".to_owned(), json!(stats.retries));
        record.insert("throttled".to_owned(), json!(stats.throttled));
        record.insert("bytes".to_owned(), json!(stats.bytes));
        record.insert("families".to_owned(), Value::Object(families));
    }
    record
}

/// The service's clock before anything was listed, as far as it told the time.
fn service_time(identity: &Identity) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(identity.date.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn observed_lines_wait_in_a_file() {
        let mut texts = SortedSpill::new();
        texts.put("b", "second").unwrap();
        texts.put("a", "first").unwrap();
        let Content::File { mut file, size } = lines_in_file(texts).unwrap() else {
            panic!("not a file");
        };
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), ("first\nsecond\n", 13));
    }
}
