//! `info`: what an archive is, of which workspace, and what it says about its own completeness.

use lifeboat_archive::{Archive, FormatVersion, Header, Summary};
use serde::Serialize;

use crate::error::Error;

/// The statements of an archive about itself.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    /// Version of the format.
    pub version: FormatVersion,
    /// SHA-256 that commits to path and content of every member, in lower-case hexadecimal.
    pub archive_id: String,
    /// SHA-256 of the payload's manifest: equal when the workspaces were equal.
    pub content_id: String,
    /// When the export ended, RFC 3339 in UTC.
    pub finished: String,
    /// What was known when the export began.
    pub header: Header,
    /// What was captured.
    pub summary: Summary,
}

/// Reads the statements: the header, the summary and the two ids. Contents are neither read nor verified.
///
/// # Errors
/// When the archive cannot be read.
pub fn info(archive: &Archive) -> Result<Info, Error> {
    Ok(Info {
        version: archive.version(),
        archive_id: archive.archive_id()?.to_string(),
        content_id: archive.content_id()?.to_string(),
        finished: archive.finished().to_string(),
        header: archive.header()?,
        summary: archive.summary()?,
    })
}
