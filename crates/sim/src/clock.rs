//! The workspace's clock: real time from a fixed start, which tests move or stop.

use std::time::{Duration, Instant};

/// Where every simulated workspace's clock starts: 2026-06-01T00:00:00Z in epoch milliseconds. Fixed, so that two
/// runs with the same seed hold the same timestamps.
pub const EPOCH_MS: i64 = 1_780_272_000_000;

/// A clock that flows with real time times `rate`, and jumps by [`Clock::advance`].
#[derive(Debug)]
pub struct Clock {
    since: Instant,
    base_ms: i64,
    rate: u32,
}

impl Clock {
    /// A clock at [`EPOCH_MS`] that runs `rate` times as fast as real time; 0 stands still.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            since: Instant::now(),
            base_ms: EPOCH_MS,
            rate,
        }
    }

    /// Now, in epoch milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.base_ms + millis(self.since.elapsed()) * i64::from(self.rate)
    }

    /// Now, in whole epoch seconds.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        self.now_ms() / 1000
    }

    /// Jumps forward.
    pub fn advance(&mut self, by: Duration) {
        self.base_ms += millis(by);
    }

    /// Changes the pace from now on.
    pub fn set_rate(&mut self, rate: u32) {
        self.base_ms = self.now_ms();
        self.since = Instant::now();
        self.rate = rate;
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_when_told() {
        let mut clock = Clock::new(0);
        assert_eq!(clock.now_ms(), EPOCH_MS);
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now_ms(), EPOCH_MS + 90_000);
        clock.set_rate(0);
        assert_eq!(clock.now_s(), EPOCH_MS / 1000 + 90);
    }
}
