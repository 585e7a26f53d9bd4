//! The history of a cluster: `POST clusters/events`, paged by token or, as older clients do, by offset.

use serde_json::{Map, Value, json};

use super::Event;
use crate::http::{ApiError, Reply, Request, as_i64, need_str, opt_str};
use crate::world::World;

/// Largest page.
const MOST: i64 = 500;

pub fn events(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let id = need_str(&body, "cluster_id")?;
    let now = world.clock.now_ms();
    let number = |key: &str| body.get(key).and_then(as_i64);
    let types: Vec<&str> = body
        .get("event_types")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (from, to) = (
        number("start_time").unwrap_or(0),
        number("end_time").unwrap_or(now),
    );
    let mut found: Vec<&Event> = (world.clusters.find(id, now)?.events.iter())
        .filter(|event| (from..=to).contains(&event.at))
        .filter(|event| types.is_empty() || types.contains(&event.kind))
        .collect();
    if opt_str(&body, "order") != Some("ASC") {
        found.reverse();
    }
    let token = opt_str(&body, "page_token").filter(|token| !token.is_empty());
    let offset = match token {
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::invalid(format!("Invalid page token: {token}")))?,
        None => number("offset").unwrap_or(0),
    };
    let size = number("page_size")
        .or_else(|| number("limit"))
        .unwrap_or(50);
    if offset < 0 || !(0..=MOST).contains(&size) {
        return Err(ApiError::invalid(format!(
            "offset must not be negative, limit must be between 0 and {MOST}"
        )));
    }
    let (total, start) = (found.len(), usize::try_from(offset).unwrap_or(usize::MAX));
    let page: Vec<Value> = (found.into_iter().skip(start).take(usize::try_from(size).unwrap_or(0)))
        .map(|event| json!({"cluster_id": id, "timestamp": event.at, "type": event.kind, "details": event.details}))
        .collect();
    let next = start + page.len();
    let mut reply = Map::new();
    if !page.is_empty() {
        reply.insert("events".into(), Value::Array(page));
    }
    if next < total {
        let mut again = body.clone();
        again.insert("offset".into(), json!(next));
        reply.insert("next_page".into(), Value::Object(again));
        reply.insert("next_page_token".into(), json!(next.to_string()));
    }
    reply.insert("total_count".into(), json!(total));
    Ok(Reply::json(Value::Object(reply)))
}
