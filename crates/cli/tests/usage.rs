//! Wrong usage, help, and what needs no workspace.

mod common;

use common::{stderr, stdout, tool};

fn run(name: &str, arguments: &[&str]) -> assert_cmd::assert::Assert {
    tool(&std::env::temp_dir(), name, arguments).assert()
}

#[test]
fn wrong_usage_is_2_and_names_the_argument() {
    for (name, arguments, said) in [
        ("lifeboat-export", &["run"][..], "--to"),
        ("lifeboat-export", &[], "Usage"),
        ("lifeboat-export", &["fly"], "fly"),
        (
            "lifeboat-export",
            &["run", "--to", "x", "--kinds", "jobs,planes"],
            "known kinds",
        ),
        (
            "lifeboat-export",
            &["run", "--to", "x", "--max-file", "1MB"],
            "use KiB",
        ),
        (
            "lifeboat-export",
            &["run", "--to", "x", "--level", "99"],
            "99",
        ),
        (
            "lifeboat-export",
            &["run", "--to", "x", "-q", "-v"],
            "cannot be used with",
        ),
        ("lifeboat-import", &["apply"], "<ARCHIVE>"),
        (
            "lifeboat-import",
            &["plan", "a", "--recheck", "some"],
            "some",
        ),
        (
            "lifeboat-import",
            &["apply", "a", "--orphans", "foo"],
            "no absolute path",
        ),
        (
            "lifeboat-import",
            &["plan", "a", "--orphans", "/"],
            "every workspace",
        ),
        (
            "lifeboat-import",
            &["plan", "a", "--orphans", "/Users"],
            "every workspace",
        ),
        (
            "lifeboat-import",
            &["plan", "a", "--orphans", "/Users/a@b.c/Trash/x"],
            "such as /Restored",
        ),
        (
            "lifeboat-import",
            &[
                "apply",
                "a",
                "--as-prefix",
                "Restored",
                "--include",
                "/Shared/**",
            ],
            "no absolute path",
        ),
        (
            "lifeboat-import",
            &[
                "compare",
                "a",
                "--as-prefix",
                "/Repos/x/y",
                "--include",
                "/Shared/**",
            ],
            "only git folders",
        ),
        (
            "lifeboat-import",
            &[
                "apply",
                "a",
                "--target",
                "https://adb-7405609123456789.9.azuredatabricks.net/",
            ],
            "that of this address is 7405609123456789",
        ),
        (
            "lifeboat-import",
            &["activate", "--target", "secondary"],
            "a workspace id is a number",
        ),
        (
            "lifeboat-import",
            &["activate", "--source", "primary"],
            "a workspace id is a number",
        ),
        ("lifeboat-inspect", &["cat", "a"], "<NAME>"),
        ("lifeboat-inspect", &["extract", "a"], "--to"),
    ] {
        let assert = run(name, arguments).code(2);
        assert!(
            stderr(&assert).contains(said),
            "{name} {arguments:?}: {}",
            stderr(&assert)
        );
        assert_eq!(stdout(&assert), "", "{name} {arguments:?}");
    }
}

#[test]
fn wrong_usage_is_an_object_where_objects_are_wanted() {
    let assert = run("lifeboat-export", &["run", "--json", "--level", "99"]).code(2);
    let object: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(object["event"], "error");
    assert_eq!(object["exit_code"], 2);
    assert!(
        object["message"].as_str().unwrap().contains("99"),
        "{object}"
    );
    assert_eq!(stderr(&assert), "");
}

#[test]
fn help_and_version_are_no_failure() {
    for name in [
        "lifeboat-export",
        "lifeboat-import",
        "lifeboat-inspect",
        "lifeboat-demo",
    ] {
        assert!(stdout(&run(name, &["--help"]).success()).contains("Usage"));
        assert!(stdout(&run(name, &["--version"]).success()).contains(env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_broken_limits_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("limits"),
        "workspace-export = 60/s\nworkspace-export = fast\n",
    )
    .unwrap();
    let assert = tool(
        dir.path(),
        "lifeboat-export",
        &["run", "--to", "x", "--limits", "limits"],
    )
    .env("DATABRICKS_HOST", "http://127.0.0.1:9")
    .env("DATABRICKS_TOKEN", "t")
    .assert()
    .code(2);
    assert!(stderr(&assert).contains("line 2"), "{}", stderr(&assert));
}

#[test]
fn an_address_that_cannot_be_used_is_wrong_usage() {
    for (address, why) in [
        ("az://container/x.tar.zst", "names no storage account"),
        ("gs://bucket/x.tar.zst", "is no place for an archive"),
    ] {
        let assert = run("lifeboat-inspect", &["info", address]).code(2);
        let text = stderr(&assert);
        assert!(text.contains(why) && text.contains(address), "{text}");
    }
}
