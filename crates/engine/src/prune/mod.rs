//! Prune: takes away what nothing kept reaches, in two phases with a grace between them.
//!
//! The road: `look` (what is there, what is announced) → `policies` (which rules count) → `settle` (what is kept, proved to close)
//! → `needed` and `plan` (everything else) → `run` (tombstones; later, what they name) with `carry_out` → `report`.
//!
//! The protocol, and why it holds (design §9):
//! 1. a backup's intent names all it may use before it looks at anything, and is renewed hourly;
//! 2. prune writes tombstones and deletes nothing that was not named in one for the whole grace;
//! 3. after the grace it looks again, intents first, and deletes only what is still not needed; what is needed again is spared;
//! 4. a backup lists tombstones after its intent and before its manifest, and builds on nothing that they name.
//!
//! So a backup whose intent came before the second look is seen by it, and one whose intent came later has seen the tombstone.

mod bodies;
mod carry_out;
mod clocks;
mod cost;
mod forget;
mod hand_on;
mod held;
mod look;
mod needed;
mod plan;
mod policies;
mod recorded;
mod report;
mod run;
mod settle;
mod stones;
mod summary;
mod undo;

use std::time::Duration;

pub use cost::{ByAge, ByReason, CostReport, Forecast, cost};
pub(crate) use forget::STONES_KEPT;
pub(crate) use held::held;
pub use plan::{Amount, Amounts};
pub(crate) use recorded::{Recorded, recorded};
pub use report::{Decided, PruneReport, RegionPruned, Waiting};
pub(crate) use run::refuse_without_right;
pub use run::{Explained, PruneOptions, explain, prune};
pub(crate) use stones::{Spared, Standing, let_go, standing, standing_or_gone};
pub use undo::{Undone, undo};

use crate::retention::{Policy, Span};

/// Shortest time between condemning and deleting.
pub const GRACE_FLOOR: Duration = Duration::from_secs(6 * 3600);

/// The rules of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRules {
    /// What is kept.
    pub policy: Policy,
    /// How long shortened rules wait.
    pub shrink_delay: Span,
    /// How long what is condemned waits.
    pub grace: Span,
}

#[cfg(test)]
mod chapter_tests;
#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod heal_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
