//! Who changed how many rows of what, counted within one segment.
//!
//! Promises a bound: where more pairs of a transaction and a relation appear than are kept, those with the fewest rows go, counted.
//! A pair that made or cut a file always stays: there cannot be many, each has a record of its own with a name.

use std::collections::HashMap;

use seawall_pg::wal::RelationId;
use seawall_repo::wal_index::transactions::Activity;

/// Pairs that are counted at the same time at most.
const COUNTED_MAX: usize = 1 << 16;
/// Pairs that are told at most: about 48 KiB.
const TOLD_MAX: usize = 1 << 12;

/// What happened to rows, by transaction and relation.
#[derive(Debug, Default)]
pub(super) struct Activities {
    pairs: HashMap<(u32, RelationId), Activity>,
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
        if self.pairs.len() >= COUNTED_MAX && !self.pairs.contains_key(&(xid, relation)) {
            self.leave_out(COUNTED_MAX / 2);
        }
        self.pairs.entry((xid, relation)).or_insert(Activity {
            xid,
            relation,
            inserted: 0,
            updated: 0,
            deleted: 0,
            made: false,
            cut_to: None,
        })
    }

    pub(super) fn finish(mut self) -> Told {
        self.leave_out(TOLD_MAX);
        let mut activity: Vec<Activity> = self.pairs.into_values().collect();
        activity.sort_unstable_by_key(|activity| (activity.xid, activity.relation));
        Told { activity, left_out: self.left_out, left_out_rows_most: self.left_out_rows_most }
    }

    /// Leaves the smallest out until `most` are left.
    fn leave_out(&mut self, most: usize) {
        let surplus = self.pairs.len().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        let mut small: Vec<(u64, u32, RelationId)> = self
            .pairs
            .values()
            .filter(|activity| !activity.made && activity.cut_to.is_none())
            .map(|activity| (activity.rows(), activity.xid, activity.relation))
            .collect();
        small.sort_unstable();
        for (rows, xid, relation) in small.into_iter().take(surplus) {
            self.pairs.remove(&(xid, relation));
            self.left_out += 1;
            self.left_out_rows_most = self.left_out_rows_most.max(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_rows_are_left_out_and_files_made_or_cut_stay() {
        let mut activities = Activities::default();
        let relation = RelationId { tablespace: 1663, database: 5, number: 7 };
        for xid in 0..6000 {
            activities.of(xid, relation).deleted = u64::from(xid);
        }
        activities.of(3, relation).cut_to = Some(0);
        activities.of(4, relation).made = true;
        let told = activities.finish();
        assert_eq!(told.activity.len(), TOLD_MAX);
        assert_eq!((told.left_out, told.left_out_rows_most), (6000 - 4096, 1905));
        let xids: Vec<u32> = told.activity.iter().map(|activity| activity.xid).collect();
        assert_eq!(&xids[..3], [3, 4, 1906]);
        assert!(xids.is_sorted());
    }
}
