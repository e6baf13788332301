//! Runs of WAL from names as a listing gives them.
//!
//! Promises: memory grows with holes, timelines and days, not with segments. A `.partial` file counts as a segment only behind the
//! last whole one of its timeline.

use std::collections::BTreeMap;

use seawall_pg::{SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::time::Time;

use super::wal::{WalMap, WalRun};

const DAY_SECONDS: u64 = 86_400;

/// Runs that grow while names go by.
#[derive(Debug, Clone, Default)]
pub(crate) struct WalRuns {
    timelines: BTreeMap<Timeline, Vec<WalRun>>,
    partials: BTreeMap<(Timeline, SegmentNo), Time>,
}

impl WalRuns {
    /// Adds a segment; those of one timeline come in their order.
    pub(crate) fn segment(&mut self, timeline: Timeline, number: SegmentNo, stored: Time) {
        append(self.timelines.entry(timeline).or_default(), number, stored);
    }

    /// Adds a segment of which there is the beginning only.
    pub(crate) fn partial(&mut self, timeline: Timeline, number: SegmentNo, stored: Time) {
        self.partials.insert((timeline, number), stored);
    }

    /// All of them. The end of a timeline may be there only as a `.partial` file.
    pub(crate) fn finish(mut self, size: WalSegmentSize) -> WalMap {
        for ((timeline, number), stored) in self.partials {
            let runs = self.timelines.entry(timeline).or_default();
            if runs.last().is_none_or(|run| run.last < number) {
                append(runs, number, stored);
            }
        }
        WalMap { size, timelines: self.timelines }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_run_ends_at_a_hole_and_at_the_end_of_a_day() {
        let mut runs = WalRuns::default();
        for (number, seconds) in [(1, 10), (2, 5), (4, 20), (5, 86_401), (5, 86_500), (6, 86_400)] {
            runs.segment(Timeline::FIRST, SegmentNo(number), at(seconds));
        }
        // One between whole segments says nothing; one behind them all does.
        runs.partial(Timeline::FIRST, SegmentNo(3), at(30));
        runs.partial(Timeline::FIRST, SegmentNo(8), at(86_402));
        let map = runs.finish(WalSegmentSize::new(1 << 20).unwrap());
        let said: Vec<_> = map.timelines[&Timeline::FIRST]
            .iter()
            .map(|run| (run.first.0, run.last.0, run.first_stored.seconds(), run.last_stored.seconds()))
            .collect();
        assert_eq!(said, [(1, 2, 5, 10), (4, 4, 20, 20), (5, 6, 86_400, 86_401), (8, 8, 86_402, 86_402)]);
    }
}
