//! The workspace tree: directories, notebooks, files and the other objects, indexed by id, parent and name.

use bytes::Bytes;

use crate::http::Caller;
use crate::world::World;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A directory.
    Directory,
    /// A notebook: language (`PYTHON`, ...) and its source text with the header line.
    Notebook {
        /// `PYTHON`, `SCALA`, `SQL`, `R`.
        language: &'static str,
        /// Source text or ipynb JSON, as `jupyter` says.
        content: Bytes,
        /// Stored as ipynb.
        jupyter: bool,
    },
    /// A workspace file.
    File(Bytes),
    /// A git folder, by its id in the repos API.
    Repo,
    /// A legacy library object.
    Library,
    /// A dashboard file.
    Dashboard,
    /// An MLflow experiment.
    Experiment,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {}

impl Tree {
    /// A tree with the root only.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        let _ = now_ms;
        Self {}
    }
}

/// `/Users`, `/Shared`, `/Repos`.
pub fn create_system(world: &mut World) {
    let _ = world;
}

/// Puts an object at an absolute path, with missing parents, replacing what is there; returns its object id. The
/// creator gets the automatic `CAN_MANAGE` entry on everything that is new.
pub fn put(world: &mut World, path: &str, object: Object, creator: &Caller) -> i64 {
    let _ = (path, object, creator);
    world.ids.number()
}

/// Moves an object.
pub fn rename(world: &mut World, from: &str, to: &str) -> bool {
    let _ = (world, from, to);
    false
}

/// Removes an object.
pub fn remove(world: &mut World, path: &str) -> bool {
    let _ = (world, path);
    false
}
