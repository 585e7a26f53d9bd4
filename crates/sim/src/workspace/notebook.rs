//! Notebook contents: headers, cells, and the conversions between source, ipynb and HTML (fact sheet, section 4.7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

const SEPARATOR: &str = "COMMAND ----------";

/// A language by the name that the API uses; none for any other text.
#[must_use]
pub fn language(name: &str) -> Option<&'static str> {
    ["PYTHON", "SCALA", "SQL", "R"]
        .into_iter()
        .find(|known| *known == name)
}

/// File extension without the dot, as `file_type` shows it.
#[must_use]
pub fn extension(language: &str) -> &'static str {
    match language {
        "SCALA" => "scala",
        "SQL" => "sql",
        "R" => "r",
        _ => "py",
    }
}

fn comment(language: &str) -> &'static str {
    match language {
        "SCALA" => "//",
        "SQL" => "--",
        _ => "#",
    }
}

/// First line of a notebook's source.
#[must_use]
pub fn header(language: &str) -> String {
    format!("{} Databricks notebook source", comment(language))
}

/// Whether the first line of a text is the header of that language, to the letter.
#[must_use]
pub fn has_header(language: &str, content: &[u8]) -> bool {
    let line = content
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or(content);
    line.strip_suffix(b"\r").unwrap_or(line) == header(language).as_bytes()
}

/// Language of a source file by its extension (with or without the header).
#[must_use]
pub fn language_of_extension(extension: &str) -> Option<&'static str> {
    match extension {
        "py" => Some("PYTHON"),
        "scala" => Some("SCALA"),
        "sql" => Some("SQL"),
        "r" | "R" => Some("R"),
        _ => None,
    }
}

/// What an import as SOURCE stores: the header is put before a text that lacks it.
pub(super) fn with_header(language: &str, content: Bytes) -> Bytes {
    if has_header(language, &content) {
        return content;
    }
    let mut text = header(language).into_bytes();
    text.push(b'\n');
    text.extend_from_slice(&content);
    Bytes::from(text)
}

/// A source without a byte order mark, with LF as line ends.
pub(super) fn rewritten(content: &Bytes) -> Bytes {
    match std::str::from_utf8(content) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            Bytes::from(text.replace("\r\n", "\n"))
        }
        Err(_) => content.clone(),
    }
}

/// The source text of a notebook; outputs are lost.
#[must_use]
pub fn source(language: &str, content: &Bytes, jupyter: bool) -> Bytes {
    if !jupyter {
        return content.clone();
    }
    let parsed: Value = serde_json::from_slice(content).unwrap_or_default();
    let mark = comment(language);
    let cells: Vec<String> = parsed["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cell| {
            let text = joined(&cell["source"]);
            if cell["cell_type"] != "markdown" {
                return text;
            }
            format!("%md\n{text}")
                .lines()
                .map(|line| format!("{mark} MAGIC {line}"))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    let cells = cells.join(&format!("\n\n{mark} {SEPARATOR}\n\n"));
    Bytes::from(format!("{}\n{cells}", header(language)))
}

/// `source` of a cell: one text or a list of lines.
fn joined(source: &Value) -> String {
    match source {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// The notebook as ipynb JSON.
pub(super) fn ipynb(language: &str, content: &Bytes, jupyter: bool) -> Bytes {
    if jupyter {
        return content.clone();
    }
    let text = String::from_utf8_lossy(content);
    let mark = comment(language);
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let cells: Vec<Value> = body
        .split(&format!("\n\n{mark} {SEPARATOR}\n\n"))
        .map(|cell| cell_of(cell, &format!("{mark} MAGIC ")))
        .collect();
    let name = language.to_lowercase();
    Bytes::from(
        json!({
            "cells": cells,
            "metadata": {
                "application/vnd.databricks.v1+notebook": {"language": name},
                "language_info": {"name": name},
            },
            "nbformat": 4,
            "nbformat_minor": 0,
        })
        .to_string(),
    )
}

fn cell_of(cell: &str, magic: &str) -> Value {
    let markdown: Option<Vec<&str>> = cell.lines().map(|line| line.strip_prefix(magic)).collect();
    match markdown.as_deref() {
        Some(["%md", text @ ..]) => json!({
            "cell_type": "markdown", "metadata": {}, "source": [text.join("\n")],
        }),
        _ => json!({
            "cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": [cell],
        }),
    }
}

/// Language of an ipynb, or none when the bytes are no notebook.
pub(super) fn ipynb_language(content: &[u8]) -> Option<&'static str> {
    let parsed: Value = serde_json::from_slice(content).ok()?;
    parsed.get("cells")?.as_array()?;
    let metadata = parsed.get("metadata")?;
    let name = metadata["application/vnd.databricks.v1+notebook"]["language"]
        .as_str()
        .or_else(|| metadata["language_info"]["name"].as_str())
        .or_else(|| metadata["kernelspec"]["language"].as_str())
        .unwrap_or("python");
    language(&name.to_uppercase())
}

const HTML_MARK: &str = "__DATABRICKS_NOTEBOOK_MODEL = '";

/// A page that carries the source in a script, as the service's own does.
pub(super) fn html(language: &str, source: &Bytes, name: &str) -> Bytes {
    let model =
        json!({"language": language.to_lowercase(), "source": String::from_utf8_lossy(source)});
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    Bytes::from(format!(
        "<!DOCTYPE html>\n<html><head><title>{name} - Databricks</title></head><body><script>{HTML_MARK}{}'</script></body></html>\n",
        STANDARD.encode(model.to_string())
    ))
}

/// Language and source of such a page; none for any other HTML.
pub(super) fn from_html(content: &[u8]) -> Option<(&'static str, Bytes)> {
    let text = std::str::from_utf8(content).ok()?;
    let model = text.split_once(HTML_MARK)?.1.split_once('\'')?.0;
    let model: Value = serde_json::from_slice(&STANDARD.decode(model).ok()?).ok()?;
    let language = language(&model["language"].as_str()?.to_uppercase())?;
    Some((language, Bytes::from(model["source"].as_str()?.to_owned())))
}

/// An R notebook as R Markdown: code cells in fences.
pub(super) fn r_markdown(source: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(source);
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    Bytes::from(format!("```{{r}}\n{body}\n```\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_survives_ipynb_and_html() {
        let text = "# Databricks notebook source\nprint(1)\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC Title";
        let source_bytes = Bytes::from(text);
        let notebook = ipynb("PYTHON", &source_bytes, false);
        assert_eq!(ipynb_language(&notebook), Some("PYTHON"));
        assert_eq!(source("PYTHON", &notebook, true), source_bytes);
        let page = html("PYTHON", &source_bytes, "a<b");
        assert_eq!(from_html(&page), Some(("PYTHON", source_bytes)));
        assert_eq!(from_html(b"<html></html>"), None);
    }

    #[test]
    fn headers_are_exact() {
        assert!(has_header(
            "SQL",
            b"-- Databricks notebook source\r\nselect 1"
        ));
        assert!(has_header("R", b"# Databricks notebook source"));
        assert!(!has_header("PYTHON", b"# Databricks notebook source "));
        assert!(!has_header("SCALA", b"# Databricks notebook source\n"));
        assert_eq!(
            with_header("SQL", Bytes::from("x")),
            "-- Databricks notebook source\nx"
        );
    }
}
