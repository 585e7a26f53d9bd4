//! DBFS.

use crate::route::Route;

/// DBFS.
#[derive(Debug, Default)]
pub struct Dbfs {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
