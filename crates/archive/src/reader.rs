//! Reading an archive: one member of a million in a few ranged reads, or all of it.
//!
//! Owns the ways in ([`Archive`]); where bytes come from is in `packed` (an archive file) and `folder` (an unpacked
//! bag), the index in `lookup`, the whole-file walks in `verify` and `salvage`.

mod folder;
mod lookup;
mod open;
mod packed;
mod salvage;
mod verify;
mod walk;

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::bag;
use crate::digest::{Digest, Hasher};
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::index::{Root, TablePart};
use crate::source::{FileSource, ReadAt};
use crate::statement::{Header, Summary};
use crate::version::FormatVersion;
use folder::Folder;
use packed::Packed;

pub use salvage::{SalvageEvent, SalvageReport, salvage};
pub use verify::{MAX_DAMAGE, VerifyReport};

/// The most that [`Archive::read`] takes into memory.
const READ_LIMIT: u64 = 64 << 20;

/// An archive file or an unpacked bag, open for reading. Shared freely between threads.
pub struct Archive {
    store: Store,
    closing: Closing,
    pages: lookup::PageCache,
}

/// Where contents come from.
enum Store {
    Packed(Packed),
    Folder(Folder),
}

/// What the members of the last frame say, checked against each other.
struct Closing {
    root: Root,
    /// Digest and path of every tag file but the tag manifest.
    tags: Vec<(String, Digest)>,
    archive_id: Digest,
    /// The members of the last frame; their offsets mean nothing in an unpacked bag.
    members: Vec<Member>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("name", &self.store.name())
            .field("archive_id", &self.closing.archive_id)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens an archive file or the folder that one was unpacked into.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io {
            name: path.display().to_string(),
            offset: 0,
            source,
        };
        if fs_err::metadata(path).map_err(failed)?.is_dir() {
            return Self::from_folder(path);
        }
        Self::from_source(Box::new(FileSource::open(path).map_err(failed)?))
    }

    /// Opens an archive file that is read through `source`: one length request and one read for small archives,
    /// two or three for others.
    pub fn from_source(source: Box<dyn ReadAt>) -> Result<Self, ReadError> {
        let (packed, closing) = open::packed(source)?;
        Ok(Self::new(Store::Packed(packed), closing))
    }

    fn from_folder(path: &Path) -> Result<Self, ReadError> {
        let (folder, closing) = open::folder(path)?;
        Ok(Self::new(Store::Folder(folder), closing))
    }

    fn new(store: Store, closing: Closing) -> Self {
        Self {
            store,
            closing,
            pages: lookup::PageCache::default(),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        self.store.name().to_owned()
    }

    /// The version of the format that it was written in.
    pub fn version(&self) -> FormatVersion {
        self.closing.root.version
    }

    /// SHA-256 of `tagmanifest-sha256.txt`.
    pub fn archive_id(&self) -> Result<Digest, ReadError> {
        Ok(self.closing.archive_id)
    }

    /// SHA-256 of `manifest-sha256.txt`, as the tag manifest states it.
    pub fn content_id(&self) -> Result<Digest, ReadError> {
        self.closing.tag(bag::MANIFEST).ok_or_else(|| {
            self.damaged(Damage::new("the tag manifest does not list it").at_path(bag::MANIFEST))
        })
    }

    /// When the run that wrote it ended.
    pub fn finished(&self) -> Timestamp {
        self.closing.root.finished
    }

    /// Members below `data/` and their bytes, as the root states them.
    pub fn payload(&self) -> (u64, u64) {
        let payload = self.closing.root.payload;
        (payload.members, payload.bytes)
    }

    /// `lifeboat.json`.
    pub fn header(&self) -> Result<Header, ReadError> {
        self.document(bag::HEADER)
    }

    /// `summary.json`.
    pub fn summary(&self) -> Result<Summary, ReadError> {
        self.document(bag::SUMMARY)
    }

    /// Parses a JSON document of the archive that has to be there, such as `run.json`.
    pub fn document<T: DeserializeOwned>(&self, path: &str) -> Result<T, ReadError> {
        let member = self
            .find(path)?
            .ok_or_else(|| self.damaged(Damage::new("the document is missing").at_path(path)))?;
        let bytes = self.read(&member)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            self.damaged(Damage::new(format!("the document cannot be read: {error}")).at_path(path))
        })
    }

    /// The member at `path`, of any kind. Reads one page of the index.
    pub fn find(&self, path: &str) -> Result<Option<Member>, ReadError> {
        lookup::find(self, path)
    }

    /// All members of the index whose path begins with `prefix`, in the order of their paths' UTF-8 bytes: the
    /// payload and the tag files, without the index itself and the other members of the last frame.
    pub fn members(
        &self,
        prefix: &str,
    ) -> Result<impl Iterator<Item = Result<Member, ReadError>> + '_, ReadError> {
        Ok(lookup::Members::new(self, prefix))
    }

    /// The whole content of a member of at most 64 MiB, its digest proved.
    pub fn read(&self, member: &Member) -> Result<Vec<u8>, ReadError> {
        self.read_limited(member, READ_LIMIT)
    }

    fn read_limited(&self, member: &Member, limit: u64) -> Result<Vec<u8>, ReadError> {
        if member.size > limit {
            return Err(ReadError::TooLarge {
                path: member.path.clone(),
                size: member.size,
                limit,
            });
        }
        // Not reserved from the stated size: what is really there decides how much memory is taken.
        let mut bytes = Vec::new();
        self.copy(member, &mut bytes)?;
        Ok(bytes)
    }

    /// Streams the content of a member to `to`. The digest is proved at the end: after an error, what was written
    /// is worthless.
    pub fn copy(&self, member: &Member, to: &mut dyn Write) -> Result<(), ReadError> {
        let mut hasher = Hasher::new();
        self.store.stream(member, &mut |bytes| {
            hasher.update(bytes);
            to.write_all(bytes).map_err(|source| ReadError::Output {
                path: member.path.clone(),
                source,
            })
        })?;
        let actual = hasher.finish();
        if actual == member.sha256 {
            return Ok(());
        }
        let mut damage = Damage::new("the content does not have its digest")
            .at_path(&member.path)
            .values(member.sha256, actual);
        if let Some(place) = self.store.place(member.offset) {
            damage = damage.at_frame(place.frame, place.stored);
        }
        Err(self.damaged(damage))
    }

    /// The JSON lines of a table such as `data/users` or `ledger`, in order over its parts. For `observed/jobs`, the
    /// lines of `observed/jobs.jsonl`. A table that was written without lines has no members and gives none.
    pub fn lines(
        &self,
        table: &str,
    ) -> Result<impl Iterator<Item = Result<String, ReadError>> + '_, ReadError> {
        lookup::Lines::new(self, table)
    }

    /// The parts of `table`, as the root lists them.
    pub fn table_parts(&self, table: &str) -> impl Iterator<Item = &TablePart> {
        self.closing
            .root
            .tables
            .iter()
            .filter(move |part| part.table() == table)
    }

    /// The line of `table` with this key (its `path`, else its `id`). When the table is sorted by key, only the part
    /// that may hold it is read.
    pub fn find_line(&self, table: &str, key: &str) -> Result<Option<String>, ReadError> {
        lookup::find_line(self, table, key)
    }

    /// Checks every byte: frames, tar, manifests, index. Goes on to the end whatever it finds; only a source that
    /// cannot be read ends it early. `progress` gets bytes done and bytes in all.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, ReadError> {
        verify::verify(self, progress)
    }

    fn damaged(&self, damage: Box<Damage>) -> ReadError {
        ReadError::damaged(self.store.name(), damage)
    }
}

impl Closing {
    /// The digest that the tag manifest states for `path`.
    fn tag(&self, path: &str) -> Option<Digest> {
        let at = self
            .tags
            .binary_search_by(|(tag, _)| tag.as_str().cmp(path))
            .ok()?;
        Some(self.tags[at].1)
    }
}

impl Store {
    fn name(&self) -> &str {
        match self {
            Self::Packed(packed) => packed.name(),
            Self::Folder(folder) => folder.name(),
        }
    }

    /// Streams the content of `member` without proving it.
    fn stream(
        &self,
        member: &Member,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match self {
            Self::Packed(packed) => packed.stream(member, to),
            Self::Folder(folder) => folder.stream(member, to),
        }
    }

    /// Streams `len` bytes from `from` of the content of `member`, without proving them.
    fn range(
        &self,
        member: &Member,
        from: u64,
        len: u64,
        to: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match self {
            Self::Packed(packed) => {
                let part = Member {
                    offset: member.offset.saturating_add(from),
                    size: len,
                    ..member.clone()
                };
                packed.stream(&part, to)
            }
            Self::Folder(folder) => folder.range(member, from, len, to),
        }
    }

    /// Length of the uncompressed stream; none in an unpacked bag.
    fn stream_len(&self) -> Option<u64> {
        match self {
            Self::Packed(packed) => Some(packed.frames().stream_len()),
            Self::Folder(_) => None,
        }
    }

    /// The frame that holds `offset` of the uncompressed stream; none in an unpacked bag.
    fn place(&self, offset: u64) -> Option<crate::seek::Place> {
        match self {
            Self::Packed(packed) => packed.frames().containing(offset),
            Self::Folder(_) => None,
        }
    }
}
