//! Names in the place of ids: unique texts for clusters and jobs, whose names are not, and what each id stands for.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::http::as_i64;
use crate::world::World;

/// What ids stand for.
pub struct Names {
    /// Cluster id to its key: the name, and a number when several share it.
    pub clusters: BTreeMap<String, String>,
    /// Job id to its key.
    pub jobs: BTreeMap<i64, String>,
    /// Ids of pools, policies and clusters to the text that stands for them.
    texts: HashMap<String, String>,
}

impl Names {
    /// The names of a workspace: of its all-purpose clusters that are not forgotten, pools, policies and jobs.
    pub fn of(world: &World) -> Self {
        let mut names = Self {
            clusters: BTreeMap::new(),
            jobs: BTreeMap::new(),
            texts: HashMap::new(),
        };
        for pool in &world.pools.all {
            names
                .texts
                .insert(pool.id.clone(), format!("pool:{}", pool.name()));
        }
        for policy in &world.policies.all {
            names
                .texts
                .insert(policy.id.clone(), format!("policy:{}", policy.name));
        }
        let now = world.clock.now_ms();
        let own = world.clusters.all.iter().filter(|cluster| {
            matches!(cluster.source.as_str(), "UI" | "API") && !cluster.forgotten(now)
        });
        let named = own.map(|cluster| {
            let mut spec = Value::Object(cluster.spec.clone());
            names.resolve(&mut spec);
            (cluster.id.clone(), cluster.name().to_owned(), spec)
        });
        let named: Vec<_> = named.collect();
        names.clusters = numbered(named);
        for (id, key) in &names.clusters {
            names.texts.insert(id.clone(), format!("cluster:{key}"));
        }
        let plain: HashMap<i64, &str> = world
            .jobs
            .all
            .iter()
            .map(|(id, job)| (*id, job.name()))
            .collect();
        let named = world.jobs.all.iter().map(|(id, job)| {
            let mut settings = Value::Object(job.settings.clone());
            names.resolve(&mut settings);
            jobs_inside(&mut settings, &|id| {
                plain.get(&id).map(|name| (*name).to_owned())
            });
            (*id, job.name().to_owned(), settings)
        });
        let named: Vec<_> = named.collect();
        names.jobs = numbered(named);
        names
    }

    /// Replaces every id in a specification, and job ids once their keys are known.
    pub fn resolve(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(name) = self.texts.get(text) {
                    name.clone_into(text);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|element| self.resolve(element)),
            Value::Object(map) => map.values_mut().for_each(|element| self.resolve(element)),
            _ => {}
        }
        if !self.jobs.is_empty() {
            jobs_inside(value, &|id| self.jobs.get(&id).cloned());
        }
    }
}

/// Replaces the ids of other jobs in the settings of one.
fn jobs_inside(value: &mut Value, name: &impl Fn(i64) -> Option<String>) {
    let Value::Object(map) = value else {
        if let Value::Array(list) = value {
            list.iter_mut()
                .for_each(|element| jobs_inside(element, name));
        }
        return;
    };
    for (field, inner) in map {
        if field == "run_job_task"
            && let Some(found) = inner.get("job_id").and_then(as_i64).and_then(name)
        {
            inner["job_id"] = json!(format!("job:{found}"));
        } else {
            jobs_inside(inner, name);
        }
    }
}

/// Keys for things with names: equal names are told apart by a number, in the order of their content.
fn numbered<I: Ord>(mut named: Vec<(I, String, Value)>) -> BTreeMap<I, String> {
    named.sort_by_cached_key(|(_, name, content)| (name.clone(), content.to_string()));
    let mut keys = BTreeMap::new();
    let mut before: Option<(String, u32)> = None;
    for (id, name, _) in named {
        let number = match &before {
            Some((last, number)) if *last == name => number + 1,
            _ => 1,
        };
        let key = if number == 1 {
            name.clone()
        } else {
            format!("{name} #{number}")
        };
        before = Some((name, number));
        keys.insert(id, key);
    }
    keys
}
