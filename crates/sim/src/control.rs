//! `/__sim/*`: the control panel over HTTP, for demonstrations and for clients in other languages. No token needed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::costs;
use crate::faults::Fault;
use crate::fill::{self, Fill};
use crate::gate::{Call, Gate, lock};
use crate::http::{ApiError, Reply};
use crate::limits::Rate;
use crate::script::Script;
use crate::world::{Switches, World};

/// Answers `METHOD /__sim/<name>`.
pub(crate) fn handle(gate: &Gate, method: &str, name: &str, _query: &str, body: &[u8]) -> Reply {
    let value = if body.is_empty() {
        Ok(json!({}))
    } else {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    };
    match value.and_then(|value: Value| answer(gate, method, name, &value)) {
        Ok(value) => Reply::json(value),
        Err(message) => Reply::from(ApiError::bad_request(message)),
    }
}

fn answer(gate: &Gate, method: &str, name: &str, body: &Value) -> Result<Value, String> {
    match (method, name) {
        ("POST", "fill") => fill_fresh(&mut lock(&gate.world), body)?,
        ("POST", "join-account") => Fill::from_json(body)?.join_account(&mut lock(&gate.world)),
        ("GET", "dump") => return Ok(lock(&gate.world).dump()),
        ("GET", "costs") => return Ok(costs::costs(&mut lock(&gate.world)).to_json()),
        ("GET", "clock") => return Ok(json!({"now_ms": lock(&gate.world).clock.now_ms()})),
        ("POST", "clock") => set_clock(&mut lock(&gate.world), body)?,
        ("POST", "latency") => {
            *lock(&gate.latency) = Duration::from_millis(number(body, "milliseconds")?);
        }
        ("POST", "limits") => set_limits(gate, body)?,
        ("POST", "faults") => lock(&gate.faults).add(Fault::from_json(body)?),
        ("DELETE", "faults") => gate.clear_faults(),
        ("POST", "scripts") => lock(&gate.scripts).push(Script::from_json(body)?),
        ("DELETE", "scripts") => lock(&gate.scripts).clear(),
        ("GET", "calls") => return Ok(calls(&lock(&gate.calls))),
        ("DELETE", "calls") => lock(&gate.calls).clear(),
        ("GET", "unhandled") => return Ok(calls(&lock(&gate.unhandled))),
        ("POST", "login-page") => {
            let on = body["on"].as_bool().ok_or("on is true or false")?;
            gate.login_page.store(on, Ordering::SeqCst);
        }
        ("POST", "tokens") => {
            let text = |key: &str| body[key].as_str().ok_or(format!("{key} is missing"));
            lock(&gate.world).add_token(text("token")?, text("principal")?)?;
        }
        ("POST", "switches") => set_switches(&mut lock(&gate.world).switches, body)?,
        _ => return Err(format!("no control {method} {name}")),
    }
    Ok(json!({}))
}

/// Names and paths of two fills would meet, so only a fresh workspace is filled.
fn fill_fresh(world: &mut World, body: &Value) -> Result<(), String> {
    let wanted = Fill::from_json(body)?;
    if !world.tree.is_fresh() {
        return Err("the workspace is not empty".to_owned());
    }
    fill::fill(world, &wanted);
    Ok(())
}

fn number(body: &Value, key: &str) -> Result<u64, String> {
    body[key]
        .as_u64()
        .ok_or_else(|| format!("{key} is a whole number"))
}

fn set_clock(world: &mut World, body: &Value) -> Result<(), String> {
    if !body["rate"].is_null() {
        let rate = u32::try_from(number(body, "rate")?).map_err(|error| error.to_string())?;
        world.clock.set_rate(rate);
    }
    if !body["advance_seconds"].is_null() {
        let seconds = number(body, "advance_seconds")?;
        world.clock.advance(Duration::from_secs(seconds));
    }
    Ok(())
}

/// `{"on": bool}`, or `{"family", "count", "window_milliseconds"}` for another rate of one family.
fn set_limits(gate: &Gate, body: &Value) -> Result<(), String> {
    let mut limits = lock(&gate.limits);
    if let Some(on) = body["on"].as_bool() {
        limits.set(on);
    }
    if let Some(family) = body["family"].as_str() {
        let count = usize::try_from(number(body, "count")?).map_err(|error| error.to_string())?;
        let window = Duration::from_millis(number(body, "window_milliseconds")?);
        limits.change(family, Rate { count, window });
    }
    Ok(())
}

fn calls(calls: &[Call]) -> Value {
    calls
        .iter()
        .map(|call| {
            json!({"method": call.method, "path": call.path, "query": call.query, "status": call.status, "at_ms": call.at_ms})
        })
        .collect()
}

fn set_switches(switches: &mut Switches, body: &Value) -> Result<(), String> {
    for (key, value) in body.as_object().into_iter().flatten() {
        let flag = || value.as_bool().ok_or(format!("{key} is true or false"));
        match key.as_str() {
            "secret_values" => switches.secret_values = flag()?,
            "entra_token" => switches.entra_token = flag()?,
            "dbfs_disabled" => switches.dbfs_disabled = flag()?,
            "direct_download_limited" => switches.direct_download_limited = flag()?,
            "refuse_local_groups" => switches.refuse_local_groups = flag()?,
            "rewrite_sources" => switches.rewrite_sources = flag()?,
            "acls_disabled" => switches.acls_disabled = flag()?,
            "scim_page" | "unstable_paging" | "home_after_seconds" | "home_after_reads"
            | "known_after_uses" => {
                let number =
                    u32::try_from(number(body, key)?).map_err(|error| error.to_string())?;
                match key.as_str() {
                    "scim_page" => switches.scim_page = number.max(1) as usize,
                    "unstable_paging" => switches.unstable_paging = number,
                    "home_after_seconds" => switches.home_after_seconds = i64::from(number),
                    "known_after_uses" => switches.known_after_uses = number,
                    _ => switches.home_after_reads = number,
                }
            }
            _ => return Err(format!("unknown switch {key}")),
        }
    }
    Ok(())
}
