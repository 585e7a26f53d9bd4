//! Notebooks of the workspace tree; their content is a member of its own.

use crate::kind::{BASE, Kind, Layout, NaturalKey, Permissions, Stage};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "notebooks",
    singular: "notebook",
    stage: Stage::Workspace,
    layout: Layout::Tree,
    id: "object_id",
    numeric_id: true,
    label: "path",
    natural_key: NaturalKey::Name("path"),
    permissions: Some(Permissions {
        segment: "notebooks",
        object_type: "notebook",
        levels: super::directories::LEVELS,
        has_owner: false,
    }),
    ..BASE
};
