//! DBFS handlers.

use super::*;
use crate::world::testing::{call, get};

fn post(world: &mut World, name: &str, body: Value) -> (u16, Value) {
    call(world, "POST", &format!("/api/2.0/dbfs/{name}"), body)
}

#[test]
fn a_large_file_goes_through_a_handle_in_blocks() {
    let mut world = World::for_tests();
    let (_, made) = post(&mut world, "create", json!({"path": "dbfs:/a/b/f"}));
    let handle = made["handle"].clone();
    let block = STANDARD.encode(vec![7_u8; MAX_BLOCK]);
    for _ in 0..2 {
        assert_eq!(
            post(
                &mut world,
                "add-block",
                json!({"handle": handle, "data": block})
            )
            .0,
            200
        );
    }
    let large = STANDARD.encode(vec![7_u8; MAX_BLOCK + 1]);
    let (_, refused) = post(
        &mut world,
        "add-block",
        json!({"handle": handle, "data": large}),
    );
    assert_eq!(refused["error_code"], "MAX_BLOCK_SIZE_EXCEEDED");
    assert_eq!(
        get(&mut world, "/api/2.0/dbfs/get-status?path=/a/b/f").0,
        404,
        "not before close"
    );
    assert_eq!(post(&mut world, "close", json!({"handle": handle})).0, 200);
    assert_eq!(post(&mut world, "close", json!({"handle": handle})).0, 404);
    let (_, status) = get(&mut world, "/api/2.0/dbfs/get-status?path=/a/b/f");
    assert_eq!(status["file_size"], json!(2 * MAX_BLOCK));
    let (_, end) = get(
        &mut world,
        &format!(
            "/api/2.0/dbfs/read?path=/a/b/f&offset={}&length=100",
            2 * MAX_BLOCK - 1
        ),
    );
    assert_eq!(end, json!({"bytes_read": 1, "data": "Bw=="}));
    let (status, refused) = get(
        &mut world,
        &format!("/api/2.0/dbfs/read?path=/a/b/f&length={}", MAX_BLOCK + 1),
    );
    assert_eq!(
        (status, refused["error_code"].as_str()),
        (400, Some("MAX_READ_SIZE_EXCEEDED"))
    );
    assert_eq!(get(&mut world, "/api/2.0/dbfs/read?path=/a/b").0, 400);
    assert_eq!(
        get(&mut world, "/api/2.0/dbfs/read?path=/a/b/f&offset=-1").0,
        400
    );
}

#[test]
fn an_idle_handle_is_lost() {
    let mut world = World::for_tests();
    let (_, made) = post(&mut world, "create", json!({"path": "/f"}));
    world.clock.advance(std::time::Duration::from_secs(600));
    let block = json!({"handle": made["handle"], "data": "AA=="});
    assert_eq!(post(&mut world, "add-block", block).0, 404);
}

#[test]
fn listings_are_one_level() {
    let mut world = World::for_tests();
    for path in ["/x/a", "/x/d/b", "/x-y"] {
        put(&mut world, path, Bytes::from("1"));
    }
    let paths = |world: &mut World, path: &str| -> Vec<String> {
        let (_, body) = get(world, &format!("/api/2.0/dbfs/list?path={path}"));
        body["files"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|f| f["path"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(paths(&mut world, "/x"), ["/x/a", "/x/d"]);
    assert_eq!(paths(&mut world, "/x/a"), ["/x/a"]);
    assert_eq!(
        paths(&mut world, "dbfs:/"),
        [
            "/databricks-datasets",
            "/databricks-results",
            "/mnt",
            "/x",
            "/x-y"
        ]
    );
    assert_eq!(get(&mut world, "/api/2.0/dbfs/list?path=/none").0, 404);
    world.switches.dbfs_disabled = true;
    assert_eq!(get(&mut world, "/api/2.0/dbfs/list?path=/x").0, 403);
}

#[test]
fn conflicts_and_large_deletes() {
    let mut world = World::for_tests();
    for n in 0..=DELETE_BATCH {
        put(&mut world, &format!("/big/{n}"), Bytes::new());
    }
    assert_eq!(
        post(&mut world, "put", json!({"path": "/big/1", "contents": ""})).1["error_code"],
        "RESOURCE_ALREADY_EXISTS"
    );
    assert_eq!(
        post(
            &mut world,
            "put",
            json!({"path": "/big", "contents": "", "overwrite": true})
        )
        .0,
        400
    );
    assert_eq!(
        post(&mut world, "mkdirs", json!({"path": "/big/1/x"})).0,
        400
    );
    assert_eq!(
        post(
            &mut world,
            "move",
            json!({"source_path": "/big/1", "destination_path": "/big/2"})
        )
        .0,
        400
    );
    assert_eq!(post(&mut world, "delete", json!({"path": "/big"})).0, 400);
    let all = json!({"path": "/big", "recursive": true});
    assert_eq!(
        post(&mut world, "delete", all.clone()).1["error_code"],
        "PARTIAL_DELETE"
    );
    assert_eq!(post(&mut world, "delete", all.clone()).0, 200);
    assert_eq!(post(&mut world, "delete", all).0, 404);
}
