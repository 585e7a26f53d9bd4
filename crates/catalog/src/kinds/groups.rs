//! Groups, local ones and those of the account (fact sheet, section 12).
//!
//! Members are references by SCIM id. The listing is asked for names only; each group is read for its members.

use serde_json::Value;

use super::users::set_schema;
use crate::kind::{
    BASE, Form, Kind, Layout, List, NaturalKey, Paging, Read, Stage, Target, WRITE, Write,
    reference,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "groups",
    singular: "group",
    stage: Stage::Identities,
    layout: Layout::Table,
    list: Some(List {
        path: "/api/2.0/preview/scim/v2/Groups",
        array: "Resources",
        paging: Paging::Scim { count: 1000 },
        query: &[("attributes", "id,displayName,meta")],
        only_listed: &["meta"],
    }),
    read: Some(Read {
        path: "/api/2.0/preview/scim/v2/Groups/{id}",
        id_query: None,
        paged_arrays: &[],
    }),
    label: "displayName",
    natural_key: NaturalKey::Name("displayName"),
    builtin,
    server_set: &[
        "id",
        "meta",
        "groups",
        "members[*].display",
        "members[*].type",
    ],
    unordered: &[
        ("groups", "value"),
        ("members", "value"),
        ("entitlements", "value"),
        ("roles", "value"),
        ("schemas", ""),
    ],
    references: &[reference(
        "members[*].value",
        Target::Principal,
        Form::Member,
    )],
    create: Some(Write {
        path: "/api/2.0/preview/scim/v2/Groups",
        returns_id: Some("id"),
        ..WRITE
    }),
    update: Some(Write {
        method: "PUT",
        path: "/api/2.0/preview/scim/v2/Groups/{id}",
        ..WRITE
    }),
    delete: Some(Write {
        method: "DELETE",
        path: "/api/2.0/preview/scim/v2/Groups/{id}",
        ..WRITE
    }),
    shape_request: |request, _| set_schema(request, "Group"),
    shape_compare: without_refs,
    shape_create: |mut body| {
        without_refs(&mut body);
        body
    },
    ..BASE
};

/// `admins` and `users` exist in every workspace; membership of `users` follows from being a user.
fn builtin(body: &Value) -> bool {
    matches!(
        body.get("displayName").and_then(Value::as_str),
        Some("admins" | "users")
    )
}

/// True for a group of the account, which a workspace cannot create but only assign.
pub fn is_account_group(body: &Value) -> bool {
    body.pointer("/meta/resourceType").and_then(Value::as_str) == Some("Group")
}

/// `$ref` only tells the kind of a member while references are found and rewritten; it is neither sent nor compared.
fn without_refs(body: &mut Value) {
    crate::places::take(body, "members[*].$ref");
}
