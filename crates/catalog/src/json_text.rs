//! JSON text inside a string: references in the definition of a cluster policy.
//!
//! Owns finding the strings in such a text with their byte ranges, so that a rewrite changes an id and nothing else.
//! Text that is not JSON holds no references here; the lint still sees it.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::kind::{Form, Target};
use crate::paths::{self, Located};
use crate::references::Found;

/// What an attribute of a policy refers to. `init_scripts.<n>.<kind>.destination` and `spark_*` are found by shape.
fn attribute(name: &str) -> Option<(Target, Form)> {
    match name {
        "instance_pool_id" | "driver_instance_pool_id" => Some((Target::InstancePool, Form::Id)),
        "policy_id" => Some((Target::ClusterPolicy, Form::Id)),
        "single_user_name" => Some((Target::Principal, Form::Name)),
        "node_type_id" | "driver_node_type_id" => Some((Target::NodeType, Form::Name)),
        "spark_version" => Some((Target::SparkVersion, Form::Name)),
        _ if name.starts_with("init_scripts.") && name.ends_with(".destination") => {
            Some((Target::AnyPath, Form::Path))
        }
        _ if name.starts_with("spark_conf.") || name.starts_with("spark_env_vars.") => {
            Some((Target::SecretScope, Form::SecretText))
        }
        _ => None,
    }
}

/// Rewrites the references of a policy definition (`{"<attribute>": {"type", "value" | "values" | "defaultValue"}}`) and
/// returns the new text, or `None` when nothing changed. `pointer` is that of the string.
pub(crate) fn rewrite_policy(
    text: &str,
    pointer: &str,
    f: &mut dyn FnMut(&Found) -> Option<String>,
) -> Option<String> {
    let mut rewritten = String::new();
    let mut done = 0;
    for Leaf {
        keys,
        text: value,
        range,
    } in leaves(text)
    {
        let [name, field, ..] = keys.as_slice() else {
            continue;
        };
        if !matches!(field.as_str(), "value" | "values" | "defaultValue") {
            continue;
        }
        let Some((to, form)) = attribute(name) else {
            continue;
        };
        let inner: String = keys
            .iter()
            .map(|key| format!("/{}", crate::places::escape(key)))
            .collect();
        let changed = rewrite_leaf(&value, to, form, &format!("{pointer}#{inner}"), f);
        if let Some(changed) = changed {
            rewritten.push_str(&text[done..range.start]);
            rewritten.push_str(&serde_json::Value::String(changed).to_string());
            done = range.end;
        }
    }
    if done == 0 {
        return None;
    }
    rewritten.push_str(&text[done..]);
    Some(rewritten)
}

fn rewrite_leaf(
    value: &str,
    to: Target,
    form: Form,
    pointer: &str,
    f: &mut dyn FnMut(&Found) -> Option<String>,
) -> Option<String> {
    let mut ask = |to, value: &str| {
        f(&Found {
            pointer: pointer.to_owned(),
            to,
            form,
            value: value.to_owned(),
        })
        .filter(|new| new != value)
    };
    match form {
        Form::SecretText => paths::rewrite_secrets(value, &mut |scope| ask(to, scope)),
        Form::Path => match paths::locate(value) {
            Located::Workspace { prefix, path } => {
                ask(Target::WorkspacePath, path).map(|new| format!("{prefix}{new}"))
            }
            Located::Dbfs { prefix, path } => {
                ask(Target::DbfsPath, path).map(|new| format!("{prefix}{new}"))
            }
            Located::Outside => ask(Target::AnyPath, value),
            Located::Relative => None,
        },
        _ if value.is_empty() => None,
        _ => ask(to, value),
    }
}

/// A string in a JSON text.
struct Leaf {
    /// Keys and positions that lead to it.
    keys: Vec<String>,
    /// The string, unescaped.
    text: String,
    /// Its bytes in the text, quotes included.
    range: Range<usize>,
}

/// Every string value of a JSON text, in order; nothing when the text is not JSON.
fn leaves(text: &str) -> Vec<Leaf> {
    let mut found = Vec::new();
    if let Ok(raw) = serde_json::from_str::<&RawValue>(text) {
        collect(text, raw.get(), &mut Vec::new(), &mut found);
    }
    found
}

fn collect(whole: &str, raw: &str, keys: &mut Vec<String>, found: &mut Vec<Leaf>) {
    match raw.as_bytes().first() {
        Some(b'{') => {
            for (key, value) in serde_json::from_str::<Entries<'_>>(raw)
                .map(|entries| entries.0)
                .unwrap_or_default()
            {
                keys.push(key);
                collect(whole, value.get(), keys, found);
                keys.pop();
            }
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
            for (index, value) in elements.into_iter().enumerate() {
                keys.push(index.to_string());
                collect(whole, value.get(), keys, found);
                keys.pop();
            }
        }
        Some(b'"') => {
            if let Ok(text) = serde_json::from_str::<String>(raw) {
                // `raw` is a slice of `whole`: the distance of the two is the position.
                let start = raw.as_ptr() as usize - whole.as_ptr() as usize;
                found.push(Leaf {
                    keys: keys.clone(),
                    text,
                    range: start..start + raw.len(),
                });
            }
        }
        _ => {}
    }
}

/// The entries of a JSON object with the text of their values; doubled keys are kept.
struct Entries<'t>(Vec<(String, &'t RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Target, String)> {
        let mut found = Vec::new();
        let unchanged = rewrite_policy(text, "/definition", &mut |one| {
            found.push((one.pointer.clone(), one.to, one.value.clone()));
            None
        });
        assert_eq!(unchanged, None);
        found
    }

    #[test]
    fn ids_paths_and_scopes_of_a_definition_are_found() {
        let text = r#"{"instance_pool_id":{"type":"allowlist","values":["p-1","p-2"],"defaultValue":"p-1"},
            "driver_instance_pool_id": {"type":"fixed","value":"p-3"},
            "init_scripts.0.workspace.destination":{"type":"fixed","value":"/Shared/i.sh"},
            "init_scripts.1.volumes.destination":{"type":"fixed","value":"/Volumes/a/b/c/i.sh"},
            "spark_conf.x":{"type":"fixed","value":"{{secrets/sc/k}}"},
            "node_type_id":{"type":"fixed","value":"m-1"}, "spark_version":{"type":"regex","pattern":"15.*","defaultValue":"auto:latest-lts"},
            "num_workers":{"type":"fixed","value":"p-1"}, "policy_id":{"type":"regex","pattern":"p.*"}}"#;
        let values: Vec<_> = found(text)
            .into_iter()
            .map(|(_, to, value)| (to, value))
            .collect();
        assert_eq!(
            values,
            [
                (Target::InstancePool, "p-1".to_owned()),
                (Target::InstancePool, "p-2".to_owned()),
                (Target::InstancePool, "p-1".to_owned()),
                (Target::InstancePool, "p-3".to_owned()),
                (Target::WorkspacePath, "/Shared/i.sh".to_owned()),
                (Target::AnyPath, "/Volumes/a/b/c/i.sh".to_owned()),
                (Target::SecretScope, "sc".to_owned()),
                (Target::NodeType, "m-1".to_owned()),
                (Target::SparkVersion, "auto:latest-lts".to_owned()),
            ]
        );
        assert_eq!(found(text)[1].0, "/definition#/instance_pool_id/values/1");
        assert!(found("not json").is_empty());
        assert!(found("[1, 2]").is_empty());
    }

    #[test]
    fn a_rewrite_changes_the_id_and_no_other_byte() {
        let text = "{\n  \"instance_pool_id\" : { \"type\":\"fixed\", \"value\" : \"p-1\",\"n\":1.50 },\n  \"a\\u0062\":2 }";
        let new = rewrite_policy(text, "/d", &mut |_| Some("pool \"x\"".to_owned()));
        assert_eq!(new, Some(text.replace("\"p-1\"", "\"pool \\\"x\\\"\"")));
    }
}
