//! What is sent again, and what is not. A second lasts a millisecond here.

use std::time::Duration;

use tokio::net::TcpListener;

use super::mock::{Mock, Reply, TOKEN, ok, options, reply};
use crate::{Body, Client, ClientOptions, Config, Error, Family, Safety, Secret};

async fn send(mock: &Mock, safety: Safety) -> Result<serde_json::Value, Error> {
    let method = if safety == Safety::Read {
        "GET"
    } else {
        "POST"
    };
    mock.client()
        .send(method, "/api/2.2/jobs/create", &[], Body::None, safety)
        .await
}

/// Requests that one call makes when the first is answered so and the next well.
async fn tries(first: Reply, safety: Safety) -> usize {
    let mock = Mock::with({
        let first = std::sync::Mutex::new(Some(first));
        move |_| first.lock().unwrap().take().unwrap_or_else(|| ok("{}"))
    })
    .await;
    let outcome = send(&mock, safety).await;
    let seen = mock.done().len();
    assert_eq!(outcome.is_ok(), seen == 2, "{outcome:?}");
    seen
}

#[tokio::test]
async fn too_many_requests_is_repeated_with_and_without_a_wait() {
    let retry_info = r#"{"error_code":"RESOURCE_EXHAUSTED","message":"x","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"2.5s"}]}"#;
    let jobs = r#"{"error_code":"INVALID_STATE","message":"There were already 10000 jobs created in past 3600 seconds"}"#;
    for safety in [Safety::Read, Safety::Idempotent, Safety::Create] {
        assert_eq!(tries(reply(429, ""), safety).await, 2);
        assert_eq!(
            tries(reply(429, "").header("retry-after", "7"), safety).await,
            2
        );
        assert_eq!(
            tries(reply(429, "").header("retry-after", "soon"), safety).await,
            2
        );
        assert_eq!(
            tries(reply(429, "").header("retry-after", "0"), safety).await,
            2
        );
        assert_eq!(tries(reply(429, retry_info), safety).await, 2);
        assert_eq!(
            tries(reply(500, "SCIM: REQUEST_LIMIT_EXCEEDED"), safety).await,
            2
        );
        assert_eq!(tries(reply(400, jobs), safety).await, 2);
    }
}

#[tokio::test]
async fn other_faults_are_repeated_unless_something_could_be_made_twice() {
    let faults = || {
        let aborted = r#"{"error_code":"ABORTED","message":"again"}"#;
        let worker = r#"{"error_code":"X","message":"Unknown worker environment"}"#;
        let statuses = [500, 502, 503, 504].map(|status| reply(status, ""));
        let rest = [
            reply(409, aborted),
            reply(400, worker),
            Reply::Close,
            Reply::Cut,
        ];
        statuses.into_iter().chain(rest)
    };
    for fault in faults() {
        assert_eq!(tries(fault.clone(), Safety::Read).await, 2, "{fault:?}");
        assert_eq!(
            tries(fault.clone(), Safety::Idempotent).await,
            2,
            "{fault:?}"
        );
        assert_eq!(tries(fault.clone(), Safety::Create).await, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_silent_service_ends_in_a_time_out() {
    let options = ClientOptions {
        timeout: Duration::from_millis(100),
        ..options()
    };
    let mock = Mock::new([Reply::Silent, ok("{}"), Reply::Silent]).await;
    let client = mock.client_with(options);
    client.get("/api/2.0/x", &[]).await.unwrap();
    let error = client
        .send("POST", "/api/2.0/x", &[], Body::None, Safety::Create)
        .await
        .unwrap_err();
    assert!(error.is_network() && error.is_uncertain(), "{error}");
    assert!(error.to_string().contains("time-out"), "{error}");
    assert_eq!(mock.done().len(), 3);
}

#[tokio::test]
async fn a_refused_connection_is_repeated_even_for_a_create() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = Config::with_token(&host, Secret::new(TOKEN)).unwrap();
    let options = ClientOptions {
        retry_budget: Duration::from_millis(20),
        ..options()
    };
    let client = Client::new(config, options).unwrap();
    let error = client
        .send("POST", "/api/2.0/x", &[], Body::None, Safety::Create)
        .await
        .unwrap_err();
    assert!(error.is_network() && !error.is_uncertain(), "{error}");
    assert!(error.tries() > 1, "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("(after {} tries)", error.tries())),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    for status in [400, 401, 403, 404, 409, 501] {
        assert_eq!(
            tries(
                reply(status, r#"{"error_code":"X","message":"no"}"#),
                Safety::Read
            )
            .await,
            1,
            "{status}"
        );
    }
    assert_eq!(tries(reply(302, ""), Safety::Read).await, 1);
}

#[tokio::test]
async fn the_named_wait_is_kept_and_counted() {
    let mock = Mock::new([reply(429, "").header("retry-after", "25"), ok("{}")]).await;
    let client = mock.client();
    client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    assert!(client.stats().families[&Family::Dbfs].waited >= Duration::from_millis(25));
}

#[tokio::test]
async fn a_wait_beyond_the_budget_is_reported_at_once() {
    let mock = Mock::new([reply(429, "").header("retry-after", "301"), ok("{}")]).await;
    let options = ClientOptions {
        retry_budget: Duration::from_millis(300),
        ..options()
    };
    let client = mock.client_with(options);
    let error = client.get("/api/2.0/dbfs/list", &[]).await.unwrap_err();
    assert!(error.is_throttled() && error.tries() == 1, "{error}");
    client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    assert!(
        client.stats().waited < Duration::from_millis(100),
        "nobody else waits either"
    );
    mock.done();
}

#[tokio::test]
async fn a_wait_of_nothing_is_no_wait_named() {
    let mock = Mock::with(|_| reply(429, "").header("retry-after", "0")).await;
    let options = ClientOptions {
        retry_budget: Duration::from_millis(20),
        ..options()
    };
    let error = mock
        .client_with(options)
        .get("/api/2.0/x", &[])
        .await
        .unwrap_err();
    assert!(error.is_throttled() && error.tries() <= 6, "{error}");
}

#[tokio::test]
async fn the_budget_ends_the_repetitions() {
    let mock = Mock::with(|_| reply(503, "")).await;
    let options = ClientOptions {
        retry_budget: Duration::from_millis(20),
        ..options()
    };
    let error = mock
        .client_with(options)
        .get("/api/2.0/x", &[])
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(503));
    // 1 + 2 + 3 + 4 + 5 are 15 of the 20; jitter and the calls themselves take the rest, on a busy machine all of it.
    assert!((1..=6).contains(&error.tries()), "{error}");
}

#[tokio::test]
async fn a_fault_that_stays_is_reported_after_a_few_tries() {
    let mock = Mock::with(|_| reply(500, "")).await;
    let error = mock.client().get("/api/2.0/x", &[]).await.unwrap_err();
    assert_eq!(error.tries(), 5);
    assert_eq!(mock.done().len(), 5);
}

#[tokio::test]
async fn no_wait_is_too_long_to_be_understood() {
    let retry_info = r#"{"message":"x","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"18446744073709551615s"}]}"#;
    let long = "9".repeat(40);
    for answer in [
        reply(429, "").header("retry-after", "18446744073709551615"),
        reply(503, "").header("retry-after", &long),
        reply(429, retry_info),
    ] {
        let mock = Mock::new([answer]).await;
        let options = ClientOptions {
            retry_budget: Duration::from_secs(300),
            ..options()
        };
        let error = mock.client_with(options).get("/api/2.0/x", &[]).await;
        let error = error.unwrap_err();
        assert_eq!(error.tries(), 1, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("asks to wait 18446744073709551615 s")
                && text.contains("one call may take 300 s"),
            "{text}"
        );
        assert!(error.message().contains("asks to wait"));
        mock.done();
    }
}
