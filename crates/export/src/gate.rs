//! The one place through which a run asks the service, and the rules that end the asking.
//!
//! Lost credentials end it at once, fifty calls in a row without a reply end it too; what was not asked by then is
//! *failed: not attempted*. Also keeps when each kind was read. Specified in `spec/export.md`, "When the run ends early".

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lifeboat_archive::{Fate, LedgerLine, Listing};
use lifeboat_databricks::Client;
use tokio::sync::watch;

use crate::error::Stop;
use crate::event::{Event, Observer};
use crate::ledger::line;

/// Calls in a row without a reply after which the service counts as lost.
const NETWORK_FAILURES: u32 = 50;
/// What the service says with 403 when an administrator has switched DBFS off.
const DBFS_DISABLED: &str = "Public DBFS root is disabled";

/// Asks the service.
pub(crate) struct Gate<'a> {
    pub(crate) client: &'a Client,
    observer: &'a dyn Observer,
    state: Mutex<State>,
    confirming: tokio::sync::Mutex<()>,
    /// Turns true with the stop, for calls that are under way then.
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    stop: Option<Stop>,
    network_failures: u32,
    times: BTreeMap<String, (Timestamp, Timestamp)>,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service refused or was not reached.
    Service(lifeboat_databricks::Error),
    /// The reply could not be used.
    Reply { request: String, what: String },
    /// The run asks no more.
    NotAttempted(Stop),
}

impl<'a> Gate<'a> {
    pub(crate) fn new(client: &'a Client, observer: &'a dyn Observer) -> Self {
        Self {
            client,
            observer,
            state: Mutex::default(),
            confirming: tokio::sync::Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Makes a call unless the run asks no more; calls that are under way then, or wait for their turn, are given up.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, lifeboat_databricks::Error>>,
    ) -> Result<T, Failure> {
        if let Some(stop) = self.stopped() {
            return Err(Failure::NotAttempted(stop));
        }
        let mut stopping = self.stopping.subscribe();
        let result = tokio::select! {
            result = call => result,
            // The sender lives as long as this.
            _ = stopping.wait_for(|stopping| *stopping) => {
                let stop = self.stopped().unwrap_or(Stop::Interrupted);
                return Err(Failure::NotAttempted(stop));
            }
        };
        match &result {
            Err(error) if error.is_auth() => self.confirm_lost(error).await,
            Err(error) if error.is_network() => self.count_network_failure(error),
            _ => self.lock().network_failures = 0,
        }
        result.map_err(Failure::Service)
    }

    /// A refusal that sounds like lost credentials may be of one object only: the caller's identity decides.
    async fn confirm_lost(&self, error: &lifeboat_databricks::Error) {
        let _one_at_a_time = self.confirming.lock().await;
        if self.stopped().is_some() {
            return;
        }
        if let Err(confirmed) = self.client.identity().await
            && confirmed.is_auth()
        {
            self.stop(Stop::CredentialsLost {
                message: error.message(),
            });
        }
    }

    /// Why the run asks no more, if so.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.lock().stop.clone()
    }

    /// Notes that a kind is being read now.
    pub(crate) fn touch(&self, kind: &str) {
        let now = Timestamp::now();
        self.lock()
            .times
            .entry(kind.to_owned())
            .and_modify(|(_, end)| *end = now)
            .or_insert((now, now));
    }

    /// When each kind was read: first and last moment.
    pub(crate) fn times(&self) -> BTreeMap<String, (Timestamp, Timestamp)> {
        self.lock().times.clone()
    }

    fn count_network_failure(&self, error: &lifeboat_databricks::Error) {
        let failures = {
            let mut state = self.lock();
            state.network_failures += 1;
            state.network_failures
        };
        if failures >= NETWORK_FAILURES {
            self.stop(Stop::NetworkLost {
                failures,
                message: error.message(),
            });
        }
    }

    /// From now on nothing is asked any more.
    pub(crate) fn stop(&self, stop: Stop) {
        {
            let mut state = self.lock();
            if state.stop.is_some() {
                return;
            }
            state.stop = Some(stop.clone());
        }
        self.stopping.send_replace(true);
        self.observer.event(Event::Stopped(&stop));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// The object is gone, or hidden from this caller.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_not_found())
    }

    /// The 10 MB rule of the service.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_too_large())
    }

    /// The service does not have this call.
    pub(crate) fn is_unknown_call(&self) -> bool {
        matches!(self, Self::Service(error)
            if error.is_feature_off() || error.is_unknown_endpoint() || error.is_not_implemented())
    }

    /// The service says that the feature is switched off. An API that is not known (`ENDPOINT_NOT_FOUND`) says nothing
    /// about what the workspace holds.
    pub(crate) fn is_switched_off(&self) -> bool {
        matches!(self, Self::Service(error)
            if error.is_feature_off()
                || error.status() == Some(403) && error.message().contains(DBFS_DISABLED))
    }

    /// How the listing of a kind stands after this failure, and why in words.
    pub(crate) fn listing(&self) -> (Listing, String) {
        let listing = if self.is_switched_off() {
            Listing::Unavailable
        } else {
            Listing::Unknown
        };
        (listing, self.to_string())
    }

    /// The ledger line of an object that this failure kept out of the archive.
    pub(crate) fn line(&self, kind: &str, id: &str, name: &str, fate: Fate) -> LedgerLine {
        let mut line = line(kind, id, name, fate, String::new());
        match self {
            Self::Service(error) => {
                line.request = Some(error.request());
                line.status = error.status();
                line.code = error.code().map(str::to_owned);
                line.message = error.message();
            }
            Self::Reply { request, what } => {
                line.request = Some(request.clone());
                line.message.clone_from(what);
            }
            Self::NotAttempted(stop) => line.message = format!("not attempted: {stop}"),
        }
        line
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(error) => write!(f, "{error}"),
            Self::Reply { request, what } => write!(f, "{request}: {what}"),
            Self::NotAttempted(stop) => write!(f, "not attempted: {stop}"),
        }
    }
}
