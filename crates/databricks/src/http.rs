//! One attempt of one call: the request is built, sent and its reply taken in. No repetition and no pacing here.
//!
//! HTTP/1.1 with kept connections. Redirects are never followed: the API does not redirect, only login pages do.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    CONTENT_DISPOSITION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use url::Url;

use crate::error::{CONNECT, Problem};
use crate::refusal::{self, Refusal};
use crate::secret::Cleaner;
use crate::{Config, host};

/// Header in which the service names the workspace that answers.
pub(crate) const WORKSPACE_ID: &str = "x-databricks-org-id";
/// Longest time for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that rested longer is not used again: a load balancer may just be closing it, and a create that is lost
/// so cannot be repeated.
const IDLE: Duration = Duration::from_secs(30);
/// Error bodies are read up to here; the messages in them are far shorter.
const ERROR_BODY: usize = 64 * 1024;
/// So much of a body is looked at for signs of a login page.
const OPENING: usize = 8 * 1024;
/// An upload of n bytes gets n / this many seconds on top of the time-out.
const SLOWEST_UPLOAD: u64 = 128 * 1024;

/// A request that can be sent any number of times.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) payload: Payload,
    pub(crate) want: Want,
}

/// The body to send.
pub(crate) enum Payload {
    None,
    Json(Bytes),
    Raw(Bytes),
    Multipart {
        fields: Vec<(String, String)>,
        file: String,
        content: Bytes,
    },
}

impl Payload {
    fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Json(bytes) | Self::Raw(bytes) | Self::Multipart { content: bytes, .. } => {
                bytes.len() as u64
            }
        }
    }
}

/// What a good reply is: decides how a page of HTML is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Json,
    Raw,
}

/// Where the body of a good reply goes.
pub(crate) enum Sink<'f> {
    Memory(Vec<u8>),
    File(&'f mut File),
}

impl Sink<'_> {
    /// An attempt begins: what an earlier one left is thrown away.
    fn clear(&mut self) -> std::io::Result<()> {
        match self {
            Self::Memory(bytes) => bytes.clear(),
            Self::File(file) => {
                file.rewind()?;
                file.set_len(0)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Memory(bytes) => bytes.extend_from_slice(chunk),
            Self::File(file) => file.write_all(chunk)?,
        }
        Ok(())
    }
}

/// What is known of a good reply besides its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) bytes: u64,
    pub(crate) content_type: String,
    pub(crate) workspace_id: Option<String>,
    /// The service's clock, as it writes it.
    pub(crate) date: Option<String>,
}

/// Why an attempt failed.
pub(crate) enum Failure {
    /// An error reply.
    Refused(Refusal),
    /// No complete reply. `sent`: the request may have reached the service.
    Network { sent: bool, problem: Problem },
    /// Anything that a repetition does not change.
    Final(Problem),
}

/// A connection pool for one workspace.
pub(crate) struct Http {
    client: reqwest::Client,
    headers: HeaderMap,
    cleaner: Cleaner,
    timeout: Duration,
}

impl Http {
    pub(crate) fn new(
        config: &Config,
        base: &Url,
        user_agent: &str,
        timeout: Duration,
        cleaner: Cleaner,
    ) -> Result<Self, Problem> {
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .user_agent(agent(user_agent, config.method()));
        if host::is_loopback(base) {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(Self {
            client,
            headers: headers(config)?,
            cleaner,
            timeout,
        })
    }

    /// A text of the service as it may be shown: without credentials, on one line, not too long.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.cleaner.clean(text)
    }

    /// Sends the request once, with these headers of the credentials, and takes the reply in; more than `cap` bytes of
    /// body are a failure.
    pub(crate) async fn attempt(
        &self,
        request: &Request,
        credentials: &HeaderMap,
        cap: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Failure> {
        sink.clear()
            .map_err(|source| Failure::Final(Problem::Local { source }))?;
        let builder = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(self.headers.clone())
            .headers(credentials.clone());
        let builder = with_payload(builder, &request.payload).map_err(Failure::Final)?;
        let upload = Duration::from_secs(request.payload.len() / SLOWEST_UPLOAD);
        let allowed = self.timeout.saturating_add(upload);
        let response = match tokio::time::timeout(allowed, builder.send()).await {
            Err(_) => return Err(network("time-out", true, None)),
            Ok(Err(error)) if error.is_builder() => {
                return Err(Failure::Final(invalid(&error.without_url().to_string())));
            }
            Ok(Err(error)) if error.is_connect() => {
                return Err(network(CONNECT, false, Some(error)));
            }
            Ok(Err(error)) => return Err(network("request", true, Some(error))),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            return self.good(response, request.want, cap, sink).await;
        }
        Err(self.refused(response).await)
    }

    async fn good(
        &self,
        mut response: Response,
        want: Want,
        cap: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Failure> {
        let status = response.status().as_u16();
        let login = || {
            Failure::Final(Problem::LoginPage {
                status,
                private_link: false,
            })
        };
        let over = || Failure::Final(Problem::OverCap { cap });
        let mut reply = Reply {
            bytes: 0,
            content_type: self.clean(&lossy(response.headers(), CONTENT_TYPE.as_str())),
            workspace_id: response
                .headers()
                .contains_key(WORKSPACE_ID)
                .then(|| lossy(response.headers(), WORKSPACE_ID)),
            date: text(response.headers(), DATE.as_str()),
        };
        let html = reply.content_type.starts_with("text/html");
        if html && want == Want::Json {
            return Err(login());
        }
        // A file of the workspace may itself be HTML, even a copy of a login page. Replies of the API name the
        // workspace or an attachment; only without either do the first bytes decide.
        let unsure = html
            && reply.workspace_id.is_none()
            && !response.headers().contains_key(CONTENT_DISPOSITION);
        if response.content_length().is_some_and(|length| length > cap) {
            return Err(over());
        }
        let mut opening = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            reply.bytes += chunk.len() as u64;
            if reply.bytes > cap {
                return Err(over());
            }
            if unsure && opening.len() < OPENING {
                opening.extend_from_slice(&chunk[..chunk.len().min(OPENING)]);
            }
            sink.push(&chunk)
                .map_err(|source| Failure::Final(Problem::Local { source }))?;
        }
        if is_login_page(&opening) {
            return Err(login());
        }
        Ok(reply)
    }

    async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        match tokio::time::timeout(self.timeout, response.chunk()).await {
            Err(_) => Err(network("time-out", true, None)),
            Ok(Err(error)) => Err(network("reply", true, Some(error))),
            Ok(Ok(chunk)) => Ok(chunk),
        }
    }

    async fn refused(&self, mut response: Response) -> Failure {
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            let target = text(response.headers(), LOCATION.as_str()).unwrap_or_default();
            let private_link = target.contains("private-link-validation-error");
            return Failure::Final(Problem::LoginPage {
                status,
                private_link,
            });
        }
        let header_id = text(response.headers(), "x-request-id");
        let asked = text(response.headers(), RETRY_AFTER.as_str())
            .and_then(|value| refusal::retry_after(&value));
        let mut body = Vec::new();
        let mut cut = false;
        while body.len() < ERROR_BODY {
            match self.chunk(&mut response).await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // The status is known and decides; the text is what came.
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        body.truncate(ERROR_BODY);
        let mut refusal = refusal::parse(status, &body);
        if cut {
            refusal.message.push_str(" (the reply was cut off)");
        }
        let clean = |text: Option<String>| text.map(|text| self.clean(&text));
        refusal.message = self.clean(&refusal.message);
        refusal.code = clean(refusal.code);
        refusal.reason = clean(refusal.reason);
        refusal.request_id = clean(refusal.request_id.or(header_id));
        refusal.wait = asked.or(refusal.wait);
        Failure::Refused(refusal)
    }
}

/// The library that encrypts needs a provider of its primitives; whoever set one first is respected.
pub(crate) fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster, which is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Headers of every request; those of the credentials change.
fn headers(config: &Config) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    if let Some(id) = &config.workspace_id {
        let value = HeaderValue::from_str(id)
            .map_err(|_| invalid("a header value has forbidden characters"))?;
        headers.insert("x-databricks-workspace-id", value);
    }
    Ok(headers)
}

/// `product/version os/linux auth/pat`; other characters than the convention's become `-`.
fn agent(product: &str, method: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.+-/ ".contains(c);
    let product: String = product
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    format!("{product} os/{} auth/{method}", std::env::consts::OS)
}

fn with_payload(builder: RequestBuilder, payload: &Payload) -> Result<RequestBuilder, Problem> {
    Ok(match payload {
        Payload::None => builder,
        Payload::Json(bytes) => builder
            .header(CONTENT_TYPE, "application/json")
            .body(bytes.clone()),
        Payload::Raw(bytes) => builder
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes.clone()),
        Payload::Multipart {
            fields,
            file,
            content,
        } => {
            let form = fields.iter().fold(Form::new(), |form, (name, value)| {
                form.text(name.clone(), value.clone())
            });
            let length = content.len() as u64;
            let part = Part::stream_with_length(content.clone(), length).file_name("content");
            builder.multipart(form.part(file.clone(), part))
        }
    })
}

/// A header as text, empty if it is absent.
fn lossy(headers: &HeaderMap, name: &str) -> String {
    let bytes = headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn is_login_page(opening: &[u8]) -> bool {
    let opening = String::from_utf8_lossy(opening);
    opening.contains("/login.html") || opening.contains("Databricks - Sign In")
}

/// The URL is taken out: its query is none of the error's business.
fn network(what: &'static str, sent: bool, error: Option<reqwest::Error>) -> Failure {
    let source = error.map(|error| Box::from(error.without_url()));
    Failure::Network {
        sent,
        problem: Problem::Network { what, source },
    }
}

fn invalid(what: &str) -> Problem {
    Problem::Invalid {
        what: what.to_owned(),
    }
}
