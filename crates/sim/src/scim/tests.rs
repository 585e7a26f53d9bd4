//! SCIM handlers.

use serde_json::{Value, json};

use crate::identities::{self, Kind};
use crate::world::World;
use crate::world::testing::{call, call_as, get};

const BASE: &str = "/api/2.0/preview/scim/v2";

fn patch(world: &mut World, target: &str, operations: Value) -> (u16, Value) {
    call(world, "PATCH", target, json!({"Operations": operations}))
}

#[test]
fn listings_are_paged_below_the_asked_count_in_stable_order() {
    let mut world = World::for_tests();
    for n in 0..250 {
        identities::add_user(&mut world, &format!("u{n:03}@example.com"), "U", false);
    }
    let mut seen = Vec::new();
    for start in [1, 101, 201, 301] {
        let (status, body) = get(
            &mut world,
            &format!("{BASE}/Users?startIndex={start}&count=10000"),
        );
        assert_eq!(status, 200);
        assert_eq!(body["totalResults"], json!(251));
        let page = body["Resources"].as_array().cloned().unwrap_or_default();
        assert!(page.len() <= 100);
        seen.extend(page.iter().map(|user| user["id"].to_string()));
    }
    assert_eq!(seen.len(), 251);
    seen.dedup();
    assert_eq!(seen.len(), 251);
    let (_, past) = get(&mut world, &format!("{BASE}/Users?startIndex=301"));
    assert!(past.get("Resources").is_none());
}

#[test]
fn unstable_paging_repeats_and_loses_one_element_for_a_while() {
    let mut world = World::for_tests();
    for n in 0..5 {
        identities::add_user(&mut world, &format!("u{n}@example.com"), "U", false);
    }
    world.switches.unstable_paging = 1;
    let ids = |world: &mut World, start: usize| -> Vec<Value> {
        let (_, body) = get(world, &format!("{BASE}/Users?startIndex={start}&count=3"));
        body["Resources"]
            .as_array()
            .expect("a page")
            .iter()
            .map(|u| u["id"].clone())
            .collect()
    };
    let first = ids(&mut world, 1);
    let disturbed = ids(&mut world, 4);
    let calm = ids(&mut world, 4);
    assert_eq!(disturbed[0], first[2]);
    assert!(!first.contains(&calm[0]));
}

#[test]
fn filters_and_attributes() {
    let mut world = World::for_tests();
    let ann = identities::add_user(&mut world, "ann@example.com", "Ann \"A\" Lee", false);
    let (_, body) = get(
        &mut world,
        &format!("{BASE}/Users?filter=userName+eq+%22ANN%40example.com%22&attributes=id,userName"),
    );
    assert_eq!(
        body["Resources"],
        json!([{"id": ann.to_string(), "userName": "ann@example.com"}])
    );
    let (_, body) = get(
        &mut world,
        &format!(
            "{BASE}/Users?filter=displayName+eq+%22Ann+%5C%22A%5C%22+Lee%22+and+active+eq+true"
        ),
    );
    assert_eq!(body["totalResults"], json!(1));
    let (_, body) = get(
        &mut world,
        &format!("{BASE}/Users?filter=userName+sw+%22zz%22+or+userName+co+%22nn%40%22"),
    );
    assert_eq!(body["totalResults"], json!(1));
    let (status, body) = get(&mut world, &format!("{BASE}/Users?filter=nonsense"));
    assert_eq!((status, &body["scimType"]), (400, &json!("invalidFilter")));
}

#[test]
fn a_known_user_is_a_scim_conflict() {
    let mut world = World::for_tests();
    let body = json!({"schemas": [], "userName": "new@example.com"});
    let (status, created) = call(&mut world, "POST", &format!("{BASE}/Users"), body.clone());
    assert_eq!(status, 201);
    assert_eq!(created["emails"][0]["value"], "new@example.com");
    let (status, refused) = call(&mut world, "POST", &format!("{BASE}/Users"), body);
    assert_eq!((status, &refused["status"]), (409, &json!("409")));
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|text| text.contains("already exists"))
    );
    assert_eq!(
        get(
            &mut world,
            "/api/2.0/workspace/get-status?path=/Users/new@example.com"
        )
        .0,
        200
    );
}

#[test]
fn nested_groups_show_direct_and_indirect_membership() {
    let mut world = World::for_tests();
    let ann = identities::add_user(&mut world, "ann@example.com", "Ann", false);
    let inner = identities::add_group(&mut world, "inner", &[ann], false);
    let (status, outer) = call(
        &mut world,
        "POST",
        &format!("{BASE}/Groups"),
        json!({"displayName": "outer", "members": [{"value": inner.to_string()}]}),
    );
    assert_eq!(
        (status, &outer["meta"]["resourceType"]),
        (201, &json!("WorkspaceGroup"))
    );
    assert_eq!(outer["members"][0]["$ref"], format!("Groups/{inner}"));
    let (_, user) = get(&mut world, &format!("{BASE}/Users/{ann}"));
    let types: Vec<(&str, &str)> = user["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|g| {
            (
                g["display"].as_str().expect("name"),
                g["type"].as_str().expect("type"),
            )
        })
        .collect();
    assert_eq!(types, [("inner", "direct"), ("outer", "indirect")]);
}

#[test]
fn patch_adds_and_removes_members_and_entitlements() {
    let mut world = World::for_tests();
    let ann = identities::add_user(&mut world, "ann@example.com", "Ann", false);
    let group = identities::add_group(&mut world, "team", &[], false);
    let target = format!("{BASE}/Groups/{group}");
    let (status, body) = patch(
        &mut world,
        &target,
        json!([
            {"op": "add", "value": {"members": [{"value": ann.to_string()}]}},
            {"op": "add", "path": "entitlements", "value": [{"value": "allow-cluster-create"}]},
            {"op": "Add", "path": "entitlements", "value": [{"value": "allow-cluster-create"}]},
            {"op": "replace", "path": "displayName", "value": "crew"},
        ]),
    );
    assert_eq!(status, 200);
    assert_eq!(body["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        body["entitlements"],
        json!([{"value": "allow-cluster-create"}])
    );
    assert_eq!(body["displayName"], "crew");
    let (_, body) = patch(
        &mut world,
        &target,
        json!([
            {"op": "remove", "path": format!("members[value eq \"{ann}\"]")},
            {"op": "remove", "path": "entitlements[value eq \"allow-cluster-create\"]"},
        ]),
    );
    assert!(body.get("members").is_none() && body.get("entitlements").is_none());
    let (status, _) = patch(
        &mut world,
        &target,
        json!([{"op": "add", "path": "members", "value": [{"value": "1"}]}]),
    );
    assert_eq!(status, 400);
}

#[test]
fn system_and_account_groups_keep_what_is_not_theirs_to_change() {
    let mut world = World::for_tests();
    let ann = identities::add_user(&mut world, "ann@example.com", "Ann", false);
    let account = identities::add_group(&mut world, "corp", &[], true);
    let admins = world
        .identities
        .find(Kind::Group, "admins")
        .expect("system")
        .id;
    let add = json!([{"op": "add", "path": "members", "value": [{"value": ann.to_string()}]}]);
    assert_eq!(
        patch(&mut world, &format!("{BASE}/Groups/{account}"), add.clone()).0,
        403
    );
    assert_eq!(
        patch(&mut world, &format!("{BASE}/Groups/{admins}"), add).0,
        200
    );
    let rename = json!([{"op": "replace", "path": "displayName", "value": "x"}]);
    assert_eq!(
        patch(&mut world, &format!("{BASE}/Groups/{admins}"), rename).0,
        400
    );
    assert_eq!(
        call(
            &mut world,
            "DELETE",
            &format!("{BASE}/Groups/{admins}"),
            json!({})
        )
        .0,
        400
    );
}

#[test]
fn put_replaces_but_never_renames_a_user() {
    let mut world = World::for_tests();
    let ann = identities::add_user(&mut world, "ann@example.com", "Ann", false);
    let target = format!("{BASE}/Users/{ann}");
    let (status, body) = call(
        &mut world,
        "PUT",
        &target,
        json!({"userName": "ann@example.com", "displayName": "Ann B", "active": false}),
    );
    assert_eq!(
        (status, &body["displayName"], &body["active"]),
        (200, &json!("Ann B"), &json!(false))
    );
    let (status, body) = call(
        &mut world,
        "PUT",
        &target,
        json!({"userName": "bob@example.com"}),
    );
    assert_eq!((status, &body["scimType"]), (400, &json!("mutability")));
}

#[test]
fn me_is_the_caller_and_others_may_not_write() {
    let mut world = World::for_tests();
    identities::add_service_principal(&mut world, "11111111-2222-3333-4444-555555555555", "robot");
    let robot = world
        .identities
        .caller_named("11111111-2222-3333-4444-555555555555")
        .expect("added");
    let me = call_as(
        &mut world,
        robot.clone(),
        "GET",
        &format!("{BASE}/Me"),
        "",
        "",
    );
    assert_eq!(
        me.value()["userName"],
        "11111111-2222-3333-4444-555555555555"
    );
    let refused = call_as(
        &mut world,
        robot,
        "POST",
        &format!("{BASE}/Users"),
        "",
        "{}",
    );
    assert_eq!(refused.status, 403);
}
