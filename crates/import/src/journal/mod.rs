//! The journal of one pair of workspaces: what this tool made in the target, from which object of the source, and
//! what it was about to do when it stopped (`spec/import.md`, "Journal").
//!
//! JSON lines, only ever appended to. An *intent* stands in the file before the call that it announces is made, a
//! *result* after it. What the lines add up to is an [`Entry`] per object; planning sees only these.
//!
//! Durability: every line is one `write` call, so it survives the death of this process. Lines whose loss could cost
//! a duplicate or a wrong guard after a power cut (opening, state, the intent and result of a create whose target has
//! no unique name) are also synced to the disk before the call goes out; all others are synced when a run ends.

mod file;
mod line;
mod lock;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

pub use file::Journal;
pub use line::{Line, LineKind, Made, Op, VERSION};
pub use lock::Lock;
pub use standing::Standing;

/// Opening for nobody but the caller: a journal names everybody and everything of a workspace.
fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether the target is a warm standby or runs production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Everything is passive; imports may write.
    #[default]
    Standby,
    /// The target runs production; imports are refused.
    Active,
}

/// Entries of a map file: by section, left side and right side.
pub type MapEntries = BTreeMap<String, BTreeMap<String, String>>;

/// An intent without a result: its call may have taken effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What was about to be done.
    pub op: Op,
    /// Digest of what was about to be written.
    pub digest: Option<String>,
    /// Idempotency token of the create.
    pub token: Option<String>,
}

/// A call that the service refused for certain: nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Digest of what would have been written.
    pub digest: Option<String>,
    /// What the service said.
    pub error: String,
}

/// What the journal knows of one object of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Its name or path, as last seen.
    pub name: String,
    /// Its id (or path) in the target.
    pub target: Option<String>,
    /// How it came to be linked.
    pub made: Option<Made>,
    /// Digest of the content last written completely.
    pub digest: Option<String>,
    /// Digest of the access control list last written.
    pub access: Option<String>,
    /// The target's `modified_at` when the content was last known to be equal, in milliseconds.
    pub modified_at: Option<i64>,
    /// Digest of the target's form as it was last read back.
    pub seen: Option<String>,
    /// Digest of the form that the archived object has in the words of the source, where a map file translated it and it
    /// was read back.
    pub archived: Option<String>,
    /// True when a comparison found it and its access control equal, and nothing of it was written since.
    pub proved: bool,
    /// True once a new cluster was seen terminated and got its archived specification.
    pub configured: bool,
    /// True once pinned.
    pub pinned: bool,
    /// The last intent without a result. An activation is none of these: it changes nothing of what was written.
    pub pending: Option<Pending>,
    /// The intent before it, when that one has no result either: the last one may turn out to have written nothing.
    pub earlier: Option<Pending>,
    /// Creates, updates and changes of the owner that were refused for certain, and access control that the target has
    /// switched off; nothing of the kind was done since.
    pub refused: BTreeMap<Op, Refused>,
    /// Who was left out when its access control was written last, because the service does not know them.
    pub ungranted: Option<String>,
    /// True when an import of a part of an archive made it or wrote it last.
    pub part: bool,
    /// Its path in the source, where a map file or another folder made its id another one.
    pub origin: Option<String>,
    /// True when it was restored below another folder: it has no place of its own in the source.
    pub elsewhere: bool,
    /// True while it has, or may have, the state that it had in the source.
    pub activated: bool,
    /// The same before the last activation was announced: what holds when it certainly failed.
    activated_before: bool,
    /// True once it was activated or made passive again, until an import tells its standing: who switched it last is
    /// not the import.
    pub switched: bool,
}

impl Entry {
    /// True when this tool made the object, so that it may take things away from it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.made == Some(Made::Created)
    }

    /// True when this tool made the object of the target that has this id. People and groups are found by name, and who
    /// has the name now may be another one than the one that was made.
    #[must_use]
    pub fn is_ours_as(&self, target: &str) -> bool {
        self.is_ours() && self.target.as_deref() == Some(target)
    }

    /// True when the object is known to exist in the target as this one. Its id may still be unknown: not every create
    /// names it in its reply.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.made.is_some()
    }

    /// True when an earlier run made the object, or may have, and did not get to its access control.
    #[must_use]
    pub fn is_without_access(&self) -> bool {
        let said = self.access.is_some() || self.refused.contains_key(&Op::Access);
        !said && (self.is_ours() || self.is_create_pending())
    }

    /// True when another object stands where the one that was written stood: what was granted went with that one.
    #[must_use]
    pub fn is_replaced(&self, target: Option<&str>) -> bool {
        self.target.is_some() && target.is_some() && self.target.as_deref() != target
    }

    /// What is in doubt counts as active: it must be deactivated before the target is a standby again.
    fn switch(&mut self, op: Op, line: &Line) {
        self.switched = true;
        match (op, line.ok, line.certain) {
            (Op::Activate, Some(true), _) => self.activated = true,
            (Op::Activate, _, Some(true)) => self.activated = self.activated_before,
            (Op::Deactivate, Some(true), _) => self.activated = false,
            _ => {}
        }
    }

    /// Notes that the service refused the pending call for certain.
    fn was_refused(&mut self, op: Op, line: &Line) {
        let digest = self.pending.take().and_then(|pending| pending.digest);
        let lasts = match op {
            Op::Create | Op::Update | Op::Own => true,
            Op::Access => line.off == Some(true),
            _ => false,
        };
        if lasts && line.passing != Some(true) {
            let error = line.error.clone().unwrap_or_default();
            self.refused.insert(op, Refused { digest, error });
        }
    }

    /// Forgets what was refused before it was done.
    fn was_done(&mut self, op: Op) {
        match op {
            Op::Create | Op::Adopt => self.refused.clear(),
            Op::Update => self
                .refused
                .retain(|op, _| !matches!(op, Op::Create | Op::Update)),
            done => {
                self.refused.remove(&done);
            }
        }
    }

    /// What the service said when it refused, as the last call of its kind, to do this with the same content.
    #[must_use]
    pub fn refusal(&self, op: Op, digest: Option<&str>) -> Option<&str> {
        let refused = self.refused.get(&op)?;
        (refused.digest.as_deref() == digest).then_some(refused.error.as_str())
    }

    /// True when a create may have happened whose answer was lost.
    #[must_use]
    pub fn is_create_pending(&self) -> bool {
        !self.is_linked()
            && self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.op == Op::Create)
    }

    /// True when an update that was to write this may have happened: its answer was lost.
    #[must_use]
    pub fn is_update_pending(&self, digest: Option<&str>) -> bool {
        digest.is_some()
            && self.pending.as_ref().is_some_and(|pending| {
                pending.op == Op::Update && pending.digest.as_deref() == digest
            })
    }
}

/// What a journal adds up to: entries by kind and source id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Knowledge {
    entries: BTreeMap<String, BTreeMap<String, Entry>>,
    ledger: BTreeMap<String, BTreeMap<String, (String, Standing)>>,
    /// Standby or active.
    pub state: State,
    announced: bool,
    /// True once the journal was opened for writing by an import: its target was confirmed then.
    pub confirmed: bool,
    /// The entries of the map of the last import that named one.
    pub map: MapEntries,
    run: LastRun,
}

/// Kinds of which a run had every write refused, and none taken: then the caller may not write at all.
pub(crate) const READ_ONLY_AFTER: usize = 3;

/// Whether the last run could write at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct LastRun {
    /// A write was taken.
    wrote: bool,
    /// What was refused in it and not before: kind, source id, operation.
    refused: Vec<(String, String, Op)>,
}

impl LastRun {
    fn may_not_write(&self) -> bool {
        let kinds: BTreeSet<&str> = self.refused.iter().map(|(kind, ..)| &**kind).collect();
        !self.wrote && kinds.len() >= READ_ONLY_AFTER
    }
}

impl Knowledge {
    /// The entry of an object of the source.
    #[must_use]
    pub fn entry(&self, kind: &str, id: &str) -> Option<&Entry> {
        self.entries.get(kind)?.get(id)
    }

    /// The id in the target that an object of the source is linked to.
    #[must_use]
    pub fn target(&self, kind: &str, id: &str) -> Option<&str> {
        self.entry(kind, id)?.target.as_deref()
    }

    /// All entries of a kind, by source id.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .get(kind)
            .into_iter()
            .flatten()
            .map(|(id, entry)| (id.as_str(), entry))
    }

    /// The standing of an object of the source.
    #[must_use]
    pub fn standing(&self, kind: &str, id: &str) -> Option<&Standing> {
        self.ledger.get(kind)?.get(id).map(|(_, standing)| standing)
    }

    /// The standings of a kind, by source id, with the name of each object.
    pub fn ledger(&self, kind: &str) -> impl Iterator<Item = (&str, &str, &Standing)> {
        self.ledger
            .get(kind)
            .into_iter()
            .flatten()
            .map(|(id, (name, standing))| (id.as_str(), name.as_str(), standing))
    }

    /// True when no import ever recorded a standing.
    #[must_use]
    pub fn has_no_ledger(&self) -> bool {
        self.ledger.is_empty()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    /// True when the journal never announced a write, but for those below another folder: they say nothing of who made
    /// what stands in its own place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.announced
    }

    fn entry_mut(&mut self, kind: &str, id: &str) -> &mut Entry {
        self.entries
            .entry(kind.to_owned())
            .or_default()
            .entry(id.to_owned())
            .or_default()
    }

    /// What a caller who may write nothing was refused says nothing of the objects: whoever comes next asks again.
    pub(crate) fn forget_refusals_of_the_caller(&mut self) {
        if !self.run.may_not_write() {
            return;
        }
        for (kind, id, op) in std::mem::take(&mut self.run.refused) {
            if let Some(entry) = self.entries.get_mut(&kind).and_then(|of| of.get_mut(&id)) {
                entry.refused.remove(&op);
            }
        }
    }

    /// Adds one line to what is known.
    pub fn apply(&mut self, line: &Line) {
        match line.line {
            LineKind::Open => {
                self.forget_refusals_of_the_caller();
                self.run = LastRun::default();
                self.confirmed = true;
                if let Some(map) = &line.map {
                    self.map.clone_from(map);
                }
            }
            LineKind::State => self.state = line.state.unwrap_or_default(),
            LineKind::Intent => self.intent(line),
            LineKind::Result => self.result(line),
            LineKind::Standing => {
                if let (Some((kind, id)), Some(standing)) = (line.object(), &line.standing) {
                    let name = line.name.clone().unwrap_or_default();
                    let entry = self.entries.get_mut(kind).and_then(|of| of.get_mut(id));
                    if let Some(entry) = entry {
                        // With a bar it may be that somebody changed it, and the import did not touch it.
                        entry.switched &= !standing.bars.is_empty();
                    }
                    let kind = self.ledger.entry(kind.to_owned()).or_default();
                    kind.insert(id.to_owned(), (name, standing.clone()));
                }
            }
            LineKind::Seen => {
                if let Some((kind, id)) = line.object() {
                    let entry = self.entry_mut(kind, id);
                    entry.proved |= line.proved == Some(true);
                    if line.archived.is_some() {
                        entry.archived.clone_from(&line.archived);
                    }
                    if line.modified_at.is_some() {
                        entry.modified_at = line.modified_at;
                    }
                    if line.digest.is_some() {
                        entry.seen.clone_from(&line.digest);
                        // It was seen what an update without an answer did: what it was to write, or something else.
                        if entry.is_update_pending(line.digest.as_deref()) {
                            entry.digest.clone_from(&line.digest);
                        }
                        entry.pending.take_if(|pending| pending.op == Op::Update);
                        entry.earlier.take_if(|pending| pending.op == Op::Update);
                    }
                    if line.target.is_some() {
                        entry.target.clone_from(&line.target);
                    }
                }
            }
        }
    }

    fn intent(&mut self, line: &Line) {
        let (Some((kind, id)), Some(op)) = (line.object(), line.op) else {
            return;
        };
        self.announced |= line.elsewhere != Some(true);
        let entry = self.entry_mut(kind, id);
        if let Some(name) = &line.name {
            entry.name.clone_from(name);
        }
        match op {
            Op::Activate => {
                entry.activated_before = entry.activated;
                entry.activated = true;
                entry.switched = true;
                return;
            }
            Op::Deactivate => {
                entry.switched = true;
                return;
            }
            _ => {}
        }
        entry.proved = false;
        let pending = Pending {
            op,
            digest: line.digest.clone(),
            token: line.token.clone(),
        };
        if let Some(open) = entry.pending.replace(pending) {
            entry.earlier = Some(open);
        }
    }

    fn refused(&mut self, kind: &str, id: &str, op: Op, line: &Line) {
        let entry = self.entry_mut(kind, id);
        let known = entry.refused.contains_key(&op);
        entry.was_refused(op, line);
        entry.pending = entry.earlier.take();
        if !known {
            self.run.refused.push((kind.to_owned(), id.to_owned(), op));
        }
    }

    fn result(&mut self, line: &Line) {
        let (Some((kind, id)), Some(op)) = (line.object(), line.op) else {
            return;
        };
        self.announced |= line.elsewhere != Some(true);
        self.run.wrote |= line.ok == Some(true) && op != Op::Adopt;
        if (op, line.ok) == (Op::Delete, Some(true)) {
            if let Some(entries) = self.entries.get_mut(kind) {
                entries.remove(id);
            }
            return;
        }
        let entry = self.entry_mut(kind, id);
        if matches!(op, Op::Activate | Op::Deactivate) {
            entry.switch(op, line);
            return;
        }
        if line.ok != Some(true) {
            // A certain failure wrote nothing. An uncertain one may have: its intent stays open.
            if line.certain == Some(true) {
                self.refused(kind, id, op, line);
            }
            return;
        }
        entry.earlier = None;
        entry.proved = false;
        entry.was_done(op);
        let digest = entry
            .pending
            .take()
            .and_then(|pending| pending.digest)
            .or_else(|| line.digest.clone());
        if let Some(name) = &line.name {
            entry.name.clone_from(name);
        }
        match op {
            Op::Create | Op::Adopt => {
                entry.target.clone_from(&line.target);
                entry.made = Some(line.made.unwrap_or(if op == Op::Create {
                    Made::Created
                } else {
                    Made::Adopted
                }));
                entry.digest = digest;
                entry.access = None;
                entry.ungranted = None;
                entry.modified_at = None;
                entry.seen.clone_from(&line.seen);
                entry.archived = None;
                entry.part = line.part == Some(true);
                entry.elsewhere = line.elsewhere == Some(true);
                entry.origin.clone_from(&line.origin);
                entry.activated = false;
                entry.switched = false;
                entry.configured = false;
                entry.pinned = false;
            }
            Op::Update => {
                entry.part = line.part == Some(true);
                entry.origin.clone_from(&line.origin);
                entry.digest = digest;
                entry.modified_at = None;
                entry.seen = None;
                entry.archived = None;
                if is_identity(kind) && entry.is_replaced(line.target.as_deref()) {
                    // Somebody else has the name that was looked for: not of this tool's making.
                    entry.made = Some(Made::Found);
                }
                entry.target = line.target.clone().or_else(|| entry.target.take());
            }
            Op::Configure => {
                entry.digest = digest;
                entry.seen = None;
                entry.configured = true;
            }
            Op::Access => {
                entry.access = digest;
                entry.ungranted.clone_from(&line.error);
            }
            Op::Pin => entry.pinned = true,
            Op::Unpin => entry.pinned = false,
            Op::Delete | Op::Terminate | Op::Own | Op::Activate | Op::Deactivate => {}
        }
    }
}

/// Kinds that are found by name at each run: the object of an entry may become another one.
fn is_identity(kind: &str) -> bool {
    matches!(kind, "users" | "groups" | "service-principals")
}

#[cfg(test)]
mod tests;
