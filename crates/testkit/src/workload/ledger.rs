//! What every writer tried, joined with what WAL says of it.
//!
//! Promise: joining fails when the two disagree: a commit that a client was told of and WAL does not have, or one that was
//! rolled back and WAL has. So an error of the ledger itself is not taken for one of the restore.

use std::collections::BTreeMap;

use super::{Change, Model, Random, Target, Wal};
use crate::{Failure, Result};

/// What a writer knows of how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server said that it committed.
    Committed,
    /// The server said that it rolled back, or never heard of the commit.
    RolledBack,
    /// The connection was lost between question and answer.
    Unknown,
}

/// One transaction that a writer tried.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its number: attempts that began later have higher ones.
    pub number: u64,
    /// Whether it enters its number in `ledger_entry`; a statement that cannot be in a transaction of ours does not.
    pub entered: bool,
    /// Its transaction id; absent when it failed before it had one.
    pub xid: Option<u32>,
    /// What it would change.
    pub changes: Vec<Change>,
    /// What the writer was told.
    pub fate: Fate,
}

/// All attempts of a workload and the WAL that tells which of them are true, and since when.
#[derive(Debug, Clone)]
pub struct Ledger {
    base: Model,
    by_xid: BTreeMap<u32, Attempt>,
    wal: Wal,
}

impl Ledger {
    /// After a crash (`crashed`) an id of which nothing reached WAL is given out again, now and then to somebody who is no writer.
    pub(super) fn join(base: Model, attempts: Vec<Attempt>, wal: Wal, crashed: bool) -> Result<Self> {
        let committed: BTreeMap<u32, bool> = wal.ends.iter().map(|end| (end.xid, end.committed)).collect();
        let mut by_xid = BTreeMap::new();
        for attempt in attempts {
            let Some(xid) = attempt.xid else {
                if attempt.fate == Fate::Committed {
                    return Err(Failure::new(format!("a commit without a transaction id: {attempt:?}")));
                }
                continue;
            };
            let newest = by_xid.get(&xid).is_none_or(|other: &Attempt| other.number < attempt.number);
            if !newest {
                unborn(&attempt)?;
                continue;
            }
            let in_wal = committed.get(&xid).copied().unwrap_or_default();
            match (attempt.fate, in_wal) {
                (Fate::Committed, false) => {
                    return Err(Failure::new(format!("WAL has no commit of {attempt:?}")));
                }
                // The commit is that of the id's next bearer.
                (Fate::RolledBack, true) if crashed => {}
                (Fate::RolledBack, true) => {
                    return Err(Failure::new(format!("WAL has a commit of {attempt:?}")));
                }
                _ => by_xid.insert(xid, attempt).as_ref().map_or(Ok(()), unborn)?,
            }
        }
        Ok(Self { base, by_xid, wal })
    }

    /// What the database holds after recovery to `target`.
    ///
    /// # Errors
    /// The target is not in the workload's WAL.
    pub fn expected_at(&self, target: &Target) -> Result<Model> {
        let mut model = self.base.clone();
        for end in self.wal.replayed(target)?.iter().filter(|end| end.committed) {
            if let Some(attempt) = self.by_xid.get(&end.xid) {
                model.apply(attempt.entered.then_some(attempt.number), &attempt.changes);
            }
        }
        Ok(model)
    }

    /// What the database held when the workload ended.
    ///
    /// # Errors
    /// None: the end is always there.
    pub fn expected_now(&self) -> Result<Model> {
        self.expected_at(&Target::Latest)
    }

    /// The order of events.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Attempts with a transaction id, by it.
    pub fn attempts(&self) -> &BTreeMap<u32, Attempt> {
        &self.by_xid
    }

    /// How many attempts committed, rolled back, and are known only from WAL.
    pub fn counts(&self) -> (usize, usize, usize) {
        let of = |fate| self.by_xid.values().filter(|attempt| attempt.fate == fate).count();
        (of(Fate::Committed), of(Fate::RolledBack), of(Fate::Unknown))
    }

    /// `count` targets of all kinds, spread over what lies after `after` (where a backup stopped), none of them the very end.
    ///
    /// # Errors
    /// Too little happened after `after`.
    pub fn targets(&self, after: postgres::types::PgLsn, count: usize, seed: u64) -> Result<Vec<Target>> {
        let first = self.wal.ends.partition_point(|end| end.lsn < after);
        let ends = self.wal.ends.get(first..self.wal.ends.len().saturating_sub(1)).unwrap_or_default();
        if ends.len() < 20 {
            return Err(Failure::new(format!("only {} transactions ended after {after}", ends.len())));
        }
        // Recovery by time needs a record that is too late: nothing at or after the latest time can be asked for.
        let latest = self.wal.ends.iter().map(|end| end.time).max().unwrap_or(ends[0].time);
        let names: Vec<&String> =
            self.wal.restore_points.iter().filter(|(_, lsn)| *lsn > after).map(|(name, _)| name).collect();
        let mut random = Random::new(seed);
        let mut targets = Vec::with_capacity(count);
        while targets.len() < count {
            let inclusive = random.below(2) == 0;
            let Some(end) = random.pick(ends) else { break };
            let nearby = postgres::types::PgLsn::from(u64::from(end.lsn) + random.below(200));
            targets.push(match random.below(8) {
                0 | 1 if end.time < latest => Target::Time { at: end.time, inclusive },
                2 if end.time < latest => {
                    Target::Time { at: super::Moment(end.time.0 - random.below(2000) as i64), inclusive }
                }
                3 => Target::Lsn { at: end.lsn, inclusive },
                4 => Target::Lsn { at: nearby, inclusive },
                5 => match random.pick(&names) {
                    Some(name) => Target::RestorePoint((*name).clone()),
                    None => Target::Lsn { at: end.lsn, inclusive },
                },
                _ => Target::Xid { xid: end.xid, inclusive },
            });
        }
        targets.retain(|target| self.wal.replayed(target).is_ok_and(|replayed| replayed.len() >= first));
        Ok(targets)
    }
}

/// A crash gives a transaction id out again if nothing of its first bearer reached WAL: that one cannot have committed.
fn unborn(attempt: &Attempt) -> Result<()> {
    match attempt.fate {
        Fate::Committed => Err(Failure::new(format!("a later transaction has the id of {attempt:?}"))),
        Fate::RolledBack | Fate::Unknown => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Moment, XactRecord};

    fn attempt(number: u64, xid: u32, fate: Fate) -> Attempt {
        Attempt { number, entered: true, xid: Some(xid), changes: Vec::new(), fate }
    }

    fn wal_with_commit_of(xid: u32) -> Wal {
        let end = XactRecord { lsn: 100.into(), xid, time: Moment(0), committed: true };
        Wal { ends: vec![end], ..Wal::default() }
    }

    #[test]
    fn a_commit_that_wal_does_not_have_fails_the_ledger() {
        let attempts = vec![attempt(1, 740, Fate::Committed), attempt(2, 741, Fate::Committed)];
        let failure = Ledger::join(Model::new(), attempts, wal_with_commit_of(740), true)
            .expect_err("741 is not there");
        assert!(
            failure.text().contains("WAL has no commit of") && failure.text().contains("741"),
            "{failure}"
        );
    }

    #[test]
    fn a_commit_of_something_rolled_back_fails_the_ledger_unless_its_id_may_be_anothers() -> Result<()> {
        let attempts = vec![attempt(1, 740, Fate::RolledBack)];
        assert!(Ledger::join(Model::new(), attempts.clone(), wal_with_commit_of(740), false).is_err());
        // After a crash it is that of another one, of whom only WAL knows.
        let ledger = Ledger::join(Model::new(), attempts, wal_with_commit_of(740), true)?;
        assert!(ledger.attempts().is_empty() && ledger.expected_now()?.numbers.is_empty());
        Ok(())
    }

    #[test]
    fn wal_decides_an_unknown_fate_and_the_latest_bearer_of_an_id_counts() -> Result<()> {
        for attempts in [
            vec![attempt(1, 740, Fate::Unknown), attempt(5, 740, Fate::Unknown)],
            vec![attempt(5, 740, Fate::Unknown), attempt(1, 740, Fate::Unknown)],
        ] {
            let ledger = Ledger::join(Model::new(), attempts, wal_with_commit_of(740), true)?;
            assert_eq!(ledger.expected_now()?.numbers.into_iter().collect::<Vec<_>>(), [5]);
        }
        let attempts = vec![attempt(1, 740, Fate::Committed), attempt(5, 740, Fate::Unknown)];
        assert!(Ledger::join(Model::new(), attempts, wal_with_commit_of(740), true).is_err());
        Ok(())
    }
}
