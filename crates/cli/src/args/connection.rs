//! Which workspace, with which credentials, and how fast.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lifeboat_console::Console;
use lifeboat_databricks::{
    Client, ClientOptions, ConfigSource, LimitTable, Limits, Problem, resolve,
};
use serde_json::json;

use crate::failure::Failure;
use crate::frame::block_on_reading;

/// How long the first call is repeated when the host does not answer: somebody may be waiting who has misspelt it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for a run that nobody watches: a name service that is away for half a minute must not cost a night.
const PATIENCE_UNATTENDED: Duration = Duration::from_secs(90);

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
    pub(crate) fn connect(
        &self,
        default_profile: bool,
        console: &Console,
    ) -> Result<Client, Failure> {
        let client = self.client(default_profile, console)?;
        block_on_reading(knock(&client, PATIENCE))?;
        Ok(client)
    }

    /// The same for an export that runs by night. `host` hears which workspace it is before it is asked anything.
    pub(crate) fn connect_by_night(
        &self,
        console: &Console,
        host: impl FnOnce(&str),
    ) -> Result<Client, Failure> {
        let client = self.client(true, console)?;
        host(client.host());
        let patience = match console.settings().stderr_terminal {
            true => PATIENCE,
            false => PATIENCE_UNATTENDED,
        };
        block_on_reading(knock(&client, patience))?;
        Ok(client)
    }

    fn client(&self, default_profile: bool, console: &Console) -> Result<Client, Failure> {
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
        let work = async {
            let config = resolve(&source).await?;
            let host = config.host.clone();
            let client =
                Client::new(config, options).map_err(|source| Failure::Client { host, source })?;
            tell(&client, console);
            Ok(client)
        };
        block_on_reading(work)
    }

    /// From now on only this configuration file counts, and nothing of the environment.
    pub(crate) fn isolate(&mut self, config_file: &Path) {
        self.isolated = Some(config_file.to_owned());
    }

    /// The limits that were asked for.
    pub(crate) fn limits(&self) -> Result<Limits, Failure> {
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

/// A host that cannot be reached at all is most likely misspelt, so it is not tried for minutes. Whatever else fails here
/// is left to the run, which repeats and reports it.
async fn knock(client: &Client, patience: Duration) -> Result<(), Failure> {
    let host = client.host().to_owned();
    match client.within(patience).identity().await {
        Err(source) if source.is_network() => Err(match source.problem() {
            Problem::Token { .. } => Failure::Token { host, source },
            _ => Failure::Client { host, source },
        }),
        _ => Ok(()),
    }
}

fn tell(client: &Client, console: &Console) {
    let (method, origins) = (client.method(), client.origins());
    let fields = json!({"method": method, "origins": origins});
    let text = format!("credentials by {method}: {}", origins.join(", "));
    console.detail("credentials", fields, &text);
}
