//! Paths inside an archive (spec, "Names").
//!
//! Paths are for people; the exact name of an object stands in its record. Owns the rule for one component, the
//! choice of names among siblings, and the check of a whole path.

mod rules;

use std::collections::{HashMap, HashSet};

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;

pub use rules::NameError;
pub(crate) use rules::check_safe;

/// One object of a folder that needs a name in the archive.
#[derive(Clone, Copy, Debug)]
pub struct Sibling<'a> {
    /// Its exact name in the service.
    pub name: &'a str,
    /// What the archive adds, such as `.py` for the language of a notebook, or nothing.
    pub extension: &'a str,
    /// The service's id, different for each sibling.
    pub id: &'a str,
}

/// Checks a path that is about to be written: every component follows the rule for names.
pub fn check(path: &str) -> Result<(), NameError> {
    rules::check(path)
}

/// The name of one object without siblings, such as an id that becomes a file name.
///
/// `name` as it is where the rule allows it, else `<allowed part>~<id>`.
pub fn component(name: &str, id: &str) -> String {
    if rules::plain(name) {
        return name.to_owned();
    }
    replaced(name, "", &safe_id(id))
}

/// Names for all objects of one folder, in the order given, no two equal under Unicode case folding.
///
/// A name stays as it is where the rule allows it and no sibling folds to the same; every other becomes
/// `<allowed part, at most 100 bytes>~<id><extension>`.
pub fn assign(siblings: &[Sibling<'_>]) -> Vec<String> {
    let mut groups: HashMap<String, usize> = HashMap::new();
    let folded: Vec<String> = siblings
        .iter()
        .map(|sibling| fold(&format!("{}{}", sibling.name, sibling.extension)))
        .collect();
    for key in &folded {
        *groups.entry(key.clone()).or_default() += 1;
    }
    let mut taken = HashSet::new();
    siblings
        .iter()
        .zip(&folded)
        .map(|(sibling, key)| {
            let whole = format!("{}{}", sibling.name, sibling.extension);
            if groups[key] == 1 && rules::plain(&whole) {
                return whole;
            }
            let name = replaced(sibling.name, sibling.extension, &safe_id(sibling.id));
            if taken.insert(fold(&name)) {
                return name;
            }
            // Two ids that differ in case only.
            replaced(sibling.name, sibling.extension, &hashed_id(sibling.id))
        })
        .collect()
}

/// The form under which names are compared: canonical caseless matching of the Unicode standard.
fn fold(name: &str) -> String {
    let decomposed: String = name.nfd().collect();
    UniCase::unicode(decomposed.as_str())
        .to_folded_case()
        .nfc()
        .collect()
}

fn replaced(name: &str, extension: &str, id: &str) -> String {
    let candidate = format!("{}~{id}{extension}", rules::allowed_part(name));
    if rules::reserved(&candidate) {
        return format!("~{id}{extension}");
    }
    candidate
}

fn safe_id(id: &str) -> String {
    let safe = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if safe { id.to_owned() } else { hashed_id(id) }
}

fn hashed_id(id: &str) -> String {
    let digest = crate::digest::Digest::of(id.as_bytes()).to_string();
    format!("x{}", &digest[..24])
}

#[cfg(test)]
mod tests;
