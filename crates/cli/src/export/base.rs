//! The earlier archive from which `lifeboat-export run` takes over what did not change.

use std::io::ErrorKind;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use lifeboat_archive::ReadError;
use lifeboat_console::Console;
use lifeboat_export::{AclReading, Base, Begin, Options};
use lifeboat_storage::{
    Error, Identities, Listed, Listing, Place, ProtectError, PublicKey, Standing,
};
use serde_json::json;

use crate::args::{IdentityArgs, parse_share};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::place;
use crate::show::chain;

/// What `--base` says for the newest archive in the folder of `--to`.
const LATEST: &str = "latest";

/// So many archives of a folder are tried as a base: each costs some requests, and when the newest ones are all unusable
/// something is wrong with all of them, such as another signing key.
const MOST_CANDIDATES: usize = 10;

/// What of the workspace need not be read again.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Incremental")]
pub(crate) struct BaseArgs {
    /// Take over unchanged contents from this archive of the same workspace, a path or URL, instead of reading them
    /// again. `latest` is the newest one in the folder of --to; without one everything is read. The new archive is
    /// complete in itself
    #[arg(long, value_name = "PLACE|latest", help_heading = "Incremental")]
    pub(crate) base: Option<String>,
    /// Share of the unchanged contents that is read again all the same, another one each day: it shows whether contents
    /// change without their time of change
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = parse_share, requires = "base", help_heading = "Incremental")]
    pub(crate) reread: f64,
    /// How often access control, which has no time of change, is read again; new and moved objects are always read
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Acls::Nightly, requires = "base", help_heading = "Incremental")]
    pub(crate) acls: Acls,
    /// When a signal ends the run, keep what was read as X.partial.tar.zst: the next run goes on from there with
    /// --base. A second signal ends at once
    #[arg(long, help_heading = "Incremental")]
    pub(crate) keep_partial: bool,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
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
        to: &Place,
        begin: &Begin<'_>,
        options: &Options,
        identities: &Identities,
        signer: Option<PublicKey>,
        console: &Arc<Console>,
    ) -> Result<Option<Base>, Failure> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let place = Place::parse(base)?;
        let folder = match base.as_str() {
            LATEST => Some(to.folder()),
            _ => place.folder_of_latest(),
        };
        console.phase("base", None);
        let find = Find {
            workspace_id: begin.workspace_id.to_owned(),
            options: options.clone(),
            identities: identities.clone(),
            signer,
            console: Arc::clone(console),
        };
        let base = place::apart(move || match folder {
            Some(folder) => find.latest(&folder),
            None => find.at(&place).map(Some),
        })
        .await?;
        console.end_phase("base");
        Ok(base)
    }
}

/// The way to a base, apart from the run, which has not begun.
struct Find {
    workspace_id: String,
    options: Options,
    identities: Identities,
    /// Who signs the new archive. What he vouches for must not come from somebody else, so he must have signed the base.
    signer: Option<PublicKey>,
    console: Arc<Console>,
}

/// There is no archive any more.
fn is_gone(failure: &Failure) -> bool {
    match failure {
        Failure::Storage(Error::NotFound { .. }) => true,
        Failure::Open { source, .. } => matches!(source, ReadError::Io { source, .. }
            if source.kind() == ErrorKind::NotFound),
        _ => false,
    }
}

impl Find {
    fn at(&self, place: &Place) -> Result<Base, Failure> {
        let archive = place::open_at(place, &self.identities, &self.console)?;
        if let Some(signer) = &self.signer {
            place::prove(place, &archive, signer, &self.console).map_err(
                |failure| match failure {
                    Failure::Storage(
                        source @ Error::Protect(ProtectError::NotAuthentic { .. }),
                    ) => Failure::BaseNotSigned { source },
                    other => other,
                },
            )?;
        }
        Ok(Base::read(archive, &self.workspace_id, &self.options)?)
    }

    /// The best base in a folder. One that is damaged, or not signed by who signs now, stands back for the next; when
    /// none is left everything is read, so that it does not keep all later nights from being made. Anything else that is
    /// wrong with one ends the command.
    fn latest(&self, folder: &Place) -> Result<Option<Base>, Failure> {
        if let Place::Local(path) = folder {
            // A folder that cannot be looked at is not one that is missing.
            let there = path.try_exists().map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })?;
            if !there {
                self.tell_none(folder);
                return Ok(None);
            }
        }
        let listing = place::list(folder, &self.console)?;
        let candidates = listing.bases(&self.workspace_id, self.options.started);
        let mut unusable = self.pass_over(&listing, candidates.first().copied());
        for candidate in candidates.into_iter().take(MOST_CANDIDATES) {
            match self.at(&candidate.place) {
                // One that was just listed may have been pruned, or renamed, since.
                Err(failure) if failure.exit() == Exit::Damaged || is_gone(&failure) => {
                    unusable += 1;
                    let text = format!(
                        "{} cannot be the base: {}",
                        candidate.place,
                        chain(&failure)
                    );
                    self.console.warning(&text);
                }
                result => return result.map(Some),
            }
        }
        match unusable {
            0 => self.tell_none(folder),
            _ => self.console.warning(&format!(
                "no base: no archive of workspace {} that was tried in {folder} can be one, so everything is read",
                self.workspace_id
            )),
        }
        Ok(None)
    }

    /// Warns of archives that may be newer than the best base and cannot be one; gives how many.
    fn pass_over(&self, listing: &Listing, best: Option<&Listed>) -> u64 {
        let mut passed = 0;
        for archive in &listing.archives {
            let why = match archive.standing() {
                Standing::Unknown if best.is_none_or(|best| best.modified < archive.modified) => {
                    "what it is, its descriptor does not say"
                }
                _ if archive.is_of_the_future(self.options.started)
                    && archive
                        .descriptor()
                        .is_some_and(|one| one.workspace_id == self.workspace_id) =>
                {
                    "it is dated in the future"
                }
                _ => continue,
            };
            passed += 1;
            let text = format!("{} cannot be the base: {why}", archive.place);
            self.console.warning(&text);
        }
        passed
    }

    fn tell_none(&self, folder: &Place) {
        let text = format!(
            "no base: there is no archive of workspace {} in {folder} yet, so everything is read",
            self.workspace_id
        );
        let fields = json!({"archive": null, "folder": folder.to_string()});
        self.console.event("base", fields, &text);
    }
}
