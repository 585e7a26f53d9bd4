//! Tar headers as the format uses them: POSIX pax, regular files only (spec, "Tar").

use std::io;

use tar::{EntryType, Header};

use crate::digest::Digest;

/// Everything in a tar is a multiple of this.
pub(crate) const BLOCK: usize = 512;
/// The first size that the ustar field of eleven octal digits cannot hold.
const OCTAL_LIMIT: u64 = 1 << 33;
/// Longest name of the ustar header.
const NAME_LIMIT: usize = 100;
/// The most that the records of one pax header may take.
const PAX_LIMIT: u64 = 1 << 17;

/// Zero bytes between the end of a content and the next block.
pub(crate) fn padding(size: u64) -> usize {
    let rest = (size % BLOCK as u64) as usize;
    if rest == 0 { 0 } else { BLOCK - rest }
}

/// All header blocks of a regular file: a pax header where the ustar header cannot hold path or size.
pub(crate) fn headers(path: &str, size: u64, mtime: u64) -> io::Result<Vec<u8>> {
    let long_name = path.len() > NAME_LIMIT || !path.is_ascii();
    let long_size = size >= OCTAL_LIMIT;
    let size_text = size.to_string();
    let mut blocks = Vec::with_capacity(BLOCK);
    if long_name || long_size {
        // Records in the order of their keys.
        let records = [
            ("path", path.as_bytes(), long_name),
            ("size", size_text.as_bytes(), long_size),
        ];
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(
            records
                .iter()
                .filter(|(_, _, needed)| *needed)
                .map(|(key, value, _)| (*key, *value)),
        )?;
        // Not `into_inner`: that ends the tar.
        blocks.extend_from_slice(builder.get_ref());
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    if long_name {
        // Only tools without pax see this name. It tells members apart and is the same for the same path.
        let digest = Digest::of(path.as_bytes()).to_string();
        header.set_path(format!("pax/{}", &digest[..24]))?;
    } else {
        header.set_path(path)?;
    }
    header.set_size(size.min(OCTAL_LIMIT - 1));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    Ok(blocks)
}

/// What one header block says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// A block of zeros: the tar ends.
    End,
    /// A pax header whose records take `size` bytes.
    Pax {
        /// Bytes of the records.
        size: u64,
    },
    /// A regular file. A pax header before it overrides both.
    File {
        /// The name in the ustar header.
        path: Vec<u8>,
        /// The size in the ustar header.
        size: u64,
    },
    /// An entry of a type that the format does not have.
    Refused {
        /// The name in the ustar header.
        path: Vec<u8>,
        /// The type, in words.
        what: String,
        /// The size in the ustar header.
        size: u64,
    },
}

/// Reads one header block. The error says in words what a reader does not accept.
pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Block, String> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(Block::End);
    }
    let header = Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    match header.cksum() {
        Ok(stated) if stated == sum => {}
        _ => return Err("the tar header's checksum is wrong".to_owned()),
    }
    let size = header
        .entry_size()
        .map_err(|_| "the tar header's size is not a number".to_owned())?;
    match header.entry_type() {
        EntryType::Regular => Ok(Block::File {
            path: header.path_bytes().into_owned(),
            size,
        }),
        EntryType::XHeader if size <= PAX_LIMIT => Ok(Block::Pax { size }),
        EntryType::XHeader => Err(format!("a pax header of {size} bytes")),
        other => Ok(Block::Refused {
            path: header.path_bytes().into_owned(),
            what: describe(other),
            size,
        }),
    }
}

fn describe(kind: EntryType) -> String {
    let known = match kind {
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Directory => "a directory",
        EntryType::Fifo => "a pipe",
        EntryType::GNULongName | EntryType::GNULongLink => "a GNU long name",
        EntryType::GNUSparse => "a sparse file",
        EntryType::XGlobalHeader => "a global pax header",
        other => return format!("type {:?}", char::from(other.as_byte())),
    };
    known.to_owned()
}

/// Path and size from the records of a pax header; other records are passed over.
pub(crate) fn parse_pax(mut records: &[u8]) -> Result<(Option<Vec<u8>>, Option<u64>), String> {
    let wrong = || "the pax header is malformed".to_owned();
    let (mut path, mut size) = (None, None);
    while !records.is_empty() {
        let space = records.iter().position(|b| *b == b' ').ok_or_else(wrong)?;
        let length: usize = std::str::from_utf8(&records[..space])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|length| (space + 2..=records.len()).contains(length))
            .ok_or_else(wrong)?;
        let (record, rest) = records.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(wrong)?;
        let value = &record[equals + 1..];
        match &record[..equals] {
            b"path" => path = Some(value.to_vec()),
            b"size" => {
                let number = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                size = Some(number.ok_or_else(wrong)?);
            }
            b"linkpath" => return Err("a pax header with a link".to_owned()),
            _ => {}
        }
        records = rest;
    }
    Ok((path, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: &[u8], index: usize) -> &[u8; BLOCK] {
        bytes[index * BLOCK..(index + 1) * BLOCK]
            .try_into()
            .unwrap()
    }

    #[test]
    fn a_short_ascii_path_takes_one_block() {
        let path = "x".repeat(100);
        let bytes = headers(&path, 5, 7).unwrap();
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(
            parse(block(&bytes, 0)),
            Ok(Block::File {
                path: path.into_bytes(),
                size: 5
            })
        );
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert!(
            bytes[265..329].iter().all(|b| *b == 0),
            "user and group names are empty"
        );
    }

    #[test]
    fn a_long_or_non_ascii_path_is_in_a_pax_header() {
        for path in ["y".repeat(101), "bag/é".to_owned()] {
            let bytes = headers(&path, 5, 7).unwrap();
            assert_eq!(bytes.len(), 3 * BLOCK);
            let Ok(Block::Pax { size }) = parse(block(&bytes, 0)) else {
                panic!()
            };
            let records = &bytes[BLOCK..BLOCK + size as usize];
            assert_eq!(parse_pax(records), Ok((Some(path.into_bytes()), None)));
            assert!(block(&bytes, 2)[..100].is_ascii());
        }
    }

    #[test]
    fn a_size_of_8_gib_is_in_a_pax_header() {
        let small = headers("bag/x", OCTAL_LIMIT - 1, 7).unwrap();
        assert_eq!(small.len(), BLOCK);
        assert_eq!(&small[124..136], b"77777777777\0");
        let bytes = headers("bag/x", OCTAL_LIMIT, 7).unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK);
        let Ok(Block::Pax { size }) = parse(block(&bytes, 0)) else {
            panic!()
        };
        let records = &bytes[BLOCK..BLOCK + size as usize];
        assert_eq!(records, b"19 size=8589934592\n");
        assert_eq!(parse_pax(records), Ok((None, Some(OCTAL_LIMIT))));
        assert!(
            matches!(parse(block(&bytes, 2)), Ok(Block::File { size, .. }) if size < OCTAL_LIMIT)
        );
    }

    #[test]
    fn other_entries_are_refused() {
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Char,
            EntryType::Block,
            EntryType::Fifo,
            EntryType::GNULongName,
            EntryType::GNUSparse,
            EntryType::XGlobalHeader,
        ] {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            assert!(
                matches!(parse(header.as_bytes()), Ok(Block::Refused { .. })),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn malformed_pax_records_are_refused() {
        for records in [
            "x",
            "9 path=a",
            "0 path=a\n",
            "99 path=a\n",
            "-1 path=a\n",
            "7 path\n\n",
            "9 size=x\n",
        ] {
            assert!(parse_pax(records.as_bytes()).is_err(), "{records:?}");
        }
        assert_eq!(parse_pax(b"11 other=1\n"), Ok((None, None)));
    }
}
