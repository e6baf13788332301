//! The WAL that is there, as runs with their times: what retention decides about.
//!
//! Promises: memory grows with holes, timelines and days, not with segments. A `.partial` file counts as a segment only behind the
//! last whole one of its timeline. Where a timeline's history cannot be read, or the segments' size is not known for certain, the
//! answer is [`WalSeen::unclear`], and nothing of this WAL is condemned.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{History, HistoryFile, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, Place};
use seawall_repo::time::Time;

use super::listing::{Broken, Found, each};
use crate::archive::small;
use crate::error::{Kind, Result};
use crate::repository::Repository;
use crate::retention::{WalMap, WalRun};

const DAY_SECONDS: u64 = 86_400;

/// The WAL of a place.
#[derive(Debug, Clone, Default)]
pub(in crate::prune) struct WalSeen {
    /// Segments by timeline; none where no backup says how long they are.
    pub(in crate::prune) map: Option<WalMap>,
    /// Where timelines come from.
    pub(in crate::prune) histories: BTreeMap<Timeline, History>,
    /// History files that are there.
    pub(in crate::prune) history_files: BTreeSet<Timeline>,
    /// Every segment number of which a file of any kind is there: ranges, both ends inclusive.
    pub(in crate::prune) numbers: BTreeMap<Timeline, Vec<(SegmentNo, SegmentNo)>>,
    /// Objects, and their bytes in the region that has most of each.
    pub(in crate::prune) objects: u64,
    pub(in crate::prune) bytes: u64,
    /// Why nothing of it may be condemned.
    pub(in crate::prune) unclear: Option<String>,
}

impl WalSeen {
    fn add(
        &mut self,
        found: &Found,
        file: WalFileName,
        size: Option<WalSegmentSize>,
        partials: &mut Partials,
    ) {
        self.objects += 1;
        self.bytes += found.bytes();
        let Some(segment) = file.segment() else {
            self.history_files.insert(file.timeline());
            return;
        };
        let Some(size) = size else { return };
        let Ok(number) = segment.number(size) else {
            self.unclear.get_or_insert_with(|| format!("{file} is no segment of {} bytes", size.bytes()));
            return;
        };
        let (timeline, stored) = (segment.timeline(), found.first_stored());
        let numbers = self.numbers.entry(timeline).or_default();
        match numbers.last_mut() {
            Some((_, last)) if *last >= number => {}
            Some((_, last)) if last.next() == Some(number) => *last = number,
            _ => numbers.push((number, number)),
        }
        let Some(stored) = stored else { return };
        match file {
            WalFileName::Segment(_) => {
                let map = self.map.get_or_insert_with(|| WalMap { size, timelines: BTreeMap::new() });
                append(map.timelines.entry(timeline).or_default(), number, stored);
            }
            WalFileName::Partial(_) => {
                partials.insert((timeline, number), stored);
            }
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => {}
        }
    }

    /// The end of a timeline may be there only as a `.partial` file.
    fn add_partials(&mut self, partials: Partials, size: WalSegmentSize) {
        let map = self.map.get_or_insert_with(|| WalMap { size, timelines: BTreeMap::new() });
        for ((timeline, number), stored) in partials {
            let runs = map.timelines.entry(timeline).or_default();
            if runs.last().is_none_or(|run| run.last < number) {
                append(runs, number, stored);
            }
        }
    }
}

type Partials = BTreeMap<(Timeline, SegmentNo), Time>;

/// Adds a segment behind all others. A run holds WAL of one day, so that its age says something.
fn append(runs: &mut Vec<WalRun>, number: SegmentNo, stored: Time) {
    match runs.last_mut() {
        Some(run) if run.last >= number => {}
        Some(run)
            if run.last.next() == Some(number)
                && run.first_stored.seconds() / DAY_SECONDS == stored.seconds() / DAY_SECONDS =>
        {
            run.last = number;
            run.first_stored = run.first_stored.min(stored);
            run.last_stored = run.last_stored.max(stored);
        }
        _ => runs.push(WalRun { first: number, last: number, first_stored: stored, last_stored: stored }),
    }
}

/// Lists the WAL of a place and reads its history files. `size` is that of the segments, where the backups agree on one.
pub(super) async fn wal(
    repository: &Repository,
    place: &Place,
    size: std::result::Result<Option<WalSegmentSize>, String>,
    broken: &mut Broken,
) -> Result<(WalSeen, u64)> {
    let mut seen = WalSeen::default();
    let size = size.unwrap_or_else(|why| {
        seen.unclear = Some(why);
        None
    });
    let mut partials = Partials::new();
    let strange = each(repository, &place.wal(), broken, |found| match *found.name.named() {
        Named::Wal { file, .. } => seen.add(&found, file, size, &mut partials),
        Named::WalPart { .. } => {
            seen.objects += 1;
            seen.bytes += found.bytes();
        }
        _ => {}
    })
    .await;
    if let Some(size) = size {
        seen.add_partials(partials, size);
    }
    seen.histories.insert(Timeline::FIRST, History::root(Timeline::FIRST));
    for timeline in seen.history_files.clone() {
        let name = Named::Wal { place: place.clone(), file: WalFileName::TimelineHistory(timeline) }.into();
        let read = match small(repository, &name).await {
            Ok(content) => HistoryFile::parse(timeline, &content).map_err(|error| error.to_string()),
            Err(error) if error.kind() == Kind::Data => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        match read {
            Ok(file) => {
                seen.histories.insert(timeline, History::from_file(&file));
            }
            Err(why) => {
                let why = format!("the history file of timeline {timeline} cannot be used: {why}");
                seen.unclear.get_or_insert(why);
            }
        }
    }
    Ok((seen, strange))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_a_hole_and_at_the_end_of_a_day() {
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000).unwrap();
        let mut runs = Vec::new();
        for (number, seconds) in [(1, 10), (2, 5), (4, 20), (5, 86_401), (5, 86_500), (6, 86_400)] {
            append(&mut runs, SegmentNo(number), at(seconds));
        }
        let said: Vec<_> = runs
            .iter()
            .map(|run| (run.first.0, run.last.0, run.first_stored.seconds(), run.last_stored.seconds()))
            .collect();
        assert_eq!(said, [(1, 2, 5, 10), (4, 4, 20, 20), (5, 6, 86_400, 86_401)]);
    }
}
