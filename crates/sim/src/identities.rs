//! Users, groups and service principals: the state under SCIM.

use crate::http::Caller;
use crate::world::World;

/// All identities.
#[derive(Debug, Default)]
pub struct Identities {}

impl Identities {
    /// The identity of this SCIM id as a caller.
    #[must_use]
    pub fn caller(&self, id: i64) -> Option<Caller> {
        Some(Caller {
            id,
            name: crate::world::ADMIN.to_owned(),
            service_principal: false,
            admin: true,
        })
    }

    /// The identity of this user name or application id as a caller.
    #[must_use]
    pub fn caller_named(&self, name: &str) -> Option<Caller> {
        Some(Caller {
            id: 1,
            name: name.to_owned(),
            service_principal: false,
            admin: true,
        })
    }
}

/// The groups that every workspace has.
pub fn create_system(world: &mut World) {
    let _ = world;
}

/// Adds a user, a member of `users` (and `admins`), with a home folder; returns the SCIM id.
pub fn add_user(world: &mut World, user_name: &str, display_name: &str, admin: bool) -> i64 {
    let _ = (user_name, display_name, admin);
    world.ids.number()
}

/// Adds a service principal; returns the SCIM id.
pub fn add_service_principal(world: &mut World, application_id: &str, display_name: &str) -> i64 {
    let _ = (application_id, display_name);
    world.ids.number()
}

/// Adds a group with members by SCIM id; `account` makes it an account group. Returns the SCIM id.
pub fn add_group(world: &mut World, display_name: &str, members: &[i64], account: bool) -> i64 {
    let _ = (display_name, members, account);
    world.ids.number()
}
