//! `lifeboat-inspect info`.

use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use lifeboat_archive::{Archive, Fate};
use lifeboat_console::Console;
use lifeboat_inspect::{Info, info, ledger};
use serde_json::{Value, json};

use crate::args::{ArchiveArgs, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::open;
use crate::show::{captured, gap_text, to_json};

/// Say what an archive is, of which workspace, and what it captured
///
/// Reads the statements of the archive; `verify` checks the contents.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-inspect info backups/7405609123456789-20261122T010000Z.tar.zst")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &InfoArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let archive = open(&args.archive, console)?;
    let info = info(&archive)?;
    show(console, archive.name(), &info);
    gaps(console, &archive)?;
    summary(console, &info);
    Ok(Exit::Done)
}

fn show(console: &Console, archive: String, info: &Info) {
    let source = &info.header.source;
    let word = |value: Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    for (name, value) in [
        ("archive", archive),
        (
            "format",
            format!("{}, written by {}", info.version, info.header.tool),
        ),
        (
            "source",
            format!(
                "workspace {} at {} ({})",
                source.workspace_id, source.host, source.cloud
            ),
        ),
        ("started", info.header.started.to_string()),
        ("finished", info.finished.clone()),
        ("scope", word(to_json(&info.summary.scope))),
        ("inventory", word(to_json(&info.summary.inventory))),
        ("archive id", info.archive_id.clone()),
        ("content id", info.content_id.clone()),
    ] {
        console.answer(&format!("{name:<10} {value}"));
    }
    console.answer("");
    console.answer_table(&captured(&info.summary.kinds));
}

/// So many of the objects that are not in the archive are named without `-v`.
const MOST_GAPS: usize = 20;

/// Names what is not in the archive, without what a rule left out.
fn gaps(console: &Console, archive: &Archive) -> Result<(), Failure> {
    if console.is_json() {
        return Ok(());
    }
    let mut count = 0_usize;
    ledger(archive, &mut |line| {
        if line.fate == Fate::Excluded {
            return ControlFlow::Continue(());
        }
        if count == 0 {
            console.answer("");
            console.answer("not in the archive:");
        }
        count += 1;
        if count <= MOST_GAPS || console.is_verbose() {
            console.answer(&gap_text(line));
        }
        ControlFlow::Continue(())
    })?;
    if count > MOST_GAPS && !console.is_verbose() {
        console.answer(&format!(
            "and {} more; `-v`, or `lifeboat-inspect ls ARCHIVE ledger`, names them all",
            count - MOST_GAPS
        ));
    }
    Ok(())
}

fn summary(console: &Console, info: &Info) {
    let mut fields = to_json(info);
    if let Value::Object(map) = &mut fields {
        map.insert("command".into(), "lifeboat-inspect info".into());
        map.insert("exit_code".into(), json!(Exit::Done.code()));
    }
    console.summary(fields);
}
