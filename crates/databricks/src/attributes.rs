//! What a configuration may say, and what was found where (fact sheet, sections 2.1 and 2.2; spec/credentials.md).

use std::collections::{BTreeMap, BTreeSet};

/// An attribute: key in a profile, environment variable, group of the conflict check.
pub(crate) struct Attribute {
    pub(crate) key: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) group: Option<&'static str>,
}

const fn attribute(
    key: &'static str,
    variable: &'static str,
    group: Option<&'static str>,
) -> Attribute {
    Attribute {
        key,
        variable,
        group,
    }
}

/// As far as they decide on host, method and workspace. Those from `federated_client_id` on are set by the platform
/// that a program runs on, for every program alike, so they say nothing about what the operator chose: they are in no group.
pub(crate) const ATTRIBUTES: &[Attribute] = &[
    attribute("host", "DATABRICKS_HOST", None),
    attribute("workspace_id", "DATABRICKS_WORKSPACE_ID", None),
    attribute("auth_type", "DATABRICKS_AUTH_TYPE", None),
    attribute("token", "DATABRICKS_TOKEN", Some("pat")),
    attribute("username", "DATABRICKS_USERNAME", Some("basic")),
    attribute("password", "DATABRICKS_PASSWORD", Some("basic")),
    attribute("client_id", "DATABRICKS_CLIENT_ID", Some("oauth")),
    attribute("client_secret", "DATABRICKS_CLIENT_SECRET", Some("oauth")),
    attribute(
        "azure_workspace_resource_id",
        "DATABRICKS_AZURE_RESOURCE_ID",
        Some("azure"),
    ),
    attribute("azure_use_msi", "ARM_USE_MSI", Some("azure")),
    attribute("azure_client_id", "ARM_CLIENT_ID", Some("azure")),
    attribute("azure_client_secret", "ARM_CLIENT_SECRET", Some("azure")),
    attribute("azure_tenant_id", "ARM_TENANT_ID", Some("azure")),
    attribute("azure_environment", "ARM_ENVIRONMENT", None),
    attribute(
        "metadata_service_url",
        "DATABRICKS_METADATA_SERVICE_URL",
        Some("metadata-service"),
    ),
    attribute("oidc_token_env", "DATABRICKS_OIDC_TOKEN_ENV", None),
    attribute(
        "oidc_token_filepath",
        "DATABRICKS_OIDC_TOKEN_FILEPATH",
        None,
    ),
    attribute("databricks_cli_path", "DATABRICKS_CLI_PATH", None),
    attribute("federated_client_id", "AZURE_CLIENT_ID", None),
    attribute("federated_tenant_id", "AZURE_TENANT_ID", None),
    attribute("federated_token_file", "AZURE_FEDERATED_TOKEN_FILE", None),
    attribute("azure_authority_host", "AZURE_AUTHORITY_HOST", None),
    attribute(
        "azure_machine_host",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        None,
    ),
    attribute("azure_arm_endpoint", "ARM_ENDPOINT", None),
];

/// `client_secret (DATABRICKS_CLIENT_SECRET)`, as errors name what is missing.
pub(crate) fn named(key: &str) -> String {
    let found = ATTRIBUTES.iter().find(|attribute| attribute.key == key);
    found.map_or(key.to_owned(), |attribute| {
        format!("{key} ({})", attribute.variable)
    })
}

/// Values found so far, each with the words for where it came from.
#[derive(Default)]
pub(crate) struct Found {
    values: BTreeMap<&'static str, (String, String)>,
    /// Places looked into, for errors.
    pub(crate) places: Vec<String>,
}

impl Found {
    pub(crate) fn fill(
        &mut self,
        key: &'static str,
        value: Option<String>,
        origin: impl FnOnce() -> String,
    ) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.values.entry(key).or_insert_with(|| (value, origin()));
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(value, _)| value.as_str())
    }

    pub(crate) fn origins(&self) -> Vec<String> {
        self.values
            .iter()
            .map(|(key, (_, origin))| format!("{key} from {origin}"))
            .collect()
    }

    /// What was found, then what was looked into.
    pub(crate) fn report(&self) -> Vec<String> {
        self.origins()
            .into_iter()
            .chain(self.places.iter().cloned())
            .collect()
    }

    /// Groups of which something is set. A switch that is off sets nothing.
    pub(crate) fn groups(&self) -> BTreeSet<&'static str> {
        let set = |attribute: &&Attribute| match self.get(attribute.key) {
            Some(value) => attribute.key != "azure_use_msi" || truth(value) != Some(false),
            None => false,
        };
        ATTRIBUTES
            .iter()
            .filter(set)
            .filter_map(|attribute| attribute.group)
            .collect()
    }
}

/// A switch, `None` for a text that is none.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
