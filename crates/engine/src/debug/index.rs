//! Indexes of segments: one, or those of a range joined, with the transactions behind them.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_pg::wal::RelationId;
use seawall_pg::{Fork, Lsn, SegmentName, SystemIdentifier, WalFileName};
use seawall_repo::layout::{Named, Place};
use seawall_repo::time::Time;
use seawall_repo::wal_index::transactions::{Activity, EndedTransaction, How, RelationOid, Transactions};
use seawall_repo::wal_index::{ChangedFork, ForkChanges, SegmentIndex};
use seawall_repo::wal_object::WalHeader;
use serde::Serialize;

use super::find;
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{Repository, object_error};

/// Segments that are read at the same time.
const AHEAD: usize = 16;

/// Which segments: one where both are the same.
#[derive(Debug, Clone, Copy)]
pub struct SegmentRange {
    /// The first.
    pub from: SegmentName,
    /// The last, on the same timeline.
    pub to: SegmentName,
}

/// What a segment's index says, or what those of several say together.
#[derive(Debug, Clone, Serialize)]
pub struct IndexReport {
    /// The cluster.
    pub cluster: String,
    /// The system identifier.
    pub system: String,
    /// The first segment.
    pub from: String,
    /// The last segment.
    pub to: String,
    /// How many.
    pub segments: u64,
    /// The words of the index; what it says of changes is below.
    #[serde(flatten)]
    pub index: SegmentIndex,
    /// Pages changed, of all forks.
    pub pages: u64,
    /// What changed, by fork.
    pub changes: Vec<ForkReport>,
    /// Transactions that end here, in the order of their records.
    pub transactions: Vec<EndedReport>,
    /// What transactions did to relations, by transaction, then relation.
    pub activity: Vec<ActivityReport>,
    /// Activities left out because there were too many.
    pub left_out: u64,
    /// The most rows among those.
    pub left_out_rows_most: u64,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// What happened to one fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForkReport {
    /// The relation; number 0 where a whole database in one tablespace is meant.
    #[serde(flatten)]
    pub relation: RelationId,
    /// Which fork.
    pub fork: Fork,
    /// The shortest length in pages that it had; none if it was never cut or made.
    pub limit: Option<u32>,
    /// How many pages changed below the limit.
    pub pages: u64,
    /// Which.
    pub runs: Vec<PageRun>,
}

/// Consecutive pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageRun {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// A transaction that ended.
#[derive(Debug, Clone, Serialize)]
pub struct EndedReport {
    /// Where its record begins.
    pub start: Lsn,
    /// Which.
    pub xid: u32,
    /// When, by the server's clock.
    pub time: Time,
    /// Whether its changes count.
    pub committed: bool,
    /// Whether it was prepared before.
    pub prepared: bool,
    /// The database it ran in, where the record tells.
    pub database: Option<u32>,
    /// Its subtransactions.
    pub subtransactions: Vec<u32>,
    /// Files that went with it.
    pub dropped_files: Vec<RelationId>,
    /// Relations dropped by it.
    pub dropped: Vec<OidReport>,
    /// Relations whose definition changed.
    pub redefined: Vec<OidReport>,
}

/// A relation by its identity.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OidReport {
    /// The database, 0 for shared relations.
    pub database: u32,
    /// The relation.
    pub oid: u32,
}

/// What a transaction did to a relation.
#[derive(Debug, Clone, Serialize)]
pub struct ActivityReport {
    /// Who.
    pub xid: u32,
    /// To what.
    #[serde(flatten)]
    pub relation: RelationId,
    /// Rows put in.
    pub inserted: u64,
    /// Rows changed.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Whether it made the file.
    pub made: bool,
    /// The shortest length in pages that it cut the file to.
    pub cut_to: Option<u32>,
}

/// Reads the indexes of a range of archived segments.
///
/// # Errors
/// The range is none, or a segment of it is missing, damaged, without an index, or does not go on where the one before it ends.
pub async fn index(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    range: SegmentRange,
) -> Result<IndexReport> {
    let SegmentRange { from, to } = range;
    if from.timeline() != to.timeline() || to < from {
        return Err(Error::usage("debug.range", format!("{from} to {to} is no range of one timeline")).hint(
            "name the first and the last segment of one timeline; each timeline by a command of its own",
        ));
    }
    let found = find(repository, system, |place| named(&place, from)).await?;
    let header: WalHeader = found.head.header_as().map_err(|error| object_error(&error))?;
    let (place, size) = (found.place, header.segment_size);
    let names = std::iter::successors(Some(from), |name| name.next(size).ok()).take_while(|name| *name <= to);
    let mut reading =
        futures::stream::iter(names).map(|name| read(repository, &place, name)).buffered(AHEAD).boxed_local();
    let mut all: Option<(SegmentIndex, Behind)> = None;
    let mut segments = 0;
    while let Some(one) = reading.next().await {
        let (name, index, transactions) = one?;
        segments += 1;
        match &mut all {
            None => all = Some((index, Behind::of(transactions))),
            Some((joined, behind)) => {
                joined.then(&index).map_err(|error| {
                    Error::data(
                        "debug.not-continuous",
                        format!("segment {name} does not go on where the one before it ends"),
                    )
                    .because(error)
                })?;
                behind.add(transactions);
            }
        }
    }
    drop(reading);
    let (index, behind) = all.ok_or_else(|| Error::bug("debug.no-segment", "a range without a segment"))?;
    let findings = repository.take_findings();
    Ok(IndexReport {
        cluster: place.cluster.to_string(),
        system: place.system.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        segments,
        pages: index.changes.pages(),
        changes: index.changes.forks().map(|(fork, changes)| fork_report(*fork, changes)).collect(),
        index,
        transactions: behind.ended.iter().map(ended_report).collect(),
        activity: behind.activity.into_values().map(|activity| activity_report(&activity)).collect(),
        left_out: behind.left_out,
        left_out_rows_most: behind.left_out_rows_most,
        findings,
    })
}

fn named(place: &Place, segment: SegmentName) -> Named {
    Named::Wal { place: place.clone(), file: WalFileName::Segment(segment) }
}

async fn read(
    repository: &Repository,
    place: &Place,
    segment: SegmentName,
) -> Result<(SegmentName, SegmentIndex, Transactions)> {
    let name = named(place, segment).into();
    let index = repository.segment_index(&name).await?.map_err(|none| {
        Error::data("debug.no-index", format!("segment {segment} is in the archive without an index"))
            .hint("its records can be read with: seawall debug wal")
            .because(none)
    })?;
    let footer = repository.open_object(&name).await?.footer().await?;
    let transactions = Transactions::decode(&footer.contents).map_err(|error| {
        Error::data("debug.transactions", format!("what {name} tells of transactions cannot be read"))
            .because(error)
    })?;
    Ok((segment, index, transactions))
}

/// What stands behind segments, joined.
#[derive(Debug, Default)]
struct Behind {
    ended: Vec<EndedTransaction>,
    activity: BTreeMap<(u32, RelationId), Activity>,
    left_out: u64,
    left_out_rows_most: u64,
}

impl Behind {
    fn of(transactions: Transactions) -> Self {
        let mut behind = Self::default();
        behind.add(transactions);
        behind
    }

    fn add(&mut self, transactions: Transactions) {
        self.ended.extend(transactions.ended);
        for one in transactions.activity {
            self.activity
                .entry((one.xid, one.relation))
                .and_modify(|known| {
                    known.inserted = known.inserted.saturating_add(one.inserted);
                    known.updated = known.updated.saturating_add(one.updated);
                    known.deleted = known.deleted.saturating_add(one.deleted);
                    known.made |= one.made;
                    known.cut_to = [known.cut_to, one.cut_to].into_iter().flatten().min();
                })
                .or_insert(one);
        }
        self.left_out = self.left_out.saturating_add(transactions.left_out);
        self.left_out_rows_most = self.left_out_rows_most.max(transactions.left_out_rows_most);
    }
}

pub(super) fn fork_report(fork: ChangedFork, changes: &ForkChanges) -> ForkReport {
    let (mut runs, mut pages) = (Vec::new(), changes.pages().iter());
    while let Some(run) = pages.next_range() {
        runs.push(PageRun { first: *run.start(), last: *run.end() });
    }
    ForkReport {
        relation: fork.relation,
        fork: fork.fork,
        limit: changes.limit(),
        pages: changes.pages().len(),
        runs,
    }
}

fn ended_report(ended: &EndedTransaction) -> EndedReport {
    let oids = |relations: &[RelationOid]| {
        relations.iter().map(|one| OidReport { database: one.database, oid: one.oid }).collect()
    };
    EndedReport {
        start: ended.start,
        xid: ended.xid,
        time: ended.time,
        committed: ended.how == How::Committed,
        prepared: ended.prepared,
        database: ended.database,
        subtransactions: ended.subtransactions.clone(),
        dropped_files: ended.dropped_files.clone(),
        dropped: oids(&ended.dropped),
        redefined: oids(&ended.redefined),
    }
}

fn activity_report(activity: &Activity) -> ActivityReport {
    let Activity { xid, relation, inserted, updated, deleted, made, cut_to } = *activity;
    ActivityReport { xid, relation, inserted, updated, deleted, made, cut_to }
}
