//! Users, service principals and groups (`spec/import.md`, "Identities").

use std::collections::BTreeSet;

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{groups, order, places, scim};
use serde_json::Value;

use super::build::{Builder, catalog_kind, label};
use super::{Action, What};
use crate::difference::Change;
use crate::journal::Op;
use crate::report::Todo;
use crate::resolve::{Link, Resolver, digest};
use crate::target::{Asked, TargetObject, Unclear};

const USERS: &str = "/api/2.0/preview/scim/v2/Users";
const GROUPS: &str = "/api/2.0/preview/scim/v2/Groups";
const SERVICE_PRINCIPALS: &str = "/api/2.0/preview/scim/v2/ServicePrincipals";
const ASSIGNMENTS: &str = "/api/2.0/preview/permissionassignments/principals";

/// Why a group that every workspace has is left alone.
const NOT_SHOWN: &str =
    "a built-in group, which the listing of the target does not show; the next run looks again";

impl Builder<'_> {
    pub(super) fn identities(&mut self) {
        for (kind, place) in [
            ("users", "userName"),
            ("service-principals", "applicationId"),
            ("groups", "displayName"),
        ] {
            for object in self.target.of_kind(kind) {
                if let Some(name) = places::text(&object.body, place) {
                    self.add_principal(kind, &name);
                }
            }
        }
        // They exist in every workspace, also where the listing is refused.
        self.resolver.add_group("admins");
        self.resolver.add_group("users");
        self.resolver.add_user(&self.target.caller);
        for kind in ["users", "service-principals"] {
            for record in self.archive.of_kind(kind) {
                self.person(kind, record);
            }
        }
        self.groups();
    }

    fn add_principal(&mut self, kind: &str, name: &str) {
        match kind {
            "users" => self.resolver.add_user(name),
            "groups" => self.resolver.add_group(name),
            _ => self.resolver.add_service_principal(name),
        }
    }

    fn person(&mut self, kind_name: &'static str, record: &ObjectRecord) {
        let kind = catalog_kind(kind_name);
        let key = kind.key_of(&record.body);
        let name = match kind_name {
            "users" => label(kind, &record.body, &record.id),
            _ => places::text(&record.body, "applicationId").unwrap_or_else(|| record.id.clone()),
        };
        let found = self.of_key(kind_name, key.as_deref()).first().copied();
        let path = if kind_name == "users" {
            USERS
        } else {
            SERVICE_PRINCIPALS
        };
        let action = match found {
            Some(object) => {
                let ours = self.is_ours(kind_name, &record.id, &object.id);
                let (add, remove) = entitlement_changes(&record.body, &object.body, ours);
                let what = if !self.filter.wants(kind_name, &record.id)
                    || self.options.into_source
                    || add.len() + remove.len() == 0
                {
                    What::Unchanged
                } else {
                    What::Update
                };
                let action =
                    Action::new(kind_name, &record.id, &name, what).at(Some(object.id.clone()));
                if what == What::Update {
                    let mut action = action.because("entitlements");
                    action
                        .changes
                        .push(self.entitlements(&record.body, &object.body));
                    action
                } else {
                    action
                }
            }
            None if !self.filter.wants(kind_name, &record.id) => {
                self.resolver.link(
                    kind_name,
                    &record.id,
                    Link::Absent("not selected".to_owned()),
                );
                return;
            }
            None => match self.target.refused(kind_name) {
                Some(reason) => {
                    let reason = format!("the target's {kind_name} cannot be listed: {reason}");
                    // Who cannot be seen may well exist: what names him is not planned without him.
                    self.add_principal(kind_name, &name);
                    Action::new(kind_name, &record.id, &name, What::Blocked).because(reason)
                }
                None => {
                    self.add_principal(kind_name, &name);
                    Action::new(kind_name, &record.id, &name, What::Create)
                }
            },
        };
        self.link_action(kind_name, &record.id, &action);
        if self.filter.wants(kind_name, &record.id) {
            self.push(action, &[("POST", path, 1)]);
        }
    }

    fn entitlements(&self, archived: &Value, target: &Value) -> Change {
        let shown = |body: &Value| {
            self.options
                .show_values
                .then(|| scim::entitlements(body).into_iter().collect())
        };
        Change {
            place: "entitlements".to_owned(),
            from: shown(target),
            to: shown(archived),
        }
    }

    /// Whether this tool made that object of the target for an object of the source.
    fn is_ours(&self, kind: &str, id: &str, target: &str) -> bool {
        self.journal
            .entry(kind, id)
            .is_some_and(|entry| entry.is_ours_as(target))
    }

    /// Whether a map file says who of the target this is.
    fn is_mapped(&self, kind: &str, id: &str) -> bool {
        let principals = &self.archive.translation.principals;
        principals.contains(&(kind.to_owned(), id.to_owned()))
    }

    fn groups(&mut self) {
        let records = self.archive.of_kind("groups");
        // Links first: a group may hold one that comes later, and existing ones need no order.
        for record in records {
            let present = self.group_in_target(record).map(|object| &object.id);
            let unclear = self.unclear_group(record).map(|one| &one.id);
            if let Some(id) = present.or(unclear).cloned() {
                self.resolver.link("groups", &record.id, Link::Id(id));
            }
        }
        // By id alone: not every server says of which kind a member is.
        let nodes: Vec<(String, Vec<String>)> = records
            .iter()
            .map(|record| {
                (
                    record.id.clone(),
                    scim::member_ids(&record.body).into_iter().collect(),
                )
            })
            .collect();
        let order = order::topological(&nodes);
        let by_id = |id: &String| records.iter().find(|record| record.id == *id);
        let circular = order
            .circles
            .iter()
            .flatten()
            .chain(&order.behind)
            .filter_map(by_id);
        for record in order.sorted.iter().filter_map(by_id).chain(circular) {
            self.group(record);
        }
    }

    fn group_in_target(&self, record: &ObjectRecord) -> Option<&TargetObject> {
        let kind = catalog_kind("groups");
        let key = kind.key_of(&record.body);
        self.of_key("groups", key.as_deref()).first().copied()
    }

    fn unclear_group(&self, record: &ObjectRecord) -> Option<&Unclear> {
        let kind = catalog_kind("groups");
        let key = kind.key_of(&record.body);
        self.unclear_of_name(kind, record, key.as_deref())
    }

    fn group(&mut self, record: &ObjectRecord) {
        let kind = catalog_kind("groups");
        let name = label(kind, &record.body, &record.id);
        let builtin = (kind.builtin)(&record.body);
        let account = groups::is_account_group(&record.body) && !builtin;
        let target = self.group_in_target(record).cloned();
        let unclear = self.unclear_group(record).cloned();
        if !self.filter.wants("groups", &record.id) {
            if target.is_none() && unclear.is_none() {
                self.resolver.link(
                    "groups",
                    &record.id,
                    Link::Absent("not selected".to_owned()),
                );
            }
            return;
        }
        let mut calls: Vec<(&str, &str, u64)> = Vec::new();
        let action = match target {
            Some(object)
                if account
                    && is_local(&object.body)
                    && !self.is_ours("groups", &record.id, &object.id)
                    && !self.is_mapped("groups", &record.id) =>
            {
                self.conflict(kind, &name);
                Action::new("groups", &record.id, &name, What::Blocked)
                    .because(
                        "a group of the account in the source; the target holds a local group of this name, whose \
                         members are others. Rename or delete it there",
                    )
                    .at(Some(object.id))
            }
            Some(object) if builtin || of_the_account(&record.body, &object.body) => {
                self.merged_group(record, &object, builtin, &mut calls)
            }
            Some(object) => self.local_group(record, &object, &mut calls),
            // Whoever is granted something through it keeps that.
            None if unclear.is_some() || (builtin && self.target.refused("groups").is_none()) => {
                self.resolver.add_group(&name);
                let (id, why) = match unclear {
                    Some(one) => (Some(one.id), super::objects::unclear(&one.why)),
                    None => (None, NOT_SHOWN.to_owned()),
                };
                Action::new("groups", &record.id, &name, What::Blocked)
                    .because(why)
                    .at(id)
            }
            None => self.new_group(record, &name, account, &mut calls),
        };
        self.link_action("groups", &record.id, &action);
        self.push(action, &calls);
    }

    fn new_group(
        &mut self,
        record: &ObjectRecord,
        name: &str,
        account: bool,
        calls: &mut Vec<(&'static str, &'static str, u64)>,
    ) -> Action {
        if let Some(reason) = self.target.refused("groups") {
            let reason = format!("the target's groups cannot be listed: {reason}");
            self.resolver.add_group(name);
            return Action::new("groups", &record.id, name, What::Blocked).because(reason);
        }
        self.resolver.add_group(name);
        if account {
            return self.account_group(record, name, calls);
        }
        calls.push(("POST", GROUPS, 1));
        let mut action = Action::new("groups", &record.id, name, What::Create);
        let members = Members::of(&record.body, &self.resolver);
        action.notes = members.notes;
        action
    }

    /// A group of the account that the workspace does not have: it can be assigned when the account knows it.
    fn account_group(
        &mut self,
        record: &ObjectRecord,
        name: &str,
        calls: &mut Vec<(&'static str, &'static str, u64)>,
    ) -> Action {
        let asked = self.target.offer.account_groups.get(name);
        let known = asked.and_then(Asked::known);
        if known == Some(&None) {
            return self.not_assigned(record, name, None, "the account does not know it");
        }
        let principal = known
            .cloned()
            .flatten()
            .unwrap_or_else(|| record.id.clone());
        if let Some(why) = self.refused_assignment(record, &principal) {
            return self.not_assigned(record, name, Some(&principal), &why);
        }
        calls.push(("PUT", ASSIGNMENTS, 1));
        let mut action = Action::new("groups", &record.id, name, What::Create)
            .because("group of the account: assigned to the workspace, never created");
        if asked.is_some_and(|asked| asked.refused().is_some()) {
            let what = "the account cannot be asked for it: its id in the source is tried";
            action.remarks.push(what.to_owned());
        }
        action
    }

    /// Why an earlier run could not assign a group, where nothing changed since.
    fn refused_assignment(&self, record: &ObjectRecord, principal: &str) -> Option<String> {
        let form = assignment_digest(principal);
        let refused = self.refused_before("groups", &record.id, Op::Update, Some(&form));
        let entry = self.journal.entry("groups", &record.id)?;
        let again = self.options.recheck.contents(&record.id);
        // It was assigned, and the workspace did not show it afterwards.
        let taken = !entry.is_linked() && !again && entry.digest.as_deref() == Some(&form);
        refused.or_else(|| taken.then(|| another_name(principal)))
    }

    fn not_assigned(
        &mut self,
        record: &ObjectRecord,
        name: &str,
        principal: Option<&str>,
        why: &str,
    ) -> Action {
        let (reason, todo) = unassigned(&self.target.workspace_id, name, principal, why);
        self.checklist.push(todo);
        self.resolver.remove_principal("groups", name);
        Action::new("groups", &record.id, name, What::Blocked).because(reason)
    }

    /// Built-in groups and groups of the account: entitlements, and members of `admins` when asked for.
    fn merged_group(
        &mut self,
        record: &ObjectRecord,
        object: &TargetObject,
        builtin: bool,
        calls: &mut Vec<(&'static str, &'static str, u64)>,
    ) -> Action {
        let kind = catalog_kind("groups");
        let name = label(kind, &record.body, &record.id);
        let account = groups::is_account_group(&record.body);
        let mut action =
            Action::new("groups", &record.id, &name, What::Unchanged).at(Some(object.id.clone()));
        if self.options.into_source {
            return action;
        }
        if !builtin && account != groups::is_account_group(&object.body) {
            let where_it_is = if account { "source" } else { "target" };
            action.remarks.push(format!(
                "a group of the account in the {where_it_is}: its members are not written"
            ));
        }
        let (add, _) = entitlement_changes(&record.body, &object.body, false);
        let mut changes = usize::from(!add.is_empty());
        if changes > 0 {
            action
                .changes
                .push(self.entitlements(&record.body, &object.body));
        }
        if name == "admins" {
            let members = Members::of(&record.body, &self.resolver);
            let change = member_changes(&members, &object.body, false);
            if self.options.admins {
                if !change.add.is_empty() || members.waits {
                    changes += 1;
                    action.changes.push(Change::at("members"));
                }
                action.notes = members.notes;
            } else if !change.add.is_empty() || members.waits {
                action
                    .remarks
                    .push("members of admins are added only with --admins".to_owned());
                self.todo(
                    "groups",
                    "admins",
                    "its members are not added: who administers the target is yours to decide",
                    "lifeboat-import apply ARCHIVE --admins".to_owned(),
                );
            }
        }
        if changes > 0 {
            action.what = What::Update;
            action.writes_object = true;
            calls.push(("PATCH", GROUPS_PATCH, changes as u64));
        }
        action
    }

    fn local_group(
        &mut self,
        record: &ObjectRecord,
        object: &TargetObject,
        calls: &mut Vec<(&'static str, &'static str, u64)>,
    ) -> Action {
        let kind = catalog_kind("groups");
        let name = label(kind, &record.body, &record.id);
        let entry = self.journal.entry("groups", &record.id);
        let linked = entry.is_some_and(|entry| entry.target.as_deref() == Some(object.id.as_str()));
        let action =
            |what| Action::new("groups", &record.id, &name, what).at(Some(object.id.clone()));
        if self.options.into_source {
            return action(What::Skip).because("exists");
        }
        let interrupted = entry.is_some_and(crate::journal::Entry::is_create_pending);
        let mapped = self.is_mapped("groups", &record.id);
        if !linked && !interrupted && !self.options.adopt && !mapped {
            self.conflict(kind, &name);
            return action(What::Blocked)
                .because("exists in the target and the journal does not know it; --adopt links it and adds members");
        }
        let ours = interrupted || entry.is_some_and(|entry| entry.is_ours_as(&object.id));
        let members = Members::of(&record.body, &self.resolver);
        let change = member_changes(&members, &object.body, ours);
        let (add, remove) = entitlement_changes(&record.body, &object.body, ours);
        let patches = u64::from(!change.is_empty() || members.waits)
            + u64::from(add.len() + remove.len() > 0);
        let mut action = action(match (linked, patches) {
            (false, _) => What::Adopt,
            (true, 0) => What::Unchanged,
            (true, _) => What::Update,
        });
        action.writes_object = patches > 0;
        if patches > 0 && (!change.is_empty() || members.waits) {
            action.changes.push(Change::at("members"));
        }
        if add.len() + remove.len() > 0 {
            action
                .changes
                .push(self.entitlements(&record.body, &object.body));
        }
        action.recovered = interrupted;
        action.notes = members.notes;
        calls.push(("PATCH", GROUPS_PATCH, patches));
        action
    }
}

/// That a group of the account is not assigned to the target, and what a person has to do.
pub(crate) fn unassigned(
    workspace_id: &str,
    name: &str,
    principal: Option<&str>,
    why: &str,
) -> (String, Todo) {
    let id = principal.unwrap_or("PRINCIPAL_ID");
    let command = format!(
        "databricks account workspace-assignment update {workspace_id} {id} --json '{{\"permissions\": [\"USER\"]}}'"
    );
    let reason = format!("group of the account, not assigned to the target; run: {command}; {why}");
    let todo = Todo {
        kind: "groups".to_owned(),
        name: name.to_owned(),
        what: "the group of the account is not assigned to the workspace".to_owned(),
        command,
    };
    (reason, todo)
}

/// What the journal holds of an assignment.
pub(crate) fn assignment_digest(principal: &str) -> String {
    digest(&Value::String(principal.to_owned()))
}

/// Why a principal that was assigned is not the group.
pub(crate) fn another_name(principal: &str) -> String {
    format!("principal {principal} of the account has another name")
}

/// Whether the target says that a group is one of its own. Not every server says.
fn is_local(body: &Value) -> bool {
    body.pointer("/meta/resourceType").is_some() && !groups::is_account_group(body)
}

/// A path of the family of group patches.
const GROUPS_PATCH: &str = "/api/2.0/preview/scim/v2/Groups/0";

/// The members of an archived group in the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// Their ids.
    pub ids: BTreeSet<String>,
    /// Those that exist nowhere.
    pub notes: Vec<String>,
    /// True when some are still to be made.
    pub waits: bool,
    /// True when the archive may not name all of them: then nobody is taken out.
    pub partial: bool,
}

impl Members {
    /// The members of a group's archived body.
    pub(crate) fn of(body: &Value, resolver: &Resolver) -> Self {
        let mut members = Self {
            partial: resolver.has_partial_identities(),
            ..Self::default()
        };
        for member in body
            .get("members")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let Some(id) = member.get("value").and_then(places::scalar) else {
                continue;
            };
            let place = member
                .get("$ref")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let kinds: &[&str] = match place {
                place if place.contains("ServicePrincipals/") => &["service-principals"],
                place if place.contains("Groups/") => &["groups"],
                place if place.contains("Users/") => &["users"],
                _ => &["users", "groups", "service-principals"],
            };
            match kinds.iter().find_map(|kind| resolver.linked(kind, &id)) {
                Some(Link::Id(target)) => {
                    members.ids.insert(target.clone());
                }
                Some(Link::Planned) => members.waits = true,
                Some(Link::Absent(_)) | None => {
                    let name = member.get("display").and_then(Value::as_str).unwrap_or(&id);
                    members
                        .notes
                        .push(format!("member missing: {name} exists nowhere"));
                }
            }
        }
        members
    }
}

/// Whether members of a group are managed in the account: it is one of the account in the source or in the target.
pub(crate) fn of_the_account(archived: &Value, target: &Value) -> bool {
    let builtin = (catalog_kind("groups").builtin)(archived);
    groups::is_account_group(target) || (groups::is_account_group(archived) && !builtin)
}

/// Members to add to a group of the target and, when it is ours, to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberChanges {
    /// Ids to add.
    pub add: Vec<String>,
    /// Ids to remove.
    pub remove: Vec<String>,
}

impl MemberChanges {
    /// True when there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// The difference between the wanted members and those of the target's group. Members are removed from groups that are
/// ours, and only when all wanted ones are known.
pub(crate) fn member_changes(members: &Members, target: &Value, ours: bool) -> MemberChanges {
    let present = scim::member_ids(target);
    // A member who cannot be told in the target may be one of those who are there.
    let whole = members.notes.is_empty() && !members.waits && !members.partial;
    MemberChanges {
        add: members.ids.difference(&present).cloned().collect(),
        remove: if ours && whole {
            present.difference(&members.ids).cloned().collect()
        } else {
            Vec::new()
        },
    }
}

/// Entitlements to add and, when the object is ours, to remove.
pub(crate) fn entitlement_changes(
    archived: &Value,
    target: &Value,
    ours: bool,
) -> (Vec<String>, Vec<String>) {
    let (wanted, present) = (scim::entitlements(archived), scim::entitlements(target));
    let add = wanted.difference(&present).cloned().collect();
    let remove = if ours {
        present.difference(&wanted).cloned().collect()
    } else {
        Vec::new()
    };
    (add, remove)
}
