//! Tokens of Entra ID (fact sheet, section 2.4: azure-client-secret, azure-msi, azure-cli, and Azure's workload
//! identity). The `azure_identity` library gets them; here stands which ones, over which way, and what a failure means.
//!
//! That library keeps tokens of its own until five minutes before their end and cannot be told that one was refused, so
//! each fetch makes a new credential and `token` keeps the result.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::CONTENT_TYPE;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::endpoint::{Endpoints, chain, is_html, is_passing, shown};
use crate::secret::Cleaner;
use crate::token::{Fetch, NoToken, Token};
use crate::{Secret, program};

/// The application of Azure Databricks in Entra ID, in every cloud.
const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
/// Where a machine of Azure asks for its identity; other platforms name a place of their own.
const MACHINE: &str = "http://169.254.169.254";
/// How `az account show` calls a managed identity; its tokens are asked for without a tenant.
const MACHINE_NAMES: [&str; 2] = ["systemAssignedIdentity", "userAssignedIdentity"];

/// A cloud of Azure (fact sheet, section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cloud {
    name: &'static str,
    login: &'static str,
    resource_manager: &'static str,
    management: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        name: "PUBLIC",
        login: "https://login.microsoftonline.com",
        resource_manager: "https://management.azure.com/",
        management: "https://management.core.windows.net/",
    },
    Cloud {
        name: "USGOVERNMENT",
        login: "https://login.microsoftonline.us",
        resource_manager: "https://management.usgovcloudapi.net/",
        management: "https://management.core.usgovcloudapi.net/",
    },
    Cloud {
        name: "CHINA",
        login: "https://login.chinacloudapi.cn",
        resource_manager: "https://management.chinacloudapi.cn/",
        management: "https://management.core.chinacloudapi.cn/",
    },
];

impl Cloud {
    /// By the name of the environment, `AZURE...CLOUD` around it or not.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let bare = name.strip_prefix("AZURE").unwrap_or(&name);
        let bare = bare.strip_suffix("CLOUD").unwrap_or(bare);
        CLOUDS.into_iter().find(|cloud| cloud.name == bare)
    }

    /// By the zone of a workspace's host.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        Self::named(match crate::host::cloud(host) {
            "azure" => "PUBLIC",
            "azure-usgov" => "USGOVERNMENT",
            "azure-china" => "CHINA",
            _ => return None,
        })
    }
}

/// Who asks Entra ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Client {
        client_id: String,
        secret: Secret,
    },
    Workload {
        client_id: String,
        token_file: PathBuf,
    },
    /// The machine's; `Some` for one of several.
    Machine {
        client_id: Option<String>,
    },
    /// Whoever is logged in with `az`.
    Cli,
}

impl Identity {
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Client { .. } => "azure-client-secret",
            Self::Workload { .. } => "azure-workload-identity",
            Self::Machine { .. } => "azure-msi",
            Self::Cli => "azure-cli",
        }
    }

    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Client { secret, .. } => Some(secret),
            _ => None,
        }
    }
}

/// Settings of the methods of Entra ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entra {
    pub(crate) identity: Identity,
    /// The directory; else the workspace is asked for it.
    pub(crate) tenant: Option<String>,
    /// Azure's id of the workspace.
    pub(crate) resource_id: Option<String>,
    pub(crate) cloud: Cloud,
    /// Other places than the cloud's: sign-in, machine identity, Azure Resource Manager.
    pub(crate) login: Option<Url>,
    pub(crate) machine: Option<Url>,
    pub(crate) resource_manager: Option<Url>,
}

/// Gets tokens of Entra ID for a workspace.
pub(crate) struct Source {
    settings: Entra,
    /// `None` while the host is not known.
    host: Option<Url>,
    endpoints: Endpoints,
    cleaner: Cleaner,
    tenant: OnceCell<Option<String>>,
}

impl Source {
    pub(crate) fn new(
        settings: Entra,
        host: Option<Url>,
        endpoints: Endpoints,
        cleaner: Cleaner,
    ) -> Self {
        Self {
            settings,
            host,
            endpoints,
            cleaner,
            tenant: OnceCell::new(),
        }
    }

    /// The host of the workspace with the configured resource id, as Azure knows it.
    pub(crate) async fn find_host(&self, resource_id: &str) -> Result<String, NoToken> {
        let resource_manager = self.settings.cloud.resource_manager;
        let mut url = match &self.settings.resource_manager {
            Some(url) => url.clone(),
            None => {
                Url::parse(resource_manager).map_err(|error| NoToken::refused(error.to_string()))?
            }
        };
        url.set_path(resource_id);
        url.set_query(Some("api-version=2018-04-01"));
        let token = self.ask(resource_manager).await?;
        let token = Secret::new(token.token.secret());
        self.cleaner.learn(&token);
        let reply = self.endpoints.get_as(&url, &token, &self.cleaner).await?;
        let host = reply
            .get("properties")
            .and_then(|properties| properties.get("workspaceUrl"));
        host.and_then(Value::as_str)
            .filter(|host| !host.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| NoToken::refused(format!("{} names no workspaceUrl", shown(&url))))
    }

    /// One token of Entra ID.
    async fn ask(&self, resource: &str) -> Result<AccessToken, NoToken> {
        let tenant = self.tenant().await?;
        let scope = format!("{resource}/.default");
        match self.ask_in(tenant, &scope, self.subscription()).await {
            // The login may not reach the subscription and still reach the workspace.
            Err(_) if self.settings.identity == Identity::Cli && self.subscription().is_some() => {
                self.ask_in(tenant, &scope, None).await
            }
            result => result,
        }
    }

    async fn ask_in(
        &self,
        tenant: Option<&str>,
        scope: &str,
        subscription: Option<&str>,
    ) -> Result<AccessToken, NoToken> {
        let credential = self
            .credential(tenant, subscription)
            .map_err(|error| self.failure(&error))?;
        let token = credential
            .get_token(&[scope], None)
            .await
            .map_err(|error| self.failure(&error))?;
        // The library takes any JSON for a reply, also one without a token.
        if token.token.secret().is_empty() {
            return Err(NoToken::refused("the reply has no access_token"));
        }
        Ok(token)
    }

    fn subscription(&self) -> Option<&str> {
        let parts: Vec<&str> = self.settings.resource_id.as_deref()?.split('/').collect();
        match parts.as_slice() {
            ["", subscriptions, id, ..] if subscriptions.eq_ignore_ascii_case("subscriptions") => {
                Some(id)
            }
            _ => None,
        }
    }

    fn credential(
        &self,
        tenant: Option<&str>,
        subscription: Option<&str>,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = self.client_options();
        let needed = || tenant.unwrap_or_default().to_owned();
        Ok(match &self.settings.identity {
            Identity::Client { client_id, secret } => {
                let options = ClientSecretCredentialOptions { client_options };
                let secret = secret.expose().to_owned().into();
                ClientSecretCredential::new(&needed(), client_id.clone(), secret, Some(options))?
            }
            Identity::Workload {
                client_id,
                token_file,
            } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id.clone()),
                tenant_id: Some(needed()),
                token_file_path: Some(token_file.clone()),
            }))?,
            Identity::Machine { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options,
                }))?
            }
            Identity::Cli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                subscription: subscription.map(str::to_owned),
                tenant_id: tenant.map(str::to_owned),
                executor: Some(Arc::new(Shell)),
            }))?,
        })
    }

    /// Plain http within this machine is `way`'s business; the library itself wants to read https.
    fn client_options(&self) -> ClientOptions {
        let mut moved = Vec::new();
        let mut login = self.settings.cloud.login.to_owned();
        if let Some(url) = &self.settings.login {
            let mut alike = url.clone();
            // A URL of http can always be made one of https.
            let _ = alike.set_scheme("https");
            login = alike.to_string();
            moved.push((alike, url.clone()));
        }
        if let (Some(url), Ok(machine)) = (&self.settings.machine, Url::parse(MACHINE)) {
            moved.push((machine, url.clone()));
        }
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = login;
        ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            // The client repeats the call that needs the token.
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(Way {
                endpoints: self.endpoints.clone(),
                moved,
            }))),
            ..ClientOptions::default()
        }
    }

    /// The directory: as configured, or as the workspace says.
    async fn tenant(&self) -> Result<Option<&str>, NoToken> {
        let tenant = self.tenant.get_or_try_init(|| self.find_tenant()).await?;
        Ok(tenant.as_deref())
    }

    async fn find_tenant(&self) -> Result<Option<String>, NoToken> {
        match &self.settings.identity {
            Identity::Machine { .. } => return Ok(None),
            Identity::Cli if self.cli_is_a_machine().await? => return Ok(None),
            _ => {}
        }
        if let Some(tenant) = &self.settings.tenant {
            return Ok(Some(tenant.clone()));
        }
        let unknown = |why: String| {
            // `az` has a directory of its own, which is the right one unless the login is a guest.
            if self.settings.identity == Identity::Cli {
                Ok(None)
            } else {
                Err(NoToken::refused(format!(
                    "no directory (ARM_TENANT_ID) is configured, and {why}"
                )))
            }
        };
        let Some(host) = &self.host else {
            return unknown("the host that knows it is not configured either".to_owned());
        };
        let mut url = host.clone();
        url.set_path("/aad/auth");
        let target = self.endpoints.redirection(&url).await?;
        let tenant = target
            .and_then(|target| Url::parse(&target).ok())
            .and_then(|target| target.path_segments()?.next().map(str::to_owned))
            .filter(|tenant| !tenant.is_empty());
        match tenant {
            Some(tenant) => Ok(Some(tenant)),
            None => unknown(format!("{} does not say it", shown(&url))),
        }
    }

    /// Whether `az` is logged in as the machine. Also finds out that there is no `az`, or no login.
    async fn cli_is_a_machine(&self) -> Result<bool, NoToken> {
        let account = program::json(
            "az",
            &["account", "show", "--output", "json"],
            &self.cleaner,
        )
        .await?;
        let user = |key: &str| {
            account
                .get("user")
                .and_then(|user| user.get(key))
                .and_then(Value::as_str)
        };
        Ok(user("type") == Some("servicePrincipal")
            && user("name").is_some_and(|name| MACHINE_NAMES.contains(&name)))
    }

    /// What the library says, in one clean line, and whether it may pass.
    fn failure(&self, error: &azure_core::Error) -> NoToken {
        let mut levels: Vec<&(dyn StdError + 'static)> = vec![error];
        let mut next = StdError::source(error);
        while let Some(source) = next {
            levels.push(source);
            next = source.source();
        }
        if let Some(known) = levels
            .iter()
            .find_map(|level| level.downcast_ref::<Unusable>())
        {
            return NoToken {
                refused: known.0.refused,
                what: self.cleaner.clean(&known.0.what),
            };
        }
        let status = levels
            .iter()
            .find_map(|level| level.downcast_ref::<azure_core::Error>()?.http_status());
        let texts: Vec<String> = levels.iter().map(ToString::to_string).collect();
        // The outer ones repeat the inner ones in more words.
        let said = texts.iter().enumerate().filter(|(at, text)| {
            let repeated = |inner: &String| !inner.is_empty() && text.contains(inner.as_str());
            !text.is_empty() && !texts[at + 1..].iter().any(repeated)
        });
        let said: Vec<&str> = said
            .map(|(_, text)| text.split("\nTo troubleshoot").next().unwrap_or(text))
            .collect();
        let said = said.join(": ");
        let what = match status.map(u16::from) {
            Some(status) => format!("refused with {status}: {said}"),
            None => said,
        };
        NoToken {
            refused: !status.is_some_and(|status| passes(u16::from(status))),
            what: self.cleaner.clean(&what),
        }
    }

    /// Whether the token is one of a person, by a claim that only persons have.
    fn is_of_a_person(token: &str) -> bool {
        let claims = token
            .split('.')
            .nth(1)
            .and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice::<Value>(&claims).ok());
        claims.is_some_and(|claims| claims.get("upn").is_some())
    }
}

#[async_trait]
impl Fetch for Source {
    async fn fetch(&self) -> Result<Token, NoToken> {
        let own = self.ask(DATABRICKS).await?;
        let mut life = program::until(own.expires_on);
        let management = match self.settings.identity {
            Identity::Cli if Self::is_of_a_person(own.token.secret()) => None,
            // A login that may not manage may still be known to the workspace.
            Identity::Cli => self.ask(self.settings.cloud.management).await.ok(),
            _ => Some(self.ask(self.settings.cloud.management).await?),
        };
        if let Some(management) = &management {
            life = life.min(program::until(management.expires_on));
        }
        Ok(Token {
            management: management.map(|token| Secret::new(token.token.secret())),
            resource_id: self.settings.resource_id.clone(),
            ..Token::bearer(Secret::new(own.token.secret()), Some(life))
        })
    }
}

/// Runs `az` for the library, with a time limit.
#[derive(Debug)]
struct Shell;

#[async_trait]
impl azure_identity::Executor for Shell {
    async fn run(
        &self,
        program: &std::ffi::OsStr,
        arguments: &[&std::ffi::OsStr],
    ) -> std::io::Result<std::process::Output> {
        program::output(program, arguments).await
    }
}

/// The way of the library's requests: our pools, https only, and other places where some are configured.
#[derive(Debug)]
struct Way {
    endpoints: Endpoints,
    /// An origin and what stands in for it.
    moved: Vec<(Url, Url)>,
}

/// A request that got no usable reply, within an error of the library. The library repeats what it takes for network
/// errors; this it does not know.
#[derive(Debug)]
struct Unusable(NoToken);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl StdError for Unusable {}

impl From<NoToken> for azure_core::Error {
    fn from(failure: NoToken) -> Self {
        Self::new(ErrorKind::Other, Unusable(failure))
    }
}

fn passes(status: u16) -> bool {
    reqwest::StatusCode::from_u16(status).is_ok_and(is_passing)
}

#[async_trait]
impl HttpClient for Way {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        move_to(request.url_mut(), &self.moved);
        let place = shown(request.url());
        let reply = self
            .endpoints
            .pool(request.url())?
            .execute_request(&request)
            .await
            .map_err(|error| {
                NoToken::unreachable(format!("{place} does not answer: {}", cause(error)))
            })?;
        let html = reply.headers().get_optional_str(&CONTENT_TYPE);
        let status = u16::from(reply.status());
        if html.is_some_and(|kind| is_html(kind.as_bytes())) {
            let what = format!("{place} answers with a page for people (status {status})");
            let refused = !passes(status);
            return Err(NoToken { refused, what }.into());
        }
        if (300..400).contains(&status) {
            return Err(NoToken::refused(format!("{place} redirects (status {status})")).into());
        }
        Ok(reply)
    }
}

fn move_to(url: &mut Url, moved: &[(Url, Url)]) {
    let found = moved.iter().find(|(from, _)| from.origin() == url.origin());
    if let Some((_, to)) = found {
        let mut target = to.clone();
        target.set_path(url.path());
        target.set_query(url.query());
        *url = target;
    }
}

/// The error of the HTTP client within one of the library.
fn cause(error: azure_core::Error) -> String {
    match error.into_inner() {
        Ok(inner) => match inner.downcast::<reqwest::Error>() {
            Ok(error) => chain(*error),
            Err(other) => other.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_have_names_with_and_without_wrapping() {
        for (name, cloud) in [
            ("PUBLIC", Some("PUBLIC")),
            ("AzurePublicCloud", Some("PUBLIC")),
            ("usgovernment", Some("USGOVERNMENT")),
            ("AZUREUSGOVERNMENTCLOUD", Some("USGOVERNMENT")),
            ("AzureChinaCloud", Some("CHINA")),
            ("GERMAN", None),
            ("", None),
        ] {
            assert_eq!(Cloud::named(name).map(|cloud| cloud.name), cloud, "{name}");
        }
    }

    #[test]
    fn only_the_named_origin_is_moved() {
        let url = |text: &str| Url::parse(text).unwrap();
        let moved = [(url(MACHINE), url("http://127.0.0.1:7"))];
        let mut machine = url("http://169.254.169.254/metadata/identity/oauth2/token?resource=x");
        move_to(&mut machine, &moved);
        assert_eq!(
            machine.as_str(),
            "http://127.0.0.1:7/metadata/identity/oauth2/token?resource=x"
        );
        let mut other = url("http://169.254.169.254:8080/x");
        move_to(&mut other, &moved);
        assert_eq!(other.as_str(), "http://169.254.169.254:8080/x");
    }

    #[test]
    fn a_person_has_a_claim_of_its_own() {
        let token = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        assert!(Source::is_of_a_person(&token(r#"{"upn":"a@b"}"#)));
        assert!(!Source::is_of_a_person(&token(r#"{"appid":"a"}"#)));
        assert!(!Source::is_of_a_person("opaque"));
    }
}
