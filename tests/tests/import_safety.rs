//! What an import must never do, whatever the target answers: take people for missing, make things twice, undo what an
//! operator did, overwrite what appeared.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{Stage, client, troubles};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::{Error, Fate, Options, Report, Silent, What};
use lifeboat_sim::{Fault, FaultKind, Fill, Sim, When};
use serde_json::{Value, json};

fn little() -> Fill {
    Fill {
        notebooks: 3,
        folders: 2,
        files: 1,
        users: 3,
        service_principals: 1,
        groups: 2,
        clusters: 1,
        jobs: 2,
        pools: 1,
        policies: 1,
        init_scripts: 1,
        scopes: 1,
        git_folders: 0,
        dbfs_files: 2,
        ..Fill::small()
    }
}

async fn send(sim: &Sim, path: &str, body: &Value) -> Value {
    client(sim)
        .send("POST", path, &[], Body::Json(body), Safety::Create)
        .await
        .unwrap()
}

async fn jobs(sim: &Sim) -> Vec<Value> {
    let reply = client(sim).get("/api/2.2/jobs/list", &[]).await.unwrap();
    reply["jobs"].as_array().cloned().unwrap_or_default()
}

fn of_kind<'r>(report: &'r Report, kind: &str) -> Vec<&'r lifeboat_import::ObjectResult> {
    let objects = report.objects.iter();
    objects.filter(|object| object.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_list_of_people_nothing_is_written() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    for path in ["Users", "Groups", "ServicePrincipals"] {
        let path = format!("/api/2.0/preview/scim/v2/{path}");
        stage.target.fault(Fault::status("GET", &path, 403));
        stage.target.reset_calls();
        let journal = fs_err::read(stage.journal()).unwrap();
        let refused = stage.apply(&stage.options()).await.unwrap_err();
        assert!(matches!(refused, Error::Service { .. }), "{refused:?}");
        assert!(stage.writes().is_empty(), "{:?}", stage.writes());
        assert_eq!(fs_err::read(stage.journal()).unwrap(), journal);
        let plan = stage.plan(&stage.options()).await.unwrap();
        assert!(
            plan.warnings.iter().any(|text| text.contains("refuses")),
            "{:?}",
            plan.warnings
        );
        stage.target.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_answer_is_lost_is_never_made_twice_in_one_run() {
    let stage = Stage::new(&little()).await;
    // The answers are lost, and the listing shows nothing of them for as long as the run looks.
    stage.target.fault(Fault {
        method: "POST".to_owned(),
        path: "/api/2.2/jobs/create".to_owned(),
        kind: FaultKind::Reset,
        when: When::After,
        ..Fault::default()
    });
    let nothing = Fault {
        body: Some("{}".to_owned()),
        ..Fault::status("GET", "/api/2.2/jobs/list", 200)
    };
    stage.target.fault(nothing);
    let report = stage.apply(&stage.options()).await.unwrap();
    stage.target.clear_faults();
    let creates = stage.target.calls();
    let creates = creates
        .iter()
        .filter(|call| call.path == "/api/2.2/jobs/create");
    assert_eq!(creates.count(), 2, "one per job");
    for job in of_kind(&report, "jobs") {
        assert_eq!(job.fate, Fate::Failed, "{job:?}");
    }
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(jobs(&stage.target).await.len(), 2);
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_an_operator_unpaused_stay_so_and_change_with_the_archive_only_when_told() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    let job = jobs(&stage.target).await[0].clone();
    let settings = json!({ "timeout_seconds": 4321 });
    let body = json!({ "job_id": job["job_id"], "new_settings": settings });
    send(&stage.target, "/api/2.2/jobs/update", &body).await;
    // Twice: what was read back after the first is not what was written.
    for _ in 0..2 {
        let report = stage.apply(&stage.options()).await.unwrap();
        assert_eq!(report.writes, 0);
        let kept = of_kind(&report, "jobs");
        let kept = kept.iter().find(|one| one.fate == Fate::Skipped).unwrap();
        assert!(
            kept.reason
                .as_deref()
                .unwrap()
                .contains("--overwrite-changed")
        );
    }
    let overwrite = Options {
        overwrite_changed: true,
        ..stage.options()
    };
    assert_eq!(stage.apply(&overwrite).await.unwrap().writes, 1);
    assert_eq!(stage.differences(), Vec::<String>::new());

    for job in jobs(&stage.source).await {
        let body = json!({ "job_id": job["job_id"], "new_settings": { "timeout_seconds": 99 } });
        send(&stage.source, "/api/2.2/jobs/update", &body).await;
    }
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(
        (report.totals().updated, report.writes),
        (2, 2),
        "nobody changed them"
    );
    assert_eq!(stage.apply(&stage.options()).await.unwrap().writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_appears_in_dbfs_meanwhile_is_kept() {
    let stage = Stage::new(&little()).await;
    let path = "/FileStore/tables/orders/part-00000.csv".to_owned();
    // It is there, and the target says once that it is not.
    let body = json!({ "path": path, "contents": "bWluZQ==" });
    send(&stage.target, "/api/2.0/dbfs/put", &body).await;
    stage.target.fault(Fault {
        times: 1,
        query: format!("path={path}"),
        ..Fault::status("GET", "/api/2.0/dbfs/get-status", 404)
    });
    let report = stage.apply(&stage.options()).await.unwrap();
    let object = report
        .objects
        .iter()
        .find(|object| object.kind == "dbfs" && object.name == path)
        .unwrap();
    assert_eq!(object.fate, Fate::Blocked, "{object:?}");
    let query = [("path", path.as_str())];
    let read = client(&stage.target)
        .get("/api/2.0/dbfs/read", &query)
        .await
        .unwrap();
    assert_eq!(read["data"], "bWluZQ==");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_does_not_stop_is_named_with_the_command_that_stops_it() {
    let stage = Stage::new(&little()).await;
    let refused = Fault::status("POST", "/api/2.1/clusters/delete", 400);
    stage.target.fault(refused);
    let report = stage.apply(&stage.options()).await.unwrap();
    let clusters = of_kind(&report, "clusters");
    assert_eq!(clusters[0].fate, Fate::Failed);
    let reason = clusters[0].reason.as_deref().unwrap();
    assert!(reason.contains("still running"), "{reason}");
    let command = |text: &str| text.starts_with("databricks clusters delete ");
    assert!(
        report.checklist.iter().any(|todo| command(&todo.command)),
        "{:?}",
        report.checklist
    );
    stage.target.clear_faults();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_refused_for_another_reason_is_not_made_to_run_on() {
    let stage = Stage::new(&little()).await;
    let refused = Fault::status("POST", "/api/2.1/clusters/create", 400);
    stage.target.fault(refused);
    stage.apply(&stage.options()).await.unwrap();
    let calls = stage.target.calls();
    let creates = calls
        .iter()
        .filter(|call| call.path == "/api/2.1/clusters/create");
    assert_eq!(creates.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_the_source_that_died_is_finished_by_the_next() {
    let stage = Stage::new(&little()).await;
    let into = Options {
        target: Some(import_support::SOURCE.to_owned()),
        into_source: true,
        ..stage.options()
    };
    let before = stage.source.dump();
    for job in jobs(&stage.source).await {
        let body = json!({ "job_id": job["job_id"] });
        send(&stage.source, "/api/2.2/jobs/delete", &body).await;
    }
    stage.source.fault(Fault {
        method: "POST".to_owned(),
        path: "/api/2.2/jobs/create".to_owned(),
        kind: FaultKind::Kill,
        when: When::After,
        times: 1,
        ..Fault::default()
    });
    let impatient =
        import_support::client_with(&stage.source, std::time::Duration::from_millis(50));
    let died = lifeboat_import::apply(&stage.open(), &impatient, &into, &Silent).await;
    stage.source.clear_faults();
    assert!(
        died.is_err()
            || of_kind(&died.unwrap(), "jobs")
                .iter()
                .any(|one| one.fate == Fate::Failed)
    );
    let report = lifeboat_import::apply(&stage.open(), &client(&stage.source), &into, &Silent)
        .await
        .unwrap();
    let jobs_now = jobs(&stage.source).await;
    assert_eq!(jobs_now.len(), 2, "{:?}", troubles(&report));
    let left: Vec<_> = lifeboat_sim::compare(&before, &stage.source.dump());
    assert!(
        left.iter().all(|one| !one.kind.starts_with("acls")),
        "{left:?}"
    );
    let plan = lifeboat_import::plan(&stage.open(), &client(&stage.source), &into, &Silent)
        .await
        .unwrap();
    assert!(plan.is_empty());
    assert!(plan.actions.iter().all(|one| one.what != What::Blocked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_that_is_deleted_and_made_again_keeps_its_grants() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    let dump = stage.source.dump();
    let granted = |path: &str| {
        dump["acls/notebooks"][path]
            .as_object()
            .is_some_and(|grants| !grants.is_empty())
            || dump["acls/notebooks"][path]
                .as_array()
                .is_some_and(|grants| !grants.is_empty())
    };
    let notebooks = dump["notebooks"].as_object().unwrap();
    let path = notebooks
        .iter()
        .find(|(path, facts)| facts["language"] == "PYTHON" && granted(path))
        .unwrap_or_else(|| panic!("{}", dump["acls/notebooks"]))
        .0;
    stage.source.advance(std::time::Duration::from_secs(1));
    // # Databricks notebook source, and one line.
    let body = json!({
        "path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": true,
        "content": "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgxKQo="
    });
    send(&stage.source, "/api/2.0/workspace/import", &body).await;
    stage.export().await;
    let exists = r#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"it already exists"}"#;
    stage.target.fault(Fault {
        body: Some(exists.to_owned()),
        times: 1,
        ..Fault::status("POST", "/api/2.0/workspace/import", 400)
    });
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
    let calls = stage.writes();
    let deleted = calls
        .iter()
        .filter(|call| call.path == "/api/2.0/workspace/delete");
    assert_eq!(deleted.count(), 1);
    assert_eq!(stage.apply(&stage.options()).await.unwrap().writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_object_of_the_name_in_another_form_is_nobodys_after_a_lost_answer() {
    let stage = Stage::new(&Fill {
        jobs: 1,
        ..little()
    })
    .await;
    // The service made something else of it than what was sent, and the answer is lost.
    let job = jobs(&stage.source).await[0].clone();
    stage.target.fault(Fault {
        method: "POST".to_owned(),
        path: "/api/2.2/jobs/create".to_owned(),
        kind: FaultKind::Reset,
        when: When::Before,
        times: 1,
        ..Fault::default()
    });
    let name = job["settings"]["name"].as_str().unwrap();
    let listed = json!({ "jobs": [{ "job_id": 77, "settings": { "name": name } }] });
    stage.target.fault(Fault {
        body: Some(listed.to_string()),
        skip: 1,
        times: 1,
        ..Fault::status("GET", "/api/2.2/jobs/list", 200)
    });
    let read = json!({ "job_id": 77, "settings": { "name": name, "timeout_seconds": 5 } });
    stage.target.fault(Fault {
        body: Some(read.to_string()),
        query: "job_id=77".to_owned(),
        ..Fault::status("GET", "/api/2.2/jobs/get", 200)
    });
    let report = stage.apply(&stage.options()).await.unwrap();
    let jobs = of_kind(&report, "jobs");
    assert_eq!(jobs[0].fate, Fate::Blocked, "{:?}", jobs[0]);
    assert!(jobs[0].reason.as_deref().unwrap().contains("ambiguous"));
    let calls = stage.target.calls();
    let creates = calls
        .iter()
        .filter(|call| call.path == "/api/2.2/jobs/create");
    assert_eq!(creates.count(), 1);
}
