//! Regions that come and go: an empty place becomes one, one that was lost or away for too long comes back, one may leave.
//!
//! The road: `look` (what stands in the place, what it would get) → [`join`] (the marker, then `sync`) or [`drain`] (whether the others
//! hold everything, name by name) → [`report`]. Promises: what is joined was empty, or is this repository's and was not away for longer
//! than tombstones are remembered, so nothing that was pruned comes back from it; nothing is deleted anywhere; a region is said to be
//! free to leave only when every other region was seen to hold all that it holds and anybody needs.

mod drain;
mod join;
mod look;
mod report;

#[cfg(test)]
mod tests;

pub use drain::{DrainOptions, drain};
pub use join::{JoinOptions, Joining, join};
pub use report::{DrainReport, JoinReport, Lacked, OtherRegion, PlaceState};
