//! What can go wrong with a call, and what it means for the caller.
//!
//! Facts of the service: its error bodies carry a status, a code, or neither; the same meaning comes in several
//! forms. The questions (`is_not_found` and the like) gather those forms in one place.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// `what` of a [`Problem::Network`] in which nothing was sent.
pub(crate) const CONNECT: &str = "connect";

/// How the service begins its message about a token that it does not take.
pub(crate) const INVALID_TOKEN: &str = "Invalid access token";

/// A call that did not give a usable reply.
///
/// The text names method, path and what was answered; it holds no query, no request or reply body and no credential.
pub struct Error(Box<Inner>);

struct Inner {
    method: String,
    path: String,
    tries: u32,
    problem: Problem,
}

/// Some calls say "gone" with 400 and a message (fact sheet 3.2). The object must be the one that the path asks for: a
/// job that names a cluster which does not exist is not itself gone.
fn names_a_gone_object(path: &str, message: &str) -> bool {
    let asked = |subject: &str| message.contains(subject) && message.contains("does not exist");
    let clusters = path.contains("/clusters") || path.contains("/libraries");
    let jobs = path.contains("/jobs") && !path.ends_with("/create");
    (clusters && asked("Cluster ")) || (jobs && (asked("Job ") || asked("Run ")))
}

/// An IP access list keeps the caller out: "Source IP address 1.2.3.4 is blocked by Databricks IP ACL" (fact sheet 2.5;
/// the wording varies). Names of objects that a message quotes may hold any words, so the phrase must be whole and
/// nothing may be quoted before it.
fn blocks_the_address(message: &str) -> bool {
    let Some((before, after)) = message.split_once("Source IP address") else {
        return false;
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit() || " :.,[]".contains(c));
    let blocked = ["is blocked", "was blocked", "is not allowed"];
    !before.contains(['/', '\\', '\'', '"', '`'])
        && blocked.iter().any(|word| rest.starts_with(word))
}

fn refused_text(
    status: u16,
    code: Option<&str>,
    message: &str,
    request_id: Option<&str>,
) -> String {
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    let request_id = request_id
        .map(|id| format!(" (request id {id})"))
        .unwrap_or_default();
    format!("{status}{code}: {message}{request_id}")
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The service answered with an error.
    #[error("{}", refused_text(*status, code.as_deref(), message, request_id.as_deref()))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Error code of the service (`RESOURCE_DOES_NOT_EXIST`, `SCIM_404`), where the body has one.
        code: Option<String>,
        /// `reason` of the `ErrorInfo` in the details.
        reason: Option<String>,
        /// Message of the service, credentials cut out.
        message: String,
        /// Id under which the operator of the service finds the call.
        request_id: Option<String>,
        /// Whether the answer was "too many requests", in any of its forms.
        throttled: bool,
        /// How long the service asked to wait.
        wait: Option<Duration>,
    },
    /// A page for people came instead of an API reply: the credentials do not reach the API.
    #[error("answered with a login page (status {status}){}", if *private_link { ": Private Link blocks this network" } else { "" })]
    LoginPage {
        /// HTTP status.
        status: u16,
        /// The redirect names a Private Link validation error.
        private_link: bool,
    },
    /// The method gave no token; nothing was sent to the workspace.
    #[error("no token by the method {method}: {what}")]
    Token {
        /// Name of the method, as in `auth_type`.
        method: &'static str,
        /// The credentials do not give one; else whoever gives it was not reached.
        refused: bool,
        /// What was answered, credentials cut out.
        what: String,
    },
    /// No complete reply arrived.
    #[error("no complete reply: {what}")]
    Network {
        /// "connect", "time-out", "request", "reply".
        what: &'static str,
        /// The cause.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The reply is larger than allowed by the caller.
    #[error("the reply has more than {cap} bytes")]
    OverCap {
        /// Bytes allowed.
        cap: u64,
    },
    /// The reply is not what this call gives.
    #[error("unexpected reply: expected {expected}, found {actual}")]
    Unexpected {
        /// What should have come.
        expected: String,
        /// What came: an error that the service named, else no more than the kind of it.
        actual: String,
    },
    /// A listing did not settle.
    #[error(
        "the listing did not settle in {reads} reads: totalResults {total}, {distinct} distinct ids in the last one"
    )]
    Unstable {
        /// Complete reads made.
        reads: u32,
        /// `totalResults` of the last read.
        total: u64,
        /// Distinct ids in the last read.
        distinct: u64,
    },
    /// The request could not be built.
    #[error("the request cannot be made: {what}")]
    Invalid {
        /// Why.
        what: String,
    },
    /// A local file could not be written.
    #[error("a local file could not be written")]
    Local {
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn new(method: &str, path: &str, tries: u32, problem: Problem) -> Self {
        Self(Box::new(Inner {
            method: method.to_owned(),
            path: path.to_owned(),
            tries,
            problem,
        }))
    }

    /// HTTP method of the call.
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// Path of the call, without the query.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// `GET /api/...`, as the ledger names a request.
    pub fn request(&self) -> String {
        format!("{} {}", self.0.method, self.0.path)
    }

    /// Requests sent for this call.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// What went wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// HTTP status, if there was a reply with an error.
    pub fn status(&self) -> Option<u16> {
        match self.problem() {
            Problem::Refused { status, .. } | Problem::LoginPage { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Error code of the service.
    pub fn code(&self) -> Option<&str> {
        match self.problem() {
            Problem::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The service's message, or what went wrong in our words.
    pub fn message(&self) -> String {
        match self.problem() {
            Problem::Refused { message, .. } => message.clone(),
            problem => problem.to_string(),
        }
    }

    /// Id under which the operator of the service finds the call.
    pub fn request_id(&self) -> Option<&str> {
        match self.problem() {
            Problem::Refused { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// The object is gone: 404 and its other forms (400 `Cluster ... does not exist`). Not: an unknown API.
    pub fn is_not_found(&self) -> bool {
        let Problem::Refused {
            status,
            code,
            message,
            ..
        } = self.problem()
        else {
            return false;
        };
        match (*status, code.as_deref()) {
            (_, Some("ENDPOINT_NOT_FOUND" | "FEATURE_DISABLED")) => false,
            (404, _) | (_, Some("RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND")) => true,
            (400, Some("INVALID_PARAMETER_VALUE")) => names_a_gone_object(self.path(), message),
            (400, Some("INVALID_STATE")) => {
                message.contains("Cannot access cluster")
                    && message.contains("terminated or unpinned more than")
            }
            _ => false,
        }
    }

    /// The object, or another one of that name, exists already.
    pub fn is_already_exists(&self) -> bool {
        let Problem::Refused {
            status,
            code,
            message,
            ..
        } = self.problem()
        else {
            return false;
        };
        match (*status, code.as_deref()) {
            (_, Some("RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS")) => true,
            (409, code) => code != Some("ABORTED"),
            (400, _) => message.contains("already exists"),
            _ => false,
        }
    }

    /// The service's 10 MB rule (10485760 bytes) forbids this form of the call.
    pub fn is_too_large(&self) -> bool {
        let Problem::Refused {
            status,
            code,
            reason,
            message,
            ..
        } = self.problem()
        else {
            return false;
        };
        let named = |text: &Option<String>| {
            matches!(
                text.as_deref(),
                Some("MAX_NOTEBOOK_SIZE_EXCEEDED" | "MAX_READ_SIZE_EXCEEDED")
            )
        };
        *status == 413
            || (*status == 400 && (named(code) || named(reason) || message.contains("10485760")))
    }

    /// The reply was larger than the cap that the caller gave.
    pub fn is_over_cap(&self) -> bool {
        matches!(self.problem(), Problem::OverCap { .. })
    }

    /// The workspace says that the feature is switched off (`FEATURE_DISABLED`).
    pub fn is_feature_off(&self) -> bool {
        self.code() == Some("FEATURE_DISABLED")
    }

    /// The host knows no such API (`ENDPOINT_NOT_FOUND`). That need not mean that there is nothing to read: a wrong
    /// host, a proxy and a retired version of the API answer so too.
    pub fn is_unknown_endpoint(&self) -> bool {
        self.code() == Some("ENDPOINT_NOT_FOUND")
    }

    /// 501, `NOT_IMPLEMENTED`.
    pub fn is_not_implemented(&self) -> bool {
        self.status() == Some(501) || self.code() == Some("NOT_IMPLEMENTED")
    }

    /// The caller may not: 401, 403, a login page.
    pub fn is_refused(&self) -> bool {
        match self.problem() {
            Problem::LoginPage { .. } | Problem::Token { refused: true, .. } => true,
            Problem::Refused { status, .. } => matches!(status, 401 | 403),
            _ => false,
        }
    }

    /// The credentials as a whole do not (any longer) open the workspace: the run must stop.
    pub fn is_auth(&self) -> bool {
        match self.problem() {
            Problem::LoginPage { .. }
            | Problem::Token { refused: true, .. }
            | Problem::Refused { status: 401, .. } => true,
            Problem::Refused {
                status: 403,
                message,
                ..
            } => {
                message.starts_with(INVALID_TOKEN)
                    || message.starts_with("Unauthorized network access")
                    || blocks_the_address(message)
            }
            _ => false,
        }
    }

    /// No complete reply arrived, after all repetitions: of the workspace, or of whoever gives tokens for it.
    pub fn is_network(&self) -> bool {
        matches!(
            self.problem(),
            Problem::Network { .. } | Problem::Token { refused: false, .. }
        )
    }

    /// Too many requests, also after all repetitions.
    pub fn is_throttled(&self) -> bool {
        matches!(
            self.problem(),
            Problem::Refused {
                throttled: true,
                ..
            }
        )
    }

    /// A listing that never agreed with itself.
    pub fn is_unstable(&self) -> bool {
        matches!(self.problem(), Problem::Unstable { .. })
    }

    /// Whether the service may have carried the call out although it failed: look before creating again.
    pub fn is_uncertain(&self) -> bool {
        if matches!(self.method(), "GET" | "HEAD") {
            return false;
        }
        match self.problem() {
            Problem::Network { what, .. } => *what != CONNECT,
            Problem::Refused {
                throttled: true, ..
            } => false,
            // What the service says when its own parts waited for each other, whatever the status.
            Problem::Refused {
                status,
                code,
                message,
                ..
            } => {
                (*status >= 500 && *status != 501)
                    || *status == 408
                    || code.as_deref() == Some("ABORTED")
                    || crate::retry::is_transient(message)
            }
            Problem::LoginPage { .. } | Problem::Unexpected { .. } | Problem::OverCap { .. } => {
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.method, self.0.path, self.0.problem)?;
        if self.0.tries > 1 {
            write!(f, " (after {} tries)", self.0.tries)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("method", &self.0.method)
            .field("path", &self.0.path)
            .field("tries", &self.0.tries)
            .field("problem", &self.0.problem)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.problem.source()
    }
}
