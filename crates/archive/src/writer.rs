//! Writing an archive, from front to back in one pass (spec, "Members").
//!
//! Owns the order of members, the manifests and the index. What the members mean is the caller's business.

mod pages;
mod paths;
mod stream;

use std::io::{Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::bag;
use crate::digest::{Digest, Hasher};
use crate::entry::Member;
use crate::error::WriteError;
use crate::frame::Kind;
use crate::index::{self, Payload, Root, Span, TablePart};
use crate::names::{self, NameError};
use crate::pool::FrameSink;
use crate::sort::{Sorted, Sorter};
use crate::statement::{FORMAT, Header, Summary};
use crate::table;
use crate::version::FORMAT_VERSION;
use paths::Paths;
use stream::Stream;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// How an archive is written. Only `bag` and `level` show in the result.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Name of the top folder in the tar: one component that the rules for names allow.
    pub bag: String,
    /// zstd level, usually 3.
    pub level: i32,
    /// Threads that compress; the caller's thread hashes and writes. At least one is used.
    pub threads: usize,
    /// Where the temporary file of the index is made when memory does not hold it; `None` is the system's place.
    pub spill_dir: Option<PathBuf>,
}

/// A content that is completely known, so that its size can be written before it.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, usually an unlinked temporary one: read from offset 0, exactly `size` bytes.
    File {
        /// The file, readable.
        file: std::fs::File,
        /// Its length in bytes.
        size: u64,
    },
}

/// What a record says about a stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// Digest of them.
    pub sha256: Digest,
}

/// The facts about a finished archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of `tagmanifest-sha256.txt`: commits to every member.
    pub archive_id: Digest,
    /// SHA-256 of `manifest-sha256.txt`: equal when the payload is equal.
    pub content_id: Digest,
    /// Bytes of the stored file.
    pub size: u64,
    /// SHA-256 of the stored file.
    pub sha256: Digest,
    /// All members in the tar.
    pub members: u64,
    /// Members below `data/`.
    pub payload_members: u64,
    /// Bytes of those.
    pub payload_bytes: u64,
}

/// Writes one archive to a sink.
///
/// Memory is bounded: frames in flight, one run of the index (8 MiB), and 16 bytes for each path and folder.
pub struct Writer<W: Write> {
    stream: Stream<W>,
    paths: Paths,
    /// The payload while it is open.
    open: Option<Sorter>,
    /// The payload once the manifest is written.
    closed: Option<Sorted>,
    content_id: Option<Digest>,
    payload: Payload,
    manifest_len: u64,
    tags: Vec<Member>,
    tables: Vec<TablePart>,
    broken: bool,
}

impl<W: Write> Writer<W> {
    /// Begins an archive: `bagit.txt` and `lifeboat.json` are written at once.
    pub fn create(sink: W, options: WriterOptions, header: &Header) -> Result<Self, WriteError> {
        check(&options.bag)?;
        if options.bag.contains('/') {
            return Err(name_error(&options.bag, NameError::Place));
        }
        let mtime = u64::try_from(header.started.as_second()).unwrap_or(0);
        let frames = FrameSink::new(sink, options.level, options.threads)?;
        let mut writer = Self {
            stream: Stream::new(frames, options.bag, mtime),
            paths: Paths::default(),
            open: Some(Sorter::new(options.spill_dir.as_deref())),
            closed: None,
            content_id: None,
            payload: Payload {
                members: 0,
                bytes: 0,
            },
            manifest_len: 0,
            tags: Vec::new(),
            tables: Vec::new(),
            broken: false,
        };
        writer.generate(bag::BAGIT, bag::DECLARATION.as_bytes())?;
        writer.generate(bag::HEADER, &json(bag::HEADER, header)?)?;
        writer.stream.frame_of(Kind::Ordinary)?;
        Ok(writer)
    }

    /// Adds a payload member: `path` begins with `data/`. Any order; a path that is taken or not allowed is refused
    /// and nothing is written. Parts of tables are written by [`TableWriter`](crate::TableWriter), which the root
    /// needs to list them.
    pub fn add(&mut self, path: &str, content: Content) -> Result<Stored, WriteError> {
        no_part(path)?;
        self.add_payload(path, content)
            .map(|member| stored(&member))
    }

    /// Adds a tag file, such as `run.json`. The first one closes the payload and writes its manifest.
    pub fn add_tag(&mut self, path: &str, content: Content) -> Result<Stored, WriteError> {
        no_part(path)?;
        self.add_tag_file(path, content)
            .map(|member| stored(&member))
    }

    /// [`Self::add`], with the place of the content.
    pub(crate) fn add_payload(
        &mut self,
        path: &str,
        content: Content,
    ) -> Result<Member, WriteError> {
        if !path.starts_with(bag::PAYLOAD) {
            return Err(name_error(path, NameError::Place));
        }
        if self.open.is_none() {
            return Err(WriteError::PayloadClosed {
                path: path.to_owned(),
            });
        }
        check_content(path, &content)?;
        let member = self.guarded(|writer| writer.member(path, content))?;
        self.payload.members += 1;
        self.payload.bytes += member.size;
        self.manifest_len += bag::manifest_line_len(path);
        if let Some(sorter) = &mut self.open {
            sorter.push(member.clone()).map_err(|source| {
                self.broken = true;
                WriteError::Spill { source }
            })?;
        }
        Ok(member)
    }

    /// [`Self::add_tag`], with the place of the content.
    pub(crate) fn add_tag_file(
        &mut self,
        path: &str,
        content: Content,
    ) -> Result<Member, WriteError> {
        if path.starts_with(bag::PAYLOAD) {
            return Err(name_error(path, NameError::Place));
        }
        if reserved(path) {
            return Err(WriteError::Reserved {
                path: path.to_owned(),
            });
        }
        check_content(path, &content)?;
        self.guarded(Self::close_payload)?;
        let member = self.guarded(|writer| writer.member(path, content))?;
        self.tags.push(member.clone());
        Ok(member)
    }

    /// Notes the parts of a finished table for the root.
    pub(crate) fn note_table(&mut self, parts: Vec<TablePart>) {
        self.tables.extend(parts);
    }

    /// Ends the archive: summary, index, manifests, seek table. Gives back the sink, flushed.
    pub fn finish(
        mut self,
        summary: &Summary,
        finished: Timestamp,
    ) -> Result<(W, Sealed), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        self.close_payload()?;
        self.generate(bag::SUMMARY, &json(bag::SUMMARY, summary)?)?;
        let (pages, entries) = self.write_index()?;
        let (length, sha256) = self.stream.close()?;
        let info = bag::info(self.payload.bytes, self.payload.members, entries, finished);
        self.generate(bag::INFO, info.as_bytes())?;
        self.tables.sort_by(|a, b| a.path.cmp(&b.path));
        let root = Root {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            finished,
            entries,
            payload: self.payload,
            stored: Span { length, sha256 },
            pages,
            tables: std::mem::take(&mut self.tables),
        };
        // Not indented: it is read over a network whenever an archive is opened.
        let root = serde_json::to_vec(&root).map_err(|source| WriteError::Json {
            path: index::ROOT.to_owned(),
            source,
        })?;
        self.generate(index::ROOT, &root)?;
        self.tags.sort_unstable();
        let tagmanifest: String = self
            .tags
            .iter()
            .map(|tag| bag::manifest_line(&tag.sha256, &tag.path))
            .collect();
        self.generate(bag::TAGMANIFEST, tagmanifest.as_bytes())?;
        let members = self.payload.members + self.tags.len() as u64;
        let content_id = self.content_id.ok_or(WriteError::Broken)?;
        let (sink, size, sha256) = self.stream.finish()?;
        let sealed = Sealed {
            archive_id: Digest::of(tagmanifest.as_bytes()),
            content_id,
            size,
            sha256,
            members,
            payload_members: self.payload.members,
            payload_bytes: self.payload.bytes,
        };
        Ok((sink, sealed))
    }

    /// Runs `step`; a failure that may have left half a member in the stream breaks the writer.
    fn guarded<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let result = step(self);
        if let Err(error) = &result {
            self.broken = !matches!(
                error,
                WriteError::Name { .. }
                    | WriteError::Duplicate { .. }
                    | WriteError::FileAndFolder { .. }
            );
        }
        result
    }

    /// Writes a member of the caller.
    fn member(&mut self, path: &str, content: Content) -> Result<Member, WriteError> {
        check(path)?;
        self.paths.take(path)?;
        let size = match &content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { size, .. } => *size,
        };
        let offset = self.stream.begin(path, size)?;
        let sha256 = match content {
            Content::Bytes(bytes) => {
                self.stream.append(&bytes)?;
                Digest::of(&bytes)
            }
            Content::File { file, size } => self.copy_file(path, file, size)?,
        };
        self.stream.end(size)?;
        Ok(Member {
            path: path.to_owned(),
            offset,
            size,
            sha256,
        })
    }

    fn copy_file(
        &mut self,
        path: &str,
        mut file: std::fs::File,
        size: u64,
    ) -> Result<Digest, WriteError> {
        let failed = |source| WriteError::Content {
            path: path.to_owned(),
            source,
        };
        file.rewind().map_err(failed)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut done = 0;
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let read = done + count as u64;
            if read > size || (count == 0 && read < size) {
                return Err(WriteError::Size {
                    path: path.to_owned(),
                    expected: size,
                    actual: read,
                });
            }
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..count]);
            self.stream.append(&buffer[..count])?;
            done = read;
        }
    }

    /// Writes a tag file that the format itself defines.
    fn generate(&mut self, path: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.paths.take(path)?;
        let offset = self.stream.begin(path, bytes.len() as u64)?;
        self.stream.append(bytes)?;
        self.stream.end(bytes.len() as u64)?;
        self.tags.push(Member {
            path: path.to_owned(),
            offset,
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        });
        Ok(())
    }

    /// Ends the payload and writes its manifest, once.
    fn close_payload(&mut self) -> Result<(), WriteError> {
        if self.open.is_some() && self.payload.members == 0 {
            // A bag has a payload folder, and the tar has no folders of its own.
            self.add(bag::EMPTY, Content::Bytes(Vec::new()))?;
        }
        let Some(sorter) = self.open.take() else {
            return Ok(());
        };
        let mut sorted = sorter.finish();
        let size = self.manifest_len;
        self.paths.take(bag::MANIFEST)?;
        self.stream.frame_of(Kind::Digests)?;
        let offset = self.stream.begin(bag::MANIFEST, size)?;
        let mut hasher = Hasher::new();
        for member in sorted.iter().map_err(spill)? {
            let member = member.map_err(spill)?;
            let line = bag::manifest_line(&member.sha256, &member.path);
            hasher.update(line.as_bytes());
            self.stream.append(line.as_bytes())?;
        }
        self.stream.end(size)?;
        self.stream.frame_of(Kind::Ordinary)?;
        let sha256 = hasher.finish();
        self.content_id = Some(sha256);
        self.tags.push(Member {
            path: bag::MANIFEST.to_owned(),
            offset,
            size,
            sha256,
        });
        self.closed = Some(sorted);
        Ok(())
    }
}

/// Refuses a file of another length before anything of it is written, so that the archive can go on without it.
fn check_content(path: &str, content: &Content) -> Result<(), WriteError> {
    let Content::File { file, size } = content else {
        return Ok(());
    };
    let metadata = file.metadata().map_err(|source| WriteError::Content {
        path: path.to_owned(),
        source,
    })?;
    if metadata.len() == *size {
        return Ok(());
    }
    Err(WriteError::Size {
        path: path.to_owned(),
        expected: *size,
        actual: metadata.len(),
    })
}

/// Refuses the path of a part of a table, which the root would not list.
fn no_part(path: &str) -> Result<(), WriteError> {
    if !table::is_part(path) {
        return Ok(());
    }
    Err(WriteError::Reserved {
        path: path.to_owned(),
    })
}

fn stored(member: &Member) -> Stored {
    Stored {
        size: member.size,
        sha256: member.sha256,
    }
}

fn spill(source: std::io::Error) -> WriteError {
    WriteError::Spill { source }
}

fn name_error(path: &str, source: NameError) -> WriteError {
    WriteError::Name {
        path: path.to_owned(),
        source,
    }
}

fn check(path: &str) -> Result<(), WriteError> {
    names::check(path).map_err(|source| name_error(path, source))
}

/// Tag files that the format itself defines, and the one that it forbids.
fn reserved(path: &str) -> bool {
    let first = Path::new(path).components().next();
    let generated = [
        bag::BAGIT,
        bag::HEADER,
        bag::MANIFEST,
        bag::TAGMANIFEST,
        bag::INFO,
        bag::SUMMARY,
        bag::FETCH,
    ];
    generated.contains(&path)
        || path.starts_with("manifest-")
        || path.starts_with("tagmanifest-")
        || path == "data"
        || first.is_some_and(|component| component.as_os_str() == "index")
}

/// Indented JSON and a line break: these documents are read by people too.
fn json(path: &str, value: &impl Serialize) -> Result<Vec<u8>, WriteError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| WriteError::Json {
        path: path.to_owned(),
        source,
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
