//! Real PostgreSQL servers, workloads and oracles for seawall's own tests.
//!
//! Promises: a server that a test started is gone when the test is gone, however it ended; no server and no `seawall` runs as
//! root; nothing listens on TCP; an error of this crate says which program failed, with what words, and where its log is.
//! Deliberately not here: faulty stores (the `store` crate has them) and anything a released binary needs.
//!
//! Tests that start a server carry `real_` in front of their name or their binary's name: `.config/nextest.toml` runs only
//! a few of those at once.

pub mod binaries;
pub mod bins;
pub mod emulators;
mod failure;
pub mod identity;
pub mod oracles;
pub mod servers;
mod template;
pub mod workload;

pub use binaries::{Binaries, majors};
pub use bins::{Outcome, run, run_seawall, seawall};
pub use failure::{Context, Failure, Result};
pub use identity::Scratch;
pub use servers::{Layout, Locale, Server, ServerBuilder, StopMode};
