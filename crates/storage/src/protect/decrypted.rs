//! Reading an encrypted file at offsets of what it decrypts to (spec, "Encryption and signatures").
//!
//! age cuts its plaintext into chunks of 64 KiB, each authentic by itself. The library reads them one by one from something that
//! seeks; over a network that would be one request for each, so the ciphertext that a read needs is fetched before, in one piece.
//! Whatever the library reports then is about the ciphertext, and not about the way to it.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use bytes::{Buf as _, Bytes};
use lifeboat_archive::ReadAt;

use super::error::ProtectError;
use super::identities::Identities;
use crate::error::Error;

/// How every file of age begins.
const MAGIC: &[u8] = b"age-encryption.org/";
/// The longest header that is read: that of 500 recipients and more.
const HEAD: u64 = 64 << 10;
/// Plaintext of a chunk.
const CHUNK: u64 = 64 << 10;
/// A chunk as it is stored, with its tag.
const STORED_CHUNK: u64 = CHUNK + 16;
/// Ciphertext that is fetched at a time, at most. A frame of an archive has 2 MiB and little more.
const MOST: u64 = 16 << 20;

/// The plaintext of an encrypted file. One thread reads at a time.
pub struct Decrypted {
    source: Arc<dyn ReadAt>,
    identities: Identities,
    size: u64,
    reader: Mutex<Option<Reader>>,
}

impl std::fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decrypted")
            .field("source", &self.source.name())
            .finish_non_exhaustive()
    }
}

impl Decrypted {
    /// Opens the file behind `source` with whichever of `identities` fits: two ranges, one when it is small. That the file ends
    /// where it was ended by whoever encrypted it is proved here.
    ///
    /// # Errors
    /// The source cannot be read or does not begin as a file of age; no identity was given or fits; header or end are not
    /// authentic.
    pub fn open(source: Arc<dyn ReadAt>, identities: &Identities) -> Result<Self, Error> {
        let reader = Reader::open(&source, identities)?;
        Ok(Self {
            source,
            identities: identities.clone(),
            size: reader.size,
            reader: Mutex::new(Some(reader)),
        })
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let mut held = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match held.take() {
            Some(reader) => reader,
            // After a failure the library's reader is in no known state.
            None => Reader::open(&self.source, &self.identities)?,
        };
        let count = reader.read(&*self.source, offset, buf)?;
        *held = Some(reader);
        Ok(count)
    }
}

impl ReadAt for Decrypted {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.size.saturating_sub(offset).min(MOST);
        let most = buf.len().min(rest as usize);
        if most == 0 {
            return Ok(0);
        }
        self.read(offset, &mut buf[..most]).map_err(Error::into_io)
    }

    fn name(&self) -> String {
        self.source.name()
    }
}

/// The library's reader above a window of ciphertext.
struct Reader {
    stream: StreamReader<Cursor>,
    window: Arc<Mutex<Window>>,
    /// Where the first chunk begins in the file.
    start: u64,
    /// Length of the file.
    stored: u64,
    /// Length of the plaintext.
    size: u64,
    /// Where the library stands in the plaintext.
    at: u64,
}

impl Reader {
    fn open(source: &Arc<dyn ReadAt>, identities: &Identities) -> Result<Self, Error> {
        let place = source.name();
        let stored = source.size().map_err(unreadable(&place))?;
        let head = fetch(&**source, 0..HEAD.min(stored)).map_err(unreadable(&place))?;
        let known = head.len().min(MAGIC.len());
        if head.is_empty() || head[..known] != MAGIC[..known] {
            return Err(ProtectError::NotEncrypted { place }.into());
        }
        let window = Arc::new(Mutex::new(Window {
            bytes: head.into(),
            ..Window::default()
        }));
        let cursor = Cursor {
            window: Arc::clone(&window),
            ahead: Bytes::new(),
            at: 0,
            stored,
        };
        let stream = unlock(cursor, &place, identities)?;
        // The library has read up to its first chunk and not further.
        let start = lock(&window).reached;
        let mut reader = Self {
            stream,
            window,
            start,
            stored,
            size: 0,
            at: 0,
        };
        reader.prove_end(&**source)?;
        Ok(reader)
    }

    /// Proves the last chunk to be the last one, which tells the length of the plaintext. The chunk before it is fetched, too: the
    /// reader of an archive begins at its end.
    fn prove_end(&mut self, source: &dyn ReadAt) -> Result<(), Error> {
        let place = source.name();
        let chunks = (self.stored - self.start).div_ceil(STORED_CHUNK);
        let begin = |chunk: u64| self.start + chunk * STORED_CHUNK;
        self.want(source, begin(chunks.saturating_sub(2))..self.stored)?;
        self.size = self.stream.seek(SeekFrom::End(0)).map_err(|_| {
            ciphertext(
                &place,
                begin(chunks.saturating_sub(1)),
                format!(
                    "it was cut short or changed: its last piece is not the end of what was encrypted (it has {} bytes)",
                    self.stored
                ),
            )
        })?;
        self.at = self.size;
        Ok(())
    }

    /// Reads at most up to the end of what is fetched in one piece; the caller has cut `buf` to what there is.
    fn read(&mut self, source: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let end = offset + buf.len() as u64;
        // The library keeps the chunk that it stands in.
        let kept = (!self.at.is_multiple_of(CHUNK)).then_some(self.at / CHUNK);
        let first = match kept {
            Some(kept) if kept == offset / CHUNK => kept + 1,
            _ => offset / CHUNK,
        };
        let from = self.start + first * STORED_CHUNK;
        let to = (self.start + end.div_ceil(CHUNK) * STORED_CHUNK).min(self.stored);
        if from < to {
            self.want(source, from..to)?;
        }
        let read = self
            .stream
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.stream.read(buf));
        match read {
            Ok(count) if count > 0 => {
                self.at = offset + count as u64;
                Ok(count)
            }
            _ => Err(ciphertext(
                &source.name(),
                self.start + offset / CHUNK * STORED_CHUNK,
                "a piece of 64 KiB is not what was encrypted".to_owned(),
            )),
        }
    }

    /// Sees to it that the window holds this part of the file.
    fn want(&self, source: &dyn ReadAt, range: std::ops::Range<u64>) -> Result<(), Error> {
        if lock(&self.window).holds(&range) {
            return Ok(());
        }
        let bytes = fetch(source, range.clone()).map_err(unreadable(&source.name()))?;
        let mut window = lock(&self.window);
        window.start = range.start;
        window.bytes = bytes.into();
        Ok(())
    }
}

/// Reads the header and takes the key out of it.
fn unlock(
    cursor: Cursor,
    place: &str,
    identities: &Identities,
) -> Result<StreamReader<Cursor>, Error> {
    let header = |error: DecryptError| {
        let what = match error {
            DecryptError::UnknownFormat => {
                "its header is of a format of age that this build does not know".to_owned()
            }
            DecryptError::InvalidMac => "its header was changed".to_owned(),
            _ => "its header is cut short, changed, or longer than 64 KiB".to_owned(),
        };
        ciphertext(place, 0, what)
    };
    let decryptor = Decryptor::new_buffered(cursor).map_err(header)?;
    let passphrase = decryptor.is_scrypt();
    let place_of = || place.to_owned();
    if identities.is_empty() && !passphrase {
        return Err(ProtectError::Locked { place: place_of() }.into());
    }
    decryptor
        .decrypt(identities.iter())
        .map_err(|error| match error {
            DecryptError::NoMatchingKeys => ProtectError::NoFittingIdentity {
                place: place_of(),
                tried: identities.len(),
                passphrase,
            }
            .into(),
            other => header(other),
        })
}

fn ciphertext(place: &str, offset: u64, what: String) -> Error {
    ProtectError::Ciphertext {
        place: place.to_owned(),
        offset,
        what,
    }
    .into()
}

/// What the source said, which is one of ours when it came from a store.
fn unreadable(place: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let place = place.to_owned();
    move |error| Error::from_io(error, "read", place.into())
}

/// Exactly this part of the file.
fn fetch(source: &dyn ReadAt, range: std::ops::Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut done = 0;
    while done < bytes.len() {
        match source.read_at(range.start + done as u64, &mut bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// A part of the ciphertext in memory, and how far the library has read.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Bytes,
    reached: u64,
}

impl Window {
    fn holds(&self, range: &std::ops::Range<u64>) -> bool {
        self.start <= range.start && range.end <= self.start + self.bytes.len() as u64
    }

    /// What is there from `at` on.
    fn from(&self, at: u64) -> Bytes {
        let skipped = at.checked_sub(self.start).unwrap_or(u64::MAX);
        if skipped > self.bytes.len() as u64 {
            return Bytes::new();
        }
        self.bytes.slice(skipped as usize..)
    }
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file as the library sees it: it may go anywhere and finds only what was fetched.
struct Cursor {
    window: Arc<Mutex<Window>>,
    /// What the window held from `at` on, as far as it was not consumed.
    ahead: Bytes,
    at: u64,
    stored: u64,
}

impl BufRead for Cursor {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_empty() {
            self.ahead = lock(&self.window).from(self.at);
        }
        Ok(&self.ahead)
    }

    fn consume(&mut self, count: usize) {
        self.ahead.advance(count);
        self.at += count as u64;
        lock(&self.window).reached = self.at;
    }
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.stored.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.ahead = Bytes::new();
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests;
