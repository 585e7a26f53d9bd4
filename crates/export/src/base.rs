//! An earlier archive of the same workspace, from which unchanged contents and access control are taken over.
//!
//! Owns what may be taken over ([`Base::read`]), finding it, and copying it. What is read again all the same is the
//! sample's business ([`crate::reread`]). Specified in `spec/export.md`, "Incremental".

mod copier;
mod index;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::{Archive, Content, Header, Inventory, Member, ReadError};
use lifeboat_catalog::tree as rules;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::options::{AclReading, NotebookFormat, Options};
use copier::Copier;
use index::{Index, Reader};

/// An object that was modified later than this before the run of the base began is read again: its time may be of the
/// same tick of the service's clock as a change after it was read.
const UNSETTLED: SignedDuration = SignedDuration::from_secs(60);
/// The same where the base does not say what the service's clock was and ours has to do.
const UNSETTLED_BY_OUR_CLOCK: SignedDuration = SignedDuration::from_hours(1);
/// Access control of this age is read again weekly: half a day less than a week, so that a nightly run that begins a
/// minute early does not put it off for a night.
const WEEKLY: SignedDuration = SignedDuration::from_hours(7 * 24 - 12);
/// Access control that was read in the future was read by a clock that cannot be compared with ours.
const FUTURE: SignedDuration = SignedDuration::from_hours(24);
/// Damaged members that are told one by one.
const TOLD: u64 = 5;

/// What can be taken over from an earlier archive. Contents stay in it and are copied when they are wanted.
#[derive(Debug)]
pub struct Base {
    name: String,
    header: Header,
    archive_id: String,
    /// Contents of the tree by object id.
    contents: Mutex<Index>,
    /// DBFS files by path.
    dbfs: Mutex<Index>,
    /// Access control that is young enough, by kind.
    acls: BTreeMap<&'static str, Acls>,
    copier: Copier,
    trouble: Mutex<Trouble>,
}

#[derive(Debug)]
struct Acls {
    /// When all of it had been read last.
    read: Timestamp,
    /// By object id.
    lines: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Members that were damaged.
    damaged: u64,
    /// Why the archive is read no longer.
    lost: Option<String>,
}

/// A content that can be taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Facts that must be the same now.
    state: String,
    /// The path that must be the same now too, where the base did not list everything a second time: a content is read by
    /// path, and only that listing shows that the object was still there.
    path: Option<String>,
    pub(crate) member: Member,
    pub(crate) format: NamedFormat,
    pub(crate) file_type: Option<String>,
    /// The FileInfo of a DBFS file.
    pub(crate) facts: Option<Value>,
}

/// The format of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NamedFormat {
    #[serde(rename = "SOURCE")]
    Source,
    #[serde(rename = "JUPYTER")]
    Jupyter,
    #[serde(rename = "RAW")]
    Raw,
}

impl NamedFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => NotebookFormat::Source.name(),
            Self::Jupyter => NotebookFormat::Jupyter.name(),
            Self::Raw => "RAW",
        }
    }
}

/// A line of access control.
#[derive(Serialize, Deserialize)]
struct HeldAcl {
    name: String,
    body: Box<RawValue>,
}

/// What a base says about its own run.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RunRecord {
    /// The service's clock when the run began.
    service_time: Option<Timestamp>,
    /// When the access control of each kind was read last.
    acls: BTreeMap<String, Timestamp>,
}

impl Base {
    /// Reads from `archive` what a run of workspace `workspace_id` with these options may take over. Blocks; takes about
    /// 70 bytes of memory per object, and a temporary file.
    ///
    /// # Errors
    /// The archive is of another workspace, or its statements, records or index cannot be read.
    pub fn read(archive: Archive, workspace_id: &str, options: &Options) -> Result<Self, Error> {
        let name = archive.name();
        let unusable = |source| unusable(&name, source);
        let header = archive.header().map_err(unusable)?;
        let found = &header.source.workspace_id;
        if found != workspace_id || found.is_empty() {
            return Err(Error::BaseOfAnother {
                archive: name,
                found: found.clone(),
                expected: workspace_id.to_owned(),
            });
        }
        let run: RunRecord = match archive.find("run.json").map_err(unusable)? {
            Some(_) => archive.document("run.json").map_err(unusable)?,
            None => RunRecord::default(),
        };
        let summary = archive.summary().map_err(unusable)?;
        let reader = Reader {
            archive: &archive,
            name: &name,
            confirmed: summary.inventory == Inventory::Complete,
            settled_before: settled_before(&header, &run).as_millisecond(),
        };
        let format = options.notebook_format.name();
        let same_format = header
            .options
            .get("notebook-format")
            .and_then(Value::as_str)
            == Some(format);
        let fits = |held: &Held| match held.format {
            NamedFormat::Raw => true,
            // A notebook that is too large for one format is held in the other.
            other => same_format || other.name() == format,
        };
        let contents = reader.contents(fits)?;
        let dbfs = reader.dbfs()?;
        let mut acls = BTreeMap::new();
        for kind in lifeboat_catalog::kinds() {
            let read = run.acls.get(kind.name).copied().unwrap_or(header.started);
            if kind.permissions.is_some() && is_young(options, read) {
                let lines = Mutex::new(reader.acls(kind.name)?);
                acls.insert(kind.name, Acls { read, lines });
            }
        }
        let archive_id = archive.archive_id().map_err(unusable)?.to_string();
        Ok(Self {
            name: name.clone(),
            header,
            archive_id,
            contents: Mutex::new(contents),
            dbfs: Mutex::new(dbfs),
            acls,
            copier: Copier::start(archive)?,
            trouble: Mutex::default(),
        })
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When its run began.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.header.started
    }

    /// How many contents can be taken over if nothing changed since.
    #[must_use]
    pub fn reusable(&self) -> u64 {
        (lock(&self.contents).len() + lock(&self.dbfs).len()) as u64
    }

    pub(crate) fn workspace_id(&self) -> &str {
        &self.header.source.workspace_id
    }

    /// The content of an object of the tree, if it is the one that the object has by these facts.
    pub(crate) fn content(
        &self,
        object_id: &str,
        path: &str,
        facts: &Value,
    ) -> Result<Option<Held>, Error> {
        let held = self.find(&self.contents, object_id, &tree_state(path, facts))?;
        Ok(held.filter(|held| held.path.as_deref().is_none_or(|known| known == path)))
    }

    /// The content of a DBFS file, if it is the one that the file has by these facts.
    pub(crate) fn dbfs_file(&self, path: &str, facts: &Value) -> Result<Option<Held>, Error> {
        self.find(&self.dbfs, path, &dbfs_state(facts))
    }

    fn find(&self, index: &Mutex<Index>, key: &str, state: &str) -> Result<Option<Held>, Error> {
        if lock(&self.trouble).lost.is_some() {
            return Ok(None);
        }
        let held: Option<Held> = lock(index).get(key).map_err(Error::temporary)?;
        Ok(held.filter(|held| held.state == state))
    }

    /// The access control of an object that has the same name, or path, as in the base: entries are inherited from the
    /// folders above.
    pub(crate) fn acl(&self, kind: &str, id: &str, name: &str) -> Result<Option<String>, Error> {
        let Some(acls) = self.acls.get(kind) else {
            return Ok(None);
        };
        let held: Option<HeldAcl> = lock(&acls.lines).get(id).map_err(Error::temporary)?;
        Ok(held
            .filter(|held| held.name == name)
            .map(|held| held.body.get().to_owned()))
    }

    /// When the access control of a kind, as far as it can be taken over, had been read last.
    pub(crate) fn acls_read(&self, kind: &str) -> Option<Timestamp> {
        self.acls.get(kind).map(|acls| acls.read)
    }

    /// Copies a content, its digest proved; nothing when the base cannot give it, which is told.
    pub(crate) async fn copy(
        &self,
        held: &Held,
        observer: &dyn Observer,
    ) -> Result<Option<Content>, Error> {
        let error = match self.copier.copy(held.member.clone()).await? {
            Ok(content) => return Ok(Some(content)),
            Err(ReadError::Output { source, .. }) => return Err(Error::temporary(source)),
            Err(error) => error,
        };
        let mut trouble = lock(&self.trouble);
        if error.is_damage() {
            trouble.damaged += 1;
            if trouble.damaged <= TOLD {
                let text = format!(
                    "the base is damaged, so {} is read from the workspace: {error}{}",
                    held.member.path,
                    causes(&error)
                );
                observer.event(Event::Warning { text: &text });
            }
        } else if trouble.lost.is_none() {
            let why = format!("{error}{}", causes(&error));
            let text = format!(
                "the base cannot be read any more, so everything else is read from the workspace: {why}"
            );
            observer.event(Event::Warning { text: &text });
            trouble.lost = Some(why);
        }
        Ok(None)
    }

    /// Says how many members were damaged, when not all were told.
    pub(crate) fn finish(&self, observer: &dyn Observer) {
        let damaged = lock(&self.trouble).damaged;
        if damaged > TOLD {
            let text = format!(
                "the base {} is damaged: {damaged} contents were read from the workspace instead",
                self.name
            );
            observer.event(Event::Warning { text: &text });
        }
    }

    /// What `run.json` says of it.
    pub(crate) fn record(&self) -> Value {
        let trouble = lock(&self.trouble);
        json!({
            "archive-id": self.archive_id,
            "started": self.header.started,
            "damaged": trouble.damaged,
            "lost": trouble.lost,
        })
    }
}

fn unusable(name: &str, source: ReadError) -> Error {
    Error::Base {
        archive: name.to_owned(),
        source,
    }
}

/// Objects that were modified before this moment, by the service's clock, had rested when the base listed them.
fn settled_before(header: &Header, run: &RunRecord) -> Timestamp {
    let (time, margin) = match run.service_time {
        Some(time) => (time, UNSETTLED),
        None => (header.started, UNSETTLED_BY_OUR_CLOCK),
    };
    time.checked_sub(margin).unwrap_or(Timestamp::MIN)
}

fn is_young(options: &Options, read: Timestamp) -> bool {
    match options.acls {
        AclReading::Nightly => false,
        AclReading::Weekly => {
            let age = options.started.duration_since(read);
            age < WEEKLY && age > -FUTURE
        }
        AclReading::Never => true,
    }
}

/// The facts of an object of the tree that must be the same for its content to be the same. The service derives the
/// type of a file from its name.
pub(crate) fn tree_state(path: &str, facts: &Value) -> String {
    let mut state = rules::deciding(facts);
    let name = path.rsplit('/').next().unwrap_or_default();
    if facts.get("object_type").and_then(Value::as_str) == Some("FILE") {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        state.push(',');
        state.push_str(extension);
    }
    state
}

/// The same of a DBFS file.
fn dbfs_state(facts: &Value) -> String {
    ["file_size", "modification_time"]
        .map(|field| facts.get(field).map_or_else(String::new, Value::to_string))
        .join(",")
}

fn causes(error: &ReadError) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn temporary(source: serde_json::Error) -> io::Error {
    io::Error::other(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekly_is_weekly_for_a_run_that_is_a_little_early() {
        let mut options = Options::new("2026-11-22T01:00:00Z".parse().unwrap());
        let young = |options: &Options, read: &str| is_young(options, read.parse().unwrap());
        assert!(
            !young(&options, "2026-11-21T01:00:00Z"),
            "nightly takes none over"
        );
        options.acls = AclReading::Weekly;
        assert!(young(&options, "2026-11-16T01:00:00Z"));
        assert!(!young(&options, "2026-11-15T01:05:00Z"));
        assert!(young(&options, "2026-11-22T05:00:00Z"));
        assert!(!young(&options, "2027-11-22T01:00:00Z"), "no clock of ours");
        options.acls = AclReading::Never;
        assert!(young(&options, "2020-11-15T01:05:00Z"));
    }

    #[test]
    fn the_state_of_a_file_holds_its_extension() {
        let facts = json!({"object_type": "FILE", "modified_at": 1, "size": 2});
        assert_ne!(tree_state("a.txt", &facts), tree_state("a.csv", &facts));
        assert_eq!(tree_state("a.txt", &facts), tree_state("b.txt", &facts));
        let facts = json!({"object_type": "NOTEBOOK", "modified_at": 1, "language": "SQL"});
        assert_eq!(tree_state("a.txt", &facts), tree_state("a.csv", &facts));
    }
}
