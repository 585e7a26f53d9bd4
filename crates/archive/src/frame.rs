//! One zstd frame: the limits, writing it, decoding it (spec, "Frames").
//!
//! A frame is decoded whole or not at all: a part of a frame comes without its checksum.

use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, Strategy, find_frame_compressed_size, get_frame_content_size};

use crate::error::Damage;

/// A frame that holds this much is closed before the next member.
pub(crate) const SOFT: usize = 1 << 20;
/// No frame but the last holds more, uncompressed.
pub(crate) const HARD: usize = 2 << 20;
/// The most that the last frame may hold, uncompressed.
pub(crate) const LAST_MAX: usize = 64 << 20;
/// First four bytes of a zstd frame.
pub(crate) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// log2 of the window: covers `HARD`, whatever the level, so that every frame is a single segment.
const WINDOW_LOG: u32 = 21;
/// The same for a last frame beyond `HARD`.
const WINDOW_LOG_LAST: u32 = 26;

/// What a frame holds, which decides how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Contents of any kind.
    Ordinary,
    /// The payload manifest or a page of the index: digests, in which short matches cost more than they save.
    Digests,
    /// The last frame, in raw blocks.
    Last,
}

/// A compressor of frames as the format wants them.
pub(crate) struct Encoder {
    ordinary: Compressor<'static>,
    digests: Compressor<'static>,
    level: i32,
}

impl Encoder {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        Ok(Self {
            ordinary: compressor(level, WINDOW_LOG)?,
            digests: digests_compressor(level)?,
            level,
        })
    }

    /// Makes one frame of `raw`.
    pub(crate) fn encode(&mut self, raw: &[u8], kind: Kind) -> io::Result<Vec<u8>> {
        match kind {
            Kind::Ordinary => self.compress(raw),
            Kind::Digests => self.digests.compress(raw),
            Kind::Last => self.store(raw),
        }
    }

    /// Makes one frame of raw blocks, with content size and checksum: nothing is compressed.
    ///
    /// A compressed block has several forms for one content, so a changed byte may decode to the same bytes. In a raw
    /// block every byte counts.
    fn store(&mut self, raw: &[u8]) -> io::Result<Vec<u8>> {
        const BLOCK: usize = 128 << 10;
        // Header and checksum are those of the compressed frame: zstd offers neither alone.
        let compressed = self.compress(raw)?;
        let (header, checksum) = match compressed.split_last_chunk::<4>() {
            Some((rest, checksum)) if rest.len() >= header_len(rest) => {
                (&rest[..header_len(rest)], checksum)
            }
            _ => return Err(io::Error::other("zstd made no whole frame")),
        };
        let mut frame = Vec::with_capacity(raw.len() + 3 * (raw.len() / BLOCK + 1) + 32);
        frame.extend_from_slice(header);
        let mut blocks = raw.chunks(BLOCK).peekable();
        if raw.is_empty() {
            frame.extend_from_slice(&[1, 0, 0]);
        }
        while let Some(block) = blocks.next() {
            // Bit 0: the last block; bits 1 and 2: raw; then the size.
            let last = u32::from(blocks.peek().is_none());
            let header = (block.len() as u32) << 3 | last;
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.extend_from_slice(block);
        }
        frame.extend_from_slice(checksum);
        Ok(frame)
    }

    /// Compresses `raw` into one frame with content size and checksum.
    fn compress(&mut self, raw: &[u8]) -> io::Result<Vec<u8>> {
        if raw.len() > HARD {
            compressor(self.level, WINDOW_LOG_LAST)?.compress(raw)
        } else {
            self.ordinary.compress(raw)
        }
    }
}

/// Length of the header of a single-segment frame: magic number, descriptor, content size.
fn header_len(frame: &[u8]) -> usize {
    let size_flag = frame.get(4).map_or(0, |descriptor| descriptor >> 6);
    5 + (1 << size_flag)
}

fn compressor(level: i32, window_log: u32) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::WindowLog(window_log))?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    Ok(compressor)
}

/// Tuned by trying on manifests and pages: 96 bytes an object where level 3 alone takes 103.
fn digests_compressor(level: i32) -> io::Result<Compressor<'static>> {
    let mut compressor = compressor(level, WINDOW_LOG)?;
    compressor.set_parameter(CParameter::Strategy(Strategy::ZSTD_lazy2))?;
    compressor.set_parameter(CParameter::MinMatch(6))?;
    compressor.set_parameter(CParameter::SearchLog(3))?;
    Ok(compressor)
}

/// A decompressor of frames.
pub(crate) struct Decoder(Decompressor<'static>);

impl Decoder {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Decompressor::new()?))
    }

    /// Decodes exactly one frame into `out`, whose old content is dropped. `limit` bounds what is allocated,
    /// whatever the frame claims.
    pub(crate) fn decode(
        &mut self,
        stored: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Box<Damage>> {
        out.clear();
        let size = content_size(stored, limit)?;
        let length = find_frame_compressed_size(stored)
            .map_err(|code| Damage::new(format!("the zstd frame is corrupt: {}", reason(code))))?;
        if length != stored.len() {
            return Err(Damage::new(
                "the zstd frame has another length than its place in the file",
            )
            .values(format!("{} bytes", stored.len()), format!("{length} bytes")));
        }
        out.reserve_exact(size);
        match self.0.decompress_to_buffer(stored, out) {
            Ok(decoded) if decoded == size => Ok(()),
            Ok(decoded) => Err(Damage::new(
                "the zstd frame decodes to another size than it states",
            )
            .values(format!("{size} bytes"), format!("{decoded} bytes"))),
            Err(error) => Err(Damage::new(format!("the zstd frame is corrupt: {error}"))),
        }
    }
}

fn reason(code: usize) -> &'static str {
    zstd::zstd_safe::get_error_name(code)
}

/// The content size that a frame states, once its header is of the only form that the format uses: content size,
/// single segment, checksum, no dictionary, no reserved bit.
///
/// The form is checked because zstd passes over the unused bit, and a flipped bit must not go unseen.
pub(crate) fn content_size(stored: &[u8], limit: usize) -> Result<usize, Box<Damage>> {
    const FORM: u8 = 0b0010_0100;
    if stored.len() < 6 || stored[..4] != MAGIC {
        return Err(Damage::new("no zstd frame begins here"));
    }
    if stored[4] & 0b0011_1111 != FORM {
        return Err(
            Damage::new("the zstd frame is not of the form that the format uses")
                .values(format!("{FORM:#010b}"), format!("{:#010b}", stored[4])),
        );
    }
    let stated = match get_frame_content_size(stored) {
        Ok(Some(size)) => size,
        _ => return Err(Damage::new("the zstd frame states no content size")),
    };
    match usize::try_from(stated) {
        Ok(size) if size <= limit => Ok(size),
        _ => Err(Damage::new("the zstd frame is larger than a frame may be")
            .values(format!("at most {limit} bytes"), format!("{stated} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stored: &[u8], limit: usize) -> Result<Vec<u8>, Box<Damage>> {
        let mut out = Vec::new();
        Decoder::new().unwrap().decode(stored, limit, &mut out)?;
        Ok(out)
    }

    #[test]
    fn every_level_and_size_gives_the_one_form() {
        for level in [1, 3, 9, 19] {
            for size in [0, 1, 255, 256, 70_000, HARD] {
                let raw: Vec<u8> = (0..size).map(|i| (i * i % 251) as u8).collect();
                let mut encoder = Encoder::new(level).unwrap();
                let stored = encoder.encode(&raw, Kind::Ordinary).unwrap();
                assert_eq!(
                    decode(&stored, HARD).unwrap(),
                    raw,
                    "level {level} size {size}"
                );
                let digests = encoder.encode(&raw, Kind::Digests).unwrap();
                assert_eq!(decode(&digests, HARD).unwrap(), raw, "size {size}");
                let plain = encoder.encode(&raw, Kind::Last).unwrap();
                assert_eq!(decode(&plain, HARD).unwrap(), raw, "size {size}");
                assert!(plain.len() >= size && plain.len() <= size + 100);
            }
        }
        let raw = vec![7; HARD + 1];
        let mut encoder = Encoder::new(1).unwrap();
        let stored = encoder.encode(&raw, Kind::Ordinary).unwrap();
        assert_eq!(decode(&stored, LAST_MAX).unwrap(), raw);
        let plain = encoder.encode(&raw, Kind::Last).unwrap();
        assert_eq!(decode(&plain, LAST_MAX).unwrap(), raw);
        assert!(decode(&stored, HARD).unwrap_err().what.contains("larger"));
    }

    #[test]
    fn a_second_frame_or_a_missing_byte_is_seen() {
        let mut stored = Encoder::new(3)
            .unwrap()
            .encode(b"content", Kind::Ordinary)
            .unwrap();
        let short = &stored[..stored.len() - 1];
        assert!(decode(short, HARD).is_err());
        stored.extend_from_slice(&stored.clone());
        assert!(
            decode(&stored, HARD)
                .unwrap_err()
                .what
                .contains("another length")
        );
    }

    #[test]
    fn a_size_of_2_to_the_63_is_refused_before_allocation() {
        let mut stored = MAGIC.to_vec();
        stored.push(0b1110_0100);
        stored.extend_from_slice(&(1u64 << 63).to_le_bytes());
        stored.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0]);
        let damage = decode(&stored, HARD).unwrap_err();
        assert_eq!(damage.actual.as_deref(), Some("9223372036854775808 bytes"));
    }
}
