//! spec/records.md says what the catalog says.
//!
//! The part below "Kinds" is derived from the catalog; `LIFEBOAT_BLESS=1` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot read")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use lifeboat_catalog::{Kind, Layout, NaturalKey, Paging, kinds};

const HEADING: &str = "\n## Kinds\n";

fn spec() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/records.md")
}

fn list<T>(out: &mut String, title: &str, items: &[T], line: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    writeln!(out, "\n{title}:\n").unwrap();
    for item in items {
        writeln!(out, "- {}", line(item)).unwrap();
    }
}

fn folder(kind: &Kind) -> String {
    match kind.layout {
        Layout::Object => format!("file `data/{}/<id>.json` each", kind.name),
        Layout::Table => format!("lines of the table `data/{}`", kind.name),
        Layout::Tree if kind.name == "dbfs" => "lines of the table `data/dbfs`".to_owned(),
        Layout::Tree => "lines of the table `data/workspace`".to_owned(),
    }
}

fn natural_key(kind: &Kind) -> String {
    let place = kind.natural_key.place();
    match kind.natural_key {
        NaturalKey::Name(_) => format!("name, `{place}`"),
        NaturalKey::FoldedName(_) => format!("folded name, `{place}`"),
        NaturalKey::NameAndContent(_) => format!("name and content, `{place}`"),
        NaturalKey::Owner(_) => format!("owner, `{place}`"),
    }
}

fn calls(kind: &Kind) -> Vec<String> {
    let mut calls = Vec::new();
    if let Some(list) = &kind.list {
        let paging = match list.paging {
            Paging::None => "not paged",
            Paging::PageToken { .. } => "page_token",
            Paging::NextPageToken => "next_page_token",
            Paging::Scim { .. } => "startIndex",
        };
        calls.push(format!(
            "listed by `GET {}`, array `{}`, {paging}",
            list.path, list.array
        ));
    }
    if let Some(read) = kind.read {
        calls.push(format!("read by `GET {}`", read.path));
    }
    for (verb, write) in [
        ("created", kind.create),
        ("updated", kind.update),
        ("deleted", kind.delete),
    ] {
        if let Some(write) = write {
            calls.push(format!("{verb} by `{} {}`", write.method, write.path));
        }
    }
    calls
}

fn section(kind: &Kind) -> String {
    let mut out = format!("\n### {}\n\n", kind.name);
    writeln!(out, "- stored as {}", folder(kind)).unwrap();
    writeln!(out, "- identity: `{}`", kind.id).unwrap();
    writeln!(out, "- name: `{}`", kind.label).unwrap();
    writeln!(out, "- natural key: {}", natural_key(kind)).unwrap();
    for call in calls(kind) {
        writeln!(out, "- {call}").unwrap();
    }
    if let Some(permissions) = kind.permissions {
        let owner = if permissions.has_owner {
            "; exactly one owner"
        } else {
            ""
        };
        let levels = permissions.levels.join(", ");
        writeln!(
            out,
            "- access control: segment `{}`, levels {levels}{owner}",
            permissions.segment
        )
        .unwrap();
    }
    list(&mut out, "Volatile", kind.volatile, |place| {
        format!("`{place}`")
    });
    list(&mut out, "Server-set", kind.server_set, |place| {
        format!("`{place}`")
    });
    list(
        &mut out,
        "Server defaults",
        kind.defaults,
        |(place, value)| format!("`{place}`: `{value}`"),
    );
    let by = |(place, key): &(&str, &str)| {
        if key.is_empty() {
            format!("`{place}`")
        } else {
            format!("`{place}` by `{key}`")
        }
    };
    list(&mut out, "Sorted at export", kind.unordered, by);
    list(
        &mut out,
        "Without order when compared",
        kind.compared_unordered,
        by,
    );
    list(&mut out, "References", kind.references, |one| {
        format!("`{}`: {:?}, {:?}", one.place, one.to, one.form)
    });
    list(&mut out, "Passive", kind.passive, |one| {
        let within = if one.within.is_empty() {
            "the body".to_owned()
        } else {
            format!("`{}`", one.within)
        };
        format!("`{}` = `{}` in {within}", one.field, one.value)
    });
    out
}

#[test]
fn the_spec_lists_what_the_catalog_holds() {
    let text = fs::read_to_string(spec()).unwrap();
    let (prose, listed) = text.split_once(HEADING).unwrap();
    let derived: String = kinds().iter().map(|kind| section(kind)).collect();
    if std::env::var_os("LIFEBOAT_BLESS").is_some() {
        fs::write(spec(), format!("{prose}{HEADING}{derived}")).unwrap();
        return;
    }
    for (number, (listed, derived)) in listed.lines().zip(derived.lines()).enumerate() {
        assert_eq!(
            listed, derived,
            "line {number} below the heading; write it anew with LIFEBOAT_BLESS=1"
        );
    }
    assert_eq!(listed.lines().count(), derived.lines().count());
}

#[test]
fn the_prose_explains_every_form_and_word_of_the_lists() {
    let text = fs::read_to_string(spec()).unwrap();
    let (prose, _) = text.split_once(HEADING).unwrap();
    for reference in kinds().iter().flat_map(|kind| kind.references) {
        let form = format!("| `{:?}` |", reference.form);
        assert!(prose.contains(&form), "{form} is not explained");
    }
    for word in [
        "*Volatile*",
        "*server-set*",
        "*server defaults*",
        "*sorted*",
        "*passive*",
        "`Principal`",
        "`AnyPath`",
    ] {
        assert!(prose.contains(word), "{word} is not explained");
    }
}

#[test]
fn names_of_kinds_are_fit_for_folders_and_unique() {
    let mut names: Vec<&str> = kinds().iter().map(|kind| kind.name).collect();
    assert!(names.iter().all(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    }));
    assert!(kinds().is_sorted_by_key(|kind| kind.stage));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), kinds().len());
}

#[test]
fn json_texts_of_the_catalog_are_json() {
    for kind in kinds() {
        let texts = kind
            .defaults
            .iter()
            .map(|(_, text)| *text)
            .chain(kind.passive.iter().map(|one| one.value));
        for text in texts {
            assert!(
                serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "{}: {text}",
                kind.name
            );
        }
    }
}
