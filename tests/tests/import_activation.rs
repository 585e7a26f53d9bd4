//! Cutting over to a standby and back, on simulated workspaces: what runs, what stays passive, and what a nightly import
//! does before, between and afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::time::Duration;

use import_support::{SOURCE, Stage, TARGET, client, client_with, rule, troubles};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::journal::{Journal, State};
use lifeboat_import::{
    Choice, Direction, Error, Rule, Silent, SwitchOptions, Switched, Turn, switch,
};
use lifeboat_sim::{Fault, FaultKind, Fill, Sim, Strictness, When, compare_all};
use serde_json::{Value, json};

fn small() -> Fill {
    Fill {
        notebooks: 4,
        folders: 2,
        files: 1,
        others: 0,
        users: 3,
        service_principals: 1,
        groups: 2,
        clusters: 2,
        jobs: 13,
        pools: 2,
        policies: 1,
        init_scripts: 2,
        scopes: 1,
        git_folders: 0,
        dbfs_files: 1,
        ..Fill::small()
    }
}

fn options(stage: &Stage) -> SwitchOptions {
    SwitchOptions {
        source_fenced: true,
        state_home: Some(stage.folder.path().join("state")),
        ..SwitchOptions::default()
    }
}

async fn turn(stage: &Stage, direction: Direction) -> Switched {
    turn_with(stage, direction, &options(stage)).await
}

async fn turn_with(stage: &Stage, direction: Direction, options: &SwitchOptions) -> Switched {
    switch(direction, &client(&stage.target), options, &Silent)
        .await
        .unwrap()
}

fn state(stage: &Stage) -> State {
    Journal::read(&stage.journal(), SOURCE, TARGET)
        .unwrap()
        .state
}

/// What differs in passive state alone: kind, name, place.
fn passive_differences(stage: &Stage) -> Vec<String> {
    let strict = Strictness {
        passive: true,
        secrets: false,
    };
    let (a, b) = (stage.source.dump(), stage.target.dump());
    let lax = compare_all(&a, &b, Strictness::default()).differences;
    let mut differences: Vec<String> = compare_all(&a, &b, strict)
        .differences
        .into_iter()
        .filter(|one| !lax.contains(one))
        .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
        .collect();
    differences.sort();
    differences
}

async fn send(sim: &Sim, path: &str, body: &Value) -> Value {
    client(sim)
        .send("POST", path, &[], Body::Json(body), Safety::Create)
        .await
        .unwrap()
}

async fn job(sim: &Sim, name: &str) -> Value {
    let query = [("name", name)];
    let list = client(sim).get("/api/2.2/jobs/list", &query).await.unwrap();
    let id = list["jobs"][0]["job_id"].to_string();
    let query = [("job_id", id.as_str())];
    client(sim).get("/api/2.2/jobs/get", &query).await.unwrap()
}

async fn add_job(sim: &Sim, name: &str, more: Value) -> String {
    let mut body = json!({
        "name": name,
        "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": "/Shared"}}],
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    send(sim, "/api/2.2/jobs/create", &body).await["job_id"].to_string()
}

/// A source whose jobs start in every way there is, and a standby of it.
async fn standby() -> Stage {
    standby_of(&small()).await
}

async fn standby_of(fill: &Fill) -> Stage {
    let stage = Stage::new(fill).await;
    let cron = |pause: Option<&str>| {
        let mut schedule = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"});
        if let Some(pause) = pause {
            schedule["pause_status"] = json!(pause);
        }
        json!({ "schedule": schedule, "tags": {"team": "ops", "tier": "1"} })
    };
    let source = &stage.source;
    add_job(source, "paused", cron(Some("PAUSED"))).await;
    add_job(source, "unpaused", cron(Some("UNPAUSED"))).await;
    add_job(source, "absent", cron(None)).await;
    let table = json!({"trigger": {"pause_status": "UNPAUSED", "table_update":
        {"table_names": ["main.sales.orders"], "condition": "ANY_UPDATED"}}, "tags": {"team": "sales"}});
    add_job(source, "table", table).await;
    let clusters = client(source)
        .get("/api/2.1/clusters/list", &[])
        .await
        .unwrap();
    let pinned = clusters["clusters"].as_array().unwrap().iter();
    let mut pinned = pinned.filter(|cluster| cluster.get("pinned_by_user_name").is_some());
    let unpinned = json!({"cluster_id": pinned.next().unwrap()["cluster_id"]});
    send(source, "/api/2.1/clusters/unpin", &unpinned).await;
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(stage.target.costs().is_passive());
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activated_the_standby_has_the_state_of_the_source_and_a_second_time_nothing_is_written() {
    let stage = standby().await;
    assert_ne!(passive_differences(&stage), Vec::<String>::new());
    stage.target.reset_calls();
    let dry = SwitchOptions {
        dry_run: true,
        source_fenced: false,
        ..options(&stage)
    };
    let planned = turn_with(&stage, Direction::Activate, &dry).await;
    assert!(stage.writes().is_empty());
    assert_eq!(state(&stage), State::Standby);

    let done = turn(&stage, Direction::Activate).await;
    assert_eq!(done.moves, planned.moves, "what was said is what was done");
    assert!(!done.has_gaps(), "{:?}", done.moves);
    assert_eq!((done.after, state(&stage)), (State::Active, State::Active));
    assert_eq!(passive_differences(&stage), Vec::<String>::new());
    assert_eq!(
        job(&stage.target, "paused").await["settings"]["schedule"]["pause_status"],
        "PAUSED"
    );
    let absent = job(&stage.target, "absent").await;
    assert_eq!(
        absent["settings"]["schedule"].get("pause_status"),
        job(&stage.source, "absent").await["settings"]["schedule"].get("pause_status")
    );
    let kinds: Vec<&str> = done
        .moves
        .iter()
        .filter(|one| one.turn == Turn::Change)
        .map(|one| one.kind.as_str())
        .collect();
    for kind in ["global-init-scripts", "instance-pools", "clusters", "jobs"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert!(
        kinds.iter().rposition(|kind| *kind != "jobs")
            < kinds.iter().position(|kind| *kind == "jobs"),
        "jobs last: {kinds:?}"
    );

    stage.target.reset_calls();
    let again = turn(&stage, Direction::Activate).await;
    assert_eq!(again.writes, 0);
    assert!(stage.writes().is_empty(), "{:?}", stage.writes());
    assert!(
        again.moves.iter().all(|one| one.turn == Turn::Unchanged),
        "{:?}",
        again.moves
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_target_refuses_the_nightly_import_until_it_is_passive_again() {
    let stage = standby().await;
    turn(&stage, Direction::Activate).await;
    assert!(!stage.target.costs().jobs_armed.is_empty());
    let refused = stage.apply(&stage.options()).await;
    match &refused {
        Err(Error::Refused { hint, .. }) => assert!(hint.contains("deactivate"), "{hint}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rule(refused), Rule::Active);
    let plan = stage.plan(&stage.options()).await.unwrap();
    let refusals: Vec<Rule> = plan.refusals.iter().filter_map(|one| one.rule).collect();
    assert_eq!(refusals, [Rule::Active]);
    assert!(plan.is_empty(), "activation alone is no change");
    let comparison = lifeboat_import::compare(
        &stage.open(),
        &client(&stage.target),
        &stage.options(),
        &Silent,
    )
    .await
    .unwrap();
    assert_eq!(comparison.differences, []);

    // What somebody changes while it runs stays as it is.
    let edited = job(&stage.target, "unpaused").await;
    let change = json!({"job_id": edited["job_id"], "new_settings": {"description": "edited in production"}});
    send(&stage.target, "/api/2.2/jobs/update", &change).await;
    let stray =
        json!({"schedule": {"quartz_cron_expression": "0 0 4 * * ?", "timezone_id": "UTC"}});
    add_job(&stage.target, "made in production", stray).await;
    let back = turn(&stage, Direction::Deactivate).await;
    assert_eq!(
        (back.after, state(&stage)),
        (State::Standby, State::Standby)
    );
    assert_eq!(
        back.unknown,
        [("jobs".to_owned(), "made in production".to_owned())]
    );
    assert_eq!(stage.target.costs().jobs_armed, ["made in production"]);
    assert_eq!(stage.target.costs().idle_instances, 0);
    assert_eq!(
        job(&stage.target, "unpaused").await["settings"]["description"],
        "edited in production"
    );
    stage.target.reset_calls();
    assert_eq!(turn(&stage, Direction::Deactivate).await.writes, 0);
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(report.writes, 0, "{:?}", stage.writes());
    let kept: Vec<&str> = report
        .objects
        .iter()
        .filter(|one| one.fate == lifeboat_import::Fate::Skipped && one.kind == "jobs")
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(
        kept,
        ["unpaused"],
        "nothing else counts as changed in the target"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_activates_only_what_it_names() {
    let stage = standby().await;
    let choose = |choice: Choice| SwitchOptions {
        choice,
        ..options(&stage)
    };
    let by_name = choose(Choice {
        names: vec!["abs*".to_owned()],
        ..Choice::default()
    });
    turn_with(&stage, Direction::Activate, &by_name).await;
    assert_eq!(stage.target.costs().jobs_armed, ["absent"]);
    let by_tag = choose(Choice {
        tags: vec![("team".to_owned(), Some("sales".to_owned()))],
        ..Choice::default()
    });
    turn_with(&stage, Direction::Activate, &by_tag).await;
    assert_eq!(stage.target.costs().jobs_armed, ["absent", "table"]);
    let by_key = choose(Choice {
        tags: vec![("tier".to_owned(), None)],
        kinds: Some(vec!["jobs".to_owned()]),
        ..Choice::default()
    });
    turn_with(&stage, Direction::Deactivate, &by_key).await;
    assert_eq!(stage.target.costs().jobs_armed, ["table"]);
    assert_eq!(state(&stage), State::Active, "one job is left");
    let nothing = choose(Choice {
        names: vec!["no such".to_owned()],
        ..Choice::default()
    });
    assert!(
        turn_with(&stage, Direction::Activate, &nothing)
            .await
            .moves
            .is_empty()
    );
    turn_with(&stage, Direction::Deactivate, &by_tag).await;
    assert_eq!(
        state(&stage),
        State::Standby,
        "the selection covered the rest"
    );
    turn_with(&stage, Direction::Activate, &nothing).await;
    assert_eq!(state(&stage), State::Standby, "nothing was meant");
    let wrong = choose(Choice {
        kinds: Some(vec!["notebooks".to_owned()]),
        ..Choice::default()
    });
    let wrong = switch(Direction::Activate, &client(&stage.target), &wrong, &Silent).await;
    assert!(matches!(wrong, Err(Error::Selection { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_orphaned_and_what_lacks_its_owner_is_blocked() {
    let stage = standby().await;
    let gone = job(&stage.source, "unpaused").await;
    send(
        &stage.source,
        "/api/2.2/jobs/delete",
        &json!({"job_id": gone["job_id"]}),
    )
    .await;
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    // The owner of a job left: it runs as nobody.
    let journal = fs_err::read_to_string(stage.journal()).unwrap();
    let lines = journal.lines().count();
    stage.apply(&stage.options()).await.unwrap();
    let grown = fs_err::read_to_string(stage.journal()).unwrap();
    assert_eq!(
        grown.lines().count(),
        lines + 1,
        "a night without news opens the journal and says nothing else"
    );

    let missing = job(&stage.target, "table").await;
    send(
        &stage.target,
        "/api/2.2/jobs/delete",
        &json!({"job_id": missing["job_id"]}),
    )
    .await;
    let done = turn(&stage, Direction::Activate).await;
    let turn_of = |name: &str| done.moves.iter().find(|one| one.name == name).unwrap();
    assert_eq!(turn_of("unpaused").turn, Turn::Orphaned);
    assert_eq!(turn_of("table").turn, Turn::Missing);
    assert!(done.has_gaps());
    assert!(
        !stage
            .target
            .costs()
            .jobs_armed
            .contains(&"unpaused".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_without_its_owner_is_barred_and_says_so() {
    let fill = Fill {
        clusters: 1,
        jobs: 2,
        ..small()
    };
    let stage = Stage::new(&fill).await;
    let schedule = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"});
    let user = stage
        .source
        .with(|world| lifeboat_sim::identities::add_user(world, "gone@example.com", "Gone", false));
    add_job(
        &stage.source,
        "owned",
        json!({"schedule": schedule, "run_as": {"user_name": "gone@example.com"}}),
    )
    .await;
    client(&stage.source)
        .send(
            "DELETE",
            &format!("/api/2.0/preview/scim/v2/Users/{user}"),
            &[],
            Body::Json(&Value::Null),
            Safety::Idempotent,
        )
        .await
        .unwrap();
    stage.export().await;
    stage.apply(&stage.options()).await.unwrap();
    let done = turn(&stage, Direction::Activate).await;
    let owned = done.moves.iter().find(|one| one.name == "owned").unwrap();
    assert_eq!(owned.turn, Turn::Blocked, "{owned:?}");
    assert!(
        owned.reason.as_deref().unwrap().contains("owner missing"),
        "{owned:?}"
    );
    assert_eq!(owned.changes.len(), 1, "what it would have been is said");
    assert!(done.has_gaps());
    assert!(
        !stage
            .target
            .costs()
            .jobs_armed
            .contains(&"owned".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_activated_without_a_word_a_ledger_and_the_right_workspace() {
    let stage = standby().await;
    stage.target.reset_calls();
    let client_of = client(&stage.target);
    let refuse = async |options: SwitchOptions| {
        rule(switch(Direction::Activate, &client_of, &options, &Silent).await)
    };
    let unsaid = SwitchOptions {
        source_fenced: false,
        ..options(&stage)
    };
    assert_eq!(refuse(unsaid).await, Rule::NotFenced);
    let elsewhere = SwitchOptions {
        state_home: Some(stage.folder.path().join("empty")),
        ..options(&stage)
    };
    assert_eq!(refuse(elsewhere).await, Rule::NoLedger);
    let wrong = SwitchOptions {
        target: Some("3".to_owned()),
        ..options(&stage)
    };
    assert_eq!(refuse(wrong).await, Rule::OtherTarget);
    let folder = stage
        .folder
        .path()
        .join(format!("state/lifeboat/77-{TARGET}"));
    fs_err::create_dir_all(&folder).unwrap();
    let text = fs_err::read_to_string(stage.journal()).unwrap();
    fs_err::write(folder.join("journal.jsonl"), text.replace(SOURCE, "77")).unwrap();
    assert_eq!(refuse(options(&stage)).await, Rule::SeveralSources);
    let other = SwitchOptions {
        journal: Some(stage.journal()),
        ..options(&stage)
    };
    assert!(stage.writes().is_empty());
    assert_eq!(state(&stage), State::Standby);
    let lock = lifeboat_import::journal::Lock::take(&stage.journal()).unwrap();
    assert_eq!(refuse(other.clone()).await, Rule::JournalLocked);
    drop(lock);
    assert!(stage.writes().is_empty());
    turn_with(&stage, Direction::Activate, &other).await;
    let named = SwitchOptions {
        source: Some(SOURCE.to_owned()),
        ..options(&stage)
    };
    assert_eq!(
        turn_with(&stage, Direction::Activate, &named).await.writes,
        0
    );
}

/// Kills the server at every call of a run and runs it again.
async fn killed(direction: Direction) {
    let stage = standby_of(&Fill {
        clusters: 1,
        jobs: 0,
        pools: 1,
        init_scripts: 1,
        ..small()
    })
    .await;
    let passive = stage.target.dump();
    turn(&stage, Direction::Activate).await;
    let active = stage.target.dump();
    turn(&stage, Direction::Deactivate).await;
    assert_eq!(stage.target.dump(), passive);
    let (begin, end) = match direction {
        Direction::Activate => (Direction::Deactivate, active),
        Direction::Deactivate => (Direction::Activate, passive),
    };
    for call in 0.. {
        turn(&stage, begin).await;
        let start = stage.target.dump();
        let when = if call % 2 == 0 {
            When::After
        } else {
            When::Before
        };
        stage.target.fault(Fault {
            kind: FaultKind::Kill,
            skip: call,
            times: 1,
            when,
            ..Fault::default()
        });
        let impatient = client_with(&stage.target, Duration::from_millis(20));
        let died = switch(direction, &impatient, &options(&stage), &Silent).await;
        stage.target.clear_faults();
        if died.as_ref().is_ok_and(|done| !done.has_gaps()) {
            assert!(call > 10, "only {call} calls");
            return;
        }
        if direction == Direction::Deactivate {
            assert_eq!(state(&stage), State::Active, "after call {call}");
        }
        if stage.target.dump() != start {
            assert_eq!(
                state(&stage),
                State::Active,
                "written before it was said, call {call}"
            );
        }
        turn(&stage, direction).await;
        assert_eq!(stage.target.dump(), end, "after call {call}, {when:?}");
        assert_eq!(turn(&stage, direction).await.writes, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_killed_at_any_call_goes_on_where_it_stopped() {
    killed(Direction::Activate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivation_killed_at_any_call_goes_on_where_it_stopped() {
    killed(Direction::Deactivate).await;
}

async fn write_notebook(sim: &Sim, path: &str, base64: &str) {
    // The clock of a change must be another than that of the last one.
    sim.advance(Duration::from_secs(1));
    let body = json!({"path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": true, "content": base64});
    send(sim, "/api/2.0/workspace/import", &body).await;
}

fn notebooks(sim: &Sim) -> Vec<String> {
    let dump = sim.dump();
    let all = dump["notebooks"].as_object().unwrap().iter();
    all.filter(|(_, facts)| facts["language"] == "PYTHON" && facts["jupyter"] != true)
        .map(|(path, _)| path.clone())
        .collect()
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

    let path = stage.folder.path().join("back.tar.zst");
    let mut export = lifeboat_export::Options::new("2026-11-23T01:00:00Z".parse().unwrap());
    export.dbfs = vec!["/".to_owned()];
    let sink = fs_err::File::create(&path).unwrap().into_parts().0;
    lifeboat_export::run(&client(&stage.target), &export, sink, &Unheard)
        .await
        .unwrap();
    let archive = lifeboat_archive::Archive::open(&path).unwrap();
    let primary = client(&stage.source);
    let back = lifeboat_import::Options {
        target: Some(SOURCE.to_owned()),
        failback: Some(None),
        ..stage.options()
    };
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
        .filter(|one| one.fate == lifeboat_import::Fate::Skipped && one.kind != "workspace-objects")
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
    let plan = lifeboat_import::plan(&archive, &primary, &late, &Silent)
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

struct Unheard;

impl lifeboat_export::Observer for Unheard {
    fn event(&self, _: lifeboat_export::Event<'_>) {}
}
