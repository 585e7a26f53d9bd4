//! SCIM: users, groups, service principals and the caller itself (fact sheet, section 12).
//!
//! The state is in [`crate::identities`]; here are its routes, replies and refusals.

mod filter;
mod patch;
mod resource;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Body, Reply, Request, as_i64};
use crate::identities::{self, Identity, Kind};
use crate::route::Route;
use crate::world::World;

const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/preview/scim/v2/Me", me),
        Route::get("/api/2.0/preview/scim/v2/{kind}", list),
        Route::post("/api/2.0/preview/scim/v2/{kind}", create),
        Route::get("/api/2.0/preview/scim/v2/{kind}/{id}", get),
        Route::put("/api/2.0/preview/scim/v2/{kind}/{id}", replace),
        Route::patch("/api/2.0/preview/scim/v2/{kind}/{id}", update),
        Route::delete("/api/2.0/preview/scim/v2/{kind}/{id}", delete),
        Route::get("/api/2.0/account/scim/v2/{kind}", list_account),
        Route::get("/api/2.0/account/scim/v2/{kind}/{id}", get_account),
    ]
}

fn kind_of(request: &Request) -> Result<Kind, ApiError> {
    match request.param("kind") {
        "Users" => Ok(Kind::User),
        "Groups" => Ok(Kind::Group),
        "ServicePrincipals" => Ok(Kind::ServicePrincipal),
        other => Err(ApiError::new(
            404,
            "ENDPOINT_NOT_FOUND",
            format!("No API found for '{other}'"),
        )),
    }
}

fn find<'w>(world: &'w World, request: &Request, kind: Kind) -> Result<&'w Identity, ApiError> {
    let id = request.param("id");
    id.parse()
        .ok()
        .and_then(|id| world.identities.get(id))
        .filter(|one| one.kind == kind)
        .ok_or_else(|| ApiError::scim(404, "", format!("{} with id {id} not found.", noun(kind))))
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "User",
        Kind::Group => "Group",
        Kind::ServicePrincipal => "ServicePrincipal",
    }
}

fn need_admin(request: &Request) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied("Only an admin can do this operation."))
}

fn me(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let Some(identity) = world.identities.get(request.caller.id) else {
        return Err(ApiError::scim(404, "", "User not found."));
    };
    let mut body = resource::render(world, identity);
    if identity.kind == Kind::ServicePrincipal {
        body["userName"] = json!(identity.key());
    }
    Ok(Reply::json(body))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    read_one(world, request, false)
}

fn get_account(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    read_one(world, request, true)
}

fn read_one(world: &World, request: &Request, account: bool) -> Result<Reply, ApiError> {
    let kind = kind_of(request)?;
    let identity = find(world, request, kind)?;
    if !identity.assigned && !account {
        return Err(ApiError::scim(
            404,
            "",
            format!("{} with id {} not found.", noun(kind), identity.id),
        ));
    }
    let body = resource::render(world, identity);
    Ok(Reply::json(resource::select(body, request)))
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    page(world, request, |identity| identity.assigned)
}

/// The account's identities: what could be assigned is found here. Local groups are not part of the account.
fn list_account(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    page(world, request, |identity| {
        identity.kind != Kind::Group || identity.account
    })
}

fn page(
    world: &mut World,
    request: &Request,
    visible: fn(&Identity) -> bool,
) -> Result<Reply, ApiError> {
    let kind = kind_of(request)?;
    let number = |key: &str| {
        request
            .number(key)
            .map_err(|error| ApiError::scim(400, "invalidValue", error.message()))
    };
    let start = number("startIndex")?.unwrap_or(1).max(1);
    let cap = world.switches.scim_page;
    let count = number("count")?.map_or(cap, |count| usize::try_from(count).unwrap_or(0).min(cap));
    let filter = request.query("filter").map(filter::parse).transpose()?;
    let matching: Vec<&Identity> = world
        .identities
        .of_kind(kind)
        .filter(|identity| visible(identity))
        .filter(|identity| filter.as_ref().is_none_or(|filter| filter.fits(identity)))
        .collect();
    let total = matching.len();
    let mut skip = usize::try_from(start - 1).unwrap_or(usize::MAX);
    let disturbed = skip > 0 && world.identities.listings < world.switches.unstable_paging;
    if disturbed {
        skip -= 1;
    }
    let resources: Vec<Value> = matching
        .into_iter()
        .skip(skip)
        .take(count)
        .map(|identity| resource::select(resource::render(world, identity), request))
        .collect();
    if disturbed {
        world.identities.listings += 1;
    }
    let mut body = Map::new();
    body.insert("schemas".to_owned(), json!([LIST_RESPONSE]));
    body.insert("totalResults".to_owned(), json!(total));
    body.insert("startIndex".to_owned(), json!(start));
    body.insert("itemsPerPage".to_owned(), json!(resources.len()));
    if !resources.is_empty() {
        body.insert("Resources".to_owned(), Value::Array(resources));
    }
    Ok(Reply::json(Value::Object(body)))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let kind = kind_of(request)?;
    let mut body = request.json()?;
    if kind == Kind::Group && world.switches.refuse_local_groups {
        return Err(ApiError::scim(
            400,
            "",
            "Workspace-local groups cannot be created in this workspace.",
        ));
    }
    if kind == Kind::ServicePrincipal && !body.contains_key("applicationId") {
        body.insert("applicationId".to_owned(), json!(world.ids.uuid()));
    }
    let members = take_members(world, &mut body)?;
    let fields = resource::writable(kind, body);
    let key = fields
        .get(kind.key())
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    if key.is_empty() {
        return Err(ApiError::scim(
            400,
            "invalidValue",
            format!("Missing required attribute: {}", kind.key()),
        ));
    }
    if world.identities.find(kind, &key).is_some() {
        return Err(already_exists(kind, &key));
    }
    let id = identities::insert(world, kind, resource::with_defaults(kind, fields));
    for member in members.unwrap_or_default() {
        world.identities.add_member(id, member);
    }
    let mut reply = render(world, id)?;
    reply.status = 201;
    Ok(reply)
}

fn already_exists(kind: Kind, key: &str) -> ApiError {
    let what = match kind {
        Kind::User => "User with username",
        Kind::Group => "Group with name",
        Kind::ServicePrincipal => "ServicePrincipal with applicationId",
    };
    ApiError::scim(409, "uniqueness", format!("{what} {key} already exists."))
}

fn render(world: &World, id: i64) -> Result<Reply, ApiError> {
    world
        .identities
        .get(id)
        .map(|identity| Reply::json(resource::render(world, identity)))
        .ok_or_else(|| ApiError::scim(404, "", format!("Resource {id} not found.")))
}

/// Takes `members` out of a body as ids; absent is not empty.
fn take_members(
    world: &World,
    body: &mut Map<String, Value>,
) -> Result<Option<BTreeSet<i64>>, ApiError> {
    match body.remove("members") {
        None | Some(Value::Null) => Ok(None),
        Some(list) => member_ids(world, &list).map(Some),
    }
}

/// Ids of a list of `{"value": "<id>"}`, each of which must exist.
fn member_ids(world: &World, list: &Value) -> Result<BTreeSet<i64>, ApiError> {
    let one = std::slice::from_ref(list);
    let elements = list.as_array().map_or(one, Vec::as_slice);
    elements
        .iter()
        .map(|element| {
            let id = as_i64(&element["value"]);
            id.filter(|id| world.identities.get(*id).is_some())
                .ok_or_else(|| {
                    let shown = element["value"].as_str().unwrap_or("");
                    ApiError::scim(
                        400,
                        "invalidValue",
                        format!("Group member {shown} does not exist."),
                    )
                })
        })
        .collect()
}

fn replace(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let kind = kind_of(request)?;
    let mut identity = find(world, request, kind)?.clone();
    let mut body = request.json()?;
    let members = take_members(world, &mut body)?;
    let mut fields = resource::writable(kind, body);
    let before = identity.clone();
    if kind != Kind::Group {
        let named = fields.get(kind.key()).and_then(Value::as_str);
        if named.is_some_and(|name| !name.eq_ignore_ascii_case(identity.key())) {
            return Err(ApiError::scim(
                400,
                "mutability",
                format!("Attribute {} is immutable.", kind.key()),
            ));
        }
        fields.insert(kind.key().to_owned(), json!(identity.key()));
    }
    identity.fields = resource::with_defaults(kind, fields);
    identity.members = members.unwrap_or_default();
    store(world, &before, identity)
}

fn update(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let kind = kind_of(request)?;
    let before = find(world, request, kind)?.clone();
    let after = patch::apply(world, before.clone(), &request.json()?)?;
    store(world, &before, after)
}

/// Keeps a changed identity, unless the change is one that the service refuses.
fn store(world: &mut World, before: &Identity, after: Identity) -> Result<Reply, ApiError> {
    let renamed = before.key() != after.key();
    if before.is_system() && renamed {
        return Err(ApiError::scim(
            400,
            "mutability",
            format!("Cannot rename system group {}.", before.key()),
        ));
    }
    if before.kind == Kind::Group && before.key() == "users" && before.members != after.members {
        return Err(ApiError::scim(
            400,
            "mutability",
            "Membership of group users cannot be changed.",
        ));
    }
    if before.account && (renamed || before.members != after.members) {
        return Err(ApiError::denied(
            "Account groups can only be changed in the account.",
        ));
    }
    if after.key().is_empty() {
        return Err(ApiError::scim(
            400,
            "invalidValue",
            format!("Missing required attribute: {}", after.kind.key()),
        ));
    }
    if renamed {
        let taken = world.identities.find(after.kind, after.key());
        if taken.is_some_and(|other| other.id != after.id) {
            return Err(already_exists(after.kind, after.key()));
        }
        world
            .acls
            .rename_principal(&before.principal(), &after.principal());
    }
    let id = after.id;
    world.identities.put(after);
    render(world, id)
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let kind = kind_of(request)?;
    let identity = find(world, request, kind)?;
    if identity.is_system() {
        return Err(ApiError::scim(
            400,
            "",
            format!("Cannot delete system group {}.", identity.key()),
        ));
    }
    let (id, principal) = (identity.id, identity.principal());
    world.identities.remove(id);
    world.acls.forget_principal(&principal);
    world.secrets.forget_principal(&principal);
    Ok(Reply::with_status(204, Body::Empty))
}

#[cfg(test)]
mod tests;
