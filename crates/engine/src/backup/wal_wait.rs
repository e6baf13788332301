//! Waiting until each region holds the WAL without which the backup cannot be made consistent.
//!
//! Promises: a region counts only if it positively shows every segment from start to stop and the history of the timeline.

use std::collections::HashMap;
use std::time::Duration;

use seawall_pg::segment::{SegmentName, WalSegmentSize};
use seawall_pg::{Lsn, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::{DetachReason, Region, RegionName, RegionSet, World};

use crate::error::{Error, Result};

/// Between two looks: short at first, because most often WAL is on its way already, then longer.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_LONGEST: Duration = Duration::from_millis(500);

/// The WAL of a backup.
#[derive(Debug, Clone)]
pub(super) struct NeededWal {
    pub(super) place: Place,
    pub(super) timeline: Timeline,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
    pub(super) segment_size: WalSegmentSize,
}

impl NeededWal {
    /// The objects that hold it.
    fn names(&self) -> Vec<ObjectName> {
        let size = self.segment_size;
        let first = size.segment_of(self.start).0;
        let last = size.segment_before(self.stop).0.max(first);
        let mut files: Vec<WalFileName> = (first..=last)
            .filter_map(|number| SegmentName::new(self.timeline, seawall_pg::SegmentNo(number), size).ok())
            .map(WalFileName::Segment)
            .collect();
        if self.timeline.get() > 1 {
            files.push(WalFileName::TimelineHistory(self.timeline));
        }
        files.into_iter().map(|file| Named::Wal { place: self.place.clone(), file }.into()).collect()
    }
}

/// Waits at most `limit`; regions that lack something by then are let go with the name of what they lack.
pub(super) async fn wait(set: &RegionSet, wal: &NeededWal, limit: Duration, world: &World) -> Result<()> {
    let names = wal.names();
    let (mut shown, mut pause) = (HashMap::new(), POLL_FIRST);
    let clock = &world.clock;
    let deadline = clock.monotonic().saturating_add(limit);
    loop {
        let lacking = lacking(set, &names, &mut shown).await;
        if lacking.is_empty() {
            return Ok(());
        }
        if clock.monotonic() >= deadline {
            let first = lacking.first().map(|(_, what)| what.clone()).unwrap_or_default();
            for (region, what) in lacking {
                set.detach(&region, DetachReason::Failed(what));
            }
            return if set.attached().is_empty() { Err(no_wal(&first, limit)) } else { Ok(()) };
        }
        clock.sleep(pause).await;
        pause = (pause * 2).min(POLL_LONGEST);
    }
}

/// The regions that lack something, and what. `shown` is how many of the names, in their order, each region has shown: a long
/// backup's WAL is not asked for again and again.
async fn lacking(
    set: &RegionSet,
    names: &[ObjectName],
    shown: &mut HashMap<RegionName, usize>,
) -> Vec<(RegionName, String)> {
    let mut lacking = Vec::new();
    for region in set.attached() {
        let shown = shown.entry(region.name().clone()).or_default();
        if let Some(what) = first_lacking(region, names, shown).await {
            lacking.push((region.name().clone(), what));
        }
    }
    lacking
}

async fn first_lacking(region: &Region, names: &[ObjectName], shown: &mut usize) -> Option<String> {
    for name in names.iter().skip(*shown) {
        match region.exists(name.as_str()).await {
            Ok(true) => *shown += 1,
            Ok(false) => return Some(format!("{name} did not arrive")),
            Err(error) => return Some(error.chain()),
        }
    }
    None
}

fn no_wal(what: &str, limit: Duration) -> Error {
    Error::source_side("backup.wal-not-archived", "the WAL that this backup needs did not arrive in any region")
        .fact("missing", what)
        .fact("waited", format!("{} s", limit.as_secs()))
        .hint("is archive_mode on, and archive_command 'seawall wal push %p'? `seawall check` says what is wrong")
        .hint("the server's log and pg_stat_archiver show why archiving fails; the pages stored so far are taken up by the next backup")
        .hint("on a standby: the primary archives; run `SELECT pg_switch_wal()` there if it is idle")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(timeline: u32, start: &str, stop: &str) -> Vec<String> {
        let wal = NeededWal {
            place: Place { cluster: "c".parse().unwrap(), system: "7".parse().unwrap() },
            timeline: Timeline::new(timeline).unwrap(),
            start: start.parse().unwrap(),
            stop: stop.parse().unwrap(),
            segment_size: WalSegmentSize::new(16 << 20).unwrap(),
        };
        wal.names()
            .iter()
            .map(|name| name.as_str().rsplit('/').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn a_stop_exactly_at_the_end_of_a_segment_does_not_need_the_next() {
        assert_eq!(needed(1, "0/2000028", "0/3000000"), ["000000010000000000000002"]);
        assert_eq!(
            needed(1, "0/2000028", "0/3000001"),
            ["000000010000000000000002", "000000010000000000000003"]
        );
    }

    #[test]
    fn a_timeline_above_one_needs_its_history() {
        assert_eq!(needed(2, "0/2000028", "0/2000100"), ["000000020000000000000002", "00000002.history"]);
    }
}
