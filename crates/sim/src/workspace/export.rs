//! `GET /workspace/export`: formats per object type, the 10 MB limit, JSON or direct download.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::{MAX_CONTENT, archive, normal, notebook, readable};
use crate::http::{ApiError, Reply, Request};
use crate::tree::{Node, Object};
use crate::world::World;

struct Exported {
    content: Bytes,
    file_type: String,
}

pub(super) fn export(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let path = normal(request.need_query("path")?)?;
    let format = request
        .query("format")
        .filter(|f| !f.is_empty())
        .unwrap_or("SOURCE");
    let direct = request.flag("direct_download")?;
    const FORMATS: [&str; 7] = [
        "SOURCE",
        "HTML",
        "JUPYTER",
        "DBC",
        "R_MARKDOWN",
        "AUTO",
        "RAW",
    ];
    if !FORMATS.contains(&format) {
        return Err(ApiError::invalid(format!("Unknown format: {format}")));
    }
    let node = readable(world, &request.caller, &path)?.clone();
    let exported = match &node.object {
        Object::Notebook {
            language,
            content,
            jupyter,
        } => of_notebook(language, content, *jupyter, format, &node.name)?,
        Object::File(content) => of_file(&node, content, format, direct, world)?,
        Object::Directory => of_directory(world, &node, format)?,
        other => {
            return Err(ApiError::bad_request(format!(
                "{} objects cannot be exported: {path}",
                other.object_type()
            )));
        }
    };
    if direct {
        return Ok(Reply::raw("application/octet-stream", exported.content));
    }
    Ok(Reply::json(json!({
        "content": STANDARD.encode(&exported.content),
        "file_type": exported.file_type,
    })))
}

fn of_notebook(
    language: &'static str,
    content: &Bytes,
    jupyter: bool,
    format: &str,
    name: &str,
) -> Result<Exported, ApiError> {
    let source = || notebook::source(language, content, jupyter);
    let (content, file_type) = match format {
        "SOURCE" | "RAW" => (source(), notebook::extension(language)),
        "AUTO" if jupyter => (content.clone(), "ipynb"),
        "AUTO" => (source(), notebook::extension(language)),
        "JUPYTER" => (notebook::ipynb(language, content, jupyter), "ipynb"),
        "HTML" => (notebook::html(language, &source(), name), "html"),
        "DBC" => (archive::zip(&[(name.to_owned(), source())]), "dbc"),
        _ if language == "R" => (notebook::r_markdown(&source()), "Rmd"),
        _ => {
            return Err(ApiError::invalid(
                "R_MARKDOWN is only supported for R notebooks",
            ));
        }
    };
    if content.len() > MAX_CONTENT {
        return Err(ApiError::bad_request(format!(
            "Size exceeds {MAX_CONTENT} bytes"
        )));
    }
    Ok(Exported {
        content,
        file_type: file_type.to_owned(),
    })
}

fn of_file(
    node: &Node,
    content: &Bytes,
    format: &str,
    direct: bool,
    world: &World,
) -> Result<Exported, ApiError> {
    if !matches!(format, "SOURCE" | "AUTO" | "RAW") {
        return Err(ApiError::bad_request(format!(
            "Format {format} is not supported for files"
        )));
    }
    let limited = !direct || world.switches.direct_download_limited;
    if limited && content.len() > MAX_CONTENT {
        return Err(ApiError::bad_request(format!(
            "File size imported is ({} bytes), exceeded max size ({MAX_CONTENT} bytes)",
            content.len()
        )));
    }
    let extension = node
        .name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    Ok(Exported {
        content: content.clone(),
        file_type: extension.to_owned(),
    })
}

/// A directory asked for SOURCE is answered with an archive and no error; so a caller has to know what it asks for.
fn of_directory(world: &World, node: &Node, format: &str) -> Result<Exported, ApiError> {
    let with_files = match format {
        "DBC" | "SOURCE" => false,
        "AUTO" => true,
        _ => {
            return Err(ApiError::bad_request(format!(
                "Format {format} is not supported for directories"
            )));
        }
    };
    let base = world.tree.path(node.id);
    let mut members = Vec::new();
    let mut open = vec![node.id];
    while let Some(id) = open.pop() {
        for child in world.tree.children(id) {
            let path = world.tree.path(child.id);
            let name = path
                .strip_prefix(&base)
                .unwrap_or(&path)
                .trim_start_matches('/')
                .to_owned();
            match &child.object {
                Object::Notebook {
                    language,
                    content,
                    jupyter,
                } => {
                    let name = format!("{name}.{}", notebook::extension(language));
                    members.push((name, notebook::source(language, content, *jupyter)));
                }
                Object::File(content) if with_files => members.push((name, content.clone())),
                other if other.is_folder() => open.push(child.id),
                _ => {}
            }
        }
    }
    members.sort();
    let size: usize = members.iter().map(|(_, content)| content.len()).sum();
    if size > MAX_CONTENT {
        return Err(ApiError::bad_request(format!(
            "Size exceeds {MAX_CONTENT} bytes"
        )));
    }
    Ok(Exported {
        content: archive::zip(&members),
        file_type: "dbc".to_owned(),
    })
}
