//! Who changed how many rows of what, counted within one segment.
//!
//! Promises a bound: of pairs of a transaction and a relation those with the most rows are told, the others counted. A pair that made
//! or cut a file always stays: there cannot be many, each has a record of its own with a name. Pairs of a transaction that has ended
//! are weighed at once, so what is held while counting is little more than what is told: thousands of small transactions pass by.

use rustc_hash::FxHashMap;
use seawall_pg::wal::RelationId;
use seawall_repo::wal_index::transactions::Activity;

/// Pairs of transactions that have not ended, at most; with more all are weighed as they stand.
const OPEN_MAX: usize = 1 << 16;
/// Pairs that are told at most: about 48 KiB.
const TOLD_MAX: usize = 1 << 12;
/// Up to so many pairs of one transaction are looked through one by one.
const FEW: usize = 16;
/// Emptied lists that are kept for the next transactions.
const SPARE_MAX: usize = 64;

/// What happened to rows, by transaction and relation.
#[derive(Debug, Default)]
pub(super) struct Activities {
    open: FxHashMap<u32, Pairs>,
    open_pairs: usize,
    spare: Vec<Pairs>,
    weighed: Weighed,
}

/// One transaction's pairs.
#[derive(Debug, Default)]
struct Pairs {
    list: Vec<Activity>,
    /// Where in the list, once there are many.
    index: FxHashMap<RelationId, usize>,
}

/// Pairs that will not change any more.
#[derive(Debug, Default)]
struct Weighed {
    /// Those that always stay.
    staying: Vec<Activity>,
    /// The largest of the others, and for a while some more.
    largest: Vec<Activity>,
    left_out: u64,
    left_out_rows_most: u64,
}

/// What is told in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// By transaction, then relation.
    pub(super) activity: Vec<Activity>,
    pub(super) left_out: u64,
    pub(super) left_out_rows_most: u64,
}

impl Activities {
    /// The counters of a pair.
    pub(super) fn of(&mut self, xid: u32, relation: RelationId) -> &mut Activity {
        if self.open_pairs >= OPEN_MAX {
            self.weigh_all();
        }
        let spare = &mut self.spare;
        let pairs = self.open.entry(xid).or_insert_with(|| spare.pop().unwrap_or_default());
        let before = pairs.list.len();
        let at = pairs.position(xid, relation);
        self.open_pairs += pairs.list.len() - before;
        &mut pairs.list[at]
    }

    /// The transaction has ended: nothing more comes under this number.
    pub(super) fn ended(&mut self, xid: u32) {
        if let Some(pairs) = self.open.remove(&xid) {
            self.weigh(pairs);
        }
    }

    pub(super) fn finish(mut self) -> Told {
        self.weigh_all();
        self.weighed.finish()
    }

    fn weigh_all(&mut self) {
        for (_, pairs) in std::mem::take(&mut self.open) {
            self.weigh(pairs);
        }
    }

    fn weigh(&mut self, mut pairs: Pairs) {
        self.open_pairs -= pairs.list.len();
        pairs.list.drain(..).for_each(|activity| self.weighed.take(activity));
        pairs.index.clear();
        if self.spare.len() < SPARE_MAX && pairs.list.capacity() <= FEW {
            self.spare.push(pairs);
        }
    }
}

impl Pairs {
    /// Where the pair stands; it is made where there was none.
    fn position(&mut self, xid: u32, relation: RelationId) -> usize {
        let list = &mut self.list;
        let next = list.len();
        let at = if next <= FEW {
            list.iter().position(|activity| activity.relation == relation).unwrap_or(next)
        } else {
            *self.index.entry(relation).or_insert(next)
        };
        if at == next {
            list.push(Activity {
                xid,
                relation,
                inserted: 0,
                updated: 0,
                deleted: 0,
                made: false,
                cut_to: None,
            });
            if next == FEW {
                self.index.extend(list.iter().zip(0..).map(|(activity, at)| (activity.relation, at)));
            }
        }
        at
    }
}

impl Weighed {
    fn take(&mut self, activity: Activity) {
        if activity.made || activity.cut_to.is_some() {
            self.staying.push(activity);
            return;
        }
        self.largest.push(activity);
        if self.largest.len() >= 4 * TOLD_MAX {
            self.leave_out(TOLD_MAX);
        }
    }

    /// Leaves the smallest out until `most` are left.
    fn leave_out(&mut self, most: usize) {
        let Some(last) = self.largest.len().saturating_sub(most).checked_sub(1) else { return };
        let order = |activity: &Activity| (activity.rows(), activity.xid, activity.relation);
        let (_, gone, _) = self.largest.select_nth_unstable_by_key(last, order);
        self.left_out_rows_most = self.left_out_rows_most.max(gone.rows());
        self.left_out += last as u64 + 1;
        self.largest.drain(..=last);
    }

    fn finish(mut self) -> Told {
        self.leave_out(TOLD_MAX.saturating_sub(self.staying.len()));
        let mut activity = self.staying;
        activity.append(&mut self.largest);
        activity.sort_unstable_by_key(|activity| (activity.xid, activity.relation));
        activity.dedup_by(|next, first| {
            let same = (next.xid, next.relation) == (first.xid, first.relation);
            if same {
                join(first, next);
            }
            same
        });
        Told { activity, left_out: self.left_out, left_out_rows_most: self.left_out_rows_most }
    }
}

/// Puts together what was weighed in two pieces.
fn join(first: &mut Activity, more: &Activity) {
    first.inserted += more.inserted;
    first.updated += more.updated;
    first.deleted += more.deleted;
    first.made |= more.made;
    first.cut_to = match (first.cut_to, more.cut_to) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATION: RelationId = RelationId { tablespace: 1663, database: 5, number: 7 };

    #[test]
    fn the_fewest_rows_are_left_out_and_files_made_or_cut_stay() {
        let mut activities = Activities::default();
        for xid in 0..6000 {
            activities.of(xid, RELATION).deleted = u64::from(xid);
        }
        activities.of(3, RELATION).cut_to = Some(0);
        activities.of(4, RELATION).made = true;
        let told = activities.finish();
        assert_eq!(told.activity.len(), TOLD_MAX);
        assert_eq!((told.left_out, told.left_out_rows_most), (6000 - 4096, 1905));
        let xids: Vec<u32> = told.activity.iter().map(|activity| activity.xid).collect();
        assert_eq!(&xids[..3], [3, 4, 1906]);
        assert!(xids.is_sorted());
    }

    #[test]
    fn it_is_the_same_whether_transactions_end_early_or_never() {
        let (mut ending, mut open) = (Activities::default(), Activities::default());
        for xid in 0..50_000_u32 {
            for number in 0..xid % 3 {
                let relation = RelationId { number, ..RELATION };
                for activities in [&mut ending, &mut open] {
                    activities.of(xid, relation).inserted += u64::from(xid.wrapping_mul(2_654_435_761) >> 20);
                }
            }
            ending.ended(xid);
        }
        assert!(ending.open.is_empty());
        let (ending, open) = (ending.finish(), open.finish());
        assert_eq!(ending.activity.len(), TOLD_MAX);
        assert_eq!(ending, open);
    }

    #[test]
    fn one_transaction_may_change_very_much() {
        let told = |relations: u32| {
            let mut activities = Activities::default();
            for round in 0..2 {
                for number in 0..relations {
                    let activity = activities.of(9, RelationId { number, ..RELATION });
                    activity.updated += 1;
                    activity.made |= round == 1 && number == 77;
                }
            }
            activities.finish()
        };
        let much = told(50_000);
        assert_eq!((much.activity.len(), much.left_out), (TOLD_MAX, 50_000 - TOLD_MAX as u64));
        assert!(much.activity.iter().all(|activity| activity.updated == 2));
        // Beyond the bound a pair may be weighed in pieces, and is told once all the same.
        let very_much = told(OPEN_MAX as u32 + 5000);
        assert!(very_much.activity.len() <= TOLD_MAX);
        for told in [much, very_much] {
            let relations = told.activity.iter().map(|activity| activity.relation);
            assert!(relations.is_sorted_by(|one, next| one < next));
            assert!(told.activity.iter().any(|activity| activity.relation.number == 77 && activity.made));
        }
    }
}
