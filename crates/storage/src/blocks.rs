//! Bytes of a remote file that were read, the last ones first to be found again.

use std::collections::VecDeque;

use bytes::Bytes;

/// So many bytes are kept at most, and always the last block.
const KEPT: usize = 32 << 20;
/// The most that is read ahead at a time.
const MOST_AHEAD: u64 = 8 << 20;

/// Blocks of any size at any place, and where the reader is going.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Most recently read first.
    blocks: VecDeque<(u64, Bytes)>,
    /// End of the last read, and how many bytes have been read in one go up to there.
    end: u64,
    run: u64,
}

impl Blocks {
    /// Copies what is kept from `offset` on; 0 when nothing is.
    pub(crate) fn copy(&mut self, offset: u64, buf: &mut [u8]) -> usize {
        let holds = |(start, bytes): &&(u64, Bytes)| {
            *start <= offset && offset - *start < bytes.len() as u64
        };
        let Some((start, bytes)) = self.blocks.iter().find(holds) else {
            return 0;
        };
        let rest = &bytes[(offset - start) as usize..];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.went(offset, count as u64);
        count
    }

    /// How much to ask for at `offset` for a reader who wants `len` bytes there: exactly that, or, when it reads
    /// on from where it stopped, as much as it has read so far.
    pub(crate) fn ask(&self, offset: u64, len: u64) -> u64 {
        if offset == self.end && self.run > 0 {
            len.max(self.run.min(MOST_AHEAD))
        } else {
            len
        }
    }

    pub(crate) fn keep(&mut self, offset: u64, bytes: Bytes) {
        self.blocks.push_front((offset, bytes));
        let mut kept = 0;
        let fitting = self.blocks.iter().take_while(|(_, bytes)| {
            kept += bytes.len();
            kept <= KEPT
        });
        let count = fitting.count();
        self.blocks.truncate(count.max(1));
    }

    fn went(&mut self, offset: u64, count: u64) {
        self.run = if offset == self.end { self.run } else { 0 } + count;
        self.end = offset + count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    #[test]
    fn what_was_read_is_found_again_also_in_part() {
        let mut blocks = Blocks::default();
        blocks.keep(100, block(50));
        let mut buf = [0; 30];
        assert_eq!(blocks.copy(99, &mut buf), 0);
        assert_eq!(blocks.copy(100, &mut buf), 30);
        assert_eq!(blocks.copy(130, &mut buf), 20);
        assert_eq!(blocks.copy(150, &mut buf), 0);
    }

    #[test]
    fn only_a_reader_who_goes_on_gets_more_than_asked_for() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.ask(0, 10), 10);
        blocks.keep(0, block(1000));
        let mut buf = [0; 1000];
        blocks.copy(0, &mut buf);
        assert_eq!(blocks.ask(1000, 10), 1000);
        assert_eq!(blocks.ask(2000, 10), 10);
        blocks.keep(5000, block(10));
        blocks.copy(5000, &mut buf);
        assert_eq!(blocks.ask(5010, 10), 10);
    }

    #[test]
    fn the_oldest_blocks_go() {
        let mut blocks = Blocks::default();
        blocks.keep(0, block(KEPT / 2));
        blocks.keep(1 << 40, block(KEPT / 2));
        let mut buf = [0; 1];
        assert_eq!(blocks.copy(0, &mut buf), 1);
        blocks.keep(1 << 41, block(KEPT + 1));
        assert_eq!(blocks.copy(0, &mut buf), 0);
        assert_eq!(blocks.copy(1 << 41, &mut buf), 1);
    }
}
