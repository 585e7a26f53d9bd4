//! The safety rules that stand before the first write (`spec/import.md`, "Guards").

use std::path::{Path, PathBuf};

use lifeboat_databricks::{Client, Identity};

use crate::activation;
use crate::error::{Error, Rule};
use crate::filter::Filter;
use crate::journal::{Journal, Knowledge, State};
use crate::map::Changed;
use crate::options::Options;
use crate::plan::Limits;
use crate::target::{TargetState, service};

/// Conflicting objects that a refusal names; the rest is counted.
const NAMED: usize = 5;

/// Who answers, and which workspace it is.
pub(crate) async fn identify(
    client: &Client,
    options: &Options,
) -> Result<(Identity, String), Error> {
    let identity = client
        .identity()
        .await
        .map_err(|source| service("asking the target who it is", source))?;
    let workspace_id = match (&identity.workspace_id, &options.target) {
        (Some(id), _) => id.clone(),
        // Servers that are not the service: the operator's word stands.
        (None, Some(named)) => named.clone(),
        (None, None) => {
            return Err(Error::Refused {
                rule: Rule::UnidentifiedTarget,
                detail: format!("{} names no workspace id in its answers", client.host()),
                hint: "name it with --target".to_owned(),
            });
        }
    };
    if let Some(named) = &options.target
        && *named != workspace_id
    {
        return Err(Error::Refused {
            rule: Rule::OtherTarget,
            detail: format!("{} is workspace {workspace_id}, not {named}", client.host()),
            hint: "check the profile, or the id given with --target".to_owned(),
        });
    }
    Ok((identity, workspace_id))
}

/// A host without scheme and final slash, in lower case.
fn host_name(host: &str) -> String {
    let host = host.trim().to_lowercase();
    let bare = host
        .split_once("://")
        .map_or(host.as_str(), |(_, rest)| rest);
    bare.trim_end_matches('/').to_owned()
}

/// The source as target needs an option of its own, and two workspaces have neither one id nor one host.
pub(crate) fn source_is_not_target(
    (source, source_host): (&str, &str),
    (target, target_host): (&str, &str),
    options: &Options,
) -> Result<(), Error> {
    if source.is_empty() {
        return Err(Error::Refused {
            rule: Rule::SourceIsTarget,
            detail: format!(
                "the archive does not say which workspace it was made from, so nobody can tell that it is not {target}"
            ),
            hint: "export again, from a workspace that names its id".to_owned(),
        });
    }
    if source != target
        && !source_host.is_empty()
        && host_name(source_host) == host_name(target_host)
    {
        return Err(Error::Refused {
            rule: Rule::SourceIsTarget,
            detail: format!(
                "the archive was made from {source_host}, workspace {source}, and the same host answers as workspace \
                 {target}"
            ),
            hint: "check the profile; two workspaces never share a host".to_owned(),
        });
    }
    if source == target && !options.into_source {
        return Err(Error::Refused {
            rule: Rule::SourceIsTarget,
            detail: format!("the archive was made from workspace {source}, and the target is workspace {target}"),
            hint: "to bring back what was lost there, use --into-source: it creates what is absent and changes nothing"
                .to_owned(),
        });
    }
    if source != target && options.into_source {
        return Err(Error::Refused {
            rule: Rule::OtherTarget,
            detail: format!("--into-source, but the target {target} is not the source {source}"),
            hint: "leave --into-source out, or check the profile".to_owned(),
        });
    }
    Ok(())
}

/// The rules that only an apply has.
pub(crate) fn may_apply(
    knowledge: &Knowledge,
    host: &str,
    target: &str,
    options: &Options,
) -> Result<(), Error> {
    // What is restored beside everything else, below a folder of its own, pauses nothing.
    if knowledge.state == State::Active && options.as_prefix.is_none() {
        return Err(Error::Refused {
            rule: Rule::Active,
            detail: format!("workspace {target} was activated and runs production"),
            hint: "run `lifeboat-import deactivate` first, when production runs elsewhere again"
                .to_owned(),
        });
    }
    if !knowledge.confirmed && options.target.is_none() {
        return Err(Error::Refused {
            rule: Rule::UnknownTarget,
            detail: format!(
                "nothing was ever imported into {host}, workspace {target}, with this journal"
            ),
            hint: format!("if that is the workspace you mean, add --target {target}"),
        });
    }
    Ok(())
}

/// Whoever names a journal of his own is told of the usual one, if that one knows that the target runs production.
pub(crate) fn is_active_elsewhere(
    source: &str,
    target: &str,
    options: &Options,
) -> Result<(), Error> {
    let Some(named) = &options.journal else {
        return Ok(());
    };
    let usual = Options {
        journal: None,
        state_home: options.state_home.clone(),
        ..Options::default()
    };
    let usual = journal_path(&usual, source, target);
    if options.as_prefix.is_some() || Journal::read(&usual, source, target)?.state != State::Active
    {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::Active,
        detail: format!(
            "workspace {target} was activated and runs production, as {} says and {} does not",
            usual.display(),
            named.display()
        ),
        hint: "leave out --journal, and run `lifeboat-import deactivate` first, when production runs elsewhere again"
            .to_owned(),
    })
}

/// A journal of another day, such as that of a restored disk, does not know that the target was activated since. One object
/// may have been started by hand; when half of them run, the target may be production, and an import would overwrite it.
pub(crate) fn is_standby(
    knowledge: &Knowledge,
    target: &TargetState,
    options: &Options,
) -> Result<(), Error> {
    if options.as_prefix.is_some() || options.into_source || options.overwrite_changed {
        return Ok(());
    }
    let (waiting, running) = activation::running(knowledge, target);
    if running.len() < 2 || running.len() * 2 < waiting {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::Active,
        detail: format!(
            "of {waiting} objects that this journal keeps passive {} are active in workspace {}: {}",
            running.len(),
            target.workspace_id,
            some(&running)
        ),
        hint: "it may run production, activated with another journal: name that one with `--journal`; if it is a standby after all, \
               --overwrite-changed pauses what was started by hand"
            .to_owned(),
    })
}

/// The first names of several.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = names[..names.len() - more].join(", ");
    match more {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

/// The service hides objects from others and refuses them users, groups, policies and more: half of a workspace would be
/// made, and what is hidden be made twice. Of whom the service shows no group, nobody can tell whether he is one: he is
/// warned, and may go on.
pub(crate) fn may_restore(caller: &Identity, filter: &Filter) -> Result<(), Error> {
    if caller.is_admin || !caller.shows_groups || filter.is_only_tree() {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::NotAdmin,
        detail: format!("{} is no administrator of the target workspace", caller.user_name),
        hint: "import as a member of `admins`, or restore a part of the tree alone with --include or --users".to_owned(),
    })
}

/// Whoever is not listed would count as missing: homes would be taken for orphaned, members and grants taken away.
pub(crate) fn identities_listed(
    refused: Option<(&'static str, lifeboat_databricks::Error)>,
) -> Result<(), Error> {
    match refused {
        Some((kind, source)) => Err(service(&format!("listing the target's {kind}"), source)),
        None => Ok(()),
    }
}

/// Without a journal, objects of the same names belong to somebody.
pub(crate) fn no_conflicts(
    knowledge: &Knowledge,
    conflicts: &[String],
    options: &Options,
) -> Result<(), Error> {
    if !knowledge.is_empty() || options.adopt || options.into_source || conflicts.is_empty() {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::NoJournal,
        detail: some(conflicts),
        hint:
            "name the journal of earlier imports with --journal, or link what is equal with --adopt"
                .to_owned(),
    })
}

/// Only who looks at everything can tell what is gone.
pub(crate) fn may_delete(options: &Options) -> Result<(), Error> {
    if !options.delete_removed {
        return Ok(());
    }
    let detail = if options.into_source {
        "--delete-removed, but --into-source only brings back what is absent"
    } else if options.failback.is_some() {
        "--delete-removed, but --failback brings back what the secondary did, and what was deleted there stays"
    } else if options.as_prefix.is_some() {
        "--delete-removed, but --as-prefix restores a part beside everything else"
    } else if !options.selection.is_everything() || !options.closure.is_empty() {
        "--delete-removed, but only a part of the archive is selected"
    } else {
        return Ok(());
    };
    Err(Error::Refused {
        rule: Rule::DeletePart,
        detail: detail.to_owned(),
        hint: "leave one of the two out".to_owned(),
    })
}

/// A listing that went wrong in a new way must not empty the standby.
pub(crate) fn few_deletions(limits: &[Limits], options: &Options) -> Result<(), Error> {
    let over: Vec<String> = limits
        .iter()
        .filter(|one| one.delete > options.delete_limit.of(one.linked))
        .map(|one| {
            format!(
                "{} of {} {} (at most {})",
                one.delete,
                one.linked,
                one.kind,
                options.delete_limit.of(one.linked)
            )
        })
        .collect();
    if over.is_empty() {
        return Ok(());
    }
    Err(Error::Refused {
        rule: Rule::DeleteLimit,
        detail: over.join(", "),
        hint: "look at them with `plan --delete-removed -v`; if they are meant to go, add --delete-limit with a number \
               or a percentage"
            .to_owned(),
    })
}

/// Who forgets the map would get the same objects twice, or the names of the source into what was translated. Another map,
/// even an empty one, is the operator's word.
pub(crate) fn map_is_named(changed: Option<&Changed>, options: &Options) -> Result<(), Error> {
    match changed {
        Some(changed) if changed.writes && options.map.is_none() => Err(Error::Refused {
            rule: Rule::MapLeftOut,
            detail: changed.text.clone(),
            hint: "name the map file with --map; if names are not to be translated any more, name an empty file"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Where nothing can be journaled, nothing may be written.
pub(crate) fn journal_usable<T>(result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| match error {
        Error::Io {
            doing,
            path,
            source,
        } => Error::Refused {
            rule: Rule::JournalUnusable,
            detail: format!("{doing} {}: {source}", path.display()),
            hint: "name a journal in a folder that you may write with --journal, and keep it: the next run needs it"
                .to_owned(),
        },
        other => other,
    })
}

/// Where the journal of a pair stands.
pub(crate) fn journal_path(options: &Options, source: &str, target: &str) -> PathBuf {
    if let Some(path) = &options.journal {
        return path.clone();
    }
    state_home(options.state_home.as_deref())
        .join("lifeboat")
        .join(pair_folder(source, target))
        .join("journal.jsonl")
}

/// Where the journals stand.
pub(crate) fn state_home(named: Option<&Path>) -> PathBuf {
    named.map_or_else(default_state_home, Path::to_owned)
}

/// The name of the folder of a pair.
pub(crate) fn pair_folder(source: &str, target: &str) -> String {
    format!("{}-{}", plain(source), plain(target))
}

/// `$XDG_STATE_HOME`, else `~/.local/state`, else the working directory.
fn default_state_home() -> PathBuf {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named("XDG_STATE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".local").join("state")))
        .or_else(|| named("LOCALAPPDATA"))
        .unwrap_or_else(|| Path::new(".").to_owned())
}

/// A workspace id as part of a folder's name. Ids are digits; what a strange server says must not leave the folder.
pub(crate) fn plain(id: &str) -> String {
    let kept: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    if kept.is_empty() {
        "unknown".to_owned()
    } else {
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_id_never_leaves_its_folder() {
        let options = Options {
            state_home: Some(PathBuf::from("/state")),
            ..Options::default()
        };
        let path = journal_path(&options, "../../etc", "2/../..");
        assert_eq!(path, PathBuf::from("/state/lifeboat/etc-2/journal.jsonl"));
        let path = journal_path(&options, "", "22");
        assert_eq!(
            path,
            PathBuf::from("/state/lifeboat/unknown-22/journal.jsonl")
        );
    }

    #[test]
    fn the_source_is_no_target_and_into_source_is_for_nothing_else() {
        let mut options = Options::default();
        let (one, two) = (("1", "https://one.example.net"), ("2", "two.example.net"));
        assert!(source_is_not_target(one, two, &options).is_ok());
        for (source, target) in [
            (("", "https://one.example.net"), two),
            (one, ("2", "One.example.net/")),
        ] {
            assert!(source_is_not_target(source, target, &options).is_err());
        }
        assert!(matches!(
            source_is_not_target(one, one, &options),
            Err(Error::Refused {
                rule: Rule::SourceIsTarget,
                ..
            })
        ));
        options.into_source = true;
        assert!(source_is_not_target(one, one, &options).is_ok());
        assert!(matches!(
            source_is_not_target(one, two, &options),
            Err(Error::Refused {
                rule: Rule::OtherTarget,
                ..
            })
        ));
    }

    #[test]
    fn an_unknown_target_needs_its_name_and_an_active_one_refuses() {
        let mut knowledge = Knowledge::default();
        let mut options = Options::default();
        let refused = may_apply(&knowledge, "host", "2", &options);
        assert!(matches!(
            refused,
            Err(Error::Refused {
                rule: Rule::UnknownTarget,
                ..
            })
        ));
        options.target = Some("2".to_owned());
        assert!(may_apply(&knowledge, "host", "2", &options).is_ok());
        knowledge.state = State::Active;
        let refused = may_apply(&knowledge, "host", "2", &options);
        assert!(matches!(
            refused,
            Err(Error::Refused {
                rule: Rule::Active,
                ..
            })
        ));
    }
}
