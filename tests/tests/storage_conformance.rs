//! What every place for archives has in common (spec/storage.md): memory, local files, Azurite, S3.
//!
//! The tests that need a server are ignored by a plain run; `tests/run.sh storage` starts the servers and runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_archive::{Archive, Descriptor, FileSource, ReadAt};
use lifeboat_storage::{
    Decrypted, Destination, Error, Listing, Place, Protection, Region, Settings, Sink, Source,
    Standing,
};
use storage_support::{Ground, Keys, archive, azurite, member_path, memory, s3};

/// A place under test.
trait Yard {
    fn create(&self, name: &str) -> Result<(Destination, Sink), Error> {
        self.create_as(name, &Protection::default())
    }
    fn create_as(&self, name: &str, as_: &Protection) -> Result<(Destination, Sink), Error>;
    fn source(&self, name: &str) -> Box<dyn ReadAt>;
    fn get(&self, name: &str) -> Option<Vec<u8>>;
    fn put(&self, name: &str, content: &[u8]);
    /// What is in the folder `name`.
    fn list(&self, name: &str) -> Result<Listing, Error>;
}

impl Yard for Ground {
    fn create_as(&self, name: &str, as_: &Protection) -> Result<(Destination, Sink), Error> {
        Destination::in_store(&self.store, &self.address(name), as_)
    }

    fn source(&self, name: &str) -> Box<dyn ReadAt> {
        Box::new(Source::in_store(&self.store, &self.address(name)).unwrap())
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        self.put(name, content);
    }

    fn list(&self, name: &str) -> Result<Listing, Error> {
        Listing::in_store(&self.store, &self.address(name))
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Yard for Folder {
    fn create_as(&self, name: &str, as_: &Protection) -> Result<(Destination, Sink), Error> {
        let to = format!("{}/", self.path(name).parent().unwrap().display());
        let name = name.rsplit('/').next().unwrap();
        Destination::create(&Place::parse(&to)?, name, as_, &Settings::new())
    }

    fn source(&self, name: &str) -> Box<dyn ReadAt> {
        Box::new(FileSource::open(&self.path(name)).unwrap())
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        match std::fs::read(self.path(name)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    fn list(&self, name: &str) -> Result<Listing, Error> {
        let place = Place::Local(self.path(name));
        Listing::read(&place, &Settings::new(), Region::Primary, &|_| {})
    }
}

const NAME: &str = "nightly/1-20261122T010000Z.tar.zst";
const BESIDE: &str = "nightly/1-20261122T010000Z.json";

fn conforms(yard: &dyn Yard) {
    appears_complete_with_its_descriptor(yard, "a/");
    an_abandoned_upload_leaves_nothing(yard, "b/");
    an_existing_name_is_refused_at_the_begin(yard, "c/");
    a_name_that_is_taken_meanwhile_is_refused_at_the_end(yard, "d/");
    a_descriptor_without_an_archive_is_replaced_and_nothing_else(yard, "e/");
    ranges_are_those_of_the_whole(yard, "f/");
    protected_ones_have_all_their_files(yard, "h/");
    a_folder_is_listed_by_its_descriptors(yard, "g/");
    one_that_ended_early_leaves_its_name_free(yard, "i/");
}

/// 9 MiB, twice: the second one finds the first under its name. What stands beside goes along.
fn one_that_ended_early_leaves_its_name_free(yard: &dyn Yard, under: &str) {
    let keys = Keys::new();
    let (bytes, descriptor) = archive(9, 1 << 20);
    let signed = Protection {
        recipients: None,
        ..keys.protection.clone()
    };
    let first = format!("{under}{NAME}");
    let stem = first.trim_end_matches(".tar.zst");
    for partial in [format!("{stem}.partial"), format!("{stem}-2.partial")] {
        let (destination, mut sink) = yard.create_as(&first, &signed).unwrap();
        sink.write_all(&bytes).unwrap();
        let told = std::cell::Cell::new(0);
        let hear = |copied| {
            assert!(copied == 0 || copied > told.replace(copied));
        };
        let (place, written, taken) = destination
            .commit_partial(sink, &descriptor, &hear)
            .unwrap();
        assert!(taken.is_none(), "{taken:?}");
        // A local file has its name at once.
        let copied = told.get();
        assert!(copied == 0 || copied == bytes.len() as u64, "{copied}");
        assert_eq!(written, descriptor);
        let name = format!("{partial}.tar.zst");
        assert!(place.to_string().ends_with(&name), "{place}");
        assert!(yard.get(&name).unwrap() == bytes);
        let found = Descriptor::parse(&yard.get(&format!("{partial}.json")).unwrap()).unwrap();
        assert_eq!(found, descriptor);
        let comment = yard.get(&format!("{partial}.json.minisig")).unwrap();
        let file = format!("file:{}.json\t", partial.rsplit('/').next().unwrap());
        let comment = String::from_utf8(comment).unwrap();
        assert!(comment.contains(&file), "{comment}");
        for gone in [
            first.clone(),
            format!("{stem}.json"),
            format!("{stem}.json.minisig"),
        ] {
            assert!(yard.get(&gone).is_none(), "{gone}");
        }
    }
}

/// Encrypted and signed: three files that belong together, or none.
fn protected_ones_have_all_their_files(yard: &dyn Yard, under: &str) {
    let keys = Keys::new();
    let (bytes, descriptor) = archive(9, 1 << 20);
    let name = format!("{under}{NAME}.age");
    let files = [
        name.clone(),
        format!("{under}{BESIDE}"),
        format!("{under}{BESIDE}.minisig"),
    ];
    let there = || files.clone().map(|file| yard.get(&file).is_some());
    let write = |protection: &Protection| {
        let (destination, mut sink) = yard.create_as(&name, protection)?;
        sink.write_all(&bytes).unwrap();
        assert_eq!(there(), [false; 3]);
        destination.commit(sink, &descriptor)
    };
    // Encrypted archives have names of their own.
    let open = Protection {
        recipients: None,
        ..keys.protection.clone()
    };
    assert_eq!(write(&open).unwrap_err().exit_code(), 2);
    drop(yard.create_as(&name, &keys.protection).unwrap());
    assert_eq!(there(), [false; 3]);

    let (_, written) = write(&keys.protection).unwrap();
    assert_eq!(there(), [true; 3]);
    let stored = yard.get(&name).unwrap();
    assert!(written.encrypted && written.size == stored.len() as u64);
    assert_eq!(written.sha256, lifeboat_archive::Digest::of(&stored));
    assert_eq!(written.archive_id, descriptor.archive_id);
    let beside = yard.get(&files[1]).unwrap();
    assert_eq!(Descriptor::parse(&beside).unwrap(), written);
    let decrypted = Decrypted::open(Arc::from(yard.source(&name)), &keys.identities).unwrap();
    let found = Archive::from_source(Box::new(decrypted)).unwrap();
    assert!(found.verify(&mut |_, _| {}).unwrap().is_intact());
    assert_eq!(found.archive_id().unwrap(), descriptor.archive_id);

    // The twin would take the descriptor over.
    let twin = yard.create(&format!("{under}{NAME}")).unwrap_err();
    assert!(matches!(twin, Error::Exists { .. }), "{twin:?}");
}

/// 17 MiB: two whole parts and a rest.
fn appears_complete_with_its_descriptor(yard: &dyn Yard, under: &str) {
    let (bytes, descriptor) = archive(17, 1 << 20);
    let (name, beside) = (format!("{under}{NAME}"), format!("{under}{BESIDE}"));
    let (destination, mut sink) = yard.create(&name).unwrap();
    for piece in bytes.chunks(300_000) {
        sink.write_all(piece).unwrap();
    }
    assert!(yard.get(&name).is_none() && yard.get(&beside).is_none());
    let (place, _) = destination.commit(sink, &descriptor).unwrap();
    assert!(place.to_string().ends_with(&name), "{place}");
    assert!(yard.get(&name).unwrap() == bytes);
    let found = Descriptor::parse(&yard.get(&beside).unwrap()).unwrap();
    assert_eq!(found, descriptor);
    let archive = Archive::from_source(yard.source(&name)).unwrap();
    assert_eq!(archive.archive_id().unwrap(), descriptor.archive_id);
    let report = archive.verify(&mut |_, _| {}).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    let member = archive.find(&member_path(3)).unwrap().unwrap();
    assert_eq!(archive.read(&member).unwrap().len(), 1 << 20);
}

fn an_abandoned_upload_leaves_nothing(yard: &dyn Yard, under: &str) {
    let (bytes, descriptor) = archive(9, 1 << 20);
    let (name, beside) = (format!("{under}{NAME}"), format!("{under}{BESIDE}"));
    let (destination, mut sink) = yard.create(&name).unwrap();
    sink.write_all(&bytes).unwrap();
    drop(destination);
    drop(sink);
    assert!(yard.get(&name).is_none() && yard.get(&beside).is_none());
    let (destination, mut sink) = yard.create(&name).unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    assert!(yard.get(&name).unwrap() == bytes);
}

fn an_existing_name_is_refused_at_the_begin(yard: &dyn Yard, under: &str) {
    let (name, beside) = (format!("{under}{NAME}"), format!("{under}{BESIDE}"));
    yard.put(&name, b"somebody else's");
    let error = yard.create(&name).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 14);
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!(yard.get(&name).unwrap(), b"somebody else's");
    assert!(yard.get(&beside).is_none());
}

fn a_name_that_is_taken_meanwhile_is_refused_at_the_end(yard: &dyn Yard, under: &str) {
    let (bytes, descriptor) = archive(1, 100);
    let (name, beside) = (format!("{under}{NAME}"), format!("{under}{BESIDE}"));
    let (destination, mut sink) = yard.create(&name).unwrap();
    sink.write_all(&bytes).unwrap();
    yard.put(&name, b"somebody else's");
    let error = destination.commit(sink, &descriptor).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!(yard.get(&name).unwrap(), b"somebody else's");
    assert!(yard.get(&beside).is_none());
}

fn a_descriptor_without_an_archive_is_replaced_and_nothing_else(yard: &dyn Yard, under: &str) {
    let (bytes, descriptor) = archive(1, 100);
    let (name, beside) = (format!("{under}{NAME}"), format!("{under}{BESIDE}"));
    yard.put(&beside, b"{}");
    let error = yard.create(&name).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!(yard.get(&beside).unwrap(), b"{}");
    let mut litter = descriptor.clone();
    litter.size = 1;
    yard.put(&beside, &litter.to_bytes().unwrap());
    let (destination, mut sink) = yard.create(&name).unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    let found = Descriptor::parse(&yard.get(&beside).unwrap()).unwrap();
    assert_eq!(found, descriptor);
    // Litter of another run that appears meanwhile is not what was found at the begin.
    let (name, beside) = (format!("{under}2/{NAME}"), format!("{under}2/{BESIDE}"));
    let (destination, mut sink) = yard.create(&name).unwrap();
    sink.write_all(&bytes).unwrap();
    yard.put(&beside, &litter.to_bytes().unwrap());
    let error = destination.commit(sink, &descriptor).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert!(yard.get(&name).is_none());
    let found = Descriptor::parse(&yard.get(&beside).unwrap()).unwrap();
    assert_eq!(found, litter);
}

fn ranges_are_those_of_the_whole(yard: &dyn Yard, under: &str) {
    let (name, mut random) = (format!("{under}{NAME}"), fastrand::Rng::with_seed(3));
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(300_001)
        .collect();
    yard.put(&name, &bytes);
    let source = yard.source(&name);
    assert_eq!(source.size().unwrap(), bytes.len() as u64);
    let mut at = 0;
    for turn in 0..60 {
        // Anywhere, or on from where the last read ended.
        at = if turn % 3 == 0 {
            random.usize(..=bytes.len())
        } else {
            at
        };
        let mut buf = vec![0; random.usize(1..20_000)];
        let count = source.read_at(at as u64, &mut buf).unwrap();
        assert_eq!(buf[..count], bytes[at..at + count]);
        assert!(count > 0 || at == bytes.len(), "{count} bytes at {at}");
        at += count;
    }
    let end = bytes.len() as u64;
    assert_eq!(source.read_at(end, &mut [0; 9]).unwrap(), 0);
    assert_eq!(source.read_at(end + 5, &mut [0; 9]).unwrap(), 0);
    assert_eq!(source.read_at(end - 1, &mut [0; 9]).unwrap(), 1);
}

fn a_folder_is_listed_by_its_descriptors(yard: &dyn Yard, under: &str) {
    let (bytes, descriptor) = archive(1, 100);
    let (destination, mut sink) = yard.create(&format!("{under}{NAME}")).unwrap();
    sink.write_all(&bytes).unwrap();
    destination.commit(sink, &descriptor).unwrap();
    let folder = format!("{under}nightly");
    let put = |name: &str, content: &[u8]| yard.put(&format!("{folder}/{name}"), content);
    let text = descriptor.to_bytes().unwrap();
    put("2.partial.tar.zst.age", &bytes);
    put("2.partial.json", &text);
    put("2.partial.json.minisig", b"signature");
    put("3.tar.zst", &bytes);
    put("4.tar.zst", b"");
    put("4.json", &text);
    put("5.json", &text);
    put("empty.json", b"");
    put("notes.txt", b"by hand");
    put("below/6.tar.zst", &bytes);
    // With and without a slash at the end; a folder of a similar name is another one.
    yard.put(&format!("{folder}-2/7.tar.zst"), &bytes);
    for name in [&folder, &format!("{folder}/")] {
        let listing = yard.list(name).unwrap();
        let found = listing.archives.iter();
        let found: Vec<_> = found
            .map(|one| {
                (
                    one.name.as_str(),
                    one.standing(),
                    one.size,
                    one.signature.is_some(),
                )
            })
            .collect();
        let size = bytes.len() as u64;
        assert_eq!(
            found,
            [
                (
                    "1-20261122T010000Z.tar.zst",
                    Standing::Counting,
                    size,
                    false
                ),
                ("2.partial.tar.zst.age", Standing::Partial, size, true),
                ("3.tar.zst", Standing::Unknown, size, false),
                ("4.tar.zst", Standing::Unknown, 0, false),
            ]
        );
        let litter = listing.litter.iter().map(|one| one.name.as_str());
        assert_eq!(litter.collect::<Vec<_>>(), ["5.json"]);
        assert_eq!(listing.foreign, 2, "{listing:?}");
        let now = descriptor.started;
        let latest = listing.latest(None, now).unwrap();
        assert!(latest.place.to_string().ends_with(NAME), "{latest:?}");
        let age = latest.modified.duration_since(jiff::Timestamp::now());
        assert!(age.as_hours() == 0, "{age}");
    }
}

/// A remote object may be replaced between two reads, and its name says where it is.
fn replaced_while_read(ground: &Ground) {
    ground.put("x", &[1; 100_000]);
    let source = Source::in_store(&ground.store, &ground.address("x")).unwrap();
    let mut buf = [0; 1000];
    assert_eq!(source.read_at(0, &mut buf).unwrap(), 1000);
    ground.put("x", &[2; 100_000]);
    let error = source.read_at(50_000, &mut buf).unwrap_err();
    let error = Error::inside(&error).unwrap();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("{}x", ground.url)));
}

/// What is not there is told apart: the object, or the container.
fn absent(ground: &Ground) {
    let error = Source::in_store(&ground.store, &ground.address("y")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let (scheme, _) = ground.url.split_once("://").unwrap();
    let nowhere = storage_support::remote(&format!("{scheme}://no-such-container/x"));
    let open = storage_support::open(&nowhere, &ground.settings)
        .err()
        .unwrap();
    let place = Place::Remote(nowhere);
    let create = Destination::create(&place, "", &Protection::default(), &ground.settings);
    let create = create.err().unwrap();
    let list = Listing::read(&place, &ground.settings, Region::Primary, &|_| {}).unwrap_err();
    assert!(matches!(list, Error::NoContainer { .. }), "{list:?}");
    let empty = Listing::in_store(&ground.store, &ground.address("no-such-folder/")).unwrap();
    assert!(empty.archives.is_empty(), "{empty:?}");
    for error in [open, create] {
        match &error {
            Error::NoContainer { container, .. } => assert_eq!(container, "no-such-container"),
            // A length request of S3 has no body that could say which of the two is missing.
            Error::NotFound { .. } if scheme == "s3" => continue,
            _ => panic!("{error:?}"),
        }
        assert_eq!(error.exit_code(), 12);
    }
}

#[test]
fn memory_conforms() {
    conforms(&memory());
    replaced_while_read(&memory());
}

#[test]
fn local_files_conform() {
    conforms(&Folder(tempfile::tempdir().unwrap()));
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn azurite_conforms() {
    let ground = azurite();
    conforms(&ground);
    replaced_while_read(&ground);
    absent(&ground);
}

#[test]
#[ignore = "needs moto: tests/run.sh storage"]
fn s3_conforms() {
    let ground = s3();
    conforms(&ground);
    replaced_while_read(&ground);
    absent(&ground);
    let unfinished = storage_support::unfinished(&ground);
    assert!(
        unfinished.contains("ListMultipartUploadsResult"),
        "{unfinished}"
    );
    assert!(!unfinished.contains("<Upload>"), "{unfinished}");
}
