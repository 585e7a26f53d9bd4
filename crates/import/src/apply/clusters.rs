//! Clusters. There is no create without a start, so a cluster is created with the shortest end of its own, terminated
//! at once, and gets its archived specification when it has stopped (`spec/import.md`, "Passive landing").

use std::time::Instant;

use lifeboat_catalog::{Kind, places};
use lifeboat_databricks::{Body, Safety};
use serde_json::{Value, json};

use super::objects::{update, wanted};
use super::run::{Done, Fail, Run, Step, UnderWay};
use super::{access, create, of_kind};
use crate::journal::Op;
use crate::plan::{
    Action, CHANGE_OWNER, CREATOR, NOT_OWNED, Plan, What, is_terminated, landing, owner_digest,
    owner_to_set,
};
use crate::resolve::digest;
use crate::target::concurrently;

const GET: &str = "/api/2.1/clusters/get";
/// First and longest pause between two looks at a cluster, in seconds.
const PAUSES: (f64, f64) = (0.1, 5.0);

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "clusters");
    run.announce("clusters", actions.len());
    concurrently(
        actions,
        run.options.concurrency,
        |(index, action)| async move {
            let outcome = cluster(run, action).await;
            run.finish(index, action, outcome);
        },
    )
    .await;
}

async fn cluster(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind =
        lifeboat_catalog::kind("clusters").ok_or_else(|| Fail::Other("no such kind".to_owned()))?;
    let record = run.record(kind.name, &action.id)?;
    let wanted = wanted(run, kind, &record.body).await?;
    let mut done = Done {
        notes: wanted.notes.clone(),
        remarks: wanted.remarks.clone(),
        ..Done::default()
    };
    // A run that stops waits for what is under way: a cluster that is being made is on until it is turned off.
    let under_way = run.under_way();
    let id = match &action.target {
        None => create_cluster(run, kind, action, &wanted.body).await?,
        Some(id) => {
            if action.what == What::Adopt {
                let form = digest(&kind.compare_form(&wanted.body));
                run.adopt(
                    kind.name,
                    &action.id,
                    &action.name,
                    id,
                    action.made(),
                    Some(form),
                )?;
            }
            id.clone()
        }
    };
    done.target = Some(id.clone());
    let entry = run.journal.entry(kind.name, &action.id).unwrap_or_default();
    if entry.is_ours() && !entry.configured {
        configure(run, kind, action, &id, &wanted.body, under_way).await?;
    } else {
        drop(under_way);
        if action.writes_object && !is_as_wanted(run, kind, &id, &wanted.body) {
            edit(run, kind, action, &id, &wanted.body).await?;
        }
    }
    if entry.is_ours() && !entry.pinned {
        pin(run, action, &id, &mut done).await?;
    }
    if action.writes_owner {
        hand_over(run, kind, action, &record.body, &id, &mut done).await?;
    }
    access::apply(run, kind, action, &action.id, &id, &mut done).await?;
    Ok(done)
}

/// Edits a cluster. Only its owner may change the secrets that it names: then the caller owns it for that call.
async fn edit(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    id: &str,
    wanted: &Value,
) -> Result<(), Fail> {
    let form = digest(&kind.compare_form(wanted));
    let entry = run.journal.entry(kind.name, &action.id);
    let is_ours = entry.is_some_and(|entry| entry.is_ours());
    let refused = update(run, kind, action, id, wanted, form.clone()).await;
    let object = run.target.by_id(kind.name, id);
    let owner = object.and_then(|object| places::text(&object.body, CREATOR));
    match (refused, owner) {
        // Only of a cluster that a later run gives back, should this one end in between.
        (Err(fail), Some(owner))
            if is_ours && is_the_owners(&fail) && owner != run.target.caller =>
        {
            own(run, action, id, &run.target.caller).await?;
            let edited = update(run, kind, action, id, wanted, form).await;
            // Whatever came of it, the cluster is not the caller's to keep.
            own(run, action, id, &owner).await.and(edited)
        }
        (outcome, _) => outcome,
    }
}

/// Whether the service leaves something to the owner of a cluster.
fn is_the_owners(fail: &Fail) -> bool {
    fail.error().is_some_and(|error| {
        let refused = matches!(error.status(), Some(400 | 403));
        refused && error.message().to_lowercase().contains("cluster owner")
    })
}

/// Gives a cluster at rest to its creator in the source. That the service refuses is no failure.
async fn hand_over(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    archived: &Value,
    id: &str,
    done: &mut Done,
) -> Result<(), Fail> {
    let creator = places::text(archived, CREATOR).unwrap_or_default();
    run.waiting.for_all(&run.waiting.of_name(&creator)).await;
    let owner = owner_to_set(kind, archived, None, None, &run.resolver());
    let Some(owner) = owner else {
        // Whoever was to be made could not be made, and is named.
        return Ok(());
    };
    match own(run, action, id, &owner).await {
        Err(Fail::Service(error)) if error.is_unknown_endpoint() || error.is_not_implemented() => {
            done.remarks.push(format!("{NOT_OWNED}: {error}"));
            Ok(())
        }
        Err(Fail::Service(error)) => {
            done.notes.push(format!("{NOT_OWNED}: {error}"));
            Ok(())
        }
        other => other,
    }
}

async fn own(run: &Run<'_>, action: &Action, id: &str, owner: &str) -> Result<(), Fail> {
    let body = json!({ "cluster_id": id, "owner_username": owner });
    let step =
        Step::new(Op::Own, "clusters", &action.id, &action.name).writing(owner_digest(owner));
    let give = || {
        let call = run.client.send(
            "POST",
            CHANGE_OWNER,
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        );
        run.write(&step, call, |_| None)
    };
    run.until_known(std::iter::once(owner), give)
        .await
        .map(|_| ())
}

fn is_as_wanted(run: &Run<'_>, kind: &Kind, id: &str, wanted: &Value) -> bool {
    run.target
        .by_id(kind.name, id)
        .is_some_and(|object| crate::plan::same_form(kind, wanted, &object.body))
}

async fn create_cluster(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    wanted: &Value,
) -> Result<String, Fail> {
    let pending = run
        .journal
        .entry(kind.name, &action.id)
        .and_then(|entry| entry.pending);
    let token = pending
        .and_then(|pending| pending.token)
        .unwrap_or_else(|| token(run, action));
    match create_as(run, kind, action, &landing(wanted), &token).await {
        // A policy may fix the time of termination: then the archived one is the only one allowed. Nothing else that is
        // refused becomes right by a cluster that may run on for ever.
        Err(fail)
            if fail.error().is_some_and(|error| {
                error.status() == Some(400) && error.message().contains("autotermination")
            }) && wanted.get("policy_id").is_some() =>
        {
            create_as(run, kind, action, wanted, &token).await
        }
        other => other,
    }
}

async fn create_as(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    request: &Value,
    token: &str,
) -> Result<String, Fail> {
    let mut body = kind
        .create_body(request)
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    if let Some(map) = body.as_object_mut() {
        map.insert("idempotency_token".to_owned(), json!(token));
    }
    let form = digest(&kind.compare_form(request));
    let mut step = create::step(kind.name, &action.id, &action.name, form, true);
    step.token = Some(token.to_owned());
    create::object(run, kind, &step, &body, request).await
}

/// A token that no other create ever had: 64 hexadecimal digits, as long as the service allows.
fn token(run: &Run<'_>, action: &Action) -> String {
    let seed = json!([
        run.state.workspace_id,
        run.target.workspace_id,
        action.id,
        jiff::Timestamp::now().to_string(),
        std::process::id()
    ]);
    digest(&seed)
}

/// Brings a new cluster to rest and gives it its archived specification.
async fn configure(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    id: &str,
    wanted: &Value,
    under_way: UnderWay<'_>,
) -> Result<(), Fail> {
    let step = Step::new(Op::Terminate, kind.name, &action.id, &action.name);
    let stopped = match run.write(&step, turn_off(run, id), |_| None).await {
        Ok(_) => {
            drop(under_way);
            match wait_until_terminated(run, id).await {
                Err(Fail::Stopped) => return Err(Fail::Stopped),
                waited => waited,
            }
        }
        // A cluster that was just made is on: the one call that turns it off is made also by a run that stops.
        Err(Fail::Stopped) if turn_off(run, id).await.is_ok() => return Err(Fail::Stopped),
        Err(fail) => Err(fail),
    };
    if let Err(fail) = stopped {
        let command = format!("databricks clusters delete {id}");
        run.todo(
            kind.name,
            &action.name,
            "the new cluster may still be running",
            command,
        );
        if matches!(fail, Fail::Stopped) {
            return Err(fail);
        }
        return Err(Fail::Other(format!(
            "still running: cluster {id} was made and not stopped: {}",
            fail.text()
        )));
    }
    let body = kind
        .update_body(wanted, id)
        .ok_or_else(|| Fail::Other("no update call".to_owned()))?;
    let form = digest(&kind.compare_form(wanted));
    let step = Step::new(Op::Configure, kind.name, &action.id, &action.name).writing(form);
    let call = run.client.send(
        "POST",
        "/api/2.1/clusters/edit",
        &[],
        Body::Json(&body),
        Safety::Idempotent,
    );
    run.write(&step, call, |_| None).await.map(|_| ())
}

/// Terminates a cluster.
async fn turn_off(run: &Run<'_>, id: &str) -> Result<Value, lifeboat_databricks::Error> {
    let body = json!({ "cluster_id": id });
    let (path, safety) = ("/api/2.1/clusters/delete", Safety::Idempotent);
    run.client
        .send("POST", path, &[], Body::Json(&body), safety)
        .await
}

async fn wait_until_terminated(run: &Run<'_>, id: &str) -> Result<(), Fail> {
    let start = Instant::now();
    let second = run.options.second;
    let (mut pause, longest) = (second.mul_f64(PAUSES.0), second.mul_f64(PAUSES.1));
    loop {
        let body = run.read(run.client.get(GET, &[("cluster_id", id)])).await?;
        if is_terminated(&body) {
            return Ok(());
        }
        if start.elapsed() > run.options.cluster_wait {
            let state = body
                .get("state")
                .and_then(Value::as_str)
                .unwrap_or("unknown")
                .to_owned();
            return Err(Fail::Other(format!(
                "not terminated after {} s (state {state})",
                run.options.cluster_wait.as_secs()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Unpinned terminated clusters vanish after 30 days, and a standby must not lose them. At most 100 can be pinned.
async fn pin(run: &Run<'_>, action: &Action, id: &str, done: &mut Done) -> Result<(), Fail> {
    let body = json!({ "cluster_id": id });
    let step = Step::new(Op::Pin, "clusters", &action.id, &action.name);
    let call = run.client.send(
        "POST",
        "/api/2.1/clusters/pin",
        &[],
        Body::Json(&body),
        Safety::Idempotent,
    );
    match run.write(&step, call, |_| None).await {
        Ok(_) => Ok(()),
        Err(Fail::Service(error)) => {
            done.notes.push(format!(
                "not pinned, so the service drops it after 30 days without a run: {error}"
            ));
            Ok(())
        }
        Err(fail) => Err(fail),
    }
}
