//! `lifeboat-inspect verify --all`: every archive of a folder, or of each a part that is another one each day
//! (spec/retention.md, "Scrubbing").

use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_archive::{Damage, Digest, Hasher};
use lifeboat_console::{Align, Console, Table, bytes, counted};
use lifeboat_inspect::{Part, Sampled, verify, verify_part};
use lifeboat_storage::{Error, Listed, ProtectError, Region, State};
use serde_json::json;

use super::verify::{table, to_fields};
use crate::args::ArchiveArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::{named, open_one, stored};
use crate::shelf;
use crate::show::chain;

/// Seconds of a day of UTC.
const DAY: i64 = 86_400;

/// What was found in one archive.
enum Found {
    /// What was read is as it was written.
    Intact(Sampled),
    /// Damage, and why more of it may not have been seen.
    Damaged(Vec<Damage>, Option<Failure>),
    /// Encrypted, and no identity fits.
    Sealed,
    /// It could not be read to the end.
    Unreadable(Failure),
}

pub(super) fn run(
    folder: &ArchiveArgs,
    share: f64,
    console: &Arc<Console>,
) -> Result<Exit, Failure> {
    // Keys that cannot be used are told before anything is read, not once for each archive.
    folder.identity.load()?;
    folder.signature.load()?;
    let place = named(&folder.place)?;
    let listing = shelf::list(&place, folder.region(), console)?;
    let day = u64::try_from(Timestamp::now().as_second() / DAY).unwrap_or_default();
    let part = Part::of_day(share, day);
    let wanted = |archive: &&Listed| match (&folder.workspace, archive.descriptor()) {
        (Some(id), Some(descriptor)) => descriptor.workspace_id == *id,
        _ => true,
    };
    let mut tally = Tally::default();
    if !listing.archives.iter().any(|archive| wanted(&archive)) {
        // A job that looks into the wrong folder must not hear for years that all is well.
        let whose = folder.workspace.as_ref();
        let whose = whose.map_or_else(String::new, |id| format!(" of workspace {id}"));
        console.warning(&format!(
            "{place} has no archive{whose}: nothing was verified"
        ));
        tally.exit = Exit::Differences;
    }
    for archive in listing.archives.iter().filter(wanted) {
        let found = scrub(folder, archive, listing.region, part, console);
        let found = found.unwrap_or_else(Found::Unreadable);
        console.end_phases();
        tally.add(archive, found, console);
    }
    console.answer_table(&tally.table);
    console.line("");
    Ok(tally.finish(console, &place.to_string(), part))
}

/// Reads what is to be read of one archive; damage is no failure.
fn scrub(
    folder: &ArchiveArgs,
    archive: &Listed,
    region: Region,
    part: Part,
    console: &Arc<Console>,
) -> Result<Found, Failure> {
    if let State::Unclear { what } = &archive.state {
        return Ok(damaged(archive, what.clone()));
    }
    let stored = match part.is_all() {
        true => stored_damage(archive, region, console)?,
        false => None,
    };
    let found = contents(folder, archive, region, part, console);
    let Some(stored) = stored else {
        return found;
    };
    Ok(match found {
        Ok(Found::Damaged(damage, failure)) => {
            let all = std::iter::once(stored).chain(damage);
            Found::Damaged(all.collect(), failure)
        }
        Ok(Found::Intact(_) | Found::Sealed | Found::Unreadable(_)) => {
            Found::Damaged(vec![stored], None)
        }
        Err(failure) => Found::Damaged(vec![stored], Some(failure)),
    })
}

/// Opens the archive and proves its contents, or a part of them.
fn contents(
    folder: &ArchiveArgs,
    archive: &Listed,
    region: Region,
    part: Part,
    console: &Arc<Console>,
) -> Result<Found, Failure> {
    let opened = match open_one(folder, &archive.place, region, console) {
        Ok(opened) => opened,
        Err(failure) => return not_opened(archive, failure),
    };
    if let Some(descriptor) = archive.descriptor()
        && let Ok(id) = opened.archive_id()
        && id != descriptor.archive_id
    {
        let what = format!(
            "the descriptor is of the archive {}, this one is {id}",
            descriptor.archive_id
        );
        return Ok(damaged(archive, what));
    }
    let name = archive.name.as_str();
    console.phase(name, None);
    if !part.is_all() {
        let mut told =
            |sampled: &Sampled| console.progress(name, sampled.members, None, sampled.bytes);
        match verify_part(&opened, part, &mut told) {
            Ok(sampled) => return Ok(Found::Intact(sampled)),
            // All of it is read to name every damage.
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let verification = verify(&opened, &mut |done, total| {
        console.progress(name, done, Some(total), 0);
    })?;
    let damage: Vec<Damage> = verification.damage().cloned().collect();
    Ok(match damage.is_empty() {
        false => Found::Damaged(damage, None),
        true => Found::Intact(Sampled {
            members: verification.report.members,
            read: verification.report.members,
            bytes: verification.report.bytes,
        }),
    })
}

fn not_opened(archive: &Listed, failure: Failure) -> Result<Found, Failure> {
    match (&failure, failure.exit()) {
        (
            Failure::Storage(Error::Protect(
                ProtectError::Locked { .. } | ProtectError::NoFittingIdentity { .. },
            )),
            _,
        ) => Ok(Found::Sealed),
        // Nobody looked into it, so nothing is known of damage.
        (Failure::Storage(Error::Protect(ProtectError::NotAuthentic { .. })), _) => {
            Ok(Found::Unreadable(failure))
        }
        (_, Exit::Damaged | Exit::NotArchive) => Ok(damaged(archive, chain(&failure))),
        _ => Err(failure),
    }
}

/// Reads the stored file and compares its digest with the descriptor's.
fn stored_damage(
    archive: &Listed,
    region: Region,
    console: &Arc<Console>,
) -> Result<Option<Damage>, Failure> {
    let Some(descriptor) = archive.descriptor() else {
        return Ok(None);
    };
    console.phase(&archive.name, Some(archive.size));
    let source = stored(&archive.place, region, console)?;
    let mut hasher = Hasher::new();
    let mut block = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = source
            .read_at(done, &mut block)
            .map_err(|source| Failure::Read {
                archive: archive.place.to_string(),
                source,
            })?;
        if count == 0 {
            break;
        }
        hasher.update(&block[..count]);
        done += count as u64;
        console.progress(&archive.name, done, None, done);
    }
    let actual: Digest = hasher.finish();
    let mut found = damage(
        &archive.name,
        "the stored file is not the one of its descriptor".to_owned(),
    );
    found.expected = Some(descriptor.sha256.to_string());
    found.actual = Some(actual.to_string());
    Ok((actual != descriptor.sha256).then_some(found))
}

/// The archive as a whole is damaged.
fn damaged(archive: &Listed, what: String) -> Found {
    Found::Damaged(vec![damage(&archive.name, what)], None)
}

fn damage(name: &str, what: String) -> Damage {
    Damage {
        path: Some(name.to_owned()),
        frame: None,
        offset: None,
        what,
        expected: None,
        actual: None,
    }
}

struct Tally {
    table: Table,
    counts: [u64; 4],
    /// An archive was encrypted to nobody who is here.
    sealed: bool,
    exit: Exit,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            table: Table::new(&[
                ("archive", Align::Left),
                ("members", Align::Right),
                ("read", Align::Right),
                ("", Align::Right),
                ("result", Align::Left),
            ]),
            sealed: false,
            counts: [0; 4],
            exit: Exit::Done,
        }
    }
}

impl Tally {
    fn add(&mut self, archive: &Listed, found: Found, console: &Console) {
        let (sampled, word, at, exit) = match &found {
            Found::Intact(sampled) => (*sampled, "intact", 0, Exit::Done),
            Found::Damaged(_, failure) => {
                let also = failure.as_ref().map_or(Exit::Done, Failure::exit);
                (Sampled::default(), "damaged", 1, Exit::Damaged.and(also))
            }
            Found::Sealed => (Sampled::default(), "unknown", 2, Exit::Gaps),
            Found::Unreadable(failure) => (Sampled::default(), "unreadable", 3, failure.exit()),
        };
        self.counts[at] += 1;
        self.exit = self.exit.and(exit);
        let mut result = word.to_owned();
        let mut places = 0;
        match found {
            Found::Intact(_) => {}
            Found::Damaged(damage, failure) => {
                places = damage.len();
                for one in &damage {
                    console.record("damage", to_fields(one));
                }
                console.answer(&format!("{} is damaged:", archive.name));
                console.answer_table(&table(
                    &damage.iter().collect::<Vec<_>>(),
                    console.is_verbose(),
                ));
                result = format!("damaged in {}", counted(places, "place"));
                if let Some(failure) = failure {
                    result.push_str(&format!("; unreadable: {}", chain(&failure)));
                }
            }
            Found::Sealed => {
                self.sealed = true;
                result.push_str(": encrypted, and no identity fits");
            }
            Found::Unreadable(failure) => result = format!("{word}: {}", chain(&failure)),
        }
        let fields = json!({
            "archive": archive.place.to_string(),
            "verdict": word,
            "members": sampled.members,
            "read": sampled.read,
            "bytes": sampled.bytes,
            "damages": places,
            "reason": result,
        });
        console.record("scrubbed", fields);
        let number = |value: u64| {
            if word == "intact" {
                value.to_string()
            } else {
                String::new()
            }
        };
        let size = if word == "intact" {
            bytes(sampled.bytes)
        } else {
            String::new()
        };
        let row = [
            archive.name.clone(),
            number(sampled.members),
            number(sampled.read),
            size,
            result,
        ];
        self.table.row(row);
    }

    fn finish(&self, console: &Console, place: &str, part: Part) -> Exit {
        let [intact, damaged, unknown, unreadable] = self.counts;
        if self.sealed {
            console.warning(
                "encrypted archives are proved with `--identity FILE`, or LIFEBOAT_IDENTITY_FILE",
            );
        }
        let read = match intact + damaged {
            0 => "nothing".to_owned(),
            _ => part.to_string(),
        };
        console.line(&format!(
            "{intact} intact, {damaged} damaged, {unknown} unknown, {unreadable} unreadable; read: {read}"
        ));
        console.summary(json!({
            "command": "lifeboat-inspect verify --all",
            "exit_code": self.exit.code(),
            "place": place,
            "part": part.to_string(),
            "intact": intact,
            "damaged": damaged,
            "unknown": unknown,
            "unreadable": unreadable,
        }));
        self.exit
    }
}
