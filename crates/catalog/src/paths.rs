//! Paths and names inside strings: which storage a path lies on, secret references in texts, free arguments.
//!
//! Owns reading and rewriting of such strings; which fields hold them is in each kind's reference table.

/// Where a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located<'t> {
    /// In the workspace tree; `prefix` is `/Workspace` or empty.
    Workspace {
        /// What stood before the path.
        prefix: &'t str,
        /// Absolute path in the tree.
        path: &'t str,
    },
    /// On DBFS; `prefix` is `dbfs:` or empty.
    Dbfs {
        /// What stood before the path.
        prefix: &'t str,
        /// Absolute path on DBFS.
        path: &'t str,
    },
    /// On storage outside the workspace: volumes, `abfss:`, `s3:`, `file:`, a URL.
    Outside,
    /// Relative (to a git repository) or no path at all.
    Relative,
}

/// Where a path lies; a plain absolute path is one of the workspace.
pub fn locate(text: &str) -> Located<'_> {
    if let Some(dbfs) = text.strip_prefix("dbfs:") {
        return within_dbfs(&text[..5], dbfs);
    }
    if is_below(text, "/Volumes") {
        return Located::Outside;
    }
    if is_below(text, "/Workspace") {
        let (prefix, path) = text.split_at("/Workspace".len());
        return Located::Workspace {
            prefix,
            path: if path.is_empty() { "/" } else { path },
        };
    }
    if text.starts_with('/') {
        return Located::Workspace {
            prefix: "",
            path: text,
        };
    }
    match text.split_once(":/") {
        Some((scheme, _))
            if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !scheme.is_empty() =>
        {
            Located::Outside
        }
        _ => Located::Relative,
    }
}

/// Where a path lies that is one of DBFS even without `dbfs:`.
pub fn locate_dbfs(text: &str) -> Located<'_> {
    match text.strip_prefix("dbfs:") {
        Some(path) => within_dbfs(&text[..5], path),
        None if text.starts_with('/') => within_dbfs("", text),
        None => locate(text),
    }
}

fn within_dbfs<'t>(prefix: &'t str, path: &'t str) -> Located<'t> {
    // `dbfs:/Volumes/...` is a volume in older spelling.
    if is_below(path, "/Volumes") {
        return Located::Outside;
    }
    if path.starts_with('/') {
        Located::Dbfs { prefix, path }
    } else {
        Located::Relative
    }
}

/// True for `folder` itself and everything below it.
pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Splits a free argument into what stands before the path (`-r `, or nothing) and the path, when it is one that
/// begins with `dbfs:/` or `/Workspace/`.
pub fn argument(text: &str) -> Option<(&str, &str)> {
    let start = text
        .strip_prefix("-r")
        .map_or(0, |rest| text.len() - rest.trim_start().len());
    let (before, path) = text.split_at(start);
    (path.starts_with("dbfs:/") || path.starts_with("/Workspace/")).then_some((before, path))
}

/// Scopes named by `{{secrets/<scope>/<key>}}` in a text, in order.
pub fn secret_scopes(text: &str) -> Vec<&str> {
    secret_spans(text)
        .into_iter()
        .map(|(start, end)| &text[start..end])
        .collect()
}

/// The text with each scope replaced by what `f` returns; `None` when nothing changed.
pub fn rewrite_secrets(text: &str, f: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let mut rewritten = String::new();
    let mut done = 0;
    let mut changed = false;
    for (start, end) in secret_spans(text) {
        if let Some(scope) = f(&text[start..end]) {
            rewritten.push_str(&text[done..start]);
            rewritten.push_str(&scope);
            done = end;
            changed = true;
        }
    }
    rewritten.push_str(&text[done..]);
    changed.then_some(rewritten)
}

/// Byte ranges of the scope names in a text.
fn secret_spans(text: &str) -> Vec<(usize, usize)> {
    const OPEN: &str = "{{secrets/";
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(OPEN).map(|at| from + at + OPEN.len()) {
        let Some(close) = text[start..].find("}}").map(|at| start + at) else {
            break;
        };
        if let Some(slash) = text[start..close].find('/')
            && slash > 0
        {
            spans.push((start, start + slash));
        }
        from = close;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_where_it_lies() {
        assert_eq!(
            locate("/Users/a/nb"),
            Located::Workspace {
                prefix: "",
                path: "/Users/a/nb"
            }
        );
        assert_eq!(
            locate("/Workspace/Shared/x.py"),
            Located::Workspace {
                prefix: "/Workspace",
                path: "/Shared/x.py"
            }
        );
        assert_eq!(
            locate("/Workspaces/x"),
            Located::Workspace {
                prefix: "",
                path: "/Workspaces/x"
            }
        );
        assert_eq!(
            locate("dbfs:/jars/a.jar"),
            Located::Dbfs {
                prefix: "dbfs:",
                path: "/jars/a.jar"
            }
        );
        assert_eq!(locate("dbfs:/Volumes/c/s/v/a.jar"), Located::Outside);
        assert_eq!(locate("/Volumes/c/s/v/a.jar"), Located::Outside);
        assert_eq!(
            locate("abfss://c@a.dfs.core.windows.net/x"),
            Located::Outside
        );
        assert_eq!(locate("file:/opt/x.sh"), Located::Outside);
        assert_eq!(locate("src/main"), Located::Relative);
        assert_eq!(locate(""), Located::Relative);
        assert_eq!(
            locate_dbfs("/init/a.sh"),
            Located::Dbfs {
                prefix: "",
                path: "/init/a.sh"
            }
        );
    }

    #[test]
    fn arguments_are_paths_only_when_they_say_so() {
        assert_eq!(argument("dbfs:/a.jar"), Some(("", "dbfs:/a.jar")));
        assert_eq!(
            argument("-r /Workspace/r.txt"),
            Some(("-r ", "/Workspace/r.txt"))
        );
        assert_eq!(argument("requests==2.0"), None);
        assert_eq!(argument("/Users/a"), None);
    }

    #[test]
    fn scopes_are_found_and_rewritten_in_a_text() {
        let text = "a {{secrets/s1/k}} b {{secrets/s2/k/l}} {{secrets/s1/z}} {{secrets//x}} {{secrets/open";
        assert_eq!(secret_scopes(text), ["s1", "s2", "s1"]);
        let mut f = |scope: &str| (scope == "s1").then(|| "new".to_owned());
        let expected = "a {{secrets/new/k}} b {{secrets/s2/k/l}} {{secrets/new/z}} {{secrets//x}} {{secrets/open";
        assert_eq!(rewrite_secrets(text, &mut f).as_deref(), Some(expected));
        assert_eq!(rewrite_secrets(text, &mut |_| None), None);
    }
}
