//! Where two bodies differ: places, and values for those who asked to see them.

use std::collections::BTreeSet;

use lifeboat_catalog::places;
use serde::Serialize;
use serde_json::{Map, Value};

/// Words in the name of a field whose value is not shown even with `--show-values`.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accountkey",
    "account.key",
    "private",
];

/// What stands in the place of a value that looks like a secret.
const HIDDEN: &str = "(hidden)";

/// A place of an object that an import changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// JSON pointer in the record's form, or a word: `content`, `members`, `entitlements`, `access control`.
    pub place: String,
    /// What the target has. Only when values were asked for; absent also when the target has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What the archive wants. Only when values were asked for; absent also when the archive has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl Change {
    /// A place without values.
    #[must_use]
    pub fn at(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            from: None,
            to: None,
        }
    }
}

/// JSON pointers at which two values differ, the outermost of each difference. Values are in the result only when
/// `show_values`, and never those of fields that look like secrets.
pub(crate) fn differing(target: &Value, wanted: &Value, show_values: bool) -> Vec<Change> {
    let mut found = Vec::new();
    walk(
        Some(target),
        Some(wanted),
        &mut String::new(),
        &mut |pointer, from, to| {
            let shown = |value: Option<&Value>| {
                show_values
                    .then(|| value.map(|value| masked(pointer, value)))
                    .flatten()
            };
            found.push(Change {
                place: pointer.to_owned(),
                from: shown(from),
                to: shown(to),
            });
        },
    );
    found
}

/// Takes a place that differs, with what the target has there and what is wanted.
type Differs<'f> = dyn FnMut(&str, Option<&Value>, Option<&Value>) + 'f;

fn walk(
    target: Option<&Value>,
    wanted: Option<&Value>,
    pointer: &mut String,
    found: &mut Differs<'_>,
) {
    let mut step = |name: &str, a: Option<&Value>, b: Option<&Value>, pointer: &mut String| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(name);
        walk(a, b, pointer, found);
        pointer.truncate(length);
    };
    match (target, wanted) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                step(&places::escape(key), a.get(key), b.get(key), pointer);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                step(&index.to_string(), Some(a), Some(b), pointer);
            }
        }
        _ if target.unwrap_or(&Value::Null) == wanted.unwrap_or(&Value::Null) => {}
        _ => found(pointer, target, wanted),
    }
}

/// A value with everything in it replaced that looks like a secret. A reference to a secret is none.
fn masked(pointer: &str, value: &Value) -> Value {
    let field = pointer.rsplit('/').next().unwrap_or(pointer);
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), masked(key, value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(list) => list.iter().map(|value| masked(field, value)).collect(),
        Value::String(text) if is_reference(text) => value.clone(),
        Value::Null | Value::Bool(_) => value.clone(),
        _ if looks_secret(field) => Value::String(HIDDEN.to_owned()),
        _ => value.clone(),
    }
}

fn is_reference(text: &str) -> bool {
    text.starts_with("{{secrets/") && text.ends_with("}}") && text.matches("{{").count() == 1
}

fn looks_secret(field: &str) -> bool {
    let field = field.to_lowercase();
    SECRET_WORDS.iter().any(|word| field.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_places_and_values_only_for_those_who_ask() {
        let target = json!({"a": {"b": [1, 2], "c": "old"}, "d": [1]});
        let wanted = json!({"a": {"b": [1, 3], "c": "new"}, "d": [1, 2], "e": 1});
        let places: Vec<String> = differing(&target, &wanted, false)
            .into_iter()
            .inspect(|change| assert!(change.from.is_none() && change.to.is_none()))
            .map(|change| change.place)
            .collect();
        assert_eq!(places, ["/a/b/1", "/a/c", "/d", "/e"]);
        let shown = differing(&target, &wanted, true);
        assert_eq!(shown[1].from, Some(json!("old")));
        assert_eq!(shown[1].to, Some(json!("new")));
        assert_eq!((&shown[3].from, &shown[3].to), (&None, &Some(json!(1))));
    }

    #[test]
    fn what_looks_like_a_secret_is_never_shown() {
        let wanted = json!({"spark_conf": {
            "fs.azure.account.key.x": "abc", "db.password": "{{secrets/s/k}}", "spark.app": "x",
        }, "docker": {"basic_auth": {"password": "p", "username": "u"}}});
        let shown = serde_json::to_string(&differing(&json!({}), &wanted, true)).unwrap();
        for hidden in ["abc", "\"p\""] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(
            shown.contains("{{secrets/s/k}}") && shown.contains("\"u\""),
            "{shown}"
        );
        let shown = differing(&json!({"token": "a"}), &json!({"token": "b"}), true);
        assert_eq!(shown[0].to, Some(json!(HIDDEN)));
    }
}
