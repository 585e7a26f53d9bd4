//! Creates that happen at most once: where the answer is lost, the target is asked before anything is repeated.

use std::collections::HashSet;
use std::future::Future;

use lifeboat_catalog::{Kind, NaturalKey};
use lifeboat_databricks::{Body, Safety};
use serde_json::Value;

use super::run::{Fail, Run, Step};
use crate::journal::{Made, Op};
use crate::plan::is_made_of;
use crate::target::list_whole;

/// Tries at one create that the service does not do twice.
const TRIES: u32 = 3;
/// Looks for a create whose answer was lost, after the first: listings may be stale.
const LOOKS: u32 = 4;

/// What the target holds after a create whose answer was lost.
enum Seen {
    /// The object that it made.
    Ours(String),
    /// Objects of its name of which nobody can tell whose they are.
    Ambiguous,
    /// Nothing of its name that was not there before.
    Nothing,
}

/// Creates an object and gives its id. `wanted` is the request form that `body` was made of.
pub(super) async fn object(
    run: &Run<'_>,
    kind: &'static Kind,
    step: &Step<'_>,
    body: &Value,
    wanted: &Value,
) -> Result<String, Fail> {
    let Some(write) = kind.create else {
        return Err(Fail::Other(format!("{} cannot be created", kind.name)));
    };
    let id_field = write.returns_id.unwrap_or("id");
    let reply_id = |reply: &Value| lifeboat_catalog::places::text(reply, id_field);
    let call = || async {
        let call = run.client.send(
            write.method,
            write.path,
            &[],
            Body::Json(body),
            Safety::Create,
        );
        let reply = run.write(step, call, reply_id).await?;
        reply_id(&reply)
            .ok_or_else(|| Fail::Other(format!("the reply to the create has no {id_field}")))
    };
    once(run, kind, step, call, || find(run, kind, step, wanted)).await
}

/// Runs `call` until it is certain that it took effect once. What the service would make a second time is never called
/// again after an answer that was lost: the intent stays open, and the next run looks for it.
async fn once<C, F>(
    run: &Run<'_>,
    kind: &Kind,
    step: &Step<'_>,
    call: impl Fn() -> C,
    find: impl Fn() -> F,
) -> Result<String, Fail>
where
    C: Future<Output = Result<String, Fail>>,
    F: Future<Output = Result<Seen, Fail>>,
{
    let unique = !matches!(kind.natural_key, NaturalKey::NameAndContent(_));
    let repeatable = unique || step.token.is_some();
    let mut tries = 0;
    loop {
        tries += 1;
        let fail = match call().await {
            Ok(id) => return Ok(id),
            Err(fail) => fail,
        };
        let Some(error) = fail.error() else {
            return Err(fail);
        };
        let tried_before = tries > 1 || error.tries() > 1;
        let taken_by_us = unique && error.is_already_exists() && tried_before;
        if !error.is_uncertain() && !taken_by_us {
            return Err(fail);
        }
        let mut seen = find().await?;
        if !repeatable {
            seen = look_again(run, seen, &find).await?;
        }
        match seen {
            Seen::Ours(id) => {
                let digest = step.digest.clone();
                run.adopt(step.kind, step.id, step.name, &id, Made::Created, digest)?;
                return Ok(id);
            }
            Seen::Ambiguous if !repeatable => {
                return Err(Fail::Blocked(format!(
                    "ambiguous: the answer to its create was lost, and the target holds a new object of its name of \
                     which nobody can tell whose it is: {}",
                    fail.text()
                )));
            }
            Seen::Nothing if !repeatable => {
                return Err(Fail::Other(format!(
                    "the answer to its create was lost, and the target does not show it; the next run looks for it: {}",
                    fail.text()
                )));
            }
            _ if tries >= TRIES => return Err(fail),
            _ => {}
        }
    }
}

/// Looks until something is seen.
async fn look_again<F>(run: &Run<'_>, first: Seen, find: impl Fn() -> F) -> Result<Seen, Fail>
where
    F: Future<Output = Result<Seen, Fail>>,
{
    let (mut seen, mut pause) = (first, run.options.second);
    for _ in 0..LOOKS {
        if !matches!(seen, Seen::Nothing) {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        seen = find().await?;
    }
    Ok(seen)
}

/// The object that a create whose answer was lost has made: new, equal, and linked to no object of the source.
async fn find(
    run: &Run<'_>,
    kind: &'static Kind,
    step: &Step<'_>,
    wanted: &Value,
) -> Result<Seen, Fail> {
    let knowledge = run.journal.knowledge();
    let taken: HashSet<&str> = knowledge
        .of_kind(kind.name)
        .filter_map(|(_, entry)| entry.target.as_deref())
        .collect();
    let before: HashSet<&str> = run
        .target
        .of_kind(kind.name)
        .iter()
        .map(|object| object.id.as_str())
        .collect();
    let key = kind.key_of(wanted);
    let objects = run
        .read(list_whole(run.client, kind, key.as_deref()))
        .await?;
    let identity = matches!(kind.name, "users" | "service-principals" | "groups");
    let new: Vec<_> = objects
        .into_iter()
        .filter(|object| {
            !taken.contains(object.id.as_str()) && !before.contains(object.id.as_str())
        })
        .collect();
    let equal: Vec<&str> = new
        .iter()
        .filter(|object| identity || is_made_of(kind, wanted, &object.body))
        .map(|object| object.id.as_str())
        .collect();
    // A twin that is just being made looks the same until its answer is there.
    let rival = matches!(kind.natural_key, NaturalKey::NameAndContent(_))
        && knowledge.of_kind(kind.name).any(|(id, entry)| {
            id != step.id && entry.name == step.name && entry.is_create_pending()
        });
    Ok(match equal.as_slice() {
        [only] if !rival => Seen::Ours((*only).to_owned()),
        _ if new.is_empty() => Seen::Nothing,
        _ => Seen::Ambiguous,
    })
}

/// A step that creates.
pub(super) fn step<'a>(
    kind: &'a str,
    id: &'a str,
    name: &'a str,
    digest: String,
    sync: bool,
) -> Step<'a> {
    let mut step = Step::new(Op::Create, kind, id, name).writing(digest);
    step.sync = sync;
    step
}
