//! Names, descriptors and what they say together; the stores themselves are tested in `tests/`.

use super::*;
use crate::destination::tests::descriptor;

const NOW: &str = "2026-11-22T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A descriptor of a run that began at `started`, of an archive of `size` bytes.
fn of(workspace: &str, started: &str, size: u64) -> Box<Descriptor> {
    Box::new(Descriptor {
        workspace_id: workspace.to_owned(),
        started: at(started),
        finished: at(started),
        size,
        ..descriptor()
    })
}

/// Files by name: archives and others of so many bytes, documents with their content.
enum File<'f> {
    Bytes(u64),
    Of(Box<Descriptor>),
    Text(&'f str),
}

fn list(files: &[(&str, File<'_>)]) -> Listing {
    let content = |file: &File<'_>| match file {
        File::Bytes(_) => None,
        File::Of(descriptor) => Some(descriptor.to_bytes().unwrap()),
        File::Text(text) => Some(text.as_bytes().to_vec()),
    };
    let objects = files.iter().map(|(name, file)| Object {
        name: (*name).to_owned(),
        modified: at(NOW),
        identity: Identity {
            size: match file {
                File::Bytes(size) => *size,
                other => content(other).unwrap().len() as u64,
            },
            e_tag: None,
            modified: None,
        },
    });
    Listing::of(Place::Local("b".into()), objects.collect(), |wanted| {
        let find = |object: &Object| files.iter().find(|(name, _)| *name == object.name).unwrap();
        Ok(wanted
            .iter()
            .map(|object| content(&find(object).1))
            .collect())
    })
    .unwrap()
}

fn standings(listing: &Listing) -> Vec<(&str, Standing)> {
    let archives = listing.archives.iter();
    archives
        .map(|listed| (listed.name.as_str(), listed.standing()))
        .collect()
}

#[test]
fn what_belongs_together_is_put_together() {
    let started = "2026-11-22T01:00:00Z";
    let listing = list(&[
        ("a.tar.zst", File::Bytes(7)),
        ("a.json", File::Of(of("1", started, 7))),
        ("a.json.minisig", File::Bytes(200)),
        ("b.tar.zst.age", File::Bytes(8)),
        ("b.json", File::Of(of("1", started, 8))),
        ("c.partial.tar.zst", File::Bytes(9)),
        ("c.partial.json", File::Of(of("1", started, 9))),
        ("d.tar.zst", File::Bytes(10)),
        ("named-by-hand", File::Bytes(11)),
        ("named-by-hand.json", File::Of(of("1", started, 11))),
        ("alone.json", File::Of(of("1", started, 12))),
        ("notes.json", File::Text("{}")),
        ("notes", File::Bytes(1)),
        ("readme.txt", File::Bytes(1)),
        (".lifeboat-x.part", File::Bytes(1)),
        ("stray.json.minisig", File::Bytes(200)),
    ]);
    assert_eq!(
        standings(&listing),
        [
            ("a.tar.zst", Standing::Counting),
            ("b.tar.zst.age", Standing::Counting),
            ("c.partial.tar.zst", Standing::Partial),
            ("d.tar.zst", Standing::Unknown),
            ("named-by-hand", Standing::Counting),
        ]
    );
    let signed: Vec<bool> = listing
        .archives
        .iter()
        .map(|one| one.signature.is_some())
        .collect();
    assert_eq!(signed, [true, false, false, false, false]);
    let litter: Vec<&str> = listing.litter.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(litter, ["alone.json"]);
    // notes.json, notes, readme.txt, the growing file, the stray signature.
    assert_eq!(listing.foreign, 5);
    assert_eq!(
        listing.archives[0].place,
        Place::Local("b/a.tar.zst".into())
    );
}

#[test]
fn what_a_run_could_not_list_or_was_not_asked_for_does_not_count() {
    let incomplete = Descriptor {
        inventory: Inventory::Incomplete,
        ..*of("1", NOW, 1)
    };
    let selection = Descriptor {
        scope: Scope::Selection,
        ..*of("1", NOW, 1)
    };
    let listing = list(&[
        ("i.tar.zst", File::Bytes(1)),
        ("i.json", File::Of(Box::new(incomplete))),
        ("s.tar.zst", File::Bytes(1)),
        ("s.json", File::Of(Box::new(selection))),
    ]);
    assert_eq!(
        standings(&listing),
        [
            ("i.tar.zst", Standing::Incomplete),
            ("s.tar.zst", Standing::Selection)
        ]
    );
    assert!(listing.latest(None, at(NOW)).is_err());
    let bases = listing.bases("1", at(NOW));
    let names: Vec<&str> = bases.iter().map(|base| base.name.as_str()).collect();
    assert_eq!(names, ["i.tar.zst", "s.tar.zst"], "selections come last");
}

#[test]
fn a_descriptor_that_cannot_be_used_is_named() {
    let listing = list(&[
        ("broken.tar.zst", File::Bytes(1)),
        ("broken.json", File::Text("{\"format\":\"lifeboat\"")),
        ("cut.tar.zst", File::Bytes(5)),
        ("cut.json", File::Of(of("1", NOW, 6))),
        ("later.tar.zst", File::Bytes(1)),
        (
            "later.json",
            File::Text("{\"format\":\"lifeboat\",\"version\":\"9.0\"}"),
        ),
        ("large.tar.zst", File::Bytes(1)),
        ("large.json", File::Bytes(MOST_BYTES + 1)),
    ]);
    let what: Vec<&str> = listing
        .archives
        .iter()
        .map(|listed| match &listed.state {
            State::Unclear { what } => what.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    for (what, expected) in what.iter().zip([
        "not a descriptor",
        "of an archive of 6 bytes, this one has 5",
        "65537 bytes",
        "format version 9.0",
    ]) {
        assert!(what.contains(expected), "{what}");
    }
    assert!(listing.workspaces().is_empty());
}

#[test]
fn latest_is_the_newest_one_that_counts() {
    let listing = list(&[
        ("1.tar.zst", File::Bytes(1)),
        ("1.json", File::Of(of("1", "2026-11-20T01:00:00Z", 1))),
        ("2.tar.zst", File::Bytes(1)),
        ("2.json", File::Of(of("1", "2026-11-21T01:00:00Z", 1))),
        ("3.partial.tar.zst", File::Bytes(1)),
        (
            "3.partial.json",
            File::Of(of("1", "2026-11-22T01:00:00Z", 1)),
        ),
        ("wrong-clock.tar.zst", File::Bytes(1)),
        (
            "wrong-clock.json",
            File::Of(of("1", "2031-01-01T01:00:00Z", 1)),
        ),
    ]);
    let now = at(NOW);
    let name = |found: Result<&Listed, Error>| found.unwrap().name.clone();
    assert_eq!(name(listing.latest(None, now)), "2.tar.zst");
    assert_eq!(name(listing.latest(Some("1"), now)), "2.tar.zst");
    let bases = listing.bases("1", now);
    let names: Vec<&str> = bases.iter().map(|base| base.name.as_str()).collect();
    assert_eq!(names, ["3.partial.tar.zst", "2.tar.zst", "1.tar.zst"]);
    assert_eq!(listing.bases("2", now).len(), 0);
    let early = listing
        .latest(None, at("2026-11-19T00:00:00Z"))
        .unwrap_err();
    assert!(
        early.to_string().contains("are dated in the future"),
        "{early}"
    );
    assert!(listing.latest(Some("2"), now).is_err());
}

#[test]
fn a_partial_archive_is_a_base_only_when_it_holds_as_much_as_the_last_complete_one() {
    let holding = |started, members| {
        let mut descriptor = of("1", started, 1);
        descriptor.counts.payload_members = members;
        File::Of(descriptor)
    };
    let bases = |first: u64, second: u64| {
        let listing = list(&[
            ("0.tar.zst", File::Bytes(1)),
            ("0.json", holding("2026-11-19T01:00:00Z", 500)),
            ("1.tar.zst", File::Bytes(1)),
            ("1.json", holding("2026-11-20T01:00:00Z", 100)),
            ("2.partial.tar.zst", File::Bytes(1)),
            ("2.partial.json", holding("2026-11-21T01:00:00Z", first)),
            ("3.partial.tar.zst", File::Bytes(1)),
            ("3.partial.json", holding("2026-11-22T01:00:00Z", second)),
        ]);
        let bases = listing.bases("1", at(NOW));
        bases
            .iter()
            .map(|base| base.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bases(3, 2),
        [
            "1.tar.zst",
            "3.partial.tar.zst",
            "2.partial.tar.zst",
            "0.tar.zst"
        ]
    );
    assert_eq!(bases(3, 100)[0], "3.partial.tar.zst");
    assert_eq!(
        bases(101, 2)[..2],
        ["2.partial.tar.zst", "3.partial.tar.zst"]
    );
}

#[test]
fn several_workspaces_have_no_latest_of_all() {
    let listing = list(&[
        ("1.tar.zst", File::Bytes(1)),
        ("1.json", File::Of(of("1", "2026-11-20T01:00:00Z", 1))),
        ("2.tar.zst", File::Bytes(1)),
        ("2.json", File::Of(of("2", "2026-11-21T01:00:00Z", 1))),
    ]);
    match listing.latest(None, at(NOW)) {
        Err(error @ Error::ManyWorkspaces { .. }) => {
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("1, 2"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        listing.latest(Some("1"), at(NOW)).unwrap().name,
        "1.tar.zst"
    );
}

#[test]
fn a_local_folder_is_listed_and_its_latest_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let put =
        |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    put("x.tar.zst", b"1234567");
    put(
        "x.json",
        &of("1", "2026-11-20T01:00:00Z", 7).to_bytes().unwrap(),
    );
    std::fs::create_dir(folder.path().join("below.tar.zst")).unwrap();
    let latest = Place::Local(folder.path().join(LATEST));
    let resolve = |place: &Place| {
        resolve(place, None, &Settings::new(), Region::Primary, &|_| {})
            .unwrap()
            .0
    };
    assert_eq!(
        resolve(&latest),
        Place::Local(folder.path().join("x.tar.zst"))
    );
    put(LATEST, b"");
    assert_eq!(resolve(&latest), latest);
    let missing = Place::Local(folder.path().join("missing"));
    let error = Listing::read(&missing, &Settings::new(), Region::Primary, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn the_last_part_latest_is_a_word_of_its_own() {
    for (text, folder) in [
        ("az://vault/nightly/latest", Some("az://vault/nightly/")),
        ("az://vault/latest", Some("az://vault/")),
        ("az://vault/nightly/the-latest", None),
        ("az://vault/latest/", None),
        ("backups/latest", Some("backups")),
        ("latest", Some(".")),
        ("backups/latest.tar.zst", None),
    ] {
        let found = Place::parse(text).unwrap().folder_of_latest();
        assert_eq!(
            found.map(|place| place.to_string()).as_deref(),
            folder,
            "{text}"
        );
    }
}
