//! Instance pools, cluster policies, global init scripts and jobs.

use lifeboat_catalog::Kind;
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::run::{Done, Fail, Run, Step};
use super::{access, create, of_kind};
use crate::journal::Op;
use crate::plan::{Action, Plan, What, desired};
use crate::resolve::{Rewritten, digest};
use crate::target::concurrently;

/// All objects of a kind, beside each other.
pub(super) async fn apply(run: &Run<'_>, plan: &Plan, kind: &str) {
    let actions = of_kind(plan, kind);
    run.announce(kind, actions.len());
    concurrently(actions, run.options.concurrency, |(index, action)| {
        one(run, index, action)
    })
    .await;
}

/// All objects of a kind, one after the other: their order matters to the service.
pub(super) async fn in_order(run: &Run<'_>, plan: &Plan, kind: &str) {
    let actions = of_kind(plan, kind);
    run.announce(kind, actions.len());
    for (index, action) in actions {
        one(run, index, action).await;
    }
}

/// Jobs, each after the clusters and jobs that it refers to.
pub(super) async fn apply_jobs(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "jobs");
    run.announce("jobs", actions.len());
    // Who waits for others takes no place: all are begun, so many work.
    let places = Semaphore::new(run.options.concurrency.max(1));
    let places = &places;
    let all = actions.len();
    concurrently(actions, all, |(index, action)| async move {
        if let (Some(kind), Ok(record)) = (
            lifeboat_catalog::kind("jobs"),
            run.record("jobs", &action.id),
        ) {
            run.references_of(kind, &record.body).await;
        }
        let _place = places.acquire().await;
        one(run, index, action).await;
    })
    .await;
}

async fn one(run: &Run<'_>, index: usize, action: &Action) {
    let outcome = object(run, action).await;
    run.finish(index, action, outcome);
}

/// The body of an object with the ids of this moment, which comes when everybody whom it names is there.
pub(super) async fn wanted(run: &Run<'_>, kind: &Kind, body: &Value) -> Result<Rewritten, Fail> {
    run.references_of(kind, body).await;
    let wanted = desired(kind, body, &run.resolver());
    if !wanted.missing.is_empty() {
        return Err(Fail::Blocked(wanted.missing.join("; ")));
    }
    if wanted.waits {
        return Err(Fail::Blocked(
            "it refers to an object that was not made".to_owned(),
        ));
    }
    Ok(wanted)
}

async fn object(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = lifeboat_catalog::kind(&action.kind)
        .ok_or_else(|| Fail::Other(format!("{} is no kind of object", action.kind)))?;
    let record = run.record(kind.name, &action.id)?;
    let wanted = wanted(run, kind, &record.body).await?;
    let form = digest(&kind.compare_form(&wanted.body));
    let mut done = Done {
        notes: wanted.notes.clone(),
        remarks: wanted.remarks.clone(),
        ..Done::default()
    };
    let id = match (&action.target, action.what) {
        (None, _) => make(run, kind, action, &wanted.body, form).await?,
        (Some(id), what) => {
            if what == What::Adopt {
                run.adopt(
                    kind.name,
                    &action.id,
                    &action.name,
                    id,
                    action.made(),
                    Some(form.clone()),
                )?;
            }
            if action.writes_object {
                update(run, kind, action, id, &wanted.body, form).await?;
            }
            id.clone()
        }
    };
    done.target = Some(id.clone());
    access::apply(run, kind, action, &action.id, &id, &mut done).await?;
    Ok(done)
}

async fn make(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    wanted: &Value,
    form: String,
) -> Result<String, Fail> {
    let body = kind
        .create_body(wanted)
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    // Jobs have no unique name: only the journal tells which one is ours.
    let step = create::step(
        kind.name,
        &action.id,
        &action.name,
        form,
        kind.name == "jobs",
    );
    create::object(run, kind, &step, &body, wanted).await
}

/// Replaces the specification of an existing object.
pub(super) async fn update(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    id: &str,
    wanted: &Value,
    form: String,
) -> Result<(), Fail> {
    let Some(write) = kind.update else {
        return Err(Fail::Other(format!("{} cannot be changed", kind.name)));
    };
    let existing = run.target.by_id(kind.name, id).map(|object| &object.body);
    let builtin = existing.is_some_and(|body| (kind.builtin)(body));
    let request = match existing {
        // Of a built-in policy only the overrides are ours.
        Some(existing) if builtin => with_overrides(&kind.request_form(existing), wanted),
        _ => wanted.clone(),
    };
    let body = kind
        .update_body(&request, id)
        .ok_or_else(|| Fail::Other("no update call".to_owned()))?;
    let path = Kind::path_for(write.path, &segment(id));
    let step = Step::new(Op::Update, kind.name, &action.id, &action.name).writing(form);
    let call = run.client.send(
        write.method,
        &path,
        &[],
        Body::Json(&body),
        Safety::Idempotent,
    );
    run.write(&step, call, |_| Some(id.to_owned()))
        .await
        .map(|_| ())
}

fn with_overrides(existing: &Value, wanted: &Value) -> Value {
    const OVERRIDES: &str = "policy_family_definition_overrides";
    let mut request = existing.clone();
    if let Some(map) = request.as_object_mut() {
        match wanted.get(OVERRIDES) {
            Some(overrides) => map.insert(OVERRIDES.to_owned(), overrides.clone()),
            None => map.shift_remove(OVERRIDES),
        };
    }
    request
}
