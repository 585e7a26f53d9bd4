//! Workspace files, raw: `POST /workspace-files/import-file/{path}`, `GET /workspace-files/{path}` (both undocumented).

use serde_json::json;

use super::import::{MAX_FILE, detect};
use super::{normal, parent_of, readable};
use crate::http::{ApiError, Reply, Request};
use crate::permissions::may_tree;
use crate::tree::{self, Object};
use crate::world::World;

fn path_of(request: &Request) -> Result<String, ApiError> {
    normal(&format!(
        "/{}",
        request.param("path").trim_start_matches('/')
    ))
}

pub(super) fn write(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let named = path_of(request)?;
    let overwrite = request.flag("overwrite")?;
    if request.body.len() > MAX_FILE {
        return Err(ApiError::bad_request(format!(
            "File size imported is ({} bytes), exceeded max size ({MAX_FILE} bytes)",
            request.body.len()
        )));
    }
    let (path, object) = detect(&named, request.body.clone());
    parent_of(world, &request.caller, &path)?;
    if let Some(existing) = world.tree.find(&path) {
        let replaces = overwrite && existing.object.object_type() == object.object_type();
        if !replaces && matches!(existing.object, Object::File(_)) {
            return Err(ApiError::new(
                409,
                "ALREADY_EXISTS",
                format!("File already exists at ({path})."),
            ));
        }
        if !replaces {
            return Err(ApiError {
                status: 400,
                body: json!({"error_code": "", "message": format!("{path} already exists.")}),
            });
        }
        if !may_tree(world, &request.caller, existing.id, "CAN_EDIT") {
            return Err(ApiError::denied(format!(
                "No permission to overwrite {path}."
            )));
        }
    }
    tree::put(world, &path, object, &request.caller);
    Ok(Reply::empty_object())
}

pub(super) fn read(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = path_of(request)?;
    match &readable(world, &request.caller, &path)?.object {
        Object::File(content) => Ok(Reply::raw("application/octet-stream", content.clone())),
        other => Err(ApiError::bad_request(format!(
            "{path} is a {} and not a file",
            other.object_type()
        ))),
    }
}
