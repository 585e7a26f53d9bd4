//! One short or stale answer while the target is read: nothing is made twice, and nothing counts as gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::standby::{
    job, options, passive_differences, send, standby, state, turn, turn_with,
};
use import_support::{Stage, client, client_with, names_with, rule, troubles};
use lifeboat_import::journal::State;
use lifeboat_import::{Direction, Fate, Options, Rule, Switched, Turn};
use lifeboat_sim::{Fault, FaultKind, Fill, When};
use serde_json::json;

/// Paths of the calls for a kind: its listing, the read of one object, the create.
struct Calls {
    kind: &'static str,
    list: &'static str,
    read: &'static str,
    create: &'static str,
}

const fn calls(
    kind: &'static str,
    list: &'static str,
    read: &'static str,
    create: &'static str,
) -> Calls {
    Calls {
        kind,
        list,
        read,
        create,
    }
}

const GROUPS: &str = "/api/2.0/preview/scim/v2/Groups";
const SCRIPTS: &str = "/api/2.0/global-init-scripts";
const JOBS: Calls = calls(
    "jobs",
    "/api/2.2/jobs/list",
    "/api/2.2/jobs/get",
    "/api/2.2/jobs/create",
);

/// Kinds whose objects have an id of the service.
const KINDS: [Calls; 6] = [
    JOBS,
    calls(
        "clusters",
        "/api/2.1/clusters/list",
        "/api/2.1/clusters/get",
        "/api/2.1/clusters/create",
    ),
    calls(
        "global-init-scripts",
        SCRIPTS,
        "/api/2.0/global-init-scripts/*",
        SCRIPTS,
    ),
    calls(
        "instance-pools",
        "/api/2.0/instance-pools/list",
        "/api/2.0/instance-pools/get",
        "/api/2.0/instance-pools/create",
    ),
    calls(
        "cluster-policies",
        "/api/2.0/policies/clusters/list",
        "/api/2.0/policies/clusters/get",
        "/api/2.0/policies/clusters/create",
    ),
    calls(
        "groups",
        GROUPS,
        "/api/2.0/preview/scim/v2/Groups/*",
        GROUPS,
    ),
];

fn some() -> Fill {
    Fill {
        notebooks: 2,
        folders: 1,
        files: 0,
        users: 2,
        service_principals: 1,
        groups: 3,
        clusters: 2,
        jobs: 6,
        pools: 2,
        policies: 2,
        init_scripts: 2,
        scopes: 1,
        git_folders: 0,
        dbfs_files: 0,
        ..Fill::small()
    }
}

/// A listing without elements.
fn empty_list(path: &str, times: u64) -> Fault {
    Fault {
        times,
        body: Some("{}".to_owned()),
        ..Fault::status("GET", path, 200)
    }
}

fn not_there(path: &str, times: u64) -> Fault {
    Fault {
        times,
        ..Fault::status("GET", path, 404)
    }
}

/// Calls of the target to a path.
fn count(stage: &Stage, method: &str, path: &str) -> usize {
    let calls = stage.target.calls();
    let to = |call: &&lifeboat_sim::Call| call.method == method && call.path == path;
    calls.iter().filter(to).count()
}

/// A second night with these faults: nothing is written and nothing is missing afterwards.
async fn night(stage: &Stage, what: &str, faults: Vec<Fault>) {
    for fault in faults {
        stage.target.fault(fault);
    }
    stage.target.reset_calls();
    let report = stage.apply(&stage.options()).await.unwrap();
    stage.target.clear_faults();
    assert_eq!(troubles(&report), Vec::<String>::new(), "{what}");
    assert_eq!(report.writes, 0, "{what}: {:?}", stage.writes());
    assert_eq!(report.totals().created, 0, "{what}");
    assert_eq!(stage.differences(), Vec::<String>::new(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_empty_list_or_one_404_makes_nothing_twice() {
    let stage = Stage::new(&some()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    for one in &KINDS {
        let kind = one.kind;
        let what = format!("{kind}: an empty list once");
        night(&stage, &what, vec![empty_list(one.list, 1)]).await;
        let what = format!("{kind}: a 404 once");
        night(&stage, &what, vec![not_there(one.read, 1)]).await;
        let what = format!("{kind}: both once");
        let both = vec![empty_list(one.list, 1), not_there(one.read, 1)];
        night(&stage, &what, both).await;
        assert_eq!(count(&stage, "POST", one.create), 0, "{kind}");
    }
    let again = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(again.writes, 0);
    assert_eq!(again.comparison.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_and_never_read_is_blocked_and_found_by_the_next_night() {
    let stage = Stage::new(&some()).await;
    stage.apply(&stage.options()).await.unwrap();
    for kind in ["jobs", "clusters", "global-init-scripts", "groups"] {
        let one = KINDS.iter().find(|one| one.kind == kind).unwrap();
        stage.target.fault(not_there(one.read, 0));
        stage.target.reset_calls();
        let report = stage.apply(&stage.options()).await.unwrap();
        stage.target.clear_faults();
        assert_eq!(report.writes, 0, "{kind}: {:?}", stage.writes());
        let all = report.objects.iter().filter(|object| object.kind == kind);
        let blocked = all.filter(|object| {
            let reason = object.reason.as_deref().unwrap_or_default();
            object.fate == Fate::Blocked && reason.contains("nobody can say")
        });
        assert!(blocked.count() > 1, "{kind}: {:?}", troubles(&report));
        night(&stage, kind, Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_read_shows_and_no_listing_does_is_there() {
    let stage = Stage::new(&some()).await;
    stage.apply(&stage.options()).await.unwrap();
    for one in &KINDS {
        stage.target.fault(Fault {
            body: Some(r#"{"totalResults":0}"#.to_owned()),
            ..empty_list(one.list, 0)
        });
        stage.target.reset_calls();
        let report = stage.apply(&stage.options()).await.unwrap();
        stage.target.clear_faults();
        assert_eq!(report.writes, 0, "{}: {:?}", one.kind, stage.writes());
        night(&stage, one.kind, Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_in_which_nothing_is_missing_makes_no_call_more() {
    let stage = Stage::new(&some()).await;
    stage.apply(&stage.options()).await.unwrap();
    night(&stage, "an ordinary night", Vec::new()).await;
    let listed_once = ["jobs", "clusters", "instance-pools", "cluster-policies"];
    for one in &KINDS {
        let lists = count(&stage, "GET", one.list);
        match listed_once.contains(&one.kind) {
            true => assert_eq!(lists, 1, "{}", one.kind),
            // Of identities two reads must agree, page by page.
            false => assert!(lists <= 4, "{}: {lists}", one.kind),
        }
    }
    for path in [
        "/api/2.0/instance-pools/get",
        "/api/2.0/policies/clusters/get",
    ] {
        assert_eq!(count(&stage, "GET", path), 0, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_lacks_most_of_what_it_should_show_is_asked_again_before_anything() {
    let stage = Stage::new(&some()).await;
    stage.apply(&stage.options()).await.unwrap();
    night(&stage, "an ordinary night", Vec::new()).await;
    let reads = count(&stage, "GET", JOBS.read);
    night(&stage, "an empty list", vec![empty_list(JOBS.list, 1)]).await;
    assert_eq!(count(&stage, "GET", JOBS.list), 2);
    assert_eq!(count(&stage, "GET", JOBS.read), reads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_in_the_target_is_looked_at_twice_and_made_again() {
    let stage = Stage::new(&some()).await;
    stage.apply(&stage.options()).await.unwrap();
    let list = client(&stage.target).get(JOBS.list, &[]).await.unwrap();
    let body = json!({ "job_id": list["jobs"][0]["job_id"] });
    send(&stage.target, "/api/2.2/jobs/delete", &body).await;
    let id = body["job_id"].to_string();
    stage.target.reset_calls();
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert_eq!(count(&stage, "GET", JOBS.list), 1);
    let looks = stage.target.calls();
    let looks = looks.iter().filter(|call| call.path == JOBS.read);
    assert_eq!(looks.filter(|call| call.query.contains(&id)).count(), 2);
    assert_eq!(plan.actions.iter().filter(|one| one.has_work()).count(), 1);
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(names_with(&report, Fate::Created).len(), 1);
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_without_an_answer_is_looked_for_again_by_the_next_run() {
    for one in [&KINDS[0], &KINDS[2], &KINDS[3], &KINDS[4]] {
        let stage = Stage::new(&some()).await;
        // The answers are lost, and nothing of them is shown for as long as the run looks.
        stage.target.fault(Fault {
            method: "POST".to_owned(),
            path: one.create.to_owned(),
            kind: FaultKind::Reset,
            when: When::After,
            times: 1,
            ..Fault::default()
        });
        stage.target.fault(Fault {
            skip: 1,
            ..Fault::status("POST", one.create, 503)
        });
        stage.target.fault(empty_list(one.list, 0));
        let options = Options {
            compare: false,
            ..stage.options()
        };
        let client = client_with(&stage.target, std::time::Duration::from_millis(300));
        let report =
            lifeboat_import::apply(&stage.open(), &client, &options, &lifeboat_import::Silent)
                .await
                .unwrap();
        stage.target.clear_faults();
        let failed = report
            .objects
            .iter()
            .filter(|object| object.kind == one.kind);
        assert!(
            failed.filter(|object| object.fate == Fate::Failed).count() > 0,
            "{}",
            one.kind
        );
        stage.target.reset_calls();
        // The first list of the next run is still that of before.
        stage.target.fault(empty_list(one.list, 1));
        let report = stage.apply(&stage.options()).await.unwrap();
        stage.target.clear_faults();
        assert_eq!(troubles(&report), Vec::<String>::new(), "{}", one.kind);
        assert_eq!(stage.differences(), Vec::<String>::new(), "{}", one.kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_source_itself_what_still_exists_is_not_made_beside() {
    let stage = Stage::new(&some()).await;
    let options = Options {
        into_source: true,
        target: Some(import_support::SOURCE.to_owned()),
        ..stage.options()
    };
    let source = client(&stage.source);
    for one in KINDS.iter().filter(|one| one.kind != "groups") {
        stage.source.fault(empty_list(one.list, 1));
        let plan =
            lifeboat_import::plan(&stage.open(), &source, &options, &lifeboat_import::Silent)
                .await
                .unwrap();
        stage.source.clear_faults();
        let work = plan.actions.iter().filter(|one| one.has_work());
        assert_eq!(work.count(), 0, "{}", one.kind);
    }
}

/// Objects of a turn.
fn turned(switched: &Switched, turn: Turn) -> Vec<&str> {
    let moves = switched.moves.iter().filter(|one| one.turn == turn);
    moves.map(|one| one.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_no_standby_because_one_list_did_not_show_its_jobs() {
    for (list, read) in [(1, 0), (1, 1), (u64::MAX, 0)] {
        let stage = standby().await;
        turn(&stage, Direction::Activate).await;
        stage.target.fault(empty_list(JOBS.list, list));
        if read > 0 {
            stage.target.fault(not_there(JOBS.read, read));
        }
        let back = turn(&stage, Direction::Deactivate).await;
        stage.target.clear_faults();
        assert_eq!(turned(&back, Turn::Missing), Vec::<&str>::new());
        assert_eq!(back.after, State::Standby);
        assert_eq!(stage.target.costs().jobs_armed, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_of_which_nobody_knows_whether_a_job_runs_stays_active() {
    let stage = standby().await;
    turn(&stage, Direction::Activate).await;
    let id = job(&stage.target, "absent").await["job_id"].to_string();
    stage.target.fault(Fault {
        query: format!("job_id={id}"),
        ..not_there(JOBS.read, 0)
    });
    let back = turn(&stage, Direction::Deactivate).await;
    stage.target.clear_faults();
    assert_eq!(turned(&back, Turn::Blocked), ["absent"], "{:?}", back.moves);
    assert!(back.has_gaps());
    assert_eq!((back.after, state(&stage)), (State::Active, State::Active));
    assert_eq!(stage.target.costs().jobs_armed, ["absent"]);
    let refused = stage.apply(&stage.options()).await;
    assert_eq!(rule(refused), Rule::Active);

    let back = turn(&stage, Direction::Deactivate).await;
    assert_eq!(back.after, State::Standby);
    assert_eq!(stage.target.costs().jobs_armed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_read_at_once_is_activated_all_the_same() {
    let stage = standby().await;
    stage.target.fault(not_there(JOBS.read, 2));
    let over = turn(&stage, Direction::Activate).await;
    stage.target.clear_faults();
    assert_eq!(turned(&over, Turn::Missing), Vec::<&str>::new());
    assert_eq!(turned(&over, Turn::Blocked), Vec::<&str>::new());
    assert_eq!(passive_differences(&stage), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_in_the_target_is_missing_after_two_looks() {
    let stage = standby().await;
    let id = job(&stage.target, "table").await["job_id"].clone();
    let deleted = json!({ "job_id": id });
    send(&stage.target, "/api/2.2/jobs/delete", &deleted).await;
    stage.target.reset_calls();
    let dry = lifeboat_import::SwitchOptions {
        dry_run: true,
        ..options(&stage)
    };
    let over = turn_with(&stage, Direction::Activate, &dry).await;
    assert_eq!(turned(&over, Turn::Missing), ["table"]);
    let looks = stage.target.calls();
    let looks = looks.iter().filter(|call| call.path == JOBS.read);
    let of_it = looks.filter(|call| call.query.contains(&id.to_string()));
    assert_eq!(of_it.count(), 2);
}
