//! The running simulator: a thread of its own with a runtime of its own, and the handle that tests hold.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::costs::Costs;
use crate::faults::Fault;
use crate::fill::Fill;
use crate::gate::{Call, Gate, lock};
use crate::limits::Rate;
use crate::script::Script;
use crate::server;
use crate::storm::Storm;
use crate::world::{Switches, World};

/// How a simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Workspace id, as in `X-Databricks-Org-Id`.
    pub workspace_id: String,
    /// Bearer token of the administrator.
    pub token: String,
    /// Seed of the ids, together with the workspace id: two workspaces share no ids.
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

impl Options {
    /// The defaults with another workspace id: a second workspace beside the first.
    #[must_use]
    pub fn workspace(workspace_id: &str) -> Self {
        Self {
            workspace_id: workspace_id.to_owned(),
            ..Self::default()
        }
    }

    /// FNV-1a over the workspace id, mixed with the seed.
    fn id_seed(&self) -> u64 {
        self.workspace_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
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

/// A running simulator; stops when dropped.
pub struct Sim {
    gate: Arc<Gate>,
    address: SocketAddr,
    token: String,
    workspace_id: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim")
            .field("address", &self.address)
            .field("workspace_id", &self.workspace_id)
            .finish_non_exhaustive()
    }
}

impl Sim {
    /// Starts on 127.0.0.1 and returns once connections are accepted.
    ///
    /// # Errors
    /// The port is taken, or no thread could be started.
    pub fn start(options: Options) -> Result<Self, Error> {
        let port = options.port;
        let listen = |source| Error::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(listen)?
        };
        let world = World::new(
            &options.workspace_id,
            &options.token,
            options.id_seed(),
            options.clock_rate,
        );
        let gate = Arc::new(Gate::new(world));
        let shared = Arc::clone(&gate);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lifeboat-sim".to_owned())
            .spawn(move || {
                let until = async move {
                    // A dropped sender means the same as a message: the handle is gone.
                    let _ = stopped.await;
                };
                // Accepting never fails for good; a client that gets no connection reports that better.
                let _ = runtime.block_on(server::serve(listener, shared, until));
                runtime.shutdown_background();
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            gate,
            address,
            token: options.token,
            workspace_id: options.workspace_id,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bearer token of the administrator.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Workspace id.
    #[must_use]
    pub fn workspace_id(&self) -> &str {
        &self.workspace_id
    }

    /// Runs code on the locked state: to arrange or look at what no call can. No call is answered meanwhile.
    pub fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut lock(&self.gate.world))
    }

    /// Fills the workspace from a seed.
    pub fn fill(&self, fill: &Fill) {
        self.with(|world| crate::fill::fill(world, fill));
    }

    /// The whole state by natural keys; see [`crate::compare`].
    #[must_use]
    pub fn dump(&self) -> Value {
        self.with(|world| world.dump())
    }

    /// What started and ran until now: to prove that a restore left nothing running.
    #[must_use]
    pub fn costs(&self) -> Costs {
        self.with(crate::costs::costs)
    }

    /// Changes the workspace's habits.
    pub fn switch(&self, f: impl FnOnce(&mut Switches)) {
        self.with(|world| f(&mut world.switches));
    }

    /// Adds a bearer token for an existing user name or application id.
    ///
    /// # Errors
    /// Nobody of that name exists.
    pub fn add_token(&self, token: &str, principal: &str) -> Result<(), String> {
        self.with(|world| world.add_token(token, principal))
    }

    /// Moves the workspace's clock forward.
    pub fn advance(&self, by: Duration) {
        self.with(|world| world.clock.advance(by));
    }

    /// Sets the pace of the workspace's clock against real time; 0 stands still.
    pub fn set_clock_rate(&self, rate: u32) {
        self.with(|world| world.clock.set_rate(rate));
    }

    /// Delays every answer.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.gate.latency) = latency;
    }

    /// Switches the service's documented rate limits on or off (off at start).
    pub fn set_limits(&self, on: bool) {
        lock(&self.gate.limits).set(on);
    }

    /// Sets another rate for one family (`permissions-read`, `workspace-export`, `scim-read`, `secrets`, `dbfs`,
    /// `clusters`, ...) and switches the limits on.
    pub fn set_rate(&self, family: &str, count: usize, window: Duration) {
        lock(&self.gate.limits).change(family, Rate { count, window });
    }

    /// Answers an HTML login page with 200 to everything.
    pub fn set_login_page(&self, on: bool) {
        self.gate.login_page.store(on, Ordering::SeqCst);
    }

    /// Adds a fault rule.
    pub fn fault(&self, fault: Fault) {
        lock(&self.gate.faults).add(fault);
    }

    /// From now on calls fail by these odds, as far as no rule strikes them, until the faults are cleared.
    pub fn storm(&self, storm: Storm) {
        lock(&self.gate.faults).storm(storm);
    }

    /// Removes all fault rules and serves connections again after a kill.
    pub fn clear_faults(&self) {
        self.gate.clear_faults();
    }

    /// Adds a scripted change of the workspace.
    pub fn script(&self, script: Script) {
        lock(&self.gate.scripts).push(script);
    }

    /// Calls this after every call, from the server's threads: to stop a client at an exact call. It must not wait for
    /// the client.
    pub fn on_call(&self, hook: impl FnMut(&Call) + Send + 'static) {
        *lock(&self.gate.hook) = Some(Box::new(hook));
    }

    /// All calls since start or the last reset, in the order of their answers. Refused and reset ones too.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.gate.calls).clone()
    }

    /// Forgets the recorded calls.
    pub fn reset_calls(&self) {
        lock(&self.gate.calls).clear();
    }

    /// Calls to routes that the simulator does not know, since start: a test asserts that there are none.
    #[must_use]
    pub fn unhandled(&self) -> Vec<Call> {
        lock(&self.gate.unhandled).clone()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens any more when the server has ended on its own.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was printed already; a drop must not panic again.
            let _ = thread.join();
        }
    }
}
