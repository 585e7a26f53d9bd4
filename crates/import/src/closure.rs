//! An object and everything that it needs (`spec/import.md`, "Closures"): references followed through the records of the
//! archive, pure but for the text of notebooks, which a function gives.

mod run_lines;

use std::collections::{BTreeMap, VecDeque};

use lifeboat_catalog::acl::{self, Principal};
use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Form, Found, Kind, Target, paths, places, tree};

use crate::archived::ArchiveState;
use crate::error::Error;
use crate::held::TreeLine;
use crate::plan::directory_parents;

/// Gives the content of a notebook of the archive.
pub(crate) type Content<'c> = &'c dyn Fn(&TreeLine) -> Result<Vec<u8>, Error>;

/// Objects by kind and id (objects of the tree and of DBFS: by path), each with the reason why it is among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closure {
    members: BTreeMap<String, BTreeMap<String, String>>,
    /// What is referred to and in no archive.
    pub remarks: Vec<String>,
}

impl Closure {
    /// Whether it has objects of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.members.contains_key(kind)
    }

    /// Why an object is in it.
    pub fn why(&self, kind: &str, id: &str) -> Option<&str> {
        self.members.get(kind)?.get(id).map(String::as_str)
    }
}

/// Follows the references of what `seeds` name: `KIND/ID`, `KIND/NAME`, or a path of the workspace.
///
/// # Errors
/// [`Error::Selection`] for a seed that names nothing or several objects; what `content` gives.
pub(crate) fn of(
    archive: &ArchiveState,
    seeds: &[String],
    content: Content<'_>,
) -> Result<Closure, Error> {
    let mut walk = Walk {
        archive,
        content,
        closure: Closure::default(),
        queue: VecDeque::new(),
    };
    for seed in seeds {
        walk.seed(seed)?;
    }
    while let Some((kind, id)) = walk.queue.pop_front() {
        walk.visit(kind, &id)?;
    }
    Ok(walk.closure)
}

struct Walk<'w> {
    archive: &'w ArchiveState,
    content: Content<'w>,
    closure: Closure,
    queue: VecDeque<(&'static str, String)>,
}

fn wrong(seed: &str, what: String) -> Error {
    Error::Selection {
        pattern: seed.to_owned(),
        what,
    }
}

impl<'w> Walk<'w> {
    fn seed(&mut self, seed: &str) -> Result<(), Error> {
        const WHY: &str = "asked for";
        if seed.starts_with('/') {
            let path = tree::without_alias(seed.trim_end_matches('/'));
            return if self.path(path, WHY) {
                Ok(())
            } else {
                Err(wrong(
                    seed,
                    "the archive holds nothing at this path".to_owned(),
                ))
            };
        }
        let Some((kind, name)) = seed.split_once('/') else {
            let form = "say KIND/ID, KIND/NAME or a path that begins with a slash";
            return Err(wrong(seed, form.to_owned()));
        };
        let Some(kind) = lifeboat_catalog::kind(kind) else {
            return Err(wrong(seed, "no such kind of object".to_owned()));
        };
        let nothing = || wrong(seed, format!("the archive holds no such {}", kind.singular));
        match kind.name {
            "directories" | "notebooks" | "files" => {
                self.path(name, WHY).then_some(()).ok_or_else(nothing)
            }
            "dbfs" => self.dbfs(name, WHY).then_some(()).ok_or_else(nothing),
            _ => {
                let records = self.archive.of_kind(kind.name);
                if let Some(record) = records.iter().find(|record| record.id == name) {
                    self.record(kind, record, WHY);
                    return Ok(());
                }
                let named: Vec<&ObjectRecord> = records
                    .iter()
                    .filter(|record| is_named(kind, record, name))
                    .collect();
                match named.as_slice() {
                    [] => Err(nothing()),
                    [only] => {
                        self.record(kind, only, WHY);
                        Ok(())
                    }
                    several => {
                        let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
                        let ids = ids.join(", ");
                        Err(wrong(
                            seed,
                            format!("several have this name; say which: {ids}"),
                        ))
                    }
                }
            }
        }
    }

    /// Takes an object in; false when it was in already.
    fn add(&mut self, kind: &'static str, id: &str, why: &str) {
        let members = self.closure.members.entry(kind.to_owned()).or_default();
        if !members.contains_key(id) {
            members.insert(id.to_owned(), why.to_owned());
            self.queue.push_back((kind, id.to_owned()));
        }
    }

    fn record(&mut self, kind: &'static Kind, record: &ObjectRecord, why: &str) {
        match (kind.name, kind.key_of(&record.body)) {
            // Known by its path, like everything of the tree.
            ("git-folders", Some(path)) => {
                self.add(kind.name, tree::without_alias(&path), why);
            }
            _ => self.add(kind.name, &record.id, why),
        }
    }

    /// Takes in what stands at a path of the workspace and below it, or the git folder above it; false when nothing does.
    fn path(&mut self, path: &str, why: &str) -> bool {
        let archive = self.archive;
        let from = archive
            .tree
            .partition_point(|line| line.path.as_str() < path);
        let mut found = false;
        for line in &archive.tree[from..] {
            if !line.path.starts_with(path) {
                break;
            }
            if paths::is_below(&line.path, path) {
                let kind = tree::kind_of(&line.object_type).name;
                self.add(kind, &line.path, why);
                found = true;
            }
        }
        if found {
            return true;
        }
        let parents = directory_parents(path);
        let folder = parents.iter().find(|above| {
            self.line(above)
                .is_some_and(|line| line.object_type == "REPO")
        });
        if let Some(folder) = folder {
            self.add("git-folders", folder, why);
        }
        folder.is_some()
    }

    fn dbfs(&mut self, path: &str, why: &str) -> bool {
        let archive = self.archive;
        let below: Vec<&str> = archive
            .dbfs
            .iter()
            .map(|line| line.path.as_str())
            .filter(|known| paths::is_below(known, path))
            .collect();
        for known in &below {
            self.add("dbfs", known, why);
        }
        !below.is_empty()
    }

    fn line(&self, path: &str) -> Option<&'w TreeLine> {
        let lines = &self.archive.tree;
        let at = lines.binary_search_by(|line| line.path.as_str().cmp(path));
        at.ok().map(|at| &lines[at])
    }

    fn visit(&mut self, kind: &'static str, id: &str) -> Result<(), Error> {
        let Some(kind) = lifeboat_catalog::kind(kind) else {
            return Ok(());
        };
        let why = format!("needed by {} {id}", kind.singular);
        let archive = self.archive;
        let record = match kind.name {
            "directories" | "notebooks" | "files" | "workspace-objects" => {
                return self.visit_line(id, &why);
            }
            "git-folders" => {
                self.above(id, &why);
                let path = |record: &&ObjectRecord| {
                    kind.key_of(&record.body)
                        .is_some_and(|path| tree::without_alias(&path) == id)
                };
                archive.of_kind(kind.name).iter().find(path)
            }
            _ => archive
                .of_kind(kind.name)
                .iter()
                .find(|record| record.id == id),
        };
        let Some(record) = record else {
            return Ok(());
        };
        let name = kind.label_of(&record.body).unwrap_or_default();
        let why = format!("needed by {} {} ({name})", kind.singular, record.id);
        for found in kind.found_references(&record.body) {
            // Who else is in a group is not needed by what names the group.
            if found.form != Form::Member {
                self.reference(&found, &why);
            }
        }
        if kind.name == "clusters" {
            let mut lists = archive.of_kind("libraries").iter();
            if lists.any(|list| list.id == record.id) {
                self.add("libraries", &record.id, &why);
            }
        }
        self.grantees(kind, &record.id, &why);
        Ok(())
    }

    fn visit_line(&mut self, path: &str, why: &str) -> Result<(), Error> {
        let Some(line) = self.line(path) else {
            return Ok(());
        };
        self.grantees(tree::kind_of(&line.object_type), &line.object_id, why);
        self.above(path, why);
        let Some(content) = line
            .content
            .as_ref()
            .filter(|_| line.object_type == "NOTEBOOK")
        else {
            return Ok(());
        };
        let text = (self.content)(line)?;
        for named in run_lines::of(&text, &content.format) {
            match run_lines::resolve(path, &named) {
                Some(target) if self.path(&target, why) => {}
                _ => self.closure.remarks.push(format!(
                    "notebook {path} runs {named}, which is not in the archive"
                )),
            }
        }
        Ok(())
    }

    /// The directories above a path are made where they are missing: who is granted them must be there, and whose home it
    /// is.
    fn above(&mut self, path: &str, why: &str) {
        if let Some(owner) = tree::home_owner(path) {
            self.named(Target::Principal, owner, why);
        }
        for above in directory_parents(path) {
            if !tree::is_builtin_directory(above)
                && let Some(line) = self.line(above)
            {
                self.grantees(tree::kind_of(&line.object_type), &line.object_id, why);
            }
        }
    }

    fn grantees(&mut self, kind: &Kind, id: &str, why: &str) {
        let Some(archived) = self.archive.acl(kind.name, id) else {
            return;
        };
        for grant in acl::grants(&archived) {
            let Principal { kind, name } = grant.principal;
            self.named(kind, &name, why);
        }
    }

    fn reference(&mut self, found: &Found, why: &str) {
        let kind = match found.to {
            Target::Cluster => "clusters",
            Target::InstancePool => "instance-pools",
            Target::ClusterPolicy => "cluster-policies",
            Target::Job => "jobs",
            Target::GitFolder => "git-folders",
            Target::WorkspacePath => {
                self.path(&found.value, why);
                return;
            }
            Target::DbfsPath => {
                self.dbfs(&found.value, why);
                return;
            }
            Target::SecretScope => "secret-scopes",
            to => return self.named(to, &found.value, why),
        };
        let Some(kind) = lifeboat_catalog::kind(kind) else {
            return;
        };
        let archive = self.archive;
        let by_name = kind.name == "secret-scopes";
        let mut records = archive.of_kind(kind.name).iter();
        let found = records.find(|record| {
            record.id == found.value || (by_name && is_named(kind, record, &found.value))
        });
        if let Some(record) = found {
            self.record(kind, record, why);
        }
    }

    /// A principal by name.
    fn named(&mut self, to: Target, name: &str, why: &str) {
        let kinds: &[(&str, &str)] = match to {
            Target::User => &[("users", "userName")],
            Target::Group => &[("groups", "displayName")],
            Target::ServicePrincipal => &[("service-principals", "applicationId")],
            Target::Principal => &[
                ("users", "userName"),
                ("service-principals", "applicationId"),
                ("groups", "displayName"),
            ],
            _ => return,
        };
        let archive = self.archive;
        for (kind, place) in kinds {
            let Some(kind) = lifeboat_catalog::kind(kind) else {
                continue;
            };
            let mut records = archive.of_kind(kind.name).iter();
            let found = records.find(|record| {
                places::text(&record.body, place)
                    .is_some_and(|known| known.to_lowercase() == name.to_lowercase())
            });
            if let Some(record) = found {
                return self.add(kind.name, &record.id, why);
            }
        }
    }
}

/// Whether people call an object so.
fn is_named(kind: &Kind, record: &ObjectRecord, name: &str) -> bool {
    let label = kind.label_of(&record.body);
    let key = kind.key_of(&record.body);
    label.as_deref() == Some(name)
        || key.as_deref() == Some(name)
        || (matches!(
            kind.natural_key,
            lifeboat_catalog::NaturalKey::FoldedName(_)
        ) && key.is_some_and(|key| key == name.to_lowercase()))
}
