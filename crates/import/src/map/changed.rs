//! What follows when the map is not that of the last import (`spec/import.md`, "Map file").
//!
//! The journal holds the entries of the last map. Where those of this run differ, the records are translated by the old
//! entries once more: what comes out otherwise, and is written, is named before it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lifeboat_archive::Archive;
use lifeboat_catalog::{Target, scim, tree};

use super::parse::MapFile;
use super::translate;
use crate::archived::{self, ArchiveState};
use crate::error::Error;
use crate::held::TreeLine;
use crate::journal::{Entry, Knowledge, MapEntries};
use crate::options::Options;
use crate::plan::{Action, What};

/// Entries and objects that a warning names; the rest is counted.
const NAMED: usize = 5;

/// A kind with the id of an object, a path in the target's words where it is one of the tree.
type Object = (String, String);

/// A map that is not that of the last import.
#[derive(Debug)]
pub(crate) struct Changed {
    /// What differs, and what follows from it.
    pub text: String,
    /// Whether objects are made a second time, or written with other names.
    pub writes: bool,
}

/// The entries of this run's map, for the journal; `None` when it says nothing of the place where everything stands.
pub(crate) fn entries(options: &Options, state: &ArchiveState) -> Option<MapEntries> {
    if options.map.is_none() || options.as_prefix.is_some() {
        return None;
    }
    let mut entries = MapEntries::new();
    for entry in &state.translation.entries {
        let section = entries.entry(entry.section.clone()).or_default();
        section.insert(entry.from.clone(), entry.to.clone());
    }
    Some(entries)
}

/// What differs between this run's map and that of the last import; `None` when nothing does.
pub(crate) fn difference(
    options: &Options,
    state: &ArchiveState,
    known: &Knowledge,
) -> Option<String> {
    // Who never imported has no last map, and what stands below a folder of its own follows no map of paths.
    if !known.confirmed || known.is_empty() || options.as_prefix.is_some() {
        return None;
    }
    let lines = differing(&known.map, &entries(options, state).unwrap_or_default());
    if lines.is_empty() {
        return None;
    }
    let what = match &options.map {
        None => "the last import used a map file and this one names none",
        Some(_) => "the map file is not that of the last import",
    };
    Some(format!("{what}: {}", named(&lines)))
}

/// The same with what follows for the objects of a plan.
///
/// # Errors
/// [`Error::Archive`], [`Error::Record`].
pub(crate) fn changed(
    archive: &Archive,
    options: &Options,
    state: &ArchiveState,
    known: &Knowledge,
    actions: &[Action],
) -> Result<Option<Changed>, Error> {
    let Some(difference) = difference(options, state, known) else {
        return Ok(None);
    };
    let mut before = archived::load(archive, options.allow_incomplete)?;
    // An old entry may match nothing by now, or contradict another one: that is no fault of this run.
    let _ = translate::translate(&MapFile::of(&known.map), &mut before);
    let touched = Touched::between(&before, state);
    let linked = Linked::of(known);
    let (mut twice, mut rewritten) = (Vec::new(), Vec::new());
    for action in actions.iter().filter(|action| action.has_work()) {
        let name = || format!("{} {}", action.kind, action.name);
        match action.what {
            What::Create if touched.stands(action, &linked, known) => twice.push(name()),
            What::Create | What::Delete => {}
            _ if touched.has(action) => rewritten.push(name()),
            _ => {}
        }
    }
    let mut follows = Vec::new();
    for (objects, what) in [
        (
            &twice,
            "objects to be made a second time, beside what the last import made",
        ),
        (&rewritten, "objects to be written with other names"),
    ] {
        if !objects.is_empty() {
            follows.push(format!("{what}: {}", named(objects)));
        }
    }
    let writes = !follows.is_empty();
    if !writes {
        follows.push("no object is to be made twice or written with other names".to_owned());
    }
    Ok(Some(Changed {
        text: format!("{difference}; {}", follows.join("; ")),
        writes,
    }))
}

/// Every entry that one of two maps has otherwise or not at all.
fn differing(before: &MapEntries, now: &MapEntries) -> Vec<String> {
    let empty = BTreeMap::new();
    let sections: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let mut lines = Vec::new();
    for section in sections {
        let old = before.get(section).unwrap_or(&empty);
        let new = now.get(section).unwrap_or(&empty);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for from in names {
            match (old.get(from), new.get(from)) {
                (Some(old), None) => lines.push(format!("[{section}] {from:?} = {old:?} is gone")),
                (None, Some(new)) => lines.push(format!("[{section}] {from:?} = {new:?} is new")),
                (Some(old), Some(new)) if old != new => {
                    lines.push(format!("[{section}] {from:?} = {new:?} was {old:?}"));
                }
                _ => {}
            }
        }
    }
    lines
}

fn named(all: &[String]) -> String {
    let mut text = all[..all.len().min(NAMED)].join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}

/// Objects that two maps make something else of.
#[derive(Default)]
struct Touched {
    objects: BTreeSet<Object>,
    /// The path in the source of every object of the tree that stood elsewhere by the old map.
    moved: HashMap<Object, String>,
    /// Pools and policies for which another one of the target stands in now, or none, or one for the first time.
    swapped: BTreeSet<Object>,
    /// Those for which one stood in before.
    stood_in: BTreeSet<Object>,
}

impl Touched {
    fn between(before: &ArchiveState, now: &ArchiveState) -> Self {
        let mut touched = Self::default();
        touched.stand_ins(before, now);
        touched.bodies(before, now);
        touched.members(now);
        touched.tree(before, now);
        touched
    }

    fn stand_ins(&mut self, before: &ArchiveState, now: &ArchiveState) {
        let (old, new) = (&before.translation.stand_ins, &now.translation.stand_ins);
        let differ = |object: &&Object| old.get(*object) != new.get(*object);
        let objects = old.keys().chain(new.keys()).filter(differ);
        self.swapped.extend(objects.cloned());
        self.objects.extend(self.swapped.iter().cloned());
        self.stood_in.extend(old.keys().cloned());
    }

    /// Objects whose body, or whose access control, is another one, and those that name a pool or policy for which
    /// another one stands in.
    fn bodies(&mut self, before: &ArchiveState, now: &ArchiveState) {
        for kind in lifeboat_catalog::kinds() {
            let old: HashMap<&str, _> = before
                .of_kind(kind.name)
                .iter()
                .map(|record| (record.id.as_str(), &record.body))
                .collect();
            for record in now.of_kind(kind.name) {
                let leads = |found: &lifeboat_catalog::Found| {
                    let kind = match found.to {
                        Target::InstancePool => "instance-pools",
                        Target::ClusterPolicy => "cluster-policies",
                        _ => return false,
                    };
                    self.swapped
                        .contains(&(kind.to_owned(), found.value.clone()))
                };
                let other = old.get(record.id.as_str()) != Some(&&record.body)
                    || before.acl(kind.name, &record.id) != now.acl(kind.name, &record.id)
                    || kind.found_references(&record.body).iter().any(leads);
                if other {
                    self.objects
                        .insert((kind.name.to_owned(), record.id.clone()));
                }
            }
        }
    }

    /// Groups with a member who is somebody else.
    fn members(&mut self, now: &ArchiveState) {
        let people: BTreeSet<&str> = self
            .objects
            .iter()
            .filter(|(kind, _)| matches!(kind.as_str(), "users" | "service-principals" | "groups"))
            .map(|(_, id)| id.as_str())
            .collect();
        let groups: Vec<Object> = now
            .of_kind("groups")
            .iter()
            .filter(|group| {
                let members = scim::member_ids(&group.body);
                members.iter().any(|id| people.contains(id.as_str()))
            })
            .map(|group| ("groups".to_owned(), group.id.clone()))
            .collect();
        self.objects.extend(groups);
    }

    fn tree(&mut self, before: &ArchiveState, now: &ArchiveState) {
        fn origin<'s>(state: &'s ArchiveState, line: &'s TreeLine) -> &'s str {
            let origins = &state.translation.origins;
            origins.get(&line.path).unwrap_or(&line.path)
        }
        let own =
            |state: &ArchiveState, line: &TreeLine| !state.translation.folders.contains(&line.path);
        let stood: HashMap<&str, &str> = before
            .tree
            .iter()
            .filter(|line| own(before, line))
            .map(|line| (origin(before, line), line.path.as_str()))
            .collect();
        for line in now.tree.iter().filter(|line| own(now, line)) {
            let kind = tree::kind_of(&line.object_type).name;
            let object = (kind.to_owned(), line.path.clone());
            let source = origin(now, line);
            let id = &line.object_id;
            if stood.get(source).is_some_and(|path| *path != line.path) {
                self.moved.insert(object, source.to_owned());
            } else if before.acl(kind, id) != now.acl(kind, id) {
                self.objects.insert(object);
            }
        }
    }

    fn has(&self, action: &Action) -> bool {
        let object = (action.kind.clone(), action.id.clone());
        self.objects.contains(&object) || self.moved.contains_key(&object)
    }

    /// Whether the target holds, under other names, what an action makes.
    fn stands(&self, action: &Action, linked: &Linked<'_>, known: &Knowledge) -> bool {
        let object = (action.kind.clone(), action.id.clone());
        match self.moved.get(&object) {
            Some(source) => linked.elsewhere(&action.kind, source, &action.id),
            None => {
                let entry = known.entry(&action.kind, &action.id);
                let is_there =
                    entry.is_some_and(Entry::is_linked) || self.stood_in.contains(&object);
                self.objects.contains(&object) && is_there
            }
        }
    }
}

/// Objects of the tree that the journal links, by their path in the source, under whatever map they were made.
struct Linked<'k>(HashMap<(&'k str, &'k str), Vec<&'k str>>);

impl<'k> Linked<'k> {
    fn of(known: &'k Knowledge) -> Self {
        let mut paths: HashMap<_, Vec<&str>> = HashMap::new();
        for kind in ["directories", "notebooks", "files"] {
            let linked = known.of_kind(kind);
            for (path, entry) in linked.filter(|(_, entry)| entry.is_linked() && !entry.elsewhere) {
                let source = entry.origin.as_deref().unwrap_or(path);
                paths.entry((kind, source)).or_default().push(path);
            }
        }
        Self(paths)
    }

    /// Whether one stands at another path than this.
    fn elsewhere(&self, kind: &str, source: &str, path: &str) -> bool {
        let paths = self.0.get(&(kind, source));
        paths.is_some_and(|paths| paths.iter().any(|known| *known != path))
    }
}
