//! Asking a run to stop: from then on no call is begun, those that write are finished and journaled, those that read are
//! dropped (`spec/import.md`, "Interruption").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::Error;

/// A request to stop, shared between a run and whoever may ask it. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Until when calls under way are waited for, once it was asked.
    until: Arc<watch::Sender<Option<Instant>>>,
    begun: Arc<AtomicBool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            until: Arc::new(watch::Sender::new(None)),
            begun: Arc::default(),
        }
    }
}

impl Stop {
    /// Asks for it. Calls that write and are under way have `grace` to be answered. The first request counts.
    pub fn request(&self, grace: Duration) {
        self.until.send_if_modified(|until| {
            let first = until.is_none();
            until.get_or_insert(Instant::now() + grace);
            first
        });
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.until.borrow().is_some()
    }

    /// Whether the run has come to its writes, so that there may be calls to wait for and results to tell.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// The run comes to its writes.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Waits until it is asked for; gives the end of the grace.
    pub(crate) async fn requested(&self) -> Instant {
        let mut until = self.until.subscribe();
        loop {
            let known = *until.borrow_and_update();
            if let Some(until) = known {
                return until;
            }
            // It fails when nobody can ask any more, which this very value rules out.
            if until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Does work that writes nothing, unless it is asked to stop: then the work is dropped.
    pub(crate) async fn unless<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            _ = self.requested() => Err(Error::Interrupted),
            result = work => result,
        }
    }
}
