//! Calls that change clusters: create, edit, update, start, stop, pin, owner.

use serde_json::{Map, Value, json};

use super::{Cluster, Phase, life, spec};
use crate::http::{ApiError, Caller, Reply, Request, need_str, opt_str};
use crate::permissions::may;
use crate::route::Route;
use crate::world::World;

pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/2.0|2.1/clusters/create", create),
        Route::post("/api/2.0|2.1/clusters/edit", edit),
        Route::post("/api/2.0|2.1/clusters/update", update),
        Route::post("/api/2.0|2.1/clusters/delete", delete),
        Route::post("/api/2.0|2.1/clusters/permanent-delete", permanent_delete),
        Route::post("/api/2.0|2.1/clusters/start", start),
        Route::post("/api/2.0|2.1/clusters/restart", restart),
        Route::post("/api/2.0|2.1/clusters/resize", resize),
        Route::post("/api/2.0|2.1/clusters/pin", pin),
        Route::post("/api/2.0|2.1/clusters/unpin", unpin),
        Route::post("/api/2.0|2.1/clusters/change-owner", change_owner),
    ]
}

/// What the caller asked for, and what becomes of it.
struct Prepared {
    asked: Map<String, Value>,
    spec: Map<String, Value>,
}

/// Applies the policy, checks, fills in defaults: the same for create, edit and update.
fn prepare(world: &World, body: &Value, caller: &str) -> Result<Prepared, ApiError> {
    let mut wanted = spec::writable(body);
    let mut asked = wanted.clone();
    let policy_defaults = body
        .get("apply_policy_default_values")
        .and_then(Value::as_bool);
    if let Some(apply) = policy_defaults {
        asked.insert("apply_policy_default_values".into(), json!(apply));
    }
    if let Some(id) = wanted
        .get("policy_id")
        .and_then(Value::as_str)
        .map(str::to_owned)
    {
        crate::policies::apply(world, &id, &mut wanted, policy_defaults.unwrap_or(false))?;
    }
    spec::check(&world.clusters, &wanted)?;
    let mut pool_node_type = None;
    for field in ["instance_pool_id", "driver_instance_pool_id"] {
        if let Some(id) = wanted.get(field).and_then(Value::as_str) {
            let node_type = crate::pools::node_type(world, id)?;
            pool_node_type = pool_node_type.or(Some(node_type));
        }
    }
    spec::fill_defaults(&mut wanted, pool_node_type.as_deref(), caller);
    Ok(Prepared {
        asked,
        spec: wanted,
    })
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let token = opt_str(&body, "idempotency_token").filter(|token| !token.is_empty());
    if let Some(token) = token {
        if token.len() > 64 {
            return Err(ApiError::invalid(
                "idempotency_token must have at most 64 characters",
            ));
        }
        if let Some(id) = world.clusters.tokens.get(token) {
            super::check(world, id)?;
            return Ok(Reply::json(json!({"cluster_id": id})));
        }
    }
    let token = token.map(str::to_owned);
    may_create(world, request, opt_str(&body, "policy_id"))?;
    let source = body
        .get("clone_from")
        .and_then(|from| from.get("source_cluster_id"));
    let source = source.and_then(Value::as_str).map(str::to_owned);
    if let Some(id) = &source {
        super::check(world, id)?;
    }
    let prepared = prepare(world, &Value::Object(body), &request.caller.name)?;
    let (now, timing) = (world.clock.now_ms(), world.clusters.timing);
    let id = world.ids.dated(now);
    let cluster = Cluster::new(
        id.clone(),
        prepared.spec,
        prepared.asked,
        &request.caller.name,
        now,
        timing,
    );
    world.clusters.all.push(cluster);
    world.acls.created("clusters", &id, &request.caller);
    if let Some(token) = token {
        world.clusters.tokens.insert(token, id.clone());
    }
    if let Some(source) = source {
        world.libraries.copy(&source, &id);
    }
    Ok(Reply::json(json!({"cluster_id": id})))
}

/// Whether the caller may create clusters: by entitlement, or with a policy that it may use.
fn may_create(world: &World, request: &Request, policy: Option<&str>) -> Result<(), ApiError> {
    let caller = &request.caller;
    let by_policy = policy.is_some_and(|id| may(world, caller, "cluster-policies", id, "CAN_USE"));
    let entitled = || {
        let principals = world.identities.principals_of(caller);
        let mut held = (principals.iter())
            .filter_map(|principal| world.identities.of_principal(principal))
            .filter_map(|identity| identity.fields.get("entitlements")?.as_array())
            .flatten();
        held.any(|entitlement| entitlement["value"] == "allow-cluster-create")
    };
    if caller.admin || by_policy || entitled() {
        return Ok(());
    }
    Err(ApiError::denied(
        "You are not authorized to create clusters. Please contact your administrator.",
    ))
}

/// Adds a cluster that has been at rest since a moment, checked as every other; the answer is its id.
pub(crate) fn place(
    world: &mut World,
    body: &Value,
    creator: &Caller,
    since: i64,
) -> Result<String, ApiError> {
    let prepared = prepare(world, body, &creator.name)?;
    let id = world.ids.dated(since);
    let cluster = Cluster::at_rest(
        id.clone(),
        prepared.spec,
        prepared.asked,
        &creator.name,
        since,
    );
    world.clusters.all.push(cluster);
    world.acls.created("clusters", &id, creator);
    Ok(id)
}

/// The named cluster, when the caller may do `level` on it.
fn target<'w>(
    world: &'w mut World,
    request: &Request,
    id: &str,
    level: &str,
) -> Result<&'w mut Cluster, ApiError> {
    let now = world.clock.now_ms();
    world.clusters.find(id, now)?;
    if !may(world, &request.caller, "clusters", id, level) {
        return Err(ApiError::denied(format!(
            "{} does not have {level} permissions on {id}",
            request.caller.name
        )));
    }
    world.clusters.find(id, now)
}

fn refuse_unless(cluster: &Cluster, allowed: &[&str]) -> Result<(), ApiError> {
    let state = cluster.phase.name();
    if allowed.contains(&state) {
        return Ok(());
    }
    Err(ApiError::invalid_state(format!(
        "Cluster {} is in unexpected state {state}",
        cluster.id
    )))
}

fn edit(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "cluster_id")?.to_owned();
    replace(world, request, &id, &Value::Object(body))
}

/// Gives a cluster a new specification; a running one restarts with it, a terminated one stays terminated.
fn replace(
    world: &mut World,
    request: &Request,
    id: &str,
    body: &Value,
) -> Result<Reply, ApiError> {
    let cluster = target(world, request, id, "CAN_MANAGE")?;
    if !matches!(cluster.source.as_str(), "UI" | "API") {
        return Err(ApiError::invalid_state(format!(
            "Cluster {id} was created by {} and cannot be edited",
            cluster.source
        )));
    }
    refuse_unless(cluster, &["RUNNING", "TERMINATED"])?;
    let prepared = prepare(world, body, &request.caller.name)?;
    let (now, timing) = (world.clock.now_ms(), world.clusters.timing);
    let cluster = world.clusters.find(id, now)?;
    let owner = cluster.creator == request.caller.name;
    if !owner && secrets_of(&cluster.spec) != secrets_of(&prepared.spec) {
        return Err(ApiError::denied(
            "Only Cluster Owner is allowed to change the secrets.",
        ));
    }
    let previous = std::mem::replace(&mut cluster.spec, prepared.spec);
    cluster.asked = prepared.asked;
    let details = json!({"user": request.caller.name, "previous_attributes": previous, "attributes": cluster.spec});
    cluster.record(now, "EDITED", details);
    if cluster.phase == Phase::Running {
        cluster.restart(now, timing, &request.caller.name);
    }
    Ok(Reply::empty_object())
}

/// The settings of a specification that name secrets.
fn secrets_of(spec: &Map<String, Value>) -> Vec<String> {
    let settings = ["spark_conf", "spark_env_vars"];
    let settings = settings
        .iter()
        .filter_map(|field| spec.get(*field)?.as_object());
    let mut secrets: Vec<String> = settings
        .flatten()
        .filter(|(_, value)| {
            value
                .as_str()
                .is_some_and(|text| text.contains("{{secrets/"))
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    secrets.sort();
    secrets
}

fn update(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "cluster_id")?.to_owned();
    let mask = need_str(&body, "update_mask")?;
    let changes = body.get("cluster").cloned().unwrap_or_else(|| json!({}));
    let mut wanted = Value::Object(target(world, request, &id, "CAN_MANAGE")?.asked.clone());
    for field in mask.split(',').map(str::trim) {
        let names: Vec<&str> = field.splitn(2, '.').collect();
        if !spec::WRITABLE.contains(&names[0]) {
            return Err(ApiError::invalid(format!(
                "update_mask names the unknown field {field}"
            )));
        }
        let pointer = format!("/{}", names.join("/"));
        let place = match names.len() {
            1 => &mut wanted,
            _ => &mut wanted[names[0]],
        };
        let last = names[names.len() - 1];
        match changes.pointer(&pointer) {
            Some(value) => place[last] = value.clone(),
            None => {
                place.as_object_mut().map(|object| object.remove(last));
            }
        }
    }
    replace(world, request, &id, &wanted)
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (now, timing) = (world.clock.now_ms(), world.clusters.timing);
    let cluster = target(
        world,
        request,
        need_str(&body, "cluster_id")?,
        "CAN_RESTART",
    )?;
    cluster.stop(now, timing, life::by_user(&request.caller.name));
    Ok(Reply::empty_object())
}

fn permanent_delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "cluster_id")?;
    let cluster = target(world, request, id, "CAN_MANAGE")?;
    if cluster.pinned_by.is_some() {
        return Err(ApiError::invalid_state(format!(
            "Cluster {id} is pinned. Unpin the cluster before deleting it permanently."
        )));
    }
    let (gone, kept) = std::mem::take(&mut world.clusters.all)
        .into_iter()
        .partition(|cluster| cluster.id == id);
    world.clusters.all = kept;
    world.clusters.deleted.extend::<Vec<Cluster>>(gone);
    world.libraries.forget(id);
    world.acls.removed("clusters", id);
    Ok(Reply::empty_object())
}

fn start(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (now, timing) = (world.clock.now_ms(), world.clusters.timing);
    let cluster = target(
        world,
        request,
        need_str(&body, "cluster_id")?,
        "CAN_RESTART",
    )?;
    refuse_unless(cluster, &["TERMINATED"])?;
    cluster.begin(now, timing);
    cluster.record(now, "STARTING", json!({"user": request.caller.name}));
    Ok(Reply::empty_object())
}

fn restart(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let (now, timing) = (world.clock.now_ms(), world.clusters.timing);
    let cluster = target(
        world,
        request,
        need_str(&body, "cluster_id")?,
        "CAN_RESTART",
    )?;
    refuse_unless(cluster, &["RUNNING"])?;
    cluster.restart(now, timing, &request.caller.name);
    Ok(Reply::empty_object())
}

fn resize(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let cluster = target(
        world,
        request,
        need_str(&body, "cluster_id")?,
        "CAN_RESTART",
    )?;
    if cluster.phase != Phase::Running {
        return Err(ApiError::invalid_state("Cluster is not running"));
    }
    match (body.get("num_workers"), body.get("autoscale")) {
        (Some(size), None) => {
            cluster.spec.remove("autoscale");
            cluster.spec.insert("num_workers".into(), size.clone());
        }
        (None, Some(bounds)) => {
            cluster.spec.remove("num_workers");
            cluster.spec.insert("autoscale".into(), bounds.clone());
        }
        _ => {
            return Err(ApiError::invalid(
                "Exactly one of num_workers and autoscale must be specified",
            ));
        }
    }
    Ok(Reply::empty_object())
}

fn admin_only(request: &Request, what: &str) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "Only workspace administrators can {what} clusters."
    )))
}

fn pin(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request, "pin")?;
    let body = request.json()?;
    let now = world.clock.now_ms();
    let pinned = world
        .clusters
        .all
        .iter()
        .filter(|cluster| cluster.pinned_by.is_some())
        .count();
    let limit = world.clusters.pin_limit;
    let cluster = target(world, request, need_str(&body, "cluster_id")?, "CAN_MANAGE")?;
    if cluster.pinned_by.is_some() {
        return Ok(Reply::empty_object());
    }
    if pinned >= limit {
        return Err(ApiError::new(
            400,
            "RESOURCE_LIMIT_EXCEEDED",
            format!("At most {limit} clusters can be pinned in a workspace."),
        ));
    }
    cluster.pinned_by = Some(request.caller.name.clone());
    cluster.record(now, "PINNED", json!({"user": request.caller.name}));
    Ok(Reply::empty_object())
}

fn unpin(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request, "unpin")?;
    let body = request.json()?;
    let now = world.clock.now_ms();
    let cluster = target(world, request, need_str(&body, "cluster_id")?, "CAN_MANAGE")?;
    if cluster.pinned_by.take().is_some() {
        cluster.kept_from_ms = now;
        cluster.record(now, "UNPINNED", json!({"user": request.caller.name}));
    }
    Ok(Reply::empty_object())
}

fn change_owner(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    admin_only(request, "change the owner of")?;
    let body = request.json()?;
    let owner = need_str(&body, "owner_username")?;
    let known = world.identities.caller_named(owner);
    if !known.is_some_and(|known| world.identities.is_known_to("clusters", known.id)) {
        return Err(ApiError::invalid(format!("User {owner} does not exist")));
    }
    let cluster = target(world, request, need_str(&body, "cluster_id")?, "CAN_MANAGE")?;
    refuse_unless(cluster, &["TERMINATED"])?;
    cluster.creator = owner.to_owned();
    Ok(Reply::empty_object())
}
