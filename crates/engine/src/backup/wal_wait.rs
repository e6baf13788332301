//! Waiting until each region holds the WAL without which the backup cannot be made consistent.
//!
//! Promises: a region counts only if it positively shows every segment from start to stop and the history of the timeline, and the
//! segments that are still in `pg_wal` are the same files: what another server archived under their names is a conflict, and no
//! backup. On a standby the last one may lack here what the archive has of it, and is not compared.

use std::collections::HashMap;
use std::time::Duration;

use seawall_pg::segment::{SegmentName, WalSegmentSize};
use seawall_pg::{Lsn, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::{DetachReason, Region, RegionName, RegionSet, World};

use crate::archive::{Beside, Held};
use crate::error::{Error, Result};

/// Between two looks: short at first, because most often WAL is on its way already, then longer.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_LONGEST: Duration = Duration::from_millis(500);
/// How much longer than the first region another may take to get the WAL.
const LAG_MAX: Duration = Duration::from_secs(90);

/// The WAL of a backup.
#[derive(Debug, Clone)]
pub(super) struct NeededWal {
    pub(super) timeline: Timeline,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
    pub(super) on_standby: bool,
    /// Where the archive's segments are compared with those here.
    pub(super) beside: Beside,
}

impl NeededWal {
    /// The segment that a file is, if it has here all that the archive can have of it.
    fn compared(&self, file: WalFileName) -> Option<SegmentName> {
        let WalFileName::Segment(segment) = file else { return None };
        let size = self.beside.size;
        let ends_before_stop =
            segment.number(size).is_ok_and(|number| number.0 < size.segment_of(self.stop).0);
        (!self.on_standby || ends_before_stop).then_some(segment)
    }
}

/// The files that hold the WAL from `start` to `stop`.
pub(crate) fn files(timeline: Timeline, start: Lsn, stop: Lsn, size: WalSegmentSize) -> Vec<WalFileName> {
    let first = size.segment_of(start).0;
    let last = size.segment_before(stop).0.max(first);
    let mut files: Vec<WalFileName> = (first..=last)
        .filter_map(|number| SegmentName::new(timeline, seawall_pg::SegmentNo(number), size).ok())
        .map(WalFileName::Segment)
        .collect();
    if timeline.get() > 1 {
        files.push(WalFileName::TimelineHistory(timeline));
    }
    files
}

/// Waits at most `limit`; regions that lack something by then are let go with the name of what they lack. Once one region has all of
/// it, the others are given [`LAG_MAX`]: what is archived without them does not come.
pub(super) async fn wait(set: &RegionSet, wal: &NeededWal, limit: Duration, world: &World) -> Result<()> {
    let files = files(wal.timeline, wal.start, wal.stop, wal.beside.size);
    let (mut shown, mut pause) = (HashMap::new(), POLL_FIRST);
    let clock = &world.clock;
    let mut deadline = clock.monotonic().saturating_add(limit);
    let mut complete = false;
    loop {
        let lacking = lacking(set, wal, &files, &mut shown).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        if !complete && lacking.len() < set.attached().len() {
            complete = true;
            deadline = deadline.min(clock.monotonic().saturating_add(LAG_MAX));
        }
        if clock.monotonic() >= deadline {
            let first = lacking.first().map(|(_, what)| what.clone()).unwrap_or_default();
            for (region, what) in lacking {
                set.detach(&region, DetachReason::Failed(what));
            }
            return if set.attached().is_empty() { Err(no_wal(&first, limit)) } else { Ok(()) };
        }
        if pause == POLL_LONGEST {
            refused(set, wal).await?;
        }
        clock.sleep(pause).await;
        pause = (pause * 2).min(POLL_LONGEST);
    }
}

/// Why nothing comes: the file that the server tries to hand over is another server's in the archive, and nothing behind it is tried.
async fn refused(set: &RegionSet, wal: &NeededWal) -> Result<()> {
    let Some(segment) = wal.beside.next_to_archive() else { return Ok(()) };
    for region in set.attached() {
        if let Held::Other(conflict) = wal.beside.held(region, segment).await? {
            return Err(conflict);
        }
    }
    Ok(())
}

/// The regions that lack something, and what. `shown` is how many of the files, in their order, each region has shown: a long
/// backup's WAL is not asked for again and again.
async fn lacking(
    set: &RegionSet,
    wal: &NeededWal,
    files: &[WalFileName],
    shown: &mut HashMap<RegionName, usize>,
) -> Result<Vec<(RegionName, String)>> {
    let mut lacking = Vec::new();
    for region in set.attached() {
        let shown = shown.entry(region.name().clone()).or_default();
        if let Some(what) = first_lacking(region, wal, files, shown).await? {
            lacking.push((region.name().clone(), what));
        }
    }
    Ok(lacking)
}

async fn first_lacking(
    region: &Region,
    wal: &NeededWal,
    files: &[WalFileName],
    shown: &mut usize,
) -> Result<Option<String>> {
    for file in files.iter().skip(*shown) {
        let name: ObjectName = Named::Wal { place: wal.beside.place.clone(), file: *file }.into();
        let there = match wal.compared(*file) {
            Some(segment) => match wal.beside.held(region, segment).await? {
                Held::Ours => Ok(true),
                Held::Other(conflict) => return Err(conflict),
                Held::Nothing => Ok(false),
                Held::Unknown(why) => Err(why),
            },
            None => region.exists(name.as_str()).await.map_err(|error| error.chain()),
        };
        match there {
            Ok(true) => *shown += 1,
            Ok(false) => return Ok(Some(format!("{name} did not arrive"))),
            Err(why) => return Ok(Some(why)),
        }
    }
    Ok(None)
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
        let timeline = Timeline::new(timeline).unwrap();
        let size = WalSegmentSize::new(16 << 20).unwrap();
        let files = files(timeline, start.parse().unwrap(), stop.parse().unwrap(), size);
        files.iter().map(WalFileName::to_string).collect()
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
