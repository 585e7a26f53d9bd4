//! What a plan costs: calls per family of endpoints, and the time that they take at least.

use std::collections::BTreeMap;

use lifeboat_databricks::{Family, LimitTable};
use serde::Serialize;

/// Calls and time of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cost {
    /// Calls that write.
    pub writes: u64,
    /// These and the looks at what they made, per family.
    pub calls: BTreeMap<Family, u64>,
    /// Seconds per family at its limit.
    pub seconds: BTreeMap<Family, f64>,
    /// Seconds that the calls take at least when all families run beside each other.
    pub floor: f64,
    /// Seconds that reading everything back takes at least, after the writes.
    pub read_back: f64,
    /// The limits.
    #[serde(skip)]
    pub limits: LimitTable,
}

impl Cost {
    /// The cost of these calls, of which so many write, and of reading back with those.
    #[must_use]
    pub fn of(
        limits: LimitTable,
        writes: u64,
        calls: BTreeMap<Family, u64>,
        reads: &BTreeMap<Family, u64>,
    ) -> Self {
        let seconds = calls
            .iter()
            .map(|(family, count)| (*family, limits.floor_of(*family, *count).as_secs_f64()))
            .collect();
        Self {
            writes,
            seconds,
            floor: limits.floor(&calls).as_secs_f64(),
            read_back: limits.floor(reads).as_secs_f64(),
            calls,
            limits,
        }
    }
}
