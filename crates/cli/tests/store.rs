//! The commands against a store that refuses, or whose answers come in part.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::blobs::{Blobs, Fate};
use common::{nights, small_archive, stderr, stdout};
use serde_json::{Value, json};

const PRUNE: [&str; 5] = [
    "prune",
    "az://vault/nightly/",
    "--keep-last",
    "1",
    "--apply",
];

#[test]
fn a_listing_that_fails_half_way_prunes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let second_page = |request: &str| request.contains("comp=list") && request.contains("marker=");
    for (fate, code) in [
        (Some(Fate::Refuse(403, "AuthorizationFailure")), 12),
        (Some(Fate::Refuse(400, "InvalidQueryParameterValue")), 1),
        (Some(Fate::Cut), 1),
        (None, 0),
    ] {
        // The newest archive is on the second page: without it, that of the night before would be the newest.
        let blobs = Blobs::start(move |request| fate.filter(|_| second_page(request)));
        blobs.take(folder.path());
        let before = blobs.names();
        let assert = blobs
            .tool(folder.path(), "lifeboat-export", &PRUNE)
            .assert();
        let told = format!("{}{}", stdout(&assert), stderr(&assert));
        assert_eq!(assert.get_output().status.code(), Some(code), "{told}");
        assert_eq!(blobs.count("GET /account/vault?"), 2, "two pages: {told}");
        if code == 0 {
            assert_eq!(blobs.names(), ["nightly/3.json", "nightly/3.tar.zst"]);
            continue;
        }
        assert_eq!(blobs.count("DELETE"), 0, "{told}");
        assert_eq!(blobs.names(), before);
        assert!(told.contains("list az://vault/nightly/"), "{told}");
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_prunes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let blobs = Blobs::start(|request| {
        let newest = request.starts_with("GET") && request.contains("3.json");
        newest.then_some(Fate::Refuse(403, "AuthorizationFailure"))
    });
    blobs.take(folder.path());
    let assert = blobs
        .tool(folder.path(), "lifeboat-export", &PRUNE)
        .assert();
    let told = stderr(&assert.code(12));
    assert!(told.contains("3.json"), "{told}");
    assert_eq!(blobs.count("DELETE"), 0, "{told}");
    assert_eq!(blobs.names().len(), 6);
}

#[test]
fn what_the_store_does_not_delete_is_counted_with_what_stays() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let blobs = Blobs::start(|request| {
        let held = request.starts_with("DELETE") && request.contains("2.tar.zst");
        held.then_some(Fate::Refuse(409, "BlobImmutableDueToPolicy"))
    });
    blobs.take(folder.path());
    let assert = blobs
        .tool(folder.path(), "lifeboat-export", &PRUNE)
        .assert();
    let assert = assert.code(3);
    let (text, told) = (stdout(&assert), stderr(&assert));
    assert!(text.contains("deleted 1 ("), "{text}");
    assert!(
        text.contains("), 2 archives stay, 1 could not be deleted"),
        "{text}"
    );
    assert!(told.contains("409 BlobImmutableDueToPolicy"), "{told}");
    assert_eq!(
        blobs.names(),
        [
            "nightly/2.json",
            "nightly/2.tar.zst",
            "nightly/3.json",
            "nightly/3.tar.zst"
        ]
    );
}

/// The stored file is not the one of its descriptor, and the second look at it is refused.
#[test]
fn a_damaged_archive_that_is_then_refused_is_told_as_both() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let mut bytes = small_archive().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.path().join("2.tar.zst"), bytes).unwrap();
    for (second, code) in [
        (Some(Fate::Refuse(403, "AuthorizationFailure")), 12),
        (Some(Fate::Refuse(404, "BlobNotFound")), 11),
        (None, 11),
    ] {
        let looks = AtomicUsize::new(0);
        let blobs = Blobs::start(move |request| {
            let looked = request.starts_with("HEAD") && request.contains("2.tar.zst");
            second.filter(|_| looked && looks.fetch_add(1, Ordering::Relaxed) > 0)
        });
        blobs.take(folder.path());
        let verify = ["verify", "--all", "az://vault/nightly/"];
        let assert = blobs
            .tool(folder.path(), "lifeboat-inspect", &verify)
            .assert();
        let told = format!("{}{}", stdout(&assert), stderr(&assert));
        assert_eq!(assert.get_output().status.code(), Some(code), "{told}");
        for expected in [
            "the stored file is not the one of its descriptor",
            "2 intact, 1 damaged, 0 unknown, 0 unreadable",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        let unreadable = told.contains("; unreadable: ");
        assert_eq!(unreadable, second.is_some(), "{told}");
    }
}

#[test]
fn a_clock_that_is_an_hour_off_is_the_hint_of_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let status = ["status", "az://vault/nightly/"];
    for (fate, hint) in [
        (
            Fate::RefuseAnHourAgo(403, "AuthenticationFailed"),
            "hint: the clock of this machine is 360",
        ),
        (
            Fate::Refuse(403, "AuthenticationFailed"),
            "hint: check the credentials and their right to list",
        ),
    ] {
        let blobs = Blobs::start(move |_| Some(fate));
        let assert = blobs
            .tool(folder.path(), "lifeboat-inspect", &status)
            .assert();
        let told = stderr(&assert.code(12));
        assert!(told.contains("403 AuthenticationFailed"), "{told}");
        assert!(told.contains(hint), "{told}");
        let ahead = told.contains("seconds ahead of that of the store: set it");
        assert_eq!(ahead, matches!(fate, Fate::RefuseAnHourAgo(..)), "{told}");
    }
}

/// Both at one address, as simulators are: only the port tells them apart.
#[test]
fn what_a_token_endpoint_refuses_is_not_told_as_the_store_s() {
    let folder = tempfile::tempdir().unwrap();
    let (store, tokens) = (
        Blobs::start(|_| None),
        Blobs::start(|_| Some(Fate::Refuse(401, "invalid_client"))),
    );
    let status = ["status", "az://vault/nightly/"];
    let secret = ("AZURE_CLIENT_SECRET", "wrong");
    let assert = store
        .tool_with(folder.path(), "lifeboat-inspect", &status, secret)
        .env("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555")
        .env("AZURE_TENANT_ID", "11111111-2222-3333-4444-666666666666")
        .env("AZURE_AUTHORITY_HOST", &tokens.url)
        .assert();
    let told = stderr(&assert.code(12));
    let host = tokens.url.trim_start_matches("http://");
    let expected =
        format!("no credentials for az://vault/nightly/: {host} says 401 invalid_client");
    assert!(told.contains(&expected), "{told}");
    assert_eq!(store.count("GET"), 0);
}

/// A signature with `rcw`, which is enough to write.
#[test]
fn a_base_that_cannot_be_looked_for_names_the_right_to_list() {
    let room = common::Room::filled();
    let blobs = Blobs::start(|request| {
        let list = request.contains("comp=list");
        list.then_some(Fate::Refuse(403, "AuthorizationPermissionMismatch"))
    });
    let run = [
        "run",
        "--profile",
        "primary",
        "--limits",
        "off",
        "--to",
        "az://vault/nightly/",
        "--base",
        "latest",
    ];
    let signature = (
        "AZURE_STORAGE_SAS_TOKEN",
        "sv=2024-11-04&sp=rcw&sig=c2lnbmF0dXJl",
    );
    let assert = blobs
        .tool_with(room.dir.path(), "lifeboat-export", &run, signature)
        .assert();
    let told = stderr(&assert.code(12));
    assert!(
        told.contains("not allowed to list az://vault/nightly/"),
        "{told}"
    );
    assert!(
        told.contains("hint: check the credentials and their right to list (`l`"),
        "{told}"
    );
    assert_eq!(blobs.count("PUT"), 0, "{told}");
}

#[test]
fn an_archive_that_may_not_be_read_is_no_matter_of_listing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::start(|_| Some(Fate::Refuse(403, "AuthorizationPermissionMismatch")));
    let info = ["info", "az://vault/nightly/x.tar.zst"];
    let assert = blobs
        .tool(folder.path(), "lifeboat-inspect", &info)
        .assert();
    let told = stderr(&assert.code(12));
    assert!(told.contains("everything else to read"), "{told}");
}

/// The events `served` of a command.
fn served(output: &str) -> Vec<Value> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|one| one["event"] == "served").collect()
}

#[test]
fn the_region_that_serves_is_told_once_in_a_command() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let (primary, secondary) = (Blobs::start(|_| None), Blobs::start(|_| None));
    primary.take(folder.path());
    secondary.take(folder.path());
    let latest = "az://vault/nightly/latest";
    let run = |arguments: &[&str]| {
        let endpoint = format!("{}/account", secondary.url);
        let mut tool = primary.tool(folder.path(), "lifeboat-inspect", arguments);
        let assert = tool.env("AZURE_STORAGE_SECONDARY_ENDPOINT", endpoint);
        let assert = assert.assert().success();
        (stdout(&assert), stderr(&assert))
    };
    let commands: [&[&str]; 5] = [
        &["info", latest],
        &["verify", latest],
        &["verify", "--all", "az://vault/nightly/"],
        &["list", "az://vault/nightly/"],
        &["status", "az://vault/nightly/"],
    ];
    for command in commands {
        for (secondary_too, of, other) in [
            (None, &primary, "secondary"),
            (Some("--secondary"), &secondary, "primary"),
        ] {
            let with = |more| [command, secondary_too.as_slice(), more].concat();
            let host = of.url.trim_start_matches("http://");
            let (out, _) = run(&with(&["--json"]));
            let events = served(&out);
            assert_eq!(events.len(), 1, "{command:?}: {out}");
            let by = secondary_too.map_or("primary", |_| "secondary");
            assert_eq!(events[0]["served_by"], by, "{out}");
            assert_eq!(events[0]["host"], host, "{out}");
            // Of the copy it is also said how far behind it is, or why that is not known.
            let known = &events[0]["last_sync_unknown"];
            assert_eq!(known.is_string(), secondary_too.is_some(), "{out}");
            let (out, told) = run(&with(&["-v"]));
            let line = format!("reading from the {by} region, {host}");
            assert_eq!(told.matches(&line).count(), 1, "{command:?}: {told}");
            assert!(!out.contains(&line), "{out}");
            assert!(!told.contains(&format!("the {other} region")), "{told}");
            let warned = told.contains(&format!("warning: {line}"));
            assert_eq!(warned, secondary_too.is_some(), "{told}");
        }
    }
    let (_, told) = run(&["info", latest]);
    assert!(!told.contains("region"), "without -v only the copy: {told}");
    let (out, told) = run(&["cat", latest, "summary.json", "-v"]);
    assert!(out.starts_with('{'), "the answer alone: {out}");
    assert_eq!(told.matches("the primary region").count(), 1, "{told}");
}

/// The primary region is waited for once in a command, not once more for each archive of the folder.
#[test]
fn a_folder_that_the_copy_lists_is_read_there() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let look = |command: &[&str], intact: &str| {
        let primary = Blobs::start(|_| Some(Fate::Refuse(503, "ServerBusy")));
        let secondary = Blobs::start(|_| None);
        secondary.take(folder.path());
        let endpoint = format!("{}/account", secondary.url);
        let assert = primary
            .tool(folder.path(), "lifeboat-inspect", command)
            .env("AZURE_STORAGE_SECONDARY_ENDPOINT", endpoint)
            .assert()
            .success();
        let (text, told) = (stdout(&assert), stderr(&assert));
        assert!(text.contains(intact), "{text}");
        let notices = told.matches("reading from the secondary region").count();
        assert_eq!(notices, 1, "{told}");
        let lists = primary.count("GET /account/vault?");
        assert!(lists > 0, "it is asked first");
        let of_archives = primary.count("HEAD") + primary.count("GET /account/vault/");
        assert_eq!(of_archives, 0, "{told}");
    };
    // At the same time: each waits half a minute.
    std::thread::scope(|scope| {
        let all = ["verify", "--all", "az://vault/nightly/"];
        scope.spawn(move || look(&all, "3 intact, 0 damaged"));
        look(&["verify", "az://vault/nightly/latest"], "intact");
    });
}

#[test]
fn a_token_that_ended_is_the_hint_of_its_refusal_and_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJzdG9yYWdlIn0.c2lnbmF0dXJl";
    for command in [
        ["status", "az://vault/nightly/"],
        ["info", "az://vault/nightly/x.tar.zst"],
    ] {
        let blobs = Blobs::start(|_| Some(Fate::Refuse(401, "InvalidAuthenticationInfo")));
        let given = ("AZURE_STORAGE_TOKEN", token);
        let assert = blobs
            .tool_with(folder.path(), "lifeboat-inspect", &command, given)
            .assert();
        let assert = assert.code(12);
        let told = format!("{}{}", stdout(&assert), stderr(&assert));
        assert!(told.contains("401 InvalidAuthenticationInfo"), "{told}");
        assert!(
            told.contains("hint: the token is wrong, has expired"),
            "{told}"
        );
        assert!(!told.contains(token), "{told}");
        assert_eq!(blobs.authorizations()[0], format!("Bearer {token}"));
    }
}

#[cfg(unix)]
#[test]
fn the_login_of_az_opens_a_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path());
    let blobs = Blobs::start(|_| None);
    blobs.take(folder.path());
    let (az, asked) = (folder.path().join("az"), folder.path().join("asked"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\necho '{}'\n",
        asked.display(),
        json!({"accessToken": "token-of-az", "expiresOn": "2999-01-01 00:00:00.000000", "tokenType": "Bearer"})
    );
    std::fs::write(&az, script).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    let list = ["list", "az://vault/nightly/"];
    let cli = ("AZURE_USE_AZURE_CLI", "true");
    let assert = blobs
        .tool_with(folder.path(), "lifeboat-inspect", &list, cli)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .assert()
        .success();
    assert!(stdout(&assert).contains("3.tar.zst"));
    let asked = std::fs::read_to_string(asked).unwrap();
    let scope =
        "account get-access-token --output json --scope https://storage.azure.com/.default\n";
    assert_eq!(asked, scope, "asked once");
    let sent = blobs.authorizations();
    assert!(
        sent.len() > 1 && sent.iter().all(|one| one == "Bearer token-of-az"),
        "{sent:?}"
    );

    // Whoever is not logged in hears what `az` says, and is no caller without credentials.
    std::fs::write(
        &az,
        "#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n",
    )
    .unwrap();
    let before = blobs.authorizations().len();
    let assert = blobs
        .tool_with(folder.path(), "lifeboat-inspect", &list, cli)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .assert();
    let told = stderr(&assert.code(12));
    assert!(told.contains("Please run 'az login'"), "{told}");
    assert!(
        told.contains("hint: set the credentials of one method"),
        "{told}"
    );
    assert_eq!(blobs.authorizations().len(), before);
}
