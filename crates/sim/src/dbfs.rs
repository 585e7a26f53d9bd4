//! DBFS (fact sheet, section 9.1): files in blocks of at most 1 MB, upload handles, deletes that stop half-way.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::http::{ApiError, Reply, Request, is_true, need_i64, need_str, opt_str};
use crate::route::Route;
use crate::tree::digest;
use crate::workspace::form;
use crate::world::World;

/// Largest block of a read, an added block or an inline put.
const MAX_BLOCK: usize = 1_048_576;

/// Bytes that a read without `length` gives.
const DEFAULT_READ: i64 = 524_288;

/// An upload without a block for this long is forgotten.
const HANDLE_IDLE_MS: i64 = 10 * 60 * 1000;

/// Objects that one delete removes before it gives up with `PARTIAL_DELETE`.
const DELETE_BATCH: usize = 1000;

/// Folders that every workspace shows and nobody backs up.
const SYSTEM: [&str; 3] = ["/databricks-datasets", "/databricks-results", "/mnt"];

#[derive(Clone, Debug)]
struct Entry {
    /// None for a directory.
    content: Option<Bytes>,
    modified_ms: i64,
}

#[derive(Debug)]
struct Upload {
    path: String,
    content: Vec<u8>,
    used_ms: i64,
}

/// All files and directories by path, and the open uploads.
#[derive(Debug)]
pub struct Dbfs {
    entries: BTreeMap<String, Entry>,
    uploads: BTreeMap<i64, Upload>,
}

impl Default for Dbfs {
    fn default() -> Self {
        let mut dbfs = Self {
            entries: BTreeMap::new(),
            uploads: BTreeMap::new(),
        };
        for path in SYSTEM {
            dbfs.make_directories(path, crate::clock::EPOCH_MS);
        }
        let readme = Bytes::from_static(b"Databricks Hosted Datasets\n");
        dbfs.write(
            "/databricks-datasets/README.md",
            readme,
            crate::clock::EPOCH_MS,
        );
        dbfs
    }
}

impl Dbfs {
    fn make_directories(&mut self, path: &str, modified_ms: i64) {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
        for end in ends.chain([path.len()]) {
            if end > 1 {
                self.entries.entry(path[..end].to_owned()).or_insert(Entry {
                    content: None,
                    modified_ms,
                });
            }
        }
    }

    fn write(&mut self, path: &str, content: Bytes, modified_ms: i64) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_directories(parent, modified_ms);
        }
        let content = Some(content);
        self.entries.insert(
            path.to_owned(),
            Entry {
                content,
                modified_ms,
            },
        );
    }

    fn is_directory(&self, path: &str) -> bool {
        path == "/"
            || self
                .entries
                .get(path)
                .is_some_and(|entry| entry.content.is_none())
    }

    fn exists(&self, path: &str) -> bool {
        path == "/" || self.entries.contains_key(path)
    }

    /// Everything below a directory, in the order of the paths.
    fn below<'d>(&'d self, path: &str) -> impl Iterator<Item = (&'d String, &'d Entry)> {
        let prefix = if path == "/" {
            "/".to_owned()
        } else {
            format!("{path}/")
        };
        self.entries
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }
}

/// Writes a file with missing directories, as fills do.
pub fn put(world: &mut World, path: &str, content: Bytes) {
    let now = world.clock.now_ms();
    world.dbfs.write(path, content, now);
}

/// Files by path (digests) and directories, without the system folders.
#[must_use]
pub fn dump(world: &World) -> Value {
    let all: BTreeMap<&String, Value> = world
        .dbfs
        .entries
        .iter()
        .filter(|(path, _)| !SYSTEM.iter().any(|system| path.starts_with(system)))
        .map(|(path, entry)| {
            let shown = entry.content.as_ref().map(|content| digest(content));
            (path, json!(shown.unwrap_or_else(|| "directory".to_owned())))
        })
        .collect();
    json!(all)
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/dbfs/list", list),
        Route::get("/api/2.0/dbfs/get-status", get_status),
        Route::get("/api/2.0/dbfs/read", read),
        Route::post("/api/2.0/dbfs/create", create),
        Route::post("/api/2.0/dbfs/add-block", add_block),
        Route::post("/api/2.0/dbfs/close", close),
        Route::post("/api/2.0/dbfs/put", put_call),
        Route::post("/api/2.0/dbfs/mkdirs", mkdirs),
        Route::post("/api/2.0/dbfs/delete", delete),
        Route::post("/api/2.0/dbfs/move", rename),
    ]
}

/// The path without `dbfs:` and without a slash at the end.
fn normal(world: &World, path: &str) -> Result<String, ApiError> {
    if world.switches.dbfs_disabled {
        return Err(ApiError::denied(
            "Public DBFS root is disabled. Access is denied on path: /",
        ));
    }
    let path = path.strip_prefix("dbfs:").unwrap_or(path);
    if !path.starts_with('/') {
        return Err(ApiError::invalid(format!("Path must be absolute: {path}")));
    }
    let path = path.trim_end_matches('/');
    Ok(if path.is_empty() { "/" } else { path }.to_owned())
}

fn missing(path: &str) -> ApiError {
    ApiError::not_found(format!("No file or directory exists on path {path}."))
}

fn taken(path: &str) -> ApiError {
    ApiError::exists(format!(
        "A file or directory already exists at the input path {path}."
    ))
}

fn info(path: &str, entry: &Entry) -> Value {
    json!({
        "path": path,
        "is_dir": entry.content.is_none(),
        "file_size": entry.content.as_ref().map_or(0, Bytes::len),
        "modification_time": if entry.content.is_none() { 0 } else { entry.modified_ms },
    })
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(world, request.need_query("path")?)?;
    if !world.dbfs.exists(&path) {
        return Err(missing(&path));
    }
    if let Some(entry) = world
        .dbfs
        .entries
        .get(&path)
        .filter(|entry| entry.content.is_some())
    {
        return Ok(Reply::list("files", vec![info(&path, entry)]));
    }
    let depth = if path == "/" {
        1
    } else {
        path.matches('/').count() + 1
    };
    let files = world
        .dbfs
        .below(&path)
        .filter(|(below, _)| below.matches('/').count() == depth)
        .map(|(path, entry)| info(path, entry))
        .collect();
    Ok(Reply::list("files", files))
}

fn get_status(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(world, request.need_query("path")?)?;
    if path == "/" {
        return Ok(Reply::json(
            json!({"path": "/", "is_dir": true, "file_size": 0, "modification_time": 0}),
        ));
    }
    let entry = world
        .dbfs
        .entries
        .get(&path)
        .ok_or_else(|| missing(&path))?;
    Ok(Reply::json(info(&path, entry)))
}

fn read(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(world, request.need_query("path")?)?;
    let offset = request.number("offset")?.unwrap_or(0);
    let length = request.number("length")?.unwrap_or(DEFAULT_READ);
    let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
        return Err(ApiError::invalid("offset and length must not be negative"));
    };
    if length > MAX_BLOCK {
        return Err(ApiError::new(
            400,
            "MAX_READ_SIZE_EXCEEDED",
            format!("Read size {length} exceeds the limit of {MAX_BLOCK} bytes"),
        ));
    }
    if world.dbfs.is_directory(&path) {
        return Err(ApiError::invalid(format!("{path} is a directory")));
    }
    let entry = world
        .dbfs
        .entries
        .get(&path)
        .ok_or_else(|| missing(&path))?;
    let content = entry.content.as_ref().map_or(&[][..], |content| content);
    let start = offset.min(content.len());
    let end = offset.saturating_add(length).min(content.len());
    let data = &content[start..end];
    Ok(Reply::json(
        json!({"bytes_read": data.len(), "data": STANDARD.encode(data)}),
    ))
}

/// Refuses a path for a new file that is taken.
fn check_free(world: &World, path: &str, overwrite: bool) -> Result<(), ApiError> {
    if world.dbfs.is_directory(path) || (!overwrite && world.dbfs.exists(path)) {
        return Err(taken(path));
    }
    Ok(())
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let path = normal(world, need_str(&body, "path")?)?;
    check_free(world, &path, is_true(&body, "overwrite"))?;
    let handle = world.ids.number();
    let used_ms = world.clock.now_ms();
    let content = Vec::new();
    world.dbfs.uploads.insert(
        handle,
        Upload {
            path,
            content,
            used_ms,
        },
    );
    Ok(Reply::json(json!({"handle": handle})))
}

/// An open upload; one that was idle for too long is gone.
fn upload(world: &mut World, handle: i64) -> Result<&mut Upload, ApiError> {
    let now = world.clock.now_ms();
    world
        .dbfs
        .uploads
        .retain(|_, upload| now - upload.used_ms < HANDLE_IDLE_MS);
    let upload = world.dbfs.uploads.get_mut(&handle);
    let upload = upload
        .ok_or_else(|| ApiError::not_found(format!("No stream exists for handle {handle}.")))?;
    upload.used_ms = now;
    Ok(upload)
}

fn add_block(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let data = block(need_str(&body, "data")?)?;
    upload(world, need_i64(&body, "handle")?)?
        .content
        .extend_from_slice(&data);
    Ok(Reply::empty_object())
}

/// Decoded base64 of at most 1 MB.
fn block(text: &str) -> Result<Bytes, ApiError> {
    let data = form::decode(text)?;
    if data.len() > MAX_BLOCK {
        return Err(ApiError::new(
            400,
            "MAX_BLOCK_SIZE_EXCEEDED",
            format!(
                "Block size {} exceeds the limit of {MAX_BLOCK} bytes",
                data.len()
            ),
        ));
    }
    Ok(data)
}

fn close(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let handle = need_i64(&request.json()?, "handle")?;
    upload(world, handle)?;
    if let Some(upload) = world.dbfs.uploads.remove(&handle) {
        put(world, &upload.path, Bytes::from(upload.content));
    }
    Ok(Reply::empty_object())
}

fn put_call(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (path, overwrite, content) = if request.content_type.starts_with("multipart/form-data") {
        let mut parts = form::parse(&request.content_type, &request.body)?;
        let content = parts.remove("contents").unwrap_or_default();
        let text = |name: &str| {
            String::from_utf8_lossy(parts.get(name).map_or(&[][..], |part| part)).into_owned()
        };
        (text("path"), text("overwrite") == "true", content)
    } else {
        let body = request.json()?;
        let content = block(opt_str(&body, "contents").unwrap_or(""))?;
        (
            need_str(&body, "path")?.to_owned(),
            is_true(&body, "overwrite"),
            content,
        )
    };
    let path = normal(world, &path)?;
    check_free(world, &path, overwrite)?;
    put(world, &path, content);
    Ok(Reply::empty_object())
}

fn mkdirs(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(world, need_str(&request.json()?, "path")?)?;
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    for end in ends.chain([path.len()]) {
        let above = &path[..end];
        if world.dbfs.exists(above) && !world.dbfs.is_directory(above) {
            return Err(taken(above));
        }
    }
    let now = world.clock.now_ms();
    world.dbfs.make_directories(&path, now);
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let path = normal(world, need_str(&body, "path")?)?;
    if !world.dbfs.exists(&path) {
        return Err(missing(&path));
    }
    let below: Vec<String> = world
        .dbfs
        .below(&path)
        .map(|(path, _)| path.clone())
        .collect();
    if !below.is_empty() && !is_true(&body, "recursive") {
        return Err(ApiError::new(
            400,
            "IO_ERROR",
            format!("{path} is a non-empty directory"),
        ));
    }
    for gone in below.iter().rev().take(DELETE_BATCH) {
        world.dbfs.entries.remove(gone);
    }
    if below.len() > DELETE_BATCH {
        return Err(ApiError::new(
            503,
            "PARTIAL_DELETE",
            format!(
                "The requested operation has deleted {DELETE_BATCH} files. There are more files remaining. You must make another request to delete more."
            ),
        ));
    }
    world.dbfs.entries.remove(&path);
    Ok(Reply::empty_object())
}

fn rename(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let from = normal(world, need_str(&body, "source_path")?)?;
    let to = normal(world, need_str(&body, "destination_path")?)?;
    if !world.dbfs.exists(&from) {
        return Err(missing(&from));
    }
    if world.dbfs.exists(&to) {
        return Err(taken(&to));
    }
    let mut moved: Vec<String> = world
        .dbfs
        .below(&from)
        .map(|(path, _)| path.clone())
        .collect();
    moved.push(from.clone());
    for path in moved {
        if let Some(entry) = world.dbfs.entries.remove(&path) {
            world
                .dbfs
                .entries
                .insert(format!("{to}{}", &path[from.len()..]), entry);
        }
    }
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests;
