//! Which workspace paths and kinds belong to the run.
//!
//! Compiles [`crate::Selection`]; decides paths only, the walk decides what to do with them. `*` stays within one
//! folder, `**` does not. Specified in `spec/export.md`, "Selection".

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

use crate::options::Selection;

/// Why a selection cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// A glob cannot be parsed.
    #[error("{pattern:?} is not a glob")]
    Glob {
        /// The glob as given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
    /// A glob or path does not begin at the root.
    #[error("{pattern:?} does not begin with a slash")]
    Relative {
        /// The glob or path as given.
        pattern: String,
    },
    /// A kind that this version does not know.
    #[error("no kind is named {name:?}; the kinds are {}", .known.join(", "))]
    UnknownKind {
        /// The name as given.
        name: String,
        /// All names.
        known: Vec<String>,
    },
    /// A user name that cannot be the name of a home.
    #[error("{name:?} cannot be a user name")]
    User {
        /// The name as given.
        name: String,
    },
}

/// A compiled selection.
#[derive(Debug)]
pub(crate) struct Selected {
    include: Option<Globs>,
    exclude: Option<Globs>,
    homes: Option<Vec<String>>,
    kinds: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Globs {
    set: GlobSet,
    patterns: Vec<String>,
    /// The part of each pattern before its first special character, cut back to a whole component.
    stems: Vec<String>,
}

impl Selected {
    /// Compiles `selection`; `known` are the names of all kinds.
    pub(crate) fn compile(selection: &Selection, known: &[&str]) -> Result<Self, SelectionError> {
        let kinds = match &selection.kinds {
            None => None,
            Some(names) => {
                for name in names {
                    if !known.contains(&name.as_str()) {
                        let known = known.iter().map(ToString::to_string).collect();
                        return Err(SelectionError::UnknownKind {
                            name: name.clone(),
                            known,
                        });
                    }
                }
                Some(names.iter().cloned().collect())
            }
        };
        let homes = match &selection.users {
            None => None,
            Some(users) => {
                if let Some(name) = users
                    .iter()
                    .find(|name| name.is_empty() || name.contains('/'))
                {
                    return Err(SelectionError::User { name: name.clone() });
                }
                Some(users.iter().map(|user| format!("/Users/{user}")).collect())
            }
        };
        Ok(Self {
            include: Globs::compile(&selection.include)?,
            exclude: Globs::compile(&selection.exclude)?,
            homes,
            kinds,
        })
    }

    /// Whether objects of this kind are asked for.
    pub(crate) fn kind(&self, name: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(name))
    }

    /// The exclude glob that matches `path`, if one does.
    pub(crate) fn excluded_by(&self, path: &str) -> Option<&str> {
        self.exclude
            .as_ref()
            .and_then(|globs| globs.first_match(path))
    }

    /// Whether `path` itself is asked for: by a glob on it or on a folder above it, and below a chosen home.
    pub(crate) fn includes(&self, path: &str) -> bool {
        let in_home = self
            .homes
            .as_ref()
            .is_none_or(|homes| homes.iter().any(|home| is_within(path, home)));
        let in_globs = self
            .include
            .as_ref()
            .is_none_or(|globs| ancestors(path).any(|above| globs.set.is_match(above)));
        in_home && in_globs
    }

    /// Whether something below the folder `path` may be asked for.
    pub(crate) fn may_include_below(&self, path: &str) -> bool {
        let in_home = self.homes.as_ref().is_none_or(|homes| {
            homes
                .iter()
                .any(|home| is_within(path, home) || is_within(home, path))
        });
        let in_globs = self.include.as_ref().is_none_or(|globs| {
            ancestors(path).any(|above| globs.set.is_match(above))
                || globs
                    .stems
                    .iter()
                    .any(|stem| is_within(path, stem) || is_within(stem, path))
        });
        in_home && in_globs
    }
}

impl Globs {
    fn compile(patterns: &[String]) -> Result<Option<Self>, SelectionError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut set = GlobSetBuilder::new();
        let mut stems = Vec::new();
        for pattern in patterns {
            let plain = without_alias(pattern);
            if !plain.starts_with('/') {
                return Err(SelectionError::Relative {
                    pattern: pattern.clone(),
                });
            }
            let plain = if plain.len() > 1 {
                plain.trim_end_matches('/')
            } else {
                plain
            };
            let glob = GlobBuilder::new(plain)
                .literal_separator(true)
                .build()
                .map_err(|source| SelectionError::Glob {
                    pattern: pattern.clone(),
                    source,
                })?;
            set.add(glob);
            stems.push(stem(plain).to_owned());
        }
        let set = set.build().map_err(|source| SelectionError::Glob {
            pattern: patterns.join(" "),
            source,
        })?;
        Ok(Some(Self {
            set,
            patterns: patterns.to_vec(),
            stems,
        }))
    }

    fn first_match(&self, path: &str) -> Option<&str> {
        let index = *self.set.matches(path).first()?;
        self.patterns.get(index).map(String::as_str)
    }
}

/// The path without the alias `/Workspace` of the root.
pub(crate) fn without_alias(path: &str) -> &str {
    match path.strip_prefix("/Workspace") {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Whether `path` is `folder` or lies below it.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    folder == "/"
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path itself and the folders above it, without the root unless the path is the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rfind('/') {
        None | Some(0) => None,
        Some(cut) => Some(&path[..cut]),
    })
}

fn stem(pattern: &str) -> &str {
    match pattern.find(['*', '?', '[', '{', '\\']) {
        None => pattern,
        Some(special) => match pattern[..special].rfind('/') {
            None | Some(0) => "/",
            Some(cut) => &pattern[..cut],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(include: &[&str], exclude: &[&str], users: Option<&[&str]>) -> Selected {
        let text = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let selection = Selection {
            include: text(include),
            exclude: text(exclude),
            kinds: None,
            users: users.map(text),
        };
        Selected::compile(&selection, &["jobs"]).unwrap()
    }

    #[test]
    fn a_star_stays_in_its_folder() {
        let one = selected(&["/Shared/*"], &[], None);
        assert!(one.includes("/Shared/a"));
        assert!(
            one.includes("/Shared/a/b"),
            "a matched folder brings what is below it"
        );
        assert!(!one.includes("/Shared"));
        assert!(!one.includes("/Users/a"));
        assert!(one.may_include_below("/"));
        assert!(one.may_include_below("/Shared"));
        assert!(!one.may_include_below("/Users"));
    }

    #[test]
    fn a_glob_may_carry_the_alias_of_the_root() {
        let one = selected(
            &["/Workspace/Shared/team"],
            &["/Workspace/Shared/team/tmp"],
            None,
        );
        assert!(one.includes("/Shared/team/x"));
        assert_eq!(
            one.excluded_by("/Shared/team/tmp"),
            Some("/Workspace/Shared/team/tmp")
        );
        assert_eq!(without_alias("/Workspace"), "/");
        assert_eq!(without_alias("/WorkspaceX"), "/WorkspaceX");
    }

    #[test]
    fn users_choose_their_homes() {
        let one = selected(&[], &[], Some(&["a@b.c"]));
        assert!(one.includes("/Users/a@b.c/nb"));
        assert!(!one.includes("/Users/a@b.cd"));
        assert!(one.may_include_below("/Users"));
        assert!(!one.may_include_below("/Users/x@b.c"));
        assert!(!one.may_include_below("/Shared"));
    }

    #[test]
    fn bad_selections_are_named() {
        let compile = |selection: Selection| Selected::compile(&selection, &["jobs"]).unwrap_err();
        let relative = compile(Selection {
            include: vec!["Shared".into()],
            ..Selection::default()
        });
        assert_eq!(
            relative.to_string(),
            "\"Shared\" does not begin with a slash"
        );
        let kind = compile(Selection {
            kinds: Some(vec!["job".into()]),
            ..Selection::default()
        });
        assert_eq!(
            kind.to_string(),
            "no kind is named \"job\"; the kinds are jobs"
        );
        let glob = compile(Selection {
            exclude: vec!["/a[".into()],
            ..Selection::default()
        });
        assert_eq!(glob.to_string(), "\"/a[\" is not a glob");
    }
}
