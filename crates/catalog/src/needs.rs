//! What an object needs from elsewhere, gathered from its references.
//!
//! Owns the questions that export (which DBFS files belong in the archive) and import (which principals must exist) ask.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kind::{Kind, Target};
use crate::references::Found;
use crate::tree;

/// DBFS files that a library list, an init script or a job names; folders that are never read are left out.
pub fn dbfs_files(kind: &Kind, body: &Value) -> BTreeSet<String> {
    paths(kind, body, Target::DbfsPath)
        .into_iter()
        .filter(|path| tree::dbfs_never_read(path).is_none())
        .collect()
}

/// Paths of the workspace tree that an object names.
pub fn workspace_paths(kind: &Kind, body: &Value) -> BTreeSet<String> {
    paths(kind, body, Target::WorkspacePath)
}

/// Clusters that a job runs on: those older than the listing are read once by id.
pub fn clusters(kind: &Kind, body: &Value) -> BTreeSet<String> {
    paths(kind, body, Target::Cluster)
}

/// References to users, groups and service principals; addresses of notifications are not among them.
pub fn principals(kind: &Kind, body: &Value) -> Vec<Found> {
    let principal = |to| {
        matches!(
            to,
            Target::User | Target::Group | Target::ServicePrincipal | Target::Principal
        )
    };
    kind.found_references(body)
        .into_iter()
        .filter(|found| principal(found.to))
        .collect()
}

fn paths(kind: &Kind, body: &Value, to: Target) -> BTreeSet<String> {
    kind.found_references(body)
        .into_iter()
        .filter(|found| found.to == to)
        .map(|found| found.value)
        .collect()
}
