//! The limits of the service as data, the text form of `--limits FILE`, and the floor that follows from them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Family;

/// `--limits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Limits {
    /// The built-in table.
    #[default]
    Default,
    /// No limit of our own; answers of the service that ask to slow down are still obeyed.
    Off,
    /// A table of the operator.
    Table(LimitTable),
}

/// So many calls in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls.
    pub calls: u32,
    /// The time in which the service counts them.
    pub per: Duration,
}

/// What is allowed to one family. Nothing given: not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// All of them hold at once.
    pub rates: Vec<Rate>,
    /// Calls under way at one time.
    pub concurrent: Option<u32>,
}

/// Limits per family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitTable {
    rows: BTreeMap<Family, Limit>,
}

/// A line of a limit file that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the limits: {what}")]
pub struct LimitsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl Default for LimitTable {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }
}

impl LimitTable {
    /// Reads the text form.
    pub fn parse(_text: &str) -> Result<Self, LimitsError> {
        unimplemented!()
    }

    /// The limit of a family.
    pub fn get(&self, family: Family) -> Option<&Limit> {
        self.rows.get(&family)
    }

    /// The least time that so many calls of one family can take.
    pub fn floor_of(&self, _family: Family, _calls: u64) -> Duration {
        unimplemented!()
    }

    /// The least time that these calls can take when the families run side by side.
    pub fn floor(&self, _calls: &BTreeMap<Family, u64>) -> Duration {
        unimplemented!()
    }
}
