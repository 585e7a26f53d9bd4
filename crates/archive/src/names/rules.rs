//! The rule for one component of a path, and for a whole path.
//!
//! Two strengths: writers follow [`check`]; readers refuse only what [`check_safe`] refuses, because the larger
//! rule depends on the version of the Unicode tables and a backup must stay readable when they move on.

use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Longest path in bytes. pax allows more; nothing that people name needs it.
pub(crate) const MAX_PATH: usize = 65_535;
/// Longest component in bytes; file systems allow 255, and `<bag>` or an extension may be added.
const MAX_COMPONENT: usize = 200;
/// Bytes of the original name kept in a replaced one.
const MAX_ALLOWED_PART: usize = 100;

/// The rule that a path breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No path at all.
    #[error("it is empty")]
    Empty,
    /// Longer than the format allows.
    #[error("it has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Bytes of the path or component.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// Begins with a slash or names a drive.
    #[error("it is absolute")]
    Absolute,
    /// An empty component, `.` or `..`.
    #[error("it holds the component {component:?}")]
    Component {
        /// The component.
        component: String,
    },
    /// A character that a component may not hold.
    #[error("it holds the character {character:?}")]
    Character {
        /// The character.
        character: char,
    },
    /// Not in Unicode normalization form C.
    #[error("{component:?} is not in Unicode normalization form C")]
    NotNormalized {
        /// The component.
        component: String,
    },
    /// A space or dot where Windows drops it.
    #[error("{component:?} begins or ends with a space or dot")]
    Edge {
        /// The component.
        component: String,
    },
    /// A name that Windows reserves for devices.
    #[error("{component:?} is a reserved name on Windows")]
    Reserved {
        /// The component.
        component: String,
    },
    /// A payload path outside `data/`, or a tag path inside.
    #[error("it is on the wrong side of data/")]
    Place,
}

/// The rule that readers insist on: it cannot leave the folder that it is unpacked into, and is one text line.
pub(crate) fn check_safe(path: &str) -> Result<(), NameError> {
    if path.is_empty() {
        return Err(NameError::Empty);
    }
    if path.len() > MAX_PATH {
        return Err(NameError::TooLong {
            bytes: path.len(),
            limit: MAX_PATH,
        });
    }
    if path.starts_with('/') {
        return Err(NameError::Absolute);
    }
    for component in path.split('/') {
        if matches!(component, "" | "." | "..") {
            return Err(NameError::Component {
                component: component.to_owned(),
            });
        }
    }
    // A backslash or colon leaves the folder on Windows; a control character makes a second manifest line.
    match path
        .chars()
        .find(|c| matches!(c, '\\' | ':') || c.is_control())
    {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

/// The rule that writers follow.
pub(crate) fn check(path: &str) -> Result<(), NameError> {
    check_safe(path)?;
    path.split('/').try_for_each(check_component)
}

fn check_component(component: &str) -> Result<(), NameError> {
    let owned = || component.to_owned();
    if component.len() > MAX_COMPONENT {
        return Err(NameError::TooLong {
            bytes: component.len(),
            limit: MAX_COMPONENT,
        });
    }
    if let Some(character) = component.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character { character });
    }
    if !is_nfc(component) {
        return Err(NameError::NotNormalized { component: owned() });
    }
    if component != trimmed(component) {
        return Err(NameError::Edge { component: owned() });
    }
    if reserved(component) {
        return Err(NameError::Reserved { component: owned() });
    }
    Ok(())
}

/// Whether a name is used as it is. `~` marks replaced names, so a name that holds one is replaced too.
pub(super) fn plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['~', '/']) && check_component(name).is_ok()
}

/// What a person still recognises of a name that cannot stay: the allowed characters, at most 100 bytes.
pub(super) fn allowed_part(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let normalized: String = name.nfc().collect();
    let kept: String = normalized
        .chars()
        .filter(|c| allowed(*c) && !matches!(c, '~' | '/'))
        .nfc()
        .collect();
    let mut end = kept.len().min(MAX_ALLOWED_PART);
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    trimmed(&kept[..end]).to_owned()
}

fn trimmed(component: &str) -> &str {
    component.trim_matches([' ', '.'])
}

fn allowed(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    !matches!(c, '\\' | '%' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        && !matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::SpaceSeparator
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// Device names of Windows, with any extension.
pub(super) fn reserved(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component).trim_end();
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(number) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    let mut characters = number.chars();
    matches!(
        (characters.next(), characters.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}
