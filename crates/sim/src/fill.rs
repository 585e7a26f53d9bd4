//! A seeded generator that fills a workspace: believable in what refers to what, of any size, the same for the same seed.
//!
//! It owns how much of what there is ([`Fill`]) and the order of the parts. State is written directly, without calls,
//! so a fill starts no cluster.

use fastrand::Rng;
use serde_json::Value;

use crate::http::Caller;
use crate::world::World;

mod awkward;
mod broken;
mod compute;
mod grants;
mod people;
mod storage;
mod text;
mod tree;
mod work;

/// How much of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Same seed, same workspace.
    pub seed: u64,
    /// Notebooks.
    pub notebooks: usize,
    /// Cells of each notebook, about 200 bytes each; 0 is a few, fewer where there are very many notebooks.
    pub cells: usize,
    /// Folders that hold them, beside the homes; some more are empty.
    pub folders: usize,
    /// Workspace files, about a third of them binary.
    pub files: usize,
    /// Objects of the tree that `workspace/export` does not give: dashboards, legacy libraries, experiments.
    pub others: usize,
    /// Users beside the administrator.
    pub users: usize,
    /// Service principals.
    pub service_principals: usize,
    /// Groups: workspace-local ones, every fourth an account group; some nested.
    pub groups: usize,
    /// All-purpose clusters.
    pub clusters: usize,
    /// Jobs.
    pub jobs: usize,
    /// Instance pools.
    pub pools: usize,
    /// Cluster policies beside the built-in ones.
    pub policies: usize,
    /// Global init scripts.
    pub init_scripts: usize,
    /// Secret scopes.
    pub scopes: usize,
    /// Git folders.
    pub git_folders: usize,
    /// Files in DBFS beside those that clusters and jobs name.
    pub dbfs_files: usize,
    /// Direct permissions on objects of all kinds.
    pub acls: bool,
    /// Names and contents that are hard to carry: clashes of case, trailing dots, 255 characters, 10 MB, no last newline.
    pub awkward: bool,
    /// What leads nowhere: homes and owners that left, forgotten clusters, warehouses, a circle of jobs.
    pub broken: bool,
}

impl Fill {
    /// A few of everything.
    #[must_use]
    pub fn small() -> Self {
        Self {
            seed: 1,
            notebooks: 30,
            cells: 0,
            folders: 10,
            files: 8,
            others: 3,
            users: 8,
            service_principals: 2,
            groups: 5,
            clusters: 4,
            jobs: 10,
            pools: 2,
            policies: 2,
            init_scripts: 3,
            scopes: 2,
            git_folders: 1,
            dbfs_files: 6,
            acls: true,
            awkward: false,
            broken: false,
        }
    }

    /// What a demonstration shows: a company's workspace.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            notebooks: 300,
            folders: 40,
            files: 60,
            others: 0,
            users: 40,
            service_principals: 6,
            groups: 14,
            clusters: 12,
            jobs: 60,
            pools: 4,
            policies: 6,
            init_scripts: 10,
            scopes: 6,
            git_folders: 4,
            dbfs_files: 40,
            ..Self::small()
        }
    }

    /// The workload against which tools are timed: 300 notebooks, 40 folders, 5 clusters, 20 jobs, 10 init scripts, ACLs.
    #[must_use]
    pub fn baseline() -> Self {
        Self {
            notebooks: 300,
            folders: 40,
            files: 0,
            others: 0,
            users: 20,
            service_principals: 2,
            groups: 6,
            clusters: 5,
            jobs: 20,
            pools: 2,
            policies: 2,
            init_scripts: 10,
            scopes: 2,
            git_folders: 0,
            dbfs_files: 10,
            ..Self::small()
        }
    }

    /// A small workspace with every awkward name and content that the service allows.
    #[must_use]
    pub fn awkward() -> Self {
        Self {
            awkward: true,
            ..Self::small()
        }
    }

    /// A small workspace with references that lead nowhere and objects that cannot be restored.
    #[must_use]
    pub fn broken() -> Self {
        Self {
            broken: true,
            ..Self::small()
        }
    }

    /// A workspace of this many notebooks and all else in proportion.
    #[must_use]
    pub fn sized(notebooks: usize) -> Self {
        Self {
            notebooks,
            folders: notebooks / 8 + 4,
            files: notebooks / 10,
            others: 0,
            users: (notebooks / 20).clamp(4, 2_000),
            service_principals: (notebooks / 200).clamp(1, 100),
            groups: (notebooks / 50).clamp(4, 200),
            clusters: (notebooks / 40).clamp(3, 150),
            jobs: (notebooks / 10).clamp(5, 3_000),
            pools: (notebooks / 200).clamp(2, 30),
            policies: (notebooks / 200).clamp(2, 50),
            init_scripts: (notebooks / 100).clamp(1, 20),
            scopes: (notebooks / 100).clamp(2, 100),
            git_folders: (notebooks / 200).clamp(1, 100),
            dbfs_files: notebooks / 10,
            ..Self::small()
        }
    }

    /// A fill by its name: `small`, `demo`, `baseline`, `awkward`, `broken`, `sized:<notebooks>`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self::small()),
            "demo" => Some(Self::demo()),
            "baseline" => Some(Self::baseline()),
            "awkward" => Some(Self::awkward()),
            "broken" => Some(Self::broken()),
            _ => name.strip_prefix("sized:")?.parse().ok().map(Self::sized),
        }
    }

    /// A fill from JSON: `name` (default `small`), and fields that override its numbers.
    ///
    /// # Errors
    /// Text that names what is unknown or no number.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("a fill is a JSON object")?;
        let name = fields
            .get("name")
            .map_or(Some("small"), Value::as_str)
            .ok_or("the name is no text")?;
        let mut fill = Self::named(name).ok_or_else(|| format!("unknown fill {name}"))?;
        for (field, value) in fields.iter().filter(|(field, _)| *field != "name") {
            if let Some(flag) = fill.flag_mut(field) {
                *flag = value
                    .as_bool()
                    .ok_or_else(|| format!("{field} is no boolean"))?;
                continue;
            }
            let number = value
                .as_u64()
                .ok_or_else(|| format!("{field} is no number"))?;
            match fill.count_mut(field) {
                Some(count) => {
                    *count = usize::try_from(number).map_err(|_| format!("{field} is too large"))?
                }
                None if field == "seed" => fill.seed = number,
                None => return Err(format!("unknown field {field}")),
            }
        }
        Ok(fill)
    }

    fn flag_mut(&mut self, field: &str) -> Option<&mut bool> {
        match field {
            "acls" => Some(&mut self.acls),
            "awkward" => Some(&mut self.awkward),
            "broken" => Some(&mut self.broken),
            _ => None,
        }
    }

    fn count_mut(&mut self, field: &str) -> Option<&mut usize> {
        Some(match field {
            "notebooks" => &mut self.notebooks,
            "cells" => &mut self.cells,
            "folders" => &mut self.folders,
            "files" => &mut self.files,
            "others" => &mut self.others,
            "users" => &mut self.users,
            "service_principals" => &mut self.service_principals,
            "groups" => &mut self.groups,
            "clusters" => &mut self.clusters,
            "jobs" => &mut self.jobs,
            "pools" => &mut self.pools,
            "policies" => &mut self.policies,
            "init_scripts" => &mut self.init_scripts,
            "scopes" => &mut self.scopes,
            "git_folders" => &mut self.git_folders,
            "dbfs_files" => &mut self.dbfs_files,
            _ => return None,
        })
    }
}

/// Fills the workspace. Filling twice with different seeds adds up; the same seed twice is not meant.
///
/// # Panics
/// Never on any numbers: what the generator makes satisfies the checks of the API, and a test fills with every preset.
pub fn fill(world: &mut World, fill: &Fill) {
    let mut filler = Filler::new(world, fill);
    people::fill(&mut filler);
    storage::fill(&mut filler);
    tree::fill(&mut filler);
    compute::fill(&mut filler);
    work::fill(&mut filler);
    if fill.awkward {
        awkward::fill(&mut filler);
    }
    if fill.broken {
        broken::fill(&mut filler);
    }
    if fill.acls {
        grants::fill(&mut filler);
    }
}

/// What is being filled, and what is there so far for later parts to refer to.
struct Filler<'w> {
    world: &'w mut World,
    fill: &'w Fill,
    rng: Rng,
    /// Users and service principals that create things; the administrator is the first.
    callers: Vec<Caller>,
    users: Vec<String>,
    service_principals: Vec<String>,
    groups: Vec<String>,
    /// Paths with their object ids.
    folders: Vec<(String, i64)>,
    notebooks: Vec<(String, i64)>,
    files: Vec<(String, i64)>,
    git_folders: Vec<i64>,
    /// DBFS paths without scheme.
    jars: Vec<String>,
    wheels: Vec<String>,
    scripts: Vec<String>,
    programs: Vec<String>,
    scopes: Vec<String>,
    pools: Vec<String>,
    policies: Vec<String>,
    clusters: Vec<String>,
    jobs: Vec<i64>,
}

impl<'w> Filler<'w> {
    fn new(world: &'w mut World, fill: &'w Fill) -> Self {
        let callers = vec![world.admin()];
        Self {
            world,
            fill,
            rng: Rng::with_seed(fill.seed),
            callers,
            users: Vec::new(),
            service_principals: Vec::new(),
            groups: Vec::new(),
            folders: Vec::new(),
            notebooks: Vec::new(),
            files: Vec::new(),
            git_folders: Vec::new(),
            jars: Vec::new(),
            wheels: Vec::new(),
            scripts: Vec::new(),
            programs: Vec::new(),
            scopes: Vec::new(),
            pools: Vec::new(),
            policies: Vec::new(),
            clusters: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// One that creates things.
    fn somebody(&mut self) -> Caller {
        self.callers[self.rng.usize(0..self.callers.len())].clone()
    }

    /// One element, when there is any.
    fn one<T: Clone>(&mut self, list: impl Fn(&Self) -> &[T]) -> Option<T> {
        let length = list(self).len();
        if length == 0 {
            return None;
        }
        let at = self.rng.usize(0..length);
        list(self).get(at).cloned()
    }

    /// True once in `of` times.
    fn chance(&mut self, of: u32) -> bool {
        self.rng.u32(0..of) == 0
    }
}

#[cfg(test)]
mod tests;
