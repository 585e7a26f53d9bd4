//! What an activation needs to know of an object, because it has no archive at hand (`spec/import.md`, "Activation").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An object as the last import of its kind left it, with the state that an activation gives back to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Tags, by which it may be selected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// JSON pointer of each passive field to its archived value, `null` for absent; for clusters `/pinned`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub active: Map<String, Value>,
    /// Why it must not be activated; empty when it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bars: Vec<String>,
    /// True when the last archive does not contain it any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}
