//! SCIM resources as JSON: what is stored, what is computed, what the caller asked for.

use serde_json::{Map, Value, json};

use crate::http::Request;
use crate::identities::{Identity, Kind};
use crate::world::World;

/// Attributes that a caller may write, per kind; everything else in a body is ignored.
pub(super) fn writable(kind: Kind, body: Map<String, Value>) -> Map<String, Value> {
    let known: &[&str] = match kind {
        Kind::User => &[
            "userName",
            "displayName",
            "name",
            "active",
            "emails",
            "entitlements",
            "roles",
            "externalId",
        ],
        Kind::Group => &["displayName", "entitlements", "roles", "externalId"],
        Kind::ServicePrincipal => &[
            "displayName",
            "active",
            "applicationId",
            "entitlements",
            "roles",
            "externalId",
        ],
    };
    body.into_iter()
        .filter(|(key, value)| known.contains(&key.as_str()) && !value.is_null())
        .collect()
}

/// What the service adds to a body that leaves it out.
pub(super) fn with_defaults(kind: Kind, mut fields: Map<String, Value>) -> Map<String, Value> {
    if kind == Kind::Group {
        return fields;
    }
    fields.entry("active").or_insert_with(|| json!(true));
    let key = fields.get(kind.key()).cloned().unwrap_or_default();
    fields.entry("displayName").or_insert_with(|| key.clone());
    if kind == Kind::User {
        fields
            .entry("emails")
            .or_insert_with(|| json!([{"type": "work", "value": key, "primary": true}]));
    }
    fields
}

/// A resource with its computed attributes; empty arrays are absent.
pub(super) fn render(world: &World, identity: &Identity) -> Value {
    let schema = match identity.kind {
        Kind::User => "urn:ietf:params:scim:schemas:core:2.0:User",
        Kind::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
        Kind::ServicePrincipal => "urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal",
    };
    let mut body = Map::new();
    body.insert("schemas".to_owned(), json!([schema]));
    body.insert("id".to_owned(), json!(identity.id.to_string()));
    for (key, value) in &identity.fields {
        if value.as_array().is_none_or(|list| !list.is_empty()) {
            body.insert(key.clone(), value.clone());
        }
    }
    if identity.kind == Kind::Group {
        let resource_type = if identity.account {
            "Group"
        } else {
            "WorkspaceGroup"
        };
        body.insert("meta".to_owned(), json!({"resourceType": resource_type}));
    }
    insert_list(&mut body, "members", members(world, identity));
    insert_list(&mut body, "groups", groups(world, identity));
    Value::Object(body)
}

fn insert_list(body: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        body.insert(key.to_owned(), Value::Array(list));
    }
}

fn members(world: &World, group: &Identity) -> Vec<Value> {
    group
        .members
        .iter()
        .filter_map(|id| world.identities.get(*id))
        .map(|member| {
            json!({
                "display": member.text("displayName"),
                "value": member.id.to_string(),
                "$ref": format!("{}/{}", member.kind.collection(), member.id),
            })
        })
        .collect()
}

fn groups(world: &World, identity: &Identity) -> Vec<Value> {
    world
        .identities
        .groups_of(identity.id)
        .into_iter()
        .filter_map(|(id, direct)| Some((world.identities.get(id)?, direct)))
        .map(|(group, direct)| {
            json!({
                "display": group.key(),
                "type": if direct { "direct" } else { "indirect" },
                "value": group.id.to_string(),
                "$ref": format!("Groups/{}", group.id),
            })
        })
        .collect()
}

/// Keeps the attributes that the query parameter `attributes` names, or drops those of `excludedAttributes`.
pub(super) fn select(body: Value, request: &Request) -> Value {
    let names = |key: &str| -> Option<Vec<String>> {
        let text = request.query(key).filter(|text| !text.is_empty())?;
        Some(
            text.split(',')
                .map(|name| name.trim().split('.').next().unwrap_or("").to_lowercase())
                .collect(),
        )
    };
    let Value::Object(mut fields) = body else {
        return body;
    };
    if let Some(wanted) = names("attributes") {
        fields.retain(|key, _| key == "id" || wanted.contains(&key.to_lowercase()));
    }
    if let Some(unwanted) = names("excludedAttributes") {
        fields.retain(|key, _| key == "id" || !unwanted.contains(&key.to_lowercase()));
    }
    Value::Object(fields)
}
