//! What a push did: the one truth behind text and JSON.

use seawall_pg::WalFileName;
use seawall_store::RegionName;
use serde::Serialize;

use crate::monitor::Finding;

/// Since when a region holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stored {
    /// This push stored it.
    Now,
    /// It held the same file before.
    Before,
}

/// A region that holds the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldBy {
    /// Which.
    pub region: RegionName,
    /// Since when.
    pub stored: Stored,
}

/// A region that does not hold the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LackedBy {
    /// Which.
    pub region: RegionName,
    /// Why.
    pub why: String,
}

/// A file of WAL that is stored as the acknowledgement rule wants it: PostgreSQL may remove its own.
///
/// Findings do not change the exit code of `wal push`: PostgreSQL would take any but 0 for "not stored" and keep the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushReport {
    /// PostgreSQL's name.
    pub file: WalFileName,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes of what was sealed for one region.
    pub sealed_bytes: u64,
    /// Objects it lies in besides the one under its own name.
    pub parts: u32,
    /// Regions that hold it.
    pub held_by: Vec<HeldBy>,
    /// Regions that do not, though the rule is met.
    pub lacked_by: Vec<LackedBy>,
    /// What is wrong all the same.
    pub findings: Vec<Finding>,
}

impl PushReport {
    /// As text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let before = self.held_by.iter().all(|held| held.stored == Stored::Before);
        let done = if before { "was stored already" } else { "stored" };
        let held: Vec<&str> = self.held_by.iter().map(|held| held.region.as_str()).collect();
        let mut lines = vec![format!("{} {done} in {}", self.file, held.join(", "))];
        lines.extend(self.lacked_by.iter().map(|lacked| format!("not in {}: {}", lacked.region, lacked.why)));
        lines
    }
}
