use std::time::Duration;

use serde_json::{Value, json};

use super::Phase;
use crate::world::World;
use crate::world::testing::{call, get};

fn spec(name: &str) -> Value {
    json!({"cluster_name": name, "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 2, "autotermination_minutes": 30})
}

fn post(world: &mut World, verb: &str, body: Value) -> (u16, Value) {
    call(world, "POST", &format!("/api/2.1/clusters/{verb}"), body)
}

fn create(world: &mut World, name: &str) -> String {
    let (status, body) = post(world, "create", spec(name));
    assert_eq!(status, 200, "{body}");
    body["cluster_id"].as_str().expect("id").to_owned()
}

fn read(world: &mut World, id: &str) -> (u16, Value) {
    get(world, &format!("/api/2.1/clusters/get?cluster_id={id}"))
}

fn on(world: &mut World, verb: &str, id: &str) -> (u16, Value) {
    post(world, verb, json!({"cluster_id": id}))
}

fn wait(world: &mut World, seconds: u64) {
    world.clock.advance(Duration::from_secs(seconds));
}

#[test]
fn a_created_cluster_costs_money_until_it_is_stopped() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    assert_eq!(read(&mut world, &id).1["state"], json!("PENDING"));
    wait(&mut world, 120);
    let (_, running) = read(&mut world, &id);
    assert_eq!(
        (
            &running["state"],
            running["executors"].as_array().map(Vec::len)
        ),
        (&json!("RUNNING"), Some(2))
    );
    assert_eq!(on(&mut world, "delete", &id), (200, json!({})));
    assert_eq!(read(&mut world, &id).1["state"], json!("TERMINATING"));
    wait(&mut world, 2);
    let (_, stopped) = read(&mut world, &id);
    assert_eq!(
        (&stopped["state"], &stopped["termination_reason"]["code"]),
        (&json!("TERMINATED"), &json!("USER_REQUEST"))
    );
    assert!(stopped.get("executors").is_none());
    assert_eq!(
        world
            .clusters
            .get(&id)
            .map(|cluster| (cluster.starts, cluster.runs)),
        Some((1, 1))
    );
}

#[test]
fn the_server_fills_in_defaults_and_keeps_what_was_asked() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    let (_, body) = read(&mut world, &id);
    assert_eq!(
        body["azure_attributes"],
        json!({"first_on_demand": 1, "availability": "ON_DEMAND_AZURE", "spot_bid_max_price": -1.0})
    );
    assert_eq!(
        (&body["enable_elastic_disk"], &body["driver_node_type_id"]),
        (&json!(true), &json!("Standard_DS3_v2"))
    );
    assert_eq!(
        body["default_tags"],
        json!({"Vendor": "Databricks", "Creator": crate::ADMIN, "ClusterName": "etl", "ClusterId": id})
    );
    assert_eq!(body["cluster_source"], json!("API"));
    assert_eq!(body["spec"], spec("etl"), "spec is the request");
}

#[test]
fn a_running_cluster_never_reads_the_same_twice_and_a_stopped_one_does() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    wait(&mut world, 120);
    let (first, second) = (read(&mut world, &id).1, read(&mut world, &id).1);
    assert_ne!(first["last_activity_time"], second["last_activity_time"]);
    assert_ne!(first["executors"], second["executors"]);
    on(&mut world, "delete", &id);
    wait(&mut world, 10);
    assert_eq!(read(&mut world, &id).1, read(&mut world, &id).1);
}

#[test]
fn a_bad_specification_is_refused() {
    let mut world = World::for_tests();
    for (field, value) in [
        ("spark_version", Value::Null),
        ("num_workers", Value::Null),
        ("num_workers", json!(0)),
        ("autoscale", json!({"min_workers": 1, "max_workers": 3})),
        ("node_type_id", Value::Null),
        ("node_type_id", json!("i3.xlarge")),
        ("autotermination_minutes", json!(5)),
        ("instance_pool_id", json!("none")),
        ("driver_instance_pool_id", json!("none")),
        ("policy_id", json!("none")),
        (
            "init_scripts",
            json!([{"dbfs": {"destination": "dbfs:/a"}, "s3": {"destination": "s3://b"}}]),
        ),
        ("ssh_public_keys", json!(vec!["k"; 11])),
    ] {
        let mut body = spec("bad");
        body[field] = value.clone();
        let (status, reply) = post(&mut world, "create", body);
        assert_eq!(
            (status, &reply["error_code"]),
            (400, &json!("INVALID_PARAMETER_VALUE")),
            "{field} = {value}"
        );
    }
    assert!(world.clusters.all.is_empty());
}

#[test]
fn a_pool_decides_the_machines() {
    let mut world = World::for_tests();
    let pool = json!({"instance_pool_name": "p", "node_type_id": "Standard_DS4_v2"});
    let (_, pool) = call(&mut world, "POST", "/api/2.0/instance-pools/create", pool);
    let mut body = spec("pooled");
    body["instance_pool_id"] = pool["instance_pool_id"].clone();
    assert_eq!(
        post(&mut world, "create", body.clone()).0,
        400,
        "node_type_id together with a pool"
    );
    body.as_object_mut().expect("object").remove("node_type_id");
    let (status, made) = post(&mut world, "create", body);
    assert_eq!(status, 200, "{made}");
    let (_, shown) = read(&mut world, made["cluster_id"].as_str().expect("id"));
    assert_eq!(
        (&shown["node_type_id"], shown.get("azure_attributes")),
        (&json!("Standard_DS4_v2"), None)
    );
}

#[test]
fn edit_needs_a_settled_cluster_and_does_not_start_a_stopped_one() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    let mut change = spec("renamed");
    change["cluster_id"] = json!(id);
    let (status, body) = post(&mut world, "edit", change.clone());
    assert_eq!(
        (status, &body["error_code"]),
        (400, &json!("INVALID_STATE")),
        "PENDING"
    );
    on(&mut world, "delete", &id);
    wait(&mut world, 5);
    assert_eq!(post(&mut world, "edit", change.clone()), (200, json!({})));
    let (_, body) = read(&mut world, &id);
    assert_eq!(
        (&body["cluster_name"], &body["state"]),
        (&json!("renamed"), &json!("TERMINATED"))
    );
    on(&mut world, "start", &id);
    wait(&mut world, 120);
    assert_eq!(post(&mut world, "edit", change).0, 200);
    assert_eq!(read(&mut world, &id).1["state"], json!("RESTARTING"));
}

#[test]
fn update_changes_only_what_the_mask_names() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    wait(&mut world, 120);
    let body = json!({"cluster_id": id, "update_mask": "spark_conf.spark.speculation,num_workers", "cluster": {"num_workers": 3, "cluster_name": "no", "spark_conf": {"spark.speculation": "true"}}});
    assert_eq!(post(&mut world, "update", body).0, 200);
    let (_, shown) = read(&mut world, &id);
    assert_eq!(
        (
            &shown["cluster_name"],
            &shown["num_workers"],
            &shown["spark_conf"]
        ),
        (
            &json!("etl"),
            &json!(3),
            &json!({"spark.speculation": "true"})
        )
    );
    assert_eq!(
        post(
            &mut world,
            "update",
            json!({"cluster_id": id, "update_mask": "state", "cluster": {}})
        )
        .0,
        400
    );
}

#[test]
fn unpinned_clusters_are_forgotten_after_thirty_days() {
    let mut world = World::for_tests();
    let (kept, lost) = (create(&mut world, "kept"), create(&mut world, "lost"));
    assert_eq!(on(&mut world, "pin", &kept).0, 200);
    assert_eq!(
        on(&mut world, "pin", &kept).0,
        200,
        "pinning twice is no error"
    );
    wait(&mut world, 31 * 86_400);
    let (_, list) = get(&mut world, "/api/2.0/clusters/list");
    let ids: Vec<&Value> = list["clusters"]
        .as_array()
        .expect("list")
        .iter()
        .map(|cluster| &cluster["cluster_id"])
        .collect();
    assert_eq!(ids, [&json!(kept)]);
    let (status, body) = read(&mut world, &lost);
    assert_eq!(
        (status, &body["error_code"]),
        (400, &json!("INVALID_STATE"))
    );
    assert!(
        body["message"]
            .as_str()
            .expect("text")
            .contains("terminated or unpinned more than 30 days ago")
    );
    assert_eq!(
        super::check(&world, &lost).expect_err("forgotten").code(),
        "INVALID_STATE"
    );
    let (status, body) = read(&mut world, "0101-000000-absent00");
    assert_eq!(
        (status, &body["error_code"]),
        (400, &json!("INVALID_PARAMETER_VALUE"))
    );
    on(&mut world, "unpin", &kept);
    wait(&mut world, 29 * 86_400);
    assert_eq!(
        read(&mut world, &kept).0,
        200,
        "the 30 days count from the unpinning"
    );
}

#[test]
fn at_most_so_many_clusters_are_pinned() {
    let mut world = World::for_tests();
    world.clusters.pin_limit = 1;
    let (a, b) = (create(&mut world, "a"), create(&mut world, "b"));
    assert_eq!(on(&mut world, "pin", &a).0, 200);
    assert_eq!(on(&mut world, "pin", &b).0, 400);
    assert_eq!(
        on(&mut world, "permanent-delete", &a).1["error_code"],
        json!("INVALID_STATE")
    );
    on(&mut world, "unpin", &a);
    assert_eq!(on(&mut world, "pin", &b).0, 200);
    assert_eq!(on(&mut world, "permanent-delete", &a).0, 200);
    assert_eq!(
        read(&mut world, &a).1["error_code"],
        json!("INVALID_PARAMETER_VALUE")
    );
}

#[test]
fn the_same_token_makes_one_cluster() {
    let mut world = World::for_tests();
    let mut body = spec("etl");
    body["idempotency_token"] = json!("t-1");
    let (first, second) = (
        post(&mut world, "create", body.clone()),
        post(&mut world, "create", body.clone()),
    );
    assert_eq!((&first, world.clusters.all.len()), (&second, 1));
    body["idempotency_token"] = json!("x".repeat(65));
    assert_eq!(post(&mut world, "create", body).0, 400);
}

#[test]
fn list_2_1_is_paged_with_a_cap_and_2_0_is_not() {
    let mut world = World::for_tests();
    let made: Vec<String> = (0..45)
        .map(|number| create(&mut world, &format!("c{number}")))
        .collect();
    let (_, all) = get(&mut world, "/api/2.0/clusters/list");
    assert_eq!(all["clusters"].as_array().map(Vec::len), Some(45));
    assert!(all.get("next_page_token").is_none());
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (_, page) = get(
            &mut world,
            &format!("/api/2.1/clusters/list?page_size=100&page_token={token}"),
        );
        let list = page["clusters"].as_array().expect("page");
        assert!(list.len() <= 20);
        seen.extend(
            list.iter()
                .map(|cluster| cluster["cluster_id"].as_str().expect("id").to_owned()),
        );
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!(seen, made);
    assert_eq!(
        get(&mut world, "/api/2.1/clusters/list?page_token=nonsense").0,
        400
    );
    assert_eq!(
        get(
            &mut world,
            "/api/2.1/clusters/list?filter_by.is_pinned=true"
        )
        .1,
        json!({})
    );
}

#[test]
fn owners_change_only_at_rest() {
    let mut world = World::for_tests();
    crate::identities::add_user(&mut world, "new@example.com", "New", false);
    let id = create(&mut world, "etl");
    let body = |owner: &str| json!({"cluster_id": id, "owner_username": owner});
    assert_eq!(
        post(&mut world, "change-owner", body("new@example.com")).1["error_code"],
        json!("INVALID_STATE")
    );
    on(&mut world, "delete", &id);
    wait(&mut world, 5);
    assert_eq!(
        post(&mut world, "change-owner", body("nobody@example.com")).0,
        400
    );
    assert_eq!(
        post(&mut world, "change-owner", body("new@example.com")).0,
        200
    );
    assert_eq!(
        read(&mut world, &id).1["creator_user_name"],
        json!("new@example.com")
    );
}

#[test]
fn the_history_is_paged() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    on(&mut world, "pin", &id);
    wait(&mut world, 86_400);
    let ask = |world: &mut World, more: Value| {
        let mut body = json!({"cluster_id": id, "order": "ASC"});
        more.as_object()
            .expect("object")
            .iter()
            .for_each(|(name, value)| body[name.as_str()] = value.clone());
        post(world, "events", body).1
    };
    let first = ask(&mut world, json!({"limit": 3}));
    let kinds = |page: &Value| {
        page["events"]
            .as_array()
            .cloned()
            .unwrap_or_default()
            .iter()
            .map(|event| event["type"].as_str().expect("type").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&first), ["CREATING", "PINNED", "RUNNING"]);
    assert_eq!(first["total_count"], json!(4));
    let second = ask(
        &mut world,
        json!({"limit": 3, "page_token": first["next_page_token"]}),
    );
    assert_eq!(kinds(&second), ["TERMINATING"]);
    assert_eq!(
        kinds(&ask(&mut world, json!({"event_types": ["PINNED"]}))),
        ["PINNED"]
    );
}

#[test]
fn resize_needs_a_running_cluster() {
    let mut world = World::for_tests();
    let id = create(&mut world, "etl");
    let body = json!({"cluster_id": id, "num_workers": 5});
    assert_eq!(
        post(&mut world, "resize", body.clone()).1["message"],
        json!("Cluster is not running")
    );
    wait(&mut world, 120);
    assert_eq!(post(&mut world, "resize", body).0, 200);
    assert_eq!(
        world
            .clusters
            .get(&id)
            .map(|cluster| (cluster.workers(), cluster.phase)),
        Some((5, Phase::Running))
    );
}
