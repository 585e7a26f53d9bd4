//! The documents of BagIt 1.0 (RFC 8493): declaration, manifests, bag-info.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::digest::Digest;
use crate::version::FORMAT_VERSION;

/// The declaration.
pub(crate) const BAGIT: &str = "bagit.txt";
/// Our header.
pub(crate) const HEADER: &str = "lifeboat.json";
/// Digests of the payload.
pub(crate) const MANIFEST: &str = "manifest-sha256.txt";
/// Digests of everything else but itself.
pub(crate) const TAGMANIFEST: &str = "tagmanifest-sha256.txt";
/// Facts about the bag for other tools.
pub(crate) const INFO: &str = "bag-info.txt";
/// Our statement of what was captured.
pub(crate) const SUMMARY: &str = "summary.json";
/// The folder of the payload.
pub(crate) const PAYLOAD: &str = "data/";
/// The one member, without content, of a payload that would have none.
pub(crate) const EMPTY: &str = "data/empty";
/// A bag that needs fetching is not a backup.
pub(crate) const FETCH: &str = "fetch.txt";
/// Content of `bagit.txt`.
pub(crate) const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// One line of a manifest, as `sha256sum` writes it.
pub(crate) fn manifest_line(sha256: &Digest, path: &str) -> String {
    format!("{sha256}  {path}\n")
}

/// Bytes of such a line.
pub(crate) fn manifest_line_len(path: &str) -> u64 {
    64 + 2 + path.len() as u64 + 1
}

/// Digest and path of one line without its line break.
pub(crate) fn parse_manifest_line(line: &str) -> Option<(Digest, &str)> {
    let (digest, path) = line.split_once("  ")?;
    Some((digest.parse().ok()?, path))
}

/// `bag-info.txt`.
pub(crate) fn info(
    payload_bytes: u64,
    payload_members: u64,
    entries: u64,
    finished: Timestamp,
) -> String {
    let date = finished.to_zoned(TimeZone::UTC).date();
    format!(
        "Bagging-Date: {date}\n\
         Payload-Oxum: {payload_bytes}.{payload_members}\n\
         Lifeboat-Format: {FORMAT_VERSION}\n\
         Lifeboat-Finished: {finished}\n\
         Lifeboat-Index-Entries: {entries}\n"
    )
}
