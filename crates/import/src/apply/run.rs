//! One run: what every part of it shares. Journaled calls, results, and the decision to stop.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lifeboat_archive::Archive;
use lifeboat_catalog::acl::Principal;
use lifeboat_catalog::records::ObjectRecord;
use lifeboat_databricks::Client;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::archived::ArchiveState;
use crate::error::Error;
use crate::events::{Event, Observer};
use crate::journal::{Journal, LineKind, Made, Op};
use crate::options::Options;
use crate::report::{Fate, ObjectResult, Todo};
use crate::resolve::Resolver;
use crate::target::TargetState;

/// Calls in a row without any reply after which the network counts as lost.
const LOST_AFTER: u32 = 20;

/// Contents held in memory at one time, in MiB.
pub(super) const BUDGET_MIB: u32 = 128;

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

    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Blocked(_) => Fate::Blocked,
            _ => Fate::Failed,
        }
    }
}

/// An object as done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Its id in the target.
    pub target: Option<String>,
    /// What it lacks.
    pub notes: Vec<String>,
    /// What is worth knowing.
    pub remarks: Vec<String>,
}

/// A journaled step.
pub(crate) struct Step<'a> {
    pub op: Op,
    pub kind: &'a str,
    pub id: &'a str,
    pub name: &'a str,
    pub digest: Option<String>,
    pub token: Option<String>,
    /// The intent and the result are synced to the disk: their loss could cost a duplicate.
    pub sync: bool,
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
            sync: false,
        }
    }

    /// The same with what is written.
    pub fn writing(mut self, digest: String) -> Self {
        self.digest = Some(digest);
        self
    }
}

/// What a run leaves behind.
pub(crate) struct Record {
    /// Results by position in the plan.
    pub results: HashMap<usize, ObjectResult>,
    /// What a person has to do.
    pub checklist: Vec<Todo>,
    /// Seconds per phase.
    pub phases: Vec<(String, f64)>,
    /// Why it stopped before its end.
    pub stopped: Option<Stopped>,
    /// Calls that wrote.
    pub writes: u64,
}

/// One run.
pub(crate) struct Run<'a> {
    pub archive: &'a Archive,
    pub state: &'a ArchiveState,
    pub target: &'a TargetState,
    pub client: &'a Client,
    pub journal: &'a Journal,
    pub options: &'a Options,
    pub observer: &'a dyn Observer,
    pub caller: Principal,
    /// One `mkdirs` at a time (fact sheet, section 4.1).
    pub mkdirs: tokio::sync::Mutex<()>,
    /// Objects of the tree in work.
    pub lanes: Semaphore,
    /// Mebibytes of contents in memory.
    pub budget: Semaphore,
    pub writes: AtomicU64,
    resolver: Mutex<Resolver>,
    pub(super) results: Mutex<HashMap<usize, ObjectResult>>,
    pub(super) checklist: Mutex<Vec<Todo>>,
    /// Objects done per phase.
    pub(super) progress: Mutex<HashMap<&'static str, u64>>,
    phases: Mutex<Vec<(String, f64)>>,
    stopped: Mutex<Option<Stopped>>,
    silent: AtomicU32,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these; should it, what is inside is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Run<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "everything that a run shares, named once"
    )]
    pub fn new(
        archive: &'a Archive,
        state: &'a ArchiveState,
        target: &'a TargetState,
        client: &'a Client,
        journal: &'a Journal,
        options: &'a Options,
        observer: &'a dyn Observer,
        resolver: Resolver,
    ) -> Self {
        Self {
            archive,
            state,
            target,
            client,
            journal,
            options,
            observer,
            caller: target.caller_principal(),
            mkdirs: tokio::sync::Mutex::new(()),
            // Less than all: directories, on which contents wait, find a free call at any time.
            lanes: Semaphore::new((options.concurrency * 3 / 4).max(1)),
            budget: Semaphore::new(BUDGET_MIB as usize),
            writes: AtomicU64::new(0),
            resolver: Mutex::new(resolver),
            results: Mutex::new(HashMap::new()),
            checklist: Mutex::new(Vec::new()),
            progress: Mutex::new(HashMap::new()),
            phases: Mutex::new(Vec::new()),
            stopped: Mutex::new(None),
            silent: AtomicU32::new(0),
        }
    }

    /// Names and ids of the target at this moment. Do not hold it over an await.
    pub fn resolver(&self) -> MutexGuard<'_, Resolver> {
        lock(&self.resolver)
    }

    /// The record of an object.
    pub fn record(&self, kind: &str, id: &str) -> Result<&'a ObjectRecord, Fail> {
        self.state
            .of_kind(kind)
            .iter()
            .find(|record| record.id == id)
            .ok_or_else(|| Fail::Other("its record is not in the archive".to_owned()))
    }

    /// Runs a phase and notes how long it took.
    pub async fn phase<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let out = work.await;
        let seconds = start.elapsed().as_secs_f64();
        lock(&self.phases).push((name.to_owned(), seconds));
        out
    }

    /// Says how many objects of a kind there are to do.
    pub fn announce(&self, kind: &str, total: usize) {
        if total > 0 {
            self.observer.event(Event::Phase {
                name: phase_of(kind),
                total: Some(total as u64),
            });
        }
    }

    /// Fails once the run has stopped.
    pub fn check(&self) -> Result<(), Fail> {
        if lock(&self.stopped).is_some() {
            Err(Fail::Stopped)
        } else {
            Ok(())
        }
    }

    /// Turns a failed call into the failure of its object, or of the run.
    pub fn failed(&self, error: lifeboat_databricks::Error) -> Fail {
        let silent = if error.is_network() {
            self.silent.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            0
        };
        if error.is_auth() || silent >= LOST_AFTER {
            self.stop(Stopped {
                doing: error.request(),
                cause: error.to_string(),
                credentials: error.is_auth(),
            });
        }
        Fail::Service(Box::new(error))
    }

    /// Notes a reply.
    pub fn answered(&self) {
        self.silent.store(0, Ordering::Relaxed);
    }

    /// Stops the run: nothing new is begun.
    pub fn stop(&self, why: Stopped) {
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
        let mut line = self.journal.line(LineKind::Intent);
        line.op = Some(step.op);
        line.kind = Some(step.kind.to_owned());
        line.id = Some(step.id.to_owned());
        line.name = Some(step.name.to_owned());
        line.digest.clone_from(&step.digest);
        line.token.clone_from(&step.token);
        let seq = self
            .journal
            .intent(line, step.sync)
            .map_err(|error| self.journal_lost(&error))?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let reply = call.await;
        let mut line = self.journal.line(LineKind::Result);
        line.seq = Some(seq);
        line.op = Some(step.op);
        line.kind = Some(step.kind.to_owned());
        line.id = Some(step.id.to_owned());
        match &reply {
            Ok(body) => {
                line.ok = Some(true);
                line.target = target(body);
            }
            Err(error) => {
                line.ok = Some(false);
                // The error is that of the last try; an earlier one may have taken effect.
                line.certain = Some(!error.is_uncertain() && error.tries() <= 1);
                line.error = Some(error.to_string());
            }
        }
        self.journal
            .append(&line, step.sync)
            .map_err(|error| self.journal_lost(&error))?;
        match reply {
            Ok(body) => {
                self.answered();
                Ok(body)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Links an object without writing it.
    pub fn adopt(
        &self,
        kind: &str,
        id: &str,
        name: &str,
        target: &str,
        made: Made,
        digest: Option<String>,
    ) -> Result<(), Fail> {
        self.check()?;
        let mut line = self.journal.line(LineKind::Result);
        line.op = Some(Op::Adopt);
        line.kind = Some(kind.to_owned());
        line.id = Some(id.to_owned());
        line.name = Some(name.to_owned());
        line.target = Some(target.to_owned());
        line.made = Some(made);
        line.digest = digest;
        line.ok = Some(true);
        self.journal
            .append(&line, true)
            .map_err(|error| self.journal_lost(&error))
    }

    /// Records that an object was read back as it was written.
    pub fn seen(
        &self,
        kind: &str,
        id: &str,
        target: Option<&str>,
        modified_at: Option<i64>,
        digest: Option<String>,
    ) -> Result<(), Fail> {
        let mut line = self.journal.line(LineKind::Seen);
        line.kind = Some(kind.to_owned());
        line.id = Some(id.to_owned());
        line.target = target.map(str::to_owned);
        line.modified_at = modified_at;
        line.digest = digest;
        self.journal
            .append(&line, false)
            .map_err(|error| self.journal_lost(&error))
    }

    /// Without a journal nothing may be written any more.
    fn journal_lost(&self, error: &Error) -> Fail {
        let cause = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        self.stop(Stopped {
            doing: "writing the journal".to_owned(),
            cause,
            credentials: false,
        });
        Fail::Stopped
    }

    /// Everything that was recorded.
    pub fn into_record(self) -> Record {
        Record {
            results: std::mem::take(&mut *lock(&self.results)),
            checklist: std::mem::take(&mut *lock(&self.checklist)),
            phases: std::mem::take(&mut *lock(&self.phases)),
            stopped: lock(&self.stopped).take(),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

/// The phase in which objects of a kind are written, as people call it.
pub(super) fn phase_of(kind: &str) -> &'static str {
    match kind {
        "notebooks" | "files" | "git-folders" => "notebooks and files",
        "dbfs" => "DBFS files",
        "service-principals" => "service principals",
        "global-init-scripts" => "global init scripts",
        "secret-scopes" => "secret scopes",
        "instance-pools" => "instance pools",
        "cluster-policies" => "cluster policies",
        known => lifeboat_catalog::kind(known).map_or("other objects", |kind| kind.name),
    }
}
