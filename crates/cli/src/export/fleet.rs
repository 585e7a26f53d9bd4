//! `lifeboat-export fleet`: one export per workspace of a file, each in a process of its own.
//!
//! A process of its own, because each workspace has an environment of its own, and one that runs out of memory or dies
//! must not take the others along.

mod file;
mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use lifeboat_console::{Align, Console, Table, bytes, counted, duration};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::OutputArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::{Signals, block_on_alone};

use file::{Fleet, Workspace};
use process::{Ended, Told};

/// Export many workspaces, each as `run` does
///
/// A file lists the workspaces and their options; secrets stay in the environment, under names that the file gives. One
/// workspace that fails does not stop the others. With `--shard` several machines share the list: every workspace is in
/// exactly one shard.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-export fleet fleet.toml --shard \"$JOB_COMPLETION_INDEX/8\"")]
pub(crate) struct FleetArgs {
    /// The workspaces, as TOML (examples/fleet.toml)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only the workspaces of part I of N, counted from 0: each N-th one of the list
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// Workspaces at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    fn holds(self, place: usize) -> bool {
        place % self.of == self.index
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected I/N with I from 0 to N-1, such as 0/8".to_owned();
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let (index, of) = (
            index.parse().map_err(|_| wrong())?,
            of.parse().map_err(|_| wrong())?,
        );
        (index < of).then_some(Self { index, of }).ok_or_else(wrong)
    }
}

/// How one workspace ended.
struct Outcome {
    name: String,
    /// `None` for one that was not begun.
    ended: Option<Ended>,
    took: Duration,
}

impl Outcome {
    fn exit(&self) -> Exit {
        self.ended.as_ref().map_or(Exit::Done, |ended| ended.exit)
    }
}

pub(crate) fn run(args: &FleetArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let fleet = Fleet::read(&args.file)?;
    let all = fleet.workspaces.len();
    let mine: Vec<Workspace> = fleet
        .workspaces
        .into_iter()
        .enumerate()
        .filter_map(|(place, workspace)| args.shard.holds(place).then_some(workspace))
        .collect();
    let Shard { index, of } = args.shard;
    console.line(&format!(
        "shard {index} of {of} has {} of {all}",
        counted(mine.len(), "workspace")
    ));
    console.phase("workspaces", Some(mine.len() as u64));
    let (outcomes, signal) = block_on_alone(every(mine, usize::from(args.jobs), console))?;
    console.end_phases();
    let worst = outcomes
        .iter()
        .fold(Exit::Done, |worst, outcome| worst.and(outcome.exit()));
    let exit = signal.unwrap_or(worst);
    show(console, &outcomes, exit);
    Ok(exit)
}

/// Exports the workspaces, so many at a time. After a signal none is begun, and those under way are asked to end.
async fn every(
    workspaces: Vec<Workspace>,
    jobs: usize,
    console: &Arc<Console>,
) -> Result<(Vec<Outcome>, Option<Exit>), Failure> {
    let places = Arc::new(Semaphore::new(jobs));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let total = workspaces.len();
    let mut tasks = JoinSet::new();
    for (place, workspace) in workspaces.into_iter().enumerate() {
        let (places, stopped, console) =
            (Arc::clone(&places), stopped.clone(), Arc::clone(console));
        tasks.spawn(async move {
            // Only a closed semaphore has no permits, and nobody closes it.
            let _permit = places.acquire_owned().await;
            let begun = Instant::now();
            let name = workspace.name.clone();
            let ended = if *stopped.borrow() {
                None
            } else {
                Some(
                    process::export(&workspace, stopped, |told| tell(&console, &name, &told)).await,
                )
            };
            let took = begun.elapsed();
            (place, Outcome { name, ended, took })
        });
    }
    let mut signals = Signals::new()?;
    let mut signal = None;
    let mut outcomes = Vec::with_capacity(total);
    while !tasks.is_empty() {
        tokio::select! {
            Some(joined) = tasks.join_next() => {
                let (place, outcome) = joined.map_err(|error| Failure::Panicked { what: error.to_string() })?;
                console.progress("workspaces", outcomes.len() as u64 + 1, Some(total as u64), 0);
                report(console, &outcome);
                outcomes.push((place, outcome));
            }
            failure = signals.next() => {
                // A second one ends at once what is under way.
                if signal.is_some() {
                    return Err(failure);
                }
                signal = Some(failure.exit());
                // The receivers live as long as the tasks.
                let _ = stop.send(true);
            }
        }
    }
    outcomes.sort_by_key(|(place, _)| *place);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Ok((outcomes, signal))
}

/// Passes on what an export says while it runs.
fn tell(console: &Console, name: &str, told: &Told) {
    match told {
        Told::Event(event) if console.is_json() => {
            let kind = event["event"].as_str().unwrap_or("event").to_owned();
            let mut fields = event.clone();
            fields["workspace"] = name.into();
            console.event(&kind, fields, "");
        }
        // The progress of one workspace says nothing about the fleet's.
        Told::Event(event) => {
            if let Some(message) = warning_of(event) {
                console.warning(&format!("{name}: {message}"));
            }
        }
        Told::Text(text) => console.warning(&format!("{name}: {text}")),
    }
}

fn warning_of(event: &Value) -> Option<&str> {
    (event["event"] == "warning").then(|| event["message"].as_str())?
}

/// Says how a workspace ended.
fn report(console: &Console, outcome: &Outcome) {
    let Outcome { name, ended, took } = outcome;
    let fields = outcome_fields(outcome);
    match ended {
        Some(ended) if ended.error.is_none() => {
            let text = format!(
                "{name}: {}, {} in {}: {}",
                ended.inventory(),
                bytes(ended.size()),
                duration(*took),
                ended.archive()
            );
            console.event("workspace", fields, &text);
        }
        Some(ended) => {
            let text = format!("{name}: {}", ended.said());
            console.warning_with("workspace", fields, &text);
        }
        None => console.warning_with("workspace", fields, &format!("{name}: not begun")),
    }
}

fn outcome_fields(outcome: &Outcome) -> Value {
    let mut fields = json!({
        "workspace": outcome.name,
        "exit_code": outcome.ended.as_ref().map(|ended| ended.exit.code()),
        "seconds": outcome.took.as_secs_f64(),
    });
    if let Some(ended) = &outcome.ended {
        fields["archive"] = ended.summary["archive"].clone();
        fields["gaps"] = ended.summary["gaps"].clone();
        fields["descriptor"] = ended.summary["descriptor"].clone();
        fields["error"] = ended.error.clone().unwrap_or(Value::Null);
    }
    fields
}

fn show(console: &Console, outcomes: &[Outcome], exit: Exit) {
    let mut table = Table::new(&[
        ("workspace", Align::Left),
        ("exit", Align::Right),
        ("inventory", Align::Left),
        ("not captured", Align::Right),
        ("calls", Align::Right),
        ("size", Align::Right),
        ("time", Align::Right),
        ("archive", Align::Left),
    ]);
    for outcome in outcomes {
        table.row(match &outcome.ended {
            Some(ended) if ended.error.is_none() => vec![
                outcome.name.clone(),
                ended.exit.code().to_string(),
                ended.inventory(),
                ended.summary["gaps"].to_string(),
                ended.summary["calls"].to_string(),
                bytes(ended.size()),
                duration(outcome.took),
                ended.archive(),
            ],
            Some(ended) => vec![
                outcome.name.clone(),
                ended.exit.code().to_string(),
                "none".to_owned(),
            ],
            None => vec![outcome.name.clone(), String::new(), "not begun".to_owned()],
        });
    }
    if !table.is_empty() {
        console.line("");
        console.answer_table(&table);
    }
    let ended = |exit: fn(Exit) -> bool| {
        outcomes
            .iter()
            .filter(|outcome| outcome.ended.as_ref().is_some_and(|ended| exit(ended.exit)))
            .count()
    };
    let done = ended(|exit| exit == Exit::Done);
    let gaps = ended(|exit| exit == Exit::Gaps);
    let not_begun = outcomes
        .iter()
        .filter(|outcome| outcome.ended.is_none())
        .count();
    let failed = outcomes.len() - done - gaps - not_begun;
    console.line("");
    console.line(&format!(
        "{}: {done} done, {gaps} with gaps, {failed} failed, {not_begun} not begun",
        counted(outcomes.len(), "workspace")
    ));
    console.summary(json!({
        "command": "lifeboat-export fleet",
        "exit_code": exit.code(),
        "done": done,
        "with_gaps": gaps,
        "failed": failed,
        "not_begun": not_begun,
        "workspaces": outcomes.iter().map(outcome_fields).collect::<Vec<_>>(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workspace_is_in_exactly_one_shard() {
        for of in 1..=9 {
            for place in 0..50 {
                let holding = (0..of).filter(|index| Shard { index: *index, of }.holds(place));
                assert_eq!(holding.count(), 1, "{place} of {of}");
            }
        }
    }

    #[test]
    fn shards_are_counted_from_nothing() {
        let shard = |text: &str| text.parse::<Shard>();
        assert_eq!(shard("0/1"), Ok(Shard { index: 0, of: 1 }));
        assert_eq!(shard("7/8"), Ok(Shard { index: 7, of: 8 }));
        for text in ["8/8", "1", "/", "0/0", "-1/2", "a/b", ""] {
            assert!(shard(text).is_err(), "{text}");
        }
    }
}
