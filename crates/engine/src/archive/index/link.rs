//! Whether a segment goes on where the one before it ends, which lies in `pg_wal` already: by the links of records and, of a record
//! that both hold a part of, by its CRC.
//!
//! A server takes a record that does not follow the one before for the end of all WAL, and promotes. Promises: reads only, mostly the
//! last pages of the segment before; what is not there, or not whole, is nothing known, and nothing is refused for it.

use std::path::{Path, PathBuf};

use seawall_pg::wal::{WalEnded, WalOf};
use seawall_pg::{History, Lsn, SegmentName};
use seawall_repo::wal_index::{Begins, Changes, SegmentIndex};

use super::carry::{END_BYTES, find_carry, open, walk_end};
use super::segment::{Indexer, NotIndexed, ends};

const PAGE_BYTES: usize = seawall_pg::PAGE_BYTES;

/// The segment before another one, as it lies in `pg_wal`.
#[derive(Debug)]
pub(crate) struct Before {
    of: WalOf,
    directory: PathBuf,
    /// The one behind it.
    segment: SegmentName,
    history: History,
    /// How it ends.
    end: SegmentIndex,
}

impl Before {
    /// The one before `segment`; `history` is that of the timeline that a recovery follows. None if it is not there to its end.
    pub(crate) fn find(of: WalOf, directory: &Path, segment: SegmentName, history: &History) -> Option<Self> {
        let number = segment.number(of.size).ok()?.prev()?;
        let file = open(of, directory, number, history)?;
        let end = |bytes| {
            let walked = walk_end(of, &file, number, bytes)?;
            let last = walked.unfinished.as_ref().map(|open| open.start);
            let last = last.or(walked.last.map(|last| last.start));
            let is_whole = matches!(walked.ended, WalEnded::WithTheSegments);
            (is_whole && last.is_some()).then(|| SegmentIndex {
                begins: Begins::UnknownRest,
                first: None,
                last,
                ends: ends(&walked, Begins::UnknownRest),
                records: 0,
                commits: None,
                marks: Vec::new(),
                untold: Vec::new(),
                changes: Changes::default(),
            })
        };
        let end = end(END_BYTES).or_else(|| end(of.size.bytes()))?;
        Some(Self { of, directory: directory.to_owned(), segment, history: history.clone(), end })
    }

    /// What is wrong with a segment that begins with these bytes.
    ///
    /// # Errors
    /// How it does not go on.
    pub(crate) fn goes_on(&self, beginning: &[u8]) -> Result<(), String> {
        let Ok(first) = self.segment.first_lsn(self.of.size) else { return Ok(()) };
        let carry = find_carry(self.of, &self.directory, self.segment, &self.history);
        let mut indexer = Indexer::new(self.of, first, carry);
        let whole = beginning.len() - beginning.len() % PAGE_BYTES;
        indexer.take(beginning.get(..whole).unwrap_or_default());
        match indexer.finish_behind(Lsn(first.0.saturating_add(1))) {
            Ok(indexed) => self.end.clone().then(&indexed.index).map_err(|broken| broken.to_string()),
            Err(rest @ NotIndexed::Rest { .. }) => Err(rest.to_string()),
            // It can be handed over all the same: the server's own reader judges what stands in it.
            Err(_) => Ok(()),
        }
    }
}
