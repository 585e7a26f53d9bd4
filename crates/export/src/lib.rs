//! From a workspace to an archive.
