//! `lifeboat-inspect`: looking into archives, with no workspace.

mod cat;
mod extract;
mod info;
mod list;
mod ls;
mod scrub;
mod status;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lifeboat_console::{Console, Settings};

use crate::args::HELP_WIDTH;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame;

/// Look into an archive, with no workspace
///
/// An archive is a file, the folder that `tar` unpacked it into, or a URL (az://, abfss://, https://, s3://), of which
/// only what the answer needs is read.
#[derive(Parser, Debug)]
#[command(name = "lifeboat-inspect", version, propagate_version = true, max_term_width = HELP_WIDTH)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Info(info::InfoArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Extract(extract::ExtractArgs),
    Verify(verify::VerifyArgs),
    List(list::ListArgs),
    Status(status::StatusArgs),
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
            Command::Info(args) => args.output.settings(),
            Command::Ls(args) => args.output.settings(),
            Command::Cat(args) => args.narration.settings(),
            Command::Extract(args) => args.output.settings(),
            Command::Verify(args) => args.output.settings(),
            Command::List(args) => args.output.settings(),
            Command::Status(args) => args.output.settings(),
        }
    }

    pub(crate) fn run(self, console: &Arc<Console>) -> Result<Exit, Failure> {
        match self.command {
            Command::Info(args) => info::run(&args, console),
            Command::Ls(args) => ls::run(args, console),
            Command::Cat(args) => cat::run(args, console),
            Command::Extract(args) => extract::run(args, console),
            Command::Verify(args) => verify::run(args, console),
            Command::List(args) => list::run(&args, console),
            Command::Status(args) => status::run(&args, console),
        }
    }
}
