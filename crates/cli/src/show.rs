//! Tables and JSON that several commands show.

use std::collections::BTreeMap;

use lifeboat_archive::{KindSummary, LedgerLine, Listing};
use lifeboat_console::{Align, Table, bytes};
use lifeboat_import::{Fate, ObjectResult, Totals, Verdicts};
use serde::Serialize;
use serde_json::Value;

/// The JSON of one of our own types. They are plain data, so there is always one.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// An error and its causes in one line, where it is told beside others.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// The object is not in the target as the archive wants it.
pub(crate) fn is_gap(result: &ObjectResult) -> bool {
    matches!(result.fate, Fate::Blocked | Fate::Failed) || !result.notes.is_empty()
}

/// What an archive says about each kind; columns that are empty for all kinds are left out. The access control of a kind
/// is a column of its row, and has a row of its own only when something is missing in it.
pub(crate) fn captured(kinds: &BTreeMap<String, KindSummary>) -> Table {
    type Column = (&'static str, fn(&KindSummary) -> u64);
    const COLUMNS: [Column; 6] = [
        ("stored", |kind| kind.stored),
        ("reused", |kind| kind.reused),
        ("excluded", |kind| kind.excluded),
        ("unsupported", |kind| kind.unsupported),
        ("vanished", |kind| kind.vanished),
        ("failed", |kind| kind.failed),
    ];
    let rows: Vec<(&String, &KindSummary)> = kinds
        .iter()
        .filter(|(name, kind)| access_of(kinds, name).is_none() || !is_whole(kind))
        .collect();
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(name, value)| {
            *name == "stored" || *name == "failed" || rows.iter().any(|(_, kind)| value(kind) > 0)
        })
        .collect();
    let mut header = vec![("kind", Align::Left), ("listed", Align::Right)];
    header.extend(shown.iter().map(|(name, _)| (*name, Align::Right)));
    header.extend([
        ("content", Align::Right),
        ("acls", Align::Right),
        ("", Align::Left),
    ]);
    let mut table = Table::new(&header);
    for (name, kind) in rows {
        let mut row = vec![name.clone(), kind.listed.to_string()];
        row.extend(shown.iter().map(|(_, value)| value(kind).to_string()));
        row.push(if kind.bytes == 0 {
            String::new()
        } else {
            bytes(kind.bytes)
        });
        row.push(
            kinds
                .get(&format!("acls/{name}"))
                .map_or_else(String::new, |acls| (acls.stored + acls.reused).to_string()),
        );
        row.push(listing(kind.listing, kind.reason.as_deref()));
        table.row(row);
    }
    table
}

/// The kind whose access control this is.
fn access_of<'n>(kinds: &BTreeMap<String, KindSummary>, name: &'n str) -> Option<&'n str> {
    name.strip_prefix("acls/")
        .filter(|kind| kinds.contains_key(*kind))
}

/// Everything that was listed is in the archive.
fn is_whole(kind: &KindSummary) -> bool {
    kind.listing == Listing::Listed && kind.listed == kind.stored + kind.reused
}

/// Nothing for a kind that was listed to the end, otherwise how its listing went.
pub(crate) fn listing(listing: Listing, reason: Option<&str>) -> String {
    let word = match listing {
        Listing::Listed => return String::new(),
        Listing::Unavailable => "unavailable",
        Listing::Unknown => "unknown",
        Listing::NotAsked => "not asked",
    };
    reason.map_or_else(|| word.to_owned(), |reason| format!("{word}: {reason}"))
}

/// The fates of an import per kind.
pub(crate) fn restored(kinds: &BTreeMap<String, Totals>) -> Table {
    let names = [
        "created",
        "updated",
        "unchanged",
        "adopted",
        "skipped",
        "blocked",
        "failed",
        "deleted",
    ];
    let mut header = vec![("kind", Align::Left)];
    header.extend(names.iter().map(|name| (*name, Align::Right)));
    let mut table = Table::new(&header);
    for (kind, totals) in in_order(kinds) {
        let Totals {
            created,
            updated,
            unchanged,
            adopted,
            skipped,
            blocked,
            failed,
            deleted,
        } = *totals;
        let counts = [
            created, updated, unchanged, adopted, skipped, blocked, failed, deleted,
        ];
        table.row(std::iter::once(kind.to_owned()).chain(counts.iter().map(u64::to_string)));
    }
    table
}

/// The verdicts of a comparison per kind.
pub(crate) fn compared(kinds: &BTreeMap<String, Verdicts>) -> Table {
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("equal", Align::Right),
        ("different", Align::Right),
        ("missing", Align::Right),
        ("unknown", Align::Right),
    ]);
    for (kind, verdicts) in in_order(kinds) {
        let Verdicts {
            equal,
            different,
            missing,
            unknown,
        } = *verdicts;
        let counts = [equal, different, missing, unknown];
        table.row(std::iter::once(kind.to_owned()).chain(counts.iter().map(u64::to_string)));
    }
    table
}

/// In the order of the catalog, unknown kinds last.
fn in_order<V>(kinds: &BTreeMap<String, V>) -> Vec<(&str, &V)> {
    let order = |name: &str| {
        lifeboat_catalog::kinds()
            .iter()
            .position(|kind| kind.name == name)
            .unwrap_or(usize::MAX)
    };
    let mut sorted: Vec<(&str, &V)> = kinds
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    sorted.sort_by_key(|(name, _)| order(name));
    sorted
}

/// `notebooks /Users/a/nb: failed, GET /api/2.0/workspace/export 403 PERMISSION_DENIED: no`
pub(crate) fn gap_text(line: &LedgerLine) -> String {
    let name = if line.name.is_empty() {
        &line.id
    } else {
        &line.name
    };
    let mut text = format!(
        "{} {name}: {}",
        line.kind,
        to_json(&line.fate).as_str().unwrap_or("lost")
    );
    for part in [
        line.request.clone(),
        line.status.map(|status| status.to_string()),
        line.code.clone(),
    ]
    .into_iter()
    .flatten()
    {
        text.push(' ');
        text.push_str(&part);
    }
    if !line.message.is_empty() {
        text.push_str(": ");
        text.push_str(&line.message);
    }
    text
}
