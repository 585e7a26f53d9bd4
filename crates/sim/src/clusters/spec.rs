//! The specification of a cluster: which fields a caller may send, what the service checks and what it fills in.
//!
//! Used by `clusters/create`, `edit` and `update`, and for the checks of `new_cluster` in jobs.

use serde_json::{Map, Value, json};

use super::{Clusters, catalogue};
use crate::http::ApiError;

/// Fields that `create` and `edit` take over into the cluster; all others are ignored, as the service does.
pub const WRITABLE: &[&str] = &[
    "cluster_name",
    "spark_version",
    "num_workers",
    "autoscale",
    "node_type_id",
    "driver_node_type_id",
    "instance_pool_id",
    "driver_instance_pool_id",
    "policy_id",
    "autotermination_minutes",
    "spark_conf",
    "spark_env_vars",
    "custom_tags",
    "ssh_public_keys",
    "init_scripts",
    "cluster_log_conf",
    "data_security_mode",
    "single_user_name",
    "runtime_engine",
    "kind",
    "is_single_node",
    "use_ml_runtime",
    "enable_elastic_disk",
    "enable_local_disk_encryption",
    "azure_attributes",
    "docker_image",
    "workload_type",
    "remote_disk_throughput",
    "total_initial_remote_disk_size",
    "worker_node_type_flexibility",
    "driver_node_type_flexibility",
    "dependency_mode",
];

/// The keys of an entry of `init_scripts`.
const SCRIPT_PLACES: &[&str] = &["workspace", "volumes", "abfss", "s3", "gcs", "dbfs", "file"];

/// The writable part of `body`.
pub fn writable(body: &Value) -> Map<String, Value> {
    let Some(fields) = body.as_object() else {
        return Map::new();
    };
    fields
        .iter()
        .filter(|(name, value)| WRITABLE.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Refuses a specification that the service would refuse, with its error.
pub fn check(clusters: &Clusters, spec: &Map<String, Value>) -> Result<(), ApiError> {
    let simple_form = spec.get("is_single_node").and_then(Value::as_bool) == Some(true);
    match spec.get("spark_version").and_then(Value::as_str) {
        None | Some("") => {
            return Err(ApiError::invalid("Missing required field: spark_version"));
        }
        Some(key) => catalogue::check_spark_version(clusters, key)?,
    }
    match (
        spec.contains_key("num_workers"),
        spec.contains_key("autoscale"),
    ) {
        (true, true) => {
            return Err(ApiError::invalid(
                "Exactly one of num_workers and autoscale must be specified",
            ));
        }
        (false, false) if !simple_form => {
            return Err(ApiError::invalid(
                "Missing required field: num_workers or autoscale",
            ));
        }
        _ => {}
    }
    check_machines(clusters, spec)?;
    if let Some(minutes) = spec.get("autotermination_minutes").and_then(Value::as_i64)
        && minutes != 0
        && !(10..=10_000).contains(&minutes)
    {
        return Err(ApiError::invalid(format!(
            "The cluster autotermination time must be 0 or between 10 and 10000 minutes, but was {minutes}"
        )));
    }
    check_single_node(spec)?;
    let count = |field: &str| {
        spec.get(field).map_or(0, |value| {
            value
                .as_array()
                .map_or_else(|| value.as_object().map_or(0, Map::len), Vec::len)
        })
    };
    for (field, most) in [
        ("custom_tags", 45),
        ("ssh_public_keys", 10),
        ("init_scripts", 10),
    ] {
        if count(field) > most {
            return Err(ApiError::invalid(format!(
                "At most {most} {field} are allowed, but {} were given",
                count(field)
            )));
        }
    }
    check_scripts(spec)
}

fn check_machines(clusters: &Clusters, spec: &Map<String, Value>) -> Result<(), ApiError> {
    let pooled = spec.contains_key("instance_pool_id");
    if spec.contains_key("driver_instance_pool_id") && !pooled {
        return Err(ApiError::invalid(
            "driver_instance_pool_id can only be specified together with instance_pool_id",
        ));
    }
    if !pooled && !spec.contains_key("node_type_id") {
        return Err(ApiError::invalid("Missing required field: node_type_id"));
    }
    if pooled {
        for field in [
            "node_type_id",
            "driver_node_type_id",
            "enable_elastic_disk",
            "azure_attributes",
        ] {
            if spec.contains_key(field) {
                return Err(ApiError::invalid(format!(
                    "The field '{field}' cannot be supplied when an instance pool ID is provided."
                )));
            }
        }
    }
    for field in ["node_type_id", "driver_node_type_id"] {
        if let Some(name) = spec.get(field).and_then(Value::as_str) {
            catalogue::check_node_type(clusters, name)?;
        }
    }
    if let Some(bounds) = spec.get("autoscale") {
        let bound = |name: &str| bounds.get(name).and_then(Value::as_i64);
        match (bound("min_workers"), bound("max_workers")) {
            (Some(low), Some(high)) if low <= high => {}
            _ => {
                return Err(ApiError::invalid(
                    "autoscale needs min_workers and max_workers, min_workers not above max_workers",
                ));
            }
        }
    }
    Ok(())
}

/// Zero workers are only allowed for a cluster that says that it is a single node.
fn check_single_node(spec: &Map<String, Value>) -> Result<(), ApiError> {
    let zero = spec.get("num_workers").and_then(Value::as_i64) == Some(0);
    let says_so = spec
        .get("spark_conf")
        .and_then(|conf| conf.get("spark.databricks.cluster.profile"))
        .and_then(Value::as_str)
        == Some("singleNode")
        || spec.get("is_single_node").and_then(Value::as_bool) == Some(true);
    if zero && !says_so {
        return Err(ApiError::invalid(
            "Cluster with 0 workers must set spark.databricks.cluster.profile to singleNode and the tag ResourceClass to SingleNode",
        ));
    }
    Ok(())
}

fn check_scripts(spec: &Map<String, Value>) -> Result<(), ApiError> {
    for script in spec
        .get("init_scripts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let places: Vec<&String> = script.as_object().into_iter().flat_map(Map::keys).collect();
        let destination = places
            .first()
            .and_then(|place| script[place.as_str()].get("destination"));
        if places.len() != 1
            || !SCRIPT_PLACES.contains(&places[0].as_str())
            || destination.is_none()
        {
            return Err(ApiError::invalid(
                "Each init script must have exactly one storage type with a destination",
            ));
        }
    }
    Ok(())
}

/// Fills in what the service decides when the caller says nothing. `pool_node_type`: the node type of the pool, when the
/// cluster uses one; `caller`: who becomes the single user.
pub fn fill_defaults(spec: &mut Map<String, Value>, pool_node_type: Option<&str>, caller: &str) {
    let mut set = |name: &str, value: Value| {
        spec.entry(name).or_insert(value);
    };
    set("cluster_name", json!(""));
    set("autotermination_minutes", json!(0));
    set("enable_local_disk_encryption", json!(false));
    match pool_node_type {
        Some(node) => {
            set("node_type_id", json!(node));
            set("driver_node_type_id", json!(node));
            set("enable_elastic_disk", json!(false));
        }
        None => {
            set("enable_elastic_disk", json!(true));
            set("azure_attributes", json!({}));
        }
    }
    if spec.get("is_single_node").and_then(Value::as_bool) == Some(true) {
        spec.entry("num_workers").or_insert(json!(0));
        merge(
            spec,
            "spark_conf",
            &[
                ("spark.databricks.cluster.profile", "singleNode"),
                ("spark.master", "local[*]"),
            ],
        );
        merge(spec, "custom_tags", &[("ResourceClass", "SingleNode")]);
    }
    if let Some(node) = spec.get("node_type_id").cloned() {
        spec.entry("driver_node_type_id").or_insert(node);
    }
    if let Some(Value::Object(azure)) = spec.get_mut("azure_attributes") {
        azure.entry("first_on_demand").or_insert(json!(1));
        azure
            .entry("availability")
            .or_insert(json!("ON_DEMAND_AZURE"));
        azure.entry("spot_bid_max_price").or_insert(json!(-1.0));
    }
    if spec.get("instance_pool_id").is_some() && !spec.contains_key("driver_instance_pool_id") {
        let pool = spec["instance_pool_id"].clone();
        spec.insert("driver_instance_pool_id".into(), pool);
    }
    let single_user = matches!(
        spec.get("data_security_mode").and_then(Value::as_str),
        Some("SINGLE_USER" | "LEGACY_SINGLE_USER" | "DATA_SECURITY_MODE_DEDICATED")
    );
    if single_user {
        spec.entry("single_user_name").or_insert(json!(caller));
    }
}

fn merge(spec: &mut Map<String, Value>, field: &str, pairs: &[(&str, &str)]) {
    if let Value::Object(map) = spec.entry(field).or_insert_with(|| json!({})) {
        for (key, value) in pairs {
            map.entry(*key).or_insert(json!(value));
        }
    }
}
