//! The version of the format as a type that answers "can this build read it?" (spec, "Versions").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version that this build writes.
///
/// * 0.9: first version. Test archives of it may be regenerated until 1.0 freezes the format.
pub const FORMAT_VERSION: FormatVersion = FormatVersion { major: 0, minor: 9 };

/// `<major>.<minor>`, in JSON a string such as `"0.9"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatVersion {
    /// Raised when an older reader would misunderstand the archive.
    pub major: u32,
    /// Raised when members or fields were added that an older reader may pass over.
    pub minor: u32,
}

impl FormatVersion {
    /// A higher major is not readable; a higher minor is.
    pub fn readable(self) -> bool {
        self.readable_by(FORMAT_VERSION)
    }

    fn readable_by(self, build: Self) -> bool {
        self.major <= build.major
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that is not `<major>.<minor>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a format version such as 0.9: {text:?}")]
pub struct VersionError {
    /// The text, at most its first 40 characters.
    pub text: String,
}

impl FromStr for FormatVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError {
            text: text.chars().take(40).collect(),
        };
        let number = |digits: &str| {
            let canonical = digits == "0" || !digits.starts_with(['0', '+', '-']);
            digits.parse().ok().filter(|_| canonical).ok_or_else(error)
        };
        let (major, minor) = text.split_once('.').ok_or_else(error)?;
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl Serialize for FormatVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FormatVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        assert_eq!(FORMAT_VERSION.to_string(), "0.9");
        assert_eq!(
            "12.34".parse(),
            Ok(FormatVersion {
                major: 12,
                minor: 34
            })
        );
        for text in ["", "1", "1.", ".1", "1.2.3", "01.2", "+1.2", "1.x", "-1.0"] {
            assert!(text.parse::<FormatVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_a_higher_major_is_unreadable() {
        assert!(
            FormatVersion {
                major: 0,
                minor: 99
            }
            .readable()
        );
        assert!(
            !FormatVersion {
                major: FORMAT_VERSION.major + 1,
                minor: 0
            }
            .readable()
        );
    }
}
