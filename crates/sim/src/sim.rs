//! The running simulator: a thread of its own with a runtime of its own, and the handle that tests hold.

use std::io;
use std::time::Duration;

use serde_json::Value;

use crate::faults::Fault;
use crate::fill::Fill;
use crate::world::World;

/// How a simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Workspace id, as in `X-Databricks-Org-Id`.
    pub workspace_id: String,
    /// Bearer token of the administrator.
    pub token: String,
    /// Seed of the ids.
    pub seed: u64,
    /// Pace of the workspace's clock against real time; 0 stands still.
    pub clock_rate: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            workspace_id: "7405609123456789".to_owned(),
            token: "dapi-simulated".to_owned(),
            seed: 1,
            clock_rate: 1,
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be listened on.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// Port asked for.
        port: u16,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// No thread or no runtime.
    #[error("cannot start the server's thread")]
    Thread(#[source] io::Error),
}

/// One answered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, ...
    pub method: String,
    /// Path as it came.
    pub path: String,
    /// Query as it came.
    pub query: String,
    /// Status answered; 0 when the connection was reset.
    pub status: u16,
}

/// A running simulator; stops when dropped.
#[derive(Debug)]
pub struct Sim {}

impl Sim {
    /// Starts on 127.0.0.1 and returns once connections are accepted.
    ///
    /// # Errors
    /// The port is taken, or no thread could be started.
    pub fn start(options: Options) -> Result<Self, Error> {
        let _ = options;
        Ok(Self {})
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        unimplemented!()
    }

    /// Bearer token of the administrator.
    #[must_use]
    pub fn token(&self) -> &str {
        unimplemented!()
    }

    /// Workspace id.
    #[must_use]
    pub fn workspace_id(&self) -> &str {
        unimplemented!()
    }

    /// Fills the workspace from a seed.
    pub fn fill(&self, fill: &Fill) {
        let _ = fill;
        unimplemented!()
    }

    /// The whole state by natural keys; see [`crate::compare`].
    #[must_use]
    pub fn dump(&self) -> Value {
        unimplemented!()
    }

    /// Runs code on the locked state: to arrange what no call can.
    pub fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let _ = f;
        unimplemented!()
    }

    /// Adds a bearer token for an existing user or service principal.
    pub fn add_token(&self, token: &str, principal: &str) {
        let _ = (token, principal);
        unimplemented!()
    }

    /// Moves the workspace's clock forward.
    pub fn advance(&self, by: Duration) {
        let _ = by;
        unimplemented!()
    }

    /// Delays every answer.
    pub fn set_latency(&self, latency: Duration) {
        let _ = latency;
        unimplemented!()
    }

    /// Switches the service's rate limits on or off (off at start).
    pub fn set_limits(&self, on: bool) {
        let _ = on;
        unimplemented!()
    }

    /// Answers an HTML login page with 200 to everything.
    pub fn set_login_page(&self, on: bool) {
        let _ = on;
        unimplemented!()
    }

    /// Adds a fault rule.
    pub fn fault(&self, fault: Fault) {
        let _ = fault;
        unimplemented!()
    }

    /// Removes all fault rules and serves connections again after a kill.
    pub fn clear_faults(&self) {
        unimplemented!()
    }

    /// All calls since start or the last reset, in the order of their answers.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        unimplemented!()
    }

    /// Calls to routes that the simulator does not know.
    #[must_use]
    pub fn unhandled(&self) -> Vec<Call> {
        unimplemented!()
    }

    /// Forgets the recorded calls.
    pub fn reset_calls(&self) {
        unimplemented!()
    }
}
