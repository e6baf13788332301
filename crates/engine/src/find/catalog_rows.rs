//! Names from WAL itself: the row that a relation got in `pg_class` when it was made.
//!
//! For relations that were made and gone between two lists of names. Promises: reads only segments in which such a file was made, and
//! the one behind each, a bounded number; every offset into a row is checked, because a record's content is what a server wrote.

use std::collections::HashMap;

use seawall_pg::wal::meaning::{HeapChange, Meaning};
use seawall_pg::wal::{BlockRef, ImageRebuilder, Keep, Record, RelationId, WalOf, WalWalk};
use seawall_pg::{PAGE_BYTES, Page, SegmentName, WalFileName};
use seawall_repo::layout::{Named, Place};

use crate::archive::each_piece;
use crate::error::Result;
use crate::repository::Repository;

/// Where fields of a row of `pg_class` begin (`catalog/pg_class.h`); all are fixed and never null.
const NAME: usize = 4;
const NAME_BYTES: usize = 64;
const NAMESPACE: usize = 68;
const FILE: usize = 88;
/// `relkind`: to 17, and from 18 on, where a count stands before it.
const KINDS: [usize; 2] = [115, 119];
const KIND_MOVED_IN: u16 = 18;
/// A row's header before its bits of nulls, and where the rest of a header stands in a record.
const TUPLE_HEADER_BYTES: usize = 23;
const HEADER_IN_RECORD: usize = 5;
/// Line pointers begin behind the page's header.
const LINE_POINTERS: usize = 24;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CatalogRow {
    pub(super) oid: u32,
    pub(super) name: String,
    /// The OID of its schema.
    pub(super) namespace: u32,
    pub(super) kind: u8,
}

/// Looks in these segments for the rows of files; `class` are the numbers of `pg_class` in their databases.
///
/// # Errors
/// A segment is damaged or out of reach, or cannot be opened.
pub(super) async fn rows(
    repository: &Repository,
    place: &Place,
    of: WalOf,
    segments: &[SegmentName],
    class: &HashMap<u32, u32>,
    found: &mut HashMap<RelationId, CatalogRow>,
) -> Result<()> {
    let Some(start) = segments.first().and_then(|name| name.first_lsn(of.size).ok()) else { return Ok(()) };
    let mut walk = WalWalk::new(of, start, Keep::Everything);
    let mut images = ImageRebuilder::default();
    for segment in segments {
        let name = Named::Wal { place: place.clone(), file: WalFileName::Segment(*segment) }.into();
        each_piece(repository, &name, &mut |bytes| {
            walk.take(bytes, &mut |record| {
                if let Some((file, row)) = made(record, class, &mut images) {
                    found.entry(file).or_insert(row);
                }
            });
            Ok(true)
        })
        .await?;
    }
    Ok(())
}

/// The row that a record puts into `pg_class`, and the file it names.
fn made(
    record: &Record<'_>,
    class: &HashMap<u32, u32>,
    images: &mut ImageRebuilder,
) -> Option<(RelationId, CatalogRow)> {
    let Ok(Meaning::Heap(HeapChange::Insert { .. })) = Meaning::of(record) else { return None };
    let block = record.blocks().next()?;
    let database = block.relation.database;
    if class.get(&database) != Some(&block.relation.number) {
        return None;
    }
    let kind = KINDS[usize::from(record.version().major() >= KIND_MOVED_IN)];
    let (number, tablespace, row) = match block.data.filter(|data| !data.is_empty()) {
        Some(data) => {
            let header = usize::from(*data.get(4)?);
            let begin = HEADER_IN_RECORD.checked_add(header.checked_sub(TUPLE_HEADER_BYTES)?)?;
            read(data.get(begin..)?, kind)?
        }
        None => in_image(record, &block, kind, images)?,
    };
    let tablespace = if tablespace == 0 { block.relation.tablespace } else { tablespace };
    Some((RelationId { tablespace, database, number }, row))
}

/// The row in the page's image that stands in place of its data.
fn in_image(
    record: &Record<'_>,
    block: &BlockRef<'_>,
    kind: usize,
    images: &mut ImageRebuilder,
) -> Option<(u32, u32, CatalogRow)> {
    let mut page: Page = [0; PAGE_BYTES];
    images.rebuild(&block.image?, block.image_bytes?, &mut page).ok()?;
    let offset = u16::from_le_bytes(record.main_data().bytes.get(..2)?.try_into().ok()?);
    let at = usize::from(offset.checked_sub(1)?).checked_mul(4)?.checked_add(LINE_POINTERS)?;
    let pointer = u32_at(&page[..], at)?;
    let tuple = page.get(usize::try_from(pointer & 0x7FFF).ok()?..)?;
    let header = usize::from(*tuple.get(TUPLE_HEADER_BYTES - 1)?);
    read(tuple.get(header..)?, kind)
}

/// The number of its file, its tablespace (0 is that of its database), and what else a row says.
fn read(row: &[u8], kind: usize) -> Option<(u32, u32, CatalogRow)> {
    let name = row.get(NAME..NAME.checked_add(NAME_BYTES)?)?;
    let name = name.split(|byte| *byte == 0).next()?;
    let found = CatalogRow {
        oid: u32_at(row, 0)?,
        name: String::from_utf8_lossy(name).into_owned(),
        namespace: u32_at(row, NAMESPACE)?,
        kind: *row.get(kind)?,
    };
    Some((u32_at(row, FILE)?, u32_at(row, FILE + 4)?, found))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}
