//! What goes over the wire, and what comes back of good replies.

use std::io::{Read, Seek};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::mock::{Mock, Reply, TOKEN, html, ok, options, reply};
use crate::{
    Body, Client, ClientOptions, Config, Family, Identity, Problem, Safety, Secret, segment,
};

#[tokio::test]
async fn a_get_carries_credentials_agent_and_an_encoded_query() {
    let mock = Mock::new([ok("{}")]).await;
    mock.client()
        .get("/api/2.0/workspace/list", &[("path", "/Users/ä b&c")])
        .await
        .unwrap();
    let seen = mock.done().remove(0);
    assert_eq!(seen.method, "GET");
    assert_eq!(
        seen.target,
        "/api/2.0/workspace/list?path=%2FUsers%2F%C3%A4+b%26c"
    );
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {TOKEN}").as_str())
    );
    let agent = format!("lifeboat-test/1.2.3 os/{} auth/pat", std::env::consts::OS);
    assert_eq!(seen.header("user-agent"), Some(agent.as_str()));
    assert_eq!(seen.header("x-databricks-workspace-id"), None);
    assert_eq!(seen.header("accept-encoding"), None);
}

#[tokio::test]
async fn number_texts_and_key_order_survive() {
    let text = r#"{"z":1.10,"a":12345678901234567890123,"m":{"y":1e3,"b":null}}"#;
    let mock = Mock::new([ok(text)]).await;
    let value = mock
        .client()
        .get("/api/2.1/clusters/get", &[])
        .await
        .unwrap();
    assert_eq!(value.to_string(), text.replace("1e3", "1e+3"));
}

#[tokio::test]
async fn connections_are_kept() {
    let mock = Mock::with(|_| ok("{}")).await;
    let client = mock.client();
    for _ in 0..3 {
        client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    }
    assert_eq!((mock.done().len(), mock.connections()), (3, 1));
}

#[tokio::test]
async fn json_bodies_keep_their_form_and_empty_replies_are_empty_objects() {
    let mock = Mock::new([reply(204, ""), ok(r#"{"job_id":7}"#)]).await;
    let client = mock.client();
    let body = json!({"b": 1, "a": [true, null]});
    let empty = client
        .send("DELETE", "/api/2.0/x", &[], Body::None, Safety::Idempotent)
        .await
        .unwrap();
    assert_eq!(empty, json!({}));
    let made = client
        .send(
            "POST",
            "/api/2.2/jobs/create",
            &[],
            Body::Json(&body),
            Safety::Create,
        )
        .await
        .unwrap();
    assert_eq!(made["job_id"], json!(7));
    let seen = mock.done();
    assert_eq!((seen[0].method.as_str(), seen[0].body.len()), ("DELETE", 0));
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].body, br#"{"b":1,"a":[true,null]}"#);
}

#[tokio::test]
async fn raw_and_multipart_bodies_arrive_as_they_are() {
    let mock = Mock::new([ok("{}"), ok("{}")]).await;
    let client = mock.client();
    let path = format!(
        "/api/2.0/workspace-files/import-file/{}",
        segment("Shared/a b.txt")
    );
    let content = Bytes::from_static(b"\0\xffraw");
    let raw = Body::Raw(content.clone());
    client
        .send(
            "POST",
            &path,
            &[("overwrite", "true")],
            raw,
            Safety::Idempotent,
        )
        .await
        .unwrap();
    let fields = [("path", "/Shared/x"), ("format", "SOURCE")];
    let form = Body::Multipart {
        fields: &fields,
        file: "content",
        content,
    };
    client
        .send(
            "POST",
            "/api/2.0/workspace/import",
            &[],
            form,
            Safety::Idempotent,
        )
        .await
        .unwrap();
    let seen = mock.done();
    assert_eq!(
        seen[0].target,
        "/api/2.0/workspace-files/import-file/Shared%2Fa%20b.txt?overwrite=true"
    );
    assert_eq!(seen[0].body, b"\0\xffraw");
    assert!(
        seen[1]
            .header("content-type")
            .unwrap()
            .starts_with("multipart/form-data; boundary=")
    );
    let form = String::from_utf8_lossy(&seen[1].body);
    assert!(
        form.contains("name=\"path\"\r\n\r\n/Shared/x\r\n"),
        "{form}"
    );
    assert!(
        form.contains("name=\"content\"; filename=\"content\"\r\n\r\n"),
        "{form}"
    );
    assert!(seen[1].body.windows(5).any(|bytes| bytes == b"\0\xffraw"));
}

#[tokio::test]
async fn bodies_larger_than_the_cap_are_an_error_with_and_without_a_length() {
    for answer in [ok("0123456789"), Reply::Chunked("01234", "56789")] {
        let mock = Mock::new([answer.clone(), answer]).await;
        let client = mock.client();
        assert_eq!(
            client.get_bytes("/api/2.0/x", &[], 10).await.unwrap(),
            "0123456789"
        );
        let error = client.get_bytes("/api/2.0/x", &[], 9).await.unwrap_err();
        assert!(error.is_over_cap() && !error.is_too_large(), "{error}");
        assert_eq!(
            error.to_string(),
            "GET /api/2.0/x: the reply has more than 9 bytes"
        );
    }
}

#[tokio::test]
async fn texts_must_be_utf8() {
    let bytes = Reply::Http {
        status: 200,
        headers: Vec::new(),
        body: vec![0xff],
    };
    let mock = Mock::new([ok("grün"), bytes]).await;
    let client = mock.client();
    assert_eq!(client.get_text("/api/2.0/x", &[]).await.unwrap(), "grün");
    assert!(matches!(
        client
            .get_text("/api/2.0/x", &[])
            .await
            .unwrap_err()
            .problem(),
        Problem::Unexpected { .. }
    ));
}

#[tokio::test]
async fn a_file_holds_the_last_attempt_only() {
    let mock = Mock::new([Reply::Cut, ok("whole")]).await;
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"something longer from before").unwrap();
    assert_eq!(
        mock.client()
            .get_to_file("/api/2.0/x", &[], 100, &mut file)
            .await
            .unwrap(),
        5
    );
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "whole");
    assert_eq!(mock.done().len(), 2);
}

const ME: &str =
    r#"{"id":"42","userName":"a@b.c","groups":[{"display":"users"},{"display":"admins"}]}"#;

#[tokio::test]
async fn the_identity_names_the_caller_and_the_workspace() {
    let plain = r#"{"id":"43","userName":"s","groups":[{"display":"Admins of x"}]}"#;
    let date = "Sun, 22 Nov 2026 01:00:00 GMT";
    let me = ok(ME).header("X-Databricks-Org-Id", "123");
    let mock = Mock::new([me.header("Date", date), ok(plain)]).await;
    let client = mock.client();
    let admin = Identity {
        user_name: "a@b.c".into(),
        id: "42".into(),
        workspace_id: Some("123".into()),
        is_admin: true,
        shows_groups: true,
        date: Some(date.into()),
    };
    assert_eq!(client.identity().await.unwrap(), admin);
    let other = client.identity().await.unwrap();
    assert_eq!((other.is_admin, other.workspace_id), (false, None));
    assert_eq!(other.date, None);
    assert_eq!(mock.done()[0].target, "/api/2.0/preview/scim/v2/Me");
}

#[tokio::test]
async fn the_configured_workspace_must_answer() {
    let mock = Mock::new([
        ok(ME).header("x-databricks-org-id", "1"),
        ok(ME).header("x-databricks-org-id", "2"),
    ])
    .await;
    let config = Config::with_token(&format!("{}/?o=1", mock.url), Secret::new(TOKEN)).unwrap();
    let client = Client::new(config, options()).unwrap();
    assert_eq!(
        client.identity().await.unwrap().workspace_id.as_deref(),
        Some("1")
    );
    let error = client.identity().await.unwrap_err().to_string();
    assert!(
        error.contains("expected workspace 1, found workspace 2"),
        "{error}"
    );
    assert_eq!(
        mock.done()[0].header("x-databricks-workspace-id"),
        Some("1")
    );
}

#[tokio::test]
async fn paths_that_could_lead_elsewhere_are_not_sent() {
    let mock = Mock::new([]).await;
    let client = mock.client();
    for path in [
        "api/2.0/x",
        "/api/../x",
        "/api/%2E%2e/x",
        "/api/./x",
        "/api?x=1",
    ] {
        let error = client.get(path, &[]).await.unwrap_err();
        assert!(
            matches!(error.problem(), Problem::Invalid { .. }),
            "{path}: {error}"
        );
        assert_eq!(error.tries(), 0);
    }
    assert!(mock.done().is_empty());
}

#[tokio::test]
async fn html_of_a_workspace_file_is_content_and_a_login_page_is_not() {
    let login = "<html><title>Databricks - Sign In</title>";
    let get = async |answer: Reply| {
        let mock = Mock::new([answer]).await;
        let path = "/api/2.0/workspace/export";
        mock.client().get_bytes(path, &[], 10_000).await
    };
    for answer in [
        html(200, "<h1>report</h1>"),
        html(200, "<h1>report</h1>").header("x-databricks-org-id", "1"),
        html(200, login).header("x-databricks-org-id", "1"),
        html(200, login).header("content-disposition", "attachment; filename=a.html"),
        reply(200, login).header("content-type", "application/octet-stream"),
    ] {
        let Reply::Http { body, .. } = answer.clone() else {
            unreachable!()
        };
        assert_eq!(get(answer).await.unwrap(), body);
    }
    for answer in [
        html(200, login),
        html(200, "<a href=\"/login.html?next_url=x\">"),
        reply(302, "").header("location", "/login.html"),
        reply(302, login)
            .header("location", "/login.html")
            .header("x-databricks-org-id", "1"),
    ] {
        assert!(
            get(answer.clone()).await.unwrap_err().is_auth(),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_workspace_id_that_is_no_file_name_is_an_error() {
    let id = async |id: &str| {
        let mock = Mock::new([ok(ME).header("X-Databricks-Org-Id", id)]).await;
        mock.client().identity().await
    };
    let longest = "a".repeat(64);
    for good in ["1184467440737095", "a-B_9", &longest] {
        assert_eq!(id(good).await.unwrap().workspace_id.as_deref(), Some(good));
    }
    for bad in [
        "",
        "../../x",
        "1/2",
        "a b",
        "1.2",
        "\u{e9}1",
        &format!("{longest}a"),
    ] {
        let error = id(bad).await.unwrap_err();
        assert!(
            matches!(error.problem(), Problem::Unexpected { .. })
                && error.to_string().contains("X-Databricks-Org-Id"),
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn calls_are_counted_per_family() {
    let mock = Mock::new([
        ok("12345"),
        reply(503, ""),
        ok("{}"),
        reply(429, ""),
        ok("{}"),
    ])
    .await;
    let client = mock.client();
    client
        .get_bytes("/api/2.0/workspace/export", &[], 100)
        .await
        .unwrap();
    client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    let stats = client.stats();
    assert_eq!(
        (stats.calls, stats.retries, stats.throttled, stats.bytes),
        (5, 2, 1, 9)
    );
    let dbfs = &stats.families[&Family::Dbfs];
    assert_eq!(
        (dbfs.calls, dbfs.retries, dbfs.throttled, dbfs.bytes),
        (4, 2, 1, 4)
    );
    assert!(dbfs.waited >= Duration::from_millis(2));
    assert_eq!(stats.families.len(), 2);
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["families"]["workspace-export"]["calls"], json!(1));
}

#[test]
fn clients_need_no_runtime_and_no_preparation_and_print_no_token() {
    let config = Config::with_token("adb-1.2.azuredatabricks.net", Secret::new(TOKEN)).unwrap();
    let client = Client::new(config.clone(), ClientOptions::default()).unwrap();
    assert_eq!(
        (client.host(), client.cloud()),
        ("https://adb-1.2.azuredatabricks.net", "azure")
    );
    assert!(!format!("{client:?} {config:?}").contains(TOKEN));
    assert_eq!(client.stats().calls, 0);
}

#[test]
fn segments_are_encoded_whole() {
    assert_eq!(segment("a-b_c.d~1"), "a-b_c.d~1");
    assert_eq!(segment("x/y z%ü"), "x%2Fy%20z%25%C3%BC");
}

/// The variables of a process cannot be changed from within, so another one runs a test with a proxy that is not there.
#[test]
fn loopback_needs_no_proxy() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::calls::connections_are_kept"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
