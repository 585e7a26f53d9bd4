//! `lifeboat-import`: from an archive to a workspace.

mod activate;
mod apply;
mod ask;
mod compare;
mod outline;
mod plan;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use lifeboat_archive::Archive;
use lifeboat_console::{Console, Settings};
use lifeboat_databricks::Client;
use lifeboat_import::{DeleteLimit, Options, Recheck};

use crate::args::{
    ArchiveArgs, ConnectionArgs, HELP_WIDTH, OutputArgs, SelectionArgs, parse_folder,
    parse_workspace_id,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame;
use crate::observe::Observer;
use crate::place::open;

/// Replay an archive into an Azure Databricks workspace
///
/// Everything lands passive: jobs paused, pools idle at zero, clusters terminated, global init scripts disabled. Nothing
/// is deleted without `--delete-removed`.
#[derive(Parser, Debug)]
#[command(name = "lifeboat-import", version, propagate_version = true, max_term_width = HELP_WIDTH)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Compare(compare::CompareArgs),
    Activate(activate::ActivateArgs),
    Deactivate(activate::DeactivateArgs),
}

/// Arguments of all commands: which target is meant, and where its journal is.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Safety")]
pub(crate) struct PairArgs {
    /// Workspace id that the target must have; needed for the first apply into a target unless a terminal can ask
    #[arg(long, value_name = "WORKSPACE ID", value_parser = parse_workspace_id)]
    target: Option<String>,
    /// Journal of this pair of workspaces [default: lifeboat/<source>-<target>/journal.jsonl below $XDG_STATE_HOME]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

/// Arguments of all three commands with an archive.
#[derive(Args, Debug, Clone)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Only this object and everything that it needs: jobs/123, "jobs/nightly load", /Users/a@example.com/notebook; may be
    /// given several times
    #[arg(long, value_name = "KIND/ID or PATH", help_heading = "Selection")]
    closure: Vec<String>,
    #[command(flatten)]
    pair: PairArgs,
    /// Allow the workspace that the archive was made from as target: only what is absent there is created
    #[arg(long, help_heading = "Safety")]
    into_source: bool,
    /// Link objects that the target already holds, when their natural key and their content are equal
    #[arg(long, help_heading = "Safety")]
    adopt: bool,
    /// Go on with an archive whose inventory is incomplete
    #[arg(long, help_heading = "Safety")]
    allow_incomplete: bool,
    /// The archive is one of a secondary that was imported from this target: the journal of those imports says which objects
    /// belong together [default: at its usual place]
    #[arg(
        long,
        value_name = "JOURNAL",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "into_source",
        help_heading = "Safety"
    )]
    failback: Option<Option<PathBuf>>,
    /// What names of the source are called in the target: users, groups, node types, paths and more (TOML)
    ///
    /// Sections of `"left" = "right"`, where `*` on the left is carried into `*` on the right; checked against archive and
    /// target before anything is written. See the README for an example.
    #[arg(long, value_name = "FILE", help_heading = "Import")]
    map: Option<PathBuf>,
    /// Restore the selected part of the tree below this folder, and nothing else; needs --include or --users
    ///
    /// Each object stands there under its whole path in the source, with its own grants: next to the original with
    /// --into-source, or in another workspace.
    #[arg(long, value_name = "PATH", value_parser = parse_folder, help_heading = "Import")]
    as_prefix: Option<String>,
    /// Folder for the homes of users that exist nowhere
    #[arg(
        long,
        value_name = "PATH",
        value_parser = parse_folder,
        default_value = "/Restored-homes",
        help_heading = "Import"
    )]
    orphans: String,
    /// Overwrite what was changed in the target since the last import
    #[arg(long, help_heading = "Import")]
    overwrite_changed: bool,
    /// Delete what an earlier import made and the source no longer has
    #[arg(long, conflicts_with = "into_source", help_heading = "Import")]
    delete_removed: bool,
    /// Delete at most so many objects of one kind: a number, or a percentage of the linked ones
    #[arg(
        long,
        value_name = "COUNT|PERCENT%",
        default_value = "10%",
        help_heading = "Import"
    )]
    delete_limit: DeleteLimit,
    /// Also add members to the group admins
    #[arg(long, help_heading = "Import")]
    admins: bool,
    /// Read again what the journal calls unchanged
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "none",
        help_heading = "Import"
    )]
    recheck: Again,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Trust the journal and the listing
    None,
    /// Access control lists
    Acls,
    /// Contents and access control lists of one object in twenty, others each day
    Sample,
    /// Contents and access control lists
    All,
}

impl ImportArgs {
    fn options(&self) -> Result<Options, Failure> {
        Ok(Options {
            limits: self.connection.limits()?.table(),
            selection: self.selection.selection(),
            closure: self.closure.clone(),
            target: self.pair.target.clone(),
            into_source: self.into_source,
            failback: self.failback.clone(),
            adopt: self.adopt,
            allow_incomplete: self.allow_incomplete,
            journal: self.pair.journal.clone(),
            map: self.map.clone(),
            as_prefix: self.as_prefix.clone(),
            orphans: self.orphans.clone(),
            overwrite_changed: self.overwrite_changed,
            delete_removed: self.delete_removed,
            delete_limit: self.delete_limit,
            admins: self.admins,
            recheck: match self.recheck {
                Again::None => Recheck::None,
                Again::Acls => Recheck::Acls,
                Again::Sample => Recheck::Sample(today()),
                Again::All => Recheck::All,
            },
            ..Options::default()
        })
    }
}

impl ImportArgs {
    /// Opens the archive, reaches the target, and does what reads both and writes nothing.
    fn reading<T>(
        &self,
        console: &Arc<Console>,
        read: impl AsyncFnOnce(&Archive, &Client, &Observer<'_>) -> Result<T, lifeboat_import::Error>,
    ) -> Result<T, Failure> {
        let archive = open(&self.archive, console)?;
        let client = self.connection.connect(false, console)?;
        let observer = Observer::new(console);
        let work = observer.watching(&client, async {
            Ok(read(&archive, &client, &observer).await?)
        });
        let found = frame::block_on_reading(work)?;
        observer.finish();
        console.end_phases();
        Ok(found)
    }
}

/// Days since 1970.
fn today() -> u32 {
    let seconds = jiff::Timestamp::now().as_second();
    u32::try_from(seconds / 86_400).unwrap_or(0)
}

/// Said when a selection leaves nothing of the archive.
pub(crate) const NOTHING_SELECTED: &str =
    "the selection matches nothing in the archive: there is nothing to import";

/// Everything behind `main`.
pub fn main() -> ExitCode {
    let cli = match frame::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    frame::run(cli.settings(), |console| cli.run(console))
}

impl Cli {
    fn settings(&self) -> Settings {
        match &self.command {
            Command::Plan(args) => args.import.output.settings(),
            Command::Apply(args) => args.import.output.settings(),
            Command::Compare(args) => args.import.output.settings(),
            Command::Activate(args) => args.switch.output.settings(),
            Command::Deactivate(args) => args.switch.output.settings(),
        }
    }

    pub(crate) fn run(&self, console: &Arc<Console>) -> Result<Exit, Failure> {
        match &self.command {
            Command::Plan(args) => plan::run(args, console),
            Command::Apply(args) => apply::run(args, console),
            Command::Compare(args) => compare::run(args, console),
            Command::Activate(args) => activate::activate(args, console),
            Command::Deactivate(args) => activate::deactivate(args, console),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut ConnectionArgs {
        match &mut self.command {
            Command::Plan(args) => &mut args.import.connection,
            Command::Apply(args) => &mut args.import.connection,
            Command::Compare(args) => &mut args.import.connection,
            Command::Activate(args) => &mut args.switch.connection,
            Command::Deactivate(args) => &mut args.switch.connection,
        }
    }
}
