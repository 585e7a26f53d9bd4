//! What the manifests state: the payload manifest and the tag manifest, walked as one sorted list.

use super::VerifyReport;
use crate::bag;
use crate::digest::Digest;
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::reader::Archive;

/// Bytes of the payload manifest that are read at a time.
const PIECE: u64 = 1 << 20;

/// Walks the payload manifest and the tag manifest as one list.
pub(super) struct Stated<'a> {
    archive: &'a Archive,
    manifest: Option<Member>,
    read: u64,
    text: Vec<u8>,
    at: usize,
    payload: Option<(String, Digest)>,
    last: Option<String>,
    tag: usize,
    begun: bool,
}

impl<'a> Stated<'a> {
    pub(super) fn new(archive: &'a Archive, manifest: Option<Member>) -> Self {
        Self {
            archive,
            manifest,
            read: 0,
            text: Vec::new(),
            at: 0,
            payload: None,
            last: None,
            tag: 0,
            begun: false,
        }
    }

    /// Whether the payload manifest can be read, so far, so that its silence means something.
    pub(super) fn has_manifest(&self) -> bool {
        self.manifest.is_some()
    }

    /// The next path and its digest.
    pub(super) fn next(
        &mut self,
        report: &mut VerifyReport,
    ) -> Result<Option<(String, Digest)>, ReadError> {
        if !self.begun {
            self.begun = true;
            self.payload = self.next_payload(report)?;
        }
        let tag = self.archive.closing.tags.get(self.tag);
        let tag_first = match (&self.payload, tag) {
            (Some((payload, _)), Some((tag, _))) => tag < payload,
            (None, _) => true,
            (_, None) => false,
        };
        if tag_first {
            self.tag += 1;
            return Ok(tag.cloned());
        }
        let next = self.next_payload(report)?;
        Ok(std::mem::replace(&mut self.payload, next))
    }

    fn next_payload(
        &mut self,
        report: &mut VerifyReport,
    ) -> Result<Option<(String, Digest)>, ReadError> {
        loop {
            let line = match self.line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                // It was found intact, and is not where the seek table or a frame says.
                Err(ReadError::Damaged { damage, .. }) => {
                    report.add(damage);
                    self.manifest = None;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let wrong =
                |what: &str| Damage::new(format!("{what}: {line:?}")).at_path(bag::MANIFEST);
            let Some((digest, path)) = bag::parse_manifest_line(&line) else {
                report.add(wrong("the manifest has a malformed line"));
                continue;
            };
            if !path.starts_with(bag::PAYLOAD)
                || self.last.as_deref().is_some_and(|last| last >= path)
            {
                report.add(wrong("the manifest has a line out of order"));
                continue;
            }
            self.last = Some(path.to_owned());
            return Ok(Some((path.to_owned(), digest)));
        }
    }

    fn line(&mut self) -> Result<Option<String>, ReadError> {
        let Some(manifest) = self.manifest.clone() else {
            return Ok(None);
        };
        loop {
            let rest = &self.text[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let finished = self.read == manifest.size;
            if let Some(end) = end.or((finished && !rest.is_empty()).then_some(rest.len())) {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.at = (self.at + end + 1).min(self.text.len());
                return Ok(Some(line));
            }
            if finished {
                return Ok(None);
            }
            self.text.drain(..self.at);
            self.at = 0;
            let piece = PIECE.min(manifest.size - self.read);
            let text = &mut self.text;
            self.archive
                .store
                .range(&manifest, self.read, piece, &mut |bytes| {
                    text.extend_from_slice(bytes);
                    Ok(())
                })?;
            self.read += piece;
        }
    }
}
