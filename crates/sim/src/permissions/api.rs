//! `/api/2.0/permissions`: GET, PUT, PATCH and the levels (fact sheet, section 11).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Entries, Principal, Segment, may, segment};
use crate::http::{ApiError, Caller, Reply, Request};
use crate::route::Route;
use crate::tree;
use crate::world::World;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for pattern in [
        "/api/2.0/permissions/{segment}/{id}",
        "/api/2.0/preview/permissions/{segment}/{id}",
    ] {
        routes.push(Route::get(pattern, get));
        routes.push(Route::put(pattern, put));
        routes.push(Route::patch(pattern, patch));
    }
    routes.push(Route::get(
        "/api/2.0/permissions/{segment}/{id}/permissionLevels",
        levels,
    ));
    routes
}

/// The kind and id of the path, once the object is known to exist and the caller to see it.
fn target<'r>(
    world: &mut World,
    request: &'r Request,
) -> Result<(&'static Segment, &'r str), ApiError> {
    if world.switches.acls_disabled {
        return Err(ApiError::new(
            400,
            "FEATURE_DISABLED",
            "Access control is not available in the pricing tier of this workspace.",
        ));
    }
    let name = request.param("segment");
    let segment = segment(name).ok_or_else(|| {
        ApiError::invalid(format!("request_object_type is not recognized: {name}"))
    })?;
    let id = request.param("id");
    tree::settle_homes(world, "");
    exists(world, segment, id)?;
    if !request.caller.admin && !may(world, &request.caller, segment.name, id, segment.levels[0]) {
        return Err(gone(segment, id));
    }
    Ok((segment, id))
}

fn gone(segment: &Segment, id: &str) -> ApiError {
    ApiError::not_found(format!("{} {id} does not exist.", segment.object_type))
}

fn exists(world: &World, segment: &'static Segment, id: &str) -> Result<(), ApiError> {
    match segment.name {
        "clusters" => crate::clusters::check(world, id),
        "cluster-policies" => crate::policies::check(world, id),
        "instance-pools" => crate::pools::check(world, id),
        "jobs" => crate::jobs::check(world, id),
        "authorization" if id == "tokens" => Ok(()),
        _ if world.tree.by_segment(segment.name, id).is_some() => Ok(()),
        _ => Err(gone(segment, id)),
    }
}

/// Reading and writing permissions takes the right to manage the object.
fn need_manage(
    world: &World,
    caller: &Caller,
    segment: &Segment,
    id: &str,
) -> Result<(), ApiError> {
    let level = if segment.rank("CAN_MANAGE").is_some() {
        "CAN_MANAGE"
    } else {
        segment.levels[0]
    };
    if may(world, caller, segment.name, id, level) {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "{} does not have Manage permissions on {} {id}.",
        caller.name, segment.object_type
    )))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (segment, id) = target(world, request)?;
    need_manage(world, &request.caller, segment, id)?;
    Ok(Reply::json(render(world, segment, id)))
}

fn levels(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (segment, _) = target(world, request)?;
    let levels = segment
        .levels
        .iter()
        .map(|level| json!({"permission_level": level, "description": format!("{level} on the {}", segment.object_type)}))
        .collect();
    Ok(Reply::list("permission_levels", levels))
}

fn put(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    write(world, request, false)
}

fn patch(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    write(world, request, true)
}

fn write(world: &mut World, request: &Request, merge: bool) -> Result<Reply, ApiError> {
    let (segment, id) = target(world, request)?;
    need_manage(world, &request.caller, segment, id)?;
    let given = parse(world, segment, &request.json()?)?;
    let before = world.acls.direct(segment.name, id);
    let after = if merge {
        merged(segment, &before, given)
    } else {
        given
    };
    check(world, request, segment, id, &before, &after)?;
    world.acls.replace(segment, id, after);
    Ok(Reply::json(render(world, segment, id)))
}

/// The entries of a body. One level per principal: the strongest stays.
fn parse(
    world: &mut World,
    segment: &'static Segment,
    body: &Map<String, Value>,
) -> Result<Entries, ApiError> {
    let mut entries = Entries::new();
    for entry in body
        .get("access_control_list")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let level = entry["permission_level"].as_str().unwrap_or("");
        let rank = segment.rank(level).ok_or_else(|| {
            ApiError::invalid(format!(
                "{level} is not a valid permission level for {}",
                segment.object_type
            ))
        })?;
        let principal = principal(world, entry)?;
        let held = entries.get(&principal).and_then(|held| segment.rank(held));
        if held.is_none_or(|held| held < rank) {
            entries.insert(principal, segment.levels[rank]);
        }
    }
    Ok(entries)
}

/// Exactly one principal key, naming somebody who exists, in the spelling of the identity.
fn principal(world: &mut World, entry: &Value) -> Result<Principal, ApiError> {
    let text = |key: &str| {
        entry[key]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let named = [
        text("user_name").map(Principal::User),
        text("group_name").map(Principal::Group),
        text("service_principal_name").map(Principal::ServicePrincipal),
    ];
    let mut named = named.into_iter().flatten();
    let (Some(principal), None) = (named.next(), named.next()) else {
        return Err(ApiError::invalid(
            "Exactly one of user_name, group_name, service_principal_name must be given",
        ));
    };
    let known = world
        .identities
        .of_principal(&principal)
        .filter(|one| one.assigned)
        .map(|one| (one.id, one.principal()));
    known
        .filter(|(id, _)| world.identities.is_known_to("permissions", *id))
        .map(|(_, principal)| principal)
        .ok_or_else(|| match principal {
            Principal::User(name) => {
                ApiError::not_found(format!("Principal: UserName({name}) does not exist"))
            }
            Principal::Group(name) => {
                ApiError::not_found(format!("Principal: GroupName({name}) does not exist"))
            }
            Principal::ServicePrincipal(id) => ApiError::invalid(format!(
                "Principal: ServicePrincipalName({id}) does not exist"
            )),
        })
}

/// PATCH: listed principals only; a new owner takes the place of the old one.
fn merged(segment: &Segment, before: &Entries, given: Entries) -> Entries {
    let mut entries = before.clone();
    if segment.has_owner() && given.values().any(|level| *level == "IS_OWNER") {
        entries.retain(|_, level| *level != "IS_OWNER");
    }
    entries.extend(given);
    entries
}

/// The rules on what may stand in the end.
fn check(
    world: &World,
    request: &Request,
    segment: &Segment,
    id: &str,
    before: &Entries,
    after: &Entries,
) -> Result<(), ApiError> {
    let admins = Principal::Group("admins".to_owned());
    let level = after.get(&admins);
    let lowered = level.is_some_and(|level| {
        !matches!(*level, "CAN_MANAGE") && segment.rank("CAN_MANAGE").is_some()
    });
    let removed = before.contains_key(&admins) && level.is_none();
    if lowered || removed {
        let level = level.map_or("None", |level| level);
        return Err(ApiError::invalid(format!(
            "Cannot change permissions for group 'admins' to {level}."
        )));
    }
    if segment.has_owner() {
        let owners: Vec<&Principal> = after
            .iter()
            .filter(|(_, level)| **level == "IS_OWNER")
            .map(|(who, _)| who)
            .collect();
        if owners.len() != 1 {
            return Err(ApiError::invalid(format!(
                "The {} must have exactly one owner.",
                segment.object_type
            )));
        }
        if matches!(owners[0], Principal::Group(_)) {
            return Err(ApiError::invalid(format!(
                "Groups can not be owners of a {}.",
                segment.object_type
            )));
        }
    }
    let shared = world
        .tree
        .find("/Shared")
        .is_some_and(|node| node.id.to_string() == id);
    if segment.name == "directories" && shared && before != after {
        return Err(ApiError::bad_request(
            "Permissions of the folder /Shared cannot be changed.",
        ));
    }
    let own = Principal::from(&request.caller);
    let keeps = after
        .get(&own)
        .is_some_and(|level| matches!(*level, "CAN_MANAGE" | "IS_OWNER"));
    if !request.caller.admin && before.contains_key(&own) && !keeps {
        return Err(ApiError::invalid(
            "A user cannot take away their own right to manage.",
        ));
    }
    Ok(())
}

/// Level and where it comes from.
struct Inherited {
    level: &'static str,
    rank: usize,
    from: String,
}

/// What each principal inherits: the strongest level of all parents.
fn inherited(world: &World, segment: &'static Segment, id: &str) -> BTreeMap<Principal, Inherited> {
    let mut found: BTreeMap<Principal, Inherited> = BTreeMap::new();
    let mut add = |principal: &Principal, level: &str, from: String| {
        let Some(rank) = segment.rank(level) else {
            return;
        };
        if found.get(principal).is_none_or(|held| held.rank < rank) {
            let level = segment.levels[rank];
            found.insert(principal.clone(), Inherited { level, rank, from });
        }
    };
    if let Some(node) = world.tree.by_segment(segment.name, id) {
        for folder in world.tree.lineage(node.id).into_iter().skip(1) {
            let from = folder.object.segment();
            let folder_id = folder.id.to_string();
            for (principal, level) in world.acls.direct(from, &folder_id) {
                add(&principal, level, format!("/{from}/{folder_id}"));
            }
        }
    } else if segment.name != "authorization" {
        let strongest = segment
            .levels
            .iter()
            .rev()
            .find(|level| **level != "IS_OWNER");
        let admins = Principal::Group("admins".to_owned());
        add(
            &admins,
            strongest.copied().unwrap_or(""),
            format!("/{}/", segment.name),
        );
    }
    found
}

/// The reply to every permissions call: direct and inherited entries per principal.
fn render(world: &World, segment: &'static Segment, id: &str) -> Value {
    let mut all: BTreeMap<Principal, Vec<Value>> = BTreeMap::new();
    for (principal, level) in world.acls.direct(segment.name, id) {
        all.entry(principal)
            .or_default()
            .push(json!({"permission_level": level, "inherited": false}));
    }
    for (principal, held) in inherited(world, segment, id) {
        all.entry(principal).or_default().push(json!({
            "permission_level": held.level,
            "inherited": true,
            "inherited_from_object": [held.from],
        }));
    }
    let entries: Vec<Value> = all
        .into_iter()
        .map(|(principal, permissions)| {
            let (key, name) = match &principal {
                Principal::User(name) => ("user_name", name),
                Principal::Group(name) => ("group_name", name),
                Principal::ServicePrincipal(id) => ("service_principal_name", id),
            };
            let mut entry = Map::from_iter([(key.to_owned(), json!(name))]);
            if let Some(identity) = world.identities.of_principal(&principal)
                && key != "group_name"
            {
                entry.insert(
                    "display_name".to_owned(),
                    json!(identity.text("displayName")),
                );
            }
            entry.insert("all_permissions".to_owned(), Value::Array(permissions));
            Value::Object(entry)
        })
        .collect();
    json!({
        "object_id": format!("/{}/{id}", segment.name),
        "object_type": segment.object_type,
        "access_control_list": entries,
    })
}
