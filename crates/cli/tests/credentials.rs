//! Every way of proving who calls, against token endpoints whose tokens really end.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use assert_cmd::Command;
use common::{Room, stderr, stdout};
use lifeboat_sim::{Action, Fault, Script, oauth};

const APP: &str = "0f3c1f6e-2f4a-4d0e-9a55-6a1d1d3c9b10";
const SECRET: &str = "dose-of-simulated-secret";
const FOREIGN: &str = "foreign-simulated-token";

/// A room in which a service principal may sign in by every method, and programs that hold logins.
fn room() -> Room {
    let room = Room::filled();
    let (own, person, management) = room.primary.with(|world| {
        oauth::add_client(world, APP, SECRET);
        oauth::add_federated(world, FOREIGN, APP);
        oauth::set_machine(world, APP);
        (
            oauth::issue(world, APP, oauth::DATABRICKS),
            oauth::issue(world, lifeboat_sim::ADMIN, oauth::DATABRICKS),
            oauth::issue(world, APP, oauth::MANAGEMENT),
        )
    });
    std::fs::write(room.path("token"), format!("{FOREIGN}\n")).unwrap();
    let reply = |token: &str| {
        format!(r#"{{"accessToken":"{token}","expires_on":4102444800,"tokenType":"Bearer"}}"#)
    };
    let az = |name: &str, own: &str, management: &str| {
        script(
            &room,
            &format!("{name}/az"),
            &format!(
                "case \"$*\" in\n*show*) echo '{{\"user\":{{\"type\":\"user\",\"name\":\"x\"}}}}';;\n\
                 *2ff814a6*) echo '{}';;\n*) {management};;\nesac",
                reply(own)
            ),
        );
    };
    az("principal", &own, &format!("echo '{}'", reply(&management)));
    az("person", &person, "exit 1");
    script(
        &room,
        "out/az",
        "echo 'ERROR: Please run az login to setup account.' >&2; exit 1",
    );
    let moment = "2099-01-01T00:00:00Z";
    let login = format!(
        r#"{{"access_token":"{}","token_type":"Bearer","expiry":"{moment}"}}"#,
        room.primary.token()
    );
    script(
        &room,
        "cli/databricks",
        &format!("[ \"$1 $2 $3\" = 'auth token --host' ] && echo '{login}'"),
    );
    room
}

/// A program that a shell runs.
fn script(room: &Room, name: &str, text: &str) {
    let path = room.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// `lifeboat-export ARGUMENTS` with these variables, `{url}`, `{room}` and `{path}` filled in.
fn export(room: &Room, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = room.tool("lifeboat-export", arguments);
    command
        .args(["--limits", "off"])
        .env("DATABRICKS_HOST", room.primary.url());
    let path = std::env::var("PATH").unwrap_or_default();
    for (name, value) in variables {
        let value = value
            .replace("{url}", &room.primary.url())
            .replace("{room}", &room.dir.path().display().to_string())
            .replace("{path}", &path)
            .replace(
                "{tenant}",
                &room.primary.with(|world| world.oauth.tenant.clone()),
            )
            .replace(
                "{resource}",
                &room.primary.with(|world| world.oauth.resource_id.clone()),
            );
        command.env(name, value);
    }
    command
}

const M2M: &[(&str, &str)] = &[
    ("DATABRICKS_CLIENT_ID", APP),
    ("DATABRICKS_CLIENT_SECRET", SECRET),
];
const ENTRA: &[(&str, &str)] = &[
    ("ARM_CLIENT_ID", APP),
    ("ARM_CLIENT_SECRET", SECRET),
    ("AZURE_AUTHORITY_HOST", "{url}"),
];

const METHODS: &[(&str, &[(&str, &str)])] = &[
    ("oauth-m2m", M2M),
    (
        "env-oidc",
        &[
            ("DATABRICKS_OIDC_TOKEN", FOREIGN),
            ("DATABRICKS_CLIENT_ID", APP),
        ],
    ),
    (
        "file-oidc",
        &[("DATABRICKS_OIDC_TOKEN_FILEPATH", "{room}/token")],
    ),
    (
        "azure-client-secret",
        &[
            ("ARM_CLIENT_ID", APP),
            ("ARM_CLIENT_SECRET", SECRET),
            ("ARM_TENANT_ID", "{tenant}"),
            ("AZURE_AUTHORITY_HOST", "{url}"),
            ("DATABRICKS_AZURE_RESOURCE_ID", "{resource}"),
        ],
    ),
    // The workspace says its directory.
    ("azure-client-secret", ENTRA),
    // Azure says the host.
    (
        "azure-client-secret",
        &[
            ("DATABRICKS_HOST", ""),
            ("ARM_CLIENT_ID", APP),
            ("ARM_CLIENT_SECRET", SECRET),
            ("ARM_TENANT_ID", "{tenant}"),
            ("AZURE_AUTHORITY_HOST", "{url}"),
            ("ARM_ENDPOINT", "{url}"),
            ("DATABRICKS_AZURE_RESOURCE_ID", "{resource}"),
        ],
    ),
    (
        "azure-msi",
        &[
            ("ARM_USE_MSI", "true"),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "{url}"),
        ],
    ),
    (
        "azure-msi",
        &[
            ("ARM_USE_MSI", "true"),
            ("ARM_CLIENT_ID", APP),
            ("IDENTITY_ENDPOINT", "{url}/msi/token"),
            ("IDENTITY_HEADER", oauth::IDENTITY_HEADER),
        ],
    ),
    (
        "azure-workload-identity",
        &[
            ("DATABRICKS_AUTH_TYPE", "azure-workload-identity"),
            ("AZURE_CLIENT_ID", APP),
            ("AZURE_TENANT_ID", "{tenant}"),
            ("AZURE_FEDERATED_TOKEN_FILE", "{room}/token-alone"),
            ("AZURE_AUTHORITY_HOST", "{url}/"),
        ],
    ),
    (
        "azure-cli",
        &[
            ("DATABRICKS_AUTH_TYPE", "azure-cli"),
            ("PATH", "{room}/principal:{path}"),
        ],
    ),
    (
        "azure-cli",
        &[
            ("DATABRICKS_AUTH_TYPE", "azure-cli"),
            ("PATH", "{room}/person:{path}"),
        ],
    ),
    ("databricks-cli", &[("PATH", "{room}/cli:{path}")]),
];

#[test]
fn every_method_lets_an_export_in() {
    let room = room();
    // Kubernetes writes the token without a line end.
    std::fs::write(room.path("token-alone"), FOREIGN).unwrap();
    for (method, variables) in METHODS {
        let assert = export(&room, &["check", "-v"], variables)
            .assert()
            .success();
        let (out, err) = (stdout(&assert), stderr(&assert));
        assert!(
            out.contains(&format!("credentials by {method}: ")),
            "{method}: {out}{err}"
        );
        for secret in [SECRET, FOREIGN, room.primary.token(), "eyJ"] {
            assert!(
                !out.contains(secret) && !err.contains(secret),
                "{method}: {out}{err}"
            );
        }
    }
    assert_eq!(room.primary.unhandled(), []);
}

#[test]
fn a_profile_holds_the_settings_of_a_method() {
    let room = room();
    let profile = format!(
        "[m2m]\nhost = {}\nclient_id = {APP}\nclient_secret = {SECRET}\n",
        room.primary.url()
    );
    std::fs::write(room.path("profiles"), profile).unwrap();
    let assert = room
        .tool(
            "lifeboat-export",
            &[
                "run",
                "--profile",
                "m2m",
                "--limits",
                "off",
                "--json",
                "--to",
                "a.tar.zst",
            ],
        )
        .assert()
        .success();
    let text = stdout(&assert);
    assert!(
        text.contains(r#""event":"credentials","method":"oauth-m2m""#),
        "{text}"
    );
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn tokens_that_end_are_replaced_in_the_middle_of_a_run() {
    let room = room();
    // The service refuses them 30 s before their end, so each lives for 11 s; the client replaces them after one.
    room.primary
        .with(|world| world.oauth.life = Duration::from_secs(41));
    // A run is several calls after each other, so it takes seconds.
    room.primary.set_latency(Duration::from_millis(400));
    let before = room.primary.with(|world| oauth::issued(world));
    export(&room, &["run", "--to", "a.tar.zst"], M2M)
        .assert()
        .success();
    let issued = room.primary.with(|world| oauth::issued(world)) - before;
    assert!(issued >= 2, "{issued} tokens");
    assert!(
        room.primary.calls().iter().all(|call| call.status != 401),
        "none was sent after its end"
    );
}

#[test]
fn tokens_that_end_before_their_time_are_replaced_too() {
    let room = room();
    for (name, skip, variables) in [("m2m", 0, M2M), ("later", 31, M2M), ("entra", 7, ENTRA)] {
        room.primary.script(after_contents(skip));
        room.primary.reset_calls();
        let to = format!("{name}.tar.zst");
        export(&room, &["run", "--to", &to], variables)
            .assert()
            .success();
        assert!(
            room.primary.calls().iter().any(|call| call.status == 401),
            "{name}"
        );
    }
}

/// All tokens end after so many contents and one more.
fn after_contents(skip: u64) -> Script {
    Script {
        method: "GET".to_owned(),
        path: "/api/2.0/workspace/export".to_owned(),
        query: String::new(),
        skip,
        action: Action::ExpireTokens,
    }
}

#[test]
fn credentials_that_are_lost_in_the_middle_leave_what_was_read() {
    let room = room();
    room.primary.script(after_contents(5));
    let gone = r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#;
    room.primary.fault(Fault {
        skip: 1,
        body: Some(gone.to_owned()),
        ..Fault::status("POST", "/oidc/v1/token", 401)
    });
    let assert = export(&room, &["run", "--to", "a.tar.zst"], M2M)
        .assert()
        .code(12);
    let text = stderr(&assert);
    assert!(
        text.contains("the credentials are no longer accepted: no token by the method oauth-m2m"),
        "{text}"
    );
    assert!(text.contains("Client authentication failed"), "{text}");
    let info = room
        .tool("lifeboat-inspect", &["info", "a.partial.tar.zst"])
        .assert()
        .success();
    assert!(stdout(&info).contains("incomplete"), "{}", stdout(&info));
}

#[test]
fn whoever_gets_no_token_hears_why_and_what_to_do() {
    let room = room();
    let wrong: &[(&str, &str)] = &[
        ("DATABRICKS_CLIENT_ID", APP),
        ("DATABRICKS_CLIENT_SECRET", "wrong-simulated-secret"),
    ];
    for (variables, said, hint) in [
        (
            wrong,
            "refuses with 401 invalid_client: Client authentication failed",
            "check client_id and client_secret",
        ),
        (
            &[
                ("ARM_CLIENT_ID", APP),
                ("ARM_CLIENT_SECRET", "wrong-simulated-secret"),
                ("AZURE_AUTHORITY_HOST", "{url}"),
            ],
            "refused with 401: AADSTS7000215: Invalid client secret provided",
            "check ARM_CLIENT_ID",
        ),
        (
            &[("DATABRICKS_OIDC_TOKEN", "unknown-simulated-token")],
            "refuses with 400 invalid_grant: No federation policy fits",
            "check the federation policy",
        ),
        (
            &[
                ("ARM_USE_MSI", "true"),
                ("ARM_CLIENT_ID", "other"),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "{url}"),
            ],
            "The requested identity has not been assigned to this resource",
            "check that this machine has the identity",
        ),
        (
            &[
                ("DATABRICKS_AUTH_TYPE", "azure-cli"),
                ("PATH", "{room}/out:{path}"),
            ],
            "fails: ERROR: Please run az login to setup account.",
            "log in with `az login`",
        ),
        (
            &[
                ("DATABRICKS_AUTH_TYPE", "databricks-cli"),
                ("PATH", "{room}"),
            ],
            "there is no program databricks",
            "log in with `databricks auth login`",
        ),
        (
            &[
                ("PATH", "{room}/out:{path}"),
                ("DATABRICKS_AZURE_RESOURCE_ID", "/subscriptions/x"),
            ],
            "azure-cli: `az account show --output json` fails: ERROR: Please run az login",
            "set what one of the methods needs",
        ),
    ] {
        let assert = export(&room, &["run", "--to", "out/"], variables)
            .assert()
            .code(12);
        let text = stderr(&assert);
        assert!(text.starts_with("error: ") && text.contains(said), "{text}");
        let told = text
            .lines()
            .any(|line| line.starts_with("hint: ") && line.contains(hint));
        assert!(told, "{text}");
        assert!(
            !text.contains("simulated-secret") && !text.contains("simulated-token"),
            "{text}"
        );
    }
}

#[test]
fn settings_that_contradict_each_other_are_wrong_usage() {
    let room = room();
    let both = [M2M, &[("DATABRICKS_TOKEN", "dapi-x")]].concat();
    for (variables, said) in [
        (
            both.as_slice(),
            "more than one authorization method configured: oauth and pat (client_id from environment",
        ),
        (
            &[("DATABRICKS_AUTH_TYPE", "oauth")],
            "auth_type \"oauth\" is not one of pat, oauth-m2m",
        ),
        (
            &[("ARM_USE_MSI", "perhaps")],
            "azure_use_msi (ARM_USE_MSI) is neither true nor false",
        ),
    ] {
        let assert = export(&room, &["check"], variables).assert().code(2);
        assert!(stderr(&assert).contains(said), "{}", stderr(&assert));
    }
    let chosen = [both.as_slice(), &[("DATABRICKS_AUTH_TYPE", "oauth-m2m")]].concat();
    export(&room, &["check"], &chosen).assert().success();
    assert_eq!(room.primary.unhandled(), []);
}

#[test]
fn an_endpoint_that_is_away_is_named() {
    let room = room();
    room.primary
        .fault(Fault::status("POST", "/oidc/v1/token", 503));
    let assert = export(&room, &["check"], M2M).assert().code(12);
    let text = stderr(&assert);
    assert!(
        text.starts_with("error: cannot get a token for http://127.0.0.1:"),
        "{text}"
    );
    assert!(
        text.contains("/oidc/v1/token refuses with 503") && text.contains("hint: "),
        "{text}"
    );
    room.primary.clear_faults();
    room.primary.set_login_page(true);
    let assert = export(&room, &["check"], M2M).assert().code(12);
    assert!(
        stderr(&assert).contains("answers with a page for people"),
        "{}",
        stderr(&assert)
    );
}
