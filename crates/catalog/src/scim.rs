//! Bodies of SCIM calls that change a part of a user, group or service principal (fact sheet, section 12).
//!
//! Owns the shapes of PATCH bodies and filters; whole resources are in the kinds' files.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Schema of a PATCH body.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// PATCH that adds members to a group and removes others, by id: one call, because it is the slowest of the service.
pub fn change_members(add: &[String], remove: &[String]) -> Value {
    let mut operations = Vec::new();
    if !add.is_empty() {
        let members: Vec<Value> = add.iter().map(|id| json!({ "value": id })).collect();
        operations.push(json!({ "op": "add", "value": { "members": members } }));
    }
    for id in remove {
        operations
            .push(json!({ "op": "remove", "path": format!("members[value eq {}]", quoted(id)) }));
    }
    patch(operations)
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
        let change = change_members(&["1".to_owned(), "2".to_owned()], &["7".to_owned()]);
        assert_eq!(
            change["Operations"],
            json!([
                {"op": "add", "value": {"members": [{"value": "1"}, {"value": "2"}]}},
                {"op": "remove", "path": "members[value eq \"7\"]"},
            ])
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
