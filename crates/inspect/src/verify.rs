//! `verify`: every frame, digest and member of the archive, and that the records name contents that exist.

use std::ops::ControlFlow;

use lifeboat_archive::{Archive, Damage, VerifyReport};

use crate::entries::{self, Entry};
use crate::error::Error;

/// The outcome of a full verification.
#[derive(Debug)]
pub struct Verification {
    /// What the archive's own check found.
    pub report: VerifyReport,
    /// Records that cannot be read or name contents that are missing or different; empty when the archive's own check
    /// already found damage, because then they would only repeat it.
    pub records: Vec<Damage>,
}

impl Verification {
    /// Nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.report.is_intact() && self.records.is_empty()
    }

    /// How much is wrong.
    pub fn places(&self) -> u64 {
        self.report.damaged + self.records.len() as u64
    }

    /// What is wrong, in the order of the check; of very many places the first.
    pub fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.report.damage.iter().chain(&self.records)
    }
}

/// Verifies everything and goes on to the end. `progress` gets bytes done and bytes in all.
///
/// # Errors
/// When the archive cannot be read at all; damage is no error but part of the outcome.
pub fn verify(
    archive: &Archive,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, Error> {
    let report = archive.verify(progress)?;
    let records = if report.is_intact() {
        records(archive)?
    } else {
        Vec::new()
    };
    Ok(Verification { report, records })
}

fn records(archive: &Archive) -> Result<Vec<Damage>, Error> {
    let mut found = Vec::new();
    for walk in [entries::workspace, entries::dbfs] {
        let outcome = walk(archive, &mut |entry| {
            found.extend(content_damage(archive, &entry)?);
            Ok(ControlFlow::Continue(()))
        });
        match outcome {
            Ok(_) => {}
            Err(Error::Record { record, what }) => found.push(damage(&record, &what, None, None)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// A record must name a member of the size and digest that it states.
fn content_damage(archive: &Archive, entry: &Entry) -> Result<Option<Damage>, Error> {
    let Some(content) = &entry.content else {
        return Ok(None);
    };
    let Some(member) = archive.find(&content.path)? else {
        return Ok(Some(damage(
            &content.path,
            "a record names it, but it is missing",
            None,
            None,
        )));
    };
    let actual = member.sha256.to_string();
    if actual == content.sha256 && member.size == content.size {
        return Ok(None);
    }
    Ok(Some(damage(
        &content.path,
        "the record states another digest or size",
        Some(&content.sha256),
        Some(&actual),
    )))
}

fn damage(path: &str, what: &str, expected: Option<&str>, actual: Option<&str>) -> Damage {
    Damage {
        path: Some(path.to_owned()),
        frame: None,
        offset: None,
        what: what.to_owned(),
        expected: expected.map(str::to_owned),
        actual: actual.map(str::to_owned),
    }
}
