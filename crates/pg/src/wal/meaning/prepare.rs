//! A prepared transaction: the front of its state file, which is what the record holds (`xl_xact_prepare`).

use crate::wal::block::RelationId;
use crate::wal::record::Record;

use super::body::{Body, Items, MeaningFault, PgTime};
use super::transaction::{DroppedStat, INVALIDATION_BYTES, Invalidation, RELATION_BYTES};

/// A transaction that was prepared; it ends, or does not, in a later record.
#[derive(Debug, Clone)]
pub struct Prepare<'a> {
    /// Its number.
    pub xid: u32,
    /// The database it was in.
    pub database: u32,
    /// When it was prepared, by the server's clock; not the time of its commit.
    pub time: PgTime,
    /// Its name.
    pub gid: &'a [u8],
    /// Its subtransactions.
    pub subxacts: Items<'a, u32>,
    /// Relations whose files go if it commits.
    pub commit_relations: Items<'a, RelationId>,
    /// Relations whose files go if it is rolled back.
    pub abort_relations: Items<'a, RelationId>,
    /// Statistics that go if it commits.
    pub commit_stats: Items<'a, DroppedStat>,
    /// Statistics that go if it is rolled back.
    pub abort_stats: Items<'a, DroppedStat>,
    /// Caches to be dropped if it commits.
    pub invalidations: Items<'a, Invalidation>,
}

impl<'a> Prepare<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        let mut body = Body::of("prepare", record);
        let stats_bytes = record.version().facts().wal.dropped_stats_bytes;
        // A magic number and the length of the state file.
        body.bytes(8)?;
        let (xid, database, time) = (body.u32()?, body.u32()?, PgTime(body.i64()?));
        // The owner.
        body.bytes(4)?;
        let subxacts = body.count("the number of subtransactions")?;
        let [commit_relations, abort_relations] = [body.count(RELATIONS)?, body.count(RELATIONS)?];
        let [commit_stats, abort_stats] = match stats_bytes {
            Some(_) => [body.count(STATS)?, body.count(STATS)?],
            None => [0, 0],
        };
        let invalidations = body.count("the number of invalidations")?;
        // Whether the relation cache's own file is to go, and a gap.
        body.bytes(2)?;
        let gid_bytes = usize::from(body.u16()?);
        // Where it was replicated from.
        body.bytes(16)?;
        let gid = body.bytes(gid_bytes)?;
        body.bytes(gid_bytes.next_multiple_of(8).saturating_sub(gid_bytes))?;
        let step = stats_bytes.unwrap_or(1);
        Ok(Self {
            xid,
            database,
            time,
            gid: gid.strip_suffix(&[0]).unwrap_or(gid),
            subxacts: body.aligned_items(subxacts, 4)?,
            commit_relations: body.aligned_items(commit_relations, RELATION_BYTES)?,
            abort_relations: body.aligned_items(abort_relations, RELATION_BYTES)?,
            commit_stats: body.aligned_items(commit_stats, step)?,
            abort_stats: body.aligned_items(abort_stats, step)?,
            invalidations: body.aligned_items(invalidations, INVALIDATION_BYTES)?,
        })
    }
}

const RELATIONS: &str = "the number of relations";
const STATS: &str = "the number of statistics";
