//! The plan of a restore: which backup, which branch, which WAL, and the proof that the target can be reached.
//!
//! Promises: pure; a plan is returned only where every segment from the backup's start to the target is there, each from the
//! one timeline that may serve it; a refusal names the nearest points that can be reached and what to type.
//! What it cannot know it says: without an index of WAL the times of commits are known only within bounds, so a time is judged
//! by the servers' clocks in backups and by when segments were archived, a transaction by the numbers that had been given out when
//! backups ended ([`RecoveryPlan::basis`]).

mod branches;
mod judge;
mod refusal;
mod settle;
mod transaction;

use seawall_pg::{Lsn, SegmentNo, Timeline, Version, WalSegmentSize};
use seawall_repo::id::BackupId;
use seawall_repo::time::Time;

use super::target::RecoveryTarget;
use super::wal_inventory::WalInventory;

pub use refusal::{Branch, ReachablePoint, Refusal};
pub use settle::{SettleError, StopAt};

/// What a plan needs to know of a backup; all of it stands in the manifest's header.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BackupFacts {
    /// Its id.
    pub id: BackupId,
    /// The version of the server.
    pub version: Version,
    /// The timeline on which it began.
    pub timeline: Timeline,
    /// Where recovery begins.
    pub start: Lsn,
    /// Where recovery is consistent at the latest.
    pub stop: Lsn,
    /// The timeline of `stop`.
    pub stop_timeline: Timeline,
    /// When it began, by the database server's clock.
    pub started: Time,
    /// When it ended, by the database server's clock: every commit before `stop` is earlier.
    pub stopped: Time,
    /// The size of its files.
    pub bytes: u64,
    /// Pages whose checksum was wrong when it was taken.
    pub damaged_pages: u64,
    /// Whether it was taken from a standby.
    pub from_standby: bool,
    /// A number, with its epoch, above those of all transactions that had one when it ended, where that is known.
    pub next_xid: Option<u64>,
    /// The regions that hold its manifest.
    pub regions: Vec<String>,
}

/// Everything a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The backups of the lineage, in any order.
    pub backups: &'a [BackupFacts],
    /// Its WAL.
    pub wal: &'a WalInventory,
    /// Where to go.
    pub target: &'a RecoveryTarget,
    /// The backup to begin with, when a person chose one.
    pub backup: Option<BackupId>,
    /// The command so far, without a target: `seawall restore --cluster orders -D /srv/new`. Hints build on it.
    pub command: &'a str,
    /// The same with the target, as it was asked for: for hints that only add to it.
    pub as_asked: &'a str,
}

/// A stretch of a timeline's WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct PathSpan {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it begins; 0/0 for the first one.
    pub begin: Lsn,
    /// Where it was left; none for the one that recovery follows to its end.
    pub end: Option<Lsn>,
}

/// Segments that one timeline serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ServeRange {
    /// The only timeline that may serve them.
    pub timeline: Timeline,
    /// The first.
    pub first: SegmentNo,
    /// The last, inclusive.
    pub last: SegmentNo,
}

/// How a cluster gets from a backup to a point.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RecoveryPlan {
    /// The backup.
    pub backup: BackupFacts,
    /// The target.
    pub target: RecoveryTarget,
    /// The timeline to follow (`recovery_target_timeline`).
    pub timeline: Timeline,
    /// Its ancestry, oldest first, itself last.
    pub path: Vec<PathSpan>,
    /// The size of a segment.
    pub segment_size: WalSegmentSize,
    /// Every segment from the backup's start to the frontier, by the timeline that serves it.
    pub serve: Vec<ServeRange>,
    /// The last segment that is needed for the target, as far as that is known.
    pub last_needed: SegmentNo,
    /// The end of WAL that is there without a gap. Up to here a segment is delivered or recovery stops.
    pub frontier: Lsn,
    /// The segment that is there only as a `.partial` file: the last one.
    pub partial: Option<SegmentNo>,
    /// What the proof rests on, in sentences.
    pub basis: Vec<String>,
    /// What a person must know before going on, in sentences.
    pub remarks: Vec<String>,
}

impl RecoveryPlan {
    /// How many segments lie between the backup's start and the target.
    #[must_use]
    pub fn segments_needed(&self) -> u64 {
        let first = self.segment_size.segment_of(self.backup.start);
        self.last_needed.0.saturating_sub(first.0).saturating_add(1)
    }

    /// The timeline that serves a segment; none for one that the plan does not know.
    #[must_use]
    pub fn serving(&self, number: SegmentNo) -> Option<Timeline> {
        let range = self.serve.iter().find(|range| range.first <= number && number <= range.last);
        range.map(|range| range.timeline)
    }
}

/// Finds the way to the target, or says why there is none.
pub fn plan(input: &PlanInput<'_>) -> Result<RecoveryPlan, Refusal> {
    if input.backups.is_empty() {
        return Err(Refusal::NoBackup);
    }
    check_named_backup(input)?;
    let timelines = branches::candidates(input)?;
    let mut judged = Vec::new();
    for timeline in timelines {
        judged.push(judge::judge(input, timeline));
    }
    branches::choose(input, judged)
}

fn check_named_backup(input: &PlanInput<'_>) -> Result<(), Refusal> {
    let Some(id) = input.backup else { return Ok(()) };
    let known = input.backups.iter().any(|backup| backup.id == id);
    let ids = || input.backups.iter().map(|backup| backup.id).collect();
    known.then_some(()).ok_or_else(|| Refusal::BackupUnknown { id, known: ids() })
}

#[cfg(test)]
mod tests;
