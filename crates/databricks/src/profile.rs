//! The file `~/.databrickscfg`: INI as the Databricks tools read it (fact sheet, section 2.2).
//!
//! Values are never part of an error: they may be tokens.
//!
//! Read here and not by a library for INI, since those differ from the tools in just the points that matter: `;` begins
//! a comment only at the start of a line and `#` elsewhere only after white space (tokens and passwords hold both), keys
//! above the first header and those of `[DEFAULT]` are a profile of their own and are not handed down to the others,
//! nothing in a value is unquoted, unescaped or filled in, and an error must name a line without showing it.

use std::collections::BTreeMap;

/// The section that keys above every header belong to.
pub(crate) const DEFAULT: &str = "DEFAULT";
/// Reserved for the tools' own settings; not a profile.
const SETTINGS: &str = "__settings__";

/// The sections of a file. Keys are lower-case, values trimmed; `[DEFAULT]` is not merged into the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Profiles {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

/// A line that is neither comment, header nor `key = value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong with it, without its text.
    pub(crate) what: &'static str,
}

impl Profiles {
    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, BadLine> {
        let mut profiles = Self::default();
        let mut section = DEFAULT.to_owned();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let bad = |what| BadLine {
                line: index + 1,
                what,
            };
            let line = without_comment(line);
            if line.is_empty() {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let name = header
                    .strip_suffix(']')
                    .ok_or_else(|| bad("the section header has no ']'"))?;
                section = name.trim().to_owned();
                profiles.sections.entry(section.clone()).or_default();
                continue;
            }
            let at = line
                .find(['=', ':'])
                .ok_or_else(|| bad("neither a section header nor 'key = value'"))?;
            let (key, value) = (
                line[..at].trim().to_ascii_lowercase(),
                line[at + 1..].trim().to_owned(),
            );
            profiles
                .sections
                .entry(section.clone())
                .or_default()
                .insert(key, value);
        }
        Ok(profiles)
    }

    /// The keys of a profile, `None` if there is no such section.
    pub(crate) fn get(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.sections.get(name).filter(|_| name != SETTINGS)
    }

    /// The profile to take when none is named: `default_profile` of the settings, else `[DEFAULT]` if it has keys.
    pub(crate) fn fallback(&self) -> Option<String> {
        let set = self
            .sections
            .get(SETTINGS)
            .and_then(|settings| settings.get("default_profile"));
        match set.filter(|name| !name.is_empty()) {
            Some(name) => Some(name.clone()),
            None => self
                .get(DEFAULT)
                .filter(|keys| !keys.is_empty())
                .map(|_| DEFAULT.to_owned()),
        }
    }

    /// Names of the profiles, for an error that says which there are.
    pub(crate) fn names(&self) -> Vec<String> {
        self.sections
            .keys()
            .filter(|name| *name != SETTINGS)
            .cloned()
            .collect()
    }
}

/// A comment is a line that begins with `#` or `;`, or the rest of a line after white space and `#`: a `#` inside a
/// value belongs to it.
fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return "";
    }
    let comment = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, before), c)| *c == '#' && before.is_whitespace())
        .map(|((at, _), _)| at);
    comment.map_or(line, |at| line[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'p>(profiles: &'p Profiles, section: &str, key: &str) -> Option<&'p str> {
        profiles.get(section)?.get(key).map(String::as_str)
    }

    #[test]
    fn sections_keys_and_comments() {
        let text = "\u{feff}; first\n# second\n[DEFAULT]\nHost = https://a\ntoken=da#pi ; kept\n\n[ prod ]\nhost: https://b # comment\r\ntoken = x\t# y\nempty =\n";
        let profiles = Profiles::parse(text).unwrap();
        assert_eq!(key(&profiles, "DEFAULT", "host"), Some("https://a"));
        assert_eq!(key(&profiles, "DEFAULT", "token"), Some("da#pi ; kept"));
        assert_eq!(key(&profiles, "prod", "host"), Some("https://b"));
        assert_eq!(key(&profiles, "prod", "token"), Some("x"));
        assert_eq!(key(&profiles, "prod", "empty"), Some(""));
        assert_eq!(profiles.names(), ["DEFAULT", "prod"]);
    }

    #[test]
    fn keys_of_default_are_not_inherited() {
        let profiles = Profiles::parse("[DEFAULT]\ntoken = t\n[prod]\nhost = h\n").unwrap();
        assert_eq!(key(&profiles, "prod", "token"), None);
    }

    #[test]
    fn the_fallback_is_the_set_one_then_default_with_keys() {
        let fallback = |text| Profiles::parse(text).unwrap().fallback();
        assert_eq!(
            fallback("[__settings__]\ndefault_profile = prod\n[DEFAULT]\nhost=h\n").as_deref(),
            Some("prod")
        );
        assert_eq!(fallback("host = h\n").as_deref(), Some("DEFAULT"));
        assert_eq!(fallback("[DEFAULT]\n[prod]\nhost = h\n"), None);
        assert_eq!(fallback(""), None);
    }

    #[test]
    fn the_settings_section_is_no_profile() {
        assert_eq!(
            Profiles::parse("[__settings__]\ndefault_profile = x\n")
                .unwrap()
                .get("__settings__"),
            None
        );
    }

    #[test]
    fn a_line_that_is_nothing_is_named_by_number() {
        assert_eq!(
            Profiles::parse("[a]\nhost = h\ndapi123\n")
                .unwrap_err()
                .line,
            3
        );
        assert_eq!(Profiles::parse("[a\n").unwrap_err().line, 1);
    }
}
