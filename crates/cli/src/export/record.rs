//! What `lifeboat-export run --metrics` tells of a run (spec/metrics.md), whether an archive came of it or not.

use std::time::Instant;

use jiff::Timestamp;
use lifeboat_archive::{Descriptor, Inventory, KindSummary, Scope};
use lifeboat_databricks::Stats;
use lifeboat_export::Outcome;
use lifeboat_storage::Place;

use crate::exit::Exit;
use crate::metrics::{MetricsFile, Page};

/// What is known of a run, more and more while it goes on.
pub(crate) struct Record {
    begun: Instant,
    host: Option<String>,
    stats: Option<Stats>,
    archive: Option<Archived>,
}

struct Archived {
    place: String,
    descriptor: Descriptor,
    kinds: Vec<(String, KindSummary)>,
    ended_early: bool,
}

const LAST_RUN: &str = "lifeboat_export_last_run_timestamp_seconds";
const LAST_SUCCESS: &str = "lifeboat_export_last_success_timestamp_seconds";
const LAST_COMPLETE: &str = "lifeboat_export_last_complete_archive_timestamp_seconds";

impl Record {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            host: None,
            stats: None,
            archive: None,
        }
    }

    /// The workspace is known, though it may not answer.
    pub(crate) fn host(&mut self, host: &str) {
        self.host = Some(host.to_owned());
    }

    pub(crate) fn calls(&mut self, stats: Stats) {
        self.stats = Some(stats);
    }

    pub(crate) fn archive(&mut self, place: &Place, outcome: &Outcome) {
        let kinds = &outcome.summary.kinds;
        self.archive = Some(Archived {
            place: place.to_string(),
            descriptor: outcome.descriptor.clone(),
            kinds: kinds
                .iter()
                .map(|(name, kind)| (name.clone(), kind.clone()))
                .collect(),
            ended_early: outcome.stopped.is_some(),
        });
    }

    /// The page for a run that ends now with `exit`. What belongs to the last success is carried over from `file`.
    pub(crate) fn page(&self, file: &MetricsFile, exit: Exit) -> Page {
        let before = file.label_of(LAST_RUN, "host");
        let host = self
            .host
            .as_deref()
            .or(before.as_deref())
            .unwrap_or_default();
        let own = || vec![("host", host)];
        let now = Timestamp::now().as_second() as f64;
        let mut page = Page::default();
        let mut one = |name: &str, help: &str, value: Option<f64>| {
            page.gauge(name, help, value.map(|value| (own(), value)));
        };
        one(LAST_RUN, "End of the last run, since 1970.", Some(now));
        let code = Some(f64::from(exit.code()));
        one(
            "lifeboat_export_last_run_exit_code",
            "How it ended (spec/exit-codes.md).",
            code,
        );
        let took = Some(self.begun.elapsed().as_secs_f64());
        one(
            "lifeboat_export_last_run_duration_seconds",
            "How long it took.",
            took,
        );
        let since = |name: &str, holds: bool| match holds {
            true => Some(now),
            false => file.previous(name, &own()),
        };
        let success = since(LAST_SUCCESS, exit == Exit::Done);
        one(
            LAST_SUCCESS,
            "End of the last run that ended with 0.",
            success,
        );
        let complete = since(
            LAST_COMPLETE,
            self.archive.as_ref().is_some_and(Archived::counts),
        );
        one(
            LAST_COMPLETE,
            "End of the last run that left an archive which counts.",
            complete,
        );
        if let Some(stats) = &self.stats {
            calls(stats, &mut one);
        }
        if let Some(archive) = &self.archive {
            archive.add_to(&mut page, host);
        }
        page
    }
}

fn calls(stats: &Stats, one: &mut impl FnMut(&str, &str, Option<f64>)) {
    for (name, help, value) in [
        (
            "calls",
            "Calls of the workspace, repeated ones too.",
            stats.calls,
        ),
        ("retries", "Calls that were repetitions.", stats.retries),
        (
            "throttled",
            "Answers that asked to slow down.",
            stats.throttled,
        ),
        ("received_bytes", "Bytes of answers.", stats.bytes),
    ] {
        one(
            &format!("lifeboat_export_last_run_{name}"),
            help,
            Some(value as f64),
        );
    }
}

impl Archived {
    fn counts(&self) -> bool {
        let Descriptor {
            scope, inventory, ..
        } = self.descriptor;
        (scope, inventory) == (Scope::Workspace, Inventory::Complete) && !self.ended_early
    }

    fn add_to(&self, page: &mut Page, host: &str) {
        let descriptor = &self.descriptor;
        let own = || vec![("host", host)];
        page.gauge(
            "lifeboat_export_archive_started_timestamp_seconds",
            "Begin of the run that left the archive: its age.",
            [(own(), descriptor.started.as_second() as f64)],
        );
        page.gauge(
            "lifeboat_export_archive_size_bytes",
            "Bytes of the stored file.",
            [(own(), descriptor.size as f64)],
        );
        let id = descriptor.workspace_id.as_str();
        let labels = vec![
            ("host", host),
            ("workspace_id", id),
            ("archive", self.place.as_str()),
        ];
        page.gauge(
            "lifeboat_export_archive_info",
            "Which archive.",
            [(labels, 1.0)],
        );
        let mut fates = Vec::new();
        for (kind, summary) in &self.kinds {
            for (fate, count) in [
                ("stored", summary.stored),
                ("reused", summary.reused),
                ("excluded", summary.excluded),
                ("unsupported", summary.unsupported),
                ("vanished", summary.vanished),
                ("failed", summary.failed),
            ] {
                let labels = vec![("host", host), ("kind", kind.as_str()), ("fate", fate)];
                fates.push((labels, count as f64));
            }
        }
        page.gauge(
            "lifeboat_export_objects",
            "Listed objects by what became of them.",
            fates,
        );
        let contents = self.kinds.iter().map(|(kind, summary)| {
            (
                vec![("host", host), ("kind", kind.as_str())],
                summary.bytes as f64,
            )
        });
        page.gauge(
            "lifeboat_export_content_bytes",
            "Bytes of contents in the archive.",
            contents,
        );
    }
}
