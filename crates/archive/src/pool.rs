//! Frames on their way to the sink: compressed on worker threads, written in order, counted and hashed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use crate::digest::{Digest, Hasher};
use crate::error::WriteError;
use crate::frame::{Encoder, Kind};
use crate::seek::{Builder, MAX_FRAMES};
use crate::source::lock;

/// A frame to compress and where its result goes.
struct Job {
    raw: Vec<u8>,
    kind: Kind,
    reply: SyncSender<Done>,
}

/// A frame compressed, and the buffer that it came from.
struct Done {
    raw: Vec<u8>,
    stored: io::Result<Vec<u8>>,
}

/// Writes frames to a sink. At most `threads + 2` frames are held.
pub(crate) struct FrameSink<W: Write> {
    sink: W,
    jobs: Sender<Job>,
    in_flight: VecDeque<Receiver<Done>>,
    most_in_flight: usize,
    spare: Vec<Vec<u8>>,
    table: Builder,
    frames: u64,
    written: u64,
    hasher: Hasher,
}

impl<W: Write> FrameSink<W> {
    /// Starts the workers; they end when the sink is dropped.
    pub(crate) fn new(sink: W, level: i32, threads: usize) -> Result<Self, WriteError> {
        let threads = threads.max(1);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let mut encoder =
                Encoder::new(level).map_err(|source| WriteError::Compress { frame: 0, source })?;
            std::thread::Builder::new()
                .name("lifeboat-zstd".to_owned())
                .spawn(move || work(&queue, &mut encoder))
                .map_err(|source| WriteError::Compress { frame: 0, source })?;
        }
        Ok(Self {
            sink,
            jobs,
            in_flight: VecDeque::new(),
            most_in_flight: threads + 2,
            spare: Vec::new(),
            table: Builder::default(),
            frames: 0,
            written: 0,
            hasher: Hasher::new(),
        })
    }

    /// Hands over one frame, uncompressed, and gives back an empty buffer.
    pub(crate) fn submit(&mut self, raw: Vec<u8>, kind: Kind) -> Result<Vec<u8>, WriteError> {
        while self.in_flight.len() >= self.most_in_flight {
            self.write_next()?;
        }
        let (reply, result) = sync_channel(1);
        self.jobs
            .send(Job { raw, kind, reply })
            .map_err(|_| self.lost())?;
        self.in_flight.push_back(result);
        Ok(self.spare.pop().unwrap_or_default())
    }

    /// Writes everything that was handed over; gives the length and digest of the file so far.
    pub(crate) fn drain(&mut self) -> Result<(u64, Digest), WriteError> {
        while !self.in_flight.is_empty() {
            self.write_next()?;
        }
        Ok((self.written, self.hasher.clone().finish()))
    }

    /// Writes the seek table and gives back the sink with the length and digest of the file.
    pub(crate) fn finish(mut self) -> Result<(W, u64, Digest), WriteError> {
        self.drain()?;
        let table = std::mem::take(&mut self.table).into_bytes();
        self.write(&table)?;
        self.sink.flush().map_err(|source| WriteError::Sink {
            offset: self.written,
            source,
        })?;
        Ok((self.sink, self.written, self.hasher.finish()))
    }

    fn lost(&self) -> WriteError {
        WriteError::Compress {
            frame: self.frames,
            source: io::Error::other("the compressing thread is gone"),
        }
    }

    fn write_next(&mut self) -> Result<(), WriteError> {
        let Some(result) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let Done { mut raw, stored } = result.recv().map_err(|_| self.lost())?;
        let stored = stored.map_err(|source| WriteError::Compress {
            frame: self.frames,
            source,
        })?;
        if !self.table.add(stored.len(), raw.len()) {
            return Err(WriteError::Limit {
                what: "frames",
                limit: MAX_FRAMES,
            });
        }
        self.frames += 1;
        self.write(&stored)?;
        raw.clear();
        self.spare.push(raw);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.sink
            .write_all(bytes)
            .map_err(|source| WriteError::Sink {
                offset: self.written,
                source,
            })?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Job>>, encoder: &mut Encoder) {
    loop {
        // The lock is held only until a job arrives, and falls before the work begins.
        let job = lock(queue).recv();
        let Ok(Job { raw, kind, reply }) = job else {
            return;
        };
        let stored = encoder.encode(&raw, kind);
        if reply.send(Done { raw, stored }).is_err() {
            return;
        }
    }
}
