//! The end of a sink that encrypts: what goes in is age's plaintext, what comes out is measured and digested on its way.

use std::io::{self, Write};

use age::stream::StreamWriter;
use lifeboat_archive::{Digest, Hasher};

use super::recipients::Recipients;
use crate::error::Error;

/// What was written behind the encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
}

/// Encrypts everything for `W`. Without [`Self::finish`] the ciphertext has no end, and nobody opens it.
pub(crate) struct Encrypted<W: Write>(StreamWriter<Measured<W>>);

impl<W: Write> std::fmt::Debug for Encrypted<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encrypted")
    }
}

impl<W: Write> Encrypted<W> {
    /// Begins: the header is written at once.
    pub(crate) fn begin(recipients: &Recipients, inner: W) -> io::Result<Self> {
        let measured = Measured {
            inner,
            hasher: Hasher::new(),
            size: 0,
        };
        let encryptor = recipients.encryptor();
        let encryptor = encryptor.map_err(|error| Error::from(error).into_io())?;
        encryptor.wrap_output(measured).map(Self)
    }

    /// Ends the ciphertext.
    pub(crate) fn finish(self) -> io::Result<(W, Written)> {
        let measured = self.0.finish()?;
        let written = Written {
            size: measured.size,
            sha256: measured.hasher.finish(),
        };
        Ok((measured.inner, written))
    }
}

impl<W: Write> Write for Encrypted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Measured<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
