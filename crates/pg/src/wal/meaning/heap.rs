//! Rows: inserted, deleted, updated, locked (`access/heapam_xlog.h`).
//!
//! Promises: only main data is looked at, so it works on records whose block data was not kept.

use crate::wal::record::Record;

use super::body::{Body, Items, MeaningFault};
use super::transaction::{INVALIDATION_BYTES, Invalidation};

const OPERATION: u8 = 0x70;
const INSERT: u8 = 0x00;
const DELETE: u8 = 0x10;
const UPDATE: u8 = 0x20;
const TRUNCATE: u8 = 0x30;
const HOT_UPDATE: u8 = 0x40;
const LOCK: u8 = 0x60;
const INPLACE: u8 = 0x70;
const SECOND_MULTI_INSERT: u8 = 0x50;
const SECOND_LOCK_UPDATED: u8 = 0x60;

const DELETE_IS_SUPER: u8 = 0x08;
const DELETE_IS_PARTITION_MOVE: u8 = 0x10;

/// How many blocks of the main fork a page of the visibility map is about: two bits each behind the page header.
pub const HEAP_BLOCKS_PER_VISIBILITY_PAGE: u32 = (8192 - 24) * 4;

/// A change of rows. The relation is that of block 0.
#[derive(Debug, Clone)]
pub enum HeapChange<'a> {
    /// A row came.
    Insert {
        /// `xl_heap_insert.flags`.
        flags: u8,
    },
    /// Rows came.
    MultiInsert {
        /// How many.
        tuples: u16,
        /// `xl_heap_multi_insert.flags`.
        flags: u8,
    },
    /// A row went.
    Delete {
        /// `xl_heap_delete.flags`.
        flags: u8,
        /// Whether the row was never there: a speculative insertion is given up.
        speculative: bool,
        /// Whether it is one half of an update that moves the row to another partition.
        partition_move: bool,
    },
    /// A row changed.
    Update {
        /// Whether no index had to follow.
        hot: bool,
        /// `xl_heap_update.flags`.
        flags: u8,
    },
    /// A row was locked.
    Lock {
        /// `xl_heap_lock.flags`.
        flags: u8,
        /// Whether the row is a later version of the one that was asked for.
        updated: bool,
    },
    /// TRUNCATE, for logical decoding (`wal_level` logical only).
    Truncate {
        /// The database.
        database: u32,
        /// `xl_heap_truncate.flags`.
        flags: u8,
        /// OIDs of the relations.
        relations: Items<'a, u32>,
    },
    /// A row was overwritten where it is.
    Inplace {
        /// Caches to be dropped (18 and later).
        invalidations: Items<'a, Invalidation>,
    },
}

impl<'a> HeapChange<'a> {
    /// A record of `Heap`; `None` for operations that only change blocks.
    pub(super) fn read(record: &Record<'a>) -> Result<Option<Self>, MeaningFault> {
        let change = match record.header.info & OPERATION {
            INSERT => {
                let mut body = Body::of("heap insert", record);
                body.u16()?;
                Self::Insert { flags: body.u8()? }
            }
            DELETE => {
                let flags = flags_at_seven(Body::of("heap delete", record))?;
                let [speculative, partition_move] =
                    [DELETE_IS_SUPER, DELETE_IS_PARTITION_MOVE].map(|bit| flags & bit != 0);
                Self::Delete { flags, speculative, partition_move }
            }
            operation @ (UPDATE | HOT_UPDATE) => {
                let mut body = Body::of("heap update", record);
                let flags = flags_at_seven(body.clone())?;
                body.bytes(14)?;
                Self::Update { hot: operation == HOT_UPDATE, flags }
            }
            LOCK => Self::Lock { flags: flags_at_seven(Body::of("heap lock", record))?, updated: false },
            TRUNCATE => Self::read_truncate(record)?,
            INPLACE => Self::read_inplace(record)?,
            _ => return Ok(None),
        };
        Ok(Some(change))
    }

    /// A record of `Heap2`.
    pub(super) fn read_second(record: &Record<'a>) -> Result<Option<Self>, MeaningFault> {
        let change = match record.header.info & OPERATION {
            SECOND_MULTI_INSERT => {
                let mut body = Body::of("heap multi insert", record);
                let flags = body.u8()?;
                body.u8()?;
                Self::MultiInsert { tuples: body.u16()?, flags }
            }
            SECOND_LOCK_UPDATED => {
                Self::Lock { flags: flags_at_seven(Body::of("heap lock updated", record))?, updated: true }
            }
            _ => return Ok(None),
        };
        Ok(Some(change))
    }

    fn read_truncate(record: &Record<'a>) -> Result<Self, MeaningFault> {
        let mut body = Body::of("heap truncate", record);
        let database = body.u32()?;
        let count = body.count("the number of relations")?;
        let flags = body.u8()?;
        body.bytes(3)?;
        let relations = body.items(count, 4)?;
        body.end_padded()?;
        Ok(Self::Truncate { database, flags, relations })
    }

    fn read_inplace(record: &Record<'a>) -> Result<Self, MeaningFault> {
        let mut body = Body::of("heap inplace", record);
        body.u16()?;
        if !record.version().facts().wal.inplace_invalidations {
            return Ok(Self::Inplace { invalidations: Items::default() });
        }
        // A gap, database, tablespace, whether the relation cache's own file is to go, and a gap.
        body.bytes(2 + 4 + 4 + 4)?;
        let count = body.count("the number of invalidations")?;
        let invalidations = body.items(count, INVALIDATION_BYTES)?;
        body.end_padded()?;
        Ok(Self::Inplace { invalidations })
    }
}

/// `flags` behind a transaction, an offset and the tuple's bits.
fn flags_at_seven(mut body: Body<'_>) -> Result<u8, MeaningFault> {
    body.bytes(7)?;
    body.u8()
}
