//! Lines that wait for their turn outside memory.
//!
//! Results arrive in the order of the network and go into the archive in the order of their keys. In between they lie in
//! a temporary file without a name (small amounts in memory); only keys and places are kept.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes that one spill keeps in memory before it writes them to its file.
const IN_MEMORY: usize = 128 * 1024;

/// Where a text lies in a [`Spill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    offset: u64,
    length: u32,
}

impl Slot {
    /// Bytes of the text.
    pub(crate) fn length(self) -> u32 {
        self.length
    }
}

/// Texts by place.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    /// Holds everything before `flushed`.
    file: Option<File>,
    flushed: u64,
    /// What comes after.
    tail: Vec<u8>,
}

impl Spill {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Puts a text away.
    pub(crate) fn put(&mut self, text: &str) -> io::Result<Slot> {
        let length =
            u32::try_from(text.len()).map_err(|_| io::Error::other("a text of more than 4 GiB"))?;
        if !self.tail.is_empty() && self.tail.len() + text.len() > IN_MEMORY {
            self.flush()?;
        }
        let slot = Slot {
            offset: self.flushed + self.tail.len() as u64,
            length,
        };
        self.tail.extend_from_slice(text.as_bytes());
        Ok(slot)
    }

    /// Takes a text out again.
    pub(crate) fn get(&mut self, slot: Slot) -> io::Result<String> {
        let length = usize::try_from(slot.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        match (slot.offset.checked_sub(self.flushed), &mut self.file) {
            (Some(start), _) => {
                let start = usize::try_from(start).map_err(io::Error::other)?;
                let tail = self.tail.get(start..start + length);
                bytes.copy_from_slice(
                    tail.ok_or_else(|| io::Error::other("a place outside the texts"))?,
                );
            }
            (None, Some(file)) => {
                file.seek(SeekFrom::Start(slot.offset))?;
                file.read_exact(&mut bytes)?;
            }
            (None, None) => return Err(io::Error::other("a place outside the texts")),
        }
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(self.flushed))?;
        file.write_all(&self.tail)?;
        self.flushed += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }
}

/// Texts by key, read back in the order of the keys.
#[derive(Debug)]
pub(crate) struct SortedSpill {
    spill: Spill,
    keys: Vec<(Box<str>, Slot)>,
}

impl SortedSpill {
    pub(crate) fn new() -> Self {
        Self {
            spill: Spill::new(),
            keys: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, key: &str, text: &str) -> io::Result<()> {
        let slot = self.spill.put(text)?;
        self.keys.push((key.into(), slot));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys in order of arrival.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(key, _)| &**key)
    }

    /// The same texts under other keys, given in order of arrival.
    pub(crate) fn with_keys(mut self, keys: Vec<String>) -> Self {
        for (entry, key) in self.keys.iter_mut().zip(keys) {
            entry.0 = key.into();
        }
        self
    }

    /// The texts in byte order of their keys; of equal keys in order of arrival.
    pub(crate) fn sorted(mut self) -> impl Iterator<Item = io::Result<(Box<str>, String)>> {
        self.keys.sort_by(|a, b| a.0.cmp(&b.0));
        let mut spill = self.spill;
        self.keys
            .into_iter()
            .map(move |(key, slot)| Ok((key, spill.get(slot)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_key_order_through_a_file() {
        let mut spill = SortedSpill::new();
        let long = "x".repeat(IN_MEMORY);
        spill.put("b", &long).unwrap();
        spill.put("a", "first").unwrap();
        spill.put("b", "after its equal").unwrap();
        spill.put("", "").unwrap();
        let texts: Vec<(Box<str>, String)> = spill.sorted().collect::<io::Result<_>>().unwrap();
        let texts: Vec<(&str, &str)> = texts
            .iter()
            .map(|(key, text)| (&**key, text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                ("", ""),
                ("a", "first"),
                ("b", long.as_str()),
                ("b", "after its equal")
            ]
        );
    }
}
