//! The client: one place through which every call goes.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::credentials::Credentials;
use crate::endpoint::Endpoints;
use crate::error::Problem;
use crate::family::family_of;
use crate::http::{Failure, Http, Payload, Reply, Request, Sink, Want};
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::retry::{self, Verdict, backoff};
use crate::secret::Cleaner;
use crate::token::{NoToken, Tokens};
use crate::{Config, Error, Family, Limits, Stats, host, source};

const ME: &str = "/api/2.0/preview/scim/v2/Me";
/// Largest JSON reply: a folder of 100,000 objects has about 30 MiB.
const JSON_CAP: u64 = 256 << 20;
const TEXT_CAP: u64 = 64 << 20;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Calls per endpoint family.
    pub limits: Limits,
    /// Longest silence of the service within one call.
    pub timeout: Duration,
    /// Longest time that one call may spend on failed attempts and the pauses after them.
    pub retry_budget: Duration,
    /// `product/version`; system and credential method are appended.
    pub user_agent: String,
    /// Calls under way at one time, over all families.
    pub max_concurrent: usize,
    /// Length of a second in the pauses before repetitions: tests have shorter ones.
    pub second: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            limits: Limits::Default,
            timeout: Duration::from_secs(60),
            retry_budget: Duration::from_secs(300),
            user_agent: concat!("lifeboat/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_concurrent: 32,
            second: Duration::from_secs(1),
        }
    }
}

/// Whether a call may be repeated after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Changes nothing.
    Read,
    /// Doing it twice gives the same as doing it once.
    Idempotent,
    /// Doing it twice makes two: repeated only when the service certainly did nothing.
    Create,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// A JSON document.
    Json(&'a Value),
    /// Bytes as they are.
    Raw(Bytes),
    /// `multipart/form-data`: text fields and one file part.
    Multipart {
        /// Name and value of each text field.
        fields: &'a [(&'a str, &'a str)],
        /// Name of the file part (`content` for workspace import).
        file: &'a str,
        /// The bytes of the file part.
        content: Bytes,
    },
}

/// Who calls, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name, or application id of a service principal.
    pub user_name: String,
    /// SCIM id.
    pub id: String,
    /// Id of the workspace (`X-Databricks-Org-Id`): 1 to 64 of `[0-9A-Za-z_-]`.
    pub workspace_id: Option<String>,
    /// Member of the group `admins`.
    pub is_admin: bool,
    /// The service shows groups of the caller. Without any, who is no administrator cannot be told from somebody whose
    /// groups are not shown.
    pub shows_groups: bool,
    /// The service's clock when it answered: the header `Date`, as it is (RFC 9110), if there was one.
    pub date: Option<String>,
}

/// A client of one workspace. Clones share connections, limits and counts.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    host: String,
    base: Url,
    workspace_id: Option<String>,
    method: &'static str,
    origins: Vec<String>,
    http: Arc<Http>,
    tokens: Arc<Tokens>,
    pace: Pace,
    options: ClientOptions,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.0.host)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config, options: ClientOptions) -> Result<Self, Error> {
        let broken = |problem| Error::new("", &config.host, 0, problem);
        let base = Url::parse(&config.host).map_err(|error| broken(invalid(&error.to_string())))?;
        let cleaner = Cleaner::new(config.credentials.secrets());
        let tokens = tokens(&config, &base, &cleaner, options.second).map_err(broken)?;
        let http = Http::new(
            &config,
            &base,
            &options.user_agent,
            options.timeout,
            cleaner,
        )
        .map_err(broken)?;
        let method = config.method();
        let Config {
            host,
            workspace_id,
            origins,
            ..
        } = config;
        Ok(Self(Arc::new(Inner {
            host,
            base,
            workspace_id,
            method,
            origins,
            http: Arc::new(http),
            tokens: Arc::new(tokens),
            pace: Pace::new(&options.limits.table(), options.max_concurrent),
            options,
        })))
    }

    /// The same client with another budget for repetitions, and counts of its own. It shares connections and tokens.
    #[must_use]
    pub fn within(&self, retry_budget: Duration) -> Self {
        let options = ClientOptions {
            retry_budget,
            ..self.0.options.clone()
        };
        Self(Arc::new(Inner {
            host: self.0.host.clone(),
            base: self.0.base.clone(),
            workspace_id: self.0.workspace_id.clone(),
            method: self.0.method,
            origins: self.0.origins.clone(),
            http: Arc::clone(&self.0.http),
            tokens: Arc::clone(&self.0.tokens),
            pace: Pace::new(&options.limits.table(), options.max_concurrent),
            options,
        }))
    }

    /// Name of the method that proves who calls, as in `auth_type`.
    pub fn method(&self) -> &'static str {
        self.0.method
    }

    /// Where each part of the configuration came from: `host from environment variable DATABRICKS_HOST`. No values.
    pub fn origins(&self) -> &[String] {
        &self.0.origins
    }

    /// `https://<name>`, without a slash at the end.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// `azure`, `azure-usgov`, `azure-china` or `unknown`, by the name of the host.
    pub fn cloud(&self) -> &'static str {
        host::cloud(&self.0.host)
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        self.0.pace.stats()
    }

    pub(crate) fn clean(&self, text: &str) -> String {
        self.0.http.clean(text)
    }

    #[cfg(test)]
    pub(crate) fn places(&self, family: Family) -> usize {
        self.0.pace.places(family)
    }

    /// Asks who calls and which workspace answers. A workspace other than the configured one is an error, and so is a
    /// workspace id that could not stand in a file name.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let (body, reply) = self.get_with_reply(ME, &[]).await?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let missing = |what: &str| unexpected(ME, what, "a reply without it");
        if let Some(id) = &reply.workspace_id
            && !is_workspace_id(id)
        {
            let shown: String = self.clean(id).chars().take(80).collect();
            return Err(unexpected(
                ME,
                "a workspace id of at most 64 letters, digits, '-' and '_' in the header X-Databricks-Org-Id",
                &format!("{shown:?}"),
            ));
        }
        if let (Some(asked), Some(answers)) = (&self.0.workspace_id, &reply.workspace_id)
            && asked != answers
        {
            return Err(unexpected(
                ME,
                &format!("workspace {asked}"),
                &format!("workspace {answers}"),
            ));
        }
        let groups = body
            .get("groups")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let is_admin = groups
            .iter()
            .any(|group| group.get("display").and_then(Value::as_str) == Some("admins"));
        Ok(Identity {
            user_name: text("userName").ok_or_else(|| missing("userName"))?,
            id: text("id").ok_or_else(|| missing("id"))?,
            workspace_id: reply.workspace_id,
            is_admin,
            shows_groups: !groups.is_empty(),
            date: reply.date,
        })
    }

    /// GET of a JSON document.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        Ok(self.get_with_reply(path, query).await?.0)
    }

    async fn get_with_reply(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(Value, Reply), Error> {
        let (bytes, reply) = self.get_json_bytes(path, query).await?;
        let value =
            serde_json::from_slice(&bytes).map_err(|_| not_json("GET", path, &bytes, &reply))?;
        self.no_error_instead("GET", path, &value, &bytes)?;
        Ok((value, reply))
    }

    /// GET of a JSON document, not yet parsed.
    pub(crate) async fn get_json_bytes(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(Vec<u8>, Reply), Error> {
        let request = self.request("GET", path, query, Payload::None, Want::Json)?;
        let mut sink = Sink::Memory(Vec::new());
        let reply = self
            .call(&request, Safety::Read, JSON_CAP, &mut sink)
            .await?;
        Ok((memory(sink), reply))
    }

    /// GET of a body as it is, as UTF-8 text of at most 64 MiB.
    pub async fn get_text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Error> {
        let bytes = self.get_bytes(path, query, TEXT_CAP).await?;
        String::from_utf8(bytes.into()).map_err(|_| unexpected(path, "UTF-8 text", "other bytes"))
    }

    /// GET of a body as it is; more than `cap` bytes are an error ([`Error::is_over_cap`]).
    pub async fn get_bytes(
        &self,
        path: &str,
        query: &[(&str, &str)],
        cap: u64,
    ) -> Result<Bytes, Error> {
        let request = self.request("GET", path, query, Payload::None, Want::Raw)?;
        let mut sink = Sink::Memory(Vec::new());
        self.call(&request, Safety::Read, cap, &mut sink).await?;
        Ok(memory(sink).into())
    }

    /// GET of a body into a file, which is emptied first and again before each repetition; gives the bytes written.
    /// The file's position is at its end afterwards. Writes are short and blocking.
    pub async fn get_to_file(
        &self,
        path: &str,
        query: &[(&str, &str)],
        cap: u64,
        file: &mut File,
    ) -> Result<u64, Error> {
        let request = self.request("GET", path, query, Payload::None, Want::Raw)?;
        Ok(self
            .call(&request, Safety::Read, cap, &mut Sink::File(file))
            .await?
            .bytes)
    }

    /// Any call. An empty reply gives `{}`.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Body<'_>,
        safety: Safety,
    ) -> Result<Value, Error> {
        let request = self.request(method, path, query, payload(body), Want::Json)?;
        let mut sink = Sink::Memory(Vec::new());
        let reply = self.call(&request, safety, JSON_CAP, &mut sink).await?;
        let bytes = memory(sink);
        if bytes.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        let value =
            serde_json::from_slice(&bytes).map_err(|_| not_json(method, path, &bytes, &reply))?;
        self.no_error_instead(method, path, &value, &bytes)?;
        Ok(value)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        payload: Payload,
        want: Want,
    ) -> Result<Request, Error> {
        let broken = |what: &str| Error::new(method, path, 0, invalid(what));
        if !path.starts_with('/') || path.contains(['?', '#']) || path.split('/').any(is_dots) {
            return Err(broken(
                "the path must begin with '/' and have neither a query nor a segment of dots",
            ));
        }
        let http_method =
            Method::from_bytes(method.as_bytes()).map_err(|_| broken("unknown method"))?;
        let mut url = self.0.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Request {
            method: http_method,
            url,
            payload,
            want,
        })
    }

    /// One attempt. When the service does not take the token, it did nothing, so the call is sent once more with
    /// another token, whatever it is.
    async fn attempt(
        &self,
        request: &Request,
        family: Family,
        renewed: &mut bool,
        cap: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Failure> {
        let Inner {
            http, tokens, pace, ..
        } = self.0.as_ref();
        let no_token = |failure: NoToken| match failure.refused {
            true => Failure::Final(tokens.problem(failure)),
            // Nothing was sent, and the token may be had later.
            false => Failure::Network {
                sent: false,
                problem: tokens.problem(failure),
            },
        };
        let held = tokens.get().await.map_err(no_token)?;
        let result = http.attempt(request, &held.headers, cap, sink).await;
        match &result {
            Err(Failure::Refused(refusal))
                if refusal.is_of_the_token() && tokens.can_renew() && !*renewed => {}
            _ => return result,
        }
        *renewed = true;
        let held = tokens.renew(&held).await.map_err(no_token)?;
        pace.count(family, |stats| {
            stats.calls += 1;
            stats.retries += 1;
        });
        http.attempt(request, &held.headers, cap, sink).await
    }

    /// One call with its repetitions. The budget counts failed attempts and the pauses after them, not the queue.
    async fn call(
        &self,
        request: &Request,
        safety: Safety,
        cap: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Error> {
        let Inner { pace, options, .. } = self.0.as_ref();
        let ClientOptions {
            retry_budget,
            second,
            ..
        } = options;
        let (method, path) = (request.method.as_str(), request.url.path());
        let family = family_of(method, path);
        let mut spent = Duration::ZERO;
        let mut tries = 0;
        let mut renewed = false;
        loop {
            let turn = pace.turn(family).await;
            tries += 1;
            let begun = Instant::now();
            pace.count(family, |stats| {
                stats.calls += 1;
                stats.retries += u64::from(tries > 1);
            });
            let attempt = self.attempt(request, family, &mut renewed, cap, sink);
            let failure = match attempt.await {
                Ok(reply) => {
                    pace.good(family);
                    pace.count(family, |stats| stats.bytes += reply.bytes);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            drop(turn);
            spent = spent.saturating_add(begun.elapsed());
            let verdict = judge(&failure, safety, tries);
            let asked = match verdict {
                Verdict::Final => None,
                Verdict::Throttled(asked) | Verdict::Again(asked) => Some(asked),
            };
            let throttled = matches!(verdict, Verdict::Throttled(_));
            pace.count(family, |stats| stats.throttled += u64::from(throttled));
            let pause = asked.map(|asked| {
                asked.map_or_else(|| backoff(tries, *second), |wait| in_seconds(wait, *second))
            });
            let left = retry_budget.saturating_sub(spent);
            let Some(pause) = pause.filter(|pause| *pause <= left) else {
                let problem = problem_of(failure);
                let problem = match asked.flatten() {
                    Some(wait) => gave_up(problem, wait, *retry_budget),
                    None => problem,
                };
                return Err(Error::new(method, path, tries, problem));
            };
            spent = spent.saturating_add(pause);
            if throttled {
                pace.slow_down(family, pause);
            }
            pace.count(family, |stats| stats.waited += pause);
            tokio::time::sleep(pause).await;
        }
    }
}

/// The tokens of the configured method.
fn tokens(
    config: &Config,
    host: &Url,
    cleaner: &Cleaner,
    second: Duration,
) -> Result<Tokens, Problem> {
    let method = config.method();
    let unusable = |failure: NoToken| invalid(&failure.what);
    if let Credentials::Token(token) = &config.credentials {
        return Tokens::fixed(method, token, cleaner.clone()).map_err(unusable);
    }
    let endpoints = Endpoints::new().map_err(|what| invalid(&what))?;
    let source = source::of(
        &config.credentials,
        Some(host.clone()),
        endpoints,
        cleaner.clone(),
    );
    let source = source.ok_or_else(|| invalid("the method gives no tokens"))?;
    Ok(Tokens::of(method, source, cleaner.clone(), second))
}

fn judge(failure: &Failure, safety: Safety, tries: u32) -> Verdict {
    match failure {
        Failure::Refused(refusal) => retry::judge(refusal, safety, tries),
        Failure::Network { sent, .. } => retry::judge_network(*sent, safety),
        Failure::Final(_) => Verdict::Final,
    }
}

/// Says why a call that could be repeated is not: the service asks for a longer wait than is allowed.
fn gave_up(problem: Problem, asked: Duration, budget: Duration) -> Problem {
    let mut problem = problem;
    if let Problem::Refused { message, .. } = &mut problem {
        let reason = format!(
            " (the service asks to wait {} s; one call may take {} s in all)",
            asked.as_secs(),
            budget.as_secs()
        );
        message.push_str(&reason);
    }
    problem
}

fn problem_of(failure: Failure) -> Problem {
    match failure {
        Failure::Network { problem, .. } | Failure::Final(problem) => problem,
        Failure::Refused(refusal) => {
            let throttled = retry::throttled(&refusal).is_some();
            let Refusal {
                status,
                code,
                reason,
                message,
                request_id,
                wait,
            } = refusal;
            Problem::Refused {
                status,
                code,
                reason,
                message,
                request_id,
                throttled,
                wait,
            }
        }
    }
}

/// A wait that the service named, in seconds of the given length.
fn in_seconds(wait: Duration, second: Duration) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * second.as_secs_f64()).unwrap_or(Duration::MAX)
}

fn payload(body: Body<'_>) -> Payload {
    match body {
        Body::None => Payload::None,
        Body::Json(value) => Payload::Json(value.to_string().into()),
        Body::Raw(bytes) => Payload::Raw(bytes),
        Body::Multipart {
            fields,
            file,
            content,
        } => Payload::Multipart {
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            file: file.to_owned(),
            content,
        },
    }
}

fn memory(sink: Sink<'_>) -> Vec<u8> {
    match sink {
        Sink::Memory(bytes) => bytes,
        Sink::File(_) => Vec::new(),
    }
}

fn invalid(what: &str) -> Problem {
    Problem::Invalid {
        what: what.to_owned(),
    }
}

/// A reply to a GET that is not what the call gives.
pub(crate) fn unexpected(path: &str, expected: &str, actual: &str) -> Error {
    let problem = Problem::Unexpected {
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    };
    Error::new("GET", path, 1, problem)
}

/// Says what came without its content.
pub(crate) fn not_json(method: &str, path: &str, bytes: &[u8], reply: &Reply) -> Error {
    let kind = if reply.content_type.is_empty() {
        "no content type"
    } else {
        &reply.content_type
    };
    let actual = format!("{} bytes of {kind}", bytes.len());
    Error::new(
        method,
        path,
        1,
        Problem::Unexpected {
            expected: "JSON".to_owned(),
            actual,
        },
    )
}

fn is_workspace_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&id.len()) && id.chars().all(allowed)
}

/// A segment that URLs understand as "here" or "above".
fn is_dots(segment: &str) -> bool {
    matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    )
}

/// One segment of a path, percent-encoded: an id or a name; `/` in it becomes `%2F`.
pub fn segment(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}
