//! Global init scripts.

use crate::route::Route;

/// Global init scripts.
#[derive(Debug, Default)]
pub struct InitScripts {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
