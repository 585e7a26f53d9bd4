//! Archives at paths and URLs: opening one that is there, and the way to one that is made.

use std::path::Path;
use std::sync::Arc;

use lifeboat_archive::{Archive, ENCRYPTED_EXTENSION, EXTENSION, FileSource, ReadAt, ReadError};
use lifeboat_console::Console;
use lifeboat_storage::{
    Decrypted, Destination, Identities, Listing, Place, ProtectError, Protection, PublicKey,
    Region, Served, Settings, Sink, Source, authenticate, resolve,
};
use serde_json::json;

use crate::args::ArchiveArgs;
use crate::failure::Failure;

/// Opens the archive at a path or URL.
pub(crate) fn open(archive: &ArchiveArgs, console: &Arc<Console>) -> Result<Archive, Failure> {
    let place = named(&archive.place)?;
    let (place, region) = latest(archive, place, console)?;
    if let Place::Remote(_) = &place
        && place.is_folder()
    {
        return Err(lifeboat_storage::Error::Address {
            url: place.to_string(),
            what: "it is a folder: name an archive in it, or FOLDER/latest",
        }
        .into());
    }
    open_one(archive, &place, region, console)
}

/// Opens the archive at `place` in `region` as the arguments say, whatever place they name: with their identities, and with a
/// proof of the signature that they require.
pub(crate) fn open_one(
    archive: &ArchiveArgs,
    place: &Place,
    region: Region,
    console: &Arc<Console>,
) -> Result<Archive, Failure> {
    let (identities, key) = (archive.identity.load()?, archive.signature.load()?);
    let opened = open_in(place, region, &identities, console)?;
    if let Some(key) = key {
        let id = opened.archive_id().map_err(unopened(place))?;
        let settings = Settings::from_env();
        let notice = notice(console);
        let descriptor = authenticate(place, id, &key, &settings, region, notice)?;
        let text = format!("signed by {key}, finished {}", descriptor.finished);
        console.aside("authentic", json!({"key": key.to_string()}), &text);
    }
    Ok(opened)
}

/// Proves that `key` signed the archive at `place`, in the region in which it was written.
pub(crate) fn prove(
    place: &Place,
    archive: &Archive,
    key: &PublicKey,
    console: &Arc<Console>,
) -> Result<(), Failure> {
    let id = archive.archive_id().map_err(unopened(place))?;
    let (settings, notice) = (Settings::from_env(), notice(console));
    authenticate(place, id, key, &settings, Region::Primary, notice)?;
    Ok(())
}

/// The place at a path or URL. A path that is there wins over a URL that is written alike.
pub(crate) fn named(path: &Path) -> Result<Place, Failure> {
    match path.to_str() {
        Some(text) if !path.exists() => Ok(Place::parse(text)?),
        _ => Ok(Place::Local(path.to_owned())),
    }
}

/// The stored file itself, to be read as it is.
pub(crate) fn stored(
    place: &Place,
    region: Region,
    console: &Arc<Console>,
) -> Result<Box<dyn ReadAt>, Failure> {
    match place {
        Place::Local(path) => match FileSource::open(path) {
            Ok(source) => Ok(Box::new(source)),
            Err(source) => Err(Failure::File {
                path: path.clone(),
                source,
            }),
        },
        Place::Remote(address) => {
            let notice = Box::new(notice(console));
            let settings = Settings::from_env();
            Ok(Box::new(Source::open(address, &settings, region, notice)?))
        }
    }
}

/// The newest complete archive of the folder, where the place says `latest`; the place itself everywhere else. With the
/// region in which it is to be read.
fn latest(
    archive: &ArchiveArgs,
    place: Place,
    console: &Arc<Console>,
) -> Result<(Place, Region), Failure> {
    let region = archive.region();
    if place.folder_of_latest().is_none() {
        return match &archive.workspace {
            None => Ok((place, region)),
            Some(_) => Err(Failure::NotLatest {
                archive: place.to_string(),
            }),
        };
    }
    let workspace = archive.workspace.as_deref();
    let settings = Settings::from_env();
    let (found, region) = resolve(&place, workspace, &settings, region, &notice(console))?;
    let fields = json!({"archive": found.to_string()});
    console.aside("latest", fields, &format!("latest is {found}"));
    Ok((found, region))
}

/// What is in a folder of archives.
pub(crate) fn list(folder: &Place, console: &Arc<Console>) -> Result<Listing, Failure> {
    list_in(folder, Region::Primary, console)
}

/// The same in any region.
pub(crate) fn list_in(
    folder: &Place,
    region: Region,
    console: &Arc<Console>,
) -> Result<Listing, Failure> {
    let settings = Settings::from_env();
    Ok(Listing::read(folder, &settings, region, &notice(console))?)
}

/// Opens the archive at `place` in the region in which it was written.
pub(crate) fn open_at(
    place: &Place,
    identities: &Identities,
    console: &Arc<Console>,
) -> Result<Archive, Failure> {
    open_in(place, Region::Primary, identities, console)
}

fn open_in(
    place: &Place,
    region: Region,
    identities: &Identities,
    console: &Arc<Console>,
) -> Result<Archive, Failure> {
    let source: Arc<dyn ReadAt> = match place {
        Place::Local(path) if region == Region::Primary => {
            if path.is_dir() {
                return Archive::open(path).map_err(unopened(place));
            }
            Arc::new(FileSource::open(path).map_err(|source| {
                unopened(place)(ReadError::Io {
                    name: place.to_string(),
                    offset: 0,
                    source,
                })
            })?)
        }
        Place::Local(path) => {
            return Err(lifeboat_storage::Error::NoSecondary {
                url: path.display().to_string(),
            }
            .into());
        }
        Place::Remote(address) => {
            let notice = Box::new(notice(console));
            Arc::new(Source::open(
                address,
                &Settings::from_env(),
                region,
                notice,
            )?)
        }
    };
    // The name saves a look into the many archives that are not encrypted; the content decides.
    let named_so = place.to_string().ends_with(ENCRYPTED_EXTENSION);
    if !named_so {
        match Archive::from_source(Box::new(Arc::clone(&source))) {
            Err(ReadError::Encrypted { .. }) => {}
            opened => return opened.map_err(unopened(place)),
        }
    }
    let source: Box<dyn ReadAt> = match Decrypted::open(Arc::clone(&source), identities) {
        Ok(decrypted) => Box::new(decrypted),
        Err(lifeboat_storage::Error::Protect(ProtectError::NotEncrypted { .. })) => {
            Box::new(source)
        }
        Err(error) => return Err(error.into()),
    };
    Archive::from_source(source).map_err(unopened(place))
}

fn unopened(place: &Place) -> impl FnOnce(ReadError) -> Failure + use<> {
    let archive = place.to_string();
    move |source| Failure::Open { archive, source }
}

/// What hears which region serves and says it.
fn notice(console: &Arc<Console>) -> impl Fn(&Served) + Clone + Send + Sync + 'static {
    let console = Arc::clone(console);
    move |served| tell(&console, served)
}

/// Says which region serves, once in a command; of the copy with a warning, because what was written later is not in it.
fn tell(console: &Console, served: &Served) {
    let Served { region, host, .. } = served;
    if !console.first_time(&format!("served by {region} {host}")) {
        return;
    }
    let mut text = format!("reading from the {region} region, {host}");
    if *region == Region::Primary {
        // Aside, because the answer of a command may be bytes.
        if console.is_json() || console.is_verbose() {
            let fields = json!({"served_by": region.to_string(), "host": host});
            console.aside("served", fields, &text);
        }
        return;
    }
    if let Some(error) = &served.instead_of {
        text.push_str(&format!(", because {error}"));
    }
    text.push_str(match &served.last_sync {
        Some(Ok(_)) => "; it has everything up to ",
        Some(Err(_)) => "; it does not say how far behind it is: ",
        None => "",
    });
    let (time, why) = match &served.last_sync {
        Some(Ok(time)) => (Some(time.to_string()), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    text.push_str(time.as_deref().or(why.as_deref()).unwrap_or_default());
    if time.is_some() {
        text.push_str(", and may lack what was written later");
    }
    let fields = json!({
        "served_by": region.to_string(),
        "host": host,
        "last_sync": time,
        "last_sync_unknown": why,
        "primary": served.instead_of.as_ref().map(ToString::to_string),
    });
    console.warning_with("served", fields, &text);
}

/// Opens the way to `to`, where a folder gets an archive of the name `name`. Asks the store in a thread of its own.
pub(crate) async fn create(
    to: &Place,
    name: &str,
    protection: &Protection,
) -> Result<(Destination, Sink), Failure> {
    let extension = match &protection.recipients {
        Some(_) => ENCRYPTED_EXTENSION,
        None => EXTENSION,
    };
    let (to, name) = (to.clone(), format!("{name}{extension}"));
    let protection = protection.clone();
    apart(move || Destination::create(&to, &name, &protection, &Settings::from_env())).await
}

/// Runs what waits for a store in a thread of its own, so that signals are heard meanwhile.
pub(crate) async fn apart<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Failure::Panicked {
            what: error.to_string(),
        }),
    }
}
