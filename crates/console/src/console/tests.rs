//! What each form prints, and where.

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
