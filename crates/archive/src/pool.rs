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
        Self::start(sink, threads, || {
            let mut encoder = Encoder::new(level)?;
            Ok(move |raw: &[u8], kind| encoder.encode(raw, kind))
        })
    }

    /// [`Self::new`] with a compressor of its own for each worker.
    fn start<C>(
        sink: W,
        threads: usize,
        compressor: impl Fn() -> io::Result<C>,
    ) -> Result<Self, WriteError>
    where
        C: FnMut(&[u8], Kind) -> io::Result<Vec<u8>> + Send + 'static,
    {
        let threads = threads.max(1);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let mut compress =
                compressor().map_err(|source| WriteError::Compress { frame: 0, source })?;
            std::thread::Builder::new()
                .name("lifeboat-zstd".to_owned())
                .spawn(move || work(&queue, &mut compress))
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

fn work(
    queue: &Mutex<Receiver<Job>>,
    compress: &mut impl FnMut(&[u8], Kind) -> io::Result<Vec<u8>>,
) {
    loop {
        // The lock is held only until a job arrives, and falls before the work begins.
        let job = lock(queue).recv();
        let Ok(Job { raw, kind, reply }) = job else {
            return;
        };
        let stored = compress(&raw, kind);
        if reply.send(Done { raw, stored }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What `step` gives, unless it hangs.
    fn in_time<T: Send + 'static>(step: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        std::thread::spawn(move || done.send(step()));
        result
            .recv_timeout(Duration::from_secs(60))
            .expect("the writer hangs")
    }

    /// Hands over 20 frames to workers that make `raw[0]` of it, and ends the file.
    fn write_with(
        threads: usize,
        compress: fn(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<(Vec<u8>, u64, Digest), WriteError> {
        in_time(move || {
            let mut frames = FrameSink::start(Vec::new(), threads, || {
                Ok(move |raw: &[u8], _| compress(raw))
            })?;
            for number in 0..20 {
                frames.submit(vec![number], Kind::Ordinary)?;
            }
            frames.finish()
        })
    }

    #[test]
    fn frames_stay_in_order_whatever_the_number_of_threads() {
        for threads in [0, 1, 3, 40] {
            let (file, ..) = write_with(threads, |raw| Ok(raw.to_vec())).unwrap();
            assert!(file[..20].iter().copied().eq(0..20), "{threads} threads");
        }
    }

    #[test]
    fn a_thread_that_panics_is_an_error_and_no_hang() {
        for threads in [1, 2, 5] {
            for compress in [
                (|_| panic!("on purpose")) as fn(&[u8]) -> io::Result<Vec<u8>>,
                |raw| match raw[0] {
                    7 => panic!("on purpose"),
                    _ => Ok(raw.to_vec()),
                },
                |raw| match raw[0] {
                    19 => panic!("on purpose"),
                    _ => Ok(raw.to_vec()),
                },
            ] {
                let error = write_with(threads, compress).unwrap_err();
                assert!(
                    matches!(error, WriteError::Compress { .. }),
                    "{threads} threads: {error:?}"
                );
            }
        }
    }

    #[test]
    fn a_frame_that_cannot_be_compressed_is_named() {
        let compress: fn(&[u8]) -> io::Result<Vec<u8>> = |raw| match raw[0] {
            7 => Err(io::ErrorKind::OutOfMemory.into()),
            _ => Ok(raw.to_vec()),
        };
        for threads in [1, 3] {
            let error = write_with(threads, compress).unwrap_err();
            assert!(
                matches!(error, WriteError::Compress { frame: 7, .. }),
                "{error:?}"
            );
        }
    }
}
