//! The Lifeboat archive format: writing, reading and verifying (spec/archive-format.md).
//!
//! A bag (BagIt, RFC 8493) in a POSIX pax tar, in independent zstd frames with a seek table at the end.
//! Stock tools read it from front to back; [`Archive`] reads one member of a million in a few ranged reads.
//!
//! Synchronous, without network, and without knowledge of Databricks: what the members mean is the business of
//! other crates. [`Writer`] takes any `Write`, [`Archive`] any [`ReadAt`].

mod bag;
mod descriptor;
mod digest;
mod entry;
mod error;
mod frame;
mod index;
pub mod names;
mod pool;
mod reader;
mod seek;
mod sort;
mod source;
mod statement;
mod table;
mod tarball;
mod version;
mod writer;

pub use descriptor::{
    Counts, Descriptor, DescriptorError, ENCRYPTED_EXTENSION, EXTENSION, PARTIAL,
    SIGNATURE_EXTENSION,
};
pub use digest::{Digest, DigestError, Hasher};
pub use entry::Member;
pub use error::{Damage, ReadError, WriteError};
pub use index::TablePart;
pub use reader::{Archive, MAX_DAMAGE, SalvageEvent, SalvageReport, VerifyReport, salvage};
pub use source::{FileSource, ReadAt};
pub use statement::{
    FORMAT, Fate, Header, Inventory, KindSummary, LedgerLine, Listing, Scope, Source, Summary,
};
pub use table::TableWriter;
pub use version::{FORMAT_VERSION, FormatVersion, VersionError};
pub use writer::{Content, Sealed, Stored, Writer, WriterOptions};
