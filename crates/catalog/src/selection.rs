//! Which workspace paths and kinds belong to a run of export or import.
//!
//! Compiles a [`Selection`]; decides paths and kinds only, each tool decides what to do with them. `*` stays within one
//! folder, `**` does not. Specified in `spec/export.md`, "Selection"; what an import adds stands in `spec/import.md`.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

use crate::tree::{home_owner, without_alias};

/// Which part of a workspace is asked for. Empty means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Globs on workspace paths (`/Shared/**`); an object is taken when a glob matches it or a folder above it.
    pub include: Vec<String>,
    /// Globs on workspace paths; what a glob matches is left out with everything below. Stronger than `include`.
    pub exclude: Vec<String>,
    /// Names of kinds (`jobs`, `notebooks`, ...).
    pub kinds: Option<Vec<String>>,
    /// User names without regard to case; of the workspace tree only their homes `/Users/<name>` are taken.
    pub users: Option<Vec<String>>,
}

impl Selection {
    /// Whether nothing is selected: the whole workspace is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.include.is_empty()
            && self.exclude.is_empty()
            && self.kinds.is_none()
            && self.users.is_none()
    }

    /// Include patterns and users that name none of `paths`, each alone.
    ///
    /// # Errors
    /// A pattern that cannot be compiled.
    pub fn unmatched(&self, paths: &[&str]) -> Result<Vec<Unmatched>, SelectionError> {
        let mut unmatched = Vec::new();
        for pattern in &self.include {
            let one = Selected::compile(&Self {
                include: vec![pattern.clone()],
                ..Self::default()
            })?;
            if !paths.iter().any(|path| one.includes(path)) {
                unmatched.push(Unmatched::Include(pattern.clone()));
            }
        }
        for user in self.users.iter().flatten() {
            let folded = user.to_lowercase();
            let is_home =
                |path: &&str| home_owner(path).is_some_and(|owner| owner.to_lowercase() == folded);
            if !paths.iter().any(is_home) {
                unmatched.push(Unmatched::User(user.clone()));
            }
        }
        Ok(unmatched)
    }
}

/// A part of a selection that names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmatched {
    /// An include pattern.
    Include(String),
    /// A user without a home.
    User(String),
}

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

/// A compiled [`Selection`].
#[derive(Debug, Clone)]
pub struct Selected {
    include: Option<Globs>,
    exclude: Option<Globs>,
    /// Names of the chosen homes in lower case.
    homes: Option<Vec<String>>,
    kinds: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
struct Globs {
    set: GlobSet,
    patterns: Vec<String>,
    /// The part of each pattern before its first special character, cut back to a whole component.
    stems: Vec<String>,
}

impl Selected {
    /// Compiles `selection`.
    ///
    /// # Errors
    /// A glob that cannot be parsed or does not begin with a slash, an unknown kind, a user name that cannot be one.
    pub fn compile(selection: &Selection) -> Result<Self, SelectionError> {
        let known = crate::kinds().iter().map(|kind| kind.name);
        let kinds = match &selection.kinds {
            None => None,
            Some(names) => {
                for name in names {
                    if crate::kind(name).is_none() {
                        return Err(SelectionError::UnknownKind {
                            name: name.clone(),
                            known: known.map(str::to_owned).collect(),
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
                Some(users.iter().map(|user| user.to_lowercase()).collect())
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
    #[must_use]
    pub fn kind(&self, name: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(name))
    }

    /// The exclude glob that matches `path` or a folder above it, if one does.
    #[must_use]
    pub fn excluded_by(&self, path: &str) -> Option<&str> {
        let globs = self.exclude.as_ref()?;
        ancestors(path).find_map(|above| globs.first_match(above))
    }

    /// Whether `path` itself is asked for: by a glob on it or on a folder above it, and below a chosen home.
    #[must_use]
    pub fn includes(&self, path: &str) -> bool {
        let in_home = self.homes.as_ref().is_none_or(|homes| {
            home_owner(path).is_some_and(|owner| homes.contains(&owner.to_lowercase()))
        });
        let in_globs = self
            .include
            .as_ref()
            .is_none_or(|globs| ancestors(path).any(|above| globs.set.is_match(above)));
        in_home && in_globs
    }

    /// Whether something below the folder `path` may be asked for.
    #[must_use]
    pub fn may_include_below(&self, path: &str) -> bool {
        let in_home = self.homes.as_ref().is_none_or(|homes| {
            matches!(path, "/" | "/Users")
                || home_owner(path).is_some_and(|owner| homes.contains(&owner.to_lowercase()))
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

/// Whether `path` is `folder` or lies below it.
fn is_within(path: &str, folder: &str) -> bool {
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
        Selected::compile(&selection).unwrap()
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
    }

    #[test]
    fn users_choose_their_homes() {
        let one = selected(&[], &[], Some(&["A@b.c"]));
        assert!(one.includes("/Users/a@b.c/nb"));
        assert!(one.includes("/Users/a@B.C"));
        assert!(!one.includes("/Users/a@b.cd"));
        assert!(one.may_include_below("/Users"));
        assert!(!one.may_include_below("/Users/x@b.c"));
        assert!(!one.may_include_below("/Shared"));
    }

    #[test]
    fn bad_selections_are_named() {
        let compile = |selection: Selection| Selected::compile(&selection).unwrap_err();
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
        let text = kind.to_string();
        assert!(
            text.starts_with("no kind is named \"job\"; the kinds are users, "),
            "{text}"
        );
        let glob = compile(Selection {
            exclude: vec!["/a[".into()],
            ..Selection::default()
        });
        assert_eq!(glob.to_string(), "\"/a[\" is not a glob");
    }
}
