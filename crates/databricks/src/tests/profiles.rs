//! Where host and credentials come from.

use std::path::PathBuf;

use crate::credentials::Credentials;
use crate::{Config, ConfigError, ConfigSource, Secret};

/// Nothing is sent for what stands in these tests.
fn resolve(source: &ConfigSource) -> Result<Config, ConfigError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(crate::resolve(source))
}

const FILE: &str = "
[DEFAULT]
host = https://default.azuredatabricks.net/
token = t-default

[prod]
host = prod.azuredatabricks.net # the live one
token = t-prod

[both]
host = both.azuredatabricks.net
token = t-both
client_id = c
azure_tenant_id = x

[forced]
host = forced.azuredatabricks.net
token = t-forced
client_id = c
auth_type = pat

[login]
host = login.azuredatabricks.net
auth_type = databricks-cli

[machine]
host = m.azuredatabricks.net
client_id = c
client_secret = geheim

[host-only]
host = h.azuredatabricks.net

[legacy]
host = https://legacy.azuredatabricks.net
token = t-legacy
refresh_token = r
insecure = True
jobs-api-version = 2.1
";

/// A source with this file and these variables; the folder must live as long as it is read.
struct Given {
    source: ConfigSource,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn given(text: &str, variables: &[(&str, &str)]) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".databrickscfg");
    std::fs::write(&file, text).unwrap();
    let home = [("HOME".to_owned(), folder.path().display().to_string())];
    let variables = variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let environment = home.into_iter().chain(variables).collect();
    let source = ConfigSource {
        use_default_profile: true,
        environment,
        ..ConfigSource::default()
    };
    Given {
        source,
        file,
        _folder: folder,
    }
}

fn with_profile(name: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let given = given(FILE, variables);
    resolve(&ConfigSource {
        profile: Some(name.to_owned()),
        ..given.source
    })
}

/// Host without scheme and zone, and the token.
fn short(config: &Config) -> (&str, &str) {
    let Credentials::Token(token) = &config.credentials else {
        panic!("not a token: {config:?}");
    };
    let host = config
        .host
        .trim_start_matches("https://")
        .trim_end_matches(".azuredatabricks.net");
    (host, token.expose())
}

#[test]
fn the_named_profile_is_read() {
    let config = with_profile("prod", &[]).unwrap();
    assert_eq!(short(&config), ("prod", "t-prod"));
    assert_eq!(config.profile.as_deref(), Some("prod"));
    assert_eq!(
        short(&with_profile("legacy", &[]).unwrap()),
        ("legacy", "t-legacy")
    );
}

#[test]
fn the_environment_may_name_the_profile_and_the_command_line_wins() {
    let given = given(FILE, &[("DATABRICKS_CONFIG_PROFILE", "prod")]);
    assert_eq!(short(&resolve(&given.source).unwrap()), ("prod", "t-prod"));
    let flag = ConfigSource {
        profile: Some("legacy".to_owned()),
        ..given.source
    };
    assert_eq!(short(&resolve(&flag).unwrap()), ("legacy", "t-legacy"));
}

#[test]
fn flags_come_before_environment_before_profile_attribute_by_attribute() {
    let given = given(
        FILE,
        &[
            ("DATABRICKS_TOKEN", "t-env"),
            ("DATABRICKS_CONFIG_PROFILE", "prod"),
        ],
    );
    let config = resolve(&given.source).unwrap();
    assert_eq!(short(&config), ("prod", "t-env"));
    assert!(
        config
            .origins
            .contains(&"token from environment variable DATABRICKS_TOKEN".to_owned())
    );
    assert!(
        config
            .origins
            .iter()
            .any(|origin| origin.starts_with("host from profile prod of "))
    );
    let flags = ConfigSource {
        host: Some("flag.azuredatabricks.net".to_owned()),
        token: Some(Secret::new("t-flag")),
        ..given.source
    };
    assert_eq!(short(&resolve(&flags).unwrap()), ("flag", "t-flag"));
}

#[test]
fn the_file_is_skipped_when_something_is_given_and_no_profile_is_named() {
    let variables = [
        ("DATABRICKS_HOST", "env.azuredatabricks.net"),
        ("DATABRICKS_TOKEN", "t-env"),
    ];
    let given_both = given("this is not INI", &variables);
    let config = resolve(&given_both.source).unwrap();
    assert_eq!(short(&config), ("env", "t-env"));
    assert_eq!(config.profile, None);
    for variable in [
        ("DATABRICKS_HOST", "env.azuredatabricks.net"),
        ("DATABRICKS_TOKEN", "t-env"),
    ] {
        let error = resolve(&given(FILE, &[variable]).source).unwrap_err();
        assert!(error.to_string().contains("no profile read"), "{error}");
    }
}

#[test]
fn the_default_profile_is_the_set_one_or_default() {
    assert_eq!(
        short(&resolve(&given(FILE, &[]).source).unwrap()),
        ("default", "t-default")
    );
    let set = format!("[__settings__]\ndefault_profile = prod\n{FILE}");
    assert_eq!(
        short(&resolve(&given(&set, &[]).source).unwrap()),
        ("prod", "t-prod")
    );
}

#[test]
fn without_permission_the_default_profile_is_not_taken() {
    let given = given(FILE, &[]);
    let source = ConfigSource {
        use_default_profile: false,
        ..given.source
    };
    let error = resolve(&source).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the default profile is not used here"),
        "{error}"
    );
    let named = ConfigSource {
        profile: Some("DEFAULT".to_owned()),
        ..source
    };
    assert_eq!(short(&resolve(&named).unwrap()), ("default", "t-default"));
}

#[test]
fn a_missing_profile_is_an_error_only_when_named() {
    match with_profile("nowhere", &[]).unwrap_err() {
        ConfigError::ProfileMissing {
            profile,
            exists: true,
            known,
            ..
        } => {
            assert_eq!(profile, "nowhere");
            assert!(
                known.contains(&"prod".to_owned()) && !known.contains(&"__settings__".to_owned())
            );
        }
        error => panic!("{error}"),
    }
    let fallback = given("[__settings__]\ndefault_profile = gone\n", &[]);
    assert!(matches!(
        resolve(&fallback.source),
        Err(ConfigError::NoMethod { .. })
    ));
    assert!(matches!(
        with_profile("__settings__", &[]),
        Err(ConfigError::ProfileMissing { .. })
    ));
}

#[test]
fn a_missing_file_is_an_error_only_when_a_profile_is_named() {
    let given = given(FILE, &[]);
    std::fs::remove_file(&given.file).unwrap();
    let error = resolve(&given.source).unwrap_err();
    assert!(
        matches!(error, ConfigError::NoMethod { .. })
            && error.to_string().contains("does not exist")
    );
    let named = ConfigSource {
        profile: Some("prod".to_owned()),
        ..given.source
    };
    assert!(matches!(
        resolve(&named),
        Err(ConfigError::ProfileMissing { exists: false, .. })
    ));
}

#[test]
fn another_file_may_be_named() {
    let other = given("[x]\nhost = x.azuredatabricks.net\ntoken = t-x\n", &[]);
    let path = other.file.display().to_string();
    let by_variable = given(
        FILE,
        &[
            ("DATABRICKS_CONFIG_FILE", &path),
            ("DATABRICKS_CONFIG_PROFILE", "x"),
        ],
    );
    assert_eq!(short(&resolve(&by_variable.source).unwrap()), ("x", "t-x"));
    let by_flag = ConfigSource {
        config_file: Some(other.file.clone()),
        profile: Some("x".to_owned()),
        ..given(FILE, &[("DATABRICKS_CONFIG_FILE", "/nowhere")]).source
    };
    assert_eq!(short(&resolve(&by_flag).unwrap()), ("x", "t-x"));
    let by_home = given(FILE, &[("DATABRICKS_CONFIG_FILE", "~/.databrickscfg")]);
    assert_eq!(
        short(&resolve(&by_home.source).unwrap()),
        ("default", "t-default")
    );
}

#[test]
fn two_methods_are_a_conflict_that_names_all_groups() {
    let error = with_profile("both", &[]).unwrap_err().to_string();
    let start = "more than one authorization method configured: azure and oauth and pat (";
    assert!(
        error.starts_with(start) && !error.contains("t-both"),
        "{error}"
    );
    let error = with_profile("prod", &[("ARM_CLIENT_ID", "c")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("azure and pat"), "{error}");
    assert!(
        error.contains("azure_client_id from environment variable ARM_CLIENT_ID"),
        "{error}"
    );
    assert_eq!(
        short(&with_profile("forced", &[]).unwrap()),
        ("forced", "t-forced")
    );
    assert_eq!(
        short(&with_profile("both", &[("DATABRICKS_AUTH_TYPE", "pat")]).unwrap()),
        ("both", "t-both")
    );
}

/// Variables of a case: name and value.
type Variables = &'static [(&'static str, &'static str)];

const METHODS: &[(&str, Variables, &str)] = &[
    ("login", &[], "databricks-cli"),
    ("machine", &[], "oauth-m2m"),
    (
        "host-only",
        &[("DATABRICKS_OIDC_TOKEN", "theirs")],
        "env-oidc",
    ),
    (
        "host-only",
        &[
            ("DATABRICKS_OIDC_TOKEN_ENV", "CI_TOKEN"),
            ("CI_TOKEN", "theirs"),
        ],
        "env-oidc",
    ),
    (
        "host-only",
        &[("DATABRICKS_OIDC_TOKEN_FILEPATH", "/run/token")],
        "file-oidc",
    ),
    ("host-only", &[("ARM_USE_MSI", "true")], "azure-msi"),
    (
        "host-only",
        &[
            ("ARM_USE_MSI", "1"),
            ("ARM_CLIENT_ID", "c"),
            ("ARM_CLIENT_SECRET", "geheim"),
        ],
        "azure-msi",
    ),
    (
        "host-only",
        &[
            ("ARM_USE_MSI", "false"),
            ("ARM_CLIENT_ID", "c"),
            ("ARM_CLIENT_SECRET", "geheim"),
        ],
        "azure-client-secret",
    ),
    (
        "host-only",
        &[
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_TENANT_ID", "t"),
        ],
        "azure-workload-identity",
    ),
    // What a platform sets for every program does not outdo a token, and is no conflict with it.
    (
        "prod",
        &[
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
            ("AZURE_CLIENT_ID", "c"),
            ("ARM_USE_MSI", "false"),
        ],
        "pat",
    ),
    (
        "prod",
        &[("DATABRICKS_AUTH_TYPE", "azure-cli")],
        "azure-cli",
    ),
    (
        "both",
        &[("DATABRICKS_AUTH_TYPE", "databricks-cli")],
        "databricks-cli",
    ),
];

#[test]
fn the_first_method_with_all_its_settings_is_used() {
    for (profile, variables, method) in METHODS {
        let config = with_profile(profile, variables).unwrap();
        assert_eq!(config.method(), *method, "{profile} {variables:?}");
        assert!(!format!("{config:?}").contains("geheim"));
    }
}

#[test]
fn a_method_is_never_half_used() {
    for (profile, variables, lacks) in [
        (
            "host-only",
            &[("DATABRICKS_CLIENT_ID", "c")][..],
            "oauth-m2m lacks client_secret (DATABRICKS_CLIENT_SECRET)",
        ),
        (
            "host-only",
            &[("ARM_CLIENT_SECRET", "geheim")],
            "azure-client-secret lacks azure_client_id (ARM_CLIENT_ID)",
        ),
        (
            "host-only",
            &[("ARM_USE_MSI", "false")],
            "azure-msi lacks azure_use_msi (ARM_USE_MSI)",
        ),
        (
            "prod",
            &[("DATABRICKS_AUTH_TYPE", "oauth-m2m")],
            "oauth-m2m lacks client_id (DATABRICKS_CLIENT_ID) and client_secret",
        ),
        (
            "host-only",
            &[("DATABRICKS_CLI_PATH", "/nowhere/databricks")],
            "databricks-cli: there is no program /nowhere/databricks",
        ),
        (
            "host-only",
            &[],
            "env-oidc lacks the variable DATABRICKS_OIDC_TOKEN",
        ),
    ] {
        let error = with_profile(profile, variables).unwrap_err();
        assert!(matches!(error, ConfigError::NoMethod { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(lacks) && !error.contains("geheim"),
            "{error}"
        );
    }
}

#[test]
fn what_platforms_set_is_for_workspaces_of_azure() {
    let variables = [
        ("DATABRICKS_HOST", "http://127.0.0.1:9"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_TENANT_ID", "t"),
    ];
    let error = resolve(&given(FILE, &variables).source)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("azure-workload-identity lacks a host of Azure Databricks"),
        "{error}"
    );
    assert!(
        error.contains("azure-cli lacks a host of Azure Databricks"),
        "{error}"
    );
}

#[test]
fn unknown_methods_and_values_are_named() {
    let error = |variables| {
        with_profile("host-only", variables)
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(&[("DATABRICKS_AUTH_TYPE", "basic")])
            .starts_with("auth_type \"basic\" is not one of pat, oauth-m2m, ")
    );
    assert_eq!(
        error(&[("ARM_USE_MSI", "maybe")]),
        "azure_use_msi (ARM_USE_MSI) is neither true nor false"
    );
    let place = [("ARM_USE_MSI", "true"), ("AZURE_AUTHORITY_HOST", "login")];
    assert_eq!(
        error(&place),
        "azure_authority_host (AZURE_AUTHORITY_HOST) is no URL"
    );
    let cloud = [("ARM_USE_MSI", "true"), ("ARM_ENVIRONMENT", "MARS")];
    assert!(error(&cloud).starts_with("azure_environment (ARM_ENVIRONMENT) is none of "));
}

#[test]
fn a_resource_id_without_a_host_needs_a_method_of_entra() {
    let variables = [
        ("DATABRICKS_AZURE_RESOURCE_ID", "/subscriptions/x"),
        ("DATABRICKS_AUTH_TYPE", "pat"),
        ("DATABRICKS_TOKEN", "t"),
    ];
    let error = resolve(&given(FILE, &variables).source).unwrap_err();
    assert!(matches!(error, ConfigError::NoHost { .. }), "{error}");
}

#[test]
fn what_is_missing_is_named_with_what_was_there() {
    let error = with_profile("host-only", &[]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "no authorization method works: pat lacks token (DATABRICKS_TOKEN); oauth-m2m lacks "
        ) && error.contains("(host from profile host-only of "),
        "{error}"
    );
    let error = resolve(&given("token = t\n", &[]).source).unwrap_err();
    assert!(matches!(error, ConfigError::NoHost { .. }), "{error}");
    assert!(matches!(
        resolve(&ConfigSource::default()),
        Err(ConfigError::NoMethod { .. })
    ));
}

#[test]
fn empty_values_are_unset() {
    let config = with_profile(
        "prod",
        &[("DATABRICKS_TOKEN", ""), ("DATABRICKS_CLIENT_ID", "")],
    )
    .unwrap();
    assert_eq!(short(&config), ("prod", "t-prod"));
}

#[test]
fn the_workspace_id_comes_from_a_field_or_from_the_host() {
    let id = |text: &str| resolve(&given(text, &[]).source).unwrap().workspace_id;
    assert_eq!(
        id("host = https://h.azuredatabricks.net/?o=12\ntoken = t\n").as_deref(),
        Some("12")
    );
    assert_eq!(
        id("host = https://h.azuredatabricks.net/?o=12\nworkspace_id = 13\ntoken = t\n").as_deref(),
        Some("13")
    );
    assert_eq!(id("host = h.azuredatabricks.net\ntoken = t\n"), None);
}

#[test]
fn a_broken_line_is_named_by_number_and_not_shown() {
    let error = resolve(&given("host = h\ngeheim\n", &[]).source)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 2") && !error.contains("geheim"),
        "{error}"
    );
}

#[test]
fn tokens_that_fit_into_no_header_are_refused() {
    for token in ["a b", "ü", "a\nb", ""] {
        let error = Config::with_token("h.azuredatabricks.net", Secret::new(token)).unwrap_err();
        assert!(matches!(error, ConfigError::BadToken), "{token:?}: {error}");
    }
}

#[test]
fn debug_texts_hold_no_secret() {
    let given = given(FILE, &[("DATABRICKS_TOKEN", "geheim")]);
    let source = ConfigSource {
        token: Some(Secret::new("geheim")),
        profile: Some("prod".into()),
        ..given.source
    };
    let text = format!("{source:?} {:?}", resolve(&source).unwrap());
    assert!(!text.contains("geheim"), "{text}");
}
