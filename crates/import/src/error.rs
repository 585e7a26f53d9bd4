//! What can go wrong with an import as a whole. What goes wrong with one object is not an error here but an
//! [`crate::ObjectResult`]: one failed object never stops the rest (`spec/import.md`, "Results").

use std::path::PathBuf;

use crate::report::Report;

/// A safety rule that refused the run before its first write (`spec/import.md`, "Guards").
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// The target is the workspace that the archive was made from.
    SourceIsTarget,
    /// The journal does not know this target yet and nobody confirmed it.
    UnknownTarget,
    /// The target is not the workspace that was named.
    OtherTarget,
    /// The service did not say which workspace answers.
    UnidentifiedTarget,
    /// The journal belongs to another pair of workspaces.
    JournalOfAnotherPair,
    /// Another importer holds the journal.
    JournalLocked,
    /// The journal cannot be read or written, so nothing else may be.
    JournalUnusable,
    /// There is no journal, and the target holds objects of the same natural keys.
    NoJournal,
    /// The journal says that the target is active.
    Active,
    /// The caller is no workspace administrator, and more than a part of the tree would be restored.
    NotAdmin,
    /// The archive's inventory is incomplete.
    Incomplete,
    /// The last import had a map file, this one names none, and names would change.
    MapLeftOut,
    /// Others could read what is restored below another folder.
    OpenFolder,
    /// Deleting was asked for together with an option with which nobody can tell what is gone.
    DeletePart,
    /// More would be deleted than the limit allows.
    DeleteLimit,
    /// No import into this target is known that could be activated.
    NoLedger,
    /// Imports of several sources into this target are known.
    SeveralSources,
    /// Nobody said that the source runs nothing any more.
    NotFenced,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SourceIsTarget => "the target is the archive's own source workspace",
            Self::UnknownTarget => "the target was never imported into before and is not confirmed",
            Self::OtherTarget => "the target is not the workspace that was named",
            Self::UnidentifiedTarget => "the service does not say which workspace it is",
            Self::JournalOfAnotherPair => "the journal belongs to another pair of workspaces",
            Self::JournalLocked => "another import holds the journal",
            Self::JournalUnusable => {
                "the journal cannot be used, and what is not journaled is not written"
            }
            Self::NoJournal => {
                "no journal, and the target already holds objects of the same natural keys"
            }
            Self::Active => "the target is active",
            Self::NotAdmin => "only an administrator can restore more than a part of the tree",
            Self::Incomplete => "the archive's inventory is incomplete",
            Self::MapLeftOut => "names in the target would change",
            Self::OpenFolder => "the folder would open what is restored to others",
            Self::DeletePart => "only an import of the whole archive can tell what was removed",
            Self::DeleteLimit => "too much would be deleted",
            Self::NoLedger => "no import into this target is known",
            Self::SeveralSources => "imports of several sources into this target are known",
            Self::NotFenced => "the source is not fenced",
        })
    }
}

/// What an apply would be refused for, as far as a plan can tell.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The rule; absent when the service refused something that an apply depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// The rule and the facts, in words.
    pub what: String,
    /// What the operator can do about it.
    pub hint: String,
}

impl Refusal {
    pub(crate) fn of(error: &Error) -> Self {
        let hint = error.hint().unwrap_or_default().to_owned();
        match error {
            Error::Refused { rule, detail, .. } => Self {
                rule: Some(*rule),
                what: format!("{rule}: {detail}"),
                hint,
            },
            other => {
                let cause = std::error::Error::source(other);
                Self {
                    rule: None,
                    what: cause
                        .map_or_else(|| other.to_string(), |cause| format!("{other}: {cause}")),
                    hint,
                }
            }
        }
    }
}

/// An import that could not be done, or not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A safety rule; nothing was written to the target.
    #[error("refused by a safety rule: {rule}: {detail}")]
    Refused {
        /// The rule.
        rule: Rule,
        /// The facts, with the ids that were compared.
        detail: String,
        /// What the operator can do about it.
        hint: String,
    },
    /// The map file does not fit itself, the archive or the target; nothing was written.
    #[error(
        "refused by a safety rule: the map file {path} has {count} problems, the first: {first}",
        path = path.display(),
        count = problems.len(),
        first = problems.first().map_or("", String::as_str)
    )]
    Map {
        /// The file.
        path: PathBuf,
        /// Every problem, each with its line or entry.
        problems: Vec<String>,
    },
    /// The archive is damaged; nothing was written to the target.
    #[error("the archive is damaged: {places} damaged places, the first: {first}")]
    Damaged {
        /// Number of damaged places.
        places: usize,
        /// The first of them, with path, frame and offset as far as known.
        first: String,
    },
    /// The archive could not be read.
    #[error("reading the archive ({what})")]
    Archive {
        /// Which part was being read.
        what: String,
        /// The reader's error.
        #[source]
        source: lifeboat_archive::ReadError,
    },
    /// A record in the archive does not have the form that `spec/records.md` prescribes.
    #[error("record {record} of the archive is malformed: {what}")]
    Record {
        /// Member or table, with the line number where there is one.
        record: String,
        /// What is wrong with it.
        what: String,
    },
    /// The service refused or failed something that the whole run depends on.
    #[error("{doing}")]
    Service {
        /// What was being done, for example "listing the target's jobs".
        doing: String,
        /// The client's error.
        #[source]
        source: lifeboat_databricks::Error,
    },
    /// The credentials stopped working during the run, or the network did, or it was asked to stop: the rest was not attempted.
    #[error("the run stopped after {done} objects: {doing}")]
    Stopped {
        /// Objects with a result before the end.
        done: usize,
        /// What was being done.
        doing: String,
        /// What was reached; the objects that were not attempted are in it as failed.
        report: Box<Report>,
        /// The client's error, as text: the first of possibly many equal ones.
        cause: String,
        /// True when the credentials were refused, false when the network was lost.
        credentials: bool,
    },
    /// It was asked to stop before the first write: nothing was written.
    #[error("stopped before anything was written")]
    Interrupted,
    /// The same as [`Error::Stopped`] for an activation or deactivation.
    #[error("the activation stopped: {doing}")]
    Switch {
        /// What was being done.
        doing: String,
        /// What was reached; what was not attempted is in it as failed.
        switched: Box<crate::activation::Switched>,
        /// The client's error, as text.
        cause: String,
        /// True when the credentials were refused, false when the network was lost.
        credentials: bool,
    },
    /// The journal cannot be understood.
    #[error("{path}, line {line}: {what}", path = path.display())]
    Journal {
        /// The journal file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A file of ours could not be read or written.
    #[error("{doing} {path}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The map file cannot be read.
    #[error("cannot read the map file {path}", path = path.display())]
    MapFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A pattern or kind of the selection is wrong.
    #[error("selection {pattern:?}: {what}")]
    Selection {
        /// The pattern or kind as given.
        pattern: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// What the operator can do, where the error knows it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            Self::Map { .. } => Some(
                "nothing was written; `lifeboat-import plan --map FILE` checks a map against archive and target",
            ),
            Self::Damaged { .. } => {
                Some("use another archive; `lifeboat-inspect verify` names every damaged place")
            }
            Self::Stopped { .. } | Self::Switch { .. } => {
                Some("run the same command again: the journal resumes where this run stopped")
            }
            _ => None,
        }
    }

    /// True for a refusal by a safety rule (exit code 14).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Map { .. })
    }

    /// True when the archive is damaged (exit code 11).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Record { .. } => true,
            Self::Archive { source, .. } => source.is_damage(),
            _ => false,
        }
    }
}
