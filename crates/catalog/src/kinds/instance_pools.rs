//! Instance pools (fact sheet, section 10.2).
//!
//! A pool with idle instances starts machines at once: it lands with none.

use serde_json::Value;

use super::cluster_spec;
use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Passive, Permissions, Read, Stage, Target, WRITE,
    Write, reference,
};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "instance-pools",
    singular: "instance pool",
    stage: Stage::InstancePools,
    list: Some(List {
        path: "/api/2.0/instance-pools/list",
        array: "instance_pools",
        paging: Paging::None,
        query: &[],
        only_listed: &[],
    }),
    read: Some(Read {
        path: "/api/2.0/instance-pools/get",
        id_query: Some("instance_pool_id"),
        paged_arrays: &[],
    }),
    id: "instance_pool_id",
    label: "instance_pool_name",
    natural_key: NaturalKey::Name("instance_pool_name"),
    include: |body| match body.get("state").and_then(Value::as_str) {
        Some("DELETED") => Err("deleted"),
        _ => Ok(()),
    },
    volatile: &["state", "stats", "status"],
    server_set: &["instance_pool_id", "default_tags"],
    defaults: &[
        ("azure_attributes.availability", "\"ON_DEMAND_AZURE\""),
        ("azure_attributes.spot_bid_max_price", "-1"),
        ("azure_attributes", "{}"),
        ("min_idle_instances", "0"),
        ("enable_elastic_disk", "true"),
        ("custom_tags", "{}"),
    ],
    references: &[
        reference("node_type_id", Target::NodeType, Form::Name),
        reference(
            "node_type_flexibility.alternate_node_type_ids[*]",
            Target::NodeType,
            Form::Name,
        ),
        reference(
            "preloaded_spark_versions[*]",
            Target::SparkVersion,
            Form::Name,
        ),
        reference(
            "preloaded_docker_images[*].basic_auth.(username|password)",
            Target::SecretScope,
            Form::SecretText,
        ),
    ],
    passive: &[Passive {
        within: "",
        field: "min_idle_instances",
        value: "0",
    }],
    permissions: Some(Permissions {
        segment: "instance-pools",
        object_type: "instance-pool",
        levels: &["CAN_ATTACH_TO", "CAN_MANAGE"],
        has_owner: false,
    }),
    create: Some(Write {
        path: "/api/2.0/instance-pools/create",
        returns_id: Some("instance_pool_id"),
        ..WRITE
    }),
    update: Some(Write {
        path: "/api/2.0/instance-pools/edit",
        id_body: Some("instance_pool_id"),
        // The rest cannot be changed after the creation.
        fields: &[
            "instance_pool_name",
            "node_type_id",
            "min_idle_instances",
            "max_capacity",
            "idle_instance_autotermination_minutes",
            "custom_tags",
        ],
        ..WRITE
    }),
    delete: Some(Write {
        path: "/api/2.0/instance-pools/delete",
        id_body: Some("instance_pool_id"),
        ..WRITE
    }),
    shape_request: cluster_spec::drop_default_tags,
    ..BASE
};
