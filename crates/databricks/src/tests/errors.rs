//! Every shape of an error body, and the questions to an error.

use std::error::Error as _;
use std::time::Duration;

use super::mock::{Mock, Reply, TOKEN, html, reply};
use crate::{Body, Error, Problem, Safety};

async fn error_of(method: &str, path: &str, answer: Reply) -> Error {
    let mock = Mock::with(move |_| answer.clone()).await;
    mock.client()
        .send(method, path, &[("q", "geheim")], Body::None, Safety::Create)
        .await
        .unwrap_err()
}

/// The error of a GET that is answered so.
async fn refused(status: u16, body: &str) -> Error {
    error_of("GET", "/api/2.0/x", reply(status, body)).await
}

fn parts(error: &Error) -> (Option<u16>, Option<&str>, String) {
    (error.status(), error.code(), error.message())
}

#[tokio::test]
async fn every_shape_of_an_error_body_is_read() {
    let scim = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"User exists","status":"409","scimType":"uniqueness"}"#;
    let scim_null = r#"{"schemas":[],"detail":"null","status":"500"}"#;
    let pre = "<html><body><h2>Error</h2><PRE class=x> Bad &lt;gate&gt; <b>way</b>\n now</PRE></body></html>";
    for (status, body, code, message) in [
        (
            400,
            r#"{"error_code":"BAD_REQUEST","message":"no"}"#,
            Some("BAD_REQUEST"),
            "no",
        ),
        (
            403,
            r#"{"error_code":403,"message":"Invalid access token."}"#,
            None,
            "Invalid access token.",
        ),
        (
            400,
            r#"{"error_code":"","message":"x already exists."}"#,
            None,
            "x already exists.",
        ),
        (
            400,
            r#"{"error":"ContextNotFound"}"#,
            None,
            "ContextNotFound",
        ),
        (
            400,
            r#"{"error":{"code":"X","message":"nested"}}"#,
            None,
            "nested",
        ),
        (400, r#"{"message":"only this"}"#, None, "only this"),
        (400, r#"{"x":1}"#, None, "the reply has no message"),
        (409, scim, Some("SCIM_409"), "uniqueness User exists"),
        (
            500,
            scim_null,
            Some("SCIM_500"),
            "internal error of the service",
        ),
        (
            400,
            "MALFORMED_REQUEST: not so: really",
            Some("MALFORMED_REQUEST"),
            "not so: really",
        ),
        (400, "Upstream: gone", None, "Upstream: gone"),
        (400, "[1]", None, "[1]"),
        (502, pre, None, "Bad <gate> way now"),
        (
            404,
            "<html><p>x</p></html>",
            None,
            "an HTML page without an error text",
        ),
        (404, "", None, "the reply has no text"),
    ] {
        let error = refused(status, body).await;
        assert_eq!(
            parts(&error),
            (Some(status), code, message.to_owned()),
            "{body}"
        );
        assert_eq!(error.tries(), 1);
    }
}

#[tokio::test]
async fn details_give_reason_request_id_and_wait() {
    let body = r#"{"error_code":"RESOURCE_EXHAUSTED","message":"slow","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MAX_READ_SIZE_EXCEEDED","domain":"d"},
        {"@type":"type.googleapis.com/google.rpc.RequestInfo","request_id":"r-1"},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"3600.5s"}]}"#;
    let error = refused(429, body).await;
    assert_eq!(error.request_id(), Some("r-1"));
    assert!(error.is_throttled());
    match error.problem() {
        Problem::Refused { reason, wait, .. } => {
            assert_eq!(reason.as_deref(), Some("MAX_READ_SIZE_EXCEEDED"));
            assert_eq!(*wait, Some(Duration::from_secs_f64(3600.5)));
        }
        problem => panic!("{problem}"),
    }
}

#[tokio::test]
async fn the_header_names_the_wait_before_the_details_do() {
    let body = r#"{"message":"slow","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"1s"}]}"#;
    let error = error_of(
        "GET",
        "/api/2.0/x",
        reply(429, body).header("retry-after", "9999"),
    )
    .await;
    assert!(
        matches!(error.problem(), Problem::Refused { wait: Some(wait), .. } if wait.as_secs() == 9999)
    );
}

#[tokio::test]
async fn texts_name_call_and_cause_but_neither_query_nor_token() {
    let body =
        format!(r#"{{"error_code":"PERMISSION_DENIED","message":"token {TOKEN}\nmay not"}}"#);
    let answer = reply(403, &body).header("x-request-id", "abc");
    let error = error_of("POST", "/api/2.0/secrets/put", answer).await;
    assert_eq!(
        error.to_string(),
        "POST /api/2.0/secrets/put: 403 PERMISSION_DENIED: token *** may not (request id abc)"
    );
    assert_eq!(error.request(), "POST /api/2.0/secrets/put");
    let debug = format!("{error:?}");
    assert!(
        !debug.contains(TOKEN) && !debug.contains("geheim"),
        "{debug}"
    );
}

#[tokio::test]
async fn network_errors_name_no_query_in_their_whole_chain() {
    let error = error_of("GET", "/api/2.0/x", Reply::Close).await;
    assert!(error.is_network() && error.status().is_none());
    let mut text = format!("{error:?}");
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&source.to_string());
        cause = source.source();
    }
    assert!(!text.contains("geheim"), "{text}");
}

#[tokio::test]
async fn pages_for_people_are_auth_errors() {
    let private = "/login.html?error=private-link-validation-error:123";
    for (answer, hint) in [
        (html(200, "<title>Databricks - Sign In</title>"), false),
        (
            reply(302, "").header("location", "https://x/login.html"),
            false,
        ),
        (reply(307, "").header("location", private), true),
    ] {
        let error = error_of("GET", "/api/2.0/x", answer).await;
        assert!(
            error.is_auth() && error.is_refused() && !error.is_not_found(),
            "{error}"
        );
        assert_eq!(error.to_string().contains("Private Link"), hint, "{error}");
    }
}

#[tokio::test]
async fn replies_that_are_not_json_are_errors_and_are_not_shown() {
    for body in ["", "geheim", r#"{"a":"#] {
        let error = refused_get(body).await;
        assert!(
            matches!(error.problem(), Problem::Unexpected { .. }),
            "{error}"
        );
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}

async fn refused_get(body: &str) -> Error {
    let mock = Mock::new([reply(200, body)]).await;
    mock.client().get("/api/2.0/x", &[]).await.unwrap_err()
}

/// The questions that an error answers with yes.
fn meanings(error: &Error) -> Vec<&'static str> {
    [
        ("gone", error.is_not_found()),
        ("exists", error.is_already_exists()),
        ("large", error.is_too_large()),
        ("off", error.is_feature_off()),
        ("unknown", error.is_unknown_endpoint()),
        ("unbuilt", error.is_not_implemented()),
        ("refused", error.is_refused()),
        ("auth", error.is_auth()),
        ("uncertain", error.is_uncertain()),
    ]
    .into_iter()
    .filter_map(|(name, yes)| yes.then_some(name))
    .collect()
}

async fn meaning(call: &str, status: u16, code: &str, message: &str) -> Vec<&'static str> {
    let (method, path) = call.split_once(' ').unwrap();
    let body = serde_json::json!({"error_code": code, "message": message}).to_string();
    meanings(&error_of(method, path, reply(status, &body)).await)
}

const OLD: &str = "Cannot access cluster 1 that was terminated or unpinned more than 30 days ago.";

/// Call, status, code, message, whether that means "gone".
const GONE: &[(&str, u16, &str, &str, bool)] = &[
    (
        "GET /api/2.0/workspace/get-status",
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "x",
        true,
    ),
    ("GET /api/2.0/preview/scim/v2/Users/1", 404, "", "", true),
    (
        "GET /api/2.0/secrets/acls/get",
        400,
        "RESOURCE_DOES_NOT_EXIST",
        "x",
        true,
    ),
    (
        "GET /api/2.1/clusters/get",
        400,
        "INVALID_PARAMETER_VALUE",
        "Cluster 1 does not exist",
        true,
    ),
    (
        "GET /api/2.0/permissions/clusters/1",
        400,
        "INVALID_PARAMETER_VALUE",
        "Cluster 1 does not exist",
        true,
    ),
    ("GET /api/2.1/clusters/get", 400, "INVALID_STATE", OLD, true),
    (
        "GET /api/2.0/permissions/clusters/1",
        400,
        "INVALID_STATE",
        OLD,
        true,
    ),
    (
        "GET /api/2.2/jobs/get",
        400,
        "INVALID_PARAMETER_VALUE",
        "Job 5 does not exist.",
        true,
    ),
    (
        "GET /api/2.2/jobs/runs/get",
        400,
        "INVALID_PARAMETER_VALUE",
        "Run 5 does not exist.",
        true,
    ),
    (
        "POST /api/2.2/jobs/create",
        400,
        "INVALID_PARAMETER_VALUE",
        "Job 5 does not exist.",
        false,
    ),
    (
        "POST /api/2.2/jobs/reset",
        400,
        "INVALID_PARAMETER_VALUE",
        "Cluster 1 does not exist",
        false,
    ),
    (
        "GET /api/2.0/new",
        404,
        "ENDPOINT_NOT_FOUND",
        "no API",
        false,
    ),
    (
        "GET /api/2.0/dbfs/list",
        404,
        "FEATURE_DISABLED",
        "off",
        false,
    ),
    (
        "GET /api/2.2/jobs/get",
        403,
        "PERMISSION_DENIED",
        "x",
        false,
    ),
];

#[tokio::test]
async fn gone_has_many_forms() {
    for &(call, status, code, message, gone) in GONE {
        let meanings = meaning(call, status, code, message).await;
        assert_eq!(
            meanings.contains(&"gone"),
            gone,
            "{call} {status} {code} {message}: {meanings:?}"
        );
    }
}

#[tokio::test]
async fn already_there_has_many_forms() {
    for (status, code, message, exists) in [
        (400, "RESOURCE_ALREADY_EXISTS", "", true),
        (409, "RESOURCE_ALREADY_EXISTS", "", true),
        (409, "ALREADY_EXISTS", "", true),
        (409, "RESOURCE_CONFLICT", "", true),
        (409, "", "", true),
        (400, "", "A notebook at /x already exists.", true),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "Policy p already exists",
            true,
        ),
        (409, "ABORTED", "", false),
        (400, "INVALID_PARAMETER_VALUE", "no", false),
    ] {
        let meanings = meaning("POST /api/2.0/x", status, code, message).await;
        assert_eq!(
            meanings == ["exists"],
            exists,
            "{status} {code} {message}: {meanings:?}"
        );
    }
}

#[tokio::test]
async fn other_meanings() {
    for (call, status, code, message, expected) in [
        (
            "GET /api/2.0/e",
            400,
            "MAX_NOTEBOOK_SIZE_EXCEEDED",
            "",
            &["large"][..],
        ),
        (
            "GET /api/2.0/e",
            400,
            "BAD_REQUEST",
            "Size exceeds 10485760 bytes",
            &["large"],
        ),
        ("POST /api/2.0/i", 413, "", "", &["large"]),
        ("GET /api/2.0/e", 404, "FEATURE_DISABLED", "", &["off"]),
        ("GET /api/2.0/e", 400, "FEATURE_DISABLED", "", &["off"]),
        (
            "GET /api/2.0/e",
            404,
            "ENDPOINT_NOT_FOUND",
            "",
            &["unknown"],
        ),
        ("POST /api/2.0/e", 501, "NOT_IMPLEMENTED", "", &["unbuilt"]),
        (
            "GET /api/2.0/e",
            401,
            "UNAUTHENTICATED",
            "",
            &["refused", "auth"],
        ),
        (
            "GET /api/2.0/e",
            403,
            "PERMISSION_DENIED",
            "not your job",
            &["refused"],
        ),
        (
            "GET /api/2.0/e",
            403,
            "",
            "Invalid access token.",
            &["refused", "auth"],
        ),
        (
            "GET /api/2.0/e",
            403,
            "",
            "Source IP address 1.2.3.4 is blocked by Databricks IP ACL",
            &["refused", "auth"],
        ),
        ("POST /api/2.0/e", 500, "INTERNAL_ERROR", "", &["uncertain"]),
        (
            "POST /api/2.0/e",
            503,
            "TEMPORARILY_UNAVAILABLE",
            "",
            &["uncertain"],
        ),
        (
            "POST /api/2.0/e",
            400,
            "QUOTA_EXCEEDED",
            "The quota for the number of jobs has been reached",
            &[],
        ),
    ] {
        assert_eq!(
            meaning(call, status, code, message).await,
            expected,
            "{call} {status} {code} {message}"
        );
    }
}

#[tokio::test]
async fn words_of_an_ip_access_list_count_only_where_they_are_the_message() {
    for (message, expected) in [
        (
            "Source IP address: 2001:db8::1 is blocked by Databricks IP ACL for workspace: 1",
            &["refused", "auth"][..],
        ),
        (
            "a@b.c may not read /Shared/IP ACL/Invalid access token",
            &["refused"],
        ),
        ("no rights on /Shared/IP access list", &["refused"]),
        (
            "no access to 'Source IP address 1.2.3.4 is blocked by Databricks IP ACL'",
            &["refused"],
        ),
    ] {
        assert_eq!(
            meaning("GET /api/2.0/e", 403, "PERMISSION_DENIED", message).await,
            expected,
            "{message}"
        );
    }
}

#[tokio::test]
async fn credentials_in_any_part_of_a_reply_stay_out_of_errors() {
    let body = format!(
        r#"{{"error_code":"X{TOKEN}","message":"Bearer:{TOKEN}, token=dapi0123456789abcdef0123","details":[
        {{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R {TOKEN}"}},
        {{"@type":"type.googleapis.com/google.rpc.RequestInfo","request_id":"{TOKEN}"}}]}}"#
    );
    let page = format!("<pre>{TOKEN}</pre>");
    let plain = format!("CODE: {TOKEN}");
    for body in [&body, &page, &plain] {
        let error = refused(400, body).await;
        let text = format!("{error} {error:?} {} {:?}", error.message(), error.code());
        assert!(!text.contains(TOKEN) && !text.contains("dapi"), "{text}");
    }
    let kind = format!("text/plain; x={TOKEN}");
    let mock = Mock::new([reply(200, "no").header("content-type", &kind)]).await;
    let error = mock.client().get("/api/2.0/x", &[]).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
}

#[tokio::test]
async fn a_reason_in_the_details_counts_like_a_code() {
    let body = r#"{"error_code":"BAD_REQUEST","message":"no","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MAX_READ_SIZE_EXCEEDED"}]}"#;
    assert!(refused(400, body).await.is_too_large());
}
