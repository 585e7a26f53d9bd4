//! A simulated workspace, a client for it, and an archive to look into.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_archive::{Archive, Fate, LedgerLine, ReadAt};
use lifeboat_databricks::{Body, Client, ClientOptions, Config, Limits, Safety, Secret};
use lifeboat_export::{Base, Event, Observer, Options, Outcome, run_into};
use lifeboat_sim::tree::{self, Object};
use lifeboat_sim::{Sim, World};
use serde_json::{Value, json};

/// Source of a Python notebook.
pub const SOURCE: &str = "# Databricks notebook source\nprint(1)\n";

pub fn sim() -> Sim {
    Sim::start(lifeboat_sim::Options {
        clock_rate: 0,
        ..Default::default()
    })
    .unwrap()
}

pub fn client(sim: &Sim) -> Client {
    client_with(sim, sim.token())
}

pub fn client_with(sim: &Sim, token: &str) -> Client {
    client_of(sim, token, 64, IMPATIENT)
}

/// A client that makes one call after the other, so that their order is known.
pub fn slow_client(sim: &Sim) -> Client {
    client_of(sim, sim.token(), 1, IMPATIENT)
}

/// A client that waits as long as the real one, for faults that pass.
pub fn patient_client(sim: &Sim) -> Client {
    client_of(sim, sim.token(), 64, ClientOptions::default().retry_budget)
}

/// Where a fault does not pass, waiting for it is a test's time lost.
const IMPATIENT: Duration = Duration::from_secs(5);

fn client_of(sim: &Sim, token: &str, max_concurrent: usize, retry_budget: Duration) -> Client {
    let config = Config::with_token(&sim.url(), Secret::new(token)).unwrap();
    let options = ClientOptions {
        limits: Limits::Off,
        retry_budget,
        max_concurrent,
        ..ClientOptions::default()
    };
    Client::new(config, options).unwrap()
}

pub fn options() -> Options {
    let mut options = Options::new("2026-11-22T01:00:00Z".parse().unwrap());
    options.threads = 1;
    options
}

pub fn notebook(text: &str) -> Object {
    Object::Notebook {
        language: "PYTHON",
        content: text.to_owned().into_bytes().into(),
        jupyter: false,
    }
}

pub fn put(world: &mut World, path: &str, object: Object) -> i64 {
    let admin = world.admin();
    tree::put(world, path, object, &admin)
}

/// A workspace with a few objects of every kind.
pub async fn seed(sim: &Sim, client: &Client) {
    sim.with(|world| {
        put(world, "/Shared/team/etl", notebook(SOURCE));
        put(
            world,
            "/Shared/team/data.csv",
            Object::File(b"a,b\n1,2\n"[..].into()),
        );
        put(world, "/Shared/empty", Object::Directory);
        put(world, "/Shared/board.lvdash.json", Object::Dashboard);
        put(
            world,
            "/Users/admin@example.com/nb one",
            notebook("# Databricks notebook source\n"),
        );
        put(
            world,
            "/Users/admin@example.com/Trash/old",
            notebook(SOURCE),
        );
    });
    seed_identities(client).await;
    let cluster = seed_compute(client).await;
    dbfs(client, "/scripts/setup.sh", b"#!/bin/sh\n").await;
    dbfs(client, "/databricks/init/old/legacy.sh", b"#!/bin/bash\n").await;
    seed_work(client, &cluster).await;
}

async fn seed_identities(client: &Client) {
    for name in ["a@example.com", "b@example.com"] {
        post(
            client,
            "/api/2.0/preview/scim/v2/Users",
            json!({ "userName": name }),
        )
        .await;
    }
    post(
        client,
        "/api/2.0/preview/scim/v2/Groups",
        json!({ "displayName": "team" }),
    )
    .await;
}

/// A pool and a cluster in it; gives the cluster's id.
async fn seed_compute(client: &Client) -> Value {
    let pool = post(
        client,
        "/api/2.0/instance-pools/create",
        json!({ "instance_pool_name": "pool", "node_type_id": "Standard_DS3_v2", "min_idle_instances": 0 }),
    )
    .await;
    let cluster = post(
        client,
        "/api/2.1/clusters/create",
        json!({
            "cluster_name": "shared",
            "spark_version": "15.4.x-scala2.12",
            "instance_pool_id": pool["instance_pool_id"],
            "num_workers": 1,
            "autotermination_minutes": 30,
            "init_scripts": [{ "dbfs": { "destination": "dbfs:/scripts/setup.sh" } }],
        }),
    )
    .await;
    cluster["cluster_id"].clone()
}

async fn seed_work(client: &Client, cluster: &Value) {
    post(
        client,
        "/api/2.0/libraries/install",
        json!({ "cluster_id": cluster, "libraries": [{ "pypi": { "package": "simplejson" } }] }),
    )
    .await;
    post(
        client,
        "/api/2.1/clusters/pin",
        json!({ "cluster_id": cluster }),
    )
    .await;
    post(
        client,
        "/api/2.2/jobs/create",
        json!({
            "name": "nightly",
            "tasks": [{
                "task_key": "one",
                "existing_cluster_id": cluster,
                "notebook_task": { "notebook_path": "/Shared/team/etl" },
            }],
        }),
    )
    .await;
    post(
        client,
        "/api/2.0/global-init-scripts",
        json!({ "name": "all", "script": "IyEvYmluL3NoCg==" }),
    )
    .await;
    post(
        client,
        "/api/2.0/secrets/scopes/create",
        json!({ "scope": "s" }),
    )
    .await;
    post(
        client,
        "/api/2.0/secrets/put",
        json!({ "scope": "s", "key": "k", "string_value": "hush" }),
    )
    .await;
}

pub async fn dbfs(client: &Client, path: &str, bytes: &[u8]) {
    use base64::Engine as _;
    let handle = post(
        client,
        "/api/2.0/dbfs/create",
        json!({ "path": path, "overwrite": true }),
    )
    .await["handle"]
        .clone();
    for block in bytes.chunks(1 << 20) {
        let data = base64::engine::general_purpose::STANDARD.encode(block);
        post(
            client,
            "/api/2.0/dbfs/add-block",
            json!({ "handle": handle, "data": data }),
        )
        .await;
    }
    post(client, "/api/2.0/dbfs/close", json!({ "handle": handle })).await;
}

pub async fn post(client: &Client, path: &str, body: Value) -> Value {
    client
        .send("POST", path, &[], Body::Json(&body), Safety::Idempotent)
        .await
        .unwrap()
}

/// Collects what a run tells.
#[derive(Default)]
pub struct Heard {
    pub warnings: Mutex<Vec<String>>,
    pub gaps: Mutex<Vec<LedgerLine>>,
    pub stops: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Warning { text } => self.warnings.lock().unwrap().push(text.to_owned()),
            Event::Gap(line) => self.gaps.lock().unwrap().push(line.clone()),
            Event::Stopped(stop) => self.stops.lock().unwrap().push(stop.to_string()),
            _ => {}
        }
    }
}

/// An archive in memory, with what its run said.
pub struct Written {
    pub archive: Archive,
    pub bytes: Arc<Vec<u8>>,
    pub outcome: Outcome,
    pub heard: Heard,
}

pub async fn export(client: &Client, options: &Options) -> Written {
    try_export(client, options).await.unwrap()
}

pub async fn try_export(
    client: &Client,
    options: &Options,
) -> Result<Written, lifeboat_export::Error> {
    try_export_from(client, options, None).await
}

/// An export that takes over what it can from an earlier archive.
pub async fn export_from(client: &Client, options: &Options, base: &Written) -> Written {
    let bytes = Arc::clone(&base.bytes);
    try_export_from(client, options, Some(bytes)).await.unwrap()
}

pub async fn try_export_from(
    client: &Client,
    options: &Options,
    base: Option<Arc<Vec<u8>>>,
) -> Result<Written, lifeboat_export::Error> {
    let base = base.map(|bytes| Archive::from_source(Box::new(Memory(bytes))).unwrap());
    try_export_with(client, options, base).await
}

pub async fn try_export_with(
    client: &Client,
    options: &Options,
    base: Option<Archive>,
) -> Result<Written, lifeboat_export::Error> {
    let heard = Heard::default();
    let open = async |begin: &lifeboat_export::Begin<'_>| {
        let base = base.map(|base| Base::read(base, begin.workspace_id, options));
        Ok((Vec::new(), base.transpose()?))
    };
    let (bytes, outcome) = run_into(client, options, open, &heard).await?;
    let bytes = Arc::new(bytes);
    let archive = Archive::from_source(Box::new(Memory(Arc::clone(&bytes)))).unwrap();
    let report = archive.verify(&mut |_, _| {}).unwrap();
    assert!(report.is_intact(), "{report:?}");
    check_counts(&outcome, &archive);
    Ok(Written {
        archive,
        bytes,
        outcome,
        heard,
    })
}

/// Every listed object has one fate, and all but the stored ones have a line.
fn check_counts(outcome: &Outcome, archive: &Archive) {
    let mut lines: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in archive.lines("ledger").unwrap() {
        let line: LedgerLine = serde_json::from_str(&line.unwrap()).unwrap();
        *lines
            .entry((line.kind, format!("{:?}", line.fate)))
            .or_default() += 1;
    }
    for (kind, counts) in &outcome.summary.kinds {
        let fates = [
            (Fate::Excluded, counts.excluded),
            (Fate::Unsupported, counts.unsupported),
            (Fate::Vanished, counts.vanished),
            (Fate::Failed, counts.failed),
        ];
        let sum: u64 =
            counts.stored + counts.reused + fates.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(sum, counts.listed, "{kind}");
        for (fate, count) in fates {
            let key = (kind.clone(), format!("{fate:?}"));
            assert_eq!(
                lines.get(&key).copied().unwrap_or_default(),
                count,
                "ledger of {key:?}"
            );
        }
    }
}

pub struct Memory(pub Arc<Vec<u8>>);

impl ReadAt for Memory {
    fn size(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap().min(self.0.len());
        let length = buf.len().min(self.0.len() - start);
        buf[..length].copy_from_slice(&self.0[start..start + length]);
        Ok(length)
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

impl Written {
    pub fn lines(&self, table: &str) -> Vec<Value> {
        self.archive
            .lines(table)
            .unwrap()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
    }

    pub fn members(&self, prefix: &str) -> Vec<String> {
        self.archive
            .members(prefix)
            .unwrap()
            .map(|member| member.unwrap().path)
            .collect()
    }

    pub fn text(&self, path: &str) -> String {
        let member = self
            .archive
            .find(path)
            .unwrap()
            .unwrap_or_else(|| panic!("no member {path}"));
        String::from_utf8(self.archive.read(&member).unwrap()).unwrap()
    }

    /// The record of a workspace path.
    pub fn record(&self, path: &str) -> Option<Value> {
        self.lines("data/workspace")
            .into_iter()
            .find(|line| line["path"] == path)
    }

    /// The content of a workspace path.
    pub fn content(&self, path: &str) -> String {
        let record = self
            .record(path)
            .unwrap_or_else(|| panic!("no record of {path}"));
        self.text(
            record["content"]["path"]
                .as_str()
                .unwrap_or_else(|| panic!("no content of {path}")),
        )
    }

    pub fn ledger(&self, fate: Fate) -> Vec<LedgerLine> {
        self.archive
            .lines("ledger")
            .unwrap()
            .map(|line| serde_json::from_str::<LedgerLine>(&line.unwrap()).unwrap())
            .filter(|line| line.fate == fate)
            .collect()
    }

    pub fn kind(&self, name: &str) -> &lifeboat_archive::KindSummary {
        &self.outcome.summary.kinds[name]
    }
}
