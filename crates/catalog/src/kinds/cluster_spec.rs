//! What clusters and the `new_cluster` of jobs have in common: references, defaults, and the rules of the create call.
//!
//! Owns the specification of a cluster (fact sheet, section 5.2); all-purpose clusters and jobs add the rest.

use serde_json::{Value, json};

/// Adds the references of a cluster specification, found below `$at`, to a kind's own.
macro_rules! cluster_references {
    ($at:expr, [$($own:expr),* $(,)?]) => {
        &[
            $($own,)*
            $crate::kind::reference(concat!($at, "instance_pool_id"), $crate::Target::InstancePool, $crate::Form::Id),
            $crate::kind::reference(concat!($at, "driver_instance_pool_id"), $crate::Target::InstancePool, $crate::Form::Id),
            $crate::kind::reference(concat!($at, "policy_id"), $crate::Target::ClusterPolicy, $crate::Form::Id),
            $crate::kind::reference(concat!($at, "(node_type_id|driver_node_type_id)"), $crate::Target::NodeType, $crate::Form::Name),
            $crate::kind::reference(concat!($at, "(worker_node_type_flexibility|driver_node_type_flexibility).alternate_node_type_ids[*]"), $crate::Target::NodeType, $crate::Form::Name),
            $crate::kind::reference(concat!($at, "spark_version"), $crate::Target::SparkVersion, $crate::Form::Name),
            $crate::kind::reference(concat!($at, "single_user_name"), $crate::Target::Principal, $crate::Form::Name),
            $crate::kind::reference(concat!($at, "init_scripts[*].workspace.destination"), $crate::Target::AnyPath, $crate::Form::Path),
            $crate::kind::reference(concat!($at, "init_scripts[*].dbfs.destination"), $crate::Target::DbfsPath, $crate::Form::DbfsPath),
            $crate::kind::reference(concat!($at, "init_scripts[*].(volumes|abfss|s3|gcs|file).destination"), $crate::Target::AnyPath, $crate::Form::Path),
            $crate::kind::reference(concat!($at, "spark_conf{*}"), $crate::Target::SecretScope, $crate::Form::SecretText),
            $crate::kind::reference(concat!($at, "spark_env_vars{*}"), $crate::Target::SecretScope, $crate::Form::SecretText),
            $crate::kind::reference(concat!($at, "docker_image.basic_auth.(username|password)"), $crate::Target::SecretScope, $crate::Form::SecretText),
        ]
    };
}

/// Adds the server defaults of a cluster specification, found below `$at`, to a kind's own.
macro_rules! cluster_defaults {
    ($at:expr, [$($own:expr),* $(,)?]) => {
        &[
            (concat!($at, "azure_attributes.first_on_demand"), "1"),
            (concat!($at, "azure_attributes.availability"), "\"ON_DEMAND_AZURE\""),
            (concat!($at, "azure_attributes.spot_bid_max_price"), "-1"),
            (concat!($at, "azure_attributes"), "{}"),
            (concat!($at, "runtime_engine"), "\"STANDARD\""),
            (concat!($at, "enable_local_disk_encryption"), "false"),
            (concat!($at, "enable_elastic_disk"), "true"),
            (concat!($at, "init_scripts_safe_mode"), "false"),
            (concat!($at, "spark_conf"), "{}"),
            (concat!($at, "spark_env_vars"), "{}"),
            (concat!($at, "custom_tags"), "{}"),
            $($own,)*
        ]
    };
}

pub(crate) use {cluster_defaults, cluster_references};

/// Fields that a pool decides for its clusters.
const DECIDED_BY_POOL: [&str; 5] = [
    "node_type_id",
    "driver_node_type_id",
    "enable_elastic_disk",
    "azure_attributes",
    "gcp_attributes",
];

/// Applies the rules of the create call to a specification.
pub(crate) fn shape(spec: &mut Value) {
    let Some(map) = spec.as_object_mut() else {
        return;
    };
    if map
        .get("instance_pool_id")
        .and_then(Value::as_str)
        .is_some_and(|id| !id.is_empty())
    {
        map.retain(|field, _| !DECIDED_BY_POOL.contains(&field.as_str()));
        if let Some(aws) = map.get_mut("aws_attributes").and_then(Value::as_object_mut) {
            aws.retain(|field, _| field == "instance_profile_arn");
        }
    } else {
        map.shift_remove("instance_pool_id");
        map.shift_remove("driver_instance_pool_id");
    }
    if map
        .get("autoscale")
        .is_some_and(|autoscale| !autoscale.is_null())
    {
        map.shift_remove("num_workers");
    } else if !map.contains_key("num_workers") && is_single_node_profile(map) {
        map.insert("num_workers".to_owned(), json!(0));
    }
}

/// The older form of a single node: told by `spark_conf`, and the service wants the 0 to be said.
fn is_single_node_profile(map: &serde_json::Map<String, Value>) -> bool {
    let profile = map
        .get("spark_conf")
        .and_then(|conf| conf.get("spark.databricks.cluster.profile"));
    profile.and_then(Value::as_str) == Some("singleNode")
}

/// Drops what the service derives from another field of the specification.
pub(crate) fn normalise(spec: &mut Value) {
    let Some(map) = spec.as_object_mut() else {
        return;
    };
    if map.get("driver_node_type_id") == map.get("node_type_id") {
        map.shift_remove("driver_node_type_id");
    }
    if map.get("driver_instance_pool_id") == map.get("instance_pool_id") {
        map.shift_remove("driver_instance_pool_id");
    }
}

/// Drops `custom_tags` that only repeat `default_tags` of `original`; the service refuses its own tags.
pub(crate) fn drop_default_tags(request: &mut Value, original: &Value) {
    let Some(defaults) = original.get("default_tags").and_then(Value::as_object) else {
        return;
    };
    if let Some(tags) = request
        .get_mut("custom_tags")
        .and_then(Value::as_object_mut)
    {
        tags.retain(|tag, value| defaults.get(tag) != Some(value));
    }
}
