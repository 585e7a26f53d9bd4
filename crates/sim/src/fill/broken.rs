//! References that lead nowhere and objects that no tool can restore: what a report has to name.

use bytes::Bytes;
use serde_json::json;

use super::{Filler, work};
use crate::clock::EPOCH_MS;
use crate::http::Caller;
use crate::permissions::Principal;
use crate::tree::{Object, put};

/// A user who left: the home is still there.
const DEPARTED: &str = "departed.person@contoso.example";

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    home(filler);
    clusters(filler);
    outside(filler);
    circle(filler);
}

fn home(filler: &mut Filler<'_>) {
    let admin = filler.world.admin();
    let content = Bytes::from_static(b"# Databricks notebook source\nprint('left behind')\n");
    let path = format!("/Users/{DEPARTED}/old work");
    put(
        filler.world,
        &path,
        Object::Notebook {
            language: "PYTHON",
            content,
            jupyter: false,
        },
        &admin,
    );
    let job = work::add(
        filler,
        json!({"name": "of a user who left", "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": path}}]}),
    );
    let id = job.to_string();
    if let Some(segment) = crate::permissions::segment("jobs") {
        let owner = (Principal::User(DEPARTED.to_owned()), "IS_OWNER");
        filler
            .world
            .acls
            .replace(segment, &id, std::iter::once(owner).collect());
    }
    if let Some((_, folder)) = filler.folders.first() {
        let id = folder.to_string();
        filler.world.acls.set(
            "directories",
            &id,
            Principal::User(DEPARTED.to_owned()),
            "CAN_READ",
        );
    }
}

/// A cluster that the service has forgotten and one that never was, both named by jobs; one whose creator left.
fn clusters(filler: &mut Filler<'_>) {
    let body = |name: &str| json!({"cluster_name": name, "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1});
    let admin = filler.world.admin();
    let old = crate::clusters::place(
        filler.world,
        &body("forgotten"),
        &admin,
        EPOCH_MS - 40 * 86_400_000,
    )
    .expect("generated clusters are valid");
    for (name, cluster) in [
        ("on a forgotten cluster", old.as_str()),
        ("on no cluster", "0101-000000-never000"),
    ] {
        work::add(
            filler,
            json!({"name": name, "tasks": [{"task_key": "a", "existing_cluster_id": cluster, "notebook_task": {"notebook_path": "/Shared/a"}}]}),
        );
    }
    let departed = Caller {
        id: 0,
        name: DEPARTED.to_owned(),
        service_principal: false,
        admin: false,
    };
    let mut single = body("of a user who left");
    single["data_security_mode"] = json!("SINGLE_USER");
    let id = crate::clusters::place(filler.world, &single, &departed, EPOCH_MS - 86_400_000)
        .expect("generated clusters are valid");
    filler.clusters.push(id);
}

/// Jobs that name things of kinds that are not restored.
fn outside(filler: &mut Filler<'_>) {
    work::add(
        filler,
        json!({"name": "queries a warehouse", "tasks": [{"task_key": "a", "sql_task": {"warehouse_id": "1a2b3c4d5e6f7081", "query": {"query_id": "7c6b5a49-1111-4222-8333-944455566677"}}}]}),
    );
    work::add(
        filler,
        json!({"name": "runs a pipeline", "tasks": [{"task_key": "a", "pipeline_task": {"pipeline_id": "0a1b2c3d-1111-4222-8333-944455566677"}}]}),
    );
    work::add(
        filler,
        json!({"name": "tells a webhook", "webhook_notifications": {"on_failure": [{"id": "5f6e7d8c-1111-4222-8333-944455566677"}]}, "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": "/Shared/a"}}]}),
    );
}

/// Two jobs that start each other: created one after the other, the first then changed.
fn circle(filler: &mut Filler<'_>) {
    let start = |job: i64| json!([{"task_key": "other", "run_job_task": {"job_id": job}}]);
    let first = work::add(filler, json!({"name": "circle one"}));
    let second = work::add(filler, json!({"name": "circle two", "tasks": start(first)}));
    if let Some(job) = filler.world.jobs.all.get_mut(&first) {
        job.settings.insert("tasks".into(), start(second));
        crate::jobs::fill_defaults(&mut job.settings);
    }
}
