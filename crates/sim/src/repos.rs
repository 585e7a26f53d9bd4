//! Git folders.

use crate::route::Route;

/// Git folders.
#[derive(Debug, Default)]
pub struct Repos {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
