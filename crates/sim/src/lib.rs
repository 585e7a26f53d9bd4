//! A simulated Databricks workspace over HTTP, for tests and demonstrations.
//!
//! It owns a stateful copy of the parts of the REST API that a backup touches, with the service's paging, limits and
//! error bodies, and faults on demand. It shares no type with any client, so both can be wrong only independently.
//!
//! ```
//! use lifeboat_sim::{Fault, Options, Sim};
//!
//! let sim = Sim::start(Options::default())?;
//! sim.with(|world| lifeboat_sim::identities::add_user(world, "ann@example.com", "Ann Lee", false));
//! sim.fault(Fault { times: 1, ..Fault::status("GET", "*/workspace/list", 503) });
//! // ... a client works with `sim.url()` and `sim.token()` ...
//! assert!(sim.unhandled().is_empty());
//! # Ok::<(), lifeboat_sim::Error>(())
//! ```
//!
//! A handler is a plain function on the locked [`World`]; see [`route`]. What a call is refused for, delayed by or
//! recorded as, before and after its handler, is the gate's business. `/__sim/*` offers the handle's methods over HTTP.
//!
//! Where the service's behaviour is not documented the stricter reading is taken: nothing directly below `/Users` can be
//! made by a call, the entry of `admins` on `/` and on tokens cannot be left out of a PUT, `/Shared` keeps its
//! permissions, pages are short.

pub mod assignments;
pub mod clock;
pub mod clusters;
mod control;
pub mod costs;
pub mod dbfs;
pub mod destinations;
mod dump;
mod faults;
mod fill;
mod gate;
pub mod git_credentials;
pub mod http;
pub mod identities;
pub mod ids;
pub mod init_scripts;
pub mod jobs;
pub mod libraries;
mod limits;
pub mod oauth;
pub mod permissions;
pub mod policies;
pub mod pools;
pub mod repos;
pub mod route;
pub mod scim;
mod script;
pub mod secrets;
mod server;
mod sim;
mod storm;
pub mod tree;
pub mod workspace;
mod world;

pub use costs::Costs;
pub use dump::{Comparison, Difference, KindCount, Strictness, compare, compare_all};
pub use faults::{Fault, FaultKind, When};
pub use fill::Fill;
pub use gate::Call;
pub use limits::Rate;
pub use script::{Action, Script};
pub use sim::{Error, Options, Sim};
pub use storm::Storm;
pub use world::{ADMIN, Switches, World};
