//! `--json`, `-q`, `-v`.

use clap::Args;
use lifeboat_console::{Form, Settings, Verbosity};

/// How much is told.
#[derive(Args, Debug, Clone, Copy, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct Narration {
    /// Print results, warnings and errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Print details as well
    #[arg(short, long)]
    verbose: bool,
}

/// How much is told, and in which form.
#[derive(Args, Debug, Clone, Copy, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print one JSON object per event, the last one being the summary or the error
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    narration: Narration,
}

impl Narration {
    pub(crate) fn settings(self) -> Settings {
        Settings::detect(Form::Text, self.verbosity())
    }

    fn verbosity(self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

impl OutputArgs {
    pub(crate) fn settings(self) -> Settings {
        let form = if self.json { Form::Json } else { Form::Text };
        Settings::detect(form, self.narration.verbosity())
    }
}
