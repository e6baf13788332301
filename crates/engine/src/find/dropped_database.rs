//! Where DROP DATABASE begins to count.
//!
//! Its files go with one record, before its commit. Since a fix of 2023 the server writes into the database's row, in place and for
//! good, that it is invalid, and only then makes a checkpoint and deletes the files: recovery that stops between the two brings back
//! a database that nobody can connect to. So the moment before the accident is the moment before that write, if there is one.

use seawall_pg::wal::meaning::{HeapChange, Meaning};
use seawall_pg::wal::{Keep, Record, WalOf, WalWalk};
use seawall_pg::{Lsn, SegmentName, WalFileName};
use seawall_repo::layout::{Named, Place};

use crate::archive::each_piece;
use crate::error::Result;
use crate::repository::Repository;

/// The tablespace of what all databases share.
const GLOBAL: u32 = 1664;
/// What `datconnlimit` is set to (`DATCONNLIMIT_INVALID_DB`).
const INVALID: [u8; 4] = (-2_i32).to_le_bytes();
/// Where it stands in a row of `pg_database` (`catalog/pg_database.h`): to 14, where two names stand before it, and from 15 on.
const PLACES: [usize; 2] = [208, 80];

/// Where the row of a database was marked, at most so many segments before its files went; none if no record did.
///
/// # Errors
/// A segment is damaged or out of reach, or cannot be opened.
pub(super) async fn marked(
    repository: &Repository,
    place: &Place,
    of: WalOf,
    segments: &[SegmentName],
    database: u32,
    gone: Lsn,
) -> Result<Option<Lsn>> {
    let Some(start) = segments.first().and_then(|name| name.first_lsn(of.size).ok()) else { return Ok(None) };
    let mut walk = WalWalk::new(of, start, Keep::Everything);
    let (mut by_row, mut by_image) = (None, None);
    for segment in segments {
        let name = Named::Wal { place: place.clone(), file: WalFileName::Segment(*segment) }.into();
        let mut take = |record: &Record<'_>| {
            if record.start < gone {
                match mark(record, database) {
                    Some(Mark::Row) => by_row = Some(record.start),
                    Some(Mark::Image) => by_image = Some(record.start),
                    None => {}
                }
            }
        };
        each_piece(repository, &name, &mut |bytes| {
            walk.take(bytes, &mut take);
            Ok(true)
        })
        .await?;
    }
    Ok(by_row.or(by_image))
}

enum Mark {
    /// The record has the row.
    Row,
    /// The record has the whole page in its place, so the row may be any of it.
    Image,
}

fn mark(record: &Record<'_>, database: u32) -> Option<Mark> {
    let Ok(Meaning::Heap(HeapChange::Inplace { .. })) = Meaning::of(record) else { return None };
    let block = record.blocks().next()?;
    if block.relation.tablespace != GLOBAL || block.relation.database != 0 {
        return None;
    }
    let Some(row) = block.data.filter(|row| !row.is_empty()) else {
        return block.image.map(|_| Mark::Image);
    };
    let is_it = row.get(..4) == Some(&database.to_le_bytes());
    let invalid = PLACES.iter().any(|at| row.get(*at..at.saturating_add(4)) == Some(&INVALID));
    (is_it && invalid).then_some(Mark::Row)
}
