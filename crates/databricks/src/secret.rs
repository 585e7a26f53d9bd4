//! A text that cannot be printed, and the cleaning of texts that came from elsewhere.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// A token or password. `Debug` and `Display` show a placeholder; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that puts it into a header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Longest message that an error carries, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// Cleans texts of the service before they go into errors: our own credentials and whatever looks like a token are cut
/// out, control characters become spaces, and length is bounded.
///
/// Clones share what they learn.
#[derive(Clone)]
pub(crate) struct Cleaner {
    secrets: Vec<Secret>,
    learned: Arc<Mutex<VecDeque<Secret>>>,
}

/// Secrets that were learned last are remembered: a reply names no token that is hours old.
const LEARNED: usize = 16;

impl Cleaner {
    pub(crate) fn new(secrets: Vec<Secret>) -> Self {
        Self {
            secrets,
            learned: Arc::default(),
        }
    }

    /// A secret that came later: a token that was issued.
    pub(crate) fn learn(&self, secret: &Secret) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if !learned.contains(secret) {
            learned.push_back(secret.clone());
        }
        if learned.len() > LEARNED {
            learned.pop_front();
        }
    }

    pub(crate) fn clean(&self, text: &str) -> String {
        // Control characters first: they must not hide a credential from the search.
        let mut text: String = text
            .chars()
            .filter(|c| c.is_whitespace() || !c.is_control())
            .collect();
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in self
            .secrets
            .iter()
            .chain(learned.iter())
            .filter(|secret| !secret.expose().is_empty())
        {
            text = text.replace(secret.expose(), "***");
        }
        drop(learned);
        let words: Vec<Cow<'_, str>> = text.split_whitespace().map(mask_word).collect();
        words.join(" ").chars().take(LONGEST_MESSAGE).collect()
    }
}

/// `dapi` + hexadecimal digits is a personal access token, `eyJ` the start of a JSON web token; the word may have
/// something before it (`token=dapi...`).
fn mask_word(word: &str) -> Cow<'_, str> {
    for (start, least, of_token) in [
        ("dapi", 20, is_pat as fn(char) -> bool),
        ("eyJ", 32, is_jwt as fn(char) -> bool),
    ] {
        for (at, _) in word.match_indices(start) {
            let length = word[at..].find(|c| !of_token(c)).unwrap_or(word.len() - at);
            let begins = !word[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            if begins && length >= least {
                let rest = mask_word(&word[at + length..]);
                return Cow::Owned(format!("{}***{rest}", &word[..at]));
            }
        }
    }
    Cow::Borrowed(word)
}

fn is_pat(c: char) -> bool {
    c.is_ascii_hexdigit() || "dapi-".contains(c)
}

fn is_jwt(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_in_no_format() {
        let secret = Secret::new("dapi0123");
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "*** Secret(redacted) Secret(redacted)"
        );
        assert_eq!(secret.expose(), "dapi0123");
    }

    #[test]
    fn messages_lose_tokens_and_control_characters() {
        let cleaner = Cleaner::new(vec![Secret::new("geheim")]);
        cleaner.clone().learn(&Secret::new("issued"));
        assert_eq!(cleaner.clean("the issued one"), "the *** one");
        assert_eq!(
            cleaner.clean("token 'dapi0123456789abcdef-2' and geheim,\n\teyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x end\u{7}"),
            "token '***' and ***, *** end"
        );
        assert_eq!(
            cleaner.clean("the name dapisomething and eyJ stay"),
            "the name dapisomething and eyJ stay"
        );
        assert_eq!(
            cleaner.clean("a=dapi0123456789abcdef,dapi0123456789abcdef0 ge\u{7}heim"),
            "a=***,*** ***"
        );
        assert_eq!(cleaner.clean(&"x".repeat(5000)).len(), 1000);
    }
}
