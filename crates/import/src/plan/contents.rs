//! What is done with a content of which the target may hold a version: notebooks, workspace files, DBFS files.

use lifeboat_catalog::tree as catalog_tree;

use super::What;
use crate::archived::ArchiveState;
use crate::filter::Filter;
use crate::held::TreeLine;
use crate::journal::{Entry, Knowledge};
use crate::options::Options;
use crate::resolve::Resolver;
use crate::target::{Content, TargetState, Wanted};

/// One content, seen from all sides.
pub(super) struct Side<'a> {
    /// True when the target's content was read and is what the service makes of the archived one.
    pub equal: bool,
    /// SHA-256 of the archived content, as the journal holds it.
    pub written: &'a str,
    /// What the journal knows.
    pub entry: Option<&'a Entry>,
    /// Id of the object that stands there; `None` when nothing does.
    pub there: Option<&'a str>,
    /// Its time of change.
    pub modified_at: Option<i64>,
    /// The target's content, where it was read.
    pub read: Option<&'a Content>,
    /// True when an intent without a result means that a part of it may stand there: files that are written in blocks.
    pub in_flight: bool,
    /// Objects of this kind have access control.
    pub has_access: bool,
}

impl Side<'_> {
    /// Whether the target's content was read and is what the service makes of one with this digest.
    fn is_read_as(&self, digest: Option<&str>) -> bool {
        self.read
            .zip(digest)
            .is_some_and(|(read, digest)| read.is(digest))
    }
}

/// The decision, with the reason where it needs one, and whether an interrupted create is recognised.
pub(super) fn decide(side: &Side<'_>, options: &Options) -> (What, Option<String>, bool) {
    if side.there.is_none() {
        return (What::Create, None, false);
    }
    let equal = side.equal;
    if options.into_source {
        return match side.entry {
            Some(entry) if entry.is_create_pending() && (equal || side.in_flight) => {
                unlinked(side, equal, options)
            }
            Some(entry) if side.has_access && entry.is_without_access() && entry.is_linked() => {
                (What::Unchanged, None, false)
            }
            _ => (What::Skip, Some("exists".to_owned()), false),
        };
    }
    let Some(entry) = side.entry.filter(|entry| entry.is_linked()) else {
        return unlinked(side, equal, options);
    };
    if is_untouched(side, entry) {
        if entry.digest.as_deref() == Some(side.written) {
            if side.read.is_some() && !equal {
                return (
                    What::Update,
                    Some("the target's content differs".to_owned()),
                    false,
                );
            }
            return (What::Unchanged, None, false);
        }
        return (What::Update, None, false);
    }
    if equal {
        return (What::Unchanged, None, false);
    }
    let pending = entry.pending.as_ref();
    let ours = [
        entry.digest.as_deref(),
        entry.seen.as_deref(),
        pending.and_then(|pending| pending.digest.as_deref()),
    ];
    if side.in_flight && pending.is_some() || ours.iter().any(|ours| side.is_read_as(*ours)) {
        return (What::Update, None, false);
    }
    if options.overwrite_changed {
        return (
            What::Update,
            Some("changed in the target since the last import".to_owned()),
            false,
        );
    }
    (What::Skip, Some(super::CHANGED.to_owned()), false)
}

fn unlinked(side: &Side<'_>, equal: bool, options: &Options) -> (What, Option<String>, bool) {
    let interrupted = side.entry.is_some_and(Entry::is_create_pending);
    if equal && (interrupted || options.adopt) {
        return (What::Adopt, None, interrupted);
    }
    let pending = side.entry.and_then(|entry| entry.pending.as_ref());
    let ours = pending.and_then(|pending| pending.digest.as_deref());
    if interrupted && (side.in_flight || side.is_read_as(ours)) {
        // An earlier run wrote it for another archive, or a part of it.
        return (What::Update, None, true);
    }
    let reason = if options.adopt {
        "exists in the target with other content"
    } else {
        "exists in the target and the journal does not know it; --adopt links what is equal"
    };
    (What::Blocked, Some(reason.to_owned()), false)
}

/// The object is the one that was written, and its time of change is that of the last read-back.
fn is_untouched(side: &Side<'_>, entry: &Entry) -> bool {
    entry.target.as_deref() == side.there
        && entry.modified_at.is_some()
        && entry.modified_at == side.modified_at
}

/// Contents that must be read before the plan can decide.
pub(crate) fn wanted_contents(
    archive: &ArchiveState,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    filter: &Filter,
    resolver: &Resolver,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for line in &archive.tree {
        let kind = catalog_tree::kind_of(&line.object_type).name;
        if let Some(content) = &line.content
            && filter.wants(kind, &line.path)
            && wants(line, target, journal, options, resolver)
        {
            let language = line.language.clone();
            let path = resolver.path(&line.path);
            wanted.push(Wanted::new(kind, path, content, language));
        }
    }
    if filter.kind("dbfs") {
        for line in &archive.dbfs {
            let Some(content) = &line.content else {
                continue;
            };
            let Some(info) = target.dbfs.get(&line.path) else {
                continue;
            };
            if filter.wants("dbfs", &line.path)
                && !info.is_dir
                && (info.size == content.size
                    || journal.entry("dbfs", &line.path).is_some_and(is_unseen))
                && undecided(
                    journal.entry("dbfs", &line.path),
                    Some(&line.path),
                    info.modified_at,
                    options,
                )
            {
                wanted.push(Wanted::new("dbfs", line.path.clone(), content, None));
            }
        }
    }
    wanted
}

/// Linked and never read back: only its content can tell whether it is the one that the journal knows.
fn is_unseen(entry: &Entry) -> bool {
    entry.is_linked() && entry.digest.is_some() && entry.modified_at.is_none()
}

fn wants(
    line: &TreeLine,
    target: &TargetState,
    journal: &Knowledge,
    options: &Options,
    resolver: &Resolver,
) -> bool {
    let Some(info) = target.tree.get(&resolver.path(&line.path)) else {
        return false;
    };
    let kind = catalog_tree::kind_of(&line.object_type).name;
    info.object_type == line.object_type
        && undecided(
            journal.entry(kind, &line.path),
            Some(&info.object_id),
            info.modified_at,
            options,
        )
}

fn undecided(
    entry: Option<&Entry>,
    there: Option<&str>,
    modified_at: Option<i64>,
    options: &Options,
) -> bool {
    let Some(entry) = entry else {
        return options.adopt && !options.into_source;
    };
    if options.into_source {
        return entry.is_create_pending();
    }
    if !entry.is_linked() {
        return options.adopt || entry.is_create_pending();
    }
    there.is_some_and(|there| options.recheck.contents(there))
        || entry.target.as_deref() != there
        || entry.modified_at.is_none()
        || entry.modified_at != modified_at
}
