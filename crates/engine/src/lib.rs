//! Drives the road: backup and archive from left to right, restore from right to left.
//!
//! Every operation is a folder with the same shape: `plan` (pure: values in, a printable and refusable plan out),
//! `run` (I/O only; its header names its commit point) and `report` (the one truth behind text and JSON).
//! The engine never prints, reads no settings file and knows no global: a function's inputs are its signature.

pub mod ack_hole;
pub mod archive;
pub mod backup;
pub mod check;
pub mod debug;
pub mod error;
mod events;
pub mod find;
pub mod hold;
mod holes;
pub mod init;
pub mod keys_admin;
pub mod list;
pub mod monitor;
pub mod postgres_setup;
pub mod prune;
pub mod region;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod secrets;
pub mod source;
pub mod status;
pub mod sync;
pub mod target;
pub mod text;
pub mod verify;
pub mod wal_status;
pub mod words;

pub use error::{Error, Kind, Result};
pub use monitor::{Finding, Monitor};
