//! What was called, repeated and waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::Family;

/// Counts since the client was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Requests sent, repetitions included.
    pub calls: u64,
    /// Requests that were repetitions.
    pub retries: u64,
    /// Replies that said "too many requests", in any form.
    pub throttled: u64,
    /// Bytes of reply bodies received.
    pub bytes: u64,
    /// Seconds spent waiting for a turn or before a repetition, summed over all calls.
    #[serde(serialize_with = "seconds")]
    pub waited: Duration,
    /// The same per endpoint family; families without a call are absent.
    pub families: BTreeMap<Family, FamilyStats>,
}

/// Counts of one endpoint family.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FamilyStats {
    /// Requests sent.
    pub calls: u64,
    /// Requests that were repetitions.
    pub retries: u64,
    /// Replies that said "too many requests".
    pub throttled: u64,
    /// Bytes of reply bodies received.
    pub bytes: u64,
    /// Seconds spent waiting, summed over all calls.
    #[serde(serialize_with = "seconds")]
    pub waited: Duration,
}

impl Stats {
    pub(crate) fn add(&mut self, family: Family, stats: FamilyStats) {
        self.calls += stats.calls;
        self.retries += stats.retries;
        self.throttled += stats.throttled;
        self.bytes += stats.bytes;
        self.waited += stats.waited;
        self.families.insert(family, stats);
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
