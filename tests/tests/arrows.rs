//! The dependency directions of `spec/architecture.md`, checked against `cargo metadata`.
//!
//! Normal dependencies only: a test may lean on whatever it needs.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Who may depend on whom. A package that is missing here fails the test.
const ARROWS: &[(&str, &[&str])] = &[
    ("lifeboat-archive", &[]),
    ("lifeboat-catalog", &[]),
    ("lifeboat-databricks", &[]),
    ("lifeboat-console", &[]),
    ("lifeboat-sim", &[]),
    ("lifeboat-storage", &["lifeboat-archive"]),
    (
        "lifeboat-export",
        &[
            "lifeboat-archive",
            "lifeboat-catalog",
            "lifeboat-databricks",
        ],
    ),
    (
        "lifeboat-import",
        &[
            "lifeboat-archive",
            "lifeboat-catalog",
            "lifeboat-databricks",
        ],
    ),
    (
        "lifeboat-inspect",
        &["lifeboat-archive", "lifeboat-catalog"],
    ),
    (
        "lifeboat-cli",
        &[
            "lifeboat-archive",
            "lifeboat-catalog",
            "lifeboat-console",
            "lifeboat-databricks",
            "lifeboat-export",
            "lifeboat-import",
            "lifeboat-inspect",
            "lifeboat-sim",
            "lifeboat-storage",
        ],
    ),
    ("lifeboat-tests", &[]),
];

/// Rooms that work without a network and without a command line.
const OFFLINE: &[&str] = &["lifeboat-archive", "lifeboat-catalog", "lifeboat-inspect"];

/// What an offline room may not reach, however far down.
const ONLINE: &[&str] = &["tokio", "reqwest", "hyper", "object_store", "clap"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .expect("cargo metadata")
}

/// Package id -> ids of its normal dependencies.
fn normal_dependencies(metadata: &Metadata) -> BTreeMap<PackageId, Vec<PackageId>> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let normal = |node: &cargo_metadata::Node| {
        node.deps
            .iter()
            .filter(|dep| {
                dep.dep_kinds
                    .iter()
                    .any(|kind| kind.kind == DependencyKind::Normal)
            })
            .map(|dep| dep.pkg.clone())
            .collect()
    };
    resolve
        .nodes
        .iter()
        .map(|node| (node.id.clone(), normal(node)))
        .collect()
}

#[test]
fn every_arrow_points_downwards() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no line in spec/architecture.md's arrows"));
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Normal
                || !dependency.name.starts_with("lifeboat-")
            {
                continue;
            }
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "{name} -> {} is not an arrow of spec/architecture.md",
                dependency.name
            );
        }
    }
}

#[test]
fn every_package_of_the_table_exists() {
    let metadata = metadata();
    let present: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(present, listed);
}

#[test]
fn offline_rooms_reach_no_network_and_no_command_line() {
    let metadata = metadata();
    let graph = normal_dependencies(&metadata);
    for package in metadata.workspace_packages() {
        if !OFFLINE.contains(&package.name.as_str()) {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut ahead = vec![package.id.clone()];
        while let Some(id) = ahead.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            ahead.extend(graph[&id].iter().cloned());
        }
        for id in &seen {
            let reached = &metadata[id].name;
            assert!(
                !ONLINE.contains(&reached.as_str()),
                "{} reaches {reached}",
                package.name
            );
        }
    }
}
