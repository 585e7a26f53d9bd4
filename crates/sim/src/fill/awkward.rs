//! Names and contents that are hard to carry, all of which the service allows.

use bytes::Bytes;
use serde_json::json;

use super::text::{Language, notebook};
use super::{Filler, compute, people, tree, work};
use crate::tree::{Object, put};

/// Where most of it stands.
const ROOT: &str = "/Shared/awkward";

/// Names of notebooks and files: what a file system, a shell, a URL or a tar file may trip over.
pub const NAMES: &[&str] = &[
    "Report",
    "report",
    "REPORT",
    "ends with dot.",
    "ends with space ",
    " begins with space",
    "  ",
    "12:30 run",
    "say \"hi\"",
    "it's",
    "100%",
    "100%25",
    "%2F",
    "a+b c",
    "a & b",
    "question?",
    "#hash",
    "star*",
    "less<more>",
    "pipe|pipe",
    "back\\slash",
    "semi;colon",
    "$HOME",
    "`tick`",
    "~",
    "~tilde",
    "Report~1",
    "-rf",
    "--help",
    ".hidden",
    "...",
    "dot.dot.",
    "CON",
    "con",
    "aux",
    "NUL.txt",
    "COM1",
    "LPT9.log",
    "rocket \u{1F680}",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{fb01}le",
    "\u{65e5}\u{672c}\u{8a9e}",
    "\u{645}\u{631}\u{62d}\u{628}\u{627}",
    "no\u{a0}break",
    "ends with nbsp\u{a0}",
    "zero\u{200b}width",
    "line\u{2028}separator",
    "next\u{85}line",
    "tab\tinside",
    "Stra\u{df}e",
    "STRASSE",
    "\u{130}stanbul",
    "istanbul",
    "[glob]",
    "{brace}",
    "(paren)",
    "a=b",
    "a,b",
    "@at",
    "!bang",
    "^caret",
    "job.py",
    "job",
    "archive.tar.zst",
];

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    people::one_more(filler, "o'neil+test@contoso.example", "Neil O'Neil");
    people::one_more(
        filler,
        "Zo\u{eb}.M\u{fc}ller@contoso.example",
        "Zo\u{eb} M\u{fc}ller",
    );
    names(filler);
    contents(filler);
    large(filler);
    files(filler);
    deep(filler);
    dbfs(filler);
    objects(filler);
    filler
        .world
        .libraries
        .on_all_clusters
        .push(json!({"pypi": {"package": "company-defaults==1.0"}}));
}

fn add(filler: &mut Filler<'_>, path: &str, object: Object) {
    let owner = filler.somebody();
    let folder = object == Object::Directory;
    let file = matches!(object, Object::File(_));
    let id = put(filler.world, path, object, &owner);
    match (folder, file) {
        (true, _) => filler.folders.push((path.to_owned(), id)),
        (_, true) => filler.files.push((path.to_owned(), id)),
        _ => filler.notebooks.push((path.to_owned(), id)),
    }
}

fn plain(content: impl Into<Bytes>) -> Object {
    Object::Notebook {
        language: Language::Python.name(),
        content: content.into(),
        jupyter: false,
    }
}

/// Every name as a notebook, as a file and as a directory with something in it.
fn names(filler: &mut Filler<'_>) {
    let longest = "n".repeat(255);
    let wide = "\u{65e5}".repeat(85);
    for (number, name) in NAMES
        .iter()
        .copied()
        .chain([longest.as_str(), wide.as_str()])
        .enumerate()
    {
        let text = notebook(
            &mut filler.rng,
            Language::Python,
            &format!("Awkward {number}"),
            2,
        );
        add(filler, &format!("{ROOT}/notebooks/{name}"), plain(text));
        add(
            filler,
            &format!("{ROOT}/files/{name}"),
            Object::File(format!("file {number}\n").into()),
        );
        add(filler, &format!("{ROOT}/folders/{name}"), Object::Directory);
        let text = notebook(
            &mut filler.rng,
            Language::Sql,
            &format!("Inside {number}"),
            1,
        );
        add(
            filler,
            &format!("{ROOT}/folders/{name}/inside"),
            Object::Notebook {
                language: "SQL",
                content: text.into(),
                jupyter: false,
            },
        );
    }
}

fn contents(filler: &mut Filler<'_>) {
    let head = "# Databricks notebook source\n";
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("header only", head.into()),
        ("no newline at the end", format!("{head}print(1)").into()),
        (
            "crlf",
            format!("{head}print(1)\n\n# COMMAND ----------\n\nprint(2)\n")
                .replace('\n', "\r\n")
                .into(),
        ),
        (
            "byte order mark",
            [&b"\xef\xbb\xbf"[..], head.as_bytes(), b"print(1)\n"].concat(),
        ),
        (
            "many newlines at the end",
            format!("{head}print(1)\n\n\n\n").into(),
        ),
        (
            "only emoji",
            format!("{head}# \u{1F680}\u{1F680}\u{1F680}\n").into(),
        ),
        ("trailing blanks", format!("{head}x = 1   \n\t\n").into()),
    ];
    for (name, content) in cases {
        add(filler, &format!("{ROOT}/contents/{name}"), plain(content));
    }
    let jupyter = tree::ipynb("jupyter", "print('h\u{e9}llo')\n").into();
    add(
        filler,
        &format!("{ROOT}/contents/jupyter"),
        Object::Notebook {
            language: "PYTHON",
            content: jupyter,
            jupyter: true,
        },
    );
}

/// One notebook that just fits through `workspace/export`, and one that does not.
fn large(filler: &mut Filler<'_>) {
    for (name, size) in [("9.9 MB", 9_900_000), ("over 10 MB", 10_485_760 + 64_000)] {
        let mut text = notebook(&mut filler.rng, Language::Python, name, 20);
        let cell = format!(
            "\n# COMMAND ----------\n\ntable = \"{}\"\n",
            "0123456789abcdef".repeat(250)
        );
        while text.len() + cell.len() < size {
            text.push_str(&cell);
        }
        add(filler, &format!("{ROOT}/large/{name}"), plain(text));
    }
}

fn files(filler: &mut Filler<'_>) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (name, content) in [
        ("empty.txt", Vec::new()),
        ("zeros.bin", vec![0; 4096]),
        ("every byte.bin", every_byte),
        ("not utf-8.txt", b"caf\xe9\xff\xfe\n".to_vec()),
        ("crlf.csv", b"a,b\r\n1,2\r\n".to_vec()),
        (
            "looks_like_a_notebook.py",
            b"# Databricks notebook source\nprint('a file all the same')\n".to_vec(),
        ),
        ("notebook.ipynb", tree::ipynb("a file", "1\n").into_bytes()),
        ("one MiB.bin", vec![7; 1 << 20]),
    ] {
        add(
            filler,
            &format!("{ROOT}/contents/{name}"),
            Object::File(content.into()),
        );
    }
}

/// Folders in folders, the innermost empty.
fn deep(filler: &mut Filler<'_>) {
    let mut path = format!("{ROOT}/deep");
    for level in 0..24 {
        path.push_str(&format!("/level {level}"));
        add(filler, &path, Object::Directory);
    }
    add(filler, &format!("{ROOT}/package.py"), Object::Directory);
    add(
        filler,
        &format!("{ROOT}/package.py/__init__.py"),
        Object::File(Bytes::from_static(b"\n")),
    );
}

fn dbfs(filler: &mut Filler<'_>) {
    for (name, content) in [
        ("empty", Vec::new()),
        ("with space.csv", b"1\n".to_vec()),
        ("%41.csv", b"2\n".to_vec()),
        ("#hash?.csv", b"3\n".to_vec()),
        ("\u{fc}n\u{ef}code \u{1F680}.csv", b"4\n".to_vec()),
        ("Case.csv", b"5\n".to_vec()),
        ("case.csv", b"6\n".to_vec()),
        ("exactly one MiB", vec![1; 1 << 20]),
        ("one MiB and a byte", vec![2; (1 << 20) + 1]),
    ] {
        crate::dbfs::put(
            filler.world,
            &format!("/FileStore/awkward/{name}"),
            content.into(),
        );
    }
}

/// Objects outside the tree whose names are hard, and jobs that share a name.
fn objects(filler: &mut Filler<'_>) {
    let admin = filler.world.admin();
    let task = json!({"task_key": "a", "notebook_task": {"notebook_path": format!("{ROOT}/notebooks/caf\u{e9}")}});
    for name in [
        "nightly \u{1F680} \"quoted\" / 50%",
        "same name",
        "same name",
        " ",
        &"j".repeat(4096),
    ] {
        let number = filler.jobs.len();
        work::add(
            filler,
            json!({"name": name, "tasks": [task], "tags": {"number": format!("{number}")}}),
        );
    }
    let pool = json!({"instance_pool_name": "p".repeat(100), "node_type_id": "Standard_DS3_v2"});
    crate::pools::place(filler.world, compute::fields(pool), &admin)
        .expect("generated pools are valid");
    let policy = json!({"name": "a/b: \"c\" \u{1F680}", "definition": "{ \"spark_version\" : {\"type\": \"unlimited\",\n \"defaultValue\": \"15.4.x-scala2.12\"} }"});
    crate::policies::place(filler.world, &compute::fields(policy), &admin)
        .expect("generated policies are valid");
    for workers in [1, 2] {
        let body = json!({"cluster_name": "same \u{1F680} name", "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": workers, "autotermination_minutes": 20});
        let id = crate::clusters::place(
            filler.world,
            &body,
            &admin,
            crate::clock::EPOCH_MS - 86_400_000,
        )
        .expect("generated clusters are valid");
        filler.clusters.push(id);
    }
    strict_policy(filler);
    crate::secrets::create_scope(filler.world, "Scope_with.all-Signs_0", &admin);
    crate::init_scripts::add(
        filler.world,
        "caf\u{e9} \"quoted\"",
        b"#!/bin/bash\r\necho crlf\r\n",
        true,
    );
}

/// A cluster whose policy fixes what a restore would like to choose for the time being.
fn strict_policy(filler: &mut Filler<'_>) {
    let admin = filler.world.admin();
    let rules = json!({"autotermination_minutes": {"type": "fixed", "value": 45}, "spark_version": {"type": "allowlist", "values": ["15.4.x-scala2.12"]}});
    let policy =
        compute::fields(json!({"name": "fixed autotermination", "definition": rules.to_string()}));
    let policy = crate::policies::place(filler.world, &policy, &admin)
        .expect("generated policies are valid");
    let body = json!({"cluster_name": "under a strict policy", "policy_id": policy, "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1});
    let id = crate::clusters::place(
        filler.world,
        &body,
        &admin,
        crate::clock::EPOCH_MS - 86_400_000,
    )
    .expect("generated clusters are valid");
    filler.clusters.push(id);
    filler.policies.push(policy);
}
