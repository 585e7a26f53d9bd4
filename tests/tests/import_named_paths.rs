//! Paths that jobs and clusters name and that an import does not bring itself: they are looked up in the target.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeSet;

use import_support::{Stage, standby, troubles};
use lifeboat_import::{Direction, Options, Plan, Report, Selection, SwitchOptions, Switched, Turn};
use lifeboat_sim::{Fault, dbfs, tree};
use serde_json::{Value, json};

/// Everything but the tree and DBFS.
const WITHOUT_PATHS: [&str; 10] = [
    "users",
    "service-principals",
    "groups",
    "global-init-scripts",
    "secret-scopes",
    "instance-pools",
    "cluster-policies",
    "clusters",
    "libraries",
    "jobs",
];
const LEFT_OUT: &str =
    "is in the archive, but this import leaves it out, and the target does not have it";

fn kinds(kinds: &[&str]) -> Selection {
    Selection {
        kinds: Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        ..Selection::default()
    }
}

fn selecting(stage: &Stage, selection: Selection) -> Options {
    Options {
        selection,
        ..stage.options()
    }
}

/// A source with a job whose program is in DBFS, too.
async fn stage() -> Stage {
    let stage = Stage::new(&standby::small()).await;
    stage.source.with(|world| {
        dbfs::put(world, "/programs/main.py", "print(1)".into());
        // A cluster of the fill names it.
        let script = tree::Object::File("#!/bin/sh\n".into());
        let admin = world.admin();
        tree::put(world, "/Shared/data-platform/init.sh", script, &admin);
    });
    let job = json!({"name": "program", "schedule": schedule(), "tasks": [{
        "task_key": "program",
        "spark_python_task": {"python_file": "dbfs:/programs/main.py"},
    }]});
    standby::send(&stage.source, "/api/2.2/jobs/create", &job).await;
    stage.export().await;
    stage
}

fn schedule() -> Value {
    json!({"quartz_cron_expression": "0 0 1 * * ?", "timezone_id": "UTC", "pause_status": "UNPAUSED"})
}

/// Names of the jobs of the source that name a notebook of the tree or a program in DBFS, and the paths.
fn named(stage: &Stage) -> (BTreeSet<String>, BTreeSet<String>) {
    let dump = stage.source.dump();
    let (mut jobs, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (name, job) in dump["jobs"].as_object().unwrap() {
        for task in job["tasks"].as_array().into_iter().flatten() {
            if let Some(path) = task["notebook_task"]["notebook_path"].as_str()
                && path.starts_with('/')
            {
                jobs.insert(name.clone());
                paths.insert(path.to_owned());
            }
            if !task["spark_python_task"]["python_file"].is_null() {
                jobs.insert(name.clone());
            }
        }
    }
    assert!(jobs.contains("program") && jobs.len() > 4, "{jobs:?}");
    (jobs, paths)
}

/// Jobs with a gap of this text.
fn lacking(report: &Report, what: &str) -> BTreeSet<String> {
    let objects = report.objects.iter();
    objects
        .filter(|object| object.kind == "jobs")
        .filter(|object| object.notes.iter().any(|note| note.contains(what)))
        .map(|object| object.name.clone())
        .collect()
}

/// What a plan says of paths.
fn said(plan: &Plan) -> Vec<String> {
    let said = plan
        .actions
        .iter()
        .flat_map(|action| action.notes.iter().chain(&action.remarks));
    said.filter(|text| text.starts_with("path ") || text.starts_with("dbfs:"))
        .cloned()
        .collect()
}

async fn would_activate(stage: &Stage) -> Switched {
    let options = SwitchOptions {
        dry_run: true,
        ..standby::options(stage)
    };
    standby::turn_with(stage, Direction::Activate, &options).await
}

fn jobs_that(switched: &Switched, turn: Turn) -> BTreeSet<String> {
    let moves = switched.moves.iter();
    moves
        .filter(|one| one.kind == "jobs" && one.turn == turn)
        .map(|one| one.name.clone())
        .collect()
}

/// Jobs that an activation would not start, though they run in the source.
fn barred(switched: &Switched) -> BTreeSet<String> {
    jobs_that(switched, Turn::Blocked)
}

/// Paths that were asked for one by one.
fn asked(stage: &Stage, endpoint: &str) -> Vec<String> {
    let calls = stage.target.calls();
    let asked = calls.iter().filter(|call| call.path == endpoint);
    asked.map(|call| call.query.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_selection_leaves_out_and_the_target_lacks_is_a_gap_that_bars() {
    let stage = stage().await;
    let (jobs, _) = named(&stage);
    let part = selecting(&stage, kinds(&WITHOUT_PATHS));
    let plan = stage.plan(&part).await.unwrap();
    assert!(
        said(&plan).iter().all(|text| text.contains(LEFT_OUT)),
        "{:?}",
        said(&plan)
    );
    let report = stage.apply(&part).await.unwrap();
    let lacks = lacking(&report, LEFT_OUT);
    assert!(lacks.is_superset(&jobs), "{jobs:?}: {lacks:?}");
    assert!(report.has_gaps());
    let would = would_activate(&stage).await;
    assert!(barred(&would).contains("program"), "{:?}", would.moves);
    assert!(jobs_that(&would, Turn::Change).is_disjoint(&jobs));
    // The whole import brings them, and nothing bars the jobs any more.
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(barred(&would_activate(&stage).await), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_in_a_home_that_is_excluded_is_a_gap_of_its_job() {
    let stage = stage().await;
    let home = stage.source.with(|world| {
        let admin = world.admin();
        let notebook = tree::Object::Notebook {
            language: "PYTHON",
            content: "# Databricks notebook source\n1\n".into(),
            jupyter: false,
        };
        let home = format!("/Users/{}", admin.name);
        tree::put(world, &format!("{home}/nightly"), notebook, &admin);
        home
    });
    let job = json!({"name": "at home", "tasks": [{
        "task_key": "a", "notebook_task": {"notebook_path": format!("{home}/nightly")},
    }]});
    standby::send(&stage.source, "/api/2.2/jobs/create", &job).await;
    stage.export().await;
    let without = Selection {
        exclude: vec![home],
        ..Selection::default()
    };
    let report = stage.apply(&selecting(&stage, without)).await.unwrap();
    assert!(
        lacking(&report, LEFT_OUT).contains("at home"),
        "{:?}",
        troubles(&report)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_has_is_no_word_worth_and_each_path_is_asked_for_once() {
    let stage = stage().await;
    let (_, paths) = named(&stage);
    stage.apply(&stage.options()).await.unwrap();
    stage.target.reset_calls();
    let only_jobs = selecting(&stage, kinds(&["jobs"]));
    let plan = stage.plan(&only_jobs).await.unwrap();
    assert_eq!(said(&plan), Vec::<String>::new());
    assert!(plan.is_empty(), "{:?}", plan.actions);
    let status = asked(&stage, "/api/2.0/workspace/get-status");
    let once: BTreeSet<String> = status.iter().cloned().collect();
    assert_eq!(status.len(), once.len(), "{status:?}");
    for path in paths {
        assert!(once.contains(&format!("path={path}")), "{path}: {once:?}");
    }
    let report = stage.apply(&only_jobs).await.unwrap();
    assert_eq!((report.writes, troubles(&report)), (0, Vec::new()));

    // A whole import brings everything and asks for nothing besides.
    stage.target.reset_calls();
    stage.plan(&stage.options()).await.unwrap();
    let status = asked(&stage, "/api/2.0/workspace/get-status");
    assert_eq!(status, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_jobs_alone_finds_their_notebooks_in_the_standby() {
    let stage = stage().await;
    let (_, paths) = named(&stage);
    stage.apply(&stage.options()).await.unwrap();
    let part = |options: &mut lifeboat_export::Options| options.selection = kinds(&WITHOUT_PATHS);
    stage.export_with(part).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(barred(&would_activate(&stage).await), BTreeSet::new());

    // A refused answer is not the answer that it is not there.
    let status = "/api/2.0/workspace/get-status";
    stage.target.fault(Fault::status("GET", status, 403));
    let plan = stage.plan(&stage.options()).await.unwrap();
    stage.target.clear_faults();
    let unknown = "whether the target has it is not known: ";
    assert!(
        !said(&plan).is_empty() && said(&plan).iter().all(|text| text.contains(unknown)),
        "{:?}",
        said(&plan)
    );

    // What is gone is named.
    for path in paths {
        let gone = json!({ "path": path });
        standby::send(&stage.target, "/api/2.0/workspace/delete", &gone).await;
    }
    let report = stage.apply(&stage.options()).await.unwrap();
    let lacks = lacking(&report, "is neither in the archive nor in the target");
    // What is in DBFS is still there.
    assert!(lacks.len() > 3 && !lacks.contains("program"), "{lacks:?}");
    let would = would_activate(&stage).await;
    assert!(!barred(&would).is_empty() && barred(&would).is_subset(&lacks));
    assert!(jobs_that(&would, Turn::Change).is_disjoint(&lacks));
}
