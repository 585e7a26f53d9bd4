//! The commands `lifeboat-export`, `lifeboat-import`, `lifeboat-inspect` and `lifeboat-demo` (spec/cli.md).
//!
//! Owns arguments, the way from a library's events to the console, the exit codes (spec/exit-codes.md) and the hints
//! beside errors. All work is done by the libraries below; each command is one function in a file of its own.

mod args;
pub mod demo;
pub mod exit;
pub mod export;
mod failure;
mod frame;
pub mod import;
pub mod inspect;
mod metrics;
mod observe;
mod place;
pub mod reference;
mod shelf;
mod show;
