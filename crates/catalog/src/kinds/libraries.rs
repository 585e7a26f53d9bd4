//! Library lists of clusters (fact sheet, section 6).
//!
//! A record holds what is configured, `libraries`; how the installation went (`library_statuses`) is volatile.

use serde_json::{Map, Value};

use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Stage, Target, WRITE, Write, reference,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "libraries",
    singular: "library list",
    stage: Stage::Libraries,
    list: Some(List {
        path: "/api/2.0/libraries/all-cluster-statuses",
        array: "statuses",
        paging: Paging::None,
        query: &[],
        only_listed: &[],
    }),
    id: "cluster_id",
    label: "cluster_id",
    natural_key: NaturalKey::Owner("cluster_id"),
    include: |listed| {
        if configured(listed).is_empty() {
            Err("no library of its own")
        } else {
            Ok(())
        }
    },
    volatile: &["library_statuses"],
    unordered: &[("libraries", "")],
    references: &[
        reference("cluster_id", Target::Cluster, Form::Id),
        reference(
            "libraries[*].(jar|whl|egg|requirements)",
            Target::AnyPath,
            Form::Path,
        ),
    ],
    create: Some(Write {
        path: "/api/2.0/libraries/install",
        ..WRITE
    }),
    update: Some(Write {
        path: "/api/2.0/libraries/install",
        id_body: Some("cluster_id"),
        ..WRITE
    }),
    shape_listed: compose,
    ..BASE
};

/// POST call that takes libraries off a cluster at its next start; body `{cluster_id, libraries}`.
pub const UNINSTALL_PATH: &str = "/api/2.0/libraries/uninstall";

/// The body of a record from an element of the listing, `{"cluster_id", "library_statuses"}`.
pub fn compose(listed: Value) -> Value {
    let libraries = configured(&listed);
    let Value::Object(listed) = listed else {
        return listed;
    };
    let mut body = Map::new();
    for (field, value) in listed {
        if field == "library_statuses" {
            body.insert("libraries".to_owned(), Value::Array(libraries.clone()));
        }
        body.insert(field, value);
    }
    Value::Object(body)
}

/// Libraries that the cluster itself is configured with. Those being removed and those that the workspace puts on every
/// cluster are none; failed ones are.
fn configured(body: &Value) -> Vec<Value> {
    if let Some(composed) = body.get("libraries").and_then(Value::as_array) {
        return composed.clone();
    }
    let statuses = body
        .get("library_statuses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    statuses
        .filter(|status| {
            status.get("status").and_then(Value::as_str) != Some("UNINSTALL_ON_RESTART")
        })
        .filter(|status| {
            status
                .get("is_library_for_all_clusters")
                .and_then(Value::as_bool)
                != Some(true)
        })
        .filter_map(|status| status.get("library").cloned())
        .collect()
}
