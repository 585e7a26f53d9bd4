//! Journaled calls, and the decision that a whole run has to stop: shared by imports and activations.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::error::Error;
use crate::journal::{Journal, LineKind, Op, READ_ONLY_AFTER};
use crate::report::Fate;
use crate::stop::Stop;

/// Calls in a row without any reply after which the network counts as lost.
const LOST_AFTER: u32 = 20;

/// Why the whole run stopped.
#[derive(Debug, Clone)]
pub(crate) struct Stopped {
    /// What was being done.
    pub doing: String,
    /// The error.
    pub cause: String,
    /// The credentials, not the network.
    pub credentials: bool,
}

impl Stopped {
    /// Why what was written was not read back to the end.
    ///
    /// # Errors
    /// The error itself, when it is neither the service's nor a request to stop.
    pub fn reading_back(error: Error) -> Result<Self, Error> {
        match error {
            Error::Interrupted => Ok(Self::asked("reading back")),
            Error::Service { doing, source } => Ok(Self {
                doing,
                cause: source.to_string(),
                credentials: source.is_auth(),
            }),
            other => Err(other),
        }
    }

    /// Somebody asked for it.
    pub fn asked(doing: &str) -> Self {
        Self {
            doing: doing.to_owned(),
            cause: "it was asked to stop".to_owned(),
            credentials: false,
        }
    }
}

/// A call that writes, until its result stands in the journal.
pub(crate) struct UnderWay<'a>(&'a watch::Sender<usize>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

/// Why one object did not get done.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It cannot be done as things are.
    Blocked(String),
    /// The service refused or failed it.
    Service(Box<lifeboat_databricks::Error>),
    /// Something else went wrong.
    Other(String),
    /// The run has stopped.
    Stopped,
}

impl Fail {
    /// The text for the report.
    pub fn text(&self) -> String {
        match self {
            Self::Blocked(reason) | Self::Other(reason) => reason.clone(),
            Self::Service(error) => error.to_string(),
            Self::Stopped => "not attempted: the run stopped".to_owned(),
        }
    }

    /// The client's error.
    pub fn error(&self) -> Option<&lifeboat_databricks::Error> {
        match self {
            Self::Service(error) => Some(error),
            _ => None,
        }
    }

    pub fn fate(&self) -> Fate {
        match self {
            Self::Blocked(_) => Fate::Blocked,
            _ => Fate::Failed,
        }
    }
}

/// A journaled step.
pub(crate) struct Step<'a> {
    pub op: Op,
    pub kind: &'a str,
    pub id: &'a str,
    pub name: &'a str,
    pub digest: Option<String>,
    pub token: Option<String>,
    /// What is left out of what was wanted.
    pub lacks: Option<String>,
    /// The intent and the result are synced to the disk: their loss could cost a duplicate.
    pub sync: bool,
    /// It takes several calls: that the last one was refused says nothing of those before it.
    pub several: bool,
}

impl<'a> Step<'a> {
    /// A step that the journal need not sync.
    pub fn new(op: Op, kind: &'a str, id: &'a str, name: &'a str) -> Self {
        Self {
            op,
            kind,
            id,
            name,
            digest: None,
            token: None,
            lacks: None,
            sync: false,
            several: false,
        }
    }

    /// The same as one that takes several calls.
    pub fn of_several_calls(mut self, several: bool) -> Self {
        self.several = several;
        self
    }

    /// The same with what is written.
    pub fn writing(mut self, digest: String) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The same with what it lacks.
    pub fn lacking(mut self, lacks: &[String]) -> Self {
        self.lacks = (!lacks.is_empty()).then(|| lacks.join(", "));
        self
    }
}

/// The calls of one run.
pub(crate) struct Calls<'a> {
    journal: &'a Journal,
    stop: &'a Stop,
    /// Calls that write and have no result in the journal yet.
    under_way: watch::Sender<usize>,
    writes: AtomicU64,
    stopped: Mutex<Option<Stopped>>,
    silent: AtomicU32,
    /// Kinds whose writes were refused for want of rights; `None` once a write was taken.
    refused: Mutex<Option<BTreeSet<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these; should it, what is inside is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Calls<'a> {
    pub fn new(journal: &'a Journal, stop: &'a Stop) -> Self {
        stop.begin();
        Self {
            journal,
            stop,
            under_way: watch::Sender::new(0),
            writes: AtomicU64::new(0),
            stopped: Mutex::new(None),
            silent: AtomicU32::new(0),
            refused: Mutex::new(Some(BTreeSet::new())),
        }
    }

    /// Calls that wrote.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Why the run stopped, if it did.
    pub fn stopped(&self) -> Option<Stopped> {
        lock(&self.stopped).clone()
    }

    /// Fails once the run has stopped.
    pub fn check(&self) -> Result<(), Fail> {
        if self.stop.is_requested() {
            self.halt(Stopped::asked("writing"));
        }
        if lock(&self.stopped).is_some() {
            Err(Fail::Stopped)
        } else {
            Ok(())
        }
    }

    /// Turns a failed call into the failure of its object, or of the run.
    fn failed(&self, error: lifeboat_databricks::Error) -> Fail {
        let silent = if error.is_network() {
            self.silent.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.answered();
            0
        };
        if error.is_auth() || silent >= LOST_AFTER {
            self.halt(Stopped {
                doing: error.request(),
                cause: error.to_string(),
                credentials: error.is_auth(),
            });
        }
        Fail::Service(Box::new(error))
    }

    pub(crate) fn enter(&self) -> UnderWay<'_> {
        self.under_way.send_modify(|calls| *calls += 1);
        UnderWay(&self.under_way)
    }

    /// Waits until it was asked to stop and every call that writes has its result, or the time for that is over.
    pub async fn drained(&self) {
        let until = self.stop.requested().await;
        let mut calls = self.under_way.subscribe();
        // Both errors are an end too: the time is over, or nobody can write any more.
        let _ = tokio::time::timeout_at(until, calls.wait_for(|calls| *calls == 0)).await;
    }

    /// Notes a reply.
    fn answered(&self) {
        self.silent.store(0, Ordering::Relaxed);
    }

    /// Stops the run: nothing new is begun.
    fn halt(&self, why: Stopped) {
        lock(&self.stopped).get_or_insert(why);
    }

    /// A call that reads.
    pub async fn read<T>(
        &self,
        call: impl Future<Output = Result<T, lifeboat_databricks::Error>>,
    ) -> Result<T, Fail> {
        self.check()?;
        match call.await {
            Ok(reply) => {
                self.answered();
                Ok(reply)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A call that writes: its intent stands in the journal before it is made, its result after it.
    pub async fn write(
        &self,
        step: &Step<'_>,
        call: impl Future<Output = Result<Value, lifeboat_databricks::Error>>,
        target: impl FnOnce(&Value) -> Option<String>,
    ) -> Result<Value, Fail> {
        self.check()?;
        let _under_way = self.enter();
        let seq = self.announce(step)?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let reply = call.await;
        let target = reply.as_ref().ok().and_then(target);
        self.conclude(step, seq, &reply, target)?;
        self.outcome(step.kind, reply)
    }

    /// The same for one call that writes several objects and names none of their ids.
    pub async fn write_all(
        &self,
        steps: &[Step<'_>],
        call: impl Future<Output = Result<Value, lifeboat_databricks::Error>>,
    ) -> Result<Value, Fail> {
        self.check()?;
        let _under_way = self.enter();
        let intents = steps.iter().map(|step| self.announce(step));
        let intents = intents.collect::<Result<Vec<u64>, Fail>>()?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let reply = call.await;
        for (step, seq) in steps.iter().zip(intents) {
            self.conclude(step, seq, &reply, None)?;
        }
        self.outcome(steps.first().map_or("", |step| step.kind), reply)
    }

    /// Writes the intent; gives its number.
    fn announce(&self, step: &Step<'_>) -> Result<u64, Fail> {
        let mut line = self.journal.line(LineKind::Intent);
        line.op = Some(step.op);
        line.kind = Some(step.kind.to_owned());
        line.id = Some(step.id.to_owned());
        line.name = Some(step.name.to_owned());
        line.digest.clone_from(&step.digest);
        line.token.clone_from(&step.token);
        self.journal
            .intent(line, step.sync)
            .map_err(|error| self.journal_lost(&error))
    }

    /// Writes the result of an intent.
    fn conclude(
        &self,
        step: &Step<'_>,
        seq: u64,
        reply: &Result<Value, lifeboat_databricks::Error>,
        target: Option<String>,
    ) -> Result<(), Fail> {
        let mut line = self.journal.line(LineKind::Result);
        line.seq = Some(seq);
        line.op = Some(step.op);
        line.kind = Some(step.kind.to_owned());
        line.id = Some(step.id.to_owned());
        match reply {
            Ok(_) => {
                line.ok = Some(true);
                line.target = target;
                line.error.clone_from(&step.lacks);
            }
            Err(error) => {
                line.ok = Some(false);
                // The error is that of the last try; an earlier one may have taken effect.
                line.certain = Some(!error.is_uncertain() && error.tries() <= 1 && !step.several);
                line.off = error.is_feature_off().then_some(true);
                line.passing = says_nothing_of_the_object(error).then_some(true);
                line.error = Some(error.to_string());
            }
        }
        self.journal
            .append(&line, step.sync)
            .map_err(|error| self.journal_lost(&error))
    }

    fn outcome(
        &self,
        kind: &str,
        reply: Result<Value, lifeboat_databricks::Error>,
    ) -> Result<Value, Fail> {
        match reply {
            Ok(body) => {
                self.answered();
                *lock(&self.refused) = None;
                Ok(body)
            }
            Err(error) => {
                self.count_refused(kind, &error);
                Err(self.failed(error))
            }
        }
    }

    /// Stops a run that may not write at all: to go on would only ask thousands of times.
    fn count_refused(&self, kind: &str, error: &lifeboat_databricks::Error) {
        if error.status() != Some(403) || error.is_feature_off() {
            return;
        }
        let mut refused = lock(&self.refused);
        let Some(kinds) = refused.as_mut() else {
            return;
        };
        kinds.insert(kind.to_owned());
        if kinds.len() < READ_ONLY_AFTER {
            return;
        }
        let names: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let cause = format!(
            "the caller may not write there: every write of {} was refused, none was taken; the last: {error}",
            names.join(", ")
        );
        self.halt(Stopped {
            doing: error.request(),
            cause,
            credentials: true,
        });
    }

    /// Without a journal nothing may be written any more.
    pub fn journal_lost(&self, error: &Error) -> Fail {
        let cause = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        self.halt(Stopped {
            doing: "writing the journal".to_owned(),
            cause,
            credentials: false,
        });
        Fail::Stopped
    }
}

/// Whether a failure is of the caller, the service or the way to it: the same call may be taken tomorrow.
fn says_nothing_of_the_object(error: &lifeboat_databricks::Error) -> bool {
    error.is_auth()
        || error.is_network()
        || error.is_throttled()
        || error.is_unstable()
        || error.is_uncertain()
        || matches!(error.status(), None | Some(401 | 408 | 425 | 429))
}
