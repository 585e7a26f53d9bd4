//! The workspace tree and DBFS: types, formats, rules of exclusion (fact sheet, sections 4 and 9).
//!
//! Owns what is known about objects that are not plain JSON; walking the tree is the export's.

use serde_json::Value;

use crate::kind::Kind;
use crate::kinds;
use crate::paths::{self, Located, is_below};

/// The largest content that export and import by JSON carry, in bytes (fact sheet, section 4.5).
pub const JSON_LIMIT: u64 = 10_485_760;
/// Longest piece that one DBFS read or block carries, in bytes (fact sheet, section 9.1).
pub const DBFS_BLOCK: u64 = 1_048_576;
/// DBFS folders that are captured without being asked for: legacy init scripts.
pub const DBFS_ALWAYS: &[&str] = &["/databricks/init"];

/// The languages of notebooks with the extension and the line comment of their source.
const LANGUAGES: [(&str, &str, &str); 4] = [
    ("PYTHON", ".py", "#"),
    ("SCALA", ".scala", "//"),
    ("SQL", ".sql", "--"),
    ("R", ".r", "#"),
];

/// The kind of a workspace object by its `object_type`; types that this version does not capture are
/// `workspace-objects`.
pub fn kind_of(object_type: &str) -> &'static Kind {
    match object_type {
        "NOTEBOOK" => &kinds::notebooks::KIND,
        "DIRECTORY" => &kinds::directories::KIND,
        "FILE" => &kinds::files::KIND,
        "REPO" => &kinds::git_folders::KIND,
        _ => &kinds::workspace_objects::KIND,
    }
}

/// True for object types whose content export reads.
pub fn has_content(object_type: &str) -> bool {
    matches!(object_type, "NOTEBOOK" | "FILE")
}

/// True for object types that hold others and are listed in turn; a git folder is listed only when its files are wanted.
pub fn is_folder(object_type: &str) -> bool {
    matches!(object_type, "DIRECTORY" | "REPO")
}

/// Extension of a notebook's member name: by language for SOURCE, `.ipynb` for JUPYTER, empty when unknown.
pub fn notebook_extension(language: Option<&str>, format: &str) -> &'static str {
    if format == "JUPYTER" {
        return ".ipynb";
    }
    LANGUAGES
        .iter()
        .find(|(name, ..)| Some(*name) == language)
        .map_or("", |(_, extension, _)| extension)
}

/// First line of the SOURCE of a notebook, without line end.
pub fn source_header(language: &str) -> Option<String> {
    LANGUAGES
        .iter()
        .find(|(name, ..)| *name == language)
        .map(|(_, _, comment)| format!("{comment} Databricks notebook source"))
}

/// The source of a notebook behind its first line, if that is the header of its language. The service puts the header
/// before a source that lacks it.
pub fn without_source_header<'s>(language: &str, source: &'s [u8]) -> Option<&'s [u8]> {
    let header = source_header(language)?;
    let end = source.iter().position(|byte| *byte == b'\n');
    let (first, rest) = end.map_or((source, &[][..]), |end| {
        (&source[..end], &source[end + 1..])
    });
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    (first == header.as_bytes()).then_some(rest)
}

/// The source of a notebook without what a service may add, drop or write in its own way: byte order mark, header line,
/// and the kind of its line ends. Before a mark the header is put like before any other text, so both may come twice.
pub fn normal_source(language: &str, source: &[u8]) -> Vec<u8> {
    let mut rest = source;
    for _ in 0..2 {
        rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        rest = without_source_header(language, rest).unwrap_or(rest);
    }
    let mut normal = Vec::with_capacity(rest.len());
    for (at, byte) in rest.iter().enumerate() {
        if *byte != b'\r' || rest.get(at + 1) != Some(&b'\n') {
            normal.push(*byte);
        }
    }
    normal
}

/// True when a content begins with the header of a notebook in any language: imported with format AUTO it would become
/// a notebook and lose its extension, so a file with it needs RAW.
pub fn has_notebook_header(content: &[u8]) -> bool {
    let first = content
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    ["#", "//", "--"]
        .iter()
        .any(|comment| first == format!("{comment} Databricks notebook source").as_bytes())
}

/// The format to try when a notebook is too large in the other.
pub fn other_format(format: &str) -> &'static str {
    if format == "SOURCE" {
        "JUPYTER"
    } else {
        "SOURCE"
    }
}

/// A path without the alias prefix `/Workspace`.
pub fn without_alias(path: &str) -> &str {
    match path.strip_prefix("/Workspace") {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The named rule by which a path (and all below it) is left out of every archive.
pub fn excluded(path: &str) -> Option<&'static str> {
    let mut parts = path.strip_prefix("/Users/")?.split('/').skip(1);
    (parts.next() == Some("Trash")).then_some("trash")
}

/// Directories that exist in every workspace and are merged, never created: the root, `/Users`, `/Shared`, `/Repos` and
/// every home.
pub fn is_builtin_directory(path: &str) -> bool {
    matches!(path, "/" | "/Users" | "/Shared" | "/Repos")
        || path
            .strip_prefix("/Users/")
            .is_some_and(|home| !home.is_empty() && !home.contains('/'))
}

/// Directories that a folder of another name must not become: the built-in ones, and those directly below `/Repos`.
pub fn is_protected(path: &str) -> bool {
    let below_repos = path
        .strip_prefix("/Repos/")
        .is_some_and(|name| !name.contains('/'));
    is_builtin_directory(path) || below_repos
}

/// A folder that somebody names for what is restored, without alias and final slash.
///
/// # Errors
/// Why nothing can be restored there, with what would do.
pub fn named_folder(path: &str) -> Result<&str, &'static str> {
    let bare = path.trim_end_matches('/');
    let folder = without_alias(bare);
    let root = path.starts_with('/') && (bare.is_empty() || folder == "/");
    let names = folder.strip_prefix('/').unwrap_or_default();
    let is_name = |name: &str| !name.is_empty() && !matches!(name, "." | "..");
    if !root && (!names.split('/').all(is_name) || paths::locate(path) == Located::Outside) {
        return Err(
            "no absolute path of a folder of the workspace tree: write one such as /Restored",
        );
    }
    if root || is_protected(folder) {
        return Err(
            "stands in every workspace, or comes with its user: name a folder below it, or one of its own such as /Restored",
        );
    }
    if is_below(folder, "/Repos") {
        return Err(
            "only git folders stand below /Repos: name a folder outside, such as /Restored",
        );
    }
    if excluded(folder).is_some() {
        return Err(
            "lies in a trash, which the service empties: name a folder outside, such as /Restored",
        );
    }
    Ok(folder)
}

/// Directories whose access control the service does not let anybody change.
pub fn has_fixed_acl(path: &str) -> bool {
    matches!(path, "/" | "/Users" | "/Shared" | "/Repos")
}

/// The user name (or application id) under whose home a path lies, the home itself included.
pub fn home_owner(path: &str) -> Option<&str> {
    path.strip_prefix("/Users/")?
        .split('/')
        .next()
        .filter(|name| !name.is_empty())
}

/// The rule by which a DBFS path is never read: mounts, volumes and folders of the service.
pub fn dbfs_never_read(path: &str) -> Option<&'static str> {
    const NEVER: [&str; 5] = [
        "/mnt",
        "/Volumes",
        "/databricks-datasets",
        "/databricks-results",
        "/databricks/mlflow",
    ];
    let folder = NEVER.into_iter().find(|folder| is_below(path, folder));
    // `/databricks/mlflow-tracking`, `/databricks/mlflow-registry` and their like.
    folder.or_else(|| {
        path.starts_with("/databricks/mlflow-")
            .then_some("/databricks/mlflow")
    })
}

/// Facts of a listed object that decide whether it changed.
const DECIDING: [&str; 4] = ["object_type", "modified_at", "size", "language"];

/// True when an object changed between two listings: type, `modified_at`, size or language differ.
pub fn changed(before: &Value, after: &Value) -> bool {
    DECIDING
        .iter()
        .any(|field| before.get(field) != after.get(field))
}

/// The facts that [`changed`] compares as one text: equal texts, equal facts.
pub fn deciding(facts: &Value) -> String {
    DECIDING
        .map(|field| facts.get(field).map_or_else(String::new, Value::to_string))
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_have_kinds() {
        let names = [
            "NOTEBOOK",
            "DIRECTORY",
            "FILE",
            "REPO",
            "LIBRARY",
            "MLFLOW_EXPERIMENT",
            "NEW",
        ]
        .map(|t| kind_of(t).name);
        let other = "workspace-objects";
        assert_eq!(
            names,
            [
                "notebooks",
                "directories",
                "files",
                "git-folders",
                other,
                other,
                other
            ]
        );
    }

    #[test]
    fn extensions_follow_language_and_format() {
        assert_eq!(notebook_extension(Some("R"), "SOURCE"), ".r");
        assert_eq!(notebook_extension(Some("SQL"), "JUPYTER"), ".ipynb");
        assert_eq!(notebook_extension(Some("RUST"), "SOURCE"), "");
        assert_eq!(notebook_extension(None, "SOURCE"), "");
        assert_eq!(
            source_header("SQL").as_deref(),
            Some("-- Databricks notebook source")
        );
    }

    #[test]
    fn only_an_exact_first_line_makes_a_notebook() {
        assert!(has_notebook_header(b"// Databricks notebook source\r\nx"));
        assert!(has_notebook_header(b"# Databricks notebook source"));
        let rest = |source: &'static str| without_source_header("SQL", source.as_bytes());
        assert_eq!(
            rest("-- Databricks notebook source\r\nselect 1"),
            Some(&b"select 1"[..])
        );
        assert_eq!(rest("-- Databricks notebook source"), Some(&b""[..]));
        assert_eq!(rest("# Databricks notebook source\nx"), None);
        assert_eq!(rest(""), None);
        assert!(!has_notebook_header(b"# Databricks notebook source \nx"));
        assert!(!has_notebook_header(b"\n# Databricks notebook source\n"));
        assert!(!has_notebook_header(b""));
    }

    #[test]
    fn marks_headers_and_line_ends_make_no_other_source() {
        let normal = |source: &str| normal_source("PYTHON", source.as_bytes());
        let source = b"a = 1\n\nb = 2\n";
        for same in [
            "a = 1\n\nb = 2\n",
            "# Databricks notebook source\na = 1\n\nb = 2\n",
            "# Databricks notebook source\r\na = 1\r\n\r\nb = 2\r\n",
            "\u{feff}a = 1\r\n\nb = 2\n",
            "\u{feff}# Databricks notebook source\na = 1\n\nb = 2\n",
            "# Databricks notebook source\n\u{feff}# Databricks notebook source\na = 1\n\nb = 2\n",
        ] {
            assert_eq!(normal(same), source, "{same:?}");
        }
        for another in [
            "a = 1\r\rb = 2\n",
            "a = 1\nb = 2\n",
            "// Databricks notebook source\na = 1\n\nb = 2\n",
        ] {
            assert_ne!(normal(another), source, "{another:?}");
        }
    }

    #[test]
    fn rules_of_exclusion_are_exact() {
        assert_eq!(excluded("/Users/a@b.c/Trash"), Some("trash"));
        assert_eq!(excluded("/Users/a@b.c/Trash/x/y"), Some("trash"));
        assert_eq!(excluded("/Users/a@b.c/Trashed"), None);
        assert_eq!(excluded("/Users/a@b.c/x/Trash"), None);
        assert_eq!(excluded("/Shared/Trash"), None);
        assert_eq!(dbfs_never_read("/mnt/raw/x"), Some("/mnt"));
        assert_eq!(dbfs_never_read("/mnts"), None);
        assert_eq!(
            dbfs_never_read("/databricks/mlflow-tracking/1"),
            Some("/databricks/mlflow")
        );
        assert_eq!(dbfs_never_read("/databricks/init/a.sh"), None);
    }

    #[test]
    fn homes_and_builtins_are_known() {
        assert_eq!(home_owner("/Users/a@b.c/x"), Some("a@b.c"));
        assert_eq!(home_owner("/Users"), None);
        assert!(
            is_builtin_directory("/Users/a@b.c")
                && is_builtin_directory("/")
                && !is_builtin_directory("/Users/a/b")
        );
        assert_eq!(without_alias("/Workspace/Users/a"), "/Users/a");
        assert_eq!(without_alias("/Workspace"), "/");
        assert_eq!(without_alias("/Workspaces"), "/Workspaces");
    }

    #[test]
    fn a_folder_for_what_is_restored_is_absolute_and_nobody_elses() {
        for (path, folder) in [
            ("/Restored", "/Restored"),
            ("/Restored/a b/", "/Restored/a b"),
            ("/Workspace/Restored", "/Restored"),
            ("/Shared/x", "/Shared/x"),
            ("/Users/a@b.c/x", "/Users/a@b.c/x"),
        ] {
            assert_eq!(named_folder(path), Ok(folder));
        }
        for (path, why) in [
            ("", "absolute"),
            ("foo", "absolute"),
            ("foo/bar", "absolute"),
            ("/a//b", "absolute"),
            ("/a/../b", "absolute"),
            ("/a/.", "absolute"),
            ("/Volumes/a/b", "absolute"),
            ("dbfs:/a", "absolute"),
            ("https://a/b", "absolute"),
            ("/", "every workspace"),
            ("/Workspace", "every workspace"),
            ("/Users/", "every workspace"),
            ("/Shared", "every workspace"),
            ("/Repos", "every workspace"),
            ("/Repos/x", "every workspace"),
            ("/Users/a@b.c", "every workspace"),
            ("/Repos/x/y", "git folders"),
            ("/Users/a@b.c/Trash", "trash"),
            ("/Workspace/Users/a@b.c/Trash/x", "trash"),
        ] {
            assert!(named_folder(path).unwrap_err().contains(why), "{path}");
        }
    }

    #[test]
    fn a_change_is_seen_in_time_or_size() {
        let before = json!({"object_type": "FILE", "modified_at": 1, "size": 2, "created_at": 1});
        assert!(!changed(
            &before,
            &json!({"object_type": "FILE", "modified_at": 1, "size": 2, "created_at": 9})
        ));
        assert!(changed(
            &before,
            &json!({"object_type": "FILE", "modified_at": 1, "size": 3})
        ));
        assert_eq!(deciding(&before), r#""FILE",1,2,"#);
        assert_ne!(
            deciding(&json!({"size": null})),
            deciding(&json!({})),
            "null is not nothing"
        );
    }
}
