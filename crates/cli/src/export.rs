//! `lifeboat-export`: from a workspace to an archive.

mod base;
mod check;
mod fleet;
mod prune;
mod record;
mod run;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lifeboat_console::{Console, Settings};

use crate::args::HELP_WIDTH;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame;

/// Write an Azure Databricks workspace into one sealed archive file
///
/// Reads only: starts no cluster and changes nothing. An archive does not hold table data, mounted storage, secret
/// values, job history, notebook revisions or Unity Catalog data.
#[derive(Parser, Debug)]
#[command(name = "lifeboat-export", version, propagate_version = true, max_term_width = HELP_WIDTH)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    // By far the largest.
    Run(Box<run::RunArgs>),
    Check(check::CheckArgs),
    Prune(prune::PruneArgs),
    Fleet(fleet::FleetArgs),
}

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
            Command::Run(args) => args.output.settings(),
            Command::Check(args) => args.output.settings(),
            Command::Prune(args) => args.output.settings(),
            Command::Fleet(args) => args.output.settings(),
        }
    }

    pub(crate) fn run(&self, console: &Arc<Console>) -> Result<Exit, Failure> {
        match &self.command {
            Command::Run(args) => run::run(args, console),
            Command::Check(args) => check::run(args, console),
            Command::Prune(args) => prune::run(args, console),
            Command::Fleet(args) => fleet::run(args, console),
        }
    }

    /// From now on only this configuration file counts, where the command asks a workspace.
    pub(crate) fn isolate(&mut self, config_file: &Path) {
        match &mut self.command {
            Command::Run(args) => args.connection.isolate(config_file),
            Command::Check(args) => args.connection.isolate(config_file),
            Command::Prune(_) | Command::Fleet(_) => {}
        }
    }
}
