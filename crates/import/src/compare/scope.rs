//! What a comparison reads: everything, or after an apply what it wrote and what no comparison has proved yet.

use std::collections::{BTreeSet, HashSet};

use lifeboat_catalog::tree;

use super::Comparing;
use crate::apply::ReadBack;
use crate::archived::ArchiveState;
use crate::engine::{homes_of, read_target, reader};
use crate::error::Error;
use crate::journal::Knowledge;
use crate::plan::parent;
use crate::report::{Fate, Report};
use crate::target::TargetState;

/// Objects by kind and id in the source.
pub(super) type Keys = HashSet<(String, String)>;

/// The objects that a pass judges.
#[derive(Default)]
pub(super) struct Scope {
    /// Those of an earlier doubt; `None` in the first pass.
    pub only: Option<Keys>,
    /// Equal without being read.
    proved: Keys,
}

impl Scope {
    /// After an apply: what it left as it was has been compared with the listing, and what a comparison found equal
    /// since it was last written is not read again.
    pub fn after(report: &Report, knowledge: &Knowledge) -> Self {
        let proved = report.objects.iter().filter(|object| {
            let entry = knowledge.entry(&object.kind, &object.id);
            object.fate == Fate::Unchanged
                && entry.is_none_or(|entry| entry.proved && entry.pending.is_none())
        });
        Self {
            only: None,
            proved: proved
                .map(|object| (object.kind.clone(), object.id.clone()))
                .collect(),
        }
    }

    pub fn is_first(&self) -> bool {
        self.only.is_none()
    }

    pub fn wants(&self, kind: &str, id: &str) -> bool {
        let key = (kind.to_owned(), id.to_owned());
        match &self.only {
            Some(only) => only.contains(&key),
            None => !self.proved.contains(&key),
        }
    }
}

/// What an apply wrote, or may have written, and what is not proved. What it was barred from is as it was listed.
pub(super) fn written(report: &Report, scope: &Scope) -> Keys {
    report
        .objects
        .iter()
        .filter(|object| object.fate != Fate::Blocked && scope.wants(&object.kind, &object.id))
        .map(|object| (object.kind.clone(), object.id.clone()))
        .collect()
}

/// Takes what the apply listed itself into the target, and what shows in it out of `rest`.
pub(super) fn take(
    read: &mut ReadBack,
    target: &mut TargetState,
    state: &ArchiveState,
    comparing: &Comparing<'_>,
    rest: &mut Keys,
) {
    let listings = std::mem::take(&mut read.listings);
    let directories = std::mem::take(&mut read.directories);
    let files = std::mem::take(&mut read.dbfs);
    let kinds = std::mem::take(&mut read.kinds);
    rest.retain(|(kind, _)| !kinds.contains_key(kind));
    target.unclear.retain(|kind, _| !kinds.contains_key(kind));
    target.kinds.extend(kinds);
    let homes = directories
        .keys()
        .filter(|path| tree::home_owner(path).is_some() && tree::is_builtin_directory(path));
    target.homes.extend(homes.cloned());
    let resolver = homes_of(state, target, &comparing.adopting(), comparing.filter);
    let is_listed = |path: &str| parent(path).is_some_and(|above| listings.contains_key(above));
    rest.retain(|(kind, id)| match kind.as_str() {
        "directories" => !directories.contains_key(&resolver.path(id)),
        "notebooks" | "files" => !is_listed(&resolver.path(id)),
        "dbfs" => !files.contains_key(id),
        _ => true,
    });
    target.tree.retain(|path, _| !is_listed(path));
    target.tree.extend(listings.into_values().flatten());
    target.tree.extend(directories);
    target.dbfs.extend(files);
}

/// Lists the target.
pub(super) async fn read_all(
    comparing: &Comparing<'_>,
    state: &ArchiveState,
) -> Result<TargetState, Error> {
    read_target(
        comparing.client,
        &comparing.adopting(),
        state,
        comparing.filter,
        comparing.identity,
        comparing.workspace_id,
        comparing.knowledge,
    )
    .await
}

/// Lists again what shows these objects: their kinds, their directories, their DBFS paths.
pub(super) async fn read_again(
    comparing: &Comparing<'_>,
    state: &ArchiveState,
    target: &mut TargetState,
    keys: &Keys,
) -> Result<(), Error> {
    let options = &comparing.adopting();
    let reader = reader(comparing.client, options, state, comparing.knowledge);
    let kinds: HashSet<&str> = keys.iter().map(|(kind, _)| kind.as_str()).collect();
    let in_tree = |kind: &str| matches!(kind, "directories" | "notebooks" | "files");
    let dbfs = |path: &str| keys.contains(&("dbfs".to_owned(), path.to_owned()));
    let homes = async {
        if kinds.contains("users") || kinds.iter().any(|kind| in_tree(kind)) {
            reader.homes().await.map(Some)
        } else {
            Ok(None)
        }
    };
    let (listed, homes, looked_up) = tokio::join!(
        reader.list_kinds(target, |kind| kinds.contains(kind)),
        homes,
        reader.dbfs(dbfs)
    );
    listed?;
    if let Some(homes) = homes? {
        target.homes = homes;
    }
    let (found, refused) = looked_up?;
    target.dbfs.retain(|path, _| !dbfs(path));
    target.dbfs.extend(found);
    target.dbfs_refused = target.dbfs_refused.take().or(refused);
    let resolver = homes_of(state, target, options, comparing.filter);
    let directories: BTreeSet<String> = keys
        .iter()
        .filter(|(kind, _)| in_tree(kind))
        .filter_map(|(_, id)| parent(&resolver.path(id)).map(str::to_owned))
        .collect();
    reader.directories_again(directories, target).await
}
