//! The index of one segment, piece by piece as the segment is read.

use seawall_pg::Lsn;
use seawall_pg::wal::meaning::MeaningFault;
use seawall_pg::wal::{Keep, PageFault, RecordFault, RecordHeader, WalEnded, WalOf, WalWalk, Walked};
use seawall_repo::wal_index::{Begins, Ends, FirstRecord, SegmentIndex};

use super::ahead::Ahead;
use super::carry::Carry;
use super::gather::Gather;
use super::open_record::OpenRecord;
use super::opening::{Opening, is_filled};

/// A segment's index, and what its transactions did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Indexed {
    /// The index.
    pub(crate) index: SegmentIndex,
    /// Encoded transactions.
    pub(crate) transactions: Vec<u8>,
    /// The record that goes on behind the segment, where what it changes is not told already.
    pub(crate) open: Option<OpenRecord>,
}

/// Why a segment gets no index. It is stored all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotIndexed {
    #[error("what stands at {at} is no page of its WAL: {fault}")]
    Page { at: Lsn, fault: PageFault },
    #[error("what stands at {at} is no record: {fault}")]
    Record { at: Lsn, fault: RecordFault },
    #[error("its WAL ends at {at}, before the end of the segment")]
    Unfilled { at: Lsn },
    #[error("the record at {at} cannot be understood: {fault}")]
    Meaning { at: Lsn, fault: MeaningFault },
    #[error("the record from the segment before it, begun at {at}, does not go on as it should: {why}")]
    Rest { at: Lsn, why: String },
    #[error("its first page takes the place of a lost record, and no record says so")]
    Overwrite,
}

/// Makes the index of a segment while its bytes pass.
#[derive(Debug)]
pub(crate) struct Indexer {
    walk: WalWalk,
    opening: Opening,
    gather: Gather,
    records: u64,
    failed: Option<NotIndexed>,
}

impl Indexer {
    /// For the segment that begins at `first`; `carry` is what is open there, as far as it is known.
    pub(crate) fn new(of: WalOf, first: Lsn, carry: Option<Carry>) -> Self {
        let walk = WalWalk::new(of, first, Keep::Meaning);
        Self { walk, opening: Opening::new(of, carry), gather: Gather::default(), records: 0, failed: None }
    }

    /// Takes the next pages, whole ones.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let at = self.walk.position();
        if let Err(failed) = self.opening.take(at, bytes, &mut self.gather) {
            self.failed = Some(failed);
            return;
        }
        let (gather, failed, records) = (&mut self.gather, &mut self.failed, &mut self.records);
        self.walk.take(bytes, &mut |record| {
            if failed.is_none() {
                *failed = gather
                    .record(record)
                    .map_err(|fault| NotIndexed::Meaning { at: record.start, fault })
                    .err();
                *records += 1;
            }
        });
    }

    /// Whether every record that begins before `enough` was taken, and at least one.
    pub(crate) fn is_past(&self, enough: Lsn) -> bool {
        self.walk.position() > enough && self.records > 0
    }

    /// The index, once all of the segment was taken. `ahead` is where a record that goes on behind it may be read to its end.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn finish(self, ahead: Option<&Ahead>) -> Result<Indexed, NotIndexed> {
        whole(self.finish_from(None, ahead)?)
    }

    /// What the records tell as far as they can be read; and why not to the segment's end, where they cannot.
    ///
    /// # Errors
    /// One of them cannot be understood.
    pub(crate) fn finish_as_far(self) -> Result<(Indexed, Option<NotIndexed>), NotIndexed> {
        self.finish_from(None, None)
    }

    /// The index of a segment that the server still writes: what lies behind `enough` may be anything.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn finish_behind(self, enough: Lsn) -> Result<Indexed, NotIndexed> {
        whole(self.finish_from(Some(enough), None)?)
    }

    /// The index, and why it does not reach the segment's end.
    fn finish_from(
        self,
        enough: Option<Lsn>,
        ahead: Option<&Ahead>,
    ) -> Result<(Indexed, Option<NotIndexed>), NotIndexed> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let walked = self.walk.finish();
        let switch_before = self.opening.switch().filter(|_| walked.records == 0);
        let is_enough = enough.is_some_and(|enough| reaches(&walked, enough));
        let is_expected = switch_before.is_some() || is_enough;
        let early = if is_expected { None } else { ended_well(&walked).err() };
        let begins = self.opening.begins(&walked, self.gather.given_up)?;
        let told = self.gather.activities.finish();
        let mut index = SegmentIndex {
            begins,
            first: first(&walked),
            last: walked.unfinished.as_ref().map(|open| open.start).or(walked.last.map(|last| last.start)),
            ends: switch_before.map_or_else(|| ends(&walked, begins), |at| Ends::Switch { at }),
            records: self.records.saturating_add(self.opening.joined()),
            commits: self.gather.commits,
            marks: self.gather.marks,
            untold: Vec::new(),
            changes: self.gather.pages.finish(),
        };
        if let (Some(ahead), Some(open), Ends::Beginning { of, .. }) = (ahead, &walked.unfinished, index.ends)
            && let Some(changes) = ahead.changes(open)
        {
            index.changes.join(&changes);
            index.ends = Ends::Beginning { of, told: true };
        }
        let untold = matches!(index.ends, Ends::Beginning { told: false, .. });
        let open = untold.then(|| self.opening.left_open(&walked)).flatten();
        let transactions = self.gather.transactions;
        let transactions = transactions.finish(&told.activity, told.left_out, told.left_out_rows_most);
        Ok((Indexed { index, transactions, open }, early))
    }
}

fn whole((indexed, early): (Indexed, Option<NotIndexed>)) -> Result<Indexed, NotIndexed> {
    early.map_or(Ok(indexed), Err)
}

/// A segment that the server closed is full, or empty behind a switch.
fn ended_well(walked: &Walked) -> Result<(), NotIndexed> {
    match &walked.ended {
        WalEnded::WithTheSegments => Ok(()),
        WalEnded::NothingWritten { at } => Err(NotIndexed::Unfilled { at: *at }),
        WalEnded::Record { at, fault } => Err(NotIndexed::Record { at: *at, fault: *fault }),
        WalEnded::Page { at, fault } => Err(NotIndexed::Page { at: *at, fault: fault.clone() }),
    }
}

/// Whether every record that begins before `enough` was read.
fn reaches(walked: &Walked, enough: Lsn) -> bool {
    let ended = match walked.ended {
        WalEnded::WithTheSegments => return false,
        WalEnded::NothingWritten { at } | WalEnded::Record { at, .. } | WalEnded::Page { at, .. } => at,
    };
    ended >= enough && walked.unfinished.as_ref().is_none_or(|open| open.start >= enough)
}

/// The first record that begins here. Of one whose header goes on in the next segment nothing is known.
fn first(walked: &Walked) -> Option<FirstRecord> {
    if let (Some(first), Some(previous)) = (walked.first, walked.first_prev) {
        return Some(FirstRecord { start: first.start, previous });
    }
    let open = walked.unfinished.as_ref()?;
    let header = RecordHeader::decode(open.piece.front.first_chunk()?);
    Some(FirstRecord { start: open.start, previous: header.prev })
}

pub(super) fn ends(walked: &Walked, begins: Begins) -> Ends {
    let goes_on = is_filled(walked);
    match (walked.switched, &walked.unfinished, begins) {
        (Some(switch), _, _) => Ends::Switch { at: switch.start },
        (_, Some(open), _) => Ends::Beginning { of: open.start, told: false },
        (_, _, Begins::Rest { of }) if goes_on => Ends::Beginning { of, told: false },
        _ if goes_on => Ends::UnknownMiddle,
        _ => Ends::Record,
    }
}
