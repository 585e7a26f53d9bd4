//! The file of a fleet: workspaces with the options of `run`, and the names of variables in which their secrets are.
//!
//! The options are those of the command line, so each key is checked by its parser. Nothing in the file is a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use serde::Deserialize;
use toml::{Table, Value};

use crate::export::Cli;
use crate::failure::Failure;

/// Options of `run` that are the fleet's own business.
const NOT_HERE: [&str; 5] = ["json", "quiet", "verbose", "help", "version"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Table,
    #[serde(default, rename = "workspace")]
    workspaces: Vec<Table>,
}

/// All workspaces, in the order of the file.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) workspaces: Vec<Workspace>,
}

/// One workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workspace {
    pub(super) name: String,
    /// Arguments after `run`.
    pub(super) arguments: Vec<String>,
    /// Variable of the export to the variable of the fleet that holds its value.
    pub(super) environment: BTreeMap<String, String>,
}

impl Fleet {
    /// Reads and checks the whole file; nothing has begun when something is wrong anywhere in it.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs_err::read_to_string(path).map_err(|source| Failure::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|problems| Failure::Fleet {
            path: path.to_owned(),
            problems,
        })
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| {
            // The text of the file, which the long form shows, may hold a secret by mistake.
            let line = error
                .span()
                .map(|span| text[..span.start].lines().count().max(1));
            let place = line
                .map(|line| format!("line {line}: "))
                .unwrap_or_default();
            vec![format!("{place}{}", error.message())]
        })?;
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let mut pages = BTreeSet::new();
        let mut archives = BTreeSet::new();
        let mut workspaces = Vec::new();
        for (place, table) in file.workspaces.iter().enumerate() {
            match workspace(&file.defaults, table) {
                Ok(workspace) if !names.insert(workspace.name.clone()) => {
                    problems.push(format!("the name {} is given twice", workspace.name));
                }
                // Each would replace what the other one told.
                Ok(workspace)
                    if workspace
                        .page()
                        .is_some_and(|page| !pages.insert(page.to_owned())) =>
                {
                    let name = workspace.name;
                    problems.push(format!(
                        "workspace {name}: another one has the same file of metrics"
                    ));
                }
                // Only one of them could have it.
                Ok(workspace)
                    if workspace
                        .archive()
                        .is_some_and(|archive| !archives.insert(archive)) =>
                {
                    let name = workspace.name;
                    problems.push(format!(
                        "workspace {name}: another one has the same archive; a folder in `to` ends in a slash"
                    ));
                }
                Ok(workspace) => workspaces.push(workspace),
                Err(what) => {
                    let name = table.get("name").and_then(Value::as_str);
                    let shown = name.map_or_else(|| format!("number {}", place + 1), str::to_owned);
                    problems.extend(
                        what.into_iter()
                            .map(|what| format!("workspace {shown}: {what}")),
                    );
                }
            }
        }
        if file.workspaces.is_empty() {
            problems.push("it lists no [[workspace]]".to_owned());
        }
        if problems.is_empty() {
            Ok(Self { workspaces })
        } else {
            Err(problems)
        }
    }
}

impl Workspace {
    /// Its file of metrics.
    fn page(&self) -> Option<&str> {
        self.option("--metrics=")
    }

    /// Its archive, where it has the name from the file.
    fn archive(&self) -> Option<String> {
        let to = lifeboat_storage::Place::parse(self.option("--to=")?).ok()?;
        (!to.is_folder()).then(|| to.to_string())
    }

    fn option(&self, name: &str) -> Option<&str> {
        let mut arguments = self.arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(name))
    }
}

fn workspace(defaults: &Table, table: &Table) -> Result<Workspace, Vec<String>> {
    let one = |what: String| vec![what];
    let name = match table.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() && !name.contains(char::is_control) => name.to_owned(),
        _ => return Err(one("name is a text that is not empty".to_owned())),
    };
    let mut options = BTreeMap::new();
    let mut environment = BTreeMap::new();
    for (key, value) in defaults.iter().chain(table) {
        match key.as_str() {
            "name" => {}
            "environment" => environment.extend(variables(value).map_err(one)?),
            _ => {
                options.insert(key.as_str(), value);
            }
        }
    }
    let mut arguments = Vec::new();
    for (key, value) in options {
        arguments.extend(option(key, value).map_err(one)?);
    }
    let words = ["lifeboat-export", "run"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str));
    Cli::try_parse_from(words).map_err(|error| one(refused(&error)))?;
    Ok(Workspace {
        name,
        arguments,
        environment,
    })
}

/// An option as the command line has it. The value stands behind `=`: it may begin with a dash.
fn option(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let letters = |c: char| c.is_ascii_lowercase() || c == '-';
    if key.len() < 2 || !key.chars().all(letters) || key.starts_with('-') || NOT_HERE.contains(&key)
    {
        return Err(format!("unknown key {key}"));
    }
    let one = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{key}={text}")),
        Value::Integer(number) => Ok(format!("--{key}={number}")),
        _ => Err(format!(
            "{key} is a text, a number, true, false, or a list of texts"
        )),
    };
    match value {
        Value::Boolean(true) => Ok(vec![format!("--{key}")]),
        Value::Boolean(false) => Ok(Vec::new()),
        Value::Array(list) => list.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// The parser's words, with the name of the key instead of the option where it is unknown.
fn refused(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(option) = error.get(ContextKind::InvalidArg)
    {
        let option = option.to_string();
        let key = option
            .trim_start_matches('-')
            .split('=')
            .next()
            .unwrap_or_default();
        return format!("unknown key {key}");
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names of variables on both sides: a secret in their place would not look like one.
fn variables(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let wrong = "environment is a table of names of variables: DATABRICKS_CLIENT_SECRET = \"WEST_CLIENT_SECRET\"";
    let table = value.as_table().ok_or(wrong)?;
    let is_name = |text: &str| {
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        !text.is_empty()
            && text.chars().all(allowed)
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut variables = BTreeMap::new();
    for (key, value) in table {
        let name = value.as_str().filter(|name| is_name(name));
        match name {
            Some(name) if is_name(key) => {
                variables.insert(key.clone(), name.to_owned());
            }
            // The value is not shown: it may be the secret itself.
            _ => {
                return Err(format!(
                    "environment.{key} is not the name of a variable, in capitals; the file holds no values"
                ));
            }
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        Fleet::parse(text).unwrap_err().join("\n")
    }

    #[test]
    fn defaults_are_filled_in_and_overridden() {
        let fleet = Fleet::parse(
            "[defaults]\nto = \"backups/\"\nstrict = true\nlevel = 5\nexclude = ['/a', '/b']\nenvironment.ARM_CLIENT_ID = 'APP'\n\
             [[workspace]]\nname = 'west'\nprofile = 'west'\n\
             [[workspace]]\nname = 'east'\nhost = 'h'\nstrict = false\nlevel = 7\nenvironment.ARM_CLIENT_SECRET = 'EAST_SECRET'\n",
        )
        .unwrap();
        let west = [
            "--exclude=/a",
            "--exclude=/b",
            "--level=5",
            "--profile=west",
            "--strict",
            "--to=backups/",
        ];
        assert_eq!(fleet.workspaces[0].arguments, west);
        let east = [
            "--exclude=/a",
            "--exclude=/b",
            "--host=h",
            "--level=7",
            "--to=backups/",
        ];
        assert_eq!(fleet.workspaces[1].arguments, east);
        let environment: Vec<_> = fleet.workspaces[1].environment.iter().collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [
            pair("ARM_CLIENT_ID", "APP"),
            pair("ARM_CLIENT_SECRET", "EAST_SECRET"),
        ];
        assert_eq!(
            environment,
            expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn whatever_is_not_known_is_named() {
        for (text, said) in [
            ("", "it lists no [[workspace]]"),
            ("[default]\n", "unknown field `default`"),
            (
                "[[workspace]]\nto = 'a'\n",
                "workspace number 1: name is a text",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 'a'\ntokn = 'b'\n",
                "workspace x: unknown key tokn",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 'a'\njson = true\n",
                "workspace x: unknown key json",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 'a'\nlevel = 99\n",
                "workspace x: invalid value '99' for '--level",
            ),
            (
                "[[workspace]]\nname = 'x'\n",
                "workspace x: the following required arguments were not provided: --to",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 1.5\n",
                "workspace x: to is a text, a number",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 'a'\n[[workspace]]\nname = 'x'\nto = 'b'\n",
                "the name x is given twice",
            ),
            (
                "[[workspace]]\nname = 'x'\nto = 'a'\nenvironment = 'e'\n",
                "environment is a table of names",
            ),
            ("[[workspace]]\nname = \n", "line 2: "),
        ] {
            let problems = problems(text);
            assert!(problems.contains(said), "{said}: {problems}");
        }
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_shown() {
        for text in [
            "[[workspace]]\nname = 'x'\nto = 'a'\nenvironment.DATABRICKS_TOKEN = 'dapi0123geheim'\n",
            "[[workspace]]\nname = 'x'\nto = 'a'\ntoken = 'geheim'\n",
            "[[workspace]]\nname = 'x'\ntoken = 'geheim\n",
        ] {
            let problems = problems(text);
            assert!(!problems.contains("geheim"), "{problems}");
        }
    }
}
