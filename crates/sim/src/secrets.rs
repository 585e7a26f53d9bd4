//! Secret scopes, secrets and their access lists (fact sheet, section 13).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::{ApiError, Caller, Reply, Request, need_str, opt_str};
use crate::identities::Kind;
use crate::permissions::Principal;
use crate::route::Route;
use crate::tree::digest;
use crate::workspace::form;
use crate::world::World;

const MAX_SCOPES: usize = 1000;
const MAX_SECRETS: usize = 1000;
const MAX_VALUE: usize = 128 * 1024;
const LEVELS: [&str; 3] = ["READ", "WRITE", "MANAGE"];

#[derive(Clone, Debug)]
struct Secret {
    key: String,
    value: Bytes,
    updated_ms: i64,
}

#[derive(Clone, Debug)]
struct Scope {
    name: String,
    /// `{resource_id, dns_name}` of an Azure Key Vault.
    vault: Option<Value>,
    secrets: BTreeMap<String, Secret>,
    acl: BTreeMap<String, &'static str>,
}

/// All scopes, by lower-case name.
#[derive(Debug, Default)]
pub struct Secrets {
    scopes: BTreeMap<String, Scope>,
}

impl Secrets {
    /// A principal is gone, and all its entries with it.
    pub(crate) fn forget_principal(&mut self, principal: &Principal) {
        for scope in self.scopes.values_mut() {
            scope.acl.remove(name_of(principal));
        }
    }
}

/// As it stands in access lists of scopes: the bare name.
fn name_of(principal: &Principal) -> &str {
    match principal {
        Principal::User(name) | Principal::Group(name) | Principal::ServicePrincipal(name) => name,
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/secrets/scopes/list", list_scopes),
        Route::post("/api/2.0/secrets/scopes/create", create_scope_call),
        Route::post("/api/2.0/secrets/scopes/delete", delete_scope),
        Route::get("/api/2.0/secrets/list", list),
        Route::get("/api/2.0/secrets/get", get),
        Route::post("/api/2.0/secrets/put", put),
        Route::post("/api/2.0/secrets/delete", delete),
        Route::get("/api/2.0/secrets/acls/list", list_acls),
        Route::get("/api/2.0/secrets/acls/get", get_acl),
        Route::post("/api/2.0/secrets/acls/put", put_acl),
        Route::post("/api/2.0/secrets/acls/delete", delete_acl),
    ]
}

/// Adds a scope; the creator gets MANAGE.
pub fn create_scope(world: &mut World, name: &str, creator: &Caller) {
    insert(world, name, None, creator.name.clone());
}

/// Adds a scope whose secrets live in an Azure Key Vault; the creator gets MANAGE.
pub fn create_vault_scope(
    world: &mut World,
    name: &str,
    resource_id: &str,
    dns_name: &str,
    creator: &Caller,
) {
    let vault = json!({"resource_id": resource_id, "dns_name": dns_name});
    insert(world, name, Some(vault), creator.name.clone());
}

fn insert(world: &mut World, name: &str, vault: Option<Value>, manager: String) {
    let scope = Scope {
        name: name.to_owned(),
        vault,
        secrets: BTreeMap::new(),
        acl: BTreeMap::from([(manager, "MANAGE")]),
    };
    world.secrets.scopes.insert(name.to_lowercase(), scope);
}

/// Writes a secret into an existing scope.
pub fn put_secret(world: &mut World, scope: &str, key: &str, value: &[u8]) {
    let updated_ms = world.clock.now_ms();
    if let Some(scope) = world.secrets.scopes.get_mut(&scope.to_lowercase()) {
        let secret = Secret {
            key: key.to_owned(),
            value: Bytes::copy_from_slice(value),
            updated_ms,
        };
        scope.secrets.insert(key.to_lowercase(), secret);
    }
}

/// Sets an entry (`READ`, `WRITE`, `MANAGE`) of an existing scope's access list.
pub fn set_acl(world: &mut World, scope: &str, principal: &str, permission: &str) {
    if let Some(scope) = world.secrets.scopes.get_mut(&scope.to_lowercase())
        && let Some(level) = LEVELS.into_iter().find(|level| *level == permission)
    {
        scope.acl.insert(principal.to_owned(), level);
    }
}

/// Scopes by name: backend, keys with digests of the values, access list.
#[must_use]
pub fn dump(world: &World) -> Value {
    let all: BTreeMap<&String, Value> = world
        .secrets
        .scopes
        .values()
        .map(|scope| {
            let secrets: BTreeMap<&String, String> = scope
                .secrets
                .values()
                .map(|secret| (&secret.key, digest(&secret.value)))
                .collect();
            let vault = scope.vault.clone();
            (
                &scope.name,
                json!({"keyvault": vault, "secrets": secrets, "acl": scope.acl}),
            )
        })
        .collect();
    json!(all)
}

fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.len() <= 128 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{what} must consist of alphanumeric characters, dashes, underscores, and periods, and may not exceed 128 characters: {name}"
    )))
}

/// The strongest level that the caller holds on a scope.
fn level(world: &World, caller: &Caller, scope: &Scope) -> Option<usize> {
    if caller.admin {
        return Some(LEVELS.len() - 1);
    }
    let names = world.identities.principals_of(caller);
    names
        .iter()
        .filter_map(|principal| scope.acl.get(name_of(principal)))
        .filter_map(|held| LEVELS.iter().position(|level| level == held))
        .max()
}

/// A scope on which the caller holds at least this level.
fn find<'w>(
    world: &'w World,
    caller: &Caller,
    name: &str,
    needed: &str,
) -> Result<&'w Scope, ApiError> {
    let missing = || ApiError::not_found(format!("Scope {name} does not exist!"));
    let scope = world
        .secrets
        .scopes
        .get(&name.to_lowercase())
        .ok_or_else(missing)?;
    let held = level(world, caller, scope).ok_or_else(missing)?;
    if LEVELS
        .iter()
        .position(|level| *level == needed)
        .is_some_and(|needed| held < needed)
    {
        return Err(ApiError::denied(format!(
            "User {} does not have {needed} permission on scope {name}",
            caller.name
        )));
    }
    Ok(scope)
}

/// The same, to be changed.
fn change<'w>(
    world: &'w mut World,
    caller: &Caller,
    name: &str,
    needed: &str,
) -> Result<&'w mut Scope, ApiError> {
    let key = find(world, caller, name, needed)?.name.to_lowercase();
    let missing = || ApiError::not_found(format!("Scope {name} does not exist!"));
    world.secrets.scopes.get_mut(&key).ok_or_else(missing)
}

fn list_scopes(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let scopes = world
        .secrets
        .scopes
        .values()
        .filter(|scope| level(world, &request.caller, scope).is_some())
        .map(|scope| match &scope.vault {
            Some(vault) => json!({"name": scope.name, "backend_type": "AZURE_KEYVAULT", "keyvault_metadata": vault}),
            None => json!({"name": scope.name, "backend_type": "DATABRICKS"}),
        })
        .collect();
    Ok(Reply::list("scopes", scopes))
}

fn create_scope_call(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let name = need_str(&body, "scope")?;
    check_name("Scope name", name)?;
    if world.secrets.scopes.contains_key(&name.to_lowercase()) {
        return Err(ApiError::exists(format!("Scope {name} already exists!")));
    }
    if world.secrets.scopes.len() >= MAX_SCOPES {
        return Err(ApiError::new(
            400,
            "RESOURCE_LIMIT_EXCEEDED",
            format!("The limit of {MAX_SCOPES} scopes has been reached"),
        ));
    }
    let vault = match opt_str(&body, "scope_backend_type").unwrap_or("DATABRICKS") {
        "DATABRICKS" | "" => None,
        "AZURE_KEYVAULT" => Some(vault_of(world, &body)?),
        other => return Err(ApiError::invalid(format!("Unknown backend type: {other}"))),
    };
    let manager = match opt_str(&body, "initial_manage_principal").filter(|who| !who.is_empty()) {
        None => request.caller.name.clone(),
        Some("users") => "users".to_owned(),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "initial_manage_principal can only be users, not {other}"
            )));
        }
    };
    insert(world, name, vault, manager);
    Ok(Reply::empty_object())
}

fn vault_of(world: &World, body: &Map<String, Value>) -> Result<Value, ApiError> {
    if !world.switches.entra_token {
        return Err(ApiError::invalid(
            "Scope with Azure KeyVault must have userAADToken defined!",
        ));
    }
    let vault = body.get("backend_azure_keyvault").unwrap_or(&Value::Null);
    match (vault["resource_id"].as_str(), vault["dns_name"].as_str()) {
        (Some(resource_id), Some(dns_name)) => {
            Ok(json!({"resource_id": resource_id, "dns_name": dns_name}))
        }
        _ => Err(ApiError::invalid(
            "backend_azure_keyvault needs resource_id and dns_name",
        )),
    }
}

fn delete_scope(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let key = find(world, &request.caller, need_str(&body, "scope")?, "MANAGE")?
        .name
        .to_lowercase();
    world.secrets.scopes.remove(&key);
    Ok(Reply::empty_object())
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let scope = find(world, &request.caller, request.need_query("scope")?, "READ")?;
    let secrets = scope
        .secrets
        .values()
        .map(|secret| json!({"key": secret.key, "last_updated_timestamp": secret.updated_ms}))
        .collect();
    Ok(Reply::list("secrets", secrets))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    if !world.switches.secret_values {
        return Err(ApiError::bad_request(
            "This operation is not allowed outside databricks notebooks.",
        ));
    }
    let scope = find(world, &request.caller, request.need_query("scope")?, "READ")?;
    let key = request.need_query("key")?;
    let secret = scope.secrets.get(&key.to_lowercase());
    let secret = secret
        .ok_or_else(|| ApiError::not_found(format!("Secret {}/{key} not found", scope.name)))?;
    Ok(Reply::json(
        json!({"key": secret.key, "value": STANDARD.encode(&secret.value)}),
    ))
}

/// Scopes of a vault are written in the vault.
fn need_own_backend(scope: &Scope) -> Result<(), ApiError> {
    if scope.vault.is_none() {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "Cannot write secrets to Azure KeyVault-backed scope",
    ))
}

fn put(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (name, key) = (need_str(&body, "scope")?, need_str(&body, "key")?);
    check_name("Secret key", key)?;
    let value = match (
        opt_str(&body, "string_value"),
        opt_str(&body, "bytes_value"),
    ) {
        (Some(text), None) => Bytes::from(text.to_owned()),
        (None, Some(encoded)) => form::decode(encoded)?,
        _ => {
            return Err(ApiError::invalid(
                "Exactly one of string_value and bytes_value must be given",
            ));
        }
    };
    if value.len() > MAX_VALUE {
        return Err(ApiError::invalid(format!(
            "Secret value exceeds the limit of {MAX_VALUE} bytes"
        )));
    }
    let scope = find(world, &request.caller, name, "WRITE")?;
    need_own_backend(scope)?;
    if scope.secrets.len() >= MAX_SECRETS && !scope.secrets.contains_key(&key.to_lowercase()) {
        return Err(ApiError::new(
            400,
            "RESOURCE_LIMIT_EXCEEDED",
            format!("The limit of {MAX_SECRETS} secrets has been reached"),
        ));
    }
    put_secret(world, name, key, &value);
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (name, key) = (need_str(&body, "scope")?, need_str(&body, "key")?);
    let scope = change(world, &request.caller, name, "WRITE")?;
    need_own_backend(scope)?;
    match scope.secrets.remove(&key.to_lowercase()) {
        Some(_) => Ok(Reply::empty_object()),
        None => Err(ApiError::not_found(format!(
            "Secret {name}/{key} not found"
        ))),
    }
}

fn list_acls(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let scope = find(
        world,
        &request.caller,
        request.need_query("scope")?,
        "MANAGE",
    )?;
    let items = scope
        .acl
        .iter()
        .map(|(principal, permission)| json!({"principal": principal, "permission": permission}))
        .collect();
    Ok(Reply::list("items", items))
}

fn get_acl(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let scope = find(
        world,
        &request.caller,
        request.need_query("scope")?,
        "MANAGE",
    )?;
    let principal = request.need_query("principal")?;
    match scope.acl.get(principal) {
        Some(permission) => Ok(Reply::json(
            json!({"principal": principal, "permission": permission}),
        )),
        None => Err(no_acl(&scope.name, principal)),
    }
}

fn no_acl(scope: &str, principal: &str) -> ApiError {
    ApiError::not_found(format!("No ACL for principal {principal} on scope {scope}"))
}

fn put_acl(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (name, principal) = (need_str(&body, "scope")?, need_str(&body, "principal")?);
    let permission = need_str(&body, "permission")?;
    if !LEVELS.contains(&permission) {
        return Err(ApiError::invalid(format!(
            "Unknown permission: {permission}"
        )));
    }
    find(world, &request.caller, name, "MANAGE")?;
    let kinds = [Kind::User, Kind::Group, Kind::ServicePrincipal];
    let known = kinds
        .into_iter()
        .find_map(|kind| world.identities.find(kind, principal));
    let spelled = known
        .map(|identity| (identity.id, identity.key().to_owned()))
        .filter(|(id, _)| world.identities.is_known_to("secrets", *id))
        .map(|(_, spelled)| spelled)
        .ok_or_else(|| ApiError::not_found(format!("Principal {principal} does not exist")))?;
    set_acl(world, name, &spelled, permission);
    Ok(Reply::empty_object())
}

fn delete_acl(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (name, principal) = (need_str(&body, "scope")?, need_str(&body, "principal")?);
    let scope = change(world, &request.caller, name, "MANAGE")?;
    match scope.acl.remove(principal) {
        Some(_) => Ok(Reply::empty_object()),
        None => Err(no_acl(name, principal)),
    }
}

#[cfg(test)]
mod tests;
