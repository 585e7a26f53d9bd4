//! The plan as a whole: kinds in dependency order, links that later kinds build on, costs, warnings.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_catalog::{Kind, acl, tree as catalog_tree};
use lifeboat_databricks::{Family, family_of};
use serde_json::Value;

use super::owner::OWNER;
use super::{Action, Cost, Limits, Plan, What, homes};
use crate::archived::ArchiveState;
use crate::difference::Change;
use crate::filter::Filter;
use crate::journal::{Entry, Knowledge, Op};
use crate::options::Options;
use crate::preflight;
use crate::report::Todo;
use crate::resolve::{Access, Link, Resolver};
use crate::target::{Listed, TargetObject, TargetState};

/// A plan with what an apply needs besides.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// Names and ids of the target, planned ones among them.
    pub resolver: Resolver,
    /// Objects of the target with the natural key of an object of the archive that the journal does not know.
    pub conflicts: Vec<String>,
    /// How many objects of each kind would be deleted.
    pub deletions: Vec<Limits>,
}

/// Decides what is done with every object of the archive.
#[must_use]
pub fn build(
    archive: &ArchiveState,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    filter: &Filter,
) -> Prepared {
    prepare(archive, target, journal, options, filter, false)
}

/// The same for a comparison, where an object of the same natural key is the same object whoever made it.
#[must_use]
pub(crate) fn build_to_compare(
    archive: &ArchiveState,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    filter: &Filter,
) -> Prepared {
    prepare(archive, target, journal, options, filter, true)
}

fn prepare(
    archive: &ArchiveState,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    filter: &Filter,
    comparing: bool,
) -> Prepared {
    let mut builder = Builder {
        archive,
        target,
        journal,
        options,
        filter,
        resolver: Resolver::new(archive, options.into_source, source_ids(archive, target)),
        actions: Vec::new(),
        calls: BTreeMap::new(),
        writes: 0,
        checklist: Vec::new(),
        conflicts: Vec::new(),
        deletions: Vec::new(),
        taken: HashMap::new(),
        by_key: index(target),
        git_folders: Vec::new(),
        comparing,
        warnings: archive.warnings.clone(),
    };
    builder.resolver.looked_up(&target.named);
    builder.run();
    builder.finish()
}

pub(super) struct Builder<'a> {
    pub archive: &'a ArchiveState,
    pub target: &'a TargetState,
    pub journal: &'a Knowledge,
    pub options: &'a Options,
    pub filter: &'a Filter,
    pub resolver: Resolver,
    pub actions: Vec<Action>,
    pub calls: BTreeMap<Family, u64>,
    /// Those of the calls that write.
    pub writes: u64,
    pub checklist: Vec<Todo>,
    pub conflicts: Vec<String>,
    pub deletions: Vec<Limits>,
    /// Objects of the target, by kind, that belong to an object of the source already.
    pub taken: HashMap<&'static str, HashSet<String>>,
    /// Objects of the target by kind and natural key.
    by_key: HashMap<String, HashMap<String, Vec<&'a TargetObject>>>,
    /// Git folders of the archive, by path in the source.
    pub git_folders: Vec<&'a str>,
    /// Objects of the same natural key are the same object, whoever made them.
    pub comparing: bool,
    pub warnings: Vec<String>,
}

impl<'a> Builder<'a> {
    /// The objects of the target with this natural key.
    pub fn of_key(&self, kind: &str, key: Option<&str>) -> &[&'a TargetObject] {
        let found = key.and_then(|key| self.by_key.get(kind)?.get(key));
        found.map_or(&[], Vec::as_slice)
    }

    fn run(&mut self) {
        if !self.target.is_admin {
            let text = "the caller is no workspace administrator: what it may not see looks absent, \
                        and much cannot be restored";
            self.warnings.push(text.to_owned());
        }
        if let Some((kind, error)) = &self.target.nobody {
            self.warnings.push(format!(
                "the target's {kind} cannot be listed, and an apply refuses to begin without them: {error}"
            ));
        }
        self.take_linked();
        self.identities();
        for moved in homes::moved(self.archive, self.target, self.options, self.filter) {
            self.resolver.move_home(&moved.from, &moved.to);
        }
        self.secret_scopes();
        self.tree();
        self.dbfs();
        for kind in [
            "global-init-scripts",
            "instance-pools",
            "cluster-policies",
            "clusters",
        ] {
            self.objects(kind);
        }
        self.libraries();
        self.jobs();
        self.unknown_kinds();
        self.uncaptured();
        self.removed();
    }

    fn finish(mut self) -> Prepared {
        for action in &mut self.actions {
            if action.what == What::Unchanged && action.writes_owner {
                action.what = What::Update;
                action.reason.get_or_insert_with(|| OWNER.to_owned());
            }
            if action.what == What::Unchanged && action.writes_access {
                action.what = What::Update;
                action
                    .reason
                    .get_or_insert_with(|| "access control".to_owned());
            }
            if action.what == What::Update && action.writes_owner {
                action.changes.push(Change::at(OWNER));
            }
            if action.what == What::Update && action.writes_access {
                action.changes.push(Change::at("access control"));
            }
        }
        self.checklist.sort();
        self.checklist.dedup();
        self.merge_directories();
        let reads = self.read_back();
        let preflight = if self.comparing {
            Vec::new()
        } else {
            preflight::check(&preflight::Seen::new(
                self.archive,
                self.target,
                &self.resolver,
                &self.actions,
            ))
        };
        let plan = Plan {
            source: self.archive.workspace_id.clone(),
            target: self.target.workspace_id.clone(),
            host: self.target.host.clone(),
            archive_id: self.archive.archive_id.clone(),
            actions: self.actions,
            cost: Cost::of(self.options.limits.clone(), self.writes, self.calls, &reads),
            refusals: Vec::new(),
            preflight,
            checklist: self.checklist,
            warnings: self.warnings,
            unknown_kinds: !self.archive.unknown.is_empty(),
            map: self.archive.translation.entries.clone(),
        };
        Prepared {
            plan,
            resolver: self.resolver,
            conflicts: self.conflicts,
            deletions: self.deletions,
        }
    }

    /// Calls that read everything back: contents, and access control where the archive has some.
    fn read_back(&self) -> BTreeMap<Family, u64> {
        let mut reads: BTreeMap<Family, u64> = BTreeMap::new();
        let kept = |action: &&Action| !matches!(action.what, What::Skip | What::Blocked);
        for action in self.actions.iter().filter(kept) {
            match action.kind.as_str() {
                "notebooks" | "files" => *reads.entry(Family::WorkspaceExport).or_default() += 1,
                "dbfs" => *reads.entry(Family::Dbfs).or_default() += 1,
                _ => {}
            }
            let has_access = self.archive.acls.contains_key(&action.kind);
            *reads.entry(Family::PermissionsRead).or_default() += u64::from(has_access);
        }
        reads
    }

    /// A call that makes a directory makes its parents with it: each that is to be made with one below it needs none.
    fn merge_directories(&mut self) {
        let is_made = |action: &&Action| {
            action.kind == "directories" && action.what == What::Create && action.calls > 1
        };
        let made: HashSet<&str> = self
            .actions
            .iter()
            .filter(is_made)
            .map(|action| action.name.as_str())
            .collect();
        let above: HashSet<&str> = made
            .iter()
            .filter_map(|path| super::parent(path))
            .filter(|path| made.contains(path))
            .collect();
        let saved = above.len() as u64;
        self.writes -= saved;
        if let Some(calls) = self.calls.get_mut(&family_of("POST", super::tree::MKDIRS)) {
            *calls -= saved;
        }
    }

    /// Objects of the target that the journal links to some object of the source are nobody else's.
    fn take_linked(&mut self) {
        for kind in lifeboat_catalog::kinds() {
            let linked = self
                .journal
                .of_kind(kind.name)
                .filter_map(|(_, entry)| entry.target.clone());
            let taken = self.taken.entry(kind.name).or_default();
            taken.extend(linked);
            if self.options.into_source {
                // What is still there under its own id was not made by an earlier run.
                let own = self.archive.of_kind(kind.name).iter();
                taken.extend(own.map(|record| record.id.clone()));
            }
        }
    }

    fn unknown_kinds(&mut self) {
        for (kind, count) in &self.archive.unknown {
            let name = if *count == 0 {
                "its objects".to_owned()
            } else {
                format!("{count} objects")
            };
            let action =
                Action::new(kind, "", &name, What::Blocked).because("not restored: unknown kind");
            self.actions.push(action);
        }
    }

    /// Adds an action with the calls that it takes.
    pub fn push(&mut self, mut action: Action, calls: &[(&str, &str, u64)]) {
        let remarks = &self.archive.translation.remarks;
        if let Some(remarks) = remarks.get(&(action.kind.clone(), action.id.clone())) {
            action.remarks.extend(remarks.iter().cloned());
        }
        let why = self.filter.why(&action.kind, &action.id);
        if let Some(why) = why.or_else(|| self.filter.why(&action.kind, &action.name)) {
            action.remarks.push(why.to_owned());
        }
        if action.has_work() {
            for (method, path, count) in calls {
                *self.calls.entry(family_of(method, path)).or_default() += count;
                action.calls += count;
                self.writes += if *method == "GET" { 0 } else { *count };
            }
            if action.writes_access {
                *self.calls.entry(Family::PermissionsWrite).or_default() += 1;
                action.calls += 1;
                self.writes += 1;
            }
        }
        self.actions.push(action);
    }

    /// Decides on the access control of an object: `id` as the archive's ACL tables know it, `journal_id` as the
    /// journal does.
    pub fn access(&self, kind: &Kind, id: &str, journal_id: &str, action: &mut Action) {
        let Some(permissions) = kind.permissions else {
            return;
        };
        if matches!(action.what, What::Skip | What::Blocked) {
            return;
        }
        let Some(archived) = self.archive.acl(kind.name, id) else {
            if !self.archive.without_access.contains(kind.name) {
                self.without_record(kind, permissions.has_owner, journal_id, action);
            }
            return;
        };
        let access = self
            .resolver
            .access(kind, &archived, &self.target.caller_principal());
        action.notes.extend(access.notes.iter().cloned());
        let entry = self.journal.entry(kind.name, journal_id);
        if self.options.into_source
            && action.what != What::Create
            && !entry.is_some_and(Entry::is_without_access)
        {
            return;
        }
        let written = entry.and_then(|entry| entry.access.as_deref());
        let mut changed = matches!(action.what, What::Create | What::Adopt)
            || action.writes_owner
            || written != Some(access.digest().as_str())
            || entry.is_some_and(|entry| entry.is_replaced(action.target.as_deref()));
        if !changed
            && let Some(target) = &action.target
            && let Some(read) = self
                .target
                .acls
                .get(&(permissions.segment.to_owned(), target.clone()))
        {
            changed = !acl::same(&acl::grants(&read.value()), &access.grants);
        }
        if !changed && let Some(names) = entry.and_then(|entry| entry.ungranted.as_deref()) {
            action.notes.push(not_known(names));
        }
        action.writes_access = changed;
        self.without_feature(entry, &access, action);
    }

    /// Does not ask again for access control that the target has switched off, while the same is wanted for the same object.
    pub fn without_feature(&self, entry: Option<&Entry>, access: &Access, action: &mut Action) {
        let Some(entry) = entry.filter(|_| action.writes_access) else {
            return;
        };
        let target = action.target.as_deref();
        let asked = entry.refusal(Op::Access, Some(&access.digest())).is_some();
        let again = target.is_none_or(|target| self.options.recheck.acls(target));
        if asked && !again && !entry.is_replaced(target) {
            action.writes_access = false;
            action.notes.push(ACCESS_OFF.to_owned());
        }
    }

    /// What the service said when it refused this very write in an earlier run: it is not asked again, unless the run
    /// reads again what the journal calls known.
    pub fn refused_before(
        &self,
        kind: &str,
        id: &str,
        op: Op,
        digest: Option<&str>,
    ) -> Option<String> {
        let entry = self.journal.entry(kind, id)?;
        let error = entry.refusal(op, digest)?;
        let again = self.options.recheck.contents(id) || entry.pending.is_some();
        (!again).then(|| {
            format!(
                "{error} (in an earlier run, and nothing changed since; --recheck all tries again)"
            )
        })
    }

    /// Names what an object lacks whose access control the archive does not hold: in every run, as long as it stands.
    fn without_record(&self, kind: &Kind, has_owner: bool, journal_id: &str, action: &mut Action) {
        let entry = self.journal.entry(kind.name, journal_id);
        let made = action.what == What::Create || action.recovered;
        if made || entry.is_some_and(Entry::is_without_access) {
            let what = "access control: the archive does not hold it, the importer's rights stay";
            action.notes.push(what.to_owned());
            if has_owner {
                let what = "owner missing: the archive names none, the importer owns it";
                action.notes.push(what.to_owned());
            }
        } else if entry.is_some_and(|entry| entry.access.is_some()) {
            let what = "access control: the archive does not hold it, what was written last stays";
            action.notes.push(what.to_owned());
        }
    }

    /// Records what an object is in the target after its action.
    pub fn link_action(&mut self, kind: &'static str, id: &str, action: &Action) {
        let link = match (&action.target, action.what) {
            (Some(target), _) => Link::Id(target.clone()),
            (None, What::Create | What::Adopt) => Link::Planned,
            (None, _) => Link::Absent(
                action
                    .reason
                    .clone()
                    .unwrap_or_else(|| "it is not restored".to_owned()),
            ),
        };
        if let Link::Id(target) = &link {
            self.taken.entry(kind).or_default().insert(target.clone());
        }
        self.resolver.link(kind, id, link);
    }

    /// Notes that the target holds an object of the same natural key that the journal does not know.
    pub fn conflict(&mut self, kind: &Kind, name: &str) {
        self.conflicts.push(format!("{} {name}", kind.singular));
    }

    pub fn todo(&mut self, kind: &str, name: &str, what: &str, command: String) {
        self.checklist.push(Todo {
            kind: kind.to_owned(),
            name: name.to_owned(),
            what: what.to_owned(),
            command,
        });
    }
}

fn index(target: &TargetState) -> HashMap<String, HashMap<String, Vec<&TargetObject>>> {
    let mut index: HashMap<String, HashMap<String, Vec<&TargetObject>>> = HashMap::new();
    for (name, listed) in &target.kinds {
        let (Some(kind), Listed::Yes(objects)) = (lifeboat_catalog::kind(name), listed) else {
            continue;
        };
        let keys = index.entry(name.clone()).or_default();
        for object in objects {
            if let Some(key) = kind.key_of(&object.body) {
                // Paths come with and without their alias.
                let key = match kind.name {
                    "git-folders" => catalog_tree::without_alias(&key).to_owned(),
                    _ => key,
                };
                keys.entry(key).or_default().push(object);
            }
        }
    }
    index
}

/// Ids of the source that mean nothing in the target.
fn source_ids(archive: &ArchiveState, target: &TargetState) -> std::collections::BTreeSet<String> {
    let identity = |kind: &str| {
        matches!(
            kind,
            "users" | "groups" | "service-principals" | "secret-scopes"
        )
    };
    archive
        .objects
        .iter()
        .filter(|(kind, _)| !identity(kind))
        .flat_map(|(kind, records)| records.iter().map(move |record| (kind, record)))
        .filter(|(kind, record)| target.by_id(kind, &record.id).is_none())
        .map(|(_, record)| record.id.clone())
        .collect()
}

/// The kind of that name; every name in this crate is one of the catalog's.
pub(super) fn catalog_kind(name: &str) -> &'static Kind {
    lifeboat_catalog::kind(name).expect("kinds named in this crate are kinds of the catalog")
}

/// What an object lacks where the target has no access control.
pub(crate) const ACCESS_OFF: &str = "access control is not available in the target";

/// That the service refused to grant something to somebody.
pub(crate) fn not_known(names: &str) -> String {
    format!("not granted: the service does not know {names}")
}

/// The name of an object for people.
pub(super) fn label(kind: &Kind, body: &Value, id: &str) -> String {
    kind.label_of(body)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| id.to_owned())
}

/// The kind of an object of the tree.
pub(super) fn tree_kind(object_type: &str) -> &'static Kind {
    catalog_tree::kind_of(object_type)
}
