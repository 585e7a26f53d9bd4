//! The passive state of an object: as it is, as it is wanted, and the call that makes the one the other.
//!
//! The fields are those of the catalog ([`Kind::state`]). Clusters have none of them: they run only when somebody starts
//! them, and what an import adds is a pin, `/pinned`.

use lifeboat_catalog::{Kind, clusters, places};
use serde_json::{Map, Value, json};

use super::{Direction, Transition};

/// Place of the pin of a cluster in a state.
const PINNED: &str = "/pinned";

/// The state of a body of an archive or of the target.
pub(super) fn state_of(kind: &Kind, body: &Value) -> Map<String, Value> {
    if kind.name == "clusters" {
        return Map::from_iter([(PINNED.to_owned(), Value::Bool(clusters::is_pinned(body)))]);
    }
    kind.state(body)
}

/// The state that `body`, an object of the target, should get: where the ledger says nothing it keeps its own.
/// `ours`: an import of this tool made the object.
pub(super) fn wanted(
    kind: &Kind,
    body: &Value,
    active: &Map<String, Value>,
    direction: Direction,
    ours: bool,
) -> Map<String, Value> {
    if kind.name == "clusters" {
        // Only a pin that the import set may be taken away, and set again.
        let pinned = match direction {
            _ if !ours => state_of(kind, body).get(PINNED).cloned(),
            Direction::Activate => active.get(PINNED).cloned(),
            Direction::Deactivate => Some(Value::Bool(true)),
        };
        return pinned
            .map(|pinned| Map::from_iter([(PINNED.to_owned(), pinned)]))
            .unwrap_or_default();
    }
    let mut wanted = body.clone();
    match direction {
        Direction::Activate => kind.set_state(&mut wanted, active),
        Direction::Deactivate => kind.land_passive(&mut wanted),
    }
    kind.state(&wanted)
}

/// The fields whose meaning changes, by pointer.
pub(super) fn changes(
    kind: &Kind,
    body: &Value,
    wanted: &Map<String, Value>,
) -> Vec<(String, Transition)> {
    let current = state_of(kind, body);
    let mut changes = Vec::new();
    for (pointer, wanted) in wanted {
        let before = kind.meaning(pointer, current.get(pointer).unwrap_or(&Value::Null));
        let after = kind.meaning(pointer, wanted);
        if before != after {
            let change = Transition {
                place: place(body, pointer),
                before: text(&before),
                after: text(&after),
            };
            changes.push((pointer.clone(), change));
        }
    }
    changes
}

/// Whether a state starts or costs something.
pub(super) fn is_active(kind: &Kind, body: &Value) -> bool {
    kind.name != "clusters" && kind.is_active(body)
}

/// Places of the ledger that an object of the target does not have any more.
pub(super) fn lost(kind: &Kind, body: &Value, active: &Map<String, Value>) -> Vec<String> {
    let current = state_of(kind, body);
    active
        .keys()
        .filter(|pointer| !current.contains_key(*pointer))
        .map(|pointer| place(body, pointer))
        .collect()
}

/// Places of an object of the target that are passive and of which the ledger says nothing.
pub(super) fn untold_places(kind: &Kind, body: &Value, active: &Map<String, Value>) -> Vec<String> {
    if kind.name == "clusters" {
        return Vec::new();
    }
    let mut passive = body.clone();
    kind.land_passive(&mut passive);
    let passive = kind.state(&passive);
    kind.state(body)
        .iter()
        .filter(|(pointer, _)| !active.contains_key(*pointer))
        .filter(|(pointer, value)| passive.get(*pointer) == Some(&kind.meaning(pointer, value)))
        .map(|(pointer, _)| place(body, pointer))
        .collect()
}

/// `schedule`, `trigger (periodic)`, `min_idle_instances`.
fn place(body: &Value, pointer: &str) -> String {
    let (map, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let Some(map) = map.strip_prefix("/settings/") else {
        return field.to_owned();
    };
    let kinds: Vec<&str> = match body.pointer(&format!("/settings/{map}")) {
        Some(Value::Object(inner)) if map.starts_with("trigger") => inner
            .iter()
            .filter(|(_, value)| value.is_object())
            .map(|(key, _)| key.as_str())
            .collect(),
        _ => Vec::new(),
    };
    if kinds.is_empty() {
        map.to_owned()
    } else {
        format!("{map} ({})", kinds.join(", "))
    }
}

fn text(value: &Value) -> String {
    places::scalar(value).unwrap_or_else(|| value.to_string())
}

/// A call that changes a state.
pub(super) struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
}

/// The call that gives `body`, the object `id` as the target holds it at this moment, the state `wanted`; `pointers` are
/// the fields that change. Nothing else of the object is touched.
pub(super) fn call(
    kind: &Kind,
    id: &str,
    body: &Value,
    wanted: &Map<String, Value>,
    pointers: &[String],
) -> Option<Call> {
    if kind.name == "clusters" {
        let verb = if wanted.get(PINNED) == Some(&Value::Bool(true)) {
            "pin"
        } else {
            "unpin"
        };
        return Some(Call {
            method: "POST",
            path: format!("/api/2.1/clusters/{verb}"),
            body: json!({ "cluster_id": id }),
        });
    }
    let mut changed = body.clone();
    kind.set_state(&mut changed, wanted);
    if kind.name == "jobs" {
        return Some(job_update(kind, id, &changed, pointers));
    }
    let write = kind.update?;
    let mut request = kind.update_body(&kind.request_form(&changed), id)?;
    if let Some(map) = request.as_object_mut() {
        // A script that is put where it stands already might be taken for one that is moved.
        map.shift_remove("position");
    }
    Some(Call {
        method: write.method,
        path: Kind::path_for(write.path, &lifeboat_databricks::segment(id)),
        body: request,
    })
}

/// `jobs/update` replaces the top-level fields that it is given, and no other.
fn job_update(kind: &Kind, id: &str, changed: &Value, pointers: &[String]) -> Call {
    let mut settings = Map::new();
    for pointer in pointers {
        let field = pointer
            .trim_start_matches("/settings/")
            .split('/')
            .next()
            .unwrap_or_default();
        if let Some(value) = changed.pointer(&format!("/settings/{field}")) {
            settings.insert(field.to_owned(), value.clone());
        }
    }
    Call {
        method: "POST",
        path: "/api/2.2/jobs/update".to_owned(),
        body: json!({ "job_id": kind.id_value(id), "new_settings": settings }),
    }
}
