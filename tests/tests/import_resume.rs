//! Lost answers, changes on both sides, a torn journal, two imports at once. Deaths at every call: `import_proofs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::time::Duration;

use import_support::{Stage, TARGET, troubles};
use lifeboat_sim::{Fault, FaultKind, Fill, When};

fn tiny() -> Fill {
    Fill {
        notebooks: 5,
        folders: 3,
        files: 2,
        users: 3,
        service_principals: 1,
        groups: 3,
        clusters: 2,
        jobs: 3,
        pools: 1,
        policies: 1,
        init_scripts: 2,
        scopes: 1,
        git_folders: 2,
        dbfs_files: 1,
        ..Fill::small()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_lost_is_found_again() {
    for path in [
        "/api/2.2/jobs/create",
        "/api/2.1/clusters/create",
        "/api/2.0/instance-pools/create",
        "/api/2.0/policies/clusters/create",
        "/api/2.0/preview/scim/v2/Users",
        "/api/2.0/preview/scim/v2/Groups",
        "/api/2.0/workspace/import",
        "/api/2.0/secrets/scopes/create",
        "/api/2.0/global-init-scripts",
        "/api/2.0/repos",
    ] {
        let stage = Stage::new(&tiny()).await;
        let fault = Fault {
            method: "POST".to_owned(),
            path: path.to_owned(),
            kind: FaultKind::Reset,
            when: When::After,
            // One git folder is at the default branch of its remote and one at another: both answers are lost.
            times: if path == "/api/2.0/repos" { 2 } else { 1 },
            ..Fault::default()
        };
        stage.target.fault(fault);
        let report = stage.apply(&stage.options()).await.unwrap();
        assert_eq!(troubles(&report), Vec::<String>::new(), "{path}");
        assert_eq!(stage.differences(), Vec::<String>::new(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_source_updates_and_a_changed_target_is_kept() {
    let stage = Stage::new(&tiny()).await;
    stage.apply(&stage.options()).await.unwrap();
    let path = notebook(&stage);
    import(
        &stage.source,
        &path,
        "# Databricks notebook source\nprint('new')\n",
    )
    .await;
    stage.export().await;

    import(
        &stage.target,
        &path,
        "# Databricks notebook source\nprint('mine')\n",
    )
    .await;
    let plan = stage.plan(&stage.options()).await.unwrap();
    let action = plan
        .actions
        .iter()
        .find(|action| action.name == path)
        .unwrap();
    assert_eq!(action.what, lifeboat_import::What::Skip, "{action:?}");
    assert!(
        action
            .reason
            .as_deref()
            .unwrap()
            .contains("--overwrite-changed")
    );
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(report.writes, 0);
    let differences = report.comparison.unwrap().differences;
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(differences[0].name, path);

    let overwrite = lifeboat_import::Options {
        overwrite_changed: true,
        ..stage.options()
    };
    let report = stage.apply(&overwrite).await.unwrap();
    assert_eq!(
        report.writes, 1,
        "only the notebook: its access control did not change"
    );
    assert_eq!(stage.differences(), Vec::<String>::new());
}

fn notebook(stage: &Stage) -> String {
    let dump = stage.source.dump();
    let notebooks = dump["notebooks"].as_object().unwrap();
    let python = notebooks
        .iter()
        .find(|(_, facts)| facts["language"] == "PYTHON" && facts["jupyter"] != true);
    python.unwrap().0.clone()
}

async fn import(sim: &lifeboat_sim::Sim, path: &str, text: &str) {
    use lifeboat_databricks::{Body, Safety};
    // The clock of a change must be another than that of the last one.
    sim.advance(Duration::from_secs(1));
    let content: String = base64(text.as_bytes());
    let body = serde_json::json!({
        "path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": true, "content": content
    });
    let client = import_support::client(sim);
    client
        .send(
            "POST",
            "/api/2.0/workspace/import",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        )
        .await
        .unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let at = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit > chunk.len() {
                '='
            } else {
                char::from(DIGITS[at as usize])
            });
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_at_once_and_a_torn_journal() {
    let stage = Stage::new(&tiny()).await;
    stage.apply(&stage.options()).await.unwrap();
    let journal = stage.journal();
    let mut text = fs_err::read(&journal).unwrap();
    text.extend_from_slice(br#"{"v":1,"at":"2026-11-22T01:0"#);
    fs_err::write(&journal, &text).unwrap();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(report.writes, 0);
    let text = fs_err::read_to_string(&journal).unwrap();
    assert!(
        text.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
    assert!(text.contains(&format!(r#""target":"{TARGET}""#)));

    let lock = lifeboat_import::journal::Lock::take(&journal).unwrap();
    let refused = stage.apply(&stage.options()).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    assert!(refused.to_string().contains("process"), "{refused}");
    drop(lock);
    stage.apply(&stage.options()).await.unwrap();
}
