//! Whether the target knows the names that a map puts in (`spec/import.md`, "Map file").

use std::collections::{BTreeSet, HashSet};

use lifeboat_catalog::{places, tree};
use lifeboat_databricks::{Client, segment};
use serde_json::Value;

use super::parse::Section;
use crate::archived::ArchiveState;
use crate::error::Error;
use crate::options::Options;
use crate::target::{TargetState, service};

/// Asks the target about every name that the map put in. What nobody can answer stays unchecked.
///
/// # Errors
/// [`Error::Map`] with every name that does not exist; [`Error::Service`] when the target is lost.
pub(crate) async fn target(
    client: &Client,
    options: &Options,
    state: &mut ArchiveState,
    target: &TargetState,
) -> Result<(), Error> {
    let Some(path) = &options.map else {
        return Ok(());
    };
    let mut check = Check {
        client,
        target,
        problems: Vec::new(),
        unchecked: BTreeSet::new(),
    };
    let used: Vec<(Section, String, usize)> = state
        .translation
        .used
        .iter()
        .map(|((section, to), position)| (*section, to.clone(), *position))
        .collect();
    check.all(state, &used, options.as_prefix.is_none()).await?;
    let Check {
        problems,
        unchecked,
        ..
    } = check;
    if !problems.is_empty() {
        return Err(Error::Map {
            path: path.clone(),
            problems,
        });
    }
    let answered: HashSet<usize> = used.iter().map(|(.., position)| *position).collect();
    for (position, entry) in state.translation.entries.iter_mut().enumerate() {
        let asked = !matches!(entry.section.as_str(), "storage-hosts" | "key-vaults");
        entry.checked = asked && !unchecked.contains(&position) && answered.contains(&position)
            || entry.section == "path-prefixes";
    }
    Ok(())
}

/// Where objects of kinds that no archive holds are read by id; the first path that knows the id will do.
const READ_BY_ID: [(Section, &[&str]); 6] = [
    (Section::SqlWarehouses, &["/api/2.0/sql/warehouses/"]),
    (Section::Pipelines, &["/api/2.0/pipelines/"]),
    (Section::Queries, &["/api/2.0/sql/queries/"]),
    (
        Section::Dashboards,
        &[
            "/api/2.0/lakeview/dashboards/",
            "/api/2.0/preview/sql/dashboards/",
        ],
    ),
    (
        Section::Alerts,
        &["/api/2.0/sql/alerts/", "/api/2.0/alerts/"],
    ),
    (
        Section::NotificationDestinations,
        &["/api/2.0/notification-destinations/"],
    ),
];

struct Check<'a> {
    client: &'a Client,
    target: &'a TargetState,
    problems: Vec<String>,
    /// Positions of entries about which the target gave no answer.
    unchecked: BTreeSet<usize>,
}

impl Check<'_> {
    /// Everything that the map put in; of a restore below another folder only what names people.
    async fn all(
        &mut self,
        state: &ArchiveState,
        used: &[(Section, String, usize)],
        everything: bool,
    ) -> Result<(), Error> {
        let of = |wanted: Section| {
            used.iter()
                .filter(move |(section, ..)| *section == wanted)
                .map(|(_, to, position)| (to.as_str(), *position))
        };
        for (section, kind, field) in [
            (Section::Users, "users", "userName"),
            (
                Section::ServicePrincipals,
                "service-principals",
                "applicationId",
            ),
            (Section::Groups, "groups", "displayName"),
        ] {
            self.listed(section, kind, field, of(section));
        }
        self.homes(state);
        if everything {
            self.listed(
                Section::InstancePools,
                "instance-pools",
                "instance_pool_name",
                of(Section::InstancePools),
            );
            self.listed(
                Section::ClusterPolicies,
                "cluster-policies",
                "name",
                of(Section::ClusterPolicies),
            );
            let node_types = "/api/2.1/clusters/list-node-types";
            self.offered(
                Section::NodeTypes,
                (node_types, "node_types", "node_type_id"),
                of(Section::NodeTypes),
            )
            .await?;
            let versions = "/api/2.1/clusters/spark-versions";
            self.offered(
                Section::SparkVersions,
                (versions, "versions", "key"),
                of(Section::SparkVersions),
            )
            .await?;
            for (section, path) in READ_BY_ID {
                self.by_id(section, path, of(section)).await?;
            }
        }
        Ok(())
    }

    fn missing(&mut self, section: Section, name: &str, what: &str) {
        self.problems
            .push(format!("[{}] {name:?}: {what}", section.name()));
    }

    /// Names that a listing of the target must hold.
    fn listed<'n>(
        &mut self,
        section: Section,
        kind: &str,
        field: &str,
        names: impl Iterator<Item = (&'n str, usize)>,
    ) {
        let target = self.target;
        let known: Vec<String> = target
            .of_kind(kind)
            .iter()
            .filter_map(|object| places::text(&object.body, field))
            .map(|name| section.key(&name))
            .collect();
        for (name, _) in names {
            let count = known
                .iter()
                .filter(|known| **known == section.key(name))
                .count();
            match (target.refused(kind), count) {
                (Some(reason), _) => self.missing(
                    section,
                    name,
                    &format!("cannot be checked, the target's {kind} cannot be listed: {reason}"),
                ),
                (None, 0) => self.missing(section, name, "does not exist in the target"),
                (None, 1) => {}
                (None, count) => self.missing(
                    section,
                    name,
                    &format!("{count} in the target have this name"),
                ),
            }
        }
    }

    /// Names of which the region offers a list.
    async fn offered<'n>(
        &mut self,
        section: Section,
        (path, array, field): (&str, &str, &str),
        names: impl Iterator<Item = (&'n str, usize)>,
    ) -> Result<(), Error> {
        // `auto:latest-lts` and images of one's own are no names of the list.
        let (named, own): (Vec<_>, Vec<_>) = names.partition(|(name, _)| !name.contains(':'));
        self.unchecked
            .extend(own.iter().map(|(_, position)| *position));
        if named.is_empty() {
            return Ok(());
        }
        let reply = match self.client.get(path, &[]).await {
            Ok(reply) => reply,
            Err(error) if is_fatal(&error) => return Err(service("checking the map file", error)),
            Err(_) => {
                self.unchecked
                    .extend(named.iter().map(|(_, position)| *position));
                return Ok(());
            }
        };
        let offered: HashSet<&str> = reply
            .get(array)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|one| one.get(field)?.as_str())
            .collect();
        for (name, _) in named {
            if !offered.contains(name) {
                self.missing(section, name, "the target does not offer it");
            }
        }
        Ok(())
    }

    /// Objects that are read by id.
    async fn by_id<'n>(
        &mut self,
        section: Section,
        paths: &[&str],
        ids: impl Iterator<Item = (&'n str, usize)>,
    ) -> Result<(), Error> {
        for (id, position) in ids {
            let mut absent = true;
            let mut found = false;
            for path in paths {
                match self
                    .client
                    .get(&format!("{path}{}", segment(id)), &[])
                    .await
                {
                    Ok(_) => {
                        found = true;
                        break;
                    }
                    Err(error) if is_fatal(&error) => {
                        return Err(service("checking the map file", error));
                    }
                    Err(error) => absent &= error.is_not_found(),
                }
            }
            if !found && absent {
                self.missing(section, id, "does not exist in the target");
            } else if !found {
                self.unchecked.insert(position);
            }
        }
        Ok(())
    }

    /// Homes come with their users: nothing can be put into that of nobody.
    fn homes(&mut self, state: &ArchiveState) {
        let owners: BTreeSet<&str> = state
            .translation
            .origins
            .keys()
            .filter_map(|path| tree::home_owner(path))
            .collect();
        for owner in owners {
            let is_named = |section: Section| {
                let used = state.translation.used.keys();
                used.into_iter().any(|(known, name)| {
                    *known == section && section.key(name) == section.key(owner)
                })
            };
            if !is_named(Section::Users)
                && !is_named(Section::ServicePrincipals)
                && !will_exist(state, self.target, owner)
            {
                self.missing(
                    Section::PathPrefixes,
                    &format!("/Users/{owner}"),
                    "a home comes with its user, who exists neither in the target nor in the archive",
                );
            }
        }
    }
}

/// Whether a user or service principal is in the target, or in the archive and will be.
fn will_exist(state: &ArchiveState, target: &TargetState, name: &str) -> bool {
    [
        ("users", "userName"),
        ("service-principals", "applicationId"),
    ]
    .into_iter()
    .any(|(kind, field)| {
        let there = target.of_kind(kind).iter().map(|object| &object.body);
        let coming = state.of_kind(kind).iter().map(|record| &record.body);
        there
            .chain(coming)
            .filter_map(|body| places::text(body, field))
            .any(|known| known.to_lowercase() == name.to_lowercase())
    })
}

pub(super) fn is_fatal(error: &lifeboat_databricks::Error) -> bool {
    error.is_auth() || error.is_network()
}
