//! Jobs (`/api/2.0`, `2.1` and `2.2` of `/jobs`): state and reading calls.
//!
//! Writing calls are in `write`, what settings may hold in `settings`, when a job starts by itself in `runs`.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Reply, Request};
use crate::permissions::{Principal, may};
use crate::route::Route;
use crate::world::World;

mod cron;
mod runs;
mod settings;
mod write;

pub(crate) use settings::fill_defaults;
pub(crate) use write::place;

/// Elements of one array of a job in one reply.
const PAGE: usize = 100;

/// The arrays of a job that are cut into pages.
const PAGED: &[&str] = &["tasks", "job_clusters", "parameters", "environments"];

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// `job_id`
    pub id: i64,
    /// Settings in the form with tasks, the service's defaults filled in.
    pub settings: Map<String, Value>,
    /// Made through API 2.0 without tasks: 2.0 shows it so again.
    pub single: bool,
    /// User name or application id.
    pub creator: String,
    /// Epoch milliseconds.
    pub created_ms: i64,
    /// What ran.
    pub runs: runs::Runs,
}

impl Job {
    /// A job that never ran.
    #[must_use]
    pub fn new(id: i64, settings: Map<String, Value>, creator: &str, now: i64) -> Self {
        let runs = runs::Runs::from(now);
        Self {
            id,
            settings,
            single: false,
            creator: creator.to_owned(),
            created_ms: now,
            runs,
        }
    }

    /// `settings.name`
    #[must_use]
    pub fn name(&self) -> &str {
        self.settings
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// What starts it by itself now: `schedule`, `continuous`, `trigger`, unless paused.
    #[must_use]
    pub fn armed(&self) -> Option<&'static str> {
        ["schedule", "continuous", "trigger"]
            .into_iter()
            .find(|name| {
                self.settings.get(*name).is_some_and(|block| {
                    block.get("pause_status").and_then(Value::as_str) != Some("PAUSED")
                })
            })
    }
}

/// All jobs.
#[derive(Debug)]
pub struct Jobs {
    /// By id, hence in the order of creation.
    pub all: BTreeMap<i64, Job>,
    /// Deleted jobs: their access control outlives them, and their runs have cost money.
    pub deleted: BTreeMap<i64, Job>,
    /// Jobs that may be created in one hour.
    pub hourly_limit: usize,
    /// Jobs that a workspace may hold.
    pub quota: usize,
    /// When the jobs of the last hour were created.
    recent: VecDeque<i64>,
}

impl Default for Jobs {
    fn default() -> Self {
        let (all, deleted, recent) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self {
            all,
            deleted,
            hourly_limit: 10_000,
            quota: 10_000,
            recent,
        }
    }
}

impl Jobs {
    /// Lets time pass: counts the runs that started by themselves.
    pub fn tick(&mut self, now: i64) {
        self.all.values_mut().for_each(|job| job.tick(now));
    }
}

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/api/2.0|2.1|2.2/jobs/list", list),
        Route::get("/api/2.0|2.1|2.2/jobs/get", get),
    ];
    routes.extend(write::routes());
    routes
}

fn missing(id: &str) -> ApiError {
    ApiError::invalid(format!("Job {id} does not exist."))
}

/// Refuses as `jobs/get` does when the id is unknown: the permissions API asks here. Access control of a deleted job stays.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE`.
pub fn check(world: &World, id: &str) -> Result<(), ApiError> {
    let known = |id| world.jobs.all.contains_key(&id) || world.jobs.deleted.contains_key(&id);
    if id.parse().is_ok_and(known) {
        Ok(())
    } else {
        Err(missing(id))
    }
}

/// An id as the caller sent it, when the caller may do `level`; a stranger's call is refused before the job is looked up.
fn target(world: &World, request: &Request, id: i64, level: &str) -> Result<i64, ApiError> {
    if !request.caller.admin && !may(world, &request.caller, "jobs", &id.to_string(), level) {
        return Err(ApiError::denied(format!(
            "User {} does not have {level} permission on job {id}",
            request.caller.name
        )));
    }
    if world.jobs.all.contains_key(&id) {
        Ok(id)
    } else {
        Err(missing(&id.to_string()))
    }
}

/// Whose rights the job runs with: `run_as`, else the owner, else the creator.
fn runs_as(world: &World, job: &Job) -> String {
    if let Some(Value::Object(run_as)) = job.settings.get("run_as")
        && let Some(name) = run_as.values().find_map(Value::as_str)
    {
        return name.to_owned();
    }
    let owner = world
        .acls
        .direct("jobs", &job.id.to_string())
        .into_iter()
        .find(|(_, level)| *level == "IS_OWNER");
    match owner {
        Some((Principal::User(name) | Principal::ServicePrincipal(name), _)) => name,
        _ => job.creator.clone(),
    }
}

fn head(world: &World, job: &Job, settings: Map<String, Value>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("job_id".into(), json!(job.id));
    if world.identities.caller_named(&job.creator).is_some() {
        body.insert("creator_user_name".into(), json!(job.creator));
    }
    body.insert("settings".into(), Value::Object(settings));
    body.insert("created_time".into(), json!(job.created_ms));
    body
}

/// Settings as API 2.0 shows them: flat for its own jobs, without tasks for all others.
fn old_form(job: &Job) -> Map<String, Value> {
    let mut settings = job.settings.clone();
    let tasks = settings.remove("tasks");
    if !job.single {
        settings.remove("job_clusters");
        return settings;
    }
    settings.insert("format".into(), json!("SINGLE_TASK"));
    if let Some(Value::Object(task)) = tasks.as_ref().and_then(|tasks| tasks.get(0)) {
        for (name, value) in task {
            if !matches!(
                name.as_str(),
                "task_key" | "run_if" | "email_notifications" | "webhook_notifications"
            ) {
                settings.insert(name.clone(), value.clone());
            }
        }
    }
    settings
}

/// Cuts the arrays of `settings` down to one page; whether any goes on.
fn cut(settings: &mut Map<String, Value>, page: usize) -> bool {
    let mut more = false;
    for name in PAGED {
        let Some(Value::Array(list)) = settings.get_mut(*name) else {
            continue;
        };
        more |= list.len() > (page + 1) * PAGE;
        let rest: Vec<Value> = list.drain(..).skip(page * PAGE).take(PAGE).collect();
        *list = rest;
        if page > 0 && list.is_empty() {
            settings.remove(*name);
        }
    }
    more
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let text = request.need_query("job_id")?;
    let id = text
        .parse()
        .map_err(|_| ApiError::invalid(format!("job_id is no number: {text}")))?;
    let job = &world.jobs.all[&target(world, request, id, "CAN_VIEW")?];
    let token = request
        .query("page_token")
        .filter(|token| !token.is_empty() && request.version() == "2.2");
    let page: usize = match token {
        None => 0,
        Some(token) => (token
            .strip_prefix("page-")
            .and_then(|page| page.parse().ok()))
        .ok_or_else(|| ApiError::invalid(format!("Invalid page token: {token}")))?,
    };
    let mut settings = if request.version() == "2.0" {
        old_form(job)
    } else {
        job.settings.clone()
    };
    let more = cut(&mut settings, page);
    let mut body = head(world, job, settings);
    body.insert("run_as_user_name".into(), json!(runs_as(world, job)));
    if more && request.version() == "2.2" {
        body.insert("has_more".into(), json!(true));
        body.insert(
            "next_page_token".into(),
            json!(format!("page-{}", page + 1)),
        );
    }
    Ok(Reply::json(Value::Object(body)))
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (limit, offset) = (request.number("limit")?, request.number("offset")?);
    let old = request.version() == "2.0";
    if limit.is_some_and(|limit| !((1..=100).contains(&limit) || old && limit == 0)) {
        return Err(ApiError::invalid(
            "The limit of jobs must be between 1 and 100",
        ));
    }
    let everything = old && limit.is_none_or(|limit| limit == 0) && offset.is_none();
    let size = if everything {
        usize::MAX
    } else {
        usize::try_from(limit.unwrap_or(20)).unwrap_or(20)
    };
    let start_before = match request
        .query("page_token")
        .filter(|token| !token.is_empty() && !old)
    {
        None => i64::MAX,
        Some(token) => (token.strip_prefix("before-").and_then(|id| id.parse().ok()))
            .ok_or_else(|| ApiError::invalid(format!("Invalid page token: {token}")))?,
    };
    let expand = request.flag("expand_tasks")?;
    let name = request.query("name").map(str::to_lowercase);
    let mut shown = (world
        .jobs
        .all
        .range(..start_before)
        .rev()
        .map(|(_, job)| job))
    .filter(|job| {
        name.as_ref()
            .is_none_or(|name| job.name().to_lowercase() == *name)
    })
    .filter(|job| {
        may(
            world,
            &request.caller,
            "jobs",
            &job.id.to_string(),
            "CAN_VIEW",
        )
    })
    .skip(usize::try_from(offset.unwrap_or(0)).unwrap_or(0))
    .peekable();
    let mut page = Vec::new();
    let mut last = 0;
    while page.len() < size
        && let Some(job) = shown.next()
    {
        last = job.id;
        page.push(listed(world, job, request.version(), expand));
    }
    let more = shown.peek().is_some();
    let mut body = Map::new();
    if !page.is_empty() {
        body.insert("jobs".into(), Value::Array(page));
    }
    if !everything {
        body.insert("has_more".into(), json!(more));
    }
    if more && !old {
        body.insert("next_page_token".into(), json!(format!("before-{last}")));
    }
    Ok(Reply::json(Value::Object(body)))
}

fn listed(world: &World, job: &Job, version: &str, expand: bool) -> Value {
    if version == "2.0" {
        return Value::Object(head(world, job, old_form(job)));
    }
    let mut settings = job.settings.clone();
    let mut more = false;
    if expand {
        more = cut(&mut settings, 0);
    } else {
        ["tasks", "job_clusters", "environments"]
            .iter()
            .for_each(|name| {
                settings.remove(*name);
            });
    }
    let mut body = head(world, job, settings);
    if more && version == "2.2" {
        body.insert("has_more".into(), json!(true));
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests;
