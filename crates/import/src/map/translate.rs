//! The records of an archive in the target's words (`spec/import.md`, "Map file").
//!
//! Everything that a map speaks of is replaced when the records are loaded, so that plan, apply, compare and journal know
//! the new names only. Contents of notebooks and files are never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Form, Found, Kind, Target, paths, places, secret_scopes, tree};
use serde_json::Value;

use super::names::{IDENTITIES, Names, rename};
use super::parse::{MapFile, Section, is_resource_id};
use super::{MapEntry, folders, hosts};
use crate::archived::ArchiveState;
use crate::plan::uncaptured;

/// Problems of one sort that are named; the rest is counted.
const NAMED: usize = 5;

/// Kinds whose bodies hold addresses of storage.
const WITH_HOSTS: [&str; 5] = [
    "instance-pools",
    "cluster-policies",
    "clusters",
    "libraries",
    "jobs",
];

/// Translates the records.
///
/// # Errors
/// Every problem: entries that match nothing or contradict each other, names that would melt.
pub(crate) fn translate(map: &MapFile, state: &mut ArchiveState) -> Result<(), Vec<String>> {
    let mut translator = Translator {
        map,
        names: Names::of(state),
        matches: vec![0; map.entries.len()],
        used: BTreeMap::new(),
        sources: BTreeMap::new(),
        left_alone: HashSet::new(),
        clones: HashMap::new(),
        remarks: HashMap::new(),
        problems: Vec::new(),
    };
    translator.identities(state);
    translator.stand_ins(state);
    translator.objects(state);
    translator.access(state);
    translator.tree(state);
    translator.finish(state)
}

struct Translator<'m> {
    map: &'m MapFile,
    names: Names,
    /// Places that each entry translated.
    matches: Vec<u64>,
    /// Names of the target that were put in, with the entry.
    used: BTreeMap<(Section, String), usize>,
    /// Names of the source by the name that they get, where no two may get one.
    sources: BTreeMap<(Section, String), BTreeSet<String>>,
    /// Ids of kinds that no archive holds which no entry speaks of.
    left_alone: HashSet<(Section, String)>,
    /// Paths of git folders that were renamed: the new one to that in the source.
    clones: HashMap<String, String>,
    remarks: HashMap<(String, String), Vec<String>>,
    problems: Vec<String>,
}

impl Translator<'_> {
    /// What a name is called in the target.
    fn value(&mut self, section: Section, name: &str) -> Option<String> {
        match self.map.find(section, name) {
            Ok(hit) => {
                let (position, to) = hit?;
                self.matches[position] += 1;
                self.used.insert((section, to.clone()), position);
                if section.is_one_to_one() {
                    self.sources
                        .entry((section, section.key(&to)))
                        .or_default()
                        .insert(section.key(name));
                }
                Some(to)
            }
            Err(disagree) => {
                self.disagree(name, disagree);
                None
            }
        }
    }

    fn disagree(&mut self, name: &str, (one, other): (usize, usize)) {
        let problem = format!(
            "{name:?} is matched by {} and by {}, which disagree",
            self.map.entries[one].place(),
            self.map.entries[other].place()
        );
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What somebody is called in the target. Patterns speak of those whom the archive knows: an address of a mailing
    /// list, or the name of somebody who left, is nobody's name.
    fn identity(&mut self, section: Section, name: &str) -> Option<String> {
        let speaks = self.map.is_exact(section, name)
            || self.names.has(section, name)
            || self.names.partial.contains(&section);
        if speaks {
            self.value(section, name)
        } else {
            None
        }
    }

    fn principal(&mut self, name: &str) -> Option<String> {
        self.identity(self.names.section(name), name)
    }

    /// A path of the tree in the target: by the longest prefix, else with the home of its user.
    fn path(&mut self, path: &str) -> Option<String> {
        match self.map.find_path(path) {
            Ok(Some((position, to))) => {
                self.matches[position] += 1;
                return Some(to);
            }
            Ok(None) => {}
            Err(disagree) => self.disagree(path, disagree),
        }
        for root in ["/Users/", "/Repos/"] {
            if let Some(below) = path.strip_prefix(root) {
                let (owner, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
                if self.names.section(owner) == Section::Groups {
                    return None;
                }
                let owner = self.principal(owner)?;
                return Some(format!("{root}{owner}{rest}"));
            }
        }
        None
    }

    fn reference(&mut self, found: &Found) -> Option<String> {
        if found.form == Form::Member {
            return None;
        }
        let section = match found.to {
            Target::User | Target::EmailAddress => {
                return self.identity(Section::Users, &found.value);
            }
            Target::Group => return self.identity(Section::Groups, &found.value),
            Target::ServicePrincipal => {
                return self.identity(Section::ServicePrincipals, &found.value);
            }
            Target::Principal => return self.principal(&found.value),
            Target::WorkspacePath => return self.path(&found.value),
            Target::NodeType => Section::NodeTypes,
            Target::SparkVersion => Section::SparkVersions,
            Target::KeyVault => Section::KeyVaults,
            other => foreign_section(other)?,
        };
        let new = self.value(section, &found.value);
        if new.is_none() {
            self.left_alone.insert((section, found.value.clone()));
        }
        new
    }

    fn identities(&mut self, state: &mut ArchiveState) {
        for (kind, field, section) in IDENTITIES {
            for record in state.objects.get_mut(kind).into_iter().flatten() {
                let Some(old) = places::text(&record.body, field) else {
                    continue;
                };
                let Some(new) = self.value(section, &old) else {
                    if section.is_one_to_one() {
                        let key = section.key(&old);
                        self.sources
                            .entry((section, key.clone()))
                            .or_default()
                            .insert(key);
                    }
                    continue;
                };
                rename(record, field, &old, &new);
                state
                    .translation
                    .principals
                    .insert((kind.to_owned(), record.id.clone()));
                self.remark(kind, &record.id, &old, &new);
            }
        }
    }

    fn remark(&mut self, kind: &str, id: &str, old: &str, new: &str) {
        if old == new {
            return;
        }
        let remarks = self
            .remarks
            .entry((kind.to_owned(), id.to_owned()))
            .or_default();
        let text = format!("mapped: {old} -> {new}");
        if !remarks.contains(&text) {
            remarks.push(text);
        }
    }

    /// Pools and policies for which another one of the target stands in.
    fn stand_ins(&mut self, state: &mut ArchiveState) {
        for (kind, field, section) in [
            (
                "instance-pools",
                "instance_pool_name",
                Section::InstancePools,
            ),
            ("cluster-policies", "name", Section::ClusterPolicies),
        ] {
            let names: Vec<(String, String)> = state
                .of_kind(kind)
                .iter()
                .filter_map(|record| Some((record.id.clone(), places::text(&record.body, field)?)))
                .collect();
            for (id, name) in names {
                if let Some(to) = self.value(section, &name) {
                    state
                        .translation
                        .stand_ins
                        .insert((kind.to_owned(), id), to);
                }
            }
        }
    }

    fn objects(&mut self, state: &mut ArchiveState) {
        for kind in lifeboat_catalog::kinds() {
            for record in state.objects.get_mut(kind.name).into_iter().flatten() {
                if kind.name == "secret-scopes" {
                    self.check_vault(record);
                }
                self.body(kind, record);
            }
        }
    }

    fn body(&mut self, kind: &'static Kind, record: &mut ObjectRecord) {
        let ObjectRecord { id, body, name, .. } = record;
        kind.rewrite(body, &mut |found| {
            let new = self.reference(found)?;
            self.remark(kind.name, id, &found.value, &new);
            Some(new)
        });
        // As whom a job of an older interface runs, which the request form takes over, and who made a cluster.
        let person = match kind.name {
            "jobs" => Some("run_as_user_name"),
            "clusters" => Some("creator_user_name"),
            _ => None,
        };
        if let Some(Value::String(name)) = person.and_then(|field| body.get_mut(field))
            && let Some(new) = self.principal(name)
        {
            self.remark(kind.name, id, name, &new);
            *name = new;
        }
        if kind.name == "git-folders"
            && let Some(Value::String(path)) = body.get_mut("path")
            && let Some(new) = self.path(tree::without_alias(path))
        {
            let old = tree::without_alias(path).to_owned();
            self.clones.insert(new.clone(), old);
            name.clone_from(&new);
            *path = new;
        }
        if WITH_HOSTS.contains(&kind.name) && self.map.has(Section::StorageHosts) {
            let mut changed = Vec::new();
            hosts::replace(body, &mut |host| {
                let new = self.host(host)?;
                changed.push((host.to_owned(), new.clone()));
                Some(new)
            });
            for (old, new) in changed {
                self.remark(kind.name, id, &old, &new);
            }
        }
    }

    /// What a host is called in the target.
    fn host(&mut self, host: &str) -> Option<String> {
        self.value(Section::StorageHosts, host)
    }

    /// A vault has two names; a scope must not point to two vaults.
    fn check_vault(&mut self, record: &ObjectRecord) {
        if !secret_scopes::is_key_vault(&record.body) {
            return;
        }
        let names: Vec<String> = ["resource_id", "dns_name"]
            .iter()
            .filter_map(|field| {
                places::text(&record.body, &format!("scope.keyvault_metadata.{field}"))
            })
            .collect();
        let (mapped, others): (Vec<&String>, Vec<&String>) = names
            .iter()
            .partition(|name| matches!(self.map.find(Section::KeyVaults, name), Ok(Some(_))));
        if let (Some(mapped), Some(other)) = (mapped.first(), others.first()) {
            let what = if is_resource_id(other) {
                "resource id"
            } else {
                "DNS name"
            };
            self.problems.push(format!(
                "[key-vaults] maps {mapped:?} of the secret scope {}, but not its {what} {other:?}: both name the same \
                 vault",
                record.id
            ));
        }
    }

    fn access(&mut self, state: &mut ArchiveState) {
        for replies in state.acls.values_mut() {
            for held in replies.values_mut() {
                let mut reply = held.value();
                let entries = reply
                    .get_mut("access_control_list")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten();
                for entry in entries {
                    for (field, section) in [
                        ("user_name", Section::Users),
                        ("group_name", Section::Groups),
                        ("service_principal_name", Section::ServicePrincipals),
                    ] {
                        if let Some(Value::String(name)) = entry.get_mut(field)
                            && let Some(new) = self.identity(section, name)
                        {
                            *name = new;
                        }
                    }
                }
                *held = reply.into();
            }
        }
    }

    fn tree(&mut self, state: &mut ArchiveState) {
        let mut opened = BTreeSet::new();
        for line in &mut state.tree {
            let Some(new) = self.path(&line.path).filter(|new| *new != line.path) else {
                continue;
            };
            if tree::home_owner(&line.path).is_some() && paths::is_below(&new, "/Shared") {
                opened.extend(tree::home_owner(&line.path).map(str::to_owned));
            }
            let old = std::mem::replace(&mut line.path, new.clone());
            let kind = tree::kind_of(&line.object_type).name;
            self.remarks
                .entry((kind.to_owned(), new.clone()))
                .or_default()
                .push(format!("mapped from {old}"));
            state.translation.origins.insert(new, old);
        }
        state
            .translation
            .origins
            .extend(std::mem::take(&mut self.clones));
        let mut renamed = |names: &BTreeSet<String>| -> Vec<String> {
            let paths = names.iter().filter(|name| name.starts_with('/'));
            paths.filter_map(|name| self.path(name)).collect()
        };
        let (uncaptured, ledger) = (renamed(&state.uncaptured), renamed(&state.ledger));
        for line in &mut state.failed {
            if let Some(new) = self
                .path(&line.name)
                .filter(|_| uncaptured::by_path(&line.kind))
            {
                let old = std::mem::replace(&mut line.name, new.clone());
                state.translation.origins.insert(new, old);
            }
        }
        state.uncaptured.extend(uncaptured);
        state.ledger.extend(ledger);
        for owner in opened {
            state.warnings.push(format!(
                "the map puts content of the home of {owner} below /Shared, where everybody may read and change it"
            ));
        }
        self.melted(state);
        folders::add_missing(state);
    }

    /// Two paths of the source that would be one.
    fn melted(&mut self, state: &ArchiveState) {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut melted: Vec<&str> = Vec::new();
        for line in &state.tree {
            if !seen.insert(&line.path) {
                melted.push(&line.path);
            }
        }
        if melted.is_empty() {
            return;
        }
        let named = melted[..melted.len().min(NAMED)].join(", ");
        self.problems.push(format!(
            "{} paths would stand for two objects of the source each: {named}",
            melted.len()
        ));
    }

    fn finish(mut self, state: &mut ArchiveState) -> Result<(), Vec<String>> {
        for ((section, to), from) in &self.sources {
            if from.len() > 1 {
                let names: Vec<&str> = from.iter().map(String::as_str).collect();
                self.problems.push(format!(
                    "[{}] {} would all be {to}: no two may become one, their homes and memberships would melt into each \
                     other",
                    section.name(),
                    names.join(", ")
                ));
            }
        }
        for (section, to) in self.used.keys() {
            if foreign_target(*section).is_some()
                && self.left_alone.contains(&(*section, to.clone()))
            {
                self.problems.push(format!(
                    "[{}] {to:?} stands on a right side, and is also an id of the source that no entry maps",
                    section.name()
                ));
            }
        }
        let entries = self.map.entries.iter().zip(&self.matches);
        for (entry, matches) in entries.clone() {
            if *matches == 0 {
                self.problems
                    .push(format!("{}: matches nothing in the archive", entry.place()));
            }
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let translation = &mut state.translation;
        translation.entries = entries
            .map(|(entry, matches)| MapEntry {
                section: entry.section.name().to_owned(),
                from: entry.from.clone(),
                to: entry.to.clone(),
                matches: *matches,
                checked: false,
            })
            .collect();
        translation.foreign = self
            .used
            .keys()
            .filter_map(|(section, to)| Some((foreign_target(*section)?, to.clone())))
            .collect();
        translation.used = self.used;
        translation.remarks = self.remarks;
        Ok(())
    }
}

/// Kinds of objects that no archive holds, by section.
const FOREIGN: [(Section, Target); 6] = [
    (Section::SqlWarehouses, Target::Warehouse),
    (Section::Pipelines, Target::Pipeline),
    (Section::Queries, Target::Query),
    (Section::Dashboards, Target::Dashboard),
    (Section::Alerts, Target::Alert),
    (
        Section::NotificationDestinations,
        Target::NotificationDestination,
    ),
];

fn foreign_section(target: Target) -> Option<Section> {
    let found = FOREIGN.iter().find(|(_, known)| *known == target);
    found.map(|(section, _)| *section)
}

pub(super) fn foreign_target(section: Section) -> Option<Target> {
    let found = FOREIGN.iter().find(|(known, _)| *known == section);
    found.map(|(_, target)| *target)
}
