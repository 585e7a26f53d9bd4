//! SCIM PATCH: add, remove and replace operations on one identity.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::member_ids;
use crate::http::{ApiError, as_i64};
use crate::identities::{Identity, Kind};
use crate::world::World;

/// Attributes that hold lists of `{"value": ...}`.
const LISTS: [&str; 3] = ["entitlements", "roles", "emails"];

/// The identity after all operations of a `PatchOp` body; nothing is stored.
pub(super) fn apply(
    world: &World,
    mut identity: Identity,
    body: &Map<String, Value>,
) -> Result<Identity, ApiError> {
    let operations = body
        .get("Operations")
        .and_then(Value::as_array)
        .ok_or_else(|| invalid("Operations are missing."))?;
    for operation in operations {
        let op = operation["op"].as_str().unwrap_or("").to_lowercase();
        if !matches!(op.as_str(), "add" | "remove" | "replace") {
            return Err(invalid(format!("Unknown operation {op}.")));
        }
        let value = &operation["value"];
        match operation["path"].as_str().filter(|path| !path.is_empty()) {
            Some(path) => change(world, &mut identity, &op, path, value)?,
            None => {
                let fields = value.as_object().ok_or_else(|| {
                    invalid("An operation without a path needs an object as value.")
                })?;
                for (path, value) in fields {
                    change(world, &mut identity, &op, path, value)?;
                }
            }
        }
    }
    Ok(identity)
}

fn invalid(detail: impl Into<String>) -> ApiError {
    ApiError::scim(400, "invalidSyntax", detail)
}

fn change(
    world: &World,
    identity: &mut Identity,
    op: &str,
    path: &str,
    value: &Value,
) -> Result<(), ApiError> {
    let (attribute, selected) = match path.split_once('[') {
        Some((attribute, filter)) => (attribute, Some(selected_value(filter)?)),
        None => (path, None),
    };
    if attribute == "members" && identity.kind == Kind::Group {
        return change_members(world, identity, op, selected.as_deref(), value);
    }
    if LISTS.contains(&attribute) {
        return change_list(identity, op, attribute, selected.as_deref(), value);
    }
    let immutable = identity.kind != Kind::Group && attribute == identity.kind.key();
    if immutable || matches!(attribute, "id" | "groups" | "meta") {
        return Err(ApiError::scim(
            400,
            "mutability",
            format!("Attribute {attribute} is read-only."),
        ));
    }
    set_scalar(&mut identity.fields, op, attribute, value);
    Ok(())
}

/// The text in `value eq "..."]`.
fn selected_value(filter: &str) -> Result<String, ApiError> {
    let inner = filter.strip_suffix(']').map(str::trim);
    inner
        .and_then(|text| text.strip_prefix("value"))
        .and_then(|text| text.trim_start().strip_prefix("eq"))
        .map(|text| text.trim().trim_matches('"').to_owned())
        .ok_or_else(|| {
            ApiError::scim(
                400,
                "invalidPath",
                format!("Unsupported path filter [{filter}"),
            )
        })
}

fn change_members(
    world: &World,
    identity: &mut Identity,
    op: &str,
    selected: Option<&str>,
    value: &Value,
) -> Result<(), ApiError> {
    let wanted: BTreeSet<i64> = match (op, selected) {
        ("remove", Some(id)) => id.parse().into_iter().collect(),
        ("remove", None) if value.is_null() => identity.members.clone(),
        ("remove", None) => value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| as_i64(&one["value"]))
            .collect(),
        _ => member_ids(world, value)?,
    };
    match op {
        "add" => identity.members.extend(wanted),
        "replace" => identity.members = wanted,
        _ => identity.members.retain(|id| !wanted.contains(id)),
    }
    Ok(())
}

fn change_list(
    identity: &mut Identity,
    op: &str,
    attribute: &str,
    selected: Option<&str>,
    value: &Value,
) -> Result<(), ApiError> {
    let given = match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    if op != "remove" && given.iter().any(|one| one["value"].as_str().is_none()) {
        return Err(invalid(format!(
            "Every element of {attribute} needs a value."
        )));
    }
    let mut list = match identity.fields.remove(attribute) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let same = |one: &Value, other: &Value| one["value"] == other["value"];
    match (op, selected) {
        ("remove", Some(selected)) => list.retain(|one| one["value"] != json!(selected)),
        ("remove", None) if given.is_empty() => list.clear(),
        ("remove", None) => list.retain(|one| !given.iter().any(|gone| same(one, gone))),
        ("replace", _) => list = given,
        _ => {
            for one in given {
                if !list.iter().any(|known| same(known, &one)) {
                    list.push(one);
                }
            }
        }
    }
    if !list.is_empty() {
        identity
            .fields
            .insert(attribute.to_owned(), Value::Array(list));
    }
    Ok(())
}

/// Sets or removes a scalar, also one level down (`name.givenName`).
fn set_scalar(fields: &mut Map<String, Value>, op: &str, attribute: &str, value: &Value) {
    if let Some((outer, inner)) = attribute.split_once('.') {
        let object = fields.entry(outer).or_insert_with(|| json!({}));
        if let Some(object) = object.as_object_mut() {
            set_scalar(object, op, inner, value);
        }
        return;
    }
    if op == "remove" {
        fields.remove(attribute);
    } else {
        fields.insert(attribute.to_owned(), value.clone());
    }
}
