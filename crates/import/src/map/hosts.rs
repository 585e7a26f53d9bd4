//! Hosts inside the strings of a body: addresses of storage, and keys of Spark that end in one.

use serde_json::{Map, Value};

/// Replaces hosts in every string and key of a body by what `f` returns for them. A host ends where its name ends; before
/// it a dot may stand, as in keys of Spark (`fs.azure.account.key.<host>`): the longest name that `f` knows is taken.
pub(super) fn replace(value: &mut Value, f: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = in_text(text, f) {
                *text = new;
            }
        }
        Value::Array(array) => {
            for inner in array {
                replace(inner, f);
            }
        }
        Value::Object(map) => {
            for inner in map.values_mut() {
                replace(inner, f);
            }
            let keys: Vec<Option<String>> = map.keys().map(|key| in_text(key, f)).collect();
            if keys.iter().any(Option::is_some) {
                let renamed: Map<String, Value> = std::mem::take(map)
                    .into_iter()
                    .zip(keys)
                    .map(|((key, value), new)| (new.unwrap_or(key), value))
                    .collect();
                *map = renamed;
            }
        }
        _ => {}
    }
}

/// A text with other hosts; `None` when nothing changed.
fn in_text(text: &str, f: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let mut new = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(start) = rest.find(is_host) {
        let end = rest[start..]
            .find(|c| !is_host(c))
            .map_or(rest.len(), |length| start + length);
        new.push_str(&rest[..start]);
        let run = &rest[start..end];
        let word = run.trim_end_matches('.');
        let begins = std::iter::once(0).chain(word.match_indices('.').map(|(at, _)| at + 1));
        let found = begins
            .into_iter()
            .find_map(|at| Some((at, f(&word[at..])?)));
        match found {
            Some((at, to)) => {
                new.push_str(&word[..at]);
                new.push_str(&to);
                new.push_str(&run[word.len()..]);
                any = true;
            }
            None => new.push_str(run),
        }
        rest = &rest[end..];
    }
    new.push_str(rest);
    any.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_is_a_whole_name_in_values_keys_and_json_texts() {
        let mut body = json!({
            "url": "abfss://c@old.dfs.core.windows.net/x and wasbs://old.blob.core.windows.net",
            "fs.azure.account.key.OLD.dfs.core.windows.net": "https://old.dfs.core.windows.net.",
            "other": ["veryold.dfs.core.windows.net", "old.dfs.core.windows.net.backup", "x-old.dfs.core.windows.net", "ü@old.dfs.core.windows.net:443"],
            "definition": "{\"spark_conf.a.old.dfs.core.windows.net\":{\"value\":\"old.dfs.core.windows.net\"}}",
            "n": 3,
        });
        let mut asked = 0;
        replace(&mut body, &mut |host| {
            asked += 1;
            (host.to_lowercase() == "old.dfs.core.windows.net").then(|| "new.example".to_owned())
        });
        assert!(asked > 7);
        assert_eq!(
            body,
            json!({
                "url": "abfss://c@new.example/x and wasbs://old.blob.core.windows.net",
                "fs.azure.account.key.new.example": "https://new.example.",
                "other": ["veryold.dfs.core.windows.net", "old.dfs.core.windows.net.backup", "x-old.dfs.core.windows.net", "ü@new.example:443"],
                "definition": "{\"spark_conf.a.new.example\":{\"value\":\"new.example\"}}",
                "n": 3,
            })
        );
        let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys[1], "fs.azure.account.key.new.example");
    }
}
