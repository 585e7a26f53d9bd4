//! Instance pools (`/api/2.0/instance-pools`).

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Caller, Reply, Request, as_i64, need_str, opt_str};
use crate::permissions::may;
use crate::route::Route;
use crate::world::World;

/// Fields that `create` takes over.
const WRITABLE: &[&str] = &[
    "instance_pool_name",
    "node_type_id",
    "min_idle_instances",
    "max_capacity",
    "idle_instance_autotermination_minutes",
    "enable_elastic_disk",
    "disk_spec",
    "preloaded_spark_versions",
    "preloaded_docker_images",
    "custom_tags",
    "azure_attributes",
    "node_type_flexibility",
    "remote_disk_throughput",
    "total_initial_remote_disk_size",
];

/// Fields that `edit` takes over; it ignores the rest of them, as they never change.
const EDITABLE: &[&str] = &[
    "instance_pool_name",
    "min_idle_instances",
    "max_capacity",
    "idle_instance_autotermination_minutes",
    "custom_tags",
    "node_type_flexibility",
];

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// `instance_pool_id`
    pub id: String,
    /// Writable fields with defaults.
    pub spec: Map<String, Value>,
    /// Name of the creator.
    pub creator: String,
    /// Most idle instances that it was ever told to keep, since it was created or filled in.
    pub idle_ever: i64,
}

impl Pool {
    /// `instance_pool_name`
    #[must_use]
    pub fn name(&self) -> &str {
        self.spec
            .get("instance_pool_name")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// Instances that it keeps running without any cluster.
    #[must_use]
    pub fn idle(&self) -> i64 {
        self.spec
            .get("min_idle_instances")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }
}

/// All pools, in the order of their creation.
#[derive(Debug, Default)]
pub struct Pools {
    /// The pools.
    pub all: Vec<Pool>,
    /// Deleted ones: what they cost stays.
    pub deleted: Vec<Pool>,
}

impl Pools {
    /// A pool by id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Pool> {
        self.all.iter().find(|pool| pool.id == id)
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/instance-pools/list", list),
        Route::get("/api/2.0/instance-pools/get", get),
        Route::post("/api/2.0/instance-pools/create", create),
        Route::post("/api/2.0/instance-pools/edit", edit),
        Route::post("/api/2.0/instance-pools/delete", delete),
    ]
}

/// Refuses as `get` does when the id is unknown: the permissions API asks here.
///
/// # Errors
/// 404 `RESOURCE_DOES_NOT_EXIST`.
pub fn check(world: &World, id: &str) -> Result<(), ApiError> {
    match world.pools.get(id) {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found(format!(
            "Can't find an instance pool with id: {id}."
        ))),
    }
}

/// The machine type of the pool that a cluster names.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE` when there is no such pool.
pub fn node_type(world: &World, id: &str) -> Result<String, ApiError> {
    let unknown = || ApiError::invalid(format!("Can't find an instance pool with id: {id}."));
    let pool = world.pools.get(id).ok_or_else(unknown)?;
    Ok(opt_str(&pool.spec, "node_type_id").unwrap_or("").to_owned())
}

/// Fills in what the service decides.
fn fill_defaults(spec: &mut Map<String, Value>) {
    for (name, value) in [
        ("min_idle_instances", json!(0)),
        ("idle_instance_autotermination_minutes", json!(60)),
        ("enable_elastic_disk", json!(false)),
        ("azure_attributes", json!({})),
    ] {
        spec.entry(name).or_insert(value);
    }
    if let Some(Value::Object(azure)) = spec.get_mut("azure_attributes") {
        azure
            .entry("availability")
            .or_insert(json!("ON_DEMAND_AZURE"));
        azure.entry("spot_bid_max_price").or_insert(json!(-1.0));
    }
}

fn view(world: &World, pool: &Pool) -> Value {
    let mut body = pool.spec.clone();
    body.insert("instance_pool_id".into(), json!(pool.id));
    body.insert(
        "default_tags".into(),
        json!({"Vendor": "Databricks", "DatabricksInstancePoolCreatorId": pool.creator, "DatabricksInstancePoolId": pool.id, "DatabricksInstanceGroupId": "-1"}),
    );
    body.insert("state".into(), json!("ACTIVE"));
    let used: i64 = (world.clusters.all.iter())
        .filter(|cluster| {
            cluster.spec.get("instance_pool_id").and_then(Value::as_str) == Some(pool.id.as_str())
        })
        .filter(|cluster| cluster.phase == crate::clusters::Phase::Running)
        .map(|cluster| cluster.workers() + 1)
        .sum();
    body.insert("stats".into(), json!({"used_count": used, "idle_count": pool.idle(), "pending_used_count": 0, "pending_idle_count": 0}));
    body.insert("status".into(), json!({}));
    Value::Object(body)
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    let pools = (world.pools.all.iter())
        .filter(|pool| {
            may(
                world,
                &request.caller,
                "instance-pools",
                &pool.id,
                "CAN_ATTACH_TO",
            )
        })
        .map(|pool| view(world, pool))
        .collect();
    Ok(Reply::list("instance_pools", pools))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    let id = request.need_query("instance_pool_id")?;
    check(world, id)?;
    allowed(world, request, id, "CAN_ATTACH_TO")?;
    let pool = world.pools.get(id).map(|pool| view(world, pool));
    Ok(Reply::json(pool.unwrap_or_default()))
}

fn allowed(world: &World, request: &Request, id: &str, level: &str) -> Result<(), ApiError> {
    if may(world, &request.caller, "instance-pools", id, level) {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "{} does not have {level} permission on instance pool {id}",
        request.caller.name
    )))
}

/// The limits on numbers and names, and that the name is free.
fn check_spec(
    world: &World,
    spec: &Map<String, Value>,
    own_id: Option<&str>,
) -> Result<(), ApiError> {
    let name = need_str(spec, "instance_pool_name")?;
    if name.chars().count() > 100 {
        return Err(ApiError::invalid(
            "instance_pool_name must have between 1 and 100 characters",
        ));
    }
    if world
        .pools
        .all
        .iter()
        .any(|pool| pool.name() == name && Some(pool.id.as_str()) != own_id)
    {
        return Err(ApiError::invalid(format!(
            "Instance pool with name {name} already exists."
        )));
    }
    let number = |field: &str| spec.get(field).and_then(as_i64);
    let idle = number("min_idle_instances").unwrap_or(0);
    if idle < 0 || number("max_capacity").is_some_and(|most| idle > most) {
        return Err(ApiError::invalid(
            "min_idle_instances must be between 0 and max_capacity",
        ));
    }
    if number("idle_instance_autotermination_minutes")
        .is_some_and(|minutes| !(0..=10_000).contains(&minutes))
    {
        return Err(ApiError::invalid(
            "idle_instance_autotermination_minutes must be between 0 and 10000",
        ));
    }
    let node = need_str(spec, "node_type_id")?;
    crate::clusters::check_node_type(&world.clusters, node)?;
    let size = |field: &str, most: usize| match spec.get(field) {
        Some(Value::Array(list)) if list.len() > most => Err(ApiError::invalid(format!(
            "At most {most} {field} are allowed"
        ))),
        Some(Value::Object(map)) if map.len() > most => Err(ApiError::invalid(format!(
            "At most {most} {field} are allowed"
        ))),
        _ => Ok(()),
    };
    size("preloaded_spark_versions", 1)?;
    size("custom_tags", 45)
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    if !request.caller.admin {
        return Err(ApiError::denied(format!(
            "{} is not authorized to create instance pools.",
            request.caller.name
        )));
    }
    let id = place(world, request.json()?, &request.caller)?;
    Ok(Reply::json(json!({"instance_pool_id": id})))
}

/// Adds a pool, checked as every other; the answer is its id.
pub(crate) fn place(
    world: &mut World,
    body: Map<String, Value>,
    creator: &Caller,
) -> Result<String, ApiError> {
    let mut spec: Map<String, Value> = body
        .into_iter()
        .filter(|(name, value)| WRITABLE.contains(&name.as_str()) && !value.is_null())
        .collect();
    check_spec(world, &spec, None)?;
    fill_defaults(&mut spec);
    let now = world.clock.now_ms();
    let id = format!("{}-pool-{}", world.ids.dated(now), world.ids.hex(8));
    let mut pool = Pool {
        id: id.clone(),
        spec,
        creator: creator.name.clone(),
        idle_ever: 0,
    };
    pool.idle_ever = pool.idle();
    world.pools.all.push(pool);
    world.acls.created("instance-pools", &id, creator);
    Ok(id)
}

fn edit(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "instance_pool_id")?;
    check(world, id)?;
    allowed(world, request, id, "CAN_MANAGE")?;
    need_str(&body, "instance_pool_name")?;
    let old = world
        .pools
        .get(id)
        .map(|pool| pool.spec.clone())
        .unwrap_or_default();
    if need_str(&body, "node_type_id")? != opt_str(&old, "node_type_id").unwrap_or("") {
        return Err(ApiError::invalid(
            "The node type of an instance pool cannot be changed",
        ));
    }
    let mut spec: Map<String, Value> = old
        .into_iter()
        .filter(|(name, _)| !EDITABLE.contains(&name.as_str()))
        .collect();
    spec.extend(
        body.iter()
            .filter(|(name, value)| EDITABLE.contains(&name.as_str()) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    check_spec(world, &spec, Some(id))?;
    fill_defaults(&mut spec);
    if let Some(pool) = world.pools.all.iter_mut().find(|pool| pool.id == id) {
        pool.spec = spec;
        pool.idle_ever = pool.idle_ever.max(pool.idle());
    }
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "instance_pool_id")?;
    check(world, id)?;
    allowed(world, request, id, "CAN_MANAGE")?;
    let (gone, kept) = std::mem::take(&mut world.pools.all)
        .into_iter()
        .partition(|pool| pool.id == id);
    world.pools.all = kept;
    world.pools.deleted.extend::<Vec<Pool>>(gone);
    world.acls.removed("instance-pools", id);
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::{call, get};

    const CREATE: &str = "/api/2.0/instance-pools/create";

    fn pool(name: &str) -> Value {
        json!({"instance_pool_name": name, "node_type_id": "Standard_DS3_v2", "max_capacity": 10})
    }

    #[test]
    fn a_pool_is_made_listed_and_removed() {
        let mut world = World::for_tests();
        assert_eq!(get(&mut world, "/api/2.0/instance-pools/list").1, json!({}));
        let (status, made) = call(&mut world, "POST", CREATE, pool("etl"));
        assert_eq!(status, 200);
        let id = made["instance_pool_id"].as_str().expect("id").to_owned();
        let (_, read) = get(
            &mut world,
            &format!("/api/2.0/instance-pools/get?instance_pool_id={id}"),
        );
        assert_eq!(read["min_idle_instances"], json!(0));
        assert_eq!(
            read["azure_attributes"]["availability"],
            json!("ON_DEMAND_AZURE")
        );
        assert_eq!(read["state"], json!("ACTIVE"));
        assert_eq!(read["stats"]["idle_count"], json!(0));
        assert_eq!(
            call(
                &mut world,
                "POST",
                "/api/2.0/instance-pools/delete",
                json!({"instance_pool_id": id})
            )
            .0,
            200
        );
        let (status, body) = get(
            &mut world,
            &format!("/api/2.0/instance-pools/get?instance_pool_id={id}"),
        );
        assert_eq!(
            (status, &body["error_code"]),
            (404, &json!("RESOURCE_DOES_NOT_EXIST"))
        );
    }

    #[test]
    fn names_are_unique_and_node_types_fixed() {
        let mut world = World::for_tests();
        let (_, made) = call(&mut world, "POST", CREATE, pool("etl"));
        let (status, body) = call(&mut world, "POST", CREATE, pool("etl"));
        assert_eq!(
            (status, &body["error_code"]),
            (400, &json!("INVALID_PARAMETER_VALUE"))
        );
        let mut change = pool("etl");
        change["instance_pool_id"] = made["instance_pool_id"].clone();
        change["min_idle_instances"] = json!(3);
        assert_eq!(
            call(
                &mut world,
                "POST",
                "/api/2.0/instance-pools/edit",
                change.clone()
            )
            .0,
            200
        );
        assert_eq!(world.pools.all[0].idle_ever, 3);
        change["node_type_id"] = json!("Standard_DS4_v2");
        assert_eq!(
            call(&mut world, "POST", "/api/2.0/instance-pools/edit", change).0,
            400
        );
    }

    #[test]
    fn limits_are_kept() {
        let mut world = World::for_tests();
        for (field, value) in [
            ("min_idle_instances", json!(11)),
            ("idle_instance_autotermination_minutes", json!(10_001)),
            ("preloaded_spark_versions", json!(["a", "b"])),
            ("instance_pool_name", json!("x".repeat(101))),
            ("node_type_id", json!("i3.xlarge")),
        ] {
            let mut body = pool("etl");
            body[field] = value;
            assert_eq!(call(&mut world, "POST", CREATE, body).0, 400, "{field}");
        }
    }
}
