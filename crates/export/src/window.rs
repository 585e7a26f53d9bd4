//! The window between fetching and writing: contents on their way hold a share of a fixed number of bytes.
//!
//! Shares are taken in the order in which contents will be written, so the content that is written next always has its
//! share and the window cannot lock up. Contents over one mebibyte wait in a temporary file without a name instead.
//! Specified in `spec/export.md`, "Contents".

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use lifeboat_archive::Content;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all contents in memory.
pub(crate) const WINDOW: u64 = 32 << 20;
/// Largest content that waits in memory.
pub(crate) const IN_MEMORY: u64 = 1 << 20;
/// Bytes per unit of the semaphore, whose counts are 32 bits wide.
const UNIT: u64 = 1024;

/// A number of bytes to share.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    units: Arc<Semaphore>,
    total: u32,
}

/// A share of a window, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permit: Option<OwnedSemaphorePermit>,
}

impl Window {
    /// A window of so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let total = units(bytes);
        Self {
            units: Arc::new(Semaphore::new(usize::try_from(total).unwrap_or(usize::MAX))),
            total,
        }
    }

    /// Waits for a share of so many bytes; more than the whole window counts as the whole.
    pub(crate) async fn share(&self, bytes: u64) -> Share {
        let wanted = units(bytes).clamp(1, self.total);
        // The semaphore is never closed.
        Share {
            permit: Arc::clone(&self.units)
                .acquire_many_owned(wanted)
                .await
                .ok(),
        }
    }
}

impl Share {
    /// Keeps a share of so many bytes at most and gives the rest back.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        let held = permit.num_permits();
        let keep = usize::try_from(units(bytes).max(1)).unwrap_or(usize::MAX);
        if held > keep {
            drop(permit.split(held - keep));
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// A temporary file without a name.
pub(crate) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Bytes as a content for the writer: small ones in memory, large ones in a file. Gives the size too.
pub(crate) fn content(bytes: Vec<u8>) -> io::Result<(Content, u64)> {
    let size = bytes.len() as u64;
    if size <= IN_MEMORY {
        return Ok((Content::Bytes(bytes), size));
    }
    let mut file = unnamed_file()?;
    file.write_all(&bytes)?;
    Ok((Content::File { file, size }, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_add_up_to_the_window() {
        let window = Window::new(10 * UNIT);
        let mut large = window.share(8 * UNIT).await;
        assert_eq!(window.units.available_permits(), 2);
        large.shrink(3 * UNIT);
        assert_eq!(window.units.available_permits(), 7);
        drop(large);
        let whole = window.share(u64::MAX).await;
        assert_eq!(
            window.units.available_permits(),
            0,
            "a share is never larger than the window"
        );
        drop(whole);
        assert_eq!(window.units.available_permits(), 10);
    }

    #[test]
    fn large_contents_wait_in_a_file() {
        assert!(matches!(
            content(vec![0; 10]).unwrap(),
            (Content::Bytes(_), 10)
        ));
        let large = usize::try_from(IN_MEMORY).unwrap() + 1;
        let (content, size) = content(vec![0; large]).unwrap();
        assert!(matches!(content, Content::File { .. }));
        assert_eq!(size, large as u64);
    }
}
