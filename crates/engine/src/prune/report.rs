//! What a prune decided and did: the one truth behind text, JSON, and the event that is kept.

use seawall_repo::id::{BackupId, RecordId, SystemId};
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::Serialize;

use super::plan::Amounts;
use crate::monitor::Finding;
use crate::retention::{Decision, Leaving, Point, Policy};

/// What a prune decided and did.
#[derive(Debug, Clone, Serialize)]
pub struct PruneReport {
    /// The cluster.
    pub cluster: String,
    /// The time by which ages were told.
    pub at: Time,
    /// Whether anything was written or deleted.
    pub dry_run: bool,
    /// The policy that counted.
    pub policy: Policy,
    /// Until when it is more generous than the settings, because those were shortened lately.
    pub shrinking_until: Option<Time>,
    /// Every backup, with every reason.
    pub backups: Vec<Decided>,
    /// The backups as the rules see them; for pictures.
    #[serde(skip)]
    pub points: Vec<Point>,
    /// What leaves within the next thirty days.
    pub leaving: Vec<Leaving>,
    /// Everything that is there and not needed.
    pub condemned: Amounts,
    /// Of it, what is not under a tombstone yet: this run's, or the next one's.
    pub newly_condemned: u64,
    /// Tombstones that this run wrote.
    pub tombstones: Vec<RecordId>,
    /// Tombstones that wait.
    pub waiting: Vec<Waiting>,
    /// What was done in each region.
    pub regions: Vec<RegionPruned>,
    /// Holds in force.
    pub holds: Vec<String>,
    /// What was kept back as a whole, and why.
    pub kept_back: Vec<String>,
    /// Objects with names that this version does not know; they are left alone.
    pub strange: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A backup and what is decided about it.
#[derive(Debug, Clone, Serialize)]
pub struct Decided {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// When it was stored, by the store.
    pub stored: Time,
    /// Since when it waits to be deleted, where a tombstone names it.
    pub condemned_since: Option<Time>,
}

/// A tombstone that waits.
#[derive(Debug, Clone, Serialize)]
pub struct Waiting {
    /// Which.
    pub tombstone: RecordId,
    /// Of which system identifier.
    pub system: SystemId,
    /// In which region.
    pub region: RegionName,
    /// From when on it may be carried out, by the region's clock.
    pub due: Time,
    /// The backups it names.
    pub backups: Vec<BackupId>,
}

/// What was done in one region.
#[derive(Debug, Clone, Serialize)]
pub struct RegionPruned {
    /// Which.
    pub region: RegionName,
    /// What was deleted.
    pub deleted: Amounts,
    /// Objects that a lock or an error kept there.
    pub left: u64,
    /// Until when the store keeps some of them, as it says itself.
    pub locked_until: Option<Time>,
}

impl PruneReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }

    /// How many backups are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.backups.iter().filter(|one| one.decision.is_kept()).count()
    }

    /// How many are condemned.
    #[must_use]
    pub fn let_go(&self) -> usize {
        self.backups.len() - self.kept()
    }
}
