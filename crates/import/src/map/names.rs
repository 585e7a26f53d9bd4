//! Users, service principals and groups of the source: who is known, what a bare name is, and another name for one.

use std::collections::{HashMap, HashSet};

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{jobs, places};
use serde_json::Value;

use super::parse::Section;
use crate::archived::ArchiveState;

/// Kinds of identities with the field of their name and their section.
pub(super) const IDENTITIES: [(&str, &str, Section); 3] = [
    ("users", "userName", Section::Users),
    (
        "service-principals",
        "applicationId",
        Section::ServicePrincipals,
    ),
    ("groups", "displayName", Section::Groups),
];

/// Who is known in the source.
pub(super) struct Names {
    known: HashMap<Section, HashSet<String>>,
    /// Sections whose names the archive does not hold as a whole.
    pub partial: HashSet<Section>,
}

impl Names {
    pub fn of(state: &ArchiveState) -> Self {
        let mut names = Self {
            known: HashMap::new(),
            partial: HashSet::new(),
        };
        for (kind, field, section) in IDENTITIES {
            let known = names.known.entry(section).or_default();
            let records = state.of_kind(kind).iter();
            known.extend(
                records
                    .filter_map(|record| places::text(&record.body, field))
                    .map(|name| section.key(&name)),
            );
            if state.partial_identities.contains(kind) {
                names.partial.insert(section);
            }
        }
        names
    }

    pub fn has(&self, section: Section, name: &str) -> bool {
        self.known
            .get(&section)
            .is_some_and(|known| known.contains(&section.key(name)))
    }

    /// What a name is that may be a user's, a service principal's or a group's.
    pub fn section(&self, name: &str) -> Section {
        let known = IDENTITIES
            .iter()
            .find(|(_, _, section)| self.has(*section, name));
        match known {
            Some((_, _, section)) => *section,
            None if jobs::is_guid(name) => Section::ServicePrincipals,
            None if name.contains('@') => Section::Users,
            None => Section::Groups,
        }
    }
}

/// Gives an identity another name, wherever its record repeats it.
pub(super) fn rename(record: &mut ObjectRecord, field: &str, old: &str, new: &str) {
    let is_old = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.to_lowercase() == old.to_lowercase())
    };
    let Some(body) = record.body.as_object_mut() else {
        return;
    };
    body.insert(field.to_owned(), Value::String(new.to_owned()));
    if field == "userName" {
        if body.get("displayName").is_some_and(is_old) {
            body.insert("displayName".to_owned(), Value::String(new.to_owned()));
        }
        let emails = body.get_mut("emails").and_then(Value::as_array_mut);
        for mail in emails.into_iter().flatten() {
            if let Some(value) = mail.get_mut("value").filter(|value| is_old(value)) {
                *value = Value::String(new.to_owned());
            }
        }
    }
    if record.name == old {
        new.clone_into(&mut record.name);
    }
}
