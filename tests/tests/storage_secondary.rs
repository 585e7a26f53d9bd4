//! Reading from the secondary region of a geo-redundant account (spec/storage.md, "The secondary region").
//!
//! Azurite's own secondary address takes writes and is never behind, so a proxy in front of it plays the real one: it
//! refuses writes and may be as far behind as a test says. Ignored by a plain run; `tests/run.sh storage` runs them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_archive::{Archive, ReadAt as _};
use lifeboat_storage::{
    Address, Decrypted, Destination, Error, Listing, Place, Protection, Region, Served, Settings,
    Source, Standing, authenticate,
};
use storage_support::proxy::{Fate, Proxy, Request};
use storage_support::{
    ACCOUNT, Ground, Keys, archive, azurite, azurite_settings, member_path, server,
};

const NAME: &str = "nightly/x.tar.zst";
const STATS: &str = "comp=stats";

/// What the proxy in front of the secondary region says of itself when it is behind.
const BEHIND: &str = "<?xml version=\"1.0\"?><StorageServiceStats><GeoReplication><Status>live</Status><LastSyncTime>Sat, 21 Nov 2026 01:00:00 GMT</LastSyncTime></GeoReplication></StorageServiceStats>";

/// What was said of the region that serves.
type Told = Arc<Mutex<Vec<String>>>;

struct Regions {
    ground: Ground,
    settings: Settings,
    primary: Proxy,
    secondary: Proxy,
    /// Whether the primary region is away.
    away: Arc<AtomicBool>,
}

/// An account with two regions; `lag` decides what the secondary one answers to reads.
fn regions(mut lag: impl FnMut(&Request) -> Fate + Send + 'static) -> Regions {
    let upstream = server("LIFEBOAT_AZURITE");
    let away = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&away);
    let primary = Proxy::start(&upstream, move |_| {
        if gone.load(Ordering::SeqCst) {
            Fate::CutRequest
        } else {
            Fate::Forward
        }
    });
    let secondary = Proxy::start(&upstream, move |request| {
        if matches!(request.method.as_str(), "GET" | "HEAD") {
            lag(request)
        } else {
            Fate::Answer(403, "InsufficientAccountPermissions", "")
        }
    });
    let settings = azurite_settings(&primary.url)
        .with(
            "AZURE_STORAGE_SECONDARY_ENDPOINT",
            &format!("{}/{ACCOUNT}-secondary", secondary.url),
        )
        .with_patience(Duration::from_secs(1));
    Regions {
        ground: azurite(),
        settings,
        primary,
        secondary,
        away,
    }
}

impl Regions {
    /// The host of the secondary region, with its port.
    fn copy(&self) -> &str {
        self.secondary.url.trim_start_matches("http://")
    }

    fn open(&self, region: Region) -> (Result<Source, Error>, Told) {
        self.open_at(&self.ground.address(NAME), region)
    }

    fn open_at(&self, address: &Address, region: Region) -> (Result<Source, Error>, Told) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let notice = move |served: &Served| {
            if served.region == Region::Primary {
                to.lock().unwrap().push("primary".to_owned());
                return;
            }
            let sync = match &served.last_sync {
                Some(Ok(time)) => time.to_string(),
                other => format!("{other:?}"),
            };
            let first = served.instead_of.is_some();
            to.lock()
                .unwrap()
                .push(format!("{} {first} {sync}", served.host));
        };
        let opened = Source::open(address, &self.settings, region, Box::new(notice));
        (opened, told)
    }
}

fn write(regions: &Regions) -> Vec<u8> {
    let (bytes, descriptor) = archive(3, 1 << 20);
    let to = Place::Remote(regions.ground.address(NAME));
    let (destination, mut sink) =
        Destination::create(&to, "", &Protection::default(), &regions.settings).unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    bytes
}

fn behind(request: &Request) -> Fate {
    if request.target.contains(STATS) {
        Fate::Answer(200, "", BEHIND)
    } else {
        Fate::Forward
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn the_copy_serves_when_the_primary_region_is_away_and_says_how_old_it_is() {
    let regions = regions(behind);
    let bytes = write(&regions);
    assert_eq!(
        regions.secondary.count(|_| true),
        0,
        "a writer asks no copy"
    );
    regions.away.store(true, Ordering::SeqCst);
    let (source, told) = regions.open(Region::Primary);
    let source = source.unwrap();
    let mut buf = vec![0; 1 << 20];
    assert_eq!(source.read_at(5, &mut buf).unwrap(), buf.len());
    assert!(buf == bytes[5..5 + buf.len()]);
    assert_eq!(
        *told.lock().unwrap(),
        [format!("{} true 2026-11-21T01:00:00Z", regions.copy())]
    );
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn azurite_tells_the_time_of_its_copy_itself() {
    let regions = regions(|_| Fate::Forward);
    write(&regions);
    let (source, told) = regions.open(Region::Secondary);
    source.unwrap();
    let told = told.lock().unwrap();
    let (host, time) = told[0].split_once(" false ").unwrap();
    assert_eq!(host, regions.copy());
    let time: jiff::Timestamp = time.parse().unwrap();
    assert!(
        time.duration_until(jiff::Timestamp::now()).as_hours().abs() < 24,
        "{time}"
    );
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn the_copy_alone_is_asked_when_it_is_asked_for() {
    let regions = regions(behind);
    let bytes = write(&regions);
    let before = regions.primary.count(|_| true);
    let (source, told) = regions.open(Region::Secondary);
    let source = source.unwrap();
    let mut buf = [0; 100];
    assert_eq!(source.read_at(0, &mut buf).unwrap(), 100);
    assert_eq!(buf, bytes[..100]);
    assert_eq!(regions.primary.count(|_| true), before);
    assert_eq!(
        *told.lock().unwrap(),
        [format!("{} false 2026-11-21T01:00:00Z", regions.copy())]
    );
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_primary_region_that_goes_away_while_it_is_read_is_replaced_by_its_copy() {
    let regions = regions(behind);
    let bytes = write(&regions);
    let (source, told) = regions.open(Region::Primary);
    let source = source.unwrap();
    let mut buf = [0; 1000];
    assert_eq!(source.read_at(0, &mut buf).unwrap(), 1000);
    assert_eq!(regions.secondary.count(|_| true), 0);
    regions.away.store(true, Ordering::SeqCst);
    for at in [500_000, 1_500_000] {
        assert_eq!(source.read_at(at, &mut buf).unwrap(), 1000);
        assert_eq!(buf, bytes[at as usize..at as usize + 1000]);
    }
    let copy = format!("{} true 2026-11-21T01:00:00Z", regions.copy());
    assert_eq!(*told.lock().unwrap(), ["primary", &copy], "said once");
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_copy_that_fails_its_first_read_serves_nothing_and_is_told_when_it_does() {
    let copy_away = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&copy_away);
    let regions = regions(move |request| {
        if gone.load(Ordering::SeqCst) {
            return Fate::CutRequest;
        }
        behind(request)
    });
    let bytes = write(&regions);
    let (source, told) = regions.open(Region::Primary);
    let source = source.unwrap();
    let mut buf = [0; 1000];
    regions.away.store(true, Ordering::SeqCst);
    copy_away.store(true, Ordering::SeqCst);
    let error = source.read_at(0, &mut buf).unwrap_err();
    let error = Error::inside(&error).unwrap().to_string();
    assert!(!error.contains(regions.copy()), "{error}");
    // The primary region is back: it serves, and there is nothing to tell.
    regions.away.store(false, Ordering::SeqCst);
    assert_eq!(source.read_at(0, &mut buf).unwrap(), 1000);
    assert_eq!(*told.lock().unwrap(), ["primary"]);
    regions.away.store(true, Ordering::SeqCst);
    copy_away.store(false, Ordering::SeqCst);
    for at in [1_000_000, 2_000_000] {
        assert_eq!(source.read_at(at, &mut buf).unwrap(), 1000);
        assert_eq!(buf, bytes[at as usize..at as usize + 1000]);
        assert_eq!(told.lock().unwrap().len(), 2, "{told:?}");
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_copy_that_has_another_state_is_not_mixed_in() {
    let regions = regions(|request| {
        if request.method == "GET" && !request.target.contains(STATS) {
            return Fate::Answer(412, "ConditionNotMet", "");
        }
        behind(request)
    });
    write(&regions);
    let (source, _) = regions.open(Region::Primary);
    let source = source.unwrap();
    regions.away.store(true, Ordering::SeqCst);
    let error = source.read_at(0, &mut [0; 10]).unwrap_err();
    let error = Error::inside(&error).unwrap();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

/// What was encrypted where it was made is as encrypted in the copy, and no more of it is fetched from there.
#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn an_encrypted_archive_is_read_from_the_copy_with_its_identity() {
    let regions = regions(behind);
    let keys = Keys::new();
    let (bytes, descriptor) = archive(20_000, 500);
    let name = format!("{NAME}.age");
    let address = regions.ground.address(&name);
    let to = Place::Remote(address.clone());
    let (destination, mut sink) =
        Destination::create(&to, "", &keys.protection, &regions.settings).unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    regions.away.store(true, Ordering::SeqCst);
    for region in [Region::Secondary, Region::Primary] {
        let before = regions.secondary.count(|_| true);
        let (source, told) = regions.open_at(&address, region);
        let source = Arc::new(source.unwrap());
        let decrypted = Decrypted::open(source.clone(), &keys.identities).unwrap();
        let found = Archive::from_source(Box::new(decrypted)).unwrap();
        let member = found.find(&member_path(12_345)).unwrap().unwrap();
        assert_eq!(found.read(&member).unwrap().len(), 500);
        assert_eq!(found.archive_id().unwrap(), descriptor.archive_id);
        assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
        let seen = regions.secondary.seen.lock().unwrap();
        let asked = &seen[before..];
        let of = |method: &str| {
            let of_it = |one: &&Request| one.is(method, &name) && !one.target.contains(STATS);
            asked.iter().filter(of_it).count()
        };
        assert_eq!(of("HEAD"), 1);
        assert!((1..=6).contains(&of("GET")), "{asked:?}");
        for read in asked.iter().filter(|one| one.is("GET", &name)) {
            let head = read.head.to_ascii_lowercase();
            assert!(head.contains("\r\nif-match: "), "{head}");
        }
        drop(seen);
        // Descriptor and signature are read from there, too, and each says so.
        let (id, settings) = (descriptor.archive_id, &regions.settings);
        let told = Arc::new(Mutex::new(Vec::new()));
        let to_it = Arc::clone(&told);
        let notice = move |served: &Served| to_it.lock().unwrap().push(served.region);
        let proved = authenticate(&to, id, &keys.public, settings, region, notice).unwrap();
        assert!(proved.encrypted);
        assert_eq!(*told.lock().unwrap(), [Region::Secondary; 2]);
        let others = Decrypted::open(source, &Keys::new().identities).unwrap_err();
        assert_eq!(others.exit_code(), 12, "{others}");
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn an_archive_that_is_not_in_the_copy_yet_is_told_from_one_that_never_was() {
    let regions = regions(|request| {
        if request.target.contains(STATS) {
            return behind(request);
        }
        Fate::Answer(404, "BlobNotFound", "")
    });
    write(&regions);
    for region in [Region::Secondary, Region::Primary] {
        regions
            .away
            .store(region == Region::Primary, Ordering::SeqCst);
        let error = regions.open(region).0.unwrap_err();
        let Error::NotInSecondary { last_sync, .. } = &error else {
            panic!("{error:?}");
        };
        let time = last_sync.as_ref().unwrap().to_string();
        assert_eq!(time, "2026-11-21T01:00:00Z");
        assert!(error.to_string().contains(&time), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn an_answer_of_the_primary_region_counts_and_two_dead_regions_are_the_fault_of_the_first() {
    let regions = regions(|_| Fate::CutRequest);
    let error = regions.open(Region::Primary).0.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(regions.secondary.count(|_| true), 0);
    regions.away.store(true, Ordering::SeqCst);
    let error = regions.open(Region::Primary).0.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(regions.secondary.count(|_| true) > 0);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_writer_never_turns_to_the_copy() {
    let regions = regions(behind);
    regions.away.store(true, Ordering::SeqCst);
    let to = Place::Remote(regions.ground.address(NAME));
    let error =
        Destination::create(&to, "", &Protection::default(), &regions.settings).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(regions.secondary.count(|_| true), 0);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_folder_is_listed_from_the_copy_and_never_pruned_by_it() {
    let regions = regions(behind);
    write(&regions);
    let place = Place::Remote(regions.ground.address("nightly"));
    let list = |region| {
        let told = std::cell::RefCell::new(Vec::new());
        let notice = |served: &Served| {
            if served.region == Region::Primary {
                told.borrow_mut().push("primary".to_owned());
                return;
            }
            let sync = served.last_sync.as_ref().unwrap().as_ref().unwrap();
            let instead = served.instead_of.is_some();
            told.borrow_mut().push(format!("{instead} {sync}"));
        };
        let listing = Listing::read(&place, &regions.settings, region, &notice).unwrap();
        assert_eq!(listing.archives.len(), 1);
        assert_eq!(listing.archives[0].standing(), Standing::Counting);
        told.into_inner()
    };
    assert_eq!(list(Region::Primary), ["primary"]);
    assert_eq!(regions.secondary.count(|_| true), 0);
    assert_eq!(list(Region::Secondary), ["false 2026-11-21T01:00:00Z"]);
    regions.away.store(true, Ordering::SeqCst);
    assert_eq!(list(Region::Primary), ["true 2026-11-21T01:00:00Z"]);
    let before = regions.secondary.count(|_| true);
    let error = Listing::of_primary(&place, &regions.settings).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(regions.secondary.count(|_| true), before);
}

#[test]
fn what_has_no_copy_says_so() {
    let settings = Settings::new().with("AWS_REGION", "us-east-1");
    let address = storage_support::remote("s3://bucket/x");
    let notice = Box::new(|_: &Served| {});
    let error = Source::open(&address, &settings, Region::Secondary, notice).unwrap_err();
    assert!(matches!(error, Error::NoSecondary { .. }), "{error:?}");
}
