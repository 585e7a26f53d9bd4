//! Archives at paths and URLs: opening one that is there, and the way to one that is made.

use std::path::Path;

use lifeboat_archive::Archive;
use lifeboat_storage::{Destination, Place, Settings, Sink, Source};

use crate::failure::Failure;

/// Opens the archive at a path or URL. A path that is there wins over a URL that is written alike.
pub(crate) fn open(archive: &Path) -> Result<Archive, Failure> {
    match archive.to_str() {
        Some(text) if !archive.exists() => open_at(&Place::parse(text)?),
        _ => open_at(&Place::Local(archive.to_owned())),
    }
}

/// Opens the archive at `place`.
pub(crate) fn open_at(place: &Place) -> Result<Archive, Failure> {
    let opened = match place {
        Place::Local(path) => Archive::open(path),
        Place::Remote(address) => {
            Archive::from_source(Box::new(Source::open(address, &Settings::from_env())?))
        }
    };
    opened.map_err(|source| Failure::Open {
        archive: place.to_string(),
        source,
    })
}

/// Opens the way to `to`, where a folder gets an archive of the name `name`. Asks the store in a thread of its own.
pub(crate) async fn create(to: &str, name: &str) -> Result<(Destination, Sink), Failure> {
    let (to, name) = (to.to_owned(), format!("{name}.tar.zst"));
    apart(move || Destination::create(&to, &name, &Settings::from_env())).await
}

/// Runs what waits for a store in a thread of its own, so that signals are heard meanwhile.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, lifeboat_storage::Error> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Failure::Panicked {
            what: error.to_string(),
        }),
    }
}
