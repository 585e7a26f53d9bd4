//! Which object of the target is one of the archive: by the journal, by an interrupted create, by natural key and content
//! (`spec/import.md`, "Natural keys").

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Kind, NaturalKey};
use serde_json::Value;

use super::build::Builder;
use super::forms::{is_made_by, same_form};
use crate::journal::Entry;
use crate::target::{TargetObject, Unclear};

/// What was found of an object in the target.
pub(super) enum Match {
    /// The journal (or, in the source itself, the id) links it.
    Linked(TargetObject),
    /// It is linked to an object that is gone from the source, where this one was made under the same name since.
    MadeAgain(TargetObject, Box<Entry>),
    /// An interrupted create made it.
    Recovered(TargetObject),
    /// It has the same natural key, and the content is equal or not.
    SameKey(TargetObject, bool),
    /// Several have the same natural key.
    Ambiguous(usize),
    /// One of the same name that belongs to nobody is equal but for being active.
    Active,
    /// None is equal, and so many of the same name belong to nobody.
    Beside(usize),
    /// An interrupted create may or may not have made one of those with the same name.
    Interrupted,
    /// The one that the journal links, with its id, or one of its name is there as one answer says, and not as another does.
    Unclear(Option<String>, String),
    Nothing,
}

impl Match {
    /// The id in the target of what the journal links, or an interrupted create made.
    pub(super) fn linked(&self) -> Option<String> {
        match self {
            Self::Linked(object) | Self::Recovered(object) => Some(object.id.clone()),
            Self::Unclear(linked, _) => linked.clone(),
            _ => None,
        }
    }
}

/// Whether an object is what the archive's would be once it is activated.
fn is_active_twin(kind: &Kind, wanted: &Value, object: &TargetObject) -> bool {
    let mut passive = object.body.clone();
    kind.land_passive(&mut passive);
    same_form(kind, wanted, &passive)
}

impl Builder<'_> {
    /// Looks for an object of the archive in the target.
    pub(super) fn find(&self, kind: &'static Kind, record: &ObjectRecord, wanted: &Value) -> Match {
        let entry = self.journal.entry(kind.name, &record.id);
        if let Some(object) = entry
            .and_then(|entry| entry.target.as_deref())
            .and_then(|id| self.target.by_id(kind.name, id))
        {
            return Match::Linked(object.clone());
        }
        if self.options.into_source
            && let Some(object) = self.target.by_id(kind.name, &record.id)
        {
            return Match::Linked(object.clone());
        }
        let key = self.key(kind, &record.body);
        if let Some(unclear) = self.unclear_link(kind, record) {
            return Match::Unclear(Some(unclear.id.clone()), unclear.why.clone());
        }
        if let Some((object, earlier)) = self.made_again(kind, key.as_deref()) {
            return Match::MadeAgain(object.clone(), Box::new(earlier.clone()));
        }
        let free = self.free(kind, key.as_deref());
        if let Some(entry) = entry.filter(|entry| entry.is_create_pending()) {
            // It may have been renamed in the source since.
            let begun = kind.key_of_name(entry.name.clone());
            let earlier = match key.as_ref() == Some(&begun) {
                true => Vec::new(),
                false => self.free(kind, Some(&begun)),
            };
            let made: Vec<&&TargetObject> = free
                .iter()
                .chain(&earlier)
                .filter(|object| is_made_by(kind, entry, wanted, &object.body))
                .collect();
            match made.as_slice() {
                [] => {}
                [only] => return Match::Recovered((**only).clone()),
                several => return Match::Ambiguous(several.len()),
            }
            let unique = !matches!(kind.natural_key, NaturalKey::NameAndContent(_));
            if !free.is_empty() && !unique && !self.options.adopt {
                return Match::Interrupted;
            }
        }
        if let Some(unclear) = self.unclear_key(kind, key.as_deref()) {
            return Match::Unclear(None, unclear.why.clone());
        }
        if matches!(kind.natural_key, NaturalKey::NameAndContent(_)) {
            // In the source itself ids tell objects apart; an equal one is another one.
            if self.options.into_source {
                return Match::Nothing;
            }
            let equal: Vec<&&TargetObject> = free
                .iter()
                .filter(|object| same_form(kind, wanted, &object.body))
                .collect();
            return match equal.as_slice() {
                [] if self.comparing && free.len() == 1 => Match::SameKey(free[0].clone(), false),
                [first, ..] if self.comparing => Match::SameKey((**first).clone(), true),
                [] if free
                    .iter()
                    .any(|object| is_active_twin(kind, wanted, object)) =>
                {
                    Match::Active
                }
                [] if free.is_empty() => Match::Nothing,
                [] => Match::Beside(free.len()),
                [only] => Match::SameKey((**only).clone(), true),
                several => Match::Ambiguous(several.len()),
            };
        }
        match free.first() {
            Some(object) => {
                Match::SameKey((*object).clone(), same_form(kind, wanted, &object.body))
            }
            None => Match::Nothing,
        }
    }

    /// The objects of this natural key that belong to nobody.
    fn free(&self, kind: &Kind, key: Option<&str>) -> Vec<&TargetObject> {
        let taken = self.taken.get(kind.name);
        let of_key = self.of_key(kind.name, key).iter().copied();
        of_key
            .filter(|object| !taken.is_some_and(|taken| taken.contains(&object.id)))
            .collect()
    }

    /// The object that the journal (or, in the source itself, the id) links, where nobody knows whether it is there.
    pub(super) fn unclear_link(&self, kind: &Kind, record: &ObjectRecord) -> Option<&Unclear> {
        let linked = self.journal.target(kind.name, &record.id);
        self.target.unclear(kind.name, |one| {
            linked == Some(&*one.id) || (self.options.into_source && one.id == record.id)
        })
    }

    /// An object of this name that belongs to nobody, where nobody knows whether it is there.
    pub(super) fn unclear_key(&self, kind: &Kind, key: Option<&str>) -> Option<&Unclear> {
        let taken = self.taken.get(kind.name);
        self.target.unclear(kind.name, |one| {
            key.is_some()
                && one.key.as_deref() == key
                && !taken.is_some_and(|taken| taken.contains(&one.id))
        })
    }

    /// The same for a kind whose objects are found by name alone.
    pub(super) fn unclear_of_name(
        &self,
        kind: &Kind,
        record: &ObjectRecord,
        key: Option<&str>,
    ) -> Option<&Unclear> {
        let of_name = |one: &Unclear| key.is_some() && one.key.as_deref() == key;
        let linked = self.unclear_link(kind, record);
        linked.or_else(|| self.target.unclear(kind.name, of_name))
    }

    /// The object of this name that an object linked which is gone from the source, where the service knows one of a
    /// name at most: whoever has the name there now is its successor.
    fn made_again(&self, kind: &Kind, key: Option<&str>) -> Option<(&TargetObject, &Entry)> {
        let archive = self.archive;
        if self.options.into_source
            || !archive.complete
            || !archive.listed.contains(kind.name)
            || matches!(kind.natural_key, NaturalKey::NameAndContent(_))
        {
            return None;
        }
        let gone = |id: &str| {
            let mut records = archive.of_kind(kind.name).iter();
            !records.any(|record| record.id == id) && !self.is_in_ledger(id)
        };
        self.of_key(kind.name, key).iter().find_map(|object| {
            let mut entries = self.journal.of_kind(kind.name);
            let (_, entry) = entries.find(|(id, entry)| {
                entry.is_linked() && entry.target.as_ref() == Some(&object.id) && gone(id)
            })?;
            Some((*object, entry))
        })
    }

    /// The natural key of an archived object, in the words of the target.
    pub(super) fn key(&self, kind: &Kind, body: &Value) -> Option<String> {
        let key = kind.key_of(body)?;
        if kind.name == "git-folders" {
            return Some(
                self.resolver
                    .path(lifeboat_catalog::tree::without_alias(&key)),
            );
        }
        Some(key)
    }
}
