//! From the events of the libraries to the primitives of the console.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use std::sync::{Mutex, PoisonError};

use lifeboat_console::Console;
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
}

impl<'c> Observer<'c> {
    pub(crate) fn new(console: &'c Console) -> Self {
        Self {
            console,
            gaps: AtomicU64::new(0),
            not_attempted: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// Says how many gaps were not printed, if any.
    pub(crate) fn finish(&self) {
        let not_attempted = self.not_attempted.load(Ordering::Relaxed);
        if not_attempted > 0 && !self.console.is_json() {
            self.console.warning(&format!(
                "{not_attempted} objects were not attempted: the run stopped"
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
            Event::Phase { name, total } => console.phase(name, total),
            Event::Progress { phase, done } => console.progress(phase, done, None, 0),
            Event::Warning(text) => console.warning(text),
            Event::Result(result) => self.result(result),
            _ => {}
        }
    }
}

impl Observer<'_> {
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
