use serde_json::{Value, json};

use crate::world::World;
use crate::world::testing::{call, get};

const CREATE: &str = "/api/2.0/policies/clusters/create";
const EDIT: &str = "/api/2.0/policies/clusters/edit";

fn listed(world: &mut World) -> Vec<Value> {
    get(world, "/api/2.0/policies/clusters/list").1["policies"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn every_workspace_has_the_built_in_policies_under_ids_of_its_own() {
    let mut world = World::for_tests();
    let names: Vec<Value> = listed(&mut world)
        .iter()
        .map(|policy| policy["name"].clone())
        .collect();
    assert!(
        names.contains(&json!("Personal Compute")) && names.len() == 4,
        "{names:?}"
    );
    let other = World::new("2", "token", 99, 0);
    assert_ne!(world.policies.all[0].id, other.policies.all[0].id);
    let id = world.policies.all[0].id.clone();
    assert_eq!(
        call(
            &mut world,
            "POST",
            "/api/2.0/policies/clusters/delete",
            json!({"policy_id": id})
        )
        .0,
        400
    );
    let renamed = json!({"policy_id": id, "name": "Mine", "policy_family_id": "personal-vm"});
    assert_eq!(call(&mut world, "POST", EDIT, renamed).0, 400);
    let overrides = json!({"autotermination_minutes": {"type": "fixed", "value": 30}}).to_string();
    let changed = json!({"policy_id": id, "name": "Personal Compute", "policy_family_id": "personal-vm", "policy_family_definition_overrides": overrides});
    assert_eq!(call(&mut world, "POST", EDIT, changed).0, 200);
    let (_, read) = get(
        &mut world,
        &format!("/api/2.0/policies/clusters/get?policy_id={id}"),
    );
    let merged: Value =
        serde_json::from_str(read["definition"].as_str().expect("text")).expect("json");
    assert_eq!(
        merged["autotermination_minutes"],
        json!({"type": "fixed", "value": 30})
    );
    assert_eq!(
        merged["num_workers"]["value"],
        json!(0),
        "the family's rules stay"
    );
    assert_eq!(read["policy_family_definition_overrides"], json!(overrides));
}

#[test]
fn a_policy_has_either_a_definition_or_a_family() {
    let mut world = World::for_tests();
    let both = json!({"name": "p", "definition": "{}", "policy_family_id": "personal-vm"});
    for body in [
        both,
        json!({"name": "p"}),
        json!({"name": "p", "definition": {}}),
        json!({"name": "p", "definition": "[1]"}),
        json!({"definition": "{}"}),
    ] {
        assert_eq!(
            call(&mut world, "POST", CREATE, body.clone()).0,
            400,
            "{body}"
        );
    }
    assert_eq!(
        call(
            &mut world,
            "POST",
            CREATE,
            json!({"name": "p", "policy_family_id": "none"})
        )
        .0,
        404
    );
    assert_eq!(
        call(
            &mut world,
            "POST",
            CREATE,
            json!({"name": "p", "definition": "{}"})
        )
        .0,
        200
    );
    let (status, body) = call(
        &mut world,
        "POST",
        CREATE,
        json!({"name": "p", "definition": "{}"}),
    );
    assert_eq!(
        (status, &body["error_code"]),
        (400, &json!("RESOURCE_ALREADY_EXISTS"))
    );
}

#[test]
fn a_policy_rules_the_clusters_that_name_it() {
    let mut world = World::for_tests();
    let rules = json!({
        "autotermination_minutes": {"type": "fixed", "value": 45},
        "num_workers": {"type": "range", "maxValue": 4},
        "node_type_id": {"type": "allowlist", "values": ["Standard_DS3_v2"], "defaultValue": "Standard_DS3_v2"},
        "spark_conf.spark.databricks.io.cache.enabled": {"type": "fixed", "value": "true"},
        "cluster_log_conf.type": {"type": "forbidden"},
    });
    let (_, made) = call(
        &mut world,
        "POST",
        CREATE,
        json!({"name": "p", "definition": rules.to_string()}),
    );
    let id = made["policy_id"].as_str().expect("id").to_owned();
    let mut create = |change: Value| {
        let mut body = json!({"cluster_name": "c", "policy_id": id, "spark_version": "15.4.x-scala2.12", "num_workers": 2});
        change
            .as_object()
            .expect("object")
            .iter()
            .for_each(|(name, value)| body[name.as_str()] = value.clone());
        let (status, reply) = call(&mut world, "POST", "/api/2.1/clusters/create", body);
        let id = reply["cluster_id"].as_str().unwrap_or("").to_owned();
        (
            status,
            world
                .clusters
                .get(&id)
                .map(|cluster| Value::Object(cluster.spec.clone())),
        )
    };
    assert_eq!(create(json!({"num_workers": 5})).0, 400);
    assert_eq!(create(json!({"node_type_id": "Standard_DS4_v2"})).0, 400);
    assert_eq!(create(json!({"policy_id": "0000"})).0, 400);
    assert_eq!(
        create(json!({})).0,
        400,
        "without the policy's defaults there is no node type"
    );
    let (status, spec) = create(json!({"apply_policy_default_values": true}));
    let spec = spec.expect("made");
    assert_eq!(
        (
            status,
            &spec["autotermination_minutes"],
            &spec["node_type_id"]
        ),
        (200, &json!(45), &json!("Standard_DS3_v2"))
    );
    assert_eq!(
        spec["spark_conf"]["spark.databricks.io.cache.enabled"],
        json!("true")
    );
}

#[test]
fn families_are_paged() {
    let mut world = World::for_tests();
    let (_, first) = get(&mut world, "/api/2.0/policy-families?max_results=3");
    let token = first["next_page_token"].as_str().expect("token");
    let (_, second) = get(
        &mut world,
        &format!("/api/2.0/policy-families?max_results=3&page_token={token}"),
    );
    assert_eq!(
        (
            first["policy_families"].as_array().map(Vec::len),
            second["policy_families"].as_array().map(Vec::len)
        ),
        (Some(3), Some(2))
    );
    assert!(second.get("next_page_token").is_none());
    assert_eq!(
        get(&mut world, "/api/2.0/policy-families/personal-vm").0,
        200
    );
    assert_eq!(get(&mut world, "/api/2.0/policy-families/none").0, 404);
}
