//! Reading a map file: TOML, one table per section, one entry per line (`spec/import.md`, "Map file").
//!
//! Owns what can be said of a map without an archive and without a target; every problem is found at once.

use std::collections::HashMap;

use lifeboat_catalog::{paths, tree};
use toml::de::{DeTable, DeValue};

use super::pattern::{Pattern, Rules};
use crate::journal::MapEntries;

/// What the names of an entry are names of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    Users,
    Groups,
    ServicePrincipals,
    NodeTypes,
    SparkVersions,
    InstancePools,
    ClusterPolicies,
    StorageHosts,
    KeyVaults,
    PathPrefixes,
    SqlWarehouses,
    Pipelines,
    Queries,
    Dashboards,
    Alerts,
    NotificationDestinations,
}

/// Every section with its name in the file.
pub(super) const SECTIONS: [(Section, &str); 16] = [
    (Section::Users, "users"),
    (Section::Groups, "groups"),
    (Section::ServicePrincipals, "service-principals"),
    (Section::NodeTypes, "node-types"),
    (Section::SparkVersions, "spark-versions"),
    (Section::InstancePools, "instance-pools"),
    (Section::ClusterPolicies, "cluster-policies"),
    (Section::StorageHosts, "storage-hosts"),
    (Section::KeyVaults, "key-vaults"),
    (Section::PathPrefixes, "path-prefixes"),
    (Section::SqlWarehouses, "sql-warehouses"),
    (Section::Pipelines, "pipelines"),
    (Section::Queries, "queries"),
    (Section::Dashboards, "dashboards"),
    (Section::Alerts, "alerts"),
    (
        Section::NotificationDestinations,
        "notification-destinations",
    ),
];

impl Section {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        SECTIONS
            .iter()
            .find(|(section, _)| *section == self)
            .map_or("", |(_, name)| name)
    }

    /// How its names compare.
    pub fn rules(self) -> Rules {
        Rules {
            fold: matches!(
                self,
                Self::Users | Self::ServicePrincipals | Self::StorageHosts | Self::KeyVaults
            ),
            separator: match self {
                Self::PathPrefixes => Some('/'),
                Self::StorageHosts => Some('.'),
                _ => None,
            },
        }
    }

    /// The form in which names are looked up.
    pub fn key(self, name: &str) -> String {
        let name = match self {
            // The DNS name of a vault comes with and without its final slash.
            Self::KeyVaults => name.trim_end_matches('/'),
            _ => name,
        };
        if self.rules().fold {
            name.to_lowercase()
        } else {
            name.to_owned()
        }
    }

    /// Two names of the source must not become one: homes, memberships and folders would melt into each other.
    pub fn is_one_to_one(self) -> bool {
        matches!(
            self,
            Self::Users | Self::Groups | Self::ServicePrincipals | Self::PathPrefixes
        )
    }
}

/// A line of a map file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub section: Section,
    pub from: String,
    pub to: String,
    /// From 1.
    pub line: usize,
    pub left: Pattern,
    pub right: Pattern,
}

impl Entry {
    /// The entry as a problem names it.
    pub fn place(&self) -> String {
        format!(
            "line {}, [{}] {:?} = {:?}",
            self.line,
            self.section.name(),
            self.from,
            self.to
        )
    }
}

/// A map file.
#[derive(Debug, Clone, Default)]
pub(crate) struct MapFile {
    pub(super) entries: Vec<Entry>,
    exact: HashMap<(Section, String), usize>,
    globs: HashMap<Section, Vec<usize>>,
}

/// What a name is called in the target: the position of the entry, and the name.
pub(super) type Hit = (usize, String);

impl MapFile {
    /// The map of entries that were read before. What this build has no section for is in no record that it knows.
    pub fn of(entries: &MapEntries) -> Self {
        let mut map = Self::default();
        for (section, name) in SECTIONS {
            for (from, to) in entries.get(name).into_iter().flatten() {
                map.entries.extend(read_entry(section, from, to, 0));
            }
        }
        map.index(&mut Vec::new());
        map
    }

    /// Reads the text of a map file.
    ///
    /// # Errors
    /// Every problem, with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<String> = errors
            .iter()
            .map(|error| {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                format!("line {line}: not TOML: {}", error.message())
            })
            .collect();
        let mut map = Self::default();
        for (name, value) in table.get_ref() {
            let line = line_of(text, name.span().start);
            let known = SECTIONS
                .iter()
                .find(|(_, known)| *known == name.get_ref().as_ref());
            match (known, value.get_ref()) {
                (Some((section, _)), DeValue::Table(entries)) => {
                    map.read_section(*section, entries, text, &mut problems);
                }
                (Some(_), _) => problems.push(format!(
                    "line {line}: {} is a section: write [{}] and its entries below it",
                    name.get_ref(),
                    name.get_ref()
                )),
                (None, _) => problems.push(format!(
                    "line {line}: no section is named {:?}; the sections are {}",
                    name.get_ref(),
                    SECTIONS.map(|(_, name)| name).join(", ")
                )),
            }
        }
        map.entries.sort_by_key(|entry| entry.line);
        map.index(&mut problems);
        if problems.is_empty() {
            Ok(map)
        } else {
            Err(problems)
        }
    }

    fn read_section(
        &mut self,
        section: Section,
        entries: &DeTable<'_>,
        text: &str,
        problems: &mut Vec<String>,
    ) {
        for (from, to) in entries {
            let line = line_of(text, from.span().start);
            let from = from.get_ref().as_ref();
            let Some(to) = to.get_ref().as_str() else {
                problems.push(format!(
                    "line {line}, [{}] {from:?}: its right side is no text",
                    section.name()
                ));
                continue;
            };
            match read_entry(section, from, to, line) {
                Ok(entry) => self.entries.push(entry),
                Err(what) => problems.push(format!(
                    "line {line}, [{}] {from:?} = {to:?}: {what}",
                    section.name()
                )),
            }
        }
    }

    fn index(&mut self, problems: &mut Vec<String>) {
        for (position, entry) in self.entries.iter().enumerate() {
            let Some(name) = entry.left.literal() else {
                self.globs.entry(entry.section).or_default().push(position);
                continue;
            };
            let key = (entry.section, entry.section.key(name));
            if let Some(earlier) = self.exact.insert(key, position) {
                problems.push(format!(
                    "{}: line {} maps the same name",
                    entry.place(),
                    self.entries[earlier].line
                ));
            }
        }
    }

    /// True when an entry names exactly this.
    pub fn is_exact(&self, section: Section, name: &str) -> bool {
        self.exact.contains_key(&(section, section.key(name)))
    }

    /// True when a section has entries.
    pub fn has(&self, section: Section) -> bool {
        self.entries.iter().any(|entry| entry.section == section)
    }

    /// What a name is called in the target; `None` when no entry speaks of it. An exact entry wins over patterns.
    ///
    /// # Errors
    /// The positions of two entries that disagree.
    pub fn find(&self, section: Section, name: &str) -> Result<Option<Hit>, (usize, usize)> {
        if let Some(position) = self.exact.get(&(section, section.key(name))) {
            return Ok(Some((*position, self.entries[*position].right.fill(&[]))));
        }
        let mut found: Option<Hit> = None;
        for position in self.globs.get(&section).into_iter().flatten() {
            let entry = &self.entries[*position];
            let Some(captured) = entry.left.captures(name, section.rules()) else {
                continue;
            };
            let result = entry.right.fill(&captured);
            match &found {
                Some((other, earlier)) if *earlier != result => return Err((*other, *position)),
                Some(_) => {}
                None => found = Some((*position, result)),
            }
        }
        Ok(found)
    }

    /// Where a path goes by the longest prefix that an entry speaks of.
    ///
    /// # Errors
    /// The positions of two entries that disagree.
    pub fn find_path(&self, path: &str) -> Result<Option<Hit>, (usize, usize)> {
        if !self.has(Section::PathPrefixes) {
            return Ok(None);
        }
        let mut end = path.len();
        while end > 0 {
            if let Some((position, to)) = self.find(Section::PathPrefixes, &path[..end])? {
                return Ok(Some((position, format!("{to}{}", &path[end..]))));
            }
            end = path[..end].rfind('/').unwrap_or(0);
        }
        Ok(None)
    }
}

fn read_entry(section: Section, from: &str, to: &str, line: usize) -> Result<Entry, String> {
    if from.trim().is_empty() || to.trim().is_empty() {
        return Err("a side is empty".to_owned());
    }
    let (from_read, to_read) = match section {
        Section::PathPrefixes => (tree::without_alias(from), tree::without_alias(to)),
        _ => (from, to),
    };
    let left = Pattern::parse(from_read)?;
    let right = Pattern::parse(to_read)?;
    if right.stars() > 0 && right.stars() != left.stars() {
        return Err(format!(
            "{} * on the left, {} on the right: as many, or none on the right",
            left.stars(),
            right.stars()
        ));
    }
    match section {
        Section::PathPrefixes => check_prefix(from_read, to_read)?,
        Section::Groups => {
            for side in [from, to] {
                if matches!(side, "admins" | "users") {
                    return Err(format!(
                        "the group {side} exists in every workspace and is never another one"
                    ));
                }
            }
        }
        Section::KeyVaults if is_resource_id(from) != is_resource_id(to) => {
            return Err("one side is a resource id, the other a DNS name".to_owned());
        }
        Section::StorageHosts => {
            let strange = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*'));
            if from.contains(strange) || to.contains(strange) {
                return Err("a host is a name such as account.dfs.core.windows.net, without scheme and path".to_owned());
            }
        }
        _ => {}
    }
    Ok(Entry {
        section,
        from: from.to_owned(),
        to: to.to_owned(),
        line,
        left,
        right,
    })
}

pub(super) fn is_resource_id(name: &str) -> bool {
    name.starts_with('/')
}

/// A prefix is an absolute path of the tree; what stands in every workspace is no place for a folder of another name.
fn check_prefix(from: &str, to: &str) -> Result<(), String> {
    for side in [from, to] {
        let wrong = !side.starts_with('/')
            || side[1..]
                .split('/')
                .any(|name| name.is_empty() || matches!(name, "." | ".."));
        if wrong {
            return Err(format!("{side} is no absolute path of the workspace tree"));
        }
        if let paths::Located::Outside = paths::locate(side) {
            return Err(format!("{side} is no path of the workspace tree"));
        }
    }
    if tree::is_protected(to) {
        return Err(format!(
            "{to} stands in every workspace or comes with its user: name a folder below it"
        ));
    }
    if tree::excluded(to).is_some() {
        return Err(format!("{to} lies in a trash"));
    }
    Ok(())
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        MapFile::parse(text).unwrap_err()
    }

    fn found(map: &MapFile, section: Section, name: &str) -> Option<String> {
        map.find(section, name).unwrap().map(|(_, to)| to)
    }

    #[test]
    fn exact_entries_win_over_patterns_and_case_counts_where_it_does() {
        let map = MapFile::parse(
            "[users]\n\"*@old.example\" = \"*@new.example\"\n\"Ann@old.example\" = \"ann.b@new.example\"\n\
             [groups]\n\"data\" = \"data-dr\"\n[key-vaults]\n\"https://a.vault.azure.net/\" = \"https://b.vault.azure.net/\"\n",
        )
        .unwrap();
        assert_eq!(
            found(&map, Section::Users, "bob@OLD.example").as_deref(),
            Some("bob@new.example")
        );
        assert_eq!(
            found(&map, Section::Users, "ann@old.example").as_deref(),
            Some("ann.b@new.example")
        );
        assert_eq!(found(&map, Section::Users, "bob@other.example"), None);
        assert_eq!(found(&map, Section::Groups, "Data"), None);
        assert_eq!(
            found(&map, Section::KeyVaults, "https://A.vault.azure.net").as_deref(),
            Some("https://b.vault.azure.net/")
        );
    }

    #[test]
    fn patterns_that_disagree_are_told_with_both() {
        let map = MapFile::parse("[node-types]\n\"Standard_D*\" = \"A*\"\n\"Standard_D*_v2\" = \"B*\"\n\"*_v2\" = \"BD3\"\n").unwrap();
        assert_eq!(map.find(Section::NodeTypes, "Standard_D3_v2"), Err((0, 1)));
        assert_eq!(
            found(&map, Section::NodeTypes, "Standard_D3").as_deref(),
            Some("A3")
        );
        assert_eq!(
            found(&map, Section::NodeTypes, "E_v2").as_deref(),
            Some("BD3")
        );
    }

    #[test]
    fn the_longest_prefix_of_a_path_decides() {
        let map = MapFile::parse(
            "[path-prefixes]\n\"/Workspace/A\" = \"/B\"\n\"/A/x\" = \"/Shared/y/z\"\n\"/Users/*/prod\" = \"/Teams/*\"\n",
        )
        .unwrap();
        let path = |path: &str| map.find_path(path).unwrap().map(|(_, to)| to);
        assert_eq!(path("/A").as_deref(), Some("/B"));
        assert_eq!(path("/A/q/r").as_deref(), Some("/B/q/r"));
        assert_eq!(path("/A/x/r").as_deref(), Some("/Shared/y/z/r"));
        assert_eq!(path("/Users/a@b/prod/n").as_deref(), Some("/Teams/a@b/n"));
        assert_eq!(path("/AB"), None);
        assert_eq!(path("/Users/a@b"), None);
    }

    #[test]
    fn every_problem_is_found_at_once_with_its_line() {
        let text = "[user]\n\"a\" = \"b\"\n[users]\n\"c\" = 1\n\"d*\" = \"*e*\"\n\"f\" = \"\"\n\"G\" = \"h\"\n\"g\" = \"h\"\n\
                    [groups]\n\"admins\" = \"x\"\n[path-prefixes]\n\"/a\" = \"/Users\"\n\"b\" = \"/c\"\n\"/d\" = \"/Users/x\"\n\
                    \"/e\" = \"/f//g\"\n\"/h\" = \"/Users/x/Trash/h\"\n\"/i\" = \"/Repos/x\"\n\
                    [key-vaults]\n\"/subscriptions/1\" = \"https://v\"\n[storage-hosts]\n\"abfss://a\" = \"b\"\n";
        let found = problems(text);
        for line in [1, 4, 5, 6, 8, 10, 12, 13, 14, 15, 16, 17, 19, 21] {
            assert_eq!(
                found
                    .iter()
                    .filter(|one| one.starts_with(&format!("line {line}:"))
                        || one.starts_with(&format!("line {line},")))
                    .count(),
                1,
                "line {line}: {found:#?}"
            );
        }
        assert_eq!(found.len(), 14, "{found:#?}");
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_line() {
        let found = problems("[users]\n\"a\" = \"b\"\n\"a\" = \"c\"\n\"d\" \"e\"\n");
        assert!(
            found.iter().any(|one| one.starts_with("line 3: not TOML")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|one| one.starts_with("line 4: not TOML")),
            "{found:?}"
        );
        assert!(problems("users = 3\n")[0].contains("is a section"));
    }

    #[test]
    fn the_example_is_a_map_of_every_sort_and_stands_in_the_readme() {
        let example = include_str!("../../../../examples/map.toml");
        let map = MapFile::parse(example).unwrap();
        let unnamed: Vec<&str> = SECTIONS
            .iter()
            .filter(|(section, name)| !map.has(*section) && !example.contains(&format!("[{name}]")))
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(unnamed, Vec::<&str>::new());
        assert!(include_str!("../../../../README.md").contains(example));
    }
}
