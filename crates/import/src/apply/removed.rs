//! Deleting what is gone from the source, in the reverse of the order in which it was made, after everything else is
//! done: nothing that was written in this run needs it any more.

use lifeboat_catalog::{Kind, secret_scopes};
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::{Value, json};

use super::run::{Done, Fail, Run, Step};
use crate::journal::Op;
use crate::plan::{Action, Plan, REMOVED_ORDER, What, delete_call, home_of, is_terminated};
use crate::target::{concurrently, dbfs_info, is_listed, list_directory, read_object, tree_info};

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
    if let Some(why) = why_kept_now(run, kind, place).await? {
        return Ok(Outcome::Kept(why));
    }
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

/// What speaks against a deletion since the target was read for the plan, which may be hours ago. What is gone meanwhile
/// the deletion itself finds out.
async fn why_kept_now(
    run: &Run<'_>,
    kind: &'static Kind,
    place: &str,
) -> Result<Option<String>, Fail> {
    let changed = match kind.name {
        "directories" | "notebooks" | "files" => {
            let now = status(run, "/api/2.0/workspace/get-status", place).await?;
            let now = now.as_ref().map(tree_info);
            let before = run.target.tree.get(place);
            now.is_some_and(|now| {
                before.is_none_or(|before| {
                    // The time of a folder is that of what was deleted from it.
                    (&now.object_id, &now.object_type) != (&before.object_id, &before.object_type)
                        || (kind.name != "directories" && now.modified_at != before.modified_at)
                })
            })
        }
        "dbfs" => {
            let now = status(run, "/api/2.0/dbfs/get-status", place).await?;
            let now = now.as_ref().map(dbfs_info);
            let before = run.target.dbfs.get(place);
            now.is_some_and(|now| {
                before.is_none_or(|before| {
                    now.is_dir != before.is_dir
                        || (!now.is_dir && now.modified_at != before.modified_at)
                })
            })
        }
        "users" | "service-principals" => return home_holds(run, kind, place).await,
        "secret-scopes" => {
            let query = [("scope", place)];
            let now = run.client.get(secret_scopes::KEYS_PATH, &query);
            match found(run.read(now).await)? {
                Some(now) => {
                    let keys = now.get("secrets").and_then(Value::as_array);
                    let now = secret_scopes::compose(
                        Value::Null,
                        keys.cloned().unwrap_or_default(),
                        Vec::new(),
                    );
                    let before = run.target.by_id(kind.name, place);
                    before.is_none_or(|before| {
                        !secret_scopes::is_key_vault(&before.body)
                            && secret_scopes::keys(&before.body) != secret_scopes::keys(&now)
                    })
                }
                None => false,
            }
        }
        _ => {
            let now = run.read(read_object(run.client, kind, place)).await?;
            let before = run.target.by_id(kind.name, place);
            now.zip(before).is_some_and(|(now, before)| {
                let now = kind.with_listed(&before.body, now);
                kind.compare_form(&now) != kind.compare_form(&before.body)
            })
        }
    };
    Ok(changed.then(|| "changed in the target since it was read for this run".to_owned()))
}

/// What stands in the home of a user or service principal by now.
async fn home_holds(run: &Run<'_>, kind: &Kind, place: &str) -> Result<Option<String>, Fail> {
    let home = run
        .target
        .by_id(kind.name, place)
        .and_then(|object| home_of(kind.name, &object.body, &run.target.homes));
    let Some(home) = home else {
        return Ok(None);
    };
    let held = found(run.read(list_directory(run.client, &home)).await)?;
    Ok(held
        .and_then(|held| held.into_keys().next())
        .map(|child| format!("the home in the target is not empty: {child}")))
}

/// What a path is now; `None` when nothing is there.
async fn status(run: &Run<'_>, call: &str, path: &str) -> Result<Option<Value>, Fail> {
    found(run.read(run.client.get(call, &[("path", path)])).await)
}

fn found<T>(reply: Result<T, Fail>) -> Result<Option<T>, Fail> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(fail)
            if fail
                .error()
                .is_some_and(lifeboat_databricks::Error::is_not_found) =>
        {
            Ok(None)
        }
        Err(fail) => Err(fail),
    }
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
    Ok(self::status(run, status, place).await?.is_some())
}
