//! Salvage: what is intact in a file whose tail is gone or whose seek table cannot be trusted (spec, "Salvage").
//!
//! Reads frames forward from the front, without seek table, index or manifest. After bytes that are no frame, it
//! looks for the next place where one begins.

use super::packed::{decoder, read_into};
use super::walk::{Visitor, Walk};
use crate::digest::{Digest, Hasher};
use crate::error::{Damage, ReadError};
use crate::frame::{self, Decoder, LAST_MAX, MAGIC};
use crate::source::ReadAt;

/// Bytes read at a time.
const PIECE: usize = 4 << 20;
/// The longest that a stored frame can be: zstd adds little to what it cannot compress.
const STORED_MAX: usize = LAST_MAX + (1 << 20);
/// Damages that a report lists.
const MAX_DAMAGE: usize = super::MAX_DAMAGE;

/// What salvage hands on, member by member: `Begin`, any number of `Data`, then `End` or `Lost`.
#[derive(Debug)]
pub enum SalvageEvent<'a> {
    /// A member begins.
    Begin {
        /// Its path, checked: it cannot leave the folder that it is written into.
        path: &'a str,
        /// Its size in bytes.
        size: u64,
    },
    /// Bytes of it.
    Data(&'a [u8]),
    /// It is complete, and the checksums of its frames are right.
    End {
        /// Digest of what was handed on.
        sha256: Digest,
    },
    /// It cannot be completed: what was handed on is worthless.
    Lost,
}

/// What salvage found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Complete members.
    pub members: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Frames that could be decoded.
    pub frames: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Offset of the first byte that the last readable frame does not reach.
    pub readable: u64,
    /// The end of the tar was found: nothing is missing behind.
    pub complete: bool,
    /// What is wrong, at most [`MAX_DAMAGE`](super::MAX_DAMAGE) of it.
    pub damage: Vec<Damage>,
}

/// Reads all intact members of the archive file behind `source`.
///
/// `to` may refuse an event: salvage then ends with [`ReadError::Output`].
pub fn salvage(
    source: &dyn ReadAt,
    to: &mut dyn FnMut(SalvageEvent<'_>) -> std::io::Result<()>,
) -> Result<SalvageReport, ReadError> {
    let name = source.name();
    let size = source.size().map_err(|source| ReadError::Io {
        name: name.clone(),
        offset: 0,
        source,
    })?;
    let mut scan = Scan {
        decoder: decoder(&name, 0)?,
        window: Window::new(source, &name, size),
        walk: Walk::new(),
        offset: 0,
        receiver: Receiver {
            to,
            report: SalvageReport {
                size,
                ..SalvageReport::default()
            },
            path: String::new(),
            size: 0,
            hasher: Hasher::new(),
            frame: 0,
            at: 0,
        },
    };
    scan.run()?;
    let Scan {
        walk, mut receiver, ..
    } = scan;
    receiver.report.complete = walk.complete();
    Ok(receiver.report)
}

/// A part of the file that moves forward.
struct Window<'a> {
    source: &'a dyn ReadAt,
    name: &'a str,
    size: u64,
    /// Offset of `bytes` in the file.
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(source: &'a dyn ReadAt, name: &'a str, size: u64) -> Self {
        Self {
            source,
            name,
            size,
            at: 0,
            bytes: Vec::new(),
        }
    }

    /// Moves on to `at` and holds at least `want` bytes from there, less only at the end of the file.
    fn hold(&mut self, at: u64, want: usize) -> Result<&[u8], ReadError> {
        let gone = usize::try_from(at.saturating_sub(self.at)).unwrap_or(usize::MAX);
        self.bytes.drain(..gone.min(self.bytes.len()));
        self.at = at;
        if self.bytes.len() < want {
            let have = self.bytes.len();
            let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
            self.bytes.resize(want.max(PIECE).min(left).max(have), 0);
            read_into(
                self.source,
                self.name,
                at + have as u64,
                &mut self.bytes[have..],
            )?;
        }
        Ok(&self.bytes)
    }
}

struct Scan<'a, 'b> {
    decoder: Decoder,
    window: Window<'a>,
    walk: Walk,
    /// Offset in the uncompressed stream, as far as it is known.
    offset: u64,
    receiver: Receiver<'b>,
}

impl Scan<'_, '_> {
    fn run(&mut self) -> Result<(), ReadError> {
        let mut at = 0;
        let mut raw = Vec::new();
        while at < self.window.size && !self.walk.complete() {
            self.receiver.at = at;
            match self.frame_length(at)? {
                Some(length) => {
                    let stored = &self.window.bytes[..length];
                    match self.decoder.decode(stored, LAST_MAX, &mut raw) {
                        Ok(()) => {
                            self.walk.frame(&raw, self.offset, &mut self.receiver)?;
                            self.offset += raw.len() as u64;
                            self.receiver.report.frames += 1;
                            self.receiver.report.readable = at + length as u64;
                        }
                        Err(damage) => {
                            let len = frame::content_size(stored, LAST_MAX).unwrap_or(0) as u64;
                            self.receiver.damage(damage)?;
                            self.walk.gap(len, &mut self.receiver)?;
                            self.offset += len;
                        }
                    }
                    self.receiver.frame += 1;
                    at += length as u64;
                }
                None => at = self.next_frame(at)?,
            }
        }
        if !self.walk.complete() {
            self.walk.gap(u64::MAX, &mut self.receiver)?;
        }
        Ok(())
    }

    /// Length of the stored frame at `at`; the window then holds it. `None` when no whole frame is there.
    fn frame_length(&mut self, at: u64) -> Result<Option<usize>, ReadError> {
        let mut want = PIECE;
        loop {
            let bytes = self.window.hold(at, want)?;
            if frame::content_size(bytes, LAST_MAX).is_err() {
                return Ok(None);
            }
            if let Ok(length) = zstd::zstd_safe::find_frame_compressed_size(bytes) {
                return Ok(Some(length));
            }
            if bytes.len() < want || want >= STORED_MAX {
                return Ok(None);
            }
            want = (want * 2).min(STORED_MAX);
        }
    }

    /// Where the next frame may begin after `at`.
    fn next_frame(&mut self, at: u64) -> Result<u64, ReadError> {
        self.receiver
            .damage(Damage::new("no whole frame is here"))?;
        // How much is lost is not known, so a large member cannot be followed over it.
        self.walk.gap(u64::MAX, &mut self.receiver)?;
        let mut from = at + 1;
        loop {
            let size = self.window.size;
            let bytes = self.window.hold(from, PIECE)?;
            if let Some(found) = bytes
                .windows(MAGIC.len())
                .position(|window| window == MAGIC)
            {
                return Ok(from + found as u64);
            }
            if from + bytes.len() as u64 >= size {
                return Ok(size);
            }
            // The magic number may straddle two pieces.
            from += (bytes.len() - (MAGIC.len() - 1)) as u64;
        }
    }
}

/// Counts members and hands them on.
struct Receiver<'a> {
    to: &'a mut dyn FnMut(SalvageEvent<'_>) -> std::io::Result<()>,
    report: SalvageReport,
    path: String,
    size: u64,
    hasher: Hasher,
    frame: u64,
    at: u64,
}

impl Receiver<'_> {
    fn hand_on(&mut self, event: SalvageEvent<'_>) -> Result<(), ReadError> {
        (self.to)(event).map_err(|source| ReadError::Output {
            path: self.path.clone(),
            source,
        })
    }
}

impl Visitor for Receiver<'_> {
    type Error = ReadError;

    fn begin(&mut self, path: &str, size: u64, _offset: u64) -> Result<(), ReadError> {
        self.path = path.to_owned();
        self.size = size;
        self.hasher = Hasher::new();
        self.hand_on(SalvageEvent::Begin { path, size })
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        self.hasher.update(bytes);
        self.hand_on(SalvageEvent::Data(bytes))
    }

    fn end(&mut self) -> Result<(), ReadError> {
        self.report.members += 1;
        self.report.bytes += self.size;
        let sha256 = std::mem::take(&mut self.hasher).finish();
        self.hand_on(SalvageEvent::End { sha256 })
    }

    fn lost(&mut self) -> Result<(), ReadError> {
        let damage = Damage::new("the member is cut short").at_path(&self.path);
        self.damage(damage)?;
        self.hand_on(SalvageEvent::Lost)
    }

    fn damage(&mut self, damage: Box<Damage>) -> Result<(), ReadError> {
        if self.report.damage.len() < MAX_DAMAGE {
            self.report
                .damage
                .push(*damage.at_frame(self.frame, self.at));
        }
        Ok(())
    }
}
