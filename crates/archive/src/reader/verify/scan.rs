//! The first pass: every byte is read once, decoded and hashed.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{BadFrame, Found, VerifyReport, spill};
use crate::bag;
use crate::digest::{Digest, Hasher};
use crate::entry::Member;
use crate::error::{Damage, ReadError};
use crate::reader::folder::Folder;
use crate::reader::packed::{Packed, decoder, read_into};
use crate::reader::walk::{Visitor, Walk};
use crate::seek::Place;
use crate::sort::Sorter;

/// Frames that may wait between the two threads.
const AHEAD: usize = 3;

/// One frame on its way from the decoding thread to the hashing one.
struct Decoded {
    place: Place,
    stored: Vec<u8>,
    raw: Vec<u8>,
    result: Result<(), Box<Damage>>,
}

/// Buffers on their way back.
type Buffers = (Vec<u8>, Vec<u8>);

/// Reads an archive file.
pub(super) fn packed(
    packed: &Packed,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, ReadError> {
    std::thread::scope(|scope| {
        let (frames, decoded) = sync_channel(AHEAD);
        let (spare, buffers) = sync_channel(AHEAD + 2);
        scope.spawn(move || decode_all(packed, &frames, &buffers));
        // Ends early on an error; dropping its ends of the channels then ends the decoding thread.
        hash_all(packed, decoded, spare, progress)
    })
}

/// Reads and decodes all frames in order.
fn decode_all(
    packed: &Packed,
    frames: &SyncSender<Result<Decoded, ReadError>>,
    buffers: &Receiver<Buffers>,
) {
    let mut decoder = match decoder(packed.name(), 0) {
        Ok(decoder) => decoder,
        Err(error) => {
            // A closed channel means that the other side has ended with an error of its own.
            let _ = frames.send(Err(error));
            return;
        }
    };
    for index in 0..packed.frames().count() {
        let Some(place) = packed.frames().place(index) else {
            return;
        };
        let (mut stored, mut raw) = buffers.try_recv().unwrap_or_default();
        stored.resize(place.stored_len, 0);
        let next = read_into(packed.source(), packed.name(), place.stored, &mut stored).map(|()| {
            let result = decoder.decode(&stored, packed.frames().limit(index), &mut raw);
            Decoded {
                place,
                stored,
                raw,
                result,
            }
        });
        let failed = next.is_err();
        if frames.send(next).is_err() || failed {
            return;
        }
    }
}

/// Walks and hashes all frames in order.
fn hash_all(
    packed: &Packed,
    decoded: Receiver<Result<Decoded, ReadError>>,
    spare: SyncSender<Buffers>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, ReadError> {
    let count = packed.frames().count();
    let total = packed
        .frames()
        .place(count - 1)
        .map_or(0, |last| last.stored + last.stored_len as u64);
    let mut facts = Facts::new();
    let mut walk = Walk::new();
    let mut stored = Hasher::new();
    let mut before_last = None;
    let mut start = 0;
    for message in decoded {
        let Decoded {
            place,
            stored: bytes,
            raw,
            result,
        } = message?;
        if place.frame + 1 == count {
            before_last = Some((place.stored, stored.clone().finish()));
        } else {
            stored.update(&bytes);
        }
        facts.place = Some(place);
        facts.at = start;
        let len = match result {
            Ok(()) => {
                facts.compare_size(place, raw.len(), total)?;
                walk.frame(&raw, start, &mut facts)?;
                raw.len()
            }
            Err(damage) => {
                // What the broken frame says of its own size may be what is broken.
                let len = place.len;
                walk.gap(len as u64, &mut facts)?;
                facts.bad.insert(
                    start,
                    BadFrame {
                        end: start + len as u64,
                        damage: damage.at_frame(place.frame, place.stored),
                        reported: false,
                    },
                );
                len
            }
        };
        start += len as u64;
        progress(place.stored + place.stored_len as u64, total);
        // When the other side has ended, nobody needs the buffers.
        let _ = spare.try_send((bytes, raw));
    }
    if !walk.complete() && facts.bad.is_empty() {
        facts.damage(Damage::new("the tar has no end"))?;
    }
    facts.report.frames = count;
    Ok(facts.found(before_last))
}

/// Collects what is really there.
struct Facts {
    report: VerifyReport,
    members: Sorter,
    payload: (u64, u64),
    bad: BTreeMap<u64, BadFrame>,
    /// The frame that is being walked, and where it begins in the stream.
    place: Option<Place>,
    at: u64,
    current: Option<(Member, Hasher)>,
}

impl Facts {
    fn new() -> Self {
        Self {
            report: VerifyReport::default(),
            members: Sorter::new(None),
            payload: (0, 0),
            bad: BTreeMap::new(),
            place: None,
            at: 0,
            current: None,
        }
    }

    /// Compares a decoded frame with its entry in the seek table, which lies behind all `total` bytes of frames.
    fn compare_size(&mut self, place: Place, len: usize, total: u64) -> Result<(), ReadError> {
        if len == place.len {
            return Ok(());
        }
        let entry = total + 8 + 8 * place.frame + 4;
        self.report.add(
            Damage::new("the seek table states another size than the frame has")
                .at_frame(place.frame, entry)
                .values(format!("{len} bytes"), format!("{} bytes", place.len)),
        );
        Ok(())
    }

    fn add(&mut self, member: Member) -> Result<(), ReadError> {
        self.report.members += 1;
        self.report.bytes += member.size;
        if member.path.starts_with(bag::PAYLOAD) {
            self.payload.0 += 1;
            self.payload.1 += member.size;
        }
        self.members.push(member).map_err(spill)
    }

    fn found(self, stored: Option<(u64, Digest)>) -> Found {
        Found {
            report: self.report,
            members: self.members.finish(),
            payload: self.payload,
            bad: self.bad,
            stored,
        }
    }
}

impl Visitor for Facts {
    type Error = ReadError;

    fn begin(&mut self, path: &str, size: u64, offset: u64) -> Result<(), ReadError> {
        let member = Member {
            path: path.to_owned(),
            offset,
            size,
            sha256: Digest::of(&[]),
        };
        self.current = Some((member, Hasher::new()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        if let Some((_, hasher)) = &mut self.current {
            hasher.update(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ReadError> {
        match self.current.take() {
            Some((mut member, hasher)) => {
                member.sha256 = hasher.finish();
                self.add(member)
            }
            None => Ok(()),
        }
    }

    fn lost(&mut self) -> Result<(), ReadError> {
        // The second pass finds the path in the manifest and misses it here.
        self.current = None;
        Ok(())
    }

    fn damage(&mut self, damage: Box<Damage>) -> Result<(), ReadError> {
        let placed = match self.place {
            Some(place) => damage.at_frame(place.frame, place.stored),
            None => damage,
        };
        self.report.add(placed);
        Ok(())
    }
}

/// Reads an unpacked bag that should hold about `total` bytes.
pub(super) fn folder(
    folder: &Folder,
    total: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, ReadError> {
    let mut facts = Facts::new();
    let mut done = 0;
    for entry in walkdir::WalkDir::new(folder.path())
        .min_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.map_err(|error| ReadError::Io {
            name: folder.name().to_owned(),
            offset: 0,
            source: error.into(),
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(path) = relative(folder, entry.path()) else {
            let shown = entry.path().to_string_lossy().into_owned();
            facts.damage(Damage::new("the path is not UTF-8").at_path(shown))?;
            continue;
        };
        if !entry.file_type().is_file() {
            facts.damage(Damage::new("a link or special file").at_path(path))?;
            continue;
        }
        let mut hasher = Hasher::new();
        let read = folder.stream_path(&path, u64::MAX, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        });
        let size = match read {
            Ok(size) => size,
            Err(ReadError::Damaged { damage, .. }) => {
                facts.damage(damage)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        done += size;
        progress(done, total.max(done));
        facts.add(Member {
            path,
            offset: 0,
            size,
            sha256: hasher.finish(),
        })?;
    }
    Ok(facts.found(None))
}

/// The path below the bag, with `/` between components.
fn relative(folder: &Folder, path: &std::path::Path) -> Option<String> {
    let below = path.strip_prefix(folder.path()).ok()?;
    let components: Option<Vec<&str>> = below.iter().map(std::ffi::OsStr::to_str).collect();
    Some(components?.join("/"))
}
