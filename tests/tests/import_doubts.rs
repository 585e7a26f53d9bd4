//! Answers that say less than they seem to, journals of another day, and runs that end at the worst moment: nothing is made
//! twice, nothing runs that was paused, nothing is told done that was not (spec/import.md, "What is absent", "Journal").

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod import_support;

use std::time::Duration;

use import_support::standby::{add_job, job, send, turn};
use import_support::{Stage, client, names_with, troubles};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::journal::State;
use lifeboat_import::{Direction, Error, Fate, Options};
use lifeboat_sim::tree::{self, Object};
use lifeboat_sim::{Action, Fault, FaultKind, Fill, Script, Sim, When};
use serde_json::{Value, json};

fn little() -> Fill {
    Fill {
        notebooks: 3,
        folders: 2,
        files: 1,
        users: 3,
        service_principals: 1,
        groups: 2,
        clusters: 0,
        jobs: 1,
        pools: 0,
        policies: 0,
        init_scripts: 0,
        scopes: 1,
        git_folders: 0,
        dbfs_files: 0,
        ..Fill::small()
    }
}

fn cron(cron: &str, pause: &str) -> Value {
    json!({"schedule": {"quartz_cron_expression": cron, "timezone_id": "UTC", "pause_status": pause}})
}

async fn jobs_named(sim: &Sim, name: &str) -> usize {
    let reply = client(sim).get("/api/2.2/jobs/list", &[]).await.unwrap();
    let jobs = reply["jobs"].as_array().cloned().unwrap_or_default();
    jobs.iter()
        .filter(|job| job["settings"]["name"] == name)
        .count()
}

async fn change(sim: &Sim, name: &str, settings: Value) {
    let one = job(sim, name).await;
    let body = json!({"job_id": one["job_id"], "new_settings": settings});
    send(sim, "/api/2.2/jobs/update", &body).await;
}

/// An error with status 200.
fn not_really(method: &str, path: &str) -> Fault {
    let body = r#"{"error_code":"TEMPORARILY_UNAVAILABLE","message":"try again later"}"#;
    Fault {
        body: Some(body.to_owned()),
        ..Fault::status(method, path, 200)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_with_status_200_is_no_success_of_a_write() {
    let stage = Stage::new(&little()).await;
    for name in ["mine", "gone"] {
        add_job(&stage.source, name, json!({"description": "one"})).await;
    }
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    change(&stage.source, "mine", json!({"description": "two"})).await;
    let gone = job(&stage.source, "gone").await;
    send(
        &stage.source,
        "/api/2.2/jobs/delete",
        &json!({"job_id": gone["job_id"]}),
    )
    .await;
    stage.export().await;
    stage
        .target
        .fault(not_really("POST", "/api/2.2/jobs/delete"));
    stage
        .target
        .fault(not_really("POST", "/api/2.2/jobs/reset"));
    let options = Options {
        delete_removed: true,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert!(report.has_gaps());
    assert_eq!(names_with(&report, Fate::Deleted), [""; 0]);
    assert_eq!(jobs_named(&stage.target, "gone").await, 1);
    stage.target.clear_faults();
    stage.apply(&options).await.unwrap();
    assert_eq!(jobs_named(&stage.target, "gone").await, 0);
    assert_eq!(
        job(&stage.target, "mine").await["settings"]["description"],
        "two"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_read_so_is_no_standby() {
    let fill = Fill {
        init_scripts: 2,
        ..little()
    };
    let stage = Stage::new(&fill).await;
    stage.apply(&stage.options()).await.unwrap();
    turn(&stage, Direction::Activate).await;
    stage
        .target
        .fault(not_really("GET", "/api/2.0/global-init-scripts/*"));
    let back = turn(&stage, Direction::Deactivate).await;
    assert_eq!(back.after, State::Active);
}

/// The answer to a create is lost, the process dies, and the source renames the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_is_found_under_the_name_that_it_had() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    add_job(&stage.source, "first name", cron("0 0 4 * * ?", "UNPAUSED")).await;
    stage.export().await;
    stage.target.fault(Fault {
        method: "POST".to_owned(),
        path: "/api/2.2/jobs/create".to_owned(),
        kind: FaultKind::Kill,
        when: When::After,
        ..Fault::default()
    });
    stage.apply(&stage.options()).await.unwrap_err();
    stage.target.clear_faults();
    change(&stage.source, "first name", json!({"name": "second name"})).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert!(!report.has_gaps(), "{:?}", troubles(&report));
    assert_eq!(jobs_named(&stage.target, "first name").await, 0);
    assert_eq!(jobs_named(&stage.target, "second name").await, 1);
}

/// Refusals that the service may give after it has done the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_took_effect_whatever_was_answered_is_found() {
    for (status, body, kind) in [
        (
            400,
            r#"{"error_code":"BAD_REQUEST","message":"deadline exceeded"}"#,
            None,
        ),
        (408, "", None),
        (
            409,
            r#"{"error_code":"ABORTED","message":"concurrent"}"#,
            None,
        ),
        (200, "<html><body>a proxy</body></html>", Some("text/html")),
    ] {
        let stage = Stage::new(&little()).await;
        stage.apply(&stage.options()).await.unwrap();
        add_job(&stage.source, "mine", json!({"description": "one"})).await;
        stage.export().await;
        stage.target.fault(Fault {
            when: When::After,
            times: 1,
            body: Some(body.to_owned()),
            content_type: kind.map(str::to_owned),
            ..Fault::status("POST", "/api/2.2/jobs/create", status)
        });
        // Who does not get through to the service stops.
        let _ = stage.apply(&stage.options()).await;
        stage.target.clear_faults();
        change(&stage.source, "mine", json!({"description": "two"})).await;
        stage.export().await;
        let report = stage.apply(&stage.options()).await.unwrap();
        assert!(!report.has_gaps(), "{status}: {:?}", troubles(&report));
        assert_eq!(jobs_named(&stage.target, "mine").await, 1, "{status}");
        let there = job(&stage.target, "mine").await;
        assert_eq!(there["settings"]["description"], "two", "{status}");
    }
}

/// The journal of an active target is lost: its jobs are not made a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopting_an_active_target_makes_no_job_twice() {
    let stage = Stage::new(&little()).await;
    add_job(&stage.source, "mine", cron("0 0 4 * * ?", "UNPAUSED")).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    turn(&stage, Direction::Activate).await;
    let armed = stage.target.costs().jobs_armed;
    assert!(armed.contains(&"mine".to_owned()), "{armed:?}");
    fs_err::remove_dir_all(stage.journal().parent().unwrap()).unwrap();
    let options = Options {
        adopt: true,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    let told = troubles(&report).join("\n");
    assert!(
        told.contains(
            "jobs mine blocked: one of this name in the target differs only in being active"
        ),
        "{told}"
    );
    assert_eq!(jobs_named(&stage.target, "mine").await, 1);
    turn(&stage, Direction::Activate).await;
    assert_eq!(stage.target.costs().jobs_armed, armed);
}

/// A journal of an earlier night knows nothing of a job that was made since: a second one is not made in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_beside_one_that_nobody_knows_is_a_gap_and_is_not_activated() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    let earlier = fs_err::read(stage.journal()).unwrap();
    add_job(&stage.source, "mine", cron("0 0 4 * * ?", "UNPAUSED")).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    fs_err::write(stage.journal(), earlier).unwrap();
    change(&stage.source, "mine", json!({"description": "changed"})).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    let told = troubles(&report).join("\n");
    assert!(
        report.has_gaps() && told.contains("made beside 1 of this name"),
        "{told}"
    );
    turn(&stage, Direction::Activate).await;
    let armed = stage.target.costs().jobs_armed;
    assert!(!armed.contains(&"mine".to_owned()), "{armed:?}");
}

/// A night brings a job that was paused on purpose, and dies before it keeps its ledger; then the region fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_paused_on_purpose_stays_paused_after_a_night_that_was_killed() {
    let stage = Stage::new(&little()).await;
    add_job(&stage.source, "mine", cron("0 0 4 * * ?", "UNPAUSED")).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    let mut settings = cron("0 0/1 * * * ?", "PAUSED");
    settings["description"] = json!("paused on purpose");
    change(&stage.source, "mine", settings).await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    let journal = fs_err::read_to_string(stage.journal()).unwrap();
    let lines: Vec<&str> = journal.lines().collect();
    let is_the_update = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["line"] == "result" && line["op"] == "update" && line["kind"] == "jobs"
    };
    let at = lines.iter().rposition(is_the_update).unwrap();
    fs_err::write(stage.journal(), lines[..=at].join("\n") + "\n").unwrap();
    turn(&stage, Direction::Activate).await;
    let there = job(&stage.target, "mine").await;
    assert_eq!(there["settings"]["description"], "paused on purpose");
    let armed = stage.target.costs().jobs_armed;
    assert!(!armed.contains(&"mine".to_owned()), "{armed:?}");
}

/// A block is refused for certain; what was sent before it stands in the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_dbfs_file_that_came_in_part_is_brought_by_the_next_run() {
    const PATH: &str = "/FileStore/large.bin";
    let content = |seed: u32| -> Vec<u8> {
        (0..2_500_000_u32)
            .map(|at| u8::try_from((at + seed) % 251).unwrap())
            .collect()
    };
    for first in [true, false] {
        let stage = Stage::new(&little()).await;
        let put = |sim: &Sim, bytes: Vec<u8>| {
            sim.with(|world| lifeboat_sim::dbfs::put(world, PATH, bytes.into()));
        };
        if !first {
            put(&stage.source, content(0));
            stage.export().await;
            stage.apply(&stage.options()).await.unwrap();
            stage.source.advance(Duration::from_secs(100));
        }
        put(&stage.source, content(7));
        stage.export().await;
        stage.target.fault(Fault {
            skip: 1,
            times: 1,
            ..Fault::status("POST", "/api/2.0/dbfs/add-block", 403)
        });
        let report = stage.apply(&stage.options()).await.unwrap();
        assert!(report.has_gaps());
        stage.target.clear_faults();
        stage.target.advance(Duration::from_secs(100));
        put(&stage.target, content(7)[..1 << 20].to_vec());
        let report = stage.apply(&stage.options()).await.unwrap();
        assert!(!report.has_gaps(), "{:?}", troubles(&report));
        assert_eq!(stage.differences(), [""; 0]);
    }
}

/// The service refuses one grantee whose name holds the name of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grantee_whose_name_is_part_of_an_unknown_one_keeps_its_grant() {
    let fill = Fill {
        jobs: 0,
        ..little()
    };
    let stage = Stage::new(&fill).await;
    add_job(&stage.source, "mine", json!({})).await;
    let bot = "analytics-bot@contoso.example";
    let user = json!({"userName": bot, "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]});
    send(&stage.source, "/api/2.0/preview/scim/v2/Users", &user).await;
    let here = job(&stage.source, "mine").await["job_id"].to_string();
    let grants = json!({"access_control_list": [
        {"group_name": "analytics", "permission_level": "CAN_MANAGE_RUN"},
        {"user_name": bot, "permission_level": "CAN_VIEW"},
    ]});
    let path = format!("/api/2.0/permissions/jobs/{here}");
    client(&stage.source)
        .send("PATCH", &path, &[], Body::Json(&grants), Safety::Idempotent)
        .await
        .unwrap();
    stage.export().await;
    // Everybody is there before the job, so that nobody is waited for.
    let mut people = stage.options();
    people.selection.kinds = Some(
        ["users", "groups", "service-principals"]
            .map(str::to_owned)
            .to_vec(),
    );
    stage.apply(&people).await.unwrap();
    let message = format!("Principal: UserName({bot}) does not exist");
    let body = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message});
    stage.target.fault(Fault {
        times: 1,
        body: Some(body.to_string()),
        ..Fault::status("PUT", "/api/2.0/permissions/jobs/*", 404)
    });
    let report = stage.apply(&stage.options()).await.unwrap();
    let told = troubles(&report).join("\n");
    assert!(told.contains(&format!("does not know {bot}")), "{told}");
    let there = job(&stage.target, "mine").await["job_id"].to_string();
    let path = format!("/api/2.0/permissions/jobs/{there}");
    let granted = client(&stage.target).get(&path, &[]).await.unwrap();
    assert!(
        granted.to_string().contains(r#""group_name":"analytics""#),
        "{granted}"
    );
}

/// A run that is asked to stop while it makes a cluster turns it off again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_just_made_is_turned_off_by_a_run_that_stops() {
    let fill = Fill {
        clusters: 1,
        ..little()
    };
    let stage = Stage::new(&fill).await;
    let options = stage.options();
    let stop = options.stop.clone();
    stage.target.on_call(move |call| {
        if call.path.ends_with("clusters/create") {
            stop.request(Duration::from_secs(10));
        }
    });
    let stopped = stage.apply(&options).await.unwrap_err();
    assert!(matches!(stopped, Error::Stopped { .. }), "{stopped}");
    let calls = stage.target.calls();
    let of = |end: &str| calls.iter().filter(|call| call.path.ends_with(end)).count();
    assert_eq!((of("clusters/create"), of("clusters/delete")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_nobody_knows_does_not_land_running() {
    let stage = Stage::new(&little()).await;
    let trigger = json!({"brand_new_schedule": {"every": "1h", "pause_status": "UNPAUSED"}});
    add_job(&stage.source, "mine", trigger).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    let told = troubles(&report).join("\n");
    assert!(
        told.contains("/settings/brand_new_schedule/pause_status would run"),
        "{told}"
    );
    assert_eq!(jobs_named(&stage.target, "mine").await, 0);
}

#[cfg(unix)]
#[test]
fn a_journal_by_another_name_has_the_same_lock() {
    use lifeboat_import::journal::{Journal, Lock};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let lock = Lock::take(&path).unwrap();
    let _held = Journal::open(&path, lock, "1", "2", "a").unwrap();
    let link = folder.path().join("link.jsonl");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let refused = Lock::take(&link).unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
}

/// The journal of before the activation (another machine, a restored disk) meets a target that runs production.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_before_the_activation_does_not_overwrite_production() {
    let fill = Fill {
        pools: 1,
        init_scripts: 1,
        ..little()
    };
    let stage = Stage::new(&fill).await;
    for name in ["mine", "another"] {
        add_job(&stage.source, name, cron("0 0 4 * * ?", "UNPAUSED")).await;
    }
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    let earlier = fs_err::read(stage.journal()).unwrap();
    turn(&stage, Direction::Activate).await;
    let armed = stage.target.costs().jobs_armed;
    fs_err::write(stage.journal(), earlier).unwrap();
    change(&stage.source, "mine", json!({"description": "x"})).await;
    stage.export().await;
    stage.target.reset_calls();
    let refused = stage.apply(&stage.options()).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    assert!(refused.to_string().contains("job mine"), "{refused}");
    assert_eq!(stage.writes(), []);
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(stage.target.costs().jobs_armed, armed);
}

/// A journal of one's own does not hide that the usual one knows of the activation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_journal_does_not_hide_that_the_target_is_active() {
    let stage = Stage::new(&little()).await;
    stage.apply(&stage.options()).await.unwrap();
    turn(&stage, Direction::Activate).await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        journal: Some(folder.path().join("fresh.jsonl")),
        adopt: true,
        ..stage.options()
    };
    stage.target.reset_calls();
    let refused = stage.apply(&options).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("was activated and runs production"),
        "{refused}"
    );
    assert_eq!(stage.writes(), []);
}

/// The service may not overwrite a file that looks like a notebook: it is deleted by its path and made again. What took
/// its place meanwhile is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_took_the_place_of_a_file_is_not_deleted_for_it() {
    const PATH: &str = "/Shared/tool.py";
    let content = |text: &str| {
        Object::File(
            format!("# Databricks notebook source\n{text}\n")
                .into_bytes()
                .into(),
        )
    };
    for taken in [false, true] {
        let stage = Stage::new(&little()).await;
        let put = |text: &str| {
            stage.source.with(|world| {
                let admin = world.admin();
                tree::put(world, PATH, content(text), &admin);
            });
        };
        put("one");
        stage.export().await;
        stage.apply(&stage.options()).await.unwrap();
        stage.source.advance(Duration::from_secs(100));
        put("two");
        stage.export().await;
        let exists = json!({"error_code": "RESOURCE_ALREADY_EXISTS", "message": "Node named 'tool.py' already exists"});
        stage.target.fault(Fault {
            times: 1,
            body: Some(exists.to_string()),
            ..Fault::status("POST", "/api/2.0/workspace/import", 400)
        });
        if taken {
            let path = || PATH.to_owned();
            let text = "by hand".to_owned();
            for action in [
                Action::Delete { path: path() },
                Action::Write { path: path(), text },
            ] {
                stage.target.script(Script {
                    method: "GET".to_owned(),
                    path: "/api/2.0/workspace/list".to_owned(),
                    query: "path=/Shared".to_owned(),
                    skip: 0,
                    action,
                });
            }
        }
        let report = stage.apply(&stage.options()).await.unwrap();
        let told = troubles(&report).join("\n");
        assert_eq!(
            told.contains("another object took its place"),
            taken,
            "{told}"
        );
        let deletes = stage.writes();
        let deletes = deletes
            .iter()
            .filter(|call| call.path.ends_with("workspace/delete"));
        assert_eq!(deletes.count(), usize::from(!taken));
    }
}
