//! `POST /workspace/import`: JSON or form, what becomes a notebook and what a file, and what is refused.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{MAX_CONTENT, form, normal, notebook, parent_of};
use crate::http::{ApiError, Reply, Request, is_true, need_str, opt_str};
use crate::permissions::may_tree;
use crate::tree::{self, Object};
use crate::world::World;

/// Largest workspace file through a form: 500 MB.
pub(super) const MAX_FILE: usize = 500 * 1024 * 1024;

/// The fields of an import, from either form.
struct Import {
    path: String,
    format: String,
    language: Option<&'static str>,
    overwrite: bool,
    content: Bytes,
    form: bool,
}

pub(super) fn import(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let mut import = if request.content_type.starts_with("multipart/form-data") {
        from_form(request)?
    } else {
        from_json(request)?
    };
    if import.format == "SOURCE" && world.switches.rewrite_sources {
        import.content = notebook::rewritten(&import.content);
    }
    let (path, object) = interpret(&import)?;
    check_size(&import, &object)?;
    parent_of(world, &request.caller, &path)?;
    check_existing(world, request, &import, &path, &object)?;
    tree::put(world, &path, object, &request.caller);
    Ok(Reply::empty_object())
}

fn from_json(request: &Request) -> Result<Import, ApiError> {
    let body = request.json()?;
    let text = opt_str(&body, "content").unwrap_or("");
    let content = form::decode(text)?;
    if content.len() > MAX_CONTENT {
        // The doubled article is the service's.
        return Err(ApiError::new(
            400,
            "MAX_NOTEBOOK_SIZE_EXCEEDED",
            format!(
                "content size ({}) exceeded the the limit {MAX_CONTENT}",
                content.len()
            ),
        ));
    }
    fields(&body, content, false)
}

fn from_form(request: &Request) -> Result<Import, ApiError> {
    let mut parts = form::parse(&request.content_type, &request.body)?;
    let content = parts.remove("content").unwrap_or_default();
    let body: Map<String, Value> = parts
        .into_iter()
        .map(|(name, text)| {
            (
                name,
                Value::String(String::from_utf8_lossy(&text).into_owned()),
            )
        })
        .collect();
    fields(&body, content, true)
}

fn fields(body: &Map<String, Value>, content: Bytes, form: bool) -> Result<Import, ApiError> {
    let language = match opt_str(body, "language").filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => Some(
            notebook::language(name)
                .ok_or_else(|| ApiError::invalid(format!("Unknown language: {name}")))?,
        ),
    };
    Ok(Import {
        path: normal(need_str(body, "path")?)?,
        format: opt_str(body, "format")
            .filter(|f| !f.is_empty())
            .unwrap_or("SOURCE")
            .to_owned(),
        language,
        overwrite: is_true(body, "overwrite"),
        content,
        form,
    })
}

/// What the content becomes, and where.
fn interpret(import: &Import) -> Result<(String, Object), ApiError> {
    let content = import.content.clone();
    let path = import.path.clone();
    match import.format.as_str() {
        "SOURCE" => {
            let language = import.language.ok_or_else(|| {
                ApiError::invalid("The language is required for a SOURCE notebook; archives are not accepted here.")
            })?;
            let content = notebook::with_header(language, content);
            Ok((
                path,
                Object::Notebook {
                    language,
                    content,
                    jupyter: false,
                },
            ))
        }
        "JUPYTER" => {
            let found = notebook::ipynb_language(&content)
                .ok_or_else(|| ApiError::invalid("The content is not a valid Jupyter notebook."))?;
            let language = import.language.unwrap_or(found);
            Ok((
                path,
                Object::Notebook {
                    language,
                    content,
                    jupyter: true,
                },
            ))
        }
        "HTML" => {
            let (language, content) = notebook::from_html(&content).ok_or_else(|| {
                ApiError::invalid("The content is not an HTML export of a notebook.")
            })?;
            Ok((
                path,
                Object::Notebook {
                    language,
                    content,
                    jupyter: false,
                },
            ))
        }
        "R_MARKDOWN" => {
            let content = notebook::with_header("R", content);
            Ok((
                path,
                Object::Notebook {
                    language: "R",
                    content,
                    jupyter: false,
                },
            ))
        }
        "AUTO" => Ok(detect(&path, content)),
        "RAW" => Ok((path, Object::File(content))),
        "DBC" => Err(ApiError::invalid("The content is not a valid archive.")),
        other => Err(ApiError::invalid(format!("Unknown format: {other}"))),
    }
}

/// Extension and header decide: a notebook loses its extension, everything else is a file.
pub(super) fn detect(path: &str, content: Bytes) -> (String, Object) {
    let (stem, extension) = path.rsplit_once('.').unwrap_or((path, ""));
    if extension == "ipynb"
        && let Some(language) = notebook::ipynb_language(&content)
    {
        return (
            stem.to_owned(),
            Object::Notebook {
                language,
                content,
                jupyter: true,
            },
        );
    }
    match notebook::language_of_extension(extension) {
        Some(language) if notebook::has_header(language, &content) => (
            stem.to_owned(),
            Object::Notebook {
                language,
                content,
                jupyter: false,
            },
        ),
        _ => (path.to_owned(), Object::File(content)),
    }
}

fn check_size(import: &Import, object: &Object) -> Result<(), ApiError> {
    let limit = if import.form && matches!(object, Object::File(_)) {
        MAX_FILE
    } else {
        MAX_CONTENT
    };
    if import.content.len() <= limit {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "File size imported is ({} bytes), exceeded max size ({limit} bytes)",
        import.content.len()
    )))
}

/// Refuses what stands in the way.
fn check_existing(
    world: &World,
    request: &Request,
    import: &Import,
    path: &str,
    object: &Object,
) -> Result<(), ApiError> {
    let Some(existing) = world.tree.find(path) else {
        return Ok(());
    };
    if !import.overwrite {
        return Err(ApiError::exists(format!("Path ({path}) already exists.")));
    }
    let same_type = existing.object.object_type() == object.object_type();
    let auto_on_file = import.format == "AUTO" && matches!(existing.object, Object::File(_));
    if !same_type || auto_on_file {
        return Err(ApiError::exists(format!(
            "Node named '{}' already exists",
            existing.name
        )));
    }
    if !may_tree(world, &request.caller, existing.id, "CAN_EDIT") {
        return Err(ApiError::denied(format!(
            "No permission to overwrite {path}."
        )));
    }
    Ok(())
}
