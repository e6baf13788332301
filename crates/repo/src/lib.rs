//! The repository format. Pure: bytes in, values out; no I/O, no clock. `docs/FORMAT.md` says the same on paper.
//!
//! Promises: decoders are plain functions of bytes that refuse what they do not fully understand; whatever makes a key
//! or an id is given its randomness. Deliberately knows no store, no directory and no process.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod base64_field;
pub mod bytes;
pub mod chapter;
pub mod compact;
pub mod compress;
pub mod condemned;
pub mod entropy;
pub mod envelope;
pub mod error;
pub mod event;
pub mod hole;
pub mod id;
pub mod identity;
pub mod keys;
pub mod layout;
pub mod manifest;
pub mod map;
pub mod object;
pub mod pack;
pub mod records;
pub mod relation_list;
pub mod seal;
pub mod signed;
pub mod time;
pub mod trust;
pub mod usage;
pub mod wal_index;
pub mod wal_object;
pub mod wrapped;

#[cfg(test)]
mod testing;
