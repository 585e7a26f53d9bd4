//! Executing a plan: dependency order, everything independent at the same time, every write journaled.
//!
//! What runs beside what (`spec/import.md`, "Order"): identities first, because everything names them. Then, together,
//! the tree; global init scripts; DBFS; secret scopes; pools and policies. Clusters follow scopes, DBFS and policies;
//! jobs follow policies, and each the clusters and jobs that it refers to.

mod access;
mod clusters;
mod create;
mod dbfs;
mod files;
mod git;
mod identities;
mod libraries;
mod objects;
mod readback;
mod removed;
mod results;
mod run;
mod secrets;
mod tree;

pub(crate) use readback::ReadBack;
pub(crate) use run::{Record, Run, Stopped};

use crate::plan::{Action, Plan, What};

/// Executes the plan, or as much of it as is done when the run is asked to stop. Results, checklist and phases are in the
/// run afterwards.
pub(crate) async fn execute(run: &Run<'_>, plan: &Plan) {
    tokio::select! {
        biased;
        () = all(run, plan) => {}
        // What is dropped here waits, or reads.
        () = run.drained() => {}
    }
    for (index, action) in plan.actions.iter().enumerate() {
        run.settle_rest(index, action);
    }
}

async fn all(run: &Run<'_>, plan: &Plan) {
    for (index, action) in plan.actions.iter().enumerate() {
        if !action.has_work() && !waits_for_others(action) {
            run.settle(index, action);
        }
    }
    let written = run.options.compare.then(|| run.begin_reading_back());
    let reading = async {
        match written {
            Some(written) => readback::read(run, written).await,
            None => ReadBack::default(),
        }
    };
    let writing = async {
        write(run, plan).await;
        run.end_reading_back();
    };
    let ((), read) = tokio::join!(writing, reading);
    run.keep(read);
    for (index, action) in plan.actions.iter().enumerate() {
        run.settle_rest(index, action);
    }
}

async fn write(run: &Run<'_>, plan: &Plan) {
    run.phase("identities", identities::apply(run, plan)).await;
    let scripts = objects::in_order(run, plan, "global-init-scripts");
    tokio::join!(
        run.phase("workspace", tree::apply(run, plan)),
        run.phase("global init scripts", scripts),
        compute(run, plan),
    );
    run.phase("removed objects", removed::apply(run, plan))
        .await;
}

/// Compute, with what it needs, and jobs.
async fn compute(run: &Run<'_>, plan: &Plan) {
    let pools = objects::apply(run, plan, "instance-pools");
    let policies = objects::apply(run, plan, "cluster-policies");
    let (policies_done, wait_for_policies) = tokio::sync::oneshot::channel::<()>();
    let clusters = async {
        let rules = async {
            run.phase("instance pools", pools).await;
            run.phase("cluster policies", policies).await;
            drop(policies_done);
        };
        tokio::join!(
            run.phase("secret scopes", secrets::apply(run, plan)),
            run.phase("DBFS files", dbfs::apply(run, plan)),
            rules,
        );
        run.phase("clusters", clusters::apply(run, plan)).await;
        run.phase("libraries", libraries::apply(run, plan)).await;
    };
    let jobs = async {
        // Nothing is ever sent: the end of the policies drops the sender.
        let _ = wait_for_policies.await;
        run.phase("jobs", objects::apply_jobs(run, plan)).await;
    };
    tokio::join!(clusters, jobs);
}

/// Unchanged parts of the tree are looked at again by its lane: homes that must appear, times of change to record.
fn waits_for_others(action: &Action) -> bool {
    action.what == What::Unchanged
        && matches!(action.kind.as_str(), "directories" | "notebooks" | "files")
}

/// The actions of a kind with their positions in the plan, those without work left out.
fn of_kind<'p>(plan: &'p Plan, kind: &str) -> Vec<(usize, &'p Action)> {
    plan.actions
        .iter()
        .enumerate()
        .filter(|(_, action)| action.kind == kind && action.has_work() && !action.removed)
        .collect()
}
