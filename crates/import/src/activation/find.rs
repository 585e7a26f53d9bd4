//! The journal of a target: one pair below the state home, or the one that is named.

use std::path::{Path, PathBuf};

use super::SwitchOptions;
use crate::error::{Error, Rule};
use crate::guards::{pair_folder, plain, state_home};
use crate::journal::Journal;

/// A journal and the pair that it is for.
pub(super) struct Found {
    pub path: PathBuf,
    pub source: String,
}

/// Finds the journal of imports into `target`.
pub(super) fn find(options: &SwitchOptions, target: &str) -> Result<Found, Error> {
    let home = state_home(options.state_home.as_deref());
    if let Some(path) = &options.journal {
        return match Journal::pair(path)? {
            Some((source, of)) if of == target => Ok(Found {
                path: path.clone(),
                source,
            }),
            Some((_, of)) => Err(Error::Refused {
                rule: Rule::JournalOfAnotherPair,
                detail: format!("{} is for target {of}, not {target}", path.display()),
                hint: "name the journal of imports into this target, or leave the option out"
                    .to_owned(),
            }),
            None => Err(none(
                target,
                &format!("{} is empty or absent", path.display()),
            )),
        };
    }
    let mut found = journals(&home, target)?;
    if let Some(source) = &options.source {
        found.retain(|one| one.source == *source);
    }
    match found.len() {
        0 => Err(none(
            target,
            &match &options.source {
                Some(source) => format!(
                    "no journal of imports from {source} below {}",
                    home.display()
                ),
                None => format!("no journal for it below {}", home.display()),
            },
        )),
        1 => Ok(found.remove(0)),
        _ => {
            let sources: Vec<&str> = found.iter().map(|one| one.source.as_str()).collect();
            Err(Error::Refused {
                rule: Rule::SeveralSources,
                detail: format!(
                    "workspace {target} was imported into from {}",
                    sources.join(", ")
                ),
                hint: "name the one that is meant with --source".to_owned(),
            })
        }
    }
}

fn none(target: &str, detail: &str) -> Error {
    Error::Refused {
        rule: Rule::NoLedger,
        detail: format!("workspace {target}: {detail}"),
        hint: "name the journal with --journal; without an import there is nothing to activate"
            .to_owned(),
    }
}

/// All journals of a target below a state home, by source.
fn journals(home: &Path, target: &str) -> Result<Vec<Found>, Error> {
    let folder = home.join("lifeboat");
    let io = |source| Error::Io {
        doing: "listing",
        path: folder.clone(),
        source,
    };
    let entries = match fs_err::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let ending = format!("-{}", plain(target));
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        // Other folders are of other targets: a journal there that cannot be read is none of ours.
        if !name.to_string_lossy().ends_with(&ending) {
            continue;
        }
        let path = entry.path().join("journal.jsonl");
        if let Some((source, of)) = Journal::pair(&path)?
            && of == target
            // What was restored into its own source waits for nothing.
            && source != target
            && pair_folder(&source, target) == name.to_string_lossy()
        {
            found.push(Found { path, source });
        }
    }
    found.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(found)
}
