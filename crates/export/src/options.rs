//! What the caller asks for: selection, formats, limits of size, and the flag that ends a run early.
//!
//! Owns plain settings only; patterns are compiled in [`lifeboat_catalog::selection`]. Specified in `spec/export.md`, "Options".

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use lifeboat_catalog::selection::Selection;
use tokio::sync::Notify;

/// In which form notebooks are asked for; on the size error the other one is tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NotebookFormat {
    /// Source text without outputs.
    #[default]
    Source,
    /// Jupyter JSON, with outputs where the service keeps them.
    Jupyter,
}

impl NotebookFormat {
    /// The service's name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Jupyter => "JUPYTER",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Jupyter,
            Self::Jupyter => Self::Source,
        }
    }
}

/// How often access control is read again where a base has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AclReading {
    /// In every run.
    #[default]
    Nightly,
    /// When the access control of a kind was last read about a week ago.
    Weekly,
    /// Only what the base does not have.
    Never,
}

impl AclReading {
    /// Its name in the options of an archive.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nightly => "nightly",
            Self::Weekly => "weekly",
            Self::Never => "never",
        }
    }
}

/// A flag that ends a run between two calls. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    raised: AtomicUsize,
    notify: Notify,
}

impl Cancel {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run: it returns [`crate::Error::Cancelled`] and nothing appears under the final name. With
    /// [`Options::keep_partial`] the first time only ends the asking, and the second time ends the run.
    pub fn raise(&self) {
        self.0.raised.fetch_add(1, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether the flag was raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst) > 0
    }

    /// Waits until the flag was raised so many times.
    pub(crate) async fn raised(&self, times: usize) {
        loop {
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.0.raised.load(Ordering::SeqCst) >= times {
                return;
            }
            notified.await;
        }
    }
}

/// Everything that a run is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which part of the workspace.
    pub selection: Selection,
    /// Preferred notebook format.
    pub notebook_format: NotebookFormat,
    /// Largest workspace or DBFS file that is captured, in bytes (256 MiB).
    pub max_file: u64,
    /// Further DBFS files and folders, `/FileStore/jars` or `dbfs:/FileStore/jars`.
    pub dbfs: Vec<String>,
    /// Also capture what lies in git folders; otherwise their uncommitted changes are *unsupported*.
    pub git_folder_files: bool,
    /// Also read the values of secrets. The caller sees to it that the archive is encrypted.
    pub secret_values: bool,
    /// Whether *unsupported* and *vanished* count as gaps ([`crate::Outcome::exit_code`]).
    pub strict: bool,
    /// Zstandard level (3).
    pub level: i32,
    /// Compression threads (2).
    pub threads: usize,
    /// How many calls of one sort (contents, access control, objects) are in flight at most (128).
    pub concurrency: usize,
    /// Name of the top folder in the archive; `<workspace id>-<UTC start>` if absent.
    pub bag: Option<String>,
    /// Start of the run: the time in the header and of every member.
    pub started: Timestamp,
    /// Write `started` wherever the archive states a time and leave out figures of the run that differ from night to
    /// night (calls, retries), so that equal answers give equal bytes.
    pub reproducible: bool,
    /// With a base: share of its unchanged contents that are read again all the same, 0 to 1 (0.01).
    pub reread: f64,
    /// With a base: how often access control is read again.
    pub acls: AclReading,
    /// What a run that is cancelled has read is kept as an archive with an incomplete inventory.
    pub keep_partial: bool,
    /// Ends the run when raised.
    pub cancel: Cancel,
}

impl Options {
    /// The defaults, for a run that starts at `started`.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        Self {
            selection: Selection::default(),
            notebook_format: NotebookFormat::default(),
            max_file: 256 << 20,
            dbfs: Vec::new(),
            git_folder_files: false,
            secret_values: false,
            strict: false,
            level: 3,
            threads: 2,
            concurrency: 128,
            bag: None,
            started,
            reproducible: false,
            reread: 0.01,
            acls: AclReading::default(),
            keep_partial: false,
            cancel: Cancel::new(),
        }
    }
}
