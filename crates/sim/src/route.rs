//! The route table: method and path pattern to a handler.
//!
//! A handler is a plain function on the locked [`World`]; nothing in it waits, so a test calls it directly and the
//! server can lay faults and stale reads around it.

use std::collections::BTreeMap;

use crate::http::{ApiError, Reply, Request, decode_segment};
use crate::world::World;

/// Answers one request on the locked state.
pub type Handler = fn(&mut World, &Request) -> Result<Reply, ApiError>;

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// `/api/2.0|2.1/jobs/{id}`: `|` separates alternatives, `{x}` takes one segment, `{*x}` all the rest.
    pub pattern: &'static str,
    /// What answers.
    pub handler: Handler,
}

impl Route {
    /// A GET route.
    #[must_use]
    pub fn get(pattern: &'static str, handler: Handler) -> Self {
        Self::new("GET", pattern, handler)
    }

    /// A POST route.
    #[must_use]
    pub fn post(pattern: &'static str, handler: Handler) -> Self {
        Self::new("POST", pattern, handler)
    }

    /// A PUT route.
    #[must_use]
    pub fn put(pattern: &'static str, handler: Handler) -> Self {
        Self::new("PUT", pattern, handler)
    }

    /// A PATCH route.
    #[must_use]
    pub fn patch(pattern: &'static str, handler: Handler) -> Self {
        Self::new("PATCH", pattern, handler)
    }

    /// A DELETE route.
    #[must_use]
    pub fn delete(pattern: &'static str, handler: Handler) -> Self {
        Self::new("DELETE", pattern, handler)
    }

    fn new(method: &'static str, pattern: &'static str, handler: Handler) -> Self {
        Self {
            method,
            pattern,
            handler,
        }
    }

    /// Path parameters when the path fits, decoded.
    fn matches(&self, path: &str) -> Option<BTreeMap<&'static str, String>> {
        let mut params = BTreeMap::new();
        let mut rest = path.trim_end_matches('/');
        let mut wanted = self.pattern.split('/');
        loop {
            let Some(want) = wanted.next() else {
                return rest.is_empty().then_some(params);
            };
            if let Some(name) = want.strip_prefix("{*") {
                let tail = rest.strip_prefix('/')?;
                params.insert(name.trim_end_matches('}'), decode_segment(tail));
                return Some(params);
            }
            let segment = if want.is_empty() {
                continue;
            } else {
                let body = rest.strip_prefix('/')?;
                let end = body.find('/').unwrap_or(body.len());
                rest = &body[end..];
                &body[..end]
            };
            if let Some(name) = want.strip_prefix('{') {
                if segment.is_empty() {
                    return None;
                }
                params.insert(name.trim_end_matches('}'), decode_segment(segment));
            } else if !want.split('|').any(|literal| literal == segment) {
                return None;
            }
        }
    }
}

/// All routes of all modules, first fit wins.
pub(crate) fn table() -> Vec<Route> {
    [
        crate::workspace::routes(),
        crate::dbfs::routes(),
        crate::scim::routes(),
        crate::assignments::routes(),
        crate::permissions::routes(),
        crate::secrets::routes(),
        crate::repos::routes(),
        crate::git_credentials::routes(),
        crate::destinations::routes(),
        crate::init_scripts::routes(),
        crate::clusters::routes(),
        crate::libraries::routes(),
        crate::pools::routes(),
        crate::policies::routes(),
        crate::jobs::routes(),
    ]
    .concat()
}

/// The handler for a request, with its path parameters.
pub(crate) fn find(
    table: &[Route],
    method: &str,
    path: &str,
) -> Option<(Handler, BTreeMap<&'static str, String>)> {
    table
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| Some((route.handler, route.matches(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &mut World, _: &Request) -> Result<Reply, ApiError> {
        Ok(Reply::empty_object())
    }

    #[test]
    fn patterns_take_segments_alternatives_and_tails() {
        let route = Route::get("/api/2.0|2.1/x/{id}", nothing);
        let params = route.matches("/api/2.1/x/a%2Fb").expect("fits");
        assert_eq!(params["id"], "a/b");
        assert!(route.matches("/api/2.2/x/a").is_none());
        assert!(route.matches("/api/2.0/x").is_none());
        assert!(route.matches("/api/2.0/x/a/b").is_none());
        let tail = Route::get("/f/{*path}", nothing);
        assert_eq!(tail.matches("/f/a/b%20c").expect("fits")["path"], "a/b c");
    }
}
