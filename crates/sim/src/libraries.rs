//! Cluster libraries (`/api/2.0/libraries`).
//!
//! A status is not stored but follows from the cluster: PENDING while it stands still, INSTALLED once it runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clusters::Phase;
use crate::http::{ApiError, Reply, Request, need_str};
use crate::permissions::may;
use crate::route::Route;
use crate::world::World;

/// The keys that name a library's kind.
const KINDS: &[&str] = &["jar", "egg", "whl", "requirements", "pypi", "maven", "cran"];

/// One library of one cluster.
#[derive(Clone, Debug)]
pub struct Library {
    /// `{"jar": "dbfs:/..."}`, `{"pypi": {"package": ..}}`, ...
    pub library: Value,
    /// Its installation fails whenever the cluster runs.
    pub failing: bool,
    /// Uninstalled when the cluster had been started this often: it goes with the next start.
    leaving: Option<u32>,
}

impl Library {
    /// A library as just installed.
    #[must_use]
    pub fn new(library: Value) -> Self {
        Self {
            library,
            failing: false,
            leaving: None,
        }
    }
}

/// The libraries of all clusters, and those of every cluster.
#[derive(Debug, Default)]
pub struct Libraries {
    /// By cluster id, in the order of installation.
    pub by_cluster: BTreeMap<String, Vec<Library>>,
    /// Libraries that the workspace installs on every cluster.
    pub on_all_clusters: Vec<Value>,
}

impl Libraries {
    /// Adds a library unless the cluster has it; an uninstalled one comes back.
    pub fn install(&mut self, cluster: &str, library: Value) {
        let entries = self.by_cluster.entry(cluster.to_owned()).or_default();
        match entries.iter_mut().find(|entry| entry.library == library) {
            Some(entry) => entry.leaving = None,
            None => entries.push(Library::new(library)),
        }
    }

    /// Gives cluster `to` the libraries of cluster `from`.
    pub fn copy(&mut self, from: &str, to: &str) {
        let libraries: Vec<Value> = self
            .by_cluster
            .get(from)
            .into_iter()
            .flatten()
            .filter(|entry| entry.leaving.is_none())
            .map(|entry| entry.library.clone())
            .collect();
        libraries
            .into_iter()
            .for_each(|library| self.install(to, library));
    }

    /// Forgets a cluster.
    pub fn forget(&mut self, cluster: &str) {
        self.by_cluster.remove(cluster);
    }

    /// The libraries that stay on a cluster, for the dump.
    pub(crate) fn configured(&self, cluster: &str) -> impl Iterator<Item = &Value> {
        self.by_cluster
            .get(cluster)
            .into_iter()
            .flatten()
            .filter(|entry| entry.leaving.is_none())
            .map(|entry| &entry.library)
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/libraries/all-cluster-statuses", all_statuses),
        Route::get("/api/2.0/libraries/cluster-status", status),
        Route::post("/api/2.0/libraries/install", install),
        Route::post("/api/2.0/libraries/uninstall", uninstall),
    ]
}

/// Status entry of one cluster; without `library_statuses` when there are none.
fn statuses(world: &mut World, id: &str) -> Value {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    let Some(cluster) = world.clusters.get(id) else {
        return json!({"cluster_id": id});
    };
    let (running, starts) = (cluster.phase == Phase::Running, cluster.starts);
    if let Some(entries) = world.libraries.by_cluster.get_mut(id) {
        entries.retain(|entry| entry.leaving.is_none_or(|at| at == starts));
    }
    let own = world.libraries.by_cluster.get(id).into_iter().flatten().map(|entry| {
        let status = match (entry.leaving, running, entry.failing) {
            (Some(_), _, _) => "UNINSTALL_ON_RESTART",
            (None, true, true) => "FAILED",
            (None, true, false) => "INSTALLED",
            (None, false, _) => "PENDING",
        };
        let mut body = json!({"library": entry.library, "status": status, "is_library_for_all_clusters": false});
        if status == "FAILED" {
            body["messages"] = json!(["Library installation attempted on the driver node and failed."]);
        }
        body
    });
    let everywhere = world.libraries.on_all_clusters.iter().map(|library| {
        json!({"library": library, "status": if running { "INSTALLED" } else { "PENDING" }, "is_library_for_all_clusters": true})
    });
    let list: Vec<Value> = own.chain(everywhere).collect();
    if list.is_empty() {
        json!({"cluster_id": id})
    } else {
        json!({"cluster_id": id, "library_statuses": list})
    }
}

fn all_statuses(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    let ids: Vec<String> = (world.clusters.all.iter())
        .filter(|cluster| {
            !cluster.forgotten(now) && matches!(cluster.source.as_str(), "UI" | "API")
        })
        .filter(|cluster| {
            may(
                world,
                &request.caller,
                "clusters",
                &cluster.id,
                "CAN_ATTACH_TO",
            )
        })
        .map(|cluster| cluster.id.clone())
        .collect();
    let list = ids
        .iter()
        .map(|id| statuses(world, id))
        .filter(|status| status.get("library_statuses").is_some())
        .collect();
    Ok(Reply::list("statuses", list))
}

fn status(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let id = request.need_query("cluster_id")?;
    crate::clusters::check(world, id)?;
    allowed(world, request, id, "CAN_ATTACH_TO")?;
    Ok(Reply::json(statuses(world, id)))
}

fn allowed(world: &World, request: &Request, id: &str, level: &str) -> Result<(), ApiError> {
    if may(world, &request.caller, "clusters", id, level) {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "{} does not have {level} permissions on {id}",
        request.caller.name
    )))
}

/// Cluster id and libraries of a request, both proved.
fn wanted(world: &World, request: &Request) -> Result<(String, Vec<Value>), ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "cluster_id")?;
    crate::clusters::check(world, id)?;
    allowed(world, request, id, "CAN_MANAGE")?;
    let libraries = body
        .get("libraries")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if libraries.is_empty() {
        return Err(ApiError::invalid("Missing required field: libraries"));
    }
    libraries.iter().try_for_each(check_library)?;
    Ok((id.to_owned(), libraries))
}

/// Refuses what is no library.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE`.
pub(crate) fn check_library(library: &Value) -> Result<(), ApiError> {
    let kinds: Vec<&str> = KINDS
        .iter()
        .copied()
        .filter(|kind| library.get(kind).is_some())
        .collect();
    let [kind] = kinds[..] else {
        return Err(ApiError::invalid(
            "Library must have exactly one of jar, egg, whl, requirements, pypi, maven, cran",
        ));
    };
    let needed = match kind {
        "pypi" | "cran" => library[kind].get("package"),
        "maven" => library[kind].get("coordinates"),
        _ => library.get(kind),
    };
    match needed.and_then(Value::as_str) {
        None | Some("") => Err(ApiError::invalid(format!(
            "Library of kind {kind} names nothing to install"
        ))),
        Some(path)
            if matches!(kind, "jar" | "egg" | "whl" | "requirements")
                && !path.contains(":/")
                && !path.starts_with('/') =>
        {
            Err(ApiError::invalid(format!(
                "Library path {path} must be absolute and have a scheme"
            )))
        }
        Some(_) => Ok(()),
    }
}

fn install(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (id, libraries) = wanted(world, request)?;
    statuses(world, &id);
    libraries
        .into_iter()
        .for_each(|library| world.libraries.install(&id, library));
    Ok(Reply::empty_object())
}

fn uninstall(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (id, libraries) = wanted(world, request)?;
    statuses(world, &id);
    let starts = world.clusters.get(&id).map(|cluster| cluster.starts);
    for entry in world
        .libraries
        .by_cluster
        .get_mut(&id)
        .into_iter()
        .flatten()
    {
        if libraries.contains(&entry.library) && entry.leaving.is_none() {
            entry.leaving = starts;
        }
    }
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::testing::{call, get};

    fn cluster(world: &mut World) -> String {
        let body = json!({"cluster_name": "c", "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1});
        call(world, "POST", "/api/2.1/clusters/create", body).1["cluster_id"]
            .as_str()
            .expect("id")
            .to_owned()
    }

    fn shown(world: &mut World, id: &str) -> Vec<String> {
        let (_, body) = get(
            world,
            &format!("/api/2.0/libraries/cluster-status?cluster_id={id}"),
        );
        let list = body["library_statuses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        list.iter()
            .map(|entry| entry["status"].as_str().expect("status").to_owned())
            .collect()
    }

    #[test]
    fn a_library_waits_for_the_cluster_and_leaves_at_its_restart() {
        let mut world = World::for_tests();
        let id = cluster(&mut world);
        assert!(shown(&mut world, &id).is_empty());
        assert_eq!(
            get(&mut world, "/api/2.0/libraries/all-cluster-statuses").1,
            json!({})
        );
        let body = json!({"cluster_id": id, "libraries": [{"pypi": {"package": "rich==13.0"}}]});
        assert_eq!(
            call(
                &mut world,
                "POST",
                "/api/2.0/libraries/install",
                body.clone()
            ),
            (200, json!({}))
        );
        call(
            &mut world,
            "POST",
            "/api/2.0/libraries/install",
            body.clone(),
        );
        assert_eq!(shown(&mut world, &id), ["PENDING"]);
        world.clock.advance(Duration::from_secs(200));
        assert_eq!(shown(&mut world, &id), ["INSTALLED"]);
        call(&mut world, "POST", "/api/2.0/libraries/uninstall", body);
        assert_eq!(shown(&mut world, &id), ["UNINSTALL_ON_RESTART"]);
        assert_eq!(
            call(
                &mut world,
                "POST",
                "/api/2.0/clusters/restart",
                json!({"cluster_id": id})
            )
            .0,
            200
        );
        assert!(shown(&mut world, &id).is_empty());
    }

    #[test]
    fn what_is_no_library_is_refused() {
        let mut world = World::for_tests();
        let id = cluster(&mut world);
        for library in [
            json!({}),
            json!({"jar": "dbfs:/a.jar", "whl": "dbfs:/a.whl"}),
            json!({"pypi": {}}),
            json!({"jar": "a.jar"}),
            json!({"gem": "x"}),
        ] {
            let (status, body) = call(
                &mut world,
                "POST",
                "/api/2.0/libraries/install",
                json!({"cluster_id": id, "libraries": [library]}),
            );
            assert_eq!(
                (status, &body["error_code"]),
                (400, &json!("INVALID_PARAMETER_VALUE")),
                "{body}"
            );
        }
        let (status, body) = call(
            &mut world,
            "POST",
            "/api/2.0/libraries/install",
            json!({"cluster_id": "0101-000000-none", "libraries": []}),
        );
        assert_eq!(
            (
                status,
                body["message"]
                    .as_str()
                    .expect("text")
                    .ends_with("does not exist")
            ),
            (400, true)
        );
    }
}
