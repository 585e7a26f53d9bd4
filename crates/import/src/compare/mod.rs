//! The target read back and compared with the archive, object by object (`spec/import.md`, "Compare").
//!
//! What should be there is the archived object in the words of the target and passive; two bodies are equal when their
//! compare forms are. Reads may be stale: what differs is read again before it is reported. After an apply only that is
//! read which it wrote or which no comparison has proved yet.

mod judge;
mod scope;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lifeboat_archive::Archive;
use lifeboat_catalog::tree;
use lifeboat_databricks::{Client, Identity};

use self::judge::{Judge, Judged, expected_access, is_access_off, target_id};
use self::scope::{Keys, Scope};
use crate::apply::ReadBack;
use crate::archived::ArchiveState;
use crate::engine::{homes_of, reader};
use crate::error::Error;
use crate::filter::Filter;
use crate::guards;
use crate::journal::{Entry, Journal, Knowledge, LineKind};
use crate::options::Options;
use crate::plan::{self, Action, Prepared};
use crate::report::{Comparison, Difference, Fate, Report, Verdict, Verdicts};
use crate::resolve::Access;
use crate::target::{
    Content, TargetState, Wanted, account_groups, missing_account_groups, read_contents,
};

/// Pauses before differing objects are read again, in seconds.
pub(crate) const AGAIN: [f64; 2] = [0.3, 1.0];

/// What is compared.
pub(crate) struct Comparing<'a> {
    pub archive: &'a Archive,
    pub client: &'a Client,
    pub options: &'a Options,
    pub filter: &'a Filter,
    pub identity: &'a Identity,
    pub workspace_id: &'a str,
    pub knowledge: &'a Knowledge,
    /// What an apply says of its objects: why something is missing.
    pub report: Option<&'a Report>,
    /// Where to record what was read back.
    pub journal: Option<&'a Journal>,
}

impl Comparing<'_> {
    /// The options under which what stands at the place of an object is that object.
    fn adopting(&self) -> Options {
        Options {
            adopt: true,
            ..self.options.clone()
        }
    }
}

/// `before`: the target as it was read before the apply whose report is there, and what that apply read back already.
pub(crate) async fn compare_with(
    comparing: &Comparing<'_>,
    state: &mut ArchiveState,
    before: Option<(TargetState, ReadBack)>,
) -> Result<Comparison, Error> {
    let explained: BTreeMap<(&str, &str), &str> = comparing
        .report
        .into_iter()
        .flat_map(|report| &report.objects)
        .filter(|object| matches!(object.fate, Fate::Blocked | Fate::Failed | Fate::Skipped))
        .map(|object| {
            (
                (object.kind.as_str(), object.id.as_str()),
                object.reason.as_deref().unwrap_or(""),
            )
        })
        .collect();
    let mut judged: BTreeMap<(String, String), Judged> = BTreeMap::new();
    let mut read = ReadBack::default();
    let (mut target, mut scope) = match (before, comparing.report) {
        (Some((mut target, already)), Some(report)) => {
            read = already;
            let scope = Scope::after(report, comparing.knowledge);
            let mut rest = scope::written(report, &scope);
            scope::take(&mut read, &mut target, state, comparing, &mut rest);
            scope::read_again(comparing, state, &mut target, &rest).await?;
            (target, scope)
        }
        _ => (scope::read_all(comparing, state).await?, Scope::default()),
    };
    for pause in std::iter::once(None).chain(AGAIN.map(Some)) {
        if let (Some(pause), Some(doubtful)) = (pause, &scope.only) {
            tokio::time::sleep(comparing.options.second.mul_f64(pause)).await;
            scope::read_again(comparing, state, &mut target, doubtful).await?;
        }
        for one in pass(
            comparing,
            state,
            &mut target,
            &scope,
            std::mem::take(&mut read),
        )
        .await?
        {
            judged.insert((one.kind.clone(), one.id.clone()), one);
        }
        let doubtful: Keys = judged
            .iter()
            .filter(|(_, one)| one.verdict != Verdict::Equal)
            .filter(|((kind, id), _)| !explained.contains_key(&(kind.as_str(), id.as_str())))
            .map(|(key, _)| key.clone())
            .collect();
        if doubtful.is_empty() {
            break;
        }
        scope.only = Some(doubtful);
    }
    if let Some(journal) = comparing.journal {
        record(journal, comparing.knowledge, state, &judged)?;
    }
    Ok(summed(judged, &explained))
}

fn summed(
    judged: BTreeMap<(String, String), Judged>,
    explained: &BTreeMap<(&str, &str), &str>,
) -> Comparison {
    let mut comparison = Comparison::default();
    for (key, mut one) in judged {
        comparison.not_read_again += u64::from(one.known);
        let counts: &mut Verdicts = comparison.kinds.entry(one.kind.clone()).or_default();
        match one.verdict {
            Verdict::Equal => counts.equal += 1,
            Verdict::Different => counts.different += 1,
            Verdict::Missing => counts.missing += 1,
            Verdict::Unknown => counts.unknown += 1,
        }
        if one.verdict == Verdict::Equal {
            comparison.equal.insert(key);
            continue;
        }
        if let Some(reason) = explained.get(&(key.0.as_str(), key.1.as_str()))
            && !reason.is_empty()
            && !one.places.iter().any(|place| place == reason)
        {
            one.places.push((*reason).to_owned());
        }
        comparison.differences.push(Difference {
            kind: one.kind,
            id: one.id,
            name: one.name,
            verdict: one.verdict,
            places: one.places,
        });
    }
    comparison
}

/// Records what the target made of what was written, so that the next run knows whether somebody changed it since, and
/// what was proved.
fn record(
    journal: &Journal,
    knowledge: &Knowledge,
    state: &ArchiveState,
    judged: &BTreeMap<(String, String), Judged>,
) -> Result<(), Error> {
    for (key, one) in judged {
        let (kind, id) = key;
        let Some(entry) = knowledge.entry(kind, id) else {
            continue;
        };
        let settled = one.verdict == Verdict::Equal && entry.pending.is_none();
        let proved = settled && !entry.proved;
        // What somebody made of an object since it was written, or what an update without an answer may still make of
        // it, is not what was written.
        let doubtful = entry.seen.is_some() || entry.pending.is_some();
        let form = one.form.as_ref().filter(|form| {
            let known = entry.seen.as_ref() == Some(form) && entry.pending.is_none();
            entry.digest.is_some() && !known && (!doubtful || one.verdict == Verdict::Equal)
        });
        if form.is_none() && !proved {
            continue;
        }
        let mut line = journal.line(LineKind::Seen);
        line.kind = Some(kind.clone());
        line.id = Some(id.clone());
        line.digest = form.cloned();
        line.proved = proved.then_some(true);
        line.archived = state
            .translation
            .forms
            .get(key)
            .filter(|_| settled)
            .cloned();
        journal.append(&line, false)?;
    }
    Ok(())
}

/// Reads contents and access control of everything in the scope and judges it.
async fn pass(
    comparing: &Comparing<'_>,
    state: &mut ArchiveState,
    target: &mut TargetState,
    scope: &Scope,
    already: ReadBack,
) -> Result<Vec<Judged>, Error> {
    let options = &comparing.adopting();
    let Comparing {
        client,
        filter,
        knowledge,
        ..
    } = *comparing;
    guards::identities_listed(target.nobody.take())?;
    // Whoever cannot be assigned is granted nothing.
    let mut missing = missing_account_groups(state, target.of_kind("groups"));
    missing.retain(|name| !target.offer.account_groups.contains_key(name));
    let asked = account_groups(client, missing, options.concurrency).await?;
    target.offer.account_groups.extend(asked);
    let homes = homes_of(state, target, options, filter);
    let wants = |kind: &str, id: &str| scope.wants(kind, id);
    let (contents, jupyter) = contents_to_read(state, target, filter, &homes, &wants);
    state.normalise(comparing.archive, &jupyter)?;
    let prepared = plan::build_to_compare(state, target, knowledge, options, filter);
    let mut acls = acls_to_read(comparing, state, target, &prepared, &wants);
    acls.retain(|key| !already.acls.contains_key(key));
    let reader = reader(client, options, state, knowledge);
    let mut granted = TargetState {
        acls: already.acls,
        ..TargetState::default()
    };
    let contents = keep_read(contents, already.contents, target);
    let (read, granted_read) = tokio::join!(
        read_contents(client, contents, options.concurrency, target),
        reader.acls(acls, &mut granted),
    );
    read?;
    granted_read?;
    target.acls = granted.acls;
    state.normalise_sources(comparing.archive, target, |path| homes.path(path))?;
    let judge = Judge {
        state,
        target,
        prepared: &prepared,
        knowledge,
        options,
        alone: comparing.report.is_none(),
    };
    let actions = prepared.plan.actions.iter();
    let judged = actions
        .filter(|action| judge.is_comparable(action))
        .filter(|action| !is_only_above(filter, knowledge, action))
        .filter_map(|action| {
            if scope.wants(&action.kind, &action.id) {
                Some(judge.judge(action))
            } else {
                scope.is_first().then(|| Judged::equal(action))
            }
        });
    Ok(judged.collect())
}

/// Keeps what was read of contents that were not changed since, and gives the others.
fn keep_read(
    wanted: Vec<Wanted>,
    mut read: HashMap<(String, String), (Content, Option<i64>)>,
    target: &mut TargetState,
) -> Vec<Wanted> {
    target.contents.clear();
    let mut rest = Vec::new();
    for one in wanted {
        let key = (one.kind.clone(), one.path.clone());
        let now = if one.kind == "dbfs" {
            target.dbfs.get(&one.path).and_then(|info| info.modified_at)
        } else {
            target.tree.get(&one.path).and_then(|info| info.modified_at)
        };
        match read.remove(&key) {
            Some((content, before)) if before.is_some() && before == now => {
                target.contents.insert(key, content);
            }
            _ => rest.push(one),
        }
    }
    rest
}

/// A directory that stands above what is selected, and was not made for it: what it grants is nobody's question.
fn is_only_above(filter: &Filter, knowledge: &Knowledge, action: &Action) -> bool {
    action.kind == "directories"
        && !filter.wants("directories", &action.id)
        && !knowledge
            .entry("directories", &action.id)
            .is_some_and(Entry::is_ours)
}

/// Contents of everything that exists at its path, and the paths (in the source) of Jupyter notebooks among them.
fn contents_to_read(
    state: &ArchiveState,
    target: &TargetState,
    filter: &Filter,
    homes: &crate::resolve::Resolver,
    wants: &dyn Fn(&str, &str) -> bool,
) -> (Vec<Wanted>, BTreeSet<String>) {
    let mut contents = Vec::new();
    let mut jupyter = BTreeSet::new();
    for line in &state.tree {
        let kind = tree::kind_of(&line.object_type).name;
        let path = homes.path(&line.path);
        let Some(content) = &line.content else {
            continue;
        };
        if !filter.wants(kind, &line.path) || !wants(kind, &line.path) {
            continue;
        }
        if target
            .tree
            .get(&path)
            .is_none_or(|info| info.object_type != line.object_type)
        {
            continue;
        }
        if content.format == "JUPYTER" {
            jupyter.insert(line.path.clone());
        }
        let language = line.language.clone();
        contents.push(Wanted::new(kind, path, content, language));
    }
    for line in &state.dbfs {
        if let (Some(content), Some(info)) = (&line.content, target.dbfs.get(&line.path))
            && !info.is_dir
            && filter.wants("dbfs", &line.path)
            && wants("dbfs", &line.path)
        {
            contents.push(Wanted::new("dbfs", line.path.clone(), content, None));
        }
    }
    (contents, jupyter)
}

fn acls_to_read(
    comparing: &Comparing<'_>,
    state: &ArchiveState,
    target: &TargetState,
    prepared: &Prepared,
    wants: &dyn Fn(&str, &str) -> bool,
) -> BTreeSet<(String, String)> {
    let mut wanted = BTreeSet::new();
    for action in prepared
        .plan
        .actions
        .iter()
        .filter(|action| wants(&action.kind, &action.id))
    {
        let Some(kind) = lifeboat_catalog::kind(&action.kind) else {
            continue;
        };
        let Some(permissions) = kind.permissions else {
            continue;
        };
        // What was refused a moment ago, because there is none, need not be asked for.
        let off = |access: &Access| {
            comparing.report.is_some() && is_access_off(comparing.knowledge, kind, action, access)
        };
        if expected_access(state, target, prepared, kind, action)
            .is_some_and(|access| !off(&access))
            && let Some(id) = target_id(prepared, kind, action)
        {
            wanted.insert((permissions.segment.to_owned(), id));
        }
    }
    wanted
}
