//! The record that is open where a segment begins, looked for in the segments before it, beside it in `pg_wal`.
//!
//! Promises: reads only; looks at no more than the last pages of the segment before, and at all of it only where a record is that
//! long; what it cannot find or does not fit is nothing known, never an error: the segment is stored all the same, and its index
//! says what it lacks. Deliberately does not ask the repository: hosts cannot open what they stored.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::opening::is_filled;
use seawall_pg::wal::{Joiner, Keep, WalOf, WalWalk, Walked};
use seawall_pg::{History, Lsn, SegmentName, SegmentNo, WalFileName};

const PAGE_BYTES: u64 = seawall_pg::PAGE_BYTES as u64;
/// What is read first of a segment's end: nearly every record that is open there begins in it.
pub(super) const END_BYTES: u64 = 8 * PAGE_BYTES;
/// A record has at most 1020 MiB, which so many of the smallest segments hold.
const SEGMENTS_MAX: usize = 1024;

/// A record that is open where a segment begins.
#[derive(Debug)]
pub(crate) struct Carry {
    /// Where it begins.
    pub(super) start: Lsn,
    /// What there is of it.
    pub(super) joiner: Joiner,
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

/// The record that is open where a segment begins, once the one before it was walked.
pub(crate) fn carry_of(of: WalOf, before: &Walked) -> Option<Carry> {
    begun(of, before, &[])
}

/// The segment's file, of the timeline that wrote it.
pub(super) fn open(of: WalOf, directory: &Path, number: SegmentNo, history: &History) -> Option<File> {
    let name = SegmentName::new(history.timeline_of_segment(number, of.size), number, of.size).ok()?;
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
    let open = end.unfinished.as_ref()?;
    let mut joiner = Joiner::begin(of.version, open).ok()?;
    for middle in middles.iter().rev() {
        let rest = middle.continuation.as_ref()?;
        joiner.add(rest.remaining, &rest.piece).ok()?;
    }
    Some(Carry { start: open.start, joiner })
}
