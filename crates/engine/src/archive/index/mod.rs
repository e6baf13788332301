//! The index of a segment: made while the segment passes, from its records and the one that began before it.
//!
//! ```text
//! segment ── carry (what is open at its start) ── walk ──▶ records ── gather ──▶ index in front, transactions behind
//! ```
//!
//! Promises: what the index tells is told by records whose CRC and links are right; whatever cannot be read makes no index, with the
//! reason, and is never a reason not to store the segment. Memory does not grow with the segment.

mod activity;
mod ahead;
mod carry;
mod gather;
mod link;
mod local;
mod open_record;
mod opening;
mod pages;
mod segment;

pub(crate) use ahead::Ahead;
pub(crate) use carry::{carry_of, find_carry};
pub(crate) use link::Before;
pub(crate) use local::index_of_file;
pub(crate) use open_record::{OPEN_RECORD_FILE_NAME, OpenRecord, keep_open_record, kept_open_record};
pub(crate) use segment::{Indexed, Indexer, NotIndexed};

#[cfg(test)]
mod size_tests;
#[cfg(test)]
pub(crate) mod tests;
