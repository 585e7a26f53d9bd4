use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::protect::Recipients;
use crate::protect::encrypted::Encrypted;

/// Counts the reads that a store would be asked for.
struct Counted {
    bytes: Vec<u8>,
    reads: AtomicU64,
}

impl ReadAt for Counted {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_at(offset, buf)
    }

    fn name(&self) -> String {
        "x.tar.zst.age".to_owned()
    }
}

/// An identity, and what is encrypted to it.
fn locked(plain: &[u8]) -> (Identities, Vec<u8>) {
    let identity = age::x25519::Identity::generate();
    let texts = [identity.to_public().to_string()];
    let recipients = Recipients::load(&texts, &[""; 0]).unwrap().unwrap();
    let mut sink = Encrypted::begin(&recipients, Vec::new()).unwrap();
    sink.write_all(plain).unwrap();
    let (bytes, written) = sink.finish().unwrap();
    assert_eq!(written.size, bytes.len() as u64);
    assert_eq!(written.sha256, lifeboat_archive::Digest::of(&bytes));
    (identities(vec![identity]), bytes)
}

fn identities(all: Vec<age::x25519::Identity>) -> Identities {
    use age::secrecy::ExposeSecret as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.txt");
    let lines: Vec<String> = all
        .iter()
        .map(|one| one.to_string().expose_secret().to_owned())
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    Identities::load(&[path]).unwrap()
}

fn plain(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    std::iter::repeat_with(|| random.u8(..))
        .take(size)
        .collect()
}

fn read_all(source: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    fetch(source, offset..offset + len as u64)
}

#[test]
fn every_range_of_every_length_is_what_was_encrypted() {
    let chunk = CHUNK as usize;
    for size in [
        0,
        1,
        chunk - 1,
        chunk,
        chunk + 1,
        2 * chunk,
        3 * chunk,
        3 * chunk + 77,
    ] {
        let text = plain(size);
        let (identities, bytes) = locked(&text);
        let source = Decrypted::open(Arc::new(bytes), &identities).unwrap();
        assert_eq!(source.size().unwrap(), size as u64);
        let mut random = fastrand::Rng::with_seed(7);
        let edges = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, size];
        for step in 0..200 {
            let from = if step < 49 {
                edges[step % 7]
            } else {
                random.usize(..=size)
            };
            let to = if step < 49 {
                edges[step / 7]
            } else {
                random.usize(..=size)
            };
            let (from, to) = (from.min(to).min(size), from.max(to).min(size));
            let read = read_all(&source, from as u64, to - from).unwrap();
            assert!(read == text[from..to], "{from}..{to} of {size}");
        }
        assert_eq!(source.read_at(size as u64, &mut [0; 9]).unwrap(), 0);
        assert_eq!(source.read_at(u64::MAX, &mut [0; 9]).unwrap(), 0);
    }
}

#[test]
fn a_piece_costs_one_read_however_many_chunks_it_has() {
    let text = plain(5 << 20);
    let (identities, bytes) = locked(&text);
    let source = Arc::new(Counted {
        bytes,
        reads: AtomicU64::new(0),
    });
    let reads = || source.reads.load(Ordering::Relaxed);
    let open = Decrypted::open(Arc::clone(&source) as Arc<dyn ReadAt>, &identities).unwrap();
    assert_eq!(reads(), 2, "head and tail");
    let tail = (64 << 10) as u64;
    read_all(&open, text.len() as u64 - tail, tail as usize).unwrap();
    assert_eq!(reads(), 2, "the tail is there already");
    let piece = read_all(&open, 1_000_003, 2 << 20).unwrap();
    assert!(piece == text[1_000_003..][..2 << 20]);
    assert_eq!(reads(), 3);
    // Going on where it stopped does not fetch the shared chunk again.
    read_all(&open, 1_000_003 + (2 << 20), 100).unwrap();
    assert_eq!(reads(), 3);
}

#[test]
fn whoever_has_no_key_is_told_so() {
    let (identities_of_it, bytes) = locked(&plain(100));
    let open = |identities: &Identities| Decrypted::open(Arc::new(bytes.clone()), identities);
    let plain = Decrypted::open(Arc::new(b"text".to_vec()), &identities_of_it).unwrap_err();
    assert_eq!(plain.exit_code(), 10, "{plain}");
    let none = open(&Identities::none()).unwrap_err();
    assert!(
        matches!(none, Error::Protect(ProtectError::Locked { .. })),
        "{none:?}"
    );
    let other = identities(vec![age::x25519::Identity::generate()]);
    let wrong = open(&other).unwrap_err();
    assert_eq!((none.exit_code(), wrong.exit_code()), (12, 12));
    assert!(
        wrong
            .to_string()
            .contains("to somebody else than the identity"),
        "{wrong}"
    );
    assert!(open(&identities_of_it).is_ok());
}

#[test]
fn one_of_several_recipients_is_enough() {
    let all: Vec<_> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    let texts: Vec<String> = all.iter().map(|one| one.to_public().to_string()).collect();
    let recipients = Recipients::load(&texts, &[""; 0]).unwrap().unwrap();
    let mut sink = Encrypted::begin(&recipients, Vec::new()).unwrap();
    sink.write_all(b"text").unwrap();
    let (bytes, _) = sink.finish().unwrap();
    for one in all {
        let own = identities(vec![age::x25519::Identity::generate(), one]);
        let open = Decrypted::open(Arc::new(bytes.clone()), &own).unwrap();
        assert_eq!(read_all(&open, 0, 4).unwrap(), b"text");
    }
}

/// Opens and reads all of it, or says why not.
fn whole(bytes: Vec<u8>, identities: &Identities) -> Result<Vec<u8>, Error> {
    let open = Decrypted::open(Arc::new(bytes), identities)?;
    read_all(&open, 0, open.size().unwrap() as usize)
        .map_err(|error| Error::from_io(error, "read", "x".into()))
}

#[test]
fn no_damage_of_the_ciphertext_stays_unseen() {
    let text = plain(3 * CHUNK as usize + 500);
    let (identities, bytes) = locked(&text);
    let start = bytes.len() - 3 * STORED_CHUNK as usize - 516;
    let chunk = STORED_CHUNK as usize;
    let code = |bytes: Vec<u8>| whole(bytes, &identities).map_err(|error| error.exit_code());
    assert!(code(bytes.clone()).unwrap() == text);
    // Every byte of the header, then some in each chunk.
    let mut random = fastrand::Rng::with_seed(3);
    let later = std::iter::repeat_with(|| random.usize(start..bytes.len()));
    let places: Vec<usize> = (0..start).chain(later.take(60)).collect();
    for place in places {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << random.u8(..8);
        let code = code(changed).unwrap_err();
        // What was changed for the only recipient cannot be told from what is encrypted to somebody else.
        let allowed: &[u8] = match place {
            in_magic if in_magic < MAGIC.len() => &[10],
            in_header if in_header < start => &[11, 12],
            _ => &[11],
        };
        assert!(allowed.contains(&code), "{place}: {code}");
    }
    for end in (1..start).chain([
        start,
        start + 1,
        start + chunk,
        start + 2 * chunk + 9,
        bytes.len() - 1,
    ]) {
        let code = code(bytes[..end].to_vec()).unwrap_err();
        assert_eq!(code, 11, "cut at {end}");
    }
    let mut swapped = bytes.clone();
    let (first, second) = swapped[start..start + 2 * chunk].split_at_mut(chunk);
    first.swap_with_slice(second);
    assert_eq!(code(swapped).unwrap_err(), 11);
    let mut longer = bytes.clone();
    longer.extend_from_slice(&bytes[start..start + 20]);
    assert_eq!(code(longer).unwrap_err(), 11);
    let mut twice = bytes[..start + chunk].to_vec();
    twice.extend_from_slice(&bytes[start..]);
    assert_eq!(code(twice).unwrap_err(), 11);
}

#[test]
fn after_a_damaged_piece_the_others_are_read() {
    let text = plain(4 * CHUNK as usize);
    let (identities, mut bytes) = locked(&text);
    let start = bytes.len() - 4 * STORED_CHUNK as usize;
    bytes[start + STORED_CHUNK as usize + 40] ^= 4;
    let open = Decrypted::open(Arc::new(bytes), &identities).unwrap();
    for round in 0..2 {
        let error = read_all(&open, CHUNK + 10, 10).unwrap_err();
        let error = Error::inside(&error).unwrap().to_string();
        let place = format!("byte {} of the encrypted file", start as u64 + STORED_CHUNK);
        assert!(error.contains(&place), "{round}: {error}");
        for chunk in [0, 3, 2] {
            let at = chunk * CHUNK + 77;
            assert!(read_all(&open, at, 1000).unwrap() == text[at as usize..][..1000]);
        }
    }
}

#[test]
fn a_failure_of_the_source_is_no_damage() {
    struct Broken(Vec<u8>, AtomicU64);
    impl ReadAt for Broken {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            if self.1.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.0.read_at(offset, buf)
        }
        fn name(&self) -> String {
            "broken".to_owned()
        }
    }
    let text = plain(1 << 20);
    let (identities, bytes) = locked(&text);
    let source = Arc::new(Broken(bytes, AtomicU64::new(0)));
    let open = Decrypted::open(source, &identities).unwrap();
    let error = read_all(&open, 70_000, 10).unwrap_err();
    assert_eq!(Error::inside(&error).unwrap().exit_code(), 1, "{error:?}");
    assert!(read_all(&open, 70_000, 10).unwrap() == text[70_000..70_010]);
}
