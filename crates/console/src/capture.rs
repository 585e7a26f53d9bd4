//! What a console prints into memory, for tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// What a console made by [`Console::capture`] has printed.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    pub(crate) out: Arc<Mutex<Vec<u8>>>,
    pub(crate) err: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    /// Standard output so far; bytes that are not UTF-8 are replaced.
    pub fn out(&self) -> String {
        text_of(&self.out)
    }

    /// Standard error so far; bytes that are not UTF-8 are replaced.
    pub fn err(&self) -> String {
        text_of(&self.err)
    }
}

fn text_of(buffer: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&buffer.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// One of its two streams.
pub(crate) struct Shared(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
