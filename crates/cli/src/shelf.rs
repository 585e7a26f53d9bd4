//! Folders of archives: listing one, and what several commands show of the archives in it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::Descriptor;
use lifeboat_console::{Console, duration};
use lifeboat_storage::{Listed, Listing, Place, Region, Settings, State};
use serde_json::{Value, json};

use crate::args::{FolderArgs, region};
use crate::failure::Failure;
use crate::frame::block_on_reading;
use crate::place::{apart, list_in, named};
use crate::show::to_json;

/// Lists a folder in the primary region alone.
pub(crate) fn list_of_primary(place: &Place, console: &Arc<Console>) -> Result<Listing, Failure> {
    let place = place.clone();
    let work = move || Ok(Listing::of_primary(&place, &Settings::from_env())?);
    listing(work, console)
}

/// Lists a folder, and warns of archives that are not what their descriptor says.
pub(crate) fn list(
    place: &Place,
    region: Region,
    console: &Arc<Console>,
) -> Result<Listing, Failure> {
    let (place, told) = (place.clone(), Arc::clone(console));
    listing(move || list_in(&place, region, &told), console)
}

fn listing(
    work: impl FnOnce() -> Result<Listing, Failure> + Send + 'static,
    console: &Console,
) -> Result<Listing, Failure> {
    console.phase("listing", None);
    let listing = block_on_reading(apart(work))?;
    console.end_phases();
    for archive in &listing.archives {
        if let Some(what) = unclear(archive) {
            let fields = json!({"archive": archive.place.to_string()});
            let text = format!("{}: {what}", archive.name);
            console.warning_with("unclear", fields, &text);
        }
    }
    Ok(listing)
}

/// Warns where a folder has no archive (of `workspace`), which may be another one than is meant. True when it has none.
pub(crate) fn warn_of_nothing(
    listing: &Listing,
    workspace: Option<&str>,
    console: &Console,
) -> bool {
    let folder = &listing.folder;
    let none = match workspace {
        _ if listing.archives.is_empty() => format!("{folder} has no archive"),
        Some(id) if !listing.workspaces().contains(id) => {
            format!("{folder} has no archive of workspace {id}")
        }
        _ => return false,
    };
    console.warning(&format!("{none}; folders below it are not looked into"));
    true
}

/// Why it is not known what an archive is.
fn unclear(archive: &Listed) -> Option<&str> {
    match &archive.state {
        State::Described(_) => None,
        State::Undescribed => Some("no descriptor is beside it, so it counts for nothing"),
        State::Unclear { what } => Some(what),
    }
}

/// What scripts get to know of an archive.
pub(crate) fn fields(archive: &Listed, now: Timestamp) -> Value {
    let age = lifeboat_storage::retention::age(archive, now);
    json!({
        "archive": archive.place.to_string(),
        "standing": archive.standing().word(),
        "size": archive.size,
        "stored": archive.modified.to_string(),
        "signed": archive.signature.is_some(),
        "age_seconds": age.map(|age| age.as_secs()),
        "future": archive.is_of_the_future(now),
        "descriptor": archive.descriptor().map(to_json),
        "unclear": unclear(archive),
    })
}

/// Workspace, begin and age of an archive, for the first columns of a table.
pub(crate) fn begin_of_row(archive: &Listed, now: Timestamp) -> [String; 3] {
    let text =
        |cell: fn(&Descriptor) -> String| archive.descriptor().map_or_else(String::new, cell);
    [
        text(|descriptor| descriptor.workspace_id.clone()),
        text(|descriptor| {
            let second = descriptor.started.strftime("%Y-%m-%dT%H:%M:%SZ");
            second.to_string()
        }),
        match lifeboat_storage::retention::age(archive, now) {
            None => String::new(),
            Some(_) if archive.is_of_the_future(now) => "in the future".to_owned(),
            Some(age) => age_text(age),
        },
    ]
}

/// A length of time for people; none is negative.
pub(crate) fn age_text(age: SignedDuration) -> String {
    duration(Duration::try_from(age).unwrap_or(Duration::ZERO))
}

impl FolderArgs {
    /// Lists the folder in the region that was asked for.
    pub(crate) fn list(&self, console: &Arc<Console>) -> Result<Listing, Failure> {
        list(&named(&self.place)?, region(self.secondary), console)
    }
}
