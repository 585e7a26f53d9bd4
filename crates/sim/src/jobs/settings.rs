//! Settings of a job: what the service checks, the old form without tasks, and the defaults that it fills in.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::cron::Cron;
use crate::http::{ApiError, as_i64, opt_str};
use crate::world::World;

/// The fields that say what a task does.
pub const TASK_TYPES: &[&str] = &[
    "notebook_task",
    "spark_jar_task",
    "spark_python_task",
    "spark_submit_task",
    "python_wheel_task",
    "pipeline_task",
    "sql_task",
    "dbt_task",
    "run_job_task",
    "condition_task",
    "for_each_task",
    "dashboard_task",
    "alert_task",
    "power_bi_task",
    "clean_rooms_notebook_task",
    "dbt_cloud_task",
    "dbt_platform_task",
    "gen_ai_compute_task",
];

/// Fields of the old form that belong to the one task.
const OLD_TASK_FIELDS: &[&str] = &[
    "existing_cluster_id",
    "new_cluster",
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
];

/// Fields that reads show and writes ignore.
const IGNORED: &[&str] = &[
    "access_control_list",
    "idempotency_token",
    "format",
    "job_id",
];

const MOST_TASKS: usize = 1000;

/// Brings settings as sent into the stored form, checks them and fills in defaults. `version` of the API decides which
/// form is allowed; the second part of the answer says that it was the old one.
pub fn take(
    world: &World,
    mut sent: Map<String, Value>,
    version: &str,
) -> Result<(Map<String, Value>, bool), ApiError> {
    sent.retain(|name, value| !IGNORED.contains(&name.as_str()) && !value.is_null());
    let old_fields = sent.keys().any(|name| {
        OLD_TASK_FIELDS.contains(&name.as_str()) || TASK_TYPES.contains(&name.as_str())
    });
    if version == "2.0" && sent.contains_key("tasks") {
        return Err(ApiError::invalid(
            "Jobs with several tasks need API version 2.1",
        ));
    }
    if old_fields && version != "2.0" {
        return Err(ApiError::invalid(
            "Task settings on the level of the job are not supported: use tasks",
        ));
    }
    let single = version == "2.0";
    if single {
        into_task(&mut sent);
    }
    check(world, &sent)?;
    fill_defaults(&mut sent);
    Ok((sent, single))
}

/// Moves the task fields of the old form into one task.
fn into_task(settings: &mut Map<String, Value>) {
    let key: String = opt_str(settings, "name")
        .unwrap_or("Untitled")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(100)
        .collect();
    let mut task = Map::from_iter([("task_key".to_owned(), json!(key))]);
    for name in OLD_TASK_FIELDS.iter().chain(TASK_TYPES) {
        if let Some(value) = settings.remove(*name) {
            task.insert((*name).to_owned(), value);
        }
    }
    settings.insert("tasks".into(), json!([task]));
}

/// Fills in what the service shows although nobody sent it.
pub fn fill_defaults(settings: &mut Map<String, Value>) {
    for (name, value) in [
        ("name", json!("Untitled")),
        ("email_notifications", json!({})),
        ("webhook_notifications", json!({})),
        ("timeout_seconds", json!(0)),
        ("max_concurrent_runs", json!(1)),
    ] {
        settings.entry(name).or_insert(value);
    }
    settings.insert("format".into(), json!("MULTI_TASK"));
    for task in settings
        .get_mut("tasks")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        task_defaults(task);
    }
    for cluster in settings
        .get_mut("job_clusters")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        cluster
            .as_object_mut()
            .into_iter()
            .for_each(hide_policy_switch);
    }
}

fn task_defaults(task: &mut Value) {
    let Some(task) = task.as_object_mut() else {
        return;
    };
    for (name, value) in [
        ("run_if", json!("ALL_SUCCESS")),
        ("timeout_seconds", json!(0)),
        ("email_notifications", json!({})),
        ("webhook_notifications", json!({})),
    ] {
        task.entry(name).or_insert(value);
    }
    if let Some(Value::Object(inner)) = task.get_mut("notebook_task") {
        inner.entry("source").or_insert(json!("WORKSPACE"));
    }
    if let Some(inner) = task
        .get_mut("for_each_task")
        .and_then(|block| block.get_mut("task"))
    {
        task_defaults(inner);
    }
    hide_policy_switch(task);
}

/// Reads never show `apply_policy_default_values` in a `new_cluster`.
fn hide_policy_switch(holder: &mut Map<String, Value>) {
    if let Some(Value::Object(cluster)) = holder.get_mut("new_cluster") {
        cluster.remove("apply_policy_default_values");
    }
}

fn check(world: &World, settings: &Map<String, Value>) -> Result<(), ApiError> {
    let bytes = |field: &str| opt_str(settings, field).map_or(0, str::len);
    if bytes("name") > 4096 || bytes("description") > 27_700 {
        return Err(ApiError::invalid(
            "name may have 4096 bytes, description 27700",
        ));
    }
    if settings
        .get("tags")
        .and_then(Value::as_object)
        .is_some_and(|tags| tags.len() > 25)
    {
        return Err(ApiError::invalid("A job can have at most 25 tags"));
    }
    if settings
        .get("max_concurrent_runs")
        .is_some_and(|runs| as_i64(runs).is_none_or(|runs| !(0..=1000).contains(&runs)))
    {
        return Err(ApiError::invalid(
            "max_concurrent_runs must be between 0 and 1000",
        ));
    }
    check_starts(settings)?;
    check_git(settings)?;
    check_run_as(world, settings)?;
    check_webhooks(settings)?;
    check_tasks(world, settings)
}

fn check_starts(settings: &Map<String, Value>) -> Result<(), ApiError> {
    if settings.contains_key("continuous")
        && (settings.contains_key("schedule") || settings.contains_key("trigger"))
    {
        return Err(ApiError::invalid(
            "A continuous job cannot have a schedule or a trigger",
        ));
    }
    for block in ["schedule", "continuous", "trigger"] {
        let pause = settings
            .get(block)
            .and_then(|block| block.get("pause_status"));
        if pause.is_some_and(|pause| !matches!(pause.as_str(), Some("PAUSED" | "UNPAUSED"))) {
            return Err(ApiError::invalid(format!(
                "Unknown pause_status in {block}"
            )));
        }
    }
    let Some(schedule) = settings.get("schedule") else {
        return Ok(());
    };
    let text = |field: &str| schedule.get(field).and_then(Value::as_str).unwrap_or("");
    if Cron::parse(text("quartz_cron_expression")).is_none() {
        return Err(ApiError::invalid(format!(
            "Invalid quartz_cron_expression: '{}'",
            text("quartz_cron_expression")
        )));
    }
    if text("timezone_id").is_empty() {
        return Err(ApiError::invalid(
            "Missing required field: settings.schedule.timezone_id",
        ));
    }
    Ok(())
}

fn check_git(settings: &Map<String, Value>) -> Result<(), ApiError> {
    let Some(git) = settings.get("git_source") else {
        return Ok(());
    };
    for field in ["git_url", "git_provider"] {
        if git
            .get(field)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err(ApiError::invalid(format!(
                "git_source.{field}: the {} must be given",
                field.replace("git_", "")
            )));
        }
    }
    Ok(())
}

fn check_run_as(world: &World, settings: &Map<String, Value>) -> Result<(), ApiError> {
    let Some(run_as) = settings.get("run_as") else {
        return Ok(());
    };
    let names: Vec<&str> = ["user_name", "service_principal_name", "group_name"]
        .iter()
        .filter_map(|field| run_as.get(field).and_then(Value::as_str))
        .collect();
    let [name] = names[..] else {
        return Err(ApiError::invalid(
            "run_as must name exactly one of user_name, service_principal_name and group_name",
        ));
    };
    if run_as.get("group_name").is_none() && world.identities.caller_named(name).is_none() {
        return Err(ApiError::invalid(format!(
            "run_as: {name} does not exist or is not assigned to this workspace"
        )));
    }
    Ok(())
}

fn check_webhooks(settings: &Map<String, Value>) -> Result<(), ApiError> {
    let events = settings
        .get("webhook_notifications")
        .and_then(Value::as_object);
    match events
        .into_iter()
        .flatten()
        .find(|(_, list)| list.as_array().is_some_and(|list| list.len() > 3))
    {
        Some((event, _)) => Err(ApiError::invalid(format!(
            "webhook_notifications.{event}: at most 3 destinations are allowed"
        ))),
        None => Ok(()),
    }
}

fn check_tasks(world: &World, settings: &Map<String, Value>) -> Result<(), ApiError> {
    let list = |name: &str| {
        settings
            .get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let (tasks, clusters) = (list("tasks"), list("job_clusters"));
    if tasks.len() > MOST_TASKS {
        return Err(ApiError::invalid(format!(
            "A job can have at most {MOST_TASKS} tasks, but has {}",
            tasks.len()
        )));
    }
    let known = Known {
        clusters: keys(clusters, "job_cluster_key")?,
        environments: keys(list("environments"), "environment_key")?,
        git: settings.contains_key("git_source"),
    };
    for cluster in clusters {
        if let Some(new_cluster) = cluster.get("new_cluster") {
            check_cluster(world, new_cluster)?;
        }
    }
    let task_keys = keys(tasks, "task_key")?;
    for task in tasks {
        let key = task["task_key"].as_str().unwrap_or("");
        for needed in task
            .get("depends_on")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let needed = needed["task_key"].as_str().unwrap_or("");
            if !task_keys.contains(needed) || needed == key {
                return Err(ApiError::invalid(format!(
                    "Task {key} depends on the unknown task {needed}"
                )));
            }
        }
        check_task(world, task, &known)?;
    }
    Ok(())
}

/// The keys of a list, none missing, none twice.
fn keys<'a>(list: &'a [Value], field: &str) -> Result<HashSet<&'a str>, ApiError> {
    let mut found = HashSet::new();
    for element in list {
        let key = element.get(field).and_then(Value::as_str).unwrap_or("");
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if key.is_empty() || key.chars().count() > 100 || !key.chars().all(plain) {
            return Err(ApiError::invalid(format!(
                "The {field} '{key}' must have 1 to 100 letters, digits, '-' or '_'"
            )));
        }
        if !found.insert(key) {
            return Err(ApiError::invalid(format!(
                "The {field} {key} is used twice"
            )));
        }
    }
    Ok(found)
}

/// The keys that tasks may name.
struct Known<'a> {
    clusters: HashSet<&'a str>,
    environments: HashSet<&'a str>,
    git: bool,
}

fn check_task(world: &World, task: &Value, known: &Known<'_>) -> Result<(), ApiError> {
    let key = task["task_key"].as_str().unwrap_or("");
    let types: Vec<&str> = TASK_TYPES
        .iter()
        .copied()
        .filter(|name| task.get(name).is_some())
        .collect();
    let [kind] = types[..] else {
        return Err(ApiError::invalid(format!(
            "Task {key} must have exactly one task type, but has {}",
            types.len()
        )));
    };
    check_compute(task, known)?;
    if let Some(cluster) = task.get("new_cluster") {
        check_cluster(world, cluster)?;
    }
    let libraries = task.get("libraries").and_then(Value::as_array);
    libraries
        .into_iter()
        .flatten()
        .try_for_each(crate::libraries::check_library)?;
    check_type(world, key, kind, &task[kind], known)
}

/// Where a task runs: at most one place, and a known one.
fn check_compute(task: &Value, known: &Known<'_>) -> Result<(), ApiError> {
    let key = task["task_key"].as_str().unwrap_or("");
    let places = [
        "existing_cluster_id",
        "new_cluster",
        "job_cluster_key",
        "environment_key",
    ];
    let named: Vec<&str> = places
        .into_iter()
        .filter(|name| task.get(name).is_some())
        .collect();
    if named.len() > 1 {
        let named = named.join(", ");
        return Err(ApiError::invalid(format!(
            "Task {key} names more than one of {named}"
        )));
    }
    for (field, keys) in [
        ("job_cluster_key", &known.clusters),
        ("environment_key", &known.environments),
    ] {
        if let Some(name) = task.get(field).and_then(Value::as_str)
            && !keys.contains(name)
        {
            return Err(ApiError::invalid(format!(
                "Task {key} names the unknown {field} {name}"
            )));
        }
    }
    Ok(())
}

/// What a task does, `block` being the field of its type.
fn check_type(
    world: &World,
    key: &str,
    kind: &str,
    block: &Value,
    known: &Known<'_>,
) -> Result<(), ApiError> {
    let refuse = |why: String| Err(ApiError::invalid(format!("Task {key}: {why}")));
    match kind {
        "run_job_task" => {
            let job = block.get("job_id").and_then(as_i64).unwrap_or(0);
            if !world.jobs.all.contains_key(&job) {
                return refuse(format!("run_job_task: Job {job} does not exist."));
            }
        }
        "for_each_task" => match block.get("task") {
            None => return refuse("for_each_task needs a task".into()),
            Some(inner) if inner.get("for_each_task").is_some() => {
                return refuse("for_each_task cannot hold another for_each_task".into());
            }
            Some(inner) => check_task(world, inner, known)?,
        },
        "notebook_task" => {
            let source = block.get("source").and_then(Value::as_str);
            if source == Some("GIT") && !known.git {
                return refuse("the notebook is from git, but the job has no git_source".into());
            }
            if block
                .get("notebook_path")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                return refuse("Missing required field: notebook_path".into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// The checks of a cluster of its own, after what its policy fills in.
fn check_cluster(world: &World, cluster: &Value) -> Result<(), ApiError> {
    let inside = |error: ApiError| {
        ApiError::invalid(format!("Cluster validation error: {}", error.message()))
    };
    let mut spec = crate::clusters::writable(cluster);
    if let Some(id) = opt_str(&spec, "policy_id").map(str::to_owned) {
        let defaults = cluster
            .get("apply_policy_default_values")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        crate::policies::apply(world, &id, &mut spec, defaults).map_err(inside)?;
    }
    crate::clusters::check_spec(&world.clusters, &spec).map_err(inside)?;
    for field in ["instance_pool_id", "driver_instance_pool_id"] {
        if let Some(id) = opt_str(&spec, field) {
            crate::pools::node_type(world, id).map_err(inside)?;
        }
    }
    Ok(())
}
