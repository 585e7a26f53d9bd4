//! Count, rate and remaining time of one phase. Pure: the elapsed time is given.

use std::time::Duration;

use crate::escape::{bytes, duration};

/// How far a phase has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    pub(crate) name: String,
    pub(crate) total: Option<u64>,
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    /// What is counted, when it is not objects.
    pub(crate) unit: &'static str,
    /// The whole takes at least so long, whatever the rate is: what is left never takes less than its share.
    pub(crate) floor: Option<Duration>,
}

impl Meter {
    /// Per second, once there is anything to divide.
    pub(crate) fn rate(&self, elapsed: Duration) -> Option<f64> {
        let seconds = elapsed.as_secs_f64();
        (self.done > 0 && seconds > 0.0).then(|| self.done as f64 / seconds)
    }

    /// At the rate so far, but not less than the share of what is known to be the least; only when the total is known.
    pub(crate) fn remaining(&self, elapsed: Duration) -> Option<Duration> {
        let total = self.total?;
        let left = total.checked_sub(self.done)?;
        let at_rate = self.rate(elapsed).map(|rate| left as f64 / rate);
        let share = self
            .floor
            .filter(|_| total > 0)
            .map(|floor| floor.as_secs_f64() * left as f64 / total as f64);
        let seconds = match (at_rate, share) {
            (Some(at_rate), Some(share)) => at_rate.max(share),
            (at_rate, share) => at_rate.or(share)?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// `workspace: 1200 of 9000, 4.1 MiB, 58/s, 2 min 14 s left`
    pub(crate) fn describe(&self, elapsed: Duration) -> String {
        let mut text = format!("{}: {}", self.name, self.done);
        if let Some(total) = self.total {
            text.push_str(&format!(" of {total}"));
        }
        if !self.unit.is_empty() {
            text.push_str(&format!(" {}", self.unit));
        }
        if self.bytes > 0 {
            text.push_str(&format!(", {}", bytes(self.bytes)));
        }
        if let Some(rate) = self.rate(elapsed) {
            text.push_str(&if rate < 10.0 {
                format!(", {rate:.1}/s")
            } else {
                format!(", {rate:.0}/s")
            });
        }
        if let Some(left) = self.remaining(elapsed).filter(|left| !left.is_zero()) {
            text.push_str(&format!(", {} left", duration(left)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_tells_count_rate_and_remaining_time() {
        let meter = Meter {
            name: "workspace".into(),
            total: Some(9000),
            done: 1200,
            bytes: 4_300_000,
            floor: None,
            ..Meter::default()
        };
        assert_eq!(
            meter.describe(Duration::from_secs(20)),
            "workspace: 1200 of 9000, 4.1 MiB, 60/s, 2 min 10 s left"
        );
        let start = Meter {
            name: "jobs".into(),
            total: None,
            done: 0,
            bytes: 0,
            floor: None,
            ..Meter::default()
        };
        assert_eq!(start.describe(Duration::ZERO), "jobs: 0");
        let over = Meter {
            name: "jobs".into(),
            total: Some(2),
            done: 3,
            bytes: 0,
            floor: None,
            ..Meter::default()
        };
        assert_eq!(over.describe(Duration::from_secs(1)), "jobs: 3 of 2, 3.0/s");
    }

    #[test]
    fn what_is_left_takes_at_least_its_share_of_the_known_least() {
        let meter = |done| Meter {
            name: "import".into(),
            total: Some(100),
            done,
            bytes: 0,
            floor: Some(Duration::from_secs(50)),
            ..Meter::default()
        };
        // Nothing done yet, too fast a start, and slower than the limits.
        assert_eq!(
            meter(0).remaining(Duration::ZERO),
            Some(Duration::from_secs(50))
        );
        assert_eq!(
            meter(20).remaining(Duration::from_secs(1)),
            Some(Duration::from_secs(40))
        );
        assert_eq!(
            meter(20).remaining(Duration::from_secs(20)),
            Some(Duration::from_secs(80))
        );
    }
}
