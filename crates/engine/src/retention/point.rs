//! What retention looks at: backups, lineages, and everything about them that decides.
//!
//! Deliberately without a word about where these values come from: whoever looks at a repository fills them in.

use std::collections::BTreeMap;

use seawall_pg::{History, Lsn, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::policy::{Policy, Span};
use super::wal::WalMap;

/// How far a writer's clock and the store's may lie apart before a backup is unconfirmed.
const CLOCKS_APART: Span = Span::hours(24);

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Which.
    pub id: BackupId,
    /// Of which cluster.
    pub system: SystemId,
    /// The timeline on which it began.
    pub timeline: Timeline,
    /// Where replay begins.
    pub start: Lsn,
    /// Where it is consistent.
    pub stop: Lsn,
    /// The timeline on which it ended; another one only for a backup of a standby that followed a promotion.
    pub stop_timeline: Timeline,
    /// When the store says that its manifest was created, in the earliest region: the only time that is believed.
    pub stored: Time,
    /// When its writer says that it ended.
    pub claimed: Time,
    /// When the oldest pack it uses was begun; none where nobody looked, which `max_age` alone needs.
    pub oldest_bytes: Option<Time>,
    /// Why it is not a good backup (damaged pages, empty, WAL for consistency missing, not whole); none for a good one.
    pub unfit: Option<String>,
    /// The regions that hold it.
    pub regions: Vec<RegionName>,
    /// Holds in force, by their ids.
    pub holds: Vec<String>,
}

impl Point {
    pub(super) fn is_good(&self) -> bool {
        self.unfit.is_none()
    }

    /// Whether the writer's clock agrees with the store's. It does not where a region was rebuilt by copying, where a host's
    /// clock is wrong, and where somebody forges.
    pub(super) fn is_confirmed(&self) -> bool {
        let apart = Span::between(self.stored, self.claimed).max(Span::between(self.claimed, self.stored));
        apart <= CLOCKS_APART
    }

    /// From what its age is counted.
    pub(super) fn born(&self) -> Time {
        self.oldest_bytes.unwrap_or(self.stored)
    }

    /// The order of its lineage: timelines rise along every ancestry, positions along a timeline. The rest only breaks ties.
    pub(super) fn position(&self) -> (Timeline, Lsn, Lsn, Time, BackupId) {
        (self.stop_timeline, self.stop, self.start, self.stored, self.id)
    }

    /// Whether its own WAL lies on a history.
    pub(super) fn is_on(&self, history: &History) -> bool {
        history.carries((self.timeline, self.start), (self.stop_timeline, self.stop))
    }
}

/// A system identifier that the cluster adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Which.
    pub system: SystemId,
    /// The one whose successor it is, after a major upgrade.
    pub after: Option<SystemId>,
    /// Since when.
    pub adopted: Time,
}

/// Everything that decides.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Every backup of the cluster in every region, each once.
    pub points: &'a [Point],
    /// What the cluster adopted.
    pub lineages: &'a [Lineage],
    /// The ancestry of each timeline. One that is missing here is unknown, but for timeline 1, which needs none.
    pub histories: &'a BTreeMap<(SystemId, Timeline), History>,
    /// The WAL of each system.
    pub wal: &'a BTreeMap<SystemId, WalMap>,
    /// The rules.
    pub policy: &'a Policy,
    /// Now, by the store's clock.
    pub now: Time,
    /// Every region of the repository.
    pub regions: &'a [RegionName],
}

impl Input<'_> {
    /// The ancestry of a timeline, where it is known.
    pub(super) fn history(&self, system: SystemId, timeline: Timeline) -> Option<History> {
        match self.histories.get(&(system, timeline)) {
            Some(history) => Some(history.clone()),
            None if timeline == Timeline::FIRST => Some(History::root(timeline)),
            None => None,
        }
    }

    /// The ancestry of a timeline, or the timeline alone.
    pub(super) fn history_or_alone(&self, system: SystemId, timeline: Timeline) -> History {
        self.history(system, timeline).unwrap_or_else(|| History::root(timeline))
    }

    /// What is older than this has to go; none without `max_age`.
    pub(super) fn oldest_allowed(&self) -> Option<Time> {
        let max_age = self.policy.max_age.filter(|_| self.policy.check().is_ok())?;
        Some(max_age.minus(super::policy::MARGIN).before(self.now))
    }
}
