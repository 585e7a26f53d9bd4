//! Which workspace, with which credentials, and how fast.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lifeboat_databricks::{
    Client, ClientOptions, Config, ConfigError, ConfigSource, LimitTable, Limits, resolve,
};

use crate::failure::Failure;
use crate::frame::block_on_reading;

/// How long the first call is repeated when the host does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls in flight at most: with the known limits, the fastest family (100/s) needs no more even at 600 ms a call.
const IN_FLIGHT: usize = 64;

/// The same where the operator switched the limits off: only latency counts.
const IN_FLIGHT_UNLIMITED: usize = 128;

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
    pub(crate) fn connect(&self, default_profile: bool) -> Result<Client, Failure> {
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
        let config = resolve(&source).map_err(|error| match (error, &self.profile) {
            (ConfigError::NoCredentials { .. }, Some(profile)) => Failure::NoToken {
                profile: profile.clone(),
            },
            (error, _) => error.into(),
        })?;
        let limits = self.limits()?;
        let max_concurrent = match limits {
            Limits::Off => IN_FLIGHT_UNLIMITED,
            _ => IN_FLIGHT,
        };
        let options = ClientOptions {
            limits,
            max_concurrent,
            ..ClientOptions::default()
        };
        knock(&config, &options)?;
        client(config, options)
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

fn client(config: Config, options: ClientOptions) -> Result<Client, Failure> {
    let host = config.host.clone();
    Client::new(config, options).map_err(|source| Failure::Client { host, source })
}

/// A host that cannot be reached at all is most likely misspelt, so it is not tried for minutes. Whatever else fails here
/// is left to the run, which repeats and reports it.
fn knock(config: &Config, options: &ClientOptions) -> Result<(), Failure> {
    let client = client(
        config.clone(),
        ClientOptions {
            retry_budget: PATIENCE,
            ..options.clone()
        },
    )?;
    match block_on_reading(async { Ok(client.identity().await) })? {
        Err(source) if source.is_network() => Err(Failure::Client {
            host: config.host.clone(),
            source,
        }),
        _ => Ok(()),
    }
}
