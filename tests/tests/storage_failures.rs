//! What goes wrong between a tool and a store, and what remains of it (spec/storage.md).
//!
//! Against Azurite and moto through a proxy that misbehaves; ignored by a plain run, `tests/run.sh storage` runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_archive::{Archive, ReadAt as _};
use lifeboat_storage::{
    Decrypted, Destination, Error, Place, Protection, PublicKey, Region, Settings, Source, Store,
    authenticate,
};
use object_store::signer::Signer as _;
use storage_support::proxy::{Fate, Proxy, Request};
use storage_support::{
    ACCOUNT, Ground, KEY, Keys, archive, azurite, azurite_plain, azurite_settings, azurite_through,
    member_path, open, remote, s3_through, server, wait,
};

const NAME: &str = "nightly/x.tar.zst";
const BESIDE: &str = "nightly/x.json";

/// A store behind a proxy that decides with `rule`, and what both services call the request that commits.
fn behind(rule: impl FnMut(&Request) -> Fate + Send + 'static) -> (Ground, Proxy) {
    let proxy = Proxy::start(&server("LIFEBOAT_AZURITE"), rule);
    (azurite_through(&proxy.url), proxy)
}

fn is_commit(request: &Request) -> bool {
    request.is("PUT", "comp=blocklist")
        || (request.is("POST", "uploadId=") && !request.target.contains("uploads"))
}

fn upload(ground: &Ground, megabytes: usize) -> (Vec<u8>, Result<(), Error>) {
    let (bytes, descriptor) = archive(megabytes, 1 << 20);
    let write = || {
        let (destination, mut sink) =
            Destination::in_store(&ground.store, &ground.address(NAME), &Protection::default())?;
        sink.write_all(&bytes)
            .map_err(|error| match error.downcast::<Error>() {
                Ok(error) => error,
                Err(other) => panic!("{other}"),
            })?;
        destination.commit(sink, &descriptor).map(drop)
    };
    let outcome = write();
    (bytes, outcome)
}

/// Nothing of ours is visible.
fn nothing(ground: &Ground) {
    assert!(ground.get(NAME).is_none());
    assert!(ground.get(BESIDE).is_none());
}

/// An error may name the place and nothing that is secret.
fn no_secret(error: &Error) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(KEY), "{text}");
        assert!(!text.contains("sig="), "{text}");
        assert!(!text.contains("SharedKey"), "{text}");
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn connections_that_break_in_the_middle_are_made_again() {
    let mut cut = 0;
    let (ground, proxy) = behind(move |request| {
        let part = request.is("PUT", "comp=block&") && request.length > 1 << 20;
        if part && cut < 2 {
            cut += 1;
            return Fate::CutRequest;
        }
        Fate::Forward
    });
    let (bytes, outcome) = upload(&ground, 17);
    outcome.unwrap();
    assert!(ground.get(NAME).unwrap() == bytes);
    let parts = proxy.count(|request| request.is("PUT", "comp=block&") && request.length > 1);
    assert_eq!(parts, 3 + 2, "three parts, two of them sent twice");

    let mut cut = 0;
    let reader = Proxy::start(&server("LIFEBOAT_AZURITE"), move |request| {
        let content = request.method == "GET";
        if content && cut < 2 {
            cut += 1;
            return Fate::CutAnswer;
        }
        Fate::Forward
    });
    let source = open(&ground.address(NAME), &azurite_settings(&reader.url)).unwrap();
    let mut buf = vec![0; 3 << 20];
    assert_eq!(source.read_at(100, &mut buf).unwrap(), buf.len());
    assert!(buf == bytes[100..100 + buf.len()]);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_busy_store_is_waited_for_and_then_named() {
    let mut busy = 0;
    let (ground, _proxy) = behind(move |request| {
        if request.is("PUT", "comp=block&") && busy < 3 {
            busy += 1;
            return Fate::Answer(503, "ServerBusy", "");
        }
        Fate::Forward
    });
    let (bytes, outcome) = upload(&ground, 2);
    outcome.unwrap();
    assert!(ground.get(NAME).unwrap() == bytes);

    let mut trial = true;
    let (ground, _proxy) = behind(move |request| {
        let part = request.is("PUT", "comp=block&");
        if part && !std::mem::take(&mut trial) {
            return Fate::Answer(503, "ServerBusy", "");
        }
        Fate::Forward
    });
    let (_, outcome) = upload(&ground, 2);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 1);
    nothing(&ground);
}

#[test]
#[ignore = "needs Azurite and moto: tests/run.sh storage"]
fn a_name_that_is_taken_between_the_last_look_and_the_commit_is_not_replaced() {
    // The proxy lets somebody else write the name just before the commit arrives.
    let somebody = |ground: Arc<std::sync::OnceLock<Ground>>| {
        move |request: &Request| {
            if is_commit(request) {
                ground.get().unwrap().put(NAME, b"somebody else's");
            }
            Fate::Forward
        }
    };
    for s3 in [false, true] {
        let cell = Arc::new(std::sync::OnceLock::new());
        let upstream = server(if s3 {
            "LIFEBOAT_S3"
        } else {
            "LIFEBOAT_AZURITE"
        });
        let proxy = Proxy::start(&upstream, somebody(Arc::clone(&cell)));
        let ground = if s3 {
            s3_through(&proxy.url)
        } else {
            azurite_through(&proxy.url)
        };
        assert!(cell.set(ground).is_ok());
        let ground = cell.get().unwrap();
        let (_, outcome) = upload(ground, 1);
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error:?}");
        assert_eq!(ground.get(NAME).unwrap(), b"somebody else's");
        assert!(ground.get(BESIDE).is_none());
        assert_eq!(proxy.count(is_commit), 1);
    }
}

#[test]
#[ignore = "needs Azurite and moto: tests/run.sh storage"]
fn a_commit_whose_answer_is_lost_is_found_to_be_done() {
    for s3 in [false, true] {
        let upstream = server(if s3 {
            "LIFEBOAT_S3"
        } else {
            "LIFEBOAT_AZURITE"
        });
        let mut lost = false;
        let proxy = Proxy::start(&upstream, move |request| {
            if is_commit(request) && !std::mem::replace(&mut lost, true) {
                return Fate::LoseAnswer;
            }
            Fate::Forward
        });
        let ground = if s3 {
            s3_through(&proxy.url)
        } else {
            azurite_through(&proxy.url)
        };
        let (bytes, outcome) = upload(&ground, 1);
        outcome.unwrap();
        assert!(ground.get(NAME).unwrap() == bytes);
        assert!(ground.get(BESIDE).is_some());
        assert_eq!(proxy.count(is_commit), 2);
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_descriptor_whose_answer_is_lost_is_found_to_be_done() {
    let mut lost = false;
    let (ground, _proxy) = behind(move |request| {
        if request.is("PUT", BESIDE) && !std::mem::replace(&mut lost, true) {
            return Fate::LoseAnswer;
        }
        Fate::Forward
    });
    let (bytes, outcome) = upload(&ground, 1);
    outcome.unwrap();
    assert!(ground.get(NAME).unwrap() == bytes);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_commit_that_is_refused_takes_its_descriptor_back() {
    let (ground, _proxy) = behind(|request| {
        if is_commit(request) {
            return Fate::Answer(403, "AuthorizationPermissionMismatch", "");
        }
        Fate::Forward
    });
    let (_, outcome) = upload(&ground, 1);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 12);
    nothing(&ground);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn who_may_not_write_learns_it_before_anything_is_read() {
    let (ground, proxy) = behind(|request| {
        if request.method == "PUT" {
            return Fate::Answer(
                403,
                "AuthorizationPermissionMismatch",
                "<Error><Message>This request is not authorized.\nRequestId:1</Message></Error>",
            );
        }
        Fate::Forward
    });
    let error = Destination::in_store(&ground.store, &ground.address(NAME), &Protection::default())
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(
        text.contains(&ground.url) && text.ends_with("This request is not authorized."),
        "{text}"
    );
    assert_eq!(
        proxy.count(|request| request.method == "PUT"),
        1,
        "asked once"
    );
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_wrong_key_is_refused_without_being_told() {
    let ground = azurite();
    let wrong = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50";
    let settings = ground
        .settings
        .clone()
        .with("AZURE_STORAGE_ACCOUNT_KEY", wrong);
    let error = open(&ground.address(NAME), &settings).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(wrong), "{error:?}");
    let not_base64 = settings.with("AZURE_STORAGE_ACCOUNT_KEY", "s3cr3t!");
    let error = open(&ground.address(NAME), &not_base64).unwrap_err();
    assert!(matches!(error, Error::Settings { .. }), "{error:?}");
    assert!(
        !format!("{error} {error:?}").contains("s3cr3t!"),
        "{error:?}"
    );
}

/// A URL with a shared access signature, valid for so long, as the portal makes it.
fn signed(ground: &Ground, method: &str, valid: Duration) -> (String, Settings) {
    let container = ground.url["az://".len()..].trim_end_matches('/');
    let plain = azurite_plain(container);
    let url = wait(plain.signed_url(method.parse().unwrap(), &NAME.into(), valid)).unwrap();
    let url = format!(
        "https://{ACCOUNT}.blob.core.windows.net/{container}/{NAME}?{}",
        url.query().unwrap()
    );
    let settings = Settings::new()
        .with(
            "AZURE_STORAGE_ENDPOINT",
            &format!("{}/{ACCOUNT}", server("LIFEBOAT_AZURITE")),
        )
        .with("AZURE_ALLOW_HTTP", "true")
        .with_patience(Duration::from_secs(5));
    (url, settings)
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_signature_in_the_url_opens_and_is_never_told() {
    let ground = azurite();
    let (bytes, outcome) = upload(&ground, 1);
    outcome.unwrap();
    let (url, settings) = signed(&ground, "GET", Duration::from_secs(600));
    let source = open(&remote(&url), &settings).unwrap();
    assert_eq!(source.size().unwrap(), bytes.len() as u64);
    assert!(!source.name().contains('?'), "{}", source.name());
    let other = url.replace("x.tar.zst", "y.tar.zst");
    let error = Destination::create(
        &Place::parse(&other).unwrap(),
        "",
        &Protection::default(),
        &settings,
    );
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    no_secret(&error);

    let (url, settings) = signed(&ground, "GET", Duration::ZERO);
    let error = open(&remote(&url), &settings).unwrap_err();
    no_secret(&error);
    let Error::Refused {
        signature_until, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    let until: jiff::Timestamp = signature_until.as_ref().unwrap().parse().unwrap();
    assert!(until <= jiff::Timestamp::now());
    assert_eq!(error.exit_code(), 12);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_store_that_does_not_answer_is_named() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nowhere.local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    drop(nowhere);
    let settings = azurite_settings(&url).with_patience(Duration::from_secs(1));
    let error = open(&remote("az://vault/x"), &settings).unwrap_err();
    let Error::Unreachable { host, cause, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*host, address);
    assert!(cause.contains("onnection refused"), "{cause}");
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn one_object_takes_one_length_request_and_at_most_four_ranges() {
    let (ground, proxy) = behind(|_| Fate::Forward);
    // Enough members for an index of many pages, in an archive that is much longer than what may be read.
    let (bytes, descriptor) = archive(20_000, 500);
    let (destination, mut sink) =
        Destination::in_store(&ground.store, &ground.address(NAME), &Protection::default())
            .unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    let before = proxy.seen.lock().unwrap().len();
    let store = Store::open(&ground.address(NAME), &ground.settings).unwrap();
    let source = Source::in_store(&store, &ground.address(NAME)).unwrap();
    let archive = Archive::from_source(Box::new(source)).unwrap();
    let member = archive.find(&member_path(12_345)).unwrap().unwrap();
    assert_eq!(archive.read(&member).unwrap().len(), 500);
    let seen = proxy.seen.lock().unwrap()[before..].to_vec();
    let lengths = seen
        .iter()
        .filter(|request| request.method == "HEAD")
        .count();
    let ranges: Vec<_> = seen
        .iter()
        .filter(|request| request.method == "GET")
        .collect();
    assert_eq!(lengths, 1);
    let received = store.traffic().received;
    assert!(received < 4 << 20, "{received} of {} bytes", bytes.len());
    assert!(ranges.len() <= 4, "{} ranges", ranges.len());
    assert_eq!(seen.len(), 1 + ranges.len());
    for request in ranges {
        let head = request.head.to_lowercase();
        assert!(
            head.contains("\r\nrange: bytes=") || head.contains("\r\nx-ms-range: bytes="),
            "{head}"
        );
        assert!(head.contains("\r\nif-match: "), "{head}");
    }
}

/// The same through age: header and end are two more.
#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn one_encrypted_object_takes_one_length_request_and_at_most_six_ranges() {
    let ground = azurite();
    let keys = Keys::new();
    let (bytes, descriptor) = archive(20_000, 500);
    let address = ground.address("x.tar.zst.age");
    let (destination, mut sink) =
        Destination::in_store(&ground.store, &address, &keys.protection).unwrap();
    sink.write_all(&bytes).unwrap();
    let (place, _) = destination.commit(sink, &descriptor).unwrap();
    let store = Store::open(&address, &ground.settings).unwrap();
    let source = Source::in_store(&store, &address).unwrap();
    let decrypted = Decrypted::open(Arc::new(source), &keys.identities).unwrap();
    let archive = Archive::from_source(Box::new(decrypted)).unwrap();
    let member = archive.find(&member_path(12_345)).unwrap().unwrap();
    assert_eq!(archive.read(&member).unwrap().len(), 500);
    let traffic = store.traffic();
    assert_eq!(traffic.lengths, 1);
    assert!(traffic.ranges <= 6, "{traffic:?}");
    assert_eq!(traffic.requests, 1 + traffic.ranges);
    assert!(traffic.received < 4 << 20, "{traffic:?} of {}", bytes.len());

    let id = archive.archive_id().unwrap();
    let prove = |place: &Place, key: &PublicKey| {
        authenticate(place, id, key, &ground.settings, Region::Primary, |_| {})
    };
    assert!(prove(&place, &keys.public).unwrap().encrypted);
    let false_ = prove(&place, &Keys::new().public).unwrap_err();
    let missing = prove(&Place::Remote(ground.address("y.tar.zst")), &keys.public).unwrap_err();
    assert_eq!((false_.exit_code(), missing.exit_code()), (11, 11));
}

/// A store of its own counts for itself.
#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn traffic_is_counted() {
    let ground = azurite();
    ground.put("x", &[7; 1000]);
    let store = Store::open(&ground.address("x"), &ground.settings).unwrap();
    let source = Source::in_store(&store, &ground.address("x")).unwrap();
    source.read_at(0, &mut [0; 100]).unwrap();
    source.read_at(50, &mut [0; 20]).unwrap();
    let traffic = store.traffic();
    assert_eq!(
        (traffic.requests, traffic.lengths, traffic.ranges),
        (2, 1, 1)
    );
}
