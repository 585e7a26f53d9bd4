//! The workspace tree and DBFS.

use std::collections::{BTreeSet, HashSet};

use lifeboat_catalog::records::{ContentRef, DbfsLine};
use lifeboat_catalog::{paths, tree as catalog_tree};

use super::build::{Builder, catalog_kind, tree_kind};
use super::contents::{Side, decide};
use super::{Action, What};
use crate::archived::ArchiveState;
use crate::filter::Filter;
use crate::held::TreeLine;
use crate::journal::{Entry, Op};
use crate::options::Options;
use crate::resolve::{Access, Resolver};

const IMPORT: &str = "/api/2.0/workspace/import";
pub(super) const MKDIRS: &str = "/api/2.0/workspace/mkdirs";
/// Makes a directory and asks for its id.
const MAKE: [(&str, &str, u64); 2] = [
    ("POST", MKDIRS, 1),
    ("GET", "/api/2.0/workspace/get-status", 1),
];
/// Why what lies in a git folder is left alone.
pub(crate) const GIT_CONTENT: &str = "content of a git folder comes from its remote";

/// Why a folder that stands at no path of the source is left as it is.
pub(crate) const ON_THE_WAY: &str = "stands on the way to what is restored elsewhere";

/// The directory above a path; `None` for the root.
pub(crate) fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some(("", name)) if !name.is_empty() => Some("/"),
        Some((parent, _)) if !parent.is_empty() => Some(parent),
        _ => None,
    }
}

/// All directories above a path, from the root down.
pub(crate) fn directory_parents(path: &str) -> Vec<&str> {
    let mut parents = Vec::new();
    let mut at = path;
    while let Some(above) = parent(at) {
        parents.push(above);
        at = above;
    }
    parents.reverse();
    parents
}

/// Directories of the target that planning needs to see.
pub(crate) fn wanted_directories(
    archive: &ArchiveState,
    resolver: &Resolver,
    options: &Options,
    filter: &Filter,
) -> BTreeSet<String> {
    let mut wanted: BTreeSet<String> = ["/", "/Users"].into_iter().map(str::to_owned).collect();
    let mut add =
        |path: &str| wanted.extend(directory_parents(path).into_iter().map(str::to_owned));
    let chosen = |line: &&TreeLine| filter.wants(tree_kind(&line.object_type).name, &line.path);
    for line in archive.tree.iter().filter(chosen) {
        let path = resolver.path(&line.path);
        add(&path);
        if line.object_type == "DIRECTORY" {
            add(&format!("{path}/"));
        }
    }
    add(&format!("{}/", options.orphans.trim_end_matches('/')));
    wanted
}

impl<'a> Builder<'a> {
    pub(super) fn tree(&mut self) {
        for (path, info) in &self.target.tree {
            self.resolver.add_path(path);
            if info.object_type == "REPO" {
                self.resolver.add_git_folder(path);
            }
        }
        let selected = self.selected_lines();
        for line in &selected {
            let path = self.resolver.path(&line.path);
            self.resolver.add_path(&path);
            if line.object_type == "REPO" {
                self.resolver.add_git_folder(&path);
            }
        }
        self.git_folders = self
            .archive
            .tree
            .iter()
            .filter(|line| line.object_type == "REPO")
            .map(|line| line.path.as_str())
            .collect();
        self.orphan_folders(&selected);
        let mut blocked: HashSet<String> = HashSet::new();
        let (directories, others): (Vec<&TreeLine>, Vec<&TreeLine>) = selected
            .into_iter()
            .partition(|line| line.object_type == "DIRECTORY");
        for line in directories {
            self.directory(line, &mut blocked);
        }
        self.objects("git-folders");
        for line in others.into_iter().filter(|line| line.object_type != "REPO") {
            self.content(line, &blocked);
        }
    }

    /// What is selected, and the directories above it.
    fn selected_lines(&self) -> Vec<&'a TreeLine> {
        let archive: &'a ArchiveState = self.archive;
        let chosen = |line: &&TreeLine| {
            self.filter
                .wants(tree_kind(&line.object_type).name, &line.path)
        };
        let above: HashSet<&str> = archive
            .tree
            .iter()
            .filter(chosen)
            .flat_map(|line| directory_parents(&line.path))
            .collect();
        archive
            .tree
            .iter()
            .filter(|line| {
                chosen(line)
                    || (line.object_type == "DIRECTORY" && above.contains(line.path.as_str()))
            })
            .collect()
    }

    /// The folders under which homes of users that exist nowhere are restored; they are of this tool's making.
    fn orphan_folders(&mut self, selected: &[&TreeLine]) {
        let root = self.options.orphans.trim_end_matches('/').to_owned();
        let needed = selected.iter().any(|line| {
            self.resolver
                .moved_home(&line.path)
                .is_some_and(|home| paths::is_below(home, &root))
        });
        if !needed {
            return;
        }
        let mut folders: Vec<String> = directory_parents(&root)
            .into_iter()
            .map(str::to_owned)
            .collect();
        folders.push(root);
        for folder in folders {
            let archived = self
                .archive
                .tree
                .iter()
                .any(|line| line.path == folder && line.object_type == "DIRECTORY");
            if catalog_tree::is_builtin_directory(&folder) || archived {
                continue;
            }
            let exists = self.target.tree.get(&folder);
            let entry = self.journal.entry("directories", &folder);
            let recovered = exists.is_some() && entry.is_some_and(Entry::is_create_pending);
            let what = match exists {
                None => What::Create,
                Some(_) if recovered => What::Adopt,
                Some(_) => What::Unchanged,
            };
            let mut action = Action::new("directories", &folder, &folder, what)
                .because("folder for homes of users that exist nowhere")
                .at(exists.map(|info| info.object_id.clone()));
            action.recovered = recovered;
            action.writes_access = exists.is_none() || entry.is_some_and(Entry::is_without_access);
            self.resolver.add_path(&folder);
            self.push_directory(action);
        }
    }

    fn directory(&mut self, line: &TreeLine, blocked: &mut HashSet<String>) {
        let kind = tree_kind(&line.object_type);
        let path = self.resolver.path(&line.path);
        let action = |what| Action::new(kind.name, &line.path, &line.path, what);
        let info = self.target.tree.get(&path);
        let builtin = catalog_tree::is_builtin_directory(&path);
        let entry = self.journal.entry(kind.name, &line.path);
        let linked = entry.is_some_and(Entry::is_linked);
        // The answer to its create was lost: it is this tool's own, and must be linked as such.
        let recovered = entry.is_some_and(Entry::is_create_pending);
        let unfinished = entry.is_some_and(Entry::is_without_access);
        // Above what is selected: made where it is missing, with its access control, and else left alone.
        let only_above = !self.filter.wants(kind.name, &line.path);
        let refused = self.refused_above(&path, blocked);
        let mut action = match info {
            _ if refused.is_some() => action(What::Blocked).because(refused.unwrap_or_default()),
            Some(info) if info.object_type != "DIRECTORY" && path != "/" => action(What::Blocked)
                .because(format!(
                    "the target holds a {} at this path",
                    info.object_type
                )),
            Some(_) if self.options.into_source && !builtin && !unfinished => {
                action(What::Skip).because("exists")
            }
            Some(_) if only_above && !recovered => action(What::Unchanged),
            Some(_) if builtin || linked || parent(&path) == Some("/Repos") => {
                action(What::Unchanged)
            }
            Some(_) if !recovered && self.archive.translation.folders.contains(&line.path) => {
                action(What::Unchanged).because(ON_THE_WAY)
            }
            Some(_) if self.options.adopt || recovered => action(What::Adopt),
            Some(_) => {
                self.conflict(kind, &path);
                action(What::Blocked).because(
                    "exists in the target and the journal does not know it; --adopt links it",
                )
            }
            None if path == "/" => action(What::Unchanged),
            None if catalog_tree::home_owner(&path).is_some() && builtin => {
                match self.never_appeared(&line.path, &path) {
                    Some(why) => action(What::Blocked).because(why),
                    None => action(What::Unchanged).because("made by the service with its user"),
                }
            }
            None => action(What::Create),
        };
        action.recovered = recovered && action.what == What::Adopt;
        action.target = match (info, path.as_str()) {
            (Some(info), _) => Some(info.object_id.clone()),
            (None, "/") => Some("0".to_owned()),
            (None, _) => None,
        };
        if let Some(home) = self.resolver.moved_home(&line.path) {
            action.remarks.push(format!("restored below {home}"));
        }
        if action.what == What::Blocked {
            blocked.insert(path.clone());
        } else if path != line.path && self.is_orphan_root(&path) {
            self.todo(
                "directories",
                &line.path,
                &format!("its user exists nowhere, so the home is restored as {path}, without direct grants"),
                format!("databricks workspace list '{path}'"),
            );
        }
        if !only_above || action.what == What::Create || unfinished {
            self.directory_access(line, &path, &mut action);
        }
        self.push_directory(action);
    }

    fn push_directory(&mut self, action: Action) {
        match action.what {
            What::Create => self.push(action, &MAKE),
            // What is there gets its access control at most.
            _ => self.push(action, &[]),
        }
    }

    /// Why a home is not waited for that an earlier run waited for, and could not make. A user who is made now gets one.
    fn never_appeared(&self, id: &str, path: &str) -> Option<String> {
        let owner = catalog_tree::home_owner(path)?.to_lowercase();
        let person =
            |action: &Action| matches!(action.kind.as_str(), "users" | "service-principals");
        let is_made = self.actions.iter().any(|action| {
            action.what == What::Create && person(action) && action.name.to_lowercase() == owner
        });
        if is_made {
            return None;
        }
        let why = self.refused_before("directories", id, Op::Create, None)?;
        Some(no_home(path, &why))
    }

    fn directory_access(&self, line: &TreeLine, path: &str, action: &mut Action) {
        // A folder of somebody else's that stands on the way.
        if action.reason.as_deref() == Some(ON_THE_WAY) {
            return;
        }
        // The folder of an orphaned home has no direct grants: those of its user mean nobody, and others were his choice.
        let orphaned = path != line.path && self.is_orphan_root(path);
        if catalog_tree::has_fixed_acl(path) {
            return;
        }
        if orphaned {
            let entry = self.journal.entry("directories", &line.path);
            let written = entry.and_then(|entry| entry.access.as_deref());
            let none = Access::default();
            action.writes_access = !matches!(action.what, What::Skip | What::Blocked)
                && written != Some(none.digest().as_str());
            self.without_feature(entry, &none, action);
            return;
        }
        self.access(
            tree_kind(&line.object_type),
            &line.object_id,
            &line.path,
            action,
        );
    }

    /// Whether a path of the target is the folder of an orphaned home.
    fn is_orphan_root(&self, path: &str) -> bool {
        parent(path) == Some(self.options.orphans.trim_end_matches('/'))
    }

    /// Why nothing can be written below a path.
    fn refused_above(&self, path: &str, blocked: &HashSet<String>) -> Option<String> {
        for above in directory_parents(path) {
            if blocked.contains(above) {
                return Some(format!("the directory {above} is blocked"));
            }
            if let Some(reason) = self.target.unlisted.get(above) {
                return Some(format!(
                    "the directory {above} of the target cannot be listed: {reason}"
                ));
            }
            if self
                .target
                .tree
                .get(above)
                .is_some_and(|info| info.object_type == "REPO")
            {
                return Some(format!(
                    "below the git folder {above}: its content comes from its remote"
                ));
            }
        }
        None
    }

    fn content(&mut self, line: &TreeLine, blocked: &HashSet<String>) {
        let kind = tree_kind(&line.object_type);
        let path = self.resolver.path(&line.path);
        let action = |what| Action::new(kind.name, &line.path, &line.path, what);
        let below_git = self
            .git_folders
            .iter()
            .any(|folder| paths::is_below(&line.path, folder));
        let mut action = if kind.name == "workspace-objects" {
            action(What::Skip).because(format!(
                "{} objects are inventoried, not restored",
                line.object_type
            ))
        } else if below_git {
            action(What::Skip).because(GIT_CONTENT)
        } else if let Some(reason) = self.refused_above(&path, blocked) {
            action(What::Blocked).because(reason)
        } else {
            match &line.content {
                Some(content) => self.content_action(line, content, &path),
                None => action(What::Blocked).because("the archive does not hold its content"),
            }
        };
        if !matches!(action.what, What::Skip | What::Blocked)
            && let Some(home) = self.resolver.moved_home(&line.path)
        {
            action.remarks.push(format!("restored below {home}"));
        }
        self.access(kind, &line.object_id, &line.path, &mut action);
        self.push(action, &[("POST", IMPORT, 1)]);
    }

    fn content_action(&mut self, line: &TreeLine, content: &ContentRef, path: &str) -> Action {
        let kind = tree_kind(&line.object_type);
        let info = self.target.tree.get(path);
        let base = Action::new(kind.name, &line.path, &line.path, What::Unchanged);
        if let Some(info) = info
            && info.object_type != line.object_type
        {
            return Action::new(kind.name, &line.path, &line.path, What::Blocked).because(format!(
                "the target holds a {} at this path",
                info.object_type
            ));
        }
        let key = (kind.name.to_owned(), path.to_owned());
        let read = self.target.contents.get(&key);
        let side = Side {
            equal: read.is_some_and(|read| self.archive.is_read_as(&line.path, content, read)),
            written: &content.sha256,
            entry: self.journal.entry(kind.name, &line.path),
            there: info.map(|info| info.object_id.as_str()),
            modified_at: info.and_then(|info| info.modified_at),
            read,
            in_flight: false,
            has_access: true,
        };
        let decision = decide(&side, self.options);
        let action = decided(base, decision, info.map(|info| info.object_id.clone()));
        if action.what == What::Blocked {
            self.conflict(kind, path);
        }
        action
    }

    pub(super) fn dbfs(&mut self) {
        let kind = catalog_kind("dbfs");
        for path in self.target.dbfs.keys() {
            self.resolver.add_dbfs(path);
        }
        let archive = self.archive;
        let wanted = archive.dbfs.iter();
        for line in wanted.filter(|line| self.filter.wants(kind.name, &line.path)) {
            self.resolver.add_dbfs(&line.path);
            let action = self.dbfs_action(line);
            let size = line.content.as_ref().map_or(0, |content| content.size);
            let blocks = if size <= catalog_tree::DBFS_BLOCK {
                1
            } else {
                2 + size.div_ceil(catalog_tree::DBFS_BLOCK)
            };
            self.push(action, &[("POST", "/api/2.0/dbfs/put", blocks)]);
        }
    }

    fn dbfs_action(&mut self, line: &DbfsLine) -> Action {
        let action = |what| Action::new("dbfs", &line.path, &line.path, what);
        if let Some(reason) = &self.target.dbfs_refused {
            return action(What::Blocked)
                .because(format!("the target's DBFS cannot be read: {reason}"));
        }
        let info = self.target.dbfs.get(&line.path);
        match (info, &line.content) {
            (Some(info), _) if info.is_dir != line.is_dir => action(What::Blocked)
                .because("the target holds something of another type at this path"),
            (Some(_), None) if line.is_dir => action(What::Unchanged).at(Some(line.path.clone())),
            (None, None) if line.is_dir => action(What::Create),
            (_, None) => action(What::Blocked).because("the archive does not hold its content"),
            (info, Some(content)) => {
                let key = ("dbfs".to_owned(), line.path.clone());
                let read = self.target.contents.get(&key);
                let side = Side {
                    equal: read.is_some_and(|read| read.is(&content.sha256)),
                    written: &content.sha256,
                    entry: self.journal.entry("dbfs", &line.path),
                    there: info.map(|_| line.path.as_str()),
                    modified_at: info.and_then(|info| info.modified_at),
                    read,
                    in_flight: self
                        .journal
                        .entry("dbfs", &line.path)
                        .is_some_and(|entry| entry.pending.is_some()),
                    has_access: false,
                };
                let decision = decide(&side, self.options);
                let action = decided(
                    action(What::Unchanged),
                    decision,
                    info.map(|_| line.path.clone()),
                );
                if action.what == What::Blocked {
                    self.conflict(catalog_kind("dbfs"), &line.path);
                }
                action
            }
        }
    }
}

/// That a home is not there.
pub(crate) fn no_home(path: &str, why: &str) -> String {
    format!("the home {path} did not appear and cannot be made: {why}")
}

fn decided(base: Action, decision: (What, Option<String>, bool), target: Option<String>) -> Action {
    let (what, reason, recovered) = decision;
    let mut action = Action::new(&base.kind, &base.id, &base.name, what).at(target);
    action.reason = reason;
    action.recovered = recovered;
    action
}
