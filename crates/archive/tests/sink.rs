//! A sink that fails gives an error, wherever it fails, and never something that looks finished.

#![allow(clippy::unwrap_used, reason = "a failure in a helper is a failed test")]

mod common;

use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

use common::*;
use lifeboat_archive::*;

/// How the sink fails once it is full.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Refuses, as a full disk does.
    Full,
    /// Takes no byte and says no reason.
    Zero,
}

/// Takes `room` bytes, at most 1,000 at a time.
struct Sink {
    room: usize,
    failure: Failure,
    flush: bool,
    taken: Vec<u8>,
}

impl Sink {
    fn new(room: usize, failure: Failure) -> Self {
        Self {
            room,
            failure,
            flush: true,
            taken: Vec::new(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room - self.taken.len()).min(1_000);
        self.taken.extend_from_slice(&bytes[..count]);
        match (count, self.failure) {
            (0, Failure::Full) => Err(ErrorKind::StorageFull.into()),
            (count, _) => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.flush {
            true => Ok(()),
            false => Err(ErrorKind::Other.into()),
        }
    }
}

/// Writes an archive of three members of `size` bytes, up to the first error. Behind that the writer takes nothing
/// more.
fn write(sink: Sink, threads: usize, size: usize) -> Result<(Sink, Sealed), WriteError> {
    let mut writer = Writer::create(sink, options(threads), &header())?;
    let mut first = None;
    for number in 0..3 {
        let path = format!("data/{number}");
        let result = writer.add(&path, Content::Bytes(vec![number; size]));
        match (&first, result) {
            (None, Ok(_)) => {}
            (None, Err(error)) => first = Some(error),
            (Some(_), again) => assert!(matches!(again, Err(WriteError::Broken)), "{again:?}"),
        }
    }
    let tag = writer.add_tag("run.json", Content::Bytes(b"{}".to_vec()));
    let finished = writer.finish(&summary(), FINISHED.parse().unwrap());
    match first {
        Some(error) => {
            assert!(matches!(tag, Err(WriteError::Broken)), "{tag:?}");
            assert!(matches!(finished, Err(WriteError::Broken)));
            Err(error)
        }
        None => tag.and(finished),
    }
}

/// Runs `test` to its end, and fails when that does not come.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, result) = channel();
    let test = std::thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    if result.recv_timeout(Duration::from_secs(300))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    {
        panic!("the writer hangs");
    }
    test.join().unwrap();
}

/// Lets the sink fail after every `step`th number of bytes.
fn fail_everywhere(size: usize, step: usize) {
    let (whole, sealed) = write(Sink::new(usize::MAX, Failure::Full), 1, size).unwrap();
    assert_eq!(whole.taken.len() as u64, sealed.size);
    assert!(verify(&whole.taken).is_intact());
    for room in (0..whole.taken.len()).step_by(step) {
        let (threads, failure, kind) = match room % 3 {
            0 => (2, Failure::Zero, ErrorKind::WriteZero),
            _ => (1, Failure::Full, ErrorKind::StorageFull),
        };
        match write(Sink::new(room, failure), threads, size) {
            Err(WriteError::Sink { offset, source }) => {
                assert!(offset <= room as u64, "room {room}, offset {offset}");
                assert_eq!(source.kind(), kind);
            }
            Err(error) => panic!("room {room}: {error:?}"),
            Ok(_) => panic!("room {room}: an archive without an end"),
        }
    }
    let room = whole.taken.len();
    let (exact, _) = write(Sink::new(room, Failure::Full), 2, size).unwrap();
    assert_eq!(exact.taken, whole.taken);
}

#[test]
fn a_sink_that_fails_anywhere_is_an_error() {
    in_time(|| fail_everywhere(100, 1));
}

/// Members that fill a frame each: frames are written while members are still added.
#[test]
fn a_sink_that_fails_on_the_way_is_an_error() {
    in_time(|| fail_everywhere(1_100_000, 97));
}

#[test]
fn a_sink_that_cannot_be_flushed_is_an_error() {
    let sink = Sink {
        flush: false,
        ..Sink::new(usize::MAX, Failure::Full)
    };
    assert!(matches!(write(sink, 1, 100), Err(WriteError::Sink { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    // The device that stands for one.
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return;
    };
    let result = Writer::create(full, options(2), &header())
        .and_then(|writer| writer.finish(&summary(), FINISHED.parse().unwrap()));
    match result {
        Err(WriteError::Sink { offset: 0, source }) => {
            assert_eq!(source.kind(), ErrorKind::StorageFull);
        }
        other => panic!("{:?}", other.map(|(_, sealed)| sealed)),
    }
}
