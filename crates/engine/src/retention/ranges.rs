//! Segments by timeline as ranges: what of a stretch lies inside, and what outside.

use std::collections::BTreeMap;

use seawall_pg::{SegmentNo, Timeline};

/// Ranges of segments, both ends inclusive. They are added in any order, overlap as they like, and count once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WalRanges {
    timelines: BTreeMap<Timeline, Vec<(SegmentNo, SegmentNo)>>,
}

impl WalRanges {
    /// These ranges.
    pub(crate) fn of(all: impl IntoIterator<Item = (Timeline, SegmentNo, SegmentNo)>) -> Self {
        let mut ranges = Self::default();
        ranges.add(all);
        ranges
    }

    /// Adds ranges; what overlaps or touches becomes one.
    pub(crate) fn add(&mut self, more: impl IntoIterator<Item = (Timeline, SegmentNo, SegmentNo)>) {
        for (timeline, first, last) in more {
            self.timelines.entry(timeline).or_default().push((first, last));
        }
        for ranges in self.timelines.values_mut() {
            ranges.sort_unstable();
            let mut joined: Vec<(SegmentNo, SegmentNo)> = Vec::with_capacity(ranges.len());
            for (first, last) in ranges.drain(..) {
                match joined.last_mut() {
                    Some((_, end)) if end.next().is_none_or(|free| first <= free) => *end = last.max(*end),
                    _ => joined.push((first, last)),
                }
            }
            *ranges = joined;
        }
    }

    /// All of them, in the order of timelines and numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timeline, SegmentNo, SegmentNo)> + '_ {
        let of = |(timeline, ranges): (&Timeline, &Vec<(SegmentNo, SegmentNo)>)| {
            let timeline = *timeline;
            ranges.clone().into_iter().map(move |(first, last)| (timeline, first, last))
        };
        self.timelines.iter().flat_map(of)
    }

    /// What of a stretch is in here.
    pub(crate) fn inside(
        &self,
        timeline: Timeline,
        (from, to): (SegmentNo, SegmentNo),
    ) -> Vec<(SegmentNo, SegmentNo)> {
        let parts = self.from(timeline, from).iter().take_while(|(first, _)| *first <= to);
        parts.map(|(first, last)| ((*first).max(from), (*last).min(to))).collect()
    }

    /// What of a stretch is not in here.
    pub(crate) fn outside(
        &self,
        timeline: Timeline,
        (mut from, to): (SegmentNo, SegmentNo),
    ) -> Vec<(SegmentNo, SegmentNo)> {
        let mut free = Vec::new();
        for (first, last) in self.from(timeline, from).iter().take_while(|(first, _)| *first <= to) {
            if let Some(before) = first.prev().filter(|before| from <= *before) {
                free.push((from, before));
            }
            let Some(next) = last.next() else { return free };
            from = from.max(next);
        }
        if from <= to {
            free.push((from, to));
        }
        free
    }

    /// The ranges of a timeline that end at a segment or later.
    fn from(&self, timeline: Timeline, from: SegmentNo) -> &[(SegmentNo, SegmentNo)] {
        let ranges = self.timelines.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        let at = ranges.partition_point(|(_, last)| *last < from);
        ranges.get(at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stretch_is_cut_into_what_is_inside_and_what_is_not(
            ranges in proptest::collection::vec((0u64..40, 0u64..6), 0..8), from in 0u64..40, length in 0u64..20
        ) {
            let all = ranges.iter().map(|(at, more)| (Timeline::FIRST, SegmentNo(*at), SegmentNo(at + more)));
            let cut = WalRanges::of(all.clone());
            let stretch = (SegmentNo(from), SegmentNo(from + length));
            let (inside, outside) = (cut.inside(Timeline::FIRST, stretch), cut.outside(Timeline::FIRST, stretch));
            let says = |cut: &[(SegmentNo, SegmentNo)], number| cut.iter().any(|(first, last)| *first <= number && number <= *last);
            for number in (0..70).map(SegmentNo) {
                let within = stretch.0 <= number && number <= stretch.1;
                let held = all.clone().any(|(_, first, last)| first <= number && number <= last);
                prop_assert_eq!(says(&inside, number), within && held, "{:?}: {:?}", number, inside);
                prop_assert_eq!(says(&outside, number), within && !held, "{:?}: {:?}", number, outside);
            }
            prop_assert!(cut.inside(Timeline::new(2).unwrap(), stretch).is_empty());
        }
    }

    #[test]
    fn the_last_segment_there_is_is_no_trap() {
        let (end, before) = (SegmentNo(u64::MAX), SegmentNo(u64::MAX - 1));
        let all = WalRanges::of([(Timeline::FIRST, end, end), (Timeline::FIRST, SegmentNo(0), SegmentNo(1))]);
        assert_eq!(all.outside(Timeline::FIRST, (SegmentNo(0), end)), [(SegmentNo(2), before)]);
        assert_eq!(all.inside(Timeline::FIRST, (before, end)), [(end, end)]);
    }
}
