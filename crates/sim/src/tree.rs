//! The workspace tree: directories, notebooks, files and the other objects, indexed by id, parent and name.
//!
//! Owns the state and its invariants; the REST calls on it are in [`crate::workspace`].

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::http::Caller;
use crate::permissions::Principal;
use crate::world::World;

/// Object id of `/`.
pub const ROOT: i64 = 0;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A directory.
    Directory,
    /// A notebook.
    Notebook {
        /// `PYTHON`, `SCALA`, `SQL`, `R`.
        language: &'static str,
        /// Source text with the header line, or ipynb JSON, as `jupyter` says.
        content: Bytes,
        /// Stored as ipynb.
        jupyter: bool,
    },
    /// A workspace file.
    File(Bytes),
    /// A git folder.
    Repo,
    /// A legacy library object.
    Library,
    /// A dashboard file.
    Dashboard,
    /// An MLflow experiment.
    Experiment,
    /// Any further type, by the name that the service shows.
    Other(&'static str),
}

impl Object {
    /// `object_type` in replies.
    #[must_use]
    pub fn object_type(&self) -> &'static str {
        match self {
            Self::Directory => "DIRECTORY",
            Self::Notebook { .. } => "NOTEBOOK",
            Self::File(_) => "FILE",
            Self::Repo => "REPO",
            Self::Library => "LIBRARY",
            Self::Dashboard => "DASHBOARD",
            Self::Experiment => "MLFLOW_EXPERIMENT",
            Self::Other(name) => name,
        }
    }

    /// Segment of the permissions API; empty for objects without permissions of their own.
    #[must_use]
    pub fn segment(&self) -> &'static str {
        match self {
            Self::Directory => "directories",
            Self::Notebook { .. } => "notebooks",
            Self::File(_) => "files",
            Self::Repo => "repos",
            Self::Dashboard => "dashboards",
            Self::Experiment => "experiments",
            Self::Library | Self::Other(_) => "",
        }
    }

    /// May hold further objects.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Directory | Self::Repo)
    }
}

/// One object of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Object id.
    pub id: i64,
    /// Object id of the folder; [`ROOT`] is its own.
    pub parent: i64,
    /// Name within the folder.
    pub name: String,
    /// What it is.
    pub object: Object,
    /// Epoch milliseconds.
    pub created_ms: i64,
    /// Epoch milliseconds.
    pub modified_ms: i64,
}

/// A home that does not exist yet.
#[derive(Clone, Debug)]
struct LateHome {
    user: i64,
    due_ms: i64,
    reads: u32,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<i64, Node>,
    children: HashMap<i64, BTreeMap<String, i64>>,
    late: BTreeMap<String, LateHome>,
}

impl Tree {
    /// A tree with the root only.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        let root = Node {
            id: ROOT,
            parent: ROOT,
            name: String::new(),
            object: Object::Directory,
            created_ms: now_ms,
            modified_ms: now_ms,
        };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            children: HashMap::new(),
            late: BTreeMap::new(),
        }
    }

    /// An object by its id.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// An object by its absolute path (without `/Workspace`).
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Node> {
        let mut id = ROOT;
        for name in names(path) {
            id = *self.children.get(&id)?.get(name)?;
        }
        self.nodes.get(&id)
    }

    /// Objects of a folder, by name.
    pub fn children(&self, id: i64) -> impl Iterator<Item = &Node> {
        self.children
            .get(&id)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|child| self.nodes.get(child))
    }

    /// Whether a folder holds nothing.
    #[must_use]
    pub fn is_empty(&self, id: i64) -> bool {
        self.children.get(&id).is_none_or(BTreeMap::is_empty)
    }

    /// Whether only the folders that every workspace has are there, and the administrator's home.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.nodes.len() <= 5
    }

    /// The object and the folders above it, the root last.
    #[must_use]
    pub fn lineage(&self, id: i64) -> Vec<&Node> {
        let mut line = Vec::new();
        let mut next = self.nodes.get(&id);
        while let Some(node) = next {
            line.push(node);
            next = (node.id != ROOT)
                .then(|| self.nodes.get(&node.parent))
                .flatten();
        }
        line
    }

    /// Absolute path of an object.
    #[must_use]
    pub fn path(&self, id: i64) -> String {
        let line = self.lineage(id);
        let mut path = String::new();
        for node in line.iter().rev().filter(|node| node.id != ROOT) {
            path.push('/');
            path.push_str(&node.name);
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// All objects, folders before their content, siblings by name.
    #[must_use]
    pub fn walk(&self) -> Vec<&Node> {
        let mut found = Vec::with_capacity(self.nodes.len());
        let mut open: Vec<&Node> = self.nodes.get(&ROOT).into_iter().collect();
        while let Some(node) = open.pop() {
            found.push(node);
            let mut below: Vec<&Node> = self.children(node.id).collect();
            below.reverse();
            open.extend(below);
        }
        found
    }

    /// An object of this type whose permissions go by this id.
    #[must_use]
    pub fn by_segment(&self, segment: &str, id: &str) -> Option<&Node> {
        let node = self.nodes.get(&id.parse().ok()?)?;
        (node.object.segment() == segment).then_some(node)
    }

    fn insert(&mut self, node: Node) {
        self.children
            .entry(node.parent)
            .or_default()
            .insert(node.name.clone(), node.id);
        self.nodes.insert(node.id, node);
    }

    /// Unhooks an object and everything below; returns what is gone.
    fn take(&mut self, id: i64) -> Vec<Node> {
        let mut gone = Vec::new();
        if let Some(node) = self.nodes.get(&id)
            && let Some(siblings) = self.children.get_mut(&node.parent)
        {
            siblings.remove(&node.name);
        }
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            open.extend(
                self.children
                    .remove(&id)
                    .into_iter()
                    .flatten()
                    .map(|(_, child)| child),
            );
            gone.extend(self.nodes.remove(&id));
        }
        gone
    }
}

/// Names in an absolute path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// Folder and name of an absolute path; none for the root.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/')?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// `/Users`, `/Shared`, `/Repos` with the rights that everybody has.
pub fn create_system(world: &mut World) {
    let now = world.clock.now_ms();
    for name in ["Users", "Shared", "Repos"] {
        let id = world.ids.number();
        world.tree.insert(Node {
            id,
            parent: ROOT,
            name: name.to_owned(),
            object: Object::Directory,
            created_ms: now,
            modified_ms: now,
        });
        if name == "Shared" {
            let everybody = Principal::Group("users".to_owned());
            world
                .acls
                .set("directories", &id.to_string(), everybody, "CAN_MANAGE");
        }
    }
    let admins = || Principal::Group("admins".to_owned());
    world.acls.set("directories", "0", admins(), "CAN_MANAGE");
    world
        .acls
        .set("authorization", "tokens", admins(), "CAN_MANAGE");
}

/// Makes the home of a new user, now or later as the switches say.
pub fn create_home(world: &mut World, user: i64) {
    let Some(name) = world.identities.get(user).map(|user| user.key().to_owned()) else {
        return;
    };
    let seconds = world.switches.home_after_seconds;
    let late = LateHome {
        user,
        due_ms: world.clock.now_ms() + seconds * 1000,
        reads: world.switches.home_after_reads,
    };
    world.tree.late.insert(format!("/Users/{name}"), late);
    settle_homes(world, "");
}

/// Makes the homes that are due. A request that names a late home counts as one read of it.
pub fn settle_homes(world: &mut World, path: &str) {
    if world.tree.late.is_empty() {
        return;
    }
    let now = world.clock.now_ms();
    let mut due = Vec::new();
    world.tree.late.retain(|home, late| {
        let ready = now >= late.due_ms && late.reads == 0;
        if ready {
            due.push((home.clone(), late.user));
        } else if path.starts_with(home.as_str()) {
            late.reads = late.reads.saturating_sub(1);
        }
        !ready
    });
    for (home, user) in due {
        let Some(owner) = world.identities.caller(user) else {
            continue;
        };
        if world.tree.find(&home).is_none() {
            put(world, &home, Object::Directory, &owner);
        }
    }
}

/// Puts an object at an absolute path, with missing folders, replacing what is there; returns its object id. An object
/// of the same type keeps its id. The creator gets the automatic `CAN_MANAGE` entry on everything that is new.
pub fn put(world: &mut World, path: &str, object: Object, creator: &Caller) -> i64 {
    let Some((parent, name)) = split(path) else {
        return ROOT;
    };
    let folder = match world.tree.find(parent) {
        Some(folder) => folder.id,
        None => put(world, parent, Object::Directory, creator),
    };
    let now = world.clock.now_ms();
    let known = world
        .tree
        .find(path)
        .map(|node| (node.id, node.object.object_type()));
    if let Some((id, object_type)) = known {
        if object_type == object.object_type() {
            if let Some(node) = world.tree.nodes.get_mut(&id) {
                node.object = object;
                node.modified_ms = now;
            }
            return id;
        }
        remove(world, path);
    }
    let id = world.ids.number();
    let segment = object.segment();
    world.tree.insert(Node {
        id,
        parent: folder,
        name: name.to_owned(),
        object,
        created_ms: now,
        modified_ms: now,
    });
    world.acls.created(segment, &id.to_string(), creator);
    id
}

/// Removes an object with everything below and their permissions; false when there is none (or for the root).
pub fn remove(world: &mut World, path: &str) -> bool {
    let Some(id) = world
        .tree
        .find(path)
        .map(|node| node.id)
        .filter(|id| *id != ROOT)
    else {
        return false;
    };
    for node in world.tree.take(id) {
        world
            .acls
            .removed(node.object.segment(), &node.id.to_string());
    }
    true
}

/// Sets the time at which an object says it was modified; false when there is none.
pub fn set_modified(world: &mut World, path: &str, modified_ms: i64) -> bool {
    let id = world.tree.find(path).map(|node| node.id);
    match id.and_then(|id| world.tree.nodes.get_mut(&id)) {
        Some(node) => {
            node.modified_ms = modified_ms;
            true
        }
        None => false,
    }
}

/// Moves or renames an object; its id and permissions stay. False when it does not exist, the new folder does not, or
/// something stands at the new path.
pub fn rename(world: &mut World, from: &str, to: &str) -> bool {
    let tree = &mut world.tree;
    let Some(id) = tree.find(from).map(|node| node.id) else {
        return false;
    };
    let Some((parent, name)) = split(to) else {
        return false;
    };
    let Some(folder) = tree.find(parent).map(|node| node.id) else {
        return false;
    };
    if tree.find(to).is_some() || tree.lineage(folder).iter().any(|node| node.id == id) {
        return false;
    }
    let Some(mut node) = tree.nodes.get(&id).cloned() else {
        return false;
    };
    if let Some(siblings) = tree.children.get_mut(&node.parent) {
        siblings.remove(&node.name);
    }
    node.parent = folder;
    node.name = name.to_owned();
    tree.insert(node);
    true
}

/// Length and FNV-1a of a content: enough to see a difference, short enough to print.
pub(crate) fn digest(content: &[u8]) -> String {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{} bytes, {hash:016x}", content.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_ids_outlive_a_move() {
        let mut world = World::for_tests();
        let admin = world.admin();
        let a = put(
            &mut world,
            "/Shared/A",
            Object::File(Bytes::from("1")),
            &admin,
        );
        let b = put(
            &mut world,
            "/Shared/a",
            Object::File(Bytes::from("2")),
            &admin,
        );
        assert_ne!(a, b);
        assert!(rename(&mut world, "/Shared/A", "/Shared/Ä %:\"'"));
        assert_eq!(world.tree.path(a), "/Shared/Ä %:\"'");
        assert!(!rename(&mut world, "/Shared/a", "/Shared/Ä %:\"'"));
        assert!(!rename(&mut world, "/Shared", "/Shared/x"));
        assert!(world.tree.find("/Shared/A").is_none());
        assert_eq!(
            put(&mut world, "/Shared/a", Object::File(Bytes::new()), &admin),
            b
        );
        assert!(remove(&mut world, "/Shared"));
        assert!(
            world.tree.get(a).is_none() && world.acls.direct("files", &a.to_string()).is_empty()
        );
    }

    #[test]
    fn a_late_home_appears_after_time_and_reads() {
        let mut world = World::for_tests();
        world.switches.home_after_seconds = 5;
        world.switches.home_after_reads = 1;
        crate::identities::add_user(&mut world, "late@example.com", "Late", false);
        let home = "/Users/late@example.com";
        settle_homes(&mut world, home);
        settle_homes(&mut world, home);
        assert!(world.tree.find(home).is_none(), "too early");
        world.clock.advance(std::time::Duration::from_secs(5));
        settle_homes(&mut world, home);
        assert!(world.tree.find(home).is_some());
    }
}
