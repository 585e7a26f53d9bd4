//! Which workspace, with which credentials, and how fast.

use std::path::{Path, PathBuf};

use clap::Args;
use lifeboat_databricks::{Client, ClientOptions, ConfigSource, LimitTable, Limits, resolve};

use crate::failure::Failure;

/// Where the workspace is and how politely it is asked.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Workspace")]
pub(crate) struct ConnectionArgs {
    /// Profile of ~/.databrickscfg (or of DATABRICKS_CONFIG_FILE)
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Host of the workspace, instead of DATABRICKS_HOST or the profile's
    #[arg(long, value_name = "URL")]
    host: Option<String>,
    /// Calls per second and family of endpoints: the service's known limits, none, or a file of lines such as
    /// "workspace-export = 30/s"
    #[arg(long, value_name = "default|off|FILE", default_value = "default")]
    limits: String,
    /// Only this configuration file and nothing of the environment: a demonstration must not reach a real workspace.
    #[arg(skip)]
    isolated: Option<PathBuf>,
}

impl ConnectionArgs {
    /// A client for the workspace. Only an export may fall back to the profile DEFAULT: a restore never goes where
    /// nobody pointed.
    pub(crate) fn client(&self, default_profile: bool) -> Result<Client, Failure> {
        let surroundings = match &self.isolated {
            Some(file) => ConfigSource {
                config_file: Some(file.clone()),
                ..ConfigSource::default()
            },
            None => ConfigSource::from_process(),
        };
        let source = ConfigSource {
            profile: self.profile.clone(),
            host: self.host.clone(),
            use_default_profile: default_profile,
            ..surroundings
        };
        let config = resolve(&source)?;
        let host = config.host.clone();
        let options = ClientOptions {
            limits: self.limits()?,
            ..ClientOptions::default()
        };
        Client::new(config, options).map_err(|source| Failure::Client { host, source })
    }

    /// From now on only this configuration file counts, and nothing of the environment.
    pub(crate) fn isolate(&mut self, config_file: &Path) {
        self.isolated = Some(config_file.to_owned());
    }

    fn limits(&self) -> Result<Limits, Failure> {
        match self.limits.as_str() {
            "default" => Ok(Limits::Default),
            "off" => Ok(Limits::Off),
            path => {
                let text = fs_err::read_to_string(path).map_err(|source| Failure::LimitsFile {
                    path: path.to_owned(),
                    source,
                })?;
                let table = LimitTable::parse(&text).map_err(|source| Failure::Limits {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(Limits::Table(table))
            }
        }
    }
}
