//! Which notebooks a notebook includes by `%run`: cells are read, nothing is executed.

use lifeboat_catalog::tree;
use serde_json::Value;

/// The operands of all `%run` lines, as written.
pub(super) fn of(content: &[u8], format: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    if format == "JUPYTER" {
        let notebook: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let cells = notebook.get("cells").and_then(Value::as_array);
        return cells
            .into_iter()
            .flatten()
            .filter_map(|cell| cell.get("source"))
            .flat_map(|source| match source {
                Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
                Value::String(text) => vec![text.as_str()],
                _ => Vec::new(),
            })
            .flat_map(str::lines)
            .filter_map(operand)
            .collect();
    }
    text.lines()
        .filter_map(|line| {
            let line = line.trim_start();
            ["#", "//", "--"].iter().find_map(|comment| {
                line.strip_prefix(comment)?
                    .trim_start()
                    .strip_prefix("MAGIC")
            })
        })
        .filter_map(operand)
        .collect()
}

/// The operand of a line that is `%run OPERAND ...`; it may be quoted.
fn operand(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("%run")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let path = match rest.chars().next()? {
        quote @ ('"' | '\'' | '`') => rest[1..].split(quote).next()?,
        _ => rest.split_whitespace().next()?,
    };
    (!path.is_empty()).then(|| path.to_owned())
}

/// The path that an operand means in the notebook at `from`; `None` when it leads out of the workspace.
pub(super) fn resolve(from: &str, operand: &str) -> Option<String> {
    let operand = tree::without_alias(operand);
    let mut parts: Vec<&str> = Vec::new();
    if !operand.starts_with('/') {
        parts.extend(from.split('/').filter(|part| !part.is_empty()));
        parts.pop();
    }
    for part in operand.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_lines_are_found_in_every_language_and_format() {
        let source =
            b"# Databricks notebook source\n# MAGIC %run ./a $x=\"1\"\n\n# COMMAND ----------\n\n\
            # MAGIC   %run \"../b c/d\"\nprint('%run no')\n# %run no\n# MAGIC %runs no\n";
        assert_eq!(of(source, "SOURCE"), ["./a", "../b c/d"]);
        assert_eq!(
            of(b"-- MAGIC %run /Shared/x\n// MAGIC %run y", "SOURCE"),
            ["/Shared/x", "y"]
        );
        let jupyter = br#"{"cells":[{"source":["%run ./a\n","x"]},{"source":"%run 'b'"},{"source":"print(1)"}]}"#;
        assert_eq!(of(jupyter, "JUPYTER"), ["./a", "b"]);
        assert_eq!(resolve("/Users/a/n", "./x").as_deref(), Some("/Users/a/x"));
        assert_eq!(
            resolve("/Users/a/n", "../b/x").as_deref(),
            Some("/Users/b/x")
        );
        assert_eq!(resolve("/n", "/Workspace/S/x").as_deref(), Some("/S/x"));
        assert_eq!(resolve("/n", "../x"), None);
    }
}
