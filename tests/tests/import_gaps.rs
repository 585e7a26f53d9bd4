//! A gap that did not change is named in every run and causes no write.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::collections::BTreeSet;

use import_support::{Stage, client};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::{Fate, Options, Recheck, Report};
use lifeboat_sim::permissions::Principal;
use lifeboat_sim::{Fault, Fill, secrets};

/// Every gap of a report: the object and what it lacks.
fn gaps(report: &Report) -> BTreeSet<String> {
    let objects = report.objects.iter();
    objects
        .flat_map(|object| {
            let left = matches!(object.fate, Fate::Blocked | Fate::Failed | Fate::Skipped);
            let reason = object.reason.iter().filter(move |_| left);
            let what = reason.chain(&object.notes);
            what.map(move |what| format!("{} {}: {what}", object.kind, object.name))
        })
        // Whether it was said now or in an earlier run is all that differs.
        .map(|gap| gap.split(" (in an earlier run").next().unwrap().to_owned())
        .collect()
}

/// Two runs of one archive: the second writes nothing and names the same gaps. Gives them.
async fn twice(stage: &Stage) -> BTreeSet<String> {
    let first = stage.apply(&stage.options()).await.unwrap();
    assert!(first.has_gaps());
    stage.target.reset_calls();
    let second = stage.apply(&stage.options()).await.unwrap();
    let writes = stage.writes();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(second.writes, 0);
    assert!(second.has_gaps(), "exit code 3");
    assert_eq!(gaps(&first), gaps(&second));
    gaps(&second)
}

fn named(gaps: &BTreeSet<String>, object: &str, what: &str) -> bool {
    gaps.iter()
        .any(|gap| gap.starts_with(object) && gap.contains(what))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leads_nowhere_is_named_again_and_not_written_again() {
    let stage = Stage::new(&Fill::broken()).await;
    stage.source.with(|world| {
        let admin = world.admin();
        let (id, host) = ("/subscriptions/x/vaults/v", "https://v.example.net/");
        secrets::create_vault_scope(world, "vault", id, host, &admin);
    });
    stage.export().await;
    stage.target.switch(|switches| switches.entra_token = false);
    let gaps = twice(&stage).await;
    for (object, what) in [
        ("secret-scopes vault", "Entra ID token"),
        ("jobs circle one", "circle of references"),
        ("jobs of a user who left", "owner missing"),
        ("clusters of a user who left", "not granted"),
    ] {
        assert!(named(&gaps, object, what), "{object}: {what}: {gaps:#?}");
    }

    // The checklist says it again, and `--recheck all` asks again.
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert!(plan.checklist.iter().any(|todo| todo.name == "vault"));
    let options = Options {
        recheck: Recheck::All,
        ..stage.options()
    };
    stage.target.reset_calls();
    stage.apply(&options).await.unwrap();
    let writes: Vec<String> = stage.writes().into_iter().map(|call| call.path).collect();
    assert_eq!(writes, ["/api/2.0/secrets/scopes/create"]);
}

fn refused(method: &str, path: &str, message: &str) -> Fault {
    Fault {
        body: Some(format!(
            r#"{{"error_code": "INVALID_PARAMETER_VALUE", "message": "{message}"}}"#
        )),
        ..Fault::status(method, path, 400)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_folder_that_is_not_cloned_is_tried_again_only_when_asked() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .fault(refused("POST", "/api/2.0/repos", "no credential"));
    let gaps = twice(&stage).await;
    assert!(named(&gaps, "git-folders", "not cloned"), "{gaps:#?}");
    stage.target.clear_faults();
    let options = Options {
        recheck: Recheck::All,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(report.totals().created, 1);
    assert!(!report.has_gaps(), "{:?}", self::gaps(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_is_not_there_is_checked_out_only_when_asked() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .fault(refused("PATCH", "/api/2.0/repos/*", "no such branch"));
    let source = client(&stage.source);
    let query = [("path_prefix", "/")];
    let folders = source.get("/api/2.0/repos", &query).await.unwrap();
    let path = format!("/api/2.0/repos/{}", folders["repos"][0]["id"]);
    let branch = serde_json::json!({"branch": "gone"});
    let body = Body::Json(&branch);
    source
        .send("PATCH", &path, &[], body, Safety::Create)
        .await
        .unwrap();
    stage.export().await;
    let gaps = twice(&stage).await;
    assert!(
        named(&gaps, "git-folders", "branch gone was not checked out"),
        "{gaps:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grantee_that_the_service_does_not_know_is_named_again_and_not_granted_again() {
    let stage = Stage::new(&Fill {
        jobs: 1,
        ..Fill::small()
    })
    .await;
    stage.source.with(|world| {
        let jobs: Vec<String> = world.jobs.all.keys().map(ToString::to_string).collect();
        for job in jobs {
            let users = Principal::Group("users".to_owned());
            world.acls.set("jobs", &job, users, "CAN_VIEW");
        }
    });
    stage.export().await;
    let message = "group users does not exist";
    stage.target.fault(Fault {
        times: 1,
        ..refused("PUT", "/api/2.0/permissions/jobs/*", message)
    });
    let gaps = twice(&stage).await;
    assert!(
        named(&gaps, "jobs", "the service does not know users"),
        "{gaps:#?}"
    );
    // What nobody refuses any more is granted when the access control is read again.
    let options = Options {
        recheck: Recheck::Acls,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(report.writes, 1);
    assert!(!report.has_gaps(), "{:?}", self::gaps(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_access_control_is_not_asked_for_it_every_night() {
    let stage = Stage::new(&Fill::small()).await;
    stage
        .target
        .switch(|switches| switches.acls_disabled = true);
    let gaps = twice(&stage).await;
    for kind in [
        "jobs",
        "clusters",
        "directories",
        "notebooks",
        "instance-pools",
    ] {
        let lacks =
            |gap: &String| gap.starts_with(kind) && gap.contains("not available in the target");
        assert!(gaps.iter().any(lacks), "{kind}: {gaps:#?}");
    }
    // What is there is compared and proved without it, so the next night reads nothing of it either.
    stage.target.reset_calls();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert!(report.comparison.unwrap().is_equal());
    let asked = stage.target.calls();
    let asked = asked
        .iter()
        .filter(|call| call.path.contains("/permissions/"));
    assert_eq!(asked.count(), 0);

    stage
        .target
        .switch(|switches| switches.acls_disabled = false);
    let options = Options {
        recheck: Recheck::Acls,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert!(!report.has_gaps(), "{:?}", self::gaps(&report));
    assert_eq!(stage.differences(), Vec::<String>::new());
}

/// Objects that a report calls blocked.
fn blocked(report: &Report) -> BTreeSet<(&str, &str)> {
    let objects = report.objects.iter();
    let blocked = objects.filter(|object| object.fate == Fate::Blocked);
    blocked
        .map(|object| (object.kind.as_str(), object.name.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_never_appeared_is_neither_waited_for_nor_made_every_night() {
    let stage = Stage::new(&Fill {
        users: 4,
        ..Fill::small()
    })
    .await;
    stage
        .target
        .switch(|switches| switches.home_after_seconds = 1_000_000);
    let first = stage.apply(&stage.options()).await.unwrap();
    assert!(!blocked(&first).is_empty());
    stage.target.reset_calls();
    let started = std::time::Instant::now();
    let patient = Options {
        home_wait: std::time::Duration::from_secs(3600),
        ..stage.options()
    };
    let second = stage.apply(&patient).await.unwrap();
    assert!(started.elapsed().as_secs() < 3600);
    assert_eq!(second.writes, 0, "{:?}", stage.writes());
    assert_eq!(blocked(&first), blocked(&second));
    let home = second
        .objects
        .iter()
        .find(|object| object.kind == "directories" && object.fate == Fate::Blocked);
    let why = home.unwrap().reason.as_deref().unwrap();
    assert!(
        why.contains("did not appear") && why.contains("--recheck"),
        "{why}"
    );

    // One that is there by then is filled without a word.
    let late = std::time::Duration::from_secs(1_000_000);
    stage.target.advance(late);
    let third = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(blocked(&third), BTreeSet::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
}

/// Who was refused gets no home: what stands below it is blocked at once, and the next run brings both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_home_of_a_user_who_was_refused_is_not_waited_for() {
    let stage = Stage::new(&Fill {
        users: 4,
        ..Fill::small()
    })
    .await;
    let users = "/api/2.0/preview/scim/v2/Users";
    stage.target.fault(Fault::status("POST", users, 400));
    let patient = Options {
        home_wait: std::time::Duration::from_secs(3600),
        ..stage.options()
    };
    let minute = std::time::Duration::from_secs(60);
    let refused = tokio::time::timeout(minute, stage.apply(&patient))
        .await
        .expect("it does not wait for homes that nobody makes")
        .unwrap();
    let home = refused
        .objects
        .iter()
        .find(|object| object.kind == "directories" && object.fate == Fate::Blocked);
    let why = home.unwrap().reason.as_deref().unwrap();
    assert!(why.contains("its user was not made: "), "{why}");
    stage.target.clear_faults();
    let report = stage.apply(&stage.options()).await.unwrap();
    assert_eq!(blocked(&report), BTreeSet::new());
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_account_that_may_not_be_assigned_is_tried_again_only_when_asked() {
    let stage = Stage::new(&Fill::small()).await;
    let path = "/api/2.0/preview/permissionassignments/principals/*";
    stage.target.fault(Fault::status("PUT", path, 403));
    let gaps = twice(&stage).await;
    assert!(
        named(&gaps, "groups", "not assigned to the target"),
        "{gaps:#?}"
    );
    let plan = stage.plan(&stage.options()).await.unwrap();
    let todo = plan.checklist.iter().find(|todo| todo.kind == "groups");
    assert!(
        todo.unwrap()
            .command
            .contains("workspace-assignment update")
    );
    stage.target.clear_faults();
    let options = Options {
        recheck: Recheck::All,
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert!(!report.has_gaps(), "{:?}", self::gaps(&report));
    assert_eq!(stage.differences(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_group_that_the_service_does_not_know_yet_is_granted_all_the_same() {
    let stage = Stage::new(&Fill {
        jobs: 1,
        ..Fill::small()
    })
    .await;
    let path = "/api/2.0/preview/scim/v2/Groups";
    let groups = client(&stage.source).get(path, &[]).await.unwrap();
    let local = groups["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| {
            let name = group["displayName"].as_str().unwrap();
            group["meta"]["resourceType"] == "WorkspaceGroup"
                && !["admins", "users"].contains(&name)
        });
    let name = local.unwrap()["displayName"].as_str().unwrap().to_owned();
    stage.source.with(|world| {
        let job = world.jobs.all.keys().next().unwrap().to_string();
        world
            .acls
            .set("jobs", &job, Principal::Group(name.clone()), "CAN_VIEW");
    });
    stage.export().await;
    stage.target.fault(Fault {
        times: 2,
        ..refused(
            "PUT",
            "/api/2.0/permissions/jobs/*",
            &format!("group {name} does not exist"),
        )
    });
    let options = Options {
        // The group is new for 60 of them, however slow the machine is.
        second: std::time::Duration::from_secs(1),
        ..stage.options()
    };
    let report = stage.apply(&options).await.unwrap();
    assert!(!named(&gaps(&report), "jobs", ""), "{:?}", gaps(&report));
    assert_eq!(stage.differences(), Vec::<String>::new());
}
