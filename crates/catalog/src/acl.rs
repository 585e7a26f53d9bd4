//! Access control: the reply of the permissions API and what a PUT takes (fact sheet, section 11).
//!
//! Owns direct against inherited entries, the owner rule and the order of entries. Secret scopes have access control of
//! their own, in their kind's file.

use serde_json::{Map, Value, json};

use crate::kind::Target;
use crate::places;

/// The group that always manages everything; never written.
pub const ADMINS: &str = "admins";
/// The level of which an object has exactly one, when its kind has it.
pub const OWNER: &str = "IS_OWNER";

const KEYS: [(&str, Target); 3] = [
    ("user_name", Target::User),
    ("group_name", Target::Group),
    ("service_principal_name", Target::ServicePrincipal),
];

/// Levels from the lowest to the highest over all kinds; a principal keeps only its highest.
const RANK: &[&str] = &[
    "CAN_VIEW",
    "CAN_READ",
    "CAN_USE",
    "CAN_ATTACH_TO",
    "CAN_RESTART",
    "CAN_MANAGE_RUN",
    "CAN_MONITOR",
    "CAN_RUN",
    "CAN_EDIT",
    "CAN_MANAGE",
    OWNER,
];

/// A grantee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    /// [`Target::User`], [`Target::Group`] or [`Target::ServicePrincipal`].
    pub kind: Target,
    /// User name, group name, or application id.
    pub name: String,
}

impl Principal {
    /// The principal of an entry; `None` when it names none that is known.
    pub fn of(entry: &Value) -> Option<Self> {
        KEYS.iter().find_map(|(key, kind)| {
            let name = entry.get(key)?.as_str()?;
            Some(Self {
                kind: *kind,
                name: name.to_owned(),
            })
        })
    }

    /// The field under which it is written.
    pub fn field(&self) -> &'static str {
        KEYS.iter()
            .find(|(_, kind)| *kind == self.kind)
            .map_or("user_name", |(key, _)| key)
    }

    /// True for the same principal; user names compare without case.
    pub fn same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && match self.kind {
                Target::User => self.name.to_lowercase() == other.name.to_lowercase(),
                _ => self.name == other.name,
            }
    }
}

/// A direct grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// `permission_level`.
    pub level: String,
}

/// The direct grants of a reply, one per principal with its highest direct level, sorted by principal. Inherited
/// permissions and the group `admins` are left out.
pub fn grants(body: &Value) -> Vec<Grant> {
    let mut grants: Vec<Grant> = entries(body)
        .filter_map(|entry| {
            let principal = Principal::of(entry)?;
            let level = direct_levels(entry).max_by_key(|level| rank(level))?;
            Some(Grant {
                principal,
                level: level.to_owned(),
            })
        })
        .filter(|grant| !(grant.principal.kind == Target::Group && grant.principal.name == ADMINS))
        .collect();
    grants.sort();
    grants
}

/// The `access_control_list` of a PUT that reproduces the direct entries of a reply.
pub fn direct(body: &Value) -> Value {
    to_list(&grants(body))
}

/// Grants as an `access_control_list`.
pub fn to_list(grants: &[Grant]) -> Value {
    grants
        .iter()
        .map(|grant| {
            let mut entry = Map::new();
            entry.insert(
                grant.principal.field().to_owned(),
                json!(grant.principal.name),
            );
            entry.insert("permission_level".to_owned(), json!(grant.level));
            Value::Object(entry)
        })
        .collect()
}

/// Body of a PUT with these grants.
pub fn put_body(grants: &[Grant]) -> Value {
    json!({ "access_control_list": to_list(grants) })
}

/// The reply as it is archived: entries sorted by principal, their permissions and origins sorted, all else unchanged.
pub fn archive_form(mut body: Value) -> Value {
    if let Some(entries) = body
        .get_mut("access_control_list")
        .and_then(Value::as_array_mut)
    {
        for entry in entries.iter_mut() {
            crate::forms::sort_arrays(
                entry,
                &[
                    ("all_permissions[*].inherited_from_object", ""),
                    ("all_permissions", ""),
                ],
            );
        }
        entries.sort_by_cached_key(|entry| (Principal::of(entry), entry.to_string()));
    }
    body
}

/// Every principal that a reply names with a direct grant, `admins` left out.
pub fn principals(body: &Value) -> Vec<Principal> {
    grants(body)
        .into_iter()
        .map(|grant| grant.principal)
        .collect()
}

/// Why grants cannot be written for a kind that has an owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Nobody owns the object; the service refuses the PUT.
    #[error("no owner among {grants} grants")]
    Missing {
        /// Number of grants looked at.
        grants: usize,
    },
    /// More than one owner.
    #[error("{} owners: {}", owners.len(), owners.join(", "))]
    Several {
        /// Names of all of them.
        owners: Vec<String>,
    },
    /// A group cannot own.
    #[error("group {group:?} cannot be the owner")]
    Group {
        /// Name of the group.
        group: String,
    },
}

/// Checks the rule of exactly one owner, a user or a service principal. Only for kinds with
/// [`Permissions::has_owner`](crate::Permissions::has_owner).
///
/// # Errors
///
/// [`OwnerError`] says which part of the rule is broken.
pub fn check_owner(grants: &[Grant]) -> Result<&Principal, OwnerError> {
    match owners(grants).as_slice() {
        [] => Err(OwnerError::Missing {
            grants: grants.len(),
        }),
        [group] if group.kind == Target::Group => Err(OwnerError::Group {
            group: group.name.clone(),
        }),
        [owner] => Ok(owner),
        several => Err(OwnerError::Several {
            owners: several.iter().map(|owner| owner.name.clone()).collect(),
        }),
    }
}

/// The owners among grants; a kind with owners must have exactly one.
pub fn owners(grants: &[Grant]) -> Vec<&Principal> {
    grants
        .iter()
        .filter(|grant| grant.level == OWNER)
        .map(|grant| &grant.principal)
        .collect()
}

/// The grants with exactly one owner, `owner`: its other grants and all other owners go.
pub fn with_owner(grants: &[Grant], owner: &Principal) -> Vec<Grant> {
    let mut kept: Vec<Grant> = grants
        .iter()
        .filter(|grant| grant.level != OWNER && !grant.principal.same(owner))
        .cloned()
        .collect();
    kept.push(Grant {
        principal: owner.clone(),
        level: OWNER.to_owned(),
    });
    kept.sort();
    kept
}

/// Maps each principal of the grants; `None` drops the grant and returns its principal in the second list.
pub fn map(
    grants: &[Grant],
    f: &mut dyn FnMut(&Principal) -> Option<Principal>,
) -> (Vec<Grant>, Vec<Principal>) {
    let mut kept = Vec::new();
    let mut missing = Vec::new();
    for grant in grants {
        match f(&grant.principal) {
            Some(principal) => kept.push(Grant {
                principal,
                level: grant.level.clone(),
            }),
            None => missing.push(grant.principal.clone()),
        }
    }
    kept.sort();
    (kept, missing)
}

/// True when two lists of grants mean the same; case of user names and order do not count.
pub fn same(a: &[Grant], b: &[Grant]) -> bool {
    let folded = |grants: &[Grant]| {
        let mut folded: Vec<Grant> = grants.to_vec();
        for grant in &mut folded {
            if grant.principal.kind == Target::User {
                grant.principal.name = grant.principal.name.to_lowercase();
            }
            // Queries and dashboards answer with CAN_VIEW where CAN_READ was written.
            if grant.level == "CAN_VIEW" {
                "CAN_READ".clone_into(&mut grant.level);
            }
        }
        folded.sort();
        folded.dedup();
        folded
    };
    folded(a) == folded(b)
}

fn entries(body: &Value) -> impl Iterator<Item = &Value> {
    body.get("access_control_list")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn direct_levels(entry: &Value) -> impl Iterator<Item = &str> {
    entry
        .get("all_permissions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|permission| {
            places::get(permission, "inherited").and_then(Value::as_bool) != Some(true)
        })
        .filter_map(|permission| permission.get("permission_level")?.as_str())
}

/// Position of a level among all; an unknown one is above reading and below managing.
fn rank(level: &str) -> usize {
    let managing = RANK
        .iter()
        .position(|known| *known == "CAN_MANAGE")
        .unwrap_or(RANK.len());
    match RANK.iter().position(|known| *known == level) {
        Some(known) => known * 2,
        None => managing * 2 - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(entries: Value) -> Value {
        json!({ "object_id": "/notebooks/1", "object_type": "notebook", "access_control_list": entries })
    }

    fn user(name: &str) -> Principal {
        Principal {
            kind: Target::User,
            name: name.to_owned(),
        }
    }

    fn grant(name: &str, level: &str) -> Grant {
        Grant {
            principal: user(name),
            level: level.to_owned(),
        }
    }

    #[test]
    fn only_direct_levels_are_written_and_the_highest_wins() {
        let body = reply(json!([
            {"user_name": "b", "all_permissions": [
                {"permission_level": "CAN_MANAGE", "inherited": true},
                {"permission_level": "CAN_READ", "inherited": false},
                {"permission_level": "CAN_EDIT"}]},
            {"group_name": "admins", "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": false}]},
            {"group_name": "g", "all_permissions": [{"permission_level": "CAN_RUN", "inherited": true}]},
            {"service_principal_name": "app", "all_permissions": [{"permission_level": "CAN_RUN", "inherited": false}]},
            {"principal_of_tomorrow": "x", "all_permissions": [{"permission_level": "CAN_RUN", "inherited": false}]},
        ]));
        let expected = json!([
            {"user_name": "b", "permission_level": "CAN_EDIT"},
            {"service_principal_name": "app", "permission_level": "CAN_RUN"},
        ]);
        assert_eq!(direct(&body), expected);
        assert_eq!(principals(&body).len(), 2);
        assert_eq!(direct(&json!({"object_id": "/x"})), json!([]));
    }

    #[test]
    fn a_user_called_admins_is_not_the_group() {
        let body = reply(
            json!([{"user_name": "admins", "all_permissions": [{"permission_level": "CAN_RUN"}]}]),
        );
        assert_eq!(grants(&body), [grant("admins", "CAN_RUN")]);
    }

    #[test]
    fn the_archived_reply_does_not_depend_on_the_order_of_the_service() {
        let a = json!({"user_name": "a", "all_permissions": [
            {"permission_level": "CAN_RUN", "inherited": true, "inherited_from_object": ["/directories/2", "/directories/1"]},
            {"permission_level": "CAN_EDIT", "inherited": false}]});
        let a_turned = json!({"user_name": "a", "all_permissions": [
            {"permission_level": "CAN_EDIT", "inherited": false},
            {"permission_level": "CAN_RUN", "inherited": true, "inherited_from_object": ["/directories/1", "/directories/2"]}]});
        let g = json!({"group_name": "g", "all_permissions": []});
        let one = archive_form(reply(json!([a, g])));
        let other = archive_form(reply(json!([g, a_turned])));
        assert_eq!(one.to_string(), other.to_string());
        assert_eq!(one["access_control_list"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn there_is_exactly_one_owner() {
        let owner = |name| grant(name, OWNER);
        assert_eq!(
            check_owner(&[grant("a", "CAN_VIEW")]),
            Err(OwnerError::Missing { grants: 1 })
        );
        let several = OwnerError::Several {
            owners: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(several.to_string(), "2 owners: a, b");
        assert_eq!(check_owner(&[owner("a"), owner("b")]), Err(several));
        let group = Principal {
            kind: Target::Group,
            name: "g".to_owned(),
        };
        let owned = [Grant {
            principal: group,
            level: OWNER.to_owned(),
        }];
        assert_eq!(
            check_owner(&owned),
            Err(OwnerError::Group {
                group: "g".to_owned()
            })
        );
        let fixed = with_owner(
            &[owner("a"), grant("B", "CAN_VIEW"), grant("c", "CAN_VIEW")],
            &user("b"),
        );
        assert_eq!(fixed, [owner("b"), grant("c", "CAN_VIEW")]);
        assert_eq!(check_owner(&fixed), Ok(&user("b")));
    }

    #[test]
    fn missing_grantees_are_reported_and_the_others_kept() {
        let (kept, missing) = map(
            &[grant("a", "CAN_RUN"), grant("b", "CAN_RUN")],
            &mut |principal| (principal.name == "a").then(|| user("new")),
        );
        assert_eq!(kept, [grant("new", "CAN_RUN")]);
        assert_eq!(missing, [user("b")]);
    }

    #[test]
    fn names_of_users_compare_without_case() {
        assert!(same(
            &[grant("A@x", "CAN_RUN"), grant("b", "CAN_VIEW")],
            &[grant("b", "CAN_READ"), grant("a@X", "CAN_RUN")]
        ));
        assert!(!same(&[grant("a", "CAN_RUN")], &[grant("a", "CAN_EDIT")]));
        assert!(!same(&[grant("a", "CAN_RUN")], &[]));
    }

    #[test]
    fn levels_have_an_order_that_unknown_ones_do_not_break() {
        assert!(rank("CAN_VIEW") < rank("CAN_RUN") && rank("CAN_RUN") < rank("CAN_MANAGE"));
        assert!(rank("CAN_EDIT") < rank("CAN_DO_NEW") && rank("CAN_DO_NEW") < rank("CAN_MANAGE"));
        assert!(rank("CAN_MANAGE") < rank(OWNER));
    }
}
