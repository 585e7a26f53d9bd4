//! Listing of the target.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use lifeboat_catalog::{Kind, libraries, places, secret_scopes, tree};
use lifeboat_databricks::{Client, Identity, Listing, Paging, segment};
use serde_json::Value;

use super::{DbfsInfo, Listed, TargetObject, TargetState, TreeInfo, Unclear};
use crate::archived::ArchiveState;
use crate::error::Error;
use crate::held::Reply;
use crate::journal::Knowledge;
use crate::plan::parent;

/// Directories listed at one time: the service refuses more than 20 (fact sheet, section 4.1).
const CONCURRENT_LISTS: usize = 16;

/// Kinds whose listing does not show everything, so that each candidate is read.
const READ_EACH: &[&str] = &["groups", "clusters", "jobs", "global-init-scripts"];

/// Runs `work` on every item, `limit` at a time, and gives the results in the order of the items.
pub(crate) async fn concurrently<I, T, F, Fut>(
    items: impl IntoIterator<Item = I>,
    limit: usize,
    work: F,
) -> Vec<T>
where
    F: Fn(I) -> Fut,
    Fut: Future<Output = T>,
{
    stream::iter(items)
        .map(work)
        .buffered(limit.max(1))
        .collect()
        .await
}

/// Reads what planning and comparing need of a target.
pub(crate) struct Reader<'a> {
    pub client: &'a Client,
    pub archive: &'a ArchiveState,
    pub journal: &'a Knowledge,
    pub concurrency: usize,
    /// The absence of everything that the journal links matters, not only of what the archive holds.
    pub all_linked: bool,
    /// As in [`crate::Options::second`].
    pub second: Duration,
}

impl Reader<'_> {
    /// A target of which nothing is known yet but who asks it.
    pub fn blank(&self, identity: &Identity, workspace_id: &str) -> TargetState {
        TargetState {
            workspace_id: workspace_id.to_owned(),
            host: self.client.host().to_owned(),
            caller: identity.user_name.clone(),
            caller_id: identity.id.clone(),
            is_admin: identity.is_admin,
            ..TargetState::default()
        }
    }

    /// Lists these kinds; of kinds whose listing does not show everything, what the archive or the journal names is read.
    pub async fn listed(
        &self,
        kinds: &[&'static Kind],
        identity: &Identity,
        workspace_id: &str,
    ) -> Result<TargetState, Error> {
        let mut state = self.blank(identity, workspace_id);
        self.list_into(kinds, &mut state).await?;
        Ok(state)
    }

    /// Lists the kinds that are wanted, of those of which the archive has objects; identities always.
    pub async fn list_kinds(
        &self,
        state: &mut TargetState,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let kinds: Vec<&'static Kind> = lifeboat_catalog::kinds()
            .iter()
            .copied()
            .filter(|kind| kind.list.is_some() && self.concerns(kind.name) && wanted(kind.name))
            .collect();
        self.list_into(&kinds, state).await
    }

    async fn list_into(
        &self,
        kinds: &[&'static Kind],
        state: &mut TargetState,
    ) -> Result<(), Error> {
        let as_asked = &*state;
        let listings = concurrently(kinds.iter().copied(), self.concurrency, |kind| {
            self.list_kind(kind, as_asked)
        })
        .await;
        for (kind, listing) in kinds.iter().zip(listings) {
            state.unclear.remove(kind.name);
            let listed = match listing? {
                Ok((objects, unclear)) => {
                    if !unclear.is_empty() {
                        state.unclear.insert(kind.name.to_owned(), unclear);
                    }
                    Listed::Yes(objects)
                }
                Err(error) => {
                    let reason = error.to_string();
                    if is_identity(kind.name) && state.nobody.is_none() {
                        state.nobody = Some((kind.name, error));
                    }
                    Listed::No(reason)
                }
            };
            state.kinds.insert(kind.name.to_owned(), listed);
        }
        Ok(())
    }

    fn concerns(&self, kind: &str) -> bool {
        is_identity(kind)
            || !self.archive.of_kind(kind).is_empty()
            || self.journal.of_kind(kind).any(|(_, entry)| entry.is_ours())
            || self.archive.gone.iter().any(|gone| gone.kind == kind)
    }

    /// The objects of a kind, and those of which nobody knows; the inner error is that of a refused listing, which the
    /// rest can do without.
    async fn list_kind(
        &self,
        kind: &'static Kind,
        state: &TargetState,
    ) -> Result<Result<Objects, lifeboat_databricks::Error>, Error> {
        match self.objects(kind, state).await {
            Err(error) if fatal(&error) => Err(service(
                &format!("listing the target's {}", kind.name),
                error,
            )),
            objects => Ok(objects),
        }
    }

    async fn objects(
        &self,
        kind: &'static Kind,
        state: &TargetState,
    ) -> Result<Objects, lifeboat_databricks::Error> {
        let shown = self.shown(kind, state).await?;
        let candidates = self.candidates(kind);
        let (mut objects, mut unclear) = (shown.read, shown.unclear);
        let whole = concurrently(shown.listed, self.concurrency, |body| async {
            let Some(id) = kind.id_of(&body) else {
                return Ok(None);
            };
            let key = kind.key_of(&body);
            let wanted = candidates.ids.contains(&id)
                || key
                    .as_ref()
                    .is_some_and(|key| candidates.keys.contains(key));
            let body = match kind.name {
                "libraries" => Some(libraries::compose(body)),
                "secret-scopes" if wanted => self.insist(|| self.scope(body.clone())).await?,
                "secret-scopes" => Some(secret_scopes::compose(body, Vec::new(), Vec::new())),
                name if wanted && READ_EACH.contains(&name) => self
                    .insist(|| read_object(self.client, kind, &id))
                    .await?
                    .map(|read| kind.with_listed(&body, read)),
                _ => Some(body),
            };
            Ok::<_, lifeboat_databricks::Error>(Some((id, key, body)))
        })
        .await;
        for one in whole {
            match one? {
                Some((id, _, Some(body))) => objects.push(TargetObject { id, body }),
                Some((id, key, None)) => {
                    let why = "the listing shows it, and its own read does not find it";
                    unclear.push(Unclear::new(id, key, why.to_owned()));
                }
                None => {}
            }
        }
        Ok((objects, unclear))
    }

    /// A scope with its keys and access control. Keys that may not be listed are none to compare.
    async fn scope(&self, scope: Value) -> Result<Option<Value>, lifeboat_databricks::Error> {
        let name = places::text(&scope, "name").unwrap_or_default();
        let query = [("scope", name.as_str())];
        let acls = match self.client.get(secret_scopes::ACLS_PATH, &query).await {
            Ok(reply) => array(&reply, "items"),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let keys = array(
            &self.client.get(secret_scopes::KEYS_PATH, &query).await?,
            "secrets",
        );
        Ok(Some(secret_scopes::compose(scope, keys, acls)))
    }

    fn candidates(&self, kind: &Kind) -> Candidates {
        let records = self.archive.of_kind(kind.name);
        let begun = self.journal.of_kind(kind.name);
        let begun = begun.filter(|(_, entry)| entry.is_create_pending());
        let keys = records
            .iter()
            .filter_map(|record| kind.key_of(&record.body))
            .chain(begun.map(|(_, entry)| kind.key_of_name(entry.name.clone())))
            .collect();
        let mut ids: BTreeSet<String> = records.iter().map(|record| record.id.clone()).collect();
        ids.extend(
            self.journal
                .of_kind(kind.name)
                .filter_map(|(_, entry)| entry.target.clone()),
        );
        Candidates { keys, ids }
    }

    /// The homes of the target.
    pub async fn homes(&self) -> Result<BTreeSet<String>, Error> {
        if self.archive.tree.is_empty() {
            return Ok(BTreeSet::new());
        }
        match list_directory(self.client, "/Users").await {
            Ok(children) => Ok(children
                .into_keys()
                .filter(|path| tree::is_builtin_directory(path))
                .collect()),
            Err(error) if fatal(&error) => Err(service("listing the target's homes", error)),
            // Without the list a home is looked for under the name of its user.
            Err(_) => Ok(BTreeSet::new()),
        }
    }

    /// Lists the directories of the target that `wanted` names, from the root down.
    pub async fn tree(&self, wanted: &BTreeSet<String>) -> Result<Walked, Error> {
        let mut walked = Walked::default();
        let limit = CONCURRENT_LISTS.min(self.concurrency);
        let mut waiting: Vec<String> = wanted.get("/").cloned().into_iter().collect();
        let mut work = FuturesUnordered::new();
        loop {
            let free = limit.saturating_sub(work.len()).min(waiting.len());
            for path in waiting.drain(..free) {
                work.push(self.directory(path));
            }
            let Some(listed) = work.next().await else {
                return Ok(walked);
            };
            match listed? {
                (path, Directory::Children(children)) => {
                    for (child, info) in children {
                        if tree::is_folder(&info.object_type)
                            && wanted.contains(&child)
                            && child != path
                        {
                            waiting.push(child.clone());
                        }
                        walked.tree.insert(child, info);
                    }
                }
                (path, Directory::Refused(reason)) => {
                    walked.unlisted.insert(path, reason);
                }
                (_, Directory::Gone) => {}
            }
        }
    }

    /// Lists directories again, wherever they stand, into what is known of the tree.
    pub async fn directories_again(
        &self,
        paths: BTreeSet<String>,
        state: &mut TargetState,
    ) -> Result<(), Error> {
        let limit = CONCURRENT_LISTS.min(self.concurrency);
        let listed = concurrently(paths, limit, |path| self.directory(path)).await;
        let listed = listed.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let again: BTreeSet<&str> = listed.iter().map(|(path, _)| path.as_str()).collect();
        state
            .tree
            .retain(|path, _| parent(path).is_none_or(|above| !again.contains(above)));
        for (path, listed) in listed {
            state.unlisted.remove(&path);
            match listed {
                Directory::Children(children) => state.tree.extend(children),
                Directory::Refused(reason) => {
                    state.unlisted.insert(path, reason);
                }
                Directory::Gone => {}
            }
        }
        Ok(())
    }

    async fn directory(&self, path: String) -> Result<(String, Directory), Error> {
        let listed = match list_directory(self.client, &path).await {
            Ok(children) => Directory::Children(children),
            Err(error) if error.is_not_found() => Directory::Gone,
            Err(error) if fatal(&error) => {
                return Err(service(&format!("listing {path}"), error));
            }
            Err(error) => Directory::Refused(error.to_string()),
        };
        Ok((path, listed))
    }

    /// Looks up the DBFS paths of the archive that are wanted. What the service refuses for all of them is the second
    /// part.
    pub async fn dbfs(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(BTreeMap<String, DbfsInfo>, Option<String>), Error> {
        let archived = self.archive.dbfs.iter().map(|line| line.path.as_str());
        let made = self.journal.of_kind("dbfs");
        let made = made.filter(|(_, entry)| entry.is_ours());
        let gone = self.archive.gone.iter().filter(|gone| gone.kind == "dbfs");
        let paths = archived
            .chain(made.map(|(path, _)| path))
            .chain(gone.map(|gone| gone.target.as_str()));
        let paths: BTreeSet<&str> = paths.filter(|path| wanted(path)).collect();
        let replies = concurrently(paths, self.concurrency, |path| async move {
            let reply = self
                .client
                .get("/api/2.0/dbfs/get-status", &[("path", path)])
                .await;
            (path.to_owned(), reply)
        })
        .await;
        let mut found = BTreeMap::new();
        let mut refused = None;
        for (path, reply) in replies {
            match reply {
                Ok(body) => {
                    found.insert(path, dbfs_info(&body));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) if fatal(&error) => {
                    return Err(service(&format!("looking up dbfs:{path}"), error));
                }
                Err(error) => refused = Some(error.to_string()),
            }
        }
        Ok((found, refused))
    }

    /// Reads access control into `state`: (segment, id in the target).
    pub async fn acls(
        &self,
        wanted: BTreeSet<(String, String)>,
        state: &mut TargetState,
    ) -> Result<(), Error> {
        let replies = concurrently(wanted, self.concurrency, |(segment_name, id)| async move {
            let path = format!("/api/2.0/permissions/{segment_name}/{}", segment(&id));
            let reply = self.client.get(&path, &[]).await;
            ((segment_name, id), reply.map(Reply::from))
        })
        .await;
        for (key, reply) in replies {
            match reply {
                Ok(body) => {
                    state.acls.insert(key, body);
                }
                Err(error) if fatal(&error) => {
                    return Err(service("reading access control", error));
                }
                // What cannot be read is unknown, and stays out.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// What came of listing a directory.
enum Directory {
    Children(BTreeMap<String, TreeInfo>),
    Refused(String),
    Gone,
}

/// A walk through the target's tree.
#[derive(Default)]
pub(crate) struct Walked {
    pub tree: BTreeMap<String, TreeInfo>,
    pub unlisted: BTreeMap<String, String>,
}

/// Objects of a kind, and those of which nobody can say whether they are there.
type Objects = (Vec<TargetObject>, Vec<Unclear>);

struct Candidates {
    keys: BTreeSet<String>,
    ids: BTreeSet<String>,
}

/// One object, whole; `None` when it went away meanwhile.
pub(crate) async fn read_object(
    client: &Client,
    kind: &Kind,
    id: &str,
) -> Result<Option<Value>, lifeboat_databricks::Error> {
    let Some(read) = kind.read else {
        return Ok(None);
    };
    let path = Kind::path_for(read.path, &segment(id));
    let query: Vec<(&str, &str)> = read.id_query.map(|field| (field, id)).into_iter().collect();
    let reply = if read.paged_arrays.is_empty() {
        client.get(&path, &query).await
    } else {
        client.get_merged(&path, &query, read.paged_arrays).await
    };
    match reply {
        Ok(body) => Ok(Some(body)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn list(
    client: &Client,
    kind: &Kind,
) -> Result<Vec<Value>, lifeboat_databricks::Error> {
    let Some(list) = kind.list else {
        return Ok(Vec::new());
    };
    let listing = Listing {
        path: list.path,
        query: list
            .query
            .iter()
            .map(|(field, value)| (*field, (*value).to_owned()))
            .collect(),
        array: list.array,
        paging: match list.paging {
            lifeboat_catalog::Paging::None => Paging::None,
            lifeboat_catalog::Paging::PageToken { size } => Paging::PageToken { size: Some(size) },
            lifeboat_catalog::Paging::NextPageToken => Paging::NextPageToken,
            lifeboat_catalog::Paging::Scim { count } => Paging::Scim { count },
        },
    };
    let raw = client.list(&listing).await?;
    Ok(raw
        .iter()
        .map(|element| {
            serde_json::from_str(element.get())
                .expect("a raw value is JSON: it was parsed to be cut out")
        })
        .collect())
}

/// The children of a directory by path. A path of something else gives that one object; it is left out.
pub(crate) async fn list_directory(
    client: &Client,
    path: &str,
) -> Result<BTreeMap<String, TreeInfo>, lifeboat_databricks::Error> {
    let reply = client
        .get("/api/2.0/workspace/list", &[("path", path)])
        .await?;
    let mut children = BTreeMap::new();
    for body in array(&reply, "objects") {
        let Some(child) = places::text(&body, "path") else {
            continue;
        };
        let child = tree::without_alias(&child).to_owned();
        if child != path {
            children.insert(child, tree_info(&body));
        }
    }
    Ok(children)
}

/// What an ObjectInfo says.
pub(crate) fn tree_info(body: &Value) -> TreeInfo {
    TreeInfo {
        object_type: places::text(body, "object_type").unwrap_or_default(),
        object_id: places::text(body, "object_id").unwrap_or_default(),
        language: places::text(body, "language"),
        modified_at: integer(body, "modified_at"),
    }
}

pub(crate) fn dbfs_info(body: &Value) -> DbfsInfo {
    DbfsInfo {
        is_dir: body.get("is_dir").and_then(Value::as_bool) == Some(true),
        size: integer(body, "file_size")
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        modified_at: integer(body, "modification_time"),
    }
}

/// A whole number at a place, also when it is written as text.
pub(crate) fn integer(body: &Value, place: &str) -> Option<i64> {
    places::text(body, place)?.parse().ok()
}

fn array(reply: &Value, field: &str) -> Vec<Value> {
    reply
        .get(field)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Kinds on which everything else depends: who is not listed there counts as nobody.
pub(crate) fn is_identity(kind: &str) -> bool {
    matches!(kind, "users" | "groups" | "service-principals")
}

/// Failures after which nothing else would work either.
pub(crate) fn fatal(error: &lifeboat_databricks::Error) -> bool {
    error.is_auth() || error.is_network()
}

pub(crate) fn service(doing: &str, source: lifeboat_databricks::Error) -> Error {
    Error::Service {
        doing: doing.to_owned(),
        source,
    }
}

/// Objects of a kind as they are at this moment, in the order of their ids: `None` for what is gone, text for what the
/// service did not show. One listing where only that shows everything, else one call each.
///
/// # Errors
/// [`Error::Service`] when nothing else would be answered either.
pub(crate) async fn read_now(
    client: &Client,
    kind: &Kind,
    ids: Vec<String>,
    concurrency: usize,
) -> Result<Vec<Result<Option<Value>, String>>, Error> {
    let tell = |error: lifeboat_databricks::Error| {
        if fatal(&error) {
            return Err(service(
                &format!("reading back the target's {}", kind.name),
                error,
            ));
        }
        Ok(error.to_string())
    };
    let listing = kind.list.is_some_and(|list| !list.only_listed.is_empty());
    if ids.is_empty() || !listing {
        let read = |id: String| async move { read_object(client, kind, &id).await };
        let read = concurrently(ids, concurrency, read).await.into_iter();
        return read
            .map(|read| read.map_or_else(|error| tell(error).map(Err), |body| Ok(Ok(body))))
            .collect();
    }
    Ok(match list(client, kind).await {
        Ok(listed) => {
            let mut by_id: HashMap<String, Value> = listed
                .into_iter()
                .filter_map(|body| Some((kind.id_of(&body)?, body)))
                .collect();
            ids.iter().map(|id| Ok(by_id.remove(id))).collect()
        }
        Err(error) => {
            let why = tell(error)?;
            ids.iter().map(|_| Err(why.clone())).collect()
        }
    })
}

/// Whether the listing of a kind shows the object with this id.
pub(crate) async fn is_listed(
    client: &Client,
    kind: &Kind,
    id: &str,
) -> Result<bool, lifeboat_databricks::Error> {
    let listed = list(client, kind).await?;
    Ok(listed
        .iter()
        .any(|body| (kind.include)(body).is_ok() && kind.id_of(body).as_deref() == Some(id)))
}

/// The objects of a kind whose natural key is `key`, each read whole.
pub(crate) async fn list_whole(
    client: &Client,
    kind: &Kind,
    key: Option<&str>,
) -> Result<Vec<TargetObject>, lifeboat_databricks::Error> {
    let mut objects = Vec::new();
    for body in list(client, kind).await? {
        let Some(id) = kind.id_of(&body) else {
            continue;
        };
        if (kind.include)(&body).is_err() || kind.key_of(&body).as_deref() != key {
            continue;
        }
        let body = if READ_EACH.contains(&kind.name) {
            match read_object(client, kind, &id).await? {
                Some(read) => kind.with_listed(&body, read),
                None => continue,
            }
        } else {
            body
        };
        objects.push(TargetObject { id, body });
    }
    Ok(objects)
}
