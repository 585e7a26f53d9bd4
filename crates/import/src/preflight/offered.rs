//! What the target's region, its administrators and the caller offer: machine types and runtimes, destinations and
//! warehouses that a map file leads to, git credentials, groups of the account; and listings that were refused.

use std::collections::BTreeMap;

use lifeboat_catalog::{Found, Target, places};
use serde_json::Value;

use super::references::{map_hint, words};
use super::{Effect, Findings, Seen, by};
use crate::plan::{Action, What, is_offered_name};
use crate::resolve::Answer;
use crate::target::{Asked, NodeType};

pub(super) fn check(seen: &Seen<'_>, findings: &mut Findings) {
    refused_listings(seen, findings);
    for action in seen.wanted() {
        let Some(kind) = lifeboat_catalog::kind(&action.kind) else {
            continue;
        };
        let Some(record) = seen.record(action) else {
            continue;
        };
        let found = match kind.name {
            // Fields that the service decides (those of a pool's clusters) are not sent and not looked for.
            "clusters" | "jobs" | "instance-pools" => {
                kind.found_references(&kind.request_form(&record.body))
            }
            "cluster-policies" => kind.found_references(&record.body),
            _ => Vec::new(),
        };
        for found in found {
            offered(seen, action, &found, findings);
        }
        match kind.name {
            "git-folders" => git_folder(seen, action, &record.body, findings),
            "jobs" => git_source(action, &record.body, findings),
            _ => {}
        }
    }
    account_groups(seen, findings);
}

/// Kinds of the target that could not be listed: their objects are blocked.
fn refused_listings(seen: &Seen<'_>, findings: &mut Findings) {
    for action in seen.wanted() {
        if let Some(reason) = seen.target.refused(&action.kind) {
            findings.add((Effect::Blocks, "listing", &action.kind), Some(by(action)), || {
                (
                    format!("the target refuses to list them: {reason}"),
                    "use credentials that may list them, normally those of a workspace administrator"
                        .to_owned(),
                )
            });
        }
    }
    if let Some(reason) = &seen.target.dbfs_refused {
        findings.add((Effect::Blocks, "listing", "dbfs"), None, || {
            (
                format!("the target's DBFS cannot be read: {reason}"),
                "switch DBFS on in the target, or leave it out with --kinds".to_owned(),
            )
        });
    }
}

fn offered(seen: &Seen<'_>, action: &Action, found: &Found, findings: &mut Findings) {
    let offer = &seen.target.offer;
    let value = match seen.resolver.answer(found) {
        Answer::Is(value) => value,
        Answer::Same => found.value.clone(),
        _ => return,
    };
    match found.to {
        Target::NodeType => match &offer.node_types {
            Asked::Yes(types) => node_type(types.get(&value), &value, action, findings),
            asked => unchecked(asked, found.to, action, findings),
        },
        Target::SparkVersion if is_offered_name(&value) => match &offer.spark_versions {
            Asked::Yes(versions) if versions.contains(&value) => {}
            Asked::Yes(_) => missing(Effect::Risk, found.to, &value, action, findings, || {
                "the target does not list it any more and may refuse it".to_owned()
            }),
            asked => unchecked(asked, found.to, action, findings),
        },
        Target::NotificationDestination => {
            one_of(&offer.destinations, found.to, &value, action, findings)
        }
        Target::Warehouse => one_of(&offer.warehouses, found.to, &value, action, findings),
        _ => {}
    }
}

fn node_type(offered: Option<&NodeType>, name: &str, action: &Action, findings: &mut Findings) {
    match offered {
        None => {
            let effect = if action.what == What::Blocked {
                Effect::Blocks
            } else {
                Effect::Risk
            };
            missing(effect, Target::NodeType, name, action, findings, || {
                "the target does not offer it".to_owned()
            });
        }
        Some(node) if !node.status.is_empty() => {
            let status = node.status.join(", ");
            missing(
                Effect::Risk,
                Target::NodeType,
                name,
                action,
                findings,
                || format!("listed, but the service says {status}: nothing of it will start"),
            );
        }
        Some(_) => {}
    }
}

fn one_of(
    offered: &Asked<BTreeMap<String, String>>,
    target: Target,
    id: &str,
    action: &Action,
    findings: &mut Findings,
) {
    match offered {
        Asked::Yes(known) if known.contains_key(id) => {}
        Asked::Yes(_) => missing(Effect::Risk, target, id, action, findings, || {
            "the target does not have it".to_owned()
        }),
        asked => unchecked(asked, target, action, findings),
    }
}

fn missing(
    effect: Effect,
    target: Target,
    name: &str,
    action: &Action,
    findings: &mut Findings,
    what: impl FnOnce() -> String,
) {
    let (check, ..) = words(target);
    findings.add((effect, check, name), Some(by(action)), || {
        (what(), map_hint(target, ""))
    });
}

fn unchecked<T>(asked: &Asked<T>, target: Target, action: &Action, findings: &mut Findings) {
    let (check, noun, _) = words(target);
    if let Some(reason) = asked.refused() {
        findings.add((Effect::Unchecked, check, ""), Some(by(action)), || {
            (
                format!("nobody knows which {noun} the target has: {reason}"),
                String::new(),
            )
        });
    }
}

/// Whether credentials for one provider serve another: those with an Entra token need no credential of their own kind.
fn serves(provider: &str, wanted: &str) -> bool {
    provider.eq_ignore_ascii_case(wanted)
        || (wanted.eq_ignore_ascii_case("azureDevOpsServices")
            && provider.eq_ignore_ascii_case("azureDevOpsServicesAad"))
}

fn git_folder(seen: &Seen<'_>, action: &Action, body: &Value, findings: &mut Findings) {
    if action.what != What::Create {
        return;
    }
    let provider = places::text(body, "provider").unwrap_or_default();
    match &seen.target.offer.git_providers {
        Asked::Yes(known) if known.iter().any(|one| serves(one, &provider)) => {}
        Asked::Yes(_) => {
            findings.add((Effect::Risk, "git-provider", &provider), Some(by(action)), || {
                (
                    "the caller has no git credentials for it: only public repositories can be cloned".to_owned(),
                    format!("databricks git-credentials create {provider} --git-username USER --personal-access-token TOKEN"),
                )
            });
        }
        Asked::Refused(reason) => {
            findings.add(
                (Effect::Unchecked, "git-provider", &provider),
                Some(by(action)),
                || {
                    (
                        format!("the caller's git credentials cannot be listed: {reason}"),
                        String::new(),
                    )
                },
            );
        }
        Asked::No => {}
    }
}

/// A job from git runs with the credentials of whom it runs as, which nobody else can see.
fn git_source(action: &Action, body: &Value, findings: &mut Findings) {
    let Some(provider) = places::text(body, "settings.git_source.git_provider") else {
        return;
    };
    findings.add((Effect::Unchecked, "git-provider", &provider), Some(by(action)), || {
        (
            "jobs from git run with the git credentials of whom they run as, which only that principal can list"
                .to_owned(),
            format!("as that principal: databricks git-credentials list, and create {provider} where it is missing"),
        )
    });
}

fn account_groups(seen: &Seen<'_>, findings: &mut Findings) {
    for (name, asked) in &seen.target.offer.account_groups {
        let wanted = seen
            .wanted()
            .find(|action| action.kind == "groups" && action.name == *name);
        let Some(action) = wanted else { continue };
        let whose = Some(by(action));
        match asked {
            Asked::Yes(None) => {
                findings.add((Effect::Blocks, "account-group", name), whose, || {
                    (
                        "the account does not have this group".to_owned(),
                        map_hint(Target::Group, "make it in the account"),
                    )
                })
            }
            Asked::Refused(reason) => {
                findings.add((Effect::Unchecked, "account-group", name), whose, || {
                    (
                        format!("the account cannot be asked for it: {reason}"),
                        "an import tries to assign it under the id that it has in the source"
                            .to_owned(),
                    )
                });
            }
            _ => {}
        }
    }
}
