//! Rules that make calls fail: answers before or after the effect, resets, stale reads, a server that dies.
//!
//! Owns the rules and the decision per call; the server carries it out.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::http::Reply;
use crate::storm::{Storm, Weather};

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Instead of the effect.
    #[default]
    Before,
    /// The effect happened, only the reply is lost or replaced.
    After,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers `status` with `body`.
    #[default]
    Status,
    /// Resets the connection without an answer.
    Reset,
    /// Never answers: whoever waits for it must be ended.
    Hang,
    /// The first matching read after a write shows the state before it.
    Stale,
    /// Resets the connection, and every later one: the server is dead until the faults are cleared.
    Kill,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// `GET`, ...; empty for any.
    pub method: String,
    /// Path with `*` for any run of characters; empty for any.
    pub path: String,
    /// Text that the decoded query (`key=value&...`) must hold.
    pub query: String,
    /// What happens.
    pub kind: FaultKind,
    /// Status to answer, for [`FaultKind::Status`].
    pub status: u16,
    /// Body to answer; none for the usual one of that status.
    pub body: Option<String>,
    /// Content type of the body; none for JSON.
    pub content_type: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// Before or after the effect.
    pub when: When,
    /// Matching calls that pass first.
    pub skip: u64,
    /// Calls that are struck; 0 for all (stale reads: 0 means 1).
    pub times: u64,
}

impl Fault {
    /// Answers a status to every matching call; narrow it with the other fields.
    #[must_use]
    pub fn status(method: &str, path: &str, status: u16) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            ..Self::default()
        }
    }

    /// A rule from JSON: the fields of this struct, `kind` one of `status`, `reset`, `hang`, `stale`, `kill`, `when` one of
    /// `before`, `after`; a `body` that is no text is sent as JSON.
    ///
    /// # Errors
    /// Text that names the field that is wrong.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("a fault is a JSON object")?;
        let mut fault = Self::default();
        for (key, value) in fields {
            let text = value.as_str().map(str::to_owned);
            let wrong = || format!("wrong value for {key}: {value}");
            match key.as_str() {
                "method" => fault.method = text.ok_or_else(wrong)?,
                "path" => fault.path = text.ok_or_else(wrong)?,
                "query" => fault.query = text.ok_or_else(wrong)?,
                "body" => fault.body = Some(text.unwrap_or_else(|| value.to_string())),
                "content_type" => fault.content_type = Some(text.ok_or_else(wrong)?),
                "retry_after" => {
                    fault.retry_after = Some(text.unwrap_or_else(|| value.to_string()));
                }
                "status" => {
                    fault.status = value
                        .as_u64()
                        .and_then(|n| u16::try_from(n).ok())
                        .ok_or_else(wrong)?;
                }
                "skip" => fault.skip = value.as_u64().ok_or_else(wrong)?,
                "times" => fault.times = value.as_u64().ok_or_else(wrong)?,
                "kind" => {
                    fault.kind = match text.as_deref() {
                        Some("status") => FaultKind::Status,
                        Some("reset") => FaultKind::Reset,
                        Some("hang") => FaultKind::Hang,
                        Some("stale") => FaultKind::Stale,
                        Some("kill") => FaultKind::Kill,
                        _ => return Err(wrong()),
                    };
                }
                "when" => {
                    fault.when = match text.as_deref() {
                        Some("before") => When::Before,
                        Some("after") => When::After,
                        _ => return Err(wrong()),
                    };
                }
                _ => return Err(format!("unknown field {key}")),
            }
        }
        if fault.kind == FaultKind::Status && !(100..=599).contains(&fault.status) {
            return Err("a fault of kind status needs a status between 100 and 599".to_owned());
        }
        Ok(fault)
    }

    fn fits(&self, method: &str, path: &str, query: &str) -> bool {
        (self.method.is_empty() || self.method == "*" || self.method == method)
            && (self.path.is_empty() || glob(&self.path, path))
            && query.contains(&self.query)
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    seen: u64,
    struck: u64,
}

impl Rule {
    fn spent(&self) -> bool {
        let times = match (self.fault.times, self.fault.kind) {
            (0, FaultKind::Stale) => 1,
            (0, _) => u64::MAX,
            (times, _) => times,
        };
        self.struck >= times
    }
}

/// All rules with their counters, and what stale reads need to remember.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    weather: Option<Weather>,
    /// Replies to reads, as last shown.
    shown: HashMap<String, Reply>,
    /// Ids and paths that writes made and no read has shown yet.
    fresh: BTreeSet<String>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.rules.push(Rule {
            fault,
            seen: 0,
            struck: 0,
        });
    }

    pub(crate) fn storm(&mut self, storm: Storm) {
        self.weather = Some(Weather::new(storm));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.weather.is_none()
    }

    /// The fault that strikes this call, if any. Counts the call for every rule that fits.
    pub(crate) fn strike(&mut self, method: &str, path: &str, query: &str) -> Option<Fault> {
        let mut hit = None;
        for rule in &mut self.rules {
            if rule.fault.kind == FaultKind::Stale || !rule.fault.fits(method, path, query) {
                continue;
            }
            rule.seen += 1;
            if hit.is_none() && rule.seen > rule.fault.skip && !rule.spent() {
                rule.struck += 1;
                hit = Some(rule.fault.clone());
            }
        }
        let weather = self.weather.as_mut();
        hit.or_else(|| weather.and_then(|weather| weather.strike(method, path, query)))
    }

    /// After an answered call: replaces the reply to a read by the one from before the last write when a stale rule
    /// says so, and remembers what later stale reads need.
    pub(crate) fn stale(&mut self, method: &str, path: &str, query: &str, reply: Reply) -> Reply {
        if self.weather.is_none() && !self.rules.iter().any(|r| r.fault.kind == FaultKind::Stale) {
            return reply;
        }
        if method != "GET" {
            if reply.status < 300 {
                collect_ids(reply.value(), &mut self.fresh);
            }
            return reply;
        }
        let key = format!("{path}?{query}");
        let before = match self.shown.get(&key) {
            Some(shown) => Some(shown.clone()),
            None => self.names_fresh(path, query).then(|| {
                Reply::from(crate::http::ApiError::not_found(
                    "The requested resource does not exist.",
                ))
            }),
        };
        self.shown.insert(key, reply.clone());
        let Some(before) = before else { return reply };
        if before.status == reply.status && before.bytes() == reply.bytes() {
            return reply;
        }
        let rule = self.rules.iter_mut().find(|rule| {
            rule.fault.kind == FaultKind::Stale
                && !rule.spent()
                && rule.fault.fits(method, path, query)
        });
        match rule {
            Some(rule) if rule.seen >= rule.fault.skip => {
                rule.struck += 1;
                before
            }
            Some(rule) => {
                rule.seen += 1;
                reply
            }
            None => match &self.weather {
                Some(weather) if weather.hides(path, query) => before,
                _ => reply,
            },
        }
    }

    fn names_fresh(&self, path: &str, query: &str) -> bool {
        path.split('/').any(|part| self.fresh.contains(part))
            || query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .any(|(_, value)| self.fresh.contains(value))
    }
}

fn collect_ids(value: &Value, into: &mut BTreeSet<String>) {
    let Value::Object(fields) = value else { return };
    for (key, value) in fields {
        if key != "id" && !key.ends_with("_id") {
            continue;
        }
        match value {
            Value::String(text) => {
                into.insert(text.clone());
            }
            Value::Number(number) => {
                into.insert(number.to_string());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn globs() {
        assert!(glob("/api/*/list", "/api/2.0/jobs/list"));
        assert!(glob("*", "anything"));
        assert!(glob("/a", "/a"));
        assert!(!glob("/a", "/ab"));
        assert!(!glob("/api/*/list", "/api/2.0/jobs/get"));
    }

    #[test]
    fn a_rule_skips_then_strikes_so_many_times() {
        let mut faults = Faults::default();
        faults.add(Fault {
            skip: 1,
            times: 2,
            ..Fault::status("GET", "/x*", 503)
        });
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.strike("GET", "/xy", "").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(faults.strike("POST", "/xy", "").is_none());
    }

    #[test]
    fn stale_shows_the_state_before_the_write_once() {
        let mut faults = Faults::default();
        faults.add(Fault {
            kind: FaultKind::Stale,
            ..Fault::default()
        });
        let get = |faults: &mut Faults, n: i32| {
            faults
                .stale("GET", "/list", "", Reply::json(json!({"n": n})))
                .value()["n"]
                .as_i64()
        };
        assert_eq!(get(&mut faults, 1), Some(1));
        assert_eq!(
            get(&mut faults, 2),
            Some(1),
            "first read after a change is old"
        );
        assert_eq!(get(&mut faults, 2), Some(2));
        assert_eq!(get(&mut faults, 3), Some(3), "once per rule");
    }

    #[test]
    fn stale_hides_a_new_id_once() {
        let mut faults = Faults::default();
        faults.add(Fault {
            kind: FaultKind::Stale,
            ..Fault::default()
        });
        faults.stale("POST", "/create", "", Reply::json(json!({"job_id": 5})));
        let read = |faults: &mut Faults| {
            faults
                .stale("GET", "/get", "job_id=5", Reply::json(json!({"job_id": 5})))
                .status
        };
        assert_eq!((read(&mut faults), read(&mut faults)), (404, 200));
    }

    #[test]
    fn rules_come_from_json() {
        let fault = Fault::from_json(&json!({
            "method": "POST", "path": "/api/*", "kind": "status", "status": 429,
            "retry_after": 2, "when": "after", "times": 3
        }))
        .expect("valid");
        assert_eq!(fault.retry_after.as_deref(), Some("2"));
        assert_eq!(fault.when, When::After);
        assert!(Fault::from_json(&json!({"kind": "status"})).is_err());
        assert!(Fault::from_json(&json!({"kind": "reset", "x": 1})).is_err());
    }
}
