//! Assignment of account identities to the workspace (`permissionassignments`).

use serde_json::{Value, json};

use crate::http::{ApiError, Body, Reply, Request};
use crate::identities::{Identity, Kind};
use crate::route::Route;
use crate::world::World;

const PATH: &str = "/api/2.0/preview/permissionassignments/principals/{id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/preview/permissionassignments", list),
        Route::put(PATH, assign),
        Route::delete(PATH, withdraw),
    ]
}

fn need_admin(request: &Request) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied(
        "Only workspace admins can manage assignments.",
    ))
}

fn find(world: &World, request: &Request) -> Result<Identity, ApiError> {
    let id = request.param("id");
    id.parse()
        .ok()
        .and_then(|id| world.identities.get(id))
        .filter(|one| one.kind != Kind::Group || one.account)
        .cloned()
        .ok_or_else(|| {
            ApiError::not_found(format!("Principal {id} does not exist in the account."))
        })
}

/// Whether the identity stands directly in `admins`.
fn is_admin(world: &World, identity: &Identity) -> bool {
    world
        .identities
        .find(Kind::Group, "admins")
        .is_some_and(|admins| admins.members.contains(&identity.id))
}

fn render(world: &World, identity: &Identity) -> Value {
    let mut principal = json!({
        "principal_id": identity.id,
        "display_name": identity.text("displayName"),
    });
    let key = match identity.kind {
        Kind::User => "user_name",
        Kind::Group => "group_name",
        Kind::ServicePrincipal => "service_principal_name",
    };
    principal[key] = json!(identity.key());
    let level = if is_admin(world, identity) {
        "ADMIN"
    } else {
        "USER"
    };
    json!({"principal": principal, "permissions": [level]})
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let assigned = [Kind::User, Kind::Group, Kind::ServicePrincipal]
        .into_iter()
        .flat_map(|kind| world.identities.of_kind(kind))
        .filter(|one| one.assigned && (one.kind != Kind::Group || one.account))
        .map(|one| render(world, one))
        .collect();
    Ok(Reply::list("permission_assignments", assigned))
}

fn assign(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let mut identity = find(world, request)?;
    let body = request.json()?;
    let level = match body.get("permissions").and_then(|list| list[0].as_str()) {
        Some(level @ ("USER" | "ADMIN")) => level,
        _ => {
            return Err(ApiError::invalid(
                "permissions must be [\"USER\"] or [\"ADMIN\"]",
            ));
        }
    };
    let was_admin = is_admin(world, &identity);
    if identity.assigned && was_admin == (level == "ADMIN") {
        return Err(ApiError::bad_request(format!(
            "Principal {} is already assigned.",
            identity.id
        )));
    }
    identity.assigned = true;
    let id = identity.id;
    world.identities.put(identity.clone());
    if let Some(mut admins) = world.identities.find(Kind::Group, "admins").cloned() {
        if level == "ADMIN" {
            admins.members.insert(id);
        } else {
            admins.members.remove(&id);
        }
        world.identities.put(admins);
    }
    Ok(Reply::json(render(world, &identity)))
}

fn withdraw(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let mut identity = find(world, request)?;
    identity.assigned = false;
    world.identities.put(identity);
    Ok(Reply::with_status(204, Body::Empty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identities;
    use crate::world::testing::{call, get};

    #[test]
    fn an_account_group_is_found_assigned_once_and_then_listed() {
        let mut world = World::for_tests();
        let id = identities::add_unassigned_account_group(&mut world, "corp");
        let filter = "filter=displayName+eq+%22corp%22";
        let here = format!("/api/2.0/preview/scim/v2/Groups?{filter}");
        assert_eq!(get(&mut world, &here).1["totalResults"], json!(0));
        let there = get(
            &mut world,
            &format!("/api/2.0/account/scim/v2/Groups?{filter}"),
        )
        .1;
        assert_eq!(there["Resources"][0]["meta"]["resourceType"], "Group");
        let target = format!("/api/2.0/preview/permissionassignments/principals/{id}");
        let body = json!({"permissions": ["USER"]});
        assert_eq!(call(&mut world, "PUT", &target, body.clone()).0, 200);
        assert_eq!(call(&mut world, "PUT", &target, body.clone()).0, 400);
        assert_eq!(get(&mut world, &here).1["totalResults"], json!(1));
        let gone = "/api/2.0/preview/permissionassignments/principals/5";
        assert_eq!(call(&mut world, "PUT", gone, body).0, 404);
    }
}
