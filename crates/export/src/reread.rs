//! The sample of unchanged contents that is read again all the same: the time of an object is the service's word, and
//! somebody has to check it.
//!
//! Owns who is in the sample, and what the readings showed. Specified in `spec/export.md`, "Incremental".

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::{Event, Observer};

/// Objects that `run.json` names; more are counted.
const NAMED: usize = 1000;
/// Objects that are told one by one.
const TOLD: usize = 5;
const SECONDS_PER_DAY: i64 = 86_400;

/// Who is in the sample of this run, and what was found.
#[derive(Debug)]
pub(crate) struct Sample {
    /// An object is in the sample once in so many turns; none for no sample.
    period: Option<u64>,
    turn: u64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    read: u64,
    changed: u64,
    objects: Vec<Changed>,
}

/// An object whose content changed and whose time did not.
#[derive(Debug, Serialize)]
struct Changed {
    kind: &'static str,
    id: String,
    name: String,
}

impl Sample {
    /// A sample of this share (0 to 1) for a run that starts at `started`.
    ///
    /// The turn goes on by one each day, and by one more after each period: so every object has its turn within two
    /// periods of nightly runs, and has one also when runs are days apart.
    pub(crate) fn new(share: f64, started: Timestamp) -> Self {
        let period = (share > 0.0).then(|| {
            // At least 1 and, as a float to an integer saturates, at most what fits.
            (1.0 / share.min(1.0)).floor() as u64
        });
        let day = started
            .as_second()
            .div_euclid(SECONDS_PER_DAY)
            .unsigned_abs();
        let turn = period.map_or(0, |period| day.wrapping_add(day / period));
        Self {
            period,
            turn,
            found: Mutex::default(),
        }
    }

    /// Whether an object is to be read again in this run.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.period
            .is_some_and(|period| fnv(id) % period == self.turn % period)
    }

    /// An object of the sample was read; `same` says whether its content is the one of the base.
    pub(crate) fn read(&self, kind: &'static str, id: &str, name: &str, same: bool) {
        let mut found = self.lock();
        found.read += 1;
        if same {
            return;
        }
        found.changed += 1;
        if found.objects.len() < NAMED {
            found.objects.push(Changed {
                kind,
                id: id.to_owned(),
                name: name.to_owned(),
            });
        }
    }

    /// How many contents had changed without their time.
    pub(crate) fn changed(&self) -> u64 {
        self.lock().changed
    }

    /// Tells what changed.
    pub(crate) fn finish(&self, observer: &dyn Observer) {
        let found = self.lock();
        if found.changed == 0 {
            return;
        }
        let mut names: Vec<&str> = found.objects.iter().map(|object| &*object.name).collect();
        names.sort_unstable();
        names.truncate(TOLD);
        let more = found.changed - names.len() as u64;
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let text = format!(
            "{} of {} contents that were read again had changed although their time of change had not: {}{more}. \
             They are in this archive as they are now; others that were taken from the base may be old. \
             A run without a base reads everything",
            found.changed,
            found.read,
            names.join(", ")
        );
        observer.event(Event::Warning { text: &text });
    }

    /// What `run.json` says of it.
    pub(crate) fn record(&self) -> Value {
        let mut found = self.lock();
        found
            .objects
            .sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        json!({ "read": found.read, "changed": found.changed, "objects": found.objects })
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// FNV-1a: the same on every machine and in every build.
fn fnv(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of neighbouring ids differ in a pattern; the high ones do not.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::SignedDuration;

    use super::*;

    fn start(day: i64) -> Timestamp {
        let first: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        first + SignedDuration::from_hours(24 * day)
    }

    #[test]
    fn every_object_has_its_turn_whatever_the_days_between_runs() {
        let ids: Vec<String> = (0..500)
            .map(|id| (4_000_000_000_u64 + id).to_string())
            .collect();
        for (share, step, runs) in [
            (0.01, 1, 200),
            (0.01, 7, 200),
            (0.1, 10, 120),
            (0.05, 2, 60),
            (1.0, 1, 1),
        ] {
            let mut seen = BTreeSet::new();
            for run in 0..runs {
                let sample = Sample::new(share, start(run * step));
                seen.extend(ids.iter().filter(|id| sample.holds(id)));
            }
            assert_eq!(seen.len(), ids.len(), "share {share}, every {step} days");
        }
    }

    #[test]
    fn the_sample_has_about_its_share() {
        let sample = Sample::new(0.01, start(0));
        let held = (0..100_000)
            .filter(|id| sample.holds(&(7_000_000 + id).to_string()))
            .count();
        assert!((700..1300).contains(&held), "{held}");
        let none = Sample::new(0.0, start(0));
        assert!(!(0..1000).any(|id| none.holds(&id.to_string())));
    }

    #[test]
    fn what_changed_is_told_by_name() {
        let sample = Sample::new(1.0, start(0));
        sample.read("notebooks", "1", "/a", true);
        sample.read("notebooks", "2", "/b", false);
        assert_eq!(
            sample.record(),
            json!({"read": 2, "changed": 1, "objects": [{"kind": "notebooks", "id": "2", "name": "/b"}]})
        );
    }
}
