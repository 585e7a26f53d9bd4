//! DBFS files and directories: legacy init scripts, what other objects name, and what was asked for.

use crate::kind::{BASE, Kind, Layout, NaturalKey, Stage};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "dbfs",
    singular: "DBFS file",
    stage: Stage::Dbfs,
    layout: Layout::Tree,
    id: "path",
    label: "path",
    natural_key: NaturalKey::Name("path"),
    ..BASE
};
