//! What cannot be read: the run goes on and says so.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use std::time::Duration;

use common::{
    Written, client, client_with, export, notebook, options, patient_client, post, put, seed, sim,
};
use lifeboat_archive::{Fate, Inventory, Listing};
use lifeboat_export::NotebookFormat;
use lifeboat_sim::tree::Object;
use lifeboat_sim::{Fault, Sim};
use serde_json::json;

fn fault(sim: &Sim, path: &str, query: &str, status: u16, body: serde_json::Value) {
    let mut fault = Fault::status("GET", path, status);
    fault.query = query.to_owned();
    fault.body = Some(body.to_string());
    sim.fault(fault);
}

fn denied() -> serde_json::Value {
    json!({ "error_code": "PERMISSION_DENIED", "message": "no" })
}

fn failed_names(written: &Written) -> Vec<String> {
    written
        .ledger(Fate::Failed)
        .into_iter()
        .map(|line| line.name)
        .collect()
}

#[tokio::test]
async fn a_forbidden_folder_makes_the_inventory_incomplete() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    fault(
        &sim,
        "/api/2.0/workspace/list",
        "path=/Shared/team",
        403,
        denied(),
    );
    let written = export(&client, &options()).await;
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    assert_eq!(written.outcome.exit_code(), 3);
    let failed = written.ledger(Fate::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0].kind.as_str(), failed[0].name.as_str()),
        ("directories", "/Shared/team")
    );
    assert_eq!(
        (failed[0].status, failed[0].code.as_deref()),
        (Some(403), Some("PERMISSION_DENIED"))
    );
    assert_eq!(
        failed[0].request.as_deref(),
        Some("GET /api/2.0/workspace/list")
    );
    assert_eq!(written.kind("directories").listing, Listing::Listed);
    assert!(written.record("/Shared/team").is_none());
    assert!(
        written.record("/Shared/empty").is_some(),
        "the rest is there"
    );
}

#[tokio::test]
async fn a_hidden_folder_is_not_said_to_be_gone() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let body = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Path (/Shared/team) doesn't exist." });
    fault(
        &sim,
        "/api/2.0/workspace/list",
        "path=/Shared/team",
        404,
        body,
    );
    let written = export(&client, &options()).await;
    assert_eq!(failed_names(&written), ["/Shared/team"]);
    assert_eq!(written.ledger(Fate::Vanished), []);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
}

#[tokio::test]
async fn an_unreadable_root_leaves_the_tree_unknown_and_the_rest_captured() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    fault(&sim, "/api/2.0/workspace/list", "", 403, denied());
    let written = export(&client, &options()).await;
    for kind in ["directories", "notebooks", "files"] {
        assert_eq!(written.kind(kind).listing, Listing::Unknown, "{kind}");
        assert!(
            written
                .kind(kind)
                .reason
                .as_deref()
                .unwrap()
                .contains("403")
        );
    }
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    assert_eq!(written.kind("jobs").stored, 1);
}

#[tokio::test]
async fn kinds_that_the_service_refuses_are_unknown_and_switched_off_ones_unavailable() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let off =
        json!({ "error_code": "FEATURE_DISABLED", "message": "Instance pools are not enabled" });
    fault(&sim, "/api/2.0/instance-pools/list", "", 400, off);
    let gone =
        json!({ "error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'GET /repos'" });
    fault(&sim, "/api/2.0/repos", "", 404, gone);
    fault(&sim, "/api/2.0/global-init-scripts", "", 403, denied());
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("instance-pools").listing, Listing::Unavailable);
    assert_eq!(
        written.kind("git-folders").listing,
        Listing::Unknown,
        "an API that is not known says nothing about what is there"
    );
    assert_eq!(
        written.kind("global-init-scripts").listing,
        Listing::Unknown
    );
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    sim.clear_faults();
    let off =
        json!({ "error_code": "FEATURE_DISABLED", "message": "Instance pools are not enabled" });
    fault(&sim, "/api/2.0/instance-pools/list", "", 400, off);
    let written = export(&client, &options()).await;
    assert_eq!(
        written.outcome.summary.inventory,
        Inventory::Complete,
        "a feature that is off hides nothing"
    );
    assert_eq!(written.outcome.exit_code(), 0);
}

#[tokio::test]
async fn not_implemented_is_unknown_and_never_none() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let body = json!({ "error_code": "NOT_IMPLEMENTED", "message": "not here" });
    fault(&sim, "/api/2.0/libraries/*", "", 501, body.clone());
    fault(&sim, "/api/2.0/repos*", "", 501, body);
    let written = export(&client, &options()).await;
    for kind in ["libraries", "git-folders"] {
        assert_eq!(written.kind(kind).listing, Listing::Unknown, "{kind}");
        assert_eq!(written.kind(kind).listed, 0);
    }
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn access_control_that_is_switched_off_is_unavailable() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.switch(|switches| switches.acls_disabled = true);
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("acls/notebooks").listing, Listing::Unavailable);
    assert_eq!(written.ledger(Fate::Failed), []);
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
    assert_eq!(
        written.lines("data/acls/jobs"),
        Vec::<serde_json::Value>::new()
    );
}

#[tokio::test]
async fn dbfs_that_is_switched_off_is_unavailable() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.switch(|switches| switches.dbfs_disabled = true);
    let written = export(&client, &options()).await;
    assert_ne!(
        written.kind("dbfs").listing,
        Listing::Listed,
        "{:?}",
        written.kind("dbfs")
    );
    assert_eq!(written.lines("data/dbfs"), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_single_object_that_fails_does_not_stop_the_run() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    fault(
        &sim,
        "/api/2.0/workspace/export",
        "path=/Shared/team/etl",
        403,
        denied(),
    );
    fault(&sim, "/api/2.2/jobs/get", "", 403, denied());
    fault(&sim, "/api/2.0/permissions/clusters/*", "", 403, denied());
    let written = export(&client, &options()).await;
    let failed: Vec<(String, Option<u16>)> = written
        .ledger(Fate::Failed)
        .into_iter()
        .map(|line| (line.kind, line.status))
        .collect();
    let expected = [("acls/clusters", 403), ("jobs", 403), ("notebooks", 403)];
    assert_eq!(
        failed,
        expected.map(|(kind, status)| (kind.to_owned(), Some(status)))
    );
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
    assert_eq!(written.outcome.exit_code(), 3);
    assert_eq!(
        written.outcome.gaps.len(),
        4,
        "three failures and an unsupported dashboard"
    );
    assert!(written.record("/Shared/team/etl").is_none());
}

#[tokio::test]
async fn a_notebook_over_the_limit_is_tried_in_the_other_format() {
    let sim = sim();
    let client = client(&sim);
    let body = json!({ "error_code": "BAD_REQUEST", "message": "Size exceeds 10485760 bytes" });
    sim.with(|world| put(world, "/Shared/big", notebook(common::SOURCE)));
    fault(
        &sim,
        "/api/2.0/workspace/export",
        "format=JUPYTER",
        400,
        body.clone(),
    );
    let mut jupyter = options();
    jupyter.notebook_format = NotebookFormat::Jupyter;
    let written = export(&client, &jupyter).await;
    assert_eq!(
        written.record("/Shared/big").unwrap()["content"]["format"],
        "SOURCE"
    );
    assert_eq!(written.content("/Shared/big"), common::SOURCE);
    fault(
        &sim,
        "/api/2.0/workspace/export",
        "format=SOURCE",
        400,
        body,
    );
    let written = export(&client, &options()).await;
    let failed = written.ledger(Fate::Failed);
    assert_eq!(
        (failed[0].name.as_str(), failed[0].message.as_str()),
        ("/Shared/big", "Size exceeds 10485760 bytes")
    );
}

#[tokio::test]
async fn a_notebook_of_more_than_ten_megabytes_is_a_gap() {
    let sim = sim();
    let client = client(&sim);
    let text = format!(
        "# Databricks notebook source\n# {}\n",
        "x".repeat(10_485_760)
    );
    sim.with(|world| {
        put(world, "/Shared/big", notebook(&text));
        put(world, "/Shared/small", notebook(common::SOURCE));
    });
    let written = export(&client, &options()).await;
    assert_eq!(failed_names(&written), ["/Shared/big"]);
    assert_eq!(written.content("/Shared/small"), common::SOURCE);
}

#[tokio::test]
async fn large_files_go_another_way_and_too_large_ones_are_stated() {
    let sim = sim();
    let client = client(&sim);
    let large = vec![7_u8; 11 << 20];
    sim.with(|world| {
        put(world, "/Shared/large.bin", Object::File(large.into()));
        put(
            world,
            "/Shared/small.bin",
            Object::File(vec![1_u8; 3000].into()),
        );
    });
    for limited in [false, true] {
        sim.switch(|switches| switches.direct_download_limited = limited);
        let written = export(&client, &options()).await;
        let record = written.record("/Shared/large.bin").unwrap();
        assert_eq!(record["content"]["size"], 11 << 20, "limited {limited}");
        assert_eq!(record["content"]["format"], "RAW");
    }
    let mut tight = options();
    tight.max_file = 2000;
    let written = export(&client, &tight).await;
    let names: Vec<String> = written
        .ledger(Fate::Unsupported)
        .into_iter()
        .map(|line| line.name)
        .collect();
    assert_eq!(names, ["/Shared/large.bin", "/Shared/small.bin"]);
    assert_eq!(written.outcome.exit_code(), 0);
}

#[tokio::test]
async fn throttling_and_passing_faults_leave_no_gap() {
    let sim = sim();
    let client = patient_client(&sim);
    seed(&sim, &client).await;
    for (path, status) in [
        ("/api/2.0/workspace/list", 429),
        ("/api/2.0/workspace/export", 503),
        ("/api/*", 500),
    ] {
        let mut fault = Fault::status("GET", path, status);
        fault.retry_after = Some("0".to_owned());
        fault.skip = 1;
        fault.times = 2;
        sim.fault(fault);
    }
    let written = export(&client, &options()).await;
    assert_eq!(written.ledger(Fate::Failed), []);
    assert_eq!(
        written.outcome.summary.inventory,
        Inventory::Complete,
        "{:?}",
        written.outcome.summary.kinds
    );
    let run: serde_json::Value = serde_json::from_str(&written.text("run.json")).unwrap();
    assert!(run["retries"].as_u64().unwrap() >= 4, "{run}");
}

#[tokio::test]
async fn a_caller_without_admin_rights_is_warned_and_recorded() {
    let sim = sim();
    let admin = client(&sim);
    seed(&sim, &admin).await;
    sim.add_token("other", "a@example.com").unwrap();
    let written = export(&client_with(&sim, "other"), &options()).await;
    assert!(!written.outcome.caller_is_admin);
    let warnings = written.heard.warnings.lock().unwrap();
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("not a workspace administrator")),
        "{warnings:?}"
    );
    let run: serde_json::Value = serde_json::from_str(&written.text("run.json")).unwrap();
    assert_eq!(run["caller"]["admin"], false);
}

#[tokio::test]
async fn an_empty_workspace_is_an_archive_too() {
    let sim = sim();
    let written = export(&client(&sim), &options()).await;
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
    assert_eq!(
        (written.kind("jobs").listing, written.kind("jobs").listed),
        (Listing::Listed, 0)
    );
}

#[tokio::test]
async fn names_that_differ_in_case_only_do_not_meet() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| {
        put(
            world,
            "/Shared/Note",
            notebook("# Databricks notebook source\n# upper\n"),
        );
        put(
            world,
            "/Shared/note",
            notebook("# Databricks notebook source\n# lower\n"),
        );
        put(
            world,
            "/Shared/a:b? ",
            notebook("# Databricks notebook source\n# odd\n"),
        );
        put(world, "/Shared/DIR/x", notebook(common::SOURCE));
        put(world, "/Shared/dir/x", notebook(common::SOURCE));
    });
    let written = export(&client, &options()).await;
    assert!(written.content("/Shared/Note").contains("upper"));
    assert!(written.content("/Shared/note").contains("lower"));
    assert!(written.content("/Shared/a:b? ").contains("odd"));
    let folded: std::collections::BTreeSet<String> = written
        .members("data/workspace/content/")
        .iter()
        .map(|path| path.to_lowercase())
        .collect();
    assert_eq!(folded.len(), 5, "{folded:?}");
}

#[tokio::test]
async fn unstable_identities_are_unknown() {
    let sim = sim();
    let client = client(&sim);
    for user in 0..5 {
        post(
            &client,
            "/api/2.0/preview/scim/v2/Users",
            json!({ "userName": format!("u{user}@example.com") }),
        )
        .await;
    }
    sim.switch(|switches| {
        switches.scim_page = 2;
        switches.unstable_paging = 1000;
    });
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("users").listing, Listing::Unknown);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    sim.switch(|switches| switches.unstable_paging = 1);
    let written = export(&client, &options()).await;
    assert_eq!(
        (written.kind("users").listing, written.kind("users").stored),
        (Listing::Listed, 6)
    );
}

#[tokio::test]
async fn a_job_that_points_nowhere_is_named() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    post(
        &client,
        "/api/2.1/clusters/unpin",
        json!({ "cluster_id": cluster_id(&sim, &client).await }),
    )
    .await;
    let cluster = cluster_id(&sim, &client).await;
    sim.advance(Duration::from_secs(600));
    post(
        &client,
        "/api/2.1/clusters/delete",
        json!({ "cluster_id": cluster }),
    )
    .await;
    sim.advance(Duration::from_secs(600));
    post(
        &client,
        "/api/2.1/clusters/permanent-delete",
        json!({ "cluster_id": cluster }),
    )
    .await;
    let written = export(&client, &options()).await;
    let vanished = written.ledger(Fate::Vanished);
    let line = vanished
        .iter()
        .find(|line| line.kind == "clusters")
        .unwrap();
    assert_eq!(line.id, cluster);
    assert!(
        line.message.contains("(nightly) points nowhere"),
        "{}",
        line.message
    );
}

async fn cluster_id(sim: &Sim, client: &lifeboat_databricks::Client) -> String {
    let _ = sim;
    let reply = client.get("/api/2.1/clusters/list", &[]).await.unwrap();
    reply["clusters"][0]["cluster_id"]
        .as_str()
        .unwrap()
        .to_owned()
}
