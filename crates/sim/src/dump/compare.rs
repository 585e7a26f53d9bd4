//! Two dumps side by side: what is missing, what is more, what differs, and how many of each kind are equal.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// One difference between two dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Kind of object: `jobs`, `acls/notebooks`.
    pub kind: String,
    /// Natural key of the object.
    pub key: String,
    /// `missing`, `only here`, or the place and both values.
    pub what: String,
}

/// How many objects of one kind both sides have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCount {
    /// Kind of object.
    pub kind: String,
    /// In the first dump.
    pub first: usize,
    /// In the second dump.
    pub second: usize,
    /// In both, and equal.
    pub equal: usize,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Every kind that one side has, by name.
    pub kinds: Vec<KindCount>,
    /// Every difference, by kind and key.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// The counts of one kind; all zero when neither side has any.
    #[must_use]
    pub fn kind(&self, kind: &str) -> KindCount {
        let none = || KindCount {
            kind: kind.to_owned(),
            first: 0,
            second: 0,
            equal: 0,
        };
        self.kinds
            .iter()
            .find(|count| count.kind == kind)
            .cloned()
            .unwrap_or_else(none)
    }
}

/// What is compared beside everything that a restore must bring back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness {
    /// State in which a restore deliberately differs: pauses, idle machines of pools, enabled scripts, pins.
    pub passive: bool,
    /// Secrets, whose values no backup can carry.
    pub secrets: bool,
}

/// Where passive state stands, by kind; `*` is any element.
const PASSIVE: &[(&str, &[&str])] = &[
    (
        "jobs",
        &[
            "schedule.pause_status",
            "trigger.pause_status",
            "continuous.pause_status",
            "triggers.*.pause_status",
        ],
    ),
    ("instance-pools", &["min_idle_instances"]),
    ("global-init-scripts", &["enabled"]),
    ("clusters", &["pinned"]),
];

/// Differences between two dumps; passive state and secrets are ignored.
#[must_use]
pub fn compare(a: &Value, b: &Value) -> Vec<Difference> {
    compare_all(a, b, Strictness::default()).differences
}

/// Differences and counts, kind by kind.
#[must_use]
pub fn compare_all(a: &Value, b: &Value, strictness: Strictness) -> Comparison {
    let mut result = Comparison::default();
    let kinds: BTreeSet<&String> = [a, b]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
        .collect();
    for kind in kinds
        .into_iter()
        .filter(|kind| strictness.secrets || *kind != "secrets")
    {
        let objects = |side: &Value| {
            side.get(kind)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        one_kind(kind, &objects(a), &objects(b), strictness, &mut result);
    }
    result
}

fn one_kind(
    kind: &str,
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    strictness: Strictness,
    result: &mut Comparison,
) {
    let mut count = KindCount {
        kind: kind.to_owned(),
        first: a.len(),
        second: b.len(),
        equal: 0,
    };
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let mut found = Vec::new();
        match (a.get(key), b.get(key)) {
            (Some(first), Some(second)) if first == second => {}
            (Some(first), Some(second)) => {
                let (first, second) = (
                    masked(kind, first, strictness),
                    masked(kind, second, strictness),
                );
                differences("", Some(&first), Some(&second), &mut found);
            }
            (Some(_), None) => found.push("missing".to_owned()),
            (None, _) => found.push("only here".to_owned()),
        }
        count.equal += usize::from(found.is_empty());
        result
            .differences
            .extend(found.into_iter().map(|what| Difference {
                kind: kind.to_owned(),
                key: key.clone(),
                what,
            }));
    }
    result.kinds.push(count);
}

/// The facts without what is not compared.
fn masked(kind: &str, facts: &Value, strictness: Strictness) -> Value {
    let mut facts = facts.clone();
    if !strictness.passive {
        for place in PASSIVE
            .iter()
            .filter(|(name, _)| *name == kind)
            .flat_map(|(_, places)| *places)
        {
            remove(&mut facts, &place.split('.').collect::<Vec<_>>());
        }
    }
    facts
}

fn remove(value: &mut Value, place: &[&str]) {
    match (place, value) {
        ([last], Value::Object(map)) => {
            map.remove(*last);
        }
        (["*", rest @ ..], Value::Array(list)) => {
            list.iter_mut().for_each(|element| remove(element, rest))
        }
        ([first, rest @ ..], Value::Object(map)) => {
            if let Some(inner) = map.get_mut(*first) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

/// Collects the places at which two values differ.
fn differences(place: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<String>) {
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let fields: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for field in fields {
                let place = if place.is_empty() {
                    field.clone()
                } else {
                    format!("{place}.{field}")
                };
                differences(&place, a.get(field), b.get(field), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{place}[{at}]"), Some(a), Some(b), found);
            }
        }
        _ if a == b => {}
        _ => found.push(format!("{place}: {} -> {}", short(a), short(b))),
    }
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "absent".to_owned(), Value::to_string);
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
