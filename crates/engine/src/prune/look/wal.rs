//! The WAL that is there, as runs with their times: what retention decides about.
//!
//! Promises: memory grows with holes, timelines and days, not with segments. A `.partial` file counts as a segment only behind the
//! last whole one of its timeline. Where a timeline's history cannot be read, or the segments' size is not known for certain, the
//! answer is [`WalSeen::unclear`], and nothing of this WAL is condemned.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{History, HistoryFile, SegmentNo, Timeline, WalFileName, WalFolder, WalSegmentSize};
use seawall_repo::layout::{Named, Place};

use super::listing::{Broken, Found, each};
use crate::archive::small;
use crate::error::{Kind, Result};
use crate::repository::Repository;
use crate::retention::{WalMap, WalRuns};

/// The WAL of a place.
#[derive(Debug, Clone, Default)]
pub(in crate::prune) struct WalSeen {
    /// Segments by timeline; none where nobody says how long they are.
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
    /// Chapters that are there, and their bytes.
    pub(in crate::prune) chapters: BTreeMap<WalFolder, u64>,
    /// Why nothing of it may be condemned.
    pub(in crate::prune) unclear: Option<String>,
}

impl WalSeen {
    fn add(&mut self, found: &Found, file: WalFileName, size: Option<WalSegmentSize>, runs: &mut WalRuns) {
        self.objects += 1;
        self.bytes += found.bytes();
        let Some(segment) = file.segment() else {
            self.history_files.insert(file.timeline());
            return;
        };
        let Some(size) = size else {
            self.unclear.get_or_insert_with(|| "nobody says how long its segments are".to_owned());
            return;
        };
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
            WalFileName::Segment(_) => runs.segment(timeline, number, stored),
            WalFileName::Partial(_) => runs.partial(timeline, number, stored),
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => {}
        }
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
    let mut runs = WalRuns::default();
    let strange = each(repository, &place.wal(), broken, |found| match *found.name.named() {
        Named::Wal { file, .. } => seen.add(&found, file, size, &mut runs),
        Named::WalPart { .. } => {
            seen.objects += 1;
            seen.bytes += found.bytes();
        }
        _ => {}
    })
    .await;
    let strange = strange
        + each(repository, &place.chapters(), broken, |found| {
            if let Named::Chapter { folder, .. } = *found.name.named() {
                *seen.chapters.entry(folder).or_default() += found.bytes();
            }
        })
        .await;
    seen.map = size.map(|size| runs.finish(size));
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
