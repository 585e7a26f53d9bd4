//! The way back: which objects of the old primary those of the secondary came from (`spec/import.md`, "Failback").
//!
//! The journal of the pair, read in reverse, links what the archive of the secondary holds. Such links are *found*: what
//! they name was made by nobody's import, and nothing is ever taken away from it. `states` gives back what was passive
//! in the secondary because of the import there, `gone` finds what was deleted there.

mod gone;
mod states;

use std::collections::HashMap;

use lifeboat_catalog::{Layout, places, tree};

use crate::archived::ArchiveState;
use crate::error::{Error, Rule};
use crate::guards::journal_path;
use crate::journal::{Journal, Knowledge, Line, LineKind, Made, Op};
use crate::map::source_form;
use crate::options::Options;
use crate::plan::desired;
use crate::resolve::{Link, Resolver, digest};
use crate::target::TargetState;

pub(crate) use gone::Gone;

/// The journal of imports from the target of this run into its source.
#[derive(Debug)]
pub(crate) struct Reverse {
    known: Knowledge,
    /// By kind and id in the secondary: the id in the old primary.
    origins: HashMap<(String, String), String>,
}

impl Reverse {
    /// Reads the journal of the pair (`target`, `source`), when the options ask for it.
    pub fn read(options: &Options, source: &str, target: &str) -> Result<Option<Self>, Error> {
        let Some(named) = &options.failback else {
            return Ok(None);
        };
        let there = Options {
            journal: named.clone(),
            state_home: options.state_home.clone(),
            ..Options::default()
        };
        let path = journal_path(&there, target, source);
        let known = Journal::read(&path, target, source)?;
        if known.is_empty() {
            let journal = path.display();
            let detail = match path.try_exists() {
                Ok(false) => format!("--failback, but there is no journal {journal}"),
                _ => format!(
                    "--failback, but {journal} knows no import from workspace {target} into {source}"
                ),
            };
            return Err(Error::Refused {
                rule: Rule::NoLedger,
                detail,
                hint:
                    "name the journal of the imports that made the secondary with --failback=FILE"
                        .to_owned(),
            });
        }
        let mut origins = HashMap::new();
        for kind in lifeboat_catalog::kinds() {
            for (id, entry) in known
                .of_kind(kind.name)
                .filter(|(_, entry)| entry.is_linked())
            {
                if let Some(there) = &entry.target {
                    origins.insert((kind.name.to_owned(), there.clone()), id.to_owned());
                }
            }
        }
        Ok(Some(Self { known, origins }))
    }

    /// Lines that link what `knowledge` does not know yet.
    pub fn links(&self, state: &ArchiveState, knowledge: &Knowledge) -> Vec<Line> {
        let new = |kind: &str, id: &str| {
            let entry = knowledge.entry(kind, id);
            !entry.is_some_and(|entry| entry.is_linked() || entry.pending.is_some())
        };
        let line = |kind: &str, id: &str, name: &str, target: Option<String>| {
            let mut line = Line::new(LineKind::Result, &state.archive_id);
            line.op = Some(Op::Adopt);
            line.kind = Some(kind.to_owned());
            line.id = Some(id.to_owned());
            line.name = Some(name.to_owned());
            line.target = target;
            line.made = Some(Made::Found);
            line.ok = Some(true);
            line
        };
        let mut lines = Vec::new();
        for (kind, records) in &state.objects {
            for record in records.iter().filter(|record| new(kind, &record.id)) {
                let key = (kind.clone(), record.id.clone());
                if let Some(origin) = self.origins.get(&key) {
                    lines.push(line(kind, &record.id, &record.name, Some(origin.clone())));
                }
            }
        }
        // Of contents the digest that was archived last tells whether somebody changed them since.
        let content = |kind: &str, id: &str, there: &str, target: Option<String>| {
            let entry = self
                .known
                .entry(kind, there)
                .filter(|entry| entry.is_linked())?;
            let mut line = line(kind, id, id, target);
            line.digest.clone_from(&entry.digest);
            line.seen.clone_from(&entry.seen);
            Some(line)
        };
        for one in &state.tree {
            let kind = tree::kind_of(&one.object_type).name;
            // Paths of the secondary, as the imports that made it wrote them.
            let there = state
                .translation
                .origins
                .get(&one.path)
                .unwrap_or(&one.path);
            if new(kind, &one.path) && kind != "git-folders" {
                lines.extend(content(kind, &one.path, there, None));
            }
        }
        for one in state.dbfs.iter().filter(|one| new("dbfs", &one.path)) {
            lines.extend(content(
                "dbfs",
                &one.path,
                &one.path,
                Some(one.path.clone()),
            ));
        }
        lines
    }

    /// Decides of each link to a JSON object whether somebody changed it in the old primary since its last archive: then it
    /// is not as it was last seen, and kept. What nobody changed is, in the words of the secondary, what was written there.
    pub fn judge(&self, lines: &mut [Line], state: &ArchiveState, target: &TargetState) {
        let words = self.words(state);
        for line in lines {
            let (Some(kind), Some(id)) = (
                line.kind.as_deref().and_then(lifeboat_catalog::kind),
                line.target.clone(),
            ) else {
                continue;
            };
            if kind.layout == Layout::Tree || kind.update.is_none() {
                continue;
            }
            let entry = self.known.entry(kind.name, &id);
            let written = entry.and_then(|entry| entry.digest.clone());
            let (Some(entry), Some(written)) = (entry, written) else {
                continue;
            };
            let Some(object) = target.by_id(kind.name, &id) else {
                continue;
            };
            let unchanged = match &entry.archived {
                // A map file translated what was written there.
                Some(archived) => source_form(kind, &object.body) == *archived,
                None => {
                    let there = desired(kind, &object.body, &words);
                    digest(&kind.compare_form(&there.body)) == written
                }
            };
            if unchanged {
                line.digest = Some(digest(&kind.compare_form(&object.body)));
            } else {
                line.seen = Some(written);
            }
        }
    }

    /// What the old primary's ids are called in the secondary.
    fn words(&self, state: &ArchiveState) -> Resolver {
        let mut words = Resolver::default();
        for kind in lifeboat_catalog::kinds() {
            for (id, entry) in self.known.of_kind(kind.name) {
                if let Some(there) = &entry.target {
                    words.link(kind.name, id, Link::Id(there.clone()));
                }
            }
        }
        words.add_group("admins");
        words.add_group("users");
        let names = |kind: &'static str, place: &'static str| {
            let records = state.of_kind(kind).iter();
            records.filter_map(move |record| places::text(&record.body, place))
        };
        for name in names("users", "userName") {
            words.add_user(&name);
        }
        for name in names("groups", "displayName") {
            words.add_group(&name);
        }
        for name in names("service-principals", "applicationId") {
            words.add_service_principal(&name);
        }
        for scope in state.of_kind("secret-scopes") {
            words.add_scope(&scope.id);
        }
        words
    }
}
