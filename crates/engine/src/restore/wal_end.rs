//! Where the WAL at hand ends: the last record that is whole, found by walking the chain of records.
//!
//! Promises: pure (segments in, positions out); a record counts only where `seawall_pg::wal` hands it out, which is what the
//! server's own reader asks; of a record's content only the time of a commit or an abort is read.
//! Deliberately does not say which pages a record changes, and does not fetch anything.

use seawall_pg::wal::meaning::completion_time;
use seawall_pg::wal::{self, Keep, Record};
use seawall_pg::{Lsn, SegmentNo};
use seawall_repo::time::Time;

pub use seawall_pg::wal::{PageFault, RecordAt, RecordFault, WalEnded, WalOf};

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalEnd {
    /// The last whole record whose beginning was seen.
    pub last: Option<RecordAt>,
    /// The first whole record whose beginning was seen.
    pub first: Option<RecordAt>,
    /// The latest time on a commit or an abort. Times do not rise with positions, so this need not be the last one's.
    pub latest_commit: Option<Time>,
    /// Why the walk ended.
    pub ended: WalEnded,
}

/// Walks segments in order. What the first one begins with (the rest of an earlier record) is skipped.
#[derive(Debug)]
pub struct WalWalk {
    walk: wal::WalWalk,
    latest_commit: Option<Time>,
}

impl WalWalk {
    /// A walk that begins with segment `first`.
    #[must_use]
    pub fn new(of: WalOf, first: SegmentNo) -> Self {
        // A number beyond all positions has no first one; no page says that it is there, so nothing is found.
        let first = first.first_lsn(of.size).unwrap_or(Lsn::MAX);
        Self { walk: wal::WalWalk::new(of, first, Keep::Meaning), latest_commit: None }
    }

    /// Walks the next segment. `bytes` is the file as it is; what lies behind a cut counts as not there.
    pub fn segment(&mut self, bytes: &[u8]) {
        let latest = &mut self.latest_commit;
        self.walk.segment(bytes, &mut |record| *latest = (*latest).max(time_of(record)));
    }

    /// Whether the walk has ended before the end of what it was given.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.walk.has_ended()
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> WalEnd {
        let walked = self.walk.finish();
        let (first, last, ended) = (walked.first, walked.last, walked.ended);
        WalEnd { last, first, latest_commit: self.latest_commit, ended }
    }
}

fn time_of(record: &Record<'_>) -> Option<Time> {
    completion_time(record)?.unix_micros().and_then(Time::from_micros)
}

#[cfg(test)]
mod tests;
