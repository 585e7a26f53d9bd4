//! What the names and ids of the source are called in the target (`spec/import.md`, "References"), grants among them;
//! bodies are put into those words by [`rewrite`].
//!
//! The same resolver serves the plan, where much is only *planned*, and the apply, which replaces planned links by ids as
//! objects come into being. Nothing is ever replaced by a default: what cannot be resolved is named.

mod rewrite;

use std::collections::{BTreeSet, HashMap, HashSet};

use lifeboat_catalog::acl::{self, Grant, Principal};
use lifeboat_catalog::{Kind, Target, tree};
use serde_json::Value;

use crate::archived::ArchiveState;
use crate::target::NamedPaths;

pub use rewrite::Rewritten;
use rewrite::noun;
pub(crate) use rewrite::{Answer, is_owner_place};

/// What an object of the source is in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It has this id.
    Id(String),
    /// It will be made.
    Planned,
    /// It will not be there, for this reason.
    Absent(String),
}

/// Names and ids of the target.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    links: HashMap<&'static str, HashMap<String, Link>>,
    /// User names as the target spells them, by their folded form.
    users: HashMap<String, String>,
    service_principals: HashSet<String>,
    groups: HashSet<String>,
    scopes: HashSet<String>,
    /// Paths of the tree that exist or will.
    tree: BTreeSet<String>,
    dbfs: BTreeSet<String>,
    git_folders: Vec<String>,
    /// Paths that bodies name and that no import brings: what the target says of them.
    named: NamedPaths,
    /// Homes that stand elsewhere in the target: name of the folder below `/Users` to path in the target.
    moved: HashMap<String, String>,
    /// The source is the target: ids of kinds that are not carried mean the same.
    same_workspace: bool,
    /// What is not in the archive did not exist in the source, except what the ledger names.
    complete: bool,
    uncaptured: BTreeSet<String>,
    /// The archive does not hold all users, groups and service principals of the source.
    partial_identities: bool,
    source_host: String,
    source_workspace: String,
    /// Ids of the source that mean nothing in the target.
    source_ids: BTreeSet<String>,
    /// Ids of the target, by the operator's word, of kinds that archives do not hold.
    foreign: HashSet<(Target, String)>,
}

/// The access control list that an object gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The direct grants.
    pub grants: Vec<Grant>,
    /// What could not be granted.
    pub notes: Vec<String>,
}

impl Access {
    /// What the journal holds of it.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&acl::to_list(&self.grants))
    }
}

/// SHA-256 of a JSON value with sorted keys, lowercase hex.
#[must_use]
pub fn digest(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    lifeboat_archive::Digest::of(sorted.to_string().as_bytes()).to_string()
}

impl Resolver {
    /// A resolver that knows nothing of the target yet.
    #[must_use]
    pub fn new(archive: &ArchiveState, same_workspace: bool, source_ids: BTreeSet<String>) -> Self {
        Self {
            same_workspace,
            complete: archive.complete,
            uncaptured: archive.uncaptured.clone(),
            partial_identities: !archive.partial_identities.is_empty(),
            source_host: archive
                .host
                .trim_start_matches("https://")
                .trim_end_matches('/')
                .to_owned(),
            source_workspace: archive.workspace_id.clone(),
            source_ids,
            foreign: archive.translation.foreign.clone(),
            ..Self::default()
        }
    }

    /// Records what an object of the source is in the target.
    pub fn link(&mut self, kind: &'static str, id: &str, link: Link) {
        self.links
            .entry(kind)
            .or_default()
            .insert(id.to_owned(), link);
    }

    /// What an object of the source is in the target; `None` when nobody ever spoke of it.
    #[must_use]
    pub fn linked(&self, kind: &str, id: &str) -> Option<&Link> {
        self.links.get(kind)?.get(id)
    }

    /// The id in the target, when there is one already.
    #[must_use]
    pub fn id(&self, kind: &str, id: &str) -> Option<&str> {
        match self.linked(kind, id)? {
            Link::Id(id) => Some(id),
            Link::Planned | Link::Absent(_) => None,
        }
    }

    /// Adds a user that exists or will.
    pub fn add_user(&mut self, name: &str) {
        self.users.insert(name.to_lowercase(), name.to_owned());
    }

    /// Adds a service principal that exists or will, by application id.
    pub fn add_service_principal(&mut self, application_id: &str) {
        self.service_principals.insert(application_id.to_owned());
    }

    /// Adds a group that exists or will.
    pub fn add_group(&mut self, name: &str) {
        self.groups.insert(name.to_owned());
    }

    /// Takes away a principal that could not be made after all.
    pub fn remove_principal(&mut self, kind: &str, name: &str) {
        match kind {
            "users" => {
                self.users.remove(&name.to_lowercase());
            }
            // They exist in every workspace, whatever was answered.
            "groups" if matches!(name, "admins" | "users") => {}
            "groups" => {
                self.groups.remove(name);
            }
            _ => {
                self.service_principals.remove(name);
            }
        }
    }

    /// Adds a secret scope that exists or will.
    pub fn add_scope(&mut self, name: &str) {
        self.scopes.insert(name.to_owned());
    }

    /// Adds a path of the target's tree that exists or will.
    pub fn add_path(&mut self, path: &str) {
        self.tree.insert(path.to_owned());
    }

    /// Adds a DBFS path that exists or will.
    pub fn add_dbfs(&mut self, path: &str) {
        self.dbfs.insert(path.to_owned());
    }

    /// Adds the path of a git folder: what lies below comes from its remote.
    pub fn add_git_folder(&mut self, path: &str) {
        self.git_folders.push(path.to_owned());
    }

    /// Takes what the target says of paths that bodies name.
    pub(crate) fn looked_up(&mut self, named: &NamedPaths) {
        self.named.clone_from(named);
    }

    /// Records that a home, by its path in the source, stands elsewhere in the target.
    pub fn move_home(&mut self, from: &str, to: &str) {
        if let Some(name) = tree::home_owner(from) {
            self.moved.insert(name.to_owned(), to.to_owned());
        }
    }

    /// The path in the target of a path in the source.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        match (self.moved_home(path), tree::home_owner(path)) {
            (Some(to), Some(name)) => format!("{to}{}", &path["/Users/".len() + name.len()..]),
            _ => path.to_owned(),
        }
    }

    /// Where the home in which a path of the source lies went, when it did not stay.
    #[must_use]
    pub fn moved_home(&self, path: &str) -> Option<&str> {
        if self.moved.is_empty() {
            return None;
        }
        self.moved.get(tree::home_owner(path)?).map(String::as_str)
    }

    /// Whether a member that the archive does not name may be one whom it could not name.
    #[must_use]
    pub fn has_partial_identities(&self) -> bool {
        self.partial_identities
    }

    /// The name of a user as the target spells it.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&str> {
        self.users.get(&name.to_lowercase()).map(String::as_str)
    }

    /// Whether a service principal exists or will.
    #[must_use]
    pub fn has_service_principal(&self, application_id: &str) -> bool {
        self.service_principals.contains(application_id)
    }

    /// A principal as the target names it.
    #[must_use]
    pub fn principal(&self, principal: &Principal) -> Option<Principal> {
        let name = match principal.kind {
            Target::User => self.user(&principal.name)?.to_owned(),
            Target::Group => self.groups.get(&principal.name)?.clone(),
            _ => self.service_principals.get(&principal.name)?.clone(),
        };
        Some(Principal {
            kind: principal.kind,
            name,
        })
    }

    /// The grants of an archived reply in the words of the target; grantees that exist nowhere are named, and an owner
    /// who exists nowhere is replaced by the caller, which is named too.
    #[must_use]
    pub fn access(&self, kind: &Kind, archived: &Value, caller: &Principal) -> Access {
        let archived = acl::grants(archived);
        let (mut grants, missing) = acl::map(&archived, &mut |principal| self.principal(principal));
        let mut notes: Vec<String> = Vec::new();
        let has_owner = kind
            .permissions
            .is_some_and(|permissions| permissions.has_owner);
        if has_owner && acl::owners(&grants).len() != 1 {
            match acl::owners(&archived).first() {
                Some(owner) => notes.push(format!(
                    "owner missing: {} exists nowhere, the importer owns it",
                    owner.name
                )),
                None => notes
                    .push("owner missing: the archive names none, the importer owns it".to_owned()),
            }
            grants = acl::with_owner(&grants, caller);
        }
        let owners: Vec<&Principal> = acl::owners(&archived);
        for principal in &missing {
            if !(has_owner && owners.contains(&principal)) {
                notes.push(format!(
                    "not granted: {} {} exists nowhere",
                    noun(principal.kind),
                    principal.name
                ));
            }
        }
        Access { grants, notes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn kind(name: &str) -> &'static Kind {
        lifeboat_catalog::kind(name).unwrap()
    }

    fn caller() -> Principal {
        Principal {
            kind: Target::User,
            name: "admin@example.com".to_owned(),
        }
    }

    fn acl(entries: &[(&str, &str, &str)]) -> Value {
        let list: Vec<Value> = entries
            .iter()
            .map(|(field, name, level)| {
                json!({ *field: name, "all_permissions": [{ "permission_level": level, "inherited": false }] })
            })
            .collect();
        json!({ "access_control_list": list })
    }

    #[test]
    fn grantees_that_exist_nowhere_are_named_and_the_others_are_granted() {
        let mut resolver = Resolver::default();
        resolver.add_user("Ada@Example.com");
        let archived = acl(&[
            ("user_name", "ada@example.com", "CAN_EDIT"),
            ("group_name", "gone", "CAN_READ"),
        ]);
        let access = resolver.access(kind("notebooks"), &archived, &caller());
        assert_eq!(access.grants.len(), 1);
        assert_eq!(access.grants[0].principal.name, "Ada@Example.com");
        assert_eq!(
            access.notes,
            ["not granted: group gone exists nowhere"],
            "as the target spells it"
        );
    }

    #[test]
    fn a_job_has_exactly_one_owner_and_a_missing_one_is_said() {
        let mut resolver = Resolver::default();
        resolver.add_user("ada@example.com");
        for (owner, expected, notes) in [
            ("ada@example.com", "ada@example.com", 0),
            ("gone@example.com", "admin@example.com", 1),
        ] {
            let archived = acl(&[
                ("user_name", owner, "IS_OWNER"),
                ("group_name", "users", "CAN_VIEW"),
            ]);
            let mut resolver = resolver.clone();
            resolver.add_group("users");
            let access = resolver.access(kind("jobs"), &archived, &caller());
            assert_eq!(acl::owners(&access.grants)[0].name, expected);
            assert_eq!(acl::owners(&access.grants).len(), 1);
            assert_eq!(access.notes.len(), notes, "{:?}", access.notes);
        }
    }

    #[test]
    fn nobody_runs_as_the_importer_silently() {
        let resolver = Resolver::default();
        let body =
            json!({ "settings": { "name": "j", "run_as": { "user_name": "gone@example.com" } } });
        let rewritten = resolver.rewrite(kind("jobs"), &body);
        assert!(rewritten.missing.is_empty());
        assert!(rewritten.body["settings"].get("run_as").is_none());
        assert!(
            rewritten.notes[0].starts_with("owner missing: run_as gone@example.com"),
            "{:?}",
            rewritten.notes
        );
    }

    #[test]
    fn paths_follow_their_home_and_ids_inside_policy_texts_follow_their_pool() {
        let mut resolver = Resolver::default();
        resolver.move_home("/Users/gone@x", "/Restored-homes/gone@x");
        resolver.link("instance-pools", "pool-1", Link::Id("pool-2".to_owned()));
        let job = json!({ "settings": { "tasks": [
            { "task_key": "t", "notebook_task": { "notebook_path": "/Workspace/Users/gone@x/a/nb" } },
        ] } });
        let rewritten = resolver.rewrite(kind("jobs"), &job);
        assert_eq!(
            rewritten.body["settings"]["tasks"][0]["notebook_task"]["notebook_path"],
            "/Workspace/Restored-homes/gone@x/a/nb"
        );
        assert_eq!(resolver.path("/Users/gone@xy/a"), "/Users/gone@xy/a");
        let policy = json!({ "name": "p", "definition":
            "{\"instance_pool_id\": {\"type\": \"fixed\", \"value\": \"pool-1\"}}" });
        let rewritten = resolver.rewrite(kind("cluster-policies"), &policy);
        assert_eq!(
            rewritten.body["definition"],
            "{\"instance_pool_id\": {\"type\": \"fixed\", \"value\": \"pool-2\"}}"
        );
    }

    #[test]
    fn ids_of_the_source_that_stay_in_texts_are_pointed_out() {
        let archive = ArchiveState {
            host: "https://adb-1.2.azuredatabricks.net".to_owned(),
            workspace_id: "7405609000000001".to_owned(),
            ..ArchiveState::default()
        };
        let ids = BTreeSet::from(["0101-000000-abcdefgh".to_owned()]);
        let resolver = Resolver::new(&archive, false, ids);
        let body = json!({ "settings": { "parameters": [
            { "name": "cluster", "default": "0101-000000-abcdefgh" },
            { "name": "url", "default": "https://adb-1.2.azuredatabricks.net/?o=1" },
        ] } });
        let remarks = resolver.rewrite(kind("jobs"), &body).remarks;
        assert_eq!(remarks.len(), 2, "{remarks:?}");
    }

    proptest! {
        #[test]
        fn every_id_is_mapped_or_missing_and_nothing_else_changes(
            clusters in proptest::collection::vec((0_u32..20, any::<bool>()), 1..30),
            known in proptest::collection::btree_set(0_u32..20, 0..20),
        ) {
            let tasks: Vec<Value> = clusters
                .iter()
                .enumerate()
                .map(|(at, (id, nested))| {
                    let task = json!({ "task_key": format!("t{at}"), "existing_cluster_id": format!("s-{id}") });
                    if *nested {
                        json!({ "task_key": format!("f{at}"), "for_each_task": { "inputs": "[1]", "task": task } })
                    } else {
                        task
                    }
                })
                .collect();
            let body = json!({ "settings": { "name": "s-1", "tasks": tasks, "tags": { "s-2": "s-3" } } });
            let mut resolver = Resolver::default();
            for id in &known {
                resolver.link("clusters", &format!("s-{id}"), Link::Id(format!("t-{id}")));
            }
            let rewritten = resolver.rewrite(kind("jobs"), &body);
            let unknown: BTreeSet<u32> =
                clusters.iter().map(|(id, _)| *id).filter(|id| !known.contains(id)).collect();
            for id in &unknown {
                let named = rewritten.missing.iter().any(|missing| missing.contains(&format!("cluster s-{id} ")));
                prop_assert!(named);
            }
            prop_assert_eq!(rewritten.missing.is_empty(), unknown.is_empty());
            for found in kind("jobs").found_references(&rewritten.body) {
                let (side, id) = found.value.split_once('-').unwrap();
                prop_assert_eq!(side == "t", known.contains(&id.parse::<u32>().unwrap()));
            }
            // The name and the tags only look like ids.
            prop_assert_eq!(&rewritten.body["settings"]["name"], "s-1");
            prop_assert_eq!(&rewritten.body["settings"]["tags"], &json!({ "s-2": "s-3" }));
            // Back again it is what it was.
            let mut back = Resolver::default();
            for id in 0..20 {
                back.link("clusters", &format!("t-{id}"), Link::Id(format!("s-{id}")));
                back.link("clusters", &format!("s-{id}"), Link::Id(format!("s-{id}")));
            }
            prop_assert_eq!(back.rewrite(kind("jobs"), &rewritten.body).body, body);
        }

        #[test]
        fn a_digest_does_not_know_the_order_of_keys(values in proptest::collection::btree_map("[a-z]{1,4}", any::<i64>(), 0..10)) {
            let forward: serde_json::Map<String, Value> =
                values.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            let backward: serde_json::Map<String, Value> =
                values.iter().rev().map(|(key, value)| (key.clone(), json!(value))).collect();
            prop_assert_eq!(digest(&Value::Object(forward)), digest(&Value::Object(backward)));
        }
    }
}
