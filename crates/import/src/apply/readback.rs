//! Reading back what was written while other things are still being written: other families of calls, so other limits.
//!
//! An object is read when nothing of it is left to write: access control and directories one by one, contents when all of
//! their directory are written and it was listed, other objects when their kind is done. The comparison that follows an
//! apply reads what is missing here, and again what differs.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use futures_util::stream;
use lifeboat_databricks::segment;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use super::run::Run;
use super::tree::GET_STATUS;
use crate::engine::reader;
use crate::held::Reply;
use crate::target::{
    Content, DbfsInfo, Listed, TargetState, TreeInfo, Wanted, dbfs_digest, dbfs_info, read_content,
    tree_info,
};

/// Reads of one sort under way: writing has the right of way.
const BESIDE: usize = 16;

/// What is ready to be read, or was read.
pub(super) enum Written {
    /// Access control: segment, id in the target.
    Access(String, String),
    /// A directory by its path, as it was looked up after it was made.
    Directory(String, TreeInfo),
    /// A directory that stood there before, by its path.
    OldDirectory(String),
    /// What stands in a directory, listed after its contents were written.
    Listing(String, BTreeMap<String, TreeInfo>),
    /// A content, and the time of change that the listing showed after it was written.
    Content(Wanted, Option<i64>),
    /// A file of DBFS, as it was looked up after it was written.
    Dbfs(Wanted, DbfsInfo),
    /// A directory of DBFS.
    DbfsDirectory(String),
    /// Every object of a kind.
    Kind(&'static str),
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// By kind and path in the target, with the time of change before it was read.
    pub contents: HashMap<(String, String), (Content, Option<i64>)>,
    /// Replies by segment and id in the target.
    pub acls: BTreeMap<(String, String), Reply>,
    /// Directories that were made, or whose access control was.
    pub directories: BTreeMap<String, TreeInfo>,
    /// What stands in each directory that was listed.
    pub listings: BTreeMap<String, BTreeMap<String, TreeInfo>>,
    /// DBFS by path.
    pub dbfs: BTreeMap<String, DbfsInfo>,
    /// Objects by kind.
    pub kinds: BTreeMap<String, Listed>,
}

impl ReadBack {
    /// Keeps only what is told by nothing but its own call.
    pub fn forget_listings(&mut self) {
        self.directories.clear();
        self.listings.clear();
        self.dbfs.clear();
        self.kinds.clear();
    }

    fn take(&mut self, one: Read) {
        match one {
            Read::Access(segment, id, body) => {
                self.acls.insert((segment, id), body.into());
            }
            Read::Directory(path, info) => {
                self.directories.insert(path, info);
            }
            Read::Listing(path, children) => {
                self.listings.insert(path, children);
            }
            Read::Content(wanted, modified_at, content) => {
                let key = (wanted.kind, wanted.path);
                self.contents.insert(key, (content, modified_at));
            }
            Read::Dbfs(path, info) => {
                self.dbfs.insert(path, info);
            }
            Read::Kind(kind, listed) => {
                self.kinds.insert(kind.to_owned(), listed);
            }
        }
    }
}

enum Read {
    Access(String, String, Value),
    Directory(String, TreeInfo),
    Listing(String, BTreeMap<String, TreeInfo>),
    Content(Wanted, Option<i64>, Content),
    Dbfs(String, DbfsInfo),
    Kind(&'static str, Listed),
}

/// Places for each sort of reads, which have limits of their own.
struct Places {
    access: Semaphore,
    contents: Semaphore,
    dbfs: Semaphore,
    status: Semaphore,
}

/// Reads what comes until nothing more can come.
pub(super) async fn read(run: &Run<'_>, mut written: UnboundedReceiver<Written>) -> ReadBack {
    let places = Places {
        access: Semaphore::new(BESIDE),
        contents: Semaphore::new(BESIDE),
        dbfs: Semaphore::new(BESIDE),
        status: Semaphore::new(BESIDE),
    };
    let coming = stream::poll_fn(move |context| written.poll_recv(context));
    let read = coming
        .map(|one| one_of(run, &places, one))
        .buffer_unordered(usize::MAX);
    read.fold(ReadBack::default(), |mut all, read| async move {
        read.into_iter().for_each(|one| all.take(one));
        all
    })
    .await
}

/// What cannot be read now is read by the comparison, which says why.
async fn one_of(run: &Run<'_>, places: &Places, written: Written) -> Vec<Read> {
    if run.check().is_err() {
        return Vec::new();
    }
    match written {
        Written::Directory(path, info) => vec![Read::Directory(path, info)],
        Written::Listing(path, children) => vec![Read::Listing(path, children)],
        Written::OldDirectory(path) => {
            let _place = places.status.acquire().await;
            let reply = run.client.get(GET_STATUS, &[("path", path.as_str())]).await;
            let info = reply.map(|reply| tree_info(&reply));
            let read = info.map(|info| Read::Directory(path, info));
            read.into_iter().collect()
        }
        Written::Access(name, id) => {
            let _place = places.access.acquire().await;
            let path = format!("/api/2.0/permissions/{name}/{}", segment(&id));
            let reply = run.client.get(&path, &[]).await;
            reply.map_or_else(|_| Vec::new(), |body| vec![Read::Access(name, id, body)])
        }
        Written::Content(wanted, modified_at) => {
            let _place = places.contents.acquire().await;
            let read = read_content(run.client, &wanted).await;
            let read = read.map(|content| Read::Content(wanted, modified_at, content));
            read.into_iter().collect()
        }
        Written::Dbfs(wanted, info) => {
            let _place = places.dbfs.acquire().await;
            let modified_at = info.modified_at;
            let mut read = vec![Read::Dbfs(wanted.path.clone(), info)];
            if let Ok(digest) = dbfs_digest(run.client, &wanted.path).await {
                read.push(Read::Content(wanted, modified_at, Content::of(digest)));
            }
            read
        }
        Written::DbfsDirectory(path) => {
            let _place = places.dbfs.acquire().await;
            let query = [("path", path.as_str())];
            let reply = run.client.get("/api/2.0/dbfs/get-status", &query).await;
            let read = reply.map(|reply| Read::Dbfs(path, dbfs_info(&reply)));
            read.into_iter().collect()
        }
        Written::Kind(kind) => whole_kind(run, kind).await,
    }
}

async fn whole_kind(run: &Run<'_>, kind: &'static str) -> Vec<Read> {
    let knowledge = run.journal.knowledge();
    let reader = reader(run.client, run.options, run.state, &knowledge);
    let mut state = TargetState::default();
    let read = reader.list_kinds(&mut state, |name| name == kind).await;
    let listed = state
        .kinds
        .remove(kind)
        .filter(|_| read.is_ok() && state.unclear.is_empty());
    let whole = listed.filter(|listed| matches!(listed, Listed::Yes(_)));
    whole
        .map(|listed| Read::Kind(kind, listed))
        .into_iter()
        .collect()
}
