//! What keeps old backups from making new ones slow: which packs a backup rewrites, in which packs it puts what it
//! stores, and which backup it builds on.
//!
//! Promises, held by `tests/compaction_model.rs` over 1,000 simulated days: with up to 1 % scattered change a day a
//! restore reads at most 1.6 times what it needs, and everything kept takes at most 2.2 times the space of the distinct
//! pages in it (uniform 1.5 and 2.0, zipf 1.6 and 2.15, append 1.4 and 1.25, weekly batches 1.1 and 1.1; a zipf workload
//! without compaction: 9 and 3.3). Deliberately pure: sizes and ages in, decisions with reasons out; the engine does the work.

pub mod parent;
pub mod plan;
pub mod temperature;

pub use parent::{ParentCandidate, ParentChoice, ParentReason, ParentRule, Tier, choose_parent};
pub use plan::{BackupWork, CompactionPlan, CompactionRule, Decision, PackInUse, PlannedPack, plan};
pub use temperature::{HOT_FOR, Temperature};
