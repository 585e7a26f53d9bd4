//! Sorting more members than memory should hold: sorted runs in an unnamed temporary file, merged on the way out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::entry::Member;

/// Memory for members that are not yet in a run.
const RUN_BYTES: usize = 8 << 20;
/// Read buffer of one run while merging.
const READ_BYTES: usize = 32 << 10;

/// Takes members in any order.
pub(crate) struct Sorter {
    held: Vec<Member>,
    weight: usize,
    run_bytes: usize,
    dir: Option<PathBuf>,
    file: Option<File>,
    runs: Vec<(u64, u64)>,
    end: u64,
}

impl Sorter {
    /// `dir` is where the temporary file is made when one is needed; `None` is the system's place.
    pub(crate) fn new(dir: Option<&Path>) -> Self {
        Self::with_run_bytes(dir, RUN_BYTES)
    }

    fn with_run_bytes(dir: Option<&Path>, run_bytes: usize) -> Self {
        Self {
            held: Vec::new(),
            weight: 0,
            run_bytes,
            dir: dir.map(Path::to_owned),
            file: None,
            runs: Vec::new(),
            end: 0,
        }
    }

    /// Adds a member.
    pub(crate) fn push(&mut self, member: Member) -> io::Result<()> {
        self.weight += member.weight();
        self.held.push(member);
        if self.weight > self.run_bytes {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(match &self.dir {
                Some(dir) => tempfile::tempfile_in(dir)?,
                None => tempfile::tempfile()?,
            }),
        };
        let start = self.end;
        let mut buffer = Vec::with_capacity(READ_BYTES + 1024);
        for member in self.held.drain(..) {
            member.encode(&mut buffer);
            if buffer.len() >= READ_BYTES {
                file.write_all(&buffer)?;
                self.end += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all(&buffer)?;
        self.end += buffer.len() as u64;
        self.runs.push((start, self.end));
        self.weight = 0;
        Ok(())
    }

    /// Ends the input.
    pub(crate) fn finish(mut self) -> Sorted {
        self.held.sort_unstable();
        Sorted {
            held: self.held,
            file: self.file,
            runs: self.runs,
        }
    }
}

/// All members, to be walked in order any number of times.
pub(crate) struct Sorted {
    held: Vec<Member>,
    file: Option<File>,
    runs: Vec<(u64, u64)>,
}

impl Sorted {
    /// Walks the members in the order of their paths' bytes.
    pub(crate) fn iter(&mut self) -> io::Result<Merge<'_>> {
        let mut merge = Merge {
            held: self.held.iter(),
            file: self.file.as_ref(),
            runs: self
                .runs
                .iter()
                .map(|(start, end)| Run::new(*start, *end))
                .collect(),
            heap: BinaryHeap::new(),
        };
        for index in 0..=merge.runs.len() {
            merge.advance(index)?;
        }
        Ok(merge)
    }
}

/// A walk over all runs at once. The last source is what memory still holds.
pub(crate) struct Merge<'a> {
    held: std::slice::Iter<'a, Member>,
    file: Option<&'a File>,
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<(Member, usize)>>,
}

impl Merge<'_> {
    fn advance(&mut self, index: usize) -> io::Result<()> {
        let next = match (self.runs.get_mut(index), self.file) {
            (Some(run), Some(file)) => run.next(file)?,
            _ => self.held.next().cloned(),
        };
        if let Some(member) = next {
            self.heap.push(Reverse((member, index)));
        }
        Ok(())
    }
}

impl Iterator for Merge<'_> {
    type Item = io::Result<Member>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((member, index)) = self.heap.pop()?;
        match self.advance(index) {
            Ok(()) => Some(Ok(member)),
            Err(error) => {
                self.heap.clear();
                Some(Err(error))
            }
        }
    }
}

struct Run {
    /// What is still in the file.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl Run {
    fn new(start: u64, end: u64) -> Self {
        Self {
            next: start,
            end,
            buffer: Vec::new(),
            at: 0,
        }
    }

    fn next(&mut self, file: &File) -> io::Result<Option<Member>> {
        if self.at == self.buffer.len() && self.next == self.end {
            return Ok(None);
        }
        Member::decode(&mut Refill { run: self, file }).map(Some)
    }
}

/// Reads from the buffer of a run and fills it from the file.
struct Refill<'a> {
    run: &'a mut Run,
    file: &'a File,
}

impl Read for Refill<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let run = &mut *self.run;
        if run.at == run.buffer.len() {
            let count = (run.end - run.next).min(READ_BYTES as u64) as usize;
            run.buffer.resize(count, 0);
            self.file.seek(SeekFrom::Start(run.next))?;
            self.file.read_exact(&mut run.buffer)?;
            run.next += count as u64;
            run.at = 0;
        }
        let count = out.len().min(run.buffer.len() - run.at);
        out[..count].copy_from_slice(&run.buffer[run.at..run.at + count]);
        run.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn any_order_comes_out_sorted_and_twice() {
        let mut sorter = Sorter::with_run_bytes(None, 20_000);
        for i in 0..2_000u64 {
            let shuffled = i * 7_919 % 2_000;
            sorter
                .push(Member {
                    path: format!("data/{shuffled:05}{}", "x".repeat((shuffled % 97) as usize)),
                    offset: shuffled,
                    size: u64::MAX - shuffled,
                    sha256: Digest::of(&shuffled.to_le_bytes()),
                })
                .unwrap();
        }
        let mut sorted = sorter.finish();
        assert!(sorted.runs.len() > 5, "{} runs", sorted.runs.len());
        for _ in 0..2 {
            let members: Vec<Member> = sorted.iter().unwrap().map(Result::unwrap).collect();
            assert_eq!(members.len(), 2_000);
            for (i, member) in members.iter().enumerate() {
                assert_eq!(member.offset, i as u64);
                assert_eq!(member.size, u64::MAX - i as u64);
                assert_eq!(member.sha256, Digest::of(&(i as u64).to_le_bytes()));
            }
        }
    }

    #[test]
    fn nothing_sorts_to_nothing() {
        assert_eq!(Sorter::new(None).finish().iter().unwrap().count(), 0);
    }
}
