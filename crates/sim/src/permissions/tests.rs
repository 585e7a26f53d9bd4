//! The permissions API on the tree; the other kinds have their own tests.

use serde_json::{Value, json};

use crate::http::Caller;
use crate::identities;
use crate::tree::{self, Object};
use crate::world::World;
use crate::world::testing::{call, call_as, get};

fn notebook() -> Object {
    Object::Notebook {
        language: "SQL",
        content: "-- Databricks notebook source\n".into(),
        jupyter: false,
    }
}

fn user(world: &mut World, name: &str) -> Caller {
    identities::add_user(world, name, name, false);
    world.identities.caller_named(name).expect("added")
}

fn entry<'a>(body: &'a Value, key: &str, name: &str) -> &'a Value {
    body["access_control_list"]
        .as_array()
        .and_then(|list| list.iter().find(|entry| entry[key] == name))
        .map_or(&Value::Null, |entry| &entry["all_permissions"])
}

#[test]
fn a_notebook_shows_direct_and_inherited_entries() {
    let mut world = World::for_tests();
    let ann = user(&mut world, "ann@example.com");
    let id = tree::put(&mut world, "/Users/ann@example.com/d/n", notebook(), &ann);
    let (status, body) = get(&mut world, &format!("/api/2.0/permissions/notebooks/{id}"));
    assert_eq!(status, 200);
    assert_eq!(
        (&body["object_id"], &body["object_type"]),
        (&json!(format!("/notebooks/{id}")), &json!("notebook"))
    );
    let own = entry(&body, "user_name", "ann@example.com");
    assert_eq!(
        own[0],
        json!({"permission_level": "CAN_MANAGE", "inherited": false})
    );
    assert_eq!(own[1]["inherited"], json!(true));
    assert_eq!(
        entry(&body, "group_name", "admins"),
        &json!([{"permission_level": "CAN_MANAGE", "inherited": true, "inherited_from_object": ["/directories/0"]}])
    );
}

#[test]
fn put_replaces_direct_entries_and_patch_merges() {
    let mut world = World::for_tests();
    user(&mut world, "Ann@example.com");
    user(&mut world, "bob@example.com");
    let admin = world.admin();
    let id = tree::put(&mut world, "/Shared/n", notebook(), &admin);
    let target = format!("/api/2.0/permissions/notebooks/{id}");
    let list = |name: &str, level: &str| json!({"access_control_list": [{"user_name": name, "permission_level": level}]});
    assert_eq!(
        call(
            &mut world,
            "PUT",
            &target,
            list("ann@EXAMPLE.com", "CAN_READ")
        )
        .0,
        200
    );
    let (_, body) = call(
        &mut world,
        "PATCH",
        &target,
        list("bob@example.com", "CAN_RUN"),
    );
    assert_eq!(
        entry(&body, "user_name", "Ann@example.com")[0]["permission_level"],
        "CAN_READ"
    );
    assert_eq!(
        entry(&body, "user_name", "bob@example.com")[0]["permission_level"],
        "CAN_RUN"
    );
    assert_eq!(
        entry(&body, "user_name", "admin@example.com"),
        &Value::Null,
        "PUT took the creator's entry"
    );
    call(
        &mut world,
        "PUT",
        &target,
        json!({"access_control_list": []}),
    );
    assert!(world.acls.direct("notebooks", &id.to_string()).is_empty());
}

fn grant(key: &str, name: &str, level: &str) -> Value {
    json!({"access_control_list": [{key: name, "permission_level": level}]})
}

#[test]
fn writes_that_are_refused() {
    let mut world = World::for_tests();
    let admin = world.admin();
    let id = tree::put(&mut world, "/Shared/n", notebook(), &admin);
    let shared = world.tree.find("/Shared").expect("system").id;
    let target = format!("/api/2.0/permissions/notebooks/{id}");
    let root = "/api/2.0/permissions/directories/0";
    let shared = format!("/api/2.0/permissions/directories/{shared}");
    let lowered = "Cannot change permissions for group 'admins' to CAN_READ.";
    let removed = "Cannot change permissions for group 'admins' to None.";
    let two = json!({"access_control_list": [{"group_name": "users", "user_name": "x", "permission_level": "CAN_READ"}]});
    let cases = [
        (
            &*target,
            grant("user_name", "nobody@x", "CAN_READ"),
            404,
            "UserName(nobody@x)",
        ),
        (
            &*target,
            grant("group_name", "nobody", "CAN_READ"),
            404,
            "GroupName(nobody)",
        ),
        (
            &*target,
            grant("service_principal_name", "x", "CAN_READ"),
            400,
            "ServicePrincipalName(x)",
        ),
        (
            &*target,
            grant("group_name", "users", "IS_OWNER"),
            400,
            "IS_OWNER",
        ),
        (&*target, two, 400, "Exactly one of"),
        (
            &*target,
            grant("group_name", "admins", "CAN_READ"),
            400,
            lowered,
        ),
        (root, json!({}), 400, removed),
        (&*shared, json!({}), 400, "/Shared"),
    ];
    for (target, body, status, text) in cases {
        let (got, refusal) = call(&mut world, "PUT", target, body.clone());
        let message = refusal["message"].as_str().unwrap_or("");
        assert!(
            got == status && message.contains(text),
            "{target} {body}: {got} {message}"
        );
    }
    let unchanged = grant("group_name", "users", "CAN_MANAGE");
    assert_eq!(call(&mut world, "PUT", &shared, unchanged).0, 200);
}

#[test]
fn reads_that_are_refused() {
    let mut world = World::for_tests();
    let admin = world.admin();
    let id = tree::put(&mut world, "/Shared/n", notebook(), &admin);
    let base = "/api/2.0/permissions";
    assert_eq!(get(&mut world, &format!("{base}/nonsense/1")).0, 400);
    assert_eq!(get(&mut world, &format!("{base}/notebooks/1")).0, 404);
    let wrong_kind = format!("{base}/directories/{id}");
    assert_eq!(get(&mut world, &wrong_kind).0, 404);
    world.switches.acls_disabled = true;
    let (_, body) = get(&mut world, &format!("{base}/notebooks/{id}"));
    assert_eq!(body["error_code"], "FEATURE_DISABLED");
}

#[test]
fn entries_end_with_the_principal() {
    let mut world = World::for_tests();
    let ann = user(&mut world, "ann@example.com");
    let admin = world.admin();
    let id = tree::put(&mut world, "/Shared/n", notebook(), &admin);
    crate::secrets::create_scope(&mut world, "s", &ann);
    world
        .acls
        .set("notebooks", &id.to_string(), (&ann).into(), "CAN_RUN");
    let target = format!("/api/2.0/preview/scim/v2/Users/{}", ann.id);
    assert_eq!(call(&mut world, "DELETE", &target, json!({})).0, 204);
    assert_eq!(world.acls.direct("notebooks", &id.to_string()).len(), 1);
    let (_, acl) = get(&mut world, "/api/2.0/secrets/acls/list?scope=s");
    assert_eq!(acl, json!({}));
    let home = "/api/2.0/workspace/get-status?path=/Users/ann@example.com";
    assert_eq!(get(&mut world, home).0, 200, "the home stays");
}

#[test]
fn others_get_404_for_what_they_may_not_read_and_403_for_what_they_may_not_manage() {
    let mut world = World::for_tests();
    let ann = user(&mut world, "ann@example.com");
    let admin = world.admin();
    let hidden = tree::put(&mut world, "/Users/admin@example.com/n", notebook(), &admin);
    let shown = tree::put(&mut world, "/Users/admin@example.com/m", notebook(), &admin);
    world
        .acls
        .set("notebooks", &shown.to_string(), (&ann).into(), "CAN_READ");
    let status =
        |world: &mut World, target: &str| call_as(world, ann.clone(), "GET", target, "", "").status;
    assert_eq!(
        status(
            &mut world,
            &format!("/api/2.0/permissions/notebooks/{hidden}")
        ),
        404
    );
    assert_eq!(
        status(
            &mut world,
            &format!("/api/2.0/permissions/notebooks/{shown}")
        ),
        403
    );
    assert_eq!(
        status(
            &mut world,
            "/api/2.0/workspace/get-status?path=/Users/admin@example.com/n"
        ),
        404
    );
    assert_eq!(
        status(
            &mut world,
            "/api/2.0/workspace/get-status?path=/Users/admin@example.com/m"
        ),
        200
    );
    assert_eq!(
        status(
            &mut world,
            "/api/2.0/workspace/list?path=/Users/ann@example.com"
        ),
        200
    );
}
