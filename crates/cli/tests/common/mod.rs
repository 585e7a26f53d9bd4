//! A room for tests of the built commands: simulated workspaces, profiles for them, and a folder of its own.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

pub mod blobs;
pub mod vault;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::OnceLock;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use lifeboat_sim::{Fill, Options, Sim};
use serde_json::Value;

pub struct Room {
    pub dir: tempfile::TempDir,
    pub primary: Sim,
    pub secondary: Sim,
}

impl Room {
    /// Two empty workspaces.
    pub fn new() -> Self {
        let start = |workspace_id: &str, seed| {
            let sim = Sim::start(Options {
                workspace_id: workspace_id.to_owned(),
                seed,
                clock_rate: 600,
                ..Options::default()
            })
            .unwrap();
            sim.set_limits(false);
            sim
        };
        let room = Self {
            dir: tempfile::tempdir().unwrap(),
            primary: start("1111111111111111", 1),
            secondary: start("2222222222222222", 2),
        };
        room.write_profiles();
        room
    }

    /// The first workspace with a few of everything, the second one empty and of the same account.
    pub fn filled() -> Self {
        let room = Self::new();
        let fill = Fill::small();
        room.primary.fill(&fill);
        room.secondary.with(|world| fill.join_account(world));
        room
    }

    fn write_profiles(&self) {
        let (primary, secondary) = (self.primary.url(), self.secondary.url());
        let token = self.primary.token();
        let text = format!(
            "[primary]\nhost = {primary}\ntoken = {token}\n\n[secondary]\nhost = {secondary}\ntoken = {token}\n\n\
             [expired]\nhost = {primary}\ntoken = dapi-expired\n\n\
             [nobody]\nhost = http://127.0.0.1:9\ntoken = {token}\n"
        );
        std::fs::write(self.path("profiles"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command with nothing of the surroundings but the profiles.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Command {
        tool(self.dir.path(), name, arguments)
    }

    /// Runs `lifeboat-export run --profile primary --limits off --to NAME` with more arguments.
    pub fn export_with(&self, name: &str, more: &[&str]) -> Assert {
        let arguments = [
            "run",
            "--profile",
            "primary",
            "--limits",
            "off",
            "--to",
            name,
        ];
        self.tool("lifeboat-export", &arguments).args(more).assert()
    }

    /// The same, which succeeds; gives the path of the archive.
    pub fn export(&self, name: &str) -> PathBuf {
        self.export_with(name, &["-q"]).success();
        self.path(name)
    }

    pub fn import(&self, command: &str, archive: &Path, more: &[&str]) -> Assert {
        self.tool("lifeboat-import", &[command])
            .arg(archive)
            .args(["--profile", "secondary", "--limits", "off"])
            .args(more)
            .assert()
    }

    /// Names of the files in the room's folder `name`, or none when it is not there.
    pub fn files(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(name)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

pub fn binary(name: &str) -> &'static str {
    match name {
        "lifeboat-export" => env!("CARGO_BIN_EXE_lifeboat-export"),
        "lifeboat-import" => env!("CARGO_BIN_EXE_lifeboat-import"),
        "lifeboat-inspect" => env!("CARGO_BIN_EXE_lifeboat-inspect"),
        "lifeboat-demo" => env!("CARGO_BIN_EXE_lifeboat-demo"),
        other => panic!("there is no {other}"),
    }
}

pub fn tool(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    Command::from_std(process(folder, name, arguments))
}

/// The same for tests that hold the process in their own hands.
pub fn process(folder: &Path, name: &str, arguments: &[&str]) -> Process {
    let mut process = Process::new(binary(name));
    process
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("DATABRICKS_CONFIG_FILE", folder.join("profiles"));
    process
}

/// Sends a signal, such as `-TERM`, to the process of this id.
pub fn kill(signal: &str, process: &str) {
    let killed = Process::new("kill")
        .args([signal, process])
        .status()
        .unwrap();
    assert!(killed.success());
}

/// The calls of a workspace that change something.
pub fn writes(sim: &Sim) -> Vec<String> {
    let calls = sim.calls().into_iter().filter(|call| call.method != "GET");
    calls
        .map(|call| format!("{} {}", call.method, call.path))
        .collect()
}

pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// A small archive, made once per test process: its bytes.
pub fn small_archive() -> &'static [u8] {
    &small().0
}

/// The descriptor of the small archive.
pub fn small_descriptor() -> Value {
    serde_json::from_slice(&small().1).unwrap()
}

/// Fills the folder with the archives of three nights, the oldest first by name.
pub fn nights(folder: &Path) {
    let mut descriptor = small_descriptor();
    for (name, hours) in [("1", 51), ("2", 27), ("3", 3)] {
        let started = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        descriptor["started"] = started.to_string().into();
        descriptor["finished"] = started.to_string().into();
        std::fs::write(folder.join(format!("{name}.tar.zst")), small_archive()).unwrap();
        std::fs::write(folder.join(format!("{name}.json")), descriptor.to_string()).unwrap();
    }
}

fn small() -> &'static (Vec<u8>, Vec<u8>) {
    static BYTES: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    BYTES.get_or_init(|| {
        let room = Room::filled();
        let archive = std::fs::read(room.export("small.tar.zst")).unwrap();
        (archive, std::fs::read(room.path("small.json")).unwrap())
    })
}

/// The shape of a JSON output, for snapshots: names of events and members, types of values, and the words that scripts
/// compare. All events of one name become one with the members of all; of lists and of maps by name one element stands
/// for all. The last line stays the last.
pub fn shape(output: &str) -> String {
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    let mut last = String::new();
    for line in output.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        // Progress depends on time.
        if value["event"] == "progress" {
            continue;
        }
        reduce("", &mut value);
        last = value["event"].as_str().unwrap().to_owned();
        match events.get_mut(&last) {
            Some(known) => merge(known, value),
            None => drop(events.insert(last.clone(), value)),
        }
    }
    let end = events.remove(&last).unwrap();
    events
        .into_values()
        .chain([end])
        .map(|event| event.to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

fn merge(known: &mut Value, more: Value) {
    match (known, more) {
        (Value::Object(known), Value::Object(more)) => {
            for (key, value) in more {
                match known.get_mut(&key) {
                    Some(there) => merge(there, value),
                    None => drop(known.insert(key, value)),
                }
            }
        }
        (known, more) if *known != more => *known = "varies".into(),
        _ => {}
    }
}

fn reduce(key: &str, value: &mut Value) {
    const WORDS: [&str; 14] = [
        "standing",
        "action",
        "event",
        "command",
        "version",
        "format",
        "scope",
        "inventory",
        "listing",
        "fate",
        "what",
        "verdict",
        "exit_code",
        "cloud",
    ];
    const MAPS: [&str; 3] = ["kinds", "calls", "seconds"];
    match value {
        Value::String(text) if WORDS.contains(&key) && !text.contains(' ') => {}
        Value::Number(_) if WORDS.contains(&key) => {}
        Value::String(text) if key == "command" && text.starts_with("lifeboat") => {}
        // Known at once or later, as time has it.
        _ if key == "total" => *value = "number or null".into(),
        Value::Object(map) if MAPS.contains(&key) => {
            let first = map.get("jobs").or(map.values().next()).cloned();
            map.clear();
            map.extend(first.map(|value| ("name".to_owned(), value)));
            map.iter_mut().for_each(|(key, value)| reduce(key, value));
        }
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| reduce(key, value)),
        Value::Array(list) => {
            list.truncate(1);
            list.iter_mut().for_each(|value| reduce(key, value));
        }
        Value::String(_) => *value = "text".into(),
        Value::Number(_) => *value = "number".into(),
        Value::Bool(_) | Value::Null => {}
    }
}
