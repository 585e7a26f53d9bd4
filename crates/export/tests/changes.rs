//! A workspace that changes while it is exported.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use std::time::Duration;

use common::{
    SOURCE, client, export, export_from, notebook, options, put, seed, sim, slow_client, try_export,
};
use lifeboat_archive::{Fate, Inventory};
use lifeboat_sim::{Action, Fault, Script, Sim};
use serde_json::json;

fn after(sim: &Sim, path: &str, query: &str, action: Action) {
    sim.script(Script {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        skip: 0,
        action,
    });
}

fn after_list(sim: &Sim, folder: &str, action: Action) {
    after(
        sim,
        "/api/2.0/workspace/list",
        &format!("path={folder}"),
        action,
    );
}

fn after_export(sim: &Sim, path: &str, action: Action) {
    after(
        sim,
        "/api/2.0/workspace/export",
        &format!("path={path}"),
        action,
    );
}

#[tokio::test]
async fn an_object_that_is_deleted_after_the_listing_has_vanished() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    after_list(
        &sim,
        "/Shared/team",
        Action::Delete {
            path: "/Shared/team/etl".to_owned(),
        },
    );
    let written = export(&client, &options()).await;
    let vanished = written.ledger(Fate::Vanished);
    assert_eq!(vanished.len(), 1, "{vanished:?}");
    assert_eq!(
        (vanished[0].kind.as_str(), vanished[0].name.as_str()),
        ("notebooks", "/Shared/team/etl")
    );
    assert_eq!(vanished[0].status, Some(404));
    assert!(written.record("/Shared/team/etl").is_none());
    assert_eq!(written.outcome.summary.inventory, Inventory::Complete);
    assert_eq!(written.outcome.exit_code(), 0);
    assert_eq!(written.lines("data/acls/notebooks").len(), 1);
}

#[tokio::test]
async fn an_object_that_is_deleted_after_it_was_read_has_no_record() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    after_export(
        &sim,
        "/Shared/team/etl",
        Action::Delete {
            path: "/Shared/team".to_owned(),
        },
    );
    let written = export(&client, &options()).await;
    let mut names: Vec<String> = written
        .ledger(Fate::Vanished)
        .into_iter()
        .map(|line| line.name)
        .collect();
    names.retain(|name| name.starts_with("/Shared/team"));
    assert_eq!(
        names,
        ["/Shared/team", "/Shared/team/data.csv", "/Shared/team/etl"]
    );
    assert!(written.record("/Shared/team").is_none());
    assert!(
        written
            .lines("data/acls/directories")
            .iter()
            .all(|acl| acl["name"] != "/Shared/team")
    );
}

#[tokio::test]
async fn an_object_that_moved_is_stored_once_at_its_later_place() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.with(|world| put(world, "/Shared/zone/keep", notebook(SOURCE)));
    let to = "/Shared/zone/moved".to_owned();
    after_export(
        &sim,
        "/Shared/team/etl",
        Action::Move {
            from: "/Shared/team/etl".to_owned(),
            to,
        },
    );
    let written = export(&client, &options()).await;
    assert!(written.record("/Shared/team/etl").is_none());
    assert_eq!(written.content("/Shared/zone/moved"), SOURCE);
    assert_eq!(written.ledger(Fate::Vanished), []);
    assert_eq!(written.ledger(Fate::Failed), []);
    let id = written.record("/Shared/zone/moved").unwrap()["object_id"].clone();
    let acls = written.lines("data/acls/notebooks");
    let of_moved: Vec<_> = acls.iter().filter(|acl| acl["id"] == id).collect();
    assert_eq!(of_moved.len(), 1);
    assert_eq!(of_moved[0]["name"], "/Shared/zone/moved");
}

#[tokio::test]
async fn a_folder_that_moved_before_its_contents_were_read_is_read_at_its_later_place() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    after_list(
        &sim,
        "/Shared/team",
        Action::Move {
            from: "/Shared/team".to_owned(),
            to: "/Shared/crew".to_owned(),
        },
    );
    let written = export(&client, &options()).await;
    assert_eq!(written.content("/Shared/crew/etl"), SOURCE);
    assert_eq!(written.content("/Shared/crew/data.csv"), "a,b\n1,2\n");
    assert!(written.record("/Shared/team").is_none());
    assert_eq!(written.ledger(Fate::Vanished), []);
    assert_eq!(written.ledger(Fate::Failed), []);
}

/// Puts another notebook where one was, in the ways in which people do it.
fn take_the_place(sim: &Sim, way: &str) {
    let moves = |from: &str, to: &str| Action::Move {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let (team, etl, old) = ("/Shared/team", "/Shared/team/etl", "/Shared/team/etl_old");
    match way {
        "another one moves there" => {
            after_list(sim, team, moves(etl, old));
            after_list(sim, team, moves("/Shared/team/next", etl));
        }
        "a new one is written there" => {
            after_list(sim, team, moves(etl, old));
            let (path, text) = (etl.to_owned(), "print('new')\n".to_owned());
            after_list(sim, team, Action::Write { path, text });
        }
        _ => {
            after_list(sim, team, moves(team, "/Shared/team_old"));
            after_list(sim, team, moves("/Shared/green", team));
        }
    }
}

#[tokio::test]
async fn what_takes_the_place_of_an_object_is_never_taken_for_it() {
    for (way, old) in [
        ("another one moves there", "/Shared/team/etl_old"),
        ("a new one is written there", "/Shared/team/etl_old"),
        ("folders change places", "/Shared/team_old/etl"),
    ] {
        let sim = sim();
        let client = client(&sim);
        seed(&sim, &client).await;
        sim.with(|world| put(world, "/Shared/team/next", notebook("print('next')\n")));
        sim.with(|world| put(world, "/Shared/green/etl", notebook("print('green')\n")));
        take_the_place(&sim, way);
        let written = export(&client, &options()).await;
        assert_eq!(written.content(old), SOURCE, "{way}");
        let now = written.content("/Shared/team/etl");
        assert_eq!(
            now.trim_end(),
            export_of(&sim, "/Shared/team/etl").trim_end(),
            "{way}"
        );
        assert_ne!(now, SOURCE, "{way}");
        for fate in [Fate::Failed, Fate::Vanished] {
            assert_eq!(written.ledger(fate), [], "{way}");
        }
    }
}

/// After the listing, `etl` moves and something else takes its place before its content is read.
fn swap(sim: &Sim) {
    let to = "/Shared/team/etl_old".to_owned();
    let from = "/Shared/team/etl".to_owned();
    after_list(sim, "/Shared/team", Action::Move { from, to });
    let path = "/Shared/team/etl".to_owned();
    let text = "print('new')\n".to_owned();
    after_list(sim, "/Shared/team", Action::Write { path, text });
}

/// Without its second listing a run does not know whose content it read: the night after does not believe it elsewhere.
#[tokio::test]
async fn a_base_without_a_second_listing_gives_nothing_to_another_path() {
    let mut swapped = 0;
    for skip in 1..60 {
        let sim = sim();
        let client = slow_client(&sim);
        sim.with(|world| {
            put(world, "/Shared/team/etl", notebook(SOURCE));
            for number in 0..10 {
                put(world, &format!("/Shared/z/n{number}"), notebook(SOURCE));
            }
        });
        sim.advance(Duration::from_secs(7200));
        swap(&sim);
        let mut fault = Fault::status("GET", "/api/*", 403);
        fault.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
        fault.skip = skip;
        sim.fault(fault);
        let mut options = options();
        options.reread = 0.0;
        let Ok(partial) = try_export(&client, &options).await else {
            continue;
        };
        sim.clear_faults();
        if partial.outcome.stopped.is_none() {
            break;
        }
        let held = partial.record("/Shared/team/etl");
        swapped += usize::from(held.is_some_and(|record| !record["content"].is_null()));
        let next = export_from(&client, &options, &partial).await;
        assert_eq!(next.content("/Shared/team/etl_old"), SOURCE, "{skip}");
    }
    assert!(swapped > 0, "no run read what took the place");
}

#[tokio::test]
async fn a_folder_that_was_listed_once_gives_nothing_to_another_path() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| put(world, "/Shared/team/etl", notebook(SOURCE)));
    sim.advance(Duration::from_secs(7200));
    swap(&sim);
    let mut fault = Fault::status("GET", "/api/2.0/workspace/list", 403);
    fault.query = "path=/Shared/team".to_owned();
    fault.body = Some(r#"{"error_code":"PERMISSION_DENIED","message":"no"}"#.to_owned());
    fault.skip = 1;
    sim.fault(fault);
    let mut options = options();
    options.reread = 0.0;
    let first = export(&client, &options).await;
    assert_eq!(first.outcome.summary.inventory, Inventory::Incomplete);
    sim.clear_faults();
    let next = export_from(&client, &options, &first).await;
    assert_eq!(next.content("/Shared/team/etl_old"), SOURCE);
}

#[tokio::test]
async fn objects_without_ids_are_read_every_night() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| {
        put(world, "/Shared/team/a", notebook("# a\n"));
        put(world, "/Shared/team/b", notebook("# b\n"));
    });
    sim.advance(Duration::from_secs(7200));
    let facts = |name: &str| json!({ "path": format!("/Shared/team/{name}"), "object_type": "NOTEBOOK", "language": "PYTHON", "modified_at": 5 });
    let mut fault = Fault::status("GET", "/api/2.0/workspace/list", 200);
    fault.query = "path=/Shared/team".to_owned();
    fault.body = Some(json!({ "objects": [facts("a"), facts("b")] }).to_string());
    sim.fault(fault);
    let mut options = options();
    options.reread = 0.0;
    let first = export(&client, &options).await;
    let next = export_from(&client, &options, &first).await;
    for written in [&first, &next] {
        let content = |name: &str| written.content(&format!("/Shared/team/{name}"));
        assert!(content("a").contains("# a"), "{}", content("a"));
        assert!(content("b").contains("# b"), "{}", content("b"));
    }
}

#[tokio::test]
async fn what_is_read_last_and_not_there_afterwards_is_a_gap() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.set_clock_rate(1);
    let etl = "/Shared/team/etl".to_owned();
    let write = |text: &str| Action::Write {
        path: etl.clone(),
        text: text.to_owned(),
    };
    // Changed after the first reading, and gone to another place before the second one, where a new one stands.
    after_export(&sim, &etl, write("print('changed')\n"));
    let after_second_list = |action| {
        sim.script(Script {
            method: "GET".to_owned(),
            path: "/api/2.0/workspace/list".to_owned(),
            query: "path=/Shared/team".to_owned(),
            skip: 1,
            action,
        });
    };
    after_second_list(Action::Move {
        from: etl.clone(),
        to: "/Shared/team/etl_old".to_owned(),
    });
    after_second_list(write("print('another')\n"));
    let written = export(&client, &options()).await;
    let failed = written.ledger(Fate::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].kind, "second-readings");
    assert!(failed[0].message.contains("another object's"), "{failed:?}");
    assert_eq!(written.content(&etl), SOURCE, "the first reading stands");
    assert_eq!(written.outcome.exit_code(), 3);
}

#[tokio::test]
async fn what_appears_and_what_changes_is_read_at_the_end() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.set_clock_rate(1);
    let text = "print('new')\n".to_owned();
    after_export(
        &sim,
        "/Shared/team/etl",
        Action::Write {
            path: "/Shared/team/etl".to_owned(),
            text: text.clone(),
        },
    );
    after_export(
        &sim,
        "/Shared/team/etl",
        Action::Write {
            path: "/Shared/team/added".to_owned(),
            text,
        },
    );
    let before = export_of(&sim, "/Shared/team/etl");
    let written = export(&client, &options()).await;
    assert!(written.content("/Shared/team/etl").contains("print('new')"));
    assert!(
        written
            .content("/Shared/team/added")
            .contains("print('new')")
    );
    assert_eq!(before, SOURCE);
    let record = written.record("/Shared/team/etl").unwrap();
    let member = record["content"]["path"].as_str().unwrap();
    assert_ne!(
        member, "data/workspace/content/Shared/team/etl.py",
        "the first member cannot be replaced"
    );
    assert!(
        member.starts_with("data/workspace/content/Shared/team/etl~"),
        "{member}"
    );
    assert_eq!(written.ledger(Fate::Failed), []);
    assert!(
        written
            .lines("data/acls/notebooks")
            .iter()
            .any(|acl| acl["name"] == "/Shared/team/added")
    );
}

fn export_of(sim: &Sim, path: &str) -> String {
    sim.with(
        |world| match world.tree.find(path).map(|node| node.object.clone()) {
            Some(lifeboat_sim::tree::Object::Notebook { content, .. }) => {
                String::from_utf8(content.to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        },
    )
}

#[tokio::test]
async fn a_quiet_workspace_has_the_same_content_id_every_night() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let first = export(&client, &options()).await;
    sim.advance(Duration::from_secs(7200));
    let mut later = options();
    later.started = "2026-11-23T01:00:00Z".parse().unwrap();
    later.concurrency = 3;
    let second = export(&client, &later).await;
    assert_eq!(
        first.outcome.sealed.content_id,
        second.outcome.sealed.content_id,
        "{:#?}",
        differences(&first, &second)
    );
    assert_ne!(
        first.outcome.sealed.archive_id,
        second.outcome.sealed.archive_id
    );
    sim.with(|world| put(world, "/Shared/team/more", notebook(SOURCE)));
    let third = export(&client, &later).await;
    assert_ne!(
        first.outcome.sealed.content_id,
        third.outcome.sealed.content_id
    );
}

fn differences(a: &common::Written, b: &common::Written) -> Vec<(String, String, String)> {
    a.members("data/")
        .into_iter()
        .map(|path| (a.text(&path), b.text(&path), path))
        .filter(|(one, other, _)| one != other)
        .map(|(one, other, path)| (path, one, other))
        .collect()
}

#[tokio::test]
async fn a_reproducible_run_has_the_same_bytes() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut options = options();
    options.reproducible = true;
    options.bag = Some("bag".to_owned());
    let first = export(&client, &options).await;
    let second = export(&client, &options).await;
    assert_eq!(first.outcome.sealed.sha256, second.outcome.sealed.sha256);
}

#[tokio::test]
async fn a_content_that_cannot_be_read_again_stays_as_it_was_first_read() {
    for status in [403, 404] {
        let sim = sim();
        let client = client(&sim);
        seed(&sim, &client).await;
        sim.set_clock_rate(1);
        after_export(
            &sim,
            "/Shared/team/etl",
            Action::Write {
                path: "/Shared/team/etl".to_owned(),
                text: "print('new')".to_owned(),
            },
        );
        let mut fault = Fault::status("GET", "/api/2.0/workspace/export", status);
        fault.query = "path=/Shared/team/etl".to_owned();
        fault.skip = 1;
        sim.fault(fault);
        let written = export(&client, &options()).await;
        assert_eq!(written.content("/Shared/team/etl"), SOURCE);
        assert_eq!(written.kind("notebooks").failed, 0);
        let failed = written.ledger(Fate::Failed);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(
            (failed[0].kind.as_str(), failed[0].name.as_str()),
            ("second-readings", "/Shared/team/etl")
        );
        assert_eq!(failed[0].status, Some(status));
        assert!(failed[0].message.contains("first reading"));
        assert_eq!(written.outcome.exit_code(), 3);
    }
}

/// Moves an object right after the second listing of a folder.
fn during_second_listing(sim: &Sim, folder: &str, from: &str, to: &str) {
    sim.script(Script {
        method: "GET".to_owned(),
        path: "/api/2.0/workspace/list".to_owned(),
        query: format!("path={folder}"),
        skip: 1,
        action: Action::Move {
            from: from.to_owned(),
            to: to.to_owned(),
        },
    });
}

#[tokio::test]
async fn a_move_during_the_second_listing_loses_nothing() {
    // Into a folder that was listed already, and out of one.
    for (from, to) in [
        ("/Shared/team/etl", "/Shared/a/etl"),
        ("/Shared/a/keep", "/Shared/team/keep"),
    ] {
        let sim = sim();
        let client = slow_client(&sim);
        seed(&sim, &client).await;
        sim.with(|world| put(world, "/Shared/a/keep", notebook("# kept\n")));
        during_second_listing(&sim, "/Shared/a", from, to);
        let written = export(&client, &options()).await;
        assert!(written.record(from).is_none(), "{from}");
        assert!(written.record(to).unwrap()["content"].is_object(), "{to}");
        assert_eq!(written.ledger(Fate::Vanished), [], "{to}");
        let lines = written.lines("data/workspace");
        let ids: std::collections::BTreeSet<String> = lines
            .iter()
            .map(|line| line["object_id"].to_string())
            .collect();
        assert_eq!(ids.len(), lines.len(), "each object once");
        assert_eq!(written.outcome.exit_code(), 0);
    }
}

#[tokio::test]
async fn an_object_that_is_renamed_and_changed_gets_a_member_of_its_own() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| put(world, "/Shared/team/a?b", notebook(SOURCE)));
    sim.set_clock_rate(1);
    let moved = "/Shared/team/a:b";
    after_export(
        &sim,
        "/Shared/team/a?b",
        Action::Move {
            from: "/Shared/team/a?b".to_owned(),
            to: moved.to_owned(),
        },
    );
    after_export(
        &sim,
        "/Shared/team/a?b",
        Action::Write {
            path: moved.to_owned(),
            text: "print('new')".to_owned(),
        },
    );
    let written = export(&client, &options()).await;
    assert!(written.content(moved).contains("print('new')"));
    assert_eq!(written.ledger(Fate::Failed), []);
    assert!(written.record("/Shared/team/a?b").is_none());
}
