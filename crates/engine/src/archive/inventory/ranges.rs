//! Numbers of segments as ranges: what is there without a gap between.

use seawall_pg::SegmentNo;
use seawall_repo::time::Time;
use serde::Serialize;

/// Consecutive segments, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SegmentRange {
    /// The first.
    pub first: SegmentNo,
    /// The last.
    pub last: SegmentNo,
    /// When the last one was first stored anywhere: a region that caught up later makes WAL no younger.
    pub last_stored: Option<Time>,
}

/// Ranges in ascending order, with a gap before each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ranges(Vec<SegmentRange>);

impl Ranges {
    /// The ranges.
    #[must_use]
    pub fn as_slice(&self) -> &[SegmentRange] {
        &self.0
    }

    /// The range that holds a segment.
    #[must_use]
    pub fn holding(&self, number: SegmentNo) -> Option<&SegmentRange> {
        let at = self.0.partition_point(|range| range.last < number);
        self.0.get(at).filter(|range| range.first <= number)
    }

    /// How many segments there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| range.last.0 - range.first.0 + 1).sum()
    }

    /// How many segments there are from `number` on.
    #[must_use]
    pub fn count_from(&self, number: SegmentNo) -> u64 {
        let from_there = self.0.iter().filter(|range| range.last >= number);
        from_there.map(|range| range.last.0 - range.first.max(number).0 + 1).sum()
    }

    /// The first segment from `number` on that is there.
    #[must_use]
    pub fn next_from(&self, number: SegmentNo) -> Option<SegmentNo> {
        let at = self.0.partition_point(|range| range.last < number);
        self.0.get(at).map(|range| range.first.max(number))
    }

    /// Adds a segment; twice is once.
    pub fn add(&mut self, number: SegmentNo, stored: Option<Time>) {
        let at = self.0.partition_point(|range| range.last < number);
        if let Some(range) = self.0.get_mut(at).filter(|range| range.first <= number) {
            if range.last == number {
                range.last_stored = earliest(range.last_stored, stored);
            }
            return;
        }
        let mut new = SegmentRange { first: number, last: number, last_stored: stored };
        if let Some(after) = self.0.get(at).copied().filter(|after| number.next() == Some(after.first)) {
            new.join(&after);
            self.0.remove(at);
        }
        match at.checked_sub(1).and_then(|before| self.0.get_mut(before)) {
            Some(before) if before.last.next() == Some(number) => before.join(&new),
            _ => self.0.insert(at, new),
        }
    }
}

impl Ranges {
    /// What several have together.
    pub(super) fn together<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut ranges: Vec<SegmentRange> = all.flat_map(|one| one.0.iter().copied()).collect();
        ranges.sort_by_key(|range| (range.first, range.last));
        let mut joined: Vec<SegmentRange> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(before) if before.last.next().is_none_or(|next| range.first <= next) => {
                    before.cover(&range);
                }
                _ => joined.push(range),
            }
        }
        Self(joined)
    }
}

impl SegmentRange {
    /// Takes in a range that begins in this one or right behind it.
    fn cover(&mut self, other: &Self) {
        if other.last > self.last {
            (self.last, self.last_stored) = (other.last, other.last_stored);
        } else if other.last == self.last {
            self.last_stored = earliest(self.last_stored, other.last_stored);
        }
    }

    /// Takes in the range right behind this one.
    fn join(&mut self, behind: &Self) {
        self.last = behind.last;
        self.last_stored = behind.last_stored;
    }
}

fn earliest(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.min(other).or(one).or(other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_was_added_and_nothing_else(numbers in proptest::collection::vec(0u64..60, 0..80)) {
            let mut ranges = Ranges::default();
            for number in &numbers {
                ranges.add(SegmentNo(*number), None);
            }
            let set: BTreeSet<u64> = numbers.into_iter().collect();
            for number in 0..61 {
                prop_assert_eq!(ranges.holding(SegmentNo(number)).is_some(), set.contains(&number));
                let next = set.range(number..).next().map(|number| SegmentNo(*number));
                prop_assert_eq!(ranges.next_from(SegmentNo(number)), next);
            }
            prop_assert_eq!(ranges.count(), set.len() as u64);
            for pair in ranges.as_slice().windows(2) {
                prop_assert!(pair[0].last.0 + 1 < pair[1].first.0, "a gap lies between ranges");
            }
        }
    }

    proptest! {
        #[test]
        fn together_is_what_any_of_them_has(all in proptest::collection::vec(proptest::collection::vec(0u64..60, 0..40), 0..4)) {
            let one = |numbers: &Vec<u64>| {
                let mut ranges = Ranges::default();
                numbers.iter().for_each(|number| ranges.add(SegmentNo(*number), Time::from_micros(1)));
                ranges
            };
            let parts: Vec<Ranges> = all.iter().map(one).collect();
            prop_assert_eq!(Ranges::together(parts.iter()), one(&all.concat()));
        }
    }

    #[test]
    fn the_time_is_that_of_the_last_segment_where_it_was_stored_first() {
        let time = |micros| Time::from_micros(micros);
        let mut ranges = Ranges::default();
        for (number, stored) in [(4, time(40)), (6, time(60)), (5, time(990)), (6, time(980)), (4, time(970))]
        {
            ranges.add(SegmentNo(number), stored);
        }
        let [range] = ranges.as_slice() else { panic!("{ranges:?}") };
        assert_eq!((range.first.0, range.last.0, range.last_stored), (4, 6, time(60)));
    }
}
