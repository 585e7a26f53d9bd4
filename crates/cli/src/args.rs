//! Arguments that several commands share.

mod archive;
mod connection;
mod folder;
mod keys;
mod names;
mod output;
mod selection;
mod share;
mod size;

pub(crate) use archive::{ArchiveArgs, region};
pub(crate) use connection::ConnectionArgs;
pub(crate) use folder::{FolderArgs, parse_age};
pub(crate) use keys::{IdentityArgs, ProtectionArgs};
pub(crate) use names::{parse_folder, parse_workspace_id};
pub(crate) use output::{Narration, OutputArgs};
pub(crate) use selection::SelectionArgs;
pub(crate) use share::{parse_sample, parse_share};
pub(crate) use size::parse_size;

/// The width of help texts where no terminal says otherwise, as in spec/cli.md.
pub(crate) const HELP_WIDTH: usize = 100;
