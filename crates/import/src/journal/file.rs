//! The journal's file: read as a whole when opened, then only appended to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;

use super::line::{Line, LineKind, VERSION};
use super::{Knowledge, Lock, MapEntries, State};
use crate::error::{Error, Rule};

/// Source and target workspace id.
type Pair = (String, String);

/// An open journal: the only writer of its file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    archive: String,
    /// This import covers a part of the archive.
    part: std::sync::atomic::AtomicBool,
    /// This import restores below another folder.
    elsewhere: std::sync::atomic::AtomicBool,
    /// Paths of the source by those of the tree that a translation made of them.
    origins: Mutex<HashMap<String, String>>,
    inner: Mutex<Inner>,
    /// Held for as long as the journal is open.
    lock: Lock,
}

#[derive(Debug)]
struct Inner {
    file: fs::File,
    knowledge: Knowledge,
    next: u64,
    /// Length of the lines that are whole.
    length: u64,
    /// A write failed: what stands behind `length` is unknown, and nothing more may be written.
    broken: bool,
}

impl Journal {
    /// What the journal at `path` adds up to, without opening it for writing. An absent file is an empty journal.
    ///
    /// # Errors
    /// [`Error::Refused`] when it belongs to another pair, [`Error::Journal`] when a line cannot be understood.
    pub fn read(path: &Path, source: &str, target: &str) -> Result<Knowledge, Error> {
        load(path, source, target).map(|loaded| loaded.knowledge)
    }

    /// Source and target of the journal at `path`; `None` when nothing was ever written to it.
    ///
    /// # Errors
    /// [`Error::Journal`] when its first line is no opening line, [`Error::Io`].
    pub fn pair(path: &Path) -> Result<Option<(String, String)>, Error> {
        let bytes = bytes(path)?;
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let line = parse(path, 1, &bytes[..end])?;
        match (line.line, line.source, line.target) {
            (LineKind::Open, Some(source), Some(target)) => Ok(Some((source, target))),
            _ => Err(Error::Journal {
                path: path.to_owned(),
                line: 1,
                what: "not an opening line".to_owned(),
            }),
        }
    }

    /// Opens the journal for writing; the caller holds its lock and has passed the guards.
    ///
    /// # Errors
    /// As [`Journal::read`], and [`Error::Io`].
    pub fn open(
        path: &Path,
        lock: Lock,
        source: &str,
        target: &str,
        archive: &str,
    ) -> Result<Self, Error> {
        Self::open_mapped(path, lock, (source, target), archive, None)
    }

    /// The same for an import that names a map.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open_mapped(
        path: &Path,
        mut lock: Lock,
        (source, target): (&str, &str),
        archive: &str,
        map: Option<MapEntries>,
    ) -> Result<Self, Error> {
        let loaded = load(path, source, target)?;
        let io = |source| Error::Io {
            doing: "opening",
            path: path.to_owned(),
            source,
        };
        if !path.exists() {
            lock.makes(path);
        }
        let file = super::private()
            .create(true)
            .append(true)
            .open(path)
            .map_err(io)?;
        let file = fs::File::from_parts(file, path);
        if let Some(length) = loaded.torn_at {
            // The last line lost its end together with the process that wrote it: it was never acted on.
            file.set_len(length).map_err(io)?;
        }
        let length = file.metadata().map_err(io)?.len();
        let mut journal = Self {
            path: path.to_owned(),
            archive: archive.to_owned(),
            part: std::sync::atomic::AtomicBool::new(false),
            elsewhere: std::sync::atomic::AtomicBool::new(false),
            origins: Mutex::default(),
            inner: Mutex::new(Inner {
                file,
                knowledge: loaded.knowledge,
                next: loaded.next,
                length,
                broken: false,
            }),
            lock,
        };
        let mut line = Line::new(LineKind::Open, archive);
        line.source = Some(source.to_owned());
        line.target = Some(target.to_owned());
        line.map = map.filter(|map| *map != journal.inner().knowledge.map);
        line.tool = Some(concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned());
        journal.append(&line, true)?;
        journal.lock.keep();
        Ok(journal)
    }

    /// Says which paths of the source those of the tree were made of by a translation: results name both.
    pub fn translated(&self, origins: HashMap<String, String>) {
        *self.origins() = origins;
    }

    /// Appends an intent and returns its number.
    ///
    /// # Errors
    /// [`Error::Io`]: then the call must not be made.
    pub fn intent(&self, mut line: Line, sync: bool) -> Result<u64, Error> {
        let mut inner = self.inner();
        let seq = inner.next;
        inner.next += 1;
        line.seq = Some(seq);
        self.write(&mut inner, &line, sync)?;
        Ok(seq)
    }

    /// Appends any other line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&self, line: &Line, sync: bool) -> Result<(), Error> {
        self.write(&mut self.inner(), line, sync)
    }

    /// Sets standby or active.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_state(&self, state: State) -> Result<(), Error> {
        let mut line = Line::new(LineKind::State, &self.archive);
        line.state = Some(state);
        self.append(&line, true)
    }

    /// A new line for the archive that this run serves.
    #[must_use]
    pub fn line(&self, kind: LineKind) -> Line {
        let mut line = Line::new(kind, &self.archive);
        line.part = self
            .part
            .load(std::sync::atomic::Ordering::Relaxed)
            .then_some(true);
        line.elsewhere = self
            .elsewhere
            .load(std::sync::atomic::Ordering::Relaxed)
            .then_some(true);
        line
    }

    /// Says that this import restores below another folder: what it makes has no place of its own in the source.
    pub fn is_elsewhere(&self) {
        self.elsewhere
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Says that this import covers a part of the archive: what only such imports wrote is never deleted.
    pub fn is_of_a_part(&self) {
        self.part.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// What the journal adds up to at this moment.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.inner().knowledge.clone()
    }

    /// What the journal knows of one object at this moment.
    #[must_use]
    pub fn entry(&self, kind: &str, id: &str) -> Option<super::Entry> {
        self.inner().knowledge.entry(kind, id).cloned()
    }

    /// What the ledger says of one object at this moment.
    #[must_use]
    pub fn standing(&self, kind: &str, id: &str) -> Option<super::Standing> {
        self.inner().knowledge.standing(kind, id).cloned()
    }

    /// False after a line could not be written: nothing more may be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.inner().broken
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        let inner = self.inner();
        inner.file.sync_data().map_err(|source| self.io(source))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves at worst a line that the next reader drops as torn.
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self, inner: &mut Inner, line: &Line, sync: bool) -> Result<(), Error> {
        let line = &*self.with_origin(line);
        let mut text = serde_json::to_vec(line).map_err(|source| self.io(source.into()))?;
        text.push(b'\n');
        if inner.broken {
            return Err(self.io(std::io::Error::other("an earlier line was not written")));
        }
        let result = put(&mut inner.file, &text, sync);
        if let Err(source) = result {
            // A line without its end in the middle of the file would make the journal unreadable.
            // Where it cannot be cut off it stays the last one, which the next reader drops as torn.
            inner.broken = true;
            let _ = inner.file.set_len(inner.length);
            return Err(self.io(source));
        }
        inner.length += text.len() as u64;
        inner.knowledge.apply(line);
        Ok(())
    }

    /// The line with the path in the source of the object that was written, where that is another one.
    fn with_origin<'l>(&self, line: &'l Line) -> Cow<'l, Line> {
        let origin = match line.object() {
            Some(("directories" | "notebooks" | "files", path))
                if line.line == LineKind::Result =>
            {
                self.origins().get(path).cloned()
            }
            _ => None,
        };
        match origin {
            Some(origin) => {
                let mut line = line.clone();
                line.origin = Some(origin);
                Cow::Owned(line)
            }
            None => Cow::Borrowed(line),
        }
    }

    fn origins(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        // Nothing panics while holding it.
        self.origins
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io {
            doing: "writing",
            path: self.path.clone(),
            source,
        }
    }
}

fn put(file: &mut fs::File, text: &[u8], sync: bool) -> std::io::Result<()> {
    file.write_all(text)?;
    if sync {
        file.sync_data()?;
    }
    Ok(())
}

struct Loaded {
    knowledge: Knowledge,
    next: u64,
    /// Length of the whole lines, when a torn one follows them.
    torn_at: Option<u64>,
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io {
            doing: "reading",
            path: path.to_owned(),
            source,
        }),
    }
}

/// One line. Of one that cannot be read the version is looked at first: a newer format may have words that this build does
/// not know.
fn parse(path: &Path, number: usize, text: &[u8]) -> Result<Line, Error> {
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    let fault = |what: String| Error::Journal {
        path: path.to_owned(),
        line: number,
        what,
    };
    let error = match serde_json::from_slice::<Line>(text) {
        Ok(line) if line.v <= VERSION => return Ok(line),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    match (serde_json::from_slice::<Version>(text), error) {
        (Ok(Version { v }), _) if v > VERSION => Err(fault(format!(
            "line format {v} is newer than this build's {VERSION}"
        ))),
        (_, error) => Err(fault(error.unwrap_or_default())),
    }
}

fn load(path: &Path, source: &str, target: &str) -> Result<Loaded, Error> {
    let bytes = bytes(path)?;
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut loaded = Loaded {
        knowledge: Knowledge::default(),
        next: 1,
        torn_at: (whole < bytes.len()).then_some(whole as u64),
    };
    for (index, text) in bytes[..whole].split(|&byte| byte == b'\n').enumerate() {
        if text.is_empty() {
            continue;
        }
        let line = parse(path, index + 1, text)?;
        if line.line == LineKind::Open {
            let pair = (
                line.source.clone().unwrap_or_default(),
                line.target.clone().unwrap_or_default(),
            );
            check_pair(path, &pair, source, target)?;
        }
        loaded.next = loaded.next.max(line.seq.map_or(0, |seq| seq + 1));
        loaded.knowledge.apply(&line);
    }
    loaded.knowledge.forget_refusals_of_the_caller();
    Ok(loaded)
}

fn check_pair(path: &Path, found: &Pair, source: &str, target: &str) -> Result<(), Error> {
    if found.0 == source && found.1 == target {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::JournalOfAnotherPair,
        detail: format!(
            "{} is for source {} and target {}, this run is for source {source} and target {target}",
            path.display(),
            found.0,
            found.1
        ),
        hint: "name the journal of this pair with --journal, or leave the option out for the usual place".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_line_that_was_not_written_nothing_is_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let lock = Lock::take(&path).unwrap();
        let journal = Journal::open(&path, lock, "1", "2", "archive").unwrap();
        let whole = fs::read(&path).unwrap();
        let good = std::mem::replace(&mut journal.inner().file, fs::File::open(&path).unwrap());
        let line = || journal.line(LineKind::Seen);
        journal.append(&line(), false).unwrap_err();
        journal.inner().file = good;
        journal.append(&line(), false).unwrap_err();
        journal.intent(line(), true).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}
