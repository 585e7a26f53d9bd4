//! The fate of every object: counts per kind, and a line for whatever is not in the archive.
//!
//! A fate is final when it is stated here; what may still change (an object that may have moved) waits in its own module.
//! Specified in `spec/export.md`, "Fates".

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lifeboat_archive::{Fate, KindSummary, LedgerLine, Listing};

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::outcome::Outcome;
use crate::spill::SortedSpill;

/// Collects fates from all branches of a run.
pub(crate) struct Ledger<'a> {
    observer: &'a dyn Observer,
    state: Mutex<State>,
}

struct State {
    kinds: BTreeMap<String, KindSummary>,
    lines: SortedSpill,
    broken: Option<io::Error>,
    gaps: Vec<LedgerLine>,
    gaps_total: u64,
    unlisted: bool,
}

/// Where what is in the archive comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Read from the service in this run: *stored*.
    Service,
    /// Taken over from the base: *reused*.
    Base,
}

impl Source {
    fn count(self, summary: &mut KindSummary) -> &mut u64 {
        match self {
            Self::Service => &mut summary.stored,
            Self::Base => &mut summary.reused,
        }
    }
}

/// What a ledger holds at the end.
pub(crate) struct Closed {
    pub(crate) kinds: BTreeMap<String, KindSummary>,
    pub(crate) lines: SortedSpill,
    pub(crate) gaps: Vec<LedgerLine>,
    pub(crate) gaps_total: u64,
    /// A folder could not be listed although its kind could.
    pub(crate) unlisted: bool,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        let state = State {
            kinds: BTreeMap::new(),
            lines: SortedSpill::new(),
            broken: None,
            gaps: Vec::new(),
            gaps_total: 0,
            unlisted: false,
        };
        Self {
            observer,
            state: Mutex::new(state),
        }
    }

    /// States how the listing of a kind ended; a worse statement stands against a better one.
    pub(crate) fn listing(&self, kind: &str, listing: Listing, reason: Option<String>) {
        let mut state = self.lock();
        let summary = entry(&mut state.kinds, kind);
        if severity(listing) > severity(summary.listing) {
            summary.listing = listing;
            summary.reason = reason;
        }
    }

    /// States that a kind was not asked for.
    pub(crate) fn not_asked(&self, kind: &str) {
        let mut state = self.lock();
        entry(&mut state.kinds, kind).listing = Listing::NotAsked;
    }

    /// How the listing of a kind stands.
    pub(crate) fn listing_of(&self, kind: &str) -> Option<Listing> {
        self.lock().kinds.get(kind).map(|summary| summary.listing)
    }

    /// States that a folder or another part of an inventory could not be listed.
    pub(crate) fn unlisted(&self) {
        self.lock().unlisted = true;
    }

    /// States that an object was read and is in the archive, with this much content.
    pub(crate) fn stored(&self, kind: &str, bytes: u64) {
        self.captured(kind, Source::Service, bytes);
    }

    /// States that an object is in the archive, with this much content.
    pub(crate) fn captured(&self, kind: &str, source: Source, bytes: u64) {
        let mut state = self.lock();
        let summary = entry(&mut state.kinds, kind);
        summary.listed += 1;
        *source.count(summary) += 1;
        summary.bytes += bytes;
    }

    /// Takes back that an object is in the archive; the caller states its fate.
    pub(crate) fn not_captured(&self, kind: &str, source: Source, bytes: u64) {
        let mut state = self.lock();
        let summary = entry(&mut state.kinds, kind);
        let count = source.count(summary);
        *count = count.saturating_sub(1);
        summary.listed = summary.listed.saturating_sub(1);
        summary.bytes = summary.bytes.saturating_sub(bytes);
    }

    /// States why an object is not in the archive.
    pub(crate) fn gap(&self, line: &LedgerLine) {
        {
            let mut state = self.lock();
            let summary = entry(&mut state.kinds, &line.kind);
            summary.listed += 1;
            match line.fate {
                Fate::Stored => summary.stored += 1,
                Fate::Reused => summary.reused += 1,
                Fate::Excluded => summary.excluded += 1,
                Fate::Unsupported => summary.unsupported += 1,
                Fate::Vanished => summary.vanished += 1,
                Fate::Failed => summary.failed += 1,
            }
            let key = format!("{}\0{}\0{}", line.kind, line.name, line.id);
            let put = serde_json::to_string(line)
                .map_err(io::Error::other)
                .and_then(|text| state.lines.put(&key, &text));
            if let Err(error) = put {
                state.broken.get_or_insert(error);
            }
            if line.fate == Fate::Excluded {
                return;
            }
            state.gaps_total += 1;
            if state.gaps.len() < Outcome::MAX_GAPS {
                state.gaps.push(line.clone());
            }
        }
        self.observer.event(Event::Gap(line));
    }

    /// Ends the collection.
    pub(crate) fn close(self) -> Result<Closed, Error> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.broken {
            return Err(Error::temporary(error));
        }
        let State {
            kinds,
            lines,
            gaps,
            gaps_total,
            unlisted,
            ..
        } = state;
        Ok(Closed {
            kinds,
            lines,
            gaps,
            gaps_total,
            unlisted,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'m>(kinds: &'m mut BTreeMap<String, KindSummary>, kind: &str) -> &'m mut KindSummary {
    kinds.entry(kind.to_owned()).or_insert_with(empty)
}

fn empty() -> KindSummary {
    KindSummary {
        listing: Listing::Listed,
        reason: None,
        listed: 0,
        stored: 0,
        reused: 0,
        excluded: 0,
        unsupported: 0,
        vanished: 0,
        failed: 0,
        bytes: 0,
    }
}

fn severity(listing: Listing) -> u8 {
    match listing {
        Listing::Listed => 0,
        Listing::NotAsked => 1,
        Listing::Unavailable => 2,
        Listing::Unknown => 3,
    }
}

/// A ledger line without a call, for rules and types.
pub(crate) fn line(
    kind: &str,
    id: &str,
    name: &str,
    fate: Fate,
    message: impl Into<String>,
) -> LedgerLine {
    LedgerLine {
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        fate,
        request: None,
        status: None,
        code: None,
        message: message.into(),
    }
}
