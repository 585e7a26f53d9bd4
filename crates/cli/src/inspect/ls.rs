//! `lifeboat-inspect ls`.

use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use lifeboat_archive::Archive;
use lifeboat_console::Console;
use lifeboat_inspect::{Entry, LEDGER, kinds, ledger, ls};
use serde_json::json;

use crate::args::{ArchiveArgs, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::place::open;
use crate::show::{captured, gap_text, to_json};

/// List the kinds of an archive, the objects of a kind, or a folder of the workspace
///
/// NAME is a workspace path or pattern (/Users/a, '/Users/*/etl'), a DBFS path (dbfs:/databricks/init), a kind (jobs),
/// an object of a kind by id or name (jobs/123), access control (acls/jobs), the ledger of what is not in the archive
/// (ledger), or a member of the archive (data).
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-inspect ls backup.tar.zst
  lifeboat-inspect ls backup.tar.zst /Users/anna@example.com
  lifeboat-inspect ls -l backup.tar.zst jobs")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What to list; nothing means the kinds
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print size, kind and id as well
    #[arg(short, long)]
    long: bool,
    /// List everything below a folder
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: LsArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let console = Arc::clone(console);
    in_thread(
        move || {
            let archive = open(&args.archive, &console)?;
            match &args.name {
                None => list_kinds(&console, &archive),
                Some(name) if name == LEDGER => list_ledger(&console, &archive),
                Some(name) => list(&console, &archive, name, &args),
            }
        },
        || {},
    )
}

fn list_kinds(console: &Console, archive: &Archive) -> Result<Exit, Failure> {
    let kinds = kinds(archive)?;
    for line in kinds.iter().filter(|_| console.is_json()) {
        console.result("kind", to_json(line), "");
    }
    console.answer_table(&captured(
        &kinds
            .into_iter()
            .map(|line| (line.kind, line.summary))
            .collect(),
    ));
    console.summary(json!({"command": "lifeboat-inspect ls", "exit_code": Exit::Done.code()}));
    Ok(Exit::Done)
}

/// One line per object that was listed and is not in the archive: kind, name, fate, message.
fn list_ledger(console: &Console, archive: &Archive) -> Result<Exit, Failure> {
    let mut lines = 0_u64;
    ledger(archive, &mut |line| {
        lines += 1;
        console.result("gap", to_json(line), &gap_text(line));
        if console.is_closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if lines == 0 {
        console.line("the ledger is empty: every object that was listed is in the archive");
    }
    console.summary(json!({
        "command": "lifeboat-inspect ls",
        "exit_code": Exit::Done.code(),
        "entries": lines,
    }));
    Ok(Exit::Done)
}

fn list(console: &Console, archive: &Archive, name: &str, args: &LsArgs) -> Result<Exit, Failure> {
    let listed = ls(archive, name, args.recursive, &mut |entry| {
        console.result("entry", to_json(entry), &line(entry, args.long));
        if console.is_closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    console.summary(json!({
        "command": "lifeboat-inspect ls",
        "exit_code": Exit::Done.code(),
        "entries": listed.entries,
        "bytes": listed.bytes,
    }));
    Ok(Exit::Done)
}

/// A name that `cat` understands, after it the human name where that is another one.
fn line(entry: &Entry, long: bool) -> String {
    let name = if entry.has_path() {
        format!(
            "{}{}",
            entry.name,
            if entry.is_directory() && !entry.name.ends_with('/') {
                "/"
            } else {
                ""
            }
        )
    } else if entry.name == entry.id || entry.name.is_empty() {
        format!("{}/{}", entry.kind, entry.id)
    } else {
        format!("{}/{}  {}", entry.kind, entry.id, entry.name)
    };
    if !long {
        return name;
    }
    let size = entry.size.map_or_else(String::new, |size| size.to_string());
    format!("{size:>12}  {:<16}  {:<18}  {name}", entry.kind, entry.id)
}
