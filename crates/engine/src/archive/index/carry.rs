//! The record that is open where a segment begins, looked for in the segments before it, beside it in `pg_wal`.
//!
//! Promises: reads only; looks at no more than the last pages of the segment before, and at all of it only where a record is that
//! long; what it cannot find or does not fit is nothing known, never an error: the segment is stored all the same, and its index
//! says what it lacks. Deliberately does not ask the repository: hosts cannot open what they stored.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use seawall_pg::wal::{Joiner, Keep, WalEnded, WalOf, WalWalk, Walked};
use seawall_pg::{History, Lsn, SegmentName, SegmentNo, WalFileName};

use super::open_record::OpenRecord;
use super::opening::is_filled;

const PAGE_BYTES: u64 = seawall_pg::PAGE_BYTES as u64;
/// What is read first of a segment's end: nearly every record that is open there begins in it.
pub(super) const END_BYTES: u64 = 8 * PAGE_BYTES;
/// A record has at most 1020 MiB, which so many of the smallest segments hold.
const SEGMENTS_MAX: usize = 1024;

/// A record that is open where a segment begins.
#[derive(Debug)]
pub(crate) struct Carry {
    /// What there is of it.
    pub(super) record: OpenRecord,
    /// The same, put together.
    pub(super) joiner: Joiner,
    /// Whether the segments before say so themselves: then one that does not go on with it is at fault.
    pub(super) sure: bool,
}

impl Carry {
    /// Where the record begins.
    pub(super) fn start(&self) -> Lsn {
        self.record.begun.start
    }
}

/// What is open where `segment` begins, by the files beside it in `directory`. `history` is that of the segment's timeline.
pub(crate) fn find_carry(
    of: WalOf,
    directory: &Path,
    segment: SegmentName,
    history: &History,
) -> Option<Carry> {
    let mut middles: Vec<Walked> = Vec::new();
    let mut number = segment.number(of.size).ok()?;
    for _ in 0..SEGMENTS_MAX {
        number = number.prev()?;
        let file = open(of, directory, number, history)?;
        let end = walk_end(of, &file, number, END_BYTES)?;
        if let Some(carry) = begun(of, &end, &middles) {
            return Some(carry);
        }
        if is_empty(&end) {
            return None;
        }
        let whole = walk_end(of, &file, number, of.size.bytes())?;
        if let Some(carry) = begun(of, &whole, &middles) {
            return Some(carry);
        }
        // Full of one record's middle, or closed at the end of a record: then nothing is open.
        if !is_filled(&whole) {
            return None;
        }
        middles.push(whole);
    }
    None
}

/// Whether a segment's end was never written, for a switch closed it: then nothing is open there.
fn is_empty(end: &Walked) -> bool {
    matches!(end.ended, WalEnded::NothingWritten { .. }) && end.records == 0 && end.continuation.is_none()
}

/// The record that is open where a segment begins, once the one before it was walked.
pub(crate) fn carry_of(of: WalOf, before: &Walked) -> Option<Carry> {
    begun(of, before, &[])
}

/// The segment before another one, of the timeline that wrote it. `history` is that of the later one's timeline.
pub(super) fn name_before(of: WalOf, segment: SegmentName, history: &History) -> Option<SegmentName> {
    name_of(of, segment.number(of.size).ok()?.prev()?, history)
}

fn name_of(of: WalOf, number: SegmentNo, history: &History) -> Option<SegmentName> {
    SegmentName::new(history.timeline_of_segment(number, of.size), number, of.size).ok()
}

/// The segment's file, of the timeline that wrote it.
pub(super) fn open(of: WalOf, directory: &Path, number: SegmentNo, history: &History) -> Option<File> {
    let name = name_of(of, number, history)?;
    let file = File::open(directory.join(WalFileName::Segment(name).to_string())).ok()?;
    let whole = file.metadata().ok()?.len() == of.size.bytes();
    whole.then_some(file)
}

/// Walks the last `bytes` of a segment.
pub(super) fn walk_end(of: WalOf, file: &File, number: SegmentNo, bytes: u64) -> Option<Walked> {
    let from = of.size.bytes().checked_sub(bytes)?;
    let mut walk = WalWalk::new(of, number.first_lsn(of.size)?.checked_add(from)?, Keep::Meaning);
    let mut buffer = vec![0; usize::try_from(bytes.min(1 << 20)).ok()?];
    let mut at = from;
    while at < of.size.bytes() {
        file.read_exact_at(&mut buffer, at).ok()?;
        walk.take(&buffer, &mut |_| {});
        at = at.checked_add(buffer.len() as u64)?;
    }
    Some(walk.finish())
}

/// The record left open at the end of a walk, with the middles of later segments joined, newest first in `middles`.
fn begun(of: WalOf, end: &Walked, middles: &[Walked]) -> Option<Carry> {
    let mut record = OpenRecord::begun(end.unfinished.clone()?);
    for middle in middles.iter().rev() {
        record = record.behind(middle.continuation.as_ref()?);
    }
    record.carry(of, true)
}
