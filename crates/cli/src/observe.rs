//! From the events of the libraries to the primitives of the console.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lifeboat_console::{Console, counted};
use lifeboat_databricks::{Client, Stats};
use lifeboat_import::ObjectResult;
use serde_json::{Value, json};

use crate::show::{gap_text, is_gap, to_json};

/// As text, so many gaps are printed one by one without `-v`; all of them stand in the archive's ledger or the report.
const MOST_GAPS: u64 = 20;

/// So many gaps are remembered, so that they are not told twice.
const MOST_REMEMBERED: u64 = 1000;

/// Shows what happens.
pub(crate) struct Observer<'c> {
    console: &'c Console,
    gaps: AtomicU64,
    /// Objects that a run which stopped did not come to.
    not_attempted: AtomicU64,
    /// The first gaps that were printed: a listing that is read twice fails twice.
    told: Mutex<BTreeSet<String>>,
    running: Mutex<Running>,
}

/// The phases of an import that are under way.
#[derive(Default)]
struct Running {
    /// Objects in each phase that has a number of them, and how many are done.
    counted: BTreeMap<String, (u64, u64)>,
    /// A phase that nobody can count: it is shown in calls, from this many on.
    uncounted: Option<(String, Option<u64>)>,
    /// Objects to write in all, once the plan is made.
    all: Option<u64>,
    /// What the service had asked so far to slow down, and when it last asked.
    throttled: u64,
    asked: Option<Instant>,
    /// Calls that had been repeated so far, and when the last one was.
    retries: u64,
    repeated: Option<Instant>,
}

impl<'c> Observer<'c> {
    pub(crate) fn new(console: &'c Console) -> Self {
        Self {
            console,
            gaps: AtomicU64::new(0),
            not_attempted: AtomicU64::new(0),
            told: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Says how many gaps were not printed, if any.
    pub(crate) fn finish(&self) {
        let not_attempted = self.not_attempted.load(Ordering::Relaxed);
        if not_attempted > 0 && !self.console.is_json() {
            self.console.warning(&format!(
                "{} not attempted: the run stopped",
                counted(not_attempted, "object")
            ));
        }
        let silent = self.gaps.load(Ordering::Relaxed).saturating_sub(MOST_GAPS);
        if silent > 0 && !self.console.is_json() && !self.console.is_verbose() {
            self.console
                .warning(&format!("and {silent} more; `-v` prints them all"));
        }
    }

    fn gap(&self, event: &str, fields: Value, text: &str) {
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.contains(text) {
                return;
            }
            if (told.len() as u64) < MOST_REMEMBERED {
                told.insert(text.to_owned());
            }
        }
        let before = self.gaps.fetch_add(1, Ordering::Relaxed);
        if before < MOST_GAPS || self.console.is_json() || self.console.is_verbose() {
            self.console.warning_with(event, fields, text);
        }
    }

    fn connected(&self, host: &str, workspace_id: &str, user: &str, admin: bool) {
        let fields =
            json!({"host": host, "workspace_id": workspace_id, "user": user, "admin": admin});
        let role = if admin {
            "administrator"
        } else {
            "no administrator"
        };
        self.console.event(
            "connected",
            fields,
            &format!("workspace {workspace_id} at {host}, as {user} ({role})"),
        );
    }
}

impl lifeboat_export::Observer for Observer<'_> {
    fn event(&self, event: lifeboat_export::Event<'_>) {
        use lifeboat_export::Event;
        let console = self.console;
        match event {
            Event::Connected {
                host,
                workspace_id,
                user,
                admin,
            } => self.connected(host, workspace_id, user, admin),
            Event::Base {
                archive,
                started,
                reusable,
            } => console.event(
                "base",
                json!({"archive": archive, "started": started.to_string(), "reusable": reusable}),
                &format!(
                    "base {archive} of {started:.0}: {} can be taken over where nothing changed",
                    counted(reusable, "content")
                ),
            ),
            Event::Phase { name, total } => console.phase(name, total),
            Event::Progress {
                phase,
                done,
                total,
                bytes,
            } => console.progress(phase, done, total, bytes),
            Event::PhaseDone { name, .. } => console.end_phase(name),
            Event::Warning { text } => console.warning(text),
            Event::Gap(line) => self.gap("gap", to_json(line), &gap_text(line)),
            Event::Stopped(stop) => console.warning(&stop.to_string()),
            // The table at the end shows all kinds together.
            _ => {}
        }
    }
}

impl lifeboat_import::Observer for Observer<'_> {
    fn event(&self, event: lifeboat_import::Event<'_>) {
        use lifeboat_import::Event;
        let console = self.console;
        match event {
            Event::Verifying { done, total } => {
                if done == 0 {
                    console.phase("verifying the archive", Some(total));
                }
                console.progress("verifying the archive", done, Some(total), 0);
                if done == total {
                    console.end_phase("verifying the archive");
                }
            }
            Event::Source {
                workspace_id,
                host,
                archive_id,
            } => console.event(
                "source",
                json!({"workspace_id": workspace_id, "host": host, "archive_id": archive_id}),
                &format!("from workspace {workspace_id} at {host}, archive {archive_id}"),
            ),
            Event::Target {
                workspace_id,
                host,
                caller,
                is_admin,
            } => {
                self.connected(host, workspace_id, caller, is_admin);
            }
            Event::Planned { objects, floor } => self.planned(objects, floor),
            Event::Phase { name, total } => self.phase(name, total),
            Event::Progress { phase, done } => self.progress(phase, done),
            Event::Warning(text) => console.warning(text),
            Event::Result(result) => self.result(result),
            _ => {}
        }
    }
}

/// The phase of all writes together.
const ALL: &str = "import";

/// Progress is shown also when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// The service is said to ask to slow down for so long after it last did.
const SLOW: Duration = Duration::from_secs(5);

/// How long calls count as repeated after the last repetition: pauses between them grow to eleven seconds.
const REPEATING: Duration = Duration::from_secs(15);

impl Observer<'_> {
    /// Does the work and shows meanwhile how far it is, also while it waits for the service.
    pub(crate) async fn watching<T>(&self, client: &Client, work: impl Future<Output = T>) -> T {
        let mut ticks = tokio::time::interval(TICK);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                _ = ticks.tick() => self.tick(&client.stats()),
            }
        }
    }

    fn tick(&self, stats: &Stats) {
        let (state, uncounted) = {
            let mut running = self.running();
            if stats.throttled > running.throttled {
                running.throttled = stats.throttled;
                running.asked = Some(Instant::now());
            }
            if stats.retries > running.retries {
                running.retries = stats.retries;
                running.repeated = Some(Instant::now());
            }
            let lately = |at: Option<Instant>, span| at.is_some_and(|at| at.elapsed() < span);
            let state = if lately(running.asked, SLOW) {
                format!("throttled, {} so far", counted(stats.throttled, "time"))
            } else if lately(running.repeated, REPEATING) {
                format!(
                    "the service fails or does not answer, {} repeated so far",
                    counted(stats.retries, "call")
                )
            } else {
                String::new()
            };
            let uncounted = running.uncounted.as_mut().map(|(name, from)| {
                let from = *from.get_or_insert(stats.calls);
                (name.clone(), stats.calls.saturating_sub(from))
            });
            (state, uncounted)
        };
        if let Some((name, calls)) = uncounted {
            self.console.progress(&name, calls, None, 0);
        }
        self.console.tick(&state);
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn planned(&self, objects: u64, floor: f64) {
        self.end_uncounted();
        self.running().all = Some(objects);
        if objects > 0 {
            let floor = Duration::try_from_secs_f64(floor).unwrap_or_default();
            self.console.phase_of_at_least(ALL, objects, floor);
        }
    }

    /// Phases without a number of objects only read: they are shown in calls.
    fn phase(&self, name: &str, total: Option<u64>) {
        match total {
            Some(total) => {
                self.running().counted.insert(name.to_owned(), (total, 0));
                self.console.phase(name, Some(total));
            }
            None => {
                self.end_uncounted();
                self.console.phase_in_calls(name);
                self.running().uncounted = Some((name.to_owned(), None));
            }
        }
    }

    fn end_uncounted(&self) {
        let ended = self.running().uncounted.take();
        if let Some((name, _)) = ended {
            self.console.end_phase(&name);
        }
    }

    fn progress(&self, phase: &str, done: u64) {
        let (ended, sum, all) = {
            let mut running = self.running();
            let mut ended = false;
            if let Some((total, known)) = running.counted.get_mut(phase) {
                *known = done;
                ended = done >= *total;
            }
            let sum = running.counted.values().map(|(_, done)| done).sum();
            (ended, sum, running.all)
        };
        self.console.progress(phase, done, None, 0);
        if ended {
            self.console.end_phase(phase);
        }
        if let Some(all) = all {
            self.console.progress(ALL, sum, None, 0);
            if sum >= all {
                self.console.end_phase(ALL);
            }
        }
    }

    fn result(&self, result: &ObjectResult) {
        let text = result_text(result);
        let skipped = result
            .reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with("not attempted"));
        if skipped && !self.console.is_json() && !self.console.is_verbose() {
            self.not_attempted.fetch_add(1, Ordering::Relaxed);
        } else if is_gap(result) {
            self.gap("object", to_json(result), &text);
        } else {
            self.console.detail("object", to_json(result), &text);
        }
    }
}

fn result_text(result: &ObjectResult) -> String {
    let mut text = format!("{} {}: {}", result.kind, result.name, result.fate.word());
    for note in result.reason.iter().chain(&result.notes) {
        text.push_str("; ");
        text.push_str(note);
    }
    text
}
