//! Everything below another folder (`spec/import.md`, "Partial restore").

use std::collections::{BTreeSet, HashMap};

use lifeboat_catalog::{Target, tree};
use lifeboat_databricks::Client;
use serde_json::Value;

use super::folders;
use super::open::{Readers, readers};
use crate::archived::ArchiveState;
use crate::error::{Error, Rule};
use crate::plan::uncaptured;
use crate::target::TargetState;

/// The folder as it is used; an error for what is none.
///
/// # Errors
/// [`Error::Selection`].
pub(crate) fn named_folder(path: &str) -> Result<String, Error> {
    match tree::named_folder(path) {
        Ok(folder) => Ok(folder.to_owned()),
        Err(what) => Err(Error::Selection {
            pattern: path.to_owned(),
            what: what.to_owned(),
        }),
    }
}

/// Puts the tree of the archive below `folder`, each object under its path in the source, and leaves out everything else.
pub(crate) fn place_below(folder: &str, state: &mut ArchiveState) {
    let translation = &mut state.translation;
    let origins = std::mem::take(&mut translation.origins);
    let origin = |path: &str| origins.get(path).map_or(path, String::as_str).to_owned();
    let made = std::mem::take(&mut translation.folders);
    state
        .tree
        .retain(|line| line.path != "/" && !made.contains(&line.path));
    let mut remarks = HashMap::new();
    for line in &mut state.tree {
        let old = origin(&line.path);
        line.path = format!("{folder}{old}");
        let kind = tree::kind_of(&line.object_type).name;
        remarks.insert(
            (kind.to_owned(), line.path.clone()),
            vec![format!("restored from {old}")],
        );
        translation.origins.insert(line.path.clone(), old);
    }
    state.failed.retain(|line| uncaptured::by_path(&line.kind));
    for line in &mut state.failed {
        let old = origin(&line.name);
        line.name = format!("{folder}{old}");
        translation.origins.insert(line.name.clone(), old);
    }
    translation.remarks = remarks;
    translation.stand_ins.clear();
    state.objects.retain(|kind, _| kind == "git-folders");
    state.dbfs.clear();
    state.unknown.clear();
    // What is left is a part: what it does not name is not gone.
    state.complete = false;
    // A second clone beside the one that the journal may know by the id of the source.
    let id_below = |id: &str| format!("{id}@{folder}");
    for record in state.objects.get_mut("git-folders").into_iter().flatten() {
        if let Some(Value::String(path)) = record.body.get_mut("path") {
            *path = format!("{folder}{}", origin(tree::without_alias(path)));
            record.name.clone_from(path);
        }
        record.id = id_below(&record.id);
    }
    if let Some(acls) = state.acls.get_mut("git-folders") {
        *acls = std::mem::take(acls)
            .into_iter()
            .map(|(id, body)| (id_below(&id), body))
            .collect();
    }
    folders::add_missing(state);
}

/// Refuses a folder in which others could read what is restored: rights are inherited, and at the source they stood
/// elsewhere. `homes` are the owners of the homes from which everything comes; `None` when something comes from
/// elsewhere.
///
/// # Errors
/// [`Error::Refused`], [`Error::Service`].
pub(crate) async fn may_be_read_by_others(
    client: &Client,
    folder: &str,
    homes: Option<&BTreeSet<String>>,
    target: &TargetState,
) -> Result<(), Error> {
    let refused = |detail: String| {
        Error::Refused {
        rule: Rule::OpenFolder,
        detail,
        hint: "name another folder with --as-prefix, one that does not exist or that only administrators can read".to_owned(),
    }
    };
    if let Some(owner) = tree::home_owner(folder)
        && !target.tree.contains_key(&format!("/Users/{owner}"))
    {
        return Err(refused(format!(
            "{folder} lies in the home of {owner}, which the target does not have"
        )));
    }
    let (path, principals) = match readers(client, folder, target).await? {
        Readers::Known { path, principals } => (path, principals),
        Readers::Unknown { path, why } => {
            return Err(refused(format!(
                "nobody can tell who may read {path}: {why}"
            )));
        }
    };
    let own: Option<&String> = homes
        .filter(|homes| homes.len() == 1)
        .and_then(BTreeSet::first);
    let others: Vec<&str> = principals
        .iter()
        .filter(|one| one.kind == Target::Group || Some(&one.name.to_lowercase()) != own)
        .map(|one| one.name.as_str())
        .collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(refused(format!(
            "what is restored into {folder} inherits the rights on {path}, so {} could read it",
            others.join(", ")
        )))
    }
}
