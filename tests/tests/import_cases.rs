//! Single cases of an import: passive landing, references, owners, homes, groups of the account, names of two.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{Stage, client, troubles, workspace};
use lifeboat_import::{Fate, Options, Silent};
use lifeboat_sim::{Fault, Fill};
use serde_json::Value;

fn objects<'d>(dump: &'d Value, kind: &str) -> Vec<(&'d String, &'d Value)> {
    dump[kind]
        .as_object()
        .map(|map| map.iter().collect())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_lands_passive() {
    let stage = Stage::new(&Fill::small()).await;
    stage.apply(&stage.options()).await.unwrap();
    let (source, target) = (stage.source.dump(), stage.target.dump());
    let mut paused = 0;
    for (name, job) in objects(&target, "jobs") {
        for field in ["schedule", "continuous", "trigger"] {
            if !job[field].is_null() {
                assert_eq!(job[field]["pause_status"], "PAUSED", "{name}");
                paused += 1;
            }
        }
    }
    assert!(paused > 0, "the source has schedules");
    assert!(
        objects(&source, "instance-pools")
            .iter()
            .any(|(_, pool)| pool["min_idle_instances"] != 0)
    );
    for (name, pool) in objects(&target, "instance-pools") {
        assert_eq!(pool["min_idle_instances"], 0, "{name}");
    }
    let scripts = client(&stage.target)
        .get("/api/2.0/global-init-scripts", &[])
        .await
        .unwrap();
    let scripts = scripts["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), 3);
    for script in scripts {
        assert_eq!(script["enabled"], false, "{script}");
    }
    let clusters = client(&stage.target)
        .get("/api/2.1/clusters/list", &[])
        .await
        .unwrap();
    let clusters = clusters["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), objects(&source, "clusters").len());
    for cluster in clusters {
        assert_eq!(cluster["state"], "TERMINATED", "{cluster}");
        assert!(cluster["pinned_by_user_name"].is_string(), "{cluster}");
    }
    let runs: Vec<_> = stage
        .target
        .calls()
        .into_iter()
        .filter(|call| call.path.contains("run-now") || call.path.contains("/start"))
        .collect();
    assert!(runs.is_empty(), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leads_nowhere_is_named_and_nothing_is_replaced_by_a_default() {
    let stage = Stage::new(&Fill::broken()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    let of = |name: &str| {
        report
            .objects
            .iter()
            .find(|object| object.name == name)
            .unwrap()
    };
    for (name, what) in [
        ("circle one", "circle of references"),
        ("circle two", "circle of references"),
        (
            "on no cluster",
            "cluster 0101-000000-never000 is not in the archive",
        ),
        ("queries a warehouse", "SQL warehouse"),
        ("runs a pipeline", "pipeline"),
        ("tells a webhook", "notification destination"),
    ] {
        let job = of(name);
        assert_eq!(job.fate, Fate::Blocked, "{job:?}");
        assert!(job.reason.as_deref().unwrap().contains(what), "{job:?}");
    }
    let owned: Vec<&String> = report
        .objects
        .iter()
        .flat_map(|object| &object.notes)
        .filter(|note| note.starts_with("owner missing"))
        .collect();
    assert_eq!(owned.len(), 3, "{owned:?}");
    assert!(report.has_gaps());
    // The home of somebody who left, and the job that names a path in it.
    let dump = stage.target.dump();
    let home = "/Restored-homes/departed.person@contoso.example";
    assert!(dump["notebooks"][format!("{home}/old work")].is_object());
    assert_eq!(
        dump["acls/directories"][home],
        serde_json::json!(null),
        "no direct grants"
    );
    let job = &dump["jobs"]["of a user who left"];
    assert_eq!(
        job["tasks"][0]["notebook_task"]["notebook_path"],
        format!("{home}/old work")
    );
    assert!(dump["jobs"]["circle one"].is_null());
    // A comparison on its own names what no report stands beside.
    let alone = lifeboat_import::compare(
        &stage.open(),
        &client(&stage.target),
        &stage.options(),
        &Silent,
    )
    .await
    .unwrap();
    let unowned = alone.differences.iter();
    let unowned = unowned.filter(|one| one.places.iter().any(|place| place == "owner missing"));
    assert!(unowned.count() > 0, "{:?}", alone.differences);
    let known = report.comparison.as_ref().unwrap().differences.len();
    assert!(alone.differences.len() > known, "{:?}", alone.differences);
    let again = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(again.writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_names_and_contents_arrive_as_they_were() {
    let stage = Stage::new(&Fill::awkward()).await;
    let report = stage.apply(&stage.options()).await.unwrap();
    // A notebook over the limit is in no archive: a gap, and all there is.
    let lost = troubles(&report);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("over 10 MB blocked"), "{lost:?}");
    // The service puts its header before sources that have none, and so they compare equal.
    let only_the_lost = |report: &lifeboat_import::Report| {
        let found = &report.comparison.as_ref().unwrap().differences;
        found.len() == 1 && found[0].name.ends_with("/over 10 MB")
    };
    assert!(only_the_lost(&report), "{:?}", report.comparison);
    let headless: Vec<&str> = report
        .objects
        .iter()
        .filter(|object| {
            object
                .remarks
                .iter()
                .any(|remark| remark.contains("header line"))
        })
        .filter_map(|object| object.name.rsplit('/').next())
        .collect();
    assert_eq!(headless, ["byte order mark", "empty"]);
    // The simulator compares byte by byte; a notebook over the limit is in no archive.
    let differences: Vec<String> = stage
        .differences()
        .into_iter()
        .filter(|one| {
            !["over 10 MB", "contents/empty", "byte order mark"]
                .iter()
                .any(|known| one.contains(known))
        })
        .collect();
    assert_eq!(differences, Vec::<String>::new());
    let deep = Options {
        recheck: lifeboat_import::Recheck::All,
        ..stage.options()
    };
    for options in [stage.options(), deep] {
        let report = stage.apply(&options).await.unwrap();
        assert_eq!(report.writes, 0);
        assert!(only_the_lost(&report), "{:?}", report.comparison);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_the_account_does_not_know_is_blocked_with_its_command() {
    let stage = Stage::new(&Fill::small()).await;
    let stranger = workspace("5555555555555555");
    let options = Options {
        target: Some("5555555555555555".to_owned()),
        ..stage.options()
    };
    let report = lifeboat_import::apply(&stage.open(), &client(&stranger), &options, &Silent)
        .await
        .unwrap();
    let blocked: Vec<_> = report
        .objects
        .iter()
        .filter(|object| object.fate == Fate::Blocked)
        .collect();
    assert_eq!(blocked.len(), 1, "{blocked:?}");
    assert_eq!(blocked[0].kind, "groups");
    assert!(
        blocked[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("workspace-assignment update 5555555555555555")
    );
    assert!(
        report
            .checklist
            .iter()
            .any(|todo| todo.kind == "groups" && todo.name == blocked[0].name)
    );
    let created = stranger
        .calls()
        .iter()
        .filter(|call| call.method == "POST" && call.path.ends_with("/Groups"))
        .count();
    let local = objects(&stage.source.dump(), "groups")
        .iter()
        .filter(|(name, group)| {
            group["account"] != true && !["admins", "users"].contains(&name.as_str())
        })
        .count();
    assert_eq!(created, local, "the group of the account is never created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_appears_late_is_waited_for() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .switch(|switches| switches.home_after_reads = 3);
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_new_and_not_known_everywhere_is_named_again() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .switch(|switches| switches.known_after_uses = 2);
    // Whoever is a minute old counts as known: on a busy machine a shorter one is over too soon.
    let patient = Options {
        second: std::time::Duration::from_millis(100),
        ..stage.options()
    };
    let report = stage.apply(&patient).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
    let refused = |part: &str| {
        let calls = stage.target.calls();
        let of_part = calls.iter().filter(|call| call.path.contains(part));
        of_part
            .filter(|call| matches!(call.status, 400 | 404))
            .count()
    };
    for part in [
        "/permissions/",
        "/secrets/acls/put",
        "/clusters/change-owner",
    ] {
        assert!(refused(part) > 0, "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_that_fails_stops_no_other_and_is_made_good_by_the_next_run() {
    let stage = Stage::new(&Fill::small()).await;
    let refused = |method: &str, path: &str, skip| Fault {
        skip,
        times: 1,
        ..Fault::status(method, path, 400)
    };
    stage
        .target
        .fault(refused("POST", "/api/2.2/jobs/create", 1));
    stage
        .target
        .fault(refused("POST", "/api/2.0/workspace/import", 3));
    stage
        .target
        .fault(refused("PUT", "/api/2.0/permissions/notebooks/*", 2));
    let report = stage.apply(&stage.options()).await.unwrap();
    let failed = report
        .objects
        .iter()
        .filter(|object| object.fate == Fate::Failed)
        .count();
    assert_eq!(failed, 3, "{:?}", troubles(&report));
    stage.target.clear_faults();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_without_access_control_gets_the_rest() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .switch(|switches| switches.acls_disabled = true);
    let report = stage.apply(&stage.options()).await.unwrap();
    let totals = report.totals();
    assert_eq!(
        (totals.failed, totals.blocked),
        (0, 0),
        "{:?}",
        troubles(&report)
    );
    assert!(report.has_gaps(), "what is not granted is a gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_read_after_the_run_is_no_difference() {
    let stage = Stage::new(&Fill::small()).await;
    let stale = |path: &str| Fault {
        kind: lifeboat_sim::FaultKind::Stale,
        ..Fault {
            path: path.to_owned(),
            ..Fault::default()
        }
    };
    stage.target.fault(stale("/api/2.0/permissions/*"));
    stage.target.fault(stale("/api/2.0/workspace/export"));
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(report.comparison.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_found_and_named_by_place() {
    let stage = Stage::new(&Fill::small()).await;
    stage.apply(&stage.options()).await.unwrap();
    let target = client(&stage.target);
    let jobs = target.get("/api/2.2/jobs/list", &[]).await.unwrap();
    let job = &jobs["jobs"][0];
    let body =
        serde_json::json!({ "job_id": job["job_id"], "new_settings": { "timeout_seconds": 4321 } });
    use lifeboat_databricks::{Body, Safety};
    target
        .send(
            "POST",
            "/api/2.2/jobs/update",
            &[],
            Body::Json(&body),
            Safety::Create,
        )
        .await
        .unwrap();
    let comparison = lifeboat_import::compare(&stage.open(), &target, &stage.options(), &Silent)
        .await
        .unwrap();
    assert_eq!(
        comparison.differences.len(),
        1,
        "{:?}",
        comparison.differences
    );
    assert_eq!(
        comparison.differences[0].places,
        ["/settings/timeout_seconds"]
    );
    let overwrite = Options {
        overwrite_changed: true,
        ..stage.options()
    };
    let report = stage.apply(&overwrite).await.unwrap();
    assert_eq!((report.totals().updated, report.writes), (1, 1));
    assert_eq!(stage.differences(), Vec::<String>::new());
}
