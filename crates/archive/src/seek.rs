//! The seek table: the last, skippable frame of the file (spec, "Seek table"; Zstandard Seekable Format 0.1.0).
//!
//! The table itself is zeekstd's; here stand the checks that come before and after its parser, which reserves
//! memory from a count that it has not checked.

use zeekstd::seek_table::Format;
use zeekstd::{BytesWrapper, SeekTable};

use crate::error::Damage;
use crate::frame::{HARD, LAST_MAX};

/// Length of the footer: frame count, descriptor, magic number.
pub(crate) const FOOTER: usize = 9;
/// Length of the skippable frame's header and the footer together.
const OVERHEAD: u64 = 17;
/// The most frames that a reader accepts and a writer makes: 4 TiB of small members.
pub(crate) const MAX_FRAMES: u64 = 1 << 22;
const FOOTER_MAGIC: [u8; 4] = [0xb1, 0xea, 0x92, 0x8f];
const SKIPPABLE_MAGIC: [u8; 4] = [0x5e, 0x2a, 0x4d, 0x18];

/// Where one frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the frame, from 0.
    pub(crate) frame: u64,
    /// Offset in the stored file.
    pub(crate) stored: u64,
    /// Length in the stored file.
    pub(crate) stored_len: usize,
    /// Offset in the uncompressed stream.
    pub(crate) start: u64,
    /// Length in the uncompressed stream.
    pub(crate) len: usize,
}

impl Place {
    /// Offset in the uncompressed stream after the frame.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len as u64
    }
}

/// A seek table that agrees with the length of its file.
#[derive(Debug)]
pub(crate) struct Frames {
    table: SeekTable,
    count: u32,
}

impl Frames {
    /// How many frames.
    pub(crate) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Length of the uncompressed stream.
    pub(crate) fn stream_len(&self) -> u64 {
        self.place(u64::from(self.count.saturating_sub(1)))
            .map_or(0, |last| last.end())
    }

    /// The place of frame `index`.
    pub(crate) fn place(&self, index: u64) -> Option<Place> {
        let index = u32::try_from(index).ok().filter(|i| *i < self.count)?;
        let stored = self.table.frame_start_comp(index).ok()?;
        let start = self.table.frame_start_decomp(index).ok()?;
        Some(Place {
            frame: u64::from(index),
            stored,
            stored_len: usize::try_from(self.table.frame_end_comp(index).ok()? - stored).ok()?,
            start,
            len: usize::try_from(self.table.frame_end_decomp(index).ok()? - start).ok()?,
        })
    }

    /// The frame that holds byte `offset` of the uncompressed stream.
    pub(crate) fn containing(&self, offset: u64) -> Option<Place> {
        if offset >= self.stream_len() {
            return None;
        }
        self.place(u64::from(self.table.frame_index_decomp(offset)))
    }

    /// The most that frame `index` may hold, uncompressed.
    pub(crate) fn limit(&self, index: u64) -> usize {
        if index + 1 == self.count() {
            LAST_MAX
        } else {
            HARD
        }
    }

    /// The most that frame `index` may take in the file: what zstd makes of [`Frames::limit`] at worst, and more.
    fn stored_limit(&self, index: u64) -> usize {
        let limit = self.limit(index);
        limit + limit / 128 + (1 << 10)
    }
}

/// Length of the whole seek table, from the last bytes of the file.
///
/// `tail` ends with the file and holds at least [`FOOTER`] bytes.
pub(crate) fn table_len(tail: &[u8], file_len: u64) -> Result<u64, Footer> {
    let Some((_, footer)) = tail.split_last_chunk::<FOOTER>() else {
        return Err(Footer::Missing);
    };
    let at = file_len - FOOTER as u64;
    if footer[5..] != FOOTER_MAGIC {
        return Err(match find_header(tail, file_len) {
            Some(_) => Footer::Damaged(
                Damage::new("the seek table does not end as it should").at_offset(at),
            ),
            None => Footer::Missing,
        });
    }
    if footer[4] != 0 {
        return Err(Footer::Damaged(
            Damage::new("the seek table's descriptor is not zero")
                .at_offset(at + 4)
                .values(0, footer[4]),
        ));
    }
    let frames = u64::from(u32::from_le_bytes([
        footer[0], footer[1], footer[2], footer[3],
    ]));
    let length = OVERHEAD + 8 * frames;
    if length > file_len {
        return Err(Footer::Damaged(
            Damage::new("the seek table would be larger than the file")
                .at_offset(at)
                .values(
                    format!("at most {file_len} bytes"),
                    format!("{length} bytes"),
                ),
        ));
    }
    if frames == 0 || frames > MAX_FRAMES {
        return Err(Footer::Damaged(
            Damage::new("the seek table's frame count is beyond its bounds")
                .at_offset(at)
                .values(format!("1 to {MAX_FRAMES}"), frames),
        ));
    }
    Ok(length)
}

/// Why there is no seek table to parse.
#[derive(Debug)]
pub(crate) enum Footer {
    /// Nothing at the end looks like one: the file is cut short, or something else.
    Missing,
    /// There is one, and it is damaged.
    Damaged(Box<Damage>),
}

/// Looks for the header of a seek table whose length reaches exactly to the end of the file.
fn find_header(tail: &[u8], file_len: u64) -> Option<u64> {
    let first = file_len - tail.len() as u64;
    (0..(tail.len() + 1).saturating_sub(OVERHEAD as usize))
        .rev()
        .find_map(|at| {
            let header = &tail[at..at + 8];
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let ends = first + at as u64 + 8 + u64::from(length) == file_len;
            (header[..4] == SKIPPABLE_MAGIC && ends).then_some(first + at as u64)
        })
}

/// Parses the seek table; `bytes` are the last [`table_len`] bytes of the file.
pub(crate) fn parse(bytes: &[u8], file_len: u64) -> Result<Frames, Box<Damage>> {
    let at = file_len - bytes.len() as u64;
    if find_header(bytes, file_len) != Some(at) {
        // The header is not where the footer's count puts it: either may be wrong, only the footer's place is known.
        return Err(
            Damage::new("the header and the footer of the seek table do not agree")
                .at_offset(file_len - FOOTER as u64),
        );
    }
    let table = SeekTable::from_seekable(&mut BytesWrapper::new(bytes)).map_err(|error| {
        Damage::new(format!("the seek table is corrupt: {error}")).at_offset(at)
    })?;
    let frames = Frames {
        count: table.num_frames(),
        table,
    };
    let mut end = 0;
    for index in 0..frames.count() {
        let entry = at + 8 + 8 * index;
        let place = frames
            .place(index)
            .ok_or_else(|| Damage::new("the seek table is corrupt").at_frame(index, entry))?;
        end = place.stored + place.stored_len as u64;
        let (limit, stored_limit) = (frames.limit(index), frames.stored_limit(index));
        if !(1..=limit).contains(&place.len) || !(1..=stored_limit).contains(&place.stored_len) {
            return Err(Damage::new("the seek table states an impossible frame")
                .at_frame(index, entry)
                .values(
                    format!("1 to {limit} bytes stored in 1 to {stored_limit}"),
                    format!("{} bytes stored in {}", place.len, place.stored_len),
                ));
        }
    }
    if end != at {
        return Err(
            Damage::new("the frames of the seek table do not add up to the file")
                .at_offset(at)
                .values(format!("{at} bytes"), format!("{end} bytes")),
        );
    }
    Ok(frames)
}

/// Collects the table of a file that is being written.
#[derive(Debug, Default)]
pub(crate) struct Builder(SeekTable);

impl Builder {
    /// Notes one frame; `false` when there are too many.
    pub(crate) fn add(&mut self, stored_len: usize, len: usize) -> bool {
        let (Ok(stored_len), Ok(len)) = (u32::try_from(stored_len), u32::try_from(len)) else {
            return false;
        };
        u64::from(self.0.num_frames()) < MAX_FRAMES && self.0.log_frame(stored_len, len).is_ok()
    }

    /// The skippable frame.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut serializer = self.0.into_format_serializer(Format::Foot);
        let mut bytes = vec![0; serializer.encoded_len()];
        let mut at = 0;
        while at < bytes.len() {
            let written = serializer.write_into(&mut bytes[at..]);
            if written == 0 {
                break;
            }
            at += written;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `frames` frames of 10 stored bytes and 100 uncompressed ones.
    fn file(frames: usize) -> Vec<u8> {
        let mut builder = Builder::default();
        (0..frames).for_each(|_| assert!(builder.add(10, 100)));
        let mut file = vec![0; 10 * frames];
        file.extend(builder.into_bytes());
        file
    }

    fn open(file: &[u8]) -> Result<Frames, Box<Damage>> {
        let len = file.len() as u64;
        match table_len(file, len) {
            Ok(length) => parse(&file[file.len() - length as usize..], len),
            Err(Footer::Damaged(damage)) => Err(damage),
            Err(Footer::Missing) => Err(Damage::new("missing")),
        }
    }

    #[test]
    fn round_trips() {
        let frames = open(&file(3)).unwrap();
        assert_eq!((frames.count(), frames.stream_len()), (3, 300));
        let place = frames.containing(199).unwrap();
        assert_eq!(
            (place.frame, place.stored, place.start, place.end()),
            (1, 10, 100, 200)
        );
        assert_eq!(frames.containing(300), None);
        assert_eq!(frames.containing(u64::MAX), None);
    }

    #[test]
    fn a_count_beyond_the_file_is_refused_before_parsing() {
        let mut file = file(1);
        let at = file.len() - 9;
        file[at..at + 4].copy_from_slice(&(1u32 << 27).to_le_bytes());
        let damage = open(&file).unwrap_err();
        assert_eq!(damage.what, "the seek table would be larger than the file");
        assert_eq!(damage.actual.as_deref(), Some("1073741841 bytes"));
    }

    #[test]
    fn sizes_that_lie_are_refused() {
        let mut builder = Builder::default();
        assert!(builder.add(10, HARD + 1) && builder.add(10, 1));
        let mut bytes = vec![0; 20];
        bytes.extend(builder.into_bytes());
        assert!(open(&bytes).unwrap_err().what.contains("impossible"));
        let mut shifted = file(2);
        shifted.insert(0, 0);
        assert!(open(&shifted).unwrap_err().what.contains("add up"));
    }

    #[test]
    fn a_frame_that_takes_more_than_it_can_hold_is_refused() {
        let parsed = |stored: &[usize]| {
            let mut builder = Builder::default();
            stored.iter().for_each(|len| assert!(builder.add(*len, 1)));
            let table = builder.into_bytes();
            parse(&table, (stored.iter().sum::<usize>() + table.len()) as u64)
        };
        let most = HARD + HARD / 128 + 1_024;
        parsed(&[most, 10]).unwrap();
        let damage = parsed(&[most + 1, 10]).unwrap_err();
        assert!(damage.what.contains("impossible"), "{damage}");
        assert_eq!(damage.frame, Some(0));
        // A hole of 4 GiB as the only frame.
        assert!(parsed(&[u32::MAX as usize]).is_err());
        parsed(&[10, LAST_MAX + LAST_MAX / 128 + 1_024]).unwrap();
        // Nothing that zstd makes is refused.
        for limit in [HARD, LAST_MAX] {
            let bound = zstd::zstd_safe::compress_bound(limit);
            assert!(bound <= limit + limit / 128 + 1_024);
        }
    }

    #[test]
    fn every_flipped_bit_of_the_table_is_seen_or_changes_only_a_size() {
        let good = file(2);
        for at in 20..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                // The uncompressed sizes are compared with the frames when these are decoded.
                let size = [32..36, 40..44].iter().any(|range| range.contains(&at));
                assert!(open(&bad).is_err() || size, "byte {at} bit {bit}");
            }
        }
    }
}
