//! Values of secrets from one workspace into another, through an encrypted archive.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::time::Duration;

use common::vault::{Vault, stock};
use common::{stderr, stdout};
use lifeboat_sim::Sim;
use lifeboat_sim::secrets::{create_scope, put_secret};

const NAME: &str = "night.tar.zst.age";

/// Secrets of a workspace with the digests of their values.
fn secrets(sim: &Sim) -> serde_json::Value {
    sim.dump()["secrets"].clone()
}

/// A primary workspace with two more secrets in the scope `vault`.
fn seeded() -> Vault {
    let vault = Vault::new();
    vault.room.primary.with(|world| {
        let admin = world.admin();
        create_scope(world, "vault", &admin);
        put_secret(world, "vault", "bytes", b"\xff\x00s3cr3t");
        put_secret(world, "vault", "text", b"pa55word");
    });
    vault
}

/// Exports with values, in the place of the archive of before.
fn export(vault: &Vault) {
    let archive = vault.path(NAME);
    if archive.exists() {
        std::fs::remove_file(archive).unwrap();
    }
    let to = ["--secret-values", "--encrypt-to", &vault.recipients[0]];
    vault.export(NAME, &to).success();
}

/// Imports the archive and gives all that was told.
fn apply(vault: &Vault, more: &[&str]) -> String {
    let keys = [
        "--identity",
        "a.key",
        "--target",
        "2222222222222222",
        "--admins",
        "--json",
    ];
    let arguments = [keys.as_slice(), more].concat();
    let applied = vault.room.import("apply", &vault.path(NAME), &arguments);
    let code = applied.get_output().status.code();
    assert!(matches!(code, Some(0 | 3)), "{}", stderr(&applied));
    stdout(&applied) + &stderr(&applied)
}

fn puts(sim: &Sim) -> usize {
    let calls = sim.calls();
    let is_put = |call: &&lifeboat_sim::Call| call.path == "/api/2.0/secrets/put";
    calls.iter().filter(is_put).count()
}

/// All journals of the room.
fn journals(vault: &Vault) -> String {
    let pairs = std::fs::read_dir(vault.path("state/lifeboat")).unwrap();
    let journals = pairs.map(|pair| pair.unwrap().path().join("journal.jsonl"));
    journals
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn values_of_secrets_travel_in_encrypted_archives_only_and_show_nowhere() {
    if !stock() {
        return;
    }
    let vault = seeded();
    let (primary, secondary) = (&vault.room.primary, &vault.room.secondary);
    primary.reset_calls();
    let open = vault.export("x.tar.zst", &["--secret-values"]).code(14);
    assert!(stderr(&open).contains("--encrypt-to"), "{}", stderr(&open));
    assert!(primary.calls().is_empty());
    export(&vault);
    let count = secrets(primary).as_object().unwrap().len();
    let listed = vault
        .inspect(&["ls", NAME, "--identity", "a.key"])
        .success();
    let listed = stdout(&listed);
    let row = listed
        .lines()
        .find(|line| line.starts_with("secret-values"));
    let numbers: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(
        numbers[1..3],
        [count.to_string(), count.to_string()],
        "{listed}"
    );

    secondary.reset_calls();
    let told = apply(&vault, &[]);
    assert_eq!(secrets(secondary), secrets(primary));
    assert_eq!(puts(secondary), count);
    // Nobody has to put back what was carried, and nothing that was told or written down holds a value.
    assert!(!told.contains("put-secret"), "{told}");
    let show = ["--identity", "a.key", "-v", "--show-values"];
    let plan = vault.room.import("plan", &vault.path(NAME), &show);
    let journals = journals(&vault);
    assert!(journals.contains("vault/text"));
    for text in [told, stdout(&plan), stderr(&plan), journals] {
        // In the clear, and in Base64.
        for value in ["pa55word", "cGE1NXdvcmQ", "s3cr3t", "/wBzM2NyM3Q"] {
            assert!(!text.contains(value), "{value} in {text}");
        }
    }
    secondary.reset_calls();
    apply(&vault, &[]);
    assert!(!secondary.calls().iter().any(|call| call.method != "GET"));
}

#[test]
fn a_value_is_written_again_when_the_source_wrote_it_and_nobody_the_target() {
    if !stock() {
        return;
    }
    let vault = seeded();
    let (primary, secondary) = (&vault.room.primary, &vault.room.secondary);
    export(&vault);
    apply(&vault, &[]);
    let both = || (secrets(primary), secrets(secondary));

    primary.advance(Duration::from_secs(60));
    primary.with(|world| {
        put_secret(world, "vault", "text", b"another");
        put_secret(world, "vault", "new", b"first");
    });
    secondary.with(|world| put_secret(world, "vault", "new", b"by hand"));
    export(&vault);
    secondary.reset_calls();
    let told = apply(&vault, &[]);
    assert_eq!(puts(secondary), 1, "{told}");
    assert!(told.contains("the secret new is there and stays"), "{told}");
    let (here, there) = both();
    assert_eq!(there["vault/text"], here["vault/text"]);
    assert_ne!(there["vault/new"], here["vault/new"]);

    // Changed on both sides: kept, unless it is to be overwritten.
    for sim in [primary, secondary] {
        sim.advance(Duration::from_secs(60));
        let value = sim.workspace_id().as_bytes();
        sim.with(|world| put_secret(world, "vault", "text", value));
    }
    export(&vault);
    let told = apply(&vault, &[]);
    let kept = "the secret text was changed in the target";
    assert!(told.contains(kept), "{told}");
    let (here, there) = both();
    assert_ne!(there["vault/text"], here["vault/text"]);
    apply(&vault, &["--overwrite-changed"]);
    let (here, there) = both();
    assert_eq!(there["vault/text"], here["vault/text"]);
}

#[test]
fn values_that_the_service_refuses_are_named_one_by_one() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    vault
        .room
        .primary
        .switch(|switches| switches.secret_values = false);
    let to = [
        "--secret-values",
        "--encrypt-to",
        &vault.recipients[0],
        "--json",
    ];
    let exported = vault.export(NAME, &to).code(3);
    let count = secrets(&vault.room.primary).as_object().unwrap().len();
    let gaps = stdout(&exported);
    let gaps = gaps
        .lines()
        .filter(|line| line.contains("\"secret-values\"") && line.contains("\"failed\""));
    assert!(gaps.count() >= count);
    let ledger = vault
        .inspect(&["ls", NAME, "ledger", "--identity", "a.key", "--json"])
        .success();
    let ledger = stdout(&ledger);
    let lines = ledger
        .lines()
        .filter(|line| line.contains("\"kind\":\"secret-values\""));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), count, "{ledger}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("not allowed outside")),
        "{ledger}"
    );
    // What was not carried is a task for somebody.
    let plan = vault
        .room
        .import("plan", &vault.path(NAME), &["--identity", "a.key", "-v"]);
    assert_eq!(
        stdout(&plan).matches("put-secret").count(),
        count,
        "{}",
        stdout(&plan)
    );
}
