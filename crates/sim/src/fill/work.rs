//! Jobs: tasks of many types that refer to clusters, pools, policies, notebooks, files and each other.

use serde_json::{Value, json};

use super::Filler;
use super::compute::fields;
use super::text::{SUBJECTS, TEAMS, VERBS, pick};
use crate::jobs;

/// Tasks of the one job that does not fit into one page.
const WIDE: usize = 130;

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    for number in 0..filler.fill.jobs {
        let (verb, subject) = (
            pick(&mut filler.rng, VERBS),
            pick(&mut filler.rng, SUBJECTS),
        );
        let mut body = json!({"name": format!("{verb} {subject} {number}"), "tags": {"team": TEAMS[number % TEAMS.len()]}});
        tasks(filler, number, &mut body);
        starts(filler, number, &mut body);
        further(filler, number, &mut body);
        add(filler, body);
    }
}

/// Adds one job under any creator.
pub fn add(filler: &mut Filler<'_>, body: Value) -> i64 {
    let creator = filler.somebody();
    let id =
        jobs::place(filler.world, fields(body), "2.2", &creator).expect("generated jobs are valid");
    filler.jobs.push(id);
    id
}

/// A notebook's path, or one that nobody made when there are none.
fn notebook(filler: &mut Filler<'_>) -> String {
    filler
        .one(|filler| &filler.notebooks)
        .map_or_else(|| "/Shared/missing".to_owned(), |(path, _)| path)
}

/// A cluster for a task alone; a pool or a policy decides its machines when there is one.
fn new_cluster(filler: &mut Filler<'_>, number: usize) -> Value {
    let mut body = json!({"spark_version": "15.4.x-scala2.12", "num_workers": 1 + number % 6, "custom_tags": {"job": format!("{number}")}});
    let (pool, policy) = (
        filler.one(|filler| &filler.pools),
        filler.policies.first().cloned(),
    );
    match (number % 3, pool, policy) {
        (0, Some(pool), _) => body["instance_pool_id"] = json!(pool),
        // The first policy fixes a pool when there are pools.
        (1, Some(_), Some(policy)) => body["policy_id"] = json!(policy),
        _ => {
            body["node_type_id"] = json!("Standard_DS3_v2");
            body["azure_attributes"] = json!({"availability": "ON_DEMAND_AZURE", "first_on_demand": 1, "spot_bid_max_price": -1.0});
        }
    }
    if number % 4 == 2
        && let Some(script) = filler.one(|filler| &filler.scripts)
    {
        body["init_scripts"] = json!([{"dbfs": {"destination": format!("dbfs:{script}")}}]);
    }
    body
}

/// A task on an all-purpose cluster, or on one of its own when there is none.
fn placed(filler: &mut Filler<'_>, number: usize, mut task: Value) -> Value {
    match filler.one(|filler| &filler.clusters) {
        Some(cluster) => task["existing_cluster_id"] = json!(cluster),
        None => task["new_cluster"] = new_cluster(filler, number),
    }
    task
}

fn tasks(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    let path = notebook(filler);
    let main = json!({"task_key": "main", "notebook_task": {"notebook_path": path, "base_parameters": {"run": format!("{number}")}}});
    match number % 10 {
        1 => shared_cluster(filler, number, body),
        2 | 7 => {
            let mut task = main;
            task["new_cluster"] = new_cluster(filler, number);
            body["tasks"] = json!([task]);
        }
        3 if number == 3 => wide(filler, body),
        3 => {
            let task = program(filler);
            body["tasks"] = json!([placed(filler, number, task)]);
        }
        4 => {
            let mut task = json!({"task_key": "jar", "new_cluster": new_cluster(filler, number), "spark_jar_task": {"main_class_name": "com.contoso.Main", "parameters": ["--day", "2026-01-01"]}});
            task["libraries"] = jar(filler);
            body["tasks"] = json!([task]);
        }
        5 if !filler.jobs.is_empty() => chain(filler, number, body, main),
        6 => {
            let path = notebook(filler);
            let inner = placed(
                filler,
                number,
                json!({"task_key": "each_region", "notebook_task": {"notebook_path": path}}),
            );
            body["tasks"] = json!([{"task_key": "regions", "for_each_task": {"inputs": "[\"emea\",\"apac\"]", "concurrency": 2, "task": inner}}]);
        }
        8 => {
            body["git_source"] = json!({"git_url": format!("https://github.com/contoso-example/jobs-{number}.git"), "git_provider": "gitHub", "git_branch": "main"});
            body["tasks"] = json!([placed(
                filler,
                number,
                json!({"task_key": "git", "notebook_task": {"notebook_path": "jobs/main", "source": "GIT"}})
            )]);
        }
        9 => wheel(filler, number, body),
        _ => body["tasks"] = json!([placed(filler, number, main)]),
    }
}

fn program(filler: &mut Filler<'_>) -> Value {
    let program = filler
        .one(|filler| &filler.programs)
        .unwrap_or_else(|| "/FileStore/programs/none.py".to_owned());
    json!({"task_key": "program", "spark_python_task": {"python_file": format!("dbfs:{program}"), "parameters": ["--fast"]}})
}

fn jar(filler: &mut Filler<'_>) -> Value {
    let jar = filler
        .one(|filler| &filler.jars)
        .unwrap_or_else(|| "/FileStore/jars/none.jar".to_owned());
    json!([{"jar": format!("dbfs:{jar}")}])
}

/// Three tasks after one another on a cluster that they share, and a condition.
fn shared_cluster(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    body["job_clusters"] =
        json!([{"job_cluster_key": "shared", "new_cluster": new_cluster(filler, number)}]);
    let mut list = Vec::new();
    for key in ["extract", "transform", "load"] {
        let path = notebook(filler);
        list.push(json!({"task_key": key, "job_cluster_key": "shared", "notebook_task": {"notebook_path": path}, "max_retries": 1}));
    }
    list[1]["depends_on"] = json!([{"task_key": "extract"}]);
    list[2]["depends_on"] = json!([{"task_key": "any_rows", "outcome": "true"}]);
    list.push(json!({"task_key": "any_rows", "depends_on": [{"task_key": "transform"}], "condition_task": {"op": "GREATER_THAN", "left": "{{tasks.transform.values.rows}}", "right": "0"}}));
    body["tasks"] = json!(list);
    body["parameters"] =
        json!([{"name": "day", "default": "today"}, {"name": "region", "default": "emea"}]);
}

/// More tasks than one page of `jobs/get` holds.
fn wide(filler: &mut Filler<'_>, body: &mut Value) {
    body["job_clusters"] =
        json!([{"job_cluster_key": "wide", "new_cluster": new_cluster(filler, 0)}]);
    let list: Vec<Value> = (0..WIDE)
        .map(|step| {
            let path = notebook(filler);
            let mut task = json!({"task_key": format!("step_{step:03}"), "job_cluster_key": "wide", "notebook_task": {"notebook_path": path}});
            if step > 0 {
                task["depends_on"] = json!([{"task_key": format!("step_{:03}", (step - 1) / 2)}]);
            }
            task
        })
        .collect();
    body["tasks"] = json!(list);
}

/// A job that starts an earlier one, which may do the same.
fn chain(filler: &mut Filler<'_>, number: usize, body: &mut Value, main: Value) {
    let earlier = match number {
        15.. => filler.jobs[number - 10],
        _ => filler.jobs[filler.rng.usize(0..filler.jobs.len())],
    };
    let first = placed(filler, number, main);
    body["tasks"] = json!([first, {"task_key": "then", "depends_on": [{"task_key": "main"}], "run_job_task": {"job_id": earlier, "job_parameters": {"from": format!("{number}")}}}]);
}

/// A wheel on serverless compute, and the same on a cluster.
fn wheel(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    let wheel = filler
        .one(|filler| &filler.wheels)
        .unwrap_or_else(|| "/FileStore/wheels/none.whl".to_owned());
    let dependency = filler.one(|filler| &filler.files).map_or_else(
        || "rich".to_owned(),
        |(path, _)| format!("/Workspace{path}"),
    );
    body["environments"] = json!([{"environment_key": "default", "spec": {"client": "2", "dependencies": [dependency, "rich==13.7.1"]}}]);
    let task = |key: &str| json!({"task_key": key, "python_wheel_task": {"package_name": "tools", "entry_point": "main"}});
    let (mut serverless, mut classic) =
        (task("serverless"), placed(filler, number, task("classic")));
    serverless["environment_key"] = json!("default");
    classic["libraries"] = json!([{"whl": format!("dbfs:{wheel}")}]);
    body["tasks"] = json!([serverless, classic]);
}

/// What starts the job by itself: paused, unpaused, and unpaused by not saying so.
fn starts(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    let pause = match number / 3 % 3 {
        0 => Some("UNPAUSED"),
        1 => Some("PAUSED"),
        _ => None,
    };
    let (block, mut value) = match number % 12 {
        4 => ("continuous", json!({})),
        7 => (
            "trigger",
            json!({"periodic": {"interval": 6, "unit": "HOURS"}}),
        ),
        9 => (
            "trigger",
            json!({"file_arrival": {"url": format!("abfss://landing@contoso.dfs.core.windows.net/{number}/")}}),
        ),
        1 | 5 | 11 => return,
        _ => {
            let (minute, hour) = (filler.rng.u8(0..60), filler.rng.u8(0..24));
            let day = if number.is_multiple_of(2) {
                "* * ?"
            } else {
                "? * MON-FRI"
            };
            (
                "schedule",
                json!({"quartz_cron_expression": format!("0 {minute} {hour} {day}"), "timezone_id": "Europe/Berlin"}),
            )
        }
    };
    if let Some(pause) = pause {
        value["pause_status"] = json!(pause);
    }
    body[block] = value;
}

/// Who runs it, who is told, and how often at once.
fn further(filler: &mut Filler<'_>, number: usize, body: &mut Value) {
    if number % 4 == 1
        && let Some(user) = filler.one(|filler| &filler.users)
    {
        body["email_notifications"] =
            json!({"on_failure": [user], "no_alert_for_skipped_runs": true});
    }
    if number % 5 == 2
        && let Some(runner) = filler.one(|filler| &filler.service_principals)
    {
        body["run_as"] = json!({"service_principal_name": runner});
    } else if number % 7 == 3
        && let Some(user) = filler.one(|filler| &filler.users)
    {
        body["run_as"] = json!({"user_name": user});
    }
    if number.is_multiple_of(6) {
        body["max_concurrent_runs"] = json!(3);
        body["timeout_seconds"] = json!(7200);
        body["queue"] = json!({"enabled": true});
        body["health"] = json!({"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}]});
    }
    if number % 8 == 2 {
        body["description"] = json!("Kept by the data platform team; ask before changing.");
    }
}
