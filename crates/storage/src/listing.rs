//! What is in a folder of archives, told from names and descriptors alone (spec, "Listing").
//!
//! Owns which object is an archive, which a descriptor or a signature beside one, and which none of ours; and which
//! archive is the newest one. No archive is opened, so encrypted ones are listed without their key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::{
    Descriptor, DescriptorError, ENCRYPTED_EXTENSION, EXTENSION, Inventory, PARTIAL,
    SIGNATURE_EXTENSION, Scope,
};

use crate::address::{Address, Place};
use crate::error::Error;
use crate::region::{Region, Served};
use crate::settings::Settings;
use crate::source::{served_by_copy, served_by_primary};
use crate::store::Store;

/// The last part of a place that means the newest archive of its folder.
pub const LATEST: &str = "latest";
/// An archive whose run began later than this after now was written by a machine whose clock is wrong, or is looked at
/// by one: it is never taken for the newest.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);
/// A descriptor has about one kilobyte; larger files are none.
pub(crate) const MOST_BYTES: u64 = 64 << 10;

/// All archives in a folder, not in folders below it.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: Place,
    /// Every archive, by name.
    pub archives: Vec<Listed>,
    /// Descriptors without an archive, by name.
    pub litter: Vec<Litter>,
    /// Files of a local folder in which an archive grows, or grew until its run was killed, by name.
    pub growing: Vec<Growing>,
    /// Objects that are neither archives nor beside one.
    pub foreign: u64,
    /// The region that served it: whoever reads on in the folder need not find out again that the primary one is away.
    pub region: Region,
}

/// An archive in a folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name in the folder.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Bytes of the stored file.
    pub size: u64,
    /// When it was stored, by the clock of the store.
    pub modified: Timestamp,
    /// The signature beside it; whether it fits is not looked at.
    pub signature: Option<Place>,
    /// What its descriptor says of it.
    pub state: State,
    pub(crate) identity: Identity,
    /// What is named like its descriptor.
    pub(crate) document: Option<(Place, Identity)>,
}

/// Which state of an object was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) size: u64,
    /// Without quotes: listings and objects write them differently.
    pub(crate) e_tag: Option<String>,
    /// The time of the last change, where there is no tag.
    pub(crate) modified: Option<Timestamp>,
}

/// What is known of an archive without opening it.
#[derive(Debug, Clone)]
pub enum State {
    /// Its descriptor, which states the size that the file has.
    Described(Box<Descriptor>),
    /// There is no descriptor beside it.
    Undescribed,
    /// The descriptor beside it cannot be used.
    Unclear {
        /// Why.
        what: String,
    },
}

/// What an archive is good for, by its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A whole workspace, all of it listed: what `latest`, retention and status count.
    Counting,
    /// A whole workspace of which some listing failed.
    Incomplete,
    /// What a run left that ended early.
    Partial,
    /// A selection of a workspace.
    Selection,
    /// Not known: no usable descriptor is beside it.
    Unknown,
}

impl Standing {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counting => "complete",
            Self::Incomplete => "incomplete",
            Self::Partial => "partial",
            Self::Selection => "selection",
            Self::Unknown => "unknown",
        }
    }
}

/// A descriptor without its archive: a run was killed at its very end, an archive is about to appear, or somebody removed
/// one by hand.
#[derive(Debug, Clone)]
pub struct Litter {
    /// Its name in the folder.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// When it was stored, by the clock of the store.
    pub modified: Timestamp,
    /// The archive that it describes.
    pub descriptor: Box<Descriptor>,
    pub(crate) identity: Identity,
    pub(crate) signature: Option<Place>,
    /// Where its archive would be.
    pub(crate) archives: Vec<Place>,
}

/// A file that an export has under way; a run that was killed leaves it for ever.
#[derive(Debug, Clone)]
pub struct Growing {
    /// Its name in the folder.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Bytes that are in it.
    pub size: u64,
    /// When something was last written into it.
    pub modified: Timestamp,
    pub(crate) identity: Identity,
}

impl Listed {
    /// The descriptor, when it can be used.
    #[must_use]
    pub fn descriptor(&self) -> Option<&Descriptor> {
        match &self.state {
            State::Described(descriptor) => Some(descriptor),
            State::Undescribed | State::Unclear { .. } => None,
        }
    }

    /// How many members it holds below `data/`.
    pub(crate) fn payload_members(&self) -> Option<u64> {
        self.descriptor()
            .map(|descriptor| descriptor.counts.payload_members)
    }

    /// What it is good for.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.descriptor() {
            None => Standing::Unknown,
            // Nobody can tell whose it is, and what it could stand in for.
            Some(descriptor) if descriptor.workspace_id.is_empty() => Standing::Unknown,
            Some(_) if is_partial(&self.name) => Standing::Partial,
            Some(descriptor) => match (descriptor.scope, descriptor.inventory) {
                (Scope::Selection, _) => Standing::Selection,
                (Scope::Workspace, Inventory::Incomplete) => Standing::Incomplete,
                (Scope::Workspace, Inventory::Complete) => Standing::Counting,
            },
        }
    }

    /// The run began after `now`, by more than clocks may differ.
    #[must_use]
    pub fn is_of_the_future(&self, now: Timestamp) -> bool {
        self.descriptor()
            .is_some_and(|descriptor| descriptor.started.duration_since(now) > CLOCK_SKEW)
    }

    /// Newer ones are greater.
    pub(crate) fn rank(&self) -> Option<(Timestamp, Timestamp, &str)> {
        let descriptor = self.descriptor()?;
        Some((descriptor.started, descriptor.finished, &self.name))
    }
}

/// `X.partial.tar.zst`, `X.partial.tar.zst.age`: a run that ended early leaves its archive so.
fn is_partial(name: &str) -> bool {
    let stem = name.strip_suffix(EXTENSION);
    stem.or_else(|| name.strip_suffix(ENCRYPTED_EXTENSION))
        .unwrap_or(name)
        .ends_with(PARTIAL)
}

/// What an archive of such a name would be taken for, if not for a complete one.
pub(crate) fn other_than_complete(name: &str) -> Option<&'static str> {
    if is_partial(name) {
        Some("`.partial` is for what a run left that ended early")
    } else if name.ends_with(".json") {
        Some("`.json` is for what describes an archive")
    } else if name.ends_with(".json.minisig") {
        Some("`.json.minisig` is for signatures")
    } else {
        None
    }
}

/// The name alone says that it is an archive's.
fn is_archive_name(name: &str) -> bool {
    Descriptor::twin_of(Path::new(name)).is_some()
}

impl Listing {
    /// Lists the folder `place`, with or without a slash at its end, and reads every descriptor in it. When the primary
    /// region does not answer, the secondary one is asked; with `Region::Secondary` it alone. `notice` hears which one serves.
    ///
    /// # Errors
    /// The folder cannot be listed to its end, or a descriptor that is there cannot be read: a listing is whole or an
    /// error.
    pub fn read(
        place: &Place,
        settings: &Settings,
        region: Region,
        notice: &dyn Fn(&Served),
    ) -> Result<Self, Error> {
        let address = match place {
            Place::Local(path) if region == Region::Primary => return Self::of_folder(path),
            Place::Local(path) => {
                return Err(Error::NoSecondary {
                    url: path.display().to_string(),
                });
            }
            Place::Remote(address) => address.as_folder(),
        };
        let copy = Store::open_in(&address, settings, Region::Secondary)?;
        match (region, copy) {
            (Region::Secondary, None) => Err(Error::NoSecondary {
                url: address.shown.clone(),
            }),
            (Region::Secondary, Some(copy)) => {
                let listing = Self::in_store(&copy, &address)?;
                notice(&served_by_copy(&address, &copy, None));
                Ok(Self { region, ..listing })
            }
            (Region::Primary, copy) => {
                let store = Store::open_with_copy(&address, settings, copy.is_some())?;
                match (Self::in_store(&store, &address), copy) {
                    (Err(error), Some(copy)) if error.is_outage() => {
                        // What the primary region said matters more than why its copy cannot be read either.
                        let Ok(listing) = Self::in_store(&copy, &address) else {
                            return Err(error);
                        };
                        notice(&served_by_copy(&address, &copy, Some(error)));
                        let region = Region::Secondary;
                        Ok(Self { region, ..listing })
                    }
                    (result, _) => {
                        let listing = result?;
                        notice(&served_by_primary(&store));
                        Ok(listing)
                    }
                }
            }
        }
    }

    /// The same in the primary region alone, whatever it answers.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn of_primary(place: &Place, settings: &Settings) -> Result<Self, Error> {
        match place {
            Place::Local(path) => Self::of_folder(path),
            Place::Remote(address) => {
                Self::in_store(&Store::open(address, settings)?, &address.as_folder())
            }
        }
    }

    /// The same in a store that is open.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn in_store(store: &Store, folder: &Address) -> Result<Self, Error> {
        let folder = folder.as_folder();
        let objects = store.list(&folder)?;
        let place = Place::Remote(folder.clone());
        Self::of(place, objects, |wanted| {
            let addresses = wanted
                .iter()
                .map(|object| (folder.in_folder(&object.name), object.identity.size));
            store.get_all(addresses.collect())
        })
    }

    fn of_folder(path: &Path) -> Result<Self, Error> {
        let (objects, growing) = part_growing(crate::local::list(path)?);
        let mut listing = Self::of(Place::Local(path.to_owned()), objects, |wanted| {
            wanted
                .iter()
                .map(|object| crate::local::read_at_most(&path.join(&object.name), MOST_BYTES))
                .collect()
        })?;
        let of = |object: Object| Growing {
            place: listing.folder.child(&object.name),
            size: object.identity.size,
            modified: object.modified,
            identity: object.identity,
            name: object.name,
        };
        listing.growing = growing.into_iter().map(of).collect();
        Ok(listing)
    }

    fn of(
        folder: Place,
        objects: Vec<Object>,
        read: impl FnOnce(&[Object]) -> Result<Vec<Option<Vec<u8>>>, Error>,
    ) -> Result<Self, Error> {
        let names = Names::sort(objects);
        let wanted: Vec<Object> = names
            .documents
            .values()
            .filter(|document| (1..=MOST_BYTES).contains(&document.identity.size))
            .cloned()
            .collect();
        let contents = read(&wanted)?;
        let contents = wanted.into_iter().map(|object| object.name).zip(contents);
        Ok(names.judge(folder, contents.collect()))
    }

    /// The ids of all workspaces of which a described archive is here.
    #[must_use]
    pub fn workspaces(&self) -> BTreeSet<&str> {
        let descriptors = self.archives.iter().filter_map(Listed::descriptor);
        descriptors
            .map(|descriptor| descriptor.workspace_id.as_str())
            .collect()
    }

    /// The described archives of one workspace, of any standing.
    pub fn of_workspace<'l, 'w>(
        &'l self,
        workspace_id: &'w str,
    ) -> impl Iterator<Item = &'l Listed> + use<'l, 'w> {
        self.archives.iter().filter(move |listed| {
            listed
                .descriptor()
                .is_some_and(|descriptor| descriptor.workspace_id == workspace_id)
        })
    }

    /// The archives of a workspace as bases for the next one, the best first. That is the newest complete one, or one that is
    /// newer and incomplete if it holds at least as many members. Selections come last.
    #[must_use]
    pub fn bases(&self, workspace_id: &str, now: Timestamp) -> Vec<&Listed> {
        let (mut bases, mut selections): (Vec<&Listed>, Vec<&Listed>) = self
            .of_workspace(workspace_id)
            .filter(|listed| !listed.is_of_the_future(now))
            .partition(|listed| listed.standing() != Standing::Selection);
        for archives in [&mut bases, &mut selections] {
            archives.sort_by(|one, other| other.rank().cmp(&one.rank()));
        }
        let complete = bases
            .iter()
            .position(|listed| listed.standing() == Standing::Counting);
        let recent = complete.map_or(bases.len(), |at| at + 1);
        let members = |at: &usize| bases[*at].payload_members();
        // Of equals the last, which in this order is the newest.
        if let Some(best) = (0..recent).rev().max_by_key(members) {
            bases[..=best].rotate_right(1);
        }
        bases.append(&mut selections);
        bases
    }

    /// The newest archive of a workspace that counts.
    #[must_use]
    pub fn newest_counting(&self, workspace_id: &str, now: Timestamp) -> Option<&Listed> {
        newest(self.counting(workspace_id), now)
    }

    fn counting<'l, 'w>(
        &'l self,
        workspace_id: &'w str,
    ) -> impl Iterator<Item = &'l Listed> + use<'l, 'w> {
        self.of_workspace(workspace_id)
            .filter(|listed| listed.standing() == Standing::Counting)
    }

    /// The newest counting archive of `workspace_id`, or of the only workspace that has archives here.
    ///
    /// # Errors
    /// [`Error::NoLatest`], [`Error::ManyWorkspaces`].
    pub fn latest(&self, workspace_id: Option<&str>, now: Timestamp) -> Result<&Listed, Error> {
        let place = || self.folder.to_string();
        let known = self.workspaces();
        let workspace_id = match (workspace_id, known.first()) {
            (Some(id), _) => id,
            (None, Some(only)) if known.len() == 1 => only,
            (None, None) => {
                let what = match self.archives.len() {
                    0 => "there is no archive in it".to_owned(),
                    unknown => format!("none of its {unknown} archives has a usable descriptor"),
                };
                return Err(Error::NoLatest {
                    place: place(),
                    what,
                });
            }
            (None, Some(_)) => {
                return Err(Error::ManyWorkspaces {
                    place: place(),
                    workspaces: known.into_iter().map(str::to_owned).collect(),
                });
            }
        };
        let counting = || self.counting(workspace_id);
        newest(counting(), now).ok_or_else(|| Error::NoLatest {
            place: place(),
            what: match (self.of_workspace(workspace_id).count(), counting().count()) {
                (0, _) => format!("there is no archive of workspace {workspace_id} in it"),
                (_, 0) => format!("none of workspace {workspace_id} is complete"),
                _ => {
                    format!("all complete ones of workspace {workspace_id} are dated in the future")
                }
            },
        })
    }
}

fn newest<'l>(archives: impl Iterator<Item = &'l Listed>, now: Timestamp) -> Option<&'l Listed> {
    archives
        .filter(|listed| !listed.is_of_the_future(now))
        .max_by(|one, other| one.rank().cmp(&other.rank()))
}

/// `place` itself or, when its last part is `latest`, the newest counting archive of its folder (of `workspace_id`,
/// where several have archives there), and the region in which it is to be read. A local file of that name wins.
///
/// # Errors
/// Those of [`Listing::read`] and [`Listing::latest`].
pub fn resolve(
    place: &Place,
    workspace_id: Option<&str>,
    settings: &Settings,
    region: Region,
    notice: &dyn Fn(&Served),
) -> Result<(Place, Region), Error> {
    let Some(folder) = place.folder_of_latest() else {
        return Ok((place.clone(), region));
    };
    let listing = Listing::read(&folder, settings, region, notice)?;
    let latest = listing.latest(workspace_id, Timestamp::now())?;
    Ok((latest.place.clone(), listing.region))
}

/// The verb of listing, as [`Error::Refused`] has it: a right of its own.
pub const LIST: &str = "list";

/// An object in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Its name in the folder.
    pub(crate) name: String,
    pub(crate) modified: Timestamp,
    pub(crate) identity: Identity,
}

/// Takes the files out in which archives grow, by name; one with a document beside it may be an archive (spec, "Listing").
fn part_growing(objects: Vec<Object>) -> (Vec<Object>, Vec<Object>) {
    let names: BTreeSet<String> = objects.iter().map(|object| object.name.clone()).collect();
    let (mut growing, others): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| {
            crate::local::is_growing(&object.name) && !names.contains(&document_name(&object.name))
        });
    growing.sort_by(|one, other| one.name.cmp(&other.name));
    (others, growing)
}

/// What the names in a folder say.
struct Names {
    /// What is an archive by its name, or may be one because a document of the fitting name is there.
    archives: Vec<Object>,
    /// What may be a descriptor, by name.
    documents: BTreeMap<String, Object>,
    signatures: BTreeSet<String>,
    foreign: u64,
}

/// The descriptor's name beside the archive `name`.
pub(crate) fn document_name(name: &str) -> String {
    Descriptor::path_for(Path::new(name))
        .to_string_lossy()
        .into_owned()
}

impl Names {
    fn sort(mut objects: Vec<Object>) -> Self {
        objects.sort_by(|one, other| one.name.cmp(&other.name));
        let mut names = Self {
            archives: Vec::new(),
            documents: BTreeMap::new(),
            signatures: BTreeSet::new(),
            foreign: 0,
        };
        let mut others = Vec::new();
        for object in objects {
            if object.name.ends_with(".json") {
                names.documents.insert(object.name.clone(), object);
            } else if object
                .name
                .ends_with(&format!(".json{SIGNATURE_EXTENSION}"))
            {
                names.signatures.insert(object.name);
            } else {
                others.push(object);
            }
        }
        for object in others {
            let has_document = names.documents.contains_key(&document_name(&object.name));
            if is_archive_name(&object.name) || has_document {
                names.archives.push(object);
            } else {
                names.foreign += 1;
            }
        }
        names
    }

    /// Puts together what belongs together. `contents` are the documents that were read; one that has vanished since it
    /// was listed has none.
    fn judge(mut self, folder: Place, contents: BTreeMap<String, Option<Vec<u8>>>) -> Listing {
        let mut listing = Listing {
            folder,
            archives: Vec::new(),
            litter: Vec::new(),
            growing: Vec::new(),
            foreign: self.foreign,
            region: Region::Primary,
        };
        let mut taken = BTreeSet::new();
        for object in std::mem::take(&mut self.archives) {
            let beside = document_name(&object.name);
            let document = self.documents.get(&beside);
            let parsed = document.map(|document| parse(document, contents.get(&beside)));
            // `notes` beside `notes.json` is an archive only when the latter is a descriptor.
            if !is_archive_name(&object.name) && !matches!(parsed, Some(Document::Descriptor(_))) {
                listing.foreign += 1;
                continue;
            }
            listing.archives.push(Listed {
                place: listing.folder.child(&object.name),
                signature: take_signature(&mut self.signatures, &listing.folder, &beside),
                state: state(&object, parsed),
                document: document
                    .map(|document| (listing.folder.child(&beside), document.identity.clone())),
                name: object.name,
                size: object.identity.size,
                modified: object.modified,
                identity: object.identity,
            });
            taken.insert(beside);
        }
        for (name, document) in self.documents {
            if taken.contains(&name) {
                continue;
            }
            match parse(&document, contents.get(&name)) {
                Document::Descriptor(descriptor) => {
                    let stem = name.strip_suffix(".json").unwrap_or(&name);
                    let archives = ["", EXTENSION, ENCRYPTED_EXTENSION];
                    listing.litter.push(Litter {
                        place: listing.folder.child(&name),
                        signature: take_signature(&mut self.signatures, &listing.folder, &name),
                        archives: archives
                            .map(|end| listing.folder.child(&format!("{stem}{end}")))
                            .into(),
                        modified: document.modified,
                        descriptor,
                        identity: document.identity,
                        name,
                    });
                }
                Document::Gone => {}
                Document::Unusable(_) => listing.foreign += 1,
            }
        }
        listing.foreign += self.signatures.len() as u64;
        listing
    }
}

fn take_signature(names: &mut BTreeSet<String>, folder: &Place, document: &str) -> Option<Place> {
    let name = format!("{document}{SIGNATURE_EXTENSION}");
    names.remove(&name).then(|| folder.child(&name))
}

/// What a file that is named like a descriptor is.
enum Document {
    Descriptor(Box<Descriptor>),
    /// It was there when the folder was listed, and not when it was read.
    Gone,
    Unusable(String),
}

fn parse(document: &Object, content: Option<&Option<Vec<u8>>>) -> Document {
    match content {
        None => Document::Unusable(format!(
            "a file of {} bytes is no descriptor",
            document.identity.size
        )),
        Some(None) => Document::Gone,
        Some(Some(bytes)) => match Descriptor::parse(bytes) {
            Ok(descriptor) => Document::Descriptor(Box::new(descriptor)),
            Err(DescriptorError::Json(error)) => {
                Document::Unusable(format!("not a descriptor: {error}"))
            }
            Err(error) => Document::Unusable(error.to_string()),
        },
    }
}

fn state(archive: &Object, document: Option<Document>) -> State {
    match document {
        None | Some(Document::Gone) => State::Undescribed,
        Some(Document::Unusable(what)) => State::Unclear { what },
        Some(Document::Descriptor(descriptor)) if descriptor.size != archive.identity.size => {
            State::Unclear {
                what: format!(
                    "the descriptor is of an archive of {} bytes, this one has {}",
                    descriptor.size, archive.identity.size
                ),
            }
        }
        Some(Document::Descriptor(descriptor)) => State::Described(descriptor),
    }
}

#[cfg(test)]
mod tests;
