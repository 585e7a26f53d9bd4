//! Owners of clusters: who made one in the source owns it in the target, too (`spec/import.md`, "Access control").

use lifeboat_catalog::acl::Principal;
use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Kind, Target, jobs, places};
use serde_json::Value;

use super::build::Builder;
use super::{Action, What, is_terminated};
use crate::journal::{Entry, Op};
use crate::resolve::{Resolver, digest};

/// What a change of the owner is called.
pub(crate) const OWNER: &str = "owner";

/// The call that changes it: for administrators, of clusters that are terminated.
pub(crate) const CHANGE_OWNER: &str = "/api/2.1/clusters/change-owner";

/// What a cluster lacks whose owner the service did not change.
pub(crate) const NOT_OWNED: &str = "owner not changed, the importer stays the creator";

/// Where a cluster says who made it.
pub(crate) const CREATOR: &str = "creator_user_name";

impl Builder<'_> {
    /// Decides whether a cluster gets another owner.
    pub(super) fn owner(&self, kind: &Kind, record: &ObjectRecord, action: &mut Action) {
        if matches!(action.what, What::Skip | What::Blocked) {
            return;
        }
        let entry = self.journal.entry(kind.name, &record.id);
        // A cluster whose making was interrupted is brought to rest first.
        let unfinished = entry.is_some_and(|entry| entry.is_ours() && !entry.configured);
        let made = action.what == What::Create || action.recovered || unfinished;
        let object = action
            .target
            .as_deref()
            .and_then(|id| self.target.by_id(kind.name, id));
        let present = object.map(|object| &object.body).filter(|_| !made);
        let owner = owner_to_set(kind, &record.body, present, entry, &self.resolver);
        let Some(owner) = owner.filter(|owner| !(made && is_same(owner, &self.target.caller)))
        else {
            return;
        };
        let form = owner_digest(&owner);
        match self.refused_before(kind.name, &record.id, Op::Own, Some(&form)) {
            Some(why) => action.notes.push(format!("{NOT_OWNED}: {why}")),
            None => action.writes_owner = true,
        }
    }
}

/// Who should own a cluster of ours and does not: its creator in the source, as the target names him. `present` is the
/// cluster in the target, absent when it is still to be made. One that runs is left alone, because the service changes
/// owners only at rest; a creator who exists nowhere, or whom the target does not tell, is no question.
pub(crate) fn owner_to_set(
    kind: &Kind,
    archived: &Value,
    present: Option<&Value>,
    entry: Option<&Entry>,
    resolver: &Resolver,
) -> Option<String> {
    if kind.name != "clusters" {
        return None;
    }
    let name = places::text(archived, CREATOR).filter(|name| !name.is_empty())?;
    let principal = Principal {
        kind: match jobs::is_guid(&name) {
            true => Target::ServicePrincipal,
            false => Target::User,
        },
        name,
    };
    let owner = resolver.principal(&principal)?.name;
    let Some(present) = present else {
        return Some(owner);
    };
    let entry = entry.filter(|entry| entry.is_ours())?;
    let doubtful = entry
        .pending
        .as_ref()
        .is_some_and(|pending| pending.op == Op::Own);
    let now = places::text(present, CREATOR)?;
    let another = doubtful || !is_same(&now, &owner);
    (another && is_terminated(present)).then_some(owner)
}

/// What the journal holds of a change of the owner.
pub(crate) fn owner_digest(owner: &str) -> String {
    digest(&Value::String(owner.to_owned()))
}

/// Whether the service refused this owner, for certain.
pub(crate) fn is_owner_refused(entry: Option<&Entry>, owner: &str) -> bool {
    entry.is_some_and(|entry| entry.refusal(Op::Own, Some(&owner_digest(owner))).is_some())
}

fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
