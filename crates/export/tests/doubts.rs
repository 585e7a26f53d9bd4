//! Answers that must not be taken at their word.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use common::{Written, client, export, notebook, options, put, seed, sim, slow_client};
use lifeboat_archive::{Fate, Inventory, Listing};
use lifeboat_sim::{Fault, Sim};
use serde_json::{Value, json};

/// Answers `status` and `body` to calls whose path and query match.
fn answer(sim: &Sim, path: &str, query: &str, status: u16, body: &Value) {
    sim.fault(answering(path, query, status, body));
}

fn answering(path: &str, query: &str, status: u16, body: &Value) -> Fault {
    let mut fault = Fault::status("GET", path, status);
    fault.query = query.to_owned();
    fault.body = Some(body.to_string());
    fault
}

fn switched_off() -> Value {
    json!({ "error_code": "FEATURE_DISABLED", "message": "ACLs are not enabled" })
}

fn no_such_api() -> Value {
    json!({ "error_code": "ENDPOINT_NOT_FOUND", "message": "No API found" })
}

#[tokio::test]
async fn one_object_that_says_off_does_not_switch_off_its_kind() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let quiet = export(&client, &options()).await;
    let stored = quiet.kind("acls/notebooks").stored;
    for (body, status) in [(switched_off(), 400), (no_such_api(), 404)] {
        sim.clear_faults();
        let id = quiet.record("/Shared/team/etl").unwrap()["object_id"].clone();
        let path = format!("/api/2.0/permissions/notebooks/{}", id.as_str().unwrap());
        answer(&sim, &path, "", status, &body);
        let written = export(&client, &options()).await;
        let row = written.kind("acls/notebooks");
        assert_eq!(
            (row.listing, row.stored, row.failed),
            (Listing::Listed, stored - 1, 1)
        );
        assert_eq!(written.outcome.exit_code(), 3);
    }
}

#[tokio::test]
async fn an_unknown_permissions_api_is_not_access_control_that_is_off() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    answer(&sim, "/api/2.0/permissions/*", "", 404, &no_such_api());
    let written = export(&client, &options()).await;
    let row = written.kind("acls/notebooks");
    assert_eq!((row.stored, row.failed), (0, row.listed));
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn an_object_without_an_id_is_never_asked_for() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let body = json!({ "objects": [
        { "path": "/Shared/team/odd", "object_type": "NOTEBOOK", "language": "PYTHON" },
        { "path": "/Shared/team/etl", "object_type": "NOTEBOOK", "language": "PYTHON", "object_id": 77 },
    ] });
    answer(
        &sim,
        "/api/2.0/workspace/list",
        "path=/Shared/team",
        200,
        &body,
    );
    answer(
        &sim,
        "/api/2.0/workspace/get-status",
        "path=/",
        200,
        &json!({ "path": "/", "object_type": "DIRECTORY" }),
    );
    let written = export(&client, &options()).await;
    let calls = sim.calls();
    assert!(
        calls.iter().all(|call| !call.path.ends_with('/')),
        "{calls:?}"
    );
    assert!(
        calls
            .iter()
            .any(|call| call.path == "/api/2.0/permissions/directories/0"),
        "the root has the id 0"
    );
    assert!(
        written
            .lines("data/acls/directories")
            .iter()
            .any(|acl| acl["name"] == "/")
    );
}

#[tokio::test]
async fn an_unknown_api_of_a_kind_makes_the_inventory_incomplete() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    answer(&sim, "/api/2.2/jobs/list", "", 404, &no_such_api());
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("jobs").listing, Listing::Unknown);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn dbfs_that_an_administrator_switched_off_is_unavailable() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.switch(|switches| switches.dbfs_disabled = true);
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("dbfs").listing, Listing::Unavailable);
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
}

#[tokio::test]
async fn dbfs_that_shows_nothing_at_all_is_unknown() {
    let sim = sim();
    let client = client(&sim);
    let gone = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No file or directory exists." });
    answer(
        &sim,
        "/api/2.0/dbfs/list",
        "path=/databricks/init",
        404,
        &gone,
    );
    let written = export(&client, &options()).await;
    assert_eq!(
        written.kind("dbfs").listing,
        Listing::Listed,
        "only that folder is not there"
    );
    answer(&sim, "/api/2.0/dbfs/get-status", "path=/", 404, &gone);
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("dbfs").listing, Listing::Unknown);
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn a_dbfs_folder_that_hides_what_is_in_it_is_not_gone() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let gone = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No file or directory exists." });
    let folder = "/databricks/init/old";
    answer(
        &sim,
        "/api/2.0/dbfs/list",
        &format!("path={folder}"),
        404,
        &gone,
    );
    let written = export(&client, &options()).await;
    assert_eq!(written.ledger(Fate::Vanished), []);
    assert_eq!(names(&written, Fate::Failed), [folder]);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
}

fn names(written: &Written, fate: Fate) -> Vec<String> {
    let lines = written.ledger(fate).into_iter();
    lines.map(|line| line.name).collect()
}

#[tokio::test]
async fn files_of_dbfs_that_is_off_have_lines() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.switch(|switches| switches.dbfs_disabled = true);
    let mut options = options();
    options.dbfs = vec!["dbfs:/FileStore/x.jar".to_owned()];
    let written = export(&client, &options).await;
    assert_eq!(names(&written, Fate::Failed), ["/FileStore/x.jar"]);
    let named = written.ledger(Fate::Unsupported);
    let named = named.iter().find(|line| line.kind == "dbfs").unwrap();
    assert_eq!(named.name, "/scripts/setup.sh");
    assert!(named.message.contains("named by cluster"), "{named:?}");
}

const CLUSTERS: &str = "/api/2.1/clusters/list";

/// The list of clusters without the names of those who pinned them.
async fn unnamed_pins(client: &lifeboat_databricks::Client) -> Value {
    let mut list = client.get(CLUSTERS, &[]).await.unwrap();
    for cluster in list["clusters"].as_array_mut().unwrap() {
        cluster
            .as_object_mut()
            .unwrap()
            .remove("pinned_by_user_name");
    }
    list
}

fn pinned_by(written: &Written) -> Option<String> {
    let path = written.members("data/clusters/").pop().unwrap();
    let record: Value = serde_json::from_str(&written.text(&path)).unwrap();
    record["body"]["pinned_by_user_name"]
        .as_str()
        .map(str::to_owned)
}

#[tokio::test]
async fn pins_that_cannot_be_asked_for_are_a_gap() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let list = unnamed_pins(&client).await;
    let denied = json!({ "error_code": "PERMISSION_DENIED", "message": "no" });
    answer(&sim, CLUSTERS, "is_pinned", 403, &denied);
    let written = export(&client, &options()).await;
    assert_eq!(written.outcome.exit_code(), 0, "the plain list names them");
    answer(&sim, CLUSTERS, "", 200, &list);
    let written = export(&client, &options()).await;
    assert_eq!(written.kind("cluster-pins").failed, 1);
    assert_eq!(written.outcome.exit_code(), 3);
    assert_eq!(pinned_by(&written), None);
}

#[tokio::test]
async fn pins_count_when_every_cluster_is_pinned() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let list = unnamed_pins(&client).await;
    answer(&sim, CLUSTERS, "is_pinned=false", 200, &json!({}));
    answer(&sim, CLUSTERS, "", 200, &list);
    let written = export(&client, &options()).await;
    assert_eq!(pinned_by(&written).as_deref(), Some("unknown"));
    sim.clear_faults();
    answer(&sim, CLUSTERS, "", 200, &list);
    let written = export(&client, &options()).await;
    assert_eq!(
        pinned_by(&written),
        None,
        "a service that ignores the filter"
    );
}

const EXPORT: &str = "/api/2.0/workspace/export";

#[tokio::test]
async fn a_content_of_another_length_is_read_again() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let query = "path=/Shared/team/data.csv";
    let short = json!({ "content": "YWI=", "file_type": "" });
    let mut once = answering(EXPORT, query, 200, &short);
    once.times = 1;
    sim.fault(once);
    let written = export(&client, &options()).await;
    assert_eq!(written.content("/Shared/team/data.csv"), "a,b\n1,2\n");
    answer(&sim, EXPORT, query, 200, &short);
    let written = export(&client, &options()).await;
    let failed = written.ledger(Fate::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].message, "the content has 2 bytes, not 8");
}

#[tokio::test]
async fn a_file_without_size_and_content_is_downloaded() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let list = json!({ "objects": [
        { "path": "/Shared/team/data.csv", "object_type": "FILE", "object_id": 77 },
    ] });
    answer(
        &sim,
        "/api/2.0/workspace/list",
        "path=/Shared/team",
        200,
        &list,
    );
    let mut once = answering(EXPORT, "path=/Shared/team/data.csv", 200, &json!({}));
    once.times = 1;
    sim.fault(once);
    let written = export(&client, &options()).await;
    assert_eq!(written.content("/Shared/team/data.csv"), "a,b\n1,2\n");
}

#[tokio::test]
async fn large_replies_take_turns() {
    let sim = sim();
    let client = client(&sim);
    let text = format!("# Databricks notebook source\n# {}\n", "x".repeat(2 << 20));
    sim.with(|world| put(world, "/Shared/large", notebook(&text)));
    let written = export(&client, &options()).await;
    assert_eq!(written.content("/Shared/large").len(), text.len());
    let calls = sim.calls();
    let exports = calls.iter().filter(|call| call.path == EXPORT).count();
    assert_eq!(exports, 2, "given up at the cap, then read in its turn");
}

#[tokio::test]
async fn a_root_that_is_not_shown_is_a_gap() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let gone = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no" });
    answer(&sim, "/api/2.0/workspace/get-status", "path=/", 404, &gone);
    let written = export(&client, &options()).await;
    assert_eq!(names(&written, Fate::Failed), ["/"]);
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn a_folder_that_no_second_listing_shows_but_is_there_is_unlisted() {
    let sim = sim();
    let client = slow_client(&sim);
    sim.with(|world| put(world, "/Shared/team/x/nb", notebook(common::SOURCE)));
    let gone = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no" });
    let list = "/api/2.0/workspace/list";
    let mut inside = answering(list, "path=/Shared/team/x", 404, &gone);
    inside.skip = 1;
    sim.fault(inside);
    let mut above = answering(list, "path=/Shared/team", 200, &json!({}));
    above.skip = 2;
    sim.fault(above);
    let written = export(&client, &options()).await;
    assert_eq!(written.content("/Shared/team/x/nb"), common::SOURCE);
    assert_eq!(written.ledger(Fate::Vanished), []);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
}

#[tokio::test]
async fn a_server_without_the_older_file_call_gives_the_reason_of_the_known_one() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let large = json!({ "error_code": "MAX_READ_SIZE_EXCEEDED", "message": "too large to read" });
    answer(&sim, EXPORT, "path=/Shared/team/data.csv", 400, &large);
    let older = "/api/2.0/workspace-files/*";
    answer(&sim, older, "", 404, &no_such_api());
    let written = export(&client, &options()).await;
    let failed = written.ledger(Fate::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].message, "too large to read");
}
