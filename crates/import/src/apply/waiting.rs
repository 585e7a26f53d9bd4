//! Who waits for whom: an object is written when what its body and its access control name is there, or certainly is not
//! (`spec/import.md`, "Order").
//!
//! Waited for are users, service principals and groups that are still to be made, clusters and jobs. Everything else has
//! its place in the order of the phases.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lifeboat_catalog::{Kind, Target, acl, tree};
use serde_json::Value;
use tokio::sync::SetOnce;

use crate::plan::{Action, Plan};
use crate::target::is_identity;

/// The actions of a plan that others may wait for.
pub(super) struct Waiting {
    /// When there was a result, by position.
    done: HashMap<usize, SetOnce<Instant>>,
    /// Positions by kind and id in the source.
    by_id: HashMap<(String, String), usize>,
    /// Positions of users, service principals and groups by name, without regard to case.
    by_name: HashMap<String, Vec<usize>>,
}

impl Waiting {
    pub fn new(plan: &Plan) -> Self {
        let mut waiting = Self {
            done: HashMap::new(),
            by_id: HashMap::new(),
            by_name: HashMap::new(),
        };
        for (index, action) in plan.actions.iter().enumerate() {
            if is_waited_for(action) {
                waiting.add(index, action);
            }
        }
        waiting
    }

    fn add(&mut self, index: usize, action: &Action) {
        self.done.insert(index, SetOnce::new());
        let key = (action.kind.clone(), action.id.clone());
        self.by_id.insert(key, index);
        if is_identity(&action.kind) {
            let name = action.name.to_lowercase();
            self.by_name.entry(name).or_default().push(index);
        }
    }

    /// There is a result at this position of the plan.
    pub fn tell(&self, index: usize) {
        if let Some(done) = self.done.get(&index) {
            // An error says that it was told before.
            let _told = done.set(Instant::now());
        }
    }

    /// Waits until there is a result at each of these positions of the plan.
    pub async fn for_all(&self, positions: &[usize]) {
        for done in positions.iter().filter_map(|index| self.done.get(index)) {
            done.wait().await;
        }
    }

    /// What an archived body refers to. The plan blocks jobs in a circle, so nobody waits for himself.
    pub fn referred(&self, kind: &Kind, body: &Value) -> Vec<usize> {
        if self.done.is_empty() {
            return Vec::new();
        }
        let mut positions = Vec::new();
        for found in kind.found_references(body) {
            let kinds: &[&str] = match found.to {
                Target::Cluster => &["clusters"],
                Target::Job => &["jobs"],
                Target::User | Target::Group | Target::ServicePrincipal | Target::Principal => {
                    positions.extend(self.named(&found.value));
                    &["users", "service-principals", "groups"]
                }
                _ => &[],
            };
            let by_id = |kind: &&str| {
                let key = ((*kind).to_owned(), found.value.clone());
                self.by_id.get(&key).copied()
            };
            positions.extend(kinds.iter().filter_map(by_id));
        }
        positions
    }

    /// Whom an archived access control names.
    pub fn granted(&self, archived: &Value) -> Vec<usize> {
        if self.by_name.is_empty() {
            return Vec::new();
        }
        let grants = acl::grants(archived);
        let names = grants.iter().map(|grant| grant.principal.name.as_str());
        names.flat_map(|name| self.named(name)).collect()
    }

    /// Users, service principals and groups of this name.
    pub fn of_name(&self, name: &str) -> Vec<usize> {
        self.named(name).collect()
    }

    /// Whose home it is.
    pub fn owner(&self, home: &str) -> Vec<usize> {
        tree::home_owner(home).map_or_else(Vec::new, |name| self.of_name(name))
    }

    /// Whether this run made somebody of this name, less than that long ago.
    pub fn is_new(&self, name: &str, age: Duration) -> bool {
        let mut made = self.named(name).filter_map(|at| self.done.get(&at)?.get());
        made.any(|at| at.elapsed() < age)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = usize> {
        let positions = self.by_name.get(&name.to_lowercase());
        positions.into_iter().flatten().copied()
    }
}

/// Of identities that exist, nobody needs to know what becomes of their entitlements and members.
fn is_waited_for(action: &Action) -> bool {
    let refers = match action.kind.as_str() {
        "clusters" | "jobs" => true,
        kind => is_identity(kind) && action.target.is_none(),
    };
    refers && action.has_work() && !action.removed
}
