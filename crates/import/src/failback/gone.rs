//! What was deleted in the secondary while it ran production: it still stands in the old primary, which no import may
//! clear, because no import made it.

use std::collections::{BTreeSet, HashMap, HashSet};

use lifeboat_catalog::{paths, tree};

use super::Reverse;
use crate::archived::ArchiveState;
use crate::filter::Filter;
use crate::journal::Entry;
use crate::options::Options;
use crate::plan::{REMOVED_ORDER, directory_parents};

/// An object of the old primary whose counterpart in the secondary is not where the imports left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Its kind.
    pub kind: &'static str,
    /// Its id in the secondary; for paths the path in the old primary.
    pub id: String,
    /// Its id or path in the old primary.
    pub target: String,
    /// Its name or path.
    pub name: String,
    /// Where it stands in the secondary now, when it was only moved.
    pub moved: Option<String>,
}

impl Reverse {
    /// What the imports brought into the secondary and the archive no longer holds. Nothing when the archive or the import
    /// covers a part: then nobody can tell.
    pub fn find_gone(&self, state: &mut ArchiveState, options: &Options, filter: &Filter) {
        if !state.complete || !filter.is_everything() {
            return;
        }
        let here = Here::of(state);
        let mut gone = Vec::new();
        for kind in REMOVED_ORDER
            .iter()
            .filter(|kind| state.listed.contains(**kind))
        {
            let linked = self.known.of_kind(kind);
            let linked = linked.filter(|(_, entry)| entry.is_linked() && !entry.elsewhere);
            for (id, entry) in linked {
                gone.extend(here.gone(kind, id, entry, options));
            }
        }
        // What lies in a folder goes with it.
        let folders: HashSet<String> = gone
            .iter()
            .filter(|one: &&Gone| one.kind == "directories")
            .map(|one| one.target.clone())
            .collect();
        let below = |one: &Gone| {
            let above = directory_parents(&one.target);
            above.into_iter().any(|above| folders.contains(above))
        };
        gone.retain(|one| !in_tree(one.kind) || !below(one));
        state.gone = gone;
    }
}

fn in_tree(kind: &str) -> bool {
    matches!(kind, "directories" | "notebooks" | "files")
}

/// What the archive of the secondary holds.
struct Here<'a> {
    state: &'a ArchiveState,
    /// Paths of the tree, as the secondary has them.
    paths: HashSet<&'a str>,
    /// The same by object id.
    by_id: HashMap<&'a str, &'a str>,
    dbfs: HashSet<&'a str>,
    objects: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Here<'a> {
    fn of(state: &'a ArchiveState) -> Self {
        let origins = &state.translation.origins;
        let there = |path: &'a String| origins.get(path).unwrap_or(path).as_str();
        let objects = state.objects.iter().flat_map(|(kind, records)| {
            let records = records.iter();
            records.map(move |record| (kind.as_str(), record.id.as_str()))
        });
        Self {
            state,
            paths: state.tree.iter().map(|line| there(&line.path)).collect(),
            by_id: state
                .tree
                .iter()
                .map(|line| (line.object_id.as_str(), there(&line.path)))
                .collect(),
            dbfs: state.dbfs.iter().map(|line| line.path.as_str()).collect(),
            objects: objects.collect(),
        }
    }

    /// The object of a journal entry (`id` in the old primary), when it is not in the archive.
    fn gone(&self, kind: &'static str, id: &str, entry: &Entry, options: &Options) -> Option<Gone> {
        let there = entry.target.as_deref()?;
        let gone = |target: &str, moved: Option<&str>| Gone {
            kind,
            id: if in_tree(kind) { target } else { there }.to_owned(),
            target: target.to_owned(),
            name: if entry.name.is_empty() {
                id
            } else {
                &entry.name
            }
            .to_owned(),
            moved: moved.map(str::to_owned),
        };
        if kind == "dbfs" {
            let absent = !self.dbfs.contains(id) && !self.is_in_ledger(id);
            return absent.then(|| gone(id, None));
        }
        if !in_tree(kind) {
            let absent = !self.objects.contains(&(kind, there));
            return (absent && !self.is_in_ledger(there)).then(|| gone(id, None));
        }
        if self.paths.contains(id) || tree::is_builtin_directory(id) || self.is_in_ledger(id) {
            return None;
        }
        let moved = self.by_id.get(there).copied();
        let where_it_was = |path: &str| {
            // A home that was restored there, or is spelled another way, stands where no person put it.
            paths::is_below(path, options.orphans.trim_end_matches('/'))
                || path.to_lowercase() == id.to_lowercase()
        };
        if moved.is_some_and(where_it_was) {
            return None;
        }
        Some(gone(entry.origin.as_deref().unwrap_or(id), moved))
    }

    /// Whether the ledger of the archive names something, or a folder above it: then it exists.
    fn is_in_ledger(&self, name: &str) -> bool {
        let ledger = &self.state.uncaptured;
        let above = directory_parents(name);
        ledger.contains(name)
            || above
                .iter()
                .any(|above| *above != "/" && ledger.contains(*above))
    }
}
