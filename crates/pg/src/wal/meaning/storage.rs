//! Files of relations made and shortened (`src/include/catalog/storage_xlog.h`).

use crate::relation::Fork;
use crate::wal::block::RelationId;
use crate::wal::record::Record;

use super::body::{Body, MeaningFault, no_such_operation};

const CREATE: u8 = 0x10;
const TRUNCATE: u8 = 0x20;

const TRUNCATE_HEAP: u32 = 1;
const TRUNCATE_VM: u32 = 2;
const TRUNCATE_FSM: u32 = 4;

/// A change of a relation's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageChange {
    /// A fork's file is made.
    Create {
        /// The relation.
        relation: RelationId,
        /// Which fork.
        fork: Fork,
    },
    /// A relation is shortened.
    Truncate {
        /// The relation.
        relation: RelationId,
        /// How many blocks of the main fork stay; the maps keep what belongs to those.
        blocks: u32,
        /// Whether the main fork is shortened.
        main: bool,
        /// Whether the visibility map is.
        vm: bool,
        /// Whether the free space map is.
        fsm: bool,
    },
}

impl StorageChange {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, MeaningFault> {
        match record.operation() {
            CREATE => {
                let mut body = Body::of("storage create", record);
                let relation = relation(&mut body)?;
                let number = body.i32()?;
                let fork = u8::try_from(number).ok().and_then(Fork::from_number);
                let fork = fork.ok_or_else(|| body.value("the fork", i64::from(number)))?;
                body.end_padded()?;
                Ok(Self::Create { relation, fork })
            }
            TRUNCATE => {
                let mut body = Body::of("storage truncate", record);
                let blocks = body.u32()?;
                let relation = relation(&mut body)?;
                let flags = body.u32()?;
                let has = |flag| flags & flag != 0;
                let (main, vm, fsm) = (has(TRUNCATE_HEAP), has(TRUNCATE_VM), has(TRUNCATE_FSM));
                body.end_padded()?;
                Ok(Self::Truncate { relation, blocks, main, vm, fsm })
            }
            _ => Err(no_such_operation("Storage", record)),
        }
    }
}

/// Tablespace, database, number.
pub(super) fn relation(body: &mut Body<'_>) -> Result<RelationId, MeaningFault> {
    Ok(RelationId { tablespace: body.u32()?, database: body.u32()?, number: body.u32()? })
}
