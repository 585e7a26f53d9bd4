//! `lifeboat-import compare`.

use std::sync::Arc;

use clap::Args;
use lifeboat_console::Console;
use lifeboat_import::{Comparison, Difference, Verdict, compare};
use serde_json::{Value, json};

use super::ImportArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{compared, to_json};

/// Read the target back and compare it with the archive; nothing is written
///
/// Exits with 13 when something differs. Places that differ are named, values are not: they may be secret.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-import compare backups/7405609123456789-20261122T010000Z.tar.zst \\
      --profile secondary")]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
}

pub(crate) fn run(args: &CompareArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let options = args.import.options()?;
    let comparison = args
        .import
        .reading(console, async |archive, client, observer| {
            compare(archive, client, &options, observer).await
        })?;
    let exit = if comparison.is_equal() {
        Exit::Done
    } else {
        Exit::Differences
    };
    show(console, &comparison, exit);
    Ok(exit)
}

fn show(console: &Console, comparison: &Comparison, exit: Exit) {
    differences(console, comparison);
    console.answer_table(&compared(&comparison.kinds));
    let mut fields = to_json(comparison);
    if let Value::Object(map) = &mut fields {
        // Each difference was an event of its own.
        map.remove("differences");
        map.insert("command".into(), "lifeboat-import compare".into());
        map.insert("exit_code".into(), json!(exit.code()));
    }
    console.summary(fields);
}

/// One line or one event per object that is not equal.
pub(crate) fn differences(console: &Console, comparison: &Comparison) {
    for difference in &comparison.differences {
        console.result("difference", to_json(difference), &describe(difference));
    }
}

fn describe(difference: &Difference) -> String {
    let verdict = match difference.verdict {
        Verdict::Equal => "equal",
        Verdict::Different => "different",
        Verdict::Missing => "missing",
        Verdict::Unknown => "unknown",
    };
    let mut text = format!("{} {}: {verdict}", difference.kind, difference.name);
    if !difference.places.is_empty() {
        text.push_str(": ");
        text.push_str(&difference.places.join(", "));
    }
    text
}
