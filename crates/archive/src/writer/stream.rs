//! The tar stream and where it is cut into frames (spec, "Tar" and "Frames").

use std::io::Write;

use crate::digest::Digest;
use crate::error::WriteError;
use crate::frame::{HARD, LAST_MAX, SOFT};
use crate::pool::{Form, FrameSink};
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
    /// Everything from now on stays in one frame.
    closing: bool,
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
            closing: false,
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
        self.large = span > HARD as u64 && !self.closing;
        let full = self.buffer.len() >= SOFT || self.buffer.len() as u64 + span > HARD as u64;
        if full && !self.closing {
            self.cut()?;
        }
        self.append(&headers)?;
        Ok(self.before + self.buffer.len() as u64)
    }

    /// Appends bytes of the current member.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        if self.closing && self.buffer.len() + bytes.len() > LAST_MAX {
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
    pub(super) fn cut(&mut self) -> Result<(), WriteError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.before += self.buffer.len() as u64;
        let full = std::mem::take(&mut self.buffer);
        let form = if self.closing {
            Form::Raw
        } else {
            Form::Compressed
        };
        self.buffer = self.frames.submit(full, form)?;
        Ok(())
    }

    /// Ends the current frame and keeps everything after it in one frame, the last. Gives length and digest of the
    /// stored file up to there.
    pub(super) fn close(&mut self) -> Result<(u64, Digest), WriteError> {
        self.cut()?;
        self.closing = true;
        self.frames.drain()
    }

    /// Ends the tar and writes the seek table.
    pub(super) fn finish(mut self) -> Result<(W, u64, Digest), WriteError> {
        self.append(&[0; 2 * tarball::BLOCK])?;
        self.cut()?;
        self.frames.finish()
    }
}
