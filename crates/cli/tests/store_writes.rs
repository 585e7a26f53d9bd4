//! Exports into a store that refuses or fails, and runs that end early there (spec/storage.md, "Writing").

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assert_cmd::assert::Assert;
use common::blobs::{Blobs, Fate};
use common::vault::{Vault, must, stock};
use common::{Room, kill, nights, stderr, stdout};
use lifeboat_sim::Fault;

/// Signatures as they are given; the first may also delete.
const SIGNATURE: (&str, &str) = (
    "AZURE_STORAGE_SAS_TOKEN",
    "sv=2024-11-04&sp=rcwld&se=2026-11-22T01%3A00%3A00Z&sig=c2lnbmF0dXJl",
);

/// Calls after which contents have been read, and not all of them.
const LATE: u64 = 150;

fn export(room: &Room, blobs: &Blobs, to: &str, more: &[&str]) -> Assert {
    let run = ["run", "--profile", "primary", "--limits", "off", "--to", to];
    blobs
        .tool_with(room.dir.path(), "lifeboat-export", &run, SIGNATURE)
        .args(more)
        .assert()
}

/// The token of the workspace expires after so many calls.
fn expire(room: &Room, calls: u64) {
    room.primary.clear_faults();
    let mut fault = Fault::status("GET", "/api/*", 403);
    fault.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
    fault.skip = calls;
    room.primary.fault(fault);
}

/// All that a command printed, without anything secret.
fn told(assert: &Assert) -> String {
    let told = format!("{}{}", stdout(assert), stderr(assert));
    assert!(!told.contains("sig="), "{told}");
    assert!(!told.contains("c2lnbmF0dXJl"), "{told}");
    told
}

#[test]
fn a_run_that_ended_early_leaves_its_name_free_and_is_the_base_of_the_next_one() {
    let room = Room::filled();
    room.primary.advance(Duration::from_secs(7200));
    let blobs = Blobs::start(|_| None);
    let name = "az://vault/nightly/x.tar.zst";
    let partial = ["nightly/x.partial.json", "nightly/x.partial.tar.zst"];
    expire(&room, LATE);
    let first = told(&export(&room, &blobs, name, &[]).code(12));
    assert!(
        first.contains("`--base az://vault/nightly/x.partial.tar.zst` takes it over"),
        "{first}"
    );
    assert_eq!(blobs.names(), partial);

    // It never counts.
    let status = ["status", "az://vault/nightly/", "--max-age", "26h"];
    let status = blobs.tool(room.dir.path(), "lifeboat-inspect", &status);
    let status = told(&{ status }.assert().code(13));
    assert!(
        status.contains("no complete archive, 1 that do"),
        "{status}"
    );
    let verify = ["verify", "az://vault/nightly/x.partial.tar.zst"];
    let verify = blobs.tool(room.dir.path(), "lifeboat-inspect", &verify);
    { verify }.assert().success();

    // One more that ends early finds a name of its own.
    expire(&room, LATE / 2);
    let second = told(&export(&room, &blobs, name, &["--base", "latest"]).code(12));
    assert!(
        second.contains("base az://vault/nightly/x.partial.tar.zst of "),
        "{second}"
    );
    assert!(second.contains("x-2.partial.tar.zst"), "{second}");
    assert_eq!(blobs.names().len(), 4);

    // The same name goes on from there, and is complete.
    room.primary.clear_faults();
    room.primary.reset_calls();
    let third = told(&export(&room, &blobs, name, &["--base", "latest"]).success());
    assert!(third.contains("taken over from the base"), "{third}");
    assert!(blobs.names().contains(&"nightly/x.tar.zst".to_owned()));
    let descriptor = blobs.content("nightly/x.json");
    let descriptor: serde_json::Value = serde_json::from_slice(&descriptor).unwrap();
    assert_eq!(descriptor["inventory"], "complete");
}

#[test]
fn a_partial_archive_is_signed_and_encrypted_under_its_own_name() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let room = &vault.room;
    let blobs = Blobs::start(|_| None);
    expire(room, LATE);
    let recipient = vault.recipients[0].as_str();
    let more = ["--sign", "sign.sec", "--encrypt-to", recipient];
    export(room, &blobs, "az://vault/nightly/x.tar.zst.age", &more).code(12);
    assert_eq!(
        blobs.names(),
        [
            "nightly/x.partial.json",
            "nightly/x.partial.json.minisig",
            "nightly/x.partial.tar.zst.age"
        ]
    );
    let verify = [
        "verify",
        "az://vault/nightly/x.partial.tar.zst.age",
        "--identity",
        "a.key",
        "--require-signature",
        "sign.pub",
    ];
    let verify = blobs.tool(room.dir.path(), "lifeboat-inspect", &verify);
    { verify }.assert().success();
    // The stock program reads the comment that names the descriptor.
    for (name, file) in [
        ("x.partial.json", "p.json"),
        ("x.partial.json.minisig", "p.json.minisig"),
    ] {
        std::fs::write(room.path(file), blobs.content(&format!("nightly/{name}"))).unwrap();
    }
    let comment = must(
        room.dir.path(),
        "minisign",
        &["-Vm", "p.json", "-p", "sign.pub"],
    );
    let comment = String::from_utf8(comment).unwrap();
    assert!(comment.contains("file:x.partial.json\t"), "{comment}");
}

/// The writer of an append-only container may not remove what it wrote.
#[test]
fn who_may_not_delete_keeps_the_name_and_is_told_so() {
    let room = Room::filled();
    let blobs = Blobs::start(|request| {
        let delete = request.starts_with("DELETE");
        delete.then_some(Fate::Refuse(403, "AuthorizationPermissionMismatch"))
    });
    let name = "az://vault/nightly/x.tar.zst";
    expire(&room, LATE);
    let first = told(&export(&room, &blobs, name, &[]).code(12));
    assert_eq!(blobs.names(), ["nightly/x.json", "nightly/x.tar.zst"]);
    assert!(
        first
            .contains("the archive keeps the name az://vault/nightly/x.tar.zst, which another run"),
        "{first}"
    );
    assert!(
        first.contains("`--base az://vault/nightly/x.tar.zst` takes it over"),
        "{first}"
    );
    let status = ["status", "az://vault/nightly/", "--max-age", "26h"];
    let status = blobs.tool(room.dir.path(), "lifeboat-inspect", &status);
    let status = told(&{ status }.assert().code(13));
    assert!(
        status.contains("no complete archive, 1 that do"),
        "{status}"
    );
    room.primary.clear_faults();
    let again = told(&export(&room, &blobs, name, &["--base", "latest"]).code(14));
    assert!(
        again.contains("x.tar.zst exists and is not replaced"),
        "{again}"
    );
    let folder = "az://vault/nightly/";
    let next = told(&export(&room, &blobs, folder, &["--base", "latest"]).success());
    assert!(
        next.contains("base az://vault/nightly/x.tar.zst of "),
        "{next}"
    );
}

/// Whatever goes wrong while it gets its name, what was read is there once at least, and complete with its descriptor.
#[test]
fn what_fails_while_a_partial_archive_gets_its_name_loses_nothing() {
    let kept = ["x.json", "x.tar.zst"].as_slice();
    let both = ["x.json", "x.partial.json", "x.partial.tar.zst", "x.tar.zst"].as_slice();
    let litter = ["x.json", "x.partial.json", "x.partial.tar.zst"].as_slice();
    let cases = [
        ("PUT", "x.partial.tar.zst?", kept),
        ("PUT", "x.partial.tar.zst?comp=blocklist", kept),
        ("PUT", "x.partial.json", kept),
        ("DELETE", "x.tar.zst?", both),
        ("DELETE", "x.json?", litter),
    ];
    for (method, what, left) in cases {
        let room = Room::filled();
        let blobs = Blobs::start(move |request| {
            let struck = request.starts_with(method) && format!("{request}?").contains(what);
            struck.then_some(Fate::Refuse(409, "BlobImmutableDueToPolicy"))
        });
        expire(&room, LATE);
        let first = told(&export(&room, &blobs, "az://vault/nightly/x.tar.zst", &[]).code(12));
        let names = blobs.names();
        let names = names.iter().map(|name| name.trim_start_matches("nightly/"));
        assert!(names.eq(left.iter().copied()), "{method} {what}: {first}");
        assert!(
            first.contains(", which another run cannot have: ")
                && first.contains("409 BlobImmutableDueToPolicy"),
            "{method} {what}: {first}"
        );
    }
}

#[test]
fn a_store_that_is_busy_for_a_while_is_waited_for() {
    let room = Room::filled();
    let seen = AtomicUsize::new(0);
    let blobs = Blobs::start(move |request| {
        let struck =
            request.starts_with("PUT") && seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        struck.then_some(Fate::Refuse(503, "ServerBusy"))
    });
    told(&export(&room, &blobs, "az://vault/nightly/x.tar.zst", &[]).success());
    assert_eq!(blobs.names(), ["nightly/x.json", "nightly/x.tar.zst"]);
    let verify = ["verify", "az://vault/nightly/x.tar.zst"];
    let verify = blobs.tool(room.dir.path(), "lifeboat-inspect", &verify);
    { verify }.assert().success();
}

/// A second signal while the archive gets its name: it is there under the first one, and that is said.
#[cfg(unix)]
#[test]
fn a_second_signal_while_it_gets_its_name_says_where_the_archive_is() {
    let room = Room::filled();
    let (copying, copied) = std::sync::mpsc::channel();
    let blobs = Blobs::start(move |request| {
        if request.starts_with("PUT") && request.contains("x.partial.tar.zst") {
            // Longer than a signal needs; nobody waits for it afterwards.
            let _ = copying.send(());
            std::thread::sleep(Duration::from_secs(2));
        }
        None
    });
    expire(&room, LATE);
    let run = [
        "run",
        "--profile",
        "primary",
        "--limits",
        "off",
        "--keep-partial",
        "--to",
        "az://vault/nightly/x.tar.zst",
    ];
    let child = blobs
        .process(room.dir.path(), "lifeboat-export", &run)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    copied.recv().unwrap();
    for _ in 0..2 {
        kill("-TERM", &child.id().to_string());
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(
        said.contains(
            "what was read is at az://vault/nightly/x.tar.zst, with an incomplete inventory"
        ),
        "{said}"
    );
    assert!(
        said.contains("`--base az://vault/nightly/x.tar.zst`"),
        "{said}"
    );
    let names = blobs.names();
    assert!(names.contains(&"nightly/x.tar.zst".to_owned()), "{names:?}");
    assert!(names.contains(&"nightly/x.json".to_owned()), "{names:?}");
}

/// A complete run under such a name would be taken for something else, and pruned.
#[test]
fn a_name_that_a_listing_takes_for_something_else_is_refused() {
    let room = Room::filled();
    let blobs = Blobs::start(|_| None);
    for (name, code) in [
        ("az://vault/nightly/x.partial.tar.zst", 2),
        ("az://vault/nightly/x.json", 2),
        ("az://vault/nightly/x.json.minisig", 2),
        ("az://Vault/nightly/", 2),
        ("az://v/nightly/", 2),
        ("x.partial.tar.zst", 2),
    ] {
        told(&export(&room, &blobs, name, &[]).code(code));
    }
    assert!(room.primary.calls().is_empty());
    assert_eq!(blobs.names(), [""; 0]);
}

/// An archive that is pruned, or renamed, between the listing and its opening costs no night.
#[test]
fn a_base_that_is_gone_since_it_was_listed_stands_back() {
    let room = Room::filled();
    std::fs::create_dir(room.path("before")).unwrap();
    nights(&room.path("before"));
    let blobs = Blobs::start(|request| {
        let newest = request.starts_with("HEAD") && request.contains("3.tar.zst");
        newest.then_some(Fate::Refuse(404, "BlobNotFound"))
    });
    blobs.take(&room.path("before"));
    let run = export(&room, &blobs, "az://vault/nightly/", &["--base", "latest"]);
    let told = told(&run.success());
    assert!(told.contains("3.tar.zst cannot be the base: "), "{told}");
    assert!(
        told.contains("base az://vault/nightly/2.tar.zst of "),
        "{told}"
    );
}

/// A refusal, what a command says of it and its exit code.
struct Case {
    /// In the request that is refused; of those the first `passed` are answered.
    what: &'static str,
    passed: usize,
    status: u16,
    code: &'static str,
    exit: i32,
    says: &'static str,
}

const REFUSALS: [Case; 7] = [
    Case {
        what: "comp=block&",
        passed: 0,
        status: 403,
        code: "AuthenticationFailed",
        exit: 12,
        says: "hint: the shared access signature expired at 2026-11-22T01:00:00Z: make a new one",
    },
    // It expires between the trial and the end of the upload.
    Case {
        what: "comp=block&",
        passed: 1,
        status: 403,
        code: "AuthenticationFailed",
        exit: 12,
        says: "hint: the shared access signature expired at 2026-11-22T01:00:00Z: make a new one",
    },
    Case {
        what: "comp=blocklist",
        passed: 0,
        status: 403,
        code: "AuthenticationFailed",
        exit: 12,
        says: "hint: the shared access signature expired at 2026-11-22T01:00:00Z: make a new one",
    },
    Case {
        what: "comp=block&",
        passed: 0,
        status: 403,
        code: "AuthorizationPermissionMismatch",
        exit: 12,
        says: "not allowed to write az://vault/nightly/",
    },
    Case {
        what: "comp=block&",
        passed: 0,
        status: 404,
        code: "ContainerNotFound",
        exit: 12,
        says: "there is no container vault",
    },
    Case {
        what: "comp=blocklist",
        passed: 0,
        status: 409,
        code: "BlobAlreadyExists",
        exit: 14,
        says: "exists and is not replaced",
    },
    Case {
        what: "comp=blocklist",
        passed: 0,
        status: 409,
        code: "BlobImmutableDueToPolicy",
        exit: 1,
        says: "409 BlobImmutableDueToPolicy",
    },
];

/// Expired signatures, busy stores, missing rights, another one's archive: what is there stays as it is, and nothing half
/// written is visible.
#[test]
fn an_export_that_the_store_refuses_says_why_and_leaves_nothing() {
    let room = Room::filled();
    std::fs::create_dir(room.path("before")).unwrap();
    room.export("before/old.tar.zst");
    for case in REFUSALS {
        let Case {
            what,
            passed,
            status,
            code,
            exit,
            says,
        } = case;
        let seen = AtomicUsize::new(0);
        let blobs = Blobs::start(move |request| {
            let struck = request.starts_with("PUT") && request.contains(what);
            let struck = struck && seen.fetch_add(1, Ordering::Relaxed) >= passed;
            struck.then_some(Fate::Refuse(status, code))
        });
        blobs.take(&room.path("before"));
        let before = ["nightly/old.json", "nightly/old.tar.zst"];
        let old = before.map(|name| blobs.content(name));
        let run = export(&room, &blobs, "az://vault/nightly/", &[]);
        let text = told(&run);
        assert_eq!(
            run.get_output().status.code(),
            Some(exit),
            "{what} {code}: {text}"
        );
        assert!(text.contains(says), "{what} {code}: {text}");
        assert_eq!(blobs.names(), before, "{what} {code}: {text}");
        assert!(before.map(|name| blobs.content(name)) == old);
    }
}
