//! One run: what every part of it shares. The journaled calls themselves are in [`crate::calls`].

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lifeboat_archive::Archive;
use lifeboat_catalog::Kind;
use lifeboat_catalog::acl::Principal;
use lifeboat_catalog::records::ObjectRecord;
use lifeboat_databricks::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::readback::{ReadBack, Written};
use super::waiting::Waiting;

use crate::archived::ArchiveState;
use crate::calls::Calls;
use crate::events::{Event, Observer};
use crate::journal::{Journal, LineKind, Made, Op};
use crate::options::Options;
use crate::plan::{Plan, What};
use crate::report::{ObjectResult, Todo};
use crate::resolve::Resolver;
use crate::target::TargetState;

pub(crate) use crate::calls::{Fail, Step, Stopped, UnderWay};

/// Seconds in which the whole service gets to know a new user or group (fact sheet, section 12).
const SETTLED: u32 = 60;
/// First and longest pause between two calls that name him, in seconds.
const PAUSES: (f64, f64) = (0.5, 8.0);

/// Contents held in memory at one time, in MiB.
pub(super) const BUDGET_MIB: u32 = 128;

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
    /// What was read back already.
    pub read_back: ReadBack,
}

/// One run.
pub(crate) struct Run<'a> {
    pub archive: &'a Archive,
    pub state: &'a ArchiveState,
    pub target: &'a TargetState,
    pub client: &'a Client,
    pub journal: &'a Journal,
    calls: Calls<'a>,
    pub options: &'a Options,
    pub observer: &'a dyn Observer,
    pub caller: Principal,
    /// One `mkdirs` at a time (fact sheet, section 4.1). Paths that the call for another one has made with it.
    pub mkdirs: tokio::sync::Mutex<HashSet<String>>,
    /// Contents of the tree that are being written.
    pub lanes: Semaphore,
    /// Contents of the tree whose access control is being written.
    pub grants: Semaphore,
    /// Mebibytes of contents in memory.
    pub budget: Semaphore,
    resolver: Mutex<Resolver>,
    pub(super) results: Mutex<HashMap<usize, ObjectResult>>,
    /// What was written, for those who read it back; `None` when nobody does.
    written: Mutex<Option<UnboundedSender<Written>>>,
    read_back: Mutex<ReadBack>,
    pub(super) waiting: Waiting,
    pub(super) checklist: Mutex<Vec<Todo>>,
    /// Objects done per phase.
    pub(super) progress: Mutex<HashMap<&'static str, u64>>,
    phases: Mutex<Vec<(String, f64)>>,
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
        plan: &Plan,
        resolver: Resolver,
    ) -> Self {
        Self {
            archive,
            state,
            target,
            client,
            journal,
            calls: Calls::new(journal, &options.stop),
            options,
            observer,
            caller: target.caller_principal(),
            mkdirs: tokio::sync::Mutex::default(),
            // Less than all: directories, on which contents wait, find a free call at any time, and their access control
            // stands behind few others.
            lanes: Semaphore::new((options.concurrency * 3 / 4).max(1)),
            grants: Semaphore::new((options.concurrency / 2).max(1)),
            budget: Semaphore::new(BUDGET_MIB as usize),
            resolver: Mutex::new(resolver),
            results: Mutex::new(HashMap::new()),
            written: Mutex::new(None),
            read_back: Mutex::default(),
            waiting: Waiting::new(plan),
            checklist: Mutex::new(Vec::new()),
            progress: Mutex::new(HashMap::new()),
            phases: Mutex::new(Vec::new()),
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

    /// From now on [`Run::tell_written`] reaches somebody.
    pub(super) fn begin_reading_back(&self) -> UnboundedReceiver<Written> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *lock(&self.written) = Some(sender);
        receiver
    }

    /// Nothing more will be written.
    pub(super) fn end_reading_back(&self) {
        *lock(&self.written) = None;
    }

    /// Says that something can be read back.
    pub(super) fn tell_written(&self, written: Written) {
        if let Some(sender) = lock(&self.written).as_ref() {
            // Whoever reads does so to the end; should he not, the comparison reads it.
            let _ = sender.send(written);
        }
    }

    /// Says that nothing of a kind will be written any more, if anything was.
    pub(super) fn tell_kind(&self, plan: &Plan, kind: &'static str) {
        let mut actions = plan.actions.iter();
        if actions.any(|action| action.kind == kind && action.has_work() && !action.removed) {
            self.tell_written(Written::Kind(kind));
        }
    }

    /// Keeps what was read back.
    pub(super) fn keep(&self, mut read: ReadBack, plan: &Plan) {
        if plan
            .actions
            .iter()
            .any(|action| action.what == What::Delete)
        {
            // Read before the deletions: what they may have taken along shows in new listings alone.
            read.forget_listings();
        }
        *lock(&self.read_back) = read;
    }

    /// Waits until what an archived body refers to is there, or certainly is not.
    pub async fn references_of(&self, kind: &Kind, body: &Value) {
        let positions = self.waiting.referred(kind, body);
        self.waiting.for_all(&positions).await;
    }

    /// Waits for those whom the access control of an object names; `id` as the archive's tables know it.
    pub async fn grantees_of(&self, kind: &str, id: &str) {
        if let Some(archived) = self.state.acl(kind, id) {
            let positions = self.waiting.granted(&archived);
            self.waiting.for_all(&positions).await;
        }
    }

    /// Fails once the run has stopped.
    pub fn check(&self) -> Result<(), Fail> {
        self.calls.check()
    }

    /// Waits until it was asked to stop and nothing that writes is under way.
    pub async fn drained(&self) {
        self.calls.drained().await;
    }

    /// A call that reads.
    pub async fn read<T>(
        &self,
        call: impl Future<Output = Result<T, lifeboat_databricks::Error>>,
    ) -> Result<T, Fail> {
        self.calls.read(call).await
    }

    /// A call that writes: its intent stands in the journal before it is made, its result after it.
    pub async fn write(
        &self,
        step: &Step<'_>,
        call: impl Future<Output = Result<Value, lifeboat_databricks::Error>>,
        target: impl FnOnce(&Value) -> Option<String>,
    ) -> Result<Value, Fail> {
        self.calls.write(step, call, target).await
    }

    /// While it is held a run that stops waits, as for a call that writes.
    pub fn under_way(&self) -> UnderWay<'_> {
        self.calls.enter()
    }

    /// Makes a call that names people again while the service does not know one whom this run has just made.
    pub async fn until_known<'n, C>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
        call: impl Fn() -> C,
    ) -> Result<Value, Fail>
    where
        C: Future<Output = Result<Value, Fail>>,
    {
        let second = self.options.second;
        let (mut pause, longest) = (second.mul_f64(PAUSES.0), second.mul_f64(PAUSES.1));
        loop {
            let outcome = call().await;
            let is_new = |error: &lifeboat_databricks::Error| {
                let mut unknown = names.clone().filter(|name| does_not_know(error, name));
                unknown.any(|name| self.waiting.is_new(name, second * SETTLED))
            };
            match &outcome {
                Err(fail) if fail.error().is_some_and(is_new) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
                _ => return outcome,
            }
        }
    }

    /// The same for one call that writes several objects and names none of their ids.
    pub async fn write_all(
        &self,
        steps: &[Step<'_>],
        call: impl Future<Output = Result<Value, lifeboat_databricks::Error>>,
    ) -> Result<Value, Fail> {
        self.calls.write_all(steps, call).await
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
            .map_err(|error| self.calls.journal_lost(&error))
    }

    /// Records that an object was found to be deleted.
    pub fn forget(&self, kind: &str, id: &str, name: &str) -> Result<(), Fail> {
        let mut line = self.journal.line(LineKind::Result);
        line.op = Some(Op::Delete);
        line.kind = Some(kind.to_owned());
        line.id = Some(id.to_owned());
        line.name = Some(name.to_owned());
        line.ok = Some(true);
        self.journal
            .append(&line, false)
            .map_err(|error| self.calls.journal_lost(&error))
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
            .map_err(|error| self.calls.journal_lost(&error))
    }

    /// Everything that was recorded.
    pub fn into_record(self) -> Record {
        Record {
            results: std::mem::take(&mut *lock(&self.results)),
            checklist: std::mem::take(&mut *lock(&self.checklist)),
            phases: std::mem::take(&mut *lock(&self.phases)),
            stopped: self.calls.stopped(),
            writes: self.calls.writes(),
            read_back: std::mem::take(&mut *lock(&self.read_back)),
        }
    }
}

/// Whether the service refused a call because it does not know somebody of this name: it names him.
pub(super) fn does_not_know(error: &lifeboat_databricks::Error, name: &str) -> bool {
    matches!(error.status(), Some(400 | 404)) && names(&error.message(), name)
}

/// Whether a text names somebody: not as a part of a longer word. Of several names that fit, the longest is meant.
fn names(text: &str, name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '+');
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            // A full stop may end the sentence, or stand in the middle of an address.
            let mut rest = after.chars();
            let goes_on = match rest.next() {
                Some('.') => rest.next().is_some_and(inner),
                next => next.is_some_and(inner),
            };
            !before.ends_with(inner) && !before.ends_with('.') && !goes_on
        })
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
