//! Secret scopes with their access control, and the values that the archive holds; the plan's checklist names the others.

use lifeboat_catalog::records::{ObjectRecord, SECRET_VALUES, secret_value_id};
use lifeboat_catalog::secret_scopes;
use lifeboat_databricks::{Body, Safety};
use serde_json::{Value, json};

use super::run::{Done, Fail, Run, Step};
use super::{create, of_kind};
use crate::journal::{Made, Op};
use crate::plan::{Action, Plan, VAULT_NEEDS, What, acl_changes, value_changes, vault_todo};
use crate::resolve::digest;
use crate::target::concurrently;

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "secret-scopes");
    run.announce("secret-scopes", actions.len());
    concurrently(
        actions,
        run.options.concurrency,
        |(index, action)| async move {
            let outcome = scope(run, action).await;
            run.finish(index, action, outcome);
        },
    )
    .await;
}

async fn scope(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let record = run.record("secret-scopes", &action.id)?;
    let existing = action
        .target
        .as_ref()
        .and_then(|id| run.target.by_id("secret-scopes", id))
        .map(|found| &found.body);
    let name = action.target.clone().unwrap_or_else(|| action.name.clone());
    match action.what {
        What::Create => create_scope(run, action, &record.body).await?,
        What::Adopt => {
            run.adopt(
                "secret-scopes",
                &action.id,
                &action.name,
                &name,
                action.made(),
                None,
            )?;
        }
        _ => {}
    }
    if let Some(kind) = lifeboat_catalog::kind("secret-scopes") {
        run.references_of(kind, &record.body).await;
    }
    let ours = run
        .journal
        .entry("secret-scopes", &action.id)
        .is_some_and(|entry| entry.is_ours());
    let changes = acl_changes(
        &record.body,
        existing,
        &run.resolver(),
        ours,
        &run.target.caller,
    );
    for (principal, permission) in &changes.put {
        let body = secret_scopes::acl_put(&name, principal, permission);
        let put = || change(run, action, secret_scopes::ACL_PUT_PATH, &body);
        run.until_known(std::iter::once(&**principal), put).await?;
    }
    for principal in &changes.delete {
        let body = json!({ "scope": name, "principal": principal });
        match change(run, action, secret_scopes::ACL_DELETE_PATH, &body).await {
            Err(fail)
                if fail
                    .error()
                    .is_some_and(lifeboat_databricks::Error::is_not_found) => {}
            other => {
                other?;
            }
        }
    }
    values(run, record, existing, &name).await?;
    Ok(Done {
        target: Some(name),
        notes: changes.notes,
        remarks: Vec::new(),
    })
}

/// Writes the values that the target lacks. Each is read when it is written, and stands in no message and no journal.
async fn values(
    run: &Run<'_>,
    record: &ObjectRecord,
    existing: Option<&Value>,
    scope: &str,
) -> Result<(), Fail> {
    let journal = |id: &str| run.journal.entry(SECRET_VALUES, id);
    let overwrite = run.options.overwrite_changed;
    let changes = value_changes(record, existing, run.state, journal, overwrite);
    let mut written = Vec::new();
    let put = put_values(run, record, scope, changes.put, &mut written).await;
    // Also when one could not be written: who changes the others by hand must not be overwritten.
    let noted = note_times(run, scope, written).await;
    put.and(noted)
}

/// Writes values one by one, and gives those that were written, whatever came of the rest.
async fn put_values(
    run: &Run<'_>,
    record: &ObjectRecord,
    scope: &str,
    put: Vec<(String, String)>,
    written: &mut Vec<(String, String)>,
) -> Result<(), Fail> {
    for (key, digest) in put {
        let id = secret_value_id(&record.id, &key);
        let value = crate::archived::secret_value(run.archive, &id)
            .map_err(|error| Fail::Other(error.to_string()))?;
        let body = secret_scopes::value_put(scope, &key, &value);
        let step = create::step(SECRET_VALUES, &id, &id, digest, false);
        let call = run.client.send(
            "POST",
            secret_scopes::VALUE_PUT_PATH,
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        );
        run.write(&step, call, |_| Some(id.clone())).await?;
        written.push((id, key));
    }
    Ok(())
}

/// Notes when the target says that values were written: by that the next run knows one that somebody changed.
async fn note_times(
    run: &Run<'_>,
    scope: &str,
    written: Vec<(String, String)>,
) -> Result<(), Fail> {
    if written.is_empty() {
        return Ok(());
    }
    let query = [("scope", scope)];
    let call = run.client.get(secret_scopes::KEYS_PATH, &query);
    let reply = run.read(call).await?;
    let listed = json!({ "keys": reply.get("secrets") });
    for (id, key) in written {
        let time = secret_scopes::last_updated(&listed, &key);
        run.seen(SECRET_VALUES, &id, None, time, None)?;
    }
    Ok(())
}

async fn create_scope(run: &Run<'_>, action: &Action, archived: &Value) -> Result<(), Fail> {
    let Some(kind) = lifeboat_catalog::kind("secret-scopes") else {
        return Err(Fail::Other(
            "secret scopes are no kind of object".to_owned(),
        ));
    };
    let body = kind
        .create_body(&kind.request_form(archived))
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    let step = create::step(kind.name, &action.id, &action.name, digest(&body), false);
    // The name is the id: asking again for a scope that an unanswered call made is refused and therefore harmless.
    let call = run.client.send(
        "POST",
        "/api/2.0/secrets/scopes/create",
        &[],
        Body::Json(&body),
        Safety::Idempotent,
    );
    match run.write(&step, call, |_| Some(action.name.clone())).await {
        Ok(_) => Ok(()),
        Err(fail) => match fail.error() {
            Some(error) if error.is_already_exists() && error.tries() > 1 => run.adopt(
                kind.name,
                &action.id,
                &action.name,
                &action.name,
                Made::Created,
                step.digest.clone(),
            ),
            Some(error) if secret_scopes::is_key_vault(archived) => {
                let (what, command) = vault_todo(&action.name);
                let why = format!("{VAULT_NEEDS}: {error}");
                run.todo(kind.name, &action.name, what, command);
                Err(Fail::Blocked(why))
            }
            _ => Err(fail),
        },
    }
}

async fn change(run: &Run<'_>, action: &Action, path: &str, body: &Value) -> Result<Value, Fail> {
    let step = Step::new(Op::Access, "secret-scopes", &action.id, &action.name);
    let call = run
        .client
        .send("POST", path, &[], Body::Json(body), Safety::Idempotent);
    run.write(&step, call, |_| None).await
}
