//! Secret scopes with the names of their keys and their access control (fact sheet, section 13).
//!
//! A record is composed of three replies, `{"scope", "keys", "acls"}`. Values stand in a table of their own, in encrypted
//! archives that were asked for them; the other keys are a list of what a person must put back.

use serde_json::{Map, Value, json};

use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Stage, Target, WRITE, Write, reference,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "secret-scopes",
    singular: "secret scope",
    stage: Stage::Secrets,
    list: Some(List {
        path: "/api/2.0/secrets/scopes/list",
        array: "scopes",
        paging: Paging::None,
        query: &[],
        only_listed: &[],
    }),
    id: "scope.name",
    listed_id: Some("name"),
    label: "scope.name",
    // The service does not regard the case of scope names.
    natural_key: NaturalKey::FoldedName("scope.name"),
    server_set: &["keys"],
    defaults: &[
        ("scope.backend_type", "\"DATABRICKS\""),
        ("scope.keyvault_metadata", "{}"),
    ],
    unordered: &[("keys", "key"), ("acls", "principal")],
    references: &[
        reference("acls[*].principal", Target::Principal, Form::Name),
        reference(
            "scope.keyvault_metadata.(resource_id|dns_name)",
            Target::KeyVault,
            Form::Name,
        ),
    ],
    create: Some(Write {
        path: "/api/2.0/secrets/scopes/create",
        ..WRITE
    }),
    delete: Some(Write {
        path: "/api/2.0/secrets/scopes/delete",
        id_body: Some("scope"),
        ..WRITE
    }),
    shape_create,
    ..BASE
};

/// GET call that lists the keys of a scope (query `scope`, array `secrets`).
pub const KEYS_PATH: &str = "/api/2.0/secrets/list";
/// GET call that reads the value of a key (queries `scope` and `key`) in Base64. Some workspaces allow it within notebooks only.
pub const VALUE_PATH: &str = "/api/2.0/secrets/get";
/// POST call that writes a value; body of [`value_put`].
pub const VALUE_PUT_PATH: &str = "/api/2.0/secrets/put";
/// GET call that lists the access control of a scope (query `scope`, array `items`).
pub const ACLS_PATH: &str = "/api/2.0/secrets/acls/list";
/// POST call that grants a permission on a scope; body of [`acl_put`].
pub const ACL_PUT_PATH: &str = "/api/2.0/secrets/acls/put";
/// POST call that takes a permission back; body `{scope, principal}`.
pub const ACL_DELETE_PATH: &str = "/api/2.0/secrets/acls/delete";

/// The body of a record from the listed scope and the arrays of the two other calls.
pub fn compose(scope: Value, keys: Vec<Value>, acls: Vec<Value>) -> Value {
    json!({ "scope": scope, "keys": keys, "acls": acls })
}

/// Names of the keys, whose values a person must put back.
pub fn keys(body: &Value) -> Vec<String> {
    let keys = body
        .get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    keys.filter_map(|key| key.get("key")?.as_str().map(str::to_owned))
        .collect()
}

/// Grants of a scope: (principal, permission).
pub fn acls(body: &Value) -> Vec<(String, String)> {
    let text =
        |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
    let items = body
        .get("acls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    items
        .filter_map(|item| Some((text(item, "principal")?, text(item, "permission")?)))
        .collect()
}

/// True when the values live in an Azure Key Vault; such a scope needs an Entra token to be created.
pub fn is_key_vault(body: &Value) -> bool {
    crate::places::text(body, "scope.backend_type").as_deref() == Some("AZURE_KEYVAULT")
}

/// Body of the call that grants a permission.
pub fn acl_put(scope: &str, principal: &str, permission: &str) -> Value {
    json!({ "scope": scope, "principal": principal, "permission": permission })
}

/// Body of the call that writes a value, `value` in Base64.
pub fn value_put(scope: &str, key: &str, value: &str) -> Value {
    json!({ "scope": scope, "key": key, "bytes_value": value })
}

/// When the value of a key was last written, in milliseconds, as the listing of the keys says.
pub fn last_updated(body: &Value, key: &str) -> Option<i64> {
    let keys = body.get("keys")?.as_array()?;
    let named = |item: &&Value| {
        let name = item.get("key").and_then(Value::as_str);
        name.is_some_and(|name| name.eq_ignore_ascii_case(key))
    };
    keys.iter()
        .find(named)?
        .get("last_updated_timestamp")?
        .as_i64()
}

fn shape_create(request: Value) -> Value {
    let scope = request.get("scope").cloned().unwrap_or_default();
    let mut body = Map::new();
    for (field, sent) in [
        ("name", "scope"),
        ("backend_type", "scope_backend_type"),
        ("keyvault_metadata", "backend_azure_keyvault"),
    ] {
        if let Some(value) = scope.get(field) {
            body.insert(sent.to_owned(), value.clone());
        }
    }
    Value::Object(body)
}
