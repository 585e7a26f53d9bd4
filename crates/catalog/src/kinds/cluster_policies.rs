//! Cluster policies (fact sheet, section 10.3).
//!
//! A policy of a family is sent as overrides, any other as definition: both are JSON text inside a string, and hold ids.

use serde_json::Value;

use crate::forms::canonical;
use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Permissions, Read, Stage, Target, WRITE, Write,
    reference,
};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "cluster-policies",
    singular: "cluster policy",
    stage: Stage::ClusterPolicies,
    list: Some(List {
        path: "/api/2.0/policies/clusters/list",
        array: "policies",
        paging: Paging::None,
        query: &[],
        only_listed: &[],
    }),
    read: Some(Read {
        path: "/api/2.0/policies/clusters/get",
        id_query: Some("policy_id"),
        paged_arrays: &[],
    }),
    id: "policy_id",
    natural_key: NaturalKey::Name("name"),
    builtin: |body| body.get("is_default").and_then(Value::as_bool) == Some(true),
    server_set: &[
        "policy_id",
        "created_at_timestamp",
        "creator_user_name",
        "is_default",
    ],
    defaults: &[
        ("description", "\"\""),
        ("policy_family_definition_overrides", "{}"),
    ],
    compared_unordered: &[("libraries", "")],
    references: &[
        reference("definition", Target::InstancePool, Form::InString),
        reference(
            "policy_family_definition_overrides",
            Target::InstancePool,
            Form::InString,
        ),
        reference(
            "libraries[*].(jar|whl|egg|requirements)",
            Target::AnyPath,
            Form::Path,
        ),
    ],
    permissions: Some(Permissions {
        segment: "cluster-policies",
        object_type: "cluster-policy",
        levels: &["CAN_USE"],
        has_owner: false,
    }),
    create: Some(Write {
        path: "/api/2.0/policies/clusters/create",
        returns_id: Some("policy_id"),
        ..WRITE
    }),
    update: Some(Write {
        path: "/api/2.0/policies/clusters/edit",
        id_body: Some("policy_id"),
        ..WRITE
    }),
    delete: Some(Write {
        path: "/api/2.0/policies/clusters/delete",
        id_body: Some("policy_id"),
        ..WRITE
    }),
    shape_request,
    shape_compare,
    ..BASE
};

fn shape_request(request: &mut Value, _original: &Value) {
    let Some(map) = request.as_object_mut() else {
        return;
    };
    let family = map
        .get("policy_family_id")
        .and_then(Value::as_str)
        .is_some_and(|id| !id.is_empty());
    if family {
        // What comes back is family and overrides merged; sent, it would no longer follow the family.
        map.shift_remove("definition");
    } else {
        map.shift_remove("policy_family_id");
        map.shift_remove("policy_family_definition_overrides");
    }
}

/// JSON texts are compared by meaning.
fn shape_compare(form: &mut Value) {
    for field in ["definition", "policy_family_definition_overrides"] {
        if let Some(text) = form.get_mut(field)
            && let Some(mut parsed) = text
                .as_str()
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
        {
            canonical(&mut parsed);
            *text = parsed;
        }
    }
}
