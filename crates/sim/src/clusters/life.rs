//! The life of one cluster in time: PENDING to RUNNING, TERMINATING to TERMINATED, and what happens by itself.
//!
//! Nothing ticks in the background: [`Cluster::tick`] brings a cluster up to a moment, however far ahead it is.

use serde_json::{Map, Value, json};

/// Terminated clusters that are not pinned are forgotten after this long.
pub const KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// How long each step takes, in milliseconds of the workspace's clock.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// PENDING until RUNNING: machines are acquired.
    pub pending_ms: i64,
    /// RESTARTING until RUNNING.
    pub restarting_ms: i64,
    /// TERMINATING until TERMINATED.
    pub terminating_ms: i64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            pending_ms: 120_000,
            restarting_ms: 45_000,
            terminating_ms: 2_000,
        }
    }
}

/// State of a cluster; the transient ones know when they end (epoch milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Machines are being acquired.
    Pending(i64),
    /// Ready.
    Running,
    /// Between two runs.
    Restarting(i64),
    /// Machines are being given back.
    Terminating(i64),
    /// Stopped.
    Terminated,
}

impl Phase {
    /// The service's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending(_) => "PENDING",
            Self::Running => "RUNNING",
            Self::Restarting(_) => "RESTARTING",
            Self::Terminating(_) => "TERMINATING",
            Self::Terminated => "TERMINATED",
        }
    }
}

/// One entry of `clusters/events`.
#[derive(Clone, Debug)]
pub struct Event {
    /// Epoch milliseconds.
    pub at: i64,
    /// `CREATING`, `RUNNING`, `TERMINATING`, `PINNED`, ...
    pub kind: &'static str,
    /// Details as the service shows them.
    pub details: Value,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `cluster_id`
    pub id: String,
    /// Writable fields with the service's defaults filled in.
    pub spec: Map<String, Value>,
    /// Writable fields as asked, shown as `spec`.
    pub asked: Map<String, Value>,
    /// `UI`, `API`, `JOB`, ...
    pub source: String,
    /// User name or application id of the creator; owner after `change-owner`.
    pub creator: String,
    /// When created.
    pub created_ms: i64,
    /// State.
    pub phase: Phase,
    /// Last time that it was asked to start.
    pub started_ms: i64,
    /// Last time that it stopped.
    pub terminated_ms: Option<i64>,
    /// Last restart.
    pub restarted_ms: Option<i64>,
    /// Last use, from which the autotermination counts.
    pub activity_ms: i64,
    /// Who pinned it.
    pub pinned_by: Option<String>,
    /// Since when the 30 days of a terminated cluster count.
    pub kept_from_ms: i64,
    /// `termination_reason`
    pub reason: Option<Value>,
    /// History, oldest first.
    pub events: Vec<Event>,
    /// How often it was started or restarted: machines asked for.
    pub starts: u32,
    /// How often RUNNING was reached.
    pub runs: u32,
}

impl Cluster {
    /// A new cluster that starts at once, as every created one does.
    pub fn new(
        id: String,
        spec: Map<String, Value>,
        asked: Map<String, Value>,
        creator: &str,
        now: i64,
        timing: Timing,
    ) -> Self {
        let mut cluster = Self {
            id,
            spec,
            asked,
            source: "API".to_owned(),
            creator: creator.to_owned(),
            created_ms: now,
            phase: Phase::Terminated,
            started_ms: now,
            terminated_ms: None,
            restarted_ms: None,
            activity_ms: now,
            pinned_by: None,
            kept_from_ms: now,
            reason: None,
            events: Vec::new(),
            starts: 0,
            runs: 0,
        };
        cluster.record(now, "CREATING", json!({"user": creator}));
        cluster.begin(now, timing);
        cluster
    }

    /// A cluster that has been stopped since `since`, for workspaces that are filled without calls.
    pub fn at_rest(
        id: String,
        spec: Map<String, Value>,
        asked: Map<String, Value>,
        creator: &str,
        since: i64,
    ) -> Self {
        let mut cluster = Self::new(
            id,
            spec,
            asked,
            creator,
            since,
            Timing {
                pending_ms: 0,
                restarting_ms: 0,
                terminating_ms: 0,
            },
        );
        cluster.phase = Phase::Terminated;
        cluster.terminated_ms = Some(since);
        cluster.reason = Some(inactivity());
        cluster.starts = 0;
        cluster
    }

    /// Name, empty when it has none.
    pub fn name(&self) -> &str {
        self.spec
            .get("cluster_name")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// Adds to the history.
    pub fn record(&mut self, at: i64, kind: &'static str, details: Value) {
        self.events.push(Event { at, kind, details });
    }

    /// Asks for machines.
    pub fn begin(&mut self, now: i64, timing: Timing) {
        self.phase = Phase::Pending(now + timing.pending_ms);
        self.started_ms = now;
        self.activity_ms = now;
        self.terminated_ms = None;
        self.reason = None;
        self.starts += 1;
    }

    /// Restarts a running cluster.
    pub fn restart(&mut self, now: i64, timing: Timing, user: &str) {
        self.phase = Phase::Restarting(now + timing.restarting_ms);
        self.restarted_ms = Some(now);
        self.activity_ms = now;
        self.starts += 1;
        self.record(now, "RESTARTING", json!({"user": user}));
    }

    /// Gives the machines back.
    pub fn stop(&mut self, now: i64, timing: Timing, reason: Value) {
        if matches!(self.phase, Phase::Terminating(_) | Phase::Terminated) {
            return;
        }
        self.record(now, "TERMINATING", json!({"reason": reason}));
        self.reason = Some(reason);
        self.phase = Phase::Terminating(now + timing.terminating_ms);
    }

    /// Lets happen what happens by itself until `now`.
    pub fn tick(&mut self, now: i64, timing: Timing) {
        loop {
            match self.phase {
                Phase::Pending(end) | Phase::Restarting(end) if end <= now => {
                    self.phase = Phase::Running;
                    self.activity_ms = self.activity_ms.max(end);
                    self.runs += 1;
                    let size = json!({"current_num_workers": self.workers(), "target_num_workers": self.workers()});
                    self.record(end, "RUNNING", size);
                }
                Phase::Running => match self.idle_end() {
                    Some(end) if end <= now => self.stop(end, timing, inactivity()),
                    _ => return,
                },
                Phase::Terminating(end) if end <= now => {
                    self.phase = Phase::Terminated;
                    self.terminated_ms = Some(end);
                    self.kept_from_ms = self.kept_from_ms.max(end);
                }
                _ => return,
            }
        }
    }

    /// Workers at rest: the fixed number, or the lower bound of an autoscaling cluster.
    pub fn workers(&self) -> i64 {
        let fixed = self.spec.get("num_workers").and_then(Value::as_i64);
        fixed
            .or_else(|| {
                self.spec
                    .get("autoscale")
                    .and_then(|bounds| bounds.get("min_workers"))
                    .and_then(Value::as_i64)
            })
            .unwrap_or(0)
    }

    /// Terminated, not pinned, and for longer than the service remembers.
    pub fn forgotten(&self, now: i64) -> bool {
        self.phase == Phase::Terminated
            && self.pinned_by.is_none()
            && now - self.kept_from_ms > KEPT_MS
    }

    fn idle_end(&self) -> Option<i64> {
        let minutes = self
            .spec
            .get("autotermination_minutes")
            .and_then(Value::as_i64)
            .filter(|minutes| *minutes > 0)?;
        Some(self.activity_ms + minutes * 60_000)
    }
}

/// Reason of a stop by autotermination.
pub fn inactivity() -> Value {
    json!({"code": "INACTIVITY", "type": "SUCCESS", "parameters": {"inactivity_duration_min": "30"}})
}

/// Reason of a stop on request.
pub fn by_user(name: &str) -> Value {
    json!({"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": name}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(minutes: i64) -> Cluster {
        let mut spec = Map::new();
        spec.insert("autotermination_minutes".into(), json!(minutes));
        Cluster::new("c".into(), spec.clone(), spec, "a@x", 0, Timing::default())
    }

    #[test]
    fn starts_and_stops_by_itself() {
        let mut it = cluster(10);
        it.tick(119_999, Timing::default());
        assert_eq!(it.phase.name(), "PENDING");
        it.tick(120_000, Timing::default());
        assert_eq!((it.phase, it.runs), (Phase::Running, 1));
        it.tick(120_000 + 599_999, Timing::default());
        assert_eq!(it.phase, Phase::Running);
        it.tick(120_000 + 600_000, Timing::default());
        assert_eq!(it.phase.name(), "TERMINATING");
        it.tick(i64::MAX / 2, Timing::default());
        assert_eq!(
            (it.phase, it.terminated_ms),
            (Phase::Terminated, Some(722_000))
        );
        let kinds: Vec<&str> = it.events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["CREATING", "RUNNING", "TERMINATING"]);
    }

    #[test]
    fn one_tick_over_a_year_gives_the_same_as_many() {
        let (mut once, mut often) = (cluster(30), cluster(30));
        once.tick(10_000_000, Timing::default());
        (0..10_000).for_each(|step| often.tick(step * 1000, Timing::default()));
        assert_eq!(
            (once.phase, once.terminated_ms, once.events.len()),
            (often.phase, often.terminated_ms, often.events.len())
        );
    }

    #[test]
    fn a_cluster_stopped_while_pending_never_ran() {
        let mut it = cluster(10);
        it.stop(1000, Timing::default(), by_user("a@x"));
        it.tick(5000, Timing::default());
        assert_eq!((it.phase, it.runs, it.starts), (Phase::Terminated, 0, 1));
    }

    #[test]
    fn forgotten_after_thirty_days_unless_pinned() {
        let mut it = cluster(10);
        it.stop(0, Timing::default(), by_user("a@x"));
        it.tick(2000, Timing::default());
        assert!(!it.forgotten(2000 + KEPT_MS));
        assert!(it.forgotten(2001 + KEPT_MS));
        it.pinned_by = Some("a@x".into());
        assert!(!it.forgotten(2001 + KEPT_MS));
    }
}
