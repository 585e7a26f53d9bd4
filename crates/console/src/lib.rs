//! The terminal: progress, lines, tables, warnings, errors and JSON events.
//!
//! Owns everything that the binaries print, in one of three forms (spec/cli.md, "Output"):
//!
//! - text on a terminal, with colours and with progress for anything that takes longer than two seconds;
//! - plain lines when the output is not a terminal;
//! - one JSON object per line with `--json`, the last one being the summary or the error.
//!
//! Results and narration go to standard output; progress, warnings and errors go to standard error. In the JSON form
//! everything goes to standard output. It knows no domain: no archive, no workspace, no exit code table.
//!
//! Names that come from a workspace are input like any other, so every text is [`escape`]d before it is printed.

mod capture;
mod console;
mod escape;
mod meter;
mod phase;
mod report;
mod settings;
mod sink;
mod table;

pub use crate::capture::Capture;
pub use crate::console::Console;
pub use crate::escape::{bytes, counted, duration, escape};
pub use crate::report::Report;
pub use crate::settings::{Form, Settings, Verbosity};
pub use crate::table::{Align, Table};
