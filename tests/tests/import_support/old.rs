//! One object of many kinds that is in the source for a while, and then gone.

use std::collections::BTreeMap;

use lifeboat_databricks::{Body, Safety};
use lifeboat_sim::Sim;
use serde_json::{Value, json};

use super::{Stage, client};

/// A call that changes a workspace.
pub async fn post(sim: &Sim, path: &str, body: Value) -> Value {
    client(sim)
        .send("POST", path, &[], Body::Json(&body), Safety::Idempotent)
        .await
        .unwrap()
}

/// The same with DELETE.
pub async fn delete(sim: &Sim, path: &str) {
    client(sim)
        .send("DELETE", path, &[], Body::None, Safety::Idempotent)
        .await
        .unwrap();
}

/// Makes one object of many kinds in the source.
pub async fn add(stage: &Stage) -> BTreeMap<&'static str, String> {
    let sim = &stage.source;
    let text = |reply: &Value, field: &str| match &reply[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut ids = BTreeMap::new();
    post(
        sim,
        "/api/2.0/workspace/mkdirs",
        json!({ "path": "/Old/inner" }),
    )
    .await;
    for path in ["/Old/one", "/Old/inner/two"] {
        let content = "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgxKQo=";
        let body =
            json!({ "path": path, "format": "SOURCE", "language": "PYTHON", "content": content });
        post(sim, "/api/2.0/workspace/import", body).await;
    }
    let body = json!({ "path": "/Old/data.txt", "format": "RAW", "content": "YWJj" });
    post(sim, "/api/2.0/workspace/import", body).await;
    let body = json!({ "path": "/FileStore/old.txt", "contents": "YWJj" });
    post(sim, "/api/2.0/dbfs/put", body).await;
    post(
        sim,
        "/api/2.0/secrets/scopes/create",
        json!({ "scope": "old" }),
    )
    .await;
    let pool = json!({ "instance_pool_name": "old", "node_type_id": "Standard_DS3_v2" });
    let pool = post(sim, "/api/2.0/instance-pools/create", pool).await;
    ids.insert("instance-pools", text(&pool, "instance_pool_id"));
    let policy = json!({ "name": "old", "definition": "{}" });
    let policy = post(sim, "/api/2.0/policies/clusters/create", policy).await;
    ids.insert("cluster-policies", text(&policy, "policy_id"));
    let script = json!({ "name": "old", "script": "ZWNobwo=", "enabled": false });
    let script = post(sim, "/api/2.0/global-init-scripts", script).await;
    ids.insert("global-init-scripts", text(&script, "script_id"));
    let cluster = json!({ "cluster_name": "old", "spark_version": "15.4.x-scala2.12", "num_workers": 1,
        "instance_pool_id": ids["instance-pools"], "policy_id": ids["cluster-policies"] });
    let cluster = post(sim, "/api/2.1/clusters/create", cluster).await;
    ids.insert("clusters", text(&cluster, "cluster_id"));
    let job = json!({ "name": "old", "tasks": [{ "task_key": "t", "existing_cluster_id": ids["clusters"],
        "notebook_task": { "notebook_path": "/Old/one" } }] });
    let job = post(sim, "/api/2.2/jobs/create", job).await;
    ids.insert("jobs", text(&job, "job_id"));
    let user = stage
        .source
        .with(|world| lifeboat_sim::identities::add_user(world, "old@example.com", "Old", false));
    ids.insert("users", user.to_string());
    let group = stage
        .source
        .with(|world| lifeboat_sim::identities::add_group(world, "old", &[user], false));
    ids.insert("groups", group.to_string());
    ids
}

/// Takes away what [`add`] made.
pub async fn remove(stage: &Stage, ids: &BTreeMap<&str, String>) {
    let sim = &stage.source;
    let job: i64 = ids["jobs"].parse().unwrap();
    post(sim, "/api/2.2/jobs/delete", json!({ "job_id": job })).await;
    for (path, field, kind) in [
        (
            "/api/2.1/clusters/permanent-delete",
            "cluster_id",
            "clusters",
        ),
        (
            "/api/2.0/policies/clusters/delete",
            "policy_id",
            "cluster-policies",
        ),
        (
            "/api/2.0/instance-pools/delete",
            "instance_pool_id",
            "instance-pools",
        ),
    ] {
        post(sim, path, json!({ field: ids[kind] })).await;
    }
    let script = &ids["global-init-scripts"];
    delete(sim, &format!("/api/2.0/global-init-scripts/{script}")).await;
    post(
        sim,
        "/api/2.0/secrets/scopes/delete",
        json!({ "scope": "old" }),
    )
    .await;
    post(
        sim,
        "/api/2.0/workspace/delete",
        json!({ "path": "/Old", "recursive": true }),
    )
    .await;
    post(
        sim,
        "/api/2.0/dbfs/delete",
        json!({ "path": "/FileStore/old.txt" }),
    )
    .await;
    stage
        .source
        .with(|world| lifeboat_sim::tree::remove(world, "/Users/old@example.com"));
    for (resource, kind) in [("Groups", "groups"), ("Users", "users")] {
        delete(
            sim,
            &format!("/api/2.0/preview/scim/v2/{resource}/{}", ids[kind]),
        )
        .await;
    }
}
