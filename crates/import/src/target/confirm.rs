//! What a listing should show and does not: looked for again, so that one short or stale answer makes nothing absent
//! (`spec/import.md`, "What is absent").

use std::collections::{BTreeSet, HashSet};
use std::future::Future;

use lifeboat_catalog::Kind;
use lifeboat_databricks::Error;
use serde_json::Value;

use super::read::{Reader, concurrently, fatal, is_identity, list, read_object};
use super::{TargetObject, TargetState, Unclear};
use crate::compare::AGAIN;

/// Pauses before the looks at an id that no listing shows, in seconds.
const LOOKS: [f64; 2] = [0.0, 1.0];

/// Objects that a listing should show, from which on one that lacks more than half of them is not believed.
const FEW: usize = 5;

/// A listing, and what is known of objects that it does not show.
#[derive(Default)]
pub(super) struct Shown {
    /// Its elements, less those that belong to others.
    pub listed: Vec<Value>,
    /// Objects that only their own read shows, whole.
    pub read: Vec<TargetObject>,
    /// Objects of which nobody can say whether they are there.
    pub unclear: Vec<Unclear>,
}

/// What a listing should show.
#[derive(Default)]
struct Expected {
    /// Ids of the target, each with the name under which it may stand there as another object.
    ids: Vec<(String, Option<String>)>,
    /// Natural keys of what an earlier run began to make: one of them that belongs to nobody else.
    begun: BTreeSet<String>,
    /// Natural keys of what is built in and has no link.
    builtin: BTreeSet<String>,
    /// Ids of the target that belong to some object of the source.
    taken: HashSet<String>,
}

/// What it lacks.
#[derive(Default)]
struct Lacking {
    ids: Vec<String>,
    names: bool,
}

impl Reader<'_> {
    /// The listing of a kind. What the archive needs and the listing does not show is looked for before it counts as
    /// absent: an id by reading it, a name by listing again.
    pub(super) async fn shown(&self, kind: &Kind, state: &TargetState) -> Result<Shown, Error> {
        let mut listed = list_own(self.client, kind).await?;
        let expected = self.expected(kind, state);
        let mut lacking = expected.lacking(kind, &listed);
        if expected.ids.len() >= FEW && lacking.ids.len() * 2 > expected.ids.len() {
            listed = list_own(self.client, kind).await?;
            lacking = expected.lacking(kind, &listed);
        }
        for pause in AGAIN {
            if !lacking.names && (kind.read.is_some() || lacking.ids.is_empty()) {
                break;
            }
            self.pause(pause).await;
            listed = list_own(self.client, kind).await?;
            lacking = expected.lacking(kind, &listed);
        }
        let mut shown = Shown {
            listed,
            ..Shown::default()
        };
        if kind.read.is_some() {
            self.look_at(kind, lacking.ids, &mut shown).await?;
        }
        Ok(shown)
    }

    /// Reads ids that the listing does not show: what two looks do not find is gone.
    async fn look_at(
        &self,
        kind: &Kind,
        mut ids: Vec<String>,
        shown: &mut Shown,
    ) -> Result<(), Error> {
        for pause in LOOKS {
            if ids.is_empty() {
                break;
            }
            self.pause(pause).await;
            let looked = concurrently(ids, self.concurrency, |id| async {
                let read = read_object(self.client, kind, &id).await;
                (id, read)
            });
            ids = Vec::new();
            for (id, read) in looked.await {
                match read {
                    Ok(Some(body)) if (kind.include)(&body).is_ok() => {
                        shown.read.push(TargetObject { id, body });
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => ids.push(id),
                    Err(error) if fatal(&error) => return Err(error),
                    Err(error) => {
                        let why = format!("the listing does not show it, and reading it: {error}");
                        shown.unclear.push(Unclear::new(id, None, why));
                    }
                }
            }
        }
        let only_listed = kind.list.is_some_and(|list| !list.only_listed.is_empty());
        if only_listed && !shown.read.is_empty() {
            let mut again = list_own(self.client, kind).await?;
            let found: HashSet<String> = shown.read.iter().map(|read| read.id.clone()).collect();
            again.retain(|body| kind.id_of(body).is_some_and(|id| found.contains(&id)));
            let listed: HashSet<String> =
                again.iter().filter_map(|body| kind.id_of(body)).collect();
            shown.listed.append(&mut again);
            for read in std::mem::take(&mut shown.read) {
                if !listed.contains(&read.id) {
                    let why = "its own read shows it, and the listing, which tells more, does not";
                    let key = kind.key_of(&read.body);
                    let unclear = Unclear::new(read.id, key, why.to_owned());
                    shown.unclear.push(unclear);
                }
            }
        }
        Ok(())
    }

    /// An object that a listing shows is there: its own read is tried again when it says otherwise.
    pub(super) async fn insist<F>(&self, read: impl Fn() -> F) -> Result<Option<Value>, Error>
    where
        F: Future<Output = Result<Option<Value>, Error>>,
    {
        for pause in AGAIN {
            if let Some(body) = read().await? {
                return Ok(Some(body));
            }
            self.pause(pause).await;
        }
        read().await
    }

    async fn pause(&self, seconds: f64) {
        tokio::time::sleep(self.second.mul_f64(seconds)).await;
    }

    /// What the listing of a kind should show: what the objects of the archive are linked to, in the source itself their
    /// own ids, what was begun, and what is built in. From a caller who is no administrator the service hides objects, so
    /// the plan takes nothing linked for gone.
    fn expected(&self, kind: &Kind, state: &TargetState) -> Expected {
        let mut expected = Expected::default();
        // A cluster without libraries stands in no listing of libraries.
        if kind.name == "libraries" {
            return expected;
        }
        for (_, entry) in self.journal.of_kind(kind.name) {
            expected.taken.extend(entry.target.clone());
            if self.all_linked && state.is_admin && entry.is_linked() {
                let linked = entry.target.clone().map(|target| (target, None));
                expected.ids.extend(linked);
            }
        }
        let into_source = self.archive.workspace_id == state.workspace_id;
        // Who is found by name needs no id.
        let by_name = is_identity(kind.name) || kind.name == "secret-scopes";
        for record in self.archive.of_kind(kind.name) {
            let entry = self.journal.entry(kind.name, &record.id);
            let key = kind.key_of(&record.body);
            let other = key.clone().filter(|_| by_name);
            let linked = entry.and_then(|entry| entry.target.clone());
            let unlinked = linked.is_none();
            match linked {
                Some(target) if state.is_admin => expected.ids.push((target, other)),
                Some(_) => {}
                None if into_source => expected.ids.push((record.id.clone(), other)),
                None => {}
            }
            if unlinked && (kind.builtin)(&record.body) {
                expected.builtin.extend(key);
            } else if let Some(entry) = entry.filter(|entry| entry.is_create_pending()) {
                // Under the name with which it was begun: the source may have renamed it since.
                let renamed = kind.label_of(&record.body).as_deref() != Some(&entry.name);
                expected.begun.extend(if renamed {
                    Some(kind.key_of_name(entry.name.clone()))
                } else {
                    key
                });
            }
        }
        expected
    }
}

impl Expected {
    fn lacking(&self, kind: &Kind, listed: &[Value]) -> Lacking {
        let (mut ids, mut keys, mut free) = (HashSet::new(), HashSet::new(), HashSet::new());
        for body in listed {
            let key = kind.key_of(body);
            if let Some(id) = kind.id_of(body) {
                if !self.taken.contains(&id) {
                    free.extend(key.clone());
                }
                ids.insert(id);
            }
            keys.extend(key);
        }
        let shown = |(id, key): &&(String, Option<String>)| {
            ids.contains(id) || key.as_ref().is_some_and(|key| keys.contains(key))
        };
        let lacking = self.ids.iter().filter(|one| !shown(one));
        Lacking {
            ids: lacking.map(|(id, _)| id.clone()).collect(),
            names: self.begun.iter().any(|key| !free.contains(key))
                || self.builtin.iter().any(|key| !keys.contains(key)),
        }
    }
}

/// A listing without what belongs to another service, or is gone.
async fn list_own(client: &lifeboat_databricks::Client, kind: &Kind) -> Result<Vec<Value>, Error> {
    let mut listed = list(client, kind).await?;
    listed.retain(|body| (kind.include)(body).is_ok());
    Ok(listed)
}
