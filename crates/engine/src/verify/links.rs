//! The links between neighbouring segments: whether each goes on where the one before it ends.
//!
//! ```text
//! one segment's edges ── beside those of its neighbours ── SegmentIndex::then ──▶ one stretch, or a broken link
//! ```
//!
//! Pure. Promises: segments may come in any order; each pair of neighbours is compared once, also across a record that fills whole
//! segments; memory follows gaps and what is under way, not segments. What is not there, or damaged, is told by others; neighbours one of
//! which tells nothing of its records are counted. Deliberately reads nothing: the neighbour of one that is read alone is read beside it.

use std::collections::BTreeMap;

use seawall_pg::{SegmentNo, Timeline};
use seawall_repo::id::WriterId;
use seawall_repo::wal_index::{Break, Changes, SegmentIndex};

/// How a segment begins and ends, and who signed it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edges {
    first: SegmentIndex,
    by: WriterId,
}

/// What is known of a segment's edges.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Edges(Box<Edges>),
    /// It has no index, and its records could not be read.
    Nothing,
    /// It is damaged or gone, which is told already.
    Bad,
}

/// A segment that does not go on where the one before it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) why: Break,
    /// Who signed the one before, and this one.
    pub(super) by: [WriterId; 2],
}

/// One that stands beside its neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) timeline: Timeline,
    pub(super) number: SegmentNo,
    /// Whether the one before it comes too, and the one behind it.
    pub(super) after_another: bool,
    pub(super) before_another: bool,
}

/// What became of a segment that is looked at alone, beside the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    Joined,
    Broken(Broken),
    /// One of the two tells nothing of its records.
    Untold,
}

/// The stretches of one region and system identifier.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By timeline and first segment; those whose neighbours may still come.
    runs: BTreeMap<(Timeline, SegmentNo), Run>,
    /// Links that were compared.
    pub(super) compared: u64,
    /// Links that could not be.
    pub(super) untold: u64,
}

/// Neighbours that go on in one another, joined.
#[derive(Debug)]
struct Run {
    last: SegmentNo,
    told: Told,
    waits_before: bool,
    waits_behind: bool,
    /// Who signed the last one; the first one's signer stands with the edges.
    by_last: Option<WriterId>,
}

impl Edges {
    pub(super) fn of(index: &SegmentIndex, by: WriterId) -> Self {
        Self { first: without_content(index), by }
    }

    /// Whether `later` goes on here.
    pub(super) fn goes_on(self, later: &Self) -> Result<(), Broken> {
        let mut joined = self.first;
        joined.then(&later.first).map_err(|why| Broken { why, by: [self.by, later.by] })
    }
}

/// Positions alone: what a segment says of its records is not asked here.
fn without_content(index: &SegmentIndex) -> SegmentIndex {
    SegmentIndex {
        begins: index.begins,
        first: index.first,
        last: index.last,
        ends: index.ends,
        records: index.records,
        commits: None,
        marks: Vec::new(),
        untold: Vec::new(),
        changes: Changes::default(),
    }
}

impl Links {
    /// Enters a segment; the links that are broken, with the number of the segment behind each.
    pub(super) fn add(&mut self, at: At, told: Told) -> Vec<(SegmentNo, Broken)> {
        let At { timeline, number, after_another, before_another } = at;
        let by_last = match &told {
            Told::Edges(edges) => Some(edges.by),
            Told::Nothing | Told::Bad => None,
        };
        let mut run =
            Run { last: number, told, waits_before: after_another, waits_behind: before_another, by_last };
        let (mut first, mut broken) = (number, Vec::new());
        let before = self.runs.range(..(timeline, number)).next_back().map(|(key, run)| (*key, run.last));
        if let Some((key, last)) = before
            && run.waits_before
            && key.0 == timeline
            && last.next() == Some(number)
            && let Some(before) = self.runs.remove(&key)
        {
            let (joined, left) = self.join(before, run, number, &mut broken);
            run = joined;
            match left {
                Some(left) => self.keep((timeline, key.1), left),
                None => first = key.1,
            }
        }
        if let Some(next) = run.last.next()
            && run.waits_behind
            && let Some(behind) = self.runs.remove(&(timeline, next))
        {
            let (joined, left) = self.join(run, behind, next, &mut broken);
            match left {
                Some(left) => {
                    self.keep((timeline, next), joined);
                    self.keep((timeline, first), left);
                }
                None => self.keep((timeline, first), joined),
            }
            return broken;
        }
        self.keep((timeline, first), run);
        broken
    }

    /// Takes what was compared elsewhere; the link, if it is broken.
    pub(super) fn take(&mut self, beside: Beside) -> Option<Broken> {
        let (counted, broken) = match beside {
            Beside::Joined => (&mut self.compared, None),
            Beside::Broken(broken) => (&mut self.compared, Some(broken)),
            Beside::Untold => (&mut self.untold, None),
        };
        *counted += 1;
        broken
    }

    /// Both as one; or, where they do not join, the later and the earlier, neither waiting for the other any more.
    fn join(
        &mut self,
        mut before: Run,
        mut behind: Run,
        number: SegmentNo,
        broken: &mut Vec<(SegmentNo, Broken)>,
    ) -> (Run, Option<Run>) {
        match (&mut before.told, &behind.told) {
            (Told::Edges(edges), Told::Edges(later)) => {
                self.compared += 1;
                match edges.first.then(&later.first) {
                    Ok(()) => {
                        edges.first.untold.clear();
                        before.last = behind.last;
                        (before.waits_behind, before.by_last) = (behind.waits_behind, behind.by_last);
                        return (before, None);
                    }
                    Err(why) => {
                        let by = [before.by_last.unwrap_or(edges.by), later.by];
                        broken.push((number, Broken { why, by }));
                    }
                }
            }
            (Told::Bad, _) | (_, Told::Bad) => {}
            (Told::Nothing, _) | (_, Told::Nothing) => self.untold += 1,
        }
        (before.waits_behind, behind.waits_before) = (false, false);
        (behind, Some(before))
    }

    /// Keeps what a neighbour may still come to.
    fn keep(&mut self, key: (Timeline, SegmentNo), run: Run) {
        if run.waits_before || run.waits_behind {
            self.runs.insert(key, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_pg::Lsn;
    use seawall_repo::wal_index::{Begins, Ends, FirstRecord};

    use super::*;

    fn edges(at: u64, previous: u64, last: u64) -> Told {
        let first = SegmentIndex {
            begins: Begins::Record,
            first: Some(FirstRecord { start: Lsn(at * 100), previous: Lsn(previous) }),
            last: Some(Lsn(last)),
            ends: Ends::Record,
            records: 1,
            commits: None,
            marks: Vec::new(),
            untold: Vec::new(),
            changes: Changes::default(),
        };
        Told::Edges(Box::new(Edges::of(&first, WriterId::from_bytes([at as u8; 16]))))
    }

    /// What a segment is: right, of another server (its end too), without an index, damaged, or not there.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        Right,
        Other,
        Silent,
        Bad,
        Gone,
    }

    fn told(number: u64, kind: Kind) -> Option<Told> {
        Some(match kind {
            Kind::Right => edges(number, (number - 1) * 100 + 50, number * 100 + 50),
            Kind::Other => edges(number, 1, number * 100 + 60),
            Kind::Silent => Told::Nothing,
            Kind::Bad => Told::Bad,
            Kind::Gone => return None,
        })
    }

    proptest! {
        /// In whatever order segments come, the same links are told as by looking at each pair.
        #[test]
        fn every_pair_of_neighbours_is_compared_once(
            kinds in proptest::collection::vec(prop::sample::select(vec![
                Kind::Right, Kind::Right, Kind::Right, Kind::Other, Kind::Silent, Kind::Bad, Kind::Gone,
            ]), 2..30),
            order in any::<u64>(),
        ) {
            let mut numbers: Vec<u64> = (1..=kinds.len() as u64).collect();
            numbers.sort_by_key(|number| blake3::hash(&[order.to_le_bytes(), number.to_le_bytes()].concat()).to_hex().to_string());
            let (mut links, mut broken) = (Links::default(), Vec::new());
            for number in numbers {
                let Some(told) = told(number, kinds[number as usize - 1]) else { continue };
                let at = At {
                    timeline: Timeline::FIRST,
                    number: SegmentNo(number),
                    after_another: number > 1,
                    before_another: number < kinds.len() as u64,
                };
                broken.extend(links.add(at, told).into_iter().map(|(number, broken)| (number.0, broken.by)));
            }
            broken.sort_unstable();
            let (mut wanted, mut compared, mut untold) = (Vec::new(), 0, 0);
            for (pair, number) in kinds.windows(2).zip(2_u64..) {
                match pair {
                    [Kind::Bad | Kind::Gone, _] | [_, Kind::Bad | Kind::Gone] => {}
                    [Kind::Silent, _] | [_, Kind::Silent] => untold += 1,
                    pair => {
                        compared += 1;
                        if *pair != [Kind::Right, Kind::Right] {
                            let by = [number - 1, number].map(|of| WriterId::from_bytes([of as u8; 16]));
                            wanted.push((number, by));
                        }
                    }
                }
            }
            prop_assert_eq!((broken, links.compared, links.untold), (wanted, compared, untold));
            // Only what stands beside a gap still waits.
            let gaps = kinds.iter().filter(|kind| **kind == Kind::Gone).count();
            prop_assert!(links.runs.len() <= 2 * gaps, "{:?}", links.runs);
        }
    }

    /// A record that fills whole segments: only the ends of the stretch tell whether it goes on.
    #[test]
    fn a_link_across_a_record_of_many_segments_is_compared() {
        for (previous, is_right) in [(150, true), (140, false)] {
            let middle = |begins, ends| {
                let Told::Edges(mut edges) = edges(2, 0, 0) else { unreachable!() };
                edges.first = SegmentIndex { begins, first: None, last: None, ends, ..edges.first };
                Told::Edges(edges)
            };
            let Told::Edges(mut front) = edges(1, 50, 150) else { unreachable!() };
            front.first.ends = Ends::Beginning { of: Lsn(150), told: false };
            let Told::Edges(mut back) = edges(4, previous, 450) else { unreachable!() };
            back.first.begins = Begins::UnknownRest;
            let all = [
                Told::Edges(front),
                middle(Begins::UnknownRest, Ends::UnknownMiddle),
                middle(Begins::UnknownRest, Ends::UnknownMiddle),
                Told::Edges(back),
            ];
            for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 2, 0], [2, 0, 3, 1]] {
                let (mut links, mut broken) = (Links::default(), 0);
                for index in order {
                    let number = SegmentNo(index as u64 + 1);
                    let (after_another, before_another) = (index > 0, index < 3);
                    let at = At { timeline: Timeline::FIRST, number, after_another, before_another };
                    broken += links.add(at, all[index].clone()).len();
                }
                assert_eq!((broken == 0, links.compared), (is_right, 3), "{order:?}");
            }
        }
    }
}
