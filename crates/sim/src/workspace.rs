//! The workspace API: list, get-status, export, import, mkdirs, delete, workspace files (fact sheet, section 4).

mod archive;
mod export;
mod files;
pub(crate) mod form;
mod import;
pub mod notebook;

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Caller, Reply, Request, is_true, need_str};
use crate::permissions::may_tree;
use crate::route::Route;
use crate::tree::{self, Node, Object, ROOT};
use crate::world::World;

/// Largest content of an export, and of an import as JSON: 10 MB.
pub const MAX_CONTENT: usize = 10_485_760;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/workspace/list", list),
        Route::get("/api/2.0/workspace/get-status", get_status),
        Route::get("/api/2.0/workspace/export", export::export),
        Route::post("/api/2.0/workspace/import", import::import),
        Route::post("/api/2.0/workspace/mkdirs", mkdirs),
        Route::post("/api/2.0/workspace/delete", delete),
        Route::post("/api/2.0/workspace-files/import-file/{*path}", files::write),
        Route::get("/api/2.0/workspace-files/{*path}", files::read),
    ]
}

/// The path as the tree knows it: absolute, without the alias `/Workspace` and without a slash at the end.
pub(crate) fn normal(path: &str) -> Result<String, ApiError> {
    if !path.starts_with('/') {
        return Err(ApiError::invalid(format!("Path ({path}) must be absolute")));
    }
    let path = path.trim_end_matches('/');
    let path = match path.strip_prefix("/Workspace") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    Ok(if path.is_empty() { "/" } else { path }.to_owned())
}

fn missing(path: &str) -> ApiError {
    ApiError::not_found(format!("Path ({path}) doesn't exist."))
}

/// The object at a path, if the caller may read it: what may not be read does not exist.
fn readable<'w>(world: &'w mut World, caller: &Caller, path: &str) -> Result<&'w Node, ApiError> {
    tree::settle_homes(world, path);
    let world: &'w World = world;
    world
        .tree
        .find(path)
        .filter(|node| may_tree(world, caller, node.id, "CAN_READ"))
        .ok_or_else(|| missing(path))
}

/// Refuses when the caller holds less than `level` on an object that it can see.
fn need(world: &World, caller: &Caller, id: i64, level: &str) -> Result<(), ApiError> {
    if may_tree(world, caller, id, level) {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "{} does not have {level} permissions on {}.",
        caller.name, id
    )))
}

/// The folder for a new object, which must exist, be a folder and be writable for the caller.
fn parent_of(world: &mut World, caller: &Caller, path: &str) -> Result<i64, ApiError> {
    tree::settle_homes(world, path);
    let Some((parent, _)) = tree::split(path) else {
        return Err(ApiError::invalid("The root folder cannot be written."));
    };
    let no_parent = || ApiError::not_found(format!("The parent folder ({parent}) does not exist."));
    let folder = world
        .tree
        .find(parent)
        .filter(|node| may_tree(world, caller, node.id, "CAN_READ"))
        .ok_or_else(no_parent)?;
    if !folder.object.is_folder() {
        return Err(ApiError::exists(format!("{parent} is not a folder")));
    }
    if parent == "/Users" {
        return Err(protected("Users"));
    }
    let id = folder.id;
    need(world, caller, id, "CAN_EDIT")?;
    Ok(id)
}

fn protected(name: &str) -> ApiError {
    ApiError::new(
        400,
        "DIRECTORY_PROTECTED",
        format!("Folder {name} is protected"),
    )
}

/// `ObjectInfo` of a node at this path.
pub(crate) fn info(node: &Node, path: &str) -> Value {
    let mut map = Map::new();
    map.insert("object_type".to_owned(), json!(node.object.object_type()));
    map.insert("path".to_owned(), json!(path));
    if let Object::Notebook { language, .. } = &node.object {
        map.insert("language".to_owned(), json!(language));
    }
    if !node.object.is_folder() {
        map.insert("created_at".to_owned(), json!(node.created_ms));
        map.insert("modified_at".to_owned(), json!(node.modified_ms));
    }
    if let Object::File(content) = &node.object {
        map.insert("size".to_owned(), json!(content.len()));
    }
    map.insert("object_id".to_owned(), json!(node.id));
    if node.id != ROOT {
        map.insert("resource_id".to_owned(), json!(node.id.to_string()));
    }
    Value::Object(map)
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(request.need_query("path")?)?;
    let after = request.number("notebooks_modified_after")?;
    let node = readable(world, &request.caller, &path)?;
    if !node.object.is_folder() {
        return Ok(Reply::list("objects", vec![info(node, &path)]));
    }
    let id = node.id;
    let base = if path == "/" { "" } else { &path };
    let wanted = |node: &Node| {
        let old = after.is_some_and(|after| node.modified_ms <= after);
        !(old && matches!(node.object, Object::Notebook { .. }))
    };
    let objects = world
        .tree
        .children(id)
        .filter(|child| wanted(child))
        .filter(|child| {
            request.caller.admin || may_tree(world, &request.caller, child.id, "CAN_READ")
        })
        .map(|child| info(child, &format!("{base}/{}", child.name)))
        .collect();
    Ok(Reply::list("objects", objects))
}

fn get_status(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(request.need_query("path")?)?;
    let with_git = request.flag("return_git_info")?;
    let node = readable(world, &request.caller, &path)?;
    let mut body = info(node, &path);
    let id = node.id;
    if with_git && let Some(git) = crate::repos::git_info(world, id) {
        body["git_info"] = git;
    }
    Ok(Reply::json(body))
}

fn mkdirs(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let path = normal(need_str(&body, "path")?)?;
    tree::settle_homes(world, &path);
    let mut deepest = "/";
    for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        match world.tree.find(&path[..at]) {
            Some(node) if node.object.is_folder() => deepest = &path[..at],
            Some(_) => {
                return Err(ApiError::exists(format!(
                    "Path ({}) already exists and is not a directory",
                    &path[..at]
                )));
            }
            None => break,
        }
    }
    if deepest == path {
        return Ok(Reply::empty_object());
    }
    if deepest == "/Users" {
        return Err(protected("Users"));
    }
    let folder = world.tree.find(deepest).map_or(ROOT, |node| node.id);
    need(world, &request.caller, folder, "CAN_EDIT")?;
    tree::put(world, &path, Object::Directory, &request.caller);
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let path = normal(need_str(&body, "path")?)?;
    let node = readable(world, &request.caller, &path)?;
    let id = node.id;
    let home_of = path
        .strip_prefix("/Users/")
        .filter(|name| !name.contains('/'));
    let is_home = home_of.is_some_and(|name| world.identities.caller_named(name).is_some());
    if is_home || matches!(path.as_str(), "/" | "/Users" | "/Shared" | "/Repos") {
        return Err(protected(path.rsplit('/').next().unwrap_or("/")));
    }
    need(world, &request.caller, id, "CAN_MANAGE")?;
    if !world.tree.is_empty(id) && !is_true(&body, "recursive") {
        return Err(ApiError::new(
            400,
            "DIRECTORY_NOT_EMPTY",
            format!("Folder ({path}) is not empty"),
        ));
    }
    crate::repos::removed_below(world, id);
    tree::remove(world, &path);
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests;
