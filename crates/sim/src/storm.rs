//! A bad day: any call may fail, any first read after a write may show the state before it.
//!
//! Owns the odds and the draw. The draw depends on the seed, the call and how often it was made before, not on the order
//! in which concurrent calls arrive, so equal runs meet nearly equal weather.

use std::collections::HashMap;

use crate::faults::{Fault, FaultKind, When};

/// The odds of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// Same seed, same weather.
    pub seed: u64,
    /// Of 100 calls, so many are answered 429, 500, 503 or 504. A 429 comes before any effect, because the service
    /// counts calls before it looks at them; the others come before or after it. Half of the 429 and 503 name a wait.
    pub failing: u8,
    /// Of 100 reads that would show a change for the first time, so many show the state before it.
    pub stale: u8,
}

/// A storm and what it has seen.
#[derive(Debug)]
pub(crate) struct Weather {
    storm: Storm,
    /// How often each call was made.
    seen: HashMap<String, u64>,
}

impl Weather {
    pub(crate) fn new(storm: Storm) -> Self {
        Self {
            storm,
            seen: HashMap::new(),
        }
    }

    /// The failure of this call, if it fails.
    pub(crate) fn strike(&mut self, method: &str, path: &str, query: &str) -> Option<Fault> {
        let call = format!("{method} {path}?{query}");
        let times = self.seen.entry(call.clone()).or_default();
        *times += 1;
        let mut draw = draw(self.storm.seed, &call, *times);
        if draw.u8(0..100) >= self.storm.failing {
            return None;
        }
        let status = [429, 500, 503, 504][draw.usize(0..4)];
        let when = if status != 429 && draw.bool() {
            When::After
        } else {
            When::Before
        };
        let names_wait = matches!(status, 429 | 503) && draw.bool();
        Some(Fault {
            kind: FaultKind::Status,
            status,
            when,
            retry_after: names_wait.then(|| "1".to_owned()),
            ..Fault::default()
        })
    }

    /// Whether this first read of a change shows the state before it.
    pub(crate) fn hides(&self, path: &str, query: &str) -> bool {
        let call = format!("GET {path}?{query}");
        let times = self.seen.get(&call).copied().unwrap_or_default();
        draw(!self.storm.seed, &call, times).u8(0..100) < self.storm.stale
    }
}

/// Random numbers of one call: FNV-1a over the seed, the call and its number.
fn draw(seed: u64, call: &str, times: u64) -> fastrand::Rng {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend_from_slice(call.as_bytes());
    bytes.extend_from_slice(&times.to_le_bytes());
    fastrand::Rng::with_seed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storm(seed: u64) -> Storm {
        Storm {
            seed,
            failing: 5,
            stale: 2,
        }
    }

    #[test]
    fn the_odds_are_kept_and_only_429_is_always_before_the_effect() {
        let mut weather = Weather::new(storm(7));
        let faults: Vec<Fault> = (0..20_000)
            .filter_map(|at| weather.strike("POST", &format!("/api/{at}"), ""))
            .collect();
        assert!((800..1200).contains(&faults.len()), "{}", faults.len());
        for status in [429, 500, 503, 504] {
            let of: Vec<&Fault> = faults.iter().filter(|one| one.status == status).collect();
            let after = of.iter().filter(|one| one.when == When::After).count();
            assert!(of.len() > 150, "{status}: {}", of.len());
            assert_eq!(after == 0, status == 429, "{status}");
            let waits = of.iter().filter(|one| one.retry_after.is_some()).count();
            assert_eq!(waits > 0, matches!(status, 429 | 503), "{status}");
        }
        let hidden = (0..20_000)
            .filter(|at| weather.hides(&format!("/api/{at}"), ""))
            .count();
        assert!((300..500).contains(&hidden), "{hidden}");
    }

    #[test]
    fn the_same_seed_gives_the_same_weather_and_a_repetition_another_draw() {
        let struck = |seed: u64| -> Vec<bool> {
            let mut weather = Weather::new(storm(seed));
            (0..500)
                .map(|_| weather.strike("GET", "/a", "x=1").is_some())
                .collect()
        };
        assert_eq!(struck(1), struck(1));
        assert_ne!(struck(1), struck(2));
        assert!(struck(1).contains(&true) && struck(1).contains(&false));
    }
}
