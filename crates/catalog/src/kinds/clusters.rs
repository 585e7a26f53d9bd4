//! All-purpose clusters (fact sheet, section 5).
//!
//! Clusters that jobs, pipelines or warehouses made are listed and left out. Pins are known from the listing only.

use serde_json::Value;

use super::cluster_spec::{self, cluster_defaults, cluster_references};
use crate::kind::{BASE, Kind, List, NaturalKey, Paging, Permissions, Read, Stage, WRITE, Write};

/// The kind.
pub static KIND: Kind = Kind {
    name: "clusters",
    singular: "cluster",
    stage: Stage::Clusters,
    list: Some(List {
        path: "/api/2.1/clusters/list",
        array: "clusters",
        paging: Paging::PageToken {
            size: ("page_size", 100),
        },
        query: &[],
        only_listed: &["pinned_by_user_name"],
    }),
    read: Some(Read {
        path: "/api/2.1/clusters/get",
        id_query: Some("cluster_id"),
        paged_arrays: &[],
    }),
    id: "cluster_id",
    label: "cluster_name",
    natural_key: NaturalKey::NameAndContent("cluster_name"),
    include,
    volatile: &[
        "state",
        "state_message",
        "start_time",
        "terminated_time",
        "termination_reason",
        "last_state_loss_time",
        "last_restarted_time",
        "last_activity_time",
        "driver",
        "executors",
        "spark_context_id",
        "jdbc_port",
        "cluster_cores",
        "cluster_memory_mb",
        "cluster_log_status",
    ],
    server_set: &[
        "cluster_id",
        "cluster_source",
        "creator_user_name",
        "default_tags",
        "pinned_by_user_name",
        "init_scripts_safe_mode",
        "effective_*",
        "spec",
    ],
    defaults: cluster_defaults!("", [("apply_policy_default_values", "false")]),
    references: cluster_references!("", []),
    permissions: Some(Permissions {
        segment: "clusters",
        object_type: "cluster",
        levels: &["CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"],
        has_owner: false,
    }),
    create: Some(Write {
        path: "/api/2.1/clusters/create",
        returns_id: Some("cluster_id"),
        ..WRITE
    }),
    update: Some(Write {
        path: "/api/2.1/clusters/edit",
        id_body: Some("cluster_id"),
        ..WRITE
    }),
    delete: Some(Write {
        path: "/api/2.1/clusters/permanent-delete",
        id_body: Some("cluster_id"),
        ..WRITE
    }),
    shape_request,
    shape_compare: cluster_spec::normalise,
    ..BASE
};

/// True when an administrator pinned it, so that the service keeps it longer than 30 days after its end.
pub fn is_pinned(body: &Value) -> bool {
    body.get("pinned_by_user_name")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty())
}

fn include(body: &Value) -> Result<(), &'static str> {
    match body.get("cluster_source").and_then(Value::as_str) {
        Some("JOB") => Err("cluster of a job run"),
        Some("PIPELINE" | "PIPELINE_MAINTENANCE") => Err("cluster of a pipeline"),
        Some("SQL") => Err("cluster of a SQL warehouse"),
        Some("MODELS") => Err("cluster of model serving"),
        _ => Ok(()),
    }
}

fn shape_request(request: &mut Value, original: &Value) {
    cluster_spec::shape(request);
    cluster_spec::drop_default_tags(request, original);
    // Without it the server would fill every default of the policy into fields that were left open.
    let applied = original
        .get("spec")
        .and_then(|spec| spec.get("apply_policy_default_values"));
    if let (Some(applied), Some(map)) = (applied, request.as_object_mut()) {
        map.insert("apply_policy_default_values".to_owned(), applied.clone());
    }
}
