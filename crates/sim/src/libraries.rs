//! Cluster libraries.

use crate::route::Route;

/// Cluster libraries.
#[derive(Debug, Default)]
pub struct Libraries {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
