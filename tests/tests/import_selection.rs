//! Parts of an archive: by path, by user, by kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeSet;

use import_support::{SOURCE, Stage, client, names_with, troubles};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::{Error, Fate, Options, Selection, Silent, What};
use lifeboat_sim::{Fill, Sim, tree};
use serde_json::{Value, json};

const TREE: [&str; 5] = [
    "directories",
    "notebooks",
    "files",
    "git-folders",
    "workspace-objects",
];

fn selecting(stage: &Stage, selection: Selection) -> Options {
    Options {
        selection,
        ..stage.options()
    }
}

fn include(path: &str) -> Selection {
    Selection {
        include: vec![path.to_owned()],
        ..Selection::default()
    }
}

fn notebook(text: &str) -> tree::Object {
    tree::Object::Notebook {
        language: "PYTHON",
        content: format!("# Databricks notebook source\n{text}\n").into(),
        jupyter: false,
    }
}

/// A source with a team's folder in which one subfolder is the team's own.
async fn with_team() -> Stage {
    let stage = Stage::new(&Fill {
        notebooks: 6,
        ..Fill::small()
    })
    .await;
    stage.source.with(|world| {
        let admin = world.admin();
        for path in ["/Team/private/deep/one", "/Team/other/two"] {
            tree::put(world, path, notebook(path), &admin);
        }
        let id = tree::put(world, "/Team/private", tree::Object::Directory, &admin).to_string();
        let group = lifeboat_sim::permissions::Principal::Group("users".into());
        world.acls.set("directories", &id, group, "CAN_READ");
        lifeboat_sim::repos::add(
            world,
            "/Team/repo",
            "https://git.example.com/team/repo",
            "gitHub",
            "main",
            &admin,
        );
    });
    stage.export().await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_brings_what_is_below_it_and_the_folders_above_and_nothing_else() {
    let stage = with_team().await;
    let options = selecting(&stage, include("/Team/private/deep"));
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let made: Vec<&str> = report
        .objects
        .iter()
        .filter(|object| object.fate == Fate::Created)
        .map(|object| object.id.as_str())
        .collect();
    assert_eq!(
        made,
        [
            "/Team",
            "/Team/private",
            "/Team/private/deep",
            "/Team/private/deep/one"
        ]
    );
    assert!(report.comparison.unwrap().is_equal());
    // The folder above is no more open than it was.
    let (source, target) = (stage.source.dump(), stage.target.dump());
    for path in ["/Team", "/Team/private", "/Team/private/deep"] {
        assert_eq!(
            source["acls/directories"][path], target["acls/directories"][path],
            "{path}"
        );
    }
    let kinds: BTreeSet<&str> = report.kinds.keys().map(String::as_str).collect();
    assert!(kinds.iter().all(|kind| TREE.contains(kind)), "{kinds:?}");
    let again = stage.apply(&options).await.unwrap();
    assert_eq!(again.writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_above_that_exist_are_left_alone() {
    let stage = with_team().await;
    let by_hand = stage.target.with(|world| {
        let admin = world.admin();
        tree::put(world, "/Team/private", tree::Object::Directory, &admin).to_string()
    });
    let options = selecting(&stage, include("/Team/private/deep"));
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let private = stage
        .writes()
        .into_iter()
        .filter(|call| call.path.ends_with(&by_hand))
        .count();
    assert_eq!(private, 0, "the access control of another's folder");
    assert!(report.comparison.unwrap().is_equal());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_folders_are_chosen_by_path() {
    let stage = with_team().await;
    let others = stage.source.dump()["git-folders"]
        .as_object()
        .unwrap()
        .len();
    assert!(others > 1);
    let options = selecting(&stage, include("/Team/repo"));
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(report.kinds["git-folders"].created, 1);
    let dump = stage.target.dump();
    let folders: Vec<&String> = dump["git-folders"].as_object().unwrap().keys().collect();
    assert_eq!(folders, ["/Team/repo"]);

    let stage = with_team().await;
    let options = selecting(&stage, include("/Team/private"));
    let report = stage.apply(&options).await.unwrap();
    assert!(!report.kinds.contains_key("git-folders"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_nothing_is_refused_before_anything_is_written() {
    let stage = with_team().await;
    for (selection, named) in [
        (include("/Team/nowhere"), "/Team/nowhere"),
        (include("Team"), "Team"),
        (
            Selection {
                include: vec!["/Team".to_owned(), "/Tema/**".to_owned()],
                ..Selection::default()
            },
            "/Tema/**",
        ),
        (
            Selection {
                users: Some(vec!["nobody@x".to_owned()]),
                ..Selection::default()
            },
            "nobody@x",
        ),
    ] {
        let options = selecting(&stage, selection);
        let Err(Error::Selection { pattern, .. }) = stage.apply(&options).await else {
            panic!("{named} was taken");
        };
        assert_eq!(pattern, named);
    }
    assert_eq!(stage.writes().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_a_path_out_leaves_everything_else_in() {
    let stage = with_team().await;
    let options = selecting(
        &stage,
        Selection {
            exclude: vec!["/Team/private".to_owned()],
            ..Selection::default()
        },
    );
    let plan = stage.plan(&options).await.unwrap();
    let has = |kind: &str| plan.actions.iter().any(|action| action.kind == kind);
    assert!(has("jobs") && has("clusters") && has("users") && has("dbfs"));
    let team: Vec<&str> = plan
        .actions
        .iter()
        .filter(|action| action.name.starts_with("/Team") && action.what == What::Create)
        .map(|action| action.name.as_str())
        .collect();
    assert_eq!(
        team,
        ["/Team", "/Team/other", "/Team/repo", "/Team/other/two"]
    );
}

async fn post(sim: &Sim, path: &str, body: Value) -> Value {
    client(sim)
        .send("POST", path, &[], Body::Json(&body), Safety::Idempotent)
        .await
        .unwrap()
}

/// A source with a job that needs one of everything, and two jobs of one name; the id of the first.
async fn with_nightly() -> (Stage, Value) {
    let stage = with_team().await;
    let sim = &stage.source;
    sim.with(|world| {
        let admin = world.admin();
        let text = "# MAGIC %run ../other/two\n\n# COMMAND ----------\n\n# MAGIC %run ./nowhere";
        tree::put(world, "/Team/private/nightly", notebook(text), &admin);
        tree::put(
            world,
            "/Team/init.sh",
            tree::Object::File("echo\n".into()),
            &admin,
        );
        lifeboat_sim::dbfs::put(world, "/FileStore/needed.jar", "jar".into());
        lifeboat_sim::secrets::create_scope(world, "needed", &admin);
    });
    let pool = json!({ "instance_pool_name": "needed", "node_type_id": "Standard_DS3_v2" });
    let pool = post(sim, "/api/2.0/instance-pools/create", pool).await;
    let definition =
        json!({ "instance_pool_id": { "type": "fixed", "value": pool["instance_pool_id"] } });
    let policy = json!({ "name": "needed", "definition": definition.to_string() });
    let policy = post(sim, "/api/2.0/policies/clusters/create", policy).await;
    let cluster = json!({ "cluster_name": "needed", "spark_version": "15.4.x-scala2.12", "num_workers": 1,
        "instance_pool_id": pool["instance_pool_id"], "policy_id": policy["policy_id"],
        "init_scripts": [{ "workspace": { "destination": "/Team/init.sh" } }],
        "spark_conf": { "spark.password": "{{secrets/needed/key}}" } });
    let cluster = post(sim, "/api/2.1/clusters/create", cluster).await;
    let libraries = json!({ "cluster_id": cluster["cluster_id"], "libraries": [{ "jar": "dbfs:/FileStore/needed.jar" }] });
    post(sim, "/api/2.0/libraries/install", libraries).await;
    let task = |path: &str| {
        json!({ "task_key": "t", "existing_cluster_id": cluster["cluster_id"],
        "notebook_task": { "notebook_path": path } })
    };
    let job = json!({ "name": "nightly", "tasks": [task("/Team/private/nightly")] });
    let job = post(sim, "/api/2.2/jobs/create", job).await["job_id"].clone();
    for _ in 0..2 {
        let twin = json!({ "name": "twin", "tasks": [task("/Team/other/two")] });
        post(sim, "/api/2.2/jobs/create", twin).await;
    }
    stage.export().await;
    (stage, job)
}

fn closure(stage: &Stage, seed: &str) -> Options {
    Options {
        closure: vec![seed.to_owned()],
        ..stage.options()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_comes_with_everything_that_it_needs_and_nothing_else() {
    let (stage, _) = with_nightly().await;
    let options = closure(&stage, "jobs/nightly");
    let plan = stage.plan(&options).await.unwrap();
    let pool = plan
        .actions
        .iter()
        .find(|action| action.kind == "instance-pools")
        .unwrap();
    assert!(
        pool.remarks
            .iter()
            .any(|remark| remark.starts_with("needed by cluster")),
        "{:?}",
        pool.remarks
    );
    assert!(
        plan.warnings
            .iter()
            .any(|warning| warning.contains("runs ./nowhere")),
        "{:?}",
        plan.warnings
    );
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(report.comparison.as_ref().unwrap().is_equal());
    let mut made: Vec<String> = report
        .objects
        .iter()
        .filter(|object| object.fate == Fate::Created)
        .map(|object| format!("{} {}", object.kind, object.name))
        .collect();
    made.sort();
    assert_eq!(
        made,
        [
            "cluster-policies needed",
            "clusters needed",
            "dbfs /FileStore/needed.jar",
            "directories /Team",
            "directories /Team/other",
            "directories /Team/private",
            "files /Team/init.sh",
            "instance-pools needed",
            "jobs nightly",
            "libraries needed",
            "notebooks /Team/other/two",
            "notebooks /Team/private/nightly",
            "secret-scopes needed",
        ]
    );
    let again = stage.apply(&options).await.unwrap();
    assert_eq!(again.writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_comes_with_what_it_runs() {
    let (stage, _) = with_nightly().await;
    let options = closure(&stage, "/Workspace/Team/private/nightly");
    let report = stage.apply(&options).await.unwrap();
    let notebooks: Vec<&str> = report
        .objects
        .iter()
        .filter(|object| object.kind == "notebooks")
        .map(|object| object.name.as_str())
        .collect();
    assert_eq!(notebooks, ["/Team/other/two", "/Team/private/nightly"]);
    assert!(!report.kinds.contains_key("jobs"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_deleted_comes_back_into_the_source_and_what_is_there_stays() {
    let (stage, job) = with_nightly().await;
    post(
        &stage.source,
        "/api/2.2/jobs/delete",
        json!({ "job_id": job }),
    )
    .await;
    let admin = stage.source.with(|world| world.admin());
    stage.source.with(|world| {
        tree::remove(world, "/Team/private/nightly");
        tree::put(world, "/Team/other/two", notebook("print('newer')"), &admin);
    });
    stage.source.reset_calls();
    let before = stage.source.dump();
    let options = Options {
        into_source: true,
        target: Some(SOURCE.to_owned()),
        ..closure(&stage, "jobs/nightly")
    };
    let report = lifeboat_import::apply(&stage.open(), &client(&stage.source), &options, &Silent)
        .await
        .unwrap();
    let made = names_with(&report, Fate::Created);
    assert_eq!(made, ["/Team/private/nightly", "nightly"]);
    let after = stage.source.dump();
    assert_eq!(
        before["notebooks"]["/Team/other/two"],
        after["notebooks"]["/Team/other/two"]
    );
    assert_eq!(before["clusters"], after["clusters"]);
    assert_eq!(before["acls/clusters"], after["acls/clusters"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_of_nothing_or_of_several_is_refused() {
    let (stage, _) = with_nightly().await;
    for (seed, why) in [
        ("jobs/twin", "several have this name; say which: "),
        ("jobs/nobody", "no such job"),
        ("job/nightly", "no such kind"),
        ("/Team/nothing", "nothing at this path"),
        ("nightly", "KIND/ID"),
    ] {
        let Err(Error::Selection { pattern, what }) = stage.apply(&closure(&stage, seed)).await
        else {
            panic!("{seed} was taken");
        };
        assert_eq!(pattern, seed);
        assert!(what.contains(why), "{seed}: {what}");
    }
    assert_eq!(stage.writes().len(), 0);
}
