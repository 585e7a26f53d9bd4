//! Bodies of `testdata/rest` for the tests.

use std::fs;
use std::path::PathBuf;

use lifeboat_catalog::Kind;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/rest")
}

/// One body, such as `body("jobs/git")`.
pub fn body(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The kind of that name.
pub fn kind(name: &str) -> &'static Kind {
    lifeboat_catalog::kind(name).unwrap()
}

/// Every body with its kind and name.
pub fn all() -> Vec<(&'static Kind, String, Value)> {
    let mut all = Vec::new();
    for kind in lifeboat_catalog::kinds() {
        let Ok(files) = fs::read_dir(folder().join(kind.name)) else {
            continue;
        };
        let mut names: Vec<String> = files
            .map(|file| {
                file.unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        for name in names {
            let name = format!("{}/{name}", kind.name);
            let value = kind.from_listed(body(&name));
            all.push((*kind, name, value));
        }
    }
    all
}
