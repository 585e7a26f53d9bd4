//! The limits of the service as data (fact sheet, table 25.1), the text form of `--limits FILE`, and the floor that
//! follows from them: the least time that a number of calls can take.
//!
//! # The text form
//!
//! One family per line; a family that is not named keeps its built-in limit. `#` begins a comment.
//!
//! ```text
//! # family = limit[, limit...]
//! workspace-export = 60/s
//! scim-read        = 255/min
//! jobs-create      = 20/s, 10000/h
//! workspace-list   = 20 at once
//! dbfs             = off
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::Family;

/// `--limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// The built-in table.
    #[default]
    Default,
    /// No limit of our own; answers of the service that ask to slow down are still obeyed.
    Off,
    /// A table of the operator.
    Table(LimitTable),
}

impl Limits {
    /// The table that holds: an empty one for `Off`.
    pub fn table(&self) -> LimitTable {
        match self {
            Self::Default => LimitTable::default(),
            Self::Off => LimitTable {
                rows: BTreeMap::new(),
            },
            Self::Table(table) => table.clone(),
        }
    }
}

/// So many calls in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls.
    pub calls: NonZeroU32,
    /// The time in which the service counts them: a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// Rates per second are paced: calls are spread over the second. A limit per minute or hour is a quota, of which
    /// the first calls need not wait.
    pub(crate) fn is_paced(&self) -> bool {
        self.per < MINUTE
    }

    /// Calls that may leave at once after a pause: a twentieth of a rate per second, but two, so that timers that wake
    /// up late cost no throughput; else all of them.
    pub fn burst(&self) -> NonZeroU32 {
        const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
        let burst = NonZeroU32::new(self.calls.get() / 20).map_or(TWO, |share| share.max(TWO));
        if self.is_paced() {
            burst.min(self.calls)
        } else {
            self.calls
        }
    }

    /// Time between calls after the burst.
    pub fn period(&self) -> Duration {
        self.per / self.calls.get()
    }

    /// The time in which no more than [`calls`](Self::calls) leave: that of the service and 2.5 % more. Requests travel
    /// for unequal times, and calls that leave just a window apart would arrive within one. Costs 2.5 % of throughput,
    /// and a call that is refused for coming 25 ms too early costs its family a whole second.
    pub fn window(&self) -> Duration {
        self.per + self.per / 40
    }

    /// The least time for so many calls, from the first to the last.
    pub fn floor(&self, calls: u64) -> Duration {
        let Some(last) = calls.checked_sub(1) else {
            return Duration::ZERO;
        };
        let per_window = u64::from(self.calls.get());
        let (windows, within) = (last / per_window, last % per_window);
        let waiting = (within + 1).saturating_sub(u64::from(self.burst().get()));
        let seconds = self.window().as_secs_f64() * windows as f64
            + self.period().as_secs_f64() * waiting as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .find(|(_, seconds)| Duration::from_secs(*seconds) == self.per);
        match unit {
            Some((unit, _)) => write!(f, "{}/{unit}", self.calls),
            None => write!(f, "{}/{} s", self.calls, self.per.as_secs_f64()),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const UNITS: &[(&str, u64)] = &[("s", 1), ("min", 60), ("h", 3600)];

/// What is allowed to one family. Nothing given: not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// All of them hold at once.
    pub rates: Vec<Rate>,
    /// Calls under way at one time.
    pub concurrent: Option<NonZeroU32>,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = self.rates.iter().map(Rate::to_string);
        let parts: Vec<String> = rates
            .chain(self.concurrent.map(|calls| format!("{calls} at once")))
            .collect();
        f.write_str(
            if parts.is_empty() {
                "off".to_owned()
            } else {
                parts.join(", ")
            }
            .as_str(),
        )
    }
}

/// Limits per family. [`Default`] is the built-in table; [`fmt::Display`] writes the text form.
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

/// The built-in table, in its own text form. Where the fact sheet has no row, 30/s is planned ("anything else"), per
/// service rather than for all of them together; `workspace-list` is limited by concurrency alone.
const BUILT_IN: &str = "
permissions-read       = 100/s
permissions-write      = 30/s
workspace-export       = 60/s
workspace-import       = 30/s
workspace-list         = 20 at once
workspace              = 30/s
scim-read              = 255/min
scim-write             = 30/s
scim-groups-patch      = 10/min
scim-groups-delete     = 35/min
permission-assignments = 5/s
secrets                = 1100/min
tokens                 = 40/s
dbfs                   = 30/s
jobs-create            = 20/s, 10000/h
runs-read              = 100/s
runs-submit            = 35/s
jobs                   = 30/s
clusters               = 30/s
libraries              = 30/s
instance-pools         = 30/s
cluster-policies       = 30/s
mlflow-search          = 7/s
mlflow                 = 120/s
legacy-sql             = 30/s, 9 at once
other                  = 30/s
";

impl Default for LimitTable {
    fn default() -> Self {
        let mut table = Self {
            rows: BTreeMap::new(),
        };
        #[expect(clippy::expect_used, reason = "the constant is read by a test")]
        table
            .read(BUILT_IN)
            .expect("the built-in table is well formed");
        table
    }
}

impl LimitTable {
    /// Reads the text form, on top of the built-in table.
    pub fn parse(text: &str) -> Result<Self, LimitsError> {
        let mut table = Self::default();
        table.read(text)?;
        Ok(table)
    }

    fn read(&mut self, text: &str) -> Result<(), LimitsError> {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let bad = |what: String| LimitsError {
                line: index + 1,
                what,
            };
            let (name, limit) = line
                .split_once('=')
                .ok_or_else(|| bad("no '='".to_owned()))?;
            let family = name
                .trim()
                .parse()
                .map_err(|()| bad(format!("no family {:?}", name.trim())))?;
            self.rows.insert(family, limit_of(limit).map_err(bad)?);
        }
        Ok(())
    }

    /// The limit of a family; `None` is not limited.
    pub fn get(&self, family: Family) -> Option<&Limit> {
        self.rows.get(&family)
    }

    /// Rows in the order of the table.
    pub fn rows(&self) -> impl Iterator<Item = (Family, &Limit)> {
        self.rows.iter().map(|(family, limit)| (*family, limit))
    }

    /// The least time that so many calls of one family can take.
    pub fn floor_of(&self, family: Family, calls: u64) -> Duration {
        let rates = self
            .get(family)
            .map_or(&[][..], |limit| limit.rates.as_slice());
        rates
            .iter()
            .map(|rate| rate.floor(calls))
            .max()
            .unwrap_or_default()
    }

    /// The least time that these calls can take when the families run side by side: that of the slowest one.
    pub fn floor(&self, calls: &BTreeMap<Family, u64>) -> Duration {
        calls
            .iter()
            .map(|(family, calls)| self.floor_of(*family, *calls))
            .max()
            .unwrap_or_default()
    }
}

impl fmt::Display for LimitTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows()
            .try_for_each(|(family, limit)| writeln!(f, "{:<22} = {limit}", family.name()))
    }
}

fn limit_of(text: &str) -> Result<Limit, String> {
    let mut limit = Limit::default();
    if text.trim() == "off" {
        return Ok(limit);
    }
    for part in text.split(',').map(str::trim) {
        let number = |text: &str| {
            text.trim()
                .parse::<NonZeroU32>()
                .map_err(|_| format!("no count in {part:?}"))
        };
        if let Some((calls, unit)) = part.split_once('/') {
            let seconds = UNITS.iter().find(|(name, _)| *name == unit.trim());
            let (_, seconds) =
                seconds.ok_or_else(|| format!("{part:?}: the unit is s, min or h"))?;
            limit.rates.push(Rate {
                calls: number(calls)?,
                per: Duration::from_secs(*seconds),
            });
        } else if let Some(calls) = part.strip_suffix("at once") {
            limit.concurrent = Some(number(calls)?);
        } else {
            return Err(format!(
                "{part:?} is neither N/s, N/min, N/h, 'N at once' nor off"
            ));
        }
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_has_every_family_and_reads_back() {
        let table = LimitTable::default();
        assert_eq!(
            table.rows().map(|(family, _)| family).collect::<Vec<_>>(),
            Family::ALL
        );
        assert_eq!(LimitTable::parse(&table.to_string()), Ok(table.clone()));
        assert_eq!(
            table.get(Family::JobsCreate).unwrap().to_string(),
            "20/s, 10000/h"
        );
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let text =
            "# ours\n\nworkspace-export = 5/s, 2 at once # half\ndbfs = off\n scim-read=1/min\n";
        let table = LimitTable::parse(text).unwrap();
        let text = |family| table.get(family).unwrap().to_string();
        assert_eq!(text(Family::WorkspaceExport), "5/s, 2 at once");
        assert_eq!(text(Family::Dbfs), "off");
        assert_eq!(text(Family::ScimRead), "1/min");
        assert_eq!(text(Family::Clusters), "30/s");
    }

    #[test]
    fn lines_that_cannot_be_read_are_named() {
        for (text, part) in [
            ("\nx = 1/s", "line 2 of the limits: no family \"x\""),
            ("dbfs 1/s", "no '='"),
            ("dbfs = 0/s", "no count"),
            ("dbfs = 1/day", "the unit is s, min or h"),
            ("dbfs = fast", "neither"),
            ("dbfs =", "neither"),
            ("dbfs = -1 at once", "no count"),
        ] {
            let error = LimitTable::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_floor_is_that_of_the_slowest_family() {
        let table = LimitTable::default();
        let seconds = |family, calls| table.floor_of(family, calls).as_secs_f64();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
        // A burst of 3, then one call per 1/60 s; 60 in 1.025 s.
        close(seconds(Family::WorkspaceExport, 33), 0.5);
        close(seconds(Family::WorkspaceExport, 603), 10.25);
        assert_eq!(table.floor_of(Family::WorkspaceExport, 3), Duration::ZERO);
        assert_eq!(table.floor_of(Family::WorkspaceExport, 0), Duration::ZERO);
        assert_eq!(
            table.floor_of(Family::WorkspaceList, 1_000_000),
            Duration::ZERO
        );
        close(seconds(Family::ScimRead, 255), 0.0);
        close(seconds(Family::ScimGroupsPatch, 11), 61.5);
        // 20/s up to the hourly quota, and past it the quota.
        assert!(seconds(Family::JobsCreate, 10_000) < 515.0);
        close(seconds(Family::JobsCreate, 20_000), 3690.0);
        let export = table.floor_of(Family::WorkspaceExport, 5803);
        let calls = BTreeMap::from([
            (Family::WorkspaceExport, 5803),
            (Family::ScimGroupsPatch, 2),
        ]);
        assert_eq!(table.floor(&calls), export);
        assert_eq!(Limits::Off.table().floor(&calls), Duration::ZERO);
    }
}
