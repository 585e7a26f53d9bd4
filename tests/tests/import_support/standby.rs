//! A source whose jobs start in every way there is, a standby of it, and what happens in both.

use std::time::Duration;

use lifeboat_databricks::{Body, Safety};
use lifeboat_import::journal::{Journal, State};
use lifeboat_import::{Direction, Silent, SwitchOptions, Switched, switch};
use lifeboat_sim::{Fill, Sim, Strictness, compare_all};
use serde_json::{Value, json};

use super::{SOURCE, Stage, TARGET, client, troubles};

pub fn small() -> Fill {
    Fill {
        notebooks: 4,
        folders: 2,
        files: 1,
        others: 0,
        users: 3,
        service_principals: 1,
        groups: 2,
        clusters: 2,
        jobs: 13,
        pools: 2,
        policies: 1,
        init_scripts: 2,
        scopes: 1,
        git_folders: 0,
        dbfs_files: 1,
        ..Fill::small()
    }
}

pub fn options(stage: &Stage) -> SwitchOptions {
    SwitchOptions {
        source_fenced: true,
        state_home: Some(stage.folder.path().join("state")),
        second: Duration::from_millis(20),
        ..SwitchOptions::default()
    }
}

pub async fn turn(stage: &Stage, direction: Direction) -> Switched {
    turn_with(stage, direction, &options(stage)).await
}

pub async fn turn_with(stage: &Stage, direction: Direction, options: &SwitchOptions) -> Switched {
    switch(direction, &client(&stage.target), options, &Silent)
        .await
        .unwrap()
}

pub fn state(stage: &Stage) -> State {
    Journal::read(&stage.journal(), SOURCE, TARGET)
        .unwrap()
        .state
}

/// What differs in passive state alone: kind, name, place.
pub fn passive_differences(stage: &Stage) -> Vec<String> {
    let strict = Strictness {
        passive: true,
        secrets: false,
    };
    let (a, b) = (stage.source.dump(), stage.target.dump());
    let lax = compare_all(&a, &b, Strictness::default()).differences;
    let mut differences: Vec<String> = compare_all(&a, &b, strict)
        .differences
        .into_iter()
        .filter(|one| !lax.contains(one))
        .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
        .collect();
    differences.sort();
    differences
}

pub async fn send(sim: &Sim, path: &str, body: &Value) -> Value {
    client(sim)
        .send("POST", path, &[], Body::Json(body), Safety::Create)
        .await
        .unwrap()
}

pub async fn job(sim: &Sim, name: &str) -> Value {
    let query = [("name", name)];
    let list = client(sim).get("/api/2.2/jobs/list", &query).await.unwrap();
    let id = list["jobs"][0]["job_id"].to_string();
    let query = [("job_id", id.as_str())];
    client(sim).get("/api/2.2/jobs/get", &query).await.unwrap()
}

pub async fn add_job(sim: &Sim, name: &str, more: Value) -> String {
    let mut body = json!({
        "name": name,
        "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": "/Shared"}}],
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    send(sim, "/api/2.2/jobs/create", &body).await["job_id"].to_string()
}

/// A source whose jobs start in every way there is, and a standby of it.
pub async fn standby() -> Stage {
    standby_of(&small()).await
}

pub async fn standby_of(fill: &Fill) -> Stage {
    let stage = Stage::new(fill).await;
    let cron = |pause: Option<&str>| {
        let mut schedule = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"});
        if let Some(pause) = pause {
            schedule["pause_status"] = json!(pause);
        }
        json!({ "schedule": schedule, "tags": {"team": "ops", "tier": "1"} })
    };
    let source = &stage.source;
    add_job(source, "paused", cron(Some("PAUSED"))).await;
    add_job(source, "unpaused", cron(Some("UNPAUSED"))).await;
    add_job(source, "absent", cron(None)).await;
    let table = json!({"trigger": {"pause_status": "UNPAUSED", "table_update":
        {"table_names": ["main.sales.orders"], "condition": "ANY_UPDATED"}}, "tags": {"team": "sales"}});
    add_job(source, "table", table).await;
    let clusters = client(source)
        .get("/api/2.1/clusters/list", &[])
        .await
        .unwrap();
    let pinned = clusters["clusters"].as_array().unwrap().iter();
    let mut pinned = pinned.filter(|cluster| cluster.get("pinned_by_user_name").is_some());
    let unpinned = json!({"cluster_id": pinned.next().unwrap()["cluster_id"]});
    send(source, "/api/2.1/clusters/unpin", &unpinned).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(stage.target.costs().is_passive());
    stage
}

pub async fn write_notebook(sim: &Sim, path: &str, base64: &str) {
    // The clock of a change must be another than that of the last one.
    sim.advance(Duration::from_secs(1));
    let body = json!({"path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": true, "content": base64});
    send(sim, "/api/2.0/workspace/import", &body).await;
}

pub fn notebooks(sim: &Sim) -> Vec<String> {
    let dump = sim.dump();
    let all = dump["notebooks"].as_object().unwrap().iter();
    all.filter(|(_, facts)| facts["language"] == "PYTHON" && facts["jupyter"] != true)
        .map(|(path, _)| path.clone())
        .collect()
}
