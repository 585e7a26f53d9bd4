//! The comparison that the simulator makes by itself, and what of it an archive cannot or need not carry.

use std::collections::BTreeMap;

use lifeboat_console::{Align, Table};
use lifeboat_sim::{Difference, Strictness, compare_all};
use serde_json::Value;

/// What the simulator says of the two workspaces.
pub(super) struct Verdict {
    /// Counts per kind.
    pub(super) table: Table,
    /// Reasons for differences that are meant to be, with the number of objects that have each.
    pub(super) meant: BTreeMap<&'static str, usize>,
    /// All other differences.
    pub(super) differences: Vec<String>,
}

impl Verdict {
    /// Compares two dumps. Passive state and secrets do not count.
    pub(super) fn new(primary: &Value, secondary: &Value) -> Self {
        let comparison = compare_all(primary, secondary, Strictness::default());
        let mut table = Table::new(&[
            ("kind", Align::Left),
            ("primary", Align::Right),
            ("secondary", Align::Right),
            ("equal", Align::Right),
        ]);
        for kind in &comparison.kinds {
            let counts = [kind.first, kind.second, kind.equal].map(|count| count.to_string());
            table.row(std::iter::once(kind.kind.clone()).chain(counts));
        }
        let mut meant: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut counted = None;
        let mut differences = Vec::new();
        for one in &comparison.differences {
            match reason(one, primary) {
                // An object may differ in several places for one reason.
                Some(reason) if counted == Some((&one.kind, &one.key, reason)) => {}
                Some(reason) => {
                    counted = Some((&one.kind, &one.key, reason));
                    *meant.entry(reason).or_default() += 1;
                }
                None => differences.push(format!("{} {}: {}", one.kind, one.key, one.what)),
            }
        }
        Self {
            table,
            meant,
            differences,
        }
    }
}

/// Why a difference is meant to be.
fn reason(difference: &Difference, primary: &Value) -> Option<&'static str> {
    let facts = primary
        .get(&difference.kind)
        .and_then(|kind| kind.get(&difference.key));
    let fact = |name: &str| facts.and_then(|facts| facts.get(name));
    match difference.kind.as_str() {
        "other-objects" | "acls/dashboards" | "acls/experiments" | "acls/libraries" => Some(
            "objects of types that an archive lists but does not hold yet, and their access control",
        ),
        "notebooks" if fact("jupyter") == Some(&Value::Bool(true)) => {
            Some("notebooks kept in Jupyter form: they come back as source text, without outputs")
        }
        "groups"
            if fact("account") == Some(&Value::Bool(true))
                && difference.what.starts_with("members") =>
        {
            Some("groups of the account: they are assigned again, their members are the account's")
        }
        "jobs" if is_owners_run_as(difference, primary) => Some(
            "jobs that ran as their owner: the restored job says so, so that it never runs as the importer",
        ),
        _ => None,
    }
}

/// The source left run-as to the owner, and the restored job names that owner.
fn is_owners_run_as(difference: &Difference, primary: &Value) -> bool {
    let Some(run_as) = difference.what.strip_prefix("run_as: absent -> ") else {
        return false;
    };
    let Ok(Value::Object(run_as)) = serde_json::from_str(run_as) else {
        return false;
    };
    let owner = primary
        .get("acls/jobs")
        .and_then(|acls| acls.get(&difference.key))
        .and_then(Value::as_object)
        .and_then(|grants| {
            grants
                .iter()
                .find(|(_, level)| level.as_str() == Some("IS_OWNER"))
        });
    // User names are equal whatever their case.
    owner.is_some_and(|(owner, _)| {
        let owner = owner.to_lowercase();
        let names = run_as.values().filter_map(Value::as_str);
        names
            .map(str::to_lowercase)
            .any(|name| owner.ends_with(&format!(" {name}")))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_owner_is_meant_as_run_as() {
        let primary = json!({
            "acls/jobs": {"load": {"user a@x": "IS_OWNER", "user b@x": "CAN_MANAGE"}},
            "jobs": {"load": {"name": "load"}},
        });
        for (run_as, differences) in [("a@x", 0), ("b@x", 1)] {
            let mut secondary = primary.clone();
            secondary["jobs"]["load"]["run_as"] = json!({"user_name": run_as});
            let verdict = Verdict::new(&primary, &secondary);
            assert_eq!(
                verdict.differences.len(),
                differences,
                "{:?}",
                verdict.differences
            );
            assert_eq!(verdict.meant.len(), 1 - differences);
        }
    }

    #[test]
    fn a_lost_notebook_is_a_difference() {
        let primary = json!({"notebooks": {"/a": {"jupyter": false, "size": 1}}});
        let verdict = Verdict::new(&primary, &json!({"notebooks": {}}));
        assert_eq!(verdict.differences, ["notebooks /a: missing"]);
    }
}
