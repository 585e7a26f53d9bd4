//! Executing a plan: dependency order, everything independent at the same time, every write journaled.
//!
//! What runs beside what (`spec/import.md`, "Order"): identities; the tree; global init scripts; DBFS; secret scopes;
//! pools and policies. Clusters follow scopes, DBFS and policies; jobs follow policies. Whatever names somebody who is
//! made in this run, or a cluster or job, waits for him or it ([`waiting`]).

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
mod waiting;

pub(crate) use readback::ReadBack;
pub(crate) use run::{Record, Run, Stopped};

use std::future::Future;

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
    run.keep(read, plan);
    for (index, action) in plan.actions.iter().enumerate() {
        run.settle_rest(index, action);
    }
}

async fn write(run: &Run<'_>, plan: &Plan) {
    let identities = async {
        run.phase("identities", identities::apply(run, plan)).await;
        for kind in ["users", "service-principals", "groups"] {
            run.tell_kind(plan, kind);
        }
    };
    let tree = async {
        run.phase("workspace", tree::apply(run, plan)).await;
        run.tell_kind(plan, "git-folders");
    };
    let scripts = objects::in_order(run, plan, "global-init-scripts");
    let scripts = kind_phase(run, plan, "global-init-scripts", scripts);
    tokio::join!(identities, tree, scripts, compute(run, plan));
    run.phase("removed objects", removed::apply(run, plan))
        .await;
}

/// The phase of one kind, which can be read back at its end.
async fn kind_phase(
    run: &Run<'_>,
    plan: &Plan,
    kind: &'static str,
    work: impl Future<Output = ()>,
) {
    run.phase(run::phase_of(kind), work).await;
    run.tell_kind(plan, kind);
}

/// Compute, with what it needs, and jobs.
async fn compute(run: &Run<'_>, plan: &Plan) {
    let of = |kind: &'static str| kind_phase(run, plan, kind, objects::apply(run, plan, kind));
    let (policies_done, wait_for_policies) = tokio::sync::oneshot::channel::<()>();
    let clusters = async {
        let rules = async {
            of("instance-pools").await;
            of("cluster-policies").await;
            drop(policies_done);
        };
        let scopes = secrets::apply(run, plan);
        tokio::join!(
            kind_phase(run, plan, "secret-scopes", scopes),
            run.phase("DBFS files", dbfs::apply(run, plan)),
            rules,
        );
        kind_phase(run, plan, "clusters", clusters::apply(run, plan)).await;
        kind_phase(run, plan, "libraries", libraries::apply(run, plan)).await;
    };
    let jobs = async {
        // Nothing is ever sent: the end of the policies drops the sender.
        let _ = wait_for_policies.await;
        kind_phase(run, plan, "jobs", objects::apply_jobs(run, plan)).await;
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
