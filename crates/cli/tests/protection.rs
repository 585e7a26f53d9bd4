//! Encrypted and signed archives through the built commands, with the stock `age` and `minisign` as the other side.

mod common;

use common::vault::{Vault, must, run, stock};
use common::{stderr, stdout};
use lifeboat_archive::{Archive, Digest};

const NAME: &str = "night.tar.zst.age";

#[test]
fn stock_age_opens_what_we_encrypted_and_we_open_what_it_encrypted() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let archive = vault.protected(NAME);
    let folder = vault.room.dir.path();
    assert_eq!(
        vault
            .room
            .files("")
            .iter()
            .filter(|name| name.starts_with("night"))
            .collect::<Vec<_>>(),
        ["night.json", "night.json.minisig", NAME]
    );
    let stored = std::fs::read(&archive).unwrap();
    let descriptor = vault.descriptor(NAME);
    assert!(descriptor.encrypted);
    assert_eq!(descriptor.size, stored.len() as u64);
    assert_eq!(descriptor.sha256, Digest::of(&stored));
    for key in ["a.key", "b.key"] {
        must(
            folder,
            "age",
            &["-d", "-i", key, "-o", "plain.tar.zst", NAME],
        );
        must(folder, "zstd", &["-q", "-t", "plain.tar.zst"]);
        let plain = Archive::open(&vault.path("plain.tar.zst")).unwrap();
        assert_eq!(plain.archive_id().unwrap(), descriptor.archive_id);
        vault
            .inspect(&["verify", NAME, "--identity", key])
            .success();
    }
    assert!(!run(folder, "", "age", &["-d", "-i", "other.key", NAME]).0);

    // The other way round, under a name that does not tell.
    let recipient = &vault.recipients[0];
    must(
        folder,
        "age",
        &["-r", recipient, "-o", "stock", "plain.tar.zst"],
    );
    let verified = vault
        .inspect(&["verify", "stock", "--identity", "a.key"])
        .success();
    assert!(stdout(&verified).contains(&descriptor.archive_id.to_string()));
    // And a plain archive under a name that tells something else.
    std::fs::copy(vault.path("plain.tar.zst"), vault.path("plain.tar.zst.age")).unwrap();
    vault.inspect(&["verify", "plain.tar.zst.age"]).success();
}

#[test]
fn every_reading_command_takes_identities_and_says_what_is_missing() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    vault.protected(NAME);
    let commands: [&[&str]; 5] = [
        &["info", NAME],
        &["ls", NAME, "/Users"],
        &["cat", NAME, "lifeboat.json"],
        &["extract", NAME, "jobs", "--to"],
        &["verify", NAME],
    ];
    for (number, command) in commands.iter().enumerate() {
        let to = format!("out-{number}");
        let run = |more: &[&str]| {
            let mut tool = vault.room.tool("lifeboat-inspect", command);
            if command[0] == "extract" {
                tool.arg(&to);
            }
            tool.args(more).assert()
        };
        let missing = run(&[]).code(12);
        assert!(
            stderr(&missing).contains("--identity"),
            "{}",
            stderr(&missing)
        );
        let wrong = run(&["--identity", "other.key"]).code(12);
        assert!(
            stderr(&wrong).contains("to somebody else than the identity"),
            "{}",
            stderr(&wrong)
        );
        assert_eq!(vault.room.files(&to), [""; 0]);
        run(&["--identity", "other.key", "--identity", "b.key"]).success();
    }
    let mut tool = vault.room.tool("lifeboat-inspect", &["info", NAME]);
    tool.env("LIFEBOAT_IDENTITY_FILE", "a.key")
        .assert()
        .success();
    // What an option names is all that counts.
    tool.args(["--identity", "other.key"]).assert().code(12);
    std::fs::write(
        vault.path("locked.key"),
        "age-encryption.org/v1\n-> scrypt a 18\n",
    )
    .unwrap();
    let locked = vault
        .inspect(&["info", NAME, "--identity", "locked.key"])
        .code(2);
    assert!(
        stderr(&locked).contains("passphrase"),
        "{}",
        stderr(&locked)
    );
    vault
        .inspect(&["info", NAME, "--identity", "missing.key"])
        .code(2);
}

#[test]
fn minisign_and_we_verify_each_other_and_nothing_false_passes() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let folder = vault.room.dir.path();
    vault.protected(NAME);
    must(
        folder,
        "minisign",
        &["-V", "-q", "-p", "sign.pub", "-m", "night.json"],
    );
    let verify = |archive: &str, key: &str| {
        vault.inspect(&[
            "verify",
            archive,
            "--identity",
            "a.key",
            "--require-signature",
            key,
        ])
    };
    let key = std::fs::read_to_string(vault.path("sign.pub")).unwrap();
    let key = key.lines().nth(1).unwrap();
    verify(NAME, "sign.pub").success();
    verify(NAME, key).success();
    let other = verify(NAME, "other.pub").code(11);
    assert!(
        stderr(&other).contains("not authentic"),
        "{}",
        stderr(&other)
    );
    verify(NAME, "nothing").code(2);

    let (json, signature) = (vault.path("night.json"), vault.path("night.json.minisig"));
    let (text, signed) = (
        std::fs::read_to_string(&json).unwrap(),
        std::fs::read(&signature).unwrap(),
    );
    let refused = || {
        let refused = verify(NAME, "sign.pub").code(11);
        assert!(
            stderr(&refused).contains("not authentic"),
            "{}",
            stderr(&refused)
        );
    };
    std::fs::write(&json, text.replace("\"workspace\"", "\"selection\"")).unwrap();
    refused();
    std::fs::remove_file(&json).unwrap();
    refused();
    std::fs::write(&json, &text).unwrap();
    std::fs::write(&signature, &signed[..signed.len() - 60]).unwrap();
    refused();
    std::fs::remove_file(&signature).unwrap();
    refused();
    // Whoever does not ask for a signature does without.
    vault
        .inspect(&["verify", NAME, "--identity", "a.key"])
        .success();

    // A good signature over the descriptor of another archive.
    vault
        .export("later.tar.zst", &["--sign", "sign.sec"])
        .success();
    vault
        .inspect(&["verify", "later.tar.zst", "--require-signature", key])
        .success();
    for extension in ["json", "json.minisig"] {
        let (from, to) = (format!("later.{extension}"), format!("night.{extension}"));
        std::fs::copy(vault.path(&from), vault.path(&to)).unwrap();
    }
    refused();
}

#[test]
fn what_minisign_signed_afterwards_is_accepted_in_the_form_of_today() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let folder = vault.room.dir.path();
    // Signed by the stock tool afterwards, in its form of today and in the one of the past.
    vault.export("unsigned.tar.zst", &[]).success();
    let check = || {
        vault.inspect(&[
            "verify",
            "unsigned.tar.zst",
            "--require-signature",
            "sign.pub",
        ])
    };
    check().code(11);
    must(
        folder,
        "minisign",
        &["-S", "-s", "sign.sec", "-m", "unsigned.json"],
    );
    check().success();
    must(
        folder,
        "minisign",
        &["-S", "-l", "-s", "sign.sec", "-m", "unsigned.json"],
    );
    check().code(11);
}

#[test]
fn a_signing_key_with_a_password_is_unlocked_before_the_workspace_is_asked() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let folder = vault.room.dir.path();
    let make = ["-G", "-p", "locked.pub", "-s", "locked.sec"];
    assert!(run(folder, "secret words\nsecret words\n", "minisign", &make).0);
    let run = |password: Option<&str>| {
        let arguments = [
            "run",
            "--profile",
            "primary",
            "--to",
            "x.tar.zst",
            "--sign",
            "locked.sec",
        ];
        let mut tool = vault.room.tool("lifeboat-export", &arguments);
        tool.args(["--limits", "off"]);
        if let Some(password) = password {
            tool.env("LIFEBOAT_SIGN_PASSWORD", password);
        }
        tool.assert()
    };
    vault.room.primary.reset_calls();
    let without = run(None).code(2);
    assert!(
        stderr(&without).contains("LIFEBOAT_SIGN_PASSWORD"),
        "{}",
        stderr(&without)
    );
    let wrong = run(Some("wrong words")).code(2);
    assert!(
        stderr(&wrong).contains("Wrong password"),
        "{}",
        stderr(&wrong)
    );
    assert!(!stderr(&wrong).contains("wrong words"));
    assert!(vault.room.primary.calls().is_empty());
    run(Some("secret words")).success();
    must(
        folder,
        "minisign",
        &["-V", "-q", "-p", "locked.pub", "-m", "x.json"],
    );
}

#[test]
fn an_encrypted_and_signed_archive_is_imported() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let archive = vault.protected(NAME);
    let keys = ["--identity", "b.key", "--require-signature", "sign.pub"];
    let target = ["--target", "2222222222222222", "--admins"];
    vault.room.secondary.reset_calls();
    vault.room.import("plan", &archive, &[]).code(12);
    for command in ["plan", "apply", "compare"] {
        let more = ["--identity", "b.key", "--require-signature", "other.pub"];
        vault.room.import(command, &archive, &more).code(11);
    }
    assert!(
        vault.room.secondary.calls().is_empty(),
        "nobody asked the target"
    );
    vault.room.import("plan", &archive, &keys).success();
    let applied = vault
        .room
        .import("apply", &archive, &[keys.as_slice(), &target].concat());
    let code = applied.get_output().status.code();
    assert!(matches!(code, Some(0 | 3)), "{}", stderr(&applied));
    vault.room.import("compare", &archive, &keys).success();
}

#[test]
fn what_cannot_be_protected_is_refused_before_the_workspace_is_asked() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let [a, _] = &vault.recipients;
    let secret = std::fs::read_to_string(vault.path("a.key")).unwrap();
    let secret = secret.lines().last().unwrap();
    vault.room.primary.reset_calls();
    for (to, more) in [
        ("x.tar.zst", ["--encrypt-to", a.as_str()]),
        ("x.tar.zst.age", ["--sign", "sign.sec"]),
        ("out/", ["--encrypt-to", secret]),
        ("out/", ["--encrypt-to", "age1abc"]),
        ("out/", ["--encrypt-to-file", "missing"]),
        ("out/", ["--encrypt-to-file", "sign.pub"]),
        ("out/", ["--sign", "sign.pub"]),
        ("out/", ["--sign", "missing"]),
    ] {
        let refused = vault.export(to, &more).code(2);
        let text = stderr(&refused);
        assert!(text.contains("hint"), "{more:?}: {text}");
        assert!(!text.contains(&secret[30..]), "{text}");
    }
    assert!(vault.room.primary.calls().is_empty());
    assert_eq!(vault.room.files("out"), [""; 0]);
    // In a folder the name tells.
    std::fs::write(
        vault.path("to.txt"),
        format!("# both\n{}\n", vault.recipients.join("\n")),
    )
    .unwrap();
    vault
        .export("out/", &["--encrypt-to-file", "to.txt"])
        .success();
    let names = vault.room.files("out");
    assert!(
        names[0].ends_with("Z.json") && names[1].ends_with("Z.tar.zst.age"),
        "{names:?}"
    );
}

#[test]
fn damage_of_an_encrypted_archive_is_11_with_its_place() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    // Random bytes, so that the archive has several chunks.
    let mut random = fastrand::Rng::with_seed(5);
    for key in 0..4 {
        let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(100_000)
            .collect();
        vault.room.primary.with(|world| {
            let admin = world.admin();
            lifeboat_sim::secrets::create_scope(world, &format!("large-{key}"), &admin);
            lifeboat_sim::secrets::put_secret(world, &format!("large-{key}"), "value", &value);
        });
    }
    let to = ["--secret-values", "--encrypt-to", &vault.recipients[0]];
    vault.export(NAME, &to).success();
    let archive = vault.path(NAME);
    let bytes = std::fs::read(&archive).unwrap();
    let chunk = (64 << 10) + 16;
    assert!(
        bytes.len() > 3 * chunk,
        "{} bytes are too few for this test",
        bytes.len()
    );
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut swapped = bytes.clone();
    let (first, second) = swapped[bytes.len() - 3 * chunk..][..2 * chunk].split_at_mut(chunk);
    first.swap_with_slice(second);
    for damaged in [
        bytes[..bytes.len() / 2].to_vec(),
        bytes[..bytes.len() - 1].to_vec(),
        bytes[..200].to_vec(),
        flipped,
        swapped,
    ] {
        std::fs::write(&archive, damaged).unwrap();
        for command in ["verify", "extract"] {
            let mut tool = vault.room.tool("lifeboat-inspect", &[command, NAME]);
            if command == "extract" {
                tool.args(["/Users", "--to", "out"]);
            }
            let damage = tool.args(["--identity", "a.key"]).assert().code(11);
            let text = stderr(&damage);
            assert!(
                text.contains("byte ") && text.contains("of the encrypted file"),
                "{text}"
            );
        }
        let keys = ["--identity", "a.key", "--target", "2222222222222222"];
        vault.room.import("apply", &archive, &keys).code(11);
    }
    let writes = |call: &lifeboat_sim::Call| call.method != "GET";
    assert!(!vault.room.secondary.calls().iter().any(writes));
}

#[test]
fn a_signature_that_a_killed_run_left_is_replaced_by_a_signed_run_alone() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    vault.export("x.tar.zst", &["--sign", "sign.sec"]).success();
    std::fs::remove_file(vault.path("x.tar.zst")).unwrap();
    let unsigned = vault.export("x.tar.zst", &[]).code(14);
    assert!(
        stderr(&unsigned).contains("x.json.minisig"),
        "{}",
        stderr(&unsigned)
    );
    vault
        .export("x.tar.zst", &["--sign", "other.sec"])
        .success();
    vault
        .inspect(&["verify", "x.tar.zst", "--require-signature", "other.pub"])
        .success();
    // Its encrypted twin would take its descriptor away.
    let twin = vault
        .export("x.tar.zst.age", &["--encrypt-to", &vault.recipients[0]])
        .code(14);
    assert!(
        stderr(&twin).contains("x.tar.zst exists"),
        "{}",
        stderr(&twin)
    );
    std::fs::write(vault.path("y.json.minisig"), "notes of somebody").unwrap();
    vault.export("y.tar.zst", &["--sign", "sign.sec"]).code(14);
}

#[test]
fn an_encrypted_archive_is_a_base_for_whoever_has_its_key() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let [a, b] = &vault.recipients;
    std::fs::create_dir(vault.path("vault")).unwrap();
    // What was written just before the base listed it would be read again.
    let hour = std::time::Duration::from_secs(3600);
    vault.room.primary.advance(hour);
    vault
        .export("vault/one.tar.zst.age", &["--encrypt-to", a])
        .success();
    let contents = || {
        let calls = vault.room.primary.calls();
        let of_content = |call: &&lifeboat_sim::Call| call.path == "/api/2.0/workspace/export";
        calls.iter().filter(of_content).count()
    };
    for base in ["latest", "vault/one.tar.zst.age"] {
        let incremental = ["--encrypt-to", b, "--base", base, "--reread", "0%"];
        vault.room.primary.reset_calls();
        // Never a silent full run.
        for key in [vec![], vec!["--identity", "other.key"]] {
            let arguments = [incremental.as_slice(), &key].concat();
            vault.export("vault/two.tar.zst.age", &arguments).code(12);
        }
        assert_eq!(contents(), 0);
        let arguments = [incremental.as_slice(), &["--identity", "a.key"]].concat();
        vault.export("vault/two.tar.zst.age", &arguments).success();
        assert_eq!(contents(), 0, "{base}");
        let (one, two) = (
            vault.descriptor("vault/one.tar.zst"),
            vault.descriptor("vault/two.tar.zst"),
        );
        assert_eq!(one.content_id, two.content_id);
        assert!(two.counts.reused > 0);
        for file in ["two.tar.zst.age", "two.json"] {
            std::fs::remove_file(vault.path("vault").join(file)).unwrap();
        }
    }
}

/// Nights that begin to sign, and those of another key: nobody has to be there for the first one.
#[test]
fn the_first_signed_night_reads_everything_and_says_so() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    let advance = || {
        vault
            .room
            .primary
            .advance(std::time::Duration::from_secs(7200))
    };
    advance();
    std::fs::create_dir(vault.path("vault")).unwrap();
    vault.export("vault/plain.tar.zst", &[]).success();
    let mut before = "vault/plain.tar.zst";
    for (key, name) in [
        ("sign.sec", "vault/a.tar.zst"),
        ("other.sec", "vault/b.tar.zst"),
    ] {
        advance();
        let named = ["--sign", key, "--base", before];
        let refused = vault.export(name, &named).code(11);
        let said = stderr(&refused);
        assert!(said.contains("cannot take over from this base"), "{said}");
        assert!(
            said.contains("hint: it takes over only what the same key signed"),
            "{said}"
        );
        let first = vault
            .export(name, &["--sign", key, "--base", "latest"])
            .success();
        let said = stderr(&first);
        assert!(
            said.contains(&format!("{before} cannot be the base")),
            "{said}"
        );
        assert!(said.contains("so everything is read"), "{said}");
        advance();
        let next = name.replace(".tar", "-2.tar");
        let second = vault
            .export(&next, &["--sign", key, "--base", "latest"])
            .success();
        assert!(
            stdout(&second).contains(&format!("base {name} of ")),
            "{}",
            stdout(&second)
        );
        before = name;
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_could_be_taken_for_an_archive() {
    if !stock() {
        return;
    }
    let vault = Vault::new();
    vault
        .room
        .primary
        .set_latency(std::time::Duration::from_millis(50));
    let arguments = [
        "run",
        "--profile",
        "primary",
        "--to",
        "vault/x.tar.zst.age",
        "--encrypt-to",
        &vault.recipients[0],
        "--sign",
        "sign.sec",
    ];
    let folder = vault.room.dir.path();
    std::fs::create_dir(folder.join("vault")).unwrap();
    vault.room.primary.reset_calls();
    let mut child = common::process(folder, "lifeboat-export", &arguments)
        .spawn()
        .unwrap();
    while vault.room.primary.calls().len() < 40 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let names = vault.room.files("vault");
    assert!(
        names.iter().all(|name| name.starts_with(".lifeboat-")),
        "{names:?}"
    );
    // What is left of it is no archive, and not in the clear.
    for name in names {
        let bytes = std::fs::read(folder.join("vault").join(name)).unwrap();
        assert!(bytes.is_empty() || bytes.starts_with(b"age-encryption.org/v1"));
    }
    vault.room.primary.set_latency(std::time::Duration::ZERO);
    vault.protected("vault/x.tar.zst.age");
}
