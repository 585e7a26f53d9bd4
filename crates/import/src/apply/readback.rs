//! Reading back what was written while other things are still being written: other families of calls, so other limits.
//!
//! Only hints for the comparison that follows an apply: a content counts when the listing afterwards shows the time of
//! change that stood there before it was read; what is missing here, or differs, is read then.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use futures_util::stream;
use lifeboat_databricks::segment;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::run::Run;
use crate::target::{Content, Wanted, read_content};

/// Reads under way: writing has the right of way.
const BESIDE: usize = 16;

/// What is ready to be read.
pub(super) enum Written {
    /// Access control: segment, id in the target.
    Access(String, String),
    /// A content, and the time of change that the listing showed after it was written.
    Content(Wanted, Option<i64>),
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// By kind and path in the target, with the time of change before it was read.
    pub contents: HashMap<(String, String), (Content, Option<i64>)>,
    /// Replies by segment and id in the target.
    pub acls: BTreeMap<(String, String), Value>,
}

/// Reads what comes until nothing more can come.
pub(super) async fn read(run: &Run<'_>, mut written: UnboundedReceiver<Written>) -> ReadBack {
    let coming = stream::poll_fn(move |context| written.poll_recv(context));
    let read = coming.map(|one| one_of(run, one)).buffer_unordered(BESIDE);
    read.fold(ReadBack::default(), |mut all, one| async move {
        match one {
            Some(Read::Access(segment, id, body)) => {
                all.acls.insert((segment, id), body);
            }
            Some(Read::Content(wanted, modified_at, content)) => {
                let key = (wanted.kind, wanted.path);
                all.contents.insert(key, (content, modified_at));
            }
            None => {}
        }
        all
    })
    .await
}

enum Read {
    Access(String, String, Value),
    Content(Wanted, Option<i64>, Content),
}

/// What cannot be read now is read by the comparison, which says why.
async fn one_of(run: &Run<'_>, written: Written) -> Option<Read> {
    run.check().ok()?;
    match written {
        Written::Access(name, id) => {
            let path = format!("/api/2.0/permissions/{name}/{}", segment(&id));
            let body = run.client.get(&path, &[]).await.ok()?;
            Some(Read::Access(name, id, body))
        }
        Written::Content(wanted, modified_at) => {
            let content = read_content(run.client, &wanted).await.ok()?;
            Some(Read::Content(wanted, modified_at, content))
        }
    }
}
