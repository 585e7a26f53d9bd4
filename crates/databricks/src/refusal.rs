//! Bodies of error replies, in every shape that is known (fact sheet, section 3.1).

use std::time::Duration;

use serde_json::Value;

use crate::error::INVALID_TOKEN;

/// An error reply, understood as far as it goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    /// `reason` of an `ErrorInfo`.
    pub(crate) reason: Option<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    /// `Retry-After`, else the `RetryInfo` of the details.
    pub(crate) wait: Option<Duration>,
}

impl Refusal {
    /// The service does not take the token: nothing was done, and another token may be taken.
    pub(crate) fn is_of_the_token(&self) -> bool {
        self.status == 401 || self.status == 403 && self.message.starts_with(INVALID_TOKEN)
    }
}

/// Reads an error body. Nothing of it is lost silently: a body of unknown shape becomes the message.
pub(crate) fn parse(status: u16, body: &[u8]) -> Refusal {
    let mut refusal = Refusal {
        status,
        ..Refusal::default()
    };
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        refusal.message = "the reply has no text".to_owned();
    } else if let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) {
        read_object(&mut refusal, &Value::Object(fields));
    } else if text.starts_with('<') {
        refusal.message =
            pre_text(text).unwrap_or_else(|| "an HTML page without an error text".to_owned());
    } else if let Some((code, message)) = split_code(text) {
        refusal.code = Some(code.to_owned());
        refusal.message = message.to_owned();
    } else {
        refusal.message = text.to_owned();
    }
    refusal
}

fn read_object(refusal: &mut Refusal, body: &Value) {
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if body.get("detail").is_some()
        && (body.get("schemas").is_some() || body.get("scimType").is_some())
    {
        let detail = text("detail")
            .filter(|detail| *detail != "null")
            .unwrap_or("internal error of the service");
        refusal.code = Some(format!(
            "SCIM_{}",
            text("status").map_or(refusal.status.to_string(), str::to_owned)
        ));
        refusal.message = [text("scimType"), Some(detail)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        return;
    }
    // An integer code repeats the status and says nothing (gateways).
    refusal.code = text("error_code").map(str::to_owned);
    let nested = body
        .get("error")
        .and_then(|error| error.get("message"))
        .and_then(Value::as_str);
    let message = text("message").or_else(|| text("error")).or(nested);
    refusal.message = message.unwrap_or("the reply has no message").to_owned();
    let details = body
        .get("details")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    for detail in details {
        read_detail(refusal, detail);
    }
}

fn read_detail(refusal: &mut Refusal, detail: &Value) {
    let text = |key: &str| detail.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = text("@type").unwrap_or_default();
    match kind.rsplit('.').next() {
        Some("ErrorInfo") => refusal.reason = text("reason"),
        Some("RequestInfo") => refusal.request_id = text("request_id"),
        Some("RetryInfo") => refusal.wait = text("retry_delay").and_then(|delay| delay_of(&delay)),
        _ => {}
    }
}

/// `3.5s` as protobuf writes durations. More than a duration holds is the longest one, not none.
fn delay_of(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// The value of a `Retry-After` header: whole seconds; the form with a date is not used by the service. Zero names no
/// wait, and a caller that believed it would not wait at all.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a number has: longer than anybody waits.
    let seconds = value.parse().unwrap_or(u64::MAX);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// `CODE: text`, as some proxies answer.
fn split_code(text: &str) -> Option<(&str, &str)> {
    let (code, message) = text.split_once(':')?;
    let fits = code.len() > 2
        && code
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    fits.then(|| (code, message.trim()))
}

/// The text of the first `<pre>`, tags removed.
fn pre_text(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<pre")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</pre").unwrap_or(lower.len() - start);
    let mut text = String::new();
    let mut in_tag = false;
    for c in html[start..end].chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let text = entities
        .iter()
        .fold(text, |text, (entity, plain)| text.replace(entity, plain));
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
