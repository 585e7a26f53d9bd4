//! Folders that stand at no path of the source and are made on the way to what is restored elsewhere
//! (`spec/import.md`, "Map file" and "Partial restore").

use std::collections::{BTreeSet, HashSet};

use lifeboat_catalog::tree;
use serde_json::json;

use crate::archived::ArchiveState;
use crate::held::TreeLine;
use crate::plan::directory_parents;

/// Adds a directory without direct grants for every folder that is missing above a path that was translated, and puts
/// the tree in order.
pub(super) fn add_missing(state: &mut ArchiveState) {
    let known: HashSet<&str> = state.tree.iter().map(|line| line.path.as_str()).collect();
    let missing: BTreeSet<String> = state
        .tree
        .iter()
        .filter(|line| state.translation.origins.contains_key(&line.path))
        .flat_map(|line| directory_parents(&line.path))
        .filter(|folder| !known.contains(folder) && !tree::is_protected(folder))
        .map(str::to_owned)
        .collect();
    let grants = state.acls.entry("directories".to_owned()).or_default();
    for path in &missing {
        // No id of the service: those are numbers.
        let object_id = format!("folder:{path}");
        grants.insert(
            object_id.clone(),
            json!({ "access_control_list": [] }).into(),
        );
        state.tree.push(TreeLine {
            path: path.clone(),
            object_id,
            object_type: "DIRECTORY".to_owned(),
            language: None,
            content: None,
        });
    }
    state.translation.folders.extend(missing);
    state.tree.sort_by(|a, b| a.path.cmp(&b.path));
}
