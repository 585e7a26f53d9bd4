//! A base in a store: how an incremental export reads it (spec/export.md, "Incremental", Cost).
//!
//! Needs a server and is ignored by a plain run; `tests/run.sh storage` starts it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::time::Duration;

use lifeboat_archive::{Archive, Fate};
use lifeboat_databricks::{Client, ClientOptions, Config, Limits, Secret};
use lifeboat_export::{Base, Begin, Error, Options, Outcome, Silent, run_into};
use lifeboat_sim::Sim;
use lifeboat_sim::tree::{self, Object};
use lifeboat_storage::Source;
use storage_support::{Ground, azurite};

const NAME: &str = "nightly/1.tar.zst";
const NOTEBOOKS: usize = 600;
const SIZE: usize = 30_000;

fn client(sim: &Sim) -> Client {
    let config = Config::with_token(&sim.url(), Secret::new(sim.token())).unwrap();
    let options = ClientOptions {
        limits: Limits::Off,
        ..ClientOptions::default()
    };
    Client::new(config, options).unwrap()
}

/// A workspace of notebooks that do not shrink, 18 MB of them in 20 folders.
fn workspace() -> Sim {
    let sim = Sim::start(lifeboat_sim::Options {
        clock_rate: 0,
        ..Default::default()
    })
    .unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    sim.with(|world| {
        let admin = world.admin();
        for at in 0..NOTEBOOKS {
            let text: String = std::iter::repeat_with(|| random.alphanumeric())
                .take(SIZE)
                .collect();
            let notebook = Object::Notebook {
                language: "PYTHON",
                content: format!("# Databricks notebook source\n# {text}\n")
                    .into_bytes()
                    .into(),
                jupyter: false,
            };
            let path = format!("/Shared/f{:02}/n{at:03}", at % 20);
            tree::put(world, &path, notebook, &admin);
        }
    });
    sim.advance(Duration::from_secs(7200));
    sim
}

/// An export with the archive in the store as its base, if there is to be one.
fn export(sim: &Sim, base: Option<&Ground>) -> (Vec<u8>, Outcome) {
    let mut options = Options::new("2026-11-22T01:00:00Z".parse().unwrap());
    options.reread = 0.0;
    let client = client(sim);
    let source = base.map(|ground| (ground.store.clone(), ground.address(NAME)));
    let open = async |begin: &Begin<'_>| {
        let Some((store, address)) = source else {
            return Ok((Vec::new(), None));
        };
        let (workspace_id, options) = (begin.workspace_id.to_owned(), options.clone());
        let read = move || {
            let source = Source::in_store(&store, &address).unwrap();
            let archive = Archive::from_source(Box::new(source)).unwrap();
            Base::read(archive, &workspace_id, &options)
        };
        let base = tokio::task::spawn_blocking(read).await.unwrap()?;
        Ok::<_, Error>((Vec::new(), Some(base)))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = run_into(&client, &options, open, &Silent);
    runtime.block_on(run).unwrap()
}

#[test]
#[ignore = "needs Azurite"]
fn a_base_in_a_store_is_read_in_few_large_ranges() {
    let ground = azurite();
    let sim = workspace();
    let (archive, full) = export(&sim, None);
    ground.put(NAME, &archive);
    // A folder that moved lies elsewhere in the base, and one content in a hundred changed.
    sim.with(|world| {
        let admin = world.admin();
        assert!(tree::rename(world, "/Shared/f03", "/Shared/moved"));
        for at in (0..NOTEBOOKS).step_by(100) {
            let notebook = Object::Notebook {
                language: "PYTHON",
                content: b"# Databricks notebook source\n"[..].into(),
                jupyter: false,
            };
            tree::put(
                world,
                &format!("/Shared/f{:02}/n{at:03}", at % 20),
                notebook,
                &admin,
            );
        }
    });
    let before = ground.store.traffic();
    let (_, outcome) = export(&sim, Some(&ground));
    let traffic = ground.store.traffic();
    let (ranges, received) = (
        traffic.ranges - before.ranges,
        traffic.received - before.received,
    );
    println!(
        "{NOTEBOOKS} contents out of {} bytes: {ranges} ranges, {received} bytes",
        archive.len()
    );
    assert_eq!(outcome.count(Fate::Reused), NOTEBOOKS as u64 - 6);
    assert_eq!(outcome.summary.kinds["notebooks"].stored, 6);
    assert!(ranges <= 30, "{ranges} ranges");
    assert!(received <= archive.len() as u64 * 3 / 2, "{received} bytes");
    assert_eq!(full.summary.kinds["notebooks"].stored, NOTEBOOKS as u64);
    let (_, again) = export(&sim, None);
    assert_eq!(again.sealed.content_id, outcome.sealed.content_id);
}
