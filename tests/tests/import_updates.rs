//! What changed at the source is written to the target, and nothing else: per kind, the calls of the second import.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use import_support::{Stage, client, troubles};
use lifeboat_databricks::{Body, Safety, segment};
use lifeboat_import::{Fate, Options, Recheck, Silent, compare};
use lifeboat_sim::{ADMIN, Fault, Fill, Sim, tree};
use serde_json::{Map, Value, json};

async fn get(sim: &Sim, path: &str) -> Value {
    get_with(sim, path, &[]).await
}

async fn get_with(sim: &Sim, path: &str, query: &[(&str, &str)]) -> Value {
    client(sim).get(path, query).await.unwrap()
}

/// The clusters that people made.
async fn clusters(sim: &Sim) -> Vec<Value> {
    let mut listed = get_with(sim, "/api/2.1/clusters/list", &[("page_size", "100")]).await;
    let mut clusters: Vec<Value> = serde_json::from_value(listed["clusters"].take()).unwrap();
    clusters.retain(|cluster| ["UI", "API"].contains(&cluster["cluster_source"].as_str().unwrap()));
    clusters
}

async fn groups(sim: &Sim) -> Vec<Value> {
    const PATH: &str = "/api/2.0/preview/scim/v2/Groups";
    let mut listed = get_with(sim, PATH, &[("count", "100")]).await;
    serde_json::from_value(listed["Resources"].take()).unwrap()
}

async fn modified(sim: &Sim, path: &str) -> Value {
    let status = get_with(sim, "/api/2.0/workspace/get-status", &[("path", path)]).await;
    status["modified_at"].clone()
}

async fn send(sim: &Sim, method: &'static str, path: &str, body: Value) -> Value {
    client(sim)
        .send(method, path, &[], Body::Json(&body), Safety::Create)
        .await
        .unwrap()
}

/// These fields of an object.
fn only(body: &Value, fields: &[&str]) -> Map<String, Value> {
    let kept = fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), body.get(*field)?.clone())));
    kept.collect()
}

/// Exports the source anew, imports it, and gives the calls that wrote.
async fn again(stage: &Stage) -> Vec<String> {
    stage.export().await;
    stage.target.reset_calls();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
    written(stage)
}

fn written(stage: &Stage) -> Vec<String> {
    let mut calls: Vec<String> = stage
        .writes()
        .iter()
        .map(|call| format!("{} {}", call.method, call.path))
        .collect();
    calls.sort();
    calls
}

/// Imported once, with nothing to do.
async fn imported() -> Stage {
    let stage = Stage::new(&Fill::small()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_by_reset_policies_pools_and_init_scripts_by_edit() {
    let stage = imported().await;
    let source = &stage.source;
    let job = get(source, "/api/2.2/jobs/list").await["jobs"][0]["job_id"].clone();
    let change = json!({"job_id": job, "new_settings": {"timeout_seconds": 4321}});
    send(source, "POST", "/api/2.2/jobs/update", change).await;
    let policies = get(source, "/api/2.0/policies/clusters/list").await;
    let own = |policy: &&Value| policy["is_default"] != true && policy["definition"].is_string();
    let policy = policies["policies"].as_array().unwrap().iter().find(own);
    let mut change = only(policy.unwrap(), &["policy_id", "name", "definition"]);
    change.insert("description".to_owned(), json!("changed"));
    send(
        source,
        "POST",
        "/api/2.0/policies/clusters/edit",
        change.into(),
    )
    .await;
    let pools = get(source, "/api/2.0/instance-pools/list").await;
    let fields = [
        "instance_pool_id",
        "instance_pool_name",
        "node_type_id",
        "min_idle_instances",
    ];
    let mut change = only(&pools["instance_pools"][0], &fields);
    change.insert("max_capacity".to_owned(), json!(77));
    send(
        source,
        "POST",
        "/api/2.0/instance-pools/edit",
        change.into(),
    )
    .await;
    let scripts = get(source, "/api/2.0/global-init-scripts").await;
    let path = |id: &Value| format!("/api/2.0/global-init-scripts/{}", id.as_str().unwrap());
    let script = &scripts["scripts"][0];
    let change = json!({"name": script["name"], "script": STANDARD.encode("#!/bin/bash\ntrue\n")});
    send(source, "PATCH", &path(&script["script_id"]), change).await;

    let mut calls = again(&stage).await;
    let script = calls.remove(0);
    assert!(
        script.starts_with("PATCH /api/2.0/global-init-scripts/"),
        "{script} {calls:?}"
    );
    let expected = [
        "POST /api/2.0/instance-pools/edit",
        "POST /api/2.0/policies/clusters/edit",
        "POST /api/2.2/jobs/reset",
    ];
    assert_eq!(calls, expected);
    assert!(again(&stage).await.is_empty());
}

/// Gives the first cluster of the source another number of minutes before its end; gives its name.
async fn change_cluster(source: &Sim, minutes: u64) -> String {
    let clusters = clusters(source).await;
    let free = |cluster: &&Value| cluster.get("policy_id").is_none();
    let mut change = clusters.iter().find(free).unwrap_or(&clusters[0]).clone();
    change["autotermination_minutes"] = json!(minutes);
    send(source, "POST", "/api/2.1/clusters/edit", change.clone()).await;
    change["cluster_name"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_by_edit_and_one_that_runs_is_left_alone_with_the_reason() {
    let stage = imported().await;
    let name = change_cluster(&stage.source, 77).await;
    assert_eq!(again(&stage).await, ["POST /api/2.1/clusters/edit"]);
    let there = clusters(&stage.target).await;
    let named = |cluster: &&Value| cluster["cluster_name"] == name.as_str();
    let cluster = there.iter().find(named).unwrap();
    assert_eq!(cluster["state"], "TERMINATED", "an edit starts nothing");

    let start = json!({"cluster_id": cluster["cluster_id"]});
    send(&stage.target, "POST", "/api/2.1/clusters/start", start).await;
    change_cluster(&stage.source, 78).await;
    stage.export().await;
    stage.target.reset_calls();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(written(&stage), Vec::<String>::new());
    let left =
        |object: &&lifeboat_import::ObjectResult| object.kind == "clusters" && object.name == name;
    let left = report.objects.iter().find(left).unwrap();
    assert_eq!(left.fate, Fate::Blocked, "{left:?}");
    assert!(
        left.reason.as_deref().unwrap().contains("running"),
        "{left:?}"
    );
}

async fn import_notebook(sim: &Sim, path: &str, content: &str) {
    let body = json!({"path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": true, "content": STANDARD.encode(content)});
    send(sim, "POST", "/api/2.0/workspace/import", body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notebooks_and_files_only_when_their_digest_differs() {
    const HEAD: &str = "# Databricks notebook source\n";
    let stage = Stage::new(&Fill::small()).await;
    let (source, path) = (&stage.source, "/Shared/updates");
    send(
        source,
        "POST",
        "/api/2.0/workspace/mkdirs",
        json!({"path": path}),
    )
    .await;
    let (touched, changed, file) = (
        format!("{path}/touched"),
        format!("{path}/changed"),
        format!("{path}/a.txt"),
    );
    for path in [&touched, &changed] {
        import_notebook(source, path, &format!("{HEAD}print(1)\n")).await;
    }
    let upload = |content: &'static str| {
        let path = format!(
            "/api/2.0/workspace-files/import-file/{}",
            segment(file.trim_start_matches('/'))
        );
        let client = client(source);
        async move {
            let body = Body::Raw(content.as_bytes().into());
            client
                .send(
                    "POST",
                    &path,
                    &[("overwrite", "true")],
                    body,
                    Safety::Create,
                )
                .await
                .unwrap();
        }
    };
    upload("one\n").await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();

    let before = modified(source, &touched).await;
    source.advance(std::time::Duration::from_secs(60));
    import_notebook(source, &touched, &format!("{HEAD}print(1)\n")).await;
    let after = modified(source, &touched).await;
    assert_ne!(before, after, "it was touched");
    assert_eq!(again(&stage).await, Vec::<String>::new());

    import_notebook(source, &changed, &format!("{HEAD}print(2)\n")).await;
    assert_eq!(again(&stage).await, ["POST /api/2.0/workspace/import"]);
    upload("two\n").await;
    let calls = again(&stage).await;
    assert!(
        calls.iter().all(|call| call.contains("import")),
        "{calls:?}"
    );
    assert!(
        (1..=2).contains(&calls.len()),
        "at most one refused overwrite before the raw one: {calls:?}"
    );
    assert!(again(&stage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_by_the_difference_of_their_members_in_one_call() {
    let stage = imported().await;
    let source = &stage.source;
    let groups = groups(source).await;
    let local = |group: &&Value| {
        group["meta"]["resourceType"] == "WorkspaceGroup"
            && !["admins", "users"].contains(&group["displayName"].as_str().unwrap())
            && group["members"]
                .as_array()
                .is_some_and(|members| members.len() > 1)
    };
    let group = groups.iter().find(local).unwrap();
    let members = group["members"].as_array().unwrap();
    let users = get_with(
        source,
        "/api/2.0/preview/scim/v2/Users",
        &[("count", "100")],
    )
    .await;
    let stranger = |user: &&Value| members.iter().all(|member| member["value"] != user["id"]);
    let stranger = users["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(stranger)
        .unwrap();
    // One in, one out.
    let path = format!(
        "/api/2.0/preview/scim/v2/Groups/{}",
        group["id"].as_str().unwrap()
    );
    let gone = format!(
        "members[value eq \"{}\"]",
        members[0]["value"].as_str().unwrap()
    );
    let change = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
        {"op": "add", "path": "members", "value": [{"value": stranger["id"]}]},
        {"op": "remove", "path": gone},
    ]});
    send(source, "PATCH", &path, change).await;
    let calls = again(&stage).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(
        calls[0].starts_with("PATCH /api/2.0/preview/scim/v2/Groups/"),
        "{calls:?}"
    );
    assert!(again(&stage).await.is_empty(), "no difference, no call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_control_of_objects_and_scopes_only_where_it_differs() {
    let stage = imported().await;
    let source = &stage.source;
    let job = get(source, "/api/2.2/jobs/list").await["jobs"][1]["job_id"].clone();
    let grant = json!({"access_control_list": [{"group_name": "users", "permission_level": "CAN_MANAGE_RUN"}]});
    send(
        source,
        "PATCH",
        &format!("/api/2.0/permissions/jobs/{job}"),
        grant,
    )
    .await;
    let calls = again(&stage).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(
        calls[0].starts_with("PUT /api/2.0/permissions/jobs/"),
        "{calls:?}"
    );

    let scopes = get(source, "/api/2.0/secrets/scopes/list").await;
    let scope = &scopes["scopes"][0]["name"];
    let put = json!({"scope": scope, "principal": "users", "permission": "READ"});
    send(source, "POST", "/api/2.0/secrets/acls/put", put).await;
    assert_eq!(again(&stage).await, ["POST /api/2.0/secrets/acls/put"]);
    let delete = json!({"scope": scope, "principal": "users"});
    send(source, "POST", "/api/2.0/secrets/acls/delete", delete).await;
    assert_eq!(again(&stage).await, ["POST /api/2.0/secrets/acls/delete"]);
    assert!(again(&stage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libraries_by_difference_also_when_the_whole_list_is_gone() {
    let stage = imported().await;
    let source = &stage.source;
    let made = clusters(source).await;
    let cluster = made[0]["cluster_id"].as_str().unwrap().to_owned();
    let library = json!({"pypi": {"package": "added==1.0"}});
    let change = json!({"cluster_id": cluster, "libraries": [library]});
    send(source, "POST", "/api/2.0/libraries/install", change).await;
    assert_eq!(again(&stage).await, ["POST /api/2.0/libraries/install"]);
    source.with(|world| world.libraries.forget(&cluster));
    assert_eq!(again(&stage).await, ["POST /api/2.0/libraries/uninstall"]);
    assert!(again(&stage).await.is_empty());

    // What somebody installs afterwards is his.
    let name = &made[0]["cluster_name"];
    let there = clusters(&stage.target).await;
    let bare = there
        .iter()
        .find(|cluster| cluster["cluster_name"] == *name);
    let own = json!([{"pypi": {"package": "own==1.0"}}]);
    let change = json!({"cluster_id": bare.unwrap()["cluster_id"], "libraries": own});
    send(&stage.target, "POST", "/api/2.0/libraries/install", change).await;
    stage.target.reset_calls();
    stage.apply(&stage.options()).await.unwrap();
    assert_eq!(written(&stage), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_folders_follow_the_branch() {
    let stage = imported().await;
    let source = &stage.source;
    let folders = get_with(source, "/api/2.0/repos", &[("path_prefix", "/")]).await;
    let folder = &folders["repos"][0];
    let path = format!("/api/2.0/repos/{}", folder["id"]);
    send(source, "PATCH", &path, json!({"branch": "release"})).await;
    let calls = again(&stage).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].starts_with("PATCH /api/2.0/repos/"), "{calls:?}");
    assert!(again(&stage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byte_order_marks_and_line_ends_are_no_drift_and_no_write_every_night() {
    let sources = [
        "# Databricks notebook source\r\na = 1\r\nb = 2\r\n",
        "# Databricks notebook source\r\nmixed = 1\nends = 2\r\n",
        "\u{feff}# Databricks notebook source\nmarked = 1\n",
        "\u{feff}marked and without a header\r\n",
    ];
    for rewrites in [false, true] {
        let stage = Stage::new(&Fill::small()).await;
        stage.source.with(|world| {
            let admin = world.admin();
            for (at, content) in sources.iter().enumerate() {
                let notebook = tree::Object::Notebook {
                    language: "PYTHON",
                    content: (*content).into(),
                    jupyter: false,
                };
                tree::put(world, &format!("/Shared/source {at}"), notebook, &admin);
            }
        });
        stage.export().await;
        stage
            .target
            .switch(|switches| switches.rewrite_sources = rewrites);
        let first = stage.apply(&stage.options()).await.unwrap();
        assert_eq!(troubles(&first), Vec::<String>::new());
        assert_eq!(first.comparison.unwrap().differences, []);
        for recheck in [Recheck::None, Recheck::All] {
            let options = Options {
                recheck,
                ..stage.options()
            };
            let night = stage.apply(&options).await.unwrap();
            assert_eq!(night.writes, 0, "{rewrites} {recheck:?}");
            assert_eq!(night.comparison.unwrap().differences, []);
        }
        let (archive, options) = (stage.open(), stage.options());
        let alone = compare(&archive, &stage.client, &options, &Silent).await;
        assert_eq!(alone.unwrap().differences, [], "{rewrites}");

        // Another text is still another one.
        import_notebook(&stage.target, "/Shared/source 0", "a = 1\nb = 3\n").await;
        let night = stage.apply(&stage.options()).await.unwrap();
        let kept = night
            .objects
            .iter()
            .find(|one| one.name == "/Shared/source 0");
        assert_eq!(kept.unwrap().fate, Fate::Skipped);
    }
}

/// Owners of the clusters that people made, by name.
async fn owners(sim: &Sim) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let clusters = clusters(sim).await.into_iter();
    clusters
        .map(|one| (text(&one["cluster_name"]), text(&one["creator_user_name"])))
        .collect()
}

const CHANGE_OWNER: &str = "/api/2.1/clusters/change-owner";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_are_owned_by_who_made_them_and_secrets_in_them_can_be_changed() {
    let stage = Stage::new(&Fill::small()).await;
    let first = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&first), Vec::<String>::new());
    let owned = owners(&stage.source).await;
    assert!(owned.values().any(|owner| owner != ADMIN), "{owned:?}");
    assert_eq!(owners(&stage.target).await, owned);
    assert_eq!(again(&stage).await, Vec::<String>::new());

    // Only the owner may change the secrets that a cluster names.
    let mut cluster = clusters(&stage.source).await;
    cluster.retain(|one| one["state"] == "TERMINATED" && one["creator_user_name"] != ADMIN);
    let cluster = cluster.first().unwrap();
    let (id, owner) = (&cluster["cluster_id"], &cluster["creator_user_name"]);
    let give = |owner: &Value| json!({"cluster_id": id, "owner_username": owner});
    send(&stage.source, "POST", CHANGE_OWNER, give(&json!(ADMIN))).await;
    let mut edit = cluster["spec"].clone();
    if edit.is_null() {
        let query = [("cluster_id", id.as_str().unwrap())];
        let read = get_with(&stage.source, "/api/2.1/clusters/get", &query).await;
        edit = read["spec"].clone();
    }
    edit["cluster_id"] = id.clone();
    edit["spark_conf"]["spark.hidden"] = json!("{{secrets/analytics/orders-key-2}}");
    send(&stage.source, "POST", "/api/2.1/clusters/edit", edit).await;
    send(&stage.source, "POST", CHANGE_OWNER, give(owner)).await;
    let edit = "/api/2.1/clusters/edit";
    let calls = again(&stage).await;
    let own = format!("POST {CHANGE_OWNER}");
    let edit = format!("POST {edit}");
    assert_eq!(calls, [own.clone(), own, edit.clone(), edit]);
    assert_eq!(owners(&stage.target).await, owned);
    assert_eq!(stage.differences(), Vec::<String>::new());
    assert_eq!(again(&stage).await, Vec::<String>::new());

    // Who has it by hand gives it back at the next import.
    let there = clusters(&stage.target).await;
    let taken = there
        .iter()
        .find(|one| one["creator_user_name"] != ADMIN)
        .unwrap();
    let take = json!({"cluster_id": taken["cluster_id"], "owner_username": ADMIN});
    send(&stage.target, "POST", CHANGE_OWNER, take).await;
    let calls = again(&stage).await;
    assert!(
        calls[0].ends_with(CHANGE_OWNER) && calls.len() == 2,
        "{calls:?}"
    );
    assert_eq!(owners(&stage.target).await, owned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whom_the_service_refuses_is_a_note_and_no_call_every_night() {
    let stage = Stage::new(&Fill::small()).await;
    stage.target.fault(Fault::status("POST", CHANGE_OWNER, 400));
    let first = stage.apply(&stage.options()).await.unwrap();
    let noted = troubles(&first);
    assert!(!noted.is_empty());
    assert!(
        noted.iter().all(|one| one.contains("owner not changed")),
        "{noted:?}"
    );
    assert_eq!(first.comparison.unwrap().differences, []);
    stage.target.reset_calls();
    let second = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(second.writes, 0, "{:?}", stage.writes());
    assert_eq!(troubles(&second).len(), noted.len(), "named every night");
    stage.target.clear_faults();
    let options = Options {
        recheck: Recheck::All,
        ..stage.options()
    };
    let third = stage.apply(&options).await.unwrap();
    assert_eq!(troubles(&third), Vec::<String>::new());
    assert_eq!(owners(&stage.target).await, owners(&stage.source).await);
}
