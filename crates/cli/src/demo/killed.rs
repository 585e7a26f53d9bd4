//! An import that is killed in the middle: a process of its own, so that nothing of it survives.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lifeboat_sim::Sim;

use crate::failure::Failure;

/// Set for the process that plays `lifeboat-import`: `cargo run --bin lifeboat-demo` builds no other program.
pub(super) const AS_IMPORT: &str = "LIFEBOAT_DEMO_AS_IMPORT";

/// How often the simulator is asked how many writes it saw.
const GLANCE: Duration = Duration::from_millis(2);

/// Starts `lifeboat-import` with these arguments and kills it once the workspace has seen so many writes.
/// Returns the number of writes that it saw, and whether the process was killed before its own end.
pub(super) fn kill_import(
    arguments: &[&str],
    profiles: &Path,
    workspace: &Sim,
    writes: usize,
) -> Result<(usize, bool), Failure> {
    let failed = |source| Failure::File {
        path: "lifeboat-import".into(),
        source,
    };
    let surroundings = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        !name.starts_with("DATABRICKS_") && !name.starts_with("ARM_")
    });
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(arguments)
        .env_clear()
        .envs(surroundings)
        .env("DATABRICKS_CONFIG_FILE", profiles)
        .env(AS_IMPORT, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    workspace.reset_calls();
    let killed = loop {
        if written(workspace) >= writes {
            child.kill().map_err(failed)?;
            break true;
        }
        if child.try_wait().map_err(failed)?.is_some() {
            break false;
        }
        std::thread::sleep(GLANCE);
    };
    let status = child.wait().map_err(failed)?;
    // It may have ended by itself between the last look and the kill.
    Ok((written(workspace), killed && status.code().is_none()))
}

/// Calls since the last reset that may have changed the workspace.
pub(super) fn written(workspace: &Sim) -> usize {
    let calls = workspace.calls();
    let reads = |method: &str| method == "GET" || method == "HEAD";
    calls.iter().filter(|call| !reads(&call.method)).count()
}
