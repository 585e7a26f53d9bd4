//! `lifeboat-inspect extract`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use lifeboat_console::{Console, Report, bytes, counted};
use lifeboat_inspect::{Extracted, extract};
use serde_json::json;

use crate::args::{ArchiveArgs, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::place::open;

/// Write objects of an archive into a folder
///
/// Workspace objects go below workspace/, DBFS files below dbfs/, other objects into <kind>/<id>.json. Nothing is
/// overwritten, and nothing is written outside the folder, whatever names the archive holds. Exits with 3 when an object
/// was skipped.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-inspect extract backup.tar.zst --to restored/
  lifeboat-inspect extract backup.tar.zst /Users/anna@example.com jobs/123 \\
      --to restored/")]
pub(crate) struct ExtractArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What to write, named as in `ls`; a folder stands for everything below it, nothing for everything
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Folder to write into; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: ExtractArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let console = Arc::clone(console);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    in_thread(
        move || {
            let archive = open(&args.archive, &console)?;
            let mut done = 0;
            console.phase("extracting", None);
            let extracted = extract(&archive, &args.names, &args.to, &mut |name, path| {
                done += 1;
                console.progress("extracting", done, None, 0);
                let path = path.to_string_lossy();
                console.detail(
                    "file",
                    json!({"name": name, "path": path}),
                    &format!("{name} -> {path}"),
                );
                if stopped.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            console.end_phases();
            if stopped.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            Ok(show(&console, &extracted))
        },
        move || stop.store(true, Ordering::Relaxed),
    )
}

fn show(console: &Console, extracted: &Extracted) -> Exit {
    let mut exit = Exit::Done;
    for skipped in &extracted.skipped {
        exit = exit.and(if skipped.error.is_damage() {
            Exit::Damaged
        } else {
            Exit::Gaps
        });
        let report = Report::new(&skipped.error, exit.code());
        let why = std::iter::once(report.message)
            .chain(report.causes)
            .collect::<Vec<_>>()
            .join(": ");
        let fields = json!({"name": skipped.name, "reason": why});
        console.warning_with(
            "skipped",
            fields,
            &format!("{} is not written: {why}", skipped.name),
        );
    }
    console.line(&format!(
        "{}, {}, {} skipped",
        counted(extracted.files, "file"),
        bytes(extracted.bytes),
        extracted.skipped.len()
    ));
    console.summary(json!({
        "command": "lifeboat-inspect extract",
        "exit_code": exit.code(),
        "files": extracted.files,
        "bytes": extracted.bytes,
        "skipped": extracted.skipped.len(),
    }));
    exit
}
