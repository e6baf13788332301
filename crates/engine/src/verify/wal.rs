//! The WAL of a place while its names go by, and in the end the holes: segments without which a backup cannot be made consistent, or
//! points between backups cannot be reached.
//!
//! Pure. Promises: memory follows holes and timelines, not segments; WAL from before the oldest backup, WAL that a tombstone names and
//! the space between two lives of a cluster are no holes.

use std::collections::BTreeMap;

use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName, PartedFile};
use seawall_repo::wal_object::PART_BYTES;
use seawall_store::RegionName;

use super::endangers::Held;
use super::knowledge::Knowledge;
use super::numbers::Numbers;
use crate::archive::inventory::WalHeld;

/// Consecutive segments that a region lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) timeline: Timeline,
    pub(super) first: SegmentNo,
    pub(super) last: SegmentNo,
    /// Regions that have all of them.
    pub(super) elsewhere: Vec<RegionName>,
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
    /// The file whose parts go by, and which of them each region has.
    parted: Option<(PartedFile, BTreeMap<RegionName, Numbers>)>,
}

impl WalSeen {
    /// Enters one file or part; what of the parted file before it is missing comes back.
    pub(super) fn add(
        &mut self,
        named: &Named,
        regions: &[RegionName],
        known: &Knowledge,
    ) -> Vec<LacksParts> {
        let Some(size) = known.size else { return Vec::new() };
        match named {
            Named::Wal { file, .. } => {
                let lacking = self.end_parts(known);
                let number = file.segment().map(|name| name.number(size)).and_then(std::result::Result::ok);
                for region in regions {
                    self.held.entry(region.clone()).or_default().add(*file, number, None);
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

    /// The holes of a region.
    pub(super) fn holes(&self, region: &RegionName, held: &Held, known: &Knowledge) -> Vec<Hole> {
        let Some(size) = known.size else { return Vec::new() };
        let mut missing: BTreeMap<Timeline, Vec<(SegmentNo, SegmentNo)>> = BTreeMap::new();
        for backup in held.backups.values() {
            for (timeline, number) in held.needed_by(backup) {
                if !held.wal.has(timeline, number) {
                    missing.entry(timeline).or_default().push((number, number));
                }
            }
        }
        for timeline in held.timelines() {
            for (on, first, last) in self.gaps_on_way(timeline, held, known) {
                missing.entry(on).or_default().extend(self.not_condemned(on, first, last, known));
            }
        }
        let mut holes = Vec::new();
        for (timeline, ranges) in missing {
            for (first, last) in coalesced(ranges) {
                let has_all = |wal: &WalHeld| {
                    let range = wal.timelines.get(&timeline).and_then(|wal| wal.segments.holding(first));
                    range.is_some_and(|range| range.last >= last)
                };
                let others = self.held.iter().filter(|(other, wal)| *other != region && has_all(wal));
                let elsewhere = others.map(|(region, _)| region.clone()).collect();
                holes.push(Hole { timeline, first, last, elsewhere });
            }
        }
        holes.retain(|hole| SegmentName::new(hole.timeline, hole.last, size).is_ok());
        holes
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

    /// What of a gap no tombstone names.
    fn not_condemned(
        &self,
        timeline: Timeline,
        first: SegmentNo,
        last: SegmentNo,
        known: &Knowledge,
    ) -> Vec<(SegmentNo, SegmentNo)> {
        let Some(size) = known.size else { return Vec::new() };
        if !known.has_condemned() {
            return vec![(first, last)];
        }
        let mut left = Vec::new();
        for number in (first.0..=last.0).map(SegmentNo) {
            let Ok(name) = SegmentName::new(timeline, number, size) else { continue };
            let named = Named::Wal { place: known.place.clone(), file: WalFileName::Segment(name) };
            if !known.is_condemned(&named) {
                left.push((number, number));
            }
        }
        left
    }
}

fn coalesced(mut ranges: Vec<(SegmentNo, SegmentNo)>) -> Vec<(SegmentNo, SegmentNo)> {
    ranges.sort_unstable();
    let mut all: Vec<(SegmentNo, SegmentNo)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some((_, end)) if end.next().is_none_or(|after| first <= after) => *end = last.max(*end),
            _ => all.push((first, last)),
        }
    }
    all
}
