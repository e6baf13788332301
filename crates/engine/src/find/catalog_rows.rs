//! Names from WAL itself: the row that a relation got in `pg_class` when it was made, and a schema in `pg_namespace`.
//!
//! For relations that were made and gone between two lists of names. Promises: reads only segments in which such a file was made, and
//! the one behind each, a bounded number; every offset into a row is checked, because a record's content is what a server wrote.

use std::collections::HashMap;

use seawall_pg::wal::meaning::{HeapChange, Meaning};
use seawall_pg::wal::{BlockRef, ImageRebuilder, Keep, Record, RelationId, WalOf, WalWalk};
use seawall_pg::{PAGE_BYTES, Page, SegmentName, WalFileName};
use seawall_repo::layout::{Named, Place};

use super::names::Oid;
use crate::archive::each_piece;
use crate::error::Result;
use crate::repository::Repository;

/// Where fields of a row of `pg_class` begin (`catalog/pg_class.h`); all are fixed and never null. A row of `pg_namespace` begins
/// alike: OID, name.
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

/// The file numbers of a database's catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Catalogs {
    /// Of `pg_class`.
    pub(super) class: u32,
    /// Of `pg_namespace`.
    pub(super) namespace: u32,
}

/// What catalogs got while segments were written.
#[derive(Debug, Default)]
pub(super) struct CatalogRows {
    /// Relations by their first file.
    pub(super) relations: HashMap<RelationId, CatalogRow>,
    /// Names of schemas.
    pub(super) schemas: HashMap<Oid, String>,
}

/// A row that a record puts into a catalog.
enum Made {
    Relation(RelationId, CatalogRow),
    Schema(Oid, String),
}

/// Looks in these segments for the rows of files, and for schemas; `catalogs` are those of their databases.
///
/// # Errors
/// A segment is damaged or out of reach, or cannot be opened.
pub(super) async fn rows(
    repository: &Repository,
    place: &Place,
    of: WalOf,
    segments: &[SegmentName],
    catalogs: &HashMap<u32, Catalogs>,
    found: &mut CatalogRows,
) -> Result<()> {
    let Some(start) = segments.first().and_then(|name| name.first_lsn(of.size).ok()) else { return Ok(()) };
    let mut walk = WalWalk::new(of, start, Keep::Everything);
    let mut images = ImageRebuilder::default();
    for segment in segments {
        let name = Named::Wal { place: place.clone(), file: WalFileName::Segment(*segment) }.into();
        each_piece(repository, &name, &mut |bytes| {
            walk.take(bytes, &mut |record| match made(record, catalogs, &mut images) {
                Some(Made::Relation(file, row)) => drop(found.relations.entry(file).or_insert(row)),
                Some(Made::Schema(oid, name)) => drop(found.schemas.insert(oid, name)),
                None => {}
            });
            Ok(true)
        })
        .await?;
    }
    Ok(())
}

/// What a record puts into a catalog.
fn made(record: &Record<'_>, catalogs: &HashMap<u32, Catalogs>, images: &mut ImageRebuilder) -> Option<Made> {
    let Ok(Meaning::Heap(HeapChange::Insert { .. })) = Meaning::of(record) else { return None };
    let block = record.blocks().next()?;
    let (database, number) = (block.relation.database, block.relation.number);
    let catalogs = catalogs.get(&database)?;
    if number != catalogs.class && number != catalogs.namespace {
        return None;
    }
    let mut page: Page = [0; PAGE_BYTES];
    let row = match block.data.filter(|data| !data.is_empty()) {
        Some(data) => {
            let header = usize::from(*data.get(4)?);
            let begin = HEADER_IN_RECORD.checked_add(header.checked_sub(TUPLE_HEADER_BYTES)?)?;
            data.get(begin..)?
        }
        None => in_image(record, &block, images, &mut page)?,
    };
    if number == catalogs.namespace {
        return Some(Made::Schema((database, u32_at(row, 0)?), name_in(row)?));
    }
    let kind = KINDS[usize::from(record.version().major() >= KIND_MOVED_IN)];
    // 0 is the tablespace of its database.
    let tablespace =
        Some(u32_at(row, FILE + 4)?).filter(|oid| *oid != 0).unwrap_or(block.relation.tablespace);
    let file = RelationId { tablespace, database, number: u32_at(row, FILE)? };
    let relation = CatalogRow {
        oid: u32_at(row, 0)?,
        name: name_in(row)?,
        namespace: u32_at(row, NAMESPACE)?,
        kind: *row.get(kind)?,
    };
    Some(Made::Relation(file, relation))
}

/// The row in the page's image that stands in place of its data.
fn in_image<'p>(
    record: &Record<'_>,
    block: &BlockRef<'_>,
    images: &mut ImageRebuilder,
    page: &'p mut Page,
) -> Option<&'p [u8]> {
    images.rebuild(&block.image?, block.image_bytes?, page).ok()?;
    let offset = u16::from_le_bytes(record.main_data().bytes.get(..2)?.try_into().ok()?);
    let at = usize::from(offset.checked_sub(1)?).checked_mul(4)?.checked_add(LINE_POINTERS)?;
    let pointer = u32_at(&page[..], at)?;
    let tuple = page.get(usize::try_from(pointer & 0x7FFF).ok()?..)?;
    let header = usize::from(*tuple.get(TUPLE_HEADER_BYTES - 1)?);
    tuple.get(header..)
}

/// The name in a row: to its first zero byte.
fn name_in(row: &[u8]) -> Option<String> {
    let name = row.get(NAME..NAME.checked_add(NAME_BYTES)?)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}
