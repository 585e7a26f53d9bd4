//! A whole run: the branches that read side by side, and the one that writes in the archive's order.
//!
//! Kinds, the tree, contents and access control are read at the same time, each within its own limit of the service.
//! Objects and replies wait outside memory, contents in a window of bytes, so the archive can be written in its fixed
//! order. Specified in `spec/export.md`, "Course of a run".

use std::io::Write;
use std::sync::Mutex;

use futures_util::stream;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_archive::{Header, Source};
use lifeboat_databricks::{Client, Identity};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::access_control::{self, AclRequest, Acls};
use crate::base::Base;
use crate::context::Context;
use crate::dbfs::{self, Dbfs};
use crate::error::{Error, Stop};
use crate::event::{Event, Observer};
use crate::git_folders;
use crate::kinds::{self, Objects};
use crate::objects::KindRecords;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::seal::{self, Sealing};
use crate::window::{WINDOW, Window};
use crate::workspace::again::Reading;
use crate::workspace::walk::{self, Outlets, lock};
use crate::workspace::{NodeId, Tree, again, confirm, contents, table};
use crate::writer::ArchiveWriter;

/// Contents that wait for the writer at most; the window bounds their bytes.
const CONTENTS: usize = 4096;
/// DBFS files that wait for the writer at most; large ones are files on the local disk.
const DBFS_FILES: usize = 64;
/// The share of the window that is for DBFS, whose contents are written after those of the tree.
pub(crate) const DBFS_WINDOW: u64 = 4 << 20;

/// What is known when a run begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct Begin<'a> {
    /// Id of the workspace, empty when the service did not name it.
    pub workspace_id: &'a str,
    /// Name of the archive, `<workspace id>-<UTC start>`.
    pub name: &'a str,
}

/// Writes the workspace into `sink` as one archive. The future is made for `block_on`; it need not be `Send`.
///
/// # Errors
/// The caller cannot be identified, the options cannot be used, the run was cancelled, the sink refused, or the service
/// was lost before anything was captured. A failing object or kind is not an error but a statement in the archive.
pub async fn run<W: Write + Send + 'static>(
    client: &Client,
    options: &Options,
    sink: W,
    observer: &dyn Observer,
) -> Result<(W, Outcome), Error> {
    run_into(client, options, async |_| Ok((sink, None)), observer).await
}

/// The same into a sink that `open` makes when it is told what is known by then, with the base if there is to be one.
///
/// # Errors
/// Those of [`run`], those of `open`, and a base of another workspace; nothing but the caller's identity was asked for
/// before.
pub async fn run_into<W: Write + Send + 'static, E: From<Error>>(
    client: &Client,
    options: &Options,
    open: impl AsyncFnOnce(&Begin<'_>) -> Result<(W, Option<Base>), E>,
    observer: &dyn Observer,
) -> Result<(W, Outcome), E> {
    let begin = async {
        let identity = identify(client, observer).await?;
        let workspace_id = identity.workspace_id.as_deref().unwrap_or_default();
        let name = run_name(workspace_id, options.started);
        let opened = open(&Begin {
            workspace_id,
            name: &name,
        })
        .await?;
        Ok::<_, E>((identity, opened))
    };
    let (identity, (sink, base)) = until_cancelled(options, 1, begin).await?;
    // On the heap: in a debug build the whole of it takes more than a thread's stack has to spare.
    let export = Box::pin(export(client, options, &identity, base, sink, observer));
    let run = async { Ok(export.await?) };
    let times = if options.keep_partial { 2 } else { 1 };
    until_cancelled(options, times, run).await
}

/// Runs until done or cancelled so many times; what was begun is dropped, and with it everything that is half-written.
pub(crate) async fn until_cancelled<T, E: From<Error>>(
    options: &Options,
    times: usize,
    run: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        () = options.cancel.raised(times) => Err(Error::Cancelled.into()),
        result = run => result,
    }
}

/// Asks who is calling, and warns when that caller cannot see everything.
pub(crate) async fn identify(client: &Client, observer: &dyn Observer) -> Result<Identity, Error> {
    let identity = client.identity().await.map_err(|source| Error::Identity {
        host: client.host().to_owned(),
        source: Box::new(source),
    })?;
    observer.event(Event::Connected {
        host: client.host(),
        workspace_id: identity.workspace_id.as_deref().unwrap_or_default(),
        user: &identity.user_name,
        admin: identity.is_admin,
    });
    if !identity.is_admin {
        let text = format!(
            "{} is not a workspace administrator: the service hides from it what it may not read, \
             so this archive cannot be relied on to hold the whole workspace",
            identity.user_name
        );
        observer.event(Event::Warning { text: &text });
    }
    Ok(identity)
}

async fn export<W: Write + Send + 'static>(
    client: &Client,
    options: &Options,
    identity: &Identity,
    base: Option<Base>,
    sink: W,
    observer: &dyn Observer,
) -> Result<(W, Outcome), Error> {
    let ctx = Context::new(client, options, base, observer)?;
    let header = header(&ctx, identity);
    let workspace_id = &header.source.workspace_id;
    tell_base(&ctx, workspace_id)?;
    let writer = lifeboat_archive::WriterOptions {
        bag: options
            .bag
            .clone()
            .unwrap_or_else(|| run_name(workspace_id, options.started)),
        level: options.level,
        threads: options.threads,
        spill_dir: None,
    };
    let mut writer = ArchiveWriter::start(sink, writer, header.clone())?;
    kinds::state_all(&ctx);
    access_control::state_rows(&ctx);
    let tree = Mutex::new(walk::start(&ctx));
    let acls = Acls::new();
    let (objects, git_folders) = tokio::select! {
        captured = capture(&ctx, &tree, &acls, &mut writer) => captured?,
        never = interrupted(&ctx), if options.keep_partial => match never {},
    };
    let sealing = Sealing {
        header,
        identity,
        tree,
        acls,
        observed: kinds::observed(objects, git_folders),
    };
    seal::seal(ctx, sealing, writer).await
}

/// Tells what is taken over from where. Only an archive of the same workspace can be a base: ids mean nothing elsewhere.
fn tell_base(ctx: &Context<'_>, workspace_id: &str) -> Result<(), Error> {
    let Some(base) = &ctx.base else { return Ok(()) };
    if base.workspace_id() != workspace_id {
        return Err(Error::BaseOfAnother {
            archive: base.name().to_owned(),
            found: base.workspace_id().to_owned(),
            expected: workspace_id.to_owned(),
        });
    }
    ctx.observer.event(Event::Base {
        archive: base.name(),
        started: base.started(),
        reusable: base.reusable(),
    });
    Ok(())
}

/// Ends the asking when the run is cancelled for the first time.
async fn interrupted(ctx: &Context<'_>) -> std::convert::Infallible {
    ctx.options.cancel.raised(1).await;
    ctx.gate.stop(Stop::Interrupted);
    std::future::pending().await
}

fn header(ctx: &Context<'_>, identity: &Identity) -> Header {
    let options = ctx.options;
    let host = ctx.gate.client.host();
    let source = Source {
        host: host
            .split_once("://")
            .map_or(host, |(_, name)| name)
            .to_owned(),
        workspace_id: identity.workspace_id.clone().unwrap_or_default(),
        cloud: ctx.gate.client.cloud().to_owned(),
    };
    let asked = json!({
        "include": options.selection.include,
        "exclude": options.selection.exclude,
        "kinds": options.selection.kinds,
        "users": options.selection.users,
        "notebook-format": options.notebook_format.name(),
        "max-file": options.max_file,
        "dbfs": options.dbfs,
        "git-folder-files": options.git_folder_files,
        "reread": options.reread,
        "acls": options.acls.name(),
        "secret-values": options.secret_values,
    });
    let tool = concat!("lifeboat-export ", env!("CARGO_PKG_VERSION")).to_owned();
    Header::new(tool, source, options.started, ctx.scope(), asked)
}

/// Reads everything and writes the payload but for the access control.
async fn capture<W: Write + Send + 'static>(
    ctx: &Context<'_>,
    tree: &Mutex<Tree>,
    acls: &Acls,
    writer: &mut ArchiveWriter<W>,
) -> Result<(Vec<KindRecords>, Option<KindRecords>), Error> {
    let (to_contents, wanted) = mpsc::unbounded_channel();
    let (to_acls, acl_requests) = mpsc::unbounded_channel();
    let (to_writer, fetched) = mpsc::channel(CONTENTS);
    let (to_dbfs, dbfs_fetched) = mpsc::channel(DBFS_FILES);
    let (objects_done, objects) = oneshot::channel();
    let (repos_done, repos) = oneshot::channel();
    let (git_done, git_folders) = oneshot::channel();
    let (walk_done, walked) = oneshot::channel();
    let dbfs = Dbfs::default();

    let read_kinds = {
        let (acls, dbfs) = (to_acls.clone(), &dbfs);
        async move { kinds::read_all(ctx, &acls, objects_done, repos_done, dbfs, to_dbfs).await }
    };
    let walk_tree = {
        let acls = to_acls.clone();
        async move {
            if walk::is_asked(ctx) {
                let phase = ctx.phase("tree");
                let contents = walk::walk(
                    ctx,
                    tree,
                    &Outlets {
                        contents: &to_contents,
                        acls: &acls,
                    },
                    &phase,
                )
                .await;
                phase.end();
                ctx.walked.get_or_init(|| contents);
                // Nobody listens in a run that failed.
                let _ = walk_done.send(contents);
            }
            Ok(())
        }
    };
    let read_contents = async move {
        let reader = Reader {
            ctx,
            tree,
            acls: to_acls,
            out: to_writer,
        };
        let records = reader.read(wanted, walked, repos).await?;
        drop(git_done.send(records));
        Ok(())
    };
    let read_acls = async {
        let phase = ctx.phase("access-control");
        acls.read_all(ctx, tree, acl_requests, &phase).await?;
        phase.end();
        Ok(())
    };
    let write = Payload {
        ctx,
        tree,
        dbfs: &dbfs,
        writer,
    }
    .write(objects, fetched, git_folders, dbfs_fetched);
    let ((), (), (), (), written) =
        tokio::try_join!(read_kinds, walk_tree, read_contents, read_acls, write)?;
    Ok(written)
}

/// The branch that reads contents: of the first listing, then of what the second one shows.
struct Reader<'a, 'c> {
    ctx: &'a Context<'c>,
    tree: &'a Mutex<Tree>,
    acls: mpsc::UnboundedSender<AclRequest>,
    out: mpsc::Sender<contents::Fetched>,
}

impl Reader<'_, '_> {
    async fn read(
        self,
        wanted: mpsc::UnboundedReceiver<NodeId>,
        walked: oneshot::Receiver<usize>,
        repos: oneshot::Receiver<kinds::Repos>,
    ) -> Result<Option<KindRecords>, Error> {
        let (ctx, tree) = (self.ctx, self.tree);
        let window = Window::new(WINDOW - DBFS_WINDOW);
        let phase = ctx.phase("contents");
        let first = stream::unfold(wanted, |mut wanted| async {
            wanted.recv().await.map(|id| (id, wanted))
        });
        let (to_done, done) = mpsc::unbounded_channel();
        let ((), again) = tokio::try_join!(
            contents::fetch_all(ctx, tree, &window, first, &self.out, Some(to_done), &phase),
            async {
                if !walk::is_asked(ctx) {
                    return Ok(None);
                }
                let reading = Reading::new(walked, done);
                Ok(Some(
                    again::list_again(ctx, tree, &self.acls, reading).await,
                ))
            }
        )?;
        if let Some(again) = again {
            phase.expect(again.wanted.len() as u64);
            contents::fetch_all(
                ctx,
                tree,
                &window,
                stream::iter(again.wanted.clone()),
                &self.out,
                None,
                &phase,
            )
            .await?;
            confirm::confirm(ctx, tree, &again).await;
            again::settle_missing(ctx, tree, &again).await;
        }
        phase.end();
        // The listing of git folders ends with the other kinds, whose branch fails as a whole or not at all.
        match repos.await {
            Ok(repos) => match repos.kind {
                Some(kind) => git_folders::read_all(ctx, kind, repos.listed, tree, &self.acls)
                    .await
                    .map(Some),
                None => Ok(None),
            },
            Err(_) => Ok(None),
        }
    }
}

/// The branch that writes the payload in its order.
struct Payload<'a, 'c, W: Write> {
    ctx: &'a Context<'c>,
    tree: &'a Mutex<Tree>,
    dbfs: &'a Dbfs,
    writer: &'a mut ArchiveWriter<W>,
}

impl<W: Write + Send + 'static> Payload<'_, '_, W> {
    async fn write(
        self,
        objects: oneshot::Receiver<Objects>,
        mut fetched: mpsc::Receiver<contents::Fetched>,
        git_folders: oneshot::Receiver<Option<KindRecords>>,
        mut dbfs_fetched: mpsc::Receiver<dbfs::Fetched>,
    ) -> Result<(Vec<KindRecords>, Option<KindRecords>), Error> {
        let early = || Error::Writer {
            what: "a branch of the run ended early".to_owned(),
        };
        let mut objects = objects.await.map_err(|_| early())?;
        for records in &mut objects {
            kinds::write(self.ctx, records, self.writer).await?;
        }
        while let Some(one) = fetched.recv().await {
            self.writer
                .add(one.member, one.content, Some(one.node), Some(one.share))
                .await?;
        }
        let stored = self.writer.take_stored().await?;
        let mut git_folders = git_folders.await.map_err(|_| early())?;
        if let Some(records) = &mut git_folders {
            kinds::write(self.ctx, records, self.writer).await?;
        }
        let lines: Vec<_> = {
            let mut tree = lock(self.tree);
            if let Some(error) = tree.take_broken() {
                return Err(Error::temporary(error));
            }
            table::settle_unread(self.ctx, &mut tree);
            let refused = table::take_stored(&mut tree, stored);
            table::settle(self.ctx, &mut tree, &refused);
            table::order(&tree)
        };
        let lines = lines
            .into_iter()
            .map(|(path, id)| table::record(&mut lock(self.tree), path, id));
        let workspace =
            lifeboat_archive::TableWriter::new(lifeboat_catalog::records::WORKSPACE_TABLE);
        self.writer.table(workspace, lines).await?;
        while let Some(one) = dbfs_fetched.recv().await {
            self.writer
                .add(one.member, one.content, Some(one.token), Some(one.share))
                .await?;
        }
        self.dbfs
            .take_stored(self.ctx, self.writer.take_stored().await?);
        let table = lifeboat_archive::TableWriter::new(lifeboat_catalog::records::DBFS_TABLE);
        self.writer.table(table, self.dbfs.lines()).await?;
        Ok((objects, git_folders))
    }
}

/// `<workspace id>-<UTC start, 20261122T010000Z>`: name of the archive and of its top folder.
fn run_name(workspace_id: &str, started: Timestamp) -> String {
    let id = if workspace_id.is_empty() {
        "workspace"
    } else {
        workspace_id
    };
    format!(
        "{id}-{}",
        started.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ")
    )
}

/// Now, or the start of the run where bytes must not differ from night to night.
pub(crate) fn now(options: &Options) -> Timestamp {
    if options.reproducible {
        options.started
    } else {
        Timestamp::now()
    }
}
