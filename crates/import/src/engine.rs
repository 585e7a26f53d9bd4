//! The four commands: contact, plan, apply, compare. Guards first, then what they guard.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_archive::Archive;
use lifeboat_databricks::{Client, Identity};

use crate::activation::{self, Covered};
use crate::apply::{self, ReadBack, Record, Run, Stopped};
use crate::archived::{self, ArchiveState};
use crate::closure;
use crate::compare::{Comparing, compare_with};
use crate::error::{Error, Refusal};
use crate::events::{Event, Observer};
use crate::failback::Reverse;
use crate::filter::Filter;
use crate::guards;
use crate::journal::{Journal, Knowledge, Line, Lock};
use crate::map;
use crate::options::{Options, Recheck};
use crate::plan::{self, Plan, Prepared};
use crate::report::{Comparison, ObjectResult, Report, Totals};
use crate::resolve::Resolver;
use crate::target::{
    Reader, TargetState, account_groups, is_identity, look_up, missing_account_groups,
    read_contents, read_offer,
};
use crate::{Contact, reading_header};

/// Names of the phases in which nothing is written.
const READING: &str = "reading the target";
const READING_BACK: &str = "reading back";

/// What every command begins with.
struct Start {
    state: ArchiveState,
    filter: Filter,
    identity: Identity,
    target: String,
    journal: std::path::PathBuf,
    failback: Option<Reverse>,
    /// Links of a failback that the journal does not hold yet.
    links: Vec<Line>,
    /// The map is not that of the last import.
    map_changed: Option<map::Changed>,
}

impl Start {
    /// Adds the links of a failback to what the journal knows.
    fn link(&mut self, knowledge: &mut Knowledge) {
        if let Some(reverse) = &self.failback {
            self.links = reverse.links(&self.state, knowledge);
            for line in &self.links {
                knowledge.apply(line);
            }
        }
    }
}

pub(crate) async fn contact(
    archive: &Archive,
    client: &Client,
    options: &Options,
) -> Result<Contact, Error> {
    let header = reading_header(archive)?;
    let (identity, target) = guards::identify(client, options).await?;
    let source = header.source.workspace_id;
    let journal = guards::journal_path(options, &source, &target);
    let knowledge = Journal::read(&journal, &source, &target)?;
    Ok(Contact {
        source_host: header.source.host,
        host: client.host().to_owned(),
        caller: identity.user_name,
        is_admin: identity.is_admin,
        known: knowledge.confirmed,
        source,
        target,
        journal,
    })
}

async fn start(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Start, Error> {
    guards::may_delete(options)?;
    let mut filter = Filter::compile(&options.selection)?;
    // Before the archive is proved, which takes long.
    map::named_folder(&options.orphans)?;
    if let Some(folder) = &options.as_prefix {
        map::named_folder(folder)?;
        if options.selection.include.is_empty() && options.selection.users.is_none() {
            return Err(Error::Selection {
                pattern: folder.clone(),
                what: "--as-prefix restores a part of the tree: name it with --include or --users"
                    .to_owned(),
            });
        }
    }
    archived::verify(archive, observer)?;
    let mut state = archived::load(archive, options.allow_incomplete)?;
    filter.check(&state)?;
    if !options.closure.is_empty() {
        let text = |line: &crate::held::TreeLine| match &line.content {
            Some(content) => archived::read_member(archive, &content.path),
            None => Ok(Vec::new()),
        };
        let closure = closure::of(&state, &options.closure, &text)?;
        state.warnings.extend(closure.remarks.iter().cloned());
        filter.only(closure);
    }
    map::apply(options, &mut state)?;
    filter.translated(&state.translation.origins);
    observer.event(Event::Source {
        workspace_id: &state.workspace_id,
        host: &state.host,
        archive_id: &state.archive_id,
    });
    let (identity, target) = guards::identify(client, options).await?;
    observer.event(Event::Target {
        workspace_id: &target,
        host: client.host(),
        caller: &identity.user_name,
        is_admin: identity.is_admin,
    });
    guards::source_is_not_target(
        (&state.workspace_id, &state.host),
        (&target, client.host()),
        options,
    )?;
    let journal = guards::journal_path(options, &state.workspace_id, &target);
    let failback = Reverse::read(options, &state.workspace_id, &target)?;
    if let Some(reverse) = &failback {
        reverse.restore_states(&mut state);
        reverse.find_gone(&mut state, options, &filter);
    }
    Ok(Start {
        failback,
        links: Vec::new(),
        map_changed: None,
        state,
        filter,
        identity,
        target,
        journal,
    })
}

pub(crate) async fn plan(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Plan, Error> {
    let mut start = start(archive, client, options, observer).await?;
    let mut knowledge = Journal::read(&start.journal, &start.state.workspace_id, &start.target)?;
    observer.event(Event::Phase {
        name: READING,
        total: None,
    });
    let (mut target, prepared) =
        prepare(archive, client, options, &mut start, &mut knowledge).await?;
    let refusals = refusals(&knowledge, &mut target, &prepared, &start, options);
    let mut plan = prepared.plan;
    plan.refusals = [
        guards::may_apply(&knowledge, client.host(), &start.target, options),
        guards::is_active_elsewhere(&start.state.workspace_id, &start.target, options),
        guards::may_restore(&start.identity, &start.filter),
    ]
    .into_iter()
    .chain(refusals)
    .filter_map(|guard| guard.as_ref().err().map(Refusal::of))
    .collect();
    Ok(plan)
}

pub(crate) async fn apply(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let before = client.stats();
    let stop = &options.stop;
    let mut start = stop
        .unless(start(archive, client, options, observer))
        .await?;
    let source = start.state.workspace_id.clone();
    let knowledge = guards::journal_usable(Journal::read(&start.journal, &source, &start.target))?;
    guards::may_apply(&knowledge, client.host(), &start.target, options)?;
    guards::is_active_elsewhere(&source, &start.target, options)?;
    guards::may_restore(&start.identity, &start.filter)?;
    let lock = guards::journal_usable(Lock::take(&start.journal))?;
    // Another import may have written between the first look and the lock.
    let mut knowledge = Journal::read(&start.journal, &source, &start.target)?;
    guards::may_apply(&knowledge, client.host(), &start.target, options)?;
    observer.event(Event::Phase {
        name: READING,
        total: None,
    });
    let clock = std::time::Instant::now();
    let reading = prepare(archive, client, options, &mut start, &mut knowledge);
    let (mut target, prepared) = stop.unless(reading).await?;
    let reading = clock.elapsed().as_secs_f64();
    for refused in refusals(&knowledge, &mut target, &prepared, &start, options) {
        refused?;
    }
    for warning in &prepared.plan.warnings {
        observer.event(Event::Warning(warning));
    }
    let journal = open_journal(&start, lock, options)?;
    let Prepared { plan, resolver, .. } = prepared;
    let run = Run::new(
        archive,
        &start.state,
        &target,
        client,
        &journal,
        options,
        observer,
        &plan,
        resolver,
    );
    observer.event(planned(&plan));
    apply::execute(&run, &plan).await;
    let mut record = run.into_record();
    journal.sync()?;
    let stopped = record.stopped.take();
    let read = std::mem::take(&mut record.read_back);
    let mut report = report(&plan, record);
    report.incomplete = start.state.incomplete;
    report.phases.insert(0, (READING.to_owned(), reading));
    let mut outcome = match stopped {
        Some(stopped) => {
            report.count_calls(&before, &client.stats());
            Err(stopped_error(stopped, report))
        }
        None if options.compare => {
            observer.event(Event::Phase {
                name: READING_BACK,
                total: None,
            });
            read_back(
                archive,
                client,
                options,
                &mut start,
                &journal,
                (target, read),
                &mut report,
            )
            .await
            .map(|()| report)
        }
        None => Ok(report),
    };
    if let Ok(report) = &mut outcome {
        report.count_calls(&before, &client.stats());
    }
    keep_ledger(&journal, &start, options, &outcome)?;
    outcome
}

/// What the rules say that need the target and the plan.
fn refusals(
    knowledge: &Knowledge,
    target: &mut TargetState,
    prepared: &Prepared,
    start: &Start,
    options: &Options,
) -> [Result<(), Error>; 5] {
    [
        guards::identities_listed(target.nobody.take()),
        guards::is_standby(knowledge, target, options),
        guards::no_conflicts(knowledge, &prepared.conflicts, options),
        guards::few_deletions(&prepared.deletions, options),
        guards::map_is_named(start.map_changed.as_ref(), options),
    ]
}

/// Opens the journal, and tells it what this import is and the links of a failback, before anything else is written.
fn open_journal(start: &Start, lock: Lock, options: &Options) -> Result<Journal, Error> {
    let journal = guards::journal_usable(Journal::open_mapped(
        &start.journal,
        lock,
        (&start.state.workspace_id, &start.target),
        &start.state.archive_id,
        map::entries(options, &start.state),
    ))?;
    if !start.filter.is_everything() {
        journal.is_of_a_part();
    }
    if options.as_prefix.is_some() {
        journal.is_elsewhere();
    }
    journal.translated(start.state.translation.origins.clone());
    for line in &start.links {
        journal.append(line, false)?;
    }
    activation::expect(&journal, &covered(start, options, false))?;
    // All of this stands before anything builds on it.
    journal.sync()?;
    Ok(journal)
}

fn planned(plan: &Plan) -> Event<'static> {
    let objects = plan.actions.iter().filter(|action| action.has_work());
    Event::Planned {
        objects: objects.count() as u64,
        floor: plan.cost.floor,
    }
}

/// What this import can speak of.
fn covered<'s>(start: &'s Start, options: &Options, finished: bool) -> Covered<'s> {
    Covered {
        state: &start.state,
        filter: &start.filter,
        into_source: options.into_source,
        finished,
    }
}

/// Records for an activation what became of everything that waits.
fn keep_ledger(
    journal: &Journal,
    start: &Start,
    options: &Options,
    outcome: &Result<Report, Error>,
) -> Result<(), Error> {
    let covered = covered(start, options, outcome.is_ok());
    let report = match outcome {
        Ok(report) => report,
        // A journal that could not be written may be why the run stopped.
        Err(Error::Stopped { report, .. }) if journal.is_whole() => report,
        Err(_) => return Ok(()),
    };
    activation::record(journal, &covered, report)?;
    journal.sync()
}

/// Compares what an apply left in the target, and records it as seen.
async fn read_back(
    archive: &Archive,
    client: &Client,
    options: &Options,
    start: &mut Start,
    journal: &Journal,
    before: (TargetState, ReadBack),
    report: &mut Report,
) -> Result<(), Error> {
    let knowledge = journal.knowledge();
    let comparing = Comparing {
        archive,
        client,
        options,
        filter: &start.filter,
        identity: &start.identity,
        workspace_id: &start.target,
        knowledge: &knowledge,
        report: Some(report),
        journal: Some(journal),
    };
    let clock = std::time::Instant::now();
    let comparing = compare_with(&comparing, &mut start.state, Some(before));
    let comparison = match options.stop.unless(comparing).await {
        Ok(comparison) => comparison,
        Err(error) => {
            let stopped = Stopped::reading_back(error)?;
            return Err(stopped_error(stopped, std::mem::take(report)));
        }
    };
    let seconds = clock.elapsed().as_secs_f64();
    report.phases.push((READING_BACK.to_owned(), seconds));
    report.add_comparison(comparison);
    journal.sync()
}

pub(crate) async fn compare(
    archive: &Archive,
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Comparison, Error> {
    let mut start = start(archive, client, options, observer).await?;
    // A plan carries its warnings; a comparison has no place for them.
    for warning in &start.state.warnings {
        observer.event(Event::Warning(warning));
    }
    let mut knowledge = Journal::read(&start.journal, &start.state.workspace_id, &start.target)?;
    if let Some(difference) = map::difference(options, &start.state, &knowledge) {
        let text = format!("{difference}; so other names are expected than it wrote");
        observer.event(Event::Warning(&text));
    }
    start.link(&mut knowledge);
    observer.event(Event::Phase {
        name: READING,
        total: None,
    });
    let comparing = Comparing {
        archive,
        client,
        options,
        filter: &start.filter,
        identity: &start.identity,
        workspace_id: &start.target,
        knowledge: &knowledge,
        report: None,
        journal: None,
    };
    compare_with(&comparing, &mut start.state, None).await
}

/// Reads the target and plans.
async fn prepare(
    archive: &Archive,
    client: &Client,
    options: &Options,
    start: &mut Start,
    knowledge: &mut Knowledge,
) -> Result<(TargetState, Prepared), Error> {
    start.link(knowledge);
    let reading = read_target(
        client,
        options,
        &start.state,
        &start.filter,
        &start.identity,
        &start.target,
        knowledge,
    );
    let (target, offer) = tokio::join!(reading, read_offer(client, &start.state));
    let (mut target, offer) = (target?, offer?);
    target.offer = offer;
    if let Some(reverse) = &start.failback {
        reverse.judge(&mut start.links, &start.state, &target);
        for line in &start.links {
            knowledge.apply(line);
        }
    }
    map::check_target(client, options, &mut start.state, &target).await?;
    if let Some(folder) = &options.as_prefix {
        let homes = map::homes_of_selection(&start.state, &start.filter);
        let folder = map::named_folder(folder)?;
        map::may_be_read_by_others(client, &folder, homes.as_ref(), &target).await?;
    }
    if options.map.is_some() && options.as_prefix.is_none() {
        map::warn_of_opened(client, &mut start.state, &start.filter, &target).await?;
    }
    map::check_orphans(
        client,
        options,
        &start.state,
        &start.filter,
        &target,
        knowledge,
    )
    .await?;
    let missing = missing_account_groups(&start.state, target.of_kind("groups"));
    target.offer.account_groups = account_groups(client, missing, options.concurrency).await?;
    let resolver = homes_of(&start.state, &target, options, &start.filter);
    let wanted = plan::wanted_contents(
        &start.state,
        &target,
        knowledge,
        options,
        &start.filter,
        &resolver,
    );
    let paths: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.path.as_str()).collect();
    let sources: BTreeSet<String> = start
        .state
        .tree
        .iter()
        .filter(|line| paths.contains(resolver.path(&line.path).as_str()))
        .map(|line| line.path.clone())
        .collect();
    start.state.normalise(archive, &sources)?;
    read_contents(client, wanted, options.concurrency, &mut target).await?;
    let place = |path: &str| resolver.path(path);
    start.state.normalise_sources(archive, &target, place)?;
    if options.recheck != Recheck::None {
        let mut wanted = linked_acls(&start.state, &target, knowledge, &resolver);
        wanted.retain(|(_, id)| options.recheck.acls(id));
        reader(client, options, &start.state, knowledge)
            .acls(wanted, &mut target)
            .await?;
    }
    let mut prepared = plan::build(&start.state, &target, knowledge, options, &start.filter);
    let plan = &mut prepared.plan;
    start.map_changed = map::changed(archive, options, &start.state, knowledge, &plan.actions)?;
    // What an apply is refused for is no warning.
    if let Some(changed) = &start.map_changed
        && guards::map_is_named(Some(changed), options).is_ok()
    {
        plan.warnings.push(changed.text.clone());
    }
    Ok((target, prepared))
}

pub(crate) fn reader<'r>(
    client: &'r Client,
    options: &Options,
    state: &'r ArchiveState,
    knowledge: &'r Knowledge,
) -> Reader<'r> {
    Reader {
        client,
        archive: state,
        journal: knowledge,
        concurrency: options.concurrency.max(1),
        all_linked: false,
        second: options.second,
    }
}

/// Lists the target as far as the archive names it.
pub(crate) async fn read_target(
    client: &Client,
    options: &Options,
    state: &ArchiveState,
    filter: &Filter,
    identity: &Identity,
    workspace_id: &str,
    knowledge: &Knowledge,
) -> Result<TargetState, Error> {
    let reader = reader(client, options, state, knowledge);
    let mut target = reader.blank(identity, workspace_id);
    let mut others = reader.blank(identity, workspace_id);
    // Where homes stand is known when the people are; most stand where they stood, so the walk need not wait.
    let as_archived = directories_of(state, &Resolver::default(), options, filter);
    let (people, rest, homes, dbfs, walked) = tokio::join!(
        reader.list_kinds(&mut target, is_identity),
        reader.list_kinds(&mut others, |kind| !is_identity(kind)),
        reader.homes(),
        reader.dbfs(|_| true),
        reader.tree(&as_archived),
    );
    people.and(rest)?;
    target.kinds.append(&mut others.kinds);
    target.unclear.append(&mut others.unclear);
    target.homes = homes?;
    (target.dbfs, target.dbfs_refused) = dbfs?;
    let resolver = homes_of(state, &target, options, filter);
    let mut wanted = directories_of(state, &resolver, options, filter);
    for path in plan::removed_paths(state, &target, knowledge, options, filter) {
        let parents = plan::directory_parents(&path);
        wanted.extend(parents.into_iter().map(str::to_owned));
        wanted.insert(path);
    }
    let mut walked = walked?;
    if wanted != as_archived {
        walked = reader.tree(&wanted).await?;
    }
    target.tree = walked.tree;
    target.unlisted = walked.unlisted;
    look_up(&reader, &resolver, filter, &wanted, &mut target).await?;
    Ok(target)
}

/// The directories to list; none when the archive has no tree.
fn directories_of(
    state: &ArchiveState,
    resolver: &Resolver,
    options: &Options,
    filter: &Filter,
) -> BTreeSet<String> {
    if state.tree.is_empty() {
        return BTreeSet::new();
    }
    plan::wanted_directories(state, resolver, options, filter)
}

/// A resolver that knows where homes stand, and no more.
pub(crate) fn homes_of(
    state: &ArchiveState,
    target: &TargetState,
    options: &Options,
    filter: &Filter,
) -> Resolver {
    let mut resolver = Resolver::default();
    for moved in plan::homes::moved(state, target, options, filter) {
        resolver.move_home(&moved.from, &moved.to);
    }
    resolver
}

/// Access control of everything that the journal links: (segment, id in the target).
fn linked_acls(
    state: &ArchiveState,
    target: &TargetState,
    knowledge: &Knowledge,
    resolver: &Resolver,
) -> BTreeSet<(String, String)> {
    let mut wanted = BTreeSet::new();
    for kind in lifeboat_catalog::kinds() {
        let Some(permissions) = kind.permissions else {
            continue;
        };
        for (id, entry) in knowledge.of_kind(kind.name) {
            let tree = target
                .tree
                .get(&resolver.path(id))
                .map(|info| info.object_id.clone());
            if let Some(target) = tree.or_else(|| entry.target.clone()) {
                wanted.insert((permissions.segment.to_owned(), target));
            }
        }
    }
    for line in &state.tree {
        let kind = lifeboat_catalog::tree::kind_of(&line.object_type);
        if let (Some(permissions), Some(info)) = (
            kind.permissions,
            target.tree.get(&resolver.path(&line.path)),
        ) {
            wanted.insert((permissions.segment.to_owned(), info.object_id.clone()));
        }
    }
    wanted
}

fn report(plan: &Plan, record: Record) -> Report {
    let Record {
        mut results,
        mut checklist,
        phases,
        writes,
        ..
    } = record;
    let objects: Vec<ObjectResult> = (0..plan.actions.len())
        .filter_map(|index| results.remove(&index))
        .collect();
    let mut kinds: BTreeMap<String, Totals> = BTreeMap::new();
    for object in &objects {
        kinds
            .entry(object.kind.clone())
            .or_default()
            .add(object.fate);
    }
    checklist.extend(plan.checklist.iter().cloned());
    checklist.sort();
    checklist.dedup();
    Report {
        source: plan.source.clone(),
        target: plan.target.clone(),
        host: plan.host.clone(),
        archive_id: plan.archive_id.clone(),
        kinds,
        objects,
        checklist,
        warnings: plan.warnings.clone(),
        unknown_kinds: plan.unknown_kinds,
        preflight: plan.preflight.clone(),
        phases,
        writes,
        ..Report::default()
    }
}

fn stopped_error(stopped: Stopped, report: Report) -> Error {
    let done = report
        .objects
        .iter()
        .filter(|object| object.fate != crate::Fate::Failed)
        .count();
    Error::Stopped {
        done,
        doing: stopped.doing,
        cause: stopped.cause,
        credentials: stopped.credentials,
        report: Box::new(report),
    }
}
