//! Who could read what is restored at another place than the one where it stood: rights are inherited
//! (`spec/import.md`, "Map file", "Partial restore" and "Homes").

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lifeboat_catalog::acl::{self, Principal};
use lifeboat_catalog::{Target, tree};
use lifeboat_databricks::{Client, segment};
use serde_json::Value;

use super::check::is_fatal;
use crate::archived::ArchiveState;
use crate::error::{Error, Rule};
use crate::filter::Filter;
use crate::held::TreeLine;
use crate::journal::{Entry, Knowledge};
use crate::options::Options;
use crate::plan::{self, directory_parents, parent};
use crate::target::{TargetState, service};

/// Who may read what is made in a folder, administrators and the caller left out.
pub(super) enum Readers {
    /// By the rights on the nearest folder that exists, `path`; empty where only the root is above.
    Known {
        path: String,
        principals: Vec<Principal>,
    },
    /// The rights on `path` cannot be read.
    Unknown { path: String, why: String },
}

/// Asks the target for the readers of a folder, or of the nearest one above it that exists.
///
/// # Errors
/// [`Error::Service`] when the target is lost.
pub(super) async fn readers(
    client: &Client,
    folder: &str,
    target: &TargetState,
) -> Result<Readers, Error> {
    let mut above = directory_parents(folder);
    above.push(folder);
    let nearest = above
        .into_iter()
        .rev()
        .find_map(|path| Some((path.to_owned(), target.tree.get(path)?)));
    let Some((path, info)) = nearest else {
        // Below the root alone only administrators have rights.
        return Ok(Readers::Known {
            path: "/".to_owned(),
            principals: Vec::new(),
        });
    };
    let call = format!(
        "/api/2.0/permissions/directories/{}",
        segment(&info.object_id)
    );
    match client.get(&call, &[]).await {
        Ok(reply) => Ok(Readers::Known {
            path,
            principals: principals(&reply, target),
        }),
        Err(error) if is_fatal(&error) => Err(service("reading who may read the folder", error)),
        Err(error) => Ok(Readers::Unknown {
            path,
            why: error.to_string(),
        }),
    }
}

/// Everybody whom a reply of the permissions API names, by direct and inherited rights, but administrators and the caller.
fn principals(reply: &Value, target: &TargetState) -> Vec<Principal> {
    let caller = target.caller.to_lowercase();
    reply
        .get("access_control_list")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Principal::of)
        .filter(|one| match one.kind {
            Target::Group => one.name != acl::ADMINS,
            _ => one.name.to_lowercase() != caller,
        })
        .collect()
}

/// Refuses a folder for homes of users who exist nowhere in which anybody else could read them. A folder that an earlier
/// import made was closed then: who opened it since meant to.
///
/// # Errors
/// [`Error::Refused`], [`Error::Service`].
pub(crate) async fn check_orphans(
    client: &Client,
    options: &Options,
    state: &ArchiveState,
    filter: &Filter,
    target: &TargetState,
    journal: &Knowledge,
) -> Result<(), Error> {
    let root = options.orphans.trim_end_matches('/');
    let homes: Vec<String> = plan::homes::moved(state, target, options, filter)
        .into_iter()
        .filter(|moved| moved.orphan)
        .map(|moved| moved.from)
        .collect();
    let needed = state.tree.iter().any(|line| {
        filter.wants(tree::kind_of(&line.object_type).name, &line.path)
            && homes.iter().any(|home| {
                line.path == *home || lifeboat_catalog::paths::is_below(&line.path, home)
            })
    });
    let ours = |entry: &Entry| {
        let there = target.tree.get(root).map(|info| info.object_id.as_str());
        entry.is_ours() && there.is_some() && entry.target.as_deref() == there
    };
    if !needed || journal.entry("directories", root).is_some_and(ours) {
        return Ok(());
    }
    let detail = match readers(client, root, target).await? {
        Readers::Known { principals, .. } if principals.is_empty() => return Ok(()),
        Readers::Known { path, principals } => format!(
            "homes of users who exist nowhere are restored into {root} and inherit the rights on {path}, so {} could read \
             them",
            names(&principals)
        ),
        Readers::Unknown { path, why } => format!("nobody can tell who may read {path}: {why}"),
    };
    Err(Error::Refused {
        rule: Rule::OpenFolder,
        detail,
        hint: "name another folder with --orphans, one that does not exist or that only administrators can read"
            .to_owned(),
    })
}

/// What the map moves into one folder of the target.
type Moved<'a> = BTreeMap<String, Vec<(&'a str, &'a TreeLine)>>;

/// Warns of everything that the path prefixes of a map put where somebody could read it who could not at the source.
///
/// # Errors
/// [`Error::Service`] when the target is lost.
pub(crate) async fn warn_of_opened(
    client: &Client,
    state: &mut ArchiveState,
    filter: &Filter,
    target: &TargetState,
) -> Result<(), Error> {
    let mut warnings = Vec::new();
    for (folder, moved) in moved(state, filter) {
        match readers(client, &folder, target).await? {
            Readers::Known { mut principals, .. } => {
                principals.extend(granted_above(state, &folder, target));
                warnings.extend(opened(state, &folder, &moved, &principals));
            }
            Readers::Unknown { path, why } => warnings.push(format!(
                "the map puts {} into {folder}, and nobody can tell who may read {path}: {why}",
                moved[0].0
            )),
        }
    }
    state.warnings.extend(warnings);
    Ok(())
}

/// The uppermost objects that the map moves, with their paths in the source, by the folder of the target that they come
/// into.
fn moved<'a>(state: &'a ArchiveState, filter: &Filter) -> Moved<'a> {
    let origins = &state.translation.origins;
    // What is selected, and the directories that are made above it.
    let wanted: HashSet<&str> = state
        .tree
        .iter()
        .filter(|line| origins.contains_key(&line.path))
        .filter(|line| filter.wants(tree::kind_of(&line.object_type).name, &line.path))
        .flat_map(|line| {
            let mut paths = directory_parents(&line.path);
            paths.push(&line.path);
            paths
        })
        .collect();
    let mut moved = Moved::new();
    for line in &state.tree {
        let (Some(old), Some(folder)) = (origins.get(&line.path), parent(&line.path)) else {
            continue;
        };
        let with_its_folder =
            origins.get(folder).map(String::as_str) == parent(old) && parent(old).is_some();
        // The home of a user whom the map renames.
        let with_its_user = in_home(old).is_some() && in_home(old) == in_home(&line.path);
        // A warning of its own, which needs no target.
        let told = tree::home_owner(old).is_some()
            && lifeboat_catalog::paths::is_below(&line.path, "/Shared");
        if wanted.contains(line.path.as_str()) && !with_its_folder && !with_its_user && !told {
            moved
                .entry(folder.to_owned())
                .or_default()
                .push((old.as_str(), line));
        }
    }
    moved
}

/// The part of a path below the home that it lies in.
fn in_home(path: &str) -> Option<&str> {
    let owner = tree::home_owner(path)?;
    path.split_once(owner).map(|(_, rest)| rest)
}

/// Whom the import itself grants rights on the folders that it makes above a path.
fn granted_above(state: &ArchiveState, folder: &str, target: &TargetState) -> Vec<Principal> {
    let mut above = directory_parents(folder);
    above.push(folder);
    above
        .into_iter()
        .filter(|path| !target.tree.contains_key(*path) && !tree::has_fixed_acl(path))
        .filter_map(|path| state.tree.iter().find(|line| line.path == path))
        .filter_map(|line| state.acl("directories", &line.object_id))
        .flat_map(|reply| acl::principals(&reply))
        .collect()
}

/// The warning for one folder, when one of its readers could not read all of this at the source.
fn opened(
    state: &ArchiveState,
    folder: &str,
    moved: &[(&str, &TreeLine)],
    readers: &[Principal],
) -> Option<String> {
    let mut new: BTreeSet<&Principal> = BTreeSet::new();
    let mut paths: Vec<&str> = Vec::new();
    for (old, line) in moved {
        let before = readers_before(state, old, line);
        let everybody = before
            .iter()
            .any(|one| one.kind == Target::Group && one.name == "users");
        let others: Vec<&Principal> = readers
            .iter()
            .filter(|reader| !everybody && !before.iter().any(|one| one.same(reader)))
            .collect();
        if !others.is_empty() {
            paths.push(old);
            new.extend(others);
        }
    }
    let first = paths.first()?;
    let more = match paths.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let new: Vec<Principal> = new.into_iter().cloned().collect();
    Some(format!(
        "the map puts {first}{more} into {folder}, where {} may read it, who could not at the source",
        names(&new)
    ))
}

/// Who had rights on an object at the source, direct and inherited ones, in the words of the target.
fn readers_before(state: &ArchiveState, old: &str, line: &TreeLine) -> Vec<Principal> {
    let kind = tree::kind_of(&line.object_type);
    // Git folders have ids of their own.
    let id = match kind.name {
        "git-folders" => state
            .of_kind(kind.name)
            .iter()
            .find(|record| {
                let path = kind.key_of(&record.body).unwrap_or_default();
                tree::without_alias(&path) == line.path
            })
            .map_or(line.object_id.as_str(), |record| record.id.as_str()),
        _ => line.object_id.as_str(),
    };
    let reply = state.acl(kind.name, id);
    let mut before: Vec<Principal> = reply
        .as_ref()
        .and_then(|reply| reply.get("access_control_list")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Principal::of)
        .collect();
    before.extend(tree::home_owner(old).map(|owner| Principal {
        kind: Target::User,
        name: owner.to_owned(),
    }));
    before
}

fn names(principals: &[Principal]) -> String {
    let names: BTreeSet<&str> = principals.iter().map(|one| one.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_catalog::selection::Selection;
    use serde_json::json;

    fn directory(state: &mut ArchiveState, path: &str, groups: &[&str]) {
        let entries: Vec<Value> = groups
            .iter()
            .map(|group| {
                json!({"group_name": group, "all_permissions": [{"permission_level": "CAN_READ", "inherited": false}]})
            })
            .collect();
        let reply = json!({ "access_control_list": entries });
        let acls = state.acls.entry("directories".to_owned()).or_default();
        acls.insert(format!("id:{path}"), reply.into());
        state.tree.push(TreeLine {
            path: path.to_owned(),
            object_id: format!("id:{path}"),
            object_type: "DIRECTORY".to_owned(),
            language: None,
            content: None,
        });
    }

    #[test]
    fn who_could_not_read_it_at_the_source_is_named() {
        let mut state = ArchiveState::default();
        directory(&mut state, "/Team", &["team"]);
        directory(&mut state, "/Team/hr", &["hr"]);
        directory(&mut state, "/Team/hr/pay", &["hr"]);
        for (new, old) in [
            ("/Team/hr", "/Projects/hr"),
            ("/Team/hr/pay", "/Projects/hr/pay"),
        ] {
            let origins = &mut state.translation.origins;
            origins.insert(new.to_owned(), old.to_owned());
        }
        let filter = Filter::compile(&Selection::default()).unwrap();
        let moved = moved(&state, &filter);
        assert_eq!(moved.keys().collect::<Vec<_>>(), ["/Team"]);
        let moved = &moved["/Team"];
        assert_eq!(moved.len(), 1, "what moves with its folder is told with it");
        // The import makes /Team itself, with the grants of the archive.
        let mut target = TargetState::default();
        let granted = granted_above(&state, "/Team", &target);
        let told = opened(&state, "/Team", moved, &granted).unwrap();
        assert!(
            told.contains("/Projects/hr into /Team, where team may"),
            "{told}"
        );
        target
            .tree
            .insert("/Team".to_owned(), crate::target::TreeInfo::default());
        assert_eq!(granted_above(&state, "/Team", &target), []);
        let hr = Principal {
            kind: Target::Group,
            name: "hr".to_owned(),
        };
        assert_eq!(opened(&state, "/Team", moved, &[hr]), None);
    }
}
