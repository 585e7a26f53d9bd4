//! Secret scopes: the scope, its access control, the values that the archive holds, and the list of those that a person must
//! put back.

use std::collections::BTreeMap;

use lifeboat_catalog::acl::Principal;
use lifeboat_catalog::records::{ObjectRecord, SECRET_VALUES, secret_value_id};
use lifeboat_catalog::{Target, places, secret_scopes};
use serde_json::{Value, json};

use super::build::{Builder, catalog_kind, label};
use super::objects::unclear;
use super::{Action, What};
use crate::archived::ArchiveState;
use crate::journal::{Entry, Op};
use crate::resolve::{Link, Resolver, digest};

const CREATE: &str = "/api/2.0/secrets/scopes/create";

/// Why a Key Vault scope is blocked.
pub(crate) const VAULT_NEEDS: &str = "a Key Vault scope needs an Entra ID token";

impl Builder<'_> {
    pub(super) fn secret_scopes(&mut self) {
        for object in self.target.of_kind("secret-scopes") {
            if let Some(name) = places::text(&object.body, "scope.name") {
                self.resolver.add_scope(&name);
            }
        }
        for record in self.archive.of_kind("secret-scopes") {
            self.secret_scope(record);
        }
    }

    fn secret_scope(&mut self, record: &ObjectRecord) {
        let kind = catalog_kind("secret-scopes");
        let name = label(kind, &record.body, &record.id);
        let key = kind.key_of(&record.body);
        let found = self
            .of_key(kind.name, key.as_deref())
            .first()
            .map(|found| (*found).clone());
        if !self.filter.wants(kind.name, &record.id) {
            let link = found.map_or(Link::Absent("not selected".to_owned()), |object| {
                Link::Id(object.id)
            });
            self.resolver.link(kind.name, &record.id, link);
            return;
        }
        let mut changes = AclChanges::default();
        let mut action = match (&found, self.target.refused(kind.name)) {
            (_, Some(reason)) => Action::new(kind.name, &record.id, &name, What::Blocked).because(
                format!("the target's secret scopes cannot be listed: {reason}"),
            ),
            (None, None) if let Some(one) = self.unclear_of_name(kind, record, key.as_deref()) => {
                Action::new(kind.name, &record.id, &name, What::Blocked)
                    .because(unclear(&one.why))
                    .at(Some(one.id.clone()))
            }
            (Some(object), None) => self.existing_scope(record, &name, &object.body, &mut changes),
            (None, None) if let Some(why) = self.vault_refused(record) => {
                let (what, command) = vault_todo(&name);
                self.todo(kind.name, &name, what, command);
                Action::new(kind.name, &record.id, &name, What::Blocked)
                    .because(format!("{VAULT_NEEDS}: {why}"))
            }
            (None, None) => {
                changes = acl_changes(
                    &record.body,
                    None,
                    &self.resolver,
                    true,
                    &self.target.caller,
                );
                Action::new(kind.name, &record.id, &name, What::Create)
            }
        };
        if !matches!(action.what, What::Skip | What::Blocked) {
            action.notes.clone_from(&changes.notes);
        }
        if action.what != What::Blocked || action.target.is_some() {
            self.resolver.add_scope(&name);
        }
        if action.what != What::Blocked {
            self.missing_values(record, &name, found.as_ref().map(|object| &object.body));
        }
        self.link_action(kind.name, &record.id, &action);
        let mut values = 0;
        if !matches!(action.what, What::Skip | What::Blocked) {
            let target = found.as_ref().map(|object| &object.body);
            let journal = |id: &str| self.journal.entry(SECRET_VALUES, id).cloned();
            let overwrite = self.options.overwrite_changed;
            let changes = value_changes(record, target, self.archive, journal, overwrite);
            values = changes.put.len() as u64;
            action.remarks.extend(changes.remarks);
            if values > 0 && action.what == What::Unchanged {
                action.what = What::Update;
            }
            action.writes_object |= values > 0;
        }
        let create = u64::from(action.what == What::Create);
        let count = (changes.put.len() + changes.delete.len()) as u64 + create;
        self.push(
            action,
            &[
                ("POST", CREATE, count),
                ("POST", secret_scopes::VALUE_PUT_PATH, values),
            ],
        );
    }

    /// Why a Key Vault scope cannot be made, as the service said in an earlier run.
    fn vault_refused(&self, record: &ObjectRecord) -> Option<String> {
        if !secret_scopes::is_key_vault(&record.body) {
            return None;
        }
        let kind = catalog_kind("secret-scopes");
        let body = kind.create_body(&kind.request_form(&record.body))?;
        self.refused_before(kind.name, &record.id, Op::Create, Some(&digest(&body)))
    }

    fn existing_scope(
        &mut self,
        record: &ObjectRecord,
        name: &str,
        target: &Value,
        changes: &mut AclChanges,
    ) -> Action {
        let kind = catalog_kind("secret-scopes");
        let entry = self.journal.entry(kind.name, &record.id);
        let linked = entry.is_some_and(Entry::is_linked);
        let interrupted = entry.is_some_and(Entry::is_create_pending);
        let id = places::text(target, "scope.name");
        let action = |what| Action::new(kind.name, &record.id, name, what).at(id.clone());
        if self.options.into_source {
            return action(What::Skip).because("exists");
        }
        if !linked && !interrupted && !self.options.adopt {
            self.conflict(kind, name);
            return Action::new(kind.name, &record.id, name, What::Blocked).because(
                "exists in the target and the journal does not know it; --adopt links it",
            );
        }
        if secret_scopes::is_key_vault(&record.body) != secret_scopes::is_key_vault(target) {
            return Action::new(kind.name, &record.id, name, What::Blocked)
                .because("exists in the target with another backend");
        }
        let ours = interrupted || entry.is_some_and(Entry::is_ours);
        *changes = acl_changes(
            &record.body,
            Some(target),
            &self.resolver,
            ours,
            &self.target.caller,
        );
        let mut action = action(match (linked, changes.is_empty()) {
            (false, _) => What::Adopt,
            (true, true) => What::Unchanged,
            (true, false) => What::Update,
        });
        action.writes_object = !changes.is_empty();
        action.recovered = interrupted;
        action
    }

    fn missing_values(&mut self, record: &ObjectRecord, name: &str, target: Option<&Value>) {
        if secret_scopes::is_key_vault(&record.body) {
            return;
        }
        let present = target.map(secret_scopes::keys).unwrap_or_default();
        for key in secret_scopes::keys(&record.body) {
            let carried = self
                .archive
                .secret_values
                .contains(&secret_value_id(&record.id, &key));
            if !present.contains(&key) && !carried {
                let what = format!("the value of the secret {key} is in no archive");
                self.todo(
                    "secret-scopes",
                    name,
                    &what,
                    format!("databricks secrets put-secret {name} {key}"),
                );
            }
        }
    }
}

/// Values of a scope to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ValueChanges {
    /// (key, digest for the journal) to put.
    pub put: Vec<(String, String)>,
    /// What is left alone, and why.
    pub remarks: Vec<String>,
}

/// Which of the values that the archive holds are to be written: those that the target lacks, and those of ours that were
/// written in the source since. A value in the target cannot be compared, so one that this tool did not write stays.
///
/// The journal holds nothing of a value: what tells the two apart is when the source says that it was written.
pub(crate) fn value_changes(
    record: &ObjectRecord,
    target: Option<&Value>,
    archive: &ArchiveState,
    journal: impl Fn(&str) -> Option<Entry>,
    overwrite_changed: bool,
) -> ValueChanges {
    let mut changes = ValueChanges::default();
    if secret_scopes::is_key_vault(&record.body) {
        return changes;
    }
    let present = target.map(secret_scopes::keys).unwrap_or_default();
    for key in secret_scopes::keys(&record.body) {
        let id = secret_value_id(&record.id, &key);
        if !archive.secret_values.contains(&id) {
            continue;
        }
        let written = secret_scopes::last_updated(&record.body, &key);
        let wanted = digest(&json!({ "secret": id, "written": written }));
        let entry = journal(&id);
        let there = present.iter().any(|name| name.eq_ignore_ascii_case(&key));
        let ours = |entry: &Entry| entry.is_ours() || entry.is_create_pending();
        let ours = entry.as_ref().is_some_and(ours);
        let same = entry
            .as_ref()
            .is_some_and(|entry| entry.digest.as_ref() == Some(&wanted) && entry.pending.is_none());
        let now = target.and_then(|target| secret_scopes::last_updated(target, &key));
        // A put whose answer was lost may be what changed it.
        let certain = entry.as_ref().is_some_and(|entry| entry.pending.is_none());
        let seen = entry.and_then(|entry| entry.modified_at);
        let changed = certain && seen.is_some() && seen != now && !overwrite_changed;
        match (there, ours) {
            (true, true) if same => {}
            (true, false) => changes.remarks.push(format!(
                "the secret {key} is there and stays: its value cannot be compared"
            )),
            (true, true) if changed => changes.remarks.push(format!(
                "the secret {key} was changed in the target since the last import; kept without --overwrite-changed"
            )),
            _ => changes.put.push((key, wanted)),
        }
    }
    changes
}

/// What a person has to do about a Key Vault scope that could not be made, with the command.
pub(crate) fn vault_todo(name: &str) -> (&'static str, String) {
    let command = format!(
        "databricks secrets create-scope {name} --scope-backend-type AZURE_KEYVAULT --json @VAULT.json"
    );
    ("the Key Vault scope could not be created", command)
}

/// Changes of a scope's access control.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AclChanges {
    /// (principal, permission) to put.
    pub put: Vec<(String, String)>,
    /// Principals whose entry goes: after the puts.
    pub delete: Vec<String>,
    /// Grantees that exist nowhere.
    pub notes: Vec<String>,
}

impl AclChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }
}

/// What to change so that the scope is granted as archived. `target` is absent for a new scope, where the caller has an
/// automatic entry. Entries are removed only from scopes of ours, and never the last one that manages.
pub(crate) fn acl_changes(
    archived: &Value,
    target: Option<&Value>,
    resolver: &Resolver,
    ours: bool,
    caller: &str,
) -> AclChanges {
    let mut changes = AclChanges::default();
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for (principal, permission) in secret_scopes::acls(archived) {
        match principal_name(resolver, &principal) {
            Some(name) => {
                wanted.insert(name, permission);
            }
            None => changes
                .notes
                .push(format!("not granted: {principal} exists nowhere")),
        }
    }
    let present: BTreeMap<String, String> = match target {
        Some(target) => secret_scopes::acls(target).into_iter().collect(),
        None => BTreeMap::from([(caller.to_owned(), "MANAGE".to_owned())]),
    };
    for (principal, permission) in &wanted {
        if present.get(principal) != Some(permission) {
            changes.put.push((principal.clone(), permission.clone()));
        }
    }
    let managed = wanted.values().any(|permission| permission == "MANAGE");
    if ours && managed {
        changes.delete = present
            .keys()
            .filter(|principal| !wanted.contains_key(*principal))
            .cloned()
            .collect();
    }
    if !managed && !wanted.is_empty() && present.contains_key(caller) {
        changes
            .notes
            .push("nobody else manages it: the importer keeps managing".to_owned());
    }
    changes
}

fn principal_name(resolver: &Resolver, name: &str) -> Option<String> {
    [Target::User, Target::ServicePrincipal, Target::Group]
        .into_iter()
        .find_map(|kind| {
            resolver.principal(&Principal {
                kind,
                name: name.to_owned(),
            })
        })
        .map(|principal| principal.name)
}
