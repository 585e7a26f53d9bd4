//! The way back from a standby that ran production to the old primary, on simulated workspaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::time::Duration;

use import_support::standby::{
    add_job, job, notebooks, options, send, small, standby, standby_of, turn, turn_with,
    write_notebook,
};
use import_support::{SOURCE, Stage, client, client_with, rule, troubles};
use lifeboat_archive::Archive;
use lifeboat_import::{Choice, Direction, Fate, Rule, Silent, SwitchOptions, switch};
use lifeboat_sim::{Fault, FaultKind, Fill, Sim, When, tree};
use serde_json::json;

/// An archive of the secondary as it is now.
async fn archive_of(stage: &Stage) -> Archive {
    struct Unheard;
    impl lifeboat_export::Observer for Unheard {
        fn event(&self, _: lifeboat_export::Event<'_>) {}
    }
    let path = stage.folder.path().join("back.tar.zst");
    let mut export = lifeboat_export::Options::new("2026-11-23T01:00:00Z".parse().unwrap());
    export.dbfs = vec!["/".to_owned()];
    let sink = fs_err::File::create(&path).unwrap().into_parts().0;
    // On the heap, as the commands have it: a thread's stack is small for a debug build.
    Box::pin(lifeboat_export::run(
        &client(&stage.target),
        &export,
        sink,
        &Unheard,
    ))
    .await
    .unwrap();
    Archive::open(&path).unwrap()
}

/// The options of the way back into the old primary.
fn back(stage: &Stage) -> lifeboat_import::Options {
    lifeboat_import::Options {
        target: Some(SOURCE.to_owned()),
        failback: Some(None),
        ..stage.options()
    }
}

#[expect(clippy::too_many_lines, reason = "one story, told in order")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_primary_gets_back_what_the_secondary_did_and_nothing_twice() {
    let fill = Fill {
        notebooks: 9,
        ..small()
    };
    let stage = standby_of(&fill).await;
    turn(&stage, Direction::Activate).await;
    let jobs = stage.source.dump()["jobs"].as_object().unwrap().len();
    // "# Databricks notebook source\nprint('new')\n", and the same with other words.
    let (new, mine) = (
        "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgnbmV3JykK",
        "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgnbWluZScpCg==",
    );
    let known = notebooks(&stage.target);
    let (edited, deleted, both) = (&known[0], &known[1], &known[2]);
    write_notebook(&stage.target, edited, new).await;
    write_notebook(&stage.target, both, new).await;
    write_notebook(&stage.target, "/Shared/made in the secondary", new).await;
    send(
        &stage.target,
        "/api/2.0/workspace/delete",
        &json!({"path": deleted, "recursive": false}),
    )
    .await;
    for name in ["unpaused", "table"] {
        let job = job(&stage.target, name).await;
        let change = json!({"job_id": job["job_id"], "new_settings": {"description": "edited in the secondary"}});
        send(&stage.target, "/api/2.2/jobs/update", &change).await;
    }
    let schedule =
        json!({"schedule": {"quartz_cron_expression": "0 0 4 * * ?", "timezone_id": "UTC"}});
    add_job(&stage.target, "made in the secondary", schedule).await;
    // After its last archive somebody still worked in the primary.
    write_notebook(&stage.source, both, mine).await;
    let late = job(&stage.source, "table").await;
    let change =
        json!({"job_id": late["job_id"], "new_settings": {"description": "edited in the primary"}});
    send(&stage.source, "/api/2.2/jobs/update", &change).await;

    let archive = archive_of(&stage).await;
    let primary = client(&stage.source);
    let back = back(&stage);
    let elsewhere = lifeboat_import::Options {
        failback: Some(Some(stage.folder.path().join("none.jsonl"))),
        ..back.clone()
    };
    let refused = lifeboat_import::apply(&archive, &primary, &elsewhere, &Silent).await;
    assert_eq!(rule(refused), Rule::NoLedger);
    let report = lifeboat_import::apply(&archive, &primary, &back, &Silent)
        .await
        .unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let off = |warnings: &[String]| warnings.iter().any(|one| one.contains("switched off"));
    assert!(!off(&report.warnings), "{:?}", report.warnings);
    let kept: Vec<&str> = report
        .objects
        .iter()
        .filter(|one| one.fate == Fate::Skipped && one.kind != "workspace-objects" && !one.removed)
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(kept, [both.as_str(), "table"]);
    // As in `Stage::differences`: an absent run_as is said, and a notebook that was read as source loses its outputs.
    let primary_now = stage.source.dump();
    let mut left: Vec<String> = lifeboat_sim::compare(&stage.target.dump(), &primary_now)
        .iter()
        .filter(|one| one.kind != "other-objects" && !one.what.starts_with("run_as: "))
        .filter(|one| primary_now[&one.kind][&one.key]["jupyter"] != true)
        .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
        .collect();
    left.retain(|one| !one.contains(both.as_str()) && !one.starts_with("jobs table: "));
    assert!(
        left.iter().all(|one| one.contains(deleted.as_str())),
        "{left:?}"
    );
    assert_eq!(
        stage.source.dump()["jobs"].as_object().unwrap().len(),
        jobs + 1,
        "nothing twice"
    );
    assert!(
        stage
            .source
            .costs()
            .jobs_armed
            .iter()
            .all(|name| name == "table"),
        "it lands passive"
    );

    stage.source.reset_calls();
    let again = lifeboat_import::apply(&archive, &primary, &back, &Silent)
        .await
        .unwrap();
    assert_eq!(again.writes, 0);
    let overwrite = lifeboat_import::Options {
        overwrite_changed: true,
        failback: None,
        ..back
    };
    lifeboat_import::apply(&archive, &primary, &overwrite, &Silent)
        .await
        .unwrap();
    assert_eq!(
        job(&stage.source, "table").await["settings"]["description"],
        "edited in the secondary"
    );
    turn(&stage, Direction::Deactivate).await;
    let late = lifeboat_import::Options {
        failback: Some(None),
        ..overwrite
    };
    let passive = archive_of(&stage).await;
    let plan = lifeboat_import::plan(&passive, &primary, &late, &Silent)
        .await
        .unwrap();
    assert!(off(&plan.warnings), "{:?}", plan.warnings);
    // Now the other way round: what was made in the secondary is known there.
    stage.export().await;
    let forth = lifeboat_import::Options {
        failback: Some(None),
        ..stage.options()
    };
    let report = stage.apply(&forth).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(
        stage.target.dump()["jobs"].as_object().unwrap().len(),
        jobs + 1
    );
}

/// Activates the old primary by the journal of the way back.
async fn activate_primary(stage: &Stage) {
    let done = switch(
        Direction::Activate,
        &client(&stage.source),
        &options(stage),
        &Silent,
    )
    .await
    .unwrap();
    assert!(!done.has_gaps() && !done.differs(), "{:?}", done.moves);
}

/// Nothing starts, and no machine waits.
fn assert_landed(sim: &Sim) {
    let costs = sim.costs();
    assert_eq!(costs.jobs_armed, Vec::<String>::new());
    assert_eq!(costs.idle_instances, 0);
}

async fn pause(sim: &Sim, name: &str) {
    let job = job(sim, name).await;
    let mut schedule = job["settings"]["schedule"].clone();
    schedule["pause_status"] = json!("PAUSED");
    let change = json!({"job_id": job["job_id"], "new_settings": {"schedule": schedule}});
    send(sim, "/api/2.2/jobs/update", &change).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_activated_in_the_secondary_runs_again_in_the_old_primary() {
    let stage = standby().await;
    let before = stage.source.costs();
    assert!(before.idle_instances > 0 && before.jobs_armed.len() > 3);
    // An exercise, after which a nightly import found everything in order.
    turn(&stage, Direction::Activate).await;
    turn(&stage, Direction::Deactivate).await;
    stage.apply(&stage.options()).await.unwrap();

    let some = SwitchOptions {
        choice: Choice {
            names: vec!["abs*".to_owned(), "unp*".to_owned()],
            ..Choice::default()
        },
        ..options(&stage)
    };
    turn_with(&stage, Direction::Activate, &some).await;
    let mut armed = stage.target.costs().jobs_armed;
    armed.sort();
    assert_eq!(armed, ["absent", "unpaused"]);
    // Somebody stops a job that runs, and gives one that never ran another start.
    pause(&stage.target, "unpaused").await;
    let table = job(&stage.target, "table").await;
    let change = json!({
        "job_id": table["job_id"],
        "fields_to_remove": ["trigger"],
        "new_settings": {"continuous": {"pause_status": "PAUSED"}},
    });
    send(&stage.target, "/api/2.2/jobs/update", &change).await;

    let archive = archive_of(&stage).await;
    let primary = client(&stage.source);
    let report = lifeboat_import::apply(&archive, &primary, &back(&stage), &Silent)
        .await
        .unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_landed(&stage.source);
    let off: Vec<&String> = report
        .warnings
        .iter()
        .filter(|one| one.contains("switched off"))
        .collect();
    assert_eq!(off.len(), 1, "{:?}", report.warnings);
    assert!(
        off[0].contains("job table") && !off[0].contains("unpaused"),
        "{off:?}"
    );
    activate_primary(&stage).await;
    let after = stage.source.costs();
    let wanted: Vec<&String> = before
        .jobs_armed
        .iter()
        .filter(|name| !["unpaused", "table"].contains(&name.as_str()))
        .collect();
    assert_eq!(after.jobs_armed.iter().collect::<Vec<_>>(), wanted);
    assert_eq!(after.idle_instances, before.idle_instances);
    let absent = job(&stage.source, "absent").await;
    assert_eq!(absent["settings"]["schedule"].get("pause_status"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_passive_again_before_the_export_is_named_and_not_guessed() {
    let stage = standby().await;
    turn(&stage, Direction::Activate).await;
    pause(&stage.target, "unpaused").await;
    turn(&stage, Direction::Deactivate).await;
    let archive = archive_of(&stage).await;
    let primary = client(&stage.source);
    let report = lifeboat_import::apply(&archive, &primary, &back(&stage), &Silent)
        .await
        .unwrap();
    let off = report
        .warnings
        .iter()
        .find(|one| one.contains("switched off"));
    let off = off.unwrap();
    assert!(
        off.contains("job absent") && off.contains("job unpaused"),
        "{off}"
    );
    activate_primary(&stage).await;
    assert_eq!(stage.source.costs().jobs_armed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_in_the_secondary_is_named_with_what_to_do_and_kept() {
    let stage = standby().await;
    turn(&stage, Direction::Activate).await;
    let known = notebooks(&stage.target);
    let first = &known[0];
    let deleted = job(&stage.target, "unpaused").await;
    send(
        &stage.target,
        "/api/2.2/jobs/delete",
        &json!({"job_id": deleted["job_id"]}),
    )
    .await;
    send(
        &stage.target,
        "/api/2.0/workspace/delete",
        &json!({"path": first, "recursive": false}),
    )
    .await;
    let archive = archive_of(&stage).await;
    let primary = client(&stage.source);
    let before = stage.source.dump();
    let there = job(&stage.source, "unpaused").await;
    let plan = lifeboat_import::plan(&archive, &primary, &back(&stage), &Silent)
        .await
        .unwrap();
    let gone: Vec<(&str, &str)> = plan
        .actions
        .iter()
        .filter(|one| one.removed)
        .map(|one| (one.kind.as_str(), one.name.as_str()))
        .collect();
    assert_eq!(gone, [("jobs", "unpaused"), ("notebooks", first.as_str())],);
    for _ in 0..2 {
        let report = lifeboat_import::apply(&archive, &primary, &back(&stage), &Silent)
            .await
            .unwrap();
        assert_eq!(troubles(&report), Vec::<String>::new(), "no gap");
        let todo = |name: &str| {
            let mut list = report.checklist.iter();
            list.find(|todo| todo.name == name).unwrap().clone()
        };
        let todo_job = todo("unpaused");
        assert!(
            todo_job.what.contains("deleted in the secondary"),
            "{todo_job:?}"
        );
        assert!(todo_job.what.contains("it is active"), "{todo_job:?}");
        let command = format!("databricks jobs delete {}", there["job_id"]);
        assert_eq!(todo_job.command, command);
        assert_eq!(
            todo(first).command,
            format!("databricks workspace delete '{first}'")
        );
        assert!(report.comparison.unwrap().is_equal());
    }
    let now = stage.source.dump();
    assert_eq!(now["jobs"]["unpaused"], before["jobs"]["unpaused"]);
    assert_eq!(now["notebooks"][first], before["notebooks"][first]);

    // An archive of a part cannot tell.
    let part = lifeboat_import::Options {
        selection: lifeboat_import::Selection {
            kinds: Some(vec!["jobs".to_owned()]),
            ..Default::default()
        },
        ..back(&stage)
    };
    let plan = lifeboat_import::plan(&archive, &primary, &part, &Silent)
        .await
        .unwrap();
    assert!(plan.actions.iter().all(|one| !one.removed));
}

/// A source with two jobs that name a host and a path of which a map speaks.
async fn with_mapped_jobs() -> Stage {
    let stage = Stage::new(&small()).await;
    stage.source.with(|world| {
        let admin = world.admin();
        let content = "# Databricks notebook source\nprint('nightly')\n";
        let notebook = tree::Object::Notebook {
            language: "PYTHON",
            content: content.into(),
            jupyter: false,
        };
        tree::put(world, "/Shared/nightly/report", notebook, &admin);
    });
    let of_job = |name: &str| {
        json!({
            "name": name,
            "schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"},
            "tasks": [{
                "task_key": "a",
                "notebook_task": {"notebook_path": "/Shared/nightly/report"},
                "new_cluster": {
                    "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1,
                    "spark_conf": {"spark.lake": "abfss://lake@contoso.dfs.core.windows.net/x"},
                },
            }],
        })
    };
    for name in ["mapped", "mapped and edited"] {
        send(&stage.source, "/api/2.2/jobs/create", &of_job(name)).await;
    }
    stage.export().await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_is_turned_around_leads_the_way_back() {
    let stage = with_mapped_jobs().await;
    let (forth, return_way) = (
        "[storage-hosts]\n\"contoso.dfs.core.windows.net\" = \"dr.dfs.core.windows.net\"\n\
         [path-prefixes]\n\"/Shared/nightly\" = \"/Shared/dr/nightly\"\n",
        "[storage-hosts]\n\"dr.dfs.core.windows.net\" = \"contoso.dfs.core.windows.net\"\n\
         [path-prefixes]\n\"/Shared/dr/nightly\" = \"/Shared/nightly\"\n",
    );
    let write = |name: &str, text: &str| {
        let path = stage.folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        Some(path)
    };
    let there = lifeboat_import::Options {
        map: write("forth.toml", forth),
        ..stage.options()
    };
    let report = stage.apply(&there).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    turn(&stage, Direction::Activate).await;
    // "# Databricks notebook source\nprint('new')\n"
    let new = "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgnbmV3JykK";
    write_notebook(&stage.target, "/Shared/dr/nightly/report", new).await;
    for name in ["mapped", "mapped and edited"] {
        let job = job(&stage.target, name).await;
        let change =
            json!({"job_id": job["job_id"], "new_settings": {"description": "of the secondary"}});
        send(&stage.target, "/api/2.2/jobs/update", &change).await;
    }
    let late = job(&stage.source, "mapped and edited").await;
    let change =
        json!({"job_id": late["job_id"], "new_settings": {"description": "of the primary"}});
    send(&stage.source, "/api/2.2/jobs/update", &change).await;

    let archive = archive_of(&stage).await;
    let primary = client(&stage.source);
    let back = lifeboat_import::Options {
        map: write("back.toml", return_way),
        ..back(&stage)
    };
    let jobs = stage.source.dump()["jobs"].as_object().unwrap().len();
    let report = lifeboat_import::apply(&archive, &primary, &back, &Silent)
        .await
        .unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    let skipped: Vec<&str> = report
        .objects
        .iter()
        .filter(|one| one.fate == Fate::Skipped && one.kind != "workspace-objects")
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(skipped, ["mapped and edited"], "nobody changed the others");
    let mapped = job(&stage.source, "mapped").await;
    assert_eq!(mapped["settings"]["description"], "of the secondary");
    let task = &mapped["settings"]["tasks"][0];
    assert_eq!(
        task["notebook_task"]["notebook_path"],
        "/Shared/nightly/report"
    );
    assert_eq!(
        task["new_cluster"]["spark_conf"]["spark.lake"],
        "abfss://lake@contoso.dfs.core.windows.net/x"
    );
    let now = stage.source.dump();
    assert_eq!(
        now["jobs"].as_object().unwrap().len(),
        jobs,
        "nothing twice"
    );
    let beside = now["directories"].get("/Shared/dr/nightly");
    assert!(beside.is_none(), "nothing beside it");
    let notebook = &now["notebooks"]["/Shared/nightly/report"];
    let other = &stage.target.dump()["notebooks"]["/Shared/dr/nightly/report"];
    assert_eq!(notebook["sha256"], other["sha256"]);
    let again = lifeboat_import::apply(&archive, &primary, &back, &Silent)
        .await
        .unwrap();
    assert_eq!(again.writes, 0);
    activate_primary(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failback_that_is_killed_goes_on_where_it_stopped_and_makes_nothing_twice() {
    let stage = standby().await;
    turn(&stage, Direction::Activate).await;
    let schedule =
        json!({"schedule": {"quartz_cron_expression": "0 0 4 * * ?", "timezone_id": "UTC"}});
    for n in 0..4 {
        add_job(
            &stage.target,
            &format!("made in the secondary {n}"),
            schedule.clone(),
        )
        .await;
        let new = "IyBEYXRhYnJpY2tzIG5vdGVib29rIHNvdXJjZQpwcmludCgnbmV3JykK";
        write_notebook(&stage.target, &format!("/Shared/new {n}"), new).await;
    }
    let archive = archive_of(&stage).await;
    let jobs = stage.target.dump()["jobs"].as_object().unwrap().len();
    let mut died = 0;
    for call in 0.. {
        stage.source.fault(Fault {
            kind: FaultKind::Kill,
            // Every second call that writes, the first one too.
            method: if call % 3 == 2 { "PUT" } else { "POST" }.to_owned(),
            skip: call / 3,
            times: 1,
            when: if call % 2 == 0 {
                When::After
            } else {
                When::Before
            },
            ..Fault::default()
        });
        let impatient = client_with(&stage.source, Duration::from_millis(20));
        let outcome = lifeboat_import::apply(&archive, &impatient, &back(&stage), &Silent).await;
        stage.source.clear_faults();
        match outcome {
            Ok(report) if report.writes == 0 => break,
            Ok(_) => {}
            Err(_) => died += 1,
        }
        assert!(call < 60, "it never comes to its end");
    }
    assert!(died > 5, "only {died} runs died");
    let primary = stage.source.dump();
    assert_eq!(
        primary["jobs"].as_object().unwrap().len(),
        jobs,
        "nothing twice"
    );
    let mut left: Vec<String> = lifeboat_sim::compare(&stage.target.dump(), &primary)
        .iter()
        .filter(|one| one.kind != "other-objects" && !one.what.starts_with("run_as: "))
        .filter(|one| primary[&one.kind][&one.key]["jupyter"] != true)
        .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
        .collect();
    left.sort();
    assert_eq!(left, Vec::<String>::new());
    assert_landed(&stage.source);
    activate_primary(&stage).await;
}
