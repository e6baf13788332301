//! Numbers of packs or maps as runs: a folder of any size is a few of them.

/// Rising runs, both ends inclusive, with a gap before each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    /// All from 0, so many.
    pub(super) fn first(count: u32) -> Self {
        Self(count.checked_sub(1).map(|last| (0, last)).into_iter().collect())
    }

    pub(super) fn holds(&self, number: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).is_some_and(|(first, _)| *first <= number)
    }

    /// Adds one; twice is once.
    pub(super) fn add(&mut self, number: u32) {
        self.add_run(number, number);
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(first, last)| self.add_run(*first, *last));
    }

    fn add_run(&mut self, first: u32, last: u32) {
        // Everything that overlaps or touches becomes one run.
        let from = self.0.partition_point(|(_, end)| end.checked_add(1).is_some_and(|after| after < first));
        let to = self.0.partition_point(|(begin, _)| last.checked_add(1).is_none_or(|after| *begin <= after));
        let touched = self.0.get(from..to).unwrap_or_default();
        let first = touched.first().map_or(first, |(begin, _)| first.min(*begin));
        let last = touched.last().map_or(last, |(_, end)| last.max(*end));
        self.0.splice(from..to.max(from), [(first, last)]);
    }

    /// Those that `other` has not, in order, at most `most` of them.
    pub(super) fn without(&self, other: &Self, most: usize) -> Vec<u32> {
        let all = self.0.iter().flat_map(|(first, last)| *first..=*last);
        all.filter(|number| !other.holds(*number)).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_hold_what_was_added(added in proptest::collection::vec((0..60u32, 0..4u32), 0..40), other in proptest::collection::vec(0..60u32, 0..20)) {
            let (mut numbers, mut more) = (Numbers::default(), Numbers::default());
            let mut set = BTreeSet::new();
            for (first, count) in added {
                numbers.add_run(first, first + count);
                set.extend(first..=first + count);
            }
            other.iter().for_each(|number| more.add(*number));
            for number in 0..70 {
                prop_assert_eq!(numbers.holds(number), set.contains(&number));
            }
            let rest: Vec<u32> = set.iter().copied().filter(|number| !other.contains(number)).collect();
            prop_assert_eq!(numbers.without(&more, usize::MAX), rest);
            prop_assert!(numbers.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", numbers);
        }
    }

    #[test]
    fn the_last_number_there_is_is_no_trap() {
        let mut numbers = Numbers::default();
        numbers.add(u32::MAX);
        numbers.add(u32::MAX - 1);
        assert!(numbers.holds(u32::MAX) && !numbers.holds(0));
        assert_eq!(numbers.0, [(u32::MAX - 1, u32::MAX)]);
        assert_eq!(Numbers::first(0), Numbers::default());
    }
}
