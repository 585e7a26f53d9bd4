//! The whole state as JSON by natural keys, and the comparison of two of them.

use serde_json::{Value, json};

use crate::world::World;

/// One difference between two dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Kind of object: `jobs`.
    pub kind: String,
    /// Natural key of the object.
    pub key: String,
    /// What differs.
    pub what: String,
}

/// The state by natural keys, ids resolved to names.
#[must_use]
pub fn dump(world: &World) -> Value {
    let _ = world;
    json!({})
}

/// Differences between two dumps; passive state is ignored.
#[must_use]
pub fn compare(a: &Value, b: &Value) -> Vec<Difference> {
    let _ = (a, b);
    Vec::new()
}
