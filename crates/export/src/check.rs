//! A look without an archive: what a run would capture, what this caller may not read, and how long it would take.
//!
//! Lists kinds and the tree once; reads no contents, no single objects and no access control. Specified in
//! `spec/export.md`, "Check".

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;
use lifeboat_archive::Fate;
use lifeboat_catalog::Kind;
use lifeboat_databricks::{Client, Family, Identity, LimitTable, family_of};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::dbfs;
use crate::error::Error;
use crate::event::Observer;
use crate::git_folders;
use crate::kinds;
use crate::ledger::{Closed, line};
use crate::objects;
use crate::options::Options;
use crate::outcome::{CheckKind, CheckReport};
use crate::run::{identify, until_cancelled};
use crate::seal::inventory;
use crate::secrets;
use crate::workspace::walk::{self, Outlets, lock};
use crate::workspace::{Folder, State, Tree};

/// Lists the workspace and says what a run would capture and what this caller may not read; reads no contents.
///
/// # Errors
/// The caller cannot be identified, the options cannot be used, or the run was cancelled.
pub async fn check(
    client: &Client,
    options: &Options,
    observer: &dyn Observer,
) -> Result<CheckReport, Error> {
    let check = async {
        let identity = identify(client, observer).await?;
        look(client, options, &identity, observer).await
    };
    until_cancelled(options, 1, check).await
}

async fn look(
    client: &Client,
    options: &Options,
    identity: &Identity,
    observer: &dyn Observer,
) -> Result<CheckReport, Error> {
    let ctx = Context::new(client, options, None, observer)?;
    kinds::state_all(&ctx);
    let tree = Mutex::new(walk::start(&ctx));
    let (estimates, (), ()) = tokio::join!(
        list_objects(&ctx),
        walk_tree(&ctx, &tree),
        look_at_dbfs(&ctx)
    );
    let mut calls = Calls::default();
    let mut per_kind: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in estimates {
        per_kind.insert(kind.name, calls.of_objects(kind, count));
    }
    settle_tree(&ctx, &mut lock(&tree), &mut calls, &mut per_kind);
    let (scope, stopped) = (ctx.scope(), ctx.gate.stopped());
    let Closed {
        kinds,
        gaps,
        unlisted,
        ..
    } = ctx.ledger.close()?;
    let inventory = inventory(&kinds, unlisted, stopped.as_ref());
    let kinds = kinds
        .into_iter()
        .map(|(name, summary)| {
            let kind = CheckKind {
                listing: summary.listing,
                reason: summary.reason,
                listed: summary.listed,
                captured: summary.stored,
                excluded: summary.excluded,
                unsupported: summary.unsupported,
                unreadable: summary.failed + summary.vanished,
                calls: per_kind.get(name.as_str()).copied().unwrap_or_default(),
            };
            (name, kind)
        })
        .collect();
    Ok(CheckReport {
        host: client.host().to_owned(),
        workspace_id: identity.workspace_id.clone().unwrap_or_default(),
        user: identity.user_name.clone(),
        admin: identity.is_admin,
        scope,
        inventory,
        kinds,
        unreadable: gaps,
        calls: calls.by_family.values().sum(),
        seconds: LimitTable::default().floor(&calls.by_family).as_secs_f64(),
    })
}

async fn list_objects(ctx: &Context<'_>) -> Vec<(&'static Kind, u64)> {
    let repos =
        lifeboat_catalog::kind(git_folders::KIND).filter(|kind| ctx.selected.kind(kind.name));
    let listings = kinds::asked(ctx)
        .into_iter()
        .chain(repos)
        .map(|kind| async move {
            let elements = objects::list(ctx, kind).await.unwrap_or_default();
            let wanted =
                objects::wanted(ctx, kind, elements, &mut std::collections::BTreeSet::new());
            for _ in &wanted {
                ctx.ledger.stored(kind.name, 0);
            }
            (kind, wanted.len() as u64)
        });
    join_all(listings).await
}

async fn walk_tree(ctx: &Context<'_>, tree: &Mutex<Tree>) {
    if !walk::is_asked(ctx) {
        return;
    }
    let phase = ctx.phase("tree");
    // Nobody takes what the walk hands on; sending to nobody is no error there.
    let (contents, _) = mpsc::unbounded_channel();
    let (acls, _) = mpsc::unbounded_channel();
    walk::walk(
        ctx,
        tree,
        &Outlets {
            contents: &contents,
            acls: &acls,
        },
        &phase,
    )
    .await;
    phase.end();
}

/// Whether DBFS answers at all; which files other objects name is known only when those are read.
async fn look_at_dbfs(ctx: &Context<'_>) {
    if !ctx.selected.kind(dbfs::KIND) {
        return;
    }
    if let Err(failure) = dbfs::status(ctx, "/").await
        && !failure.is_gone()
    {
        let (listing, reason) = failure.listing();
        ctx.ledger.listing(dbfs::KIND, listing, Some(reason));
    }
}

fn settle_tree(
    ctx: &Context<'_>,
    tree: &mut Tree,
    calls: &mut Calls,
    per_kind: &mut BTreeMap<&'static str, u64>,
) {
    if !walk::is_asked(ctx) {
        return;
    }
    for id in tree.ids() {
        let path = tree.path(id);
        let node = tree.node(id);
        let kind = node.kind;
        let mut own = 0;
        match &node.folder {
            Folder::Failed(failure) if id != 0 => {
                ctx.ledger.unlisted();
                ctx.ledger
                    .gap(&failure.line(kind.name, &node.object_id, &path, Fate::Failed));
                continue;
            }
            Folder::Listed(_) => own += calls.add(Family::WorkspaceList, 2),
            _ => {}
        }
        let captured = matches!(node.state, State::Plain | State::Wanted);
        if captured && kind.name != git_folders::KIND {
            ctx.ledger.stored(kind.name, 0);
            if matches!(node.state, State::Wanted) {
                own += calls.add(Family::WorkspaceExport, 1);
            }
        }
        if captured && kind.permissions.is_some() && kind.name != git_folders::KIND {
            own += calls.add(Family::PermissionsRead, 1);
        }
        if matches!(node.state, State::Passing) && id != 0 && ctx.selected.kind(kind.name) {
            let message = "not included by the selection";
            ctx.ledger.gap(&line(
                kind.name,
                &node.object_id,
                &path,
                Fate::Excluded,
                message,
            ));
        }
        *per_kind.entry(kind.name).or_default() += own;
    }
}

/// Estimated calls by family.
#[derive(Default)]
struct Calls {
    by_family: BTreeMap<Family, u64>,
}

impl Calls {
    fn add(&mut self, family: Family, count: u64) -> u64 {
        *self.by_family.entry(family).or_default() += count;
        count
    }

    /// Calls for so many objects of a kind: its listing, one read each, one for access control each.
    fn of_objects(&mut self, kind: &Kind, count: u64) -> u64 {
        let mut calls = 0;
        if let Some(list) = kind.list {
            // Identities are listed twice at least, each time with a page at the end.
            let family = family_of("GET", list.path);
            calls += self.add(family, if family == Family::ScimRead { 4 } else { 1 });
        }
        if let Some(read) = kind.read {
            calls += self.add(family_of("GET", read.path), count);
        }
        if kind.name == secrets::KIND {
            calls += self.add(Family::Secrets, 2 * count);
        }
        if kind.permissions.is_some() {
            calls += self.add(Family::PermissionsRead, count);
        }
        calls
    }
}
