//! Answers that must not be taken at their word.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use common::{client, export, options, seed, sim};
use lifeboat_archive::{Inventory, Listing};
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
