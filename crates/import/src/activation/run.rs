//! Doing it: guards, the state in the journal, the calls, the state again.

use std::path::PathBuf;

use lifeboat_catalog::Kind;
use lifeboat_databricks::{Body, Client, Safety};
use serde_json::{Map, Value};

use super::change::{call, changes, is_active, wanted};
use super::find::{Found, find};
use super::{Chosen, Direction, Move, SwitchOptions, Switched, Turn, kinds, plan};
use crate::archived::ArchiveState;
use crate::calls::{Calls, Fail, Step, Stopped};
use crate::error::{Error, Rule};
use crate::events::{Event, Observer};
use crate::guards;
use crate::journal::{Journal, Knowledge, LineKind, Lock, Op, State};
use crate::options::Options;
use crate::report::Verdict;
use crate::target::{Reader, TargetState, concurrently};

/// What is known before an activation: enough to ask the operator.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SwitchContact {
    /// Workspace id of the source.
    pub source: String,
    /// Workspace id of the target.
    pub target: String,
    /// Host of the target.
    pub host: String,
    /// The journal.
    pub journal: PathBuf,
    /// Its state.
    pub state: State,
}

/// Asks the target who it is and looks for its journal.
///
/// # Errors
/// [`Error::Service`]; no journal of this target, or several.
pub async fn contact(client: &Client, options: &SwitchOptions) -> Result<SwitchContact, Error> {
    let (_, target) = guards::identify(client, &named(options)).await?;
    let Found { path, source } = find(options, &target)?;
    let state = Journal::read(&path, &source, &target)?.state;
    Ok(SwitchContact {
        source,
        target,
        host: client.host().to_owned(),
        journal: path,
        state,
    })
}

fn named(options: &SwitchOptions) -> Options {
    Options {
        target: options.target.clone(),
        ..Options::default()
    }
}

/// Activates or deactivates the chosen objects of the target's ledger.
///
/// # Errors
/// The guards, before anything is written; [`Error::Switch`] when the credentials or the network are lost.
pub async fn switch(
    direction: Direction,
    client: &Client,
    options: &SwitchOptions,
    observer: &dyn Observer,
) -> Result<Switched, Error> {
    let chosen = options.choice.compile()?;
    let (identity, target_id) = guards::identify(client, &named(options)).await?;
    observer.event(Event::Target {
        workspace_id: &target_id,
        host: client.host(),
        caller: &identity.user_name,
        is_admin: identity.is_admin,
    });
    let Found { path, source } = find(options, &target_id)?;
    let known = Journal::read(&path, &source, &target_id)?;
    may_switch(direction, &known, &source, options)?;
    let lock = match options.dry_run {
        true => None,
        false => Some(Lock::take(&path)?),
    };
    // An import may have written between the first look and the lock.
    let known = Journal::read(&path, &source, &target_id)?;
    observer.event(Event::Phase {
        name: "reading the target",
        total: None,
    });
    let reading = read_target(client, options, &identity, &target_id, &known);
    let target = options.stop.unless(reading).await?;
    let moves = plan(direction, &known, &target, &chosen);
    let mut switched = Switched {
        direction,
        source: source.clone(),
        target: target_id.clone(),
        host: client.host().to_owned(),
        before: known.state,
        after: known.state,
        dry_run: options.dry_run,
        unknown: match direction {
            Direction::Deactivate if source != target_id => unknown(&known, &target),
            _ => Vec::new(),
        },
        warnings: warnings(direction, &identity),
        moves,
        writes: 0,
    };
    let Some(lock) = lock.filter(|_| !switched.moves.is_empty()) else {
        return Ok(switched);
    };
    let journal = Journal::open(&path, lock, &source, &target_id, "")?;
    if direction == Direction::Activate && known.state != State::Active {
        // Before the first write: from now on a nightly import must not pause what runs.
        journal.set_state(State::Active)?;
        switched.after = State::Active;
    }
    let calls = Calls::new(&journal, &options.stop);
    let work = Work {
        direction,
        client,
        journal: &journal,
        calls: &calls,
        known: &known,
        target: &target,
        observer,
    };
    let stopped = work.carry_out(&mut switched, options).await?;
    journal.sync()?;
    match stopped {
        None => Ok(switched),
        Some(stopped) => Err(Error::Switch {
            doing: stopped.doing,
            cause: stopped.cause,
            credentials: stopped.credentials,
            switched: Box::new(switched),
        }),
    }
}

/// The rules that stand before everything.
fn may_switch(
    direction: Direction,
    known: &Knowledge,
    source: &str,
    options: &SwitchOptions,
) -> Result<(), Error> {
    if known.has_no_ledger() {
        return Err(Error::Refused {
            rule: Rule::NoLedger,
            detail: format!(
                "no import from workspace {source} came to its end with a version that keeps a ledger"
            ),
            hint: "run `lifeboat-import apply` with the last archive once".to_owned(),
        });
    }
    if direction == Direction::Activate && !options.source_fenced && !options.dry_run {
        return Err(Error::Refused {
            rule: Rule::NotFenced,
            detail: format!(
                "nobody said that workspace {source} runs nothing any more; with both active every job runs twice"
            ),
            hint: "stop what runs there or cut it off, then add --source-fenced; --dry-run needs no such word".to_owned(),
        });
    }
    Ok(())
}

fn warnings(direction: Direction, identity: &lifeboat_databricks::Identity) -> Vec<String> {
    let mut warnings = Vec::new();
    if !identity.is_admin {
        let verb = match direction {
            Direction::Activate => "activated",
            Direction::Deactivate => "made passive",
        };
        warnings.push(format!(
            "the caller is no workspace administrator: what it may not see looks absent and is not {verb}"
        ));
    }
    warnings
}

async fn read_target(
    client: &Client,
    options: &SwitchOptions,
    identity: &lifeboat_databricks::Identity,
    target: &str,
    known: &Knowledge,
) -> Result<TargetState, Error> {
    let reader = Reader {
        client,
        archive: &ArchiveState::default(),
        journal: known,
        concurrency: options.concurrency.max(1),
        all_linked: true,
        second: options.second,
    };
    let wanted: Vec<&'static Kind> = kinds().collect();
    reader.listed(&wanted, identity, target).await
}

/// What starts or costs in the target and belongs to no object of the ledger.
fn unknown(known: &Knowledge, target: &TargetState) -> Vec<(String, String)> {
    let mut unknown = Vec::new();
    for kind in kinds() {
        let linked: std::collections::HashSet<&str> = known
            .of_kind(kind.name)
            .filter_map(|(_, entry)| entry.target.as_deref())
            .collect();
        for object in target.of_kind(kind.name) {
            if !linked.contains(object.id.as_str()) && is_active(kind, &object.body) {
                let name = kind
                    .label_of(&object.body)
                    .unwrap_or_else(|| object.id.clone());
                unknown.push((kind.name.to_owned(), name));
            }
        }
    }
    unknown
}

/// Whether the whole ledger is passive after these moves. Pins cost nothing and start nothing.
pub(super) fn nothing_left(known: &Knowledge, target: &TargetState, done: &[Move]) -> bool {
    plan(Direction::Deactivate, known, target, &Chosen::default())
        .iter()
        .filter(|one| one.kind != "clusters")
        .filter(|one| matches!(one.turn, Turn::Change | Turn::Blocked))
        .all(|one| {
            let mut same = done
                .iter()
                .filter(|done| (&done.kind, &done.id) == (&one.kind, &one.id));
            same.any(|done| done.turn == Turn::Change && done.read_back == Some(Verdict::Equal))
        })
}

pub(super) struct Work<'a> {
    pub direction: Direction,
    pub client: &'a Client,
    journal: &'a Journal,
    calls: &'a Calls<'a>,
    known: &'a Knowledge,
    target: &'a TargetState,
    pub observer: &'a dyn Observer,
}

impl Work<'_> {
    /// The calls, what they wrote read again, and the state that follows from it. Gives why it ended early.
    async fn carry_out(
        &self,
        switched: &mut Switched,
        options: &SwitchOptions,
    ) -> Result<Option<Stopped>, Error> {
        let moves = std::mem::take(&mut switched.moves);
        switched.moves = self.all(moves, options.concurrency).await;
        switched.writes = self.calls.writes();
        let mut stopped = self.calls.stopped();
        if stopped.is_none() {
            // On the heap: in a debug build the whole of it takes more than a thread's stack has to spare.
            let reading = Box::pin(self.read_back(&mut switched.moves, options));
            if let Err(error) = options.stop.unless(reading).await {
                stopped = Some(Stopped::reading_back(error)?);
            }
        }
        if self.direction == Direction::Deactivate
            && self.known.state == State::Active
            && stopped.is_none()
            && nothing_left(&self.journal.knowledge(), self.target, &switched.moves)
        {
            self.journal.set_state(State::Standby)?;
            switched.after = State::Standby;
        }
        Ok(stopped)
    }

    /// Kind after kind, in the order of the plan; the objects of a kind beside each other.
    async fn all(&self, moves: Vec<Move>, concurrency: usize) -> Vec<Move> {
        let mut done = Vec::with_capacity(moves.len());
        let mut rest = moves.into_iter().peekable();
        while let Some(kind) = rest.peek().map(|one| one.kind.clone()) {
            let mut of_kind = Vec::new();
            while let Some(one) = rest.next_if(|one| one.kind == kind) {
                of_kind.push(one);
            }
            let name = lifeboat_catalog::kind(&kind).map_or("other objects", |kind| kind.name);
            let total = of_kind
                .iter()
                .filter(|one| one.turn == Turn::Change)
                .count();
            if total > 0 {
                self.observer.event(Event::Phase {
                    name,
                    total: Some(total as u64),
                });
            }
            done.extend(concurrently(of_kind, concurrency, |one| self.one(one)).await);
            self.observer.event(Event::Progress {
                phase: name,
                done: total as u64,
            });
        }
        done
    }

    async fn one(&self, mut one: Move) -> Move {
        let outcome = match one.turn {
            Turn::Change => self.change(&one).await,
            Turn::Unchanged | Turn::Missing => self.note(&one),
            _ => Ok(()),
        };
        if let Err(fail) = outcome {
            one.turn = Turn::Failed;
            one.reason = Some(fail.text());
        }
        one
    }

    /// The state that an object of the ledger should have, as `body` is in the target.
    pub fn wanted(&self, kind: &Kind, id: &str, body: &Value) -> Map<String, Value> {
        let entry = self.known.entry(kind.name, id);
        let ours = entry.is_some_and(crate::journal::Entry::is_ours);
        let standing = self.known.standing(kind.name, id);
        let active = standing.map(|standing| standing.active.clone());
        let active = active.unwrap_or_default();
        wanted(kind, body, &active, self.direction, ours)
    }

    async fn change(&self, one: &Move) -> Result<(), Fail> {
        let (Some(kind), Some(id)) = (lifeboat_catalog::kind(&one.kind), &one.target) else {
            return Err(Fail::Other("it has no id in the target".to_owned()));
        };
        let object = self.target.by_id(kind.name, id);
        let object = object.ok_or_else(|| Fail::Other("it is not in the target".to_owned()))?;
        let state = self.wanted(kind, &one.id, &object.body);
        let pointers: Vec<String> = changes(kind, &object.body, &state)
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect();
        let request = call(kind, id, &object.body, &state, &pointers)
            .ok_or_else(|| Fail::Other(format!("{} cannot be changed", kind.name)))?;
        let step = Step::new(self.op(), kind.name, &one.id, &one.name);
        let sent = self.client.send(
            request.method,
            &request.path,
            &[],
            Body::Json(&request.body),
            Safety::Idempotent,
        );
        self.calls.write(&step, sent, |_| None).await.map(|_| ())
    }

    /// Records what is so already, by hand or by a call without an answer, where the journal knows it differently.
    fn note(&self, one: &Move) -> Result<(), Fail> {
        if one.kind == "clusters" {
            return Ok(());
        }
        let entry = self.known.entry(&one.kind, &one.id);
        let activated = entry.is_some_and(|entry| entry.activated);
        let active = match (self.direction, one.turn) {
            (Direction::Activate, Turn::Unchanged) => self.runs(one),
            (Direction::Activate, _) => return Ok(()),
            (Direction::Deactivate, _) => false,
        };
        if activated == active {
            return Ok(());
        }
        self.calls.check()?;
        let op = if active { Op::Activate } else { Op::Deactivate };
        let mut line = self.journal.line(LineKind::Result);
        line.op = Some(op);
        line.kind = Some(one.kind.clone());
        line.id = Some(one.id.clone());
        line.ok = Some(true);
        self.journal
            .append(&line, false)
            .map_err(|error| self.calls.journal_lost(&error))
    }

    fn runs(&self, one: &Move) -> bool {
        let kind = lifeboat_catalog::kind(&one.kind);
        let object = one
            .target
            .as_deref()
            .and_then(|id| self.target.by_id(&one.kind, id));
        match (kind, object) {
            (Some(kind), Some(object)) => is_active(kind, &object.body),
            _ => false,
        }
    }

    fn op(&self) -> Op {
        match self.direction {
            Direction::Activate => Op::Activate,
            Direction::Deactivate => Op::Deactivate,
        }
    }
}
