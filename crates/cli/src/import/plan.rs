//! `lifeboat-import plan`.

use std::sync::Arc;

use clap::Args;
use lifeboat_console::{Align, Console, Table, counted};
use lifeboat_import::{Counts, MapEntry, Options, Plan, What, plan};
use serde_json::{Value, json};

use super::{ImportArgs, outline};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::to_json;

/// Say what an apply would change in the target; nothing is written
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-import plan backups/7405609123456789-20261122T010000Z.tar.zst \\
      --profile secondary")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    /// Also print the values that change, with -v; those that look like secrets stay hidden
    #[arg(long, help_heading = "Output")]
    show_values: bool,
    /// Exit with 13 when an apply would change something
    #[arg(long, help_heading = "Output")]
    detailed_exitcode: bool,
}

pub(crate) fn run(args: &PlanArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let options = Options {
        show_values: args.show_values,
        ..args.import.options()?
    };
    let plan = args
        .import
        .reading(console, async |archive, client, observer| {
            plan(archive, client, &options, observer).await
        })?;
    let exit = if args.detailed_exitcode && !plan.is_empty() {
        Exit::Differences
    } else {
        Exit::Done
    };
    let exit = if plan.actions.is_empty() && !options.selection.is_everything() {
        console.warning(super::NOTHING_SELECTED);
        exit.and(Exit::Gaps)
    } else {
        exit
    };
    show(console, &plan, exit);
    Ok(exit)
}

pub(crate) fn show(console: &Console, plan: &Plan, exit: Exit) {
    // As text they stand in groups, below.
    if console.is_json() {
        for action in &plan.actions {
            console.detail("action", to_json(action), "");
        }
    }
    for warning in &plan.warnings {
        console.warning(warning);
    }
    for entry in &plan.map {
        console.result("map", to_json(entry), &mapped(entry));
    }
    console.answer_table(&table(&plan.summary()));
    outline::groups(console, plan);
    outline::preflight(console, &plan.preflight);
    outline::cost(console, plan);
    checklist(console, &plan.checklist);
    let changes = plan
        .actions
        .iter()
        .filter(|action| action.writes_object || action.writes_access || action.writes_owner)
        .count();
    console.line("");
    let kept = plan
        .actions
        .iter()
        .filter(|action| action.removed && action.what == What::Skip);
    removed(console, kept.count());
    console.line(&format!(
        "{changes} of {} would be written into workspace {} at {}",
        counted(plan.actions.len(), "object"),
        plan.target,
        plan.host
    ));
    outline::refusals(console, plan);
    let mut fields = to_json(plan);
    if let Value::Object(map) = &mut fields {
        // Each of them was an event of its own.
        map.remove("actions");
        map.remove("map");
        map.insert("command".into(), "lifeboat-import plan".into());
        map.insert("exit_code".into(), json!(exit.code()));
        let kinds = plan
            .summary()
            .iter()
            .map(|(kind, counts)| (kind.clone(), to_json(counts)))
            .collect();
        map.insert("kinds".into(), Value::Object(kinds));
        map.insert("changes".into(), json!(changes));
    }
    console.summary(fields);
}

fn mapped(entry: &MapEntry) -> String {
    let unchecked = if entry.checked {
        ""
    } else {
        ", which nobody could check in the target"
    };
    format!(
        "map [{}] {} = {}: {}{unchecked}",
        entry.section,
        entry.from,
        entry.to,
        counted(entry.matches, "place")
    )
}

/// What is gone from the source and stays.
pub(crate) fn removed(console: &Console, kept: usize) {
    if kept > 0 {
        console.line(&format!(
            "removed at the source and kept here: {}; `-v` names them, `--delete-removed` deletes those that an import made",
            counted(kept, "object")
        ));
    }
}

fn table(kinds: &[(String, Counts)]) -> Table {
    let names = [
        "create",
        "update",
        "unchanged",
        "adopt",
        "skip",
        "blocked",
        "delete",
    ];
    let mut header = vec![("kind", Align::Left)];
    header.extend(names.iter().map(|name| (*name, Align::Right)));
    let mut table = Table::new(&header);
    for (kind, counts) in kinds {
        let Counts {
            create,
            update,
            unchanged,
            adopt,
            skip,
            blocked,
            delete,
        } = *counts;
        let counts = [create, update, unchanged, adopt, skip, blocked, delete];
        table.row(std::iter::once(kind.clone()).chain(counts.iter().map(u64::to_string)));
    }
    table
}

/// So many lines of the checklist are printed without `-v`.
const MOST_TODOS: usize = 8;

/// What a person has to do, with the command for each line.
pub(crate) fn checklist(console: &Console, todos: &[lifeboat_import::Todo]) {
    if todos.is_empty() {
        return;
    }
    console.line("");
    console.heading("to be done by hand, because no tool can carry it:");
    let shown = if console.is_verbose() {
        todos.len()
    } else {
        todos.len().min(MOST_TODOS)
    };
    for todo in &todos[..shown] {
        console.line(&format!("- {} {}: {}", todo.kind, todo.name, todo.what));
        if !todo.command.is_empty() {
            console.line(&format!("    {}", todo.command));
        }
    }
    if shown < todos.len() {
        console.line(&format!(
            "- and {} more; `-v` prints them all",
            todos.len() - shown
        ));
    }
}
