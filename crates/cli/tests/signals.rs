//! SIGINT and SIGTERM: when they are heard, what is finished first, and what is left behind.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use common::blobs::Blobs;
use common::{Room, binary, kill, nights, process, writes};
use lifeboat_sim::{Fault, FaultKind};

const TARGET: &str = "2222222222222222";

#[test]
fn a_signal_ends_with_its_code_and_leaves_nothing() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let room = Room::filled();
        room.primary.set_latency(Duration::from_millis(300));
        let mut child = process(
            room.dir.path(),
            "lifeboat-export",
            &["run", "--profile", "primary", "--to", "out/"],
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        // The first line says that the run has begun; the calls after it take seconds.
        let mut begun = [0; 1];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut begun)
            .unwrap();
        kill(signal, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(room.files("out"), Vec::<String>::new());
    }
}

/// An apply of `a.tar.zst` into the secondary with a report.
fn spawn_apply(room: &Room) -> Child {
    let arguments = [
        "apply",
        "a.tar.zst",
        "--profile",
        "secondary",
        "--admins",
        "--target",
        TARGET,
        "--report",
        "report.json",
    ];
    process(room.dir.path(), "lifeboat-import", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Numbers of the lines of the journal that announce a call, and of those that answer one.
fn journaled(room: &Room) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let journal = room.path("state/lifeboat/1111111111111111-2222222222222222/journal.jsonl");
    let text = std::fs::read_to_string(journal).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers = |kind: &str| {
        let of_kind = lines.iter().filter(|line| line["line"] == kind);
        of_kind.filter_map(|line| line["seq"].as_u64()).collect()
    };
    (numbers("intent"), numbers("result"))
}

fn apply_again(room: &Room) {
    let archive = room.path("a.tar.zst");
    room.import("apply", &archive, &["--admins", "--target", TARGET])
        .success();
}

#[test]
fn a_signal_lets_an_apply_finish_its_calls_and_the_same_command_goes_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let room = Room::filled();
        room.export("a.tar.zst");
        room.secondary.set_latency(Duration::from_millis(300));
        let child = spawn_apply(&room);
        while writes(&room.secondary).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(signal, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("stopping: no further call"), "{said}");
        assert!(said.contains("objects not attempted"), "{said}");
        let report = std::fs::read_to_string(room.path("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["exit_code"], code);
        assert!(report["writes"].as_u64().unwrap() > 0);
        // Every call that was announced was waited for, and nothing began after the signal.
        let (announced, answered) = journaled(&room);
        assert!(!announced.is_empty());
        assert_eq!(announced, answered);
        assert_eq!(
            said.lines().last(),
            Some("hint: run the same command again to go on")
        );
        room.secondary.set_latency(Duration::ZERO);
        apply_again(&room);
    }
}

#[test]
fn a_second_signal_ends_an_apply_without_waiting_for_its_calls() {
    let room = Room::filled();
    room.export("a.tar.zst");
    // No answer ever comes to a write.
    room.secondary.fault(Fault {
        method: "POST".to_owned(),
        path: "*".to_owned(),
        kind: FaultKind::Hang,
        ..Fault::default()
    });
    let mut child = spawn_apply(&room);
    while writes(&room.secondary).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let process = child.id().to_string();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    kill("-INT", &process);
    let mut line = String::new();
    while !line.contains("a second signal ends at once") {
        line.clear();
        assert!(
            said.read_line(&mut line).unwrap() > 0,
            "it ended at the first"
        );
    }
    kill("-TERM", &process);
    assert_eq!(
        child.wait().unwrap().code(),
        Some(130),
        "the first one counts"
    );
    // Whoever waited for the calls would have told what was reached.
    assert!(!room.path("report.json").exists());
    let (announced, answered) = journaled(&room);
    assert!(announced.len() > answered.len());
    room.secondary.clear_faults();
    apply_again(&room);
}

/// A command under a terminal of its own.
struct Terminal {
    child: Child,
    /// Process id of the command.
    id: String,
    keys: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
    /// What the terminal has shown so far.
    shown: String,
}

impl Terminal {
    fn import(room: &Room, command: &str, arguments: &str) -> Self {
        Self::open(room, "lifeboat-import", &format!("{command} {arguments}"))
    }

    fn open(room: &Room, name: &str, arguments: &str) -> Self {
        let program = binary(name);
        let line = format!("echo $$; exec '{program}' {arguments}");
        let surroundings = process(room.dir.path(), name, &[]);
        let variables = surroundings.get_envs();
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .current_dir(room.dir.path())
            .env_clear()
            .envs(variables.filter_map(|(key, value)| Some((key, value?))))
            .env("SHELL", "/bin/sh")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keys = child.stdin.take();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut id = String::new();
        out.read_line(&mut id).unwrap();
        Self {
            child,
            id: id.trim().to_owned(),
            keys,
            out,
            shown: String::new(),
        }
    }

    /// Reads on until this is shown.
    fn until(&mut self, text: &str) {
        let mut byte = [0; 1];
        while !self.shown.contains(text) {
            let read = self.out.read(&mut byte).unwrap();
            assert!(read > 0, "{text:?} is not in {}", self.shown);
            self.shown.push(char::from(byte[0]));
        }
    }

    fn press(&mut self, keys: &str) {
        let input = self.keys.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// The exit code and everything that was shown. Who waits for a line that nobody types gets the end of the input
    /// after a while, and goes on with that.
    fn end(mut self) -> (Option<i32>, String) {
        let keys = self.keys.take();
        let (ended, waiting): (Sender<()>, _) = channel();
        let hand = std::thread::spawn(move || {
            let _ = waiting.recv_timeout(Duration::from_secs(60));
            drop(keys);
        });
        let mut rest = Vec::new();
        self.out.read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        let code = self.child.wait().unwrap().code();
        drop(ended);
        hand.join().unwrap();
        (code, self.shown)
    }
}

const APPLY: &str = "a.tar.zst --profile secondary --limits off --admins";

#[test]
#[cfg(target_os = "linux")]
fn a_signal_at_the_question_for_the_target_is_heard_before_a_line_is_typed() {
    let room = Room::filled();
    room.export("a.tar.zst");
    let before = room.files(".");
    for (signal, code) in [("^C", 130), ("-TERM", 143)] {
        let mut terminal = Terminal::import(&room, "apply", APPLY);
        terminal.until("Type the host of the target to go on: ");
        match signal {
            "^C" => terminal.press("\u{3}"),
            _ => kill(signal, &terminal.id),
        }
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        let last = shown.lines().last().unwrap();
        assert!(last.starts_with("error: "), "behind the question: {shown}");
    }
    assert_eq!(writes(&room.secondary), [""; 0]);
    assert_eq!(room.files("."), before);
}

#[test]
#[cfg(target_os = "linux")]
fn the_questions_are_answered_by_host_and_by_id() {
    let room = Room::filled();
    room.export("a.tar.zst");
    let mut terminal = Terminal::import(&room, "apply", APPLY);
    terminal.until("Type the host of the target to go on: ");
    terminal.press("elsewhere.example\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(14), "{shown}");
    assert!(shown.contains("hint: "), "{shown}");
    assert_eq!(writes(&room.secondary), [""; 0]);

    let mut terminal = Terminal::import(&room, "apply", APPLY);
    terminal.until("Type the host of the target to go on: ");
    terminal.press(&format!("{}\n", room.secondary.url()));
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let done = writes(&room.secondary).len();

    let activate = "--profile secondary --limits off";
    let question = "Type the id of the workspace that runs nothing any more to go on: ";
    let mut terminal = Terminal::import(&room, "activate", activate);
    terminal.until(question);
    terminal.press("\u{3}");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
    let mut terminal = Terminal::import(&room, "activate", activate);
    terminal.until(question);
    terminal.press("2222222222222222\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(14), "{shown}");
    assert_eq!(writes(&room.secondary).len(), done);
    let mut terminal = Terminal::import(&room, "activate", activate);
    terminal.until(question);
    terminal.press("1111111111111111\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(writes(&room.secondary).len() > done);
}

#[test]
#[cfg(target_os = "linux")]
fn prune_on_a_terminal_only_shows_what_it_would_delete() {
    let room = Room::new();
    std::fs::create_dir(room.path("vault")).unwrap();
    nights(&room.path("vault"));
    let before = room.files("vault");
    assert_eq!(before.len(), 6);
    let prune = |more: &str| {
        let arguments = format!("prune vault --keep-last 1{more}");
        Terminal::open(&room, "lifeboat-export", &arguments).end()
    };
    for (more, stay) in [("", 6), (" --dry-run", 6), (" --apply", 2)] {
        let (code, shown) = prune(more);
        assert_eq!(code, Some(0), "{shown}");
        let dry = shown.contains("dry run: 2 would be deleted");
        assert_eq!(dry, stay == 6, "{shown}");
        assert_eq!(shown.contains("`--apply` deletes"), dry, "{shown}");
        assert_eq!(room.files("vault").len(), stay, "{shown}");
    }
}

/// The archive that is being deleted goes with all its files, those after it stay with all of theirs.
#[test]
fn a_signal_in_the_middle_of_a_prune_leaves_whole_archives() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let room = Room::new();
        std::fs::create_dir(room.path("vault")).unwrap();
        nights(&room.path("vault"));
        let (deleting, first) = channel();
        let blobs = Blobs::start(move |request| {
            if request.starts_with("DELETE") && deleting.send(()).is_ok() {
                // Longer than a signal needs.
                std::thread::sleep(Duration::from_millis(500));
            }
            None
        });
        blobs.take(&room.path("vault"));
        let prune = [
            "prune",
            "az://vault/nightly/",
            "--keep-last",
            "1",
            "--apply",
        ];
        let child = blobs
            .process(room.dir.path(), "lifeboat-export", &prune)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        first.recv().unwrap();
        drop(first);
        kill(signal, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("deleted 1 ("), "{said}");
        assert!(said.contains("2 archives stay"), "{said}");
        let names = blobs.names();
        assert_eq!(names.len(), 4, "{names:?}");
        for pair in names.chunks(2) {
            assert_eq!(pair[0].replace(".json", ".tar.zst"), pair[1]);
        }
    }
}
