//! `lifeboat-import activate` and `deactivate`.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use lifeboat_console::{Align, Console, Table, counted};
use lifeboat_databricks::Client;
use lifeboat_import::{
    Choice, Direction, Error, Move, SwitchOptions, Switched, Turn, read_back_word, switch,
    switch_contact,
};
use serde_json::{Value, json};

use super::PairArgs;
use super::ask::{asking, can_ask, typed};
use crate::args::{ConnectionArgs, OutputArgs, parse_workspace_id};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::block_on_until_stopped;
use crate::observe::Observer;
use crate::show::to_json;

/// Arguments of both commands.
#[derive(Args, Debug, Clone)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Only these kinds, separated by commas: jobs, instance-pools, global-init-scripts, clusters
    #[arg(
        long,
        value_name = "KIND",
        value_delimiter = ',',
        help_heading = "Selection"
    )]
    kinds: Option<Vec<String>>,
    /// Only objects whose name matches; may be given several times
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    name: Vec<String>,
    /// Only objects with this tag; given several times, an object must have all of them
    #[arg(long, value_name = "KEY[=VALUE]", help_heading = "Selection")]
    tag: Vec<String>,
    /// Say what would be done; nothing is written
    #[arg(long, help_heading = "Safety")]
    dry_run: bool,
    /// Workspace id of the source, where several were imported into this target
    #[arg(
        long,
        value_name = "WORKSPACE ID",
        value_parser = parse_workspace_id,
        conflicts_with = "journal",
        help_heading = "Safety"
    )]
    source: Option<String>,
    #[command(flatten)]
    pair: PairArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl SwitchArgs {
    fn options(&self) -> SwitchOptions {
        let tag = |text: &String| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        SwitchOptions {
            choice: Choice {
                kinds: self.kinds.clone(),
                names: self.name.clone(),
                tags: self.tag.iter().map(tag).collect(),
            },
            source: self.source.clone(),
            journal: self.pair.journal.clone(),
            target: self.pair.target.clone(),
            dry_run: self.dry_run,
            ..SwitchOptions::default()
        }
    }
}

/// Cut over: give jobs, pools, init scripts and pins the state that they had in the source
///
/// Needs no archive. What was paused in the source stays paused. Objects that were not fully restored are blocked, those
/// that the last archive does not contain any more stay passive; both are listed. What was written is read back. From
/// then on `apply` refuses until `deactivate`.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-import activate --profile secondary --dry-run
  lifeboat-import activate --profile secondary --source-fenced
  lifeboat-import activate --profile secondary --source-fenced --kinds jobs \\
      --tag tier=1")]
pub(crate) struct ActivateArgs {
    #[command(flatten)]
    pub(crate) switch: SwitchArgs,
    /// The source runs nothing any more: with both active, every job runs twice
    #[arg(long, help_heading = "Safety")]
    source_fenced: bool,
}

/// Make everything passive again that the ledger knows; nothing else is touched
///
/// What was changed in the target meanwhile is kept. When nothing active is left, `apply` works again.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-import deactivate --profile secondary")]
pub(crate) struct DeactivateArgs {
    #[command(flatten)]
    pub(crate) switch: SwitchArgs,
}

pub(crate) fn activate(args: &ActivateArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let options = SwitchOptions {
        source_fenced: args.source_fenced,
        ..args.switch.options()
    };
    run(Direction::Activate, &args.switch, options, console)
}

pub(crate) fn deactivate(args: &DeactivateArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let options = args.switch.options();
    run(Direction::Deactivate, &args.switch, options, console)
}

fn run(
    direction: Direction,
    args: &SwitchArgs,
    mut options: SwitchOptions,
    console: &Arc<Console>,
) -> Result<Exit, Failure> {
    let client = args.connection.connect(false, console)?;
    let asks = direction == Direction::Activate
        && !options.source_fenced
        && !options.dry_run
        && can_ask(console);
    if asks {
        options.source_fenced = confirm(&client, &options)?;
    }
    let observer = Observer::new(console);
    let work = async { Ok(switch(direction, &client, &options, &observer).await?) };
    let (outcome, signal) = block_on_until_stopped(console, &options.stop, work);
    observer.finish();
    console.end_phases();
    match outcome {
        Ok(switched) => Ok(show(console, &switched)),
        Err(failure) => {
            // What was reached is worth a table although the run ended early.
            if let Failure::Import(Error::Switch { switched, .. }) = &failure {
                console.table(&counts(switched));
            }
            Err(signal.map_or(failure, |exit| Failure::Stopped { exit }))
        }
    }
}

/// Somebody has to say that the source runs nothing any more.
fn confirm(client: &Client, options: &SwitchOptions) -> Result<bool, Failure> {
    asking(async {
        let contact = switch_contact(client, options).await?;
        let typed = typed(&[
            format!(
                "Workspace {} at {} takes over from workspace {}. With both active every job runs twice.",
                contact.target, contact.host, contact.source
            ),
            "Type the id of the workspace that runs nothing any more to go on: ".to_owned(),
        ])
        .await?;
        Ok(typed == contact.source)
    })
}

fn show(console: &Console, switched: &Switched) -> Exit {
    for one in &switched.moves {
        let text = describe(one);
        match one.turn {
            // What was read back otherwise has a reason.
            Turn::Change | Turn::Unchanged if one.remarks.is_empty() && one.reason.is_none() => {
                console.detail("object", to_json(one), &text);
            }
            _ => console.warning_with("object", to_json(one), &text),
        }
    }
    for warning in &switched.warnings {
        console.warning(warning);
    }
    for (kind, name) in &switched.unknown {
        console.warning(&format!(
            "{kind} {name}: not in the ledger, and active: it was made here; it stays as it is"
        ));
    }
    let changed = switched.moves.iter().any(|one| one.turn == Turn::Change);
    if changed {
        console.answer_table(&changes(switched));
        console.line("");
    }
    console.table(&counts(switched));
    let mut exit = if switched.moves.is_empty() {
        console.warning("the selection matches nothing in the ledger: nothing was done");
        Exit::Gaps
    } else if switched.has_gaps() {
        Exit::Gaps
    } else {
        Exit::Done
    };
    if switched.differs() {
        exit = exit.and(Exit::Differences);
    }
    console.line("");
    let word = |state| to_json(&state).as_str().unwrap_or_default().to_owned();
    let after = if switched.dry_run {
        "nothing was written".to_owned()
    } else {
        format!(
            "now {}, {}",
            word(switched.after),
            counted(switched.writes, "write")
        )
    };
    console.line(&format!(
        "workspace {} at {}: was {}, {after}",
        switched.target,
        switched.host,
        word(switched.before)
    ));
    let mut fields = to_json(switched);
    if let Value::Object(map) = &mut fields {
        // Each object was an event of its own.
        map.remove("moves");
        let command = match switched.direction {
            Direction::Activate => "lifeboat-import activate",
            Direction::Deactivate => "lifeboat-import deactivate",
        };
        map.insert("counts".into(), json!(switched.counts()));
        map.insert("command".into(), command.into());
        map.insert("exit_code".into(), json!(exit.code()));
    }
    console.summary(fields);
    exit
}

fn describe(one: &Move) -> String {
    let mut text = format!("{} {}: {}", one.kind, one.name, one.turn.word());
    for part in one.reason.iter().chain(&one.remarks) {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}

/// What changes, field by field.
fn changes(switched: &Switched) -> Table {
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("name", Align::Left),
        ("what", Align::Left),
        ("before", Align::Left),
        ("after", Align::Left),
    ]);
    for one in switched.moves.iter().filter(|one| one.turn == Turn::Change) {
        for change in &one.changes {
            table.row([
                one.kind.clone(),
                one.name.clone(),
                change.place.clone(),
                change.before.clone(),
                change.after.clone(),
            ]);
        }
    }
    table
}

/// How many objects of each kind.
fn counts(switched: &Switched) -> Table {
    let turns = [
        Turn::Change,
        Turn::Unchanged,
        Turn::Orphaned,
        Turn::Blocked,
        Turn::Missing,
        Turn::Failed,
    ];
    // A dry run writes nothing that could be read back.
    let read: &[&str] = match switched.dry_run {
        true => &[],
        false => &["verified", "different"],
    };
    let mut header = vec![("kind", Align::Left)];
    header.extend(turns.iter().map(|turn| (turn.word(), Align::Right)));
    header.extend(read.iter().map(|word| (*word, Align::Right)));
    let mut table = Table::new(&header);
    let mut told = BTreeSet::new();
    for kind in switched.moves.iter().map(|one| &one.kind) {
        if !told.insert(kind) {
            continue;
        }
        let of_kind = || switched.moves.iter().filter(|one| one.kind == *kind);
        let turned = turns.iter().map(|turn| {
            let same = of_kind().filter(|one| one.turn == *turn);
            same.count().to_string()
        });
        let compared = read.iter().map(|word| {
            let read = of_kind().filter_map(|one| one.read_back);
            let same = read.filter(|verdict| read_back_word(*verdict) == *word);
            same.count().to_string()
        });
        table.row(std::iter::once(kind.clone()).chain(turned).chain(compared));
    }
    table
}
