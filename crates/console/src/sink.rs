//! A stream that may be closed by its reader. A closed one swallows what follows; any other failure is remembered, so
//! that a full disk behind a redirection does not pass for success.

use std::io::{self, Write};

pub(crate) struct Sink {
    to: Box<dyn Write + Send>,
    closed: bool,
    failure: Option<io::Error>,
}

impl Sink {
    pub(crate) fn new(to: Box<dyn Write + Send>) -> Self {
        Self {
            to,
            closed: false,
            failure: None,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if !self.is_done() {
            let result = self.to.write_all(bytes);
            self.note(result);
        }
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.write(b"\n");
    }

    pub(crate) fn flush(&mut self) {
        if !self.is_done() {
            let result = self.to.flush();
            self.note(result);
        }
    }

    /// The reader has gone away: nobody reads what would follow.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The first failure other than a closed reader; asked for once.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn is_done(&self) -> bool {
        self.closed || self.failure.is_some()
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => self.failure = Some(error),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_closed_reader_is_quiet_and_a_full_disk_is_not() {
        let mut sink = Sink::new(Box::new(Failing(io::ErrorKind::BrokenPipe)));
        sink.line("x");
        assert!(sink.is_closed());
        assert!(sink.take_failure().is_none());

        let mut sink = Sink::new(Box::new(Failing(io::ErrorKind::StorageFull)));
        sink.line("x");
        assert!(!sink.is_closed());
        assert_eq!(
            sink.take_failure().map(|error| error.kind()),
            Some(io::ErrorKind::StorageFull)
        );
    }
}
