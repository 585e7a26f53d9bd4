//! The thread that writes the archive.
//!
//! Compression and digests are work for a processor and must not hold up calls, so the synchronous writer has a thread of
//! its own, fed through a short queue: when it falls behind, fetching waits.

use std::io::Write;
use std::thread;

use jiff::Timestamp;
use lifeboat_archive::{
    Content, Header, Sealed, Stored, Summary, TableWriter, WriteError, Writer, WriterOptions,
};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::window::Share;

/// Members that wait in the queue at most.
const QUEUE: usize = 32;
/// Bytes of table lines that go through the queue together.
const BATCH: usize = 32 * 1024;

type Job<W> = Box<dyn FnOnce(&mut Desk<W>) -> Result<(), WriteError> + Send>;

enum Order<W: Write> {
    Do(Job<W>),
    Finish(Box<Summary>, Timestamp),
}

/// What the thread works on.
struct Desk<W: Write> {
    writer: Writer<W>,
    table: Option<TableWriter>,
    stored: Vec<(u32, Result<Stored, String>)>,
}

/// The other end of the queue.
pub(crate) struct ArchiveWriter<W: Write> {
    orders: mpsc::Sender<Order<W>>,
    end: oneshot::Receiver<Result<Option<(W, Sealed)>, WriteError>>,
}

impl<W: Write + Send + 'static> ArchiveWriter<W> {
    /// Starts the thread and the archive.
    pub(crate) fn start(sink: W, options: WriterOptions, header: Header) -> Result<Self, Error> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let (report, end) = oneshot::channel();
        thread::Builder::new()
            .name("archive-writer".to_owned())
            .spawn(move || {
                // Nobody listens any more when the run was cancelled.
                drop(report.send(work(sink, options, &header, queue)));
            })
            .map_err(|error| Error::Writer {
                what: error.to_string(),
            })?;
        Ok(Self { orders, end })
    }

    /// Writes a member of the payload; its size and digest are kept under `token`, or why the archive cannot have a member
    /// of that name. The share of the window is given back when the member is written.
    pub(crate) async fn add(
        &mut self,
        path: String,
        content: Content,
        token: Option<u32>,
        share: Option<Share>,
    ) -> Result<(), Error> {
        self.order(Box::new(move |desk| {
            let stored = desk.writer.add(&path, content);
            drop(share);
            match (stored, token) {
                (Ok(stored), Some(token)) => desk.stored.push((token, Ok(stored))),
                // One name that the format does not allow is one object's misfortune.
                (Err(error), Some(token)) if is_of_name(&error) => {
                    let message = format!("the archive cannot have a member of that name: {error}");
                    desk.stored.push((token, Err(message)));
                }
                (result, _) => drop(result?),
            }
            Ok(())
        }))
        .await
    }

    /// Writes a tag file.
    pub(crate) async fn add_tag(&mut self, path: String, content: Content) -> Result<(), Error> {
        self.order(Box::new(move |desk| {
            desk.writer.add_tag(&path, content).map(drop)
        }))
        .await
    }

    /// Writes a table of the payload, or of the tag files; nothing for a table without lines.
    pub(crate) async fn table(
        &mut self,
        table: TableWriter,
        lines: impl Iterator<Item = Result<String, Error>>,
    ) -> Result<(), Error> {
        self.order(Box::new(move |desk| {
            desk.table = Some(table);
            Ok(())
        }))
        .await?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        for line in lines {
            let line = line?;
            bytes += line.len();
            batch.push(line);
            if bytes >= BATCH {
                bytes = 0;
                self.order(push_lines(std::mem::take(&mut batch))).await?;
            }
        }
        self.order(push_lines(batch)).await?;
        self.order(Box::new(|desk| match desk.table.take() {
            Some(table) => table.finish(&mut desk.writer).map(drop),
            None => Ok(()),
        }))
        .await
    }

    /// Sizes and digests of all members with a token since the last time.
    pub(crate) async fn take_stored(
        &mut self,
    ) -> Result<Vec<(u32, Result<Stored, String>)>, Error> {
        let (answer, answered) = oneshot::channel();
        self.order(Box::new(move |desk| {
            drop(answer.send(std::mem::take(&mut desk.stored)));
            Ok(())
        }))
        .await?;
        match answered.await {
            Ok(stored) => Ok(stored),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Seals the archive.
    pub(crate) async fn finish(
        mut self,
        summary: Summary,
        finished: Timestamp,
    ) -> Result<(W, Sealed), Error> {
        if self
            .orders
            .send(Order::Finish(Box::new(summary), finished))
            .await
            .is_err()
        {
            return Err(self.failure().await);
        }
        match self.end.await {
            Ok(Ok(Some(sealed))) => Ok(sealed),
            Ok(Ok(None)) => Err(Error::Writer {
                what: "without sealing".to_owned(),
            }),
            Ok(Err(error)) => Err(Error::Write(error)),
            Err(_) => Err(panicked()),
        }
    }

    async fn order(&mut self, job: Job<W>) -> Result<(), Error> {
        if self.orders.send(Order::Do(job)).await.is_err() {
            return Err(self.failure().await);
        }
        Ok(())
    }

    /// Why the thread takes no more orders.
    async fn failure(&mut self) -> Error {
        match (&mut self.end).await {
            Ok(Err(error)) => Error::Write(error),
            Ok(Ok(_)) => Error::Writer {
                what: "before its orders were done".to_owned(),
            },
            Err(_) => panicked(),
        }
    }
}

fn is_of_name(error: &WriteError) -> bool {
    matches!(
        error,
        WriteError::Name { .. } | WriteError::Duplicate { .. } | WriteError::FileAndFolder { .. }
    )
}

fn panicked() -> Error {
    Error::Writer {
        what: "it panicked".to_owned(),
    }
}

fn push_lines<W: Write>(lines: Vec<String>) -> Job<W> {
    Box::new(move |desk| {
        if let Some(table) = &mut desk.table {
            for line in &lines {
                table.push(&mut desk.writer, line)?;
            }
        }
        Ok(())
    })
}

fn work<W: Write>(
    sink: W,
    options: WriterOptions,
    header: &Header,
    mut queue: mpsc::Receiver<Order<W>>,
) -> Result<Option<(W, Sealed)>, WriteError> {
    let writer = Writer::create(sink, options, header)?;
    let mut desk = Desk {
        writer,
        table: None,
        stored: Vec::new(),
    };
    while let Some(order) = queue.blocking_recv() {
        match order {
            Order::Do(job) => job(&mut desk)?,
            Order::Finish(summary, finished) => {
                return desk.writer.finish(&summary, finished).map(Some);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_taken_costs_its_object_only() {
        let started: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        let source = lifeboat_archive::Source {
            host: "host".to_owned(),
            workspace_id: "1".to_owned(),
            cloud: "azure".to_owned(),
        };
        let scope = lifeboat_archive::Scope::Workspace;
        let header = Header::new(
            "test".to_owned(),
            source,
            started,
            scope,
            serde_json::json!({}),
        );
        let options = WriterOptions {
            bag: "bag".to_owned(),
            level: 1,
            threads: 1,
            spill_dir: None,
        };
        let mut writer = ArchiveWriter::start(Vec::new(), options, header).unwrap();
        let paths = ["data/a", "data/a", "data/a/b", "data/x?", "data/z"];
        for (token, path) in (0..).zip(paths) {
            let content = Content::Bytes(b"text".to_vec());
            let added = writer
                .add(path.to_owned(), content, Some(token), None)
                .await;
            added.unwrap();
        }
        let stored = writer.take_stored().await.unwrap();
        let taken: Vec<bool> = stored.iter().map(|(_, result)| result.is_ok()).collect();
        assert_eq!(taken, [true, false, false, false, true], "{stored:?}");
        let summary = Summary {
            scope,
            inventory: lifeboat_archive::Inventory::Complete,
            kinds: std::collections::BTreeMap::new(),
        };
        let (_, sealed) = writer.finish(summary, started).await.unwrap();
        assert_eq!(sealed.payload_members, 2);
    }
}
