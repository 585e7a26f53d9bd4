//! Findings of states made by hand.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalog::records::ObjectRecord;
use serde_json::{Value, json};

use super::*;
use crate::filter::Filter;
use crate::journal::Knowledge;
use crate::options::Options;
use crate::target::{Asked, Listed, NodeType, Offer, TargetObject};

fn archive(objects: Vec<(&str, &str, Value)>) -> ArchiveState {
    let mut state = ArchiveState {
        workspace_id: "1".to_owned(),
        complete: true,
        ..ArchiveState::default()
    };
    for (kind, id, body) in objects {
        let record = ObjectRecord {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: id.to_owned(),
            body,
        };
        state
            .objects
            .entry(kind.to_owned())
            .or_default()
            .push(record);
    }
    state
}

fn target(is_admin: bool, offer: Offer) -> TargetState {
    let kinds = lifeboat_catalog::kinds()
        .iter()
        .map(|kind| (kind.name.to_owned(), Listed::Yes(Vec::new())))
        .collect();
    TargetState {
        workspace_id: "2".to_owned(),
        caller: "admin@example.com".to_owned(),
        is_admin,
        kinds,
        offer,
        ..TargetState::default()
    }
}

fn offer() -> Offer {
    let node = NodeType {
        cores: 4.0,
        available_cores: Some(20.0),
        status: Vec::new(),
    };
    Offer {
        node_types: Asked::Yes(BTreeMap::from([("small".to_owned(), node)])),
        spark_versions: Asked::Yes(BTreeSet::from(["15.4".to_owned()])),
        ..Offer::default()
    }
}

fn cluster(name: &str, node: &str, version: &str, workers: u64) -> Value {
    json!({ "cluster_id": name, "cluster_name": name, "spark_version": version, "node_type_id": node,
        "num_workers": workers, "autotermination_minutes": 30 })
}

fn findings(archive: &ArchiveState, target: &TargetState) -> Vec<Finding> {
    let options = Options::default();
    let filter = Filter::compile(&options.selection).unwrap();
    crate::plan::build(archive, target, &Knowledge::default(), &options, &filter)
        .plan
        .preflight
}

/// One line per finding, as short as it can be told apart.
fn short(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|one| {
            format!(
                "{} {} {}: {} {:?}",
                one.effect.word(),
                one.check,
                one.name,
                one.needed,
                one.needed_by
            )
        })
        .collect()
}

#[test]
fn a_machine_type_that_is_not_offered_blocks_clusters_and_is_one_line() {
    let archive = archive(vec![
        ("clusters", "a", cluster("a", "huge", "15.4", 1)),
        ("clusters", "b", cluster("b", "huge", "15.4", 1)),
        ("clusters", "c", cluster("c", "small", "10.4", 9)),
        (
            "jobs",
            "7",
            json!({ "job_id": 7, "settings": { "name": "j", "tasks": [
            { "task_key": "t", "new_cluster": { "node_type_id": "huge", "spark_version": "auto:latest-lts", "num_workers": 1 } },
            { "task_key": "u", "new_cluster": { "node_type_id": "huge", "spark_version": "15.4", "num_workers": 1 } },
        ] } }),
        ),
    ]);
    let found = findings(&archive, &target(true, offer()));
    assert_eq!(
        short(&found),
        [
            "blocks node-type huge: 2 [\"cluster a\", \"cluster b\"]",
            "risk core-quota small: 1 [\"cluster c\"]",
            "risk node-type huge: 1 [\"job j\"]",
            "risk spark-version 10.4: 1 [\"cluster c\"]",
        ]
    );
    assert!(found[0].hint.contains("[node-types]"), "{found:?}");
    assert!(found[3].hint.contains("[spark-versions]"), "{found:?}");
    assert!(
        found[1].what.contains("40 cores") && found[1].what.contains("20"),
        "{found:?}"
    );
}

#[test]
fn a_refused_endpoint_is_unchecked_and_nothing_is_missing() {
    let archive = archive(vec![("clusters", "a", cluster("a", "huge", "10.4", 1))]);
    let refused = Offer {
        node_types: Asked::Refused("403 no".to_owned()),
        spark_versions: Asked::Refused("404 what".to_owned()),
        ..Offer::default()
    };
    let found = findings(&archive, &target(true, refused));
    assert_eq!(
        short(&found),
        [
            "unchecked node-type : 1 [\"cluster a\"]",
            "unchecked spark-version : 1 [\"cluster a\"]",
        ]
    );
    assert!(found[0].what.contains("403 no"), "{found:?}");
}

#[test]
fn a_machine_type_that_the_region_or_the_subscription_lacks_is_a_risk() {
    let mut offer = offer();
    let Asked::Yes(types) = &mut offer.node_types else {
        panic!("offered above");
    };
    for node in types.values_mut() {
        node.status = vec!["NotAvailableInRegion".to_owned()];
    }
    let archive = archive(vec![("clusters", "a", cluster("a", "small", "15.4", 1))]);
    let found = findings(&archive, &target(true, offer));
    assert_eq!(short(&found), ["risk node-type small: 1 [\"cluster a\"]"]);
    assert!(found[0].what.contains("NotAvailableInRegion"), "{found:?}");
}

#[test]
fn what_needs_an_id_that_is_nowhere_is_named_with_the_way_on() {
    let mut many: Vec<(&str, &str, Value)> = Vec::new();
    let names: Vec<String> = (0..8).map(|number| format!("j{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        many.push(("jobs", name, json!({ "job_id": number, "settings": { "name": name, "tasks": [
            { "task_key": "t", "new_cluster": { "instance_pool_id": "p-1", "spark_version": "15.4", "num_workers": 1 } },
        ], "webhook_notifications": { "on_failure": [{ "id": "d-1" }] } } })));
    }
    let found = findings(&archive(many), &target(true, offer()));
    assert_eq!(found.len(), 2, "{found:?}");
    let pool = &found[0];
    assert_eq!(
        (pool.effect, pool.check, pool.name.as_str()),
        (Effect::Blocks, "instance-pool", "p-1")
    );
    assert_eq!((pool.needed, pool.needed_by.len()), (8, NAMED));
    assert_eq!(pool.what, "is not in the archive");
    assert!(pool.hint.contains("[instance-pools]"), "{pool:?}");
    assert_eq!(found[1].check, "notification-destination");
}

#[test]
fn members_and_grantees_who_exist_nowhere_are_gaps() {
    let mut archive = archive(vec![
        (
            "groups",
            "1",
            json!({ "id": "1", "displayName": "g", "members": [{ "value": "9", "display": "Gone", "$ref": "Users/9" }] }),
        ),
        (
            "cluster-policies",
            "p",
            json!({ "policy_id": "p", "name": "p", "definition": "{}" }),
        ),
    ]);
    archive.acls.entry("cluster-policies".to_owned()).or_default().insert(
        "p".to_owned(),
        json!({ "access_control_list": [{ "group_name": "nobody", "all_permissions": [{ "permission_level": "CAN_USE", "inherited": false }] }] }).into(),
    );
    let found = findings(&archive, &target(true, Offer::default()));
    assert_eq!(
        short(&found),
        [
            "gap group nobody: 1 [\"cluster policy p\"]",
            "gap user Gone: 1 [\"group g\"]",
        ]
    );
}

#[test]
fn quotas_count_what_is_there_and_what_comes() {
    let archive = archive(
        ["a", "b"]
            .iter()
            .map(|name| ("clusters", *name, cluster(name, "small", "15.4", 1)))
            .collect(),
    );
    let mut target = target(true, offer());
    let pinned = (0..99)
        .map(|number| TargetObject {
            id: number.to_string(),
            body: json!({ "cluster_id": number.to_string(), "cluster_name": format!("x{number}"), "pinned_by_user_name": "a" }),
        })
        .collect();
    target
        .kinds
        .insert("clusters".to_owned(), Listed::Yes(pinned));
    let found = findings(&archive, &target);
    assert_eq!(
        short(&found),
        ["gap quota pinned clusters of a workspace: 0 []"]
    );
    assert!(
        found[0]
            .what
            .starts_with("99 are pinned and 2 would be made"),
        "{found:?}"
    );
}

#[test]
fn what_only_an_administrator_may_is_said_to_others() {
    let archive = archive(vec![
        (
            "users",
            "1",
            json!({ "id": "1", "userName": "ann@example.com" }),
        ),
        ("clusters", "a", cluster("a", "small", "15.4", 1)),
    ]);
    let found = findings(&archive, &target(false, offer()));
    assert!(found.iter().all(|one| one.check == "rights"), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(findings(&archive, &target(true, offer())).is_empty());
}

#[test]
fn git_folders_need_credentials_of_the_caller_and_jobs_those_of_others() {
    let archive = archive(vec![
        (
            "git-folders",
            "5",
            json!({ "id": 5, "path": "/Repos/a/b", "url": "https://x/y", "provider": "azureDevOpsServices" }),
        ),
        (
            "jobs",
            "7",
            json!({ "job_id": 7, "settings": { "name": "j", "git_source": { "git_url": "u", "git_provider": "gitHub" } } }),
        ),
    ]);
    let mut archive = archive;
    archive.tree.push(
        serde_json::from_value(
            json!({ "path": "/Repos/a/b", "object_type": "REPO", "object_id": "5", "facts": {} }),
        )
        .unwrap(),
    );
    let with = |providers: &[&str]| {
        let known = providers.iter().map(|name| (*name).to_owned()).collect();
        target(
            true,
            Offer {
                git_providers: Asked::Yes(known),
                ..offer()
            },
        )
    };
    let found = findings(&archive, &with(&["gitHub"]));
    assert_eq!(
        short(&found),
        [
            "risk git-provider azureDevOpsServices: 1 [\"git folder /Repos/a/b\"]",
            "unchecked git-provider gitHub: 1 [\"job j\"]",
        ]
    );
    let found = findings(&archive, &with(&["azureDevOpsServicesAad"]));
    assert_eq!(found.len(), 1, "{found:?}");
}

/// What the source itself no longer has cannot be imported along.
#[test]
fn a_job_that_the_archive_lacks_is_not_asked_for_in_the_same_run() {
    let runs = |id: &str, other: u64| {
        let task = json!({"task_key": "t", "run_job_task": {"job_id": other}});
        (
            "jobs",
            id.to_owned(),
            json!({"settings": {"name": id, "tasks": [task]}}),
        )
    };
    let (kind, id, body) = runs("1", 99);
    let archive = archive(vec![(kind, id.as_str(), body)]);
    let found = findings(&archive, &target(true, offer()));
    let finding = found.iter().find(|one| one.name == "99").unwrap();
    assert!(finding.hint.contains("export again"), "{finding:?}");
    assert!(!finding.hint.contains("same run"), "{finding:?}");
}
