//! What a user means by a name: a workspace path, a DBFS path, a kind, an object of a kind, or a member of the archive.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use lifeboat_archive::Archive;

use crate::entries::{ACLS, DBFS, WORKSPACE};
use crate::error::Error;

/// A name, understood.
#[derive(Debug)]
pub(crate) enum Selector {
    /// `/Users/a/nb`, also with `*`, `?`, `[..]`, `{..}` and `**`.
    Workspace(PathPattern),
    /// `dbfs:/databricks/init/x.sh`, with the same patterns.
    Dbfs(PathPattern),
    /// `jobs`.
    Kind(String),
    /// `jobs/123` or `jobs/Nightly load`.
    Object {
        /// The kind.
        kind: String,
        /// Id or name.
        id: String,
    },
    /// `acls/jobs`.
    Acls(String),
    /// `acls/jobs/123`: the access control list of one object.
    Acl {
        /// Kind of the object.
        kind: String,
        /// Id or name of the object.
        id: String,
    },
    /// `data/jobs/123.json`, `summary.json`.
    Member(String),
}

impl Selector {
    /// Understands `text` when its beginning alone says what it is, so that nothing has to be read for it.
    pub(crate) fn of_path(text: &str) -> Result<Option<Self>, Error> {
        Ok(if text.starts_with('/') {
            Some(Self::Workspace(PathPattern::new(text)?))
        } else if text.starts_with("dbfs:") {
            Some(Self::Dbfs(PathPattern::new(text)?))
        } else if text.starts_with("data/") {
            Some(Self::Member(text.trim_end_matches('/').to_owned()))
        } else {
            None
        })
    }

    /// Understands `text`, given the kinds that the archive holds.
    pub(crate) fn parse(text: &str, kinds: &BTreeSet<String>) -> Result<Self, Error> {
        if let Some(path) = Self::of_path(text)? {
            return Ok(path);
        }
        let text = text.trim_end_matches('/');
        match text.split_once('/') {
            None if text == WORKSPACE => Ok(Self::Workspace(PathPattern::new("/**")?)),
            None if text == DBFS => Ok(Self::Dbfs(PathPattern::new("dbfs:/**")?)),
            None if kinds.contains(text) => Ok(Self::Kind(text.to_owned())),
            Some((ACLS, rest)) => Ok(match rest.split_once('/') {
                Some((kind, id)) => Self::Acl {
                    kind: kind.to_owned(),
                    id: id.to_owned(),
                },
                None => Self::Acls(rest.to_owned()),
            }),
            Some((kind, id)) if kinds.contains(kind) => Ok(Self::Object {
                kind: kind.to_owned(),
                id: id.to_owned(),
            }),
            _ => Ok(Self::Member(text.to_owned())),
        }
    }
}

/// The kinds that the archive holds or speaks of, by folder and by summary.
pub(crate) fn known_kinds(archive: &Archive) -> Result<BTreeSet<String>, Error> {
    let mut kinds: BTreeSet<String> = archive.summary()?.kinds.into_keys().collect();
    kinds.extend(
        lifeboat_catalog::kinds()
            .iter()
            .map(|kind| kind.name.to_owned()),
    );
    Ok(kinds)
}

/// A path, or a pattern of paths in which `*` stays within one folder and `**` does not.
#[derive(Debug)]
pub(crate) struct PathPattern {
    literal: String,
    glob: Option<GlobMatcher>,
}

impl PathPattern {
    fn new(text: &str) -> Result<Self, Error> {
        let literal = match text.trim_end_matches('/') {
            "" => "/",
            "dbfs:" => "dbfs:/",
            trimmed => trimmed,
        };
        let glob = if literal.contains(['*', '?', '[', '{']) {
            let glob = GlobBuilder::new(literal).literal_separator(true).build();
            Some(
                glob.map_err(|source| Error::Pattern {
                    pattern: text.to_owned(),
                    source,
                })?
                .compile_matcher(),
            )
        } else {
            None
        };
        Ok(Self {
            literal: literal.to_owned(),
            glob,
        })
    }

    /// The text without a trailing slash.
    pub(crate) fn text(&self) -> &str {
        &self.literal
    }

    /// There is nothing in it that could be a wildcard.
    pub(crate) fn is_literal(&self) -> bool {
        self.glob.is_none()
    }

    /// The path itself is meant. A path that holds a wildcard as an ordinary character means itself, too.
    pub(crate) fn is_match(&self, path: &str) -> bool {
        path == self.literal || self.glob.as_ref().is_some_and(|glob| glob.is_match(path))
    }

    /// The path is meant, or lies below a folder that is meant.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let mut rest = path;
        loop {
            if self.is_match(rest) {
                return true;
            }
            match rest.rsplit_once('/') {
                Some(("", _)) => return self.is_match("/"),
                Some(("dbfs:", _)) => return self.is_match("dbfs:/"),
                Some((parent, _)) => rest = parent,
                None => return false,
            }
        }
    }

    /// The path is a direct child of the folder that is meant literally.
    pub(crate) fn is_child(&self, path: &str) -> bool {
        self.below(path)
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    }

    /// The direct child of the folder that is meant literally, in which a deeper path is.
    pub(crate) fn child_above<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = self.below(path)?;
        let end = below.find('/')?;
        Some(&path[..path.len() - below.len() + end])
    }

    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.literal.as_str() {
            root @ ("/" | "dbfs:/") => path.strip_prefix(root),
            folder => path.strip_prefix(folder)?.strip_prefix('/'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Selector {
        let kinds = ["jobs", "users"].into_iter().map(str::to_owned).collect();
        Selector::parse(text, &kinds).unwrap()
    }

    #[test]
    fn names_are_understood() {
        assert!(matches!(parse("/Users/a"), Selector::Workspace(_)));
        assert!(matches!(parse("dbfs:/x"), Selector::Dbfs(_)));
        assert!(matches!(parse("jobs"), Selector::Kind(kind) if kind == "jobs"));
        assert!(matches!(parse("jobs/"), Selector::Kind(kind) if kind == "jobs"));
        assert!(
            matches!(parse("jobs/a/b"), Selector::Object { kind, id } if kind == "jobs" && id == "a/b")
        );
        assert!(matches!(parse("acls/jobs"), Selector::Acls(kind) if kind == "jobs"));
        assert!(
            matches!(parse("acls/jobs/1"), Selector::Acl { kind, id } if kind == "jobs" && id == "1")
        );
        assert!(matches!(parse("data/jobs/1.json"), Selector::Member(_)));
        assert!(matches!(parse("summary.json"), Selector::Member(_)));
    }

    #[test]
    fn patterns_stay_within_a_folder_unless_told_otherwise() {
        let pattern = PathPattern::new("/Users/*/etl").unwrap();
        assert!(pattern.is_match("/Users/a/etl"));
        assert!(!pattern.is_match("/Users/a/b/etl"));
        assert!(pattern.covers("/Users/a/etl/deep/nb"));
        assert!(!pattern.covers("/Users/a/other"));
        assert!(
            PathPattern::new("/Users/**")
                .unwrap()
                .is_match("/Users/a/b/etl")
        );
        assert!(PathPattern::new("/a[1]").unwrap().is_match("/a[1]"));
        assert!(PathPattern::new("/").unwrap().covers("/any/thing"));
        assert!(
            PathPattern::new("dbfs:/")
                .unwrap()
                .covers("dbfs:/any/thing")
        );
        assert!(PathPattern::new("/x[").is_err());
    }

    #[test]
    fn children_are_direct() {
        let pattern = PathPattern::new("/Users/a/").unwrap();
        assert!(pattern.is_child("/Users/a/nb"));
        assert!(!pattern.is_child("/Users/a/b/nb"));
        assert!(!pattern.is_child("/Users/ab"));
        assert!(!pattern.is_child("/Users/a"));
        assert!(PathPattern::new("/").unwrap().is_child("/Users"));
        assert!(!PathPattern::new("/").unwrap().is_child("/"));
        assert!(PathPattern::new("dbfs:/").unwrap().is_child("dbfs:/x"));
        assert_eq!(pattern.child_above("/Users/a/b/c/nb"), Some("/Users/a/b"));
        assert_eq!(pattern.child_above("/Users/a/nb"), None);
    }
}
