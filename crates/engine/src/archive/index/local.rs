//! Indexes made on the spot, of segments that are not in the archive yet: from `pg_wal`, the one being written included.

use std::io::Read as _;
use std::path::Path;

use seawall_pg::wal::WalOf;
use seawall_pg::{History, Lsn, SegmentName, WalFileName};
use seawall_repo::wal_index::SegmentIndex;

use super::carry::find_carry;
use super::open_record::kept_open_record;
use super::segment::Indexer;

/// What is read at once.
const READ_BYTES: usize = 128 << 10;

/// The index of a segment in the data directory's `pg_wal`. `enough`, if it lies in the segment, is where its WAL may end, and hardly
/// more is read than up to there. Blocking.
///
/// # Errors
/// Why it cannot be made, for a person.
pub(crate) fn index_of_file(
    of: WalOf,
    data_directory: &Path,
    segment: SegmentName,
    history: &History,
    enough: Option<Lsn>,
) -> Result<SegmentIndex, String> {
    let directory = data_directory.join("pg_wal");
    let path = directory.join(WalFileName::Segment(segment).to_string());
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let first = segment.first_lsn(of.size).map_err(|error| error.to_string())?;
    let mut file = std::fs::File::open(&path).map_err(unreadable)?;
    let carry = find_carry(of, &directory, segment, history);
    let carry = carry.or_else(|| kept_open_record(data_directory, of, segment, history));
    let mut indexer = Indexer::new(of, first, carry);
    let mut buffer = vec![0; READ_BYTES];
    let mut left = of.size.bytes();
    while left > 0 && !enough.is_some_and(|enough| indexer.is_past(enough)) {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..length) else { break };
        file.read_exact(room).map_err(unreadable)?;
        indexer.take(room);
        left -= length as u64;
    }
    let indexed = match enough {
        Some(enough) => indexer.finish_behind(enough),
        None => indexer.finish(None),
    };
    indexed.map(|indexed| indexed.index).map_err(|error| format!("{}: {error}", path.display()))
}
