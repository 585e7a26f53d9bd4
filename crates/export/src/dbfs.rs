//! DBFS files: legacy init scripts, files that objects name, and what the operator asks for.
//!
//! Owns the inventory, the reading in pieces between two looks at a file's size and time, and the records. Mounts and the
//! service's own folders are never read. Specified in `spec/export.md`, "DBFS".

mod inventory;
mod read;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::{Content, Digest, Fate, Stored};
use lifeboat_catalog::records::{ContentRef, DbfsLine};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::context::{Context, Named, Phase};
use crate::error::Error;
use crate::ledger::Source;
use crate::objects::serialise;
use crate::window::{Share, Window};

pub(crate) use inventory::{plain_path, status};

/// Name of the kind.
pub(crate) const KIND: &str = "dbfs";
/// Files read at a time: the service's limit of calls is reached with few.
const FILES: usize = 8;

/// A content on its way to the archive.
pub(crate) struct Fetched {
    pub(crate) token: u32,
    pub(crate) member: String,
    pub(crate) content: Content,
    pub(crate) share: Share,
}

/// What is in the archive.
#[derive(Default)]
pub(crate) struct Dbfs {
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    path: String,
    is_dir: bool,
    facts: Value,
    size: u64,
    member: Option<String>,
    stored: Option<Stored>,
    source: Source,
    /// Digest of the same content in the base, where this reading is to be compared with it.
    expected: Option<Digest>,
}

impl Dbfs {
    /// Lists and reads everything; contents go out in the order of their member paths.
    pub(crate) async fn read_all(
        &self,
        ctx: &Context<'_>,
        named: &Named,
        window: &Window,
        out: &mpsc::Sender<Fetched>,
        phase: &Phase<'_>,
    ) -> Result<(), Error> {
        let inventory = inventory::list(ctx, named).await;
        phase.expect(inventory.files.len() as u64);
        for (path, facts) in inventory.folders {
            ctx.ledger.stored(KIND, 0);
            self.push(Entry {
                path,
                is_dir: true,
                facts,
                size: 0,
                member: None,
                stored: None,
                source: Source::Service,
                expected: None,
            });
        }
        let contents = stream::iter(inventory.files)
            .then(|file| async move {
                let share = window.share(file.size.min(read::RESERVE)).await;
                (file, share)
            })
            .map(|(file, share)| async move {
                let content = read::file(ctx, &file).await;
                (file, share, content)
            })
            .buffered(FILES);
        let mut contents = std::pin::pin!(contents);
        while let Some((file, mut share, content)) = contents.next().await {
            match content {
                Ok(read) => {
                    phase.step(read.size);
                    share.shrink(if matches!(read.content, Content::Bytes(_)) {
                        read.size
                    } else {
                        read.size / 16
                    });
                    ctx.ledger.captured(KIND, read.source, read.size);
                    let member = Some(file.member.clone());
                    let entry = Entry {
                        path: file.path,
                        is_dir: false,
                        facts: read.facts,
                        size: read.size,
                        member,
                        stored: None,
                        source: read.source,
                        expected: read.expected,
                    };
                    let token = self.push(entry);
                    let fetched = Fetched {
                        token,
                        member: file.member,
                        content: read.content,
                        share,
                    };
                    if out.send(fetched).await.is_err() {
                        return Err(Error::Writer {
                            what: "it takes no more contents".to_owned(),
                        });
                    }
                }
                Err(read::Trouble::Local(error)) => return Err(error),
                Err(read::Trouble::Gap(mut line)) => {
                    phase.step(0);
                    inventory::name_referrers(&mut line, named);
                    ctx.ledger.gap(&line);
                }
            }
        }
        ctx.gate.touch(KIND);
        Ok(())
    }

    /// Notes sizes and digests that the writer told, and what it refused.
    pub(crate) fn take_stored(
        &self,
        ctx: &Context<'_>,
        stored: Vec<(u32, Result<Stored, String>)>,
    ) {
        let mut by_token: BTreeMap<u32, Result<Stored, String>> = stored.into_iter().collect();
        let mut token = 0;
        self.lock().retain_mut(|entry| {
            let told = by_token.remove(&token);
            token += 1;
            match told {
                Some(Err(message)) => {
                    ctx.ledger.not_captured(KIND, entry.source, entry.size);
                    ctx.ledger.gap(&gap(&entry.path, Fate::Failed, message));
                    return false;
                }
                Some(Ok(stored)) => {
                    if let Some(expected) = entry.expected {
                        let same = expected == stored.sha256;
                        ctx.sample.read(KIND, &entry.path, &entry.path, same);
                    }
                    entry.stored = Some(stored);
                }
                None => {}
            }
            true
        });
    }

    /// The lines of the table `data/dbfs`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Result<String, Error>> + use<> {
        let mut entries = std::mem::take(&mut *self.lock());
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.into_iter().map(|entry| {
            let content = entry
                .member
                .zip(entry.stored)
                .map(|(path, stored)| ContentRef {
                    path,
                    size: stored.size,
                    sha256: stored.sha256.to_string(),
                    format: "RAW".to_owned(),
                    file_type: None,
                });
            let line = DbfsLine {
                path: entry.path,
                is_dir: entry.is_dir,
                facts: entry.facts,
                content,
            };
            serialise("a record of DBFS", &line)
        })
    }

    fn push(&self, entry: Entry) -> u32 {
        let mut entries = self.lock();
        entries.push(entry);
        u32::try_from(entries.len() - 1).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the ledger without a call.
fn gap(path: &str, fate: Fate, message: impl Into<String>) -> lifeboat_archive::LedgerLine {
    crate::ledger::line(KIND, path, path, fate, message)
}
