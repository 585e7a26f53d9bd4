//! Which part of a workspace or of an archive.

use clap::Args;
use lifeboat_catalog::selection::{Selected, Selection};

/// A part; nothing given means everything.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only workspace paths that match; may be given several times. `*` stays within one folder, `**` does not
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    include: Vec<String>,
    /// Not the workspace paths that match, nor what is below them; may be given several times
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    exclude: Vec<String>,
    /// Only these kinds of object, separated by commas: jobs,clusters,notebooks
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Option<Vec<String>>,
    /// Of the homes below /Users only these users', separated by commas
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    users: Option<Vec<String>>,
}

impl SelectionArgs {
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

fn glob(text: &str) -> Result<String, String> {
    let selection = Selection {
        include: vec![text.to_owned()],
        ..Selection::default()
    };
    match Selected::compile(&selection) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; /Users/ann@example.com/** is one")),
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
