//! Requests to token endpoints: https only, except within this machine; no redirect is followed; texts of an endpoint
//! are shown without secrets.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value};
use url::{Host, Url};

use crate::secret::Cleaner;
use crate::token::NoToken;
use crate::{Secret, host};

/// Longest time for one request to a token endpoint.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for a connection; a machine without an identity service is found out by it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Replies of token endpoints have a few KiB.
const LARGEST: usize = 1 << 20;

/// Two connection pools: past the proxy, for what is on this machine or beside it, and the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    near: reqwest::Client,
    far: reqwest::Client,
}

impl Endpoints {
    pub(crate) fn new() -> Result<Self, String> {
        crate::http::install_crypto();
        let builder = || {
            reqwest::Client::builder()
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
        };
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
        Ok(Self {
            near: build(builder().no_proxy())?,
            far: build(builder())?,
        })
    }

    /// The pool for a URL. A URL to which no credentials may be sent is refused.
    pub(crate) fn pool(&self, url: &Url) -> Result<&reqwest::Client, NoToken> {
        let near = is_near(url);
        match url.scheme() {
            "https" => {}
            "http" if near => {}
            _ => {
                return Err(NoToken::refused(format!(
                    "the endpoint {} is not https",
                    shown(url)
                )));
            }
        }
        Ok(if near { &self.near } else { &self.far })
    }

    /// GET of a JSON object.
    pub(crate) async fn get(
        &self,
        url: &Url,
        cleaner: &Cleaner,
    ) -> Result<Map<String, Value>, NoToken> {
        let request = self.pool(url)?.get(url.clone());
        json(url, request, cleaner).await
    }

    /// The same with a token.
    pub(crate) async fn get_as(
        &self,
        url: &Url,
        token: &Secret,
        cleaner: &Cleaner,
    ) -> Result<Map<String, Value>, NoToken> {
        let request = self.pool(url)?.get(url.clone()).bearer_auth(token.expose());
        json(url, request, cleaner).await
    }

    /// POST of a form, with the id and secret of a client if one is given, answered with a JSON object.
    pub(crate) async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        client: Option<(&str, &str)>,
        cleaner: &Cleaner,
    ) -> Result<Map<String, Value>, NoToken> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .pool(url)?
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        json(url, request, cleaner).await
    }

    /// Where a GET is redirected to, `None` if it is not.
    pub(crate) async fn redirection(&self, url: &Url) -> Result<Option<String>, NoToken> {
        let response = send(url, self.pool(url)?.get(url.clone())).await?;
        Ok(response
            .headers()
            .get(LOCATION)
            .and_then(|target| target.to_str().ok())
            .map(str::to_owned))
    }
}

async fn send(url: &Url, request: RequestBuilder) -> Result<Response, NoToken> {
    request.send().await.map_err(|error| {
        NoToken::unreachable(format!("{} does not answer: {}", shown(url), chain(error)))
    })
}

/// A reply that is a JSON object, or why it is none.
async fn json(
    url: &Url,
    request: RequestBuilder,
    cleaner: &Cleaner,
) -> Result<Map<String, Value>, NoToken> {
    let mut response = send(url, request).await?;
    let status = response.status();
    let html = is_html(
        response
            .headers()
            .get(CONTENT_TYPE)
            .map_or(&[][..], |value| value.as_bytes()),
    );
    let mut body = Vec::new();
    while let Some(chunk) = next(url, &mut response).await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err(NoToken::refused(format!(
                "{} sends more than a token",
                shown(url)
            )));
        }
    }
    let said = |what: String| {
        let text = format!("{} {what}", shown(url));
        if is_passing(status) {
            NoToken::unreachable(text)
        } else {
            NoToken::refused(text)
        }
    };
    if html {
        return Err(said(format!(
            "answers with a page for people (status {})",
            status.as_u16()
        )));
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(fields)) if status.is_success() => Ok(fields),
        Ok(Value::Object(fields)) => Err(said(refusal(status, &fields, cleaner))),
        _ => Err(said(format!(
            "answers with status {} and no JSON object",
            status.as_u16()
        ))),
    }
}

async fn next(url: &Url, response: &mut Response) -> Result<Option<Bytes>, NoToken> {
    response.chunk().await.map_err(|error| {
        NoToken::unreachable(format!("{} breaks off: {}", shown(url), chain(error)))
    })
}

/// `refuses with 401 invalid_client: Client authentication failed`.
fn refusal(status: StatusCode, fields: &Map<String, Value>, cleaner: &Cleaner) -> String {
    let text = |value: Option<&Value>, key: &str| {
        let value = value.and_then(|value| value.get(key)).or(fields.get(key));
        value
            .and_then(Value::as_str)
            .map(|text| cleaner.clean(text))
    };
    // Azure's own endpoints nest what OAuth has at the top.
    let nested = fields.get("error").filter(|error| error.is_object());
    let code = text(None, "error")
        .or_else(|| text(nested, "code"))
        .or_else(|| text(None, "error_code"));
    let message = text(None, "error_description").or_else(|| text(nested, "message"));
    let mut said = format!("refuses with {}", status.as_u16());
    if let Some(code) = code {
        said.push_str(&format!(" {code}"));
    }
    if let Some(message) = message {
        said.push_str(&format!(": {message}"));
    }
    said
}

/// A status that says nothing about the credentials: later it may be another one.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

pub(crate) fn is_html(content_type: &[u8]) -> bool {
    content_type.starts_with(b"text/html")
}

/// This machine, or the link-local address at which clouds answer a machine of theirs: no proxy is between.
fn is_near(url: &Url) -> bool {
    let link_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        _ => false,
    };
    link_local || host::is_loopback(url)
}

/// A URL without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}

/// An error of the HTTP library with its causes; the URL is taken out, its query is none of the error's business.
pub(crate) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_https_or_stay_on_the_machine() {
        let endpoints = Endpoints::new().unwrap();
        for (url, allowed) in [
            (
                "https://login.microsoftonline.com/t/oauth2/v2.0/token",
                true,
            ),
            ("http://127.0.0.1:80/oidc/v1/token", true),
            ("http://localhost/msi/token", true),
            (
                "http://169.254.169.254/metadata/identity/oauth2/token",
                true,
            ),
            (
                "http://login.microsoftonline.com/t/oauth2/v2.0/token",
                false,
            ),
            ("http://10.0.0.1/oidc/v1/token", false),
            ("ftp://127.0.0.1/token", false),
        ] {
            let pool = endpoints.pool(&Url::parse(url).unwrap());
            assert_eq!(pool.is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn urls_are_shown_without_passwords_and_queries() {
        let url =
            Url::parse("https://me:geheim@login.example:8/x?client_secret=geheim#geheim").unwrap();
        assert_eq!(shown(&url), "https://login.example:8/x");
    }
}
