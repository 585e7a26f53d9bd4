//! Export, import, compare, and the same again: the whole chain against simulated workspaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{Stage, troubles};
use lifeboat_sim::Fill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_comes_out_of_its_archive_equal_and_the_second_run_writes_nothing() {
    let stage = Stage::new(&Fill::small()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let comparison = report.comparison.unwrap();
    assert_eq!(comparison.differences, []);
    assert_eq!(stage.differences(), Vec::<String>::new());

    let plan = stage.plan(&stage.options()).await.unwrap();
    let work: Vec<String> = plan
        .actions
        .iter()
        .filter(|action| action.has_work())
        .map(|action| format!("{action:?}"))
        .collect();
    assert_eq!(work, Vec::<String>::new());
    stage.target.reset_calls();
    let again = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(again.writes, 0);
    assert!(stage.writes().is_empty(), "{:?}", stage.writes());
    assert!(
        stage.target.unhandled().is_empty(),
        "{:?}",
        stage.target.unhandled()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jupyter_notebooks_come_back_as_they_were() {
    let stage = Stage::new(&Fill {
        jobs: 0,
        clusters: 0,
        ..Fill::small()
    })
    .await;
    stage
        .export_with(|options| {
            options.notebook_format = lifeboat_export::NotebookFormat::Jupyter;
        })
        .await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(report.comparison.unwrap().differences, []);
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert!(plan.is_empty());
    let deep = lifeboat_import::Options {
        recheck: lifeboat_import::Recheck::All,
        ..stage.options()
    };
    let plan = stage.plan(&deep).await.unwrap();
    let work: Vec<_> = plan.actions.iter().filter(|one| one.has_work()).collect();
    assert!(work.is_empty(), "{work:?}");
}
