//! The workspace tree: directories from the root down, each with its access control before anything is written into it;
//! their contents beside each other, each with its access control.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use lifeboat_catalog::{Kind, tree};
use lifeboat_databricks::{Body, Safety};
use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::readback::Written;
use super::run::{Done, Fail, Run, Step};
use super::{access, files, git};
use crate::held::TreeLine;
use crate::journal::Op;
use crate::plan::{Action, Plan, What, directory_parents, no_home};
use crate::resolve::Access;
use crate::target::{TreeInfo, Wanted, list_directory, tree_info};

const MKDIRS: &str = "/api/2.0/workspace/mkdirs";
pub(super) const GET_STATUS: &str = "/api/2.0/workspace/get-status";

/// An action and what it needs.
#[derive(Clone, Copy)]
struct Item<'p> {
    index: usize,
    action: &'p Action,
    line: Option<&'p TreeLine>,
}

/// What hangs below each directory of the plan (by path in the target; the empty path stands for what needs none).
struct Forest<'p> {
    directories: BTreeMap<String, Item<'p>>,
    children: HashMap<String, Vec<String>>,
    contents: HashMap<String, Vec<(String, Item<'p>)>>,
}

/// A directory that is done: its path, and why nothing may be written into it if so.
type Ready = (String, Option<String>);
/// When a content was written: before the call, and after its reply.
type Span = (Instant, Instant);
/// When the contents of a directory were written, by path in the target.
type Spans<'p> = Mutex<HashMap<&'p str, Span>>;
type Work<'w> = Pin<Box<dyn Future<Output = Option<Ready>> + 'w>>;

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    let forest = plant(run, plan);
    let directories = forest.directories.values();
    run.announce(
        "directories",
        directories.filter(|item| item.action.has_work()).count(),
    );
    let contents = forest.contents.values().flatten();
    run.announce(
        "notebooks",
        contents.filter(|(_, item)| item.action.has_work()).count(),
    );
    let forest = &forest;
    let mut work: FuturesUnordered<Work<'_>> = FuturesUnordered::new();
    open(run, forest, "", &mut work);
    while let Some(ready) = work.next().await {
        match ready {
            Some((path, None)) => open(run, forest, &path, &mut work),
            Some((path, Some(why))) => refuse_below(run, forest, &path, &why),
            None => {}
        }
    }
}

fn plant<'p>(run: &Run<'p>, plan: &'p Plan) -> Forest<'p> {
    let lines: HashMap<&str, &'p TreeLine> = run
        .state
        .tree
        .iter()
        .map(|line| (line.path.as_str(), line))
        .collect();
    let mut forest = Forest {
        directories: BTreeMap::new(),
        children: HashMap::new(),
        contents: HashMap::new(),
    };
    let mut others = Vec::new();
    for (index, action) in plan.actions.iter().enumerate() {
        if action.what == What::Blocked || action.removed {
            continue;
        }
        let line = lines.get(action.id.as_str()).copied();
        let item = Item {
            index,
            action,
            line,
        };
        match action.kind.as_str() {
            "directories" => {
                forest
                    .directories
                    .insert(run.resolver().path(&action.id), item);
            }
            "notebooks" | "files" if action.what != What::Skip => {
                others.push((run.resolver().path(&action.id), item));
            }
            "git-folders" if action.has_work() => {
                let path = tree::without_alias(&action.name).to_owned();
                others.push((run.resolver().path(&path), item));
            }
            _ => {}
        }
    }
    let above = |path: &str| {
        let parents = directory_parents(path);
        parents
            .iter()
            .rev()
            .find(|parent| forest.directories.contains_key(**parent))
            .map_or("", |parent| *parent)
            .to_owned()
    };
    let children: Vec<(String, String)> = forest
        .directories
        .keys()
        .map(|path| (above(path), path.clone()))
        .collect();
    let contents: Vec<(String, (String, Item<'_>))> = others
        .into_iter()
        .map(|(path, item)| (above(&path), (path, item)))
        .collect();
    for (parent, path) in children {
        forest.children.entry(parent).or_default().push(path);
    }
    for (parent, content) in contents {
        forest.contents.entry(parent).or_default().push(content);
    }
    forest
}

/// Begins everything that waited for a directory.
fn open<'w>(
    run: &'w Run<'_>,
    forest: &'w Forest<'_>,
    path: &str,
    work: &mut FuturesUnordered<Work<'w>>,
) {
    for child in forest.children.get(path).into_iter().flatten() {
        if let Some(item) = forest.directories.get(child) {
            work.push(Box::pin(directory(run, forest, *item, child)));
        }
    }
    if let Some(contents) = forest.contents.get(path) {
        work.push(Box::pin(fill(run, contents)));
    }
}

/// Everything below a directory that failed is blocked.
fn refuse_below(run: &Run<'_>, forest: &Forest<'_>, path: &str, why: &str) {
    let fail = || match run.check() {
        Err(stopped) => stopped,
        Ok(()) => Fail::Blocked(format!("the directory {path} is not ready: {why}")),
    };
    for child in forest.children.get(path).into_iter().flatten() {
        if let Some(item) = forest.directories.get(child) {
            run.finish(item.index, item.action, Err(fail()));
        }
        refuse_below(run, forest, child, why);
    }
    for (_, item) in forest.contents.get(path).into_iter().flatten() {
        run.finish(item.index, item.action, Err(fail()));
    }
}

async fn directory(
    run: &Run<'_>,
    forest: &Forest<'_>,
    item: Item<'_>,
    path: &str,
) -> Option<Ready> {
    let outcome = make(run, forest, item, path).await;
    let refused = outcome.as_ref().err().map(Fail::text);
    run.finish(item.index, item.action, outcome);
    Some((path.to_owned(), refused))
}

async fn make(
    run: &Run<'_>,
    forest: &Forest<'_>,
    item: Item<'_>,
    path: &str,
) -> Result<Done, Fail> {
    let action = item.action;
    let mut done = Done {
        target: action.target.clone(),
        ..Done::default()
    };
    if action.what == What::Create {
        create(run, forest, item, path).await?;
    }
    if action.what == What::Adopt {
        let target = action.target.clone().unwrap_or_default();
        run.adopt(
            "directories",
            &action.id,
            &action.name,
            &target,
            action.made(),
            None,
        )?;
    }
    if done.target.is_none() {
        let status = if tree::is_builtin_directory(path) {
            appears(run, forest, item, path).await?
        } else {
            status(run, path).await?
        };
        let id = status.object_id.clone();
        run.seen("directories", &action.id, Some(&id), None, None)?;
        run.tell_written(Written::Directory(path.to_owned(), status));
        done.target = Some(id);
    }
    if action.writes_access {
        let Some(kind) = lifeboat_catalog::kind("directories") else {
            return Ok(done);
        };
        let target = done.target.clone().unwrap_or_default();
        grant(run, kind, item, path, &target, &mut done).await?;
        if action.target.is_some() {
            run.tell_written(Written::OldDirectory(path.to_owned()));
        }
        let entry = run.journal.entry("directories", &action.id);
        // Homes, too, which nobody creates: the next run knows that it is still this one.
        if entry.is_some_and(|entry| entry.target.as_ref() != Some(&target)) {
            run.seen("directories", &action.id, Some(&target), None, None)?;
        }
    }
    Ok(done)
}

async fn grant(
    run: &Run<'_>,
    kind: &Kind,
    item: Item<'_>,
    path: &str,
    target: &str,
    done: &mut Done,
) -> Result<(), Fail> {
    let orphans = run.options.orphans.trim_end_matches('/');
    let ours = item.line.is_none()
        || (path != item.action.id && crate::plan::parent(path) == Some(orphans));
    match item.line {
        Some(line) if !ours => {
            access::apply(run, kind, item.action, &line.object_id, target, done).await
        }
        // Folders of this tool's own making have no direct grants.
        _ => access::put(run, kind, item.action, target, Access::default(), done).await,
    }
}

/// Makes a directory, and in the same call one line of directories below it: a call makes the parents of its path, and
/// only one may be under way. Where the service refuses the line, the directory is made alone.
async fn create(
    run: &Run<'_>,
    forest: &Forest<'_>,
    item: Item<'_>,
    path: &str,
) -> Result<(), Fail> {
    let mut made = run.mkdirs.lock().await;
    if made.remove(path) {
        return Ok(());
    }
    let line = line_below(forest, item, path);
    if let [_, .., (last, _)] = line.as_slice() {
        let steps: Vec<Step<'_>> = line.iter().map(|(_, action)| step(action)).collect();
        match mkdirs(run, &steps, last).await {
            Ok(()) => {
                made.extend(line[1..].iter().map(|(path, _)| (*path).to_owned()));
                return Ok(());
            }
            Err(Fail::Service(_)) => {}
            Err(fail) => return Err(fail),
        }
    }
    mkdirs(run, &[step(item.action)], path).await
}

fn step(action: &Action) -> Step<'_> {
    Step::new(Op::Create, "directories", &action.id, &action.name)
}

/// A directory and, down to a leaf, first children that are to be created like itself.
fn line_below<'f>(
    forest: &'f Forest<'_>,
    item: Item<'f>,
    path: &'f str,
) -> Vec<(&'f str, &'f Action)> {
    let mut line = vec![(path, item.action)];
    let mut at = path;
    while let Some((child, item)) =
        forest
            .children
            .get(at)
            .into_iter()
            .flatten()
            .find_map(|child| {
                let item = forest.directories.get(child)?;
                // Something between them may stand in the target or not be in the archive: each has its own call.
                let next =
                    item.action.what == What::Create && crate::plan::parent(child) == Some(at);
                next.then_some((child.as_str(), item))
            })
    {
        line.push((child, item.action));
        at = child;
    }
    line
}

async fn mkdirs(run: &Run<'_>, steps: &[Step<'_>], path: &str) -> Result<(), Fail> {
    let body = json!({ "path": path });
    let call = run
        .client
        .send("POST", MKDIRS, &[], Body::Json(&body), Safety::Idempotent);
    run.write_all(steps, call).await.map(|_| ())
}

/// Makes a directory that no record of the archive describes.
pub(super) async fn make_directory(run: &Run<'_>, path: &str) -> Result<(), Fail> {
    let _one = run.mkdirs.lock().await;
    let step = Step::new(Op::Create, "directories", path, path);
    mkdirs(run, &[step], path).await
}

async fn status(run: &Run<'_>, path: &str) -> Result<TreeInfo, Fail> {
    let reply = run
        .read(run.client.get(GET_STATUS, &[("path", path)]))
        .await?;
    let info = tree_info(&reply);
    if info.object_id.is_empty() {
        return Err(Fail::Other("the service names no object id".to_owned()));
    }
    Ok(info)
}

/// Waits for a home that the service makes with its user, once he is there: who was not made gets none. Where it never does, it is made like any
/// other directory, if the service lets it.
async fn appears(
    run: &Run<'_>,
    forest: &Forest<'_>,
    item: Item<'_>,
    path: &str,
) -> Result<TreeInfo, Fail> {
    let owner = run.waiting.owner(path);
    run.waiting.for_all(&owner).await;
    if let Some(why) = run.all_failed(&owner) {
        run.check()?;
        return Err(Fail::Blocked(no_home(
            path,
            &format!("its user was not made: {why}"),
        )));
    }
    let start = Instant::now();
    let mut pause = run.options.second / 10;
    loop {
        match status(run, path).await {
            Err(fail) if is_not_found(&fail) => {}
            other => return other,
        }
        if start.elapsed() >= run.options.home_wait {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(run.options.second * 2);
    }
    match create(run, forest, item, path).await {
        Ok(()) => status(run, path).await,
        Err(Fail::Service(error)) => Err(Fail::Blocked(no_home(path, &error.to_string()))),
        Err(fail) => Err(fail),
    }
}

fn is_not_found(fail: &Fail) -> bool {
    fail.error()
        .is_some_and(lifeboat_databricks::Error::is_not_found)
}

/// The contents of one directory. Their access control has limits of its own: the next content does not wait for it.
async fn fill(run: &Run<'_>, contents: &[(String, Item<'_>)]) -> Option<Ready> {
    let (granted, mut to_grant) = mpsc::unbounded_channel();
    let writing = write_all(run, contents, granted);
    let granting = stream::poll_fn(move |context| to_grant.poll_recv(context))
        .for_each_concurrent(None, |(item, done)| grant_content(run, item, done));
    tokio::join!(writing, granting);
    None
}

/// A content that is written and whose access control is next.
type Granted<'p> = (Item<'p>, Done);

async fn write_all<'p>(
    run: &Run<'_>,
    contents: &'p [(String, Item<'p>)],
    granted: UnboundedSender<Granted<'p>>,
) {
    let spans = Spans::default();
    let times = &spans;
    let mut writing = stream::iter(contents)
        .map(|(path, item)| async move {
            let outcome = if item.action.kind == "git-folders" {
                // With its access control, so who is waited for is waited for before it takes a place.
                run.grantees_of("git-folders", &item.action.id).await;
                let _lane = run.lanes.acquire().await;
                git::folder(run, item.action).await
            } else {
                let _lane = run.lanes.acquire().await;
                one(run, *item, path, times).await
            };
            (path, *item, outcome)
        })
        .buffer_unordered(run.options.concurrency.saturating_mul(4));
    let mut without_id = Vec::new();
    while let Some((path, item, outcome)) = writing.next().await {
        match outcome {
            Ok(done) if item.action.kind == "git-folders" => {
                run.finish(item.index, item.action, Ok(done));
            }
            Ok(done) if done.target.is_none() => without_id.push((path, item, done)),
            Ok(done) => send(&granted, (item, done)),
            Err(fail) => run.finish(item.index, item.action, Err(fail)),
        }
    }
    let touched: Vec<&(String, Item<'_>)> = contents
        .iter()
        .filter(|(_, item)| item.action.kind != "git-folders")
        .collect();
    drop(writing);
    // Nothing panics while holding it; should it, what is inside is still whole.
    let spans = spans.into_inner().unwrap_or_else(PoisonError::into_inner);
    settle(run, &touched, without_id, &spans, &granted).await;
}

fn send<'p>(granted: &UnboundedSender<Granted<'p>>, content: Granted<'p>) {
    // It fails when nobody receives any more, which whoever receives outlives.
    let _ = granted.send(content);
}

/// Writes one content. Without a target its id must be looked up before its access control can be written.
async fn one<'p>(
    run: &Run<'_>,
    item: Item<'_>,
    path: &'p str,
    spans: &Spans<'p>,
) -> Result<Done, Fail> {
    let line = item
        .line
        .ok_or_else(|| Fail::Other("its record is not in the archive".to_owned()))?;
    if !item.action.writes_object && item.action.what != What::Adopt {
        return Ok(Done {
            target: item.action.target.clone(),
            ..Done::default()
        });
    }
    let began = Instant::now();
    let done = files::write(run, item.action, line, path).await?;
    if item.action.what != What::Adopt {
        let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.insert(path, (began, Instant::now()));
    }
    Ok(done)
}

/// Writes the access control of a content, and with it the content is done.
async fn grant_content(run: &Run<'_>, item: Item<'_>, mut done: Done) {
    let outcome = match (item.line, lifeboat_catalog::kind(&item.action.kind)) {
        (Some(line), Some(kind)) => {
            run.grantees_of(kind.name, &line.object_id).await;
            let _place = run.grants.acquire().await;
            let target = done.target.clone().unwrap_or_default();
            access::apply(run, kind, item.action, &line.object_id, &target, &mut done).await
        }
        _ => Err(Fail::Other("its record is not in the archive".to_owned())),
    };
    run.finish(item.index, item.action, outcome.map(|()| done));
}

/// Looks at the directories again: ids that no reply named, and the times of change that tell the next run that nothing
/// happened since.
async fn settle<'p>(
    run: &Run<'_>,
    touched: &[&(String, Item<'_>)],
    without_id: Vec<(&String, Item<'p>, Done)>,
    spans: &HashMap<&str, Span>,
    granted: &UnboundedSender<Granted<'p>>,
) {
    let needed = |(path, item): &&&(String, Item<'_>)| {
        let entry = run
            .journal
            .entry(&item.action.kind, &item.action.id)
            .unwrap_or_default();
        item.action.writes_object
            || item.action.what == What::Adopt
            || entry.is_replaced(item.action.target.as_deref())
            || entry.modified_at != modified(run.target.tree.get(path))
    };
    let changed: Vec<&&(String, Item<'_>)> = touched.iter().filter(needed).collect();
    let folders: HashSet<&str> = changed
        .iter()
        .filter_map(|(path, _)| crate::plan::parent(path))
        .collect();
    let mut listed: BTreeMap<String, TreeInfo> = BTreeMap::new();
    for folder in folders {
        match run.read(list_directory(run.client, folder)).await {
            Ok(children) => {
                listed.extend(children.clone());
                run.tell_written(Written::Listing(folder.to_owned(), children));
            }
            Err(fail) => {
                for (_, item, _) in &without_id {
                    run.finish(item.index, item.action, Err(Fail::Other(fail.text())));
                }
                return;
            }
        }
    }
    let listed = &listed;
    grant_listed(run, without_id, listed, granted);
    let later = later(spans, listed);
    for (path, item) in changed {
        let now = listed.get(path);
        let info = match spans.get(path.as_str()) {
            Some(_) => now,
            // What failed was not written, and nobody knows what it is.
            None if item.action.writes_object && item.action.what != What::Adopt => None,
            // Its content was read for the plan after this.
            None => run.target.tree.get(path),
        };
        let Some(info) = info else {
            continue;
        };
        let edited = spans
            .get(path.as_str())
            .is_some_and(|(_, answered)| is_changed_since(*answered, now, &later));
        let entry = run
            .journal
            .entry(&item.action.kind, &item.action.id)
            .unwrap_or_default();
        if item.action.writes_object
            && let Some(line) = item.line
            && let Some(content) = &line.content
        {
            let language = line.language.clone();
            let wanted = Wanted::new(&item.action.kind, path.clone(), content, language);
            run.tell_written(Written::Content(wanted, info.modified_at));
        }
        // Found equal: then an update without an answer has taken effect.
        let content = item.line.and_then(|line| line.content.as_ref());
        let written = content
            .map(|content| content.sha256.clone())
            .filter(|_| item.action.what == What::Unchanged)
            .filter(|written| entry.is_update_pending(Some(written)));
        if entry.digest.is_some() {
            // A journal that cannot be written stops the run by itself.
            let _ = run.seen(
                &item.action.kind,
                &item.action.id,
                Some(&info.object_id),
                info.modified_at.filter(|_| !edited),
                written,
            );
        }
    }
}

/// Contents whose id the listing shows go on to their access control.
fn grant_listed<'p>(
    run: &Run<'_>,
    without_id: Vec<(&String, Item<'p>, Done)>,
    listed: &BTreeMap<String, TreeInfo>,
    granted: &UnboundedSender<Granted<'p>>,
) {
    for (path, item, mut done) in without_id {
        match listed.get(path) {
            Some(info) => {
                done.target = Some(info.object_id.clone());
                send(granted, (item, done));
            }
            None => {
                let what = "written, but the target does not list it".to_owned();
                run.finish(item.index, item.action, Err(Fail::Other(what)));
            }
        }
    }
}

/// Contents by the beginning of their write, each with the earliest time of change of those written from then on.
type Later = Vec<(Instant, i64)>;

fn later(spans: &HashMap<&str, Span>, listed: &BTreeMap<String, TreeInfo>) -> Later {
    let times = spans.iter().filter_map(|(path, (began, _))| {
        let time = modified(listed.get(*path))?;
        Some((*began, time))
    });
    let mut later: Later = times.collect();
    later.sort_unstable();
    let mut earliest = i64::MAX;
    for (_, time) in later.iter_mut().rev() {
        earliest = earliest.min(*time);
        *time = earliest;
    }
    later
}

/// Whether a content was changed after its write was answered, by the clock of the service: its time of change is later
/// than that of another content whose write began only after that. What this does not show happened within a call.
fn is_changed_since(answered: Instant, info: Option<&TreeInfo>, later: &Later) -> bool {
    let next = later.partition_point(|(began, _)| *began < answered);
    match (later.get(next), modified(info)) {
        (Some((_, earliest)), Some(time)) => time > *earliest,
        _ => false,
    }
}

fn modified(info: Option<&TreeInfo>) -> Option<i64> {
    info.and_then(|info| info.modified_at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_edit_between_the_write_and_the_listing_is_seen() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        // The first was written before the second, the third beside both.
        let spans = HashMap::from([
            ("/a", (at(0), at(10))),
            ("/b", (at(20), at(30))),
            ("/c", (at(5), at(40))),
        ]);
        let listed = |times: [i64; 3]| -> BTreeMap<String, TreeInfo> {
            let named = ["/a", "/b", "/c"].into_iter().zip(times);
            let info = |time| TreeInfo {
                object_type: "NOTEBOOK".to_owned(),
                object_id: "1".to_owned(),
                language: None,
                modified_at: Some(time),
            };
            named
                .map(|(path, time)| (path.to_owned(), info(time)))
                .collect()
        };
        let changed = |times: [i64; 3]| {
            let listed = listed(times);
            let later = later(&spans, &listed);
            ["/a", "/b", "/c"].map(|path| is_changed_since(spans[path].1, listed.get(path), &later))
        };
        assert_eq!(changed([1_000, 1_020, 1_030]), [false, false, false]);
        assert_eq!(changed([9_000, 1_020, 1_030]), [true, false, false]);
        assert_eq!(changed([1_020, 1_020, 1_000]), [false, false, false]);
    }
}
