//! One export as a process: its environment, what it says, and how it ends.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::file::Workspace;
use crate::exit::Exit;

/// Settings of a connection belong to one workspace, so those of the fleet's own environment reach no export unless the
/// file names them; these are not of a workspace.
const KEPT: [&str; 2] = ["DATABRICKS_CONFIG_FILE", "DATABRICKS_CLI_PATH"];
/// Beginnings of the variables that are of one workspace.
const OF_A_WORKSPACE: [&str; 2] = ["DATABRICKS_", "ARM_"];

/// What an export says.
pub(super) enum Told {
    /// An object of its JSON output.
    Event(Value),
    /// Anything else: a panic, a message of the system.
    Text(String),
}

/// How an export ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    /// Its last object, when there is an archive.
    pub(super) summary: Value,
    /// Its last object, when there is none.
    pub(super) error: Option<Value>,
}

impl Ended {
    fn failed(exit: Exit, message: &str) -> Self {
        Self {
            exit,
            summary: Value::Null,
            error: Some(
                json!({"message": message, "causes": [], "hints": [], "exit_code": exit.code()}),
            ),
        }
    }

    pub(super) fn archive(&self) -> String {
        self.summary["archive"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn inventory(&self) -> String {
        self.summary["descriptor"]["inventory"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn size(&self) -> u64 {
        self.summary["descriptor"]["size"]
            .as_u64()
            .unwrap_or_default()
    }

    /// The error in one line: what, why, and what to do.
    pub(super) fn said(&self) -> String {
        let Some(error) = &self.error else {
            return String::new();
        };
        let texts = |key: &str| -> Vec<&str> {
            error[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        let mut said = error["message"].as_str().unwrap_or_default().to_owned();
        for cause in texts("causes") {
            said.push_str(&format!(": {cause}"));
        }
        for hint in texts("hints") {
            said.push_str(&format!(" ({hint})"));
        }
        said
    }
}

/// Runs the export of a workspace to its end.
pub(super) async fn export(
    workspace: &Workspace,
    stopped: watch::Receiver<bool>,
    tell: impl Fn(Told),
) -> Ended {
    let command = match command(workspace) {
        Ok(command) => command,
        Err((exit, what)) => return Ended::failed(exit, &what),
    };
    let mut child = match spawn(command) {
        Ok(child) => child,
        Err(error) => {
            return Ended::failed(
                Exit::Failed,
                &format!("its process does not start: {error}"),
            );
        }
    };
    let (say, mut said) = mpsc::channel(64);
    if let Some(out) = child.stdout.take() {
        tokio::spawn(read(out, say.clone()));
    }
    if let Some(err) = child.stderr.take() {
        tokio::spawn(read(err, say.clone()));
    }
    drop(say);
    let mut last = None;
    let ending = end(&mut child, stopped);
    let reading = async {
        while let Some(line) = said.recv().await {
            match serde_json::from_str::<Value>(&line) {
                Ok(event) if matches!(event["event"].as_str(), Some("summary" | "error")) => {
                    last = Some(event)
                }
                Ok(event) if event.is_object() => tell(Told::Event(event)),
                _ => tell(Told::Text(line)),
            }
        }
    };
    let (status, ()) = tokio::join!(ending, reading);
    match status {
        Ok(status) => ended(status, last),
        Err(error) => Ended::failed(
            Exit::Failed,
            &format!("its process cannot be waited for: {error}"),
        ),
    }
}

fn spawn(mut command: Command) -> std::io::Result<Child> {
    command
        .arg("--json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C of a terminal is for the fleet, which passes it on: twice would mean that nothing is to be kept.
        .process_group(0)
        .spawn()
}

/// The process of a workspace, or with which code and why there is none.
fn command(workspace: &Workspace) -> Result<Command, (Exit, String)> {
    let program = std::env::current_exe().map_err(|error| {
        (
            Exit::Failed,
            format!("this program cannot be found: {error}"),
        )
    })?;
    let mut command = Command::new(program);
    command.arg("run").args(&workspace.arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_a_workspace = OF_A_WORKSPACE.iter().any(|start| text.starts_with(start));
        if of_a_workspace && !KEPT.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    for (name, from) in &workspace.environment {
        let value = std::env::var_os(from).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| {
            let what = format!("the variable {from}, which {name} is taken from, is not set");
            (Exit::Refused, what)
        })?;
        command.env(name, value);
    }
    Ok(command)
}

async fn read(from: impl AsyncRead + Unpin, say: mpsc::Sender<String>) {
    let mut lines = BufReader::new(from).split(b'\n');
    // A pipe that breaks has ended; the exit code tells how.
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.is_empty() && say.send(line).await.is_err() {
            return;
        }
    }
}

/// Waits for the end; passes the wish to stop on.
async fn end(
    child: &mut Child,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<std::process::ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        // The sender lives until all exports have ended.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    terminate(child);
    child.wait().await
}

#[cfg(unix)]
fn terminate(child: &Child) {
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) {
    // It may have ended by itself meanwhile.
    let _ = child.start_kill();
}

/// The exit code decides; a process that says nothing at its end has died.
fn ended(status: std::process::ExitStatus, last: Option<Value>) -> Ended {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, last) {
        (Some(code), Some(last)) => {
            let is_error = last["event"] == "error";
            Ended {
                exit: Exit::of(code),
                error: is_error.then(|| last.clone()),
                summary: if is_error { Value::Null } else { last },
            }
        }
        (Some(code), None) => Ended::failed(
            Exit::of(code).and(Exit::Failed),
            &format!("its process ended with {code} and without a word"),
        ),
        (None, _) => Ended::failed(Exit::Failed, &format!("its process died: {status}")),
    }
}
