use bytes::Bytes;
use serde_json::{Value, json};

use super::{Strictness, compare, compare_all, dump};
use crate::fill::{Fill, fill};
use crate::tree::{self, Object};
use crate::world::World;
use crate::world::testing::call;

/// Something that happens to a workspace.
type Change = fn(&mut World);

fn filled() -> World {
    let mut world = World::for_tests();
    fill(&mut world, &Fill::small());
    world
}

#[test]
fn no_id_is_left_in_a_dump() {
    let world = filled();
    let text = dump(&world).to_string();
    let (clusters, pools) = (
        world.clusters.all.iter().map(|one| one.id.clone()),
        world.pools.all.iter().map(|one| one.id.clone()),
    );
    let (policies, jobs) = (
        world.policies.all.iter().map(|one| one.id.clone()),
        world.jobs.all.keys().map(i64::to_string),
    );
    for id in clusters.chain(pools).chain(policies).chain(jobs) {
        assert!(!text.contains(&id), "{id}");
    }
}

#[test]
fn every_kind_of_change_is_seen() {
    let before = dump(&filled());
    assert_eq!(compare(&before, &before), []);
    let changes: [(&str, Change); 7] = [
        ("notebooks", |world| {
            let (path, admin) = (world.tree.path(notebook(world)), world.admin());
            tree::put(
                world,
                &path,
                Object::Notebook {
                    language: "SQL",
                    content: Bytes::from_static(b"-- other\n"),
                    jupyter: false,
                },
                &admin,
            );
        }),
        ("acls/notebooks", |world| {
            let id = notebook(world).to_string();
            world.acls.set(
                "notebooks",
                &id,
                crate::permissions::Principal::Group("users".into()),
                "CAN_RUN",
            );
        }),
        ("jobs", |world| {
            let job = world.jobs.all.values_mut().next().expect("a job");
            job.settings.insert("max_concurrent_runs".into(), json!(7));
        }),
        ("clusters", |world| {
            world.clusters.all[0]
                .spec
                .insert("num_workers".into(), json!(77));
        }),
        ("libraries", |world| {
            let id = world.clusters.all[0].id.clone();
            world
                .libraries
                .install(&id, json!({"pypi": {"package": "more"}}));
        }),
        ("cluster-policies", |world| {
            let policy = world.policies.all.last_mut().expect("a policy");
            policy.more.insert("description".into(), json!("changed"));
        }),
        ("instance-pools", |world| {
            world.pools.all[0]
                .spec
                .insert("max_capacity".into(), json!(1));
        }),
    ];
    for (kind, change) in changes {
        let mut world = filled();
        change(&mut world);
        let found = compare(&before, &dump(&world));
        assert!(
            !found.is_empty() && found.iter().all(|difference| difference.kind == kind),
            "{kind}: {found:?}"
        );
    }
}

fn notebook(world: &World) -> i64 {
    let notebooks = world.tree.walk();
    notebooks.iter().find(|node| matches!(node.object, Object::Notebook { jupyter: false, language, .. } if language != "SQL")).expect("a notebook").id
}

#[test]
fn missing_and_new_objects_are_named_and_counted() {
    let before = dump(&filled());
    let mut world = filled();
    let (id, job) = world.jobs.all.pop_last().expect("a job");
    world.acls.removed("jobs", &id.to_string());
    let admin = world.admin();
    tree::put(
        &mut world,
        "/Shared/new",
        Object::File(Bytes::from_static(b"x")),
        &admin,
    );
    let result = compare_all(&before, &dump(&world), Strictness::default());
    let told: Vec<(&str, &str, &str)> = result
        .differences
        .iter()
        .map(|difference| (&*difference.kind, &*difference.key, &*difference.what))
        .collect();
    assert_eq!(
        told,
        [
            ("acls/files", "/Shared/new", "only here"),
            ("acls/jobs", job.name(), "missing"),
            ("files", "/Shared/new", "only here"),
            ("jobs", job.name(), "missing")
        ]
    );
    let jobs = result.kind("jobs");
    assert_eq!((jobs.first, jobs.second, jobs.equal), (10, 9, 9));
    let files = result.kind("files");
    assert_eq!((files.first, files.second, files.equal), (8, 9, 8));
}

#[test]
fn passive_state_shows_only_when_asked_for() {
    let before = dump(&filled());
    let mut world = filled();
    for job in world.jobs.all.values_mut() {
        for block in ["schedule", "trigger", "continuous"] {
            if let Some(block) = job.settings.get_mut(block) {
                block["pause_status"] = json!("PAUSED");
            }
        }
    }
    world
        .pools
        .all
        .iter_mut()
        .for_each(|pool| pool.spec["min_idle_instances"] = json!(0));
    world
        .clusters
        .all
        .iter_mut()
        .for_each(|cluster| cluster.pinned_by = Some("x".into()));
    let after = dump(&world);
    assert_eq!(compare(&before, &after), []);
    let strict = compare_all(
        &before,
        &after,
        Strictness {
            passive: true,
            secrets: true,
        },
    );
    for (kind, place) in [
        ("jobs", "pause_status"),
        ("instance-pools", "min_idle_instances: 1 -> 0"),
        ("clusters", "pinned: false -> true"),
    ] {
        assert!(
            strict
                .differences
                .iter()
                .any(|difference| difference.kind == kind && difference.what.contains(place)),
            "{kind}"
        );
    }
    assert!(strict.kind("jobs").equal < strict.kind("jobs").first);
}

#[test]
fn things_of_the_same_name_are_told_apart_by_content_not_by_age() {
    let job = |path: &str| json!({"name": "same", "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": path}}]});
    let made = |paths: [&str; 3]| {
        let mut world = World::for_tests();
        for path in paths {
            assert_eq!(
                call(&mut world, "POST", "/api/2.2/jobs/create", job(path)).0,
                200
            );
        }
        dump(&world)
    };
    let (a, b) = (made(["/a", "/b", "/c"]), made(["/c", "/a", "/b"]));
    assert_eq!(compare(&a, &b), []);
    let keys: Vec<&String> = a["jobs"].as_object().expect("jobs").keys().collect();
    assert_eq!(keys, ["same", "same #2", "same #3"]);
    let other = made(["/c", "/a", "/d"]);
    let found = compare(&a, &other);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0]
            .what
            .starts_with("tasks[0].notebook_task.notebook_path: ")
    );
}

#[test]
fn texts_of_differences_stay_short() {
    let long = |letter: &str| json!({"jobs": {"j": {"description": letter.repeat(5_000)}}});
    let found = compare(&long("a"), &long("b"));
    assert!(found[0].what.len() < 300);
    assert_eq!(compare(&json!({}), &Value::Null), []);
}
