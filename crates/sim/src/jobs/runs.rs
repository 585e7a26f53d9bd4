//! When a job starts by itself. The simulator runs nothing: it counts the runs that a schedule, a trigger or a
//! continuous job would have started, so that a test can prove that none did.

use serde_json::{Map, Value};

use super::Job;
use super::cron::Cron;

/// The runs of one job.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Runs started so far.
    pub started: u64,
    /// When the last one started, epoch milliseconds.
    pub last_ms: Option<i64>,
    /// Until when runs are counted.
    counted_ms: i64,
    /// A continuous job is running.
    continuing: bool,
}

impl Runs {
    /// No runs, counting from `now`.
    pub(super) fn from(now: i64) -> Self {
        Self {
            started: 0,
            last_ms: None,
            counted_ms: now,
            continuing: false,
        }
    }

    pub(super) fn add(&mut self, count: u64, last: i64) {
        if count > 0 {
            self.started += count;
            self.last_ms = Some(last);
        }
    }
}

impl Job {
    /// Counts the runs that started by themselves until `now`. To be called before settings change, too.
    pub fn tick(&mut self, now: i64) {
        let from = std::mem::replace(&mut self.runs.counted_ms, now);
        if let Some(schedule) = unpaused(&self.settings, "schedule")
            && let Some(cron) = schedule
                .get("quartz_cron_expression")
                .and_then(Value::as_str)
                .and_then(Cron::parse)
        {
            let (count, last) = cron.fires(from, now);
            self.runs.add(count, last.unwrap_or(now));
        }
        if let Some(period) = unpaused(&self.settings, "trigger").and_then(period_ms) {
            let passed = |at: i64| (at - self.created_ms).div_euclid(period);
            let count = u64::try_from(passed(now) - passed(from)).unwrap_or(0);
            self.runs.add(count, self.created_ms + passed(now) * period);
        }
        // A continuous job starts at once and then runs on.
        let continuous = unpaused(&self.settings, "continuous").is_some();
        if continuous && !self.runs.continuing {
            self.runs.add(1, from);
        }
        self.runs.continuing = continuous;
    }
}

fn unpaused<'a>(settings: &'a Map<String, Value>, block: &str) -> Option<&'a Value> {
    settings
        .get(block)
        .filter(|block| block.get("pause_status").and_then(Value::as_str) != Some("PAUSED"))
}

/// Length of a periodic trigger in milliseconds; other triggers wait for something outside.
fn period_ms(trigger: &Value) -> Option<i64> {
    let periodic = trigger.get("periodic")?;
    let hours = match periodic.get("unit").and_then(Value::as_str)? {
        "HOURS" => 1,
        "DAYS" => 24,
        "WEEKS" => 24 * 7,
        _ => return None,
    };
    periodic
        .get("interval")
        .and_then(Value::as_i64)
        .filter(|interval| *interval > 0)
        .map(|interval| interval * hours * 3_600_000)
}
