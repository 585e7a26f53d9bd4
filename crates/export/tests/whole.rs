//! Whole exports of a simulated workspace over HTTP.

mod common;

use common::{client, export, options, seed, sim};
use lifeboat_archive::{Fate, Inventory, Listing, Scope};

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
    assert_eq!(written.content("/Shared/team/etl"), common::SOURCE);
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
    let cluster: serde_json::Value = serde_json::from_str(&cluster).unwrap();
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
    let run: serde_json::Value = serde_json::from_str(&written.text("run.json")).unwrap();
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
