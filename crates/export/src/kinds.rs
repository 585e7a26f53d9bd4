//! All kinds that are read as objects: side by side, then written in the order of the archive's stages.
//!
//! Owns the order and what one kind needs of another (jobs name clusters, clusters have library lists, all name DBFS
//! files). How one kind is read is in [`crate::objects`] and in modules named after the kind.

use std::io::Write;

use futures_util::future::try_join_all;
use lifeboat_archive::names::{self, Sibling};
use lifeboat_archive::{Content, Fate, Listing, TableWriter};
use lifeboat_catalog::{Kind, Layout, records};
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::oneshot;

use crate::access_control::AclRequest;
use crate::clusters;
use crate::context::Context;
use crate::dbfs::{self, Dbfs};
use crate::error::Error;
use crate::git_folders;
use crate::ledger::{Source, line};
use crate::objects::{self, KindRecords};
use crate::secret_values;
use crate::secrets;
use crate::spill::SortedSpill;
use crate::window::Window;
use crate::writer::ArchiveWriter;

/// Records of all kinds, in the order in which they are written.
pub(crate) type Objects = Vec<KindRecords>;

/// The listing of git folders, which is completed with the tree.
pub(crate) struct Repos {
    /// Absent when the kind is not asked for.
    pub(crate) kind: Option<&'static Kind>,
    pub(crate) listed: Option<Vec<Box<RawValue>>>,
}

/// States for every kind of the catalog whether it is asked for.
pub(crate) fn state_all(ctx: &Context<'_>) {
    for kind in lifeboat_catalog::kinds() {
        if ctx.selected.kind(kind.name) {
            ctx.ledger.listing(kind.name, Listing::Listed, None);
        } else {
            ctx.ledger.not_asked(kind.name);
        }
    }
}

/// Reads all object kinds, hands them on, and reads the DBFS files that they name.
pub(crate) async fn read_all(
    ctx: &Context<'_>,
    acls: &UnboundedSender<AclRequest>,
    done: oneshot::Sender<Objects>,
    repos_done: oneshot::Sender<Repos>,
    dbfs: &Dbfs,
    to_dbfs: Sender<dbfs::Fetched>,
) -> Result<(), Error> {
    let (objects, ()) = tokio::try_join!(read_objects(ctx, acls), async {
        drop(repos_done.send(list_repos(ctx).await));
        Ok(())
    })?;
    drop(done.send(objects));
    if ctx.selected.kind(dbfs::KIND) {
        let phase = ctx.phase("dbfs");
        let window = Window::new(crate::run::DBFS_WINDOW);
        dbfs.read_all(ctx, &ctx.take_named(), &window, &to_dbfs, &phase)
            .await?;
        phase.end();
    }
    Ok(())
}

async fn list_repos(ctx: &Context<'_>) -> Repos {
    match lifeboat_catalog::kind(git_folders::KIND).filter(|kind| ctx.selected.kind(kind.name)) {
        Some(kind) => Repos {
            kind: Some(kind),
            listed: objects::list(ctx, kind).await,
        },
        None => Repos {
            kind: None,
            listed: None,
        },
    }
}

/// Kinds that this module reads and that are asked for, in stage order, by path within a stage.
pub(crate) fn asked(ctx: &Context<'_>) -> Vec<&'static Kind> {
    let mut kinds: Vec<&'static Kind> = lifeboat_catalog::kinds()
        .iter()
        .copied()
        .filter(|kind| {
            kind.layout != Layout::Tree && kind.list.is_some() && kind.name != git_folders::KIND
        })
        .filter(|kind| ctx.selected.kind(kind.name))
        .collect();
    kinds.sort_by_key(|kind| (kind.stage, kind.name));
    kinds
}

async fn read_objects(
    ctx: &Context<'_>,
    acls: &UnboundedSender<AclRequest>,
) -> Result<Objects, Error> {
    let phase = ctx.phase("objects");
    let kinds = asked(ctx);
    let libraries = kinds
        .iter()
        .copied()
        .find(|kind| kind.name == clusters::LIBRARIES);
    let plain = kinds
        .iter()
        .copied()
        .filter(|kind| kind.name != clusters::LIBRARIES);
    let (listed_libraries, records) = tokio::join!(
        async {
            match libraries {
                Some(kind) => objects::list(ctx, kind).await,
                None => None,
            }
        },
        try_join_all(plain.map(|kind| {
            let phase = &phase;
            async move {
                match kind.name {
                    clusters::KIND => clusters::read_all(ctx, kind, acls, phase).await,
                    secrets::KIND => secrets::read_all(ctx, kind, acls, phase).await,
                    _ => objects::read_kind(ctx, kind, acls, phase).await,
                }
            }
        }))
    );
    let mut records = records?;
    if let Some(clusters) = records
        .iter_mut()
        .find(|records| records.kind.name == clusters::KIND)
    {
        let named = ctx.clusters_named();
        clusters::read_named_by_jobs(ctx, clusters, &named, acls).await?;
    }
    if let Some(kind) = libraries {
        let clusters = records
            .iter()
            .find(|records| records.kind.name == clusters::KIND);
        let known =
            clusters.filter(|_| ctx.ledger.listing_of(clusters::KIND) == Some(Listing::Listed));
        let libraries = clusters::keep_libraries(ctx, kind, listed_libraries, known, acls)?;
        records.push(libraries);
    }
    records.sort_by_key(|records| (records.kind.stage, records.kind.name));
    phase.end();
    Ok(records)
}

/// Writes the records of one kind.
pub(crate) async fn write<W: Write + Send + 'static>(
    ctx: &Context<'_>,
    records: &mut KindRecords,
    writer: &mut ArchiveWriter<W>,
) -> Result<(), Error> {
    let texts = std::mem::replace(&mut records.records, SortedSpill::new());
    let kind = records.kind;
    if kind.layout == Layout::Table {
        let lines = texts
            .sorted()
            .map(|line| line.map(|(_, text)| text).map_err(Error::temporary));
        return writer
            .table(TableWriter::new(&records::table(kind.name)), lines)
            .await;
    }
    let members = members(kind, texts.keys());
    let mut written = Vec::new();
    for text in texts.with_keys(members).sorted() {
        let (member, text) = text.map_err(Error::temporary)?;
        let token = u32::try_from(written.len()).ok();
        written.push((member.clone(), text.len() as u64));
        writer
            .add(
                member.into(),
                Content::Bytes(text.into_bytes()),
                token,
                None,
            )
            .await?;
    }
    for (token, stored) in writer.take_stored().await? {
        if let (Err(message), Some((member, bytes))) = (stored, written.get(token as usize)) {
            ctx.ledger.not_captured(kind.name, Source::Service, *bytes);
            ctx.ledger
                .gap(&line(kind.name, member, member, Fate::Failed, message));
        }
    }
    if kind.name == secrets::KIND {
        secret_values::write(ctx, writer).await?;
    }
    Ok(())
}

/// Member paths of the objects of a kind; two ids that differ in case only do not meet in one file.
fn members<'i>(kind: &Kind, ids: impl Iterator<Item = &'i str>) -> Vec<String> {
    let siblings: Vec<Sibling<'_>> = ids
        .map(|id| Sibling {
            name: id,
            extension: ".json",
            id,
        })
        .collect();
    let strip = |name: String| {
        name.strip_suffix(".json")
            .map(str::to_owned)
            .unwrap_or(name)
    };
    names::assign(&siblings)
        .into_iter()
        .map(|name| records::object_path(kind.name, &strip(name)))
        .collect()
}

/// Volatile fields of all kinds, by kind.
pub(crate) fn observed(
    objects: Objects,
    git_folders: Option<KindRecords>,
) -> Vec<(&'static str, SortedSpill)> {
    let mut observed: Vec<(&'static str, SortedSpill)> = objects
        .into_iter()
        .chain(git_folders)
        .filter(|records| !records.observed.is_empty())
        .map(|records| (records.kind.name, records.observed))
        .collect();
    observed.sort_by_key(|(kind, _)| *kind);
    observed
}
