//! From an archive to a workspace.
