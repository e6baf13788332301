//! WAL of two servers under the names that a restore would read.
//!
//! Regions that were apart may each hold the WAL of another server. Whoever read now from one and now from the other would replay two
//! histories into one database, and PostgreSQL need not notice: segments can end and begin at the same places. Promise: a way on which copies
//! are known to differ is refused, and for each region a command is named that follows what is there alone.
//! Compared are names whose copies differ in size, which copies of one file never do, and of the others the last on the way; so much costs the
//! same whatever the length of the way. What comes behind the plan is not judged here.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::Held;

use super::plan::RecoveryPlan;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::{Apart, apart};

/// Names whose copies differ in size that are compared: one that is not the same file is enough.
const ODD_MAX: usize = 100;
/// Names whose copies are of one size that are compared: the last on the way.
const ALIKE_MAX: usize = 64;
/// Names that are compared at the same time.
const AHEAD: usize = 8;

/// Segments that two regions or more hold. Takes memory for stretches, not for segments, but for those whose copies differ in size.
#[derive(Debug, Clone, Default)]
pub struct Doubled {
    /// Those whose copies differ in size.
    odd: BTreeSet<(Timeline, SegmentNo)>,
    /// The others, as ranges, both ends inclusive.
    alike: BTreeMap<Timeline, Vec<(SegmentNo, SegmentNo)>>,
}

impl Doubled {
    /// Enters a segment with its copies.
    pub(super) fn see(&mut self, timeline: Timeline, number: SegmentNo, held: &[Held]) {
        if held.len() < 2 {
            return;
        }
        if held.windows(2).any(|pair| matches!(pair, [a, b] if a.size_bytes != b.size_bytes)) {
            self.odd.insert((timeline, number));
            return;
        }
        let ranges = self.alike.entry(timeline).or_default();
        match ranges.last_mut() {
            Some((_, last)) if last.next() == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }

    /// The names to compare, of the way up to the target: the last ones.
    fn names(&self, place: &Place, plan: &RecoveryPlan) -> Vec<ObjectName> {
        let way = || {
            plan.serve
                .iter()
                .rev()
                .map(|range| (range.timeline, range.first, range.last.min(plan.last_needed).max(range.first)))
        };
        let odd = way().flat_map(|(timeline, first, last)| {
            self.odd.range((timeline, first)..=(timeline, last)).rev().copied()
        });
        let alike = way().flat_map(|(timeline, first, last)| self.alike_within(timeline, first, last));
        let all = odd.take(ODD_MAX).chain(alike.take(ALIKE_MAX));
        let name = |(timeline, number)| SegmentName::new(timeline, number, plan.segment_size).ok();
        all.filter_map(name)
            .map(|name| Named::Wal { place: place.clone(), file: WalFileName::Segment(name) }.into())
            .collect()
    }

    /// The last first.
    fn alike_within(
        &self,
        timeline: Timeline,
        first: SegmentNo,
        last: SegmentNo,
    ) -> impl Iterator<Item = (Timeline, SegmentNo)> {
        let ranges = self.alike.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        ranges.iter().rev().flat_map(move |(begin, end)| {
            let numbers = begin.0.max(first.0)..=end.0.min(last.0);
            numbers.rev().map(move |number| (timeline, SegmentNo(number)))
        })
    }
}

/// Refuses a way on which regions hold different WAL.
///
/// # Errors
/// They do; the error names the first segment that was found, both writers, and how to follow each.
pub(super) async fn refuse(
    repository: &Repository,
    place: &Place,
    plan: &RecoveryPlan,
    doubled: &Doubled,
    as_asked: &str,
) -> Result<()> {
    let mut comparing = futures::stream::iter(doubled.names(place, plan))
        .map(|name| async move { apart(repository, &name, &[]).await.map(|apart| (name, apart)) })
        .buffered(AHEAD)
        .boxed_local();
    let mut first = None::<(ObjectName, Apart)>;
    while let Some(found) = comparing.next().await {
        let Some((name, apart)) = found else { continue };
        if first.as_ref().is_none_or(|(known, _)| name < *known) {
            first = Some((name, apart));
        }
    }
    let Some((name, apart)) = first else { return Ok(()) };
    let mut error = Error::data(
        "restore.two-writers",
        format!("regions hold WAL of two servers on the way to the target, {name} first"),
    )
    .fact("what", apart.words());
    for (follow, without) in apart.choices() {
        let (writer, region, without) = (follow.by(), &follow.region, &without.region);
        error = error.hint(format!(
            "to follow writer {writer}, whose WAL is in region {region}: {as_asked} --without-region {without}"
        ));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use seawall_store::RegionName;

    use super::*;

    fn held(sizes: &[u64]) -> Vec<Held> {
        let names = ["north", "south"].iter().filter_map(|name| RegionName::new(name));
        let one = |(region, size_bytes): (RegionName, &u64)| Held {
            region,
            size_bytes: *size_bytes,
            modified_unix_us: 0,
        };
        names.zip(sizes).map(one).collect()
    }

    #[test]
    fn what_several_hold_is_kept_as_ranges_and_odd_ones_by_name() {
        let mut doubled = Doubled::default();
        for number in (1..=9).filter(|number| *number != 6) {
            let sizes: &[u64] = match number {
                3 => &[10],
                8 => &[10, 11],
                _ => &[10, 10],
            };
            doubled.see(Timeline::FIRST, SegmentNo(number), &held(sizes));
        }
        assert_eq!(doubled.odd.len(), 1);
        assert_eq!(doubled.alike.values().map(Vec::len).sum::<usize>(), 4);
        let within = |first, last| -> Vec<u64> {
            doubled
                .alike_within(Timeline::FIRST, SegmentNo(first), SegmentNo(last))
                .map(|(_, number)| number.0)
                .collect()
        };
        assert_eq!(within(0, 20), [9, 7, 5, 4, 2, 1]);
        assert_eq!(within(2, 4), [4, 2]);
    }
}
