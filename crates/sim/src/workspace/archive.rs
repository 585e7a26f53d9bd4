//! A zip file of stored members: what an export of a directory answers.

use bytes::Bytes;

/// Members, uncompressed, with their CRC-32; no timestamps, so equal content gives equal bytes.
pub(super) fn zip(members: &[(String, Bytes)]) -> Bytes {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in members {
        let offset = file.len();
        let mut common = Vec::new();
        // Version 2.0, UTF-8 names, stored, 1980-01-01.
        for half in [20_u16, 0x0800, 0, 0, 0x0021] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc32(content), word(content.len()), word(content.len())] {
            common.extend(word.to_le_bytes());
        }
        common.extend(half(name.len()).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(content.as_ref());
        directory.extend(b"PK\x01\x02");
        directory.extend(20_u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(word(offset).to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len();
    file.extend(&directory);
    file.extend(b"PK\x05\x06");
    file.extend([0; 4]);
    file.extend(half(members.len()).to_le_bytes());
    file.extend(half(members.len()).to_le_bytes());
    file.extend(word(directory.len()).to_le_bytes());
    file.extend(word(start).to_le_bytes());
    file.extend([0; 2]);
    Bytes::from(file)
}

/// Sizes stay far below 4 GiB: an export is limited to 10 MB.
fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn half(size: usize) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert!(zip(&[]).starts_with(b"PK\x05\x06"));
    }
}
