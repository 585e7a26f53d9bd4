use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Fill, fill};
use crate::costs::costs;
use crate::dump::{Strictness, compare_all, dump};
use crate::tree::Object;
use crate::world::World;
use crate::world::testing::{call, call_as, get};

fn filled(preset: &Fill, id_seed: u64) -> World {
    let mut world = World::new("1", "token", id_seed, 0);
    fill(&mut world, preset);
    world
}

fn count(dump: &Value, kind: &str) -> usize {
    dump[kind].as_object().map_or(0, serde_json::Map::len)
}

#[test]
fn presets_hold_what_they_promise() {
    for preset in [
        Fill::small(),
        Fill::demo(),
        Fill::baseline(),
        Fill::sized(400),
    ] {
        let mut world = filled(&preset, 1);
        let dump = dump(&world);
        assert_eq!(count(&dump, "notebooks"), preset.notebooks);
        assert_eq!(count(&dump, "files"), preset.files);
        assert_eq!(count(&dump, "users"), preset.users + 1);
        assert_eq!(
            count(&dump, "service-principals"),
            preset.service_principals
        );
        assert_eq!(count(&dump, "groups"), preset.groups + 2);
        assert_eq!(count(&dump, "clusters"), preset.clusters);
        assert_eq!(count(&dump, "jobs"), preset.jobs);
        assert_eq!(count(&dump, "instance-pools"), preset.pools);
        assert_eq!(count(&dump, "cluster-policies"), preset.policies + 4);
        assert_eq!(count(&dump, "global-init-scripts"), preset.init_scripts);
        assert_eq!(count(&dump, "secret-scopes"), preset.scopes);
        assert_eq!(count(&dump, "git-folders"), preset.git_folders);
        assert!(count(&dump, "dbfs") > preset.dbfs_files);
        assert!(count(&dump, "acls/jobs") == preset.jobs && count(&dump, "acls/notebooks") > 0);
        assert!(
            costs(&mut world).clusters_started.len() <= preset.clusters / 10 + 1,
            "those that are shown running"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_workspace_under_other_ids() {
    let everything = Strictness {
        passive: true,
        secrets: true,
    };
    let (a, b) = (filled(&Fill::small(), 1), filled(&Fill::small(), 2));
    assert_eq!(
        compare_all(&dump(&a), &dump(&b), everything).differences,
        []
    );
    assert_ne!(a.clusters.all[0].id, b.clusters.all[0].id);
    let other = filled(
        &Fill {
            seed: 2,
            ..Fill::small()
        },
        1,
    );
    assert!(
        !compare_all(&dump(&a), &dump(&other), everything)
            .differences
            .is_empty()
    );
}

#[test]
fn what_is_referred_to_is_there() {
    let world = filled(&Fill::demo(), 1);
    let dumped = dump(&world);
    let text = dumped["jobs"].to_string()
        + &dumped["clusters"].to_string()
        + &dumped["libraries"].to_string();
    let dbfs: Vec<&str> = text
        .split('"')
        .filter_map(|part| part.strip_prefix("dbfs:"))
        .filter(|path| !path.starts_with("/cluster-logs"))
        .collect();
    assert!(dbfs.len() > 10);
    for path in dbfs {
        assert!(dumped["dbfs"].get(path).is_some(), "{path}");
    }
    for job in dumped["jobs"].as_object().expect("jobs").values() {
        for task in job["tasks"].as_array().into_iter().flatten() {
            let notebook = &task["notebook_task"];
            if let Some(path) = notebook["notebook_path"]
                .as_str()
                .filter(|_| notebook["source"] == "WORKSPACE")
            {
                assert!(dumped["notebooks"].get(path).is_some(), "{path}");
            }
            if let Some(cluster) = task["existing_cluster_id"].as_str() {
                assert!(
                    cluster
                        .strip_prefix("cluster:")
                        .is_some_and(|key| dumped["clusters"].get(key).is_some()),
                    "{cluster}"
                );
            }
            if let Some(job) = task["run_job_task"]["job_id"].as_str() {
                assert!(
                    job.strip_prefix("job:")
                        .is_some_and(|key| dumped["jobs"].get(key).is_some()),
                    "{job}"
                );
            }
        }
    }
}

#[test]
fn a_demonstration_shows_many_forms() {
    let world = filled(&Fill::demo(), 1);
    let text: String = world
        .jobs
        .all
        .values()
        .map(|job| Value::Object(job.settings.clone()).to_string())
        .collect();
    for form in [
        "run_job_task",
        "for_each_task",
        "condition_task",
        "spark_jar_task",
        "python_wheel_task",
        "spark_python_task",
        "git_source",
        "job_clusters",
        "environments",
        "continuous",
        "periodic",
        "file_arrival",
        "run_as",
        "instance_pool_id",
        "policy_id",
        "\"PAUSED\"",
        "\"UNPAUSED\"",
    ] {
        assert!(text.contains(form), "{form}");
    }
    let wide = world.jobs.all.values().filter(|job| {
        job.settings["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.len() > 100)
    });
    assert_eq!(wide.count(), 1);
    let text: String = world
        .clusters
        .all
        .iter()
        .map(|cluster| Value::Object(cluster.spec.clone()).to_string())
        .collect();
    for form in [
        "instance_pool_id",
        "policy_id",
        "autoscale",
        "singleNode",
        "single_user_name",
        "init_scripts",
        "{{secrets/",
    ] {
        assert!(text.contains(form), "{form}");
    }
}

#[test]
fn a_demonstration_has_pools_in_policies_four_languages_and_empty_folders() {
    let world = filled(&Fill::demo(), 1);
    let policies: String = world
        .policies
        .all
        .iter()
        .map(|policy| policy.definition.clone())
        .collect();
    assert!(
        policies.contains(&world.pools.all[0].id),
        "a pool inside a definition"
    );
    let languages: HashSet<&str> = world
        .tree
        .walk()
        .iter()
        .filter_map(|node| {
            if let Object::Notebook { language, .. } = node.object {
                Some(language)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(languages.len(), 4);
    let empty = world
        .tree
        .walk()
        .iter()
        .filter(|node| node.object == Object::Directory && world.tree.is_empty(node.id))
        .count();
    assert!(empty > 3);
}

#[test]
fn awkward_names_and_contents_are_all_there() {
    let dumped = dump(&filled(&Fill::awkward(), 1));
    for name in super::awkward::NAMES {
        for kind in ["notebooks", "files"] {
            assert!(
                dumped[kind]
                    .get(format!("/Shared/awkward/{kind}/{name}"))
                    .is_some(),
                "{name:?}"
            );
        }
        assert!(
            dumped["directories"]
                .get(format!("/Shared/awkward/folders/{name}"))
                .is_some(),
            "{name:?}"
        );
    }
    let size = |name: &str| {
        dumped["notebooks"][format!("/Shared/awkward/large/{name}")]["size"]
            .as_u64()
            .expect("size")
    };
    assert!(size("9.9 MB") > 9_890_000 && size("9.9 MB") < 9_900_000);
    assert!(size("over 10 MB") > 10_485_760);
    assert_eq!(
        dumped["notebooks"]["/Shared/awkward/contents/empty"]["size"],
        json!(0)
    );
    assert_eq!(count(&dumped, "jobs"), Fill::awkward().jobs + 5);
    assert!(dumped["jobs"].get("same name #2").is_some());
}

#[test]
fn broken_workspaces_hold_what_leads_nowhere() {
    let world = filled(&Fill::broken(), 1);
    let dumped = dump(&world);
    assert_eq!(
        dumped["acls/jobs"]["of a user who left"]["user departed.person@contoso.example"],
        json!("IS_OWNER")
    );
    assert!(dumped["clusters"].get("forgotten").is_none());
    assert_eq!(
        dumped["jobs"]["circle one"]["tasks"][0]["run_job_task"]["job_id"],
        json!("job:circle two")
    );
    assert_eq!(
        dumped["jobs"]["circle two"]["tasks"][0]["run_job_task"]["job_id"],
        json!("job:circle one")
    );
}

#[test]
fn groups_of_the_account_wait_in_another_workspace() {
    let fill = Fill::demo();
    assert!(!fill.account_groups().is_empty());
    let mut world = World::for_tests();
    fill.join_account(&mut world);
    for name in fill.account_groups() {
        let group = world
            .identities
            .find(crate::identities::Kind::Group, &name)
            .expect("known to the account");
        assert!(group.account && !group.assigned);
    }
}

#[test]
fn fills_come_from_json() {
    assert_eq!(Fill::from_json(&json!({})), Ok(Fill::small()));
    let mut wanted = Fill::sized(50);
    (wanted.seed, wanted.acls) = (9, false);
    assert_eq!(
        Fill::from_json(&json!({"name": "sized:50", "seed": 9, "acls": false})),
        Ok(wanted)
    );
    for name in ["small", "demo", "baseline", "awkward", "broken"] {
        assert!(Fill::named(name).is_some(), "{name}");
    }
    for bad in [
        json!([]),
        json!({"name": "none"}),
        json!({"notebooks": -1}),
        json!({"cats": 1}),
        json!({"acls": 1}),
    ] {
        assert!(Fill::from_json(&bad).is_err(), "{bad}");
    }
}

/// Fields of a read cluster that a caller may send again.
fn cluster_request(read: &Value) -> Value {
    let mut body = Value::Object(crate::clusters::writable(read));
    body["cluster_id"] = read["cluster_id"].clone();
    if body.get("instance_pool_id").is_some() {
        let fields = body.as_object_mut().expect("object");
        for decided_by_pool in ["node_type_id", "driver_node_type_id", "enable_elastic_disk"] {
            fields.remove(decided_by_pool);
        }
    }
    body
}

#[test]
fn what_is_read_can_be_written_back_and_changes_nothing() {
    let mut world = filled(&Fill::demo(), 1);
    let before = dump(&world);
    let (_, clusters) = get(&mut world, "/api/2.0/clusters/list");
    for read in clusters["clusters"].as_array().expect("clusters") {
        if read["cluster_source"] != "JOB" {
            let reply = call(
                &mut world,
                "POST",
                "/api/2.1/clusters/edit",
                cluster_request(read),
            );
            assert_eq!(reply, (200, json!({})), "{read}");
        }
    }
    let (_, pools) = get(&mut world, "/api/2.0/instance-pools/list");
    for read in pools["instance_pools"].as_array().expect("pools") {
        let reply = call(
            &mut world,
            "POST",
            "/api/2.0/instance-pools/edit",
            read.clone(),
        );
        assert_eq!(reply, (200, json!({})), "{read}");
    }
    let (_, policies) = get(&mut world, "/api/2.0/policies/clusters/list");
    for read in policies["policies"].as_array().expect("policies") {
        let mut body = read.clone();
        if read.get("policy_family_id").is_some() {
            body.as_object_mut().expect("object").remove("definition");
        }
        let reply = call(&mut world, "POST", "/api/2.0/policies/clusters/edit", body);
        assert_eq!(reply, (200, json!({})), "{read}");
    }
    for id in world.jobs.all.keys().copied().collect::<Vec<i64>>() {
        let settings = settings_in_pages(&mut world, id);
        let body = json!({"job_id": id, "new_settings": settings});
        let reply = call(&mut world, "POST", "/api/2.2/jobs/reset", body);
        assert_eq!(reply, (200, json!({})), "{settings}");
    }
    let everything = Strictness {
        passive: true,
        secrets: true,
    };
    assert_eq!(
        compare_all(&before, &dump(&world), everything).differences,
        []
    );
}

/// The settings of a job with the tasks of all pages.
fn settings_in_pages(world: &mut World, id: i64) -> Value {
    let (_, mut first) = get(world, &format!("/api/2.2/jobs/get?job_id={id}"));
    let mut token = first["next_page_token"].clone();
    while let Some(text) = token.as_str() {
        let (_, page) = get(
            world,
            &format!("/api/2.2/jobs/get?job_id={id}&page_token={text}"),
        );
        let more = page["settings"]["tasks"]
            .as_array()
            .cloned()
            .expect("tasks");
        first["settings"]["tasks"]
            .as_array_mut()
            .expect("tasks")
            .extend(more);
        token = page["next_page_token"].clone();
    }
    first["settings"].take()
}

#[test]
fn everybody_sees_what_is_theirs() {
    let mut world = filled(&Fill::demo(), 1);
    let stranger =
        crate::identities::add_user(&mut world, "stranger@example.com", "A Stranger", false);
    let caller = world.identities.caller(stranger).expect("caller");
    let mut seen = |target: &str, key: &str| {
        let reply = call_as(&mut world, caller.clone(), "GET", target, "", "");
        reply.value()[key].as_array().map_or(0, Vec::len)
    };
    let (clusters, jobs) = (
        seen("/api/2.0/clusters/list", "clusters"),
        seen("/api/2.0/jobs/list", "jobs"),
    );
    assert!(clusters < 12 && jobs < 60, "{clusters} {jobs}");
    let body = cluster_body();
    let reply = call_as(
        &mut world,
        caller,
        "POST",
        "/api/2.1/clusters/create",
        "application/json",
        body.to_string(),
    );
    assert_eq!(reply.status, 403);
}

fn cluster_body() -> Value {
    json!({"cluster_name": "c", "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1})
}
