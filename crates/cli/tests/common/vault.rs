//! A room with keys of the stock `age` and `minisign`, for tests of encrypted and signed archives. Without those programs the
//! tests are skipped with a line that says so.

#![allow(clippy::print_stdout, reason = "what is skipped is said")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assert_cmd::assert::Assert;
use lifeboat_archive::Descriptor;

use super::Room;

/// Whether the stock programs are there.
pub fn stock() -> bool {
    for program in ["age", "age-keygen", "minisign", "zstd"] {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            println!("SKIPPED {program}: not installed");
            return false;
        }
    }
    true
}

/// Runs a stock program in `folder`, with `input`, and gives what it wrote.
pub fn run(folder: &Path, input: &str, program: &str, arguments: &[&str]) -> (bool, Vec<u8>) {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

pub fn must(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let (success, output) = run(folder, "", program, arguments);
    assert!(success, "{program} {arguments:?}");
    output
}

/// A room with identities `a.key`, `b.key`, `other.key`, and pairs of signing keys `sign`, `other`.
pub struct Vault {
    pub room: Room,
    pub recipients: [String; 2],
}

impl Vault {
    pub fn new() -> Self {
        let room = Room::filled();
        let folder = room.dir.path();
        let recipient = |name: &str| {
            must(folder, "age-keygen", &["-o", name]);
            let public = must(folder, "age-keygen", &["-y", name]);
            String::from_utf8(public).unwrap().trim().to_owned()
        };
        let recipients = [recipient("a.key"), recipient("b.key")];
        recipient("other.key");
        for name in ["sign", "other"] {
            let (public, secret) = (format!("{name}.pub"), format!("{name}.sec"));
            must(
                folder,
                "minisign",
                &["-G", "-W", "-p", &public, "-s", &secret],
            );
        }
        Self { room, recipients }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path(name)
    }

    pub fn export(&self, to: &str, more: &[&str]) -> Assert {
        let run = ["run", "--profile", "primary", "--limits", "off", "--to", to];
        self.room.tool("lifeboat-export", &run).args(more).assert()
    }

    pub fn protected(&self, to: &str) -> PathBuf {
        let [a, b] = &self.recipients;
        self.export(
            to,
            &["--encrypt-to", a, "--encrypt-to", b, "--sign", "sign.sec"],
        )
        .success();
        self.path(to)
    }

    pub fn inspect(&self, arguments: &[&str]) -> Assert {
        self.room.tool("lifeboat-inspect", arguments).assert()
    }

    pub fn descriptor(&self, archive: &str) -> Descriptor {
        let path = Descriptor::path_for(&self.path(archive));
        Descriptor::parse(&std::fs::read(path).unwrap()).unwrap()
    }
}
