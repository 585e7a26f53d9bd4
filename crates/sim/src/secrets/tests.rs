//! Secret handlers.

use super::*;
use crate::identities;
use crate::world::testing::{call, call_as, get as get_call};

fn post(world: &mut World, name: &str, body: Value) -> (u16, Value) {
    call(world, "POST", &format!("/api/2.0/secrets/{name}"), body)
}

#[test]
fn a_scope_begins_with_its_creator_and_takes_secrets() {
    let mut world = World::for_tests();
    assert_eq!(
        post(&mut world, "scopes/create", json!({"scope": "s"})).0,
        200
    );
    let (status, body) = post(&mut world, "scopes/create", json!({"scope": "S"}));
    assert_eq!(
        (status, body["error_code"].as_str()),
        (400, Some("RESOURCE_ALREADY_EXISTS"))
    );
    assert_eq!(
        get_call(&mut world, "/api/2.0/secrets/list?scope=s"),
        (200, json!({}))
    );
    assert_eq!(
        post(
            &mut world,
            "put",
            json!({"scope": "s", "key": "k", "bytes_value": "AAE="})
        )
        .0,
        200
    );
    assert_eq!(
        post(
            &mut world,
            "put",
            json!({"scope": "s", "key": "k", "bytes_value": "?"})
        )
        .0,
        400
    );
    let (_, value) = get_call(&mut world, "/api/2.0/secrets/get?scope=s&key=K");
    assert_eq!(value, json!({"key": "k", "value": "AAE="}));
    assert_eq!(
        get_call(&mut world, "/api/2.0/secrets/get?scope=s&key=x").0,
        404
    );
    assert_eq!(get_call(&mut world, "/api/2.0/secrets/list?scope=x").0, 404);
    let (_, acl) = get_call(&mut world, "/api/2.0/secrets/acls/list?scope=s");
    assert_eq!(
        acl["items"],
        json!([{"principal": "admin@example.com", "permission": "MANAGE"}])
    );
    world.switches.secret_values = false;
    assert_eq!(
        get_call(&mut world, "/api/2.0/secrets/get?scope=s&key=k").1["error_code"],
        "BAD_REQUEST"
    );
}

#[test]
fn vault_scopes_need_an_entra_token_and_are_not_written_here() {
    let mut world = World::for_tests();
    let body = json!({"scope": "kv", "scope_backend_type": "AZURE_KEYVAULT",
        "backend_azure_keyvault": {"resource_id": "/r", "dns_name": "https://kv"}});
    let (status, refused) = post(&mut world, "scopes/create", body.clone());
    assert_eq!(
        (status, refused["error_code"].as_str()),
        (400, Some("INVALID_PARAMETER_VALUE"))
    );
    world.switches.entra_token = true;
    assert_eq!(post(&mut world, "scopes/create", body).0, 200);
    let (_, scopes) = get_call(&mut world, "/api/2.0/secrets/scopes/list");
    assert_eq!(
        scopes["scopes"][0]["keyvault_metadata"]["dns_name"],
        "https://kv"
    );
    assert_eq!(
        post(
            &mut world,
            "put",
            json!({"scope": "kv", "key": "k", "string_value": "v"})
        )
        .0,
        400
    );
}

#[test]
fn access_follows_the_list() {
    let mut world = World::for_tests();
    identities::add_user(&mut world, "ann@example.com", "Ann", false);
    let ann = world
        .identities
        .caller_named("ann@example.com")
        .expect("added");
    post(&mut world, "scopes/create", json!({"scope": "s"}));
    let list = |world: &mut World| {
        call_as(
            world,
            ann.clone(),
            "GET",
            "/api/2.0/secrets/list?scope=s",
            "",
            "",
        )
        .status
    };
    assert_eq!(list(&mut world), 404);
    let acl = |principal: &str, permission: &str| json!({"scope": "s", "principal": principal, "permission": permission});
    assert_eq!(post(&mut world, "acls/put", acl("nobody", "READ")).0, 404);
    assert_eq!(post(&mut world, "acls/put", acl("users", "OWN")).0, 400);
    assert_eq!(post(&mut world, "acls/put", acl("users", "READ")).0, 200);
    assert_eq!(list(&mut world), 200);
    let put = call_as(
        &mut world,
        ann,
        "POST",
        "/api/2.0/secrets/put",
        "",
        r#"{"scope":"s","key":"k","string_value":"v"}"#,
    );
    assert_eq!(put.status, 403);
    assert_eq!(
        post(
            &mut world,
            "acls/delete",
            json!({"scope": "s", "principal": "users"})
        )
        .0,
        200
    );
    assert_eq!(
        post(
            &mut world,
            "acls/delete",
            json!({"scope": "s", "principal": "users"})
        )
        .0,
        404
    );
}
