//! The earlier archive from which `lifeboat-export run` takes over what did not change.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use lifeboat_console::Console;
use lifeboat_export::{AclReading, Base, Begin, Options};
use lifeboat_storage::Place;

use crate::args::parse_share;
use crate::failure::Failure;
use crate::place;

/// What of the workspace need not be read again.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Incremental")]
pub(crate) struct BaseArgs {
    /// Take over unchanged contents from this archive of the same workspace, a path or URL, instead of reading them
    /// again. The new archive is complete in itself
    #[arg(long, value_name = "PLACE", help_heading = "Incremental")]
    pub(crate) base: Option<String>,
    /// Share of the unchanged contents that is read again all the same, another one each day: it shows whether contents
    /// change without their time of change
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = parse_share, requires = "base", help_heading = "Incremental")]
    pub(crate) reread: f64,
    /// How often access control, which has no time of change, is read again; new and moved objects are always read
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Acls::Nightly, requires = "base", help_heading = "Incremental")]
    pub(crate) acls: Acls,
    /// When a signal ends the run, keep what was read as X.partial.tar.zst: the next run goes on from there with
    /// --base. A second signal keeps nothing
    #[arg(long, help_heading = "Incremental")]
    pub(crate) keep_partial: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acls {
    /// In every run
    Nightly,
    /// When it was last read about a week ago
    Weekly,
    /// Only of new and moved objects
    Never,
}

impl BaseArgs {
    /// The options of a run with these arguments.
    pub(crate) fn apply(&self, options: Options) -> Options {
        Options {
            reread: self.reread,
            acls: match self.acls {
                Acls::Nightly => AclReading::Nightly,
                Acls::Weekly => AclReading::Weekly,
                Acls::Never => AclReading::Never,
            },
            keep_partial: self.keep_partial,
            ..options
        }
    }

    /// The base that is asked for, read as far as a run needs it before it begins.
    pub(crate) async fn open(
        &self,
        begin: &Begin<'_>,
        options: &Options,
        console: &Arc<Console>,
    ) -> Result<Option<Base>, Failure> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let place = Place::parse(base)?;
        console.phase("base", None);
        let (workspace_id, options) = (begin.workspace_id.to_owned(), options.clone());
        let opening = Arc::clone(console);
        let base = place::apart(move || {
            let archive = place::open_at(&place, &opening)?;
            Ok::<_, Failure>(Base::read(archive, &workspace_id, &options)?)
        })
        .await?;
        console.end_phase("base");
        Ok(Some(base))
    }
}
