//! `lifeboat-import apply`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lifeboat_archive::Archive;
use lifeboat_console::Console;
use lifeboat_databricks::Client;
use lifeboat_import::{Error, Fate, Options, Report, apply, contact};
use serde_json::{Value, json};

use super::ask::{asking, can_ask, typed};
use super::plan::{checklist, removed};
use super::report::ReportFile;
use super::{ImportArgs, open};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::block_on_until_stopped;
use crate::observe::Observer;
use crate::show::{compared, restored, to_json};

/// Import the archive; safe to run again, tonight and every night
///
/// Everything lands passive, and nothing is deleted without `--delete-removed`. At its end the target is read back and compared with the archive.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-import apply backups/7405609123456789-20261122T010000Z.tar.zst \\
      --profile secondary --target 1234567890123456")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    /// Do not read the target back after the import
    #[arg(long, help_heading = "Import")]
    no_compare: bool,
    /// Also write the report as JSON into this file, which only its owner may read
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &ApplyArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let archive = open(&args.import.archive, console)?;
    let file = ReportFile::open(args.report.as_deref())?;
    let client = args.import.connection.connect(false, console)?;
    let mut options = Options {
        compare: !args.no_compare,
        ..args.import.options()?
    };
    if options.target.is_none() && can_ask(console) {
        options.target = confirm(&archive, &client, &options)?;
    }
    let observer = Observer::new(console);
    let work = observer.watching(&client, async {
        Ok(apply(&archive, &client, &options, &observer).await?)
    });
    // Each write is announced in the journal before it is sent, so that the next run finds what became of it.
    let (outcome, signal) = block_on_until_stopped(console, &options.stop, work);
    observer.finish();
    console.end_phases();
    match outcome {
        Ok(report) => {
            let nothing = report.objects.is_empty() && !options.selection.is_everything();
            if nothing {
                console.warning(super::NOTHING_SELECTED);
            }
            let least = if nothing { Exit::Gaps } else { Exit::Done };
            let exit = show(console, &report, least);
            keep(file, &report, exit)?;
            Ok(exit)
        }
        Err(failure) => {
            // What was reached is worth a table although the run ended early.
            let reached = match &failure {
                Failure::Import(Error::Stopped { report, .. }) => Some(report.clone()),
                _ => None,
            };
            let failure = signal.map_or(failure, |exit| Failure::Stopped { exit });
            if let Some(report) = reached {
                console.table(&restored(&report.kinds));
                keep(file, &report, failure.exit())?;
            }
            Err(failure)
        }
    }
}

/// Writes the report file, if one was asked for.
fn keep(file: Option<ReportFile>, report: &Report, exit: Exit) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let mut fields = to_json(report);
    if let Value::Object(map) = &mut fields {
        map.insert("command".into(), "lifeboat-import apply".into());
        map.insert("exit_code".into(), json!(exit.code()));
    }
    file.write(&fields)
}

/// At the first import into a target, somebody has to say that it is the right one. Gives the id of the target when it was
/// said, nothing when the journal knows the target.
fn confirm(
    archive: &Archive,
    client: &Client,
    options: &Options,
) -> Result<Option<String>, Failure> {
    asking(async {
        let contact = contact(archive, client, options).await?;
        if contact.known {
            return Ok(None);
        }
        let typed = typed(&[
            format!(
                "This is the first import from workspace {} ({})",
                contact.source, contact.source_host
            ),
            format!(
                "into workspace {} ({}), as {}.",
                contact.target, contact.host, contact.caller
            ),
            "Type the host of the target to go on: ".to_owned(),
        ])
        .await?;
        if !typed.is_empty() && bare(&typed) == bare(&contact.host) {
            Ok(Some(contact.target))
        } else {
            Err(Failure::NotConfirmed {
                typed,
                host: contact.host,
            })
        }
    })
}

/// A host as somebody types it.
fn bare(host: &str) -> String {
    host.trim_end_matches('/')
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .to_lowercase()
}

pub(crate) fn show(console: &Console, report: &Report, least: Exit) -> Exit {
    let mut exit = if report.has_gaps() { Exit::Gaps } else { least };
    console.table(&restored(&report.kinds));
    if let Some(comparison) = &report.comparison {
        if !comparison.is_equal() {
            exit = exit.and(Exit::Differences);
        }
        console.line("");
        console.heading("read back and compared with the archive:");
        console.table(&compared(&comparison.kinds));
        if comparison.not_read_again > 0 {
            console.line(&format!(
                "{} of the equal ones were read by an earlier comparison and listed now; `compare` reads all of them",
                comparison.not_read_again
            ));
        }
        super::compare::differences(console, comparison);
    }
    checklist(console, &report.checklist);
    super::report::risks(console, report);
    let kept = report
        .objects
        .iter()
        .filter(|object| object.removed && object.fate == Fate::Skipped);
    removed(console, kept.count());
    super::report::figures(console, report);
    let mut fields = to_json(report);
    if let Value::Object(map) = &mut fields {
        // Each object and each difference was an event of its own.
        map.remove("objects");
        if let Some(Value::Object(comparison)) = map.get_mut("comparison") {
            comparison.remove("differences");
        }
        map.insert("command".into(), "lifeboat-import apply".into());
        map.insert("exit_code".into(), json!(exit.code()));
    }
    console.summary(fields);
    exit
}
