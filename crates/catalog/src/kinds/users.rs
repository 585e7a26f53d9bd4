//! Users (fact sheet, section 12).
//!
//! Group membership stands in the groups; what a user says of it (`groups`) is kept as information only.

use serde_json::{Value, json};

use crate::kind::{BASE, Kind, Layout, List, NaturalKey, Paging, Stage, WRITE, Write};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "users",
    singular: "user",
    stage: Stage::Identities,
    layout: Layout::Table,
    list: Some(List {
        path: "/api/2.0/preview/scim/v2/Users",
        array: "Resources",
        paging: Paging::Scim { count: 1000 },
        query: &[],
        only_listed: &[],
    }),
    label: "userName",
    natural_key: NaturalKey::FoldedName("userName"),
    server_set: &["id", "meta", "groups"],
    defaults: &[("active", "true")],
    unordered: &[
        ("groups", "value"),
        ("entitlements", "value"),
        ("roles", "value"),
        ("emails", "value"),
        ("schemas", ""),
    ],
    create: Some(Write {
        path: "/api/2.0/preview/scim/v2/Users",
        returns_id: Some("id"),
        ..WRITE
    }),
    update: Some(Write {
        method: "PUT",
        path: "/api/2.0/preview/scim/v2/Users/{id}",
        ..WRITE
    }),
    delete: Some(Write {
        method: "DELETE",
        path: "/api/2.0/preview/scim/v2/Users/{id}",
        ..WRITE
    }),
    shape_request: |request, _| set_schema(request, "User"),
    shape_compare,
    ..BASE
};

/// Sets the one schema that a create call needs, in front of the other fields.
pub(super) fn set_schema(request: &mut Value, resource: &str) {
    if let Some(map) = request.as_object_mut() {
        let schema = json!([format!("urn:ietf:params:scim:schemas:core:2.0:{resource}")]);
        map.shift_insert(0, "schemas".to_owned(), schema);
    }
}

fn shape_compare(form: &mut Value) {
    let Some(map) = form.as_object_mut() else {
        return;
    };
    let Some(name) = map
        .get("userName")
        .and_then(Value::as_str)
        .map(str::to_lowercase)
    else {
        return;
    };
    // The server adds the user name as the one address and as display name.
    let own_address = |emails: &Value| {
        let emails = emails.as_array().map(Vec::as_slice).unwrap_or_default();
        matches!(emails, [only] if only.get("value").and_then(Value::as_str).is_some_and(|mail| mail.to_lowercase() == name))
    };
    if map.get("emails").is_some_and(own_address) {
        map.shift_remove("emails");
    }
    if map
        .get("displayName")
        .and_then(Value::as_str)
        .is_some_and(|display| display.to_lowercase() == name)
    {
        map.shift_remove("displayName");
    }
    map.insert("userName".to_owned(), json!(name));
}
