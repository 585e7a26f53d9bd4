//! Looking into archives, offline.
