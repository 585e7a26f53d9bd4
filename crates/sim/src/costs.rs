//! What cost money: clusters that started, runs that started, machines that pools keep idle. A restore must leave none.

use serde_json::{Value, json};

use crate::clusters::Phase;
use crate::world::World;

/// Everything that cost money since the workspace began, and what costs money now. Names, in the order of creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Clusters that were started at least once: machines were asked for.
    pub clusters_started: Vec<String>,
    /// Clusters that reached RUNNING at least once.
    pub clusters_ran: Vec<String>,
    /// Clusters that are not TERMINATED now.
    pub clusters_on: Vec<String>,
    /// Runs of jobs, deleted jobs included.
    pub runs_started: u64,
    /// Jobs that ran at least once.
    pub jobs_ran: Vec<String>,
    /// Jobs that will start by themselves.
    pub jobs_armed: Vec<String>,
    /// Machines that pools keep idle now.
    pub idle_instances: i64,
    /// Pools that kept machines idle at any time.
    pub pools_ever_idle: Vec<String>,
}

impl Costs {
    /// Nothing ran and nothing will: no cluster reached RUNNING, none is on, no run started, no job is armed, no machine
    /// is or was idle. Clusters that were started and stopped before they ran do not count.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        *self
            == Self {
                clusters_started: self.clusters_started.clone(),
                ..Self::default()
            }
    }

    /// As JSON, field by field.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "clusters_started": self.clusters_started, "clusters_ran": self.clusters_ran, "clusters_on": self.clusters_on,
            "runs_started": self.runs_started, "jobs_ran": self.jobs_ran, "jobs_armed": self.jobs_armed,
            "idle_instances": self.idle_instances, "pools_ever_idle": self.pools_ever_idle,
        })
    }
}

/// The costs until now: lets time pass first.
pub fn costs(world: &mut World) -> Costs {
    let now = world.clock.now_ms();
    world.clusters.tick(now);
    world.jobs.tick(now);
    let mut costs = Costs::default();
    for cluster in world.clusters.all.iter().chain(&world.clusters.deleted) {
        let name = || cluster.name().to_owned();
        costs
            .clusters_started
            .extend((cluster.starts > 0).then(name));
        costs.clusters_ran.extend((cluster.runs > 0).then(name));
    }
    let on = world
        .clusters
        .all
        .iter()
        .filter(|cluster| cluster.phase != Phase::Terminated);
    costs.clusters_on = on.map(|cluster| cluster.name().to_owned()).collect();
    for job in world.jobs.all.values().chain(world.jobs.deleted.values()) {
        costs.runs_started += job.runs.started;
        costs
            .jobs_ran
            .extend((job.runs.started > 0).then(|| job.name().to_owned()));
    }
    let armed = world.jobs.all.values().filter(|job| job.armed().is_some());
    costs.jobs_armed = armed.map(|job| job.name().to_owned()).collect();
    costs.idle_instances = world.pools.all.iter().map(crate::pools::Pool::idle).sum();
    let idle = world
        .pools
        .all
        .iter()
        .chain(&world.pools.deleted)
        .filter(|pool| pool.idle_ever > 0);
    costs.pools_ever_idle = idle.map(|pool| pool.name().to_owned()).collect();
    costs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::testing::call;

    #[test]
    fn a_cluster_stopped_in_time_and_a_paused_job_leave_a_workspace_passive() {
        let mut world = World::for_tests();
        let spec = json!({"cluster_name": "c", "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1});
        let (_, made) = call(&mut world, "POST", "/api/2.1/clusters/create", spec);
        assert!(!costs(&mut world).is_passive(), "on its way");
        call(
            &mut world,
            "POST",
            "/api/2.1/clusters/delete",
            json!({"cluster_id": made["cluster_id"]}),
        );
        let schedule = json!({"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC", "pause_status": "PAUSED"});
        let job = json!({"name": "j", "schedule": schedule, "tasks": [{"task_key": "a", "notebook_task": {"notebook_path": "/a"}}]});
        let (_, job) = call(&mut world, "POST", "/api/2.2/jobs/create", job);
        world.clock.advance(Duration::from_secs(86_400));
        let now = costs(&mut world);
        assert!(now.is_passive(), "{now:?}");
        assert_eq!(now.clusters_started, ["c"]);
        let change = json!({"job_id": job["job_id"], "new_settings": {"schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"}}});
        call(&mut world, "POST", "/api/2.2/jobs/update", change);
        assert_eq!(costs(&mut world).jobs_armed, ["j"]);
        world.clock.advance(Duration::from_secs(86_400));
        call(
            &mut world,
            "POST",
            "/api/2.2/jobs/delete",
            json!({"job_id": job["job_id"]}),
        );
        let later = costs(&mut world);
        assert_eq!(
            (later.runs_started, later.jobs_ran, later.jobs_armed.len()),
            (1, vec!["j".to_owned()], 0)
        );
    }

    #[test]
    fn a_pool_that_kept_machines_idle_for_a_while_is_remembered() {
        let mut world = World::for_tests();
        let pool = json!({"instance_pool_name": "p", "node_type_id": "Standard_DS3_v2", "min_idle_instances": 2});
        let (_, made) = call(&mut world, "POST", "/api/2.0/instance-pools/create", pool);
        assert_eq!(costs(&mut world).idle_instances, 2);
        call(
            &mut world,
            "POST",
            "/api/2.0/instance-pools/delete",
            json!({"instance_pool_id": made["instance_pool_id"]}),
        );
        let now = costs(&mut world);
        assert_eq!(
            (now.idle_instances, now.pools_ever_idle),
            (0, vec!["p".to_owned()])
        );
    }

    #[test]
    fn the_control_panel_tells_the_costs_and_joins_an_account() {
        let gate = crate::gate::Gate::new(World::for_tests());
        let ask = |method: &str, name: &str, body: &str| {
            crate::control::handle(&gate, method, name, "", body.as_bytes())
        };
        assert_eq!(ask("GET", "costs", "").value()["runs_started"], json!(0));
        assert_eq!(
            ask("POST", "join-account", "{\"name\": \"demo\"}").status,
            200
        );
        let world = crate::gate::lock(&gate.world);
        let group = &crate::Fill::demo().account_groups()[0];
        assert!(
            world
                .identities
                .find(crate::identities::Kind::Group, group)
                .is_some()
        );
    }
}
