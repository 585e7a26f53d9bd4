//! One request and one reply, apart from any server: what a handler sees and what it answers.
//!
//! Owns the parsed [`Request`], the [`Reply`] and the service's error bodies ([`ApiError`]). Sockets, faults and limits
//! are the server's business.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// Who calls, as the bearer token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// SCIM id of the user or service principal.
    pub id: i64,
    /// User name, or the application id of a service principal.
    pub name: String,
    /// A service principal, not a user.
    pub service_principal: bool,
    /// Member (directly or not) of the group `admins`.
    pub admin: bool,
}

/// A request with its whole body, routed and authenticated.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path as it came, still percent-encoded, without the query.
    pub path: String,
    /// Decoded query pairs in their order.
    pub query: Vec<(String, String)>,
    /// Decoded path parameters of the route, by name.
    pub params: BTreeMap<&'static str, String>,
    /// The header `Content-Type`, or nothing.
    pub content_type: String,
    /// The whole body.
    pub body: Bytes,
    /// Who calls.
    pub caller: Caller,
}

impl Request {
    /// First value of a query parameter.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// A query parameter that must be there and not empty.
    ///
    /// # Errors
    /// 400 `INVALID_PARAMETER_VALUE` naming the parameter.
    pub fn need_query(&self, key: &str) -> Result<&str, ApiError> {
        self.query(key)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| ApiError::invalid(format!("Missing required field: {key}")))
    }

    /// A boolean query parameter; the service takes lower-case `true` and `false` only.
    ///
    /// # Errors
    /// 400 `INVALID_PARAMETER_VALUE` on any other text.
    pub fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.query(key) {
            None | Some("" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::invalid(format!(
                "Invalid boolean value for {key}: {other}"
            ))),
        }
    }

    /// A whole-number query parameter.
    ///
    /// # Errors
    /// 400 `INVALID_PARAMETER_VALUE` when the text is no number.
    pub fn number(&self, key: &str) -> Result<Option<i64>, ApiError> {
        match self.query(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::invalid(format!("Invalid value for {key}: {text}"))),
        }
    }

    /// A path parameter of the route; empty when the route has none of that name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// API version in the path: `2.1` of `/api/2.1/jobs/list`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.path.split('/').nth(2).unwrap_or("")
    }

    /// The body as a JSON object; an empty body is `{}`.
    ///
    /// # Errors
    /// 400 `MALFORMED_REQUEST`.
    pub fn json(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err(ApiError::new(
                400,
                "MALFORMED_REQUEST",
                "Could not parse request object: Expected 'START_OBJECT' not 'VALUE'",
            )),
        }
    }
}

/// A text field of a JSON body that must be there and not empty.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE` naming the field.
pub fn need_str<'b>(body: &'b Map<String, Value>, key: &str) -> Result<&'b str, ApiError> {
    opt_str(body, key)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::invalid(format!("Missing required field: {key}")))
}

/// A text field of a JSON body.
#[must_use]
pub fn opt_str<'b>(body: &'b Map<String, Value>, key: &str) -> Option<&'b str> {
    body.get(key).and_then(Value::as_str)
}

/// A boolean field; absent means false. Form posts and old clients send it as text.
#[must_use]
pub fn is_true(body: &Map<String, Value>, key: &str) -> bool {
    match body.get(key) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A whole number, also when it came as decimal text.
#[must_use]
pub fn as_i64(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A whole-number field of a JSON body that must be there.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE` naming the field.
pub fn need_i64(body: &Map<String, Value>, key: &str) -> Result<i64, ApiError> {
    body.get(key)
        .and_then(as_i64)
        .ok_or_else(|| ApiError::invalid(format!("Missing required field: {key}")))
}

/// Content of a reply.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing at all.
    Empty,
    /// JSON, written as text outside the lock.
    Json(Value),
    /// Anything else with its content type.
    Raw(&'static str, Bytes),
}

/// What a handler answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content.
    pub body: Body,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// 200 with a JSON body.
    #[must_use]
    pub fn json(value: Value) -> Self {
        Self::with_status(200, Body::Json(value))
    }

    /// 200 with `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::json(json!({}))
    }

    /// 200 with `{key: [..]}`, or `{}` when there is nothing: list fields are absent when empty.
    #[must_use]
    pub fn list(key: &str, elements: Vec<Value>) -> Self {
        let mut map = Map::new();
        if !elements.is_empty() {
            map.insert(key.to_owned(), Value::Array(elements));
        }
        Self::json(Value::Object(map))
    }

    /// 200 with raw bytes.
    #[must_use]
    pub fn raw(content_type: &'static str, bytes: Bytes) -> Self {
        Self::with_status(200, Body::Raw(content_type, bytes))
    }

    /// Any status and body.
    #[must_use]
    pub fn with_status(status: u16, body: Body) -> Self {
        Self {
            status,
            body,
            headers: Vec::new(),
        }
    }

    /// The body as bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        match &self.body {
            Body::Empty => Bytes::new(),
            Body::Json(value) => Bytes::from(value.to_string()),
            Body::Raw(_, bytes) => bytes.clone(),
        }
    }

    /// The JSON body, `null` when it is none: for tests and for stale reads.
    #[must_use]
    pub fn value(&self) -> &Value {
        match &self.body {
            Body::Json(value) => value,
            _ => &Value::Null,
        }
    }
}

/// A refused call with the service's body shape.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Body as sent.
    pub body: Value,
}

impl ApiError {
    /// The normal shape: `error_code` and `message`.
    #[must_use]
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({"error_code": code, "message": message.into()}),
        }
    }

    /// 404 `RESOURCE_DOES_NOT_EXIST`.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "RESOURCE_DOES_NOT_EXIST", message)
    }

    /// 400 `INVALID_PARAMETER_VALUE`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_PARAMETER_VALUE", message)
    }

    /// 400 `INVALID_STATE`.
    #[must_use]
    pub fn invalid_state(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_STATE", message)
    }

    /// 400 `RESOURCE_ALREADY_EXISTS`.
    #[must_use]
    pub fn exists(message: impl Into<String>) -> Self {
        Self::new(400, "RESOURCE_ALREADY_EXISTS", message)
    }

    /// 400 `BAD_REQUEST`.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BAD_REQUEST", message)
    }

    /// 403 `PERMISSION_DENIED`.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(403, "PERMISSION_DENIED", message)
    }

    /// The SCIM shape; `scim_type` may be empty.
    #[must_use]
    pub fn scim(status: u16, scim_type: &str, detail: impl Into<String>) -> Self {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "detail": detail.into(),
            "status": status.to_string(),
        });
        if !scim_type.is_empty() {
            body["scimType"] = json!(scim_type);
        }
        Self { status, body }
    }

    /// The text of `error_code`, or nothing.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error_code"].as_str().unwrap_or("")
    }

    /// The text of `message` or `detail`.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["message"]
            .as_str()
            .or_else(|| self.body["detail"].as_str())
            .unwrap_or("")
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self::with_status(error.status, Body::Json(error.body))
    }
}

/// Decodes one percent-encoded path segment.
#[must_use]
pub fn decode_segment(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Decodes a query string: `+` is a space.
#[must_use]
pub fn decode_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| decode_segment(&text.replace('+', " "));
            (decode(key), decode(value))
        })
        .collect()
}
