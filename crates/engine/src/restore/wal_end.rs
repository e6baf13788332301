//! Where the WAL at hand ends: the last record that is whole, found by walking the chain of records.
//!
//! Promises: pure (segments in, positions out); a record counts only when its header, its link to the record before and
//! its CRC are right, which is what the server's own reader asks (`src/backend/access/transam/xlogreader.c`); memory does
//! not grow with a record's length. Of a record's content only the time of a commit or an abort is read.
//! Deliberately does not say which pages a record changes, and does not fetch anything.

mod page_walk;
mod record;

use seawall_pg::wal_page::WalPageError;
use seawall_pg::{Lsn, SegmentNo, SystemIdentifier, Version, WalSegmentSize};
use seawall_repo::time::Time;

pub use record::RecordFault;

/// Which WAL is walked.
#[derive(Debug, Clone, Copy)]
pub struct WalOf {
    /// The version that wrote it.
    pub version: Version,
    /// The cluster that wrote it.
    pub system: SystemIdentifier,
    /// The size of its segments.
    pub size: WalSegmentSize,
}

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RecordAt {
    /// Where it begins. As an inclusive recovery target this is the position after which the server stops.
    pub start: Lsn,
    /// Where its last byte ends, before alignment.
    pub end: Lsn,
}

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

/// Why a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalEnded {
    /// All segments given were read to their end; a record begun in the last one may go on in the next.
    WithTheSegments,
    /// No record begins here: nothing was written yet.
    NothingWritten {
        /// Where.
        at: Lsn,
    },
    /// What stands here is not the next record. At the end of a segment that was never filled this is ordinary (old bytes
    /// of a recycled file); before a segment that exists it is damage.
    Record {
        /// Where the record begins.
        at: Lsn,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// What stands here is not the next page. As above.
    Page {
        /// Where the page should begin.
        at: Lsn,
        /// What is wrong with it.
        fault: PageFault,
    },
}

/// Why bytes are not the WAL page that should stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PageFault {
    #[error(transparent)]
    Header(#[from] WalPageError),
    #[error("its header says {found}")]
    OtherAddress { found: Lsn },
    #[error("its header is of the wrong length for its place in the segment")]
    WrongHeaderLength,
    #[error("it belongs to system {found}")]
    ForeignSystem { found: SystemIdentifier },
    #[error("the record from the page before does not go on there")]
    NotContinued,
    #[error("it is cut off")]
    Short,
}

/// Walks segments in order. What the first one begins with (the rest of an earlier record) is skipped.
#[derive(Debug)]
pub struct WalWalk {
    pages: page_walk::PageWalk,
    next: SegmentNo,
    size: WalSegmentSize,
}

impl WalWalk {
    /// A walk that begins with segment `first`.
    #[must_use]
    pub fn new(of: WalOf, first: SegmentNo) -> Self {
        Self { pages: page_walk::PageWalk::new(of), next: first, size: of.size }
    }

    /// Walks the next segment. `bytes` is the file as it is; what lies behind a cut counts as not there.
    pub fn segment(&mut self, bytes: &[u8]) {
        let Some(first) = self.next.first_lsn(self.size) else { return };
        self.pages.segment(first, bytes);
        self.next = self.next.next().unwrap_or(self.next);
    }

    /// Whether the walk has ended before the end of what it was given.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pages.has_ended()
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> WalEnd {
        self.pages.finish()
    }
}

#[cfg(test)]
mod tests;
