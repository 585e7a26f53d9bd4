//! What all branches of a run share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use lifeboat_archive::Scope;
use lifeboat_catalog::Kind;
use lifeboat_databricks::Client;
use tokio::sync::Semaphore;

use crate::base::Base;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::reread::Sample;
use crate::secret_values::SecretValues;
use lifeboat_catalog::selection::{Selected, SelectionError};

/// Kinds of the workspace tree.
pub(crate) const TREE_KINDS: [&str; 5] = [
    "directories",
    "files",
    "git-folders",
    "notebooks",
    "workspace-objects",
];
/// Uncommitted changes in git folders; a row of the summary, not a kind of the catalog.
pub(crate) const GIT_FOLDER_FILES: &str = "git-folder-files";

/// Contents that changed after they were read and could not be read again; a row of the summary, not a kind of the
/// catalog. The objects themselves are in the archive as they were first read.
pub(crate) const SECOND_READINGS: &str = "second-readings";

/// Replies of up to 16 MiB that are in memory at a time, twice each while they are decoded.
const LARGE_REPLIES: usize = 2;

/// With a base so many times more contents are under way than calls for them.
const AHEAD_WITH_BASE: usize = 8;

/// Shared by all branches of a run.
pub(crate) struct Context<'a> {
    pub(crate) gate: Gate<'a>,
    pub(crate) ledger: Ledger<'a>,
    pub(crate) selected: Selected,
    pub(crate) options: &'a Options,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) named: Mutex<Named>,
    /// How many contents the first listing of the tree showed, once it is over.
    pub(crate) walked: OnceLock<usize>,
    /// Values of secrets, on their way from reading to writing.
    pub(crate) secret_values: SecretValues,
    /// Turns of the JSON replies that take much memory.
    pub(crate) large_replies: Semaphore,
    /// Turns of the calls for contents.
    pub(crate) content_calls: Semaphore,
    /// An earlier archive from which unchanged contents are taken over.
    pub(crate) base: Option<Base>,
    /// What is read again although it did not change.
    pub(crate) sample: Sample,
}

/// Objects that other objects name, with who names them.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) clusters: BTreeMap<String, BTreeSet<String>>,
    pub(crate) dbfs: BTreeMap<String, BTreeSet<String>>,
    /// DBFS paths that are never read.
    pub(crate) dbfs_never_read: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        client: &'a Client,
        options: &'a Options,
        base: Option<Base>,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        let selected = Selected::compile(&options.selection).map_err(Error::Selection)?;
        if let Some(path) = options
            .dbfs
            .iter()
            .find(|path| crate::dbfs::plain_path(path).is_none())
        {
            return Err(Error::Selection(SelectionError::Relative {
                pattern: path.clone(),
            }));
        }
        Ok(Self {
            gate: Gate::new(client, observer),
            ledger: Ledger::new(observer),
            selected,
            options,
            observer,
            named: Mutex::default(),
            walked: OnceLock::new(),
            secret_values: SecretValues::default(),
            large_replies: Semaphore::new(LARGE_REPLIES),
            content_calls: Semaphore::new(content_calls(options)),
            sample: Sample::new(options.reread, options.started),
            base,
        })
    }

    pub(crate) fn scope(&self) -> Scope {
        if self.options.selection.is_everything() {
            Scope::Workspace
        } else {
            Scope::Selection
        }
    }

    /// Calls of one sort that are in flight at most.
    pub(crate) fn concurrency(&self) -> usize {
        self.options.concurrency.max(1)
    }

    /// Contents under way at most. With a base few of them are calls, and those are begun early: the contents behind
    /// them wait for their turn in the archive and not for their own reading.
    pub(crate) fn contents_at_a_time(&self) -> usize {
        let calls = content_calls(self.options);
        if self.base.is_some() {
            calls * AHEAD_WITH_BASE
        } else {
            calls
        }
    }

    /// Calls for access control in flight at most.
    pub(crate) fn acls_at_a_time(&self) -> usize {
        (self.options.concurrency * 3 / 8).max(1)
    }

    /// Remembers what an object names outside itself.
    pub(crate) fn note_references(&self, kind: &Kind, name: &str, body: &serde_json::Value) {
        use lifeboat_catalog::Target;
        let by = format!("{} {name}", kind.singular);
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for found in kind.found_references(body) {
            match found.to {
                Target::Cluster if kind.name == "jobs" => {
                    named
                        .clusters
                        .entry(found.value)
                        .or_default()
                        .insert(by.clone());
                }
                Target::DbfsPath => {
                    let never = lifeboat_catalog::tree::dbfs_never_read(&found.value).is_some();
                    let paths = if never {
                        &mut named.dbfs_never_read
                    } else {
                        &mut named.dbfs
                    };
                    paths.entry(found.value).or_default().insert(by.clone());
                }
                _ => {}
            }
        }
    }

    /// Clusters that jobs name so far.
    pub(crate) fn clusters_named(&self) -> BTreeMap<String, BTreeSet<String>> {
        std::mem::take(
            &mut self
                .named
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clusters,
        )
    }

    /// What was remembered so far.
    pub(crate) fn take_named(&self) -> Named {
        std::mem::take(&mut *self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn phase(&self, name: &'static str) -> Phase<'a> {
        self.observer.event(Event::Phase { name, total: None });
        Phase {
            observer: self.observer,
            name,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }
}

/// Counts the steps of a phase and tells the observer.
pub(crate) struct Phase<'a> {
    observer: &'a dyn Observer,
    name: &'static str,
    done: AtomicU64,
    total: AtomicU64,
    bytes: AtomicU64,
}

impl Phase<'_> {
    /// More steps are known.
    pub(crate) fn expect(&self, steps: u64) {
        self.total.fetch_add(steps, Ordering::Relaxed);
    }

    /// There are at least so many steps.
    pub(crate) fn at_least(&self, steps: u64) {
        self.total.fetch_max(steps, Ordering::Relaxed);
    }

    /// So many steps are left.
    pub(crate) fn left(&self, steps: u64) {
        let total = self.done.load(Ordering::Relaxed) + steps;
        self.total.store(total, Ordering::Relaxed);
    }

    /// A step is done.
    pub(crate) fn step(&self, bytes: u64) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = self.total.load(Ordering::Relaxed);
        let total = (total > 0).then_some(total.max(done));
        self.observer.event(Event::Progress {
            phase: self.name,
            done,
            total,
            bytes,
        });
    }

    /// The phase is over.
    pub(crate) fn end(&self) {
        self.observer.event(Event::PhaseDone {
            name: self.name,
            done: self.done.load(Ordering::Relaxed),
        });
    }
}

/// Calls for contents in flight at most. Together with access control and listings about as many as the client lets
/// through, so that listings, on which everything else waits, do not queue behind the rest.
fn content_calls(options: &Options) -> usize {
    (options.concurrency / 2).max(1)
}

/// A few of the names, for a message.
pub(crate) fn some_of(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let mut text = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
