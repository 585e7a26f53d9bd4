//! Objects that are gone from the source: what the journal says this tool made, and the archive no longer holds
//! (`spec/import.md`, "Removed objects"). They are kept, or deleted when that was asked for and nothing speaks for them.

use std::collections::{BTreeSet, HashMap, HashSet};

use lifeboat_catalog::{NaturalKey, groups, places, secret_scopes, tree as catalog_tree};
use serde_json::Value;

use super::build::{Builder, catalog_kind, tree_kind};
use super::forms::is_as_seen;
use super::objects::unclear;
use super::tree::directory_parents;
use super::{Action, What, is_terminated};
use crate::archived::ArchiveState;
use crate::failback::Gone;
use crate::filter::Filter;
use crate::journal::{Entry, Knowledge, Op};
use crate::options::Options;
use crate::target::{TargetObject, TargetState};

/// Kinds in the order in which their removed objects are deleted: the reverse of that in which they are made.
pub(crate) const ORDER: [&str; 14] = [
    "jobs",
    "clusters",
    "cluster-policies",
    "instance-pools",
    "global-init-scripts",
    "dbfs",
    "notebooks",
    "files",
    "git-folders",
    "directories",
    "secret-scopes",
    "groups",
    "service-principals",
    "users",
];

const KEPT: &str = "removed at the source, kept";

/// How many objects of a kind would be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The kind.
    pub kind: &'static str,
    /// Objects of the target that the journal links.
    pub linked: u64,
    /// Those of them that would be deleted.
    pub delete: u64,
}

/// What stands in the target for an object that is gone from the source.
enum There<'a> {
    /// An object with an id.
    Object(&'a TargetObject),
    /// Something at a path of the tree.
    Tree {
        path: String,
        modified_at: Option<i64>,
    },
    /// Something at a path of DBFS.
    Dbfs {
        is_dir: bool,
        modified_at: Option<i64>,
    },
}

/// Whether anybody can tell what is gone: the archive holds the whole workspace, and so does this run.
fn can_tell(archive: &ArchiveState, options: &Options, filter: &Filter) -> bool {
    archive.complete && !options.into_source && filter.is_everything()
}

/// Paths of the target where removed objects of the tree may stand.
pub(crate) fn removed_paths(
    archive: &ArchiveState,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    filter: &Filter,
) -> BTreeSet<String> {
    if !can_tell(archive, options, filter) {
        return BTreeSet::new();
    }
    let present: HashSet<&str> = archive.tree.iter().map(|line| line.path.as_str()).collect();
    let homes = ["users", "service-principals"]
        .into_iter()
        .flat_map(|kind| {
            let records = archive.of_kind(kind).iter();
            let present: HashSet<&str> = records.map(|record| record.id.as_str()).collect();
            journal
                .of_kind(kind)
                .filter(move |(id, entry)| entry.is_ours() && !present.contains(id))
                .filter_map(move |(_, entry)| target.by_id(kind, entry.target.as_deref()?))
                .filter_map(move |object| home_of(kind, &object.body, &target.homes))
        });
    ["directories", "notebooks", "files"]
        .into_iter()
        .flat_map(|kind| journal.of_kind(kind))
        .filter(|(path, entry)| entry.is_ours() && !entry.elsewhere && !present.contains(path))
        .flat_map(|(path, _)| std::iter::once(path.to_owned()).chain(orphaned(path, options)))
        .chain(homes)
        .chain(
            archive
                .gone
                .iter()
                .filter(|gone| matches!(gone.kind, "directories" | "notebooks" | "files"))
                .map(|gone| gone.target.clone()),
        )
        .collect()
}

/// The home of a user or service principal of the target, as the tree of the target spells it.
pub(crate) fn home_of(kind: &str, body: &Value, homes: &BTreeSet<String>) -> Option<String> {
    let place = match kind {
        "users" => "userName",
        _ => "applicationId",
    };
    let home = format!("/Users/{}", places::text(body, place)?);
    let folded = home.to_lowercase();
    let known = homes.iter().find(|path| path.to_lowercase() == folded);
    Some(known.cloned().unwrap_or(home))
}

/// Where a path stands when its home belongs to nobody.
fn orphaned(path: &str, options: &Options) -> Option<String> {
    catalog_tree::home_owner(path)?;
    let rest = path.strip_prefix("/Users")?;
    Some(format!("{}{rest}", options.orphans.trim_end_matches('/')))
}

/// Where each path of the source stands by the map, for kinds whose ids follow it.
fn moved<'a>(archive: &'a ArchiveState, kind: &str) -> HashMap<&'a str, &'a str> {
    let origins = &archive.translation.origins;
    archive
        .tree
        .iter()
        .filter(|line| tree_kind(&line.object_type).name == kind)
        .map(|line| {
            let origin = origins.get(&line.path).unwrap_or(&line.path);
            (origin.as_str(), line.path.as_str())
        })
        .collect()
}

impl Builder<'_> {
    pub(super) fn removed(&mut self) {
        if self.comparing {
            return;
        }
        if !can_tell(self.archive, self.options, self.filter) {
            if self.options.delete_removed {
                let text = "nothing is deleted: the archive does not hold the whole workspace, so what it does not name \
                            may still exist there";
                self.warnings.push(text.to_owned());
            }
            return;
        }
        let mut deleted: BTreeSet<String> = BTreeSet::new();
        for kind in ORDER {
            self.removed_of(kind, &mut deleted);
        }
        for kind in ORDER {
            let archive = self.archive;
            let mut of_kind = archive
                .gone
                .iter()
                .filter(|gone| gone.kind == kind)
                .peekable();
            if of_kind.peek().is_some() {
                let used = self.used(kind);
                of_kind.for_each(|gone| self.gone(gone, &used));
            }
        }
    }

    /// Names what was deleted in the secondary and stands here still: no import made it, so none deletes it.
    fn gone(&mut self, gone: &Gone, used: &HashSet<String>) {
        let Some((place, runs)) = self.stands(gone, used) else {
            return;
        };
        let happened = match &gone.moved {
            Some(path) => format!("moved to {path} in the secondary, and this copy is kept"),
            None => "deleted in the secondary, and kept".to_owned(),
        };
        let why = match runs {
            true => format!(
                "{happened}; it is active, and starts when nothing fences this workspace any more"
            ),
            false => happened,
        };
        self.todo(gone.kind, &gone.name, &why, delete_command(gone));
        let mut action = Action::new(gone.kind, &gone.id, &gone.name, What::Skip)
            .because(why)
            .at(Some(place));
        action.removed = true;
        self.push(action, &[]);
    }

    /// The id of such an object in the target, and whether it runs or costs something there; `None` when it is not there,
    /// another object of the archive stands for it, or nobody deletes it at all.
    fn stands(&self, gone: &Gone, used: &HashSet<String>) -> Option<(String, bool)> {
        match gone.kind {
            "directories" | "notebooks" | "files" => {
                let info = self.target.tree.get(&gone.target)?;
                let same = tree_kind(&info.object_type).name == gone.kind;
                same.then(|| (info.object_id.clone(), false))
            }
            "dbfs" => {
                self.target.dbfs.get(&gone.target)?;
                Some((gone.target.clone(), false))
            }
            _ => {
                let kind = catalog_kind(gone.kind);
                let object = self.target.by_id(gone.kind, &gone.target)?;
                let kept = (kind.builtin)(&object.body)
                    || object.id == self.target.caller_id
                    || (gone.kind == "groups" && groups::is_account_group(&object.body))
                    || used.contains(&object.id);
                (!kept).then(|| (object.id.clone(), kind.is_active(&object.body)))
            }
        }
    }

    fn removed_of(&mut self, kind: &'static str, deleted: &mut BTreeSet<String>) {
        let present = self.ids(kind);
        let used = self.used(kind);
        let moved = moved(self.archive, kind);
        let journal = self.journal;
        let mut linked = 0;
        let mut gone: Vec<(&str, &Entry)> = Vec::new();
        for (id, entry) in journal.of_kind(kind) {
            if present.contains(id) {
                linked += u64::from(entry.is_linked());
            } else if entry.is_ours() && !entry.elsewhere && !self.is_own_folder(kind, id) {
                gone.push((id, entry));
            }
        }
        // What lies in a directory before the directory.
        gone.reverse();
        let mut delete = 0;
        for (id, entry) in gone {
            let Some(there) = self.there(kind, id, entry) else {
                self.unclear_removed(kind, id, entry);
                continue;
            };
            let place = match &there {
                There::Object(object) => object.id.clone(),
                There::Tree { path, .. } => path.clone(),
                There::Dbfs { .. } => id.to_owned(),
            };
            // Another object of the archive stands for it.
            if used.contains(&place) {
                continue;
            }
            linked += 1;
            let name = if entry.name.is_empty() {
                id
            } else {
                &entry.name
            };
            let action = |what| {
                let mut action = Action::new(kind, id, name, what).at(Some(place.clone()));
                action.removed = true;
                action
            };
            let origin = entry.origin.as_deref().unwrap_or(id);
            let why = match moved.get(origin) {
                // Nothing was removed: the map file has changed.
                Some(now) => {
                    let why = format!("the map leads {origin} to {now} now, the old copy is kept");
                    self.push(action(What::Skip).because(why), &[]);
                    continue;
                }
                None => self.why_kept(kind, id, entry, &there, deleted),
            };
            match why {
                _ if !self.options.delete_removed => {
                    self.push(action(What::Skip).because(KEPT), &[]);
                }
                Some(why) => self.push(action(What::Skip).because(format!("{KEPT}: {why}")), &[]),
                None => {
                    delete += 1;
                    deleted.insert(place.clone());
                    let (method, path) = delete_call(kind);
                    let action = action(What::Delete).because("removed at the source");
                    self.push(action, &[(method, path, 1)]);
                }
            }
        }
        if delete > 0 {
            self.deletions.push(Limits {
                kind,
                linked,
                delete,
            });
        }
    }

    /// Names an object that is gone from the source where nobody can say whether the target has it.
    fn unclear_removed(&mut self, kind: &'static str, id: &str, entry: &Entry) {
        let Some(target) = entry.target.as_deref() else {
            return;
        };
        if let Some(one) = self.target.unclear(kind, |one| one.id == target) {
            let mut action = Action::new(kind, id, &entry.name, What::Skip)
                .because(format!("{KEPT}: {}", unclear(&one.why)))
                .at(Some(one.id.clone()));
            action.removed = true;
            self.push(action, &[]);
        }
    }

    /// Ids in the source of what the archive holds of a kind, as the journal knows them.
    fn ids(&self, kind: &str) -> HashSet<String> {
        match kind {
            "directories" | "notebooks" | "files" => self
                .archive
                .tree
                .iter()
                .filter(|line| tree_kind(&line.object_type).name == kind)
                .map(|line| line.path.clone())
                .collect(),
            "dbfs" => self
                .archive
                .dbfs
                .iter()
                .map(|line| line.path.clone())
                .collect(),
            _ => {
                let records = self.archive.of_kind(kind).iter();
                records.map(|record| record.id.clone()).collect()
            }
        }
    }

    /// What objects of the archive are in the target: ids, or paths.
    fn used(&self, kind: &str) -> HashSet<String> {
        let ids = self.ids(kind);
        match kind {
            "directories" | "notebooks" | "files" => {
                ids.iter().map(|path| self.resolver.path(path)).collect()
            }
            "dbfs" => ids,
            _ => ids
                .iter()
                .filter_map(|id| self.resolver.id(kind, id).map(str::to_owned))
                .collect(),
        }
    }

    /// Folders that this tool makes for itself, and those above them.
    fn is_own_folder(&self, kind: &str, path: &str) -> bool {
        let orphans = self.options.orphans.trim_end_matches('/');
        kind == "directories"
            && (catalog_tree::is_builtin_directory(path)
                || lifeboat_catalog::paths::is_below(orphans, path))
    }

    fn there(&self, kind: &str, id: &str, entry: &Entry) -> Option<There<'_>> {
        let target = entry.target.as_deref()?;
        match kind {
            "directories" | "notebooks" | "files" => {
                let paths = [Some(id.to_owned()), orphaned(id, self.options)];
                paths.into_iter().flatten().find_map(|path| {
                    let info = self.target.tree.get(&path)?;
                    let same = info.object_id == target
                        && catalog_tree::kind_of(&info.object_type).name == kind;
                    same.then_some(There::Tree {
                        path,
                        modified_at: info.modified_at,
                    })
                })
            }
            "dbfs" => {
                let info = self.target.dbfs.get(id)?;
                Some(There::Dbfs {
                    is_dir: info.is_dir,
                    modified_at: info.modified_at,
                })
            }
            _ => self.target.by_id(kind, target).map(There::Object),
        }
    }

    /// What speaks against deleting an object of which this tool says that it made it.
    fn why_kept(
        &self,
        kind: &str,
        id: &str,
        entry: &Entry,
        there: &There<'_>,
        deleted: &BTreeSet<String>,
    ) -> Option<String> {
        if !self.archive.listed.contains(kind) {
            return Some(format!("the archive does not list {kind}"));
        }
        let names = [Some(id), Some(entry.name.as_str()), entry.origin.as_deref()];
        if names
            .into_iter()
            .flatten()
            .any(|name| self.is_in_ledger(name))
        {
            return Some("the ledger of the archive names it, or a folder above it".to_owned());
        }
        if entry.activated {
            return Some("it is activated".to_owned());
        }
        match there {
            There::Object(object) => self.why_object_kept(kind, entry, object, deleted),
            There::Tree { path, modified_at } => {
                self.why_tree_kept(kind, entry, path, *modified_at, deleted)
            }
            There::Dbfs {
                is_dir,
                modified_at,
            } => {
                let listed = directory_parents(id).iter().any(|above| {
                    let mut lines = self.archive.dbfs.iter();
                    lines.any(|line| line.is_dir && line.path == *above)
                });
                if !listed {
                    return Some("the archive does not list its folder".to_owned());
                }
                if *is_dir {
                    return None;
                }
                self.why_content_kept(entry, *modified_at)
            }
        }
    }

    /// Whether the ledger names a path or something above it. Names that are no paths have nothing above them.
    pub(super) fn is_in_ledger(&self, name: &str) -> bool {
        self.archive.ledger.contains(name)
            || directory_parents(name)
                .iter()
                .any(|above| *above != "/" && self.archive.ledger.contains(*above))
    }

    fn why_tree_kept(
        &self,
        kind: &str,
        entry: &Entry,
        path: &str,
        modified_at: Option<i64>,
        deleted: &BTreeSet<String>,
    ) -> Option<String> {
        if entry.part {
            return Some("an import of a part made it".to_owned());
        }
        if kind != "directories" {
            return self.why_content_kept(entry, modified_at);
        }
        if let Some(why) = self.target.unlisted.get(path) {
            return Some(format!("it cannot be listed: {why}"));
        }
        self.left_below(path, deleted)
            .map(|child| format!("not empty: {child}"))
    }

    fn has_home(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.archive.tree.iter().any(|line| {
            catalog_tree::home_owner(&line.path).is_some_and(|owner| owner.to_lowercase() == name)
        })
    }

    fn why_content_kept(&self, entry: &Entry, modified_at: Option<i64>) -> Option<String> {
        let untouched = entry.modified_at.is_some() && entry.modified_at == modified_at;
        let in_doubt = is_in_doubt(entry);
        (!self.options.overwrite_changed && (!untouched || in_doubt))
            .then(|| "changed in the target since the last import".to_owned())
    }

    /// Whether the source has another object of that name, of a kind of which the service knows one of a name.
    fn is_made_again(&self, kind: &lifeboat_catalog::Kind, body: &Value) -> bool {
        if matches!(kind.natural_key, NaturalKey::NameAndContent(_)) {
            return false;
        }
        let key = kind.key_of(body).map(|key| match kind.name {
            "git-folders" => catalog_tree::without_alias(&key).to_owned(),
            _ => key,
        });
        let mut records = self.archive.of_kind(kind.name).iter();
        key.is_some() && records.any(|record| self.key(kind, &record.body) == key)
    }

    /// What lies in the home of a user or service principal of the target, or why nobody knows.
    fn why_home_kept(
        &self,
        kind: &str,
        body: &Value,
        deleted: &BTreeSet<String>,
    ) -> Option<String> {
        if self.archive.tree.is_empty() {
            return Some("nobody looked into the home".to_owned());
        }
        let home = home_of(kind, body, &self.target.homes)?;
        if let Some(why) = self.target.unlisted.get(&home) {
            return Some(format!("the home {home} cannot be listed: {why}"));
        }
        let left = self.left_below(&home, deleted)?;
        Some(format!("the home in the target is not empty: {left}"))
    }

    /// Something below a folder of the target that is not deleted.
    fn left_below(&self, folder: &str, deleted: &BTreeSet<String>) -> Option<&str> {
        let from = format!("{folder}/");
        let below = self.target.tree.range(from.clone()..);
        below
            .take_while(|(child, _)| child.starts_with(&from))
            .find(|(child, _)| !deleted.contains(*child))
            .map(|(child, _)| child.as_str())
    }

    fn why_object_kept(
        &self,
        kind: &str,
        entry: &Entry,
        object: &TargetObject,
        deleted: &BTreeSet<String>,
    ) -> Option<String> {
        let catalog = catalog_kind(kind);
        let body = &object.body;
        if (catalog.builtin)(body) {
            return Some("it is built in".to_owned());
        }
        if self.is_made_again(catalog, body) {
            return Some("the source has another one of this name".to_owned());
        }
        match kind {
            "users" | "service-principals" if object.id == self.target.caller_id => {
                return Some("it is the caller".to_owned());
            }
            "groups" if groups::is_account_group(body) => {
                return Some("it is a group of the account".to_owned());
            }
            // Without him the home would be nobody's in the target.
            "users" | "service-principals" if self.has_home(&entry.name) => {
                return Some("the source still holds the home".to_owned());
            }
            "users" | "service-principals" => return self.why_home_kept(kind, body, deleted),
            "groups" => return None,
            "clusters" if !is_terminated(body) => return Some("it is running".to_owned()),
            _ => {}
        }
        if self.options.overwrite_changed {
            return None;
        }
        match kind {
            "secret-scopes"
                if !secret_scopes::is_key_vault(body) && !secret_scopes::keys(body).is_empty() =>
            {
                Some("it holds secret values that somebody put there".to_owned())
            }
            "secret-scopes" => None,
            "git-folders" => Some("nobody can see whether it holds uncommitted work".to_owned()),
            _ if is_in_doubt(entry) || !is_as_seen(catalog, entry, body) => {
                Some("changed in the target since the last import".to_owned())
            }
            _ => None,
        }
    }
}

/// A write without an answer, other than the deletion itself.
fn is_in_doubt(entry: &Entry) -> bool {
    let pending = entry.pending.as_ref();
    pending
        .is_some_and(|pending| !matches!(pending.op, Op::Delete | Op::Access | Op::Own | Op::Unpin))
}

/// The call that deletes an object of a kind.
pub(crate) fn delete_call(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "directories" | "notebooks" | "files" => ("POST", "/api/2.0/workspace/delete"),
        "dbfs" => ("POST", "/api/2.0/dbfs/delete"),
        _ => match catalog_kind(kind).delete {
            Some(delete) => (delete.method, delete.path),
            None => ("", ""),
        },
    }
}

/// The command that deletes an object of the target by hand.
fn delete_command(gone: &Gone) -> String {
    let target = &gone.target;
    match gone.kind {
        "directories" => format!("databricks workspace delete --recursive '{target}'"),
        "notebooks" | "files" => format!("databricks workspace delete '{target}'"),
        "dbfs" => format!("databricks fs rm 'dbfs:{target}'"),
        "git-folders" => format!("databricks repos delete {target}"),
        "secret-scopes" => format!("databricks secrets delete-scope '{target}'"),
        "clusters" => format!("databricks clusters permanent-delete {target}"),
        kind => format!("databricks {kind} delete {target}"),
    }
}
