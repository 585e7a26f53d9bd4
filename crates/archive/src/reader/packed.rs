//! Contents from an archive file: whole frames by ranged reads, the last few kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::frame::{Decoder, HARD};
use crate::seek::{Frames, Place};
use crate::source::{ReadAt, lock};

/// Decoded frames that are kept: members that are read in path order share frames.
const CACHED_FRAMES: usize = 8;

/// An archive file.
pub(super) struct Packed {
    source: Box<dyn ReadAt>,
    name: String,
    frames: Frames,
    cache: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
}

impl Packed {
    pub(super) fn new(source: Box<dyn ReadAt>, name: String, frames: Frames) -> Self {
        Self {
            source,
            name,
            frames,
            cache: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn frames(&self) -> &Frames {
        &self.frames
    }

    pub(super) fn source(&self) -> &dyn ReadAt {
        &*self.source
    }

    /// Streams what lies at the place of `member`.
    pub(super) fn stream(
        &self,
        member: &Member,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let total = self.frames.stream_len();
        let end = member
            .offset
            .checked_add(member.size)
            .filter(|end| *end <= total);
        let Some(end) = end else {
            return Err(self.damaged(
                Damage::new("the index places the member beyond the end of the archive")
                    .at_path(&member.path)
                    .values(
                        format!("within {total} bytes"),
                        format!("{} bytes at {}", member.size, member.offset),
                    ),
            ));
        };
        let mut at = member.offset;
        while at < end {
            let Some(place) = self.frames.containing(at) else {
                return Err(
                    self.damaged(Damage::new("no frame holds the member").at_path(&member.path))
                );
            };
            let frame = self.frame(place, &member.path)?;
            let from = (at - place.start) as usize;
            let until = (end.min(place.end()) - place.start) as usize;
            to(&frame[from..until])?;
            at = place.end();
        }
        Ok(())
    }

    /// One decoded frame. `path` is what it is read for.
    fn frame(&self, place: Place, path: &str) -> Result<Arc<Vec<u8>>, ReadError> {
        let cached = lock(&self.cache)
            .iter()
            .find(|(frame, _)| *frame == place.frame)
            .map(|(_, bytes)| Arc::clone(bytes));
        if let Some(bytes) = cached {
            return Ok(bytes);
        }
        let stored = read_range(&*self.source, &self.name, place.stored, place.stored_len)?;
        let mut decoder = decoder(&self.name, place.stored)?;
        let mut bytes = Vec::new();
        decode(&mut decoder, &self.frames, place, &stored, &mut bytes)
            .map_err(|damage| self.damaged(damage.at_path(path)))?;
        let bytes = Arc::new(bytes);
        if bytes.len() <= HARD {
            let mut cache = lock(&self.cache);
            cache.push_front((place.frame, Arc::clone(&bytes)));
            cache.truncate(CACHED_FRAMES);
        }
        Ok(bytes)
    }

    fn damaged(&self, damage: Box<Damage>) -> ReadError {
        ReadError::damaged(&self.name, damage)
    }
}

pub(super) fn decoder(name: &str, offset: u64) -> Result<Decoder, ReadError> {
    Decoder::new().map_err(|source| ReadError::Io {
        name: name.to_owned(),
        offset,
        source,
    })
}

/// Decodes one frame and compares it with the seek table.
pub(super) fn decode(
    decoder: &mut Decoder,
    frames: &Frames,
    place: Place,
    stored: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Box<Damage>> {
    let limit = frames.limit(place.frame);
    decoder
        .decode(stored, limit, out)
        .map_err(|damage| damage.at_frame(place.frame, place.stored))?;
    if out.len() != place.len {
        return Err(
            Damage::new("the frame has another size than the seek table states")
                .at_frame(place.frame, place.stored)
                .values(
                    format!("{} bytes", place.len),
                    format!("{} bytes", out.len()),
                ),
        );
    }
    Ok(())
}

/// Reads exactly `len` bytes at `offset`, in one request where the source answers in full.
pub(super) fn read_range(
    source: &dyn ReadAt,
    name: &str,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; len];
    read_into(source, name, offset, &mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` from `offset`.
pub(super) fn read_into(
    source: &dyn ReadAt,
    name: &str,
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), ReadError> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        match source.read_at(at, &mut bytes[done..]) {
            // The length was asked before: the source has become shorter.
            Ok(0) => {
                return Err(ReadError::Truncated {
                    name: name.to_owned(),
                    at,
                });
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(ReadError::Io {
                    name: name.to_owned(),
                    offset: at,
                    source,
                });
            }
        }
    }
    Ok(())
}
