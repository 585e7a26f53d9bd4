//! The proof that an archive is the one whose descriptor was signed.
//!
//! A signature covers the descriptor, the descriptor holds the archive id, and the archive id commits to every member. A reader
//! that opened the archive has computed the id from what the archive holds, and proves by it whatever it reads afterwards.

use std::io;
use std::path::PathBuf;

use lifeboat_archive::{Descriptor, Digest, FileSource, ReadAt};

use super::error::ProtectError;
use super::signing::PublicKey;
use crate::address::Place;
use crate::error::Error;
use crate::region::{Region, Served};
use crate::settings::Settings;
use crate::source::{Notice, Source};

/// No descriptor and no signature is longer.
const MOST_BYTES: u64 = 1 << 20;

/// Which of the files beside an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Descriptor,
    Signature,
}

/// Proves that the archive at `place`, whose id is `archive_id`, has a descriptor that `key` signed. Gives the descriptor.
/// `notice` hears which region serves descriptor and signature: it may be another than that of the archive.
///
/// # Errors
/// [`ProtectError::NotAuthentic`]: descriptor or signature is missing, the signature is not good, or the descriptor is that of
/// another archive. Others when they cannot be read.
pub fn authenticate(
    place: &Place,
    archive_id: Digest,
    key: &PublicKey,
    settings: &Settings,
    region: Region,
    notice: impl Fn(&Served) + Clone + Send + Sync + 'static,
) -> Result<Descriptor, Error> {
    let false_ = |what: String| {
        Error::from(ProtectError::NotAuthentic {
            place: place.to_string(),
            what,
        })
    };
    let read = |beside, name| match read_beside(
        place,
        beside,
        settings,
        region,
        Box::new(notice.clone()),
    )? {
        Some(bytes) => Ok(bytes),
        None => Err(false_(format!("it has no {name}"))),
    };
    let descriptor = read(Beside::Descriptor, "descriptor")?;
    let signature = read(Beside::Signature, "signature")?;
    key.verify(&descriptor, &signature)
        .map_err(|error| match error {
            ProtectError::NotAuthentic { what, .. } => false_(what),
            other => other.into(),
        })?;
    let descriptor = Descriptor::parse(&descriptor).map_err(|error| false_(error.to_string()))?;
    if descriptor.archive_id != archive_id {
        return Err(false_(format!(
            "its descriptor is that of the archive {}, and it is {archive_id}",
            descriptor.archive_id
        )));
    }
    Ok(descriptor)
}

/// A file beside the archive; nothing when there is none.
fn read_beside(
    place: &Place,
    beside: Beside,
    settings: &Settings,
    region: Region,
    notice: Box<Notice>,
) -> Result<Option<Vec<u8>>, Error> {
    match place {
        Place::Local(archive) => {
            let path = match beside {
                Beside::Descriptor => Descriptor::path_for(archive),
                Beside::Signature => Descriptor::signature_path_for(archive),
            };
            match FileSource::open(&path) {
                Ok(file) => read_all(&file, &path).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::from_io(error, "read", path)),
            }
        }
        Place::Remote(archive) => {
            let address = match beside {
                Beside::Descriptor => archive.descriptor(),
                Beside::Signature => archive.signature(),
            };
            match Source::open(&address, settings, region, notice) {
                Ok(source) => read_all(&source, &PathBuf::from(source.name())).map(Some),
                Err(Error::NotFound { .. } | Error::NotInSecondary { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
}

fn read_all(source: &dyn ReadAt, path: &std::path::Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::from_io(error, "read", path.to_owned());
    let size = source.size().map_err(failed)?;
    if size > MOST_BYTES {
        return Err(ProtectError::NotAuthentic {
            place: path.display().to_string(),
            what: format!("it has {size} bytes, and {MOST_BYTES} at most are read"),
        }
        .into());
    }
    let mut bytes = vec![0; size as usize];
    let mut done = 0;
    while done < bytes.len() {
        match source
            .read_at(done as u64, &mut bytes[done..])
            .map_err(failed)?
        {
            0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            count => done += count,
        }
    }
    Ok(bytes)
}
