//! The service's request rates, per family of endpoints, in real time.
//!
//! A family's limit counts the requests of the last second or minute. The listing of workspace folders is limited in
//! concurrent requests instead, and its refusal carries no `Retry-After`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::http::{ApiError, Reply};

/// Concurrent `workspace/list` requests of one workspace.
pub(crate) const LIST_CONCURRENCY: usize = 20;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Requests per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests allowed ...
    pub count: usize,
    /// ... in any stretch of this length.
    pub window: Duration,
}

/// Rates by family, and the requests of the last window.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    on: bool,
    changed: HashMap<String, Rate>,
    recent: HashMap<String, VecDeque<Instant>>,
}

impl Limits {
    pub(crate) fn set(&mut self, on: bool) {
        self.on = on;
        self.recent.clear();
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Another rate for one family; also switches the limits on.
    pub(crate) fn change(&mut self, family: &str, rate: Rate) {
        self.on = true;
        self.changed.insert(family.to_owned(), rate);
    }

    /// Counts a request, or refuses it with the time until the next one is admitted.
    pub(crate) fn admit(&mut self, family: &str, now: Instant) -> Result<(), Duration> {
        if !self.on {
            return Ok(());
        }
        let rate = self
            .changed
            .get(family)
            .copied()
            .unwrap_or_else(|| documented(family));
        let recent = self.recent.entry(family.to_owned()).or_default();
        while recent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= rate.window)
        {
            recent.pop_front();
        }
        if recent.len() < rate.count {
            recent.push_back(now);
            return Ok(());
        }
        Err(recent.front().map_or(rate.window, |oldest| {
            rate.window.saturating_sub(now.duration_since(*oldest))
        }))
    }
}

/// The rate of a family as documented; 30/s for everything without a number of its own.
fn documented(family: &str) -> Rate {
    let (count, window) = match family {
        "permissions-read" => (100, SECOND),
        "workspace-export" => (60, SECOND),
        "scim-read" => (255, MINUTE),
        "scim-groups-patch" => (10, MINUTE),
        "scim-groups-delete" => (35, MINUTE),
        "permission-assignments" => (5, SECOND),
        "secrets" => (1100, MINUTE),
        "jobs-create" => (20, SECOND),
        _ => (30, SECOND),
    };
    Rate { count, window }
}

/// The family that a request counts for.
pub(crate) fn family(method: &str, path: &str) -> String {
    let mut parts = path.split('/').skip(3);
    let mut service = parts.next().unwrap_or("");
    if service == "preview" {
        service = parts.next().unwrap_or("");
    }
    let rest: Vec<&str> = parts.collect();
    let name = match service {
        "permissions" if method == "GET" => "permissions-read",
        "permissions" => "permissions-write",
        "workspace" if rest == ["export"] => "workspace-export",
        "workspace" if rest == ["import"] => "workspace-import",
        "workspace" if rest == ["list"] => "workspace-list",
        "scim" | "account" if method == "GET" => "scim-read",
        "scim" if method == "PATCH" && rest.get(1) == Some(&"Groups") => "scim-groups-patch",
        "scim" if method == "DELETE" && rest.get(1) == Some(&"Groups") => "scim-groups-delete",
        "permissionassignments" if method != "GET" => "permission-assignments",
        "jobs" if rest == ["create"] => "jobs-create",
        other => other,
    };
    name.to_owned()
}

/// The refusal over a rate: 429 with `Retry-After` in whole seconds.
pub(crate) fn refusal(family: &str, wait: Duration) -> Reply {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let error = if family.starts_with("scim") {
        ApiError::scim(
            429,
            "",
            "Too many requests. Please wait a moment and try again.",
        )
    } else {
        ApiError::new(
            429,
            "REQUEST_LIMIT_EXCEEDED",
            format!("Current request rate for {family} exceeds the limit. Please retry later."),
        )
    };
    let mut reply = Reply::from(error);
    reply.headers.push(("retry-after", seconds.to_string()));
    reply
}

/// The refusal of a further concurrent listing, without `Retry-After`.
pub(crate) fn too_many_listings(workspace_id: &str) -> Reply {
    Reply::from(ApiError::new(
        429,
        "REQUEST_LIMIT_EXCEEDED",
        format!(
            "Workspace {workspace_id} exceeded the concurrent limit of {LIST_CONCURRENCY} requests."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let cases = [
            ("GET", "/api/2.0/permissions/jobs/1", "permissions-read"),
            ("PUT", "/api/2.0/permissions/jobs/1", "permissions-write"),
            ("GET", "/api/2.0/workspace/export", "workspace-export"),
            ("GET", "/api/2.0/workspace/get-status", "workspace"),
            ("GET", "/api/2.0/preview/scim/v2/Users", "scim-read"),
            (
                "PATCH",
                "/api/2.0/preview/scim/v2/Groups/1",
                "scim-groups-patch",
            ),
            ("POST", "/api/2.0/preview/scim/v2/Users", "scim"),
            ("GET", "/api/2.1/clusters/list", "clusters"),
            ("POST", "/api/2.2/jobs/create", "jobs-create"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(family(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_window_refuses_the_next_and_tells_when() {
        let mut limits = Limits::default();
        let start = Instant::now();
        limits.set(true);
        for _ in 0..10 {
            assert_eq!(limits.admit("scim-groups-patch", start), Ok(()));
        }
        let later = start + Duration::from_secs(20);
        let wait = limits.admit("scim-groups-patch", later).unwrap_err();
        assert_eq!(wait, Duration::from_secs(40));
        assert_eq!(refusal("scim-read", wait).headers[0].1, "40");
        assert_eq!(limits.admit("scim-groups-patch", start + MINUTE), Ok(()));
        limits.set(false);
        assert_eq!(limits.admit("scim-groups-patch", later), Ok(()));
    }
}
