//! Global init scripts (fact sheet, section 10.1).
//!
//! They run on every cluster of the workspace: they land disabled. `script` is base64; order is in `position`.

use crate::kind::{BASE, Kind, List, NaturalKey, Paging, Passive, Read, Stage, WRITE, Write};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "global-init-scripts",
    singular: "global init script",
    stage: Stage::GlobalInitScripts,
    list: Some(List {
        path: "/api/2.0/global-init-scripts",
        array: "scripts",
        paging: Paging::None,
        query: &[],
        only_listed: &[],
    }),
    read: Some(Read {
        path: "/api/2.0/global-init-scripts/{id}",
        id_query: None,
        paged_arrays: &[],
    }),
    id: "script_id",
    natural_key: NaturalKey::Name("name"),
    server_set: &[
        "script_id",
        "created_at",
        "created_by",
        "updated_at",
        "updated_by",
    ],
    defaults: &[("enabled", "false")],
    passive: &[Passive {
        within: "",
        field: "enabled",
        value: "false",
    }],
    create: Some(Write {
        path: "/api/2.0/global-init-scripts",
        returns_id: Some("script_id"),
        ..WRITE
    }),
    update: Some(Write {
        method: "PATCH",
        path: "/api/2.0/global-init-scripts/{id}",
        ..WRITE
    }),
    delete: Some(Write {
        method: "DELETE",
        path: "/api/2.0/global-init-scripts/{id}",
        ..WRITE
    }),
    ..BASE
};
