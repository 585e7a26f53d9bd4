//! The Lifeboat archive format: writing, reading and verifying.
