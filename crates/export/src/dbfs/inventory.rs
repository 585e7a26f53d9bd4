//! Which DBFS files belong into the archive, and their names there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::names::{self, Sibling};
use lifeboat_archive::{Fate, LedgerLine, Listing as State};
use lifeboat_catalog::records::DBFS_CONTENT;
use lifeboat_catalog::tree as rules;
use lifeboat_databricks::{Listing, Paging};
use serde_json::Value;

use super::{FILES, KIND, gap, read};
use crate::context::{Context, Named, some_of};
use crate::gate::Failure;

/// A file that is to be read.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) member: String,
    /// Size as listed.
    pub(crate) size: u64,
    /// The FileInfo as listed.
    pub(crate) facts: Value,
}

/// What was found.
pub(crate) struct Inventory {
    pub(crate) folders: BTreeMap<String, Value>,
    /// In the order of their member paths.
    pub(crate) files: Vec<File>,
}

/// The path of DBFS in `text`, without `dbfs:` and slashes at its end.
pub(crate) fn plain_path(text: &str) -> Option<String> {
    let path = text.strip_prefix("dbfs:").unwrap_or(text);
    let trimmed = path.trim_end_matches('/');
    path.starts_with('/').then(|| {
        if trimmed.is_empty() {
            "/".to_owned()
        } else {
            trimmed.to_owned()
        }
    })
}

/// Lists everything that is wanted.
pub(crate) async fn list(ctx: &Context<'_>, named: &Named) -> Inventory {
    let mut found = Found::default();
    ctx.gate.touch(KIND);
    for folder in rules::DBFS_ALWAYS {
        match list_folder(ctx, folder).await {
            Ok(entries) => {
                found
                    .folders
                    .insert((*folder).to_owned(), folder_facts(folder));
                found.take(ctx, entries);
            }
            Err(failure) => {
                let failure = if failure.is_gone() {
                    match status(ctx, "/").await {
                        // DBFS answers, so there is no such folder and nothing in it.
                        Ok(_) => continue,
                        Err(failure) => failure,
                    }
                } else {
                    failure
                };
                let (listing, reason) = failure.listing();
                ctx.ledger.listing(KIND, listing, Some(reason));
                if listing == State::Unavailable {
                    state_unavailable(ctx, named, &failure);
                    return Inventory {
                        folders: BTreeMap::new(),
                        files: Vec::new(),
                    };
                }
            }
        }
    }
    look_at_named(ctx, named, &mut found).await;
    found.descend(ctx).await;
    Inventory {
        files: with_members(found.files),
        folders: found.folders,
    }
}

#[derive(Default)]
struct Found {
    folders: BTreeMap<String, Value>,
    files: BTreeMap<String, Value>,
    /// Folders to be listed.
    pending: BTreeSet<String>,
}

impl Found {
    /// Takes the entries of a folder; what is never read is stated.
    fn take(&mut self, ctx: &Context<'_>, entries: Vec<Value>) {
        for entry in entries {
            let Some(path) = entry
                .get("path")
                .and_then(Value::as_str)
                .and_then(plain_path)
            else {
                ctx.ledger.gap(&gap(
                    "",
                    Fate::Failed,
                    "an entry of the listing has no path",
                ));
                continue;
            };
            if let Some(rule) = rules::dbfs_never_read(&path) {
                ctx.ledger.gap(&gap(
                    &path,
                    Fate::Unsupported,
                    format!("rule: nothing below {rule} is read"),
                ));
                continue;
            }
            self.take_one(path, entry);
        }
    }

    fn take_one(&mut self, path: String, facts: Value) {
        if facts.get("is_dir").and_then(Value::as_bool) == Some(true) {
            if !self.folders.contains_key(&path) {
                self.pending.insert(path.clone());
                self.folders.insert(path, stable_folder_facts(facts));
            }
        } else {
            self.files.insert(path, facts);
        }
    }

    /// Lists folders until none is left.
    async fn descend(&mut self, ctx: &Context<'_>) {
        while !self.pending.is_empty() {
            let level = std::mem::take(&mut self.pending);
            let mut listings = stream::iter(level)
                .map(|folder| async move {
                    let entries = list_folder(ctx, &folder).await;
                    (folder, entries)
                })
                .buffer_unordered(FILES);
            while let Some((folder, entries)) = listings.next().await {
                match entries {
                    Ok(entries) => self.take(ctx, entries),
                    Err(failure) => {
                        self.folders.remove(&folder);
                        // Its parent has just shown it: gone is said only after a second look.
                        let gone = failure.is_gone()
                            && status(ctx, &folder)
                                .await
                                .is_err_and(|failure| failure.is_gone());
                        let fate = if gone { Fate::Vanished } else { Fate::Failed };
                        if fate == Fate::Failed {
                            ctx.ledger.unlisted();
                        }
                        ctx.ledger.gap(&failure.line(KIND, &folder, &folder, fate));
                    }
                }
            }
        }
    }
}

/// A folder's time changes with what is in it, which the archive shows anyway.
fn stable_folder_facts(mut facts: Value) -> Value {
    if let Some(map) = facts.as_object_mut() {
        map.shift_remove("modification_time");
    }
    facts
}

fn folder_facts(path: &str) -> Value {
    serde_json::json!({ "path": path, "is_dir": true })
}

/// With DBFS off nobody can read the files that objects name; what the operator asks for is missing.
fn state_unavailable(ctx: &Context<'_>, named: &Named, failure: &Failure) {
    let asked = asked(ctx);
    let named_paths = named.dbfs.keys().filter_map(|path| plain_path(path));
    let paths: BTreeSet<String> = named_paths.chain(asked.iter().cloned()).collect();
    for path in paths {
        let fate = if asked.contains(&path) {
            Fate::Failed
        } else {
            Fate::Unsupported
        };
        let mut line = failure.line(KIND, &path, &path, fate);
        name_referrers(&mut line, named);
        ctx.ledger.gap(&line);
    }
}

/// The paths that the options ask for.
fn asked(ctx: &Context<'_>) -> BTreeSet<String> {
    let paths = ctx.options.dbfs.iter();
    paths.filter_map(|path| plain_path(path)).collect()
}

/// Looks at the paths that the options and other objects name.
async fn look_at_named(ctx: &Context<'_>, named: &Named, found: &mut Found) {
    for (path, by) in &named.dbfs_never_read {
        let message = format!("rule: never read; named by {}", some_of(by));
        ctx.ledger.gap(&gap(path, Fate::Unsupported, message));
    }
    let asked = asked(ctx);
    let mut wanted: BTreeSet<String> = named
        .dbfs
        .keys()
        .filter_map(|path| plain_path(path))
        .collect();
    wanted.extend(asked.iter().cloned());
    wanted.retain(|path| !found.files.contains_key(path) && !found.folders.contains_key(path));
    wanted.retain(|path| match rules::dbfs_never_read(path) {
        Some(rule) => {
            ctx.ledger.gap(&gap(
                path,
                Fate::Unsupported,
                format!("rule: nothing below {rule} is read"),
            ));
            false
        }
        None => true,
    });
    let mut replies = stream::iter(wanted)
        .map(|path| async move {
            let reply = status(ctx, &path).await;
            (path, reply)
        })
        .buffer_unordered(FILES);
    while let Some((path, reply)) = replies.next().await {
        let is_asked = asked.contains(&path);
        match reply {
            Ok(facts) if is_dir(&facts) && !is_asked => {
                let mut line = gap(
                    &path,
                    Fate::Excluded,
                    "rule: a folder is read only when it is asked for",
                );
                name_referrers(&mut line, named);
                ctx.ledger.gap(&line);
            }
            Ok(facts) => found.take_one(path, facts),
            Err(failure) => {
                let gone = failure.is_gone();
                let fate = if gone && !is_asked {
                    Fate::Vanished
                } else {
                    Fate::Failed
                };
                let mut line = failure.line(KIND, &path, &path, fate);
                // A mistyped path must not look for years like one that is backed up.
                if gone && is_asked {
                    line.message = "the options ask for it, and it does not exist".to_owned();
                }
                name_referrers(&mut line, named);
                ctx.ledger.gap(&line);
            }
        }
    }
}

fn is_dir(facts: &Value) -> bool {
    facts.get("is_dir").and_then(Value::as_bool) == Some(true)
}

/// Says in a ledger line who names the file.
pub(crate) fn name_referrers(line: &mut LedgerLine, named: &Named) {
    if let Some(by) = named.dbfs.get(&line.id) {
        line.message = format!("{}; named by {}", line.message, some_of(by));
    }
}

pub(crate) async fn status(ctx: &Context<'_>, path: &str) -> Result<Value, Failure> {
    ctx.gate
        .ask(
            ctx.gate
                .client
                .get("/api/2.0/dbfs/get-status", &[("path", path)]),
        )
        .await
}

async fn list_folder(ctx: &Context<'_>, path: &str) -> Result<Vec<Value>, Failure> {
    const PATH: &str = "/api/2.0/dbfs/list";
    let query = vec![("path", path.to_owned())];
    let listing = Listing {
        path: PATH,
        query,
        array: "files",
        paging: Paging::None,
    };
    let entries = ctx.gate.ask(ctx.gate.client.list(&listing)).await?;
    entries
        .iter()
        .map(|entry| serde_json::from_str(entry.get()))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Reply {
            request: format!("GET {PATH}"),
            what: error.to_string(),
        })
}

/// The files with their names in the archive, in the order of those.
fn with_members(files: BTreeMap<String, Value>) -> Vec<File> {
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for path in files.keys() {
        let mut at = path.as_str();
        while let Some(cut) = at.rfind('/') {
            children
                .entry(&at[..cut])
                .or_default()
                .insert(&at[cut + 1..]);
            at = &at[..cut];
        }
    }
    let mut names: HashMap<String, String> = HashMap::new();
    for (folder, inside) in &children {
        let ids: Vec<String> = inside
            .iter()
            .map(|name| format!("{folder}/{name}"))
            .collect();
        let siblings: Vec<Sibling<'_>> = inside
            .iter()
            .zip(&ids)
            .map(|(name, id)| Sibling {
                name,
                extension: "",
                id,
            })
            .collect();
        let assigned = names::assign(&siblings);
        // Parents sort before their children, so the parent has its name.
        let above = names
            .get(*folder)
            .cloned()
            .unwrap_or_else(|| DBFS_CONTENT.to_owned());
        for (id, name) in ids.into_iter().zip(assigned) {
            names.insert(id, format!("{above}/{name}"));
        }
    }
    let mut files: Vec<File> = files
        .into_iter()
        .map(|(path, facts)| File {
            member: names.get(&path).cloned().unwrap_or_default(),
            size: read::size_of(&facts).unwrap_or(0),
            path,
            facts,
        })
        .collect();
    files.sort_by(|a, b| a.member.cmp(&b.member));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain() {
        assert_eq!(plain_path("dbfs:/a/b/").as_deref(), Some("/a/b"));
        assert_eq!(plain_path("/").as_deref(), Some("/"));
        assert_eq!(plain_path("a/b"), None);
    }

    #[test]
    fn members_keep_folders_and_tell_siblings_apart() {
        let files = ["/init/a.sh", "/init/A.sh", "/init/x/b?.sh", "/lib.jar"];
        let files: BTreeMap<String, Value> = files
            .iter()
            .map(|path| ((*path).to_owned(), Value::Null))
            .collect();
        let members: Vec<String> = with_members(files)
            .into_iter()
            .map(|file| file.member)
            .collect();
        assert!(
            members.contains(&"data/dbfs/content/lib.jar".to_owned()),
            "{members:?}"
        );
        let folded: BTreeSet<String> = members.iter().map(|member| member.to_lowercase()).collect();
        assert_eq!(folded.len(), 4, "{members:?}");
        assert!(
            members.iter().all(|member| names::check(member).is_ok()),
            "{members:?}"
        );
        assert!(members.is_sorted());
    }
}
