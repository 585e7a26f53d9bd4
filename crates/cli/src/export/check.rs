//! `lifeboat-export check`.

use clap::Args;
use lifeboat_archive::Inventory;
use lifeboat_console::{Align, Console, Table, counted, duration};
use lifeboat_export::{CheckReport, check};
use serde_json::{Value, json};

use crate::args::{ConnectionArgs, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::block_on;
use crate::observe::Observer;
use crate::show::{listing, to_json};

use super::run::CaptureArgs;

/// Say what a run would capture, and what this caller may not read
///
/// Lists everything and reads no contents. Exits with 3 when something could not be listed.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-export check --profile primary")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &CheckArgs, console: &Console) -> Result<Exit, Failure> {
    let client = args.connection.connect(true, console)?;
    let options = args.capture.options()?;
    let cancel = options.cancel.clone();
    let observer = Observer::new(console);
    let work = observer.watching(&client, async {
        Ok(check(&client, &options, &observer).await?)
    });
    let report = block_on(work, move || cancel.raise())?;
    observer.finish();
    console.end_phases();
    Ok(show(console, &report))
}

fn show(console: &Console, report: &CheckReport) -> Exit {
    let exit = if report.inventory == Inventory::Complete {
        Exit::Done
    } else {
        Exit::Gaps
    };
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("listed", Align::Right),
        ("captured", Align::Right),
        ("excluded", Align::Right),
        ("unsupported", Align::Right),
        ("unreadable", Align::Right),
        ("calls", Align::Right),
        ("", Align::Left),
    ]);
    for (name, kind) in &report.kinds {
        let counts = [
            kind.listed,
            kind.captured,
            kind.excluded,
            kind.unsupported,
            kind.unreadable,
            kind.calls,
        ];
        let mut row = vec![name.clone()];
        row.extend(counts.iter().map(u64::to_string));
        row.push(listing(kind.listing, kind.reason.as_deref()));
        table.row(row);
    }
    console.answer_table(&table);
    let time = std::time::Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
    console.line("");
    console.line(&format!(
        "a run would take about {} and at least {}",
        counted(report.calls, "call"),
        duration(time)
    ));
    let mut fields = to_json(report);
    if let Value::Object(map) = &mut fields {
        map.insert("command".into(), "lifeboat-export check".into());
        map.insert("exit_code".into(), json!(exit.code()));
    }
    console.summary(fields);
    exit
}
