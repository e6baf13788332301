//! The WAL of a place while its names go by, and in the end the holes: segments without which a backup cannot be made consistent, or
//! points between backups cannot be reached.
//!
//! Pure. Promises: memory follows holes, timelines and days, not segments; WAL from before the oldest backup, WAL that the rules of
//! retention do not ask for or that a tombstone names, and the space between two lives of a cluster are no holes. What makes a backup
//! consistent is asked for as long as the backup is there.

use std::collections::BTreeMap;

use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, PartedFile};
use seawall_repo::time::Time;
use seawall_repo::wal_object::PART_BYTES;
use seawall_store::RegionName;

use super::endangers::Held;
use super::knowledge::Knowledge;
use super::numbers::Numbers;
use crate::archive::inventory::WalHeld;
use crate::retention::{WalMap, WalRanges, WalRuns};

/// Consecutive segments that a region lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) timeline: Timeline,
    pub(super) first: SegmentNo,
    pub(super) last: SegmentNo,
    /// Regions that have all of them.
    pub(super) elsewhere: Vec<RegionName>,
}

/// What is missing of a region's WAL.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// What the rules ask for, or a backup.
    pub(super) holes: Vec<Hole>,
    /// What pruning may have left: no finding, and no way through either.
    pub(super) let_go: Vec<(Timeline, SegmentNo, SegmentNo)>,
}

/// A file in parts some of which a region lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LacksParts {
    pub(super) region: RegionName,
    pub(super) part: ObjectName,
}

/// What was seen of a place's WAL.
#[derive(Debug, Default)]
pub(super) struct WalSeen {
    pub(super) held: BTreeMap<RegionName, WalHeld>,
    /// What all regions have together, with its age.
    runs: WalRuns,
    /// The file whose parts go by, and which of them each region has.
    parted: Option<(PartedFile, BTreeMap<RegionName, Numbers>)>,
}

/// Whether some segment of a stretch is there.
fn has_any(wal: &WalHeld, timeline: Timeline, (first, last): (SegmentNo, SegmentNo)) -> bool {
    let of = wal.timelines.get(&timeline);
    of.and_then(|wal| wal.segments.next_from(first)).is_some_and(|next| next <= last)
}

impl WalSeen {
    /// Enters one file or part; what of the parted file before it is missing comes back.
    pub(super) fn add(
        &mut self,
        named: &Named,
        regions: &[RegionName],
        stored: Option<Time>,
        known: &Knowledge,
    ) -> Vec<LacksParts> {
        let Some(size) = known.size else { return Vec::new() };
        match named {
            // Its name comes between a segment's and those of the segment's parts.
            Named::Wal { file: WalFileName::BackupHistory { .. }, .. } => Vec::new(),
            Named::Wal { file, .. } => {
                let lacking = self.end_parts(known);
                let number = file.segment().map(|name| name.number(size)).and_then(std::result::Result::ok);
                for region in regions {
                    match self.held.get_mut(region) {
                        Some(held) => held.add(*file, number, None),
                        None => self.held.entry(region.clone()).or_default().add(*file, number, None),
                    }
                }
                match (file, number, stored) {
                    (WalFileName::Segment(name), Some(number), Some(stored)) => {
                        self.runs.segment(name.timeline(), number, stored);
                    }
                    (WalFileName::Partial(name), Some(number), Some(stored)) => {
                        self.runs.partial(name.timeline(), number, stored);
                    }
                    _ => {}
                }
                let parted = PartedFile::of(*file).filter(|_| size.bytes() > PART_BYTES as u64);
                self.parted = parted.map(|file| {
                    (file, regions.iter().map(|region| (region.clone(), Numbers::default())).collect())
                });
                lacking
            }
            Named::WalPart { file, part, .. } => {
                if let Some((_, held)) = self.parted.as_mut().filter(|(of, _)| of == file) {
                    // A part without the object of the whole is what an unfinished push left.
                    for region in regions {
                        held.entry(region.clone()).and_modify(|numbers| numbers.add(*part));
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// What parts of the last parted file are missing.
    pub(super) fn end_parts(&mut self, known: &Knowledge) -> Vec<LacksParts> {
        let (Some((file, held)), Some(size)) = (self.parted.take(), known.size) else { return Vec::new() };
        let all = Numbers::first(u32::try_from(size.bytes().div_ceil(PART_BYTES as u64)).unwrap_or(0));
        let lacking = held.into_iter().flat_map(|(region, there)| {
            let place = &known.place;
            let parts = all.without(&there, usize::MAX).into_iter();
            parts
                .map(|part| Named::WalPart { place: place.clone(), file, part }.into())
                .map(move |part| LacksParts { region: region.clone(), part })
                .collect::<Vec<_>>()
        });
        lacking.collect()
    }

    /// What all regions have together.
    pub(super) fn map(&self, size: WalSegmentSize) -> WalMap {
        self.runs.clone().finish(size)
    }

    /// What is missing in a region. `expected` is the WAL that the rules ask for; without it, all.
    pub(super) fn missing(
        &self,
        region: &RegionName,
        held: &Held,
        known: &Knowledge,
        expected: Option<&WalRanges>,
    ) -> Missing {
        let Some(size) = known.size else { return Missing::default() };
        let mut asked = Vec::new();
        for backup in held.backups.values() {
            let needed = held.needed_by(backup).into_iter();
            let lacking = needed.filter(|(timeline, number)| !held.wal.has(*timeline, *number));
            asked.extend(lacking.map(|(timeline, number)| (timeline, number, number)));
        }
        let mut gaps = Vec::new();
        for timeline in held.timelines() {
            gaps.extend(self.gaps_on_way(timeline, held, known));
        }
        for (timeline, first, last) in &gaps {
            let ruled = match expected {
                Some(expected) => expected.inside(*timeline, (*first, *last)),
                None => vec![(*first, *last)],
            };
            let left = ruled.into_iter().flat_map(|part| known.condemned_wal.outside(*timeline, part));
            asked.extend(left.map(|(first, last)| (*timeline, first, last)));
        }
        let asked = WalRanges::of(asked);
        let let_go = WalRanges::of(gaps);
        let let_go = let_go.iter().flat_map(|(timeline, first, last)| {
            let rest = asked.outside(timeline, (first, last)).into_iter();
            rest.map(move |(first, last)| (timeline, first, last)).collect::<Vec<_>>()
        });
        let mut let_go: Vec<_> = let_go.collect();
        let is_name =
            |(timeline, _, last): &(_, _, SegmentNo)| SegmentName::new(*timeline, *last, size).is_ok();
        let mut holes = Vec::new();
        for (timeline, first, last) in asked.iter().filter(is_name) {
            let mut parts = vec![(first, last)];
            // What somebody acknowledged is no finding, as long as no region has it.
            if self.held.values().all(|wal| !has_any(wal, timeline, (first, last))) {
                parts = known.acknowledged.outside(timeline, (first, last));
                let known = known.acknowledged.inside(timeline, (first, last));
                let_go.extend(known.into_iter().map(|(first, last)| (timeline, first, last)));
            }
            holes.extend(parts.into_iter().map(|(first, last)| {
                let elsewhere = self.elsewhere(region, timeline, (first, last));
                Hole { timeline, first, last, elsewhere }
            }));
        }
        Missing { holes, let_go }
    }

    /// The other regions that have all of a stretch.
    fn elsewhere(
        &self,
        region: &RegionName,
        timeline: Timeline,
        (first, last): (SegmentNo, SegmentNo),
    ) -> Vec<RegionName> {
        let has_all = |wal: &WalHeld| {
            let range = wal.timelines.get(&timeline).and_then(|wal| wal.segments.holding(first));
            range.is_some_and(|range| range.last >= last)
        };
        let others = self.held.iter().filter(|(other, wal)| *other != region && has_all(wal));
        others.map(|(region, _)| region.clone()).collect()
    }

    /// Gaps on the way of a timeline from its oldest backup to the last segment that any region has.
    fn gaps_on_way(
        &self,
        timeline: Timeline,
        held: &Held,
        known: &Knowledge,
    ) -> Vec<(Timeline, SegmentNo, SegmentNo)> {
        let Some(size) = known.size else { return Vec::new() };
        let history = held.history(timeline);
        let on_way = |backup: &&super::knowledge::Backup| {
            history.covers(backup.timeline, backup.start, backup.start).is_ok()
        };
        let Some(floor) =
            held.backups.values().filter(on_way).map(|backup| size.segment_of(backup.start)).min()
        else {
            return Vec::new();
        };
        let last_of = |wal: &WalHeld, timeline| {
            wal.timelines.get(&timeline)?.segments.as_slice().last().map(|range| range.last)
        };
        let mut gaps = Vec::new();
        for span in history.spans() {
            let begin = size.segment_of(span.begin).max(floor);
            // A timeline that was left ends where its child begins, if there is anything of the child.
            let followed = self.held.values().any(|wal| last_of(wal, timeline).is_some());
            let end = match span.end {
                Some(end) if followed => size.segment_of(end).prev(),
                Some(_) => None,
                None => self.held.values().filter_map(|wal| last_of(wal, span.timeline)).max(),
            };
            let Some(end) = end else { continue };
            let mut at = begin;
            while at <= end {
                let ranges = held.wal.timelines.get(&span.timeline).map(|wal| &wal.segments);
                if let Some(range) = ranges.and_then(|ranges| ranges.holding(at)) {
                    let Some(next) = range.last.next() else { break };
                    at = next;
                    continue;
                }
                let next = ranges.and_then(|ranges| ranges.next_from(at)).filter(|next| *next <= end);
                let last = next.and_then(SegmentNo::prev).unwrap_or(end);
                gaps.push((span.timeline, at, last));
                let Some(after) = last.next() else { break };
                at = after;
            }
        }
        gaps
    }
}
