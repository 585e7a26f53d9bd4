//! What the user and the surroundings say about the output. Decides the form once; printing is left to `console`.

use std::io::IsTerminal;

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Results, warnings and errors only (`-q`).
    Quiet,
    /// Results, narration and tables.
    #[default]
    Normal,
    /// Details as well (`-v`).
    Verbose,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Text for people and for line tools.
    #[default]
    Text,
    /// One JSON object per line (`--json`).
    Json,
}

/// Everything that decides how the output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Text or JSON.
    pub form: Form,
    /// How much is printed.
    pub verbosity: Verbosity,
    /// Standard output is a terminal: tables fit its width.
    pub stdout_terminal: bool,
    /// Standard error is a terminal: progress is drawn in place instead of as lines.
    pub stderr_terminal: bool,
    /// Colours may be used on the streams that are terminals.
    pub colour: bool,
}

impl Settings {
    /// Settings for this process: asks the two streams whether they are terminals, and `NO_COLOR` and `TERM` whether
    /// colours are welcome (<https://no-color.org>: any non-empty value switches them off).
    pub fn detect(form: Form, verbosity: Verbosity) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self {
            form,
            verbosity,
            stdout_terminal: std::io::stdout().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal() && able,
            colour: wanted && able,
        }
    }
}
