//! New ids, in the service's forms: large whole numbers, hexadecimal texts, cluster ids.

use std::fmt::Write as _;

/// A deterministic source of ids. Numbers are odd and above 2^53, so a client that passes them through a float loses
/// them.
#[derive(Debug)]
pub struct Ids {
    random: fastrand::Rng,
    last: i64,
}

impl Ids {
    /// Ids that follow from the seed; workspaces with different seeds share practically none.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let first = 9_100_000_000_000_001 + random.i64(0..500_000_000_000_000) * 2;
        Self {
            random,
            last: first,
        }
    }

    /// A new number, larger than every earlier one.
    pub fn number(&mut self) -> i64 {
        self.last += self.random.i64(1..50_000) * 2;
        self.last
    }

    /// New lower-case hexadecimal text.
    pub fn hex(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| {
                self.random
                    .choice(b"0123456789abcdef")
                    .copied()
                    .map_or('0', char::from)
            })
            .collect()
    }

    /// A new UUID text.
    pub fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }

    /// A new id like `0601-083015-ab12cd34`, as clusters and pools carry it.
    pub fn dated(&mut self, now_ms: i64) -> String {
        let mut text = jiff::Timestamp::from_millisecond(now_ms).map_or_else(
            |_| "0101-000000".to_owned(),
            |at| at.strftime("%m%d-%H%M%S").to_string(),
        );
        let tail = self.hex(8);
        let _ = write!(text, "-{tail}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_do_not_survive_a_float() {
        let mut ids = Ids::new(7);
        let (a, b) = (ids.number(), ids.number());
        assert!(a < b && a > 1 << 53 && a % 2 == 1 && b % 2 == 1);
        assert_ne!(Ids::new(8).number(), Ids::new(7).number());
        assert_eq!(ids.uuid().len(), 36);
        assert_eq!(
            ids.dated(crate::clock::EPOCH_MS).len(),
            "0601-000000-abcdefgh".len()
        );
    }
}
