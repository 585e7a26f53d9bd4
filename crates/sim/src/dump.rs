//! The whole state as JSON: kind -> natural key -> facts, without ids and without times, so that two workspaces can be
//! compared after a restore.
//!
//! Ids inside specifications are resolved to `name:`-texts; contents are their length and SHA-256. [`compare`] says what
//! differs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::permissions::Principal;
use crate::tree::Object;
use crate::world::World;

mod compare;
mod names;

pub use compare::{Comparison, Difference, KindCount, Strictness, compare, compare_all};
use names::Names;

/// Facts by natural key.
type Objects = BTreeMap<String, Value>;

/// The state by natural keys, ids resolved to names: `{kind: {key: facts}}`.
#[must_use]
pub fn dump(world: &World) -> Value {
    let names = Names::of(world);
    let mut kinds: BTreeMap<String, Value> = BTreeMap::new();
    if let Value::Object(identities) = crate::identities::dump(world) {
        kinds.extend(identities);
    }
    tree(world, &mut kinds);
    kinds.insert("git-folders".into(), crate::repos::dump(world));
    storage(world, &mut kinds);
    for (kind, objects) in [
        ("instance-pools", pools(world)),
        ("cluster-policies", policies(world, &names)),
        ("clusters", clusters(world, &names)),
        ("libraries", libraries(world, &names)),
        ("jobs", jobs(world, &names)),
    ] {
        kinds.insert(kind.into(), json!(objects));
    }
    acls(world, &names, &mut kinds);
    json!(kinds)
}

/// Length and SHA-256 of a content.
fn content(bytes: &[u8]) -> (u64, String) {
    let hash: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (bytes.len() as u64, hash)
}

fn tree(world: &World, kinds: &mut BTreeMap<String, Value>) {
    let (mut directories, mut notebooks, mut files, mut others) = (
        Objects::new(),
        Objects::new(),
        Objects::new(),
        Objects::new(),
    );
    for node in world.tree.walk() {
        let path = world.tree.path(node.id);
        match &node.object {
            Object::Directory => directories.insert(path, json!({})),
            Object::Notebook {
                language,
                content: bytes,
                jupyter,
            } => {
                let (size, sha256) = content(bytes);
                notebooks.insert(path, json!({"language": language, "jupyter": jupyter, "size": size, "sha256": sha256}))
            }
            Object::File(bytes) => {
                let (size, sha256) = content(bytes);
                files.insert(path, json!({"size": size, "sha256": sha256}))
            }
            // Git folders have facts of their own.
            Object::Repo => None,
            other => others.insert(path, json!({"object_type": other.object_type()})),
        };
    }
    for (kind, objects) in [
        ("directories", directories),
        ("notebooks", notebooks),
        ("files", files),
        ("other-objects", others),
    ] {
        kinds.insert(kind.into(), json!(objects));
    }
}

/// DBFS, global init scripts and secrets, whose modules say what they hold.
fn storage(world: &World, kinds: &mut BTreeMap<String, Value>) {
    kinds.insert("dbfs".into(), crate::dbfs::dump(world));
    kinds.insert("global-init-scripts".into(), json!(init_scripts(world)));
    let (mut scopes, mut secrets) = (Objects::new(), Objects::new());
    if let Value::Object(all) = crate::secrets::dump(world) {
        for (name, mut scope) in all {
            let values = scope
                .as_object_mut()
                .and_then(|scope| scope.remove("secrets"));
            for (key, value) in values.iter().filter_map(Value::as_object).flatten() {
                secrets.insert(format!("{name}/{key}"), value.clone());
            }
            scopes.insert(name, scope);
        }
    }
    kinds.insert("secret-scopes".into(), json!(scopes));
    kinds.insert("secrets".into(), json!(secrets));
}

/// Scripts by name, with their place in the order.
fn init_scripts(world: &World) -> Objects {
    let list = crate::init_scripts::dump(world);
    let one = |(position, script): (usize, &Value)| {
        let mut facts = script.clone();
        facts["position"] = json!(position);
        (script["name"].as_str().unwrap_or("").to_owned(), facts)
    };
    list.as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(one)
        .collect()
}

fn pools(world: &World) -> Objects {
    world
        .pools
        .all
        .iter()
        .map(|pool| (pool.name().to_owned(), Value::Object(pool.spec.clone())))
        .collect()
}

fn policies(world: &World, names: &Names) -> Objects {
    let rules = |text: &str| {
        let mut rules = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        names.resolve(&mut rules);
        rules
    };
    let one = |policy: &crate::policies::Policy| {
        let mut facts = json!({"definition": rules(&policy.definition), "builtin": policy.builtin, "more": policy.more});
        if let Some((family, overrides)) = &policy.family {
            facts["family"] = json!(family);
            facts["overrides"] = overrides.as_deref().map(rules).unwrap_or_default();
        }
        (policy.name.clone(), facts)
    };
    world.policies.all.iter().map(one).collect()
}

fn clusters(world: &World, names: &Names) -> Objects {
    let one = |(id, key): (&String, &String)| {
        let cluster = world.clusters.get(id)?;
        let mut spec = Value::Object(cluster.spec.clone());
        names.resolve(&mut spec);
        Some((
            key.clone(),
            json!({"spec": spec, "pinned": cluster.pinned_by.is_some()}),
        ))
    };
    names.clusters.iter().filter_map(one).collect()
}

fn libraries(world: &World, names: &Names) -> Objects {
    let mut found = Objects::new();
    for (id, key) in &names.clusters {
        let mut list: Vec<&Value> = world.libraries.configured(id).collect();
        list.sort_by_key(|library| library.to_string());
        if !list.is_empty() {
            found.insert(key.clone(), json!({ "libraries": list }));
        }
    }
    found
}

fn jobs(world: &World, names: &Names) -> Objects {
    let one = |(id, key): (&i64, &String)| {
        let mut settings = Value::Object(world.jobs.all.get(id)?.settings.clone());
        names.resolve(&mut settings);
        Some((key.clone(), settings))
    };
    names.jobs.iter().filter_map(one).collect()
}

/// Direct permissions as `acls/<kind>`; objects without any are left out.
fn acls(world: &World, names: &Names, kinds: &mut BTreeMap<String, Value>) {
    let mut put = |segment: &str, id: &str, key: String| {
        let entries: Map<String, Value> = world
            .acls
            .direct(segment, id)
            .into_iter()
            .map(|(principal, level)| (shown(&principal), json!(level)))
            .collect();
        let kind = kinds
            .entry(format!("acls/{segment}"))
            .or_insert_with(|| json!({}));
        if !entries.is_empty() {
            kind[key] = Value::Object(entries);
        }
    };
    for node in world.tree.walk() {
        let segment = node.object.segment();
        if !segment.is_empty() {
            put(segment, &node.id.to_string(), world.tree.path(node.id));
        }
    }
    names
        .clusters
        .iter()
        .for_each(|(id, key)| put("clusters", id, key.clone()));
    names
        .jobs
        .iter()
        .for_each(|(id, key)| put("jobs", &id.to_string(), key.clone()));
    world
        .pools
        .all
        .iter()
        .for_each(|pool| put("instance-pools", &pool.id, pool.name().to_owned()));
    world
        .policies
        .all
        .iter()
        .for_each(|policy| put("cluster-policies", &policy.id, policy.name.clone()));
    put("authorization", "tokens", "tokens".to_owned());
}

fn shown(principal: &Principal) -> String {
    match principal {
        Principal::User(name) => format!("user {}", name.to_lowercase()),
        Principal::Group(name) => format!("group {name}"),
        Principal::ServicePrincipal(id) => format!("service principal {id}"),
    }
}

#[cfg(test)]
mod tests;
