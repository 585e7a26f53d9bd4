//! What happens to every request before and after its handler: authentication, limits, faults, scripts, the log.
//!
//! Synchronous; the sockets are in `server`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bytes::Bytes;

use crate::faults::{Fault, FaultKind, Faults, When};
use crate::http::{ApiError, Body, Reply, Request, decode_query};
use crate::limits::{self, Limits};
use crate::oauth;
use crate::route::{self, Route};
use crate::script::{self, Script};
use crate::world::World;

/// One answered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, ...
    pub method: String,
    /// Path as it came.
    pub path: String,
    /// Query, decoded: `key=value&...`.
    pub query: String,
    /// Status answered; 0 when there was no answer.
    pub status: u16,
    /// When it was answered, in milliseconds since the server began.
    pub at_ms: u64,
}

/// A request as it came off the wire.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Incoming {
    /// A header, empty when it is absent or no text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }
}

/// What the server does with a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Reply),
    Reset,
    Hang,
}

type Hook = Box<dyn FnMut(&Call) + Send>;

/// Everything that the server's tasks share.
pub(crate) struct Gate {
    pub(crate) world: Mutex<World>,
    table: Vec<Route>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) scripts: Mutex<Vec<Script>>,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) latency: Mutex<Duration>,
    pub(crate) calls: Mutex<Vec<Call>>,
    pub(crate) unhandled: Mutex<Vec<Call>>,
    pub(crate) hook: Mutex<Option<Hook>>,
    pub(crate) login_page: AtomicBool,
    pub(crate) dead: AtomicBool,
    listings: AtomicUsize,
    began: Instant,
}

/// Locks; a handler that panicked in a test must not hide the state from the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one running folder listing.
pub(crate) struct Listing<'g>(&'g AtomicUsize);

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world: Mutex::new(world),
            table: route::table(),
            faults: Mutex::default(),
            scripts: Mutex::default(),
            limits: Mutex::default(),
            latency: Mutex::default(),
            calls: Mutex::default(),
            unhandled: Mutex::default(),
            hook: Mutex::default(),
            login_page: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            listings: AtomicUsize::new(0),
            began: Instant::now(),
        }
    }

    /// Milliseconds since the server began.
    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Starts counting a folder listing, or says that there are too many. `None` for every other request.
    pub(crate) fn start_listing(&self, path: &str) -> Result<Option<Listing<'_>>, Reply> {
        if !path.ends_with("/workspace/list") {
            return Ok(None);
        }
        let running = Listing(&self.listings);
        let others = self.listings.fetch_add(1, Ordering::SeqCst);
        if others >= limits::LIST_CONCURRENCY && lock(&self.limits).is_on() {
            return Err(limits::too_many_listings(&lock(&self.world).workspace_id));
        }
        Ok(Some(running))
    }

    /// Answers one request and writes it to the log.
    pub(crate) fn process(&self, incoming: Incoming) -> Outcome {
        let pairs = decode_query(&incoming.query);
        let query = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join("&");
        let (method, path) = (incoming.method.clone(), incoming.path.clone());
        let outcome = self.decide(incoming, pairs, &query);
        self.record(&method, &path, &query, &outcome);
        outcome
    }

    /// Writes an answered call to the log and tells the hook.
    pub(crate) fn record(&self, method: &str, path: &str, query: &str, outcome: &Outcome) {
        let call = Call {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            status: match outcome {
                Outcome::Answer(reply) => reply.status,
                Outcome::Reset | Outcome::Hang => 0,
            },
            at_ms: self.at_ms(),
        };
        if let Some(hook) = lock(&self.hook).as_mut() {
            hook(&call);
        }
        lock(&self.calls).push(call);
    }

    /// Removes all rules and serves connections again after a kill.
    pub(crate) fn clear_faults(&self) {
        lock(&self.faults).clear();
        self.dead.store(false, Ordering::SeqCst);
    }

    fn decide(&self, incoming: Incoming, pairs: Vec<(String, String)>, query: &str) -> Outcome {
        if self.dead.load(Ordering::SeqCst) {
            return Outcome::Reset;
        }
        if let Err(refusal) = self.within_limits(&incoming) {
            return Outcome::Answer(refusal);
        }
        if self.login_page.load(Ordering::SeqCst) {
            return Outcome::Answer(login_page());
        }
        let fault = lock(&self.faults).strike(&incoming.method, &incoming.path, query);
        if let Some(fault) = fault.as_ref().filter(|fault| fault.when == When::Before) {
            return self.carry_out(fault);
        }
        let (method, path) = (incoming.method.clone(), incoming.path.clone());
        let reply = self.handle(incoming, pairs, query);
        if let Some(fault) = fault {
            return self.carry_out(&fault);
        }
        let mut faults = lock(&self.faults);
        if faults.is_empty() {
            return Outcome::Answer(reply);
        }
        Outcome::Answer(faults.stale(&method, &path, query, reply))
    }

    fn within_limits(&self, incoming: &Incoming) -> Result<(), Reply> {
        let mut limits = lock(&self.limits);
        if !limits.is_on() {
            return Ok(());
        }
        let family = limits::family(&incoming.method, &incoming.path);
        if family == "workspace-list" {
            return Ok(());
        }
        limits
            .admit(&family, Instant::now())
            .map_err(|wait| limits::refusal(&family, wait))
    }

    fn carry_out(&self, fault: &Fault) -> Outcome {
        match fault.kind {
            FaultKind::Reset | FaultKind::Stale => Outcome::Reset,
            FaultKind::Hang => Outcome::Hang,
            FaultKind::Kill => {
                self.dead.store(true, Ordering::SeqCst);
                Outcome::Reset
            }
            FaultKind::Status => Outcome::Answer(fault_reply(fault)),
        }
    }

    /// Authenticates, routes and runs the handler, then the scripts that this call sets off.
    fn handle(&self, incoming: Incoming, pairs: Vec<(String, String)>, query: &str) -> Reply {
        let mut world = lock(&self.world);
        if let Some(reply) = oauth::answer(&mut world, &incoming) {
            return reply;
        }
        if incoming.path.starts_with("/.well-known/") {
            // Clients probe these without a token and do without it.
            return Reply::with_status(404, Body::Empty);
        }
        let caller = match oauth::caller(&world, &incoming) {
            Ok(caller) => caller,
            Err(error) => return error.into(),
        };
        let Some((handler, params)) = route::find(&self.table, &incoming.method, &incoming.path)
        else {
            lock(&self.unhandled).push(Call {
                method: incoming.method.clone(),
                path: incoming.path.clone(),
                query: query.to_owned(),
                status: 404,
                at_ms: self.at_ms(),
            });
            return no_endpoint(&incoming.path).into();
        };
        let content_type = incoming.header("content-type").to_owned();
        let request = Request {
            method: incoming.method,
            path: incoming.path,
            query: pairs,
            params,
            content_type,
            body: incoming.body,
            caller,
        };
        let reply = handler(&mut world, &request).unwrap_or_else(Reply::from);
        let mut scripts = lock(&self.scripts);
        if !scripts.is_empty() {
            script::run(
                &mut scripts,
                &mut world,
                &request.method,
                &request.path,
                query,
            );
        }
        reply
    }
}

fn no_endpoint(path: &str) -> ApiError {
    ApiError::new(
        404,
        "ENDPOINT_NOT_FOUND",
        format!("No API found for '{path}'"),
    )
}

fn login_page() -> Reply {
    let page =
        "<!doctype html><html><head><title>Databricks - Sign In</title></head><body></body></html>";
    Reply::raw(
        "text/html; charset=utf-8",
        Bytes::from_static(page.as_bytes()),
    )
}

/// The reply of a status fault: its own body, or the usual one of that status.
fn fault_reply(fault: &Fault) -> Reply {
    let mut reply = match &fault.body {
        Some(text) => {
            let content_type = match fault.content_type.as_deref() {
                Some("text/html") => "text/html",
                Some("text/plain") => "text/plain",
                _ => "application/json",
            };
            Reply::with_status(
                fault.status,
                Body::Raw(content_type, Bytes::from(text.clone())),
            )
        }
        None => Reply::from(usual_error(fault.status)),
    };
    if let Some(seconds) = &fault.retry_after {
        reply.headers.push(("retry-after", seconds.clone()));
    }
    reply
}

fn usual_error(status: u16) -> ApiError {
    let (code, message) = match status {
        400 => ("BAD_REQUEST", "Bad request."),
        401 => ("UNAUTHENTICATED", "Unauthenticated."),
        403 => ("PERMISSION_DENIED", "User does not have permission."),
        404 => (
            "RESOURCE_DOES_NOT_EXIST",
            "The requested resource does not exist.",
        ),
        409 => ("ABORTED", "The operation was aborted."),
        429 => ("REQUEST_LIMIT_EXCEEDED", "Too many requests."),
        501 => ("NOT_IMPLEMENTED", "Not implemented."),
        503 => (
            "TEMPORARILY_UNAVAILABLE",
            "The service is temporarily unavailable.",
        ),
        504 => ("DEADLINE_EXCEEDED", "Deadline exceeded."),
        _ => ("INTERNAL_ERROR", "Internal error."),
    };
    ApiError::new(status, code, message)
}
