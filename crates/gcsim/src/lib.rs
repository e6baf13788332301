//! A strict simulator of Google Cloud Storage, for tests. It is never shipped.
//!
//! Promises: what the documentation says is enforced, and each rule names the page; where the page is silent the doc comment
//! says *assumed*; what is not simulated is answered 501, never as if it had worked. Preconditions are atomic under races.
//! With a data directory a killed process loses nothing that it had answered. It listens on loopback only.
//!
//! What only this simulator has shown is *simulated*: the real service has to be asked before anything is claimed of it.
//! Deliberately without signatures, access lists, lifecycle actions, notifications, and gRPC.
//!
//! ```
//! let simulator = seawall_gcsim::Simulator::start()?;
//! simulator.create_bucket("backups", "europe-west3")?;
//! println!("point a client at {}", simulator.url());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blobs;
mod call;
mod client;
mod control;
mod counters;
mod faults;
mod hashes;
mod journal;
mod json;
mod model;
mod moment;
mod operation;
mod refusal;
mod rights;
mod server;
mod simulator;
mod state;
mod xml;

pub use client::{Control, ControlError};
pub use counters::{Count, Counted};
pub use faults::{Answer, Fault, Pause, Rule, Standing, When};
pub use operation::{Class, Operation};
pub use rights::{Credential, Grant};
pub use simulator::{Options, Process, Simulator};
