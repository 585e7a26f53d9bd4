//! The tar stream and where it is cut into frames (spec, "Tar" and "Frames").

use std::io::Write;

use crate::digest::Digest;
use crate::error::WriteError;
use crate::frame::{HARD, Kind, LAST_MAX, SOFT};
use crate::pool::FrameSink;
use crate::tarball;

/// Appends members to frames and hands full frames on.
pub(super) struct Stream<W: Write> {
    frames: FrameSink<W>,
    bag: String,
    mtime: u64,
    buffer: Vec<u8>,
    /// Length of everything in frames that were handed on.
    before: u64,
    /// The current member is larger than a frame: it is cut as it comes and shares no frame.
    large: bool,
    /// What the current frame holds. Everything from `Last` on stays in one frame.
    kind: Kind,
}

impl<W: Write> Stream<W> {
    pub(super) fn new(frames: FrameSink<W>, bag: String, mtime: u64) -> Self {
        Self {
            frames,
            bag,
            mtime,
            buffer: Vec::new(),
            before: 0,
            large: false,
            kind: Kind::Ordinary,
        }
    }

    /// Writes the headers of a member of `size` bytes; gives the offset of its content in the stream.
    pub(super) fn begin(&mut self, path: &str, size: u64) -> Result<u64, WriteError> {
        let headers = tarball::headers(&format!("{}/{path}", self.bag), size, self.mtime).map_err(
            |source| WriteError::Content {
                path: path.to_owned(),
                source,
            },
        )?;
        let span = headers.len() as u64 + size + tarball::padding(size) as u64;
        self.large = span > HARD as u64 && self.kind != Kind::Last;
        let full = self.buffer.len() >= SOFT || self.buffer.len() as u64 + span > HARD as u64;
        if full && self.kind != Kind::Last {
            self.cut()?;
        }
        self.append(&headers)?;
        Ok(self.before + self.buffer.len() as u64)
    }

    /// Appends bytes of the current member.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        if self.kind == Kind::Last && self.buffer.len() + bytes.len() > LAST_MAX {
            return Err(WriteError::Limit {
                what: "bytes in the last frame",
                limit: LAST_MAX as u64,
            });
        }
        if self.large {
            while self.buffer.len() + bytes.len() >= HARD {
                let (now, later) = bytes.split_at(HARD - self.buffer.len());
                self.buffer.extend_from_slice(now);
                self.cut()?;
                bytes = later;
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the current member, whose content took `size` bytes.
    pub(super) fn end(&mut self, size: u64) -> Result<(), WriteError> {
        const ZEROS: [u8; tarball::BLOCK] = [0; tarball::BLOCK];
        self.append(&ZEROS[..tarball::padding(size)])?;
        if std::mem::take(&mut self.large) {
            self.cut()?;
        }
        Ok(())
    }

    /// Ends the current frame, if anything is in it.
    fn cut(&mut self) -> Result<(), WriteError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.before += self.buffer.len() as u64;
        let full = std::mem::take(&mut self.buffer);
        self.buffer = self.frames.submit(full, self.kind)?;
        Ok(())
    }

    /// Ends the current frame; what follows is of another kind.
    pub(super) fn frame_of(&mut self, kind: Kind) -> Result<(), WriteError> {
        self.cut()?;
        self.kind = kind;
        Ok(())
    }

    /// Ends the current frame and keeps everything after it in one frame, the last. Gives length and digest of the
    /// stored file up to there.
    pub(super) fn close(&mut self) -> Result<(u64, Digest), WriteError> {
        self.frame_of(Kind::Last)?;
        self.frames.drain()
    }

    /// Ends the tar and writes the seek table.
    pub(super) fn finish(mut self) -> Result<(W, u64, Digest), WriteError> {
        self.append(&[0; 2 * tarball::BLOCK])?;
        self.cut()?;
        self.frames.finish()
    }
}
