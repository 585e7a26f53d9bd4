//! Other objects of the workspace tree (libraries, dashboards, experiments, types to come): inventoried, not captured.

use crate::kind::{BASE, Kind, Layout, NaturalKey, Stage};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "workspace-objects",
    singular: "other workspace object",
    stage: Stage::Workspace,
    layout: Layout::Tree,
    id: "object_id",
    numeric_id: true,
    label: "path",
    natural_key: NaturalKey::Name("path"),
    ..BASE
};
