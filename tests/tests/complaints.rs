//! `spec/complaints.md` names a test for every complaint: each of them exists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

/// The rows of all tables: number, source, complaint, what is done, tests.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| {
            line.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

/// What is wrong with one reference to a test.
fn fault(root: &Path, test: &str) -> Option<String> {
    let Some((file, name)) = test.split_once("::") else {
        return Some("it is not FILE::NAME".to_owned());
    };
    let Ok(source) = fs_err::read_to_string(root.join(file)) else {
        return Some(format!("there is no {file}"));
    };
    if file.ends_with(".sh") {
        let check = format!("\ncheck {name} ");
        return (!source.contains(&check)).then(|| format!("{file} has no check {name}"));
    }
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.contains(&format!("fn {name}(")) {
            // Tests of properties stand in a macro that makes them tests.
            return (!is_test).then(|| format!("{name} is no test"));
        } else if line == "}" {
            is_test = false;
        }
    }
    Some(format!("{file} has no test {name}"))
}

#[test]
fn every_complaint_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs_err::read_to_string(root.join("spec/complaints.md")).unwrap();
    let rows = rows(&text);
    let mut faults = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row.len(), 5, "{row:?}");
        assert_eq!(row[0], (at + 1).to_string(), "numbers go on");
        let tests: Vec<&str> = row[4]
            .split('`')
            .filter(|part| part.contains("::"))
            .collect();
        assert!(!tests.is_empty(), "row {} names no test", row[0]);
        faults.extend(
            tests
                .iter()
                .filter_map(|test| fault(root, test))
                .map(|fault| format!("row {}: {fault}", row[0])),
        );
    }
    assert!(rows.len() >= 30, "{}", rows.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_name_that_no_test_has_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let here = "tests/tests/complaints.rs";
    assert_eq!(
        fault(
            root,
            &format!("{here}::every_complaint_has_a_test_that_exists")
        ),
        None
    );
    for wrong in [
        "x",
        "tests/none.rs::a",
        &format!("{here}::nothing"),
        &format!("{here}::fault"),
        "tests/run.sh::nothing",
    ] {
        assert!(fault(root, wrong).is_some(), "{wrong}");
    }
}
