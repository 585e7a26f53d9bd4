//! Clusters (`/api/2.0` and `/api/2.1/clusters`): state and reading calls.
//!
//! Writing calls are in `write`, the life of a cluster in time in `life`, what a specification may hold in `spec`,
//! machine types and runtimes in `catalogue`, the history in `events`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Reply, Request};
use crate::permissions::may;
use crate::route::Route;
use crate::world::World;

mod catalogue;
mod events;
mod life;
mod spec;
mod write;

pub(crate) use catalogue::{NODE_TYPES, SPARK_VERSIONS, check_node_type};
pub use life::{Cluster, Event, KEPT_MS, Phase, Timing};
pub(crate) use spec::{check as check_spec, writable};
pub(crate) use write::place;

/// All clusters, in the order of their creation.
#[derive(Debug)]
pub struct Clusters {
    /// The clusters that were not deleted permanently, the forgotten ones included.
    pub all: Vec<Cluster>,
    /// Permanently deleted ones: what they cost stays.
    pub deleted: Vec<Cluster>,
    /// How long starting and stopping takes.
    pub timing: Timing,
    /// Largest page of `list` 2.1, whatever `page_size` asks for.
    pub page_cap: usize,
    /// Most pinned clusters of a workspace.
    pub pin_limit: usize,
    /// Machine types and runtimes that this region does not have: neither listed nor taken.
    pub withdrawn: BTreeSet<String>,
    /// Machine types that are listed with a status (`NotAvailableInRegion`, `NotEnabledOnSubscription`).
    pub node_status: BTreeMap<String, String>,
    /// Cores that the subscription may use of each machine type.
    pub core_quota: u32,
    /// Idempotency token to cluster id.
    tokens: HashMap<String, String>,
    /// Reads so far: what a running cluster reports is never the same twice.
    reads: i64,
}

impl Default for Clusters {
    fn default() -> Self {
        let (all, tokens, timing) = (Vec::new(), HashMap::new(), Timing::default());
        Self {
            all,
            deleted: Vec::new(),
            timing,
            page_cap: 20,
            pin_limit: 100,
            withdrawn: BTreeSet::new(),
            node_status: BTreeMap::new(),
            core_quota: 350,
            tokens,
            reads: 0,
        }
    }
}

impl Clusters {
    /// Lets time pass for every cluster.
    pub fn tick(&mut self, now: i64) {
        let timing = self.timing;
        self.all
            .iter_mut()
            .for_each(|cluster| cluster.tick(now, timing));
    }

    /// A cluster by id, forgotten or not, in the state of the last tick.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Cluster> {
        self.all.iter().find(|cluster| cluster.id == id)
    }

    /// The cluster that the API shows under this id at `now`.
    fn find(&mut self, id: &str, now: i64) -> Result<&mut Cluster, ApiError> {
        let timing = self.timing;
        let Some(cluster) = self.all.iter_mut().find(|cluster| cluster.id == id) else {
            return Err(missing(id));
        };
        cluster.tick(now, timing);
        if cluster.forgotten(now) {
            Err(forgotten(id))
        } else {
            Ok(cluster)
        }
    }
}

fn missing(id: &str) -> ApiError {
    ApiError::invalid(format!("Cluster {id} does not exist"))
}

fn forgotten(id: &str) -> ApiError {
    ApiError::invalid_state(format!(
        "Cannot access cluster {id} that was terminated or unpinned more than 30 days ago."
    ))
}

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/api/2.0|2.1/clusters/list", list),
        Route::get("/api/2.0|2.1/clusters/get", get),
        Route::get("/api/2.0|2.1/clusters/list-node-types", |world, _| {
            Ok(Reply::json(catalogue::node_types(&world.clusters)))
        }),
        Route::get("/api/2.0|2.1/clusters/spark-versions", |world, _| {
            Ok(Reply::json(catalogue::spark_versions(&world.clusters)))
        }),
        Route::post("/api/2.0|2.1/clusters/events", events::events),
    ];
    routes.extend(write::routes());
    routes
}

/// Refuses as `clusters/get` does when the id is unknown or forgotten: the permissions API asks here.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE` (unknown) or `INVALID_STATE` (forgotten).
pub fn check(world: &World, id: &str) -> Result<(), ApiError> {
    let now = world.clock.now_ms();
    let Some(cluster) = world.clusters.get(id) else {
        return Err(missing(id));
    };
    let mut current = cluster.clone();
    current.tick(now, world.clusters.timing);
    if current.forgotten(now) {
        Err(forgotten(id))
    } else {
        Ok(())
    }
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let id = request.need_query("cluster_id")?;
    let now = world.clock.now_ms();
    let cluster = world.clusters.find(id, now)?.clone();
    if !may(world, &request.caller, "clusters", id, "CAN_ATTACH_TO") {
        return Err(ApiError::denied(format!(
            "{} does not have Attach permissions on {id}",
            request.caller.name
        )));
    }
    world.clusters.reads += 1;
    Ok(Reply::json(view(world, &cluster, now, true)))
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    world.clusters.reads += 1;
    let mut shown: Vec<&Cluster> = (world.clusters.all.iter().rev())
        .filter(|cluster| !cluster.forgotten(now) && asked_for(cluster, request))
        .filter(|cluster| {
            may(
                world,
                &request.caller,
                "clusters",
                &cluster.id,
                "CAN_ATTACH_TO",
            )
        })
        .collect();
    sort(&mut shown, request);
    if request.version() == "2.0" {
        let all = shown
            .into_iter()
            .map(|cluster| view(world, cluster, now, false))
            .collect();
        return Ok(Reply::list("clusters", all));
    }
    let start = match request
        .query("page_token")
        .filter(|token| !token.is_empty())
    {
        None => 0,
        Some(token) => after_token(&shown, token)?,
    };
    let size = match request.number("page_size")? {
        None | Some(0) => world.clusters.page_cap,
        Some(size) => usize::try_from(size)
            .map_err(|_| ApiError::invalid("page_size must not be negative"))?
            .min(world.clusters.page_cap),
    };
    let end = (start + size).min(shown.len());
    let page: Vec<Value> = shown[start..end]
        .iter()
        .map(|cluster| view(world, cluster, now, false))
        .collect();
    let mut body = Map::new();
    if !page.is_empty() {
        body.insert("clusters".into(), Value::Array(page));
    }
    if end < shown.len() {
        body.insert(
            "next_page_token".into(),
            json!(format!("after:{}", shown[end - 1].id)),
        );
    }
    if start > 0 {
        let before = start.saturating_sub(size);
        let token = if before == 0 {
            "first".into()
        } else {
            format!("after:{}", shown[before - 1].id)
        };
        body.insert("prev_page_token".into(), json!(token));
    }
    Ok(Reply::json(Value::Object(body)))
}

/// Where the page of a token begins.
fn after_token(shown: &[&Cluster], token: &str) -> Result<usize, ApiError> {
    if token == "first" {
        return Ok(0);
    }
    let id = token.strip_prefix("after:");
    (shown
        .iter()
        .position(|cluster| Some(cluster.id.as_str()) == id)
        .map(|at| at + 1))
    .ok_or_else(|| ApiError::invalid(format!("Invalid page token: {token}")))
}

/// The `filter_by.*` parameters.
fn asked_for(cluster: &Cluster, request: &Request) -> bool {
    let among = |key: &str, value: &str| {
        let mut wanted = request
            .query
            .iter()
            .filter(|(name, _)| name == key)
            .peekable();
        wanted.peek().is_none() || wanted.any(|(_, wanted)| wanted == value)
    };
    let policy = cluster
        .spec
        .get("policy_id")
        .and_then(Value::as_str)
        .unwrap_or("");
    among("filter_by.cluster_sources", &cluster.source)
        && among("filter_by.cluster_states", cluster.phase.name())
        && among("filter_by.policy_id", policy)
        && among(
            "filter_by.is_pinned",
            if cluster.pinned_by.is_some() {
                "true"
            } else {
                "false"
            },
        )
}

fn sort(shown: &mut [&Cluster], request: &Request) {
    if request.query("sort_by.field") == Some("CLUSTER_NAME") {
        shown.sort_by(|a, b| a.name().cmp(b.name()).then(a.id.cmp(&b.id)));
        if request.query("sort_by.direction") != Some("ASC") {
            shown.reverse();
        }
    }
}

/// A cluster as `get` (`whole`) and `list` show it.
fn view(world: &World, cluster: &Cluster, now: i64, whole: bool) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("cluster_id", json!(cluster.id));
    if world.identities.caller_named(&cluster.creator).is_some() {
        put("creator_user_name", json!(cluster.creator));
    }
    if cluster.phase == Phase::Running {
        machines(cluster, world.clusters.reads, &mut put);
    }
    cluster
        .spec
        .iter()
        .for_each(|(name, value)| put(name, value.clone()));
    put("cluster_source", json!(cluster.source));
    put("state", json!(cluster.phase.name()));
    put("state_message", json!(message(cluster.phase)));
    put("start_time", json!(cluster.started_ms));
    if let Some(at) = cluster.terminated_ms {
        put("terminated_time", json!(at));
    }
    put("last_state_loss_time", json!(0));
    let activity = if cluster.phase == Phase::Running {
        now + world.clusters.reads
    } else {
        cluster.activity_ms
    };
    put("last_activity_time", json!(activity));
    put(
        "last_restarted_time",
        json!(cluster.restarted_ms.unwrap_or(cluster.started_ms)),
    );
    put("default_tags", default_tags(cluster));
    if let Some(reason) = &cluster.reason {
        put("termination_reason", reason.clone());
    }
    put("init_scripts_safe_mode", json!(false));
    match (&cluster.pinned_by, whole) {
        (_, true) => put("spec", Value::Object(cluster.asked.clone())),
        (Some(by), false) => put("pinned_by_user_name", json!(by)),
        (None, false) => {}
    }
    Value::Object(body)
}

fn message(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending(_) => {
            "Finding instances for new nodes, acquiring more instances if necessary"
        }
        Phase::Terminated => "Inactive cluster terminated",
        _ => "",
    }
}

/// What only a running cluster shows; the order of the executors changes from read to read.
fn machines(cluster: &Cluster, reads: i64, put: &mut impl FnMut(&str, Value)) {
    let node = |number: i64| {
        json!({
            "private_ip": format!("10.139.64.{}", 4 + number), "public_dns": "", "host_private_ip": format!("10.139.0.{}", 4 + number),
            "node_id": format!("{}{number:04x}", cluster.id.replace('-', "")), "instance_id": format!("{}{number:04x}", cluster.id),
            "start_timestamp": cluster.started_ms,
        })
    };
    let workers = cluster.workers();
    put("driver", node(0));
    if workers > 0 {
        let turned = (0..workers)
            .map(|number| node(1 + (number + reads) % workers))
            .collect();
        put("executors", Value::Array(turned));
    }
    put(
        "spark_context_id",
        json!(cluster.started_ms * 1000 + i64::from(cluster.starts)),
    );
    put("jdbc_port", json!(10_000));
    let type_name = cluster.spec.get("node_type_id").and_then(Value::as_str);
    if let Some(node_type) = NODE_TYPES
        .iter()
        .find(|node_type| Some(node_type.name) == type_name)
    {
        let machines = workers + 1;
        put(
            "cluster_memory_mb",
            json!(i64::from(node_type.memory_mb) * machines),
        );
        put(
            "cluster_cores",
            json!((i64::from(node_type.cores) * machines) as f64),
        );
    }
}

fn default_tags(cluster: &Cluster) -> Value {
    json!({"Vendor": "Databricks", "Creator": cluster.creator, "ClusterName": cluster.name(), "ClusterId": cluster.id})
}

#[cfg(test)]
mod tests;
