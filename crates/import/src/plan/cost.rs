//! What a plan costs: calls per family of endpoints, and the time at the service's known limits.

use std::collections::BTreeMap;

use lifeboat_databricks::{Family, LimitTable};
use serde::Serialize;

/// Calls and time of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cost {
    /// Calls per family.
    pub calls: BTreeMap<Family, u64>,
    /// Seconds per family at its known limit.
    pub seconds: BTreeMap<Family, f64>,
    /// Seconds that the calls take at least when all families run beside each other.
    pub floor: f64,
    /// Seconds that reading everything back takes at least, after the writes.
    pub read_back: f64,
}

impl Cost {
    /// The cost of these calls, and of reading back with those, at the known limits of the service.
    #[must_use]
    pub fn of(calls: BTreeMap<Family, u64>, reads: &BTreeMap<Family, u64>) -> Self {
        let table = LimitTable::default();
        let seconds = calls
            .iter()
            .map(|(family, count)| (*family, table.floor_of(*family, *count).as_secs_f64()))
            .collect();
        let floor = table.floor(&calls).as_secs_f64();
        Self {
            calls,
            seconds,
            floor,
            read_back: table.floor(reads).as_secs_f64(),
        }
    }

    /// Calls of all families.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}
