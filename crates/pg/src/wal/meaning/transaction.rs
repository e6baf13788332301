//! Transactions: commit and abort, prepared or not, and what belongs to them (`src/include/access/xact.h`).
//!
//! Promises: a commit or an abort is read to its last byte, or it is an error.

use crate::lsn::Lsn;
use crate::wal::block::RelationId;
use crate::wal::record::Record;
use crate::wal::resource_manager::TRANSACTION;

use super::body::{Body, Item, Items, MeaningFault, PgTime, no_such_operation};
use super::prepare::Prepare;

const OPERATION: u8 = 0x70;
const COMMIT: u8 = 0x00;
const PREPARE: u8 = 0x10;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;
const ASSIGNMENT: u8 = 0x50;
const INVALIDATIONS: u8 = 0x60;
const HAS_INFO: u8 = 0x80;

const INFO_DATABASE: u32 = 1 << 0;
const INFO_SUBXACTS: u32 = 1 << 1;
const INFO_RELATIONS: u32 = 1 << 2;
const INFO_INVALIDATIONS: u32 = 1 << 3;
const INFO_TWO_PHASE: u32 = 1 << 4;
const INFO_ORIGIN: u32 = 1 << 5;
const INFO_GID: u32 = 1 << 7;
const INFO_STATS: u32 = 1 << 8;

pub(super) const INVALIDATION_BYTES: usize = 16;
pub(super) const RELATION_BYTES: usize = 12;

/// A record about a transaction.
#[derive(Debug, Clone)]
pub enum Transaction<'a> {
    /// It committed, prepared before or not.
    Commit(Completion<'a>),
    /// It was rolled back, prepared before or not; or one of its subtransactions was.
    Abort(Completion<'a>),
    /// It was prepared.
    Prepare(Prepare<'a>),
    /// These are subtransactions of it: said once for each 64 of them.
    Assignment {
        /// The top-level transaction.
        top: u32,
        /// The subtransactions.
        subxacts: Items<'a, u32>,
    },
    /// Caches to be dropped in the middle of it, for logical decoding.
    Invalidations(Items<'a, Invalidation>),
}

/// The end of a transaction.
#[derive(Debug, Clone)]
pub struct Completion<'a> {
    /// The transaction that ended; where it had been prepared, not the one in the record's header.
    pub xid: u32,
    /// When, by the server's clock. Does not rise with positions.
    pub time: PgTime,
    /// `xinfo`: what follows, and how the commit was made.
    pub info: u32,
    /// Database and tablespace, where known.
    pub database: Option<(u32, u32)>,
    /// Subtransactions that ended with it.
    pub subxacts: Items<'a, u32>,
    /// Relations whose files go.
    pub relations: Items<'a, RelationId>,
    /// Statistics that go (15 and later): those of relations are OIDs of relations dropped for good.
    pub stats: Items<'a, DroppedStat>,
    /// Caches to be dropped.
    pub invalidations: Items<'a, Invalidation>,
    /// The prepared transaction it ends.
    pub two_phase: Option<TwoPhase<'a>>,
    /// Where it was replicated from.
    pub origin: Option<Origin>,
}

/// A prepared transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoPhase<'a> {
    /// Its number.
    pub xid: u32,
    /// Its name, where the record has it.
    pub gid: Option<&'a [u8]>,
}

/// Where a transaction was replicated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The position of its commit there.
    pub lsn: Lsn,
    /// The time of its commit there.
    pub time: PgTime,
}

/// A statistics entry that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedStat {
    /// Which kind: 1 database, 2 relation, 3 function, 4 slot, 5 subscription.
    pub kind: u32,
    /// The database.
    pub database: u32,
    /// The object; of kind 2 the OID of a relation.
    pub object: u64,
}

/// A message that tells backends to forget something (`SharedInvalidationMessage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidation {
    /// What is known of a relation: the OID names what DDL touched; zero for all relations.
    Relation {
        /// The database.
        database: u32,
        /// The relation's OID.
        relation: u32,
    },
    /// Another kind, of no meaning here.
    Other {
        /// Which.
        kind: i8,
    },
}

impl<'a> Transaction<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        match record.header.info & OPERATION {
            COMMIT | COMMIT_PREPARED => Completion::read("commit", record).map(Self::Commit),
            ABORT | ABORT_PREPARED => Completion::read("abort", record).map(Self::Abort),
            PREPARE => Prepare::read(record).map(Self::Prepare),
            ASSIGNMENT => {
                let mut body = Body::of("subtransaction assignment", record);
                let top = body.u32()?;
                let count = body.count("the number of subtransactions")?;
                let subxacts = body.items(count, 4)?;
                body.end_padded()?;
                Ok(Self::Assignment { top, subxacts })
            }
            INVALIDATIONS => {
                let mut body = Body::of("invalidations", record);
                let count = body.count("the number of messages")?;
                let messages = body.items(count, INVALIDATION_BYTES)?;
                body.end_padded()?;
                Ok(Self::Invalidations(messages))
            }
            _ => Err(no_such_operation("Transaction", record)),
        }
    }
}

/// When a transaction committed or was rolled back, if that is what a record says: the front of main data, so it is there
/// however little of the record was kept.
pub fn completion_time(record: &Record<'_>) -> Option<PgTime> {
    let ends = matches!(record.header.info & OPERATION, COMMIT | ABORT | COMMIT_PREPARED | ABORT_PREPARED);
    let is_end = record.header.rmgr == TRANSACTION && ends;
    is_end.then(|| record.main_data().bytes.first_chunk().map(|time| PgTime(i64::from_le_bytes(*time))))?
}

impl<'a> Completion<'a> {
    fn read(what: &'static str, record: &Record<'a>) -> Result<Self, MeaningFault> {
        let mut body = Body::of(what, record);
        let mut read = Self {
            xid: record.header.xid,
            time: PgTime(body.i64()?),
            info: 0,
            database: None,
            subxacts: Items::default(),
            relations: Items::default(),
            stats: Items::default(),
            invalidations: Items::default(),
            two_phase: None,
            origin: None,
        };
        if record.header.info & HAS_INFO != 0 {
            read.info = body.u32()?;
            read.read_parts(&mut body, record)?;
        }
        body.end()?;
        Ok(read)
    }

    /// The parts in the order in which they are written.
    fn read_parts(&mut self, body: &mut Body<'a>, record: &Record<'a>) -> Result<(), MeaningFault> {
        let has = |bit: u32| self.info & bit != 0;
        if has(INFO_DATABASE) {
            self.database = Some((body.u32()?, body.u32()?));
        }
        if has(INFO_SUBXACTS) {
            let count = body.count("the number of subtransactions")?;
            self.subxacts = body.items(count, 4)?;
        }
        if has(INFO_RELATIONS) {
            let count = body.count("the number of relations")?;
            self.relations = body.items(count, RELATION_BYTES)?;
        }
        if has(INFO_STATS) {
            let step = record.version().facts().wal.dropped_stats_bytes;
            let step = step.ok_or_else(|| body.value("xinfo", i64::from(self.info)))?;
            let count = body.count("the number of statistics")?;
            self.stats = body.items(count, step)?;
        }
        if has(INFO_INVALIDATIONS) {
            let count = body.count("the number of invalidations")?;
            self.invalidations = body.items(count, INVALIDATION_BYTES)?;
        }
        if has(INFO_TWO_PHASE) {
            self.xid = body.u32()?;
            let gid = if has(INFO_GID) { Some(body.text()?) } else { None };
            self.two_phase = Some(TwoPhase { xid: self.xid, gid });
        }
        if has(INFO_ORIGIN) {
            self.origin = Some(Origin { lsn: Lsn(body.u64()?), time: PgTime(body.i64()?) });
        }
        Ok(())
    }
}

impl Item for RelationId {
    fn read(bytes: &[u8]) -> Option<Self> {
        let at = |offset| crate::bytes::u32_at(bytes, offset);
        Some(Self { tablespace: at(0)?, database: at(4)?, number: at(8)? })
    }
}

impl Item for DroppedStat {
    fn read(bytes: &[u8]) -> Option<Self> {
        let at = |offset| crate::bytes::u32_at(bytes, offset);
        // Two halves from 18 on, the lower first.
        let object = u64::from(at(8)?) | u64::from(at(12).unwrap_or(0)) << 32;
        Some(Self { kind: at(0)?, database: at(4)?, object })
    }
}

impl Item for Invalidation {
    fn read(bytes: &[u8]) -> Option<Self> {
        const RELATION_CACHE: i8 = -2;
        let at = |offset| crate::bytes::u32_at(bytes, offset);
        // The bytes between the kind and the first number were never set.
        match crate::bytes::u8_at(bytes, 0)?.cast_signed() {
            RELATION_CACHE => Some(Self::Relation { database: at(4)?, relation: at(8)? }),
            kind => Some(Self::Other { kind }),
        }
    }
}
