//! Users, groups and service principals: the state under SCIM, memberships, who is an administrator.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use crate::http::Caller;
use crate::permissions::Principal;
use crate::tree;
use crate::world::World;

/// Which of the three an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A service principal.
    ServicePrincipal,
}

impl Kind {
    /// Name of the SCIM collection.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
            Self::ServicePrincipal => "ServicePrincipals",
        }
    }

    /// Attribute that is unique within the kind.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
            Self::ServicePrincipal => "applicationId",
        }
    }
}

/// One identity.
#[derive(Clone, Debug)]
pub struct Identity {
    /// SCIM id.
    pub id: i64,
    /// User, group or service principal.
    pub kind: Kind,
    /// Attributes as written: without `id`, `schemas`, `groups`, `members`, `meta`.
    pub fields: Map<String, Value>,
    /// Direct members of a group.
    pub members: BTreeSet<i64>,
    /// Comes from the account (groups only; it cannot be created or changed here).
    pub account: bool,
    /// Assigned to this workspace.
    pub assigned: bool,
}

impl Identity {
    /// A text attribute, or nothing.
    #[must_use]
    pub fn text(&self, attribute: &str) -> &str {
        self.fields
            .get(attribute)
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// User name, display name of a group, application id.
    #[must_use]
    pub fn key(&self) -> &str {
        self.text(self.kind.key())
    }

    /// As it stands in access control lists.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let key = self.key().to_owned();
        match self.kind {
            Kind::User => Principal::User(key),
            Kind::Group => Principal::Group(key),
            Kind::ServicePrincipal => Principal::ServicePrincipal(key),
        }
    }

    /// `admins` and `users`.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.kind == Kind::Group && matches!(self.key(), "admins" | "users")
    }
}

/// All identities, in the order of their ids.
#[derive(Debug, Default)]
pub struct Identities {
    by_id: BTreeMap<i64, Identity>,
    by_key: HashMap<(Kind, String), i64>,
    parents: HashMap<i64, BTreeSet<i64>>,
    /// Listings that will still be disturbed; see `Switches::unstable_paging`.
    pub(crate) listings: u32,
    /// How many requests to each part of the service do not know an identity; see `Switches::known_after_uses`.
    unknown: HashMap<i64, u32>,
    /// Requests that named an identity, by part of the service.
    named: HashMap<(i64, &'static str), u32>,
}

impl Identities {
    /// All identities of a kind, by rising id.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Identity> {
        self.by_id.values().filter(move |one| one.kind == kind)
    }

    /// One identity by SCIM id.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Identity> {
        self.by_id.get(&id)
    }

    /// One identity by user name, group name or application id; case does not count.
    #[must_use]
    pub fn find(&self, kind: Kind, key: &str) -> Option<&Identity> {
        self.by_id.get(self.by_key.get(&(kind, fold(key)))?)
    }

    /// Whether a part of the service knows an identity by now. Asking counts as a request that names it.
    pub(crate) fn is_known_to(&mut self, part: &'static str, id: i64) -> bool {
        let named = self.named.entry((id, part)).or_default();
        *named += 1;
        self.unknown.get(&id).is_none_or(|uses| *named > *uses)
    }

    /// Adds or replaces an identity and keeps the indexes.
    pub fn put(&mut self, identity: Identity) {
        self.remove_from_indexes(identity.id);
        self.by_key
            .insert((identity.kind, fold(identity.key())), identity.id);
        for member in &identity.members {
            self.parents.entry(*member).or_default().insert(identity.id);
        }
        self.by_id.insert(identity.id, identity);
    }

    /// Removes an identity and its memberships.
    pub fn remove(&mut self, id: i64) -> Option<Identity> {
        self.remove_from_indexes(id);
        for parent in self.parents.remove(&id).unwrap_or_default() {
            if let Some(group) = self.by_id.get_mut(&parent) {
                group.members.remove(&id);
            }
        }
        self.by_id.remove(&id)
    }

    fn remove_from_indexes(&mut self, id: i64) {
        let Some(old) = self.by_id.get(&id) else {
            return;
        };
        self.by_key.remove(&(old.kind, fold(old.key())));
        for member in &old.members {
            if let Some(parents) = self.parents.get_mut(member) {
                parents.remove(&id);
            }
        }
    }

    /// Adds a member to a group; false when one of them is unknown.
    pub fn add_member(&mut self, group: i64, member: i64) -> bool {
        if !self.by_id.contains_key(&member) {
            return false;
        }
        let Some(found) = self.by_id.get_mut(&group) else {
            return false;
        };
        found.members.insert(member);
        self.parents.entry(member).or_default().insert(group);
        true
    }

    /// Groups that hold this identity: directly (`true`) or through other groups.
    #[must_use]
    pub fn groups_of(&self, id: i64) -> BTreeMap<i64, bool> {
        let mut found = BTreeMap::new();
        let direct = self.parents.get(&id).cloned().unwrap_or_default();
        let mut open: Vec<i64> = direct.iter().copied().collect();
        while let Some(group) = open.pop() {
            if found.insert(group, direct.contains(&group)).is_none() {
                open.extend(self.parents.get(&group).into_iter().flatten());
            }
        }
        found
    }

    /// The identity of this SCIM id as a caller.
    #[must_use]
    pub fn caller(&self, id: i64) -> Option<Caller> {
        let identity = self.by_id.get(&id)?;
        if identity.kind == Kind::Group {
            return None;
        }
        let admin = self
            .find(Kind::Group, "admins")
            .is_some_and(|admins| self.groups_of(id).contains_key(&admins.id));
        Some(Caller {
            id,
            name: identity.key().to_owned(),
            service_principal: identity.kind == Kind::ServicePrincipal,
            admin,
        })
    }

    /// The user of this name, or the service principal of this application id, as a caller.
    #[must_use]
    pub fn caller_named(&self, name: &str) -> Option<Caller> {
        let identity = self
            .find(Kind::User, name)
            .or_else(|| self.find(Kind::ServicePrincipal, name))?;
        self.caller(identity.id)
    }

    /// The caller and all groups that hold it, `users` included, as principals.
    #[must_use]
    pub fn principals_of(&self, caller: &Caller) -> Vec<Principal> {
        let groups = self.groups_of(caller.id);
        let mut principals = vec![
            Principal::from(caller),
            Principal::Group("users".to_owned()),
        ];
        principals.extend(
            groups
                .keys()
                .filter_map(|id| self.get(*id))
                .map(Identity::principal),
        );
        principals
    }

    /// The identity behind an entry of an access control list.
    #[must_use]
    pub fn of_principal(&self, principal: &Principal) -> Option<&Identity> {
        match principal {
            Principal::User(name) => self.find(Kind::User, name),
            Principal::Group(name) => self.find(Kind::Group, name),
            Principal::ServicePrincipal(id) => self.find(Kind::ServicePrincipal, id),
        }
    }
}

fn fold(key: &str) -> String {
    key.to_lowercase()
}

/// The groups that every workspace has.
pub fn create_system(world: &mut World) {
    let grants = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({"value": name})).collect();
        Map::from_iter([("entitlements".to_owned(), Value::Array(list))])
    };
    for (name, entitlements) in [
        (
            "admins",
            &[
                "workspace-access",
                "databricks-sql-access",
                "allow-cluster-create",
                "allow-instance-pool-create",
            ][..],
        ),
        ("users", &["workspace-access", "databricks-sql-access"][..]),
    ] {
        let mut fields = grants(entitlements);
        fields.insert("displayName".to_owned(), json!(name));
        insert(world, Kind::Group, fields);
    }
}

/// Adds an identity with these attributes and no members; returns the SCIM id.
pub fn insert(world: &mut World, kind: Kind, fields: Map<String, Value>) -> i64 {
    let id = world.ids.number();
    world.identities.put(Identity {
        id,
        kind,
        fields,
        members: BTreeSet::new(),
        account: false,
        assigned: true,
    });
    let uses = world.switches.known_after_uses;
    world.identities.unknown.insert(id, uses);
    if kind == Kind::User {
        tree::create_home(world, id);
    }
    id
}

/// Adds a user, a member of `admins` when asked, with a home folder; returns the SCIM id. A known user is kept.
pub fn add_user(world: &mut World, user_name: &str, display_name: &str, admin: bool) -> i64 {
    if let Some(known) = world.identities.find(Kind::User, user_name) {
        return known.id;
    }
    let (given, family) = display_name.split_once(' ').unwrap_or((display_name, ""));
    let mut fields = Map::new();
    fields.insert("userName".to_owned(), json!(user_name));
    fields.insert("displayName".to_owned(), json!(display_name));
    let mut name = json!({"givenName": given});
    if !family.is_empty() {
        name["familyName"] = json!(family);
    }
    fields.insert("name".to_owned(), name);
    fields.insert("active".to_owned(), json!(true));
    fields.insert(
        "emails".to_owned(),
        json!([{"type": "work", "value": user_name, "primary": true}]),
    );
    let id = insert(world, Kind::User, fields);
    if admin && let Some(admins) = world.identities.find(Kind::Group, "admins") {
        let admins = admins.id;
        world.identities.add_member(admins, id);
    }
    id
}

/// Adds a service principal; returns the SCIM id. A known one is kept.
pub fn add_service_principal(world: &mut World, application_id: &str, display_name: &str) -> i64 {
    if let Some(known) = world
        .identities
        .find(Kind::ServicePrincipal, application_id)
    {
        return known.id;
    }
    let fields = Map::from_iter([
        ("applicationId".to_owned(), json!(application_id)),
        ("displayName".to_owned(), json!(display_name)),
        ("active".to_owned(), json!(true)),
    ]);
    insert(world, Kind::ServicePrincipal, fields)
}

/// Adds a group with members by SCIM id; `account` makes it an account group that is assigned to the workspace.
/// Returns the SCIM id. A known group gets the members added.
pub fn add_group(world: &mut World, display_name: &str, members: &[i64], account: bool) -> i64 {
    let known = world.identities.find(Kind::Group, display_name);
    let id = known.map(|group| group.id).unwrap_or_else(|| {
        let fields = Map::from_iter([("displayName".to_owned(), json!(display_name))]);
        insert(world, Kind::Group, fields)
    });
    if let Some(mut group) = world.identities.get(id).cloned() {
        group.account |= account;
        world.identities.put(group);
    }
    for member in members {
        world.identities.add_member(id, *member);
    }
    id
}

/// Adds a group that the account knows and the workspace does not (yet); returns the SCIM id.
pub fn add_unassigned_account_group(world: &mut World, display_name: &str) -> i64 {
    let id = add_group(world, display_name, &[], true);
    if let Some(mut group) = world.identities.get(id).cloned() {
        group.assigned = false;
        world.identities.put(group);
    }
    id
}

/// Identities by natural key: attributes as written, members by name.
#[must_use]
pub fn dump(world: &World) -> Value {
    let mut all = Map::new();
    for (kind, name) in [
        (Kind::User, "users"),
        (Kind::Group, "groups"),
        (Kind::ServicePrincipal, "service-principals"),
    ] {
        let mut dumped = BTreeMap::new();
        for identity in world.identities.of_kind(kind).filter(|one| one.assigned) {
            let mut fields = identity.fields.clone();
            sort_values(&mut fields);
            if kind == Kind::Group {
                let mut members: Vec<String> = identity
                    .members
                    .iter()
                    .filter_map(|id| world.identities.get(*id))
                    .map(|one| format!("{}/{}", one.kind.collection(), one.key()))
                    .collect();
                members.sort();
                fields.insert("members".to_owned(), json!(members));
                fields.insert("account".to_owned(), json!(identity.account));
            }
            let key = match kind {
                Kind::User => fold(identity.key()),
                _ => identity.key().to_owned(),
            };
            dumped.insert(key, Value::Object(fields));
        }
        all.insert(name.to_owned(), json!(dumped));
    }
    Value::Object(all)
}

fn sort_values(fields: &mut Map<String, Value>) {
    for key in ["entitlements", "roles"] {
        if let Some(Value::Array(list)) = fields.get_mut(key) {
            list.sort_by_key(ToString::to_string);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_is_transitive_and_ends_with_the_member() {
        let mut world = World::for_tests();
        let user = add_user(&mut world, "Ann@example.com", "Ann Lee", false);
        let inner = add_group(&mut world, "inner", &[user], false);
        let outer = add_group(&mut world, "outer", &[inner], false);
        let admins = world
            .identities
            .find(Kind::Group, "admins")
            .expect("system")
            .id;
        assert!(!world.identities.caller(user).expect("user").admin);
        world.identities.add_member(admins, outer);
        assert!(world.identities.caller(user).expect("user").admin);
        let groups = world.identities.groups_of(user);
        assert_eq!(groups.get(&inner), Some(&true));
        assert_eq!(groups.get(&outer), Some(&false));
        assert!(
            world
                .identities
                .find(Kind::User, "ann@EXAMPLE.com")
                .is_some()
        );
        world.identities.remove(user);
        assert!(
            world
                .identities
                .get(inner)
                .expect("group")
                .members
                .is_empty()
        );
    }
}
