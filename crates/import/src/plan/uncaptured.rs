//! What the source has and its export could not read: a gap of every import of that archive (`spec/import.md`, "Plan").

use lifeboat_archive::LedgerLine;

use super::build::Builder;
use super::{Action, What};

/// How the reason of such an action begins.
pub(crate) const NOT_CAPTURED: &str = "not captured";

/// Kinds of the tree, whose objects are known by their paths.
const BY_PATH: [&str; 4] = ["directories", "notebooks", "files", "git-folders"];

/// Whether objects of a kind stand in the tree: their names in the ledger are paths.
pub(crate) fn by_path(kind: &str) -> bool {
    BY_PATH.contains(&kind)
}

impl Builder<'_> {
    /// One action for each object of the selection that the export failed to read.
    pub(super) fn uncaptured(&mut self) {
        let archive = self.archive;
        for line in &archive.failed {
            if self.is_selected(line) && !self.is_archived(line) {
                let action = self.not_captured(line);
                self.push(action, &[]);
            }
        }
    }

    fn not_captured(&self, line: &LedgerLine) -> Action {
        let id = match line.kind.as_str() {
            "directories" | "notebooks" | "files" => &line.name,
            _ => &line.id,
        };
        let name = [&line.name, &line.id]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("an object without an id", String::as_str);
        let action = |what| Action::new(&line.kind, id, name, what);
        let there = match by_path(&line.kind) {
            true => self
                .target
                .tree
                .get(&self.resolver.path(&line.name))
                .map(|info| info.object_id.clone()),
            false => self
                .target
                .by_id(&line.kind, id)
                .map(|object| object.id.clone()),
        };
        if self.options.into_source && there.is_some() {
            return action(What::Skip).because("exists").at(there);
        }
        let linked = self
            .journal
            .entry(&line.kind, id)
            .filter(|entry| entry.is_linked())
            .and_then(|entry| entry.target.clone());
        let rest = match linked {
            Some(_) => "; what an earlier import brought stays as it is",
            None => "",
        };
        action(What::Blocked)
            .because(format!(
                "{NOT_CAPTURED} by the export: {}{rest}",
                line.message
            ))
            .at(linked)
    }

    fn is_selected(&self, line: &LedgerLine) -> bool {
        if lifeboat_catalog::kind(&line.kind).is_none() {
            return self.filter.is_everything();
        }
        match line.kind.as_str() {
            kind if by_path(kind) => self.filter.wants(kind, &line.name),
            kind => self.filter.wants(kind, &line.id),
        }
    }

    /// A folder that was read in part, and the like, has an action of its own.
    fn is_archived(&self, line: &LedgerLine) -> bool {
        let archive = self.archive;
        match line.kind.as_str() {
            "dbfs" => archive.dbfs.iter().any(|one| one.path == line.id),
            kind if by_path(kind) => archive.tree.iter().any(|one| one.path == line.name),
            kind => archive.of_kind(kind).iter().any(|one| one.id == line.id),
        }
    }
}
