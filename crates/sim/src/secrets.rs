//! Secret scopes, secrets and their ACLs.

use crate::route::Route;

/// Secret scopes, secrets and their ACLs.
#[derive(Debug, Default)]
pub struct Secrets {}

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
