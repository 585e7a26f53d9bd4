use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::permissions::Principal;
use crate::world::World;
use crate::world::testing::{call, get};

fn task(key: &str) -> Value {
    json!({"task_key": key, "existing_cluster_id": "0101-000000-gone0000", "notebook_task": {"notebook_path": "/Shared/a"}})
}

fn settings(name: &str) -> Value {
    json!({"name": name, "tasks": [task("main")]})
}

fn post(world: &mut World, verb: &str, body: Value) -> (u16, Value) {
    call(world, "POST", &format!("/api/2.2/jobs/{verb}"), body)
}

fn create(world: &mut World, body: Value) -> i64 {
    let (status, reply) = post(world, "create", body);
    assert_eq!(status, 200, "{reply}");
    reply["job_id"].as_i64().expect("id")
}

fn read(world: &mut World, id: i64) -> Value {
    get(world, &format!("/api/2.2/jobs/get?job_id={id}")).1
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[test]
fn defaults_are_filled_in_and_a_dead_cluster_is_no_error() {
    let mut world = World::for_tests();
    let id = create(&mut world, json!({"tasks": [task("main")]}));
    let body = read(&mut world, id);
    let settings = &body["settings"];
    assert_eq!(
        (
            &settings["name"],
            &settings["format"],
            &settings["max_concurrent_runs"]
        ),
        (&json!("Untitled"), &json!("MULTI_TASK"), &json!(1))
    );
    assert_eq!(
        (
            &settings["email_notifications"],
            &settings["timeout_seconds"]
        ),
        (&json!({}), &json!(0))
    );
    let task = &settings["tasks"][0];
    assert_eq!(
        (&task["run_if"], &task["notebook_task"]["source"]),
        (&json!("ALL_SUCCESS"), &json!("WORKSPACE"))
    );
    assert_eq!(
        (&body["creator_user_name"], &body["run_as_user_name"]),
        (&json!(crate::ADMIN), &json!(crate::ADMIN))
    );
    assert!(body.get("has_more").is_none());
}

#[test]
fn names_are_not_unique_and_missing_jobs_are_400() {
    let mut world = World::for_tests();
    let (a, b) = (
        create(&mut world, settings("same")),
        create(&mut world, settings("same")),
    );
    assert_ne!(a, b);
    assert_eq!(
        post(&mut world, "delete", json!({"job_id": a})),
        (200, json!({}))
    );
    for (status, body) in [
        get(&mut world, &format!("/api/2.1/jobs/get?job_id={a}")),
        post(&mut world, "delete", json!({"job_id": a})),
    ] {
        assert_eq!(
            (status, &body["error_code"], &body["message"]),
            (
                400,
                &json!("INVALID_PARAMETER_VALUE"),
                &json!(format!("Job {a} does not exist."))
            )
        );
    }
    assert!(
        super::check(&world, &a.to_string()).is_ok(),
        "access control outlives the job"
    );
    assert!(super::check(&world, "5").is_err());
}

#[test]
fn wrong_settings_are_refused() {
    let mut world = World::for_tests();
    let good = settings("j");
    let cluster = json!({"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1});
    let schedule = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"});
    let both = with(
        with(good.clone(), "schedule", schedule.clone()),
        "continuous",
        json!({}),
    );
    let tasks = |task: Value| with(good.clone(), "tasks", json!([task]));
    for body in [
        both,
        with(
            good.clone(),
            "schedule",
            json!({"quartz_cron_expression": "0 3 * * *", "timezone_id": "UTC"}),
        ),
        with(
            good.clone(),
            "schedule",
            json!({"quartz_cron_expression": "0 0 3 * * ?"}),
        ),
        with(
            good.clone(),
            "git_source",
            json!({"git_url": "https://example.com/a.git", "git_branch": "main"}),
        ),
        with(
            good.clone(),
            "run_as",
            json!({"user_name": "nobody@example.com"}),
        ),
        with(good.clone(), "run_as", json!({})),
        with(good.clone(), "tasks", json!([task("a"), task("a")])),
        with(
            good.clone(),
            "tasks",
            json!(
                (0..1001)
                    .map(|number| task(&format!("t{number}")))
                    .collect::<Vec<_>>()
            ),
        ),
        with(
            good.clone(),
            "notebook_task",
            json!({"notebook_path": "/a"}),
        ),
        tasks(json!({"task_key": "a"})),
        tasks(with(task("a"), "depends_on", json!([{"task_key": "b"}]))),
        tasks(with(task("a"), "job_cluster_key", json!("none"))),
        tasks(with(task("a"), "spark_jar_task", json!({}))),
        tasks(
            json!({"task_key": "a", "job_cluster_key": "none", "notebook_task": {"notebook_path": "/a"}}),
        ),
        tasks(json!({"task_key": "a", "run_job_task": {"job_id": 12}})),
        tasks(
            json!({"task_key": "a", "new_cluster": with(cluster.clone(), "policy_id", json!("none")), "notebook_task": {"notebook_path": "/a"}}),
        ),
        tasks(
            json!({"task_key": "a", "new_cluster": with(cluster, "num_workers", Value::Null), "notebook_task": {"notebook_path": "/a"}}),
        ),
        tasks(json!({"task_key": "a", "for_each_task": {"inputs": "[1]"}})),
    ] {
        let text = body.to_string();
        let (status, reply) = post(&mut world, "create", body);
        assert_eq!(
            (status, &reply["error_code"]),
            (400, &json!("INVALID_PARAMETER_VALUE")),
            "{text:.300}"
        );
    }
    assert!(world.jobs.all.is_empty());
}

#[test]
fn a_large_job_is_read_in_pages() {
    let mut world = World::for_tests();
    let tasks: Vec<Value> = (0..250).map(|number| task(&format!("t{number}"))).collect();
    let parameters = json!([{"name": "day", "default": "1"}]);
    let id = create(
        &mut world,
        json!({"name": "wide", "tasks": tasks, "parameters": parameters}),
    );
    let (mut seen, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let (_, page) = get(
            &mut world,
            &format!("/api/2.2/jobs/get?job_id={id}&page_token={token}"),
        );
        assert_eq!(
            page["settings"].get("parameters").is_some(),
            pages == 0,
            "a short array is on the first page only"
        );
        seen.extend(
            page["settings"]["tasks"]
                .as_array()
                .expect("tasks")
                .iter()
                .map(|task| task["task_key"].clone()),
        );
        pages += 1;
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, seen.len(), &seen[249]), (3, 250, &json!("t249")));
    let (_, old) = get(&mut world, &format!("/api/2.1/jobs/get?job_id={id}"));
    assert_eq!(
        (
            old["settings"]["tasks"].as_array().map(Vec::len),
            old.get("next_page_token")
        ),
        (Some(100), None)
    );
    let (_, list) = get(&mut world, "/api/2.2/jobs/list?expand_tasks=true");
    assert_eq!(
        (
            &list["jobs"][0]["has_more"],
            list["jobs"][0]["settings"]["tasks"]
                .as_array()
                .map(Vec::len)
        ),
        (&json!(true), Some(100))
    );
}

#[test]
fn lists_come_in_pages_newest_first_without_tasks() {
    let mut world = World::for_tests();
    assert_eq!(
        get(&mut world, "/api/2.2/jobs/list").1,
        json!({"has_more": false})
    );
    let mut made: Vec<i64> = (0..45)
        .map(|number| create(&mut world, settings(&format!("Job {}", number % 9))))
        .collect();
    made.reverse();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (_, page) = get(
            &mut world,
            &format!("/api/2.2/jobs/list?page_token={token}"),
        );
        let jobs = page["jobs"].as_array().expect("jobs");
        assert!(
            jobs.len() <= 20
                && jobs
                    .iter()
                    .all(|job| job["settings"].get("tasks").is_none())
        );
        seen.extend(jobs.iter().map(|job| job["job_id"].as_i64().expect("id")));
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, made);
    assert_eq!(get(&mut world, "/api/2.2/jobs/list?limit=101").0, 400);
    let (_, named) = get(&mut world, "/api/2.2/jobs/list?name=jOB%203&limit=100");
    assert_eq!(named["jobs"].as_array().map(Vec::len), Some(5));
    let (_, old) = get(&mut world, "/api/2.0/jobs/list");
    assert_eq!(
        (old["jobs"].as_array().map(Vec::len), old.get("has_more")),
        (Some(45), None)
    );
}

#[test]
fn api_2_0_has_a_form_of_its_own() {
    let mut world = World::for_tests();
    let body = json!({"name": "old style", "existing_cluster_id": "c", "notebook_task": {"notebook_path": "/a"}, "max_retries": 2});
    let (status, made) = call(&mut world, "POST", "/api/2.0/jobs/create", body);
    assert_eq!(status, 200, "{made}");
    let id = made["job_id"].as_i64().expect("id");
    let (_, old) = get(&mut world, &format!("/api/2.0/jobs/get?job_id={id}"));
    assert_eq!(
        (
            &old["settings"]["format"],
            &old["settings"]["max_retries"],
            old["settings"].get("tasks")
        ),
        (&json!("SINGLE_TASK"), &json!(2), None)
    );
    let new = read(&mut world, id);
    assert_eq!(
        (
            &new["settings"]["format"],
            &new["settings"]["tasks"][0]["task_key"]
        ),
        (&json!("MULTI_TASK"), &json!("old_style"))
    );
    let multi = create(&mut world, settings("new style"));
    let (_, list) = get(&mut world, "/api/2.0/jobs/list");
    let shown = list["jobs"]
        .as_array()
        .expect("jobs")
        .iter()
        .find(|job| job["job_id"] == json!(multi))
        .expect("listed");
    assert_eq!(
        (&shown["settings"]["format"], shown["settings"].get("tasks")),
        (&json!("MULTI_TASK"), None)
    );
    assert_eq!(
        call(&mut world, "POST", "/api/2.0/jobs/create", settings("x")).0,
        400
    );
}

#[test]
fn reset_replaces_and_keeps_run_as_and_update_merges() {
    let mut world = World::for_tests();
    crate::identities::add_user(&mut world, "runner@example.com", "Runner", false);
    let id = create(
        &mut world,
        with(
            with(
                settings("j"),
                "run_as",
                json!({"user_name": "runner@example.com"}),
            ),
            "tags",
            json!({"a": "1"}),
        ),
    );
    assert_eq!(
        read(&mut world, id)["run_as_user_name"],
        json!("runner@example.com")
    );
    assert_eq!(
        post(
            &mut world,
            "reset",
            json!({"job_id": id, "new_settings": settings("k")})
        )
        .0,
        200
    );
    let body = read(&mut world, id);
    assert_eq!(
        (
            &body["settings"]["name"],
            body["settings"].get("tags"),
            &body["run_as_user_name"]
        ),
        (&json!("k"), None, &json!("runner@example.com"))
    );
    let change = json!({"name": "l", "tasks": [task("more"), {"task_key": "main", "notebook_task": {"notebook_path": "/b"}}]});
    assert_eq!(
        post(
            &mut world,
            "update",
            json!({"job_id": id, "new_settings": change})
        )
        .0,
        200
    );
    let tasks = read(&mut world, id)["settings"]["tasks"].clone();
    assert_eq!(
        (
            &tasks[0]["notebook_task"]["notebook_path"],
            &tasks[1]["task_key"]
        ),
        (&json!("/b"), &json!("more"))
    );
    assert_eq!(
        post(
            &mut world,
            "update",
            json!({"job_id": id, "fields_to_remove": ["tasks/main", "run_as"]})
        )
        .0,
        200
    );
    let body = read(&mut world, id);
    assert_eq!(
        (
            body["settings"]["tasks"].as_array().map(Vec::len),
            &body["run_as_user_name"]
        ),
        (Some(1), &json!(crate::ADMIN))
    );
}

#[test]
fn an_unpaused_schedule_starts_runs_and_a_paused_one_none() {
    let mut world = World::for_tests();
    let schedule = |pause: Option<&str>| {
        let mut block = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"});
        pause
            .into_iter()
            .for_each(|pause| block["pause_status"] = json!(pause));
        block
    };
    let silent = create(&mut world, with(settings("a"), "schedule", schedule(None)));
    let paused = create(
        &mut world,
        with(settings("b"), "schedule", schedule(Some("PAUSED"))),
    );
    let endless = create(
        &mut world,
        with(
            settings("c"),
            "continuous",
            json!({"pause_status": "UNPAUSED"}),
        ),
    );
    let periodic = create(
        &mut world,
        with(
            settings("d"),
            "trigger",
            json!({"periodic": {"interval": 12, "unit": "HOURS"}}),
        ),
    );
    let stopped = create(
        &mut world,
        with(
            settings("e"),
            "continuous",
            json!({"pause_status": "PAUSED"}),
        ),
    );
    assert!(
        read(&mut world, silent)["settings"]["schedule"]
            .get("pause_status")
            .is_none(),
        "absent stays absent"
    );
    world.clock.advance(Duration::from_secs(3 * 86_400));
    let now = world.clock.now_ms();
    world.jobs.tick(now);
    let started = |id: i64| world.jobs.all[&id].runs.started;
    assert_eq!(
        [silent, paused, endless, periodic, stopped].map(started),
        [3, 0, 1, 6, 0]
    );
    let armed: Vec<Option<&str>> = [silent, paused, endless, periodic, stopped]
        .iter()
        .map(|id| world.jobs.all[id].armed())
        .collect();
    assert_eq!(
        armed,
        [
            Some("schedule"),
            None,
            Some("continuous"),
            Some("trigger"),
            None
        ]
    );
    let change = json!({"job_id": silent, "new_settings": {"schedule": schedule(Some("PAUSED"))}});
    assert_eq!(post(&mut world, "update", change).0, 200);
    world.clock.advance(Duration::from_secs(3 * 86_400));
    let now = world.clock.now_ms();
    world.jobs.tick(now);
    assert_eq!(world.jobs.all[&silent].runs.started, 3);
    assert_eq!(
        post(&mut world, "run-now", json!({"job_id": paused})).0,
        200
    );
    assert_eq!(world.jobs.all[&paused].runs.started, 1);
}

#[test]
fn the_number_of_jobs_is_limited_per_hour_and_at_all() {
    let mut world = World::for_tests();
    (world.jobs.hourly_limit, world.jobs.quota) = (2, 3);
    create(&mut world, settings("a"));
    create(&mut world, settings("b"));
    let (status, body) = post(&mut world, "create", settings("c"));
    assert_eq!(
        (status, &body["error_code"]),
        (400, &json!("INVALID_STATE"))
    );
    assert!(
        body["message"]
            .as_str()
            .expect("text")
            .contains("jobs created in past 3600 seconds")
    );
    world.clock.advance(Duration::from_secs(3600));
    create(&mut world, settings("c"));
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        post(&mut world, "create", settings("d")).1["error_code"],
        json!("QUOTA_EXCEEDED")
    );
}

#[test]
fn permissions_can_come_with_the_job() {
    let mut world = World::for_tests();
    let list = json!([{"user_name": "a@example.com", "permission_level": "IS_OWNER"}, {"group_name": "users", "permission_level": "CAN_VIEW"}]);
    let id = create(&mut world, with(settings("a"), "access_control_list", list)).to_string();
    let entries = world.acls.direct("jobs", &id);
    assert_eq!(
        (
            entries.len(),
            entries.get(&Principal::User("a@example.com".into()))
        ),
        (2, Some(&"IS_OWNER"))
    );
    let two = json!([{"user_name": "a", "permission_level": "IS_OWNER"}, {"user_name": "b", "permission_level": "IS_OWNER"}]);
    assert_eq!(
        post(
            &mut world,
            "create",
            with(settings("a"), "access_control_list", two)
        )
        .1["message"],
        json!("The job must have exactly one owner.")
    );
}

#[test]
fn every_kind_of_task_is_known() {
    let mut world = World::for_tests();
    let first = create(&mut world, settings("first"));
    for name in super::settings::TASK_TYPES {
        let mut block = Map::from_iter([
            ("notebook_path".to_owned(), json!("/a")),
            ("job_id".to_owned(), json!(first)),
        ]);
        block.insert("task".into(), task("inner"));
        create(
            &mut world,
            json!({"name": name, "tasks": [{"task_key": "a", *name: block}]}),
        );
    }
}
