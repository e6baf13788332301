//! The record that goes on behind a segment, read from the next file beside it in `pg_wal`, as far as that is written already.
//!
//! A segment is handed over when it is full, mostly while the next one is being written; by the time that one is handed over, this one may
//! be gone from `pg_wal`. So what the record between them changes is told by whoever saw both first. Promises: reads only, and only
//! what fits to the last byte (the record's CRC) is told; what is not there yet is nothing known.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall_pg::wal::{Joiner, Keep, Unfinished, WalOf, WalWalk};
use seawall_pg::{SegmentName, WalFileName};
use seawall_repo::wal_index::Changes;
use seawall_store::world::Clock;

use super::gather::Gather;
use super::opening::pages_of_rest;

/// How long is waited for the rest, in steps: the server writes it in the same moment, or at the next flush.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(75)];

/// Where the rest of a record is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    pub(crate) of: WalOf,
    /// `pg_wal`.
    pub(crate) directory: PathBuf,
    /// The segment in which the record begins.
    pub(crate) segment: SegmentName,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Ahead {
    /// What the record changes that is open at the segment's end. Blocking.
    pub(super) fn changes(&self, open: &Unfinished) -> Option<Changes> {
        let next = self.segment.next(self.of.size).ok()?;
        let path = self.directory.join(WalFileName::Segment(next).to_string());
        let pauses = PAUSES.iter().map(Some).chain(std::iter::once(None));
        for pause in pauses {
            if let Some(changes) = self.read(&path, next, open) {
                return Some(changes);
            }
            self.clock.sleep_blocking(*pause?);
        }
        None
    }

    fn read(&self, path: &Path, next: SegmentName, open: &Unfinished) -> Option<Changes> {
        let pages = pages_of_rest(open.missing, true).checked_mul(seawall_pg::PAGE_BYTES)?;
        if pages as u64 > self.of.size.bytes() {
            return None;
        }
        let mut bytes = vec![0; pages];
        File::open(path).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        let mut walk = WalWalk::new(self.of, next.first_lsn(self.of.size).ok()?, Keep::Meaning);
        walk.take(&bytes, &mut |_| {});
        let rest = walk.finish().continuation?;
        let mut joiner = Joiner::begin(self.of.version, open).ok()?;
        joiner.add(rest.remaining, &rest.piece).ok()?;
        let mut gather = Gather::default();
        gather.record(&joiner.finish(rest.end?).ok()?).ok()?;
        // What stands out is told where the record ends, or by nobody: that must not be taken for known.
        let stands_out = !gather.marks.is_empty() || gather.given_up.is_some();
        (!stands_out).then(|| gather.pages.finish())
    }
}
