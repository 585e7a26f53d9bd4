//! Verifying a part of an archive, another one each day (spec/retention.md, "Scrubbing").

use std::io;

use lifeboat_archive::Archive;

use crate::error::Error;

/// What goes by blocks of so many bytes of content, about what a frame holds: the members of a frame are proved together.
const BLOCK: u64 = 1 << 20;

/// Which part of an archive is verified: one of `of` parts, which together are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: u64,
    of: u64,
}

impl Part {
    /// The part whose turn it is on a day (days since 1970), of about this share of the whole and not less. All parts have
    /// their turn when it is run every day, and when it is run every week.
    #[must_use]
    pub fn of_day(share: f64, day: u64) -> Self {
        // A share that is no number, or is zero, would be nothing at all; the smallest is one of a million.
        let of = (1.0 / share.clamp(1e-6, 1.0)).floor() as u64;
        // Once a week would otherwise come to the same part each time.
        let of = if of > 1 && of.is_multiple_of(7) {
            of - 1
        } else {
            of
        };
        Self {
            number: day % of,
            of,
        }
    }

    /// It is everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.of == 1
    }

    fn has(&self, block: u64) -> bool {
        block % self.of == self.number
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_all() {
            true => f.write_str("everything"),
            false => write!(f, "part {} of {}", self.number + 1, self.of),
        }
    }
}

/// What was proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Members of the index.
    pub members: u64,
    /// Of these, members whose content was read and proved.
    pub read: u64,
    /// Bytes of that content.
    pub bytes: u64,
}

/// Reads the whole index, the statements of the archive, and the content of every member in `part`, and proves each by
/// the digests on its way. Ends at the first damage.
///
/// # Errors
/// Something is damaged, or the archive cannot be read.
pub fn verify_part(
    archive: &Archive,
    part: Part,
    progress: &mut dyn FnMut(&Sampled),
) -> Result<Sampled, Error> {
    crate::info(archive)?;
    let first = first_block(archive)?;
    let mut sampled = Sampled::default();
    let mut passed: u64 = 0;
    for member in archive.members("")? {
        let member = member?;
        sampled.members += 1;
        if part.has(first.wrapping_add(passed / BLOCK)) {
            archive.copy(&member, &mut io::sink())?;
            sampled.read += 1;
            sampled.bytes += member.size;
        }
        passed = passed.saturating_add(member.size);
        progress(&sampled);
    }
    Ok(sampled)
}

/// Small archives have one block: by their ids they do not all have their turn on the same day.
fn first_block(archive: &Archive) -> Result<u64, Error> {
    let id = archive.archive_id()?;
    let bytes = id.as_bytes().iter().take(4);
    Ok(bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_turn_by_day_and_by_week() {
        for share in [1.0, 0.5, 0.34, 0.143, 0.05, 0.01] {
            let of = Part::of_day(share, 0).of;
            assert!(1.0 / of as f64 >= share - 1e-9, "{share}: one of {of}");
            for step in [1, 7] {
                let turns = (0..of).map(|turn| Part::of_day(share, 20_000 + turn * step).number);
                let turns: std::collections::BTreeSet<u64> = turns.collect();
                assert_eq!(turns.len() as u64, of, "{share} every {step} days");
            }
        }
        assert!(Part::of_day(1.0, 9).is_all());
        assert!(!Part::of_day(0.99, 9).is_all() || Part::of_day(0.99, 9).of == 1);
    }
}
