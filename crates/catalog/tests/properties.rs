//! Properties that hold for any body: rewriting, comparing, waiting, and bodies that nobody expected.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot read")]

mod common;

use std::collections::BTreeMap;

use common::{all, kind};
use lifeboat_catalog::{Found, Kind, Target, kinds};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Number, Value, json};

/// A piece of a body, and the references that were put into it.
type Piece = (Value, Vec<(Target, String)>);

fn id() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,4}-[A-Za-z0-9äß\"\\\\/~ ]{1,8}"
}

fn path() -> impl Strategy<Value = String> {
    "/(Users|Shared)/[a-zä@.]{1,6}/[A-Za-z0-9 :#~]{1,8}"
}

fn job_id() -> impl Strategy<Value = u64> {
    1..u64::from(u32::MAX)
}

fn one(body: Value, to: Target, value: impl Into<String>) -> Piece {
    (body, vec![(to, value.into())])
}

/// What a task does.
fn action() -> impl Strategy<Value = Piece> {
    prop_oneof![
        path().prop_map(|p| one(json!({"notebook_task": {"notebook_path": p}}), Target::WorkspacePath, p)),
        path().prop_map(|p| {
            let body = json!({"sql_task": {"file": {"path": format!("/Workspace{p}")}}});
            one(body, Target::WorkspacePath, p)
        }),
        path().prop_map(|p| {
            let body = json!({"spark_python_task": {"python_file": format!("dbfs:{p}"), "parameters": ["x", "/y"]}});
            one(body, Target::DbfsPath, p)
        }),
        job_id().prop_map(|id| one(json!({"run_job_task": {"job_id": id}}), Target::Job, id.to_string())),
        id().prop_map(|id| one(json!({"pipeline_task": {"pipeline_id": id}}), Target::Pipeline, id)),
        (id(), id()).prop_map(|(query, warehouse)| {
            let body = json!({"sql_task": {"query": {"query_id": query}, "warehouse_id": warehouse}});
            (body, vec![(Target::Query, query), (Target::Warehouse, warehouse)])
        }),
        (id(), id(), id()).prop_map(|(dashboard, user, destination)| {
            let subscribers = json!([{"user_name": user}, {"destination_id": destination}]);
            let body = json!({"dashboard_task": {"dashboard_id": dashboard, "subscription": {"subscribers": subscribers}}});
            let references =
                vec![(Target::Dashboard, dashboard), (Target::User, user), (Target::NotificationDestination, destination)];
            (body, references)
        }),
        Just((json!({"condition_task": {"op": "EQUAL_TO", "left": "1", "right": "1"}}), vec![])),
    ]
}

/// A cluster specification.
fn cluster() -> impl Strategy<Value = Piece> {
    (id(), proptest::option::of(id()), proptest::option::of(path()), vec("[a-z]{1,6}", 0..3)).prop_map(
        |(pool, policy, script, scopes)| {
            let mut spec = json!({"instance_pool_id": pool, "num_workers": 0});
            let mut references = vec![(Target::InstancePool, pool)];
            if let Some(policy) = policy {
                spec["policy_id"] = json!(policy);
                references.push((Target::ClusterPolicy, policy));
            }
            if let Some(script) = script {
                spec["init_scripts"] = json!([{"workspace": {"destination": script}}, {"file": {"destination": "file:/x"}}]);
                references.push((Target::WorkspacePath, script));
                references.push((Target::AnyPath, "file:/x".to_owned()));
            }
            let text: Vec<String> = scopes.iter().map(|scope| format!("a{{{{secrets/{scope}/k}}}}")).collect();
            spec["spark_conf"] = json!({"a.b/c~d": text.join("-")});
            references.extend(scopes.into_iter().map(|scope| (Target::SecretScope, scope)));
            (spec, references)
        },
    )
}

fn join(pieces: Vec<Piece>) -> Piece {
    let mut body = Map::new();
    let mut references = Vec::new();
    for (piece, found) in pieces {
        let Value::Object(piece) = piece else {
            unreachable!("pieces are objects")
        };
        body.extend(piece);
        references.extend(found);
    }
    (Value::Object(body), references)
}

fn plain_task() -> impl Strategy<Value = Piece> {
    let compute = prop_oneof![
        id().prop_map(|id| one(json!({"existing_cluster_id": id}), Target::Cluster, id)),
        cluster().prop_map(|(spec, references)| (json!({ "new_cluster": spec }), references)),
    ];
    let libraries = vec(path(), 0..3).prop_map(|jars| {
        let body: Vec<Value> = jars
            .iter()
            .map(|jar| json!({"jar": format!("dbfs:{jar}")}))
            .collect();
        (
            json!({ "libraries": body }),
            jars.into_iter()
                .map(|jar| (Target::DbfsPath, jar))
                .collect(),
        )
    });
    (action(), compute, libraries)
        .prop_map(|(action, compute, libraries)| join(vec![action, compute, libraries]))
}

fn task() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => plain_task(),
        1 => plain_task().prop_map(|(task, references)| (json!({"for_each_task": {"inputs": "[]", "task": task}}), references)),
    ]
}

fn array(field: &'static str, pieces: Vec<Piece>) -> Piece {
    let (bodies, references): (Vec<Value>, Vec<_>) = pieces.into_iter().unzip();
    (json!({ field: bodies }), references.concat())
}

fn job() -> impl Strategy<Value = Piece> {
    let in_job = cluster().prop_map(|(spec, references)| {
        (
            json!({"job_cluster_key": "k", "new_cluster": spec}),
            references,
        )
    });
    let state = proptest::option::of(select(vec!["PAUSED", "UNPAUSED"]));
    let trigger =
        (select(vec!["schedule", "continuous", "trigger"]), state).prop_map(|(field, state)| {
            let inner = state.map_or_else(
                || json!({"other": 1}),
                |state| json!({"pause_status": state, "other": 1}),
            );
            (json!({ field: inner }), vec![])
        });
    let run_as = id().prop_map(|id| one(json!({"run_as": {"user_name": id}}), Target::User, id));
    (vec(task(), 0..5), vec(in_job, 0..3), trigger, run_as).prop_map(
        |(tasks, clusters, trigger, run_as)| {
            let (settings, references) = join(vec![
                array("tasks", tasks),
                array("job_clusters", clusters),
                trigger,
                run_as,
            ]);
            (json!({"job_id": 1, "settings": settings}), references)
        },
    )
}

fn policy() -> impl Strategy<Value = Piece> {
    (
        btree_map(
            select(vec!["instance_pool_id", "driver_instance_pool_id", "x"]),
            vec(id(), 1..4),
            0..4,
        ),
        any::<bool>(),
    )
        .prop_map(|(attributes, pretty)| {
            let references = attributes
                .iter()
                .filter(|(name, _)| **name != "x")
                .flat_map(|(_, ids)| ids.iter().map(|id| (Target::InstancePool, id.clone())))
                .collect();
            let definition: BTreeMap<_, _> = attributes
                .iter()
                .map(|(name, ids)| (name, json!({"type": "allowlist", "values": ids, "n": 1})))
                .collect();
            let text = if pretty {
                serde_json::to_string_pretty(&definition)
            } else {
                serde_json::to_string(&definition)
            };
            (
                json!({"policy_id": "p", "definition": text.unwrap()}),
                references,
            )
        })
}

fn body_with_references() -> impl Strategy<Value = (&'static Kind, Piece)> {
    prop_oneof![
        3 => job().prop_map(|piece| (kind("jobs"), piece)),
        1 => cluster().prop_map(|piece| (kind("clusters"), piece)),
        1 => policy().prop_map(|piece| (kind("cluster-policies"), piece)),
    ]
}

fn pairs(found: &[Found]) -> Vec<(Target, String)> {
    let mut pairs: Vec<_> = found
        .iter()
        .map(|one| (one.to, one.value.clone()))
        .collect();
    pairs.sort();
    pairs
}

/// A new value of the same shape: paths stay absolute, numbers stay numbers.
fn mapped(found: &Found) -> String {
    match found.to {
        Target::Job => format!("1000{}", found.value),
        Target::WorkspacePath | Target::DbfsPath => format!("/new{}", found.value),
        Target::AnyPath => found.value.clone(),
        _ => format!("new-{}", found.value),
    }
}

fn unmapped(found: &Found) -> String {
    let prefix = match found.to {
        Target::Job => "1000",
        Target::WorkspacePath | Target::DbfsPath => "/new",
        Target::AnyPath => "",
        _ => "new-",
    };
    found.value.strip_prefix(prefix).unwrap().to_owned()
}

/// Any JSON whose keys are those of the catalog.
fn anything() -> impl Strategy<Value = Value> {
    let mut words: Vec<String> = kinds()
        .iter()
        .flat_map(|kind| {
            kind.references
                .iter()
                .map(|one| one.place)
                .chain(kind.defaults.iter().map(|one| one.0))
        })
        .chain(
            kinds()
                .iter()
                .flat_map(|kind| kind.server_set.iter().chain(kind.volatile).copied()),
        )
        .flat_map(|place| place.split(['.', '(', ')', '|', '[', ']', '{', '}', '*']))
        .chain([
            "policy_family_id",
            "autoscale",
            "custom_tags",
            "default_tags",
            "pause_status",
            "task_key",
            "emails",
        ])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(vec![
            "1.0",
            "-0.0",
            "1e2",
            "1e999",
            "0.1",
            "123456789012345678901234567890"
        ])
        .prop_map(|number| Value::Number(number.parse::<Number>().unwrap())),
        "[a-z/:{}]{0,8}".prop_map(Value::from),
        select(vec![
            "{\"instance_pool_id\":{\"value\":\"a\"}}",
            "{{secrets/a/b}}",
            "dbfs:/x",
            "/Workspace",
            "-r dbfs:/x"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(select(words.clone()), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A body of the test data in which some values are replaced by anything.
fn disturbed() -> impl Strategy<Value = (&'static Kind, Value)> {
    select(all()).prop_flat_map(|(kind, _, body)| {
        let pointers: Vec<String> =
            lifeboat_catalog::places::find(&body, "*(|{*}|{*}{*}|[*]|[*]{*}|{*}[*])")
                .into_iter()
                .map(|(pointer, _)| pointer)
                .collect();
        let most = pointers.len().min(4);
        (subsequence(pointers, 0..=most), vec(anything(), most)).prop_map(
            move |(pointers, values)| {
                let mut body = body.clone();
                for (pointer, value) in pointers.iter().zip(values) {
                    if let Some(slot) = body.pointer_mut(pointer) {
                        *slot = value;
                    }
                }
                (kind, body)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_reference_is_found((kind, (body, mut put)) in body_with_references()) {
        put.sort();
        prop_assert_eq!(pairs(&kind.found_references(&body)), put);
    }

    #[test]
    fn rewriting_to_the_same_changes_no_byte((kind, (body, _)) in body_with_references()) {
        let mut same = body.clone();
        kind.rewrite(&mut same, &mut |found| Some(found.value.clone()));
        prop_assert_eq!(same.to_string(), body.to_string());
        kind.rewrite(&mut same, &mut |_| None);
        prop_assert_eq!(same.to_string(), body.to_string());
    }

    #[test]
    fn after_a_rewrite_the_new_values_are_found_and_nothing_else_changed((kind, (body, _)) in body_with_references()) {
        let before = kind.found_references(&body);
        let mut new = body.clone();
        kind.rewrite(&mut new, &mut |found| Some(mapped(found)));
        let after = kind.found_references(&new);
        prop_assert_eq!(after.len(), before.len());
        for (old, new) in before.iter().zip(&after) {
            prop_assert_eq!(&new.value, &mapped(old));
            prop_assert_eq!((&new.pointer, new.to), (&old.pointer, old.to));
        }
        kind.rewrite(&mut new, &mut |found| Some(unmapped(found)));
        prop_assert_eq!(new.to_string(), body.to_string());
    }

    #[test]
    fn a_request_names_what_the_body_names((kind, (body, _)) in body_with_references()) {
        let request = kind.request_form(&body);
        prop_assert_eq!(pairs(&kind.found_references(&request)), pairs(&kind.found_references(&body)));
    }

    #[test]
    fn what_waits_gets_back_its_state((body, _) in job()) {
        let jobs = kind("jobs");
        let mut waiting = body.clone();
        jobs.land_passive(&mut waiting);
        prop_assert!(!jobs.is_active(&waiting));
        let mut twice = waiting.clone();
        jobs.land_passive(&mut twice);
        prop_assert_eq!(twice.to_string(), waiting.to_string());
        jobs.restore_active(&mut waiting, &body);
        prop_assert_eq!(waiting.to_string(), body.to_string());
    }

    #[test]
    fn comparing_what_was_compared_changes_nothing((kind, body) in disturbed()) {
        let once = kind.compare_form(&body);
        prop_assert_eq!(kind.compare_form(&once).to_string(), once.to_string());
    }

    #[test]
    fn what_was_sent_compares_equal_to_what_was_archived((kind, body) in disturbed()) {
        let request = kind.request_form(&body);
        prop_assert_eq!(kind.compare_form(&request).to_string(), kind.compare_form(&body).to_string());
    }

    #[test]
    fn archiving_twice_changes_nothing((kind, body) in disturbed()) {
        let (once, _) = kind.archive_form(body);
        let (twice, nothing) = kind.archive_form(once.clone());
        prop_assert_eq!(twice.to_string(), once.to_string());
        prop_assert_eq!(nothing, None);
    }

    #[test]
    fn the_archive_does_not_depend_on_an_order_that_means_nothing((kind, body) in disturbed(), turn in 1..5usize) {
        let mut turned = body.clone();
        for (place, _) in kind.unordered {
            lifeboat_catalog::places::visit_mut(&mut turned, place, &mut |_, array| {
                if let Some(array) = array.as_array_mut().filter(|array| !array.is_empty()) {
                    let by = turn % array.len();
                    array.rotate_left(by);
                }
            });
        }
        prop_assert_eq!(kind.archive_form(turned).0.to_string(), kind.archive_form(body).0.to_string());
    }

    #[test]
    fn no_body_is_too_strange(body in anything()) {
        for kind in kinds() {
            let _ = (kind.id_of(&body), kind.label_of(&body), kind.key_of(&body));
            let _ = ((kind.builtin)(&body), (kind.include)(&body), kind.is_active(&body));
            let _ = (kind.archive_form(kind.from_listed(body.clone())), kind.compare_form(&body));
            let request = kind.request_form(&body);
            let _ = (kind.create_body(&request), kind.update_body(&request, "1"), kind.delete_body("1"));
            let mut other = request;
            kind.rewrite(&mut other, &mut |found| Some(mapped(found)));
            kind.land_passive(&mut other);
            kind.restore_active(&mut other, &body);
        }
        let _ = lifeboat_catalog::acl::grants(&lifeboat_catalog::acl::archive_form(body));
    }
}
