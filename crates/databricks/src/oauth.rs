//! The workspace's own token endpoint: a service principal's secret, or a token of another issuer, for a token of the
//! workspace (fact sheet, section 2.4: oauth-m2m, env-oidc, file-oidc).

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use url::Url;

use crate::Secret;
use crate::credentials::IdToken;
use crate::endpoint::{Endpoints, shown};
use crate::host;
use crate::secret::Cleaner;
use crate::token::{Fetch, NoToken, Token};

const DISCOVERY: &str = "/oidc/.well-known/oauth-authorization-server";
const SCOPE: &str = "all-apis";

/// What a token is asked for with.
pub(crate) enum Grant {
    Client {
        id: String,
        secret: Secret,
    },
    Exchange {
        client: Option<String>,
        from: IdToken,
    },
}

/// The token endpoint of a workspace.
pub(crate) struct Workspace {
    host: Url,
    grant: Grant,
    endpoints: Endpoints,
    cleaner: Cleaner,
    endpoint: OnceCell<Url>,
}

impl Workspace {
    pub(crate) fn new(host: Url, grant: Grant, endpoints: Endpoints, cleaner: Cleaner) -> Self {
        Self {
            host,
            grant,
            endpoints,
            cleaner,
            endpoint: OnceCell::new(),
        }
    }

    /// Asks the host where its token endpoint is. Credentials leave this machine only encrypted, so a workspace
    /// elsewhere cannot send them to plain http here either.
    async fn discover(&self) -> Result<Url, NoToken> {
        let mut url = self.host.clone();
        url.set_path(DISCOVERY);
        let reply = self.endpoints.get(&url, &self.cleaner).await?;
        let endpoint = reply
            .get("token_endpoint")
            .and_then(Value::as_str)
            .and_then(|text| Url::parse(text).ok())
            .ok_or_else(|| NoToken::refused(format!("{} names no token endpoint", shown(&url))))?;
        if endpoint.scheme() != "https" && !host::is_loopback(&self.host) {
            return Err(NoToken::refused(format!(
                "the endpoint {} is not https",
                shown(&endpoint)
            )));
        }
        Ok(endpoint)
    }
}

#[async_trait]
impl Fetch for Workspace {
    async fn fetch(&self) -> Result<Token, NoToken> {
        let endpoint = self.endpoint.get_or_try_init(|| self.discover()).await?;
        let reply = match &self.grant {
            Grant::Client { id, secret } => {
                let form = [("grant_type", "client_credentials"), ("scope", SCOPE)];
                let client = Some((id.as_str(), secret.expose()));
                self.endpoints
                    .post(endpoint, &form, client, &self.cleaner)
                    .await?
            }
            Grant::Exchange { client, from } => {
                let subject = subject(from)?;
                self.cleaner.learn(&subject);
                let mut form = vec![
                    (
                        "grant_type",
                        "urn:ietf:params:oauth:grant-type:token-exchange",
                    ),
                    ("subject_token", subject.expose()),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    ("scope", SCOPE),
                ];
                form.extend(client.iter().map(|client| ("client_id", client.as_str())));
                self.endpoints
                    .post(endpoint, &form, None, &self.cleaner)
                    .await?
            }
        };
        token(endpoint, &reply)
    }
}

/// The token of another issuer, read anew each time: its issuer replaces it.
fn subject(from: &IdToken) -> Result<Secret, NoToken> {
    match from {
        IdToken::Given(token) => Ok(token.clone()),
        IdToken::File(path) => read(path),
    }
}

fn read(path: &Path) -> Result<Secret, NoToken> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        NoToken::refused(format!(
            "cannot read the token in {}: {error}",
            path.display()
        ))
    })?;
    match text.trim() {
        "" => Err(NoToken::refused(format!(
            "there is no token in {}",
            path.display()
        ))),
        token => Ok(Secret::new(token)),
    }
}

fn token(endpoint: &Url, reply: &Map<String, Value>) -> Result<Token, NoToken> {
    let bearer = reply
        .get("access_token")
        .and_then(Value::as_str)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| NoToken::refused(format!("{} sends no access_token", shown(endpoint))))?;
    let life = reply.get("expires_in").and_then(seconds);
    Ok(Token::bearer(
        Secret::new(bearer),
        life.map(Duration::from_secs),
    ))
}

/// A number, also when it comes as text.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
