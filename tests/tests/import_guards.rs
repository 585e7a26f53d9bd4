//! Every guard of an import: what it refuses, that nothing was written then, and what opens it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{SOURCE, Stage, TARGET, client, names_with, rule, troubles, workspace};
use lifeboat_databricks::{Family, LimitTable, Limits};
use lifeboat_import::journal::{Journal, Lock, State};
use lifeboat_import::{Error, Fate, Options, Rule, Silent, What};
use lifeboat_sim::{Fault, Fill, Sim};

fn little() -> Fill {
    Fill {
        notebooks: 6,
        folders: 3,
        files: 2,
        others: 0,
        users: 3,
        groups: 2,
        clusters: 1,
        jobs: 2,
        ..Fill::small()
    }
}

fn assert_nothing_written(sim: &Sim) {
    let writes: Vec<_> = sim
        .calls()
        .into_iter()
        .filter(|call| call.method != "GET")
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_must_be_named_and_be_the_one_that_was_named() {
    let stage = Stage::new(&little()).await;
    let unnamed = Options {
        target: None,
        ..stage.options()
    };
    assert_eq!(rule(stage.apply(&unnamed).await), Rule::UnknownTarget);
    let wrong = Options {
        target: Some("333".to_owned()),
        ..stage.options()
    };
    assert_eq!(rule(stage.apply(&wrong).await), Rule::OtherTarget);
    assert_nothing_written(&stage.target);
    assert!(
        !stage.journal().exists(),
        "a refused apply leaves no journal"
    );
    let contact = lifeboat_import::contact(&stage.open(), &client(&stage.target), &unnamed)
        .await
        .unwrap();
    assert_eq!(
        (
            contact.source.as_str(),
            contact.target.as_str(),
            contact.known
        ),
        (SOURCE, TARGET, false)
    );

    stage.apply(&stage.options()).await.unwrap();
    let report = stage.apply(&unnamed).await.unwrap();
    assert_eq!(
        report.writes, 0,
        "a target that the journal knows needs no name"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_is_refused_and_into_source_only_creates_what_is_absent() {
    let stage = Stage::new(&little()).await;
    let into = Options {
        target: Some(SOURCE.to_owned()),
        ..stage.options()
    };
    let archive = stage.open();
    let source = client(&stage.source);
    stage.source.reset_calls();
    let refused = lifeboat_import::apply(&archive, &source, &into, &Silent).await;
    assert_eq!(rule(refused), Rule::SourceIsTarget);
    let planned = lifeboat_import::plan(&archive, &source, &into, &Silent)
        .await
        .unwrap_err();
    assert!(planned.is_refusal());
    assert_nothing_written(&stage.source);

    let into = Options {
        into_source: true,
        ..into
    };
    let before = stage.source.dump();
    let report = lifeboat_import::apply(&archive, &source, &into, &Silent)
        .await
        .unwrap();
    assert_eq!(report.writes, 0);
    assert_eq!(stage.source.dump(), before);

    let lost = before["notebooks"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let body = serde_json::json!({ "path": lost, "recursive": false });
    send(&stage.source, "/api/2.0/workspace/delete", &body).await;
    let report = lifeboat_import::apply(&archive, &source, &into, &Silent)
        .await
        .unwrap();
    let created = names_with(&report, Fate::Created);
    assert_eq!(created, [lost.as_str()]);
    assert_eq!(lifeboat_sim::compare(&before, &stage.source.dump()), []);
}

async fn send(sim: &Sim, path: &str, body: &serde_json::Value) -> serde_json::Value {
    use lifeboat_databricks::{Body, Safety};
    client(sim)
        .send("POST", path, &[], Body::Json(body), Safety::Create)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_another_pair_is_refused() {
    let stage = Stage::new(&little()).await;
    let path = stage.folder.path().join("other.jsonl");
    let journal =
        Journal::open(&path, Lock::take(&path).unwrap(), SOURCE, "999", "archive").unwrap();
    drop(journal);
    let options = Options {
        journal: Some(path),
        ..stage.options()
    };
    assert_eq!(
        rule(stage.apply(&options).await),
        Rule::JournalOfAnotherPair
    );
    assert!(stage.plan(&options).await.unwrap_err().is_refusal());
    assert_nothing_written(&stage.target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_target_is_refused_until_it_is_standby_again() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    set_state(&stage, State::Active);
    stage.target.reset_calls();
    assert_eq!(rule(stage.apply(&stage.options()).await), Rule::Active);
    assert_nothing_written(&stage.target);
    set_state(&stage, State::Standby);
    stage.apply(&stage.options()).await.unwrap();
}

fn set_state(stage: &Stage, state: State) {
    let path = stage.journal();
    let journal =
        Journal::open(&path, Lock::take(&path).unwrap(), SOURCE, TARGET, "archive").unwrap();
    journal.set_state(state).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_journal_equal_names_are_refused_and_adopted_when_equal() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    fs_err::remove_file(stage.journal()).unwrap();
    stage.target.reset_calls();
    assert_eq!(rule(stage.apply(&stage.options()).await), Rule::NoJournal);
    assert_nothing_written(&stage.target);
    assert!(!stage.journal().exists());

    let changed = stage.target.dump();
    let notebook = changed["notebooks"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let body = serde_json::json!({
        "path": notebook, "format": "RAW", "content": "Zm9yZWlnbgo=", "overwrite": true,
        "language": changed["notebooks"][&notebook]["language"]
    });
    let mut source = body.clone();
    source["format"] = "SOURCE".into();
    send(&stage.target, "/api/2.0/workspace/import", &source).await;
    let adopt = Options {
        adopt: true,
        ..stage.options()
    };
    let before = stage.target.dump();
    let report = stage.apply(&adopt).await.unwrap();
    let blocked = names_with(&report, Fate::Blocked);
    assert_eq!(blocked, [notebook.as_str()]);
    assert_eq!(
        lifeboat_sim::compare(&before, &stage.target.dump()),
        [],
        "adopting changes nothing"
    );
    let totals = report.totals();
    assert!(totals.adopted > 10 && totals.created == 0, "{totals:?}");
    assert_eq!(stage.apply(&stage.options()).await.unwrap().writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_jobs_of_one_name_are_ambiguous_and_never_chosen_by_order() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    fs_err::remove_file(stage.journal()).unwrap();
    let jobs = client(&stage.target)
        .get("/api/2.2/jobs/list", &[("expand_tasks", "true")])
        .await
        .unwrap();
    let job = &jobs["jobs"][0];
    let name = job["settings"]["name"].as_str().unwrap().to_owned();
    let id = job["job_id"].to_string();
    let whole = client(&stage.target)
        .get("/api/2.2/jobs/get", &[("job_id", &id)])
        .await
        .unwrap();
    let mut settings = whole["settings"].clone();
    settings["run_as"] = run_as(whole["run_as_user_name"].as_str().unwrap());
    send(&stage.target, "/api/2.2/jobs/create", &settings).await;
    let plan = stage
        .plan(&Options {
            adopt: true,
            ..stage.options()
        })
        .await
        .unwrap();
    let action = plan
        .actions
        .iter()
        .find(|action| action.kind == "jobs" && action.name == name)
        .unwrap();
    assert_eq!(action.what, What::Blocked);
    assert!(
        action.reason.as_deref().unwrap().contains("ambiguous: 2"),
        "{action:?}"
    );
}

fn run_as(name: &str) -> serde_json::Value {
    let field = if name.contains('@') {
        "user_name"
    } else {
        "service_principal_name"
    };
    serde_json::json!({ field: name })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_archive_is_refused() {
    let stage = Stage::new(&little()).await;
    let mut bytes = fs_err::read(&stage.archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs_err::write(&stage.archive, &bytes).unwrap();
    let error = match lifeboat_archive::Archive::open(&stage.archive) {
        Ok(archive) => {
            lifeboat_import::apply(&archive, &client(&stage.target), &stage.options(), &Silent)
                .await
                .unwrap_err()
        }
        Err(error) => panic!("the tail is whole: {error}"),
    };
    assert!(error.is_damage(), "{error}");
    assert!(stage.target.calls().is_empty(), "not even asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_inventory_is_refused_and_names_what_is_missing() {
    let stage = Stage::new(&little()).await;
    stage
        .source
        .fault(Fault::status("GET", "/api/2.0/instance-pools/list", 403));
    stage.export().await;
    match stage.apply(&stage.options()).await {
        Err(Error::Refused {
            rule: Rule::Incomplete,
            detail,
            ..
        }) => {
            assert!(detail.contains("instance-pools"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert_nothing_written(&stage.target);
    let allowed = Options {
        allow_incomplete: true,
        ..stage.options()
    };
    let report = stage.apply(&allowed).await.unwrap();
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.contains("instance-pools")),
        "{:?}",
        report.warnings
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_export_failed_to_read_is_a_gap_of_every_import() {
    let stage = Stage::new(&little()).await;
    stage.source.fault(Fault {
        times: 1,
        ..Fault::status("GET", "/api/2.2/jobs/get", 403)
    });
    stage.export().await;
    for _ in 0..2 {
        let report = stage.apply(&stage.options()).await.unwrap();
        let lost: Vec<_> = report
            .objects
            .iter()
            .filter(|object| {
                let reason = object.reason.as_deref().unwrap_or_default();
                object.kind == "jobs" && reason.starts_with("not captured by the export")
            })
            .collect();
        assert_eq!(lost.len(), 1, "{:?}", troubles(&report));
        assert_eq!(lost[0].fate, Fate::Blocked);
        assert!(report.has_gaps());
        let comparison = report.comparison.unwrap();
        assert_eq!(comparison.kinds["jobs"].unknown, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_stops_before_anything_and_a_lost_one_stops_the_run() {
    let stage = Stage::new(&little()).await;
    let invalid = Fault {
        body: Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned()),
        ..Fault::status("", "", 403)
    };
    stage.target.fault(invalid.clone());
    match stage.apply(&stage.options()).await {
        Err(Error::Service { source, .. }) => assert!(source.is_auth(), "{source}"),
        other => panic!("{other:?}"),
    }
    stage.target.clear_faults();

    stage.target.fault(Fault {
        skip: 80,
        ..invalid
    });
    match stage.apply(&stage.options()).await {
        Err(Error::Stopped {
            credentials: true,
            report,
            ..
        }) => {
            let left = report
                .objects
                .iter()
                .filter(|object| object.fate == Fate::Failed)
                .count();
            assert!(left > 0);
        }
        other => panic!("{other:?}"),
    }
    stage.target.clear_faults();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_writes_nothing_anywhere() {
    let stage = Stage::new(&little()).await;
    stage.target.reset_calls();
    let plan = stage
        .plan(&Options {
            target: None,
            ..stage.options()
        })
        .await
        .unwrap();
    assert!(!plan.is_empty() && plan.cost.writes > 0 && plan.cost.floor > 0.0);
    assert!(
        plan.summary()
            .iter()
            .any(|(kind, counts)| kind == "notebooks" && counts.create == 6)
    );
    assert_nothing_written(&stage.target);
    assert!(!stage.folder.path().join("state").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_how_many_calls_write_and_how_long_they_take_at_the_limits_that_hold() {
    let stage = Stage::new(&Fill::small()).await;
    let plan = stage.plan(&stage.options()).await.unwrap();
    let slow = LimitTable::parse("permissions-write = 1/s").unwrap();
    let slower = stage
        .plan(&Options {
            limits: slow,
            ..stage.options()
        })
        .await
        .unwrap();
    let puts = plan.cost.calls[&Family::PermissionsWrite] as f64;
    assert!(slower.cost.floor >= puts - 1.0, "{}", slower.cost.floor);
    let off = stage
        .plan(&Options {
            limits: Limits::Off.table(),
            ..stage.options()
        })
        .await
        .unwrap();
    assert_eq!((off.cost.floor, off.cost.writes), (0.0, plan.cost.writes));
    stage.target.reset_calls();
    stage.apply(&stage.options()).await.unwrap();
    let written = stage.writes().len() as u64;
    assert_eq!(plan.cost.writes, written);
    let again = stage.plan(&stage.options()).await.unwrap();
    assert_eq!(again.cost.writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unselected_kind_is_not_written_and_still_referred_to() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    let other = workspace("4444444444444444");
    let mut options = Options {
        target: Some("4444444444444444".to_owned()),
        ..stage.options()
    };
    options.selection.kinds = Some(vec!["notebooks".to_owned()]);
    let report = lifeboat_import::apply(&stage.open(), &client(&other), &options, &Silent)
        .await
        .unwrap();
    assert!(report.kinds.contains_key("notebooks") && report.kinds.contains_key("directories"));
    assert!(!report.kinds.contains_key("users") && !report.kinds.contains_key("jobs"));
    // Nobody of the source exists there: homes are orphans, grantees are named.
    let dump = other.dump();
    let homes = dump["directories"].as_object().unwrap().keys();
    assert!(
        homes
            .clone()
            .any(|path| path.starts_with("/Restored-homes/")),
        "{homes:?}"
    );
    assert!(
        report
            .objects
            .iter()
            .any(|object| object.notes.iter().any(|note| note.contains("not granted")))
    );
}
