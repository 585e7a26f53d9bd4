//! Where tokens come from, when they are renewed, and what is said when there is none.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::mock::{Mock, Reply, Seen, html, ok, options, reply};
use crate::{Body, Client, ConfigError, ConfigSource, Error, Safety, resolve};

const METADATA: &str = "/oidc/.well-known/oauth-authorization-server";
const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const MANAGEMENT: &str = "https://management.core.windows.net/";

fn source(mock: &Mock, variables: &[(&str, &str)]) -> ConfigSource {
    let host = [("DATABRICKS_HOST", mock.url.as_str())];
    let environment = host
        .iter()
        .chain(variables)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ConfigSource {
        environment,
        ..ConfigSource::default()
    }
}

async fn client(mock: &Mock, variables: &[(&str, &str)]) -> Client {
    Client::new(resolve(&source(mock, variables)).await.unwrap(), options()).unwrap()
}

const M2M: &[(&str, &str)] = &[
    ("DATABRICKS_CLIENT_ID", "app"),
    ("DATABRICKS_CLIENT_SECRET", "geheim"),
];

/// A workspace that gives tokens `t1`, `t2`, ... and takes only those that `takes` says.
async fn workspace(takes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Mock {
    let given = AtomicU32::new(0);
    Mock::with(move |seen| match seen.target.as_str() {
        METADATA => metadata(seen),
        "/oidc/v1/token" => {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            ok(&format!(
                r#"{{"access_token":"t{number}","expires_in":3600,"token_type":"Bearer"}}"#
            ))
        }
        _ if takes(bearer(seen)) => ok(r#"{"x":1}"#),
        _ => reply(
            403,
            r#"{"error_code":403,"message":"Invalid access token."}"#,
        ),
    })
    .await
}

fn metadata(seen: &Seen) -> Reply {
    let host = seen.header("host").unwrap();
    ok(&format!(
        r#"{{"token_endpoint":"http://{host}/oidc/v1/token"}}"#
    ))
}

fn bearer(seen: &Seen) -> &str {
    seen.header("authorization")
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap()
}

fn targets(mock: &Mock) -> Vec<String> {
    mock.done().into_iter().map(|seen| seen.target).collect()
}

async fn get(client: &Client) -> Result<serde_json::Value, Error> {
    client.get("/api/2.0/x", &[]).await
}

fn text_of(seen: &Seen) -> String {
    String::from_utf8(seen.body.clone()).unwrap()
}

#[tokio::test]
async fn a_secret_becomes_a_token_that_is_used_again() {
    let mock = workspace(|token| token == "t1").await;
    let client = client(&mock, M2M).await;
    assert_eq!(client.method(), "oauth-m2m");
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    let seen = mock.done();
    assert_eq!(
        seen.iter()
            .map(|seen| seen.target.as_str())
            .collect::<Vec<_>>(),
        [METADATA, "/oidc/v1/token", "/api/2.0/x", "/api/2.0/x"]
    );
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(
        seen[1].header("authorization"),
        Some("Basic YXBwOmdlaGVpbQ==")
    );
    assert_eq!(
        text_of(&seen[1]),
        "grant_type=client_credentials&scope=all-apis"
    );
    assert!(
        seen[2]
            .header("user-agent")
            .unwrap()
            .ends_with(" auth/oauth-m2m")
    );
}

#[tokio::test]
async fn a_foreign_token_is_exchanged_and_a_file_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let mock = workspace(|token| token == "t2").await;
    let file = path.display().to_string();
    let client = client(
        &mock,
        &[
            ("DATABRICKS_OIDC_TOKEN_FILEPATH", &file),
            ("DATABRICKS_CLIENT_ID", "app"),
        ],
    )
    .await;
    let replace = {
        let path = path.clone();
        // The first token is refused, so a second one is exchanged: for what the file holds by then.
        move || std::fs::write(&path, "second").unwrap()
    };
    replace();
    get(&client).await.unwrap();
    let seen = mock.done();
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=second\
        &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&scope=all-apis&client_id=app";
    assert_eq!(text_of(&seen[1]), exchange);
    assert_eq!(seen[1].header("authorization"), None);
    std::fs::remove_file(&path).unwrap();
    let lost =
        super::credentials::client(&mock, &[("DATABRICKS_OIDC_TOKEN_FILEPATH", &file)]).await;
    let error = get(&lost).await.unwrap_err();
    assert!(
        error.is_auth() && error.to_string().contains("cannot read the token in "),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_time_is_renewed_once_and_the_call_repeated() {
    for safety in [Safety::Read, Safety::Create] {
        let mock = workspace(|token| token == "t2").await;
        let client = client(&mock, M2M).await;
        client
            .send("POST", "/api/2.0/x", &[], Body::None, safety)
            .await
            .unwrap();
        assert_eq!(
            targets(&mock)[2..],
            ["/api/2.0/x", "/oidc/v1/token", "/api/2.0/x"]
        );
        assert_eq!((client.stats().calls, client.stats().retries), (2, 1));
    }
    let mock = workspace(|_| false).await;
    let error = get(&client(&mock, M2M).await).await.unwrap_err();
    assert!(error.is_auth() && error.status() == Some(403), "{error}");
    assert_eq!(
        targets(&mock)[2..],
        ["/api/2.0/x", "/oidc/v1/token", "/api/2.0/x"]
    );
}

#[tokio::test]
async fn a_personal_token_cannot_be_renewed() {
    let mock = workspace(|_| false).await;
    let error = get(&client(&mock, &[("DATABRICKS_TOKEN", "old")]).await)
        .await
        .unwrap_err();
    assert!(error.is_auth(), "{error}");
    assert_eq!(targets(&mock), ["/api/2.0/x"]);
}

#[tokio::test]
async fn what_the_endpoint_refuses_is_said_without_secrets_and_not_repeated() {
    let refusal = r#"{"error":"invalid_client","error_description":"app with geheim\nis unknown"}"#;
    let mock = Mock::with(move |seen| match seen.target.as_str() {
        METADATA => metadata(seen),
        _ => reply(401, refusal),
    })
    .await;
    let error = get(&client(&mock, M2M).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "GET /api/2.0/x: no token by the method oauth-m2m: {}/oidc/v1/token refuses with 401 invalid_client: \
             app with *** is unknown",
            mock.url
        )
    );
    assert!(error.is_auth() && error.is_refused() && !error.is_network() && !error.is_uncertain());
    assert_eq!(targets(&mock), [METADATA, "/oidc/v1/token"]);
    assert!(!format!("{error:?}").contains("geheim"));
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_waited_for() {
    let fails = AtomicU32::new(3);
    let mock = Mock::with(move |seen| match seen.target.as_str() {
        METADATA => metadata(seen),
        "/oidc/v1/token"
            if fails
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok() =>
        {
            reply(503, "busy")
        }
        "/oidc/v1/token" => ok(r#"{"access_token":"t","expires_in":"3600"}"#),
        _ => ok("{}"),
    })
    .await;
    client(&mock, M2M)
        .await
        .send("POST", "/api/2.0/x", &[], Body::None, Safety::Create)
        .await
        .unwrap();
    assert_eq!(
        targets(&mock)
            .iter()
            .filter(|target| *target == "/oidc/v1/token")
            .count(),
        4
    );
    let down = Mock::with(|_| Reply::Close).await;
    let error = get(&client(&down, M2M).await).await.unwrap_err();
    assert!(
        error.is_network() && !error.is_auth() && error.tries() > 1,
        "{error}"
    );
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[tokio::test]
async fn replies_that_are_no_token_are_named() {
    let elsewhere = r#"{"token_endpoint":"http://login.example/token"}"#;
    let target = reply(302, "").header("location", "https://login.example/");
    for (first, second, said) in [
        (
            Some(html(200, "<p>geheim")),
            None,
            "answers with a page for people (status 200)",
        ),
        (
            Some(target),
            None,
            "answers with status 302 and no JSON object",
        ),
        (
            Some(ok(elsewhere)),
            None,
            "http://login.example/token is not https",
        ),
        (Some(ok("{}")), None, "names no token endpoint"),
        (
            Some(reply(404, "")),
            None,
            "answers with status 404 and no JSON object",
        ),
        (
            None,
            Some(ok(r#"{"expires_in":1}"#)),
            "sends no access_token",
        ),
        (
            None,
            Some(ok("[]")),
            "answers with status 200 and no JSON object",
        ),
        (
            None,
            Some(ok(r#"{"access_token":"a\nb"}"#)),
            "characters that no header can have",
        ),
        (
            None,
            Some(html(403, "no")),
            "answers with a page for people (status 403)",
        ),
    ] {
        let mock = Mock::with(move |seen| match (seen.target.as_str(), &first, &second) {
            (METADATA, Some(first), _) => first.clone(),
            (METADATA, None, _) => metadata(seen),
            (_, _, Some(second)) => second.clone(),
            _ => ok("{}"),
        })
        .await;
        let error = get(&client(&mock, M2M).await).await.unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_auth() && text.contains(said) && !text.contains("geheim"),
            "{said}: {text}"
        );
    }
}

/// A directory, a machine and a workspace in one; notes for which audience tokens are asked.
async fn azure(asked: Arc<Mutex<Vec<String>>>) -> Mock {
    let token_path = format!("/{TENANT}/oauth2/v2.0/token");
    Mock::with(move |seen| {
        let path = seen.target.split('?').next().unwrap();
        let audience = |text: &str| {
            let text = text.replace("%3A", ":").replace("%2F", "/");
            asked.lock().unwrap().push(text.clone());
            if text.contains("management.azure.com") { "arm" } else if text.contains("management") { "m" } else { "d" }
        };
        if path == token_path {
            let body = text_of(seen);
            let scope = body.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap();
            let token = audience(scope);
            return ok(&json!({"token_type": "Bearer", "expires_in": 3600, "access_token": token}).to_string());
        }
        match path {
            "/metadata/identity/oauth2/token" => {
                assert_eq!(seen.header("metadata"), Some("true"));
                let token = audience(seen.query("resource").unwrap());
                ok(&json!({"token_type": "Bearer", "expires_on": "4102444800", "resource": "r", "access_token": token}).to_string())
            }
            "/aad/auth" => reply(302, "").header("location", &format!("https://login.microsoftonline.com/{TENANT}/oauth2/authorize")),
            "/subscriptions/s/workspaces/w" => {
                assert_eq!((bearer(seen), seen.query("api-version")), ("arm", Some("2018-04-01")));
                let url = format!("http://{}", seen.header("host").unwrap());
                ok(&json!({"properties": {"workspaceUrl": url}}).to_string())
            }
            _ => ok("{}"),
        }
    })
    .await
}

const APP: &[(&str, &str)] = &[("ARM_CLIENT_ID", "app"), ("ARM_CLIENT_SECRET", "geheim")];

#[tokio::test]
async fn an_application_of_the_directory_sends_both_tokens() {
    let asked = Arc::default();
    let mock = azure(Arc::clone(&asked)).await;
    let login = [
        ("AZURE_AUTHORITY_HOST", mock.url.as_str()),
        (
            "DATABRICKS_AZURE_RESOURCE_ID",
            "/subscriptions/s/workspaces/w",
        ),
    ];
    get(&client(&mock, &[APP, &login].concat()).await)
        .await
        .unwrap();
    let seen = mock.done();
    let call = seen.last().unwrap();
    assert_eq!(bearer(call), "d");
    assert_eq!(
        call.header("x-databricks-azure-sp-management-token"),
        Some("m")
    );
    assert_eq!(
        call.header("x-databricks-azure-workspace-resource-id"),
        Some("/subscriptions/s/workspaces/w")
    );
    assert!(
        call.header("user-agent")
            .unwrap()
            .ends_with(" auth/azure-client-secret")
    );
    let form = text_of(&seen[1]);
    assert!(
        form.contains("client_id=app") && form.contains("client_secret=geheim"),
        "{form}"
    );
    let management = format!("{MANAGEMENT}/.default");
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default",
            management.as_str()
        ]
    );
    assert_eq!(
        seen.iter()
            .filter(|seen| seen.target == "/aad/auth")
            .count(),
        1,
        "the workspace says its directory"
    );
}

#[tokio::test]
async fn a_configured_directory_is_not_asked_for() {
    let mock = azure(Arc::default()).await;
    let login = [
        ("AZURE_AUTHORITY_HOST", mock.url.as_str()),
        ("ARM_TENANT_ID", TENANT),
    ];
    get(&client(&mock, &[APP, &login].concat()).await)
        .await
        .unwrap();
    let seen = mock.done();
    assert!(seen.iter().all(|seen| seen.target != "/aad/auth"));
    assert_eq!(
        seen.last()
            .unwrap()
            .header("x-databricks-azure-workspace-resource-id"),
        None
    );
}

#[tokio::test]
async fn a_machine_asks_beside_itself() {
    let asked = Arc::default();
    let mock = azure(Arc::clone(&asked)).await;
    let machine = [
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", mock.url.as_str()),
        ("ARM_USE_MSI", "true"),
        ("ARM_CLIENT_ID", "one"),
    ];
    get(&client(&mock, &machine).await).await.unwrap();
    let seen = mock.done();
    assert_eq!(seen[0].query("client_id"), Some("one"));
    assert_eq!(
        *asked.lock().unwrap(),
        ["2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", MANAGEMENT]
    );
    let call = seen.last().unwrap();
    assert_eq!(
        (
            bearer(call),
            call.header("x-databricks-azure-sp-management-token")
        ),
        ("d", Some("m"))
    );
}

#[tokio::test]
async fn the_host_follows_from_the_resource_id() {
    let mock = azure(Arc::default()).await;
    let mut source = source(
        &mock,
        &[
            ("AZURE_AUTHORITY_HOST", &mock.url),
            ("ARM_ENDPOINT", &mock.url),
            ("ARM_TENANT_ID", TENANT),
            (
                "DATABRICKS_AZURE_RESOURCE_ID",
                "/subscriptions/s/workspaces/w",
            ),
        ],
    );
    source.environment.extend(
        APP.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    source.environment.remove("DATABRICKS_HOST");
    let config = resolve(&source).await.unwrap();
    assert_eq!(config.host, mock.url);
    source.environment.remove("ARM_TENANT_ID");
    let error = resolve(&source).await.unwrap_err();
    assert!(
        matches!(error, ConfigError::ResourceHost { .. })
            && error.to_string().contains("ARM_TENANT_ID"),
        "{error}"
    );
}

#[tokio::test]
async fn refusals_of_the_directory_are_said_in_its_words() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret geheim.","error_codes":[7000215]}"#;
    let busy = r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: busy","error_codes":[90033]}"#;
    for (answer, said, refused) in [
        (
            reply(401, refusal),
            "refused with 401: AADSTS7000215: Invalid client secret ***.",
            true,
        ),
        (
            reply(503, busy),
            "refused with 503: AADSTS90033: busy",
            false,
        ),
        (
            html(200, "<p>"),
            "answers with a page for people (status 200)",
            true,
        ),
        (
            reply(302, "").header("location", "https://x/"),
            "redirects (status 302)",
            true,
        ),
        (reply(200, "{}"), "the reply has no access_token", true),
        (Reply::Close, "does not answer", false),
    ] {
        let mock = Mock::with(move |_| answer.clone()).await;
        let login = [
            ("AZURE_AUTHORITY_HOST", mock.url.as_str()),
            ("ARM_TENANT_ID", TENANT),
        ];
        let error = get(&client(&mock, &[APP, &login].concat()).await)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(said) && !text.contains("geheim") && !text.contains("troubleshoot"),
            "{text}"
        );
        assert_eq!(
            (error.is_auth(), error.is_network()),
            (refused, !refused),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_login_page_for_plain_http_is_never_asked_elsewhere() {
    let mock = azure(Arc::default()).await;
    let login = [
        ("AZURE_AUTHORITY_HOST", "http://login.example/"),
        ("ARM_TENANT_ID", TENANT),
    ];
    let error = get(&client(&mock, &[APP, &login].concat()).await)
        .await
        .unwrap_err();
    assert!(
        error.is_auth() && error.to_string().contains("is not https"),
        "{error}"
    );
    assert_eq!(targets(&mock), Vec::<String>::new());
}
