//! The kinds, one file each.
//!
//! Owns the list in the order of stages; a new kind is one new file and one line here.

pub mod clusters;
pub mod groups;
pub mod jobs;
pub mod libraries;
pub mod secret_scopes;

pub(crate) mod cluster_policies;
pub(crate) mod cluster_spec;
pub(crate) mod dbfs;
pub(crate) mod directories;
pub(crate) mod files;
pub(crate) mod git_folders;
pub(crate) mod global_init_scripts;
pub(crate) mod instance_pools;
pub(crate) mod notebooks;
pub(crate) mod service_principals;
pub(crate) mod users;
pub(crate) mod workspace_objects;

use crate::kind::Kind;

/// Every kind, in the order of stages.
pub(crate) static ALL: &[&Kind] = &[
    &users::KIND,
    &service_principals::KIND,
    &groups::KIND,
    &instance_pools::KIND,
    &cluster_policies::KIND,
    &global_init_scripts::KIND,
    &secret_scopes::KIND,
    &clusters::KIND,
    &libraries::KIND,
    &jobs::KIND,
    &directories::KIND,
    &git_folders::KIND,
    &notebooks::KIND,
    &files::KIND,
    &workspace_objects::KIND,
    &dbfs::KIND,
];
