//! Bodies of SCIM calls that change a part of a user, group or service principal (fact sheet, section 12).
//!
//! Owns the shapes of PATCH bodies and filters; whole resources are in the kinds' files.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Schema of a PATCH body.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// PATCH that adds members by id to a group.
pub fn add_members(ids: &[String]) -> Value {
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    patch(vec![
        json!({ "op": "add", "value": { "members": members } }),
    ])
}

/// PATCH that removes members by id from a group.
pub fn remove_members(ids: &[String]) -> Value {
    let remove = |id: &String| json!({ "op": "remove", "path": format!("members[value eq {}]", quoted(id)) });
    patch(ids.iter().map(remove).collect())
}

/// PATCH that adds and removes entitlements.
pub fn change_entitlements(add: &[String], remove: &[String]) -> Value {
    let mut operations = Vec::new();
    if !add.is_empty() {
        let values: Vec<Value> = add.iter().map(|value| json!({ "value": value })).collect();
        operations.push(json!({ "op": "add", "path": "entitlements", "value": values }));
    }
    for value in remove {
        operations.push(
            json!({ "op": "remove", "path": format!("entitlements[value eq {}]", quoted(value)) }),
        );
    }
    patch(operations)
}

/// Entitlements of a user, group or service principal.
pub fn entitlements(body: &Value) -> BTreeSet<String> {
    values(body, "entitlements")
}

/// Ids of the members of a group.
pub fn member_ids(body: &Value) -> BTreeSet<String> {
    values(body, "members")
}

/// Filter for one resource, such as `userName eq "a@b.c"`.
pub fn filter(field: &str, value: &str) -> String {
    format!("{field} eq {}", quoted(value))
}

fn patch(operations: Vec<Value>) -> Value {
    json!({ "schemas": [PATCH_SCHEMA], "Operations": operations })
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn values(body: &Value, field: &str) -> BTreeSet<String> {
    let elements = body
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    elements
        .filter_map(|element| crate::places::scalar(element.get("value")?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_have_the_shapes_of_the_service() {
        let add = add_members(&["1".to_owned(), "2".to_owned()]);
        assert_eq!(
            add["Operations"][0]["value"]["members"],
            json!([{"value": "1"}, {"value": "2"}])
        );
        assert_eq!(
            remove_members(&["7".to_owned()])["Operations"][0]["path"],
            json!("members[value eq \"7\"]")
        );
        let change = change_entitlements(
            &["workspace-access".to_owned()],
            &["allow-cluster-create".to_owned()],
        );
        assert_eq!(change["Operations"].as_array().map(Vec::len), Some(2));
        assert_eq!(filter("displayName", "a\"b"), "displayName eq \"a\\\"b\"");
    }

    #[test]
    fn values_are_sets() {
        let group =
            json!({"members": [{"value": "2"}, {"value": "1"}], "entitlements": [{"value": "x"}]});
        assert_eq!(
            member_ids(&group).into_iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert!(entitlements(&group).contains("x"));
        assert!(entitlements(&json!({})).is_empty());
    }
}
