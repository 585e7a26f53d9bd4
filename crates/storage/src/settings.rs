//! Credentials and options of a store, by the names of their environment variables.
//!
//! What each name means is the business of `object_store`; the names that operators need stand in `spec/storage.md`,
//! "Credentials". Values never leave this type in a message.

use std::collections::BTreeMap;
use std::time::Duration;

/// Names that other tools use for what `object_store` calls differently.
const ALIASES: &[(&str, &str)] = &[
    ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT"),
];

/// How long a request is repeated that the store is too busy for, or that gets no answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Credentials and options, taken from the environment or given one by one.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<String, String>,
    patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            patience: PATIENCE,
        }
    }
}

impl Settings {
    /// No credentials and no options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The variables of this process whose names begin with `AZURE_` or `AWS_`, and the few others that are known.
    /// A variable that is empty counts as absent.
    #[must_use]
    pub fn from_env() -> Self {
        let mut settings = Self::new();
        for (name, value) in std::env::vars_os() {
            // A name or value that is no text is none of ours.
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
                continue;
            };
            let known = name.starts_with("AZURE_") || name.starts_with("AWS_");
            if (known || name == "IDENTITY_ENDPOINT") && !value.is_empty() {
                settings = settings.with(&name, &value);
            }
        }
        settings
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With another time for which a request is repeated; 3 minutes otherwise.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The value of `name`, or of the name that another tool uses for it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let alias = || {
            let (alias, _) = ALIASES.iter().find(|(_, ours)| *ours == name)?;
            self.values.get(*alias)
        };
        self.values.get(name).or_else(alias).map(String::as_str)
    }

    /// All of them whose names begin with `prefix`, other tools' names translated.
    pub(crate) fn all(&self, prefix: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (alias, ours) in ALIASES {
            if let Some(value) = self.values.get(*alias).filter(|_| ours.starts_with(prefix)) {
                all.insert((*ours).to_owned(), value.clone());
            }
        }
        let own = self.values.iter().filter(|(name, _)| {
            name.starts_with(prefix) && !ALIASES.iter().any(|(alias, _)| alias == name)
        });
        all.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        all
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_printed() {
        let settings = Settings::new().with("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0");
        let text = format!("{settings:?}");
        assert!(text.contains("AZURE_STORAGE_ACCOUNT_KEY"), "{text}");
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }

    #[test]
    fn names_of_other_tools_are_understood_and_do_not_win() {
        let settings = Settings::new().with("AZURE_STORAGE_ACCOUNT", "cli");
        assert_eq!(settings.get("AZURE_STORAGE_ACCOUNT_NAME"), Some("cli"));
        assert_eq!(settings.all("AZURE_")["AZURE_STORAGE_ACCOUNT_NAME"], "cli");
        let settings = settings.with("AZURE_STORAGE_ACCOUNT_NAME", "own");
        assert_eq!(settings.get("AZURE_STORAGE_ACCOUNT_NAME"), Some("own"));
        assert_eq!(settings.all("AZURE_")["AZURE_STORAGE_ACCOUNT_NAME"], "own");
        assert!(settings.all("AWS_").is_empty());
    }
}
