//! Which part of a workspace or of an archive.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use lifeboat_catalog::selection::Selection;
use lifeboat_console::Console;
use lifeboat_inspect::ls;
use lifeboat_storage::Place;

use crate::failure::Failure;
use crate::place::open_at;

/// A part; nothing given means everything.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only workspace paths that match; may be given several times. `*` stays within one folder, `**` does not
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Not the workspace paths that match, nor what is below them; may be given several times
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Only these kinds of object, separated by commas: jobs,clusters,notebooks
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Option<Vec<String>>,
    /// Of the homes below /Users only these users', separated by commas
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    users: Option<Vec<String>>,
}

impl SelectionArgs {
    /// The patterns and users of which nothing is in the archive that was made of this selection.
    pub(crate) fn unmatched(
        &self,
        archive: &Place,
        console: &Arc<Console>,
    ) -> Result<Vec<String>, Failure> {
        const TREE: [&str; 4] = ["directories", "notebooks", "files", "git-folders"];
        let no_tree = self
            .kinds
            .as_ref()
            .is_some_and(|kinds| !kinds.iter().any(|kind| TREE.contains(&kind.as_str())));
        if no_tree || (self.include.is_empty() && self.users.is_none()) {
            return Ok(Vec::new());
        }
        let archive = open_at(archive, console)?;
        let mut unmatched = Vec::new();
        for pattern in &self.include {
            let folder = pattern.strip_suffix("/**").unwrap_or(pattern);
            match ls(&archive, folder, true, &mut |_| ControlFlow::Break(())) {
                Ok(_) => {}
                Err(lifeboat_inspect::Error::NotFound { .. }) => {
                    unmatched.push(format!("--include {pattern}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(users) = &self.users else {
            return Ok(unmatched);
        };
        let mut homes = BTreeSet::new();
        let walked = ls(&archive, "/Users", true, &mut |entry| {
            let below = entry.name.strip_prefix("/Users/").unwrap_or_default();
            homes.insert(below.split('/').next().unwrap_or(below).to_lowercase());
            ControlFlow::Continue(())
        });
        match walked {
            Ok(_) | Err(lifeboat_inspect::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let missing = users
            .iter()
            .filter(|user| !homes.contains(&user.to_lowercase()));
        unmatched.extend(missing.map(|user| format!("--users {user}")));
        Ok(unmatched)
    }

    /// The selection that was asked for.
    pub(crate) fn selection(&self) -> Selection {
        let Self {
            include,
            exclude,
            kinds,
            users,
        } = self.clone();
        Selection {
            include,
            exclude,
            kinds,
            users,
        }
    }
}

fn kind(text: &str) -> Result<String, String> {
    if lifeboat_catalog::kind(text).is_some() {
        return Ok(text.to_owned());
    }
    let known: Vec<&str> = lifeboat_catalog::kinds()
        .iter()
        .map(|kind| kind.name)
        .collect();
    Err(format!("known kinds: {}", known.join(", ")))
}
