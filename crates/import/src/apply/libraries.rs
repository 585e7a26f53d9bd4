//! Library lists of clusters. On a stopped cluster an install takes effect at its next start.

use lifeboat_databricks::{Body, Safety};
use serde_json::{Value, json};

use super::objects::wanted;
use super::of_kind;
use super::run::{Done, Fail, Run, Step};
use crate::journal::Op;
use crate::plan::{Action, Plan, library_changes, no_libraries};
use crate::resolve::digest;
use crate::target::concurrently;

const INSTALL: &str = "/api/2.0/libraries/install";

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "libraries");
    run.announce("libraries", actions.len());
    concurrently(
        actions,
        run.options.concurrency,
        |(index, action)| async move {
            let outcome = library_list(run, action).await;
            run.finish(index, action, outcome);
        },
    )
    .await;
}

async fn library_list(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = lifeboat_catalog::kind("libraries")
        .ok_or_else(|| Fail::Other("no such kind".to_owned()))?;
    let lists = run.state.of_kind(kind.name);
    let wanted = match lists.iter().find(|record| record.id == action.id) {
        Some(record) => wanted(run, kind, &record.body).await?,
        // The plan found that the source has no list for this cluster any more.
        None => wanted(run, kind, &no_libraries(&action.id)).await?,
    };
    let cluster = run
        .resolver()
        .id("clusters", &action.id)
        .map(str::to_owned)
        .ok_or_else(|| Fail::Blocked("its cluster was not restored".to_owned()))?;
    let ours = run
        .journal
        .entry("clusters", &action.id)
        .is_some_and(|entry| entry.is_ours());
    let present = run
        .target
        .by_id("libraries", &cluster)
        .map(|object| &object.body);
    let (add, remove) = library_changes(kind, &wanted.body, present, ours);
    let form = digest(&kind.compare_form(&wanted.body));
    if !remove.is_empty() {
        change(
            run,
            action,
            lifeboat_catalog::libraries::UNINSTALL_PATH,
            &cluster,
            remove,
            &form,
        )
        .await?;
    }
    if !add.is_empty() {
        change(run, action, INSTALL, &cluster, add, &form).await?;
    }
    Ok(Done {
        target: Some(cluster),
        notes: wanted.notes,
        remarks: wanted.remarks,
    })
}

async fn change(
    run: &Run<'_>,
    action: &Action,
    path: &str,
    cluster: &str,
    libraries: Vec<Value>,
    form: &str,
) -> Result<(), Fail> {
    let body = json!({ "cluster_id": cluster, "libraries": libraries });
    let step =
        Step::new(Op::Update, "libraries", &action.id, &action.name).writing(form.to_owned());
    let call = run
        .client
        .send("POST", path, &[], Body::Json(&body), Safety::Idempotent);
    run.write(&step, call, |_| Some(cluster.to_owned()))
        .await
        .map(|_| ())
}
