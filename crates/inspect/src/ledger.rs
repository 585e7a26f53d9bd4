//! The ledger: what became of the objects that were listed and are not in the archive (spec/archive-format.md).

use std::ops::ControlFlow;

use lifeboat_archive::{Archive, LedgerLine};

use crate::error::Error;

/// Name of the table.
pub const LEDGER: &str = "ledger";

/// Visits the lines of the ledger in their order; stops when the visitor breaks.
///
/// # Errors
/// When the archive cannot be read.
pub fn ledger(
    archive: &Archive,
    visit: &mut dyn FnMut(&LedgerLine) -> ControlFlow<()>,
) -> Result<(), Error> {
    for (index, line) in archive.lines(LEDGER)?.enumerate() {
        let line: LedgerLine = serde_json::from_str(&line?).map_err(|error| Error::Record {
            record: format!("{LEDGER}, line {}", index + 1),
            what: error.to_string(),
        })?;
        if visit(&line).is_break() {
            break;
        }
    }
    Ok(())
}

/// What the ledger says about the object that a user named; `None` when it does not name it.
pub(crate) fn find(archive: &Archive, what: &str) -> Result<Option<LedgerLine>, Error> {
    let bare = |name: &str| name.strip_prefix("dbfs:").unwrap_or(name).to_owned();
    let is_dbfs = what.starts_with("dbfs:");
    let wanted = bare(what.trim_end_matches('/'));
    let mut found = None;
    ledger(archive, &mut |line| {
        let named = [&line.name, &line.id].into_iter().any(|name| {
            if wanted.starts_with('/') {
                bare(name) == wanted && (line.kind == crate::entries::DBFS) == is_dbfs
            } else {
                wanted
                    .strip_prefix(&line.kind)
                    .and_then(|rest| rest.strip_prefix('/'))
                    == Some(name.as_str())
            }
        });
        if named {
            found = Some(line.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
