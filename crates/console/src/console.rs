//! The console itself: takes primitives, prints them in the chosen form.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

use crate::escape::{escape, escape_text};
use crate::meter::Meter;
use crate::report::Report;
use crate::settings::{Form, Settings, Verbosity};
use crate::sink::Sink;
use crate::table::Table;

/// Progress is drawn only for phases that take longer than this.
const PATIENCE: Duration = Duration::from_secs(2);
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
}

struct Phase {
    meter: Meter,
    started: Instant,
    shown: Instant,
    bar: Option<ProgressBar>,
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

impl Phase {
    fn draw(&mut self, elapsed: Duration, state: &str, bars: &MultiProgress) {
        if self.bar.is_none() && elapsed < PATIENCE {
            return;
        }
        let total = self.meter.total;
        let bar = self.bar.get_or_insert_with(|| bars.add(new_bar(total)));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(self.meter.done);
        let text = with_state(&self.meter.describe(elapsed), state);
        bar.set_message(escape(&text).into_owned());
        bar.tick();
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn with_state(text: &str, state: &str) -> String {
    if state.is_empty() {
        text.to_owned()
    } else {
        format!("{text} ({state})")
    }
}

fn new_bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::hidden();
    let template = if total.is_some() {
        "{bar:24} {wide_msg}"
    } else {
        "{spinner} {wide_msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Prints with the progress out of the way.
fn above(phases: &[Phase], bars: &MultiProgress, print: impl FnOnce()) {
    if phases.iter().any(|phase| phase.bar.is_some()) {
        bars.suspend(print)
    } else {
        print()
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

/// What a console made by [`Console::capture`] has printed.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    /// Standard output so far; bytes that are not UTF-8 are replaced.
    pub fn out(&self) -> String {
        text_of(&self.out)
    }

    /// Standard error so far; bytes that are not UTF-8 are replaced.
    pub fn err(&self) -> String {
        text_of(&self.err)
    }
}

fn text_of(buffer: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&buffer.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn console(form: Form, verbosity: Verbosity) -> (Console, Capture) {
        Console::capture(Settings {
            form,
            verbosity,
            ..Settings::default()
        })
    }

    fn say_everything(console: &Console) {
        console.phase("workspace", Some(3));
        console.progress("workspace", 3, None, 42);
        console.event("connected", json!({"host": "h"}), "connected to h");
        console.detail("call", json!({"path": "/x"}), "GET /x");
        console.line("for people");
        console.warning("careful\u{1b}[2J");
        let mut table = Table::new(&[("kind", crate::Align::Left)]);
        table.row(["jobs"]);
        console.table(&table);
        console.result("entry", json!({"path": "/a\nb"}), "/a\nb");
        console.summary(json!({"exit_code": 0}));
    }

    #[test]
    fn text_narrates_and_escapes() {
        let (console, capture) = console(Form::Text, Verbosity::Normal);
        say_everything(&console);
        console.finish().unwrap();
        assert_eq!(
            capture.out(),
            "connected to h\nfor people\nkind\njobs\n/a\\nb\n"
        );
        assert_eq!(capture.err(), "warning: careful\\u{1b}[2J\n");
    }

    #[test]
    fn quiet_keeps_results_and_warnings() {
        let (console, capture) = console(Form::Text, Verbosity::Quiet);
        say_everything(&console);
        assert_eq!(capture.out(), "/a\\nb\n");
        assert_eq!(capture.err(), "warning: careful\\u{1b}[2J\n");
    }

    #[test]
    fn verbose_adds_details() {
        let (console, capture) = console(Form::Text, Verbosity::Verbose);
        say_everything(&console);
        assert!(capture.out().contains("GET /x\n"));
    }

    #[test]
    fn json_is_one_object_per_line_on_standard_output() {
        let (console, capture) = console(Form::Json, Verbosity::Quiet);
        say_everything(&console);
        console.error(&Report {
            message: "m".into(),
            causes: vec!["c".into()],
            hints: vec!["h".into()],
            exit_code: 1,
        });
        insta::assert_snapshot!(capture.out(), @r#"
        {"event":"phase","name":"workspace","total":3}
        {"event":"connected","host":"h"}
        {"event":"call","path":"/x"}
        {"event":"warning","message":"careful\u001b[2J"}
        {"event":"entry","path":"/a\nb"}
        {"event":"summary","exit_code":0}
        {"event":"error","message":"m","causes":["c"],"hints":["h"],"exit_code":1}
        "#);
        assert_eq!(capture.err(), "");
    }

    #[test]
    fn an_error_is_what_why_and_what_to_do() {
        let (console, capture) = console(Form::Text, Verbosity::Quiet);
        console.error(&Report {
            message: "cannot sign in".into(),
            causes: vec!["status 403".into()],
            hints: vec!["renew the token".into()],
            exit_code: 12,
        });
        assert_eq!(
            capture.err(),
            "error: cannot sign in\n  because: status 403\nhint: renew the token\n"
        );
        assert_eq!(capture.out(), "");
    }

    #[test]
    fn colours_only_on_a_terminal_that_wants_them() {
        let settings = Settings {
            colour: true,
            stderr_terminal: true,
            ..Settings::default()
        };
        let (console, capture) = Console::capture(settings);
        console.warning("x");
        assert_eq!(capture.err(), "\u{1b}[1;33mwarning:\u{1b}[0m x\n");
        let (console, capture) = Console::capture(Settings {
            stderr_terminal: false,
            ..settings
        });
        console.warning("x");
        assert_eq!(capture.err(), "warning: x\n");
    }

    #[test]
    fn raw_bytes_are_escaped_on_a_terminal_only() {
        let (console, capture) = Console::capture(Settings {
            stdout_terminal: true,
            ..Settings::default()
        });
        console.raw(b"a\n\x1b[2Jb");
        assert_eq!(capture.out(), "a\n\\u{1b}[2Jb");
        let (console, capture) = Console::capture(Settings::default());
        console.raw(b"a\n\x1b[2Jb");
        assert_eq!(capture.out(), "a\n\u{1b}[2Jb");
    }

    #[test]
    fn a_tick_shows_phases_to_which_nothing_happens_and_why() {
        let (console, capture) = console(Form::Text, Verbosity::Normal);
        console.phase_in_calls("reading");
        console.progress("reading", 7, None, 0);
        console.tick("throttled");
        assert_eq!(capture.err(), "", "nothing before a line is due");
        let long_ago = Instant::now().checked_sub(LINE_INTERVAL);
        for phase in &mut console.lock().phases {
            phase.shown = long_ago.expect("the clock is older than the interval");
        }
        console.tick("throttled, 3 times so far");
        let line = capture.err();
        assert!(line.starts_with("reading: 7 calls, "), "{line}");
        assert!(line.ends_with("(throttled, 3 times so far)\n"), "{line}");
        console.end_phase("reading");
        console.tick("");
        assert_eq!(capture.err(), line);
    }
}
