//! Direct permissions on objects of all kinds, and owners of jobs.

use super::Filler;
use crate::permissions::{Entries, Principal, segment};

/// Grants on a part of everything.
pub fn fill(filler: &mut Filler<'_>) {
    if filler.groups.is_empty() || filler.users.is_empty() {
        return;
    }
    let ids = |list: &[(String, i64)]| {
        list.iter()
            .map(|(_, id)| id.to_string())
            .collect::<Vec<_>>()
    };
    let (folders, notebooks, files) = (
        ids(&filler.folders),
        ids(&filler.notebooks),
        ids(&filler.files),
    );
    let git_folders: Vec<String> = filler.git_folders.iter().map(i64::to_string).collect();
    let jobs: Vec<String> = filler.jobs.iter().map(i64::to_string).collect();
    let (clusters, pools, policies) = (
        filler.clusters.clone(),
        filler.pools.clone(),
        filler.policies.clone(),
    );
    let tree = ["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"];
    some(filler, "directories", &folders, 2, &tree);
    some(filler, "notebooks", &notebooks, 8, &tree);
    some(filler, "files", &files, 8, &tree);
    some(filler, "repos", &git_folders, 2, &tree);
    some(
        filler,
        "clusters",
        &clusters,
        1,
        &["CAN_ATTACH_TO", "CAN_RESTART"],
    );
    some(filler, "instance-pools", &pools, 1, &["CAN_ATTACH_TO"]);
    some(filler, "cluster-policies", &policies, 1, &["CAN_USE"]);
    some(
        filler,
        "jobs",
        &jobs,
        2,
        &["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE"],
    );
    owners(filler, &jobs);
    cleared(filler, &folders, &notebooks);
}

/// One or two grants on one in `of` of the objects.
fn some(filler: &mut Filler<'_>, kind: &str, ids: &[String], of: u32, levels: &[&str]) {
    for id in ids {
        if !filler.chance(of) {
            continue;
        }
        for _ in 0..filler.rng.usize(1..3) {
            let level = levels[filler.rng.usize(0..levels.len())];
            let principal = principal(filler);
            // A creator's own entry stays as it is: a job must keep its owner.
            if !filler.world.acls.direct(kind, id).contains_key(&principal) {
                filler.world.acls.set(kind, id, principal, level);
            }
        }
    }
}

/// A group more often than a user or a service principal.
fn principal(filler: &mut Filler<'_>) -> Principal {
    match filler.rng.u8(0..6) {
        0 if !filler.service_principals.is_empty() => Principal::ServicePrincipal(
            filler.service_principals[filler.rng.usize(0..filler.service_principals.len())].clone(),
        ),
        0 | 1 => Principal::User(filler.users[filler.rng.usize(0..filler.users.len())].clone()),
        2 => Principal::Group("users".to_owned()),
        _ => Principal::Group(filler.groups[filler.rng.usize(0..filler.groups.len())].clone()),
    }
}

/// Hands each third job to a user or service principal other than its creator.
fn owners(filler: &mut Filler<'_>, jobs: &[String]) {
    let Some(segment) = segment("jobs") else {
        return;
    };
    for id in jobs.iter().step_by(3) {
        let owner = match filler.one(|filler| &filler.service_principals) {
            Some(runner) if filler.chance(3) => Principal::ServicePrincipal(runner),
            _ => Principal::User(filler.users[filler.rng.usize(0..filler.users.len())].clone()),
        };
        let mut entries: Entries = filler.world.acls.direct("jobs", id);
        entries.retain(|_, level| *level != "IS_OWNER");
        entries.insert(owner, "IS_OWNER");
        filler.world.acls.replace(segment, id, entries);
    }
}

/// Objects without any direct entry: even the creator's is gone.
fn cleared(filler: &mut Filler<'_>, folders: &[String], notebooks: &[String]) {
    for (kind, ids) in [("directories", folders), ("notebooks", notebooks)] {
        let Some(segment) = segment(kind) else {
            continue;
        };
        for id in ids.iter().step_by(11) {
            filler.world.acls.replace(segment, id, Entries::new());
        }
    }
}
