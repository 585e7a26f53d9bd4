//! From a workspace to an archive.
//!
//! This crate reads a workspace through [`lifeboat_databricks`], decides what belongs into the archive with the help
//! of [`lifeboat_catalog`], and hands records and contents to the writer of [`lifeboat_archive`]. It never changes the
//! workspace, starts nothing, prints nothing and knows no terminal: what happens is told to an [`Observer`].
//!
//! - [`run`] writes one archive into any sink, [`run_into`] into one that is opened when the archive's name is known.
//! - [`Base`] is an earlier archive, from which a run takes over what has not changed.
//! - [`check`] lists the workspace and says what would be captured, without reading contents.
//!
//! The behaviour is specified in `spec/export.md`.

mod access_control;
mod base;
mod check;
mod clusters;
mod context;
mod dbfs;
mod error;
mod event;
mod gate;
mod git_folders;
mod kinds;
mod ledger;
mod objects;
mod options;
mod outcome;
mod reread;
mod run;
mod seal;
mod secret_values;
mod secrets;
mod spill;
mod window;
mod workspace;
mod writer;

pub use base::Base;
pub use check::check;
pub use error::{Error, Stop};
pub use event::{Event, Observer, Silent};
pub use lifeboat_catalog::selection::{Selection, SelectionError};
pub use options::{AclReading, Cancel, NotebookFormat, Options};
pub use outcome::{CheckKind, CheckReport, Outcome};
pub use run::{Begin, run, run_into};
