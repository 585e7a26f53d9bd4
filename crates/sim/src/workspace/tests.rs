//! Workspace handlers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::tree::{self, Object};
use crate::world::World;
use crate::world::testing::{call, call_as, get};

const API: &str = "/api/2.0/workspace";

fn import(world: &mut World, path: &str, format: &str, content: &str, more: Value) -> (u16, Value) {
    let mut body = json!({"path": path, "format": format, "content": STANDARD.encode(content)});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    call(world, "POST", &format!("{API}/import"), body)
}

fn exported(world: &mut World, path: &str, format: &str) -> Result<String, Value> {
    let (status, body) = get(world, &format!("{API}/export?path={path}&format={format}"));
    if status != 200 {
        return Err(body);
    }
    let bytes = STANDARD
        .decode(body["content"].as_str().expect("content"))
        .expect("base64");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn status_of(world: &mut World, path: &str) -> (u16, Value) {
    get(world, &format!("{API}/get-status?path={path}"))
}

#[test]
fn lists_are_one_level_and_absent_when_empty() {
    let mut world = World::for_tests();
    let (status, body) = get(&mut world, &format!("{API}/list?path=/Shared"));
    assert_eq!((status, body), (200, json!({})));
    assert_eq!(
        call(
            &mut world,
            "POST",
            &format!("{API}/mkdirs"),
            json!({"path": "/Workspace/Shared/a/b/"})
        )
        .0,
        200
    );
    let (_, body) = get(&mut world, &format!("{API}/list?path=/Workspace/Shared"));
    assert_eq!(body["objects"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        body["objects"][0]["path"], "/Shared/a",
        "the alias is not shown"
    );
    let (status, body) = get(&mut world, &format!("{API}/list?path=/Shared/none"));
    assert_eq!(
        (status, body["message"].as_str()),
        (404, Some("Path (/Shared/none) doesn't exist."))
    );
    assert_eq!(get(&mut world, &format!("{API}/list")).0, 400);
    let (_, root) = status_of(&mut world, "/");
    assert_eq!(
        (&root["object_id"], &root["path"]),
        (&json!(0), &json!("/"))
    );
}

#[test]
fn listing_an_object_shows_itself_and_names_are_exact() {
    let mut world = World::for_tests();
    let admin = world.admin();
    for name in ["N", "n", "a b:c&d%20", "ü\u{301}"] {
        tree::put(
            &mut world,
            &format!("/Shared/{name}"),
            Object::File("x".into()),
            &admin,
        );
    }
    let (_, body) = get(&mut world, &format!("{API}/list?path=/Shared/N"));
    assert_eq!(body["objects"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["objects"][0]["size"], json!(1));
    let (status, body) = status_of(&mut world, "%2FShared%2Fa+b%3Ac%26d%2520");
    assert_eq!(
        (status, body["path"].as_str()),
        (200, Some("/Shared/a b:c&d%20"))
    );
}

#[test]
fn auto_strips_the_extension_of_notebooks_only() {
    let mut world = World::for_tests();
    let source = "# Databricks notebook source\nprint(1)";
    assert_eq!(
        import(&mut world, "/Shared/a.py", "AUTO", source, json!({})).0,
        200
    );
    assert_eq!(
        import(&mut world, "/Shared/b.py", "AUTO", "print(1)", json!({})).0,
        200
    );
    assert_eq!(status_of(&mut world, "/Shared/a").1["language"], "PYTHON");
    assert_eq!(status_of(&mut world, "/Shared/a.py").0, 404);
    assert_eq!(
        status_of(&mut world, "/Shared/b.py").1["object_type"],
        "FILE"
    );
    assert_eq!(
        exported(&mut world, "/Shared/a", "SOURCE").as_deref(),
        Ok(source)
    );
    assert_eq!(
        exported(&mut world, "/Shared/b.py", "AUTO").as_deref(),
        Ok("print(1)")
    );
    let ipynb = exported(&mut world, "/Shared/a", "JUPYTER").expect("ipynb");
    assert_eq!(
        import(&mut world, "/Shared/c.ipynb", "AUTO", &ipynb, json!({})).0,
        200
    );
    assert_eq!(
        exported(&mut world, "/Shared/c", "AUTO").as_deref(),
        Ok(ipynb.as_str())
    );
    assert_eq!(
        exported(&mut world, "/Shared/c", "SOURCE").as_deref(),
        Ok(source)
    );
}

#[test]
fn import_refusals() {
    let mut world = World::for_tests();
    let python = json!({"language": "PYTHON"});
    let (status, body) = import(&mut world, "/Shared/no/x", "SOURCE", "1", python.clone());
    assert_eq!(
        (status, body["message"].as_str()),
        (404, Some("The parent folder (/Shared/no) does not exist."))
    );
    assert_eq!(
        import(&mut world, "/Shared/x", "SOURCE", "1", json!({})).0,
        400
    );
    assert_eq!(
        import(
            &mut world,
            "/Shared/x",
            "SOURCE",
            "1",
            json!({"language": "COBOL"})
        )
        .0,
        400
    );
    assert_eq!(
        import(&mut world, "/Shared/x", "JUPYTER", "no json", json!({})).0,
        400
    );
    assert_eq!(
        import(&mut world, "/Shared/x", "source", "1", python.clone()).0,
        400
    );
    assert_eq!(
        import(&mut world, "/Users/nobody@x", "SOURCE", "1", python.clone()).1["error_code"],
        "DIRECTORY_PROTECTED"
    );
    assert_eq!(
        import(&mut world, "/Shared/x", "SOURCE", "1", python.clone()).0,
        200
    );
    let (status, body) = import(&mut world, "/Shared/x", "SOURCE", "2", python.clone());
    assert_eq!(
        (status, body["error_code"].as_str()),
        (400, Some("RESOURCE_ALREADY_EXISTS"))
    );
    let over = json!({"language": "PYTHON", "overwrite": true});
    assert_eq!(
        import(&mut world, "/Shared/x", "SOURCE", "2", over.clone()).0,
        200
    );
    assert_eq!(
        import(&mut world, "/Shared/f.txt", "AUTO", "1", json!({})).0,
        200
    );
    let (status, body) = import(
        &mut world,
        "/Shared/f.txt",
        "AUTO",
        "2",
        json!({"overwrite": true}),
    );
    assert_eq!(
        (status, body["message"].as_str()),
        (400, Some("Node named 'f.txt' already exists"))
    );
    assert_eq!(
        import(&mut world, "/Shared/f.txt", "SOURCE", "2", over).0,
        400,
        "another type"
    );
    let bad = json!({"path": "/Shared/y", "content": "***", "format": "AUTO"});
    assert_eq!(
        call(&mut world, "POST", &format!("{API}/import"), bad).0,
        400
    );
}

#[test]
fn the_ten_megabyte_limit() {
    let mut world = World::for_tests();
    let admin = world.admin();
    let big = "x".repeat(super::MAX_CONTENT + 1);
    let (status, body) = import(&mut world, "/Shared/big", "AUTO", &big, json!({}));
    assert!(
        status == 400
            && body["message"]
                .as_str()
                .is_some_and(|text| text.contains("the the limit 10485760"))
    );
    tree::put(
        &mut world,
        "/Shared/big",
        Object::File(big.clone().into()),
        &admin,
    );
    let refused = exported(&mut world, "/Shared/big", "AUTO").unwrap_err();
    assert_eq!(refused["error_code"], "BAD_REQUEST");
    assert_eq!(
        get(
            &mut world,
            &format!("{API}/export?path=/Shared/big&direct_download=true")
        )
        .0,
        400
    );
    let raw = call_as(
        &mut world,
        admin.clone(),
        "GET",
        "/api/2.0/workspace-files/Shared%2Fbig",
        "",
        "",
    );
    assert_eq!(raw.bytes().len(), big.len());
    world.switches.direct_download_limited = false;
    assert_eq!(
        get(
            &mut world,
            &format!("{API}/export?path=/Shared/big&direct_download=true")
        )
        .0,
        200
    );
    let outputs = json!({"cells": [{"cell_type": "code", "source": ["1"], "outputs": [big]}], "metadata": {}});
    let notebook = Object::Notebook {
        language: "PYTHON",
        content: outputs.to_string().into(),
        jupyter: true,
    };
    tree::put(&mut world, "/Shared/n", notebook, &admin);
    assert!(exported(&mut world, "/Shared/n", "JUPYTER").is_err());
    assert!(exported(&mut world, "/Shared/n", "SOURCE").is_ok());
}

#[test]
fn a_form_carries_large_files() {
    let mut world = World::for_tests();
    let admin = world.admin();
    let big = vec![0xff_u8; super::MAX_CONTENT + 1];
    let mut form = Vec::new();
    for (name, value) in [
        ("path", "/Shared/big.bin"),
        ("format", "AUTO"),
        ("overwrite", "true"),
    ] {
        form.extend(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    form.extend(b"--B\r\nContent-Disposition: form-data; name=\"content\"; filename=\"x\"\r\n\r\n");
    form.extend(&big);
    form.extend(b"\r\n--B--\r\n");
    let reply = call_as(
        &mut world,
        admin,
        "POST",
        &format!("{API}/import"),
        "multipart/form-data; boundary=B",
        form,
    );
    assert_eq!(reply.status, 200);
    assert_eq!(
        status_of(&mut world, "/Shared/big.bin").1["size"],
        json!(big.len())
    );
}

#[test]
fn a_directory_asked_for_source_is_an_archive() {
    let mut world = World::for_tests();
    let admin = world.admin();
    tree::put(
        &mut world,
        "/Shared/d/f.txt",
        Object::File("x".into()),
        &admin,
    );
    assert!(
        exported(&mut world, "/Shared/d", "SOURCE")
            .is_ok_and(|text| text.starts_with("PK\u{5}\u{6}"))
    );
    assert!(exported(&mut world, "/Shared/d", "AUTO").is_ok_and(|text| text.contains("f.txt")));
    assert!(exported(&mut world, "/Shared/d", "JUPYTER").is_err());
    tree::put(&mut world, "/Shared/lib", Object::Library, &admin);
    assert!(exported(&mut world, "/Shared/lib", "SOURCE").is_err());
    assert!(exported(&mut world, "/Shared/d/f.txt", "JUPYTER").is_err());
}

#[test]
fn deleting_needs_recursive_and_spares_system_folders() {
    let mut world = World::for_tests();
    let admin = world.admin();
    tree::put(&mut world, "/Shared/d/f", Object::File("x".into()), &admin);
    let mut delete = |body: Value| call(&mut world, "POST", &format!("{API}/delete"), body);
    assert_eq!(
        delete(json!({"path": "/Shared/d"})).1["error_code"],
        "DIRECTORY_NOT_EMPTY"
    );
    assert_eq!(
        delete(json!({"path": "/Shared/d", "recursive": true})).0,
        200
    );
    assert_eq!(delete(json!({"path": "/Shared/d"})).0, 404);
    for path in [
        "/",
        "/Users",
        "/Shared",
        "/Repos",
        "/Users/admin@example.com",
    ] {
        let (status, body) = delete(json!({"path": path, "recursive": true}));
        assert_eq!(
            (status, body["error_code"].as_str()),
            (400, Some("DIRECTORY_PROTECTED")),
            "{path}"
        );
    }
    let mkdirs = |world: &mut World, path: &str| {
        call(
            world,
            "POST",
            &format!("{API}/mkdirs"),
            json!({"path": path}),
        )
        .0
    };
    tree::put(&mut world, "/Shared/f", Object::File("x".into()), &admin);
    assert_eq!(mkdirs(&mut world, "/Shared/f/g"), 400);
    assert_eq!(mkdirs(&mut world, "/Users"), 200);
    assert_eq!(mkdirs(&mut world, "/Users/ghost@example.com/x"), 400);
}

#[test]
fn raw_files_conflict_by_what_is_there() {
    let mut world = World::for_tests();
    let admin = world.admin();
    let mut write = |path: &str, query: &str, body: &str| {
        let target = format!("/api/2.0/workspace-files/import-file/{path}{query}");
        let reply = call_as(&mut world, admin.clone(), "POST", &target, "", body);
        (
            reply.status,
            reply.value()["message"].as_str().unwrap_or("").to_owned(),
        )
    };
    assert_eq!(write("Shared%2Fa.txt", "", "1").0, 200);
    assert_eq!(
        write("Shared%2Fa.txt", "", "2"),
        (409, "File already exists at (/Shared/a.txt).".to_owned())
    );
    assert_eq!(write("Shared%2Fa.txt", "?overwrite=true", "2").0, 200);
    assert_eq!(write("Shared%2Fno%2Fa.txt", "", "1").0, 404);
    assert_eq!(
        write("Shared%2Fn.py", "", "# Databricks notebook source\n").0,
        200
    );
    let (status, message) = write("Shared%2Fn", "", "1");
    assert!(status == 400 && message.ends_with("already exists."));
    assert_eq!(
        status_of(&mut world, "/Shared/n").1["object_type"],
        "NOTEBOOK"
    );
}
