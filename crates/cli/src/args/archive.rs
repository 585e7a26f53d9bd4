//! The archive that a command reads.

use std::path::PathBuf;

use clap::Args;
use lifeboat_storage::Region;

use super::keys::{IdentityArgs, SignatureArgs};

/// An archive at a path or URL.
#[derive(Args, Debug, Clone)]
pub(crate) struct ArchiveArgs {
    /// The archive: a file, the folder that `tar` unpacked it into, or a URL (az://, abfss://, https://, s3://); FOLDER/latest
    /// is the newest complete one of a folder
    #[arg(value_name = "ARCHIVE")]
    pub(crate) place: PathBuf,
    /// Read from the secondary region of the storage account; without this it is asked when the primary one is away
    #[arg(long)]
    pub(crate) secondary: bool,
    /// Which workspace's newest archive FOLDER/latest is, where several have archives in the folder
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) signature: SignatureArgs,
}

impl ArchiveArgs {
    /// The region that is asked first.
    pub(crate) fn region(&self) -> Region {
        region(self.secondary)
    }
}

/// The region that `--secondary` asks for.
pub(crate) fn region(secondary: bool) -> Region {
    match secondary {
        true => Region::Secondary,
        false => Region::Primary,
    }
}
