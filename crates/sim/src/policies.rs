//! Cluster policies (`/api/2.0/policies/clusters`) and policy families (`/api/2.0/policy-families`).

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Caller, Reply, Request, as_i64, need_str, opt_str};
use crate::permissions::may;
use crate::route::Route;
use crate::world::World;

mod apply;
mod families;

pub(crate) use apply::apply;
use families::{FAMILIES, Family};

/// Id of a policy's family and the JSON text of the overrides.
type FamilyUse = (String, Option<String>);

/// Definition, family and further fields.
type Content = (String, Option<FamilyUse>, Map<String, Value>);

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `policy_id`
    pub id: String,
    /// Unique name.
    pub name: String,
    /// JSON text; of a family policy: the family's definition with the overrides laid over it.
    pub definition: String,
    /// Family and the JSON text of the overrides.
    pub family: Option<FamilyUse>,
    /// `description`, `libraries`, `max_clusters_per_user` as given.
    pub more: Map<String, Value>,
    /// Creator; none for built-in ones.
    pub creator: Option<String>,
    /// When created, epoch milliseconds.
    pub created_ms: i64,
    /// Exists in every workspace.
    pub builtin: bool,
}

/// All policies, in the order of their creation.
#[derive(Debug, Default)]
pub struct Policies {
    /// The policies.
    pub all: Vec<Policy>,
}

impl Policies {
    /// A policy by id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Policy> {
        self.all.iter().find(|policy| policy.id == id)
    }
}

/// The optional fields that are stored as given.
const MORE: &[&str] = &["description", "libraries", "max_clusters_per_user"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/policies/clusters/list", list),
        Route::get("/api/2.0/policies/clusters/get", get),
        Route::post("/api/2.0/policies/clusters/create", create),
        Route::post("/api/2.0/policies/clusters/edit", edit),
        Route::post("/api/2.0/policies/clusters/delete", delete),
        Route::get("/api/2.0/policy-families", families::list),
        Route::get("/api/2.0/policy-families/{id}", families::get),
    ]
}

/// Refuses as `get` does when the id is unknown: the permissions API asks here.
///
/// # Errors
/// 404 `RESOURCE_DOES_NOT_EXIST`.
pub fn check(world: &World, id: &str) -> Result<(), ApiError> {
    match world.policies.get(id) {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found(format!(
            "Can't find a cluster policy with id: {id}."
        ))),
    }
}

/// The built-in policies that every workspace has, one per family.
pub fn create_system(world: &mut World) {
    for family in FAMILIES.iter().filter(|family| family.builtin) {
        let id = world.ids.hex(16).to_uppercase();
        world.policies.all.push(Policy {
            id,
            name: family.name.to_owned(),
            definition: family.definition(),
            family: Some((family.id.to_owned(), None)),
            more: Map::new(),
            creator: None,
            created_ms: crate::clock::EPOCH_MS,
            builtin: true,
        });
    }
}

fn view(policy: &Policy) -> Value {
    let mut body = json!({"policy_id": policy.id, "name": policy.name, "definition": policy.definition, "created_at_timestamp": policy.created_ms, "is_default": policy.builtin});
    if let Some(creator) = &policy.creator {
        body["creator_user_name"] = json!(creator);
    }
    if let Some((family, overrides)) = &policy.family {
        body["policy_family_id"] = json!(family);
        if let Some(overrides) = overrides {
            body["policy_family_definition_overrides"] = json!(overrides);
        }
    }
    policy
        .more
        .iter()
        .for_each(|(name, value)| body[name.as_str()] = value.clone());
    body
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let mut shown: Vec<&Policy> = (world.policies.all.iter())
        .filter(|policy| {
            may(
                world,
                &request.caller,
                "cluster-policies",
                &policy.id,
                "CAN_USE",
            )
        })
        .collect();
    match request.query("sort_column") {
        Some("POLICY_NAME") => shown.sort_by(|a, b| a.name.cmp(&b.name)),
        None | Some("POLICY_CREATION_TIME") => {}
        Some(other) => return Err(ApiError::invalid(format!("Unknown sort column {other}"))),
    }
    // Newest first unless asked otherwise, as the service sorts by creation time descending.
    if request.query("sort_order") != Some("ASC") {
        shown.reverse();
    }
    Ok(Reply::list(
        "policies",
        shown.into_iter().map(view).collect(),
    ))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let id = request.need_query("policy_id")?;
    check(world, id)?;
    if !may(world, &request.caller, "cluster-policies", id, "CAN_USE") {
        return Err(ApiError::denied(format!(
            "{} cannot use cluster policy {id}",
            request.caller.name
        )));
    }
    Ok(Reply::json(
        world.policies.get(id).map(view).unwrap_or_default(),
    ))
}

/// JSON text of an object, parsed.
fn parse(text: &str, field: &str) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) if map.values().all(Value::is_object) => Ok(map),
        _ => Err(ApiError::invalid(format!(
            "Cannot parse {field}: it must be the JSON text of an object of rules"
        ))),
    }
}

/// What a body of `create` or `edit` makes of a policy: definition, family, further fields.
fn content(body: &Map<String, Value>) -> Result<Content, ApiError> {
    let (definition, family) = (
        opt_str(body, "definition"),
        opt_str(body, "policy_family_id"),
    );
    let overrides = opt_str(body, "policy_family_definition_overrides");
    let (definition, family) = match (definition, family) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "definition cannot be used with policy_family_id: use policy_family_definition_overrides",
            ));
        }
        (None, None) => {
            return Err(ApiError::invalid(
                "Missing required field: definition or policy_family_id",
            ));
        }
        (Some(text), None) if overrides.is_none() => {
            parse(text, "definition")?;
            (text.to_owned(), None)
        }
        (Some(_), None) => {
            return Err(ApiError::invalid(
                "policy_family_definition_overrides needs policy_family_id",
            ));
        }
        (None, Some(id)) => {
            let known = FAMILIES
                .iter()
                .find(|family| family.id == id)
                .ok_or_else(|| families::missing(id))?;
            (
                merged(known, overrides)?,
                Some((id.to_owned(), overrides.map(str::to_owned))),
            )
        }
    };
    let more: Map<String, Value> = body
        .iter()
        .filter(|(name, value)| MORE.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    check_more(&more)?;
    Ok((definition, family, more))
}

fn check_more(more: &Map<String, Value>) -> Result<(), ApiError> {
    if let Some(libraries) = more.get("libraries").and_then(Value::as_array) {
        if libraries.len() > 500 {
            return Err(ApiError::invalid("A policy can have at most 500 libraries"));
        }
        libraries
            .iter()
            .try_for_each(crate::libraries::check_library)?;
    }
    if more
        .get("max_clusters_per_user")
        .is_some_and(|most| as_i64(most).is_none_or(|most| most < 1))
    {
        return Err(ApiError::invalid("max_clusters_per_user must be above 0"));
    }
    Ok(())
}

/// The definition of a family with overrides laid over it, as JSON text.
fn merged(family: &Family, overrides: Option<&str>) -> Result<String, ApiError> {
    let mut rules = parse(&family.definition(), "definition")?;
    if let Some(text) = overrides {
        rules.extend(parse(text, "policy_family_definition_overrides")?);
    }
    Ok(Value::Object(rules).to_string())
}

fn check_name(world: &World, name: &str, own_id: Option<&str>) -> Result<(), ApiError> {
    if name.chars().count() > 100 {
        return Err(ApiError::invalid(
            "Policy name must have between 1 and 100 characters",
        ));
    }
    if world
        .policies
        .all
        .iter()
        .any(|policy| policy.name == name && Some(policy.id.as_str()) != own_id)
    {
        return Err(ApiError::exists(format!(
            "Cluster policy with name {name} already exists."
        )));
    }
    Ok(())
}

fn admin_only(request: &Request) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "{} is not authorized to manage cluster policies.",
        request.caller.name
    )))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request)?;
    let id = place(world, &request.json()?, &request.caller)?;
    Ok(Reply::json(json!({"policy_id": id})))
}

/// Adds a policy, checked as every other; the answer is its id.
pub(crate) fn place(
    world: &mut World,
    body: &Map<String, Value>,
    creator: &Caller,
) -> Result<String, ApiError> {
    let name = need_str(body, "name")?;
    check_name(world, name, None)?;
    let (definition, family, more) = content(body)?;
    let (id, created_ms) = (world.ids.hex(16).to_uppercase(), world.clock.now_ms());
    world.policies.all.push(Policy {
        id: id.clone(),
        name: name.to_owned(),
        definition,
        family,
        more,
        creator: Some(creator.name.clone()),
        created_ms,
        builtin: false,
    });
    world.acls.created("cluster-policies", &id, creator);
    Ok(id)
}

fn edit(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request)?;
    let body = request.json()?;
    let id = need_str(&body, "policy_id")?;
    check(world, id)?;
    let name = need_str(&body, "name")?;
    check_name(world, name, Some(id))?;
    let (definition, family, more) = content(&body)?;
    let Some(policy) = world.policies.all.iter_mut().find(|policy| policy.id == id) else {
        return check(world, id).map(|()| Reply::empty_object());
    };
    let family_id = |family: &Option<FamilyUse>| family.as_ref().map(|(id, _)| id.clone());
    if policy.builtin && (policy.name != name || family_id(&policy.family) != family_id(&family)) {
        return Err(ApiError::invalid(format!(
            "The default policy {} can only be changed through policy_family_definition_overrides",
            policy.name
        )));
    }
    (policy.name, policy.definition, policy.family, policy.more) =
        (name.to_owned(), definition, family, more);
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request)?;
    let body = request.json()?;
    let id = need_str(&body, "policy_id")?;
    check(world, id)?;
    if world.policies.get(id).is_some_and(|policy| policy.builtin) {
        return Err(ApiError::invalid(
            "Default cluster policies cannot be deleted",
        ));
    }
    world.policies.all.retain(|policy| policy.id != id);
    world.acls.removed("cluster-policies", id);
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests;
