//! Where the host and the credentials come from: flags, environment, profiles (fact sheet, sections 2.1 and 2.2).
//!
//! The rules are those of the Databricks command line and SDKs: flags before environment before profile, a later source
//! fills only what is still unset. One method is supported so far, the personal access token; a configuration for
//! another method is refused by name and never half used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::profile::{BadLine, Profiles};
use crate::{Secret, host};

/// What the caller was given on its command line, and the environment to look into.
#[derive(Clone, Default)]
pub struct ConfigSource {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--host`.
    pub host: Option<String>,
    /// A token given by the caller itself.
    pub token: Option<Secret>,
    /// Another file than `~/.databrickscfg`.
    pub config_file: Option<PathBuf>,
    /// Whether a default profile may be taken when none is named. Import says no: it must not write into a workspace
    /// that nobody named.
    pub use_default_profile: bool,
    /// Environment variables: those of the process ([`ConfigSource::from_process`]) or those of a test.
    pub environment: BTreeMap<String, String>,
}

impl ConfigSource {
    /// The environment of this process, the default profile allowed, nothing else given. Variables that are not UTF-8
    /// are left out: none of ours can be.
    pub fn from_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            use_default_profile: true,
            environment,
            ..Self::default()
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    fn file(&self) -> Option<PathBuf> {
        let home = || {
            self.variable("HOME")
                .or_else(|| self.variable("USERPROFILE"))
                .map(PathBuf::from)
        };
        match (&self.config_file, self.variable("DATABRICKS_CONFIG_FILE")) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(text)) => match text.strip_prefix("~/") {
                Some(rest) => home().map(|home| home.join(rest)),
                None => Some(PathBuf::from(text)),
            },
            (None, None) => home().map(|home| home.join(".databrickscfg")),
        }
    }
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSource")
            .field("profile", &self.profile)
            .field("host", &self.host)
            .field("token", &self.token)
            .field("config_file", &self.config_file)
            .field("use_default_profile", &self.use_default_profile)
            .finish_non_exhaustive()
    }
}

/// A way of proving who calls. More methods become more variants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Personal access token.
    Token(Secret),
}

impl Credentials {
    /// Name of the method, as in `auth_type`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Token(_) => "pat",
        }
    }
}

/// A workspace and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://<name>`, without a slash at the end.
    pub host: String,
    /// Who calls.
    pub credentials: Credentials,
    /// The profile that was read, if one was.
    pub profile: Option<String>,
    /// The workspace id, when the configuration names one.
    pub workspace_id: Option<String>,
    /// Where each part came from, for `-v`: `host from environment variable DATABRICKS_HOST`. No secret values.
    pub origins: Vec<String>,
}

impl Config {
    /// A configuration from a host and a token, with the same rules for the host as [`resolve`].
    pub fn with_token(host: &str, token: Secret) -> Result<Self, ConfigError> {
        let host = host::normalise(host)?;
        check_token(&token)?;
        Ok(Self {
            host: host.base,
            credentials: Credentials::Token(token),
            profile: None,
            workspace_id: host.workspace_id,
            origins: Vec::new(),
        })
    }
}

/// Why no configuration could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A named profile is not in the file, or there is no file.
    #[error("profile {profile} is not in {}{}", path.display(), if *exists { "" } else { ": there is no such file" })]
    ProfileMissing {
        /// The profile asked for.
        profile: String,
        /// The file looked into.
        path: PathBuf,
        /// Whether the file exists.
        exists: bool,
        /// Profiles that it has.
        known: Vec<String>,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file has a line that is not INI.
    #[error("{} line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Fields of several methods are set and `auth_type` does not choose.
    #[error("more than one authorization method configured: {} ({})", groups.join(" and "), found.join(", "))]
    Conflict {
        /// Names of all groups.
        groups: Vec<String>,
        /// What was found where.
        found: Vec<String>,
    },
    /// The configuration is for a method that is not supported yet.
    #[error("authorization method {method} is not supported yet, only personal access tokens are ({})", found.join(", "))]
    Unsupported {
        /// The method.
        method: String,
        /// What was found where.
        found: Vec<String>,
    },
    /// No host.
    #[error("no host: neither --host, DATABRICKS_HOST nor a profile gives one ({})", tried.join(", "))]
    NoHost {
        /// What was looked at.
        tried: Vec<String>,
    },
    /// No credentials.
    #[error("no credentials: method pat lacks a token ({})", tried.join(", "))]
    NoCredentials {
        /// What was looked at.
        tried: Vec<String>,
    },
    /// The host cannot be used.
    #[error("host {host:?}: {what}")]
    BadHost {
        /// The host as given, without a password.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// The token cannot be sent in a header.
    #[error("the token has characters that no token can have (a line break?)")]
    BadToken,
}

/// An attribute: INI key, environment variable, group of the conflict check.
struct Attribute {
    key: &'static str,
    variable: &'static str,
    group: Option<&'static str>,
}

const fn attribute(
    key: &'static str,
    variable: &'static str,
    group: Option<&'static str>,
) -> Attribute {
    Attribute {
        key,
        variable,
        group,
    }
}

/// Fact sheet, table 2.1, as far as it decides on host, method and workspace.
const ATTRIBUTES: &[Attribute] = &[
    attribute("host", "DATABRICKS_HOST", None),
    attribute("workspace_id", "DATABRICKS_WORKSPACE_ID", None),
    attribute("auth_type", "DATABRICKS_AUTH_TYPE", None),
    attribute("token", "DATABRICKS_TOKEN", Some("pat")),
    attribute("username", "DATABRICKS_USERNAME", Some("basic")),
    attribute("password", "DATABRICKS_PASSWORD", Some("basic")),
    attribute("client_id", "DATABRICKS_CLIENT_ID", Some("oauth")),
    attribute("client_secret", "DATABRICKS_CLIENT_SECRET", Some("oauth")),
    attribute(
        "azure_workspace_resource_id",
        "DATABRICKS_AZURE_RESOURCE_ID",
        Some("azure"),
    ),
    attribute("azure_use_msi", "ARM_USE_MSI", Some("azure")),
    attribute("azure_client_id", "ARM_CLIENT_ID", Some("azure")),
    attribute("azure_client_secret", "ARM_CLIENT_SECRET", Some("azure")),
    attribute("azure_tenant_id", "ARM_TENANT_ID", Some("azure")),
    attribute(
        "metadata_service_url",
        "DATABRICKS_METADATA_SERVICE_URL",
        Some("metadata-service"),
    ),
];

/// Values found so far, each with the words for where it came from.
#[derive(Default)]
struct Found {
    values: BTreeMap<&'static str, (String, String)>,
    /// Places looked into, for errors.
    places: Vec<String>,
}

impl Found {
    fn fill(&mut self, key: &'static str, value: Option<String>, origin: impl FnOnce() -> String) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.values.entry(key).or_insert_with(|| (value, origin()));
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(value, _)| value.as_str())
    }

    fn origins(&self) -> Vec<String> {
        self.values
            .iter()
            .map(|(key, (_, origin))| format!("{key} from {origin}"))
            .collect()
    }

    /// What was found, then what was looked into.
    fn report(&self) -> Vec<String> {
        self.origins()
            .into_iter()
            .chain(self.places.iter().cloned())
            .collect()
    }

    fn groups(&self) -> BTreeSet<&'static str> {
        let set = |attribute: &&Attribute| self.values.contains_key(attribute.key);
        ATTRIBUTES
            .iter()
            .filter(set)
            .filter_map(|attribute| attribute.group)
            .collect()
    }
}

/// Finds the host and the credentials.
pub fn resolve(source: &ConfigSource) -> Result<Config, ConfigError> {
    let mut found = Found::default();
    found.fill("host", source.host.clone(), || {
        "the command line".to_owned()
    });
    found.fill(
        "token",
        source.token.as_ref().map(|token| token.expose().to_owned()),
        || "the command line".to_owned(),
    );
    for attribute in ATTRIBUTES {
        let origin = || format!("environment variable {}", attribute.variable);
        found.fill(attribute.key, source.variable(attribute.variable), origin);
    }
    let profile = read_profile(source, &mut found)?;
    let credentials = choose(&found)?;
    let host = found.get("host").ok_or_else(|| ConfigError::NoHost {
        tried: found.report(),
    })?;
    let host = host::normalise(host)?;
    Ok(Config {
        host: host.base,
        credentials,
        profile,
        workspace_id: found
            .get("workspace_id")
            .map(str::to_owned)
            .or(host.workspace_id),
        origins: found.origins(),
    })
}

/// Fills what is still unset from the profile; gives its name if one was read.
fn read_profile(source: &ConfigSource, found: &mut Found) -> Result<Option<String>, ConfigError> {
    let named = source
        .profile
        .clone()
        .or_else(|| source.variable("DATABRICKS_CONFIG_PROFILE"));
    if named.is_none() && (found.get("host").is_some() || !found.groups().is_empty()) {
        found.places.push(
            "no profile read, since none was named and host or credentials were given".to_owned(),
        );
        return Ok(None);
    }
    if named.is_none() && !source.use_default_profile {
        found
            .places
            .push("no profile named; the default profile is not used here".to_owned());
        return Ok(None);
    }
    let Some(path) = source.file() else {
        found
            .places
            .push("no home directory to find .databrickscfg in".to_owned());
        return Ok(None);
    };
    let profiles = read_file(&path)?;
    let missing = |name: &str, profiles: Option<&Profiles>| ConfigError::ProfileMissing {
        profile: name.to_owned(),
        path: path.clone(),
        exists: profiles.is_some(),
        known: profiles.map(Profiles::names).unwrap_or_default(),
    };
    let name = named
        .clone()
        .or_else(|| profiles.as_ref().and_then(Profiles::fallback));
    let keys = name
        .as_deref()
        .and_then(|name| profiles.as_ref().and_then(|profiles| profiles.get(name)));
    match (name, keys) {
        (Some(name), Some(keys)) => {
            for attribute in ATTRIBUTES {
                let origin = || format!("profile {name} of {}", path.display());
                found.fill(attribute.key, keys.get(attribute.key).cloned(), origin);
            }
            found
                .places
                .push(format!("profile {name} of {}", path.display()));
            Ok(Some(name))
        }
        (Some(name), None) if named.is_some() => Err(missing(&name, profiles.as_ref())),
        _ => {
            let state = if profiles.is_some() {
                "has no default profile"
            } else {
                "does not exist"
            };
            found.places.push(format!("{} {state}", path.display()));
            Ok(None)
        }
    }
}

/// `None` if there is no such file: that alone is not an error.
fn read_file(path: &Path) -> Result<Option<Profiles>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ConfigError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let profiles = Profiles::parse(&text).map_err(|BadLine { line, what }| ConfigError::Line {
        path: path.to_owned(),
        line,
        what,
    })?;
    Ok(Some(profiles))
}

/// The method that the found values are for. `auth_type` forces one; without it, only one group may be filled.
fn choose(found: &Found) -> Result<Credentials, ConfigError> {
    let groups = found.groups();
    let unsupported = |method: &str| ConfigError::Unsupported {
        method: method.to_owned(),
        found: found.origins(),
    };
    match found.get("auth_type") {
        Some("pat") => {}
        Some(method) => return Err(unsupported(method)),
        None if groups.len() > 1 => {
            let groups = groups.into_iter().map(str::to_owned).collect();
            return Err(ConfigError::Conflict {
                groups,
                found: found.origins(),
            });
        }
        None if found.get("token").is_none() && !groups.is_empty() => {
            return Err(unsupported(method_of(found)));
        }
        None => {}
    }
    let token = found
        .get("token")
        .ok_or_else(|| ConfigError::NoCredentials {
            tried: found.report(),
        })?;
    let token = Secret::new(token);
    check_token(&token)?;
    Ok(Credentials::Token(token))
}

/// The method that the fields of the only filled group are for.
fn method_of(found: &Found) -> &'static str {
    let has = |key| found.get(key).is_some();
    if has("username") || has("password") {
        "basic"
    } else if has("client_id") || has("client_secret") {
        "oauth-m2m"
    } else if has("azure_use_msi") {
        "azure-msi"
    } else if has("azure_client_id") || has("azure_client_secret") {
        "azure-client-secret"
    } else if has("metadata_service_url") {
        "metadata-service"
    } else {
        "azure-cli"
    }
}

fn check_token(token: &Secret) -> Result<(), ConfigError> {
    let fits = token.expose().chars().all(|c| c.is_ascii_graphic());
    if fits && !token.expose().is_empty() {
        Ok(())
    } else {
        Err(ConfigError::BadToken)
    }
}
