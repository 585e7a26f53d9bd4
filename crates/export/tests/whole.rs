//! Whole exports of a simulated workspace over HTTP.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use common::{SOURCE, client, export, notebook, options, post, put, seed, sim};
use lifeboat_archive::{Fate, Inventory, Listing, Scope};
use lifeboat_sim::tree::Object;
use serde_json::{Value, json};

#[tokio::test]
async fn a_workspace_goes_into_one_archive() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let written = export(&client, &options()).await;
    let summary = &written.outcome.summary;
    assert_eq!(
        (summary.scope, summary.inventory),
        (Scope::Workspace, Inventory::Complete),
        "{summary:#?}"
    );
    assert_eq!(written.ledger(Fate::Failed), [], "{summary:#?}");
    assert_eq!(written.outcome.exit_code(), 0);
    for kind in lifeboat_catalog::kinds() {
        assert_eq!(
            written.kind(kind.name).listing,
            Listing::Listed,
            "{}",
            kind.name
        );
    }
    assert_eq!(written.content("/Shared/team/etl"), SOURCE);
    assert_eq!(written.content("/Shared/team/data.csv"), "a,b\n1,2\n");
    assert_eq!(
        written.record("/Shared/empty").unwrap()["object_type"],
        "DIRECTORY"
    );
    assert!(written.record("/").is_some());
    let users: Vec<String> = written
        .lines("data/users")
        .iter()
        .map(|user| user["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(users.len(), 3, "{users:?}");
    assert!(
        written.members("data/jobs/").len() == 1 && written.members("data/clusters/").len() == 1
    );
    assert_eq!(written.members("data/libraries/").len(), 1);
    assert!(
        written
            .text(&written.members("data/global-init-scripts/")[0])
            .contains("IyEvYmluL3NoCg==")
    );
    let scope = written.text("data/secret-scopes/s.json");
    assert!(scope.contains("\"k\"") && !scope.contains("hush"));
    let dbfs: Vec<String> = written
        .lines("data/dbfs")
        .iter()
        .map(|line| line["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        dbfs,
        [
            "/databricks/init",
            "/databricks/init/old",
            "/databricks/init/old/legacy.sh",
            "/scripts/setup.sh"
        ]
    );
    assert_eq!(
        written.text("data/dbfs/content/scripts/setup.sh"),
        "#!/bin/sh\n"
    );
    assert!(sim.unhandled().is_empty(), "{:?}", sim.unhandled());
    assert_eq!(written.lines("data/acls/notebooks").len(), 2);
    assert_eq!(written.lines("data/acls/jobs").len(), 1);
    assert!(
        written
            .lines("data/acls/directories")
            .iter()
            .any(|acl| acl["name"] == "/")
    );
}

#[tokio::test]
async fn trash_and_unknown_types_are_stated() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let written = export(&client, &options()).await;
    let excluded = written.ledger(Fate::Excluded);
    let trash = excluded
        .iter()
        .find(|line| line.name.ends_with("/Trash"))
        .unwrap();
    assert_eq!(trash.message, "rule: trash");
    assert!(
        written
            .record("/Users/admin@example.com/Trash/old")
            .is_none()
    );
    let unsupported = written.ledger(Fate::Unsupported);
    assert_eq!(unsupported[0].name, "/Shared/board.lvdash.json");
    assert_eq!(
        written.record("/Shared/board.lvdash.json").unwrap()["object_type"],
        "DASHBOARD"
    );
    let mut strict = options();
    strict.strict = true;
    assert_eq!(export(&client, &strict).await.outcome.exit_code(), 3);
}

#[tokio::test]
async fn pins_libraries_and_observed_fields_are_kept() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let written = export(&client, &options()).await;
    let cluster = written.text(&written.members("data/clusters/")[0]);
    let cluster: Value = serde_json::from_str(&cluster).unwrap();
    assert_eq!(cluster["body"]["pinned_by_user_name"], "admin@example.com");
    assert_eq!(cluster["body"].get("state"), None);
    let observed = written.lines("observed/clusters");
    assert_eq!(observed[0]["id"], cluster["id"]);
    assert!(
        observed[0]["observed"].get("/state").is_some(),
        "{observed:?}"
    );
    let libraries = written.text(&written.members("data/libraries/")[0]);
    assert!(libraries.contains("simplejson"), "{libraries}");
}

#[tokio::test]
async fn the_run_says_who_called_and_when() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let written = export(&client, &options()).await;
    let run: Value = serde_json::from_str(&written.text("run.json")).unwrap();
    assert_eq!(run["caller"]["user-name"], "admin@example.com");
    assert_eq!(run["caller"]["admin"], true);
    assert!(run["kinds"]["jobs"]["began"].is_string());
    assert!(run["calls"].as_u64().unwrap() > 20);
    assert_eq!(
        written.outcome.header.source.workspace_id,
        sim.workspace_id()
    );
}

#[tokio::test]
async fn members_stand_in_the_order_of_stages() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let written = export(&client, &options()).await;
    let mut members: Vec<_> = written
        .archive
        .members("data/")
        .unwrap()
        .map(|member| member.unwrap())
        .collect();
    members.sort_by_key(|member| member.offset);
    let place = |prefix: &str| {
        members
            .iter()
            .position(|member| member.path.starts_with(prefix))
            .unwrap()
    };
    let order = [
        "data/groups/",
        "data/users/",
        "data/instance-pools/",
        "data/cluster-policies/",
        "data/global-init-scripts/",
        "data/secret-scopes/",
        "data/clusters/",
        "data/libraries/",
        "data/jobs/",
        "data/workspace/content/",
        "data/dbfs/",
        "data/acls/",
    ];
    let places: Vec<usize> = order.iter().map(|prefix| place(prefix)).collect();
    assert!(places.is_sorted(), "{places:?}");
    let contents: Vec<&str> = members
        .iter()
        .map(|member| member.path.as_str())
        .filter(|path| path.starts_with("data/workspace/content/"))
        .collect();
    assert!(contents.is_sorted(), "{contents:?}");
}

#[tokio::test]
async fn generated_workspaces_are_captured_whole() {
    for fill in [lifeboat_sim::Fill::small(), lifeboat_sim::Fill::awkward()] {
        let sim = sim();
        sim.fill(&fill);
        let client = client(&sim);
        let written = export(&client, &options()).await;
        let summary = &written.outcome.summary;
        assert_eq!(summary.inventory, Inventory::Complete, "{summary:#?}");
        let failed: Vec<String> = written
            .ledger(Fate::Failed)
            .into_iter()
            .filter(|line| !line.message.contains("10485760"))
            .map(|line| format!("{line:?}"))
            .collect();
        assert_eq!(failed, Vec::<String>::new());
        assert!(sim.unhandled().is_empty(), "{:?}", sim.unhandled());
        let again = export(&client, &options()).await;
        assert_eq!(
            written.outcome.sealed.content_id,
            again.outcome.sealed.content_id
        );
    }
}

#[tokio::test]
async fn git_folders_are_recorded_and_their_files_on_demand() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| put(world, "/Repos/admin@example.com", Object::Directory));
    let made = post(
        &client,
        "/api/2.0/repos",
        json!({
            "url": "https://github.com/example/etl",
            "provider": "gitHub",
            "path": "/Repos/admin@example.com/etl",
        }),
    )
    .await;
    let id = made["id"].as_i64().unwrap().to_string();
    sim.with(|world| put(world, "/Repos/admin@example.com/etl/nb", notebook(SOURCE)));
    let written = export(&client, &options()).await;
    let record: Value =
        serde_json::from_str(&written.text(&format!("data/git-folders/{id}.json"))).unwrap();
    assert_eq!(record["body"]["url"], "https://github.com/example/etl");
    assert!(record["body"]["branch"].is_string() && record["body"]["head_commit_id"].is_string());
    assert_eq!(
        written.record("/Repos/admin@example.com/etl").unwrap()["object_type"],
        "REPO"
    );
    assert!(written.record("/Repos/admin@example.com/etl/nb").is_none());
    assert_eq!(
        (
            written.kind("git-folders").listed,
            written.kind("git-folders").stored
        ),
        (1, 1)
    );
    assert_eq!(written.kind("git-folder-files").unsupported, 1);
    assert_eq!(written.lines("data/acls/git-folders").len(), 1);
    let mut with_files = options();
    with_files.git_folder_files = true;
    let written = export(&client, &with_files).await;
    assert_eq!(written.content("/Repos/admin@example.com/etl/nb"), SOURCE);
    assert!(
        !written
            .outcome
            .summary
            .kinds
            .contains_key("git-folder-files")
    );
    let mut without = options();
    without.selection.exclude = vec!["/Repos/**".to_owned()];
    let written = export(&client, &without).await;
    assert_eq!(
        (
            written.kind("git-folders").stored,
            written.kind("git-folders").excluded
        ),
        (0, 1)
    );
}

#[tokio::test]
async fn long_jobs_and_members_of_groups_are_whole() {
    let sim = sim();
    let client = client(&sim);
    let tasks: Vec<Value> = (0..250)
        .map(|index| {
            let path = "/Shared/x";
            json!({ "task_key": format!("t{index:03}"), "notebook_task": { "notebook_path": path } })
        })
        .collect();
    post(
        &client,
        "/api/2.2/jobs/create",
        json!({ "name": "long", "tasks": tasks }),
    )
    .await;
    let user = post(
        &client,
        "/api/2.0/preview/scim/v2/Users",
        json!({ "userName": "u@example.com" }),
    )
    .await;
    let members = json!({ "displayName": "team", "members": [{ "value": user["id"] }] });
    post(&client, "/api/2.0/preview/scim/v2/Groups", members).await;
    let written = export(&client, &options()).await;
    let job: Value =
        serde_json::from_str(&written.text(&written.members("data/jobs/")[0])).unwrap();
    assert_eq!(
        job["body"]["settings"]["tasks"].as_array().unwrap().len(),
        250
    );
    let groups = written.lines("data/groups");
    let team = groups.iter().find(|group| group["name"] == "team").unwrap();
    assert_eq!(team["body"]["members"][0]["value"], user["id"]);
}

#[tokio::test]
async fn a_second_export_makes_the_same_calls() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut counts = Vec::new();
    for _ in 0..2 {
        sim.reset_calls();
        export(&client, &options()).await;
        let mut calls: Vec<(String, String)> = sim
            .calls()
            .into_iter()
            .map(|call| (call.method, call.path))
            .collect();
        calls.sort();
        counts.push(calls);
    }
    assert_eq!(counts[0], counts[1]);
    assert!(
        counts[0].iter().all(|(method, _)| method == "GET"),
        "an export only reads: {:?}",
        counts[0]
    );
}
