//! Conformance: what Lifeboat writes is accepted by tools that know nothing of it.
//!
//! GNU tar, `zstd -t`, `sha256sum -c` and the `bagit` validator look at the frozen archives and at fresh ones. `bagit`
//! runs in the Python environment that `LIFEBOAT_PYTHON` names; what is not installed is skipped with a line that says so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failure in a helper is a failed test, and what is skipped is said"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_archive::*;

/// Runs a tool and gives what it printed; `None` when it is not installed.
fn run(command: &mut Command) -> Option<String> {
    // Names are printed raw, and messages in English.
    let output = match command.env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED {}: not installed", command.get_program().display());
            return None;
        }
        Err(error) => panic!("{command:?}: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    Some(text)
}

/// Shows `archive` to all tools.
fn accepted_by_stock_tools(archive: &Path) {
    let members: Vec<Member> = Archive::open(archive)
        .unwrap()
        .members("")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    run(Command::new("zstd").args(["-q", "-t"]).arg(archive));
    let folder = tempfile::tempdir().unwrap();
    let unpacked = run(Command::new("tar")
        .arg("--zstd")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(folder.path()));
    let Some(warnings) = unpacked else { return };
    assert_eq!(
        warnings,
        "",
        "tar has something to say about {}",
        archive.display()
    );
    let tops: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [bag] = tops.as_slice() else {
        panic!("one top folder, not {tops:?}")
    };

    let names = run(Command::new("tar")
        .args(["--zstd", "--quoting-style=literal", "-tf"])
        .arg(archive))
    .unwrap();
    let top = bag.file_name().unwrap().to_str().unwrap();
    let mut listed: Vec<&str> = names
        .lines()
        .map(|name| name.strip_prefix(top).unwrap().trim_start_matches('/'))
        .collect();
    listed.sort_unstable();
    for member in &members {
        assert!(
            listed.binary_search(&member.path.as_str()).is_ok(),
            "tar does not list {:?}",
            member.path
        );
        let on_disk = std::fs::read(bag.join(&member.path)).unwrap();
        assert_eq!(Digest::of(&on_disk), member.sha256, "{:?}", member.path);
    }

    for manifest in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        run(Command::new("sha256sum")
            .args(["--strict", "--quiet", "-c", manifest])
            .current_dir(bag));
    }
    match std::env::var_os("LIFEBOAT_PYTHON") {
        Some(python) => {
            run(Command::new(python)
                .args(["-m", "bagit", "--quiet", "--validate"])
                .arg(bag));
        }
        None => println!("SKIPPED bagit: LIFEBOAT_PYTHON names no Python environment"),
    }
    let report = Archive::open(bag).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damage, [], "the unpacked bag");
}

fn new_writer(bag: &str) -> Writer<Vec<u8>> {
    let source = Source {
        host: "adb-1.0.azuredatabricks.net".to_owned(),
        workspace_id: "1".to_owned(),
        cloud: "azure".to_owned(),
    };
    let header = Header::new(
        "archive_stock_tools".to_owned(),
        source,
        "2026-11-22T01:00:00Z".parse().unwrap(),
        Scope::Workspace,
        serde_json::json!({}),
    );
    let options = WriterOptions {
        bag: bag.to_owned(),
        level: 3,
        threads: 2,
        spill_dir: None,
    };
    Writer::create(Vec::new(), options, &header).unwrap()
}

fn finished(writer: Writer<Vec<u8>>) -> (tempfile::TempDir, PathBuf) {
    let summary = Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: Default::default(),
    };
    let (bytes, _) = writer
        .finish(&summary, "2026-11-22T01:10:00Z".parse().unwrap())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.zst");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn frozen_archives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/archives");
    let mut seen = 0;
    for version in std::fs::read_dir(folder).unwrap() {
        let version = version.unwrap().path();
        if !version.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(version).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "zst") {
                accepted_by_stock_tools(&file);
                seen += 1;
            }
        }
    }
    assert!(seen >= 3, "{seen} frozen archives");
}

/// Every character of the Basic Multilingual Plane that is not a letter of some script, in a name of its own, and
/// some more: whatever the rule for names lets through has to be accepted.
#[test]
fn names_with_every_odd_character() {
    let odd: Vec<String> = (1u32..0x1_0000)
        .chain(0x1_f600..0x1_f610)
        .chain(0xe_0000..0xe_0080)
        .filter_map(char::from_u32)
        .filter(|c| !c.is_alphanumeric() || c.is_ascii())
        .filter(|c| (*c as u32) < 0x3000 || (*c as u32) >= 0xe000)
        .filter(|c| !(0xe010..0xf8f0).contains(&(*c as u32)))
        .map(|c| format!("{c}x{c}"))
        .collect();
    let ids: Vec<String> = (0..odd.len()).map(|i| i.to_string()).collect();
    let siblings: Vec<names::Sibling<'_>> = odd
        .iter()
        .zip(&ids)
        .map(|(name, id)| names::Sibling {
            name,
            extension: "",
            id,
        })
        .collect();
    let mut writer = new_writer("odd ünïcode bag");
    for (component, id) in names::assign(&siblings).into_iter().zip(&ids) {
        writer
            .add(
                &format!("data/x/{component}"),
                Content::Bytes(id.clone().into_bytes()),
            )
            .unwrap();
    }
    let (_folder, path) = finished(writer);
    accepted_by_stock_tools(&path);
}

#[test]
fn large_members_tables_and_long_paths() {
    let mut writer = new_writer("bag");
    for size in [0usize, 1, 511, 512, 513, (2 << 20) - 512, 5 << 20] {
        let content: Vec<u8> = (0..size).map(|i| (i / 3 % 251) as u8).collect();
        writer
            .add(&format!("data/sizes/{size}"), Content::Bytes(content))
            .unwrap();
    }
    for length in [80, 99, 100, 101, 150, 200] {
        let path = format!("data/{}/{}", "p".repeat(length), "é".repeat(length / 2));
        writer
            .add(&path, Content::Bytes(vec![b'x'; length]))
            .unwrap();
    }
    let mut table = TableWriter::new("data/workspace");
    for i in 0..30_000 {
        table
            .push(
                &mut writer,
                &format!(r#"{{"path":"/{i:06}","facts":"{}"}}"#, "y".repeat(200)),
            )
            .unwrap();
    }
    assert!(table.finish(&mut writer).unwrap() > 1);
    writer
        .add_tag("run.json", Content::Bytes(b"{}".to_vec()))
        .unwrap();
    let (_folder, path) = finished(writer);
    accepted_by_stock_tools(&path);
}

#[test]
fn a_bag_with_nothing_in_it() {
    let (_folder, path) = finished(new_writer("bag"));
    accepted_by_stock_tools(&path);
}
