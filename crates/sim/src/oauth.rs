//! Tokens that end: the token endpoint of the workspace, those of the directory (Entra ID) and of a machine's identity,
//! and the check of what they issued.
//!
//! One server plays all of them. Tokens end in real time, whatever the pace of the workspace's clock, because clients
//! measure in real time; [`expire_all`] ends them at once. Tokens that never end are the world's own (`World::tokens`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gate::Incoming;
use crate::http::{ApiError, Body, Caller, Reply, decode_query};
use crate::identities::{self, Kind};
use crate::world::World;

/// Audience of tokens for Azure Databricks, in every cloud.
pub const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
/// Audience of tokens for the management of Azure.
pub const MANAGEMENT: &str = "https://management.core.windows.net/";
/// Audience of tokens for Azure Resource Manager.
pub const RESOURCE_MANAGER: &str = "https://management.azure.com/";
/// Audience of tokens for Azure Storage, which the simulator does not play: a test plays its door.
pub const STORAGE: &str = "https://storage.azure.com";
/// Audience of the workspace's own tokens.
const OWN: &str = "all-apis";
/// What a request for a token of a machine must carry on App Service.
pub const IDENTITY_HEADER: &str = "simulated-identity-header";
/// The service refuses tokens that live no longer than this.
const REFUSED_BEFORE_THE_END: Duration = Duration::from_secs(30);

/// Who may get tokens, and the tokens issued.
#[derive(Debug)]
pub struct Oauth {
    /// Life of a new token.
    pub life: Duration,
    /// The directory in which Entra tokens are asked for.
    pub tenant: String,
    /// Azure's id of the workspace.
    pub resource_id: String,
    /// Application id to client secret.
    secrets: BTreeMap<String, String>,
    /// Token of somebody else's to the application id that it is good for.
    federated: BTreeMap<String, String>,
    /// Application id of the machine's identity.
    machine: Option<String>,
    issued: BTreeMap<String, Issued>,
}

#[derive(Debug)]
struct Issued {
    /// User name or application id.
    owner: String,
    audience: &'static str,
    begun: Instant,
    ends: Instant,
}

impl Default for Oauth {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(3600),
            tenant: "72f988bf-0000-4000-8000-2d7cd011db47".to_owned(),
            resource_id:
                "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/simulated\
                 /providers/Microsoft.Databricks/workspaces/simulated"
                    .to_owned(),
            secrets: BTreeMap::new(),
            federated: BTreeMap::new(),
            machine: None,
            issued: BTreeMap::new(),
        }
    }
}

/// Adds a service principal that is an administrator and has this secret, in the workspace and in the directory.
pub fn add_client(world: &mut World, application_id: &str, secret: &str) {
    add_administrator(world, application_id);
    world
        .oauth
        .secrets
        .insert(application_id.to_owned(), secret.to_owned());
}

/// Adds a token of another issuer that is taken for this service principal, an administrator.
pub fn add_federated(world: &mut World, id_token: &str, application_id: &str) {
    add_administrator(world, application_id);
    world
        .oauth
        .federated
        .insert(id_token.to_owned(), application_id.to_owned());
}

/// Gives the machine the identity of this service principal, an administrator.
pub fn set_machine(world: &mut World, application_id: &str) {
    add_administrator(world, application_id);
    world.oauth.machine = Some(application_id.to_owned());
}

/// Issues a token for a user or service principal, as `az login` holds one.
pub fn issue(world: &mut World, owner: &str, audience: &'static str) -> String {
    let human = world.identities.find(Kind::User, owner).is_some();
    let tenant = world.oauth.tenant.clone();
    let oauth = &mut world.oauth;
    let ends = unix_now() + oauth.life.as_secs();
    let mut claims = json!({"aud": audience, "exp": ends, "tid": tenant});
    claims[if human { "upn" } else { "appid" }] = json!(owner);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = format!(
        "{}.{}",
        encode(br#"{"alg":"RS256","typ":"JWT"}"#),
        encode(claims.to_string().as_bytes())
    );
    let number = oauth.issued.len();
    let token = format!(
        "{head}.{}",
        encode(&Sha256::digest(format!("{head} {number}")))
    );
    let issued = Issued {
        owner: owner.to_owned(),
        audience,
        begun: Instant::now(),
        ends: Instant::now() + oauth.life,
    };
    oauth.issued.insert(token.clone(), issued);
    token
}

/// Ends all tokens that were issued until now.
pub fn expire_all(world: &mut World) {
    let now = Instant::now();
    world
        .oauth
        .issued
        .values_mut()
        .for_each(|issued| issued.ends = now);
}

/// Tokens that were issued until now.
#[must_use]
pub fn issued(world: &World) -> usize {
    world.oauth.issued.len()
}

/// The age of a token that was issued for this audience.
#[must_use]
pub fn age(world: &World, token: &str, audience: &str) -> Option<Duration> {
    let issued = world.oauth.issued.get(token)?;
    (issued.audience == audience).then(|| issued.begun.elapsed())
}

fn add_administrator(world: &mut World, application_id: &str) {
    let id = identities::add_service_principal(world, application_id, application_id);
    if let Some(admins) = world.identities.find(Kind::Group, "admins") {
        let admins = admins.id;
        world.identities.add_member(admins, id);
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whom the headers of a request name.
pub(crate) fn caller(world: &World, incoming: &Incoming) -> Result<Caller, ApiError> {
    let authorization = incoming.header("authorization");
    if authorization.is_empty() {
        return Err(ApiError::new(
            401,
            "UNAUTHENTICATED",
            "Credential was not sent or was of an unsupported type for this API.",
        ));
    }
    let token = authorization
        .strip_prefix("Bearer ")
        .ok_or_else(invalid_token)?;
    if let Some(caller) = world.caller(token) {
        return Ok(caller);
    }
    let issued = live(world, token)?;
    if issued.audience != OWN && issued.audience != DATABRICKS {
        return Err(invalid_token());
    }
    let resource = incoming.header("x-databricks-azure-workspace-resource-id");
    if !resource.is_empty() && resource != world.oauth.resource_id {
        return Err(denied("The workspace resource id is of another workspace."));
    }
    let caller = world
        .identities
        .caller_named(&issued.owner)
        .ok_or_else(invalid_token)?;
    if issued.audience == DATABRICKS && caller.service_principal {
        let management = incoming.header("x-databricks-azure-sp-management-token");
        let known = live(world, management).is_ok_and(|token| token.audience == MANAGEMENT);
        if !known {
            return Err(denied("A management token of the principal is needed."));
        }
    }
    Ok(caller)
}

fn live<'w>(world: &'w World, token: &str) -> Result<&'w Issued, ApiError> {
    let issued = world.oauth.issued.get(token).ok_or_else(invalid_token)?;
    if issued.ends <= Instant::now() + REFUSED_BEFORE_THE_END {
        return Err(ApiError::new(401, "UNAUTHENTICATED", "Token is expired."));
    }
    Ok(issued)
}

fn invalid_token() -> ApiError {
    ApiError {
        status: 403,
        body: json!({"error_code": 403, "message": "Invalid access token."}),
    }
}

fn denied(message: &str) -> ApiError {
    ApiError::new(403, "PERMISSION_DENIED", message)
}

/// Answers what belongs to a token endpoint, `None` for everything else.
pub(crate) fn answer(world: &mut World, incoming: &Incoming) -> Option<Reply> {
    let parts: Vec<&str> = incoming.path.trim_matches('/').split('/').collect();
    let answer = match (incoming.method.as_str(), parts.as_slice()) {
        ("GET", ["oidc", ".well-known", "oauth-authorization-server"]) => Ok(metadata(incoming)),
        ("GET", [".well-known", "databricks-config"]) => Ok(about(world, incoming)),
        ("POST", ["oidc", "v1", "token"]) => own_token(world, incoming),
        ("GET", ["aad", "auth"]) => Ok(to_directory(world)),
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => {
            directory_token(world, incoming, tenant, "scope")
        }
        ("POST", [tenant, "oauth2", "token"]) => {
            directory_token(world, incoming, tenant, "resource")
        }
        ("GET", ["metadata", "identity", "oauth2", "token"]) => {
            let asked = incoming.header("metadata") == "true";
            machine_token(world, incoming, asked)
        }
        ("GET", ["msi", "token"]) => {
            let asked = incoming.header("x-identity-header") == IDENTITY_HEADER;
            machine_token(world, incoming, asked)
        }
        ("GET", ["subscriptions", ..]) => resource(world, incoming),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|error| error))
}

/// The refusal of a token endpoint.
fn refused(status: u16, error: &str, description: &str) -> Reply {
    let body = json!({"error": error, "error_description": description});
    Reply::with_status(status, Body::Json(body))
}

/// The refusal of the directory, which numbers its reasons.
fn refused_by_directory(status: u16, error: &str, number: u32, description: &str) -> Reply {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {description}"),
        "error_codes": [number],
    });
    Reply::with_status(status, Body::Json(body))
}

fn about(world: &World, incoming: &Incoming) -> Reply {
    Reply::json(json!({
        "oidc_endpoint": format!("http://{}/oidc", incoming.header("host")),
        "workspace_id": world.workspace_id,
        "cloud": "Azure",
    }))
}

fn metadata(incoming: &Incoming) -> Reply {
    let base = format!("http://{}/oidc", incoming.header("host"));
    Reply::json(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/v1/authorize"),
        "token_endpoint": format!("{base}/v1/token"),
        "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
    }))
}

fn own_token(world: &mut World, incoming: &Incoming) -> Result<Reply, Reply> {
    let form = Form::of(incoming);
    if form.get("scope") != OWN {
        return Err(refused(400, "invalid_scope", "The scope is not known."));
    }
    let owner = match form.get("grant_type") {
        "client_credentials" => {
            let (id, secret) = basic(incoming).unwrap_or_else(|| {
                (
                    form.get("client_id").into(),
                    form.get("client_secret").into(),
                )
            });
            let known = world
                .oauth
                .secrets
                .get(&id)
                .is_some_and(|known| *known == secret);
            known
                .then_some(id)
                .ok_or_else(|| refused(401, "invalid_client", "Client authentication failed"))?
        }
        "urn:ietf:params:oauth:grant-type:token-exchange" => exchange(world, &form)?,
        other => {
            let text = format!("The grant type {other} is not supported.");
            return Err(refused(400, "unsupported_grant_type", &text));
        }
    };
    let access_token = issue(world, &owner, OWN);
    Ok(Reply::json(json!({
        "access_token": access_token,
        "scope": OWN,
        "token_type": "Bearer",
        "expires_in": world.oauth.life.as_secs(),
    })))
}

/// The owner that a token of another issuer stands for.
fn exchange(world: &World, form: &Form) -> Result<String, Reply> {
    if form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
        return Err(refused(
            400,
            "invalid_request",
            "The type of the subject token is not known.",
        ));
    }
    let owner = world.oauth.federated.get(form.get("subject_token"));
    let client = form.get("client_id");
    owner
        .filter(|owner| client.is_empty() || client == owner.as_str())
        .cloned()
        .ok_or_else(|| {
            refused(
                400,
                "invalid_grant",
                "No federation policy fits the subject token.",
            )
        })
}

fn to_directory(world: &World) -> Reply {
    let mut reply = Reply::with_status(302, Body::Empty);
    let target = format!(
        "https://login.microsoftonline.com/{}/oauth2/authorize?client_id={DATABRICKS}",
        world.oauth.tenant
    );
    reply.headers.push(("location", target));
    reply
}

/// Both versions: the second names a `scope`, the first a `resource`.
fn directory_token(
    world: &mut World,
    incoming: &Incoming,
    tenant: &str,
    field: &str,
) -> Result<Reply, Reply> {
    let form = Form::of(incoming);
    if tenant != world.oauth.tenant {
        let text = format!("Tenant '{tenant}' not found.");
        return Err(refused_by_directory(400, "invalid_request", 90002, &text));
    }
    if form.get("grant_type") != "client_credentials" {
        return Err(refused_by_directory(
            400,
            "unsupported_grant_type",
            70003,
            "The grant type is not supported.",
        ));
    }
    let id = form.get("client_id").to_owned();
    let by_secret = world
        .oauth
        .secrets
        .get(&id)
        .is_some_and(|known| known == form.get("client_secret"));
    let assertion = form.get("client_assertion");
    let by_assertion = form.get("client_assertion_type")
        == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && world.oauth.federated.get(assertion) == Some(&id);
    if !by_secret && !by_assertion {
        let text = format!("Invalid client secret provided for app '{id}'.");
        return Err(refused_by_directory(
            401,
            "invalid_client",
            7_000_215,
            &text,
        ));
    }
    let audience = audience(form.get(field)).ok_or_else(|| {
        refused_by_directory(
            400,
            "invalid_resource",
            500_011,
            "The resource principal was not found.",
        )
    })?;
    let token = issue(world, &id, audience);
    let life = world.oauth.life.as_secs();
    Ok(Reply::json(if field == "scope" {
        json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token})
    } else {
        with_times(
            json!({"token_type": "Bearer", "resource": audience, "access_token": token}),
            life,
        )
    }))
}

/// The older form of a reply: times as texts.
fn with_times(mut reply: Value, life: u64) -> Value {
    reply["expires_in"] = json!(life.to_string());
    reply["expires_on"] = json!((unix_now() + life).to_string());
    reply
}

fn machine_token(world: &mut World, incoming: &Incoming, asked: bool) -> Result<Reply, Reply> {
    let query = Form(decode_query(&incoming.query));
    if !asked || query.get("api-version").is_empty() {
        return Err(refused(
            400,
            "invalid_request",
            "A required header or the API version is missing.",
        ));
    }
    let client = query.get("client_id");
    let machine = world.oauth.machine.clone();
    let owner = machine
        .filter(|owner| client.is_empty() || client == owner)
        .ok_or_else(|| refused(400, "invalid_request", "Identity not found"))?;
    let audience = audience(query.get("resource"))
        .ok_or_else(|| refused(400, "invalid_resource", "The resource is not known."))?;
    let token = issue(world, &owner, audience);
    let reply = json!({
        "access_token": token,
        "client_id": owner,
        "resource": audience,
        "token_type": "Bearer",
    });
    Ok(Reply::json(with_times(reply, world.oauth.life.as_secs())))
}

/// Azure's own record of the workspace.
fn resource(world: &World, incoming: &Incoming) -> Result<Reply, Reply> {
    let token = incoming.header("authorization").strip_prefix("Bearer ");
    let allowed = token
        .and_then(|token| live(world, token).ok())
        .is_some_and(|issued| matches!(issued.audience, RESOURCE_MANAGER | MANAGEMENT));
    let error = |status, code: &str, message: &str| {
        let body = json!({"error": {"code": code, "message": message}});
        Reply::with_status(status, Body::Json(body))
    };
    if !allowed {
        return Err(error(
            401,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
        ));
    }
    if incoming.path != world.oauth.resource_id {
        return Err(error(
            404,
            "ResourceNotFound",
            "The resource was not found.",
        ));
    }
    let url = format!("http://{}", incoming.header("host"));
    Ok(Reply::json(json!({
        "id": world.oauth.resource_id,
        "properties": {"workspaceId": world.workspace_id, "workspaceUrl": url},
    })))
}

/// The audience that a scope or a resource names.
fn audience(text: &str) -> Option<&'static str> {
    let text = text.strip_suffix("/.default").unwrap_or(text);
    [DATABRICKS, MANAGEMENT, RESOURCE_MANAGER, STORAGE]
        .into_iter()
        .find(|known| *known == text)
}

/// The pair of an `Authorization: Basic` header.
fn basic(incoming: &Incoming) -> Option<(String, String)> {
    let encoded = incoming.header("authorization").strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Fields of a form or a query.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(incoming: &Incoming) -> Self {
        Self(decode_query(&String::from_utf8_lossy(&incoming.body)))
    }

    /// A field, empty when it is absent.
    fn get(&self, key: &str) -> &str {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use bytes::Bytes;

    fn request(
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Incoming {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).expect("a value"),
                )
            })
            .collect();
        Incoming {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn ask(
        world: &mut World,
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let reply = answer(world, &request(method, target, headers, body)).expect("an endpoint");
        (reply.status, reply.value().clone())
    }

    fn status_of(world: &World, headers: &[(&'static str, &str)]) -> u16 {
        match caller(world, &request("GET", "/api/2.0/x", headers, "")) {
            Ok(caller) => {
                assert_eq!((caller.name.as_str(), caller.admin), ("app", true));
                200
            }
            Err(error) => error.status,
        }
    }

    fn world() -> World {
        let mut world = World::for_tests();
        add_client(&mut world, "app", "secret");
        add_federated(&mut world, "theirs", "app");
        set_machine(&mut world, "app");
        world
    }

    const CREDENTIALS: &str = "grant_type=client_credentials&scope=all-apis";

    #[test]
    fn the_workspace_gives_tokens_for_secrets_and_foreign_tokens() {
        let mut world = world();
        let good = format!("Basic {}", STANDARD.encode("app:secret"));
        let bad = format!("Basic {}", STANDARD.encode("app:wrong"));
        let target = "/oidc/v1/token";
        let (status, reply) = ask(
            &mut world,
            "POST",
            target,
            &[("authorization", &good)],
            CREDENTIALS,
        );
        assert_eq!((status, reply["expires_in"].as_u64()), (200, Some(3600)));
        let bearer = format!(
            "Bearer {}",
            reply["access_token"].as_str().expect("a token")
        );
        assert_eq!(status_of(&world, &[("authorization", &bearer)]), 200);
        let (status, reply) = ask(
            &mut world,
            "POST",
            target,
            &[("authorization", &bad)],
            CREDENTIALS,
        );
        assert_eq!(
            (status, reply["error"].as_str()),
            (401, Some("invalid_client"))
        );
        let exchange = |token: &str, client: &str| {
            format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&scope=all-apis&subject_token={token}\
                 &subject_token_type=urn:ietf:params:oauth:token-type:jwt&client_id={client}"
            )
        };
        for (token, client, status) in [
            ("theirs", "app", 200),
            ("theirs", "", 200),
            ("theirs", "b", 400),
            ("x", "app", 400),
        ] {
            let body = exchange(token, client);
            assert_eq!(
                ask(&mut world, "POST", target, &[], &body).0,
                status,
                "{token} {client}"
            );
        }
    }

    #[test]
    fn tokens_end_and_are_refused_just_before() {
        let mut world = world();
        let bearer = |token: String| format!("Bearer {token}");
        let token = bearer(issue(&mut world, "app", OWN));
        expire_all(&mut world);
        assert_eq!(status_of(&world, &[("authorization", &token)]), 401);
        world.oauth.life = REFUSED_BEFORE_THE_END;
        let token = bearer(issue(&mut world, "app", OWN));
        assert_eq!(status_of(&world, &[("authorization", &token)]), 401);
        assert_eq!(
            status_of(&world, &[("authorization", "Bearer unknown")]),
            403
        );
        assert_eq!(status_of(&world, &[]), 401);
    }

    #[test]
    fn a_service_principal_of_the_directory_needs_both_tokens() {
        let mut world = world();
        let target = format!("/{}/oauth2/v2.0/token", world.oauth.tenant);
        let mut token = |audience: &str| {
            let body = format!(
                "grant_type=client_credentials&client_id=app&client_secret=secret&scope={audience}/.default"
            );
            let (status, reply) = ask(&mut world, "POST", &target, &[], &body);
            assert_eq!(status, 200, "{reply}");
            reply["access_token"].as_str().expect("a token").to_owned()
        };
        let (own, management) = (format!("Bearer {}", token(DATABRICKS)), token(MANAGEMENT));
        let resource_id = world.oauth.resource_id.clone();
        for (headers, status) in [
            (vec![("authorization", own.as_str())], 403),
            (
                vec![
                    ("authorization", &own),
                    ("x-databricks-azure-sp-management-token", &own),
                ],
                403,
            ),
            (
                vec![
                    ("authorization", &own),
                    ("x-databricks-azure-sp-management-token", &management),
                ],
                200,
            ),
            (
                vec![
                    ("authorization", &own),
                    ("x-databricks-azure-sp-management-token", &management),
                    (
                        "x-databricks-azure-workspace-resource-id",
                        "/subscriptions/other",
                    ),
                ],
                403,
            ),
            (
                vec![
                    ("authorization", &own),
                    ("x-databricks-azure-sp-management-token", &management),
                    ("x-databricks-azure-workspace-resource-id", &resource_id),
                ],
                200,
            ),
        ] {
            assert_eq!(status_of(&world, &headers), status, "{headers:?}");
        }
    }

    #[test]
    fn a_machine_must_ask_in_the_right_form() {
        let mut world = world();
        let imds =
            format!("/metadata/identity/oauth2/token?api-version=2019-08-01&resource={DATABRICKS}");
        let web = format!("/msi/token?api-version=2019-08-01&resource={DATABRICKS}");
        for (target, header, status) in [
            (imds.clone(), ("metadata", "true"), 200),
            (imds.clone(), ("metadata", "false"), 400),
            (format!("{imds}&client_id=other"), ("metadata", "true"), 400),
            (web.clone(), ("x-identity-header", IDENTITY_HEADER), 200),
            (web, ("x-identity-header", "guess"), 400),
        ] {
            let (answered, reply) = ask(&mut world, "GET", &target, &[header], "");
            assert_eq!(answered, status, "{target} {header:?}: {reply}");
        }
    }
}
