//! Deleting what is gone from the source, in the reverse of the order in which it was made, after everything else is
//! done: nothing that was written in this run needs it any more.

use lifeboat_catalog::Kind;
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::{Value, json};

use super::run::{Done, Fail, Run, Step};
use crate::journal::Op;
use crate::plan::{Action, Plan, REMOVED_ORDER, What, delete_call, is_terminated};
use crate::target::{concurrently, is_listed};

/// What came of a deletion that failed in no way.
enum Outcome {
    Deleted,
    /// It is kept after all, for this reason.
    Kept(String),
}

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    for kind in REMOVED_ORDER {
        let actions: Vec<(usize, &Action)> = plan
            .actions
            .iter()
            .enumerate()
            .filter(|(_, action)| action.what == What::Delete && action.kind == kind)
            .collect();
        run.announce(kind, actions.len());
        // A directory goes after those below it.
        let limit = match kind {
            "directories" | "dbfs" => 1,
            _ => run.options.concurrency,
        };
        concurrently(actions, limit, |(index, action)| async move {
            one(run, index, action).await;
        })
        .await;
    }
}

async fn one(run: &Run<'_>, index: usize, action: &Action) {
    match delete(run, action).await {
        Ok(Outcome::Deleted) => run.finish(index, action, Ok(Done::default())),
        Ok(Outcome::Kept(why)) => {
            let mut kept = action.clone();
            kept.what = What::Skip;
            let kept = kept.because(format!("removed at the source, kept: {why}"));
            run.finish(index, &kept, Ok(Done::default()));
        }
        Err(fail) => run.finish(index, action, Err(fail)),
    }
}

async fn delete(run: &Run<'_>, action: &Action) -> Result<Outcome, Fail> {
    let kind = lifeboat_catalog::kind(&action.kind)
        .ok_or_else(|| Fail::Other(format!("{} is no kind of object", action.kind)))?;
    let Some(place) = action.target.as_deref() else {
        return Err(Fail::Other("nobody knows where it stands".to_owned()));
    };
    if kind.name == "clusters"
        && let Some(why) = prepare_cluster(run, action, place).await?
    {
        return Ok(Outcome::Kept(why));
    }
    let (method, path) = delete_call(kind.name);
    let path = Kind::path_for(path, &segment(place));
    let body = match kind.name {
        "directories" | "notebooks" | "files" | "dbfs" => {
            json!({ "path": place, "recursive": false })
        }
        _ => kind
            .delete_body(place)
            .ok_or_else(|| Fail::Other(format!("{} cannot be deleted", kind.name)))?,
    };
    let sent = if body == Value::Null {
        Body::None
    } else {
        Body::Json(&body)
    };
    let step = Step::new(Op::Delete, kind.name, &action.id, &action.name);
    let call = run
        .client
        .send(method, &path, &[], sent, Safety::Idempotent);
    let Err(fail) = run.write(&step, call, |_| None).await else {
        return Ok(Outcome::Deleted);
    };
    let Some(error) = fail.error() else {
        return Err(fail);
    };
    // Gone: by an earlier call whose answer was lost, or by somebody else.
    if error.is_not_found() || (error.is_uncertain() && !is_there(run, kind, place).await?) {
        run.forget(kind.name, &action.id, &action.name)?;
        return Ok(Outcome::Deleted);
    }
    if error.code() == Some("DIRECTORY_NOT_EMPTY") {
        return Ok(Outcome::Kept("not empty".to_owned()));
    }
    Err(fail)
}

/// A cluster that somebody started since the plan is kept; what this tool pinned it unpins, because the service deletes
/// no pinned cluster.
async fn prepare_cluster(run: &Run<'_>, action: &Action, id: &str) -> Result<Option<String>, Fail> {
    let query = [("cluster_id", id)];
    let reply = run
        .read(run.client.get("/api/2.1/clusters/get", &query))
        .await;
    match reply {
        Ok(body) if !is_terminated(&body) => return Ok(Some("it is running".to_owned())),
        Ok(_) => {}
        // The deletion finds out that it is gone.
        Err(fail)
            if fail
                .error()
                .is_some_and(lifeboat_databricks::Error::is_not_found) =>
        {
            return Ok(None);
        }
        Err(fail) => return Err(fail),
    }
    let entry = run.journal.entry("clusters", &action.id);
    if entry.is_some_and(|entry| entry.pinned) {
        let body = json!({ "cluster_id": id });
        let step = Step::new(Op::Unpin, "clusters", &action.id, &action.name);
        let call = run.client.send(
            "POST",
            "/api/2.1/clusters/unpin",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        );
        run.write(&step, call, |_| None).await?;
    }
    Ok(None)
}

/// Whether an object still exists after a deletion whose answer was lost.
async fn is_there(run: &Run<'_>, kind: &'static Kind, place: &str) -> Result<bool, Fail> {
    let status = match kind.name {
        "directories" | "notebooks" | "files" => "/api/2.0/workspace/get-status",
        "dbfs" => "/api/2.0/dbfs/get-status",
        _ => return run.read(is_listed(run.client, kind, place)).await,
    };
    match run.read(run.client.get(status, &[("path", place)])).await {
        Ok(_) => Ok(true),
        Err(fail)
            if fail
                .error()
                .is_some_and(lifeboat_databricks::Error::is_not_found) =>
        {
            Ok(false)
        }
        Err(fail) => Err(fail),
    }
}
