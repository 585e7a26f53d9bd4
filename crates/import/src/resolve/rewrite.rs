//! Bodies in the words of the target: every reference answered, what is missing named.

use std::collections::BTreeMap;

use lifeboat_catalog::{Form, Found, Kind, Target, lint, paths, places, tree};
use serde_json::Value;

use super::{Link, Resolver};
use crate::target::Sight;

/// A body in the words of the target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewritten {
    /// The body.
    pub body: Value,
    /// References without which the object must not be written.
    pub missing: Vec<String>,
    /// What the object lacks in the target.
    pub notes: Vec<String>,
    /// What is worth knowing.
    pub remarks: Vec<String>,
    /// True when a reference leads to an object that is still to be made.
    pub waits: bool,
}

impl Rewritten {
    fn hear(&mut self, answer: &Answer, pointer: &str) {
        let at = |what: &str| format!("{what} ({pointer})");
        match answer {
            Answer::Missing(what) => push(&mut self.missing, at(what)),
            Answer::Note(what) => push(&mut self.notes, at(what)),
            Answer::Remark(what) => push(&mut self.remarks, at(what)),
            Answer::Astray(_, lacks) => self.hear(lacks, pointer),
            Answer::Waits => self.waits = true,
            Answer::Is(_) | Answer::Same => {}
        }
    }
}

impl Resolver {
    /// A body of `kind` in the words of the target.
    #[must_use]
    pub fn rewrite(&self, kind: &Kind, body: &Value) -> Rewritten {
        let mut out = Rewritten {
            body: body.clone(),
            ..Rewritten::default()
        };
        self.drop_missing_owners(kind, &mut out);
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        for found in kind.found_references(&out.body) {
            let answer = self.answer(&found);
            out.hear(&answer, &found.pointer);
            answers.insert(key(&found), answer);
        }
        kind.rewrite(&mut out.body, &mut |found| match answers.get(&key(found)) {
            Some(Answer::Is(value) | Answer::Astray(value, _)) => Some(value.clone()),
            // Never sent: an object that waits is not written before its references are there.
            Some(Answer::Waits) => Some("planned".to_owned()),
            _ => None,
        });
        self.lint(&mut out);
        out
    }

    fn lint(&self, out: &mut Rewritten) {
        if self.same_workspace {
            return;
        }
        let source = lint::Source {
            host: &self.source_host,
            workspace_id: &self.source_workspace,
            ids: &self.source_ids,
        };
        for left in lint::body(&out.body, &source) {
            push(
                &mut out.remarks,
                format!(
                    "still names {} of the source ({})",
                    left.found, left.pointer
                ),
            );
        }
    }

    /// Removes `run_as` and `single_user_name` whose principal exists nowhere, and says so.
    fn drop_missing_owners(&self, kind: &Kind, out: &mut Rewritten) {
        for found in kind.found_references(&out.body) {
            let Some(place) = owner_place(&found.pointer) else {
                continue;
            };
            if found.form == Form::Member || self.named_principal(found.to, &found.value).is_some()
            {
                continue;
            }
            if places::take_pointer(&mut out.body, place).is_some() {
                let field = place.rsplit('/').next().unwrap_or(place);
                push(
                    &mut out.notes,
                    format!(
                        "owner missing: {field} {} exists nowhere ({place})",
                        found.value
                    ),
                );
            }
        }
    }

    fn named_principal(&self, to: Target, name: &str) -> Option<String> {
        match to {
            Target::User => self.user(name).map(str::to_owned),
            Target::Group => self.groups.get(name).cloned(),
            Target::ServicePrincipal => self.service_principals.get(name).cloned(),
            _ => self
                .user(name)
                .map(str::to_owned)
                .or_else(|| self.service_principals.get(name).cloned())
                .or_else(|| self.groups.get(name).cloned()),
        }
    }

    /// What a reference of the source is in the target.
    pub(crate) fn answer(&self, found: &Found) -> Answer {
        if let Some(kind) = kind_of(found.to)
            && matches!(found.form, Form::Id | Form::InString | Form::Member)
        {
            return self.answer_id(kind, found);
        }
        match found.to {
            Target::User | Target::Group | Target::ServicePrincipal | Target::Principal => {
                match self.named_principal(found.to, &found.value) {
                    Some(name) if name == found.value => Answer::Same,
                    Some(name) => Answer::Is(name),
                    None => Answer::Missing(format!(
                        "{} {} exists nowhere",
                        noun(found.to),
                        found.value
                    )),
                }
            }
            Target::SecretScope if self.scopes.contains(&found.value) => Answer::Same,
            Target::SecretScope => {
                Answer::Note(format!("secret scope {} exists nowhere", found.value))
            }
            Target::WorkspacePath => self.answer_path(found),
            Target::DbfsPath => self.answer_dbfs(found),
            // What the region, Azure or the account offers; ids and names there mean the same everywhere.
            Target::AnyPath
            | Target::EmailAddress
            | Target::BudgetPolicy
            | Target::NodeType
            | Target::SparkVersion
            | Target::KeyVault
            | Target::GitProvider => Answer::Same,
            other => {
                if self.same_workspace || self.foreign.contains(&(other, found.value.clone())) {
                    Answer::Same
                } else {
                    Answer::Missing(format!(
                        "{} {} is of a kind that archives do not hold, and no map file names it",
                        noun(other),
                        found.value
                    ))
                }
            }
        }
    }

    fn answer_id(&self, kind: &'static str, found: &Found) -> Answer {
        match self.linked(kind, &found.value) {
            Some(Link::Id(id)) if *id == found.value => Answer::Same,
            Some(Link::Id(id)) => Answer::Is(id.clone()),
            Some(Link::Planned) => Answer::Waits,
            Some(Link::Absent(why)) => {
                Answer::Missing(format!("{} {}: {why}", noun(found.to), found.value))
            }
            None => Answer::Missing(format!(
                "{} {} is not in the archive",
                noun(found.to),
                found.value
            )),
        }
    }

    fn answer_path(&self, found: &Found) -> Answer {
        let path = self.path(&found.value);
        let known = self.tree.contains(&path)
            || tree::is_builtin_directory(&path)
            || self
                .git_folders
                .iter()
                .any(|folder| paths::is_below(&path, folder));
        let answer = if known {
            Answer::Same
        } else {
            self.nowhere(found, &path, format!("path {path}"))
        };
        match answer {
            answer if path == found.value => answer,
            Answer::Same => Answer::Is(path),
            lacks => Answer::Astray(path, Box::new(lacks)),
        }
    }

    fn answer_dbfs(&self, found: &Found) -> Answer {
        let path = &found.value;
        if let Some(rule) = tree::dbfs_never_read(path) {
            return Answer::Remark(format!(
                "dbfs:{path} lies below {rule}, which archives never hold"
            ));
        }
        if self
            .dbfs
            .iter()
            .any(|known| known == path || paths::is_below(known, path))
        {
            return Answer::Same;
        }
        self.nowhere(found, path, format!("dbfs:{path}"))
    }

    /// A path that this import does not bring is written as it is: it is a name, not an id. Where the target does not
    /// have it, it is a gap when the source had it, or when nobody knows whether it had.
    fn nowhere(&self, found: &Found, path: &str, what: String) -> Answer {
        let named = self.named.get(&(found.to, path.to_owned()));
        let sight = named.map_or(&Sight::Absent, |named| &named.sight);
        let archived = named.is_some_and(|named| named.archived);
        if *sight == Sight::There {
            Answer::Same
        } else if self.uncaptured.contains(&found.value) {
            Answer::Note(format!("{what} was not captured by the archive"))
        } else if self.complete && !archived {
            Answer::Remark(format!("{what} leads nowhere, in the source already"))
        } else if let Sight::Unknown(why) = sight {
            Answer::Note(format!(
                "{what} is not restored by this import, and whether the target has it is not known: {why}"
            ))
        } else if archived {
            Answer::Note(format!(
                "{what} is in the archive, but this import leaves it out, and the target does not have it"
            ))
        } else if !found.required() {
            // An argument that looks like a path need not be one.
            Answer::Remark(format!(
                "{what} is neither in the archive nor in the target"
            ))
        } else {
            Answer::Note(format!(
                "{what} is neither in the archive nor in the target"
            ))
        }
    }
}

/// What a reference of the source is in the target.
pub(crate) enum Answer {
    /// This.
    Is(String),
    /// This, and what it lacks there.
    Astray(String, Box<Answer>),
    /// The same.
    Same,
    /// Something that is still to be made.
    Waits,
    /// Nothing: the object must not be written.
    Missing(String),
    /// Nothing: the object lacks it.
    Note(String),
    /// Nothing, and that is no gap.
    Remark(String),
}

fn key(found: &Found) -> String {
    format!("{}\n{}", found.pointer, found.value)
}

fn push(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// Whether the principal at `pointer` is one as whom something runs.
pub(crate) fn is_owner_place(pointer: &str) -> bool {
    owner_place(pointer).is_some()
}

/// The place to remove when the principal at `pointer` is one as whom something runs.
fn owner_place(pointer: &str) -> Option<&str> {
    if pointer.ends_with("/single_user_name") {
        return Some(pointer);
    }
    let (parent, _) = pointer.rsplit_once('/')?;
    parent.ends_with("/run_as").then_some(parent)
}

/// The kind whose objects a reference by id leads to, for kinds that archives hold.
fn kind_of(target: Target) -> Option<&'static str> {
    Some(match target {
        Target::Cluster => "clusters",
        Target::InstancePool => "instance-pools",
        Target::ClusterPolicy => "cluster-policies",
        Target::Job => "jobs",
        Target::User => "users",
        Target::Group => "groups",
        Target::ServicePrincipal => "service-principals",
        Target::GitFolder => "git-folders",
        _ => return None,
    })
}

pub(super) fn noun(target: Target) -> &'static str {
    match target {
        Target::Cluster => "cluster",
        Target::InstancePool => "instance pool",
        Target::ClusterPolicy => "cluster policy",
        Target::Job => "job",
        Target::User => "user",
        Target::Group => "group",
        Target::ServicePrincipal => "service principal",
        Target::Principal => "principal",
        Target::SecretScope => "secret scope",
        Target::NotificationDestination => "notification destination",
        Target::Warehouse => "SQL warehouse",
        Target::Pipeline => "pipeline",
        Target::Query => "query",
        Target::Dashboard => "dashboard",
        Target::Alert => "alert",
        Target::GitFolder => "git folder",
        Target::NodeType => "node type",
        Target::SparkVersion => "Spark version",
        Target::KeyVault => "Key Vault",
        Target::GitProvider => "git provider",
        _ => "object",
    }
}
