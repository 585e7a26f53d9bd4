//! Parts of a workspace, and a look without an archive.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use common::{Written, client, export, notebook, options, put, seed, sim};
use lifeboat_archive::{Fate, Inventory, Listing, Scope};
use lifeboat_export::{Error, Silent, check};
use lifeboat_sim::Fault;

fn paths(written: &Written) -> Vec<String> {
    written
        .lines("data/workspace")
        .iter()
        .map(|line| line["path"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_include_brings_its_folders_and_nothing_else() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut options = options();
    options.selection.include = vec!["/Shared/team/*.csv".to_owned()];
    let written = export(&client, &options).await;
    assert_eq!(
        paths(&written),
        ["/Shared", "/Shared/team", "/Shared/team/data.csv"]
    );
    assert_eq!(written.outcome.summary.scope, Scope::Selection);
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
    let excluded = written.ledger(Fate::Excluded);
    let names: Vec<&str> = excluded.iter().map(|line| line.name.as_str()).collect();
    assert!(
        names.contains(&"/Shared/team/etl") && names.contains(&"/Users"),
        "{names:?}"
    );
    let listed = sim
        .calls()
        .iter()
        .filter(|call| call.path.contains("/workspace/list"))
        .count();
    assert_eq!(listed, 6, "the root, /Shared and /Shared/team, twice");
    assert_eq!(written.lines("data/acls/directories").len(), 2);
}

#[tokio::test]
async fn an_exclude_takes_a_folder_with_everything_below() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut options = options();
    options.selection.exclude = vec!["/Shared/team".to_owned()];
    let written = export(&client, &options).await;
    assert!(
        paths(&written)
            .iter()
            .all(|path| !path.starts_with("/Shared/team"))
    );
    let excluded = written.ledger(Fate::Excluded);
    let line = excluded
        .iter()
        .find(|line| line.name == "/Shared/team")
        .unwrap();
    assert_eq!(line.message, "excluded by \"/Shared/team\"");
}

#[tokio::test]
async fn kinds_that_are_not_asked_for_are_not_asked() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.reset_calls();
    let mut options = options();
    options.selection.kinds = Some(vec!["jobs".to_owned(), "notebooks".to_owned()]);
    let written = export(&client, &options).await;
    assert_eq!(written.kind("clusters").listing, Listing::NotAsked);
    assert_eq!(written.kind("directories").listing, Listing::NotAsked);
    assert_eq!(written.kind("acls/clusters").listing, Listing::NotAsked);
    assert_eq!(written.kind("jobs").stored, 1);
    assert_eq!(
        paths(&written),
        ["/Shared/team/etl", "/Users/admin@example.com/nb one"]
    );
    assert!(
        sim.calls()
            .iter()
            .all(|call| !call.path.contains("/clusters/") && !call.path.contains("/dbfs/"))
    );
    options.selection.kinds = Some(vec!["job".to_owned()]);
    let error = common::try_export(&client, &options).await.err().unwrap();
    assert!(matches!(error, Error::Selection(_)));
    assert_eq!(error.exit_code(), 2);
}

#[tokio::test]
async fn users_choose_their_homes() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.with(|world| put(world, "/Users/a@example.com/own", notebook(common::SOURCE)));
    let mut options = options();
    options.selection.users = Some(vec!["a@example.com".to_owned()]);
    let written = export(&client, &options).await;
    assert_eq!(
        paths(&written),
        ["/Users", "/Users/a@example.com", "/Users/a@example.com/own"]
    );
}

#[tokio::test]
async fn dbfs_paths_can_be_asked_for_and_mounts_never() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    common::dbfs(&client, "/FileStore/jars/a.jar", &[1; 2_500_000]).await;
    common::dbfs(&client, "/FileStore/other", b"x").await;
    let mut options = options();
    options.dbfs = vec![
        "dbfs:/FileStore/jars/".to_owned(),
        "/mnt/raw".to_owned(),
        "/FileStore/none".to_owned(),
    ];
    let written = export(&client, &options).await;
    let member = written
        .archive
        .find("data/dbfs/content/FileStore/jars/a.jar")
        .unwrap()
        .unwrap();
    assert_eq!(written.archive.read(&member).unwrap(), vec![1; 2_500_000]);
    assert!(
        written
            .archive
            .find("data/dbfs/content/FileStore/other")
            .unwrap()
            .is_none()
    );
    let unsupported = written.ledger(Fate::Unsupported);
    assert!(
        unsupported
            .iter()
            .any(|line| line.name == "/mnt/raw" && line.kind == "dbfs")
    );
    let failed = written.ledger(Fate::Failed);
    let missing = failed.iter().find(|line| line.name == "/FileStore/none");
    let missing = missing.unwrap();
    assert_eq!(
        missing.message,
        "the options ask for it, and it does not exist"
    );
    assert_eq!(written.outcome.exit_code(), 3);
    assert!(sim.calls().iter().all(|call| !call.path.contains("mnt")));
}

#[tokio::test]
async fn a_check_reads_no_contents_and_says_what_is_hidden() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.reset_calls();
    let mut fault = Fault::status("GET", "/api/2.0/workspace/list", 403);
    fault.query = "path=/Users/admin@example.com".to_owned();
    sim.fault(fault);
    let report = check(&client, &options(), &Silent).await.unwrap();
    assert!(report.admin);
    assert_eq!(report.inventory, Inventory::Incomplete);
    assert_eq!(report.kinds["notebooks"].captured, 1);
    assert_eq!(report.kinds["jobs"].captured, 1);
    assert!(
        report
            .unreadable
            .iter()
            .any(|line| line.name == "/Users/admin@example.com"),
        "{:?}",
        report.unreadable
    );
    assert!(report.calls > 20 && report.seconds > 0.0, "{report:?}");
    let read = ["/export", "/permissions/", "/jobs/get", "/dbfs/read"];
    assert!(
        sim.calls()
            .iter()
            .all(|call| read.iter().all(|path| !call.path.contains(path)))
    );
}
