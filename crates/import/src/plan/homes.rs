//! Homes: whose content goes where (`spec/import.md`, "Homes").

use std::collections::BTreeSet;

use lifeboat_catalog::{places, tree};

use crate::archived::ArchiveState;
use crate::filter::Filter;
use crate::options::Options;
use crate::target::TargetState;

/// A home that does not stand at the same path in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Path in the source.
    pub from: String,
    /// Path in the target.
    pub to: String,
    /// True when its user exists nowhere.
    pub orphan: bool,
}

/// Every home of the archive that has another path in the target.
pub(crate) fn moved(
    archive: &ArchiveState,
    target: &TargetState,
    options: &Options,
    filter: &Filter,
) -> Vec<Moved> {
    if options.into_source {
        return Vec::new();
    }
    let names: BTreeSet<&str> = archive
        .tree
        .iter()
        .filter_map(|line| tree::home_owner(&line.path))
        .collect();
    let known = Known::new(archive, target, filter);
    names
        .into_iter()
        .filter_map(|name| {
            let from = format!("/Users/{name}");
            let (to, orphan) = match known.spelling(name) {
                // Nobody can tell whose homes these are: they are planned where they are.
                None if known.refused => (from.clone(), false),
                Some(spelling) => (format!("/Users/{spelling}"), false),
                None => (
                    format!("{}/{name}", options.orphans.trim_end_matches('/')),
                    true,
                ),
            };
            (from != to).then_some(Moved { from, to, orphan })
        })
        .collect()
}

/// Names of users and service principals that exist in the target or will, as they are spelled there.
struct Known {
    names: std::collections::HashMap<String, String>,
    /// A listing was refused: a name that is not among these may exist.
    refused: bool,
}

impl Known {
    fn new(archive: &ArchiveState, target: &TargetState, filter: &Filter) -> Self {
        let mut names = std::collections::HashMap::new();
        let mut refused = false;
        for (kind, place) in [
            ("users", "userName"),
            ("service-principals", "applicationId"),
        ] {
            refused |= target.refused(kind).is_some();
            if target.refused(kind).is_none() {
                let records = archive.of_kind(kind).iter();
                for record in records.filter(|record| filter.wants(kind, &record.id)) {
                    let name = places::text(&record.body, place).unwrap_or_default();
                    names.insert(name.to_lowercase(), name);
                }
            }
            for object in target.of_kind(kind) {
                let name = places::text(&object.body, place).unwrap_or_default();
                names.insert(name.to_lowercase(), name);
            }
        }
        // The folder's own spelling wins over the user's: the service shows both, and paths keep their case.
        for home in &target.homes {
            if let Some(name) = tree::home_owner(home)
                && names.contains_key(&name.to_lowercase())
            {
                names.insert(name.to_lowercase(), name.to_owned());
            }
        }
        Self { names, refused }
    }

    fn spelling(&self, name: &str) -> Option<&str> {
        self.names.get(&name.to_lowercase()).map(String::as_str)
    }
}
