//! What can be counted before it is refused: quotas of the workspace, cores of the subscription, rights of the caller.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Effect, Findings, Seen, by};
use crate::plan::What;
use crate::target::Asked;

/// A number that the service does not let grow (fact sheet, table 25.2).
struct Quota {
    /// What is counted together.
    kinds: &'static [&'static str],
    most: usize,
    what: &'static str,
}

const QUOTAS: [Quota; 4] = [
    Quota {
        kinds: &["jobs"],
        most: 10_000,
        what: "jobs saved in a workspace",
    },
    Quota {
        kinds: &["secret-scopes"],
        most: 1_000,
        what: "secret scopes of a workspace",
    },
    Quota {
        kinds: &["groups"],
        most: 5_000,
        what: "groups of an account",
    },
    Quota {
        kinds: &["users", "service-principals"],
        most: 10_000,
        what: "users and service principals of an account",
    },
];

/// Pinned clusters of a workspace; unpinned ones are dropped 30 days after they stopped.
pub(crate) const MOST_PINNED: usize = 100;

pub(super) fn check(seen: &Seen<'_>, findings: &mut Findings) {
    for quota in &QUOTAS {
        let there: usize = quota
            .kinds
            .iter()
            .map(|kind| seen.target.of_kind(kind).len())
            .sum();
        let more = seen
            .actions
            .iter()
            .filter(|action| {
                action.what == What::Create && quota.kinds.contains(&action.kind.as_str())
            })
            .count();
        if there + more > quota.most {
            over(quota.what, there, more, quota.most, Effect::Risk, findings);
        }
    }
    pins(seen, findings);
    cores(seen, findings);
    rights(seen, findings);
}

fn over(
    what: &str,
    there: usize,
    more: usize,
    most: usize,
    effect: Effect,
    findings: &mut Findings,
) {
    findings.add((effect, "quota", what), None, || {
        (
            format!("{there} are there and {more} would be made; the service allows {most}"),
            "delete what is not needed in the target, or import less with --kinds, --include or --exclude".to_owned(),
        )
    });
}

fn pins(seen: &Seen<'_>, findings: &mut Findings) {
    let there = seen
        .target
        .of_kind("clusters")
        .iter()
        .filter(|cluster| cluster.body.get("pinned_by_user_name").is_some())
        .count();
    let more = seen
        .actions
        .iter()
        .filter(|action| action.kind == "clusters" && action.what == What::Create)
        .count();
    if more > 0 && there + more > MOST_PINNED {
        findings.add((Effect::Gap, "quota", "pinned clusters of a workspace"), None, || {
            (
                format!(
                    "{there} are pinned and {more} would be made; the service pins {MOST_PINNED} and drops unpinned ones \
                     30 days after they stopped"
                ),
                "unpin clusters in the target that are not needed".to_owned(),
            )
        });
    }
}

/// Cores of the largest cluster of each machine type against what the subscription may still use.
fn cores(seen: &Seen<'_>, findings: &mut Findings) {
    let Asked::Yes(types) = &seen.target.offer.node_types else {
        return;
    };
    for action in seen.wanted().filter(|action| action.kind == "clusters") {
        let Some(record) = seen.record(action) else {
            continue;
        };
        for (name, machines) in machines(&record.body) {
            let Some(node) = types.get(&name) else {
                continue;
            };
            let needed = node.cores * machines as f64;
            let Some(available) = node
                .available_cores
                .filter(|cores| *cores > 0.0 && *cores < needed)
            else {
                continue;
            };
            findings.add((Effect::Risk, "core-quota", &name), Some(by(action)), || {
                (
                    format!("a cluster of {needed} cores; the subscription has {available} of this machine type left"),
                    "ask Azure for a higher quota of the family in the target's region".to_owned(),
                )
            });
        }
    }
}

/// Machines of a cluster at its largest, by type.
fn machines(body: &Value) -> BTreeMap<String, u64> {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let mut machines = BTreeMap::new();
    let Some(workers_type) = text("node_type_id") else {
        return machines;
    };
    let workers = body
        .pointer("/autoscale/max_workers")
        .or_else(|| body.get("num_workers"))
        .and_then(Value::as_u64)
        .unwrap_or(0);
    *machines.entry(workers_type.to_owned()).or_default() += workers;
    let driver = text("driver_node_type_id").unwrap_or(workers_type);
    *machines.entry(driver.to_owned()).or_default() += 1;
    machines
}

/// What only an administrator may do, where the plan has some of it.
fn rights(seen: &Seen<'_>, findings: &mut Findings) {
    if seen.target.is_admin {
        return;
    }
    let only_admins: [(&str, &str); 5] = [
        ("users", "make or change users"),
        ("service-principals", "make or change service principals"),
        ("groups", "make or change groups"),
        ("global-init-scripts", "manage global init scripts"),
        ("cluster-policies", "manage cluster policies"),
    ];
    for (kind, what) in only_admins {
        for action in seen
            .wanted()
            .filter(|action| action.kind == kind && action.writes_object)
        {
            right(what, by(action), findings);
        }
    }
    let made = |kind: &str| {
        let kind = kind.to_owned();
        seen.wanted()
            .filter(move |action| action.kind == kind && action.what == What::Create)
    };
    for action in made("clusters") {
        right(
            "pin clusters, which are dropped 30 days after they stopped otherwise",
            by(action),
            findings,
        );
    }
    for action in made("jobs") {
        let run_as = seen
            .record(action)
            .and_then(|record| record.body.pointer("/settings/run_as"));
        if run_as.is_some() {
            right("let jobs run as somebody else", by(action), findings);
        }
    }
}

fn right(what: &str, by: String, findings: &mut Findings) {
    findings.add((Effect::Risk, "rights", what), Some(by), || {
        (
            "only a workspace administrator may".to_owned(),
            "use credentials of a workspace administrator".to_owned(),
        )
    });
}
