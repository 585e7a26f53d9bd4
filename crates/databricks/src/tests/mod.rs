//! The client against a server of its own over a real socket. A second of the client lasts a millisecond here.

mod calls;
mod credentials;
mod errors;
mod mock;
mod pacing;
mod pages;
mod profiles;
mod retries;
