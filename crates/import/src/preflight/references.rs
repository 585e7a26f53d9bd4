//! What objects name and what will not be in the target: ids, principals, scopes, paths; in bodies and in access control.

use lifeboat_catalog::acl::{self, Principal};
use lifeboat_catalog::{Form, Found, Kind, Target};
use serde_json::Value;

use super::{Effect, Findings, Seen, by};
use crate::plan::{Action, What};
use crate::resolve::{Answer, is_owner_place};

/// Word, noun and section of the map file of a sort of thing.
pub(super) fn words(target: Target) -> (&'static str, &'static str, Option<&'static str>) {
    match target {
        Target::Cluster => ("cluster", "cluster", None),
        Target::InstancePool => ("instance-pool", "instance pool", Some("instance-pools")),
        Target::ClusterPolicy => ("cluster-policy", "cluster policy", Some("cluster-policies")),
        Target::Job => ("job", "job", None),
        Target::User => ("user", "user", Some("users")),
        Target::Group => ("group", "group", Some("groups")),
        Target::ServicePrincipal => (
            "service-principal",
            "service principal",
            Some("service-principals"),
        ),
        Target::Principal => ("principal", "principal", Some("users")),
        Target::SecretScope => ("secret-scope", "secret scope", None),
        Target::WorkspacePath => ("workspace-path", "workspace path", Some("path-prefixes")),
        Target::DbfsPath => ("dbfs-path", "DBFS path", None),
        Target::NotificationDestination => (
            "notification-destination",
            "notification destination",
            Some("notification-destinations"),
        ),
        Target::Warehouse => ("sql-warehouse", "SQL warehouse", Some("sql-warehouses")),
        Target::Pipeline => ("pipeline", "pipeline", Some("pipelines")),
        Target::Query => ("query", "query", Some("queries")),
        Target::Dashboard => ("dashboard", "dashboard", Some("dashboards")),
        Target::Alert => ("alert", "alert", Some("alerts")),
        Target::GitFolder => ("git-folder", "git folder", None),
        Target::NodeType => ("node-type", "node type", Some("node-types")),
        Target::SparkVersion => ("spark-version", "Spark version", Some("spark-versions")),
        Target::GitProvider => ("git-provider", "git provider", None),
        Target::KeyVault => ("key-vault", "Key Vault", Some("key-vaults")),
        Target::AnyPath | Target::EmailAddress | Target::BudgetPolicy => ("other", "object", None),
    }
}

/// Names the section of the map file that helps.
pub(super) fn map_hint(target: Target, otherwise: &str) -> String {
    match (words(target).2, otherwise) {
        (Some(section), "") => format!("map it: [{section}] of the --map file"),
        (Some(section), otherwise) => {
            format!("{otherwise}, or map it: [{section}] of the --map file")
        }
        (None, otherwise) => otherwise.to_owned(),
    }
}

pub(super) fn check(seen: &Seen<'_>, findings: &mut Findings) {
    for action in seen.wanted() {
        let Some(kind) = lifeboat_catalog::kind(&action.kind) else {
            continue;
        };
        if let Some(record) = seen.record(action) {
            for found in kind.found_references(&record.body) {
                reference(seen, action, &record.body, &found, findings);
            }
        }
        access(seen, action, kind, findings);
    }
}

fn reference(
    seen: &Seen<'_>,
    action: &Action,
    body: &Value,
    found: &Found,
    findings: &mut Findings,
) {
    let blocked = action.what == What::Blocked;
    let answer = match seen.resolver.answer(found) {
        Answer::Astray(_, lacks) => *lacks,
        answer => answer,
    };
    let (effect, what) = match answer {
        Answer::Is(_) | Answer::Astray(..) | Answer::Same | Answer::Waits => return,
        Answer::Missing(what)
            if blocked && found.form != Form::Member && !is_owner_place(&found.pointer) =>
        {
            (Effect::Blocks, what)
        }
        Answer::Missing(what) | Answer::Note(what) => (Effect::Gap, what),
        Answer::Remark(what) => (Effect::Remark, what),
    };
    let name = match found.form {
        Form::Member => member_name(body, &found.pointer).unwrap_or(&found.value),
        _ => &found.value,
    };
    let to = match found.to {
        Target::Principal => principal_kind(seen, name),
        to => to,
    };
    let (check, ..) = words(to);
    let what = match found.form {
        Form::Member => "exists nowhere".to_owned(),
        _ => without_subject(&what, found),
    };
    findings.add((effect, check, name), Some(by(action)), || {
        let kind = match to {
            Target::Job => "jobs",
            Target::InstancePool => "instance-pools",
            Target::ClusterPolicy => "cluster-policies",
            _ => return (what, hint(to, effect)),
        };
        let archived = seen.archive.of_kind(kind);
        let hint = if archived.iter().any(|record| record.id == found.value) {
            hint(to, effect)
        } else {
            map_hint(to, GONE)
        };
        (what, hint)
    });
}

/// What can be done about an object that the archive does not hold.
const GONE: &str = "the source had forgotten it or it was not exported: change what names it there, and export again";

/// What a principal is whose kind the place does not tell.
fn principal_kind(seen: &Seen<'_>, name: &str) -> Target {
    if lifeboat_catalog::jobs::is_guid(name) {
        return Target::ServicePrincipal;
    }
    let mut groups = seen.archive.of_kind("groups").iter();
    let is_group =
        groups.any(|group| group.body.get("displayName").and_then(Value::as_str) == Some(name));
    match (is_group, name.contains('@')) {
        (true, _) => Target::Group,
        (false, true) => Target::User,
        (false, false) => Target::Principal,
    }
}

/// The answers of the resolver begin with what they are about, which a finding names already.
fn without_subject(what: &str, found: &Found) -> String {
    let rest = what
        .split_once(found.value.as_str())
        .map_or(what, |(_, rest)| rest);
    rest.trim_start_matches([':', ' ']).to_owned()
}

fn hint(target: Target, effect: Effect) -> String {
    if effect == Effect::Remark {
        return String::new();
    }
    match target {
        Target::User | Target::ServicePrincipal | Target::Group | Target::Principal => {
            map_hint(target, "add the principal to the target workspace")
        }
        Target::InstancePool | Target::ClusterPolicy => {
            map_hint(target, "import it in the same run")
        }
        Target::WorkspacePath | Target::DbfsPath => {
            map_hint(target, "export it too (`--dbfs` for DBFS)")
        }
        Target::SecretScope => {
            "make it: databricks secrets create-scope SCOPE, then put its values".to_owned()
        }
        Target::Cluster => GONE.to_owned(),
        Target::Job => "import it in the same run".to_owned(),
        _ => map_hint(target, "make one in the target"),
    }
}

fn member_name<'b>(body: &'b Value, pointer: &str) -> Option<&'b str> {
    let (member, _) = pointer.rsplit_once('/')?;
    body.pointer(member)?.get("display")?.as_str()
}

/// Grantees that will not be there.
fn access(seen: &Seen<'_>, action: &Action, kind: &Kind, findings: &mut Findings) {
    if kind.permissions.is_none() || action.what == What::Blocked {
        return;
    }
    let id = match kind.name {
        "directories" | "notebooks" | "files" => {
            let at = seen
                .archive
                .tree
                .binary_search_by(|line| line.path.as_str().cmp(action.id.as_str()));
            let Ok(at) = at else { return };
            seen.archive.tree[at].object_id.as_str()
        }
        _ => action.id.as_str(),
    };
    let Some(archived) = seen.archive.acl(kind.name, id) else {
        return;
    };
    for grant in acl::grants(&archived) {
        if seen.resolver.principal(&grant.principal).is_none() {
            missing_grantee(&grant.principal, action, findings);
        }
    }
}

fn missing_grantee(principal: &Principal, action: &Action, findings: &mut Findings) {
    let (check, ..) = words(principal.kind);
    findings.add(
        (Effect::Gap, check, &principal.name),
        Some(by(action)),
        || {
            (
                "exists nowhere".to_owned(),
                hint(principal.kind, Effect::Gap),
            )
        },
    );
}
