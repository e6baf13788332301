//! Which pages WAL changes, by fork of relation, and how short each fork was meanwhile.
//!
//! Promises what PostgreSQL's own summaries tell (`src/backend/postmaster/walsummarizer.c`, `src/common/blkreftable.c`), but for
//! pages from a fork's *limit* on, the shortest length that it had: those were new when they were written again, so whoever asks
//! must read all that there are, and none is listed. That makes joining free of order. Encoding is canonical: what is decoded
//! encodes to the same bytes. Deliberately does not know records: whoever reads WAL calls `change_all` and `cut`.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use seawall_pg::Fork;
use seawall_pg::wal::RelationId;

use crate::bytes::{DecodeError, Reader, Writer};

/// A fork of a relation, as WAL names it. The relation's number is 0 where a whole database in one tablespace is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangedFork {
    /// The relation.
    pub relation: RelationId,
    /// Which fork.
    pub fork: Fork,
}

/// What happened to one fork.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForkChanges {
    /// The shortest length, in pages, that the fork had; none if it was never cut or made.
    limit: Option<u32>,
    /// Pages changed, below the limit.
    pages: RoaringBitmap,
}

/// What happened to all forks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    forks: BTreeMap<ChangedFork, ForkChanges>,
}

impl ForkChanges {
    /// The shortest length, in pages, that the fork had; none if it was never cut or made.
    pub fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// The pages changed, below the limit. From the limit on, whatever there is may have changed.
    pub fn pages(&self) -> &RoaringBitmap {
        &self.pages
    }

    /// Enters changed pages.
    pub fn change_all(&mut self, pages: impl IntoIterator<Item = u32>) {
        let limit = self.limit.unwrap_or(u32::MAX);
        self.pages.extend(pages.into_iter().filter(|page| *page < limit));
    }

    /// Enters that the fork was cut to `length` pages, or made (0).
    pub fn cut(&mut self, length: u32) {
        if self.limit.is_some_and(|limit| limit <= length) {
            return;
        }
        self.limit = Some(length);
        self.pages.remove_range(length..);
    }

    /// Joins what happened before or afterwards.
    fn join(&mut self, other: &Self) {
        self.pages |= &other.pages;
        if let Some(limit) = other.limit.or(self.limit) {
            self.limit = Some(self.limit.map_or(limit, |own| own.min(limit)));
            self.pages.remove_range(self.limit.unwrap_or(limit)..);
        }
    }
}

impl Changes {
    /// The changes of a fork, empty ones where there were none.
    pub fn fork_mut(&mut self, fork: ChangedFork) -> &mut ForkChanges {
        self.forks.entry(fork).or_default()
    }

    /// What happened to a fork; none if nothing did.
    pub fn fork(&self, fork: &ChangedFork) -> Option<&ForkChanges> {
        self.forks.get(fork)
    }

    /// All forks, in order.
    pub fn forks(&self) -> impl ExactSizeIterator<Item = (&ChangedFork, &ForkChanges)> {
        self.forks.iter()
    }

    /// How many pages, of all forks.
    pub fn pages(&self) -> u64 {
        self.forks.values().map(|fork| fork.pages.len()).sum()
    }

    /// Joins what happened before or afterwards; the order is nothing to it.
    pub fn join(&mut self, other: &Self) {
        for (fork, changes) in &other.forks {
            self.fork_mut(*fork).join(changes);
        }
    }

    /// As bytes: see FORMAT §9.1.
    pub fn encode(&self, writer: &mut Writer) {
        writer.count(self.forks.len());
        for (fork, changes) in &self.forks {
            for number in [fork.relation.tablespace, fork.relation.database, fork.relation.number] {
                writer.varint(u64::from(number));
            }
            writer.u8(fork_number(fork.fork) | if changes.limit.is_some() { WITH_LIMIT } else { 0 });
            if let Some(limit) = changes.limit {
                writer.varint(u64::from(limit));
            }
            encode_pages(&changes.pages, writer);
        }
    }

    /// Reads bytes back. `pages_max` is the most pages that so much WAL can change: memory is bounded by it.
    pub fn decode(reader: &mut Reader<'_>, pages_max: u64) -> Result<Self, DecodeError> {
        let count = reader.count(FORK_BYTES_MIN)?;
        let (mut forks, mut left) = (BTreeMap::new(), pages_max);
        for _ in 0..count {
            let (fork, with_limit) = decode_fork(reader)?;
            let limit = if with_limit { Some(reader.varint_u32("limit")?) } else { None };
            let pages = decode_pages(reader, &mut left)?;
            if limit.is_some_and(|limit| pages.max().is_some_and(|page| page >= limit)) {
                return Err(reader.invalid("a page from the limit on"));
            }
            let in_order = forks.last_key_value().is_none_or(|(last, _)| *last < fork);
            if !in_order {
                return Err(reader.invalid("forks out of order"));
            }
            forks.insert(fork, ForkChanges { limit, pages });
        }
        Ok(Self { forks })
    }
}

/// Three numbers, the fork, and the number of runs.
const FORK_BYTES_MIN: usize = 5;
/// Stands beside the fork where a limit follows.
const WITH_LIMIT: u8 = 0x10;

fn fork_number(fork: Fork) -> u8 {
    match fork {
        Fork::Main => 0,
        Fork::Fsm => 1,
        Fork::Vm => 2,
        Fork::Init => 3,
    }
}

fn decode_fork(reader: &mut Reader<'_>) -> Result<(ChangedFork, bool), DecodeError> {
    let [tablespace, database, number] =
        [reader.varint_u32("tablespace")?, reader.varint_u32("database")?, reader.varint_u32("file number")?];
    let byte = reader.u8()?;
    let fork = match byte & !WITH_LIMIT {
        0 => Fork::Main,
        1 => Fork::Fsm,
        2 => Fork::Vm,
        3 => Fork::Init,
        _ => return Err(reader.invalid("unknown fork")),
    };
    let relation = RelationId { tablespace, database, number };
    Ok((ChangedFork { relation, fork }, byte & WITH_LIMIT != 0))
}

/// Runs of pages: how many, then for each the gap since the end of the one before (at least 1 but for the first) and its length
/// less one.
fn encode_pages(pages: &RoaringBitmap, writer: &mut Writer) {
    let mut runs = Writer::new();
    let (mut count, mut end) = (0u64, 0u64);
    let mut pages = pages.iter();
    while let Some(run) = pages.next_range() {
        let (first, last) = (u64::from(*run.start()), u64::from(*run.end()));
        runs.varint(first - end);
        runs.varint(last - first);
        (count, end) = (count + 1, last + 1);
    }
    writer.varint(count);
    writer.raw(runs.as_slice());
}

fn decode_pages(reader: &mut Reader<'_>, left: &mut u64) -> Result<RoaringBitmap, DecodeError> {
    let count = reader.count(2)?;
    let (mut pages, mut end) = (RoaringBitmap::new(), 0u64);
    for index in 0..count {
        let gap = reader.varint_in("gap", u64::from(index > 0), u64::from(u32::MAX))?;
        let length = reader.varint_in("length", 0, u64::from(u32::MAX))? + 1;
        let first = end + gap;
        end = first + length;
        let last = u32::try_from(end - 1).map_err(|_| reader.invalid("a page beyond the last"))?;
        *left = left
            .checked_sub(length)
            .ok_or_else(|| reader.invalid("more pages than so much WAL can change"))?;
        // Not above `last`, which fits.
        pages.insert_range(first as u32..=last);
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const PAGES_MAX: u64 = 1 << 21;

    #[derive(Debug, Clone)]
    enum Step {
        Change(ChangedFork, u32),
        Cut(ChangedFork, u32),
    }

    fn any_fork() -> impl Strategy<Value = ChangedFork> {
        let fork = prop::sample::select(vec![Fork::Main, Fork::Fsm, Fork::Vm, Fork::Init]);
        (0..2u32, 0..3u32, 0..3u32, fork).prop_map(|(tablespace, database, number, fork)| ChangedFork {
            relation: RelationId { tablespace, database, number },
            fork,
        })
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let page = prop_oneof![4 => 0..40u32, 1 => Just(u32::MAX - 1), 1 => 65_530..65_545u32];
        (any_fork(), page, 0..5).prop_map(|(fork, page, kind)| match kind {
            0 => Step::Cut(fork, page),
            _ => Step::Change(fork, page),
        })
    }

    fn run(steps: &[Step]) -> Changes {
        let mut changes = Changes::default();
        for step in steps {
            match *step {
                Step::Change(fork, page) => changes.fork_mut(fork).change_all([page]),
                Step::Cut(fork, length) => changes.fork_mut(fork).cut(length),
            }
        }
        changes
    }

    /// The summarizer's rule, said plainly: a cut that is no shorter than an earlier one changes nothing; another forgets the
    /// pages behind it. Then what lies from the limit on is left out.
    fn plainly(steps: &[Step]) -> BTreeMap<ChangedFork, (Option<u32>, BTreeSet<u32>)> {
        let mut forks: BTreeMap<ChangedFork, (Option<u32>, BTreeSet<u32>)> = BTreeMap::new();
        for step in steps {
            match *step {
                Step::Change(fork, page) => {
                    forks.entry(fork).or_default().1.insert(page);
                }
                Step::Cut(fork, length) => {
                    let (limit, pages) = forks.entry(fork).or_default();
                    if limit.is_none_or(|limit| length < limit) {
                        *limit = Some(length);
                        pages.retain(|page| *page < length);
                    }
                }
            }
        }
        for (limit, pages) in forks.values_mut() {
            pages.retain(|page| limit.is_none_or(|limit| *page < limit));
        }
        forks
    }

    fn encoded(changes: &Changes) -> Vec<u8> {
        let mut writer = Writer::new();
        changes.encode(&mut writer);
        writer.into_bytes()
    }

    fn decoded(bytes: &[u8]) -> Result<Changes, DecodeError> {
        let mut reader = Reader::new(bytes);
        let changes = Changes::decode(&mut reader, PAGES_MAX)?;
        reader.finish().map(|()| changes)
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let fork = ChangedFork {
            relation: RelationId { tablespace: 1663, database: 5, number: 16384 },
            fork: Fork::Vm,
        };
        let mut changes = Changes::default();
        changes.fork_mut(fork).cut(301);
        changes.fork_mut(fork).change_all([0, 1, 2, 7, 300, 301]);
        #[rustfmt::skip]
        assert_eq!(encoded(&changes), [
            1,
            0xFF, 0x0C, 5, 0x80, 0x80, 0x01, 0x12, 0xAD, 0x02,
            3, 0, 2, 4, 0, 0xA4, 0x02, 0,
        ]);
    }

    #[test]
    fn more_pages_than_wal_can_change_are_refused_before_memory_is_used() {
        let mut writer = Writer::new();
        writer.raw(&[1, 1, 1, 1, 0, 1, 0]);
        writer.varint(u64::from(u32::MAX));
        assert!(matches!(decoded(writer.as_slice()), Err(DecodeError::Invalid { .. })));
    }

    #[test]
    fn other_orders_and_touching_runs_are_refused() {
        let one = [1, 2, 3, 0, 1, 5, 0];
        let twice = [&[2][..], &one, &one].concat();
        assert!(decoded(&twice).is_err(), "the same fork twice");
        assert!(decoded(&[1, 1, 2, 3, 0, 2, 5, 0, 0, 0]).is_err(), "two runs that are one");
        assert!(decoded(&[1, 1, 2, 3, 4, 0]).is_err(), "no such fork");
        assert!(decoded(&[1, 1, 2, 3, 0x10, 7, 1, 7, 0]).is_err(), "a page from the limit on");
    }

    proptest! {
        #[test]
        fn the_summarizers_rule_holds(steps in proptest::collection::vec(any_step(), 0..60)) {
            let changes = run(&steps);
            let told: BTreeMap<_, _> = changes.forks()
                .map(|(fork, changes)| (*fork, (changes.limit(), changes.pages().iter().collect())))
                .collect();
            prop_assert_eq!(told, plainly(&steps));
        }

        #[test]
        fn joining_pieces_in_any_order_is_the_whole(
            steps in proptest::collection::vec(any_step(), 0..60), a in 0..60usize, b in 0..60usize,
        ) {
            let (a, b) = (a.min(b).min(steps.len()), a.max(b).min(steps.len()));
            let pieces = [run(&steps[..a]), run(&steps[a..b]), run(&steps[b..])];
            for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
                let mut all = Changes::default();
                order.iter().for_each(|piece| all.join(&pieces[*piece]));
                prop_assert_eq!(&all, &run(&steps));
            }
        }

        #[test]
        fn changes_round_trip(steps in proptest::collection::vec(any_step(), 0..60)) {
            let changes = run(&steps);
            prop_assert_eq!(decoded(&encoded(&changes)), Ok(changes));
        }

        #[test]
        fn every_accepted_encoding_is_the_one_written(bytes in proptest::collection::vec(0..20u8, 0..40)) {
            if let Ok(changes) = decoded(&bytes) {
                prop_assert_eq!(encoded(&changes), bytes);
            }
        }
    }
}
