//! What machines and runtimes the simulated region offers: `clusters/list-node-types` and `clusters/spark-versions`.

use serde_json::{Value, json};

use super::Clusters;
use crate::http::ApiError;

/// A machine type.
pub struct NodeType {
    /// `node_type_id`
    pub name: &'static str,
    /// Memory in MiB.
    pub memory_mb: u32,
    /// Cores.
    pub cores: u32,
    /// Graphics processors.
    pub gpus: u32,
    /// What the console shows it under.
    pub category: &'static str,
    /// Whether new use is discouraged.
    pub deprecated: bool,
}

const fn node(
    name: &'static str,
    memory_mb: u32,
    cores: u32,
    gpus: u32,
    category: &'static str,
    deprecated: bool,
) -> NodeType {
    NodeType {
        name,
        memory_mb,
        cores,
        gpus,
        category,
        deprecated,
    }
}

/// All machine types.
pub const NODE_TYPES: &[NodeType] = &[
    node("Standard_DS3_v2", 14_336, 4, 0, "General Purpose", false),
    node("Standard_DS4_v2", 28_672, 8, 0, "General Purpose", false),
    node("Standard_DS5_v2", 57_344, 16, 0, "General Purpose", false),
    node("Standard_D4ds_v5", 16_384, 4, 0, "General Purpose", false),
    node("Standard_D8ds_v5", 32_768, 8, 0, "General Purpose", false),
    node("Standard_E4ds_v4", 32_768, 4, 0, "Memory Optimized", false),
    node("Standard_E8ds_v4", 65_536, 8, 0, "Memory Optimized", false),
    node("Standard_L8s_v2", 65_536, 8, 0, "Storage Optimized", false),
    node("Standard_F8s_v2", 16_384, 8, 0, "Compute Optimized", false),
    node("Standard_NC6s_v3", 114_688, 6, 1, "GPU Accelerated", false),
    node("Standard_D3_v2", 14_336, 4, 0, "General Purpose", true),
];

/// Runtime keys and what the console calls them.
pub const SPARK_VERSIONS: &[(&str, &str)] = &[
    (
        "16.4.x-scala2.12",
        "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)",
    ),
    (
        "15.4.x-scala2.12",
        "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)",
    ),
    (
        "15.4.x-cpu-ml-scala2.12",
        "15.4 LTS ML (includes Apache Spark 3.5.0, Scala 2.12)",
    ),
    (
        "14.3.x-scala2.12",
        "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)",
    ),
    (
        "13.3.x-scala2.12",
        "13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)",
    ),
    (
        "12.2.x-scala2.12",
        "12.2 LTS (includes Apache Spark 3.3.2, Scala 2.12)",
    ),
    (
        "10.4.x-scala2.12",
        "10.4 LTS (includes Apache Spark 3.2.1, Scala 2.12)",
    ),
];

/// Reply of `clusters/list-node-types`.
pub fn node_types(clusters: &Clusters) -> Value {
    let quota = f64::from(clusters.core_quota);
    let list: Vec<Value> = NODE_TYPES
        .iter()
        .filter(|node| !clusters.withdrawn.contains(node.name))
        .map(|node| {
            json!({
                "node_type_id": node.name, "memory_mb": node.memory_mb, "num_cores": f64::from(node.cores), "num_gpus": node.gpus,
                "description": node.name, "instance_type_id": node.name, "category": node.category, "is_deprecated": node.deprecated,
                "is_hidden": false, "support_port_forwarding": true, "is_io_cache_enabled": node.category == "Storage Optimized",
                "node_info": {
                    "available_core_quota": quota, "total_core_quota": quota,
                    "status": clusters.node_status.get(node.name).map_or_else(Vec::new, |status| vec![status.clone()]),
                },
            })
        })
        .collect();
    json!({ "node_types": list })
}

/// Reply of `clusters/spark-versions`.
pub fn spark_versions(clusters: &Clusters) -> Value {
    let list: Vec<Value> = SPARK_VERSIONS
        .iter()
        .filter(|(key, _)| !clusters.withdrawn.contains(*key))
        .map(|(key, name)| json!({"key": key, "name": name}))
        .collect();
    json!({ "versions": list })
}

/// Refuses a machine type that this region does not have.
pub(crate) fn check_node_type(clusters: &Clusters, name: &str) -> Result<(), ApiError> {
    let known = NODE_TYPES.iter().any(|node| node.name == name);
    if known && !clusters.withdrawn.contains(name) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Node type {name} is not supported"
    )))
}

/// Refuses a runtime that was taken away. Names of runtimes that no list shows (custom images, `auto:` in policies) are
/// taken: the service keeps some that it does not list any more.
pub(crate) fn check_spark_version(clusters: &Clusters, key: &str) -> Result<(), ApiError> {
    if !clusters.withdrawn.contains(key) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Spark version {key} is not supported"
    )))
}
