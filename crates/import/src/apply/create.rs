//! Creates that happen at most once: where the answer is lost, the target is asked before anything is repeated.

use std::collections::HashSet;
use std::future::Future;

use lifeboat_catalog::{Kind, NaturalKey};
use lifeboat_databricks::{Body, Safety};
use serde_json::Value;

use super::run::{Fail, Run, Step};
use crate::journal::{Made, Op};
use crate::plan::{landing, same_form};
use crate::target::list_whole;

/// Tries at one create.
const TRIES: u32 = 3;

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
    once(run, kind, step, call, || find(run, kind, wanted)).await
}

/// Runs `call` until it is certain that it took effect once.
async fn once<C, F>(
    run: &Run<'_>,
    kind: &Kind,
    step: &Step<'_>,
    call: impl Fn() -> C,
    find: impl Fn() -> F,
) -> Result<String, Fail>
where
    C: Future<Output = Result<String, Fail>>,
    F: Future<Output = Result<Option<String>, Fail>>,
{
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
        let unique = !matches!(kind.natural_key, NaturalKey::NameAndContent(_));
        let tried_before = tries > 1 || error.tries() > 1;
        let taken_by_us = unique && error.is_already_exists() && tried_before;
        if !error.is_uncertain() && !taken_by_us {
            return Err(fail);
        }
        if let Some(id) = find().await? {
            run.adopt(
                step.kind,
                step.id,
                step.name,
                &id,
                Made::Created,
                step.digest.clone(),
            )?;
            return Ok(id);
        }
        if tries >= TRIES {
            return Err(fail);
        }
    }
}

/// The object that a create whose answer was lost has made: equal, and linked to no object of the source.
async fn find(run: &Run<'_>, kind: &'static Kind, wanted: &Value) -> Result<Option<String>, Fail> {
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
    let found = objects.into_iter().find(|object| {
        !taken.contains(object.id.as_str())
            && !before.contains(object.id.as_str())
            && (identity
                || same_form(kind, wanted, &object.body)
                || (kind.name == "clusters" && same_form(kind, &landing(wanted), &object.body)))
    });
    Ok(found.map(|object| object.id))
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
