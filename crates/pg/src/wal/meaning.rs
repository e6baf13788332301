//! What a record means: transactions and their ends, files made and dropped, checkpoints, rows changed.
//!
//! Promises: borrowed, nothing is copied; every body is checked on its length, and one that does not fit is a [`MeaningFault`]
//! that names it, as is one that was not kept whole. What this release does not need to understand is [`Meaning::Other`].
//! Layouts differ between versions only where the version table says so. Deliberately no names: WAL has numbers only.

pub mod body;
pub mod database;
pub mod heap;
pub mod message;
pub mod prepare;
pub mod sequence;
pub mod storage;
pub mod transaction;
pub mod xlog;

pub use body::{Items, MeaningFault, PgTime};
pub use database::{DatabaseChange, RelationMapUpdate, TablespaceChange};
pub use heap::{HEAP_BLOCKS_PER_VISIBILITY_PAGE, HeapChange};
pub use message::LogicalMessage;
pub use prepare::Prepare;
pub use sequence::SequenceChange;
pub use storage::StorageChange;
pub use transaction::{
    Completion, DroppedStat, Invalidation, Origin, Transaction, TwoPhase, completion_time,
};
pub use xlog::{ParameterChange, Xlog};

use super::record::Record;
use super::resource_manager as rmgr;

/// What a record means.
#[derive(Debug, Clone)]
pub enum Meaning<'a> {
    /// The end of a transaction, or something on the way to it.
    Transaction(Transaction<'a>),
    /// Files of a relation.
    Storage(StorageChange),
    /// A database.
    Database(DatabaseChange<'a>),
    /// A tablespace.
    Tablespace(TablespaceChange<'a>),
    /// Which files mapped catalogs have.
    RelationMap(RelationMapUpdate<'a>),
    /// The log itself, checkpoints, settings.
    Xlog(Xlog<'a>),
    /// Rows.
    Heap(HeapChange<'a>),
    /// A sequence's value.
    Sequence(SequenceChange),
    /// What an application wrote into the log.
    Message(LogicalMessage<'a>),
    /// Something that changes blocks, or nothing that is stored; its blocks say all that is needed.
    Other,
}

impl<'a> Meaning<'a> {
    /// What a record means, or why that cannot be told.
    pub fn of(record: &Record<'a>) -> Result<Self, MeaningFault> {
        Ok(match record.header.rmgr {
            rmgr::XLOG => Self::Xlog(Xlog::read(record)?),
            rmgr::TRANSACTION => Self::Transaction(Transaction::read(record)?),
            rmgr::STORAGE => Self::Storage(StorageChange::read(record)?),
            rmgr::DATABASE => Self::Database(DatabaseChange::read(record)?),
            rmgr::TABLESPACE => Self::Tablespace(TablespaceChange::read(record)?),
            rmgr::RELATION_MAP => Self::RelationMap(RelationMapUpdate::read(record)?),
            rmgr::HEAP => HeapChange::read(record)?.map_or(Self::Other, Self::Heap),
            rmgr::HEAP2 => HeapChange::read_second(record)?.map_or(Self::Other, Self::Heap),
            rmgr::SEQUENCE => Self::Sequence(SequenceChange::read(record)?),
            rmgr::LOGICAL_MESSAGE => Self::Message(LogicalMessage::read(record)?),
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests;
