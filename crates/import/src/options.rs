//! What a run is asked to do, and the part of an archive that it covers.

use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::Error;

/// Which part of the archive is imported. Empty means everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Patterns of workspace paths; a directory that is named includes what is below it.
    pub include: Vec<String>,
    /// Patterns of workspace paths that are left out; they win over `include`.
    pub exclude: Vec<String>,
    /// Names of kinds (`jobs`, `notebooks`, ...).
    pub kinds: Option<Vec<String>>,
    /// User names: of the tree below `/Users`, only their homes.
    pub users: Option<Vec<String>>,
}

impl Selection {
    /// True when the whole archive is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.include.is_empty()
            && self.exclude.is_empty()
            && self.kinds.is_none()
            && self.users.is_none()
    }

    /// The selection in the form that decides object by object.
    ///
    /// # Errors
    /// A pattern that is not a glob, a kind that does not exist.
    pub fn compile(&self) -> Result<Filter, Error> {
        for kind in self.kinds.iter().flatten() {
            if lifeboat_catalog::kind(kind).is_none() {
                return Err(Error::Selection {
                    pattern: kind.clone(),
                    what: "no such kind of object".to_owned(),
                });
            }
        }
        Ok(Filter {
            include: if self.include.is_empty() {
                None
            } else {
                Some(globs(&self.include)?)
            },
            exclude: globs(&self.exclude)?,
            kinds: self.kinds.clone(),
            users: self
                .users
                .as_ref()
                .map(|names| names.iter().map(|name| name.to_lowercase()).collect()),
        })
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let trimmed = pattern.trim_end_matches('/');
        let fault = |source: globset::Error| Error::Selection {
            pattern: pattern.clone(),
            what: source.to_string(),
        };
        for text in [trimmed.to_owned(), format!("{trimmed}/**")] {
            set.add(
                GlobBuilder::new(&text)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(fault)?,
            );
        }
    }
    set.build().map_err(|source| Error::Selection {
        pattern: patterns.join(" "),
        what: source.to_string(),
    })
}

/// A compiled [`Selection`].
#[derive(Debug, Clone)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
    kinds: Option<Vec<String>>,
    users: Option<Vec<String>>,
}

impl Filter {
    /// Whether objects of this kind are wanted.
    #[must_use]
    pub fn kind(&self, kind: &str) -> bool {
        self.kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
    }

    /// Whether the workspace object at `path` is wanted, its kind aside.
    #[must_use]
    pub fn path(&self, path: &str) -> bool {
        if let Some(users) = &self.users
            && let Some(rest) = path.strip_prefix("/Users/")
        {
            let home = rest.split('/').next().unwrap_or(rest).to_lowercase();
            if !users.contains(&home) {
                return false;
            }
        }
        self.include.as_ref().is_none_or(|set| set.is_match(path)) && !self.exclude.is_match(path)
    }
}

/// How much of what the journal calls unchanged is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recheck {
    /// Nothing: the journal and the listing decide.
    #[default]
    None,
    /// Access control lists.
    Acls,
    /// Contents and access control lists.
    All,
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The part of the archive to import.
    pub selection: Selection,
    /// Workspace id of the target, as the operator named it. Needed for the first apply into a target.
    pub target: Option<String>,
    /// Allows the archive's source as target; then only absent objects are created.
    pub into_source: bool,
    /// Links objects that the target already holds, by natural key and equal content.
    pub adopt: bool,
    /// Goes on with an archive whose inventory is incomplete.
    pub allow_incomplete: bool,
    /// The journal, when not at its usual place.
    pub journal: Option<PathBuf>,
    /// Where `lifeboat/<source>-<target>/journal.jsonl` stands; by default `$XDG_STATE_HOME`, else `~/.local/state`.
    pub state_home: Option<PathBuf>,
    /// Folder for the homes of users that exist nowhere.
    pub orphans: String,
    /// Overwrites what was changed in the target since the last import.
    pub overwrite_changed: bool,
    /// Adds members to the group `admins`.
    pub admins: bool,
    /// What is read again although the journal calls it unchanged.
    pub recheck: Recheck,
    /// Reads the target back after an apply.
    pub compare: bool,
    /// Objects in work at the same time (64); the client has a limit of its own on calls.
    pub concurrency: usize,
    /// How long the home of a new user is waited for.
    pub home_wait: Duration,
    /// How long a new cluster is waited for to be terminated.
    pub cluster_wait: Duration,
    /// Pause before the target is asked again for a create whose answer was lost; each further one is twice as long.
    pub create_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            target: None,
            into_source: false,
            adopt: false,
            allow_incomplete: false,
            journal: None,
            state_home: None,
            orphans: "/Restored-homes".to_owned(),
            overwrite_changed: false,
            admins: false,
            recheck: Recheck::None,
            compare: true,
            concurrency: 64,
            home_wait: Duration::from_secs(120),
            cluster_wait: Duration::from_secs(900),
            create_pause: Duration::from_secs(1),
        }
    }
}
