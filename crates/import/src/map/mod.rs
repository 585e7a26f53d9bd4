//! The map file and what it makes of an archive (`spec/import.md`, "Map file" and "Partial restore").
//!
//! A map is a translation of the records when they are loaded: [`parse`] reads the file, [`translate`] puts the records
//! into the target's words, [`check`] asks the target whether it knows those words, [`changed`] says what follows when they are
//! not those of the last import, [`prefix`] puts the tree below another folder. Plan, apply, compare and journal work on translated records and know nothing of it, but for the few facts of
//! [`Translation`].

mod changed;
mod check;
mod folders;
mod hosts;
mod names;
mod open;
mod parse;
mod pattern;
mod prefix;
mod translate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use lifeboat_catalog::{Kind, Target};
use serde::Serialize;
use serde_json::Value;

pub(crate) use changed::{Changed, changed, difference, entries};
pub(crate) use check::target as check_target;
pub(crate) use open::{check_orphans, warn_of_opened};
use parse::{MapFile, Section};
pub(crate) use prefix::{may_be_read_by_others, named_folder};

use crate::archived::ArchiveState;
use crate::error::Error;
use crate::filter::Filter;
use crate::options::Options;
use crate::resolve::digest;

/// An entry of the map file and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapEntry {
    /// Section of the file.
    pub section: String,
    /// Left side: name or pattern in the source.
    pub from: String,
    /// Right side: name in the target.
    pub to: String,
    /// Places in the archive that it translated.
    pub matches: u64,
    /// Whether the target was asked and knows the right side.
    pub checked: bool,
}

/// What else is to be known of translated records.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// The entries of the map.
    pub(crate) entries: Vec<MapEntry>,
    /// Path in the source of every object of the tree that stands elsewhere in the target.
    pub(crate) origins: HashMap<String, String>,
    /// Folders that are made on the way and stand at no path of the source.
    pub(crate) folders: BTreeSet<String>,
    /// Digests of the forms that objects have in the words of the source, by kind and id ([`source_form`]).
    pub(crate) forms: HashMap<(String, String), String>,
    /// What is said with an object, by kind and id.
    pub(crate) remarks: HashMap<(String, String), Vec<String>>,
    /// Users, service principals and groups that are somebody of the target by the operator's word, by kind and id.
    pub(crate) principals: HashSet<(String, String)>,
    /// Pools and policies, by kind and id, for which one of the target stands in, by name.
    pub(crate) stand_ins: HashMap<(String, String), String>,
    /// Ids of the target of kinds that no archive holds.
    pub(crate) foreign: HashSet<(Target, String)>,
    /// Names of the target that were put in, with the position of their entry.
    used: BTreeMap<(Section, String), usize>,
}

/// Translates the records as the options say.
///
/// # Errors
/// [`Error::Map`], [`Error::MapFile`], [`Error::Selection`] for a folder that is none.
pub(crate) fn apply(options: &Options, state: &mut ArchiveState) -> Result<(), Error> {
    if let Some(path) = &options.map {
        let text = fs_err::read_to_string(path).map_err(|source| Error::MapFile {
            path: path.clone(),
            source,
        })?;
        let map = MapFile::parse(&text).map_err(|problems| refused(path, problems))?;
        state.translation.forms = source_forms(state);
        translate::translate(&map, state).map_err(|problems| refused(path, problems))?;
    }
    if let Some(folder) = &options.as_prefix {
        prefix::place_below(&named_folder(folder)?, state);
    }
    Ok(())
}

/// Digest of the form of an object, passive and in the words of its own workspace: by it a failback knows whether somebody
/// changed the object in the source since.
pub(crate) fn source_form(kind: &Kind, body: &Value) -> String {
    let mut request = kind.request_form(body);
    kind.land_passive(&mut request);
    digest(&kind.compare_form(&request))
}

fn source_forms(state: &ArchiveState) -> HashMap<(String, String), String> {
    let mut forms = HashMap::new();
    for kind in lifeboat_catalog::kinds()
        .iter()
        .filter(|kind| kind.update.is_some())
    {
        for record in state.of_kind(kind.name) {
            let key = (kind.name.to_owned(), record.id.clone());
            forms.insert(key, source_form(kind, &record.body));
        }
    }
    forms
}

/// The owners of the homes from which a selection takes everything, in lower case; `None` when it also takes something
/// from elsewhere.
pub(crate) fn homes_of_selection(
    state: &ArchiveState,
    filter: &Filter,
) -> Option<BTreeSet<String>> {
    let selected = state.tree.iter().filter(|line| {
        filter.wants(
            lifeboat_catalog::tree::kind_of(&line.object_type).name,
            &line.path,
        ) && !state.translation.folders.contains(&line.path)
    });
    selected
        .map(|line| {
            let origins = &state.translation.origins;
            let origin = origins.get(&line.path).unwrap_or(&line.path);
            lifeboat_catalog::tree::home_owner(origin).map(str::to_lowercase)
        })
        .collect()
}

fn refused(path: &Path, problems: Vec<String>) -> Error {
    Error::Map {
        path: path.to_owned(),
        problems,
    }
}
