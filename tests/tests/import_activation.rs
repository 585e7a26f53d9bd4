//! Cutting over to a standby and back, on simulated workspaces: what runs, what stays passive, and what a nightly import
//! does before, between and afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::time::Duration;

use import_support::standby::{
    add_job, job, options, passive_differences, send, small, standby, standby_of, state, turn,
    turn_with,
};
use import_support::{SOURCE, Stage, TARGET, client, client_with, rule};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::journal::State;
use lifeboat_import::{
    Choice, Direction, Error, Rule, Silent, SwitchOptions, Turn, Verdict, switch,
};
use lifeboat_sim::{Fault, FaultKind, Fill, When};
use serde_json::{Value, json};

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
    let mut said = done.moves.clone();
    for one in &mut said {
        let read = one.read_back.take();
        let changed = one.turn == Turn::Change;
        assert_eq!(read, changed.then_some(Verdict::Equal), "{one:?}");
    }
    assert_eq!(said, planned.moves, "what was said is what was done");
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

/// Answers as if it had been done.
fn pretends(path: &str) -> Fault {
    Fault {
        body: Some("{}".to_owned()),
        times: 1,
        ..Fault::status("POST", path, 200)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_activation_wrote_is_read_again_and_what_differs_is_said() {
    let stage = standby().await;
    let only = SwitchOptions {
        choice: Choice {
            names: vec!["unpaused".to_owned()],
            ..Choice::default()
        },
        ..options(&stage)
    };
    stage.target.fault(pretends("/api/2.2/jobs/update"));
    let done = turn_with(&stage, Direction::Activate, &only).await;
    assert_eq!(done.moves[0].turn, Turn::Change);
    assert_eq!(done.moves[0].read_back, Some(Verdict::Different));
    let reason = done.moves[0].reason.as_deref().unwrap();
    assert!(
        reason.contains("schedule PAUSED instead of UNPAUSED"),
        "{reason}"
    );
    assert!(done.differs() && !done.has_gaps());
    assert_eq!(state(&stage), State::Active);
    let again = turn_with(&stage, Direction::Activate, &only).await;
    assert_eq!((again.writes, again.differs()), (1, false));
    assert_eq!(stage.target.costs().jobs_armed, ["unpaused"]);

    // A standby is what was seen to be passive.
    stage.target.fault(pretends("/api/2.2/jobs/update"));
    let back = turn_with(&stage, Direction::Deactivate, &only).await;
    assert_eq!(back.moves[0].read_back, Some(Verdict::Different));
    assert_eq!((back.after, state(&stage)), (State::Active, State::Active));
    let back = turn_with(&stage, Direction::Deactivate, &only).await;
    assert_eq!((back.differs(), state(&stage)), (false, State::Standby));
    assert!(stage.target.costs().is_passive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_read_after_an_activation_is_no_difference_and_a_refused_one_is_unknown() {
    let stage = standby().await;
    for path in ["/api/2.2/jobs/get", "/api/2.1/clusters/list"] {
        stage.target.fault(Fault {
            kind: FaultKind::Stale,
            path: path.to_owned(),
            ..Fault::default()
        });
    }
    let done = turn(&stage, Direction::Activate).await;
    let changed = done.moves.iter().filter(|one| one.turn == Turn::Change);
    for one in changed {
        assert_eq!(one.read_back, Some(Verdict::Equal), "{one:?}");
    }
    stage.target.clear_faults();
    let refused = Fault::status("GET", "/api/2.0/instance-pools/get", 403);
    stage.target.fault(refused);
    let pools = SwitchOptions {
        choice: Choice {
            kinds: Some(vec!["instance-pools".to_owned()]),
            ..Choice::default()
        },
        ..options(&stage)
    };
    let back = turn_with(&stage, Direction::Deactivate, &pools).await;
    let changed = back.moves.iter().filter(|one| one.turn == Turn::Change);
    let read: Vec<Option<Verdict>> = changed.map(|one| one.read_back).collect();
    assert_eq!(read, [Some(Verdict::Unknown)], "{:?}", back.moves);
    assert!(back.differs());
    assert_eq!(state(&stage), State::Active);
}
