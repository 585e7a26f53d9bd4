//! Clusters.

use crate::http::ApiError;
use crate::route::Route;
use crate::world::World;

/// Clusters.
#[derive(Debug, Default)]
pub struct Clusters {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}

/// Refuses as the kind does when the id is unknown: the permissions API asks here.
///
/// # Errors
/// The body of the kind's own get call.
pub fn check(world: &World, id: &str) -> Result<(), ApiError> {
    let _ = world;
    Err(ApiError::not_found(format!("Cluster {id} does not exist.")))
}
