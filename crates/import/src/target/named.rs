//! Paths that bodies name and that an import does not bring itself: whether the target has them (`spec/import.md`,
//! "References").

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lifeboat_catalog::{Target, kinds, paths, tree};

use super::TargetState;
use super::read::{Reader, concurrently, fatal, service};
use crate::archived::ArchiveState;
use crate::error::Error;
use crate::filter::Filter;
use crate::plan::{directory_parents, parent};
use crate::resolve::Resolver;

const WORKSPACE: &str = "/api/2.0/workspace/get-status";
const DBFS: &str = "/api/2.0/dbfs/get-status";

/// What is known of a path of the target that a body names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Whether the archive holds it, and this import leaves it out.
    pub archived: bool,
    /// Whether it is in the target.
    pub sight: Sight,
}

/// What the target says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is there.
    There,
    /// It is not.
    Absent,
    /// The service refused to tell.
    Unknown(String),
}

/// By what it is a path of, and path in the target.
pub(crate) type NamedPaths = HashMap<(Target, String), Named>;

/// Paths of the target, and whether the archive holds what stands there in the source.
type Candidates = BTreeMap<String, bool>;

/// Looks up what the bodies of the selection name, where neither this import brings it nor a listing shows it: each path
/// once. `walked`: the directories of the target that were asked for.
pub(crate) async fn look_up(
    reader: &Reader<'_>,
    resolver: &Resolver,
    filter: &Filter,
    walked: &BTreeSet<String>,
    target: &mut TargetState,
) -> Result<(), Error> {
    let (in_tree, in_dbfs) = candidates(reader.archive, resolver, filter, walked, target);
    // A directory that was listed shows what it does not hold.
    let is_listed = |path: &str| {
        let refused = |above: &&str| target.unlisted.contains_key(*above);
        parent(path).is_some_and(|above| walked.contains(above))
            && !directory_parents(path).iter().any(refused)
    };
    // DBFS files of the archive were looked up one by one.
    let is_known = |path: &str| {
        let mut lines = reader.archive.dbfs.iter();
        target.dbfs_refused.is_none() && lines.any(|line| line.path == path)
    };
    let asked = [
        (Target::WorkspacePath, WORKSPACE, in_tree),
        (Target::DbfsPath, DBFS, in_dbfs),
    ];
    let mut calls = Vec::new();
    let mut named = NamedPaths::new();
    for (of, endpoint, candidates) in asked {
        for (path, archived) in candidates {
            let known = match of {
                Target::DbfsPath => is_known(&path),
                _ => is_listed(&path),
            };
            if known {
                let sight = Sight::Absent;
                named.insert((of, path), Named { archived, sight });
            } else {
                calls.push((of, endpoint, path, archived));
            }
        }
    }
    let replies = concurrently(
        calls,
        reader.concurrency,
        |(of, endpoint, path, archived)| async move {
            let reply = reader.client.get(endpoint, &[("path", &path)]).await;
            (of, path, archived, reply)
        },
    )
    .await;
    for (of, path, archived, reply) in replies {
        let sight = match reply {
            Ok(_) => Sight::There,
            Err(error) if error.is_not_found() => Sight::Absent,
            Err(error) if fatal(&error) => {
                return Err(service(&format!("looking up {path}"), error));
            }
            Err(error) => Sight::Unknown(error.to_string()),
        };
        named.insert((of, path), Named { archived, sight });
    }
    target.named = named;
    Ok(())
}

/// What bodies name of the tree and of DBFS, less what is seen already and what this import brings.
fn candidates(
    archive: &ArchiveState,
    resolver: &Resolver,
    filter: &Filter,
    walked: &BTreeSet<String>,
    target: &TargetState,
) -> (Candidates, Candidates) {
    let (mut in_tree, mut in_dbfs) = (Candidates::new(), Candidates::new());
    for kind in kinds().iter().filter(|kind| filter.kind(kind.name)) {
        let records = archive.of_kind(kind.name).iter();
        for record in records.filter(|record| filter.wants(kind.name, &record.id)) {
            for found in kind.found_references(&record.body) {
                match found.to {
                    Target::WorkspacePath => {
                        in_tree.insert(resolver.path(&found.value), false);
                    }
                    Target::DbfsPath if tree::dbfs_never_read(&found.value).is_none() => {
                        in_dbfs.insert(found.value, false);
                    }
                    _ => {}
                }
            }
        }
    }
    in_tree.retain(|path, _| !target.tree.contains_key(path) && !tree::is_builtin_directory(path));
    in_dbfs.retain(|path, _| !target.dbfs.keys().any(|known| is_at(known, path)));
    if !in_tree.is_empty() {
        for line in &archive.tree {
            let path = resolver.path(&line.path);
            let wanted = filter.wants(tree::kind_of(&line.object_type).name, &line.path);
            // Directories above what is wanted are made, too.
            let brought = wanted || (line.object_type == "DIRECTORY" && walked.contains(&path));
            if line.object_type == "REPO" {
                hold(&mut in_tree, brought, |named| is_at(named, &path));
            } else if in_tree.contains_key(&path) {
                hold(&mut in_tree, brought, |named| named == path);
            }
        }
    }
    if !in_dbfs.is_empty() {
        for line in &archive.dbfs {
            let brought = filter.wants("dbfs", &line.path);
            hold(&mut in_dbfs, brought, |named| is_at(&line.path, named));
        }
    }
    (in_tree, in_dbfs)
}

fn is_at(path: &str, folder: &str) -> bool {
    path == folder || paths::is_below(path, folder)
}

/// Notes that the archive holds these; what is brought is no question.
fn hold(candidates: &mut Candidates, brought: bool, these: impl Fn(&str) -> bool) {
    if brought {
        candidates.retain(|named, _| !these(named));
    } else {
        for (_, archived) in candidates.iter_mut().filter(|(named, _)| these(named)) {
            *archived = true;
        }
    }
}
