//! Calls that change jobs: create, reset, update, delete, run-now.

use serde_json::{Map, Value, json};

use super::{Job, settings, target};
use crate::http::{ApiError, Caller, Reply, Request, need_i64, opt_str};
use crate::permissions::{Entries, Principal, segment};
use crate::route::Route;
use crate::world::World;

/// The arrays that `update` merges, and the key of their elements.
const MERGED: &[(&str, &str)] = &[("tasks", "task_key"), ("job_clusters", "job_cluster_key")];

pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/2.0|2.1|2.2/jobs/create", create),
        Route::post("/api/2.0|2.1|2.2/jobs/reset", reset),
        Route::post("/api/2.0|2.1|2.2/jobs/update", update),
        Route::post("/api/2.0|2.1|2.2/jobs/delete", delete),
        Route::post("/api/2.0|2.1|2.2/jobs/run-now", run_now),
    ]
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let now = world.clock.now_ms();
    limit(world, now)?;
    let entries = entries(&body, request)?;
    let id = place(world, body, request.version(), &request.caller)?;
    world.jobs.recent.push_back(now);
    if let (Some(entries), Some(segment)) = (entries, segment("jobs")) {
        world.acls.replace(segment, &id.to_string(), entries);
    }
    Ok(Reply::json(json!({"job_id": id})))
}

/// Adds a job, checked as every other; a continuous one that is not paused starts at once. The answer is its id.
pub(crate) fn place(
    world: &mut World,
    body: Map<String, Value>,
    version: &str,
    creator: &Caller,
) -> Result<i64, ApiError> {
    let (settings, single) = settings::take(world, body, version)?;
    let (now, id) = (world.clock.now_ms(), world.ids.number());
    let mut job = Job::new(id, settings, &creator.name, now);
    job.single = single;
    job.tick(now);
    world.jobs.all.insert(id, job);
    world.acls.created("jobs", &id.to_string(), creator);
    Ok(id)
}

/// The limits on the number of jobs: per hour, and at all.
fn limit(world: &mut World, now: i64) -> Result<(), ApiError> {
    let jobs = &mut world.jobs;
    while jobs.recent.front().is_some_and(|at| now - at >= 3_600_000) {
        jobs.recent.pop_front();
    }
    if jobs.recent.len() >= jobs.hourly_limit {
        let text = format!(
            "There were already {} jobs created in past 3600 seconds, exceeding rate limit: {} job creations per 3600 seconds.",
            jobs.recent.len(),
            jobs.hourly_limit
        );
        return Err(ApiError::invalid_state(text));
    }
    if jobs.all.len() >= jobs.quota {
        return Err(ApiError::new(
            400,
            "QUOTA_EXCEEDED",
            format!(
                "The quota for the number of jobs has been reached. The current quota is {}.",
                jobs.quota
            ),
        ));
    }
    Ok(())
}

/// The direct permissions that `access_control_list` asks for; the creator owns the job unless somebody else does.
fn entries(body: &Map<String, Value>, request: &Request) -> Result<Option<Entries>, ApiError> {
    let Some(list) = body.get("access_control_list").and_then(Value::as_array) else {
        return Ok(None);
    };
    let levels = segment("jobs").map_or(&[][..], |segment| segment.levels);
    let mut entries = Entries::new();
    for entry in list {
        let name = |field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
        let principal = (name("user_name").map(Principal::User))
            .or_else(|| name("group_name").map(Principal::Group))
            .or_else(|| name("service_principal_name").map(Principal::ServicePrincipal))
            .ok_or_else(|| ApiError::invalid("access_control_list: an entry names no principal"))?;
        let level = name("permission_level").unwrap_or_default();
        let known = levels.iter().find(|known| **known == level);
        let known = known.ok_or_else(|| {
            ApiError::invalid(format!(
                "'{level}' is not a valid permission level for jobs"
            ))
        })?;
        entries.insert(principal, *known);
    }
    match entries
        .values()
        .filter(|level| **level == "IS_OWNER")
        .count()
    {
        0 => {
            entries.insert((&request.caller).into(), "IS_OWNER");
        }
        1 => {}
        _ => return Err(ApiError::invalid("The job must have exactly one owner.")),
    }
    Ok(Some(entries))
}

/// Gives a job new settings; runs until now count under the old ones, and a continuous job starts under the new ones.
fn store(world: &mut World, id: i64, settings: Map<String, Value>, single: bool) -> Reply {
    let now = world.clock.now_ms();
    if let Some(job) = world.jobs.all.get_mut(&id) {
        job.tick(now);
        job.settings = settings;
        job.single = single;
        job.tick(now);
    }
    Reply::empty_object()
}

fn reset(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = target(world, request, need_i64(&body, "job_id")?, "CAN_MANAGE")?;
    let Some(Value::Object(mut wanted)) = body.get("new_settings").cloned() else {
        return Err(ApiError::invalid("Missing required field: new_settings"));
    };
    if let Some(run_as) = world.jobs.all[&id].settings.get("run_as") {
        wanted.entry("run_as").or_insert(run_as.clone());
    }
    let (settings, single) = settings::take(world, wanted, request.version())?;
    Ok(store(world, id, settings, single))
}

fn update(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = target(world, request, need_i64(&body, "job_id")?, "CAN_MANAGE")?;
    let job = &world.jobs.all[&id];
    let (mut wanted, single) = (job.settings.clone(), job.single);
    for (name, value) in body
        .get("new_settings")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        match MERGED.iter().find(|(merged, _)| merged == name) {
            Some((_, key)) => merge(&mut wanted, name, key, value),
            None => {
                wanted.insert(name.clone(), value.clone());
            }
        }
    }
    for field in body
        .get("fields_to_remove")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        remove(&mut wanted, field);
    }
    let (settings, _) = settings::take(world, wanted, "2.2")?;
    Ok(store(world, id, settings, single))
}

/// Replaces the elements of an array that have the same key and adds the others.
fn merge(settings: &mut Map<String, Value>, name: &str, key: &str, changes: &Value) {
    let Value::Array(list) = settings.entry(name).or_insert_with(|| json!([])) else {
        return;
    };
    for change in changes.as_array().into_iter().flatten() {
        match list.iter_mut().find(|element| element[key] == change[key]) {
            Some(element) => *element = change.clone(),
            None => list.push(change.clone()),
        }
    }
}

/// Removes a top-level field, or one task or job cluster: `tasks/<key>`.
fn remove(settings: &mut Map<String, Value>, field: &str) {
    let Some((name, element)) = field.split_once('/') else {
        settings.remove(field);
        return;
    };
    let key = MERGED
        .iter()
        .find(|(merged, _)| *merged == name)
        .map(|(_, key)| *key);
    if let (Some(key), Some(Value::Array(list))) = (key, settings.get_mut(name)) {
        list.retain(|entry| opt_str_of(entry, key) != Some(element));
    }
}

fn opt_str_of<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.as_object().and_then(|object| opt_str(object, key))
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = target(world, request, need_i64(&body, "job_id")?, "CAN_MANAGE")?;
    let now = world.clock.now_ms();
    if let Some(mut job) = world.jobs.all.remove(&id) {
        job.tick(now);
        world.jobs.deleted.insert(id, job);
    }
    Ok(Reply::empty_object())
}

fn run_now(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = target(world, request, need_i64(&body, "job_id")?, "CAN_MANAGE_RUN")?;
    let (now, run_id) = (world.clock.now_ms(), world.ids.number());
    if let Some(job) = world.jobs.all.get_mut(&id) {
        job.tick(now);
        job.runs.add(1, now);
    }
    Ok(Reply::json(
        json!({"run_id": run_id, "number_in_job": run_id}),
    ))
}
