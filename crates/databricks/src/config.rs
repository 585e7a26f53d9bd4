//! Where the host and the credentials come from: flags, environment, profiles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Secret;

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
    /// Whether the default profile may be taken when none is named. Import says no.
    pub use_default_profile: bool,
    /// Environment variables: those of the process ([`ConfigSource::from_process`]) or those of a test.
    pub environment: BTreeMap<String, String>,
}

impl ConfigSource {
    /// The environment of this process, the default profile allowed, nothing else given.
    pub fn from_process() -> Self {
        Self {
            use_default_profile: true,
            environment: std::env::vars().collect(),
            ..Self::default()
        }
    }
}

/// A way of proving who calls. More methods become more variants.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Personal access token.
    Token(Secret),
}

/// A workspace and the credentials for it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `https://<name>`, without a slash at the end.
    pub host: String,
    /// Who calls.
    pub credentials: Credentials,
    /// The profile that was read, if one was.
    pub profile: Option<String>,
    /// The workspace id, when the configuration names one.
    pub workspace_id: Option<String>,
}

/// Why no configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing usable was found.
    #[error("no credentials")]
    NoCredentials,
}

/// Finds the host and the credentials.
pub fn resolve(_source: &ConfigSource) -> Result<Config, ConfigError> {
    unimplemented!()
}
