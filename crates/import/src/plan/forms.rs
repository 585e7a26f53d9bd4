//! The forms of plain JSON objects: what one should be in the target, what one there is compared as, and whether the two, or what
//! the journal holds of it, are the same.

use lifeboat_catalog::{Kind, places};
use serde_json::{Value, json};

use crate::journal::Entry;
use crate::resolve::{Resolver, Rewritten, digest};

/// What a cluster is created with instead of its own setting: a create whose end is never seen must not run on.
pub(crate) const LANDING_MINUTES: u64 = 10;

/// The body that an object gets in the target, in the shape of the record and passive.
pub(crate) fn desired(kind: &Kind, body: &Value, resolver: &Resolver) -> Rewritten {
    let mut request = kind.request_form(body);
    kind.land_passive(&mut request);
    let runs = runs_still(&request, "");
    let mut desired = rewritten(kind, request, resolver);
    desired.missing.extend(runs.map(|place| {
        format!("{place} would run: this version of Lifeboat does not know such a trigger, and cannot pause it")
    }));
    desired
}

/// The place of a trigger that is not paused in what is to land passive.
fn runs_still(body: &Value, place: &str) -> Option<String> {
    match body {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let place = format!("{place}/{name}");
            match value {
                Value::String(state) if name == "pause_status" && state != "PAUSED" => Some(place),
                value => runs_still(value, &place),
            }
        }),
        Value::Array(items) => items.iter().find_map(|item| runs_still(item, place)),
        _ => None,
    }
}

/// The same with the state that the object has in the source: how it should be once it is activated.
pub(crate) fn desired_active(kind: &Kind, body: &Value, resolver: &Resolver) -> Rewritten {
    rewritten(kind, kind.request_form(body), resolver)
}

fn rewritten(kind: &Kind, mut request: Value, resolver: &Resolver) -> Rewritten {
    if kind.name == "git-folders"
        && let Some(Value::String(path)) = request.get_mut("path")
    {
        *path = resolver.path(lifeboat_catalog::tree::without_alias(path));
    }
    let mut rewritten = resolver.rewrite(kind, &request);
    let missing = "owner missing";
    if kind.name == "jobs"
        && rewritten.body.pointer("/settings/run_as").is_none()
        && !rewritten.notes.iter().any(|note| note.starts_with(missing))
    {
        // Without it the service runs the job as whoever creates it.
        rewritten.notes.push(format!(
            "{missing}: the archive does not say as whom it runs, the importer does"
        ));
    }
    rewritten
}

/// The form of a cluster while it is being created.
pub(crate) fn landing(request: &Value) -> Value {
    let mut landing = request.clone();
    if let Some(map) = landing.as_object_mut() {
        map.insert("autotermination_minutes".to_owned(), json!(LANDING_MINUTES));
    }
    landing
}

/// What a create alone makes of a compare form: a clone is at the default branch of its remote, until the recorded one is
/// checked out.
pub(crate) fn created_form(kind: &Kind, mut form: Value) -> Value {
    if kind.name == "git-folders" {
        places::take_pointer(&mut form, "/branch");
    }
    form
}

/// The form in which an object of the target is compared with a desired body. What the desired body leaves to the
/// service because its principal exists nowhere is left out of both.
pub(crate) fn target_form(kind: &Kind, wanted: &Value, target: &Value) -> Value {
    let mut form = kind.compare_form(target);
    if let Some(pointer) = owner_pointer(kind)
        && wanted.pointer(pointer).is_none()
    {
        places::take_pointer(&mut form, pointer);
    }
    form
}

/// Where a body says as whom it runs.
fn owner_pointer(kind: &Kind) -> Option<&'static str> {
    match kind.name {
        "jobs" => Some("/settings/run_as"),
        "clusters" => Some("/single_user_name"),
        _ => None,
    }
}

/// Whether an object of the target is what it should be.
pub(crate) fn same_form(kind: &Kind, wanted: &Value, target: &Value) -> bool {
    kind.compare_form(wanted) == target_form(kind, wanted, target)
}

/// Whether a built-in policy has the archived overrides; the rest of it is the service's.
pub(crate) fn same_overrides(kind: &Kind, wanted: &Value, target: &Value) -> bool {
    overrides(kind, wanted) == overrides(kind, target)
}

pub(super) fn overrides(kind: &Kind, body: &Value) -> Option<Value> {
    kind.compare_form(body)
        .get("policy_family_definition_overrides")
        .cloned()
}

/// What the journal holds of a built-in policy that was read back.
pub(crate) fn overrides_digest(kind: &Kind, body: &Value) -> String {
    digest(&overrides(kind, body).unwrap_or(Value::Null))
}

/// Whether somebody changed an object of the target: it is neither as it was last read back, nor as it was last written,
/// nor as a write without an answer was about to make it.
pub(super) fn was_changed(kind: &Kind, entry: &Entry, target_form: &Value, target: &Value) -> bool {
    let pending = entry.pending.as_ref();
    if (kind.builtin)(target) {
        // Of these only the overrides are ever written and recorded.
        let seen = entry.seen.as_deref();
        return pending.is_none()
            && seen.is_some()
            && seen != Some(&overrides_digest(kind, target));
    }
    let form = digest(target_form);
    let written = [
        entry.digest.as_deref(),
        pending.and_then(|pending| pending.digest.as_deref()),
    ];
    // With neither a form that was read nor one that was written nobody can tell.
    let known = entry.seen.is_some() || written.iter().any(Option::is_some);
    known
        && entry.seen.as_deref() != Some(form.as_str())
        && !written.contains(&Some(form.as_str()))
        && !is_only_created(kind, &written, entry, target_form)
        && !is_as_seen(kind, entry, target)
}

/// Whether an object is as its create left it, by a run that ended before it did the rest.
fn is_only_created(
    kind: &Kind,
    written: &[Option<&str>],
    entry: &Entry,
    target_form: &Value,
) -> bool {
    let created = digest(&created_form(kind, target_form.clone()));
    entry.seen.is_none() && written.contains(&Some(created.as_str()))
}

/// Whether an object of the target is as it was last read back. False when it never was.
pub(crate) fn is_as_seen(kind: &Kind, entry: &Entry, target: &Value) -> bool {
    let Some(seen) = entry.seen.as_deref() else {
        return false;
    };
    let mut form = kind.compare_form(target);
    if seen == digest(&form) {
        return true;
    }
    // As it was read back when its owner existed nowhere, too.
    owner_pointer(kind).is_some_and(|pointer| {
        places::take_pointer(&mut form, pointer);
        seen == digest(&form)
    })
}

/// Whether an object is what an interrupted create was about to make.
pub(super) fn is_made_by(kind: &Kind, entry: &Entry, wanted: &Value, target: &Value) -> bool {
    let form = digest(&created_form(kind, target_form(kind, wanted, target)));
    let pending = entry.pending.as_ref();
    pending.and_then(|pending| pending.digest.as_deref()) == Some(form.as_str())
        || is_made_of(kind, wanted, target)
}

/// Whether an object is what a create of `wanted` makes, before anything else is done to it.
pub(crate) fn is_made_of(kind: &Kind, wanted: &Value, target: &Value) -> bool {
    let created = |form| created_form(kind, form);
    created(kind.compare_form(wanted)) == created(target_form(kind, wanted, target))
        || (kind.name == "clusters" && same_form(kind, &landing(wanted), target))
}

/// Whether a cluster is stopped. A body without a state (of a server that has none) counts as stopped.
pub(crate) fn is_terminated(body: &Value) -> bool {
    body.get("state")
        .and_then(Value::as_str)
        .is_none_or(|state| state == "TERMINATED")
}
