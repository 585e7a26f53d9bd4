//! `lifeboat-demo`: the whole chain on two simulated workspaces, with the commands that a user would type.

mod killed;
mod stage;
mod verdict;
mod workspaces;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use lifeboat_console::Console;

use crate::args::{HELP_WIDTH, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame;
use stage::Stage;

/// Watch a simulated workspace being exported, inspected, restored into an empty one, and activated there
///
/// Starts two simulated workspaces on 127.0.0.1, fills the first, and runs the real commands on them. Touches no other
/// workspace and leaves the archive in a new folder.
#[derive(Parser, Debug)]
#[command(name = "lifeboat-demo", version, max_term_width = HELP_WIDTH, after_help = "Example:
  lifeboat-demo")]
pub(crate) struct Cli {
    /// Folder for the archive; a number is added when it exists
    #[arg(long, value_name = "FOLDER", default_value = "lifeboat-demo")]
    to: PathBuf,
    /// How full the first workspace is: small, demo, awkward
    #[arg(long, value_name = "FILL", default_value = "demo")]
    fill: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Everything behind `main`.
pub fn main() -> ExitCode {
    if std::env::var_os(killed::AS_IMPORT).is_some() {
        return crate::import::main();
    }
    let cli = match frame::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    frame::run(cli.output.settings(), |console| run(&cli, console))
}

fn run(cli: &Cli, console: &Arc<Console>) -> Result<Exit, Failure> {
    let mut stage = Stage::new(console, &cli.to, &cli.fill)?;
    stage.introduce();
    stage.export()?;
    stage.look()?;
    stage.restore()?;
    stage.compare_workspaces();
    stage.repeat()?;
    stage.activate()?;
    stage.refuse()?;
    stage.stand_down()?;
    stage.farewell();
    Ok(stage.exit())
}
