//! The descriptor: a small JSON file beside an archive that says what it is without opening it, even when it is
//! encrypted (spec, "Beside the archive"). It names no people and no objects.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::statement::{FORMAT, Header, Inventory, Scope, Summary};
use crate::version::FormatVersion;
use crate::writer::Sealed;

/// What the name of an archive ends in.
pub const EXTENSION: &str = ".tar.zst";
/// What the name of an encrypted archive ends in.
pub const ENCRYPTED_EXTENSION: &str = ".tar.zst.age";
/// What the name of an archive has before its extension when its run ended early.
pub const PARTIAL: &str = ".partial";
/// What the name of a descriptor's signature has after the descriptor's.
pub const SIGNATURE_EXTENSION: &str = ".minisig";

/// Totals of an archive. The six fates are summed over all kinds.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// All members in the tar.
    pub members: u64,
    /// Members below `data/`.
    pub payload_members: u64,
    /// Bytes of those.
    pub payload_bytes: u64,
    /// Objects that the service listed.
    pub listed: u64,
    /// Objects stored in this run.
    pub stored: u64,
    /// Objects taken over from an earlier archive.
    pub reused: u64,
    /// Objects left out by rule.
    pub excluded: u64,
    /// Objects that cannot be captured.
    pub unsupported: u64,
    /// Objects that were gone when they were read.
    pub vanished: u64,
    /// Objects that could not be read.
    pub failed: u64,
}

/// `X.json` beside `X.tar.zst`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// Always `lifeboat`.
    pub format: String,
    /// The version of the archive's format.
    pub version: FormatVersion,
    /// The tool that wrote it.
    pub tool: String,
    /// The source workspace's id.
    pub workspace_id: String,
    /// The source workspace's host, when the operator lets it be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When the run began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// What was asked for.
    pub scope: Scope,
    /// Whether all of it could be listed.
    pub inventory: Inventory,
    /// Totals.
    pub counts: Counts,
    /// Bytes of the stored file.
    pub size: u64,
    /// SHA-256 of `tagmanifest-sha256.txt`.
    pub archive_id: Digest,
    /// SHA-256 of `manifest-sha256.txt`.
    pub content_id: Digest,
    /// SHA-256 of the stored file.
    pub sha256: Digest,
    /// Whether the stored file is encrypted.
    pub encrypted: bool,
}

/// Why a descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Not JSON of this shape.
    #[error("not a descriptor")]
    Json(#[source] serde_json::Error),
    /// JSON of this shape, of another format.
    #[error("the descriptor's format is {found:?}, not \"lifeboat\"")]
    Format {
        /// Its `format`.
        found: String,
    },
    /// Of a later major version.
    #[error("the descriptor is of format version {found}")]
    Version {
        /// Its version.
        found: FormatVersion,
    },
}

/// Only what must be understood before the rest is looked at.
#[derive(Deserialize)]
struct Prelude {
    format: String,
    version: FormatVersion,
}

impl Descriptor {
    /// The descriptor of an unencrypted archive that was just sealed.
    pub fn new(header: &Header, summary: &Summary, sealed: &Sealed, finished: Timestamp) -> Self {
        let mut counts = Counts {
            members: sealed.members,
            payload_members: sealed.payload_members,
            payload_bytes: sealed.payload_bytes,
            listed: 0,
            stored: 0,
            reused: 0,
            excluded: 0,
            unsupported: 0,
            vanished: 0,
            failed: 0,
        };
        for kind in summary.kinds.values() {
            counts.listed += kind.listed;
            counts.stored += kind.stored;
            counts.reused += kind.reused;
            counts.excluded += kind.excluded;
            counts.unsupported += kind.unsupported;
            counts.vanished += kind.vanished;
            counts.failed += kind.failed;
        }
        Self {
            format: FORMAT.to_owned(),
            version: header.version,
            tool: header.tool.clone(),
            workspace_id: header.source.workspace_id.clone(),
            host: Some(header.source.host.clone()),
            started: header.started,
            finished,
            scope: summary.scope,
            inventory: summary.inventory,
            counts,
            size: sealed.size,
            archive_id: sealed.archive_id,
            content_id: sealed.content_id,
            sha256: sealed.sha256,
            encrypted: false,
        }
    }

    /// Where the descriptor of `archive` is: `X.tar.zst` and `X.tar.zst.age` have `X.json`; any other name has
    /// `.json` added.
    pub fn path_for(archive: &Path) -> PathBuf {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        match stem(&name) {
            Some((stem, _)) => archive.with_file_name(format!("{stem}.json")),
            None => with_suffix(archive, ".json"),
        }
    }

    /// Where the signature of that descriptor is: `X.json.minisig`.
    pub fn signature_path_for(archive: &Path) -> PathBuf {
        with_suffix(&Self::path_for(archive), SIGNATURE_EXTENSION)
    }

    /// Where an archive goes whose run ended early: `X.partial.tar.zst` instead of `X.tar.zst`, likewise for encrypted
    /// ones; any other name has `.partial` added.
    pub fn partial_path_for(archive: &Path) -> PathBuf {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        match stem(&name) {
            Some((stem, _)) => {
                let extension = &name[stem.len()..];
                archive.with_file_name(format!("{stem}{PARTIAL}{extension}"))
            }
            None => with_suffix(archive, PARTIAL),
        }
    }

    /// The other archive that would have the same descriptor: `X.tar.zst.age` beside `X.tar.zst` and the other way
    /// round. Only one of them can be there.
    pub fn twin_of(archive: &Path) -> Option<PathBuf> {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let (stem, encrypted) = stem(&name)?;
        let extension = if encrypted {
            EXTENSION
        } else {
            ENCRYPTED_EXTENSION
        };
        Some(archive.with_file_name(format!("{stem}{extension}")))
    }

    /// The descriptor as it is stored: indented JSON and a line break.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DescriptorError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(DescriptorError::Json)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Parses a stored descriptor. A higher major is refused before anything else is looked at; unknown fields
    /// are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let prelude: Prelude = serde_json::from_slice(bytes).map_err(DescriptorError::Json)?;
        if prelude.format != FORMAT {
            return Err(DescriptorError::Format {
                found: prelude.format,
            });
        }
        if !prelude.version.readable() {
            return Err(DescriptorError::Version {
                found: prelude.version,
            });
        }
        serde_json::from_slice(bytes).map_err(DescriptorError::Json)
    }
}

/// What stands before the extension of an archive's name, and whether the archive is an encrypted one.
fn stem(name: &str) -> Option<(&str, bool)> {
    let plain = name.strip_suffix(EXTENSION).map(|stem| (stem, false));
    let encrypted = || Some((name.strip_suffix(ENCRYPTED_EXTENSION)?, true));
    plain
        .or_else(encrypted)
        .filter(|(stem, _)| !stem.is_empty())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_beside_an_archive() {
        for (archive, descriptor) in [
            ("a/X.tar.zst", "a/X.json"),
            ("a.b/X.y.tar.zst.age", "a.b/X.y.json"),
            ("X.backup", "X.backup.json"),
            (".tar.zst", ".tar.zst.json"),
        ] {
            let archive = Path::new(archive);
            assert_eq!(Descriptor::path_for(archive), Path::new(descriptor));
            assert_eq!(
                Descriptor::signature_path_for(archive),
                PathBuf::from(format!("{descriptor}.minisig"))
            );
        }
        let partial = |name: &str| Descriptor::partial_path_for(Path::new(name));
        assert_eq!(partial("a/X.tar.zst"), Path::new("a/X.partial.tar.zst"));
        assert_eq!(
            partial("X.y.tar.zst.age"),
            Path::new("X.y.partial.tar.zst.age")
        );
        assert_eq!(partial("a/X.backup"), Path::new("a/X.backup.partial"));
        let twin = |name: &str| Descriptor::twin_of(Path::new(name));
        assert_eq!(twin("a/X.tar.zst"), Some("a/X.tar.zst.age".into()));
        assert_eq!(twin("a/X.tar.zst.age"), Some("a/X.tar.zst".into()));
        assert_eq!(twin("X.backup"), None);
        assert_eq!(twin(".tar.zst.age"), None);
    }

    /// A descriptor as it is stored, with a field of tomorrow.
    fn stored(version: &str) -> Vec<u8> {
        let digest = Digest::of(b"");
        let fates = r#""listed":3,"stored":2,"reused":0,"excluded":0,"unsupported":0,"vanished":0,"failed":1"#;
        format!(
            r#"{{"format":"lifeboat","version":"{version}","tool":"t","workspace-id":"1",
            "started":"2026-11-22T01:00:00Z","finished":"2026-11-22T01:10:00Z","scope":"workspace",
            "inventory":"complete","counts":{{"members":9,"payload-members":4,"payload-bytes":5,{fates}}},
            "size":7,"archive-id":"{digest}","content-id":"{digest}","sha256":"{digest}","encrypted":false,
            "tomorrow":[1]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn round_trips_and_passes_over_unknown_fields() {
        let descriptor = Descriptor::parse(&stored("0.99")).unwrap();
        assert_eq!((descriptor.counts.listed, descriptor.counts.failed), (3, 1));
        assert_eq!(descriptor.host, None);
        let bytes = descriptor.to_bytes().unwrap();
        assert_eq!(Descriptor::parse(&bytes).unwrap(), descriptor);
        assert!(!String::from_utf8(bytes).unwrap().contains("host"));
    }

    #[test]
    fn a_higher_major_and_other_documents_are_refused() {
        assert!(matches!(
            Descriptor::parse(&stored("1.0")),
            Err(DescriptorError::Version { found }) if found.major == 1
        ));
        let other = br#"{"format":"ark","version":"0.9"}"#;
        assert!(
            matches!(Descriptor::parse(other), Err(DescriptorError::Format { found }) if found == "ark")
        );
        assert!(matches!(
            Descriptor::parse(b"{}"),
            Err(DescriptorError::Json(_))
        ));
    }
}
