//! Lint: names of the source workspace that are left in strings.
//!
//! Owns the search for source ids and hosts in bodies and texts after references have been rewritten (spec/import.md,
//! "Ids"). A hit is a warning for a person: parameters, scripts and addresses may mean the source on purpose.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::places;

/// Ids shorter than this are not looked for: they would be found in any number.
pub const SHORTEST_ID: usize = 6;

/// What to look for. `ids` is a set of ids or a reference to one: many objects are searched for the same ids.
#[derive(Clone, Debug, Default)]
pub struct Source<'a, Ids = BTreeSet<String>> {
    /// Host of the source workspace, without scheme.
    pub host: &'a str,
    /// Workspace id of the source (`?o=` in browser addresses).
    pub workspace_id: &'a str,
    /// Ids of objects in the source; ids that mean the same in the target must be left out.
    pub ids: Ids,
}

impl<'a, Ids: Borrow<BTreeSet<String>>> Source<'a, Ids> {
    fn borrowed(&self) -> Source<'a, &BTreeSet<String>> {
        Source {
            host: self.host,
            workspace_id: self.workspace_id,
            ids: self.ids.borrow(),
        }
    }
}

/// Something of the source that is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// JSON pointer of the string, or of the map whose key it is; empty for a plain text.
    pub pointer: String,
    /// The id or host that was found. The text around it is not repeated: it may hold secrets.
    pub found: String,
}

/// Leftovers in every string, number and key of a body.
pub fn body<Ids: Borrow<BTreeSet<String>>>(
    body: &Value,
    source: &Source<'_, Ids>,
) -> Vec<Leftover> {
    let mut found = BTreeSet::new();
    walk(body, &mut String::new(), &source.borrowed(), &mut found);
    found.into_iter().collect()
}

/// Leftovers in a plain text (a notebook, a script).
pub fn text<Ids: Borrow<BTreeSet<String>>>(text: &str, source: &Source<'_, Ids>) -> Vec<Leftover> {
    let mut found = BTreeSet::new();
    scan(text, "", &source.borrowed(), &mut found);
    found.into_iter().collect()
}

fn walk(
    value: &Value,
    pointer: &mut String,
    source: &Source<'_, &BTreeSet<String>>,
    found: &mut BTreeSet<Leftover>,
) {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                scan(key, pointer, source, found);
                pointer.push('/');
                pointer.push_str(&places::escape(key));
                walk(inner, pointer, source, found);
                pointer.truncate(length);
            }
        }
        Value::Array(array) => {
            for (index, inner) in array.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                walk(inner, pointer, source, found);
                pointer.truncate(length);
            }
        }
        Value::String(text) => scan(text, pointer, source, found),
        Value::Number(number) => scan(&number.to_string(), pointer, source, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn scan(
    text: &str,
    pointer: &str,
    source: &Source<'_, &BTreeSet<String>>,
    found: &mut BTreeSet<Leftover>,
) {
    let mut hit = |what: &str| {
        found.insert(Leftover {
            pointer: pointer.to_owned(),
            found: what.to_owned(),
        });
    };
    if !source.host.is_empty()
        && text
            .to_ascii_lowercase()
            .contains(&source.host.to_ascii_lowercase())
    {
        hit(source.host);
    }
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        if word.len() >= SHORTEST_ID && (word == source.workspace_id || source.ids.contains(word)) {
            hit(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> Source<'static> {
        Source {
            host: "adb-1.azuredatabricks.net",
            workspace_id: "7001002003004005",
            ids: ["0101-120000-abcdef", "123456789", "12"]
                .map(str::to_owned)
                .into(),
        }
    }

    #[test]
    fn ids_and_hosts_are_found_in_values_keys_and_numbers() {
        let left = body(
            &json!({
                "url": "https://ADB-1.azuredatabricks.net/?o=7001002003004005#job/12",
                "n": 123456789,
                "m": {"x 0101-120000-abcdef": "fine"},
                "other": "0101-120000-abcdefg 1234567890 12",
            }),
            &source(),
        );
        let left: Vec<_> = left
            .iter()
            .map(|one| (one.pointer.as_str(), one.found.as_str()))
            .collect();
        assert_eq!(
            left,
            [
                ("/m", "0101-120000-abcdef"),
                ("/n", "123456789"),
                ("/url", "7001002003004005"),
                ("/url", "adb-1.azuredatabricks.net"),
            ]
        );
    }

    #[test]
    fn one_set_of_ids_serves_many_searches() {
        let ids = source().ids;
        let by_reference = Source {
            host: "",
            workspace_id: "",
            ids: &ids,
        };
        assert_eq!(
            text("123456789", &by_reference),
            text("123456789", &source())
        );
    }

    #[test]
    fn a_text_is_searched_like_a_string() {
        assert_eq!(
            text("run 0101-120000-abcdef now", &source())[0].found,
            "0101-120000-abcdef"
        );
        assert!(text("nothing here", &Source::<BTreeSet<String>>::default()).is_empty());
    }
}
