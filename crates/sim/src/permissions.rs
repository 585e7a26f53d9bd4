//! Permissions of every kind of object: the registry of direct entries, what is inherited, and who may do what.
//!
//! Other modules call [`Acls::created`] and [`Acls::removed`] with a segment and an id, and [`may`] before they show or
//! change an object.

use std::collections::{BTreeMap, HashMap};

use crate::http::Caller;
use crate::world::World;

/// Somebody who holds a permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// By user name.
    User(String),
    /// By display name.
    Group(String),
    /// By application id.
    ServicePrincipal(String),
}

impl From<&Caller> for Principal {
    fn from(caller: &Caller) -> Self {
        if caller.service_principal {
            Self::ServicePrincipal(caller.name.clone())
        } else {
            Self::User(caller.name.clone())
        }
    }
}

/// A kind of object with permissions.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// In the path: `jobs`.
    pub name: &'static str,
    /// In replies: `job`.
    pub object_type: &'static str,
    /// Levels from weakest to strongest.
    pub levels: &'static [&'static str],
    /// What the creator gets; empty for nothing.
    pub creator: &'static str,
}

impl Segment {
    /// Exactly one principal holds `IS_OWNER`.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.levels.contains(&"IS_OWNER")
    }

    /// Place of a level in the order of strength.
    #[must_use]
    pub fn rank(&self, level: &str) -> Option<usize> {
        self.levels.iter().position(|known| *known == level)
    }
}

const TREE: &[&str] = &["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"];

/// Every segment of the simulator.
pub const SEGMENTS: &[Segment] = &[
    Segment {
        name: "clusters",
        object_type: "cluster",
        levels: &["CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"],
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "cluster-policies",
        object_type: "cluster-policy",
        levels: &["CAN_USE"],
        creator: "",
    },
    Segment {
        name: "instance-pools",
        object_type: "instance-pool",
        levels: &["CAN_ATTACH_TO", "CAN_MANAGE"],
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "jobs",
        object_type: "job",
        levels: &["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"],
        creator: "IS_OWNER",
    },
    Segment {
        name: "notebooks",
        object_type: "notebook",
        levels: TREE,
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "directories",
        object_type: "directory",
        levels: TREE,
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "files",
        object_type: "file",
        levels: TREE,
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "repos",
        object_type: "repo",
        levels: TREE,
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "dashboards",
        object_type: "dashboard",
        levels: TREE,
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "experiments",
        object_type: "mlflowExperiment",
        levels: &["CAN_READ", "CAN_EDIT", "CAN_MANAGE"],
        creator: "CAN_MANAGE",
    },
    Segment {
        name: "authorization",
        object_type: "tokens",
        levels: &["CAN_USE", "CAN_MANAGE"],
        creator: "",
    },
];

/// A segment by its name in the path.
#[must_use]
pub fn segment(name: &str) -> Option<&'static Segment> {
    SEGMENTS.iter().find(|segment| segment.name == name)
}

/// Direct entries of one object.
pub type Entries = BTreeMap<Principal, &'static str>;

/// Direct entries of all objects, by segment and id.
#[derive(Debug, Default)]
pub struct Acls {
    direct: HashMap<(&'static str, String), Entries>,
}

impl Acls {
    /// Gives the creator of a new object the automatic entry of its kind.
    pub fn created(&mut self, name: &str, id: &str, creator: &Caller) {
        if let Some(segment) = segment(name)
            && !segment.creator.is_empty()
        {
            self.set(name, id, creator.into(), segment.creator);
        }
    }

    /// Sets one direct entry; unknown segments and levels are ignored.
    pub fn set(&mut self, name: &str, id: &str, principal: Principal, level: &str) {
        if let Some(segment) = segment(name)
            && let Some(rank) = segment.rank(level)
        {
            self.direct
                .entry((segment.name, id.to_owned()))
                .or_default()
                .insert(principal, segment.levels[rank]);
        }
    }

    /// Replaces all direct entries.
    pub fn replace(&mut self, segment: &'static Segment, id: &str, entries: Entries) {
        self.direct.insert((segment.name, id.to_owned()), entries);
    }

    /// Forgets an object that is gone.
    pub fn removed(&mut self, name: &str, id: &str) {
        if let Some(segment) = segment(name) {
            self.direct.remove(&(segment.name, id.to_owned()));
        }
    }

    fn entries(&self, segment: &'static Segment, id: &str) -> Option<&Entries> {
        self.direct.get(&(segment.name, id.to_owned()))
    }

    /// A principal is called otherwise from now on.
    pub(crate) fn rename_principal(&mut self, from: &Principal, to: &Principal) {
        for entries in self.direct.values_mut() {
            if let Some(level) = entries.remove(from) {
                entries.insert(to.clone(), level);
            }
        }
    }

    /// A principal is gone, and all its entries with it.
    pub(crate) fn forget_principal(&mut self, principal: &Principal) {
        for entries in self.direct.values_mut() {
            entries.remove(principal);
        }
    }

    /// Direct entries of one object, in a stable order.
    #[must_use]
    pub fn direct(&self, name: &str, id: &str) -> Entries {
        segment(name)
            .and_then(|segment| self.direct.get(&(segment.name, id.to_owned())))
            .cloned()
            .unwrap_or_default()
    }
}

/// Whether the caller holds at least this level on an object, directly, through a group or from a folder above it.
/// Administrators may everything. For objects outside the tree; see [`may_tree`] for the others.
#[must_use]
pub fn may(world: &World, caller: &Caller, name: &str, id: &str, level: &str) -> bool {
    if caller.admin {
        return true;
    }
    let Some(segment) = segment(name) else {
        return false;
    };
    if let Some(node) = world.tree.by_segment(name, id) {
        return may_tree(world, caller, node.id, level);
    }
    let wanted = segment.rank(level);
    let principals = world.identities.principals_of(caller);
    world
        .acls
        .entries(segment, id)
        .is_some_and(|entries| grants(entries, &principals, |held| segment.rank(held) >= wanted))
}

/// The same for an object of the workspace tree. The top folders are readable for everybody.
#[must_use]
pub fn may_tree(world: &World, caller: &Caller, id: i64, level: &str) -> bool {
    if caller.admin {
        return true;
    }
    let line = world.tree.lineage(id);
    if level == "CAN_READ" && line.len() <= 2 && line.iter().all(|node| node.object.is_folder()) {
        return true;
    }
    let principals = world.identities.principals_of(caller);
    let rank = |level: &str| TREE.iter().position(|known| *known == level);
    line.iter().any(|node| {
        let Some(segment) = segment(node.object.segment()) else {
            return false;
        };
        world
            .acls
            .entries(segment, &node.id.to_string())
            .is_some_and(|entries| grants(entries, &principals, |held| rank(held) >= rank(level)))
    })
}

fn grants(entries: &Entries, principals: &[Principal], enough: impl Fn(&str) -> bool) -> bool {
    principals
        .iter()
        .filter_map(|principal| entries.get(principal))
        .any(|held| enough(held))
}

mod api;

pub(crate) use api::routes;

#[cfg(test)]
mod tests;
