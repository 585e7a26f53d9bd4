//! Git folders: cloned again from their remote, at the branch that was recorded. A commit cannot be set.

use lifeboat_catalog::{Kind, places};
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::{Value, json};

use super::objects::wanted;
use super::run::{Done, Fail, Run, Step};
use super::{access, create};
use crate::journal::Op;
use crate::plan::{Action, What, clone_todo, created_form, not_checked_out};
use crate::resolve::digest;

pub(super) async fn folder(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = lifeboat_catalog::kind("git-folders")
        .ok_or_else(|| Fail::Other("no such kind".to_owned()))?;
    let record = run.record(kind.name, &action.id)?;
    let wanted = wanted(run, kind, &record.body).await?;
    let form = kind.compare_form(&wanted.body);
    let cloned = digest(&created_form(kind, form.clone()));
    let form = digest(&form);
    let mut done = Done {
        notes: wanted.notes,
        remarks: wanted.remarks,
        ..Done::default()
    };
    let id = match &action.target {
        None => clone(run, kind, action, &wanted.body, cloned).await?,
        Some(id) => {
            if action.what == What::Adopt {
                // Until it is checked out it is what a clone is.
                let found = if action.writes_object { &cloned } else { &form };
                run.adopt(
                    kind.name,
                    &action.id,
                    &action.name,
                    id,
                    action.made(),
                    Some(found.clone()),
                )?;
            }
            id.clone()
        }
    };
    done.target = Some(id.clone());
    if action.writes_object {
        branch(run, action, &id, &wanted.body, form, &mut done).await?;
    }
    access::apply(run, kind, action, &action.id, &id, &mut done).await?;
    let commit = places::text(&record.body, "head_commit_id");
    if let (Some(commit), What::Create) = (commit, action.what) {
        done.remarks.push(format!(
            "at the head of its branch; the archive recorded commit {commit}"
        ));
    }
    Ok(done)
}

/// Clones it. A remote that does not let the caller in is nothing that an import can mend: it is blocked, with the
/// command that does it once there is a credential.
async fn clone(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    wanted: &Value,
    cloned: String,
) -> Result<String, Fail> {
    let text = |place| places::text(wanted, place).unwrap_or_default();
    if text("url").is_empty() {
        let path = text("path");
        let command = format!("databricks repos create URL PROVIDER --path '{path}'");
        run.todo(
            kind.name,
            &action.name,
            "a git folder without a remote",
            command,
        );
        return Err(Fail::Blocked("it has no remote to clone from".to_owned()));
    }
    let body = kind
        .create_body(wanted)
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    let step = create::step(kind.name, &action.id, &action.name, cloned, false);
    match create::object(run, kind, &step, &body, wanted).await {
        // Whether it was cloned is not known: the next run looks for it.
        Err(Fail::Service(error)) if error.is_uncertain() => Err(Fail::Service(error)),
        Err(Fail::Service(error)) if !error.is_auth() => {
            // Where something else stands in its place, no credential helps.
            if !error.is_already_exists() {
                let (what, command) = clone_todo(wanted);
                run.todo(kind.name, &action.name, what, command);
            }
            Err(Fail::Blocked(format!("not cloned: {error}")))
        }
        other => other,
    }
}

async fn branch(
    run: &Run<'_>,
    action: &Action,
    id: &str,
    wanted: &Value,
    form: String,
    done: &mut Done,
) -> Result<(), Fail> {
    let branch = places::text(wanted, "branch");
    let Some(branch) = branch.filter(|branch| !branch.is_empty()) else {
        return Ok(());
    };
    let body = json!({ "branch": branch });
    let path = format!("/api/2.0/repos/{}", segment(id));
    let step = Step::new(Op::Update, "git-folders", &action.id, &action.name).writing(form);
    let call = run
        .client
        .send("PATCH", &path, &[], Body::Json(&body), Safety::Idempotent);
    match run.write(&step, call, |_| Some(id.to_owned())).await {
        Ok(_) => Ok(()),
        Err(Fail::Service(error)) if !error.is_auth() => {
            done.notes.push(not_checked_out(wanted, &error.to_string()));
            Ok(())
        }
        Err(fail) => Err(fail),
    }
}
