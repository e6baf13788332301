//! Retention: which backups and which WAL are kept, each with its reason, and what the future takes.
//!
//! Promises: pure. Values in, values out; the same input gives the same answer on every host. Only the store's time places a
//! backup in a calendar, so no writer's clock and no forged object pushes out what was there before. What cannot be judged
//! (an unknown time zone, WAL of a timeline without a history, a lineage nobody adopted) is kept.
//! Deliberately does not look at a repository, delete, or know the protocol of deleting: that is `prune`.
//!
//! The rules and their reasons stand in `docs/ARCHITECTURE.md` under "Retention".

mod calendar;
mod decide;
mod expected;
mod explain;
mod floor;
mod lineage;
mod path;
mod point;
mod policy;
mod ranges;
mod rules;
mod runs;
mod scene;
mod simulate;
mod wal;
mod window;

pub use decide::{Against, Decision, Reason, Rule, Why, decide, judge};
pub(crate) use expected::wal_expected;
pub use explain::explain;
pub use point::{Input, Lineage, Point};
pub use policy::{MARGIN, Policy, PolicyError, Span};
pub(crate) use ranges::WalRanges;
pub(crate) use runs::WalRuns;
pub use simulate::{Foreseen, Leaving, leaving, simulate};
pub use wal::{WalKeep, WalMap, WalReason, WalRun, histories_needed, wal_needed};

#[cfg(test)]
mod tests;
