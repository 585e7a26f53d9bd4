//! What people complained about elsewhere (`spec/complaints.md`), where no other test shows it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{Stage, troubles};
use lifeboat_sim::Fill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_in_groups_are_merged_and_never_created() {
    let stage = Stage::new(&Fill::small()).await;
    let before = stage.target.dump();
    assert!(before["groups"]["admins"].is_object() && before["groups"]["users"].is_object());
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    for name in ["admins", "users"] {
        let group = report
            .objects
            .iter()
            .find(|object| object.kind == "groups" && object.name == name)
            .unwrap();
        assert_ne!(group.fate, lifeboat_import::Fate::Created, "{group:?}");
    }
    let made = report
        .objects
        .iter()
        .filter(|object| object.kind == "groups" && object.fate == lifeboat_import::Fate::Created);
    let posts = stage
        .target
        .calls()
        .into_iter()
        .filter(|call| call.method == "POST" && call.path.ends_with("/Groups"));
    assert!(
        posts.count() <= made.count(),
        "a group was created that the report does not name"
    );
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_only_reads() {
    let stage = Stage::new(&Fill::small()).await;
    let before = stage.source.costs();
    stage.source.reset_calls();
    stage.export().await;
    let calls = stage.source.calls();
    assert!(calls.len() > 100);
    let other: Vec<_> = calls.iter().filter(|call| call.method != "GET").collect();
    assert!(other.is_empty(), "{other:?}");
    let values: Vec<_> = calls
        .iter()
        .filter(|call| call.path.ends_with("/secrets/get"))
        .collect();
    assert!(
        values.is_empty(),
        "no value of a secret is asked for: {values:?}"
    );
    let after = stage.source.costs();
    assert_eq!(
        (before.clusters_started, before.runs_started),
        (after.clusters_started, after.runs_started)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ran_during_an_import_and_nothing_runs_after_it() {
    let stage = Stage::new(&Fill::small()).await;
    // Slow enough that a cluster which is stopped at once never gets to run.
    stage.target.set_clock_rate(20);
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let costs = stage.target.costs();
    assert!(costs.is_passive(), "{costs:?}");
    stage.target.advance(std::time::Duration::from_secs(86_400));
    let costs = stage.target.costs();
    assert!(costs.is_passive(), "a day later: {costs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_secrets_are_named_and_never_written() {
    let stage = Stage::new(&Fill::small()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    let dump = stage.source.dump();
    let values = dump["secrets"].as_object().unwrap().len();
    assert!(values > 0);
    let named = report
        .checklist
        .iter()
        .filter(|todo| todo.command.starts_with("databricks secrets put-secret"));
    assert!(named.count() > 0, "{:?}", report.checklist);
    let puts: Vec<_> = stage
        .target
        .calls()
        .into_iter()
        .filter(|call| call.path.ends_with("/secrets/put"))
        .collect();
    assert!(puts.is_empty(), "{puts:?}");
}
