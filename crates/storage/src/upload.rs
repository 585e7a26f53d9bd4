//! An archive on its way into a store, in parts (spec, "Writing").

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::{Attribute, Attributes, MultipartUpload, PutMultipartOptions};

use crate::address::Address;
use crate::client::{NOTE, Note};
use crate::error::Error;
use crate::store::{Pending, Store, path};

/// Bytes of a part at first. Stores ask for at least 5 MiB.
const PART: usize = 8 << 20;
/// After so many parts they become twice as large, up to eight times.
const PARTS_OF_A_SIZE: usize = 2_500;
/// Parts that are sent at the same time.
const IN_FLIGHT: usize = 4;
/// Amazon takes no more; parts of these sizes hold 290 GiB.
const MOST_PARTS: usize = 10_000;
/// How long an upload that is given up may take to say so to the store.
const FAREWELL: Duration = Duration::from_secs(5);
/// The metadata by which an upload knows its object again.
const MARK: &str = "lifeboatupload";

/// What sink and destination share.
pub(crate) struct Transfer {
    store: Store,
    address: Address,
    mark: String,
    state: Mutex<Option<State>>,
}

struct State {
    upload: Box<dyn MultipartUpload>,
    in_flight: VecDeque<Pending<()>>,
    parts: usize,
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer")
            .field("to", &self.address)
            .finish_non_exhaustive()
    }
}

impl Transfer {
    /// Begins an upload. One byte is sent on a trial first, so that a night that cannot be written fails at its begin:
    /// nothing of it becomes visible.
    pub(crate) fn begin(store: &Store, address: &Address) -> Result<Arc<Self>, Error> {
        let mark = mark();
        let mut trial = open(store, address, &mark)?;
        let sent = store
            .start("write", address, trial.put_part(vec![0].into()))
            .wait();
        give_up(store, address, trial);
        sent?;
        Ok(Arc::new(Self {
            store: store.clone(),
            address: address.clone(),
            state: Mutex::new(Some(State {
                upload: open(store, address, &mark)?,
                in_flight: VecDeque::new(),
                parts: 0,
            })),
            mark,
        }))
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> Error {
        Error::GivenUp {
            url: self.address.shown.clone(),
        }
    }

    /// Sends a part, after having waited until few enough are on their way.
    fn send(&self, part: Vec<u8>) -> Result<(), Error> {
        self.wait(IN_FLIGHT - 1)?;
        let mut state = self.state();
        let state = state.as_mut().ok_or_else(|| self.gone())?;
        if state.parts == MOST_PARTS {
            return Err(Error::TooLarge {
                url: self.address.shown.clone(),
                parts: MOST_PARTS,
            });
        }
        let sent = state.upload.put_part(part.into());
        state.parts += 1;
        let pending = self.store.start("write", &self.address, sent);
        state.in_flight.push_back(pending);
        Ok(())
    }

    /// Waits until at most `left` parts are on their way.
    fn wait(&self, left: usize) -> Result<(), Error> {
        loop {
            // Waited for without the lock, so that the upload can be given up meanwhile.
            let oldest = {
                let mut state = self.state();
                let state = state.as_mut().ok_or_else(|| self.gone())?;
                if state.in_flight.len() <= left {
                    return Ok(());
                }
                state.in_flight.pop_front()
            };
            if let Some(oldest) = oldest {
                oldest.wait()?;
            }
        }
    }

    /// Makes the object visible, unless one of its name is there.
    pub(crate) fn commit(&self) -> Result<(), NotCommitted> {
        let known_absent = |error| NotCommitted {
            error,
            may_be_there: false,
        };
        self.wait(0).map_err(known_absent)?;
        let state = self.state().take();
        let state = state.ok_or_else(|| known_absent(self.gone()))?;
        let mut upload = state.upload;
        let committed = self.store.start("write", &self.address, async move {
            let committed = upload.complete().await;
            if committed.is_err() {
                // With a note of its own: the reason of the failure is in the other one. A store that holds parts which
                // nobody will use is not worth another error.
                let farewell = NOTE.scope(Note::default(), upload.abort());
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
            }
            committed
        });
        let Err(error) = committed.wait() else {
            return Ok(());
        };
        // The store may have done it and the answer been lost; a repeated request then says that the object exists.
        match self.store.mark(&self.address, MARK) {
            Ok(Some(mark)) if mark.as_deref() == Some(&self.mark) => Ok(()),
            // Another object is there, which a commit does not replace; or the store has said why it refuses.
            Ok(Some(_)) => Err(known_absent(error)),
            Ok(None) if error.is_answer() => Err(known_absent(error)),
            // It may be about to do it.
            Ok(None) | Err(_) => Err(NotCommitted {
                error,
                may_be_there: true,
            }),
        }
    }

    /// Gives the upload up: what was sent never becomes visible.
    pub(crate) fn abandon(&self) {
        let Some(state) = self.state().take() else {
            return;
        };
        for pending in &state.in_flight {
            pending.abort();
        }
        give_up(&self.store, &self.address, state.upload);
    }
}

/// Why a commit failed.
#[derive(Debug)]
pub(crate) struct NotCommitted {
    pub(crate) error: Error,
    /// The store could not be asked whether the object is there, or may still make it.
    pub(crate) may_be_there: bool,
}

fn open(store: &Store, address: &Address, mark: &str) -> Result<Box<dyn MultipartUpload>, Error> {
    let (objects, path) = (store.objects(), path(address)?);
    let key = Attribute::Metadata(MARK.into());
    let attributes: Attributes = [(key, mark.to_owned())].into_iter().collect();
    let options = PutMultipartOptions::from(attributes);
    let opened = store.start("write", address, async move {
        objects.put_multipart_opts(&path, options).await
    });
    opened.wait()
}

fn give_up(store: &Store, address: &Address, mut upload: Box<dyn MultipartUpload>) {
    let told = store.start("give up", address, async move { upload.abort().await });
    // Parts that nobody commits are invisible and expire; see the specification.
    let _ = told.wait_for(FAREWELL);
}

/// A name that nobody else has.
pub(crate) fn mark() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The sink that fills parts and sends them.
#[derive(Debug)]
pub(crate) struct Parts {
    transfer: Arc<Transfer>,
    part: Vec<u8>,
    size: usize,
    sent: usize,
}

impl Parts {
    pub(crate) fn new(transfer: &Arc<Transfer>) -> Self {
        Self {
            transfer: Arc::clone(transfer),
            part: Vec::new(),
            size: PART,
            sent: 0,
        }
    }

    fn send(&mut self) -> Result<(), Error> {
        self.transfer.send(std::mem::take(&mut self.part))?;
        self.sent += 1;
        self.size = size_of_part(self.sent);
        Ok(())
    }

    /// Sends what is left and waits until all of it has arrived.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if !self.part.is_empty() {
            self.send()?;
        }
        self.transfer.wait(0)
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.capacity() == 0 {
            self.part.reserve_exact(self.size);
        }
        let count = bytes.len().min(self.size - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        if self.part.len() == self.size {
            self.send().map_err(Error::into_io)?;
        }
        Ok(count)
    }

    /// Parts have a least size, so what is buffered stays where it is until [`Self::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The size of the next part after so many.
fn size_of_part(sent: usize) -> usize {
    PART << (sent / PARTS_OF_A_SIZE).min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_a_store_takes_hold_a_large_archive() {
        let all: u64 = (0..MOST_PARTS).map(|sent| size_of_part(sent) as u64).sum();
        assert!(all > 290 << 30, "{all}");
        assert_eq!(size_of_part(0), PART);
        assert_eq!(size_of_part(PARTS_OF_A_SIZE), 2 * PART);
    }
}
