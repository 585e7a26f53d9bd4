//! One rate of one family: may a call leave now, and if not, when?
//!
//! Two rules hold at once, both in absolute time, so that a caller that wakes up late costs the others nothing:
//!
//! - the window: of the last `calls` calls the oldest is at least [`Rate::window`] ago;
//! - the pace, for rates per second: after the first [`Rate::burst`] calls one per [`Rate::period`]. The burst is also
//!   what lateness may be made good with.
//!
//! Asking and counting are apart: with several rates a call is counted by all of them or by none.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::Rate;

/// The calls of the last window.
#[derive(Debug)]
pub(crate) struct Window {
    rate: Rate,
    /// When each of the last calls left; no more than the rate has.
    left: VecDeque<Instant>,
    /// When all calls so far would have left at the even pace.
    even: Option<Instant>,
}

impl Window {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: VecDeque::new(),
            even: None,
        }
    }

    /// When the next call may leave, if not now.
    pub(crate) fn not_before(&self, now: Instant) -> Option<Instant> {
        let full = self.left.len() >= self.rate.calls.get() as usize;
        let window = self
            .left
            .front()
            .filter(|_| full)
            .and_then(|oldest| oldest.checked_add(self.rate.window()));
        let lead = self.rate.period() * (self.rate.burst().get() - 1);
        let pace = self
            .even
            .filter(|_| self.rate.is_paced())
            .and_then(|even| even.checked_sub(lead));
        window.max(pace).filter(|until| *until > now)
    }

    /// Counts a call that leaves now.
    pub(crate) fn count(&mut self, now: Instant) {
        if self.left.len() >= self.rate.calls.get() as usize {
            self.left.pop_front();
        }
        self.left.push_back(now);
        let even = self.even.map_or(now, |even| even.max(now));
        self.even = Some(even + self.rate.period());
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.left.len()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn rate(calls: u32, per: u64) -> Rate {
        Rate {
            calls: NonZeroU32::new(calls).unwrap(),
            per: Duration::from_secs(per),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_is_made_good_but_not_more_than_a_burst_of_it() {
        let start = Instant::now();
        let mut window = Window::new(rate(60, 1));
        let period = rate(60, 1).period();
        for call in 0..10 {
            // Every caller comes 2 ms after its time.
            let now = window.not_before(start).unwrap_or(start) + Duration::from_millis(2);
            window.count(now);
            let late = now - (start + period * call.max(2) - period * 2);
            assert!(late <= Duration::from_millis(4), "{call}: {late:?}");
        }
        // After a long pause three leave at once, and not the whole backlog.
        let later = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(window.not_before(later), None);
            window.count(later);
        }
        assert_eq!(window.not_before(later), Some(later + period));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_held_than_the_rate_has() {
        let now = Instant::now();
        let mut window = Window::new(rate(10, 60));
        for _ in 0..25 {
            window.count(now);
        }
        assert_eq!(window.held(), 10);
    }
}
