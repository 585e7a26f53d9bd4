//! What is between `object_store` and the network: counts requests, notes why one was refused, and makes the request
//! that commits an upload conditional.
//!
//! `object_store` cannot make the commit of a multipart upload conditional, though the services can; see
//! spec, "What is atomic". Its errors hold the whole reply, in which services repeat signatures, so the refusal is read
//! here instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService, ReqwestConnector,
};
use object_store::{CredentialProvider, HeaderValue};

use crate::refusal::Refusal;
use crate::store::host_of;

/// The address at which Azure's and Amazon's machines tell their identity.
const IDENTITY_HOST: &str = "169.254.169.254";

/// How far behind a copy is, is nice to know and not worth a long wait.
const STATS_TIMEOUT: Duration = Duration::from_secs(10);
/// A request to delete has no body to wait for.
const DELETE_TIMEOUT: Duration = Duration::from_secs(60);
/// Before a request is repeated; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Requests that were sent, and bytes of their bodies.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// All requests, repeated ones too, to the store and to token endpoints.
    pub requests: u64,
    /// Of these, requests for a range of bytes.
    pub ranges: u64,
    /// Of these, requests for length and metadata only.
    pub lengths: u64,
    /// Bytes that replies announced.
    pub received: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    ranges: AtomicU64,
    lengths: AtomicU64,
    received: AtomicU64,
}

impl Counters {
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            ranges: self.ranges.load(Ordering::Relaxed),
            lengths: self.lengths.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }

    fn count(&self, request: &HttpRequest) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if request.method().as_str() == "HEAD" {
            self.lengths.fetch_add(1, Ordering::Relaxed);
        } else if request.headers().contains_key("range") {
            self.ranges.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Why the last request of an operation did not succeed.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Host that was asked, with a port that is not the usual one; empty when none was.
    pub(crate) host: String,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Refused(Refusal),
    /// No whole reply came; the cause in the words of the system.
    Unreachable(String),
    /// What this machine has gives no token: no login of `az`, no file with a token.
    NoCredentials(String),
}

/// Where the requests of one operation leave their trouble.
pub(crate) type Note = Arc<Mutex<Option<Trouble>>>;

tokio::task_local! {
    pub(crate) static NOTE: Note;
}

fn note(trouble: Option<Trouble>) {
    // Outside an operation nobody asks.
    let _ = NOTE.try_with(|note| {
        *note.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    });
}

/// Signs again what was changed after it was signed.
pub(crate) type Signer = Arc<OnceLock<AccountSigner>>;

/// The credentials of an Azure account, with which object_store signs too.
#[derive(Debug)]
pub(crate) struct AccountSigner {
    pub(crate) account: String,
    pub(crate) credentials: Arc<dyn CredentialProvider<Credential = AzureCredential>>,
}

/// Credentials that note why there are none, which object_store tells like any other failure.
#[derive(Debug)]
pub(crate) struct Noted(pub(crate) Arc<dyn CredentialProvider<Credential = AzureCredential>>);

#[async_trait]
impl CredentialProvider for Noted {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let got = self.0.get_credential().await;
        if let Err(error) = &got {
            let what = innermost(error).trim().to_owned();
            // A token endpoint that was asked and refused has been noted already.
            let _ = NOTE.try_with(|note| {
                let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
                note.get_or_insert(Trouble {
                    host: String::new(),
                    what: What::NoCredentials(what),
                });
            });
        }
        got
    }
}

/// Makes clients that count and note.
#[derive(Debug, Default, Clone)]
pub(crate) struct Connector {
    pub(crate) counters: Arc<Counters>,
    pub(crate) signer: Signer,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client {
            inner: ReqwestConnector::default().connect(options)?,
            connector: self.clone(),
        }))
    }
}

impl Connector {
    /// The reply to the question how far behind a secondary region is, which object_store has no call for.
    pub(crate) async fn stats(&self, endpoint: &str) -> object_store::Result<String> {
        let url = format!("{endpoint}/?restype=service&comp=stats");
        let response = self.send("GET", &url, None, STATS_TIMEOUT).await?;
        let status = response.status();
        let body = response.into_body().bytes().await;
        let body = body.map_err(|error| generic(Box::new(error)))?;
        if !status.is_success() {
            return Err(generic(format!("{status}").into()));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Removes a blob, only while it has this tag. object_store deletes in batches alone, whose answers do not say why a
    /// blob was refused, and knows no condition. Repeated like any other request.
    pub(crate) async fn delete(
        &self,
        url: &url::Url,
        e_tag: Option<&str>,
        patience: Duration,
    ) -> object_store::Result<()> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = self
                .send("DELETE", url.as_str(), e_tag, DELETE_TIMEOUT)
                .await;
            let error = match sent {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => {
                    let status = response.status();
                    let error = generic(format!("{status}").into());
                    if status.as_u16() < 500 && !matches!(status.as_u16(), 408 | 429) {
                        return Err(error);
                    }
                    error
                }
                Err(error) => error,
            };
            if begun.elapsed() + pause > patience {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send(
        &self,
        method: &str,
        url: &str,
        if_match: Option<&str>,
        timeout: Duration,
    ) -> object_store::Result<HttpResponse> {
        let mut request = HttpRequest::new(Vec::new().into());
        *request.method_mut() = method.parse().map_err(|error| generic(Box::new(error)))?;
        *request.uri_mut() = url.parse().map_err(|error| generic(Box::new(error)))?;
        if let Some(tag) = if_match {
            let tag = HeaderValue::from_str(&format!("\"{tag}\""));
            let tag = tag.map_err(|error| generic(Box::new(error)))?;
            request.headers_mut().insert("if-match", tag);
        }
        let options = ClientOptions::new()
            .with_allow_http(url.starts_with("http:"))
            .with_timeout(timeout);
        let client = self.connect(&options)?;
        if let Some(signer) = self.signer.get() {
            let credential = signer.credentials.get_credential().await?;
            AzureAuthorizer::new(&credential, &signer.account).try_authorize(&mut request)?;
        }
        let response = client.execute(request).await;
        response.map_err(|error| generic(Box::new(error)))
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Generic {
        store: "MicrosoftAzure",
        source,
    }
}

#[derive(Debug)]
struct Client {
    inner: HttpClient,
    connector: Connector,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = host_of(&request.uri().to_string()).unwrap_or_default();
        let bodiless = request.method().as_str() == "HEAD";
        self.connector.counters.count(&request);
        if is_commit(&request) {
            self.make_conditional(&mut request).await?;
        }
        match self.inner.execute(request).await {
            Ok(response) => self.read(response, host, bodiless).await,
            Err(error) => {
                let cause = innermost(&error);
                note(Some(Trouble {
                    host: host.clone(),
                    what: What::Unreachable(cause),
                }));
                Err(once_only(error, &host))
            }
        }
    }
}

impl Client {
    async fn read(
        &self,
        response: HttpResponse,
        host: String,
        bodiless: bool,
    ) -> Result<HttpResponse, HttpError> {
        let length = response.headers().get("content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let received = &self.connector.counters.received;
        let (parts, body) = response.into_parts();
        let status = parts.status;
        if status.is_success() || status.as_u16() == 304 {
            // The reply to a length request announces what it does not bring.
            let length = length.filter(|_| !bodiless).unwrap_or_default();
            received.fetch_add(length, Ordering::Relaxed);
            note(None);
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let body = body.bytes().await?;
        let code = parts.headers.get("x-ms-error-code");
        let code = code.and_then(|code| code.to_str().ok());
        let mut refusal = Refusal::read(status.as_u16(), code, &String::from_utf8_lossy(&body));
        let date = parts
            .headers
            .get("date")
            .and_then(|date| date.to_str().ok());
        refusal.clock_ahead = date.and_then(clock_ahead);
        note(Some(Trouble {
            host,
            what: What::Refused(refusal),
        }));
        Ok(HttpResponse::from_parts(parts, body.into()))
    }

    /// The commit must not replace an object. S3 signs named headers only, so one more does no harm; a shared key of
    /// Azure signs this one too.
    async fn make_conditional(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let any = HeaderValue::from_static("*");
        request.headers_mut().insert("if-none-match", any);
        let Some(signer) = self.connector.signer.get() else {
            return Ok(());
        };
        let failed = |error: object_store::Error| HttpError::new(HttpErrorKind::Unknown, error);
        let credential = signer.credentials.get_credential().await.map_err(failed)?;
        if matches!(*credential, AzureCredential::AccessKey(_)) {
            request.headers_mut().remove("authorization");
            AzureAuthorizer::new(&credential, &signer.account)
                .try_authorize(request)
                .map_err(failed)?;
        }
        Ok(())
    }
}

/// Put Block List of Azure, CompleteMultipartUpload of S3.
fn is_commit(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair == name);
    match request.method().as_str() {
        "PUT" => has("comp=blocklist"),
        "POST" => query.split('&').any(|pair| pair.starts_with("uploadId=")),
        _ => false,
    }
}

/// A machine that is none of the cloud's has nobody at that address: asking ten times would only take minutes.
fn once_only(error: HttpError, host: &str) -> HttpError {
    let absent = matches!(
        error.kind(),
        HttpErrorKind::Connect | HttpErrorKind::Timeout
    );
    if host == IDENTITY_HOST && absent {
        HttpError::new(HttpErrorKind::Unknown, error)
    } else {
        error
    }
}

/// The last error of a chain says it best: `Connection refused`.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn clock_ahead(date: &str) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(Timestamp::now().as_second() - theirs.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> HttpRequest {
        let mut request = HttpRequest::new(Vec::new().into());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = url.parse().unwrap();
        request
    }

    #[test]
    fn only_the_commit_of_an_upload_is_conditional() {
        let azure = "https://a.blob.core.windows.net/c/x";
        let s3 = "https://b.s3.amazonaws.com/x";
        assert!(is_commit(&request(
            "PUT",
            &format!("{azure}?comp=blocklist")
        )));
        assert!(is_commit(&request("POST", &format!("{s3}?uploadId=1"))));
        for (method, url) in [
            ("PUT", format!("{azure}?comp=block&blockid=1")),
            ("PUT", azure.to_owned()),
            ("GET", format!("{azure}?comp=blocklist")),
            ("POST", format!("{s3}?uploads")),
            ("PUT", format!("{s3}?partNumber=1&uploadId=1")),
            ("DELETE", format!("{s3}?uploadId=1")),
        ] {
            assert!(!is_commit(&request(method, &url)), "{method} {url}");
        }
    }

    #[test]
    fn a_clock_is_compared_with_the_reply() {
        let ahead = clock_ahead("Sun, 22 Nov 2020 01:00:00 GMT");
        assert!(ahead.is_some_and(|ahead| ahead > 86_400), "{ahead:?}");
        assert_eq!(clock_ahead("yesterday"), None);
    }
}
