//! Runs that take over from an earlier archive what did not change.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    SOURCE, Written, client, dbfs, export, export_from, notebook, options, put, seed, sim,
    try_export_from,
};
use lifeboat_archive::{Fate, Inventory};
use lifeboat_databricks::Client;
use lifeboat_export::{AclReading, Error, NotebookFormat, Options};
use lifeboat_sim::tree::{self, Object};
use lifeboat_sim::{Action, Fault, Script, Sim};

const HOUR: Duration = Duration::from_secs(3600);

/// Without a sample, so that calls can be counted.
fn plain() -> Options {
    let mut options = options();
    options.reread = 0.0;
    options
}

/// A workspace that has rested, and a full archive of it.
async fn base(sim: &Sim, client: &Client) -> Written {
    seed(sim, client).await;
    sim.with(|world| {
        put(world, "/Shared/team/sub/a", notebook("# a\n"));
        put(world, "/Shared/team/sub/b", notebook("# b\n"));
        put(world, "/Shared/team/notes.txt", file("text\n"));
    });
    sim.advance(HOUR);
    let base = export(client, &plain()).await;
    sim.advance(HOUR);
    base
}

fn file(text: &str) -> Object {
    Object::File(text.to_owned().into_bytes().into())
}

/// Paths of the contents that were asked for since the last time, in order, each once.
fn asked(sim: &Sim) -> Vec<String> {
    let mut paths: Vec<String> = sim
        .calls()
        .iter()
        .filter(|call| {
            call.path == "/api/2.0/workspace/export" || call.path == "/api/2.0/dbfs/read"
        })
        .map(|call| {
            let path = call
                .query
                .split('&')
                .find_map(|part| part.strip_prefix("path="));
            path.unwrap_or_default()
                .replace("%2F", "/")
                .replace("%20", " ")
        })
        .collect();
    paths.sort();
    paths.dedup();
    sim.reset_calls();
    paths
}

/// Both ways give the same payload.
async fn assert_like_a_full_run(client: &Client, options: &Options, incremental: &Written) {
    let full = export(client, options).await;
    if full.outcome.sealed.content_id == incremental.outcome.sealed.content_id {
        return;
    }
    assert_eq!(full.members("data/"), incremental.members("data/"));
    for table in [
        "data/workspace",
        "data/dbfs",
        "data/acls/notebooks",
        "data/acls/files",
    ] {
        assert_eq!(full.lines(table), incremental.lines(table), "{table}");
    }
    panic!("the content ids differ");
}

#[tokio::test]
async fn an_unchanged_workspace_is_taken_over_without_reading_a_content() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    sim.reset_calls();
    let again = export_from(&client, &plain(), &base).await;
    assert_eq!(asked(&sim), Vec::<String>::new());
    assert_eq!(
        again.outcome.sealed.content_id, base.outcome.sealed.content_id,
        "the same payload"
    );
    for kind in ["notebooks", "files", "dbfs"] {
        let (now, before) = (again.kind(kind), base.kind(kind));
        assert_eq!(now.reused + now.stored, before.stored, "{kind}");
        assert!(now.reused > 0, "{kind}");
        assert_eq!(now.bytes, before.bytes, "{kind}");
    }
    assert_eq!(again.kind("notebooks").stored, 0);
    assert_eq!(again.outcome.exit_code(), 0);
    assert_eq!(again.outcome.summary.inventory, Inventory::Complete);
    // Complete in itself: it is as good a base as the first one.
    let third = export_from(&client, &plain(), &again).await;
    assert_eq!(asked(&sim), Vec::<String>::new());
    assert_eq!(
        third.outcome.sealed.content_id,
        base.outcome.sealed.content_id
    );
    let run: serde_json::Value = serde_json::from_str(&third.text("run.json")).unwrap();
    assert_eq!(
        run["base"]["archive-id"],
        again.archive.archive_id().unwrap().to_string()
    );
}

#[tokio::test]
async fn only_what_changed_is_read() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    sim.with(|world| {
        put(world, "/Shared/team/etl", notebook("# edited\n"));
        put(world, "/Shared/team/new.csv", file("1\n"));
        tree::remove(world, "/Shared/team/data.csv");
        assert!(tree::rename(
            world,
            "/Shared/team/notes.txt",
            "/Shared/notes 2.txt"
        ));
        assert!(tree::rename(world, "/Shared/team/sub", "/Shared/moved"));
    });
    dbfs(&client, "/scripts/setup.sh", b"#!/bin/sh\necho\n").await;
    sim.reset_calls();
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(
        asked(&sim),
        [
            "/Shared/team/etl",
            "/Shared/team/new.csv",
            "/scripts/setup.sh"
        ]
    );
    assert_eq!(now.content("/Shared/moved/a"), "# a\n");
    assert_eq!(now.content("/Shared/notes 2.txt"), "text\n");
    assert_eq!(now.content("/Shared/team/etl"), "# edited\n");
    assert!(now.record("/Shared/team/data.csv").is_none());
    assert_eq!(now.kind("notebooks").stored, 1);
    assert_eq!(now.outcome.exit_code(), 0);
    assert_like_a_full_run(&client, &plain(), &now).await;
}

#[tokio::test]
async fn a_file_whose_extension_changes_is_read_again() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    sim.with(|world| {
        assert!(tree::rename(
            world,
            "/Shared/team/notes.txt",
            "/Shared/team/notes.csv"
        ));
        assert!(tree::rename(
            world,
            "/Shared/team/etl",
            "/Shared/team/etl.v2"
        ));
    });
    sim.reset_calls();
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(asked(&sim), ["/Shared/team/notes.csv"]);
    assert_like_a_full_run(&client, &plain(), &now).await;
}

#[tokio::test]
async fn another_language_type_or_format_is_read_again() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    // The time stays, so nothing but the language tells.
    sim.with(|world| {
        let sql = Object::Notebook {
            language: "SQL",
            content: b"-- Databricks notebook source\n"[..].into(),
            jupyter: false,
        };
        let before = world.tree.find("/Shared/team/etl").unwrap().modified_ms;
        put(world, "/Shared/team/etl", sql);
        assert!(tree::set_modified(world, "/Shared/team/etl", before));
        let before = world.tree.find("/Shared/team/sub/a").unwrap().modified_ms;
        put(world, "/Shared/team/sub/a", file("no notebook\n"));
        assert!(tree::set_modified(world, "/Shared/team/sub/a", before));
        let before = world
            .tree
            .find("/Shared/team/data.csv")
            .unwrap()
            .modified_ms;
        put(world, "/Shared/team/data.csv", file("longer than before\n"));
        assert!(tree::set_modified(world, "/Shared/team/data.csv", before));
    });
    sim.reset_calls();
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(
        asked(&sim),
        [
            "/Shared/team/data.csv",
            "/Shared/team/etl",
            "/Shared/team/sub/a"
        ]
    );
    assert_like_a_full_run(&client, &plain(), &now).await;
    let mut jupyter = plain();
    jupyter.notebook_format = NotebookFormat::Jupyter;
    let other = export_from(&client, &jupyter, &now).await;
    assert_eq!(other.kind("notebooks").reused, 0);
    assert!(other.kind("files").reused > 0, "files have one format");
    assert_like_a_full_run(&client, &jupyter, &other).await;
}

#[tokio::test]
async fn a_change_in_the_tick_of_the_reading_is_not_missed() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    // Just written when the base is made, and once more within the same tick after it was read.
    let base = export(&client, &plain()).await;
    sim.with(|world| put(world, "/Shared/team/etl", notebook("# same tick\n")));
    dbfs(&client, "/scripts/setup.sh", b"#!/bin/SH\n").await;
    sim.advance(HOUR);
    sim.reset_calls();
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(now.content("/Shared/team/etl"), "# same tick\n");
    assert_eq!(now.kind("notebooks").reused, 0, "nothing had rested");
    assert_like_a_full_run(&client, &plain(), &now).await;
    // By now everything has.
    sim.reset_calls();
    let later = export_from(&client, &plain(), &now).await;
    assert_eq!(asked(&sim), Vec::<String>::new());
    assert_eq!(later.kind("notebooks").stored, 0);
}

#[tokio::test]
async fn an_object_that_changes_while_the_base_is_made_is_read_again() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.advance(HOUR);
    sim.set_clock_rate(1);
    // Changed after its content was read, and seen by the second listing; and changed once more after the second reading.
    for (skip, text) in [(0, "print('second')"), (1, "print('third')")] {
        sim.script(Script {
            method: "GET".to_owned(),
            path: "/api/2.0/workspace/export".to_owned(),
            query: "path=/Shared/team/etl".to_owned(),
            skip,
            action: Action::Write {
                path: "/Shared/team/etl".to_owned(),
                text: text.to_owned(),
            },
        });
    }
    let base = export(&client, &plain()).await;
    assert!(
        base.content("/Shared/team/etl")
            .ends_with("print('second')")
    );
    sim.set_clock_rate(0);
    sim.advance(HOUR);
    sim.reset_calls();
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(asked(&sim), ["/Shared/team/etl"]);
    assert!(now.content("/Shared/team/etl").ends_with("print('third')"));
    assert_like_a_full_run(&client, &plain(), &now).await;
}

#[tokio::test]
async fn the_sample_finds_what_changed_without_its_time() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    sim.with(|world| {
        let before = world.tree.find("/Shared/team/etl").unwrap().modified_ms;
        put(world, "/Shared/team/etl", notebook("# behind your back\n"));
        assert!(tree::set_modified(world, "/Shared/team/etl", before));
    });
    let blind = export_from(&client, &plain(), &base).await;
    assert_eq!(
        blind.content("/Shared/team/etl"),
        SOURCE,
        "as far as anybody can tell"
    );
    let mut all = plain();
    all.reread = 1.0;
    sim.reset_calls();
    let now = export_from(&client, &all, &base).await;
    assert_eq!(now.content("/Shared/team/etl"), "# behind your back\n");
    assert_eq!(now.kind("notebooks").reused, 0);
    assert_eq!(now.outcome.reread_changed, 1);
    assert_eq!(now.outcome.exit_code(), 0);
    let warnings = now.heard.warnings.lock().unwrap().join("\n");
    assert!(warnings.contains("/Shared/team/etl"), "{warnings}");
    let run: serde_json::Value = serde_json::from_str(&now.text("run.json")).unwrap();
    assert_eq!(run["reread"]["changed"], 1);
    assert_eq!(run["reread"]["objects"][0]["name"], "/Shared/team/etl");
    assert_eq!(
        run["reread"]["read"],
        base.kind("notebooks").stored + base.kind("files").stored + 2
    );
    all.strict = true;
    assert_eq!(
        export_from(&client, &all, &base).await.outcome.exit_code(),
        3
    );
}

#[tokio::test]
async fn what_the_sample_cannot_read_is_taken_over() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    let mut all = plain();
    all.reread = 1.0;
    sim.fault(Fault::status("GET", "/api/2.0/workspace/export", 400));
    sim.fault(Fault::status("GET", "/api/2.0/dbfs/read", 400));
    let now = export_from(&client, &all, &base).await;
    assert_eq!(now.kind("notebooks").failed, 0);
    assert_eq!(now.kind("notebooks").stored, 0);
    assert_eq!(
        now.outcome.sealed.content_id,
        base.outcome.sealed.content_id
    );
}

/// The archive with a byte changed in the frame that holds `offset` of its stream.
fn damaged_at(bytes: &[u8], offset: u64) -> Arc<Vec<u8>> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let end = bytes.len();
    let frames = number(end - 9) as usize;
    let table = end - 9 - 8 * frames;
    let (mut stored, mut stream) = (0, 0);
    for frame in 0..frames {
        let at = table + 8 * frame;
        let length = number(at) as usize;
        stream += u64::from(number(at + 4));
        if stream > offset {
            let mut damaged = bytes.to_vec();
            damaged[stored + length / 2] ^= 0xff;
            return Arc::new(damaged);
        }
        stored += length;
    }
    panic!("no frame holds {offset}");
}

/// Bytes that do not shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

#[tokio::test]
async fn a_damaged_content_is_read_from_the_workspace() {
    let sim = sim();
    let client = client(&sim);
    let big = "/Shared/team/big.bin";
    // Large enough for frames of its own.
    sim.with(|world| put(world, big, Object::File(noise(3 << 20).into())));
    let base = base(&sim, &client).await;
    let record = base.record(big).unwrap();
    let member = record["content"]["path"].as_str().unwrap();
    let offset = base.archive.find(member).unwrap().unwrap().offset;
    sim.reset_calls();
    let damaged = damaged_at(&base.bytes, offset);
    let now = try_export_from(&client, &plain(), Some(damaged))
        .await
        .unwrap();
    assert_eq!(asked(&sim), [big]);
    assert_eq!(
        now.outcome.sealed.content_id,
        base.outcome.sealed.content_id
    );
    assert_eq!(now.outcome.exit_code(), 0);
    let warnings = now.heard.warnings.lock().unwrap().join("\n");
    assert!(
        warnings.contains("the base is damaged") && warnings.contains("big.bin"),
        "{warnings}"
    );
    let run: serde_json::Value = serde_json::from_str(&now.text("run.json")).unwrap();
    assert_eq!(run["base"]["damaged"], 1);
    // Undamaged, large contents are taken over like small ones.
    let now = export_from(&client, &plain(), &base).await;
    assert_eq!(asked(&sim), Vec::<String>::new());
    assert_eq!(
        now.outcome.sealed.content_id,
        base.outcome.sealed.content_id
    );
}

/// A base that goes away once it was opened: reads in front of a place fail.
struct Going {
    bytes: common::Memory,
    below: u64,
}

impl lifeboat_archive::ReadAt for Going {
    fn size(&self) -> std::io::Result<u64> {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        // What it says of itself stands in front.
        if (1..self.below).contains(&offset) {
            return Err(std::io::Error::other("the store is gone"));
        }
        self.bytes.read_at(offset, buf)
    }

    fn name(&self) -> String {
        "going".to_owned()
    }
}

#[tokio::test]
async fn a_base_that_goes_away_is_told_once_and_done_without() {
    let sim = sim();
    let client = client(&sim);
    // Several frames of contents in front of the records.
    sim.with(|world| {
        for at in 0..8 {
            let path = format!("/Shared/many/{at}.bin");
            put(world, &path, Object::File(noise(700_000).into()));
        }
    });
    let base = base(&sim, &client).await;
    let full = asked(&sim).len();
    let going = Going {
        below: 1_500_000,
        bytes: common::Memory(Arc::clone(&base.bytes)),
    };
    let archive = lifeboat_archive::Archive::from_source(Box::new(going)).unwrap();
    let now = common::try_export_with(&client, &plain(), Some(archive)).await;
    let now = now.unwrap();
    assert_eq!(
        now.outcome.sealed.content_id,
        base.outcome.sealed.content_id
    );
    let warnings = now.heard.warnings.lock().unwrap();
    let told: Vec<&String> = warnings
        .iter()
        .filter(|text| text.contains("the store is gone"))
        .collect();
    assert_eq!(told.len(), 1, "{warnings:?}");
    assert!(told[0].starts_with("the base cannot be read any more"));
    let read = asked(&sim).len();
    assert!(read > 4 && read <= full, "{read} of {full}");
    let run: serde_json::Value = serde_json::from_str(&now.text("run.json")).unwrap();
    assert!(run["base"]["lost"].is_string());
}

#[tokio::test]
async fn a_base_that_cannot_be_used_is_refused_before_anything_is_read() {
    let sim = sim();
    let client = client(&sim);
    let big = "/Shared/team/big.bin";
    sim.with(|world| put(world, big, Object::File(noise(3 << 20).into())));
    let base = base(&sim, &client).await;
    let records = base.archive.find("data/workspace/000000.jsonl").unwrap();
    let damaged = damaged_at(&base.bytes, records.unwrap().offset);
    let other = Sim::start(lifeboat_sim::Options {
        clock_rate: 0,
        ..lifeboat_sim::Options::workspace("42")
    })
    .unwrap();
    let to_other = common::client_with(&other, other.token());
    for (sim, client, bytes, code) in [
        (&sim, &client, damaged, 11),
        (&other, &to_other, Arc::clone(&base.bytes), 14),
    ] {
        sim.reset_calls();
        let error = try_export_from(client, &plain(), Some(bytes))
            .await
            .err()
            .unwrap();
        assert_eq!(error.exit_code(), code, "{error:?}");
        assert_eq!(
            sim.calls().len(),
            1,
            "nothing but the identity is asked for"
        );
        if code == 14 {
            assert!(matches!(error, Error::BaseOfAnother { .. }), "{error:?}");
        }
    }
}

/// How many calls for access control were made since the last time.
fn acl_calls(sim: &Sim) -> usize {
    let calls = sim.calls();
    sim.reset_calls();
    let is_acl = |call: &&lifeboat_sim::Call| call.path.starts_with("/api/2.0/permissions/");
    calls.iter().filter(is_acl).count()
}

fn ages(written: &Written) -> serde_json::Value {
    let run: serde_json::Value = serde_json::from_str(&written.text("run.json")).unwrap();
    run["acls"].clone()
}

#[tokio::test]
async fn access_control_is_taken_over_when_it_is_young_enough() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    let day = |days: i64| {
        "2026-11-22T01:00:00Z".parse::<jiff::Timestamp>().unwrap()
            + jiff::SignedDuration::from_hours(24 * days)
    };
    let run = |days: i64, acls: AclReading| {
        let mut options = plain();
        options.started = day(days);
        options.acls = acls;
        options
    };
    let all = acl_calls(&sim);
    let full = ages(&base);
    assert_eq!(full["notebooks"], day(0).to_string());

    let nightly = export_from(&client, &run(1, AclReading::Nightly), &base).await;
    let whole = acl_calls(&sim);
    assert!(whole > 10 && whole <= all, "{whole} of {all}");
    assert_eq!(ages(&nightly)["notebooks"], day(1).to_string());

    // New and moved objects have no access control that could be taken over.
    sim.with(|world| {
        put(world, "/Shared/team/new", notebook("# new\n"));
        assert!(tree::rename(world, "/Shared/team/sub", "/Shared/sub"));
    });
    let weekly = export_from(&client, &run(6, AclReading::Weekly), &base).await;
    assert_eq!(
        acl_calls(&sim),
        1 + 3,
        "the new one, the moved folder and what is in it"
    );
    assert_eq!(
        ages(&weekly)["notebooks"],
        day(0).to_string(),
        "as old as the oldest"
    );
    assert_eq!(weekly.kind("acls/notebooks").stored, 3);
    assert!(weekly.kind("acls/jobs").reused > 0);
    assert_eq!(weekly.outcome.exit_code(), 0);
    assert_like_a_full_run(&client, &plain(), &weekly).await;
    sim.reset_calls();

    let seventh = export_from(&client, &run(7, AclReading::Weekly), &weekly).await;
    assert!(acl_calls(&sim) > whole, "a week is over");
    assert_eq!(ages(&seventh)["notebooks"], day(7).to_string());
    let never = export_from(&client, &run(700, AclReading::Never), &weekly).await;
    assert_eq!(acl_calls(&sim), 0);
    assert_eq!(ages(&never)["notebooks"], day(0).to_string());
    assert_like_a_full_run(&client, &plain(), &never).await;
}

#[tokio::test]
async fn a_run_that_lost_its_credentials_is_a_base_that_saves_what_it_read() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| {
        for at in 0..60 {
            put(
                world,
                &format!("/Shared/many/n{at:02}"),
                notebook(&format!("# {at}\n")),
            );
        }
    });
    seed(&sim, &client).await;
    sim.advance(HOUR);
    let mut fault = Fault::status("GET", "/api/*", 403);
    fault.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
    fault.skip = 70;
    sim.fault(fault);
    let mut slow = plain();
    slow.concurrency = 4;
    let partial = export(&client, &slow).await;
    assert_eq!(partial.outcome.exit_code(), 12);
    assert_eq!(partial.outcome.summary.inventory, Inventory::Incomplete);
    let held = partial.kind("notebooks").stored;
    assert!(held > 0 && held < 60, "{held}");
    sim.clear_faults();
    sim.reset_calls();
    let whole = export_from(&client, &plain(), &partial).await;
    let read = asked(&sim).len() as u64;
    assert_eq!(whole.kind("notebooks").reused, held);
    let contents = whole.kind("notebooks").listed - whole.kind("notebooks").excluded
        + whole.kind("files").listed
        + 2;
    assert!(
        read <= contents - held,
        "{read} of {contents} with {held} held"
    );
    assert_eq!(whole.outcome.exit_code(), 0);
    assert_like_a_full_run(&client, &plain(), &whole).await;
}

#[tokio::test]
async fn a_run_that_loses_its_credentials_takes_over_what_it_listed() {
    let sim = sim();
    let client = client(&sim);
    let base = base(&sim, &client).await;
    sim.with(|world| put(world, "/Shared/team/etl", notebook("# edited\n")));
    let mut fault = Fault::status("GET", "/api/2.0/workspace/export", 403);
    fault.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
    sim.fault(fault);
    let mut identity = Fault::status("GET", "/api/2.0/preview/scim/v2/Me", 403);
    identity.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
    identity.skip = 1;
    sim.fault(identity);
    let partial = export_from(&client, &plain(), &base).await;
    assert_eq!(partial.outcome.exit_code(), 12);
    assert!(partial.kind("notebooks").reused > 0);
    assert!(
        partial.record("/Shared/team/etl").is_none(),
        "the old content is not the notebook's"
    );
    assert!(
        partial
            .ledger(Fate::Failed)
            .iter()
            .any(|line| line.name == "/Shared/team/etl")
    );
}

/// A change that somebody makes, drawn by lot.
fn edit(world: &mut lifeboat_sim::World, random: &mut fastrand::Rng) {
    let paths: Vec<String> = world
        .tree
        .walk()
        .iter()
        .filter(|node| matches!(node.object, Object::Notebook { .. } | Object::File(_)))
        .map(|node| world.tree.path(node.id))
        .filter(|path| !path.contains("/Trash/"))
        .collect();
    let folders: Vec<String> = world
        .tree
        .walk()
        .iter()
        .filter(|node| matches!(node.object, Object::Directory))
        .map(|node| world.tree.path(node.id))
        .filter(|path| path.starts_with("/Shared"))
        .collect();
    let path = &paths[random.usize(..paths.len())];
    let folder = &folders[random.usize(..folders.len())];
    let number = random.u32(..1000);
    match random.u8(..7) {
        0 => {
            let object = world.tree.find(path).unwrap().object.clone();
            let object = match object {
                Object::File(_) => file(&format!("{number}")),
                _ => notebook(&format!("# {number}\n")),
            };
            put(world, path, object);
        }
        1 => {
            put(
                world,
                &format!("{folder}/new {number}"),
                notebook(&format!("# {number}\n")),
            );
        }
        2 => {
            // Names that the archive has to change, and that meet others.
            put(world, &format!("{folder}/A?{}", number % 3), file("a"));
            put(world, &format!("{folder}/a?{}", number % 3), file("b"));
        }
        3 => {
            tree::remove(world, path);
        }
        4 => {
            let name = path.rsplit('/').next().unwrap();
            tree::rename(world, path, &format!("{folder}/{name}"));
        }
        5 => {
            tree::rename(world, folder, &format!("/Shared/folder {number}"));
        }
        _ => {
            let sql = Object::Notebook {
                language: "SQL",
                content: format!("-- Databricks notebook source\n-- {number}")
                    .into_bytes()
                    .into(),
                jupyter: number.is_multiple_of(2),
            };
            let before = world.tree.find(path).unwrap().object.clone();
            if matches!(before, Object::Notebook { .. }) {
                put(world, path, sql);
            }
        }
    }
}

#[tokio::test]
async fn whatever_changes_the_payload_is_that_of_a_full_run() {
    let seed_of_all = std::env::var("LIFEBOAT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for lot in seed_of_all.map_or(1..=6, |lot: u64| lot..=lot) {
        let mut random = fastrand::Rng::with_seed(lot);
        let sim = sim();
        let client = client(&sim);
        seed(&sim, &client).await;
        sim.with(|world| {
            for at in 0..20 {
                put(
                    world,
                    &format!("/Shared/f{}/n{at}", at % 5),
                    notebook(&format!("# {at}\n")),
                );
                put(
                    world,
                    &format!("/Shared/f{}/d{at}.txt", at % 3),
                    file(&format!("{at}")),
                );
            }
        });
        let mut last = export(&client, &plain()).await;
        for night in 0..4 {
            // Some nights begin right after a change, others long after.
            sim.advance(Duration::from_secs(random.u64(..7200)));
            for _ in 0..random.usize(..12) {
                sim.with(|world| edit(world, &mut random));
                sim.advance(Duration::from_millis(random.u64(..2) * 40_000));
            }
            let mut options = plain();
            options.reread = if random.bool() { 0.1 } else { 0.0 };
            last = export_from(&client, &options, &last).await;
            let full = export(&client, &plain()).await;
            assert_eq!(last.outcome.reread_changed, 0);
            if full.outcome.sealed.content_id != last.outcome.sealed.content_id {
                eprintln!("LIFEBOAT_SEED={lot}, night {night}");
                assert_like_a_full_run(&client, &plain(), &last).await;
            }
        }
    }
}
