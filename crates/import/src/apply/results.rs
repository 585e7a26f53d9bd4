//! What came of each object, told to the observer and to everything that builds on it.

use super::run::{Done, Fail, Run, lock, phase_of};
use crate::events::Event;
use crate::plan::{Action, What};
use crate::report::{Fate, ObjectResult, Todo};
use crate::resolve::Link;

impl Run<'_> {
    /// Records what came of an object, and tells everybody who waits for it.
    pub fn finish(&self, index: usize, action: &Action, outcome: Result<Done, Fail>) {
        let mut result = blank(action);
        match outcome {
            Ok(done) => {
                result.fate = match action.what {
                    What::Create => Fate::Created,
                    What::Update => Fate::Updated,
                    What::Adopt => Fate::Adopted,
                    What::Unchanged => Fate::Unchanged,
                    What::Skip => Fate::Skipped,
                    What::Blocked => Fate::Blocked,
                    What::Delete => Fate::Deleted,
                };
                result.target = done.target.or_else(|| action.target.clone());
                add(&mut result.notes, done.notes);
                add(&mut result.remarks, done.remarks);
            }
            Err(fail) => {
                result.fate = fail.fate();
                result.reason = Some(fail.text());
            }
        }
        self.record_result(index, result);
        if action.has_work() {
            let phase = phase_of(&action.kind);
            let done = {
                let mut progress = lock(&self.progress);
                let done = progress.entry(phase).or_default();
                *done += 1;
                *done
            };
            self.observer.event(Event::Progress { phase, done });
        }
    }

    /// Records the result of an action that has nothing to do.
    pub fn settle(&self, index: usize, action: &Action) {
        self.finish(index, action, Ok(Done::default()));
    }

    /// Records what nobody got to.
    pub fn settle_rest(&self, index: usize, action: &Action) {
        if !lock(&self.results).contains_key(&index) {
            let fail = match self.check() {
                Err(fail) => fail,
                Ok(()) if !action.has_work() => return self.settle(index, action),
                Ok(()) => Fail::Other("not attempted".to_owned()),
            };
            self.finish(index, action, Err(fail));
        }
    }

    fn record_result(&self, index: usize, result: ObjectResult) {
        self.observer.event(Event::Result(&result));
        if let Some(kind) = lifeboat_catalog::kind(&result.kind) {
            self.relink(kind.name, &result);
        }
        lock(&self.results).insert(index, result);
        self.waiting.tell(index);
    }

    /// Why none of these positions of the plan came out well; `None` when one did, or when there are none.
    pub fn all_failed(&self, positions: &[usize]) -> Option<String> {
        let results = lock(&self.results);
        let mut why = None;
        for position in positions {
            let result = results.get(position)?;
            if !matches!(result.fate, Fate::Blocked | Fate::Failed) {
                return None;
            }
            why = Some(result.reason.clone().unwrap_or_default());
        }
        why
    }

    /// Later objects build on this one: on its id, or on the fact that it is not there.
    fn relink(&self, kind: &'static str, result: &ObjectResult) {
        if matches!(
            kind,
            "directories" | "notebooks" | "files" | "dbfs" | "libraries" | "workspace-objects"
        ) {
            return;
        }
        let mut resolver = self.resolver();
        let link = match (&result.target, result.fate) {
            (Some(id), Fate::Created | Fate::Updated | Fate::Unchanged | Fate::Adopted) => {
                Link::Id(id.clone())
            }
            (_, Fate::Blocked | Fate::Failed) => {
                if matches!(resolver.linked(kind, &result.id), Some(Link::Id(_))) {
                    return;
                }
                if matches!(kind, "users" | "groups" | "service-principals") {
                    resolver.remove_principal(kind, &result.name);
                }
                Link::Absent(format!(
                    "it was not restored: {}",
                    result.reason.as_deref().unwrap_or("unknown")
                ))
            }
            _ => return,
        };
        resolver.link(kind, &result.id, link);
    }

    /// Adds to the checklist.
    pub fn todo(&self, kind: &str, name: &str, what: &str, command: String) {
        lock(&self.checklist).push(Todo {
            kind: kind.to_owned(),
            name: name.to_owned(),
            what: what.to_owned(),
            command,
        });
    }
}

fn blank(action: &Action) -> ObjectResult {
    ObjectResult {
        kind: action.kind.clone(),
        id: action.id.clone(),
        name: action.name.clone(),
        target: action.target.clone(),
        fate: Fate::Skipped,
        reason: action.reason.clone(),
        removed: action.removed,
        notes: action.notes.clone(),
        remarks: action.remarks.clone(),
        compared: None,
    }
}

fn add(list: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !list.contains(&text) {
            list.push(text);
        }
    }
}
