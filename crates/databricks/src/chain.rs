//! Which method is used: the first whose settings are complete, in a fixed order, or the one that `auth_type` forces
//! (fact sheet, sections 2.2 and 2.3; spec/credentials.md, "Methods").

use std::path::PathBuf;

use url::Url;

use crate::attributes::{Found, named, truth};
use crate::credentials::{Credentials, IdToken};
use crate::entra::{Cloud, Entra, Identity};
use crate::{ConfigError, Secret, host};

/// The methods in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Pat,
    OauthM2m,
    EnvOidc,
    FileOidc,
    AzureMsi,
    AzureClientSecret,
    AzureWorkloadIdentity,
    AzureCli,
    DatabricksCli,
}

/// The variable with a token of another issuer, unless the configuration names another one.
const OIDC_TOKEN: &str = "DATABRICKS_OIDC_TOKEN";

impl Method {
    pub(crate) const ALL: [Self; 9] = [
        Self::Pat,
        Self::OauthM2m,
        Self::EnvOidc,
        Self::FileOidc,
        Self::AzureMsi,
        Self::AzureClientSecret,
        Self::AzureWorkloadIdentity,
        Self::AzureCli,
        Self::DatabricksCli,
    ];

    /// As in `auth_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pat => "pat",
            Self::OauthM2m => "oauth-m2m",
            Self::EnvOidc => "env-oidc",
            Self::FileOidc => "file-oidc",
            Self::AzureMsi => "azure-msi",
            Self::AzureClientSecret => "azure-client-secret",
            Self::AzureWorkloadIdentity => "azure-workload-identity",
            Self::AzureCli => "azure-cli",
            Self::DatabricksCli => "databricks-cli",
        }
    }

    /// Whether only a try shows that the method works: its settings are in another program.
    pub(crate) fn is_of_a_program(self) -> bool {
        matches!(self, Self::AzureCli | Self::DatabricksCli)
    }
}

/// The methods to look at: all of them, or the one that is forced. Settings of several groups are a conflict unless one
/// is forced.
pub(crate) fn methods(found: &Found) -> Result<Vec<Method>, ConfigError> {
    if let Some(name) = found.get("auth_type") {
        return match Method::ALL.into_iter().find(|method| method.name() == name) {
            Some(method) => Ok(vec![method]),
            None => Err(ConfigError::Unsupported {
                method: name.to_owned(),
                known: Method::ALL
                    .iter()
                    .map(|method| method.name().to_owned())
                    .collect(),
            }),
        };
    }
    let groups = found.groups();
    if groups.len() > 1 {
        return Err(ConfigError::Conflict {
            groups: groups.into_iter().map(str::to_owned).collect(),
            found: found.origins(),
        });
    }
    Ok(Method::ALL.to_vec())
}

/// Builds the settings of methods out of what was found.
pub(crate) struct Chain<'f> {
    pub(crate) found: &'f Found,
    /// The environment, for the variable that `oidc_token_env` names.
    pub(crate) variable: &'f dyn Fn(&str) -> Option<String>,
    /// The profile that was read.
    pub(crate) profile: Option<&'f str>,
    /// The host, in one form.
    pub(crate) host: Option<&'f str>,
    /// Whether `auth_type` chose the method: then it need not look like one for this workspace.
    pub(crate) forced: bool,
}

/// What keeps a method from being used.
pub(crate) enum Not {
    /// It lacks these.
    Lacks(Vec<String>),
    /// A value cannot be used at all.
    Wrong(ConfigError),
}

impl From<ConfigError> for Not {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error)
    }
}

impl Chain<'_> {
    /// The settings of a method, if they are complete.
    pub(crate) fn credentials(&self, method: Method) -> Result<Credentials, Not> {
        match method {
            Method::Pat => Ok(Credentials::Token(token(&self.all(&["token"])?[0])?)),
            Method::OauthM2m => {
                let [client_id, client_secret] = self.both("client_id", "client_secret")?;
                Ok(Credentials::Client {
                    client_id,
                    client_secret: Secret::new(client_secret),
                })
            }
            Method::EnvOidc => {
                let name = self.found.get("oidc_token_env").unwrap_or(OIDC_TOKEN);
                let given = (self.variable)(name)
                    .ok_or_else(|| Not::Lacks(vec![format!("the variable {name}")]))?;
                Ok(self.exchange(IdToken::Given(Secret::new(given))))
            }
            Method::FileOidc => {
                let path = self.all(&["oidc_token_filepath"])?.swap_remove(0);
                Ok(self.exchange(IdToken::File(path.into())))
            }
            Method::AzureMsi => self.machine(),
            Method::AzureClientSecret => {
                let [client_id, secret] = self.both("azure_client_id", "azure_client_secret")?;
                self.entra(Identity::Client {
                    client_id,
                    secret: Secret::new(secret),
                })
            }
            Method::AzureWorkloadIdentity => self.workload(),
            Method::AzureCli => {
                self.of_azure()?;
                self.entra(Identity::Cli)
            }
            Method::DatabricksCli => self.databricks_cli(),
        }
    }

    /// The values of these keys, or the names of all that are missing.
    fn all(&self, keys: &[&str]) -> Result<Vec<String>, Not> {
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| self.found.get(key).is_none())
            .map(|key| named(key))
            .collect();
        if missing.is_empty() {
            Ok(keys.iter().filter_map(|key| self.text(key)).collect())
        } else {
            Err(Not::Lacks(missing))
        }
    }

    fn both(&self, first: &str, second: &str) -> Result<[String; 2], Not> {
        let mut values = self.all(&[first, second])?.into_iter();
        Ok([
            values.next().unwrap_or_default(),
            values.next().unwrap_or_default(),
        ])
    }

    fn text(&self, key: &str) -> Option<String> {
        self.found.get(key).map(str::to_owned)
    }

    fn exchange(&self, from: IdToken) -> Credentials {
        Credentials::Exchange {
            client_id: self.text("client_id"),
            from,
        }
    }

    fn machine(&self) -> Result<Credentials, Not> {
        let value = self.all(&["azure_use_msi"])?.swap_remove(0);
        match truth(&value) {
            Some(true) => self.entra(Identity::Machine {
                client_id: self.text("azure_client_id"),
            }),
            Some(false) => Err(Not::Lacks(vec![named("azure_use_msi")])),
            None => Err(bad("azure_use_msi", "is neither true nor false").into()),
        }
    }

    /// What Kubernetes sets for every program in a pod counts only where it can be meant for this workspace.
    fn workload(&self) -> Result<Credentials, Not> {
        let token_file = PathBuf::from(self.all(&["federated_token_file"])?.swap_remove(0));
        self.of_azure()?;
        let client_id = self
            .text("azure_client_id")
            .or_else(|| self.text("federated_client_id"))
            .ok_or_else(|| Not::Lacks(vec![named("federated_client_id")]))?;
        self.entra(Identity::Workload {
            client_id,
            token_file,
        })
    }

    /// A method that nobody configured is tried only on a workspace of Azure.
    fn of_azure(&self) -> Result<(), Not> {
        let azure = self.host.is_some_and(|host| Cloud::of_host(host).is_some());
        if azure || self.forced || self.found.get("azure_workspace_resource_id").is_some() {
            Ok(())
        } else {
            Err(Not::Lacks(vec!["a host of Azure Databricks".to_owned()]))
        }
    }

    fn entra(&self, identity: Identity) -> Result<Credentials, Not> {
        let named = match self.found.get("azure_environment") {
            Some(name) => Some(Cloud::named(name).ok_or_else(|| {
                bad(
                    "azure_environment",
                    "is none of PUBLIC, USGOVERNMENT, CHINA",
                )
            })?),
            None => None,
        };
        let cloud = named
            .or_else(|| Cloud::of_host(self.host?))
            .or_else(|| Cloud::named("PUBLIC"));
        let ambient = matches!(identity, Identity::Workload { .. });
        let tenant = self
            .text("azure_tenant_id")
            .or_else(|| self.text("federated_tenant_id").filter(|_| ambient));
        Ok(Credentials::Entra(Box::new(Entra {
            identity,
            tenant,
            resource_id: self.text("azure_workspace_resource_id"),
            cloud: cloud.ok_or_else(|| bad("azure_environment", "is no cloud"))?,
            login: self.place("azure_authority_host")?,
            machine: self.place("azure_machine_host")?,
            resource_manager: self.place("azure_arm_endpoint")?,
        })))
    }

    fn place(&self, key: &str) -> Result<Option<Url>, ConfigError> {
        let url = self
            .found
            .get(key)
            .map(|text| Url::parse(text).map_err(|_| bad(key, "is no URL")));
        url.transpose()
    }

    fn databricks_cli(&self) -> Result<Credentials, Not> {
        let whose = match (self.profile, self.host) {
            (Some(profile), _) => ["--profile".to_owned(), profile.to_owned()],
            (None, Some(host)) => ["--host".to_owned(), host.to_owned()],
            (None, None) => return Err(Not::Lacks(vec![named("host")])),
        };
        Ok(Credentials::DatabricksCli {
            program: self
                .text("databricks_cli_path")
                .unwrap_or_else(|| "databricks".to_owned()),
            whose,
        })
    }
}

/// A token that can be sent in a header.
pub(crate) fn token(text: &str) -> Result<Secret, ConfigError> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err(ConfigError::BadToken)
    }
}

fn bad(key: &str, what: &'static str) -> ConfigError {
    ConfigError::BadValue {
        attribute: named(key),
        what,
    }
}

/// The host, if one is configured, in one form.
pub(crate) fn host_of(found: &Found) -> Result<Option<host::Host>, ConfigError> {
    found.get("host").map(host::normalise).transpose()
}
