//! The console itself: takes primitives, prints them in the chosen form.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Map, Value};

use crate::capture::{Capture, Shared};
use crate::escape::{escape, escape_text};
use crate::meter::Meter;
use crate::phase::{Phase, above, with_state};
use crate::report::Report;
use crate::settings::{Form, Settings, Verbosity};
use crate::sink::Sink;
use crate::table::Table;

/// Where progress cannot be drawn in place, a line this often is enough.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// JSON progress events, at most one per this time.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// Prints for one command. Shared between threads by reference.
pub struct Console {
    settings: Settings,
    inner: Mutex<Inner>,
}

struct Inner {
    out: Sink,
    err: Sink,
    /// In the order of their beginning.
    phases: Vec<Phase>,
    /// Said behind the progress of every phase: why it is slow.
    state: String,
    bars: MultiProgress,
    /// What is told once.
    told: BTreeSet<String>,
}

impl Console {
    /// Prints on the standard streams of the process.
    pub fn stdio(settings: Settings) -> Self {
        Self::new(
            settings,
            Box::new(BufWriter::with_capacity(64 * 1024, io::stdout())),
            Box::new(io::stderr()),
        )
    }

    /// Prints into memory, for tests: returns the console and a handle on what it has printed.
    pub fn capture(settings: Settings) -> (Self, Capture) {
        let capture = Capture::default();
        let console = Self::new(
            settings,
            Box::new(Shared(capture.out.clone())),
            Box::new(Shared(capture.err.clone())),
        );
        (console, capture)
    }

    fn new(settings: Settings, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let inner = Inner {
            out: Sink::new(out),
            err: Sink::new(err),
            phases: Vec::new(),
            state: String::new(),
            bars,
            told: BTreeSet::new(),
        };
        Self {
            settings,
            inner: Mutex::new(inner),
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The output is JSON: texts for people need not be prepared.
    pub fn is_json(&self) -> bool {
        self.settings.form == Form::Json
    }

    /// Details are wanted.
    pub fn is_verbose(&self) -> bool {
        self.settings.verbosity == Verbosity::Verbose
    }

    /// The reader of standard output has gone: a command that only prints may stop.
    pub fn is_closed(&self) -> bool {
        self.lock().out.is_closed()
    }

    /// Whether this is asked of `what` for the first time: some things are told once in a command.
    pub fn first_time(&self, what: &str) -> bool {
        self.lock().told.insert(what.to_owned())
    }

    /// A part of the answer that was asked for: a JSON object with this `event` name and these fields, or a line of
    /// text. Printed even with `-q`.
    pub fn result(&self, event: &str, fields: Value, text: &str) {
        match self.settings.form {
            Form::Json => self.lock().out.line(&object(event, fields)),
            Form::Text => self.print(text, false),
        }
    }

    /// A part of the answer for JSON readers only: people find the same facts in a table.
    pub fn record(&self, event: &str, fields: Value) {
        if self.is_json() {
            self.result(event, fields, "");
        }
    }

    /// A line of an answer that was asked for, for people only: JSON readers find the same facts in an object. Printed
    /// even with `-q`.
    pub fn answer(&self, text: &str) {
        if self.settings.form == Form::Text {
            self.print(text, false);
        }
    }

    /// A table that was asked for, for people only. Printed even with `-q`.
    pub fn answer_table(&self, table: &Table) {
        if self.settings.form == Form::Text {
            for line in table.lines(self.settings.stdout_terminal) {
                self.print_safe(&line, false);
            }
        }
    }

    /// Something worth telling while the work goes on; silent with `-q`. In JSON always an object.
    pub fn event(&self, event: &str, fields: Value, text: &str) {
        match self.settings.form {
            Form::Json => self.json_now(event, fields),
            Form::Text if self.settings.verbosity >= Verbosity::Normal => self.print(text, true),
            Form::Text => {}
        }
    }

    /// Like [`Console::event`], but as text on standard error: a command whose answer is bytes keeps them clean.
    pub fn aside(&self, event: &str, fields: Value, text: &str) {
        match self.settings.form {
            Form::Json => self.json_now(event, fields),
            Form::Text if self.settings.verbosity >= Verbosity::Normal => {
                self.complain(&[escape(text).into_owned()]);
            }
            Form::Text => {}
        }
    }

    /// Like [`Console::event`], but as text only with `-v`.
    pub fn detail(&self, event: &str, fields: Value, text: &str) {
        match self.settings.form {
            Form::Json => self.json_now(event, fields),
            Form::Text if self.is_verbose() => self.print(text, true),
            Form::Text => {}
        }
    }

    /// A line for people only: JSON readers find the same facts in the summary. Silent with `-q`.
    pub fn line(&self, text: &str) {
        if self.settings.form == Form::Text && self.settings.verbosity >= Verbosity::Normal {
            self.print(text, true);
        }
    }

    /// A heading for people only; silent with `-q`.
    pub fn heading(&self, text: &str) {
        if self.settings.form == Form::Text && self.settings.verbosity >= Verbosity::Normal {
            let bold = self.settings.colour && self.settings.stdout_terminal;
            let text = escape(text);
            self.print_safe(
                &if bold {
                    format!("\u{1b}[1m{text}\u{1b}[0m")
                } else {
                    text.into_owned()
                },
                true,
            );
        }
    }

    /// A table for people only: JSON readers find the same facts in the summary. Silent with `-q`.
    pub fn table(&self, table: &Table) {
        if self.settings.verbosity >= Verbosity::Normal {
            self.answer_table(table);
        }
    }

    /// Bytes that were asked for, untouched; on a terminal control characters other than line ends and tabs are
    /// escaped.
    pub fn raw(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if self.settings.stdout_terminal {
            inner
                .out
                .write(escape_text(&String::from_utf8_lossy(bytes)).as_bytes());
        } else {
            inner.out.write(bytes);
        }
    }

    /// Something that the user should know, although the work goes on.
    pub fn warning(&self, text: &str) {
        self.warning_with("warning", Value::Object(Map::new()), text);
    }

    /// A warning with an event name and fields of its own for the JSON form.
    pub fn warning_with(&self, event: &str, fields: Value, text: &str) {
        if self.settings.form == Form::Json {
            let mut fields = as_map(fields);
            fields.insert("message".into(), text.into());
            return self.json_now(event, Value::Object(fields));
        }
        let label = self.paint("warning:", "33");
        self.complain(&[format!("{label} {}", escape(text))]);
    }

    /// Prints an error: what, why, and what to do. In JSON it is the last object.
    pub fn error(&self, report: &Report) {
        self.end_phases();
        if self.settings.form == Form::Json {
            return self.json_now("error", report.to_json());
        }
        let mut lines = vec![format!(
            "{} {}",
            self.paint("error:", "31"),
            escape(&report.message)
        )];
        lines.extend(
            report
                .causes
                .iter()
                .map(|cause| format!("  because: {}", escape(cause))),
        );
        lines.extend(
            report
                .hints
                .iter()
                .map(|hint| format!("{} {}", self.paint("hint:", "36"), escape(hint))),
        );
        self.complain(&lines);
    }

    /// The last object of a JSON output. As text nothing: the command has printed its table.
    pub fn summary(&self, fields: Value) {
        self.end_phases();
        if self.settings.form == Form::Json {
            self.json_now("summary", fields);
        }
    }

    /// Begins a phase; several may be under way. `total` in the unit that [`Console::progress`] counts.
    pub fn phase(&self, name: &str, total: Option<u64>) {
        self.begin(Meter {
            name: name.to_owned(),
            total,
            ..Meter::default()
        });
    }

    /// Begins a phase of which only the calls can be counted: [`Console::progress`] counts those.
    pub fn phase_in_calls(&self, name: &str) {
        self.begin(Meter {
            name: name.to_owned(),
            unit: "calls",
            ..Meter::default()
        });
    }

    /// Begins a phase that is known to take at least so long.
    pub fn phase_of_at_least(&self, name: &str, total: u64, floor: Duration) {
        self.begin(Meter {
            name: name.to_owned(),
            total: Some(total),
            floor: Some(floor),
            ..Meter::default()
        });
    }

    fn begin(&self, meter: Meter) {
        let now = Instant::now();
        let mut inner = self.lock();
        if self.settings.form == Form::Json {
            inner.out.line(&object(
                "phase",
                serde_json::json!({"name": meter.name, "total": meter.total}),
            ));
            inner.out.flush();
        }
        inner.phases.retain(|phase| phase.meter.name != meter.name);
        inner.phases.push(Phase {
            meter,
            started: now,
            shown: now,
            bar: None,
        });
    }

    /// How far a phase has come; a total, once known, stays. Cheap enough to be called for every object.
    pub fn progress(&self, name: &str, done: u64, total: Option<u64>, bytes: u64) {
        let mut inner = self.lock();
        let Some(at) = inner
            .phases
            .iter()
            .position(|phase| phase.meter.name == name)
        else {
            return;
        };
        let meter = &mut inner.phases[at].meter;
        meter.done = done;
        meter.total = total.or(meter.total);
        meter.bytes = bytes;
        self.show(&mut inner, at);
    }

    /// Shows how far every phase has come also when nothing happened. `state` is said behind each: why it is slow.
    pub fn tick(&self, state: &str) {
        let mut inner = self.lock();
        state.clone_into(&mut inner.state);
        for at in 0..inner.phases.len() {
            self.show(&mut inner, at);
        }
    }

    fn show(&self, inner: &mut Inner, at: usize) {
        let Inner {
            out,
            err,
            phases,
            bars,
            state,
            ..
        } = inner;
        let phase = &mut phases[at];
        let (elapsed, since) = (phase.started.elapsed(), phase.shown.elapsed());
        match self.settings.form {
            Form::Json if since >= JSON_INTERVAL => {
                phase.shown = Instant::now();
                let meter = &phase.meter;
                out.line(&object(
                    "progress",
                    serde_json::json!({"name": meter.name, "done": meter.done, "total": meter.total, "bytes": meter.bytes,
                        "per_second": meter.rate(elapsed),
                        "remaining_seconds": meter.remaining(elapsed).map(|left| left.as_secs()), "state": state}),
                ));
                out.flush();
            }
            Form::Text if self.settings.verbosity == Verbosity::Quiet => {}
            Form::Text if self.settings.stderr_terminal => phase.draw(elapsed, state, bars),
            Form::Text if since >= LINE_INTERVAL => {
                phase.shown = Instant::now();
                err.line(&escape(&with_state(&phase.meter.describe(elapsed), state)));
            }
            _ => {}
        }
    }

    /// Ends a phase and takes its progress off the terminal.
    pub fn end_phase(&self, name: &str) {
        self.lock().phases.retain(|phase| phase.meter.name != name);
    }

    /// Ends every phase.
    pub fn end_phases(&self) {
        self.lock().phases.clear();
    }

    /// Writes out what is buffered. Fails with the first failure of standard output other than a closed reader.
    ///
    /// # Errors
    /// The write error, once.
    pub fn finish(&self) -> io::Result<()> {
        self.end_phases();
        let mut inner = self.lock();
        inner.out.flush();
        inner.err.flush();
        inner.out.take_failure().map_or(Ok(()), Err)
    }

    fn print(&self, text: &str, now: bool) {
        self.print_safe(&escape(text), now);
    }

    fn print_safe(&self, text: &str, now: bool) {
        let mut inner = self.lock();
        let Inner {
            out, phases, bars, ..
        } = &mut *inner;
        above(phases, bars, || {
            out.line(text);
            if now {
                out.flush();
            }
        });
    }

    fn complain(&self, lines: &[String]) {
        let mut inner = self.lock();
        let Inner {
            out,
            err,
            phases,
            bars,
            ..
        } = &mut *inner;
        above(phases, bars, || {
            // Keeps the order of the two streams when both end in the same place.
            out.flush();
            for line in lines {
                err.line(line);
            }
        });
    }

    fn json_now(&self, event: &str, fields: Value) {
        let mut inner = self.lock();
        inner.out.line(&object(event, fields));
        inner.out.flush();
    }

    fn paint(&self, label: &str, colour: &str) -> String {
        if self.settings.colour && self.settings.stderr_terminal {
            format!("\u{1b}[1;{colour}m{label}\u{1b}[0m")
        } else {
            label.to_owned()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked while printing leaves at worst half a line.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end_phases();
        self.lock().out.flush();
    }
}

fn object(event: &str, fields: Value) -> String {
    let mut map = Map::new();
    map.insert("event".into(), event.into());
    map.extend(as_map(fields));
    Value::Object(map).to_string()
}

fn as_map(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

#[cfg(test)]
mod tests;
