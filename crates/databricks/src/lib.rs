//! REST client for a Databricks workspace: credentials, retry, rate limits, paging, errors.
//!
//! Owns everything between "call this path" and "here is the body": where the credentials come from
//! ([`resolve`]), when a token is renewed, how fast calls may go ([`LimitTable`], [`family_of`]), what is repeated after a failure and what
//! never is ([`Safety`]), how pages become one list ([`Listing`]), and what a refusal means ([`Error`]).
//!
//! Knows nothing of archives and of the kinds of objects in a workspace. JSON is handed on as the service wrote it:
//! elements of listings as raw text, single objects as an order-preserving tree, so that a field that the service
//! adds tomorrow survives.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use lifeboat_databricks::{Client, ClientOptions, ConfigSource, Listing, Paging, resolve};
//!
//! let client = Client::new(resolve(&ConfigSource::from_process()).await?, ClientOptions::default())?;
//! let clusters = client
//!     .list(&Listing {
//!         path: "/api/2.1/clusters/list",
//!         query: Vec::new(),
//!         array: "clusters",
//!         paging: Paging::PageToken { size: Some(("page_size", 100)) },
//!     })
//!     .await?;
//! # let _ = clusters; Ok(()) }
//! ```

mod attributes;
mod chain;
mod client;
mod config;
mod credentials;
mod endpoint;
mod entra;
mod error;
mod family;
mod host;
mod http;
mod limits;
mod merged;
mod oauth;
mod pace;
mod paging;
mod profile;
mod program;
mod refusal;
mod retry;
mod secret;
mod source;
mod stats;
#[cfg(test)]
mod tests;
mod token;
mod window;

pub use client::{Body, Client, ClientOptions, Identity, Safety, segment};
pub use config::{Config, ConfigError, ConfigSource, resolve};
pub use error::{Error, Problem};
pub use family::{Family, family_of};
pub use limits::{Limit, LimitTable, Limits, LimitsError, Rate};
pub use paging::{Listing, Paging};
pub use secret::Secret;
pub use stats::{FamilyStats, Stats};
