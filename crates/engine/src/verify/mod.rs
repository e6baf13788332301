//! Verify: whether what each region stores is there, is what was signed, and opens.
//!
//! The road, in the order of files: `knowledge` (what manifests, intents and tombstones say, region by region) → `run` (one pass over
//! all names in order, with `tasks` and `stream` reading beside it) → `object`, `body`, `pages`, `wal_pages`, `index` (one object, from its bytes) → `links` (segments beside each other) → `walk` (maps against packs)
//! → `folder`, `wal` (what is missing) with `expected` (whether the rules ask for it) → `endangers` and `mend` (what it means, and what to do) → `report` and `memory`.
//!
//! Promises: each region is judged by its own copies alone; what was not looked at is said; memory does not grow with the number of
//! objects. Deliberately repairs nothing: it names the copy that is good and the command that makes up for the bad one (`sync`), and remembers
//! what is damaged, so that the next sync heals it. What heal copies serve (`healed`) is good, and a note.

mod body;
mod chapter;
mod endangers;
mod expected;
mod folder;
mod found;
mod healed;
mod index;
mod knowledge;
mod lacking;
mod links;
mod manifests;
mod meaning;
mod memory;
mod mend;
mod numbers;
mod object;
mod options;
mod outcome;
mod pages;
mod pass;
mod report;
mod run;
mod stream;
mod summary;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod wal;
mod wal_held;
mod wal_pages;
mod walk;

pub use endangers::{Endangered, Window};
pub use healed::Healed;
pub use memory::Place as ScrubPlace;
pub(crate) use memory::known_damage;
pub(crate) use object::stored_copy;
pub use options::{Depth, Share, VerifyOptions};
pub use report::{
    Ended, Kind as ObjectKind, KindCount, Known, Orphans, RegionReport, VerifyFinding, VerifyReport,
};
pub use run::verify;
