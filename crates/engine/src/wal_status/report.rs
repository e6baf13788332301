//! What `wal status` says.

use seawall_pg::{Lsn, SegmentName, SystemIdentifier, Timeline};
use seawall_repo::id::ClusterName;
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::Serialize;

use crate::holes::Acknowledged;
use crate::monitor::Finding;

/// The WAL of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WalStatusReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// When it was asked, by the clock of the host that asks.
    pub at: Time,
    /// System identifiers in the order of their adoption: the last one is the cluster's present.
    pub systems: Vec<SystemWal>,
    /// What the server says; none where it was not asked.
    pub server: Option<ServerReport>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// The WAL of one system identifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemWal {
    /// Which.
    pub system: SystemIdentifier,
    /// Whether it is the cluster's present.
    pub present: bool,
    /// The size of its segments, in bytes; none where there is neither WAL nor a backup.
    pub segment_size: Option<u64>,
    /// Its timelines, in order.
    pub timelines: Vec<TimelineReport>,
    /// Spans to every point of which recovery is possible: first of all regions together, then of each by itself.
    pub windows: Vec<WindowReport>,
    /// What is missing in every region.
    pub holes: Vec<HoleReport>,
    /// Different content under one name, and histories that contradict each other.
    pub conflicts: Vec<ConflictReport>,
    /// Conflicts that nobody looked at, because there are so many names with copies of different sizes.
    pub conflicts_unread: u64,
    /// Names whose copies are of one size and were not compared: only the newest are. `verify` compares all.
    pub not_compared: u64,
    /// Every region.
    pub regions: Vec<RegionReport>,
    /// The newest WAL of the present timeline.
    pub newest: Option<Newest>,
    /// What is wrong with the listing.
    #[serde(skip)]
    pub found: Vec<Finding>,
}

/// One timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineReport {
    /// Which.
    pub timeline: Timeline,
    /// The one it grew from; none for the first, and where its history is not known.
    pub parent: Option<Timeline>,
    /// Where it left its parent.
    pub fork: Option<Lsn>,
    /// Whether it is the one that is written now.
    pub current: bool,
    /// Whether where it comes from is known.
    pub history_known: bool,
    /// Whole segments that some region has.
    pub segments: u64,
    /// Them, without gaps between.
    pub stretches: Vec<StretchReport>,
    /// A last segment that is there only as a `.partial` file.
    pub partial: Option<SegmentName>,
}

/// Segments without a gap between.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StretchReport {
    /// The first.
    pub first: SegmentName,
    /// The last.
    pub last: SegmentName,
    /// When its oldest was stored, to the day it belongs to.
    pub from_time: Option<Time>,
    /// When its last was stored.
    pub to_time: Option<Time>,
}

/// A span to every point of which recovery is possible.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowReport {
    /// With what this region has alone; none: with what all have together.
    pub region: Option<RegionName>,
    /// The timeline that recovery follows, through its ancestors.
    pub timeline: Timeline,
    /// The earliest point: where its oldest backup is consistent.
    pub from: Lsn,
    /// When that was, by the database server's clock.
    pub from_time: Time,
    /// Behind the last byte of WAL.
    pub to: Lsn,
    /// When the last segment was stored.
    pub stored: Option<Time>,
    /// The last commit in it that was found, by the database server's clock.
    pub last_commit: Option<Time>,
    /// Whether the last segment is there only as a `.partial` file.
    pub by_partial: bool,
    /// Backups in it.
    pub backups: u64,
    /// Whether it leads to the newest WAL.
    pub current: bool,
}

/// Consecutive segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SegmentSpan {
    /// The first.
    pub first: SegmentName,
    /// The last.
    pub last: SegmentName,
    /// How many.
    pub segments: u64,
}

/// Segments that no region has and the rules ask for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HoleReport {
    /// On which timeline.
    pub timeline: Timeline,
    /// Which segments.
    #[serde(flatten)]
    pub missing: SegmentSpan,
    /// Where the hole begins.
    pub from: Lsn,
    /// Where it ends.
    pub to: Lsn,
    /// When the segment before it was stored.
    pub before: Option<Time>,
    /// When the segment behind it was stored.
    pub after: Option<Time>,
    /// Who acknowledged it; none: nobody did.
    pub acknowledged: Option<Acknowledged>,
}

/// A conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConflictReport {
    /// The object, or the timeline whose history is told in two ways.
    pub object: String,
    /// In words.
    pub what: String,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionReport {
    /// Which.
    pub region: RegionName,
    /// Why it could not be asked; none if it answered.
    pub unreached: Option<String>,
    /// Whole segments that it has.
    pub segments: u64,
    /// Segments that others have and it has not, tombstones apart.
    pub lacks: u64,
    /// Which those are, at most twenty stretches.
    pub lacking: Vec<SegmentSpan>,
    /// When its newest segment was stored.
    pub newest_stored: Option<Time>,
}

/// The newest WAL that is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Newest {
    /// On which timeline.
    pub timeline: Timeline,
    /// The segment.
    pub segment: SegmentName,
    /// Behind its last byte.
    pub end: Lsn,
    /// When it was stored.
    pub stored: Option<Time>,
    /// How long ago that is, in seconds.
    pub age_seconds: Option<u64>,
}

/// What the server says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerReport {
    /// Why it could not be asked; none if it answered.
    pub unreached: Option<String>,
    /// Where it writes, or how far it received.
    pub position: Option<Lsn>,
    /// Whether it is a standby, or recovers.
    pub in_recovery: bool,
    /// How many bytes of its WAL are not archived.
    pub behind_bytes: Option<u64>,
    /// Files it archived, and could not.
    pub archived_count: u64,
    /// How often archiving failed.
    pub failed_count: u64,
    /// The last file it archived.
    pub last_archived: Option<String>,
    /// When, as it says.
    pub last_archived_time: Option<String>,
    /// The last file it could not archive.
    pub last_failed: Option<String>,
    /// Whether archiving fails now.
    pub failing: bool,
}

impl SystemWal {
    /// Leaves one timeline alone.
    pub(super) fn keep(&mut self, timeline: Timeline) {
        self.timelines.retain(|one| one.timeline == timeline);
        self.windows.retain(|one| one.timeline == timeline);
        self.holes.retain(|one| one.timeline == timeline);
        for region in &mut self.regions {
            region.lacking.retain(|span| span.first.timeline() == timeline);
            region.lacks = region.lacking.iter().map(|span| span.segments).sum();
        }
    }

    /// The windows of all regions together.
    pub fn together(&self) -> impl Iterator<Item = &WindowReport> {
        self.windows.iter().filter(|window| window.region.is_none())
    }
}

impl WalStatusReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }
}
