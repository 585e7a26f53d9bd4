//! Pools, policies, clusters and their libraries.

use serde_json::{Value, json};

use super::Filler;
use super::text::{SUBJECTS, TEAMS};
use crate::clock::EPOCH_MS;
use crate::clusters::{Phase, SPARK_VERSIONS};
use crate::http::Caller;
use crate::{clusters, policies, pools};

const DAY_MS: i64 = 86_400_000;

/// Fewer than the limit, so that a restore can pin all of them and some.
const MOST_PINS: usize = 90;

/// Machine types of the pools.
const POOL_NODES: [&str; 3] = ["Standard_DS3_v2", "Standard_DS4_v2", "Standard_E4ds_v4"];

/// Autotermination of the clusters; one in four has none.
const IDLE_MINUTES: [i64; 4] = [30, 60, 120, 0];

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    (0..filler.fill.pools).for_each(|number| pool(filler, number));
    (0..filler.fill.policies).for_each(|number| policy(filler, number));
    (0..filler.fill.clusters).for_each(|number| cluster(filler, number));
    if filler.fill.clusters > 0 {
        job_cluster(filler);
    }
}

/// The fields of a JSON object.
pub fn fields(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    }
}

/// A team's name with a number once all teams had one.
fn named(number: usize, what: &str) -> String {
    match number / TEAMS.len() {
        0 => format!("{} {what}", TEAMS[number]),
        round => format!("{} {what} {}", TEAMS[number % TEAMS.len()], round + 1),
    }
}

fn pool(filler: &mut Filler<'_>, number: usize) {
    let mut body = json!({
        "instance_pool_name": named(number, "pool"), "node_type_id": POOL_NODES[number % 3],
        "min_idle_instances": number % 3, "max_capacity": 20 + number, "idle_instance_autotermination_minutes": 15 + number % 4 * 15,
        "custom_tags": {"team": TEAMS[number % TEAMS.len()]},
    });
    if number.is_multiple_of(2) {
        body["preloaded_spark_versions"] = json!(["15.4.x-scala2.12"]);
        body["disk_spec"] = json!({"disk_type": {"azure_disk_volume_type": "PREMIUM_LRS"}, "disk_count": 1, "disk_size": 100});
    } else {
        body["azure_attributes"] =
            json!({"availability": "SPOT_AZURE", "spot_bid_max_price": 0.25});
    }
    let admin = filler.world.admin();
    let id = pools::place(filler.world, fields(body), &admin).expect("generated pools are valid");
    filler.pools.push(id);
}

fn policy(filler: &mut Filler<'_>, number: usize) {
    let mut body = json!({"name": named(number, "policy"), "description": format!("Clusters of {}", TEAMS[number % TEAMS.len()])});
    let pool = filler.one(|filler| &filler.pools);
    match (number % 4, pool) {
        (0, Some(pool)) => {
            let rules = json!({"instance_pool_id": {"type": "fixed", "value": pool, "hidden": true}, "autotermination_minutes": {"type": "range", "minValue": 10, "maxValue": 240, "isOptional": true}});
            body["definition"] = json!(rules.to_string());
        }
        (1, Some(pool)) => {
            let pools = json!([pool, filler.pools[0]]);
            let rules = json!({"instance_pool_id": {"type": "allowlist", "values": pools, "defaultValue": pool}, "num_workers": {"type": "range", "maxValue": 16, "isOptional": true}, "custom_tags.cost-centre": {"type": "fixed", "value": format!("cc-{number}")}});
            body["definition"] = json!(rules.to_string());
            body["max_clusters_per_user"] = json!(3);
        }
        (2, _) => {
            body["policy_family_id"] = json!("power-user");
            body["policy_family_definition_overrides"] = json!(
                json!({"autotermination_minutes": {"type": "fixed", "value": 60}}).to_string()
            );
        }
        _ => {
            let rules = json!({"spark_conf.spark.databricks.io.cache.enabled": {"type": "fixed", "value": "true"}, "node_type_id": {"type": "allowlist", "values": ["Standard_DS3_v2", "Standard_DS4_v2"], "defaultValue": "Standard_DS3_v2"}});
            body["definition"] = json!(rules.to_string());
            body["libraries"] = json!([{"pypi": {"package": "rich==13.7.1"}}]);
        }
    }
    let admin = filler.world.admin();
    let id =
        policies::place(filler.world, &fields(body), &admin).expect("generated policies are valid");
    filler.policies.push(id);
}

/// What every generated cluster has, before its kind adds to it.
fn basis(filler: &mut Filler<'_>, number: usize) -> Value {
    let version = SPARK_VERSIONS[filler.rng.usize(0..5)].0;
    json!({
        "cluster_name": named(number, "cluster"), "spark_version": version, "num_workers": filler.rng.u8(1..9),
        "autotermination_minutes": IDLE_MINUTES[number % 4],
        "custom_tags": {"team": TEAMS[number % TEAMS.len()], "stage": "production"},
    })
}

fn cluster(filler: &mut Filler<'_>, number: usize) {
    let mut body = basis(filler, number);
    shape(filler, number, &mut body);
    if number % 3 == 1
        && let Some(script) = filler.one(|filler| &filler.scripts)
    {
        let workspace = format!("/Shared/{}/init.sh", TEAMS[number % TEAMS.len()]);
        body["init_scripts"] = json!([{"dbfs": {"destination": format!("dbfs:{script}")}}, {"workspace": {"destination": workspace}}]);
        body["cluster_log_conf"] =
            json!({"dbfs": {"destination": format!("dbfs:/cluster-logs/{number}")}});
    }
    if let Some(scope) = filler.one(|filler| &filler.scopes)
        && number % 4 == 2
    {
        body["spark_conf"]["spark.hadoop.fs.azure.account.key"] =
            json!(format!("{{{{secrets/{scope}/storage-key}}}}"));
        body["spark_env_vars"] =
            json!({"PYSPARK_PYTHON": "/databricks/python3/bin/python3", "STAGE": "prod"});
    }
    let creator = filler.somebody();
    place(filler, number, &body, &creator);
}

/// What machines a cluster has and who decides.
fn shape(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    let (pool, policy) = (filler.one(|filler| &filler.pools), plain_policy(filler));
    match (number % 6, pool, policy) {
        (0, Some(pool), _) => body["instance_pool_id"] = json!(pool),
        (1, _, Some(policy)) => {
            body["policy_id"] = json!(policy);
            body["apply_policy_default_values"] = json!(true);
            body["node_type_id"] = json!("Standard_DS3_v2");
        }
        (2, ..) => {
            fields_mut(body, |fields| fields.remove("num_workers"));
            body["autoscale"] = json!({"min_workers": 1, "max_workers": 8});
            body["node_type_id"] = json!("Standard_DS4_v2");
            body["driver_node_type_id"] = json!("Standard_DS5_v2");
        }
        (3, ..) => {
            body["num_workers"] = json!(0);
            body["node_type_id"] = json!("Standard_DS3_v2");
            body["spark_conf"] = json!({"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"});
            body["custom_tags"]["ResourceClass"] = json!("SingleNode");
        }
        (4, ..) => {
            body["node_type_id"] = json!("Standard_E8ds_v4");
            body["data_security_mode"] = json!("SINGLE_USER");
            let user = filler
                .one(|filler| &filler.users)
                .unwrap_or_else(|| crate::ADMIN.to_owned());
            body["single_user_name"] = json!(user);
            body["runtime_engine"] = json!("PHOTON");
        }
        _ => {
            body["node_type_id"] = json!("Standard_D8ds_v5");
            body["azure_attributes"] = json!({"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1, "spot_bid_max_price": -1.0});
            body["data_security_mode"] = json!("USER_ISOLATION");
        }
    }
}

fn fields_mut<T>(value: &mut Value, change: impl FnOnce(&mut serde_json::Map<String, Value>) -> T) {
    if let Value::Object(fields) = value {
        change(fields);
    }
}

/// A policy that does not ask for a pool: each fourth one has rules on the node type only.
fn plain_policy(filler: &Filler<'_>) -> Option<String> {
    filler
        .policies
        .iter()
        .skip(3)
        .step_by(4)
        .next()
        .or_else(|| filler.policies.get(2))
        .cloned()
}

/// Puts the cluster down as it stands in a workspace that is in use: most at rest for days, many pinned, one running.
fn place(filler: &mut Filler<'_>, number: usize, body: &Value, creator: &Caller) {
    let pinned = number % 5 < 3 && filler.clusters.len() < MOST_PINS;
    let days = if pinned {
        filler.rng.i64(1..200)
    } else {
        filler.rng.i64(1..20)
    };
    let id = clusters::place(filler.world, body, creator, EPOCH_MS - days * DAY_MS)
        .expect("generated clusters are valid");
    if let Some(cluster) = filler.world.clusters.all.last_mut() {
        cluster.source = if number.is_multiple_of(2) {
            "UI"
        } else {
            "API"
        }
        .to_owned();
        cluster.pinned_by = pinned.then(|| crate::ADMIN.to_owned());
        if number % 10 == 2 {
            (cluster.phase, cluster.terminated_ms, cluster.reason) = (Phase::Running, None, None);
            (cluster.activity_ms, cluster.starts, cluster.runs) = (EPOCH_MS, 1, 1);
        }
    }
    libraries(filler, number, &id);
    filler.clusters.push(id);
}

fn libraries(filler: &mut Filler<'_>, number: usize, cluster: &str) {
    let mut list = Vec::new();
    if number.is_multiple_of(2) {
        list.extend(
            filler
                .one(|filler| &filler.jars)
                .map(|jar| json!({"jar": format!("dbfs:{jar}")})),
        );
        list.push(json!({"maven": {"coordinates": format!("com.contoso:{}:1.{number}", SUBJECTS[number % SUBJECTS.len()]), "exclusions": ["org.slf4j:slf4j-api"]}}));
    }
    if number.is_multiple_of(3) {
        list.extend(
            filler
                .one(|filler| &filler.wheels)
                .map(|wheel| json!({"whl": format!("dbfs:{wheel}")})),
        );
        list.push(json!({"pypi": {"package": format!("pandas==2.2.{}", number % 4)}}));
    }
    if number % 5 == 4 {
        list.push(json!({"cran": {"package": "forecast", "repo": "https://cran.r-project.org"}}));
    }
    list.into_iter()
        .for_each(|library| filler.world.libraries.install(cluster, library));
    if number % 7 == 6
        && let Some(library) = filler
            .world
            .libraries
            .by_cluster
            .get_mut(cluster)
            .and_then(|list| list.first_mut())
    {
        library.failing = true;
    }
}

/// What a run of a job leaves in the listing: no cluster of anybody's.
fn job_cluster(filler: &mut Filler<'_>) {
    let body = json!({"cluster_name": "job-1-run-1", "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 2});
    let creator = filler.world.admin();
    clusters::place(filler.world, &body, &creator, EPOCH_MS - 2 * DAY_MS)
        .expect("generated clusters are valid");
    if let Some(cluster) = filler.world.clusters.all.last_mut() {
        cluster.source = "JOB".to_owned();
    }
}
