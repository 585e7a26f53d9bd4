//! What a Databricks workspace is made of: one file per kind of object.
//!
//! Owns the facts about each kind as plain data ([`Kind`], under `kinds/`) and the pure functions that work on the
//! service's own JSON: which fields are volatile, what a create call takes, where other objects are named, how a body is
//! compared, how it lands without running. Leaves calling the service, storing and ordering of work to others.
//! Implements spec/records.md; the terms are in spec/glossary.md.

mod forms;
mod index;
mod json_text;
mod kind;
mod kinds;
mod references;

pub mod acl;
pub mod lint;
pub mod needs;
pub mod order;
pub mod paths;
pub mod places;
pub mod records;
pub mod scim;
pub mod selection;
pub mod tree;

pub use kind::{
    Form, Kind, Layout, List, NaturalKey, Paging, Passive, Permissions, Read, Reference, Stage,
    Target, Write,
};
pub use kinds::{clusters, groups, jobs, libraries, secret_scopes};
pub use references::Found;

/// Every kind, in the order of stages.
pub fn kinds() -> &'static [&'static Kind] {
    kinds::ALL
}

/// The kind of that name, such as `jobs`.
pub fn kind(name: &str) -> Option<&'static Kind> {
    kinds::ALL.iter().copied().find(|kind| kind.name == name)
}
