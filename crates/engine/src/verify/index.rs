//! What a segment's index tells, against the segment's own records.
//!
//! ```text
//! plain bytes ── the archive's own indexer, knowing nothing beside them ──▶ own words ── compare ──▶ stored index
//! ```
//!
//! Promises: no index that a host made of these bytes is called wrong, whatever that host knew of the records over both edges; beyond
//! what stands in the segment alone an index may tell of two records only: the one that ends at its beginning, and the one that goes on
//! behind it where it says so (`told`). Whether those two are told rightly needs the neighbours, and is not judged here. Where there is no
//! index, the records say how the segment begins and ends.

use seawall_pg::wal::WalOf;
use seawall_pg::{Lsn, WalFileName};
use seawall_repo::wal_index::{
    Begins, Changes, CommitSpan, EndedAt, Ends, ForkChanges, Mark, MarkWhat, SegmentIndex,
};

use super::wal_pages::WalFacts;
use crate::archive::index::{Indexed, Indexer, NotIndexed};

/// Blocks that one record names at most (`XLR_MAX_BLOCK_ID` and 0).
const BLOCKS_OF_A_RECORD: u64 = 33;
/// A switch that ends in the next segment ends within so many bytes of it: the page's header, and the record's.
const SWITCH_ENDS_WITHIN: u64 = 40 + 24;

/// The comparison while the segment's bytes pass.
#[derive(Debug)]
pub(super) struct IndexCheck {
    /// The index; none where the segment has none.
    stored: Option<Box<SegmentIndex>>,
    indexer: Indexer,
    first: Lsn,
}

impl IndexCheck {
    /// For a segment; none for what has no records of its own.
    pub(super) fn new(
        file: WalFileName,
        facts: &WalFacts,
        stored: Option<Box<SegmentIndex>>,
    ) -> Option<Self> {
        let WalFileName::Segment(name) = file else { return None };
        let of = WalOf { version: facts.version, system: facts.system, size: facts.size };
        Some(Self::of(of, name.first_lsn(facts.size).ok()?, stored))
    }

    fn of(of: WalOf, first: Lsn, stored: Option<Box<SegmentIndex>>) -> Self {
        Self { stored, indexer: Indexer::new(of, first, None), first }
    }

    /// The next bytes: whole pages.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.indexer.take(bytes);
    }

    /// What the segment says of itself; none where it has no index and its records cannot be read.
    ///
    /// # Errors
    /// In what the index differs.
    pub(super) fn finish(self) -> Result<Option<Box<SegmentIndex>>, String> {
        let first = self.first;
        let own = self.indexer.finish(None);
        let Some(stored) = self.stored else { return Ok(own.ok().map(|own| Box::new(own.index))) };
        let wrong = match own {
            Ok(Indexed { index, .. }) => differs(&stored, &index, first),
            Err(NotIndexed::Unfilled { at }) if is_end_of_switch(&stored, at, first) => None,
            Err(why) => Some(format!("of its records nothing can be told: {why}")),
        };
        match wrong {
            Some(wrong) => Err(format!("its index does not tell what its records say: {wrong}")),
            None => Ok(Some(stored)),
        }
    }
}

/// Whether an index tells of nothing but the end of a switch that begins in the segment before.
fn is_end_of_switch(stored: &SegmentIndex, at: Lsn, first: Lsn) -> bool {
    let Begins::Rest { of } = stored.begins else { return false };
    let expected = SegmentIndex {
        begins: stored.begins,
        first: None,
        last: None,
        ends: Ends::Switch { at: of },
        records: 1,
        commits: None,
        marks: Vec::new(),
        untold: Vec::new(),
        changes: Changes::default(),
    };
    of < first && *stored == expected && at.0.saturating_sub(first.0) <= SWITCH_ENDS_WITHIN
}

/// What an index says otherwise than the segment's records do by themselves.
fn differs(stored: &SegmentIndex, own: &SegmentIndex, segment: Lsn) -> Option<String> {
    edges(stored, own, segment).or_else(|| {
        // The record that ends at the segment's beginning, where the host knew it.
        let joined = match stored.begins {
            Begins::Rest { of } if own.ends != Ends::UnknownMiddle => Some(of),
            _ => None,
        };
        let records = own.records.saturating_add(u64::from(joined.is_some()));
        if stored.records != records {
            return Some(format!("it counts {} records that end there, there are {records}", stored.records));
        }
        if !stored.untold.is_empty() {
            return Some("it leaves out records that end there".to_owned());
        }
        if !commits_fit(stored.commits, own.commits, joined) {
            return Some("its commits are not those of the segment".to_owned());
        }
        if !marks_fit(&stored.marks, &own.marks, joined) {
            return Some("what it marks is not what stands there".to_owned());
        }
        let told = matches!(stored.ends, Ends::Beginning { told: true, .. });
        changes(&stored.changes, &own.changes, u64::from(joined.is_some()) + u64::from(told))
    })
}

/// How its WAL begins and ends, and the first and last record that begin in it.
fn edges(stored: &SegmentIndex, own: &SegmentIndex, segment: Lsn) -> Option<String> {
    let begins = match (stored.begins, own.begins) {
        (Begins::Rest { of }, Begins::UnknownRest) => of < segment,
        (stored, own) => stored == own,
    };
    if !begins {
        return Some("it begins otherwise".to_owned());
    }
    if (stored.first, stored.last) != (own.first, own.last) {
        return Some("the first and the last record that begin there are others".to_owned());
    }
    let ends = match (stored.ends, own.ends, stored.begins) {
        (Ends::Beginning { of, .. }, Ends::Beginning { of: open, .. }, _) => of == open,
        (Ends::Beginning { of, told }, Ends::UnknownMiddle, Begins::Rest { of: open }) => of == open && !told,
        (Ends::UnknownMiddle, Ends::UnknownMiddle, begins) => begins == Begins::UnknownRest,
        (stored, own, _) => stored == own,
    };
    (!ends).then(|| "it ends otherwise".to_owned())
}

/// The segment's own commits, and before them at most the joined record.
fn commits_fit(stored: Option<CommitSpan>, own: Option<CommitSpan>, joined: Option<Lsn>) -> bool {
    if stored == own {
        return true;
    }
    let (Some(stored), Some(joined)) = (stored, joined) else { return false };
    let at = EndedAt { start: joined, time: stored.first.time };
    let one = CommitSpan { count: 1, first: at, last: at, earliest: at.time, latest: at.time };
    stored == own.map_or(one, |own| one.then(&own))
}

/// The segment's own marks, and before them at most those of the joined record.
fn marks_fit(stored: &[Mark], own: &[Mark], joined: Option<Lsn>) -> bool {
    let before = stored.iter().take_while(|mark| Some(mark.start) == joined).count();
    let (before, stored) = stored.split_at_checked(before).unwrap_or((&[], stored));
    let level = |mark: &&Mark| matches!(mark.what, MarkWhat::WalLevel { .. });
    // The level is told once, and again when it changes: the joined record may have told what the first of the segment tells.
    let known = before.iter().rev().find(level);
    let again = own.iter().position(|mark| level(&mark));
    let again = again
        .filter(|at| known.is_some_and(|known| own.get(*at).map(|mark| &mark.what) == Some(&known.what)));
    let own = own.iter().enumerate().filter(|(at, _)| Some(*at) != again).map(|(_, mark)| mark);
    stored.iter().eq(own)
}

/// All changes of the segment's own records, and beyond them those of so many more records.
fn changes(stored: &Changes, own: &Changes, more: u64) -> Option<String> {
    let nothing = ForkChanges::default();
    let lacking = own.forks().find(|(fork, own)| !covers(stored.fork(fork).unwrap_or(&nothing), own));
    if let Some((fork, _)) = lacking {
        let relation = fork.relation;
        return Some(format!(
            "it lacks changed pages of relation {} in database {}",
            relation.number, relation.database
        ));
    }
    let strange = |(fork, stored): (_, &ForkChanges)| {
        stored.pages().len() - stored.pages().intersection_len(own.fork(fork).unwrap_or(&nothing).pages())
    };
    let pages: u64 = stored.forks().map(strange).sum();
    let cut =
        stored.forks().any(|(fork, stored)| stored.limit() != own.fork(fork).and_then(ForkChanges::limit));
    let many = pages > more.saturating_mul(BLOCKS_OF_A_RECORD) || (cut && more == 0);
    many.then(|| "it names changes that no record there makes".to_owned())
}

/// Whether everything that one tells a reader to read is told by the other too.
fn covers(stored: &ForkChanges, own: &ForkChanges) -> bool {
    let limit = stored.limit().map_or(u64::MAX, u64::from);
    let limits = own.limit().is_none_or(|own| limit <= u64::from(own));
    limits && (own.pages() - stored.pages()).iter().all(|page| u64::from(page) >= limit)
}

#[cfg(test)]
mod tests;
