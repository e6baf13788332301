//! Finding an accident in the archive, and the moment just before it.
//!
//! ```text
//! indexes of segments ── judge (pure, with the names that backups hold) ──▶ candidates ── report
//! ```
//!
//! Promises: only what had committed is a candidate, on the way to one timeline; what could not be looked at is a finding and
//! never "nothing happened". The position of a candidate is that of the record that made it count: recovery that stops just
//! before it has everything that had committed before, and nothing of the accident. Reads only what hosts and the identity may.

mod catalog_rows;
mod content;
mod dropped_database;
mod judge;
mod lost;
mod named;
mod names;
mod reach;
mod read;
mod report;
mod run;
mod segments;

pub use judge::{Operation, Wanted};
pub use report::{
    Candidate, Event, EventWhat, FindReport, NameBasis, NotAsked, Relation, SnapshotLine, Target, Weight,
};
pub use run::{Bound, FindOptions, run};

#[cfg(test)]
mod tests;
