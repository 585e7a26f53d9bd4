//! Where the host and the credentials come from: flags, environment, profiles (fact sheet, sections 2.1 and 2.2).
//!
//! The rules are those of the Databricks command line and SDKs: flags before environment before profile, a later source
//! fills only what is still unset. Which method then proves who calls is `chain`'s business.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::attributes::{ATTRIBUTES, Found};
use crate::chain::{self, Chain, Method, Not};
use crate::credentials::Credentials;
use crate::endpoint::Endpoints;
use crate::profile::{BadLine, Profiles};
use crate::secret::Cleaner;
use crate::source;
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

/// A workspace and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://<name>`, without a slash at the end.
    pub host: String,
    /// Who calls.
    pub(crate) credentials: Credentials,
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
        Ok(Self {
            host: host.base,
            credentials: Credentials::Token(chain::token(token.expose())?),
            profile: None,
            workspace_id: host.workspace_id,
            origins: Vec::new(),
        })
    }

    /// Name of the method that proves who calls, as in `auth_type`.
    pub fn method(&self) -> &'static str {
        self.credentials.method()
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
    /// `auth_type` names a method that there is not.
    #[error("auth_type {method:?} is not one of {}", known.join(", "))]
    Unsupported {
        /// The method.
        method: String,
        /// The methods that there are.
        known: Vec<String>,
    },
    /// An attribute has a value that cannot be used.
    #[error("{attribute} {what}")]
    BadValue {
        /// Key and environment variable.
        attribute: String,
        /// What is wrong, without the value.
        what: &'static str,
    },
    /// No host.
    #[error("no host: neither --host, DATABRICKS_HOST nor a profile gives one ({})", tried.join(", "))]
    NoHost {
        /// What was looked at.
        tried: Vec<String>,
    },
    /// No method works.
    #[error("no authorization method works: {} ({})", tried.join("; "), found.join(", "))]
    NoMethod {
        /// Each method and what it lacks or why it failed.
        tried: Vec<String>,
        /// What was found where, without values.
        found: Vec<String>,
    },
    /// Azure does not tell the host of the workspace with the configured resource id.
    #[error("no host is configured, and Azure does not tell it for the resource id: {what}")]
    ResourceHost {
        /// Why.
        what: String,
    },
    /// No client for token endpoints could be made.
    #[error("no requests can be made: {what}")]
    NoRequests {
        /// Why.
        what: String,
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

/// Finds the host and the credentials. Logins that another program keeps are tried, and Azure is asked for the host when
/// only the resource id is known; nothing else is sent.
pub async fn resolve(source: &ConfigSource) -> Result<Config, ConfigError> {
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
    let host = chain::host_of(&found)?;
    let base = host.as_ref().map(|host| host.base.as_str());
    let chain = Chain {
        found: &found,
        variable: &|name| source.variable(name),
        profile: profile.as_deref(),
        host: base,
        forced: found.get("auth_type").is_some(),
    };
    let credentials = choose(&chain, base).await?;
    let (base, named) = match host {
        Some(host) => (host.base, host.workspace_id),
        None => (ask_for_host(&credentials, &found).await?, None),
    };
    Ok(Config {
        host: base,
        credentials,
        profile,
        workspace_id: found.get("workspace_id").map(str::to_owned).or(named),
        origins: found.origins(),
    })
}

/// The first method that has all it needs; of one that another program keeps, only a try shows it.
async fn choose(chain: &Chain<'_>, host: Option<&str>) -> Result<Credentials, ConfigError> {
    let mut tried = Vec::new();
    for method in chain::methods(chain.found)? {
        let credentials = match chain.credentials(method) {
            Ok(credentials) => credentials,
            Err(Not::Lacks(what)) => {
                tried.push(format!("{} lacks {}", method.name(), what.join(" and ")));
                continue;
            }
            Err(Not::Wrong(error)) => return Err(error),
        };
        match try_out(&credentials, method, chain.forced, host).await? {
            None => return Ok(credentials),
            Some(what) => tried.push(format!("{}: {what}", method.name())),
        }
    }
    Err(ConfigError::NoMethod {
        tried,
        found: chain.found.report(),
    })
}

/// Why a login that nobody asked for does not work. A forced one is left to the first call, which reports it better.
async fn try_out(
    credentials: &Credentials,
    method: Method,
    forced: bool,
    host: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    if forced || !method.is_of_a_program() {
        return Ok(None);
    }
    let cleaner = Cleaner::new(credentials.secrets());
    let host = host
        .map(Url::parse)
        .transpose()
        .map_err(|error| ConfigError::NoRequests {
            what: error.to_string(),
        })?;
    match source::of(credentials, host, endpoints()?, cleaner) {
        Some(source) => Ok(source.fetch().await.err().map(|failure| failure.what)),
        None => Ok(None),
    }
}

async fn ask_for_host(credentials: &Credentials, found: &Found) -> Result<String, ConfigError> {
    let (Credentials::Entra(entra), Some(resource_id)) =
        (credentials, found.get("azure_workspace_resource_id"))
    else {
        return Err(ConfigError::NoHost {
            tried: found.report(),
        });
    };
    let cleaner = Cleaner::new(credentials.secrets());
    let source = crate::entra::Source::new((**entra).clone(), None, endpoints()?, cleaner);
    let host = source
        .find_host(resource_id)
        .await
        .map_err(|failure| ConfigError::ResourceHost { what: failure.what })?;
    Ok(host::normalise(&host)?.base)
}

fn endpoints() -> Result<Endpoints, ConfigError> {
    Endpoints::new().map_err(|what| ConfigError::NoRequests { what })
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
