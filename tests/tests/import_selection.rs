//! Parts of an archive: by path, by user, by kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeSet;

use import_support::{Stage, troubles};
use lifeboat_import::{Error, Fate, Options, Selection, What};
use lifeboat_sim::{Fill, tree};

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
