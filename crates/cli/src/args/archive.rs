//! The archive that a command reads.

use std::path::PathBuf;

use clap::Args;

/// An archive at a path or URL.
#[derive(Args, Debug, Clone)]
pub(crate) struct ArchiveArgs {
    /// The archive: a file, the folder that `tar` unpacked it into, or a URL (az://, abfss://, https://, s3://)
    #[arg(value_name = "ARCHIVE")]
    pub(crate) place: PathBuf,
    /// Read from the secondary region of the storage account; without this it is asked when the primary one is away
    #[arg(long)]
    pub(crate) secondary: bool,
}
