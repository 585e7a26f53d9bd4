//! Listing folders and deleting from them (spec/retention.md), in memory, on a disk, in Azurite and in moto's S3.
//!
//! What needs a server is ignored by a plain run; `tests/run.sh storage` runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use lifeboat_storage::retention::{Policy, judge, judge_litter};
use lifeboat_storage::{Error, Listed, Listing, Place, Region, Remover, Settings};
use object_store::ObjectStoreExt as _;
use storage_support::proxy::{Fate, Proxy, Request};
use storage_support::{
    Ground, archive, azurite, azurite_through, memory, s3, s3_through, server, wait,
};

/// A place under test.
trait Yard {
    fn put(&self, name: &str, content: &[u8]);
    fn names(&self) -> Vec<String>;
    fn list(&self) -> Result<Listing, Error>;
    fn remover(&self) -> Remover;
}

const UNDER: &str = "nightly/";

impl Yard for Ground {
    fn put(&self, name: &str, content: &[u8]) {
        self.put(&format!("{UNDER}{name}"), content);
    }

    fn names(&self) -> Vec<String> {
        let listed = wait(self.plain.list_with_delimiter(Some(&"nightly".into()))).unwrap();
        let names = listed
            .objects
            .into_iter()
            .map(|meta| meta.location.filename().unwrap().to_owned());
        sorted(names.collect())
    }

    fn list(&self) -> Result<Listing, Error> {
        Listing::in_store(&self.store, &self.address(UNDER))
    }

    fn remover(&self) -> Remover {
        Remover::in_store(&self.store)
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Yard for Folder {
    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        sorted(
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect(),
        )
    }

    fn list(&self) -> Result<Listing, Error> {
        let place = Place::Local(self.0.path().to_owned());
        Listing::read(&place, &Settings::new(), Region::Primary, &|_| {})
    }

    fn remover(&self) -> Remover {
        Remover::open(&self.list().unwrap(), &Settings::new()).unwrap()
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// An archive of the night so many days ago, with its descriptor and a signature.
fn night(yard: &dyn Yard, days: i64) -> String {
    let (bytes, mut descriptor) = archive(1, 100);
    descriptor.started = Timestamp::now() - SignedDuration::from_hours(24 * days);
    descriptor.finished = descriptor.started;
    let stem = format!("night-{days:03}");
    yard.put(&format!("{stem}.json"), &descriptor.to_bytes().unwrap());
    yard.put(&format!("{stem}.json.minisig"), b"signature");
    yard.put(&format!("{stem}.tar.zst"), &bytes);
    stem
}

/// The newest alone stays.
const LAST: Policy = Policy {
    last: 1,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
    others_days: 14,
};

fn doomed(listing: &Listing) -> Vec<&Listed> {
    judge(listing, None, &LAST, Timestamp::now())
        .into_iter()
        .filter(|judged| judged.verdict.is_delete())
        .map(|judged| judged.archive)
        .collect()
}

fn conforms(yard: &dyn Yard) {
    for days in [1, 2, 3] {
        night(yard, days);
    }
    yard.put("notes.txt", b"by hand");
    let remover = yard.remover();
    let listing = yard.list().unwrap();
    let doomed = doomed(&listing);
    assert_eq!(doomed.len(), 2);
    // Replaced since it was listed: another archive, or another descriptor.
    yard.put("night-002.tar.zst", b"another one");
    let error = remover.archive(doomed[0]).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    assert!(error.to_string().contains("night-002"), "{error}");
    let removed = remover.archive(doomed[1]).unwrap();
    assert!(removed.left.is_none(), "{removed:?}");
    let left = [
        "night-001.json",
        "night-001.json.minisig",
        "night-001.tar.zst",
        "night-002.json",
        "night-002.json.minisig",
        "night-002.tar.zst",
        "notes.txt",
    ];
    assert_eq!(yard.names(), left);
    // Gone already is as good.
    remover.archive(doomed[1]).unwrap();
    assert_eq!(yard.names(), left);
    litter_goes_unless_its_archive_appears(yard);
}

fn litter_goes_unless_its_archive_appears(yard: &dyn Yard) {
    let (bytes, descriptor) = archive(1, 100);
    for stem in ["alone", "late"] {
        yard.put(&format!("{stem}.json"), &descriptor.to_bytes().unwrap());
    }
    yard.put("alone.json.minisig", b"signature");
    let listing = yard.list().unwrap();
    let old = |now: Timestamp| {
        judge_litter(&listing, None, &LAST, now)
            .filter(|(_, verdict)| verdict.is_delete())
            .count()
    };
    assert_eq!(old(Timestamp::now()), 0, "it is new");
    let then = Timestamp::now() + SignedDuration::from_hours(15 * 24);
    assert_eq!(old(then), 2);
    yard.put("late.tar.zst.age", &bytes);
    let remover = yard.remover();
    for (litter, _) in judge_litter(&listing, None, &LAST, then) {
        let removed = remover.litter(litter);
        assert_eq!(removed.is_ok(), litter.name == "alone.json", "{removed:?}");
    }
    let names = yard.names();
    assert!(
        !names.iter().any(|name| name.starts_with("alone")),
        "{names:?}"
    );
    assert!(names.contains(&"late.json".to_owned()), "{names:?}");
}

#[test]
fn memory_conforms() {
    conforms(&memory());
}

#[test]
fn local_files_conform() {
    conforms(&Folder(tempfile::tempdir().unwrap()));
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn azurite_conforms() {
    conforms(&azurite());
}

#[test]
#[ignore = "needs moto: tests/run.sh storage"]
fn s3_conforms() {
    conforms(&s3());
}

#[cfg(unix)]
#[test]
fn a_link_goes_and_what_it_points_to_stays() {
    let (yard, elsewhere) = (
        Folder(tempfile::tempdir().unwrap()),
        tempfile::tempdir().unwrap(),
    );
    night(&yard, 1);
    let stem = night(&yard, 2);
    let (archive, target) = (
        yard.path(&format!("{stem}.tar.zst")),
        elsewhere.path().join("kept"),
    );
    std::fs::rename(&archive, &target).unwrap();
    std::os::unix::fs::symlink(&target, &archive).unwrap();
    let listing = yard.list().unwrap();
    yard.remover().archive(doomed(&listing)[0]).unwrap();
    assert!(!archive.is_symlink() && Path::exists(&target));
}

/// More small objects than a page of the store has.
fn crowd(ground: &Ground, count: usize) {
    wait(async {
        let mut running = tokio::task::JoinSet::new();
        for number in 0..count {
            let plain = ground.plain.clone();
            running.spawn(async move {
                let name = format!("{UNDER}foreign-{number:05}").into();
                plain.put(&name, vec![0].into()).await.unwrap();
            });
            if running.len() >= 32 {
                running.join_next().await.unwrap().unwrap();
            }
        }
        running.join_all().await;
    });
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn all_pages_of_azurite_are_listed_or_none() {
    all_pages_are_listed_or_none(azurite(), 5_100, "marker=", |container, front| {
        let ground = azurite_through(front);
        Listing::of_primary(&Place::parse(container).unwrap(), &ground.settings)
    });
}

#[test]
#[ignore = "needs moto: tests/run.sh storage"]
fn all_pages_of_s3_are_listed_or_none() {
    all_pages_are_listed_or_none(s3(), 1_100, "continuation-token=", |bucket, front| {
        let ground = s3_through(front);
        Listing::of_primary(&Place::parse(bucket).unwrap(), &ground.settings)
    });
}

/// `list` lists a place through a proxy.
fn all_pages_are_listed_or_none(
    ground: Ground,
    count: usize,
    next_page: &'static str,
    list: impl Fn(&str, &str) -> Result<Listing, Error>,
) {
    // The archives are on the last page.
    for days in [1, 2] {
        night(&ground, days);
    }
    crowd(&ground, count);
    let listing = Yard::list(&ground).unwrap();
    assert_eq!(listing.foreign, count as u64);
    assert_eq!(listing.archives.len(), 2);
    let place = format!("{}{UNDER}", ground.url);
    let upstream = if ground.url.starts_with("s3") {
        server("LIFEBOAT_S3")
    } else {
        server("LIFEBOAT_AZURITE")
    };
    let refused = Fate::Answer(
        403,
        "AuthorizationFailure",
        "<Error><Code>AccessDenied</Code></Error>",
    );
    let cases = [
        (next_page, refused.clone(), 12),
        (next_page, Fate::CutAnswer, 1),
        ("night-002.json", refused, 12),
        ("night-002.json", Fate::Answer(500, "InternalError", ""), 1),
    ];
    for (target, fate, code) in cases {
        let what = format!("{target} {fate:?}");
        let proxy = Proxy::start(&upstream, move |request| match request.is("GET", target) {
            true => fate.clone(),
            false => Fate::Forward,
        });
        let error = list(&place, &proxy.url).unwrap_err();
        assert_eq!(error.exit_code(), code, "{what}: {error:?}");
    }
}

/// A store behind a proxy.
fn behind(rule: impl FnMut(&Request) -> Fate + Send + 'static) -> (Ground, Proxy) {
    let proxy = Proxy::start(&server("LIFEBOAT_AZURITE"), rule);
    (azurite_through(&proxy.url), proxy)
}

const HELD: &str = "<Error><Code>BlobImmutableDueToPolicy</Code><Message>This operation is not permitted as the blob is \
                    immutable due to a policy.\nRequestId:1</Message></Error>";

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn what_is_held_stays_with_what_is_beside_it_and_the_others_go() {
    let (ground, proxy) = behind(|request| match request.is("DELETE", "night-002.tar.zst") {
        true => Fate::Answer(409, "BlobImmutableDueToPolicy", HELD),
        false => Fate::Forward,
    });
    for days in [1, 2, 3] {
        night(&ground, days);
    }
    let listing = Yard::list(&ground).unwrap();
    let doomed = doomed(&listing);
    let error = ground.remover().archive(doomed[0]).unwrap_err();
    assert!(matches!(error, Error::Service { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("cannot remove") && text.ends_with("immutable due to a policy."),
        "{text}"
    );
    assert!(!error.is_outage());
    ground.remover().archive(doomed[1]).unwrap();
    let names = ground.names();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("night-002"))
            .count(),
        3
    );
    assert!(
        !names.iter().any(|name| name.starts_with("night-003")),
        "{names:?}"
    );
    // What is not repeated is asked once, and only for the archive that was listed.
    let seen = proxy.seen.lock().unwrap();
    let deletes: Vec<&Request> = seen.iter().filter(|one| one.method == "DELETE").collect();
    assert_eq!(deletes.len(), 4, "one refused, three done");
    assert!(
        deletes[0]
            .head
            .to_lowercase()
            .contains("\r\nif-match: \"0x"),
        "{}",
        deletes[0].head
    );
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn who_may_not_delete_is_told_so() {
    let (ground, _proxy) = behind(|request| match request.method.as_str() {
        "DELETE" => Fate::Answer(403, "AuthorizationPermissionMismatch", ""),
        _ => Fate::Forward,
    });
    for days in [1, 2] {
        night(&ground, days);
    }
    let listing = Yard::list(&ground).unwrap();
    let error = ground.remover().archive(doomed(&listing)[0]).unwrap_err();
    assert_eq!(error.exit_code(), 12, "{error:?}");
    assert_eq!(ground.names().len(), 6);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_deletion_whose_answer_is_lost_is_found_to_be_done() {
    let mut lost = 0;
    let (ground, proxy) = behind(move |request| {
        if request.is("DELETE", "night-002.tar.zst") {
            lost += 1;
            return match lost {
                1 => Fate::Answer(503, "ServerBusy", ""),
                2 => Fate::LoseAnswer,
                _ => Fate::Forward,
            };
        }
        Fate::Forward
    });
    for days in [1, 2] {
        night(&ground, days);
    }
    let listing = Yard::list(&ground).unwrap();
    let removed = ground.remover().archive(doomed(&listing)[0]).unwrap();
    assert!(removed.left.is_none(), "{removed:?}");
    assert_eq!(
        proxy.count(|request| request.is("DELETE", "night-002.tar.zst")),
        3
    );
    assert_eq!(ground.names().len(), 3);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn what_stays_of_an_archive_whose_descriptor_cannot_be_deleted_is_litter() {
    let (ground, _proxy) = behind(|request| match request.is("DELETE", "night-002.json") {
        true => Fate::Answer(412, "LeaseIdMissing", ""),
        false => Fate::Forward,
    });
    for days in [1, 2] {
        night(&ground, days);
    }
    let listing = Yard::list(&ground).unwrap();
    let removed = ground.remover().archive(doomed(&listing)[0]).unwrap();
    let left = removed.left.unwrap();
    assert!(left.to_string().contains("412 LeaseIdMissing"), "{left}");
    let listing = Yard::list(&ground).unwrap();
    assert_eq!(listing.archives.len(), 1);
    assert_eq!(listing.litter.len(), 1);
}
