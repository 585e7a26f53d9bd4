//! The workspace tree: walked, its contents read in order, and walked once more at the end.
//!
//! [`Tree`] is the compact inventory, [`walk`] fills it, [`contents`] reads notebooks and files with [`read`], [`again`] is the second
//! listing, [`confirm`] a last look at what it read, [`table`] makes the records. Specified in `spec/export.md`, "The workspace tree".

pub(crate) mod again;
pub(crate) mod confirm;
pub(crate) mod contents;
mod entry;
mod read;
pub(crate) mod table;
mod tree;
pub(crate) mod walk;

pub(crate) use tree::{Folder, NodeId, State, Tree};
