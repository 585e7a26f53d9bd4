//! What is gone from the source: kept, deleted when that was asked for, and never by surprise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeMap;

use import_support::old::{add, delete, post, remove};
use import_support::{Stage, client, client_as, troubles};
use lifeboat_import::{
    DeleteLimit, Error, Event, Fate, Observer, Options, Report, Rule, Selection, What,
};
use lifeboat_sim::{Fault, FaultKind, Fill, Sim, When};
use serde_json::{Value, json};

fn little() -> Fill {
    Fill {
        notebooks: 12,
        jobs: 3,
        clusters: 2,
        ..Fill::small()
    }
}

fn removed(report: &Report) -> BTreeMap<String, Vec<(String, Fate)>> {
    let mut all: BTreeMap<String, Vec<(String, Fate)>> = BTreeMap::new();
    for object in report.objects.iter().filter(|object| object.removed) {
        let list = all.entry(object.kind.clone()).or_default();
        list.push((object.name.clone(), object.fate));
    }
    all
}

fn deleting(stage: &Stage) -> Options {
    Options {
        delete_removed: true,
        delete_limit: DeleteLimit::Count(3),
        ..stage.options()
    }
}

/// A target that holds what the source has lost since.
async fn with_removed() -> Stage {
    let stage = Stage::new(&little()).await;
    let ids = add(&stage).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    remove(&stage, &ids).await;
    stage.export().await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_kept_and_named_and_deleted_when_asked_and_made_again_when_it_comes_back() {
    let stage = with_removed().await;
    stage.target.reset_calls();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(report.writes, 0, "{:?}", stage.writes());
    let kept = removed(&report);
    let kinds: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "cluster-policies",
            "clusters",
            "dbfs",
            "directories",
            "files",
            "global-init-scripts",
            "groups",
            "instance-pools",
            "jobs",
            "notebooks",
            "secret-scopes",
            "users"
        ]
    );
    assert!(
        kept.values()
            .flatten()
            .all(|(_, fate)| *fate == Fate::Skipped)
    );
    assert!(report.comparison.unwrap().is_equal());

    let plan = stage.plan(&deleting(&stage)).await.unwrap();
    let planned: Vec<&str> = plan
        .actions
        .iter()
        .filter(|action| action.what == What::Delete)
        .map(|action| action.kind.as_str())
        .collect();
    let mut order = planned.clone();
    order.dedup();
    assert_eq!(order.first(), Some(&"jobs"));
    assert_eq!(order.last(), Some(&"users"));
    stage.target.reset_calls();
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let gone = removed(&report);
    assert!(
        gone.values()
            .flatten()
            .all(|(_, fate)| *fate == Fate::Deleted),
        "{gone:?}"
    );
    assert_eq!(gone["directories"].len(), 2);
    assert_eq!(gone["directories"][0].0, "/Old/inner");
    assert_eq!(report.totals().deleted as usize, planned.len());
    assert!(report.comparison.unwrap().is_equal());
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(report.writes, 0);
    assert!(removed(&report).is_empty());
    // The home stays: this tool never made it.
    let differences = stage.differences();
    let of_the_home = |text: &&String| !text.contains("old@example.com");
    let others: Vec<&String> = differences.iter().filter(of_the_home).collect();
    assert_eq!(others, Vec::<&String>::new());

    add(&stage).await;
    stage.export().await;
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(report.kinds["jobs"].created, 1);
    assert_eq!(report.kinds["notebooks"].created, 2);
    assert_eq!(report.kinds["dbfs"].created, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_refused_before_the_first_write() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    let jobs: Vec<i64> = client(&stage.source)
        .get("/api/2.2/jobs/list", &[])
        .await
        .unwrap()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["job_id"].as_i64().unwrap())
        .collect();
    assert!(jobs.len() >= 3);
    for job in &jobs[..2] {
        post(
            &stage.source,
            "/api/2.2/jobs/delete",
            json!({ "job_id": job }),
        )
        .await;
    }
    stage.export().await;
    stage.target.reset_calls();
    let options = Options {
        delete_removed: true,
        ..stage.options()
    };
    let Err(Error::Refused { rule, detail, hint }) = stage.apply(&options).await else {
        panic!("not refused");
    };
    assert_eq!(rule, Rule::DeleteLimit);
    let expected = format!("2 of {} jobs (at most 1)", jobs.len());
    assert_eq!(detail, expected);
    assert!(hint.contains("--delete-limit"));
    assert_eq!(stage.writes().len(), 0);
    let plan = stage.plan(&options).await.unwrap();
    assert!(
        plan.refusals
            .iter()
            .any(|refusal| refusal.what.contains(&expected))
    );
    for limit in [DeleteLimit::Percent(100), DeleteLimit::Count(2)] {
        let allowed = Options {
            delete_limit: limit,
            ..options.clone()
        };
        assert!(stage.plan(&allowed).await.unwrap().refusals.is_empty());
    }
    let allowed = Options {
        delete_limit: DeleteLimit::Count(2),
        ..options
    };
    let report = stage.apply(&allowed).await.unwrap();
    assert_eq!(report.kinds["jobs"].deleted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_touched_in_the_target_stays() {
    let stage = with_removed().await;
    let target = &stage.target;
    let dump_before = target.dump();
    // A notebook edited, a folder with something else in it, a scope with a value, a job unpaused, a cluster started.
    let body = json!({ "path": "/Old/one", "format": "SOURCE", "language": "PYTHON", "content": "cHJpbnQoMikK",
        "overwrite": true });
    post(target, "/api/2.0/workspace/import", body).await;
    let body = json!({ "path": "/Old/inner/mine", "format": "SOURCE", "language": "PYTHON", "content": "cHJpbnQoMikK" });
    post(target, "/api/2.0/workspace/import", body).await;
    target.with(|world| lifeboat_sim::secrets::put_secret(world, "old", "key", b"value"));
    let find = |reply: &Value, list: &str, name: &str, field: &str, id: &str| {
        let found = reply[list].as_array().unwrap().iter();
        let mut found = found.filter(|one| one.pointer(field).unwrap() == name);
        found.next().unwrap()[id].clone()
    };
    let jobs = client(target)
        .get("/api/2.2/jobs/list", &[("limit", "100")])
        .await
        .unwrap();
    let job = find(&jobs, "jobs", "old", "/settings/name", "job_id");
    let body = json!({ "job_id": job, "new_settings": { "max_concurrent_runs": 7 } });
    post(target, "/api/2.2/jobs/update", body).await;
    let clusters = client(target)
        .get("/api/2.1/clusters/list", &[])
        .await
        .unwrap();
    let cluster = find(&clusters, "clusters", "old", "/cluster_name", "cluster_id");
    post(
        target,
        "/api/2.1/clusters/start",
        json!({ "cluster_id": cluster }),
    )
    .await;
    let before = target.dump();
    assert_ne!(before, dump_before);

    let report = stage.apply(&deleting(&stage)).await.unwrap();
    let came: BTreeMap<(String, String), (Fate, String)> = report
        .objects
        .iter()
        .filter(|object| object.removed)
        .map(|object| {
            let key = (object.kind.clone(), object.name.clone());
            (
                key,
                (object.fate, object.reason.clone().unwrap_or_default()),
            )
        })
        .collect();
    let of = |kind: &str, name: &str| came[&(kind.to_owned(), name.to_owned())].clone();
    for (kind, name, why) in [
        ("notebooks", "/Old/one", "changed in the target"),
        ("directories", "/Old/inner", "not empty: /Old/inner/mine"),
        ("directories", "/Old", "not empty"),
        ("secret-scopes", "old", "secret values"),
        ("jobs", "old", "changed in the target"),
        ("clusters", "old", "running"),
    ] {
        let (fate, reason) = of(kind, name);
        assert_eq!(fate, Fate::Skipped, "{kind} {name}");
        assert!(reason.contains(why), "{kind} {name}: {reason}");
    }
    assert_eq!(of("notebooks", "/Old/inner/two").0, Fate::Deleted);
    assert_eq!(of("files", "/Old/data.txt").0, Fate::Deleted);
    let after = target.dump();
    for (kind, name) in [("notebooks", "/Old/inner/mine"), ("notebooks", "/Old/one")] {
        assert_eq!(before[kind][name], after[kind][name], "{name}");
        assert!(!after[kind][name].is_null());
    }
}

/// Does something in the target when the plan is made and nothing is written yet.
struct Meanwhile<F>(F);

impl<F: Fn() + Send + Sync> Observer for Meanwhile<F> {
    fn event(&self, event: Event<'_>) {
        if let Event::Planned { .. } = event {
            (self.0)();
        }
    }
}

/// What somebody does to objects of many kinds of the target.
async fn touch(target: &Sim) {
    let body = json!({ "path": "/Old/one", "format": "SOURCE", "language": "PYTHON", "content": "cHJpbnQoMikK",
        "overwrite": true });
    post(target, "/api/2.0/workspace/import", body).await;
    let body = json!({ "path": "/FileStore/old.txt", "contents": "bWluZQ==", "overwrite": true });
    post(target, "/api/2.0/dbfs/put", body).await;
    target.with(|world| lifeboat_sim::secrets::put_secret(world, "old", "key", b"value"));
    let id = async |path: &str, list: &str, name: &str, id: &str| {
        let reply = client(target).get(path, &[]).await.unwrap();
        let found = reply[list].as_array().unwrap().iter();
        let mut found = found.filter(|one| one.pointer(name).unwrap() == "old");
        found.next().unwrap()[id].clone()
    };
    let job = id("/api/2.2/jobs/list", "jobs", "/settings/name", "job_id").await;
    let body = json!({ "job_id": job, "new_settings": { "max_concurrent_runs": 7 } });
    post(target, "/api/2.2/jobs/update", body).await;
    let policy = "/api/2.0/policies/clusters";
    let policy_id = id(&format!("{policy}/list"), "policies", "/name", "policy_id").await;
    let body =
        json!({ "policy_id": policy_id, "name": "old", "definition": "{}", "description": "mine" });
    post(target, &format!("{policy}/edit"), body).await;
    let cluster = id(
        "/api/2.1/clusters/list",
        "clusters",
        "/cluster_name",
        "cluster_id",
    )
    .await;
    post(
        target,
        "/api/2.1/clusters/start",
        json!({ "cluster_id": cluster }),
    )
    .await;
    target.with(|world| {
        let admin = world.admin();
        let content = lifeboat_sim::tree::Object::Notebook {
            language: "PYTHON",
            content: "# Databricks notebook source\n".into(),
            jupyter: false,
        };
        lifeboat_sim::tree::put(world, "/Users/old@example.com/mine", content, &admin);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_touches_between_the_plan_and_the_deletion_stays() {
    let stage = with_removed().await;
    let planned = stage.plan(&deleting(&stage)).await.unwrap();
    let planned = planned
        .actions
        .iter()
        .filter(|one| one.what == What::Delete);
    let planned: Vec<(&str, &str)> = planned
        .map(|one| (one.kind.as_str(), one.name.as_str()))
        .collect();
    let meanwhile = Meanwhile(|| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(touch(&stage.target));
        });
    });
    let report =
        lifeboat_import::apply(&stage.open(), &stage.client, &deleting(&stage), &meanwhile)
            .await
            .unwrap();
    let since = "changed in the target since it was read for this run";
    let touched = [
        ("notebooks", "/Old/one", since),
        ("dbfs", "/FileStore/old.txt", since),
        ("secret-scopes", "old", since),
        ("jobs", "old", since),
        ("cluster-policies", "old", since),
        ("clusters", "old", "running"),
        (
            "users",
            "old@example.com",
            "home in the target is not empty",
        ),
        ("directories", "/Old", "not empty"),
    ];
    for (kind, name, why) in touched {
        assert!(
            planned.contains(&(kind, name)),
            "{kind} {name}: {planned:?}"
        );
        let mut objects = report.objects.iter();
        let object = objects
            .find(|object| object.removed && object.kind == kind && object.name == name)
            .unwrap();
        assert_eq!(object.fate, Fate::Skipped, "{object:?}");
        assert!(object.reason.as_ref().unwrap().contains(why), "{object:?}");
    }
    let after = stage.target.dump();
    for (kind, name) in [
        ("notebooks", "/Old/one"),
        ("jobs", "old"),
        ("cluster-policies", "old"),
        ("clusters", "old"),
        ("users", "old@example.com"),
    ] {
        assert!(after[kind][name].is_object(), "{kind} {name}");
    }
    // What nobody touched is gone.
    for (kind, name) in [("notebooks", "/Old/inner/two"), ("files", "/Old/data.txt")] {
        assert!(after[kind].get(name).is_none(), "{kind} {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_adopted_or_made_by_hand_is_never_deleted() {
    let stage = Stage::new(&little()).await;
    let ids = add(&stage).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    // The journal is lost: everything is linked again as somebody else's.
    fs_err::remove_file(stage.journal()).unwrap();
    let adopting = Options {
        adopt: true,
        ..stage.options()
    };
    stage.apply(&adopting).await.unwrap();
    remove(&stage, &ids).await;
    stage.export().await;
    let before = stage.target.dump();
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(report.totals().deleted, 0, "{:?}", removed(&report));
    assert_eq!(before["jobs"], stage.target.dump()["jobs"]);
    assert_eq!(before["notebooks"], stage.target.dump()["notebooks"]);
    assert_eq!(before["users"], stage.target.dump()["users"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_unless_the_whole_workspace_is_known() {
    let stage = with_removed().await;
    let before = stage.target.dump();
    // A selection of the import, and the source as target: refused.
    let mut part = deleting(&stage);
    part.selection.kinds = Some(vec!["jobs".to_owned()]);
    let refused = stage.apply(&part).await;
    assert!(matches!(
        refused,
        Err(Error::Refused {
            rule: Rule::DeletePart,
            ..
        })
    ));
    let into = Options {
        into_source: true,
        ..deleting(&stage)
    };
    let refused = stage.apply(&into).await;
    assert!(matches!(
        refused,
        Err(Error::Refused {
            rule: Rule::DeletePart,
            ..
        })
    ));
    // An archive of a part.
    stage
        .export_with(|options| options.selection.exclude = vec!["/Shared/**".to_owned()])
        .await;
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(report.totals().deleted, 0);
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.starts_with("nothing is deleted"))
    );
    // An incomplete one.
    stage
        .source
        .fault(Fault::status("GET", "/api/2.0/instance-pools/list", 403));
    stage.export().await;
    let allowed = Options {
        allow_incomplete: true,
        ..deleting(&stage)
    };
    let report = stage.apply(&allowed).await.unwrap();
    assert_eq!(report.totals().deleted, 0);
    let after = stage.target.dump();
    let kinds = before.as_object().unwrap().iter();
    for (kind, objects) in kinds.filter(|(kind, _)| !kind.starts_with("acls/")) {
        for name in objects.as_object().unwrap().keys() {
            assert!(!after[kind][name].is_null(), "{kind} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_whose_answer_is_lost_is_looked_up() {
    let stage = with_removed().await;
    for path in ["/api/2.2/jobs/delete", "/api/2.0/workspace/delete"] {
        stage.target.fault(Fault {
            method: "POST".to_owned(),
            path: path.to_owned(),
            kind: FaultKind::Reset,
            when: When::After,
            times: 1,
            ..Fault::default()
        });
    }
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(report.totals().deleted > 10);
    let again = stage.apply(&deleting(&stage)).await.unwrap();
    assert_eq!((again.writes, removed(&again).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whose_home_still_stands_is_kept() {
    let stage = Stage::new(&little()).await;
    let ids = add(&stage).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    delete(
        &stage.source,
        &format!("/api/2.0/preview/scim/v2/Users/{}", ids["users"]),
    )
    .await;
    stage.export().await;
    let report = stage.apply(&deleting(&stage)).await.unwrap();
    let user = report.objects.iter().find(|object| object.removed).unwrap();
    assert_eq!((user.kind.as_str(), user.fate), ("users", Fate::Skipped));
    assert!(user.reason.as_ref().unwrap().contains("home"), "{user:?}");
    assert!(report.comparison.unwrap().is_equal());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_map_made_was_moved_and_not_removed() {
    let stage = with_removed().await;
    // What `with_removed` took away comes back, so that only the map speaks.
    add(&stage).await;
    stage.export().await;
    let mapped = |name: &str, to: &str| {
        let path = stage.folder.path().join(name);
        fs_err::write(&path, format!("[path-prefixes]\n'/Old' = '{to}'\n")).unwrap();
        Options {
            map: Some(path),
            delete_limit: DeleteLimit::Count(100),
            ..deleting(&stage)
        }
    };
    let (first, second) = (mapped("a.toml", "/One/Old"), mapped("b.toml", "/Two"));
    let content = |path: &str| stage.target.dump()["notebooks"][path].clone();
    let kept = |report: &Report, from: &str, to: &str| {
        for name in ["one", "inner/two"] {
            let old = format!("{from}/{name}");
            let result = report.objects.iter().find(|one| one.name == old);
            let result = result.unwrap_or_else(|| panic!("{old}"));
            assert_eq!(result.fate, Fate::Skipped);
            let reason = result.reason.as_deref().unwrap();
            assert!(
                reason.contains(&format!("/Old/{name} to {to}/{name}")),
                "{reason}"
            );
            assert!(content(&old).is_object() && content(&format!("{to}/{name}")).is_object());
        }
    };
    let none = stage.folder.path().join("none.toml");
    fs_err::write(&none, "").unwrap();
    let none = Options {
        map: Some(none),
        ..deleting(&stage)
    };
    // From no map to one, to another one, and back to none.
    let report = stage.apply(&first).await.unwrap();
    kept(&report, "/Old", "/One/Old");
    let report = stage.apply(&second).await.unwrap();
    kept(&report, "/Old", "/Two");
    kept(&report, "/One/Old", "/Two");
    stage.target.reset_calls();
    assert_eq!(stage.apply(&second).await.unwrap().writes, 0);
    let report = stage.apply(&none).await.unwrap();
    kept(&report, "/Two", "/Old");
    // Gone from the source, the copies under every map are.
    let sim = &stage.source;
    post(
        sim,
        "/api/2.0/workspace/delete",
        json!({ "path": "/Old/one" }),
    )
    .await;
    stage.export().await;
    let report = stage.apply(&second).await.unwrap();
    let gone = &removed(&report)["notebooks"];
    let mut deleted: Vec<&str> = gone
        .iter()
        .filter(|(_, fate)| *fate == Fate::Deleted)
        .map(|(name, _)| name.as_str())
        .collect();
    deleted.sort_unstable();
    assert_eq!(deleted, ["/Old/one", "/One/Old/one", "/Two/one"]);
    assert!(content("/One/Old/inner/two").is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_comes_with_no_option_that_restores_a_part_or_the_other_way() {
    let stage = Stage::new(&little()).await;
    let prefix = Options {
        as_prefix: Some("/Restored".to_owned()),
        selection: Selection {
            include: vec!["/Shared/**".to_owned()],
            ..Selection::default()
        },
        ..deleting(&stage)
    };
    let failback = Options {
        failback: Some(None),
        ..deleting(&stage)
    };
    for (options, named) in [(prefix, "--as-prefix"), (failback, "--failback")] {
        let Err(Error::Refused { rule, detail, hint }) = stage.apply(&options).await else {
            panic!("{named}");
        };
        assert_eq!(rule, Rule::DeletePart);
        assert!(
            detail.contains(named) && hint.contains("one of the two"),
            "{detail}; {hint}"
        );
    }
    assert!(stage.writes().is_empty() && !stage.journal().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_hidden_from_the_exporter_is_not_removed() {
    let stage = with_removed().await;
    stage.source.with(|world| {
        lifeboat_sim::identities::add_user(world, "plain@example.com", "Plain", false)
    });
    stage
        .source
        .add_token("plain-token", "plain@example.com")
        .unwrap();
    let plain = client_as(&stage.source, "plain-token");
    stage.export_as(&plain, |_| ()).await;
    let options = Options {
        allow_incomplete: true,
        ..deleting(&stage)
    };
    let before = stage.target.dump();
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(report.totals().deleted, 0);
    let mut warnings = report.warnings.iter();
    assert!(
        warnings.any(|warning| warning.contains("no administrator of the workspace")),
        "{:?}",
        report.warnings
    );
    assert_eq!(before["jobs"]["old"], stage.target.dump()["jobs"]["old"]);
}
