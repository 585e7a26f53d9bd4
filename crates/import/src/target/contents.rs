//! Contents of notebooks and files of the target, read only where listing and journal cannot decide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lifeboat_archive::{Digest, Hasher};
use lifeboat_catalog::records::ContentRef;
use lifeboat_catalog::{places, tree};
use lifeboat_databricks::{Client, segment};
use serde_json::Value;

use super::TargetState;
use super::read::{concurrently, fatal, service};
use crate::error::Error;

/// Largest content that is read back; larger ones are unknown.
const CAP: u64 = 1 << 30;

/// A content to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// `notebooks`, `files` or `dbfs`.
    pub kind: String,
    /// Path in the target.
    pub path: String,
    /// Format of the archived content.
    pub format: String,
    /// Length of the archived content.
    pub size: u64,
    /// Language of a notebook.
    pub language: Option<String>,
}

impl Wanted {
    /// What stands in the target for an archived content.
    pub fn new(kind: &str, path: String, content: &ContentRef, language: Option<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            path,
            format: content.format.clone(),
            size: content.size,
            language,
        }
    }
}

/// A content of the target as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// SHA-256, lowercase hex. A Jupyter notebook is digested in the form of [`normal_jupyter`].
    pub digest: String,
    /// That of a notebook's source without its first line, where that is the header: the service puts it before a
    /// source that lacks it.
    pub without_header: Option<String>,
    /// That of a notebook's source in the form of [`tree::normal_source`].
    pub normal: Option<String>,
}

impl Content {
    /// One that is only ever what was written.
    pub fn of(digest: String) -> Self {
        Self {
            digest,
            without_header: None,
            normal: None,
        }
    }

    /// Whether it is what the service makes of a content with this digest.
    pub fn is(&self, digest: &str) -> bool {
        self.digest == digest || self.without_header.as_deref() == Some(digest)
    }
}

/// Reads contents into `state`. What cannot be read stays unknown, which planning takes for different.
pub(crate) async fn read_contents(
    client: &Client,
    wanted: impl IntoIterator<Item = Wanted>,
    concurrency: usize,
    state: &mut TargetState,
) -> Result<(), Error> {
    let read = concurrently(wanted, concurrency, |wanted| async move {
        let content = if wanted.kind == "dbfs" {
            let digest = dbfs_digest(client, &wanted.path).await;
            digest.map(Content::of)
        } else {
            read_content(client, &wanted).await
        };
        (wanted, content)
    })
    .await;
    for (wanted, content) in read {
        match content {
            Ok(content) => {
                state.contents.insert((wanted.kind, wanted.path), content);
            }
            Err(error) if fatal(&error) => {
                return Err(service(&format!("reading {}", wanted.path), error));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// A notebook or file in the format of the archive.
pub(crate) async fn read_content(
    client: &Client,
    wanted: &Wanted,
) -> Result<Content, lifeboat_databricks::Error> {
    let is_file = wanted.kind == "files";
    let format = if is_file {
        "AUTO"
    } else {
        wanted.format.as_str()
    };
    let path = wanted.path.as_str();
    let bytes = if wanted.size < tree::JSON_LIMIT {
        let reply = client
            .get(
                "/api/2.0/workspace/export",
                &[("path", path), ("format", format)],
            )
            .await?;
        decoded(&reply)
    } else {
        let query = [
            ("path", path),
            ("format", format),
            ("direct_download", "true"),
        ];
        match client
            .get_bytes("/api/2.0/workspace/export", &query, CAP)
            .await
        {
            Err(error) if is_file && error.is_too_large() => {
                let raw = format!(
                    "/api/2.0/workspace-files/{}",
                    segment(path.trim_start_matches('/'))
                );
                client.get_bytes(&raw, &[], CAP).await?
            }
            other => other?,
        }
    };
    let language = wanted
        .language
        .as_deref()
        .filter(|_| wanted.format == "SOURCE");
    Ok(Content {
        digest: digest_of(&bytes, &wanted.format),
        without_header: language
            .and_then(|language| tree::without_source_header(language, &bytes))
            .map(|rest| Digest::of(rest).to_string()),
        normal: language.map(|language| normal_digest(language, &bytes)),
    })
}

fn decoded(reply: &Value) -> Bytes {
    let text = places::text(reply, "content").unwrap_or_default();
    // Text that is no base64 has no digest of anything in the archive: it counts as different.
    STANDARD
        .decode(text.as_bytes())
        .map_or_else(|_| Bytes::from(text), Bytes::from)
}

/// SHA-256 of a notebook's source in the form of [`tree::normal_source`].
pub(crate) fn normal_digest(language: &str, source: &[u8]) -> String {
    Digest::of(&tree::normal_source(language, source)).to_string()
}

/// SHA-256 of a content; Jupyter notebooks by meaning.
pub(crate) fn digest_of(bytes: &[u8], format: &str) -> String {
    if format == "JUPYTER"
        && let Some(normal) = normal_jupyter(bytes)
    {
        return Digest::of(normal.as_bytes()).to_string();
    }
    Digest::of(bytes).to_string()
}

/// A Jupyter notebook with sorted keys: the service writes keys and spaces in its own way. `None` when it is no JSON.
fn normal_jupyter(bytes: &[u8]) -> Option<String> {
    let mut notebook: Value = serde_json::from_slice(bytes).ok()?;
    notebook.sort_all_objects();
    Some(notebook.to_string())
}

/// SHA-256 of a DBFS file.
pub(crate) async fn dbfs_digest(
    client: &Client,
    path: &str,
) -> Result<String, lifeboat_databricks::Error> {
    let mut hasher = Hasher::new();
    let mut offset: u64 = 0;
    let length = tree::DBFS_BLOCK.to_string();
    loop {
        let at = offset.to_string();
        let query = [
            ("path", path),
            ("offset", at.as_str()),
            ("length", length.as_str()),
        ];
        let reply = client.get("/api/2.0/dbfs/read", &query).await?;
        let block = STANDARD
            .decode(places::text(&reply, "data").unwrap_or_default())
            .unwrap_or_default();
        hasher.update(&block);
        offset += block.len() as u64;
        if (block.len() as u64) < tree::DBFS_BLOCK {
            return Ok(hasher.finish().to_string());
        }
    }
}
