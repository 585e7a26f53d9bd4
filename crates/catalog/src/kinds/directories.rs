//! Directories of the workspace tree, empty ones too; the tree is walked by code of its own.

use crate::kind::{BASE, Kind, Layout, NaturalKey, Permissions, Stage};

/// Levels of every object in the tree.
pub(crate) const LEVELS: &[&str] = &["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"];

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "directories",
    singular: "directory",
    stage: Stage::Workspace,
    layout: Layout::Tree,
    id: "object_id",
    numeric_id: true,
    label: "path",
    natural_key: NaturalKey::Name("path"),
    permissions: Some(Permissions {
        segment: "directories",
        object_type: "directory",
        levels: LEVELS,
        has_owner: false,
    }),
    ..BASE
};
