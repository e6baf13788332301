//! From records to what an index tells.
//!
//! Promises the rules of PostgreSQL's own summaries about pages and lengths (`walsummarizer.c`): every referenced block of every fork but
//! the free space map; files made, cut and dropped; databases made and dropped.

use seawall_pg::wal::meaning::{
    Completion, DatabaseChange, HEAP_BLOCKS_PER_VISIBILITY_PAGE, HeapChange, Invalidation, Meaning,
    MeaningFault, PgTime, StorageChange, TablespaceChange, Transaction, Xlog,
};
use seawall_pg::wal::{Record, RelationId};
use seawall_pg::{Fork, Lsn, WalLevel};
use seawall_repo::time::Time;
use seawall_repo::wal_index::transactions::{EndedTransaction, How, RelationOid, TransactionsBuilder};
use seawall_repo::wal_index::{ChangedFork, CommitSpan, EndedAt, Mark, MarkWhat};

use super::activity::Activities;
use super::pages::Pages;

/// Dropped statistics of this kind are of relations (`PGSTAT_KIND_RELATION`).
const STATISTICS_OF_RELATION: u32 = 2;

/// What was gathered so far.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pub(super) pages: Pages,
    pub(super) activities: Activities,
    pub(super) transactions: TransactionsBuilder,
    pub(super) commits: Option<CommitSpan>,
    pub(super) marks: Vec<Mark>,
    /// Where the record begins that an overwriting one gives up.
    pub(super) given_up: Option<Lsn>,
    wal_level: Option<WalLevel>,
}

impl Gather {
    /// Takes the next record.
    ///
    /// # Errors
    /// It cannot be told what it means.
    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), MeaningFault> {
        for block in record.blocks().filter(|block| block.fork != Fork::Fsm) {
            self.pages.change(ChangedFork { relation: block.relation, fork: block.fork }, block.block);
        }
        match Meaning::of(record)? {
            Meaning::Transaction(Transaction::Commit(end)) => self.ended(record, &end, How::Committed),
            Meaning::Transaction(Transaction::Abort(end)) => self.ended(record, &end, How::Aborted),
            Meaning::Storage(change) => self.storage(record, change),
            Meaning::Database(change) => self.database(record, &change),
            Meaning::Tablespace(change) => self.mark(
                record,
                match change {
                    TablespaceChange::Create { tablespace, .. } => MarkWhat::TablespaceCreated { tablespace },
                    TablespaceChange::Drop { tablespace } => MarkWhat::TablespaceDropped { tablespace },
                },
            ),
            Meaning::Xlog(xlog) => self.xlog(record, &xlog),
            Meaning::Heap(change) => self.rows(record, &change),
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, record: &Record<'_>, end: &Completion<'_>, how: How) {
        let time = time(end.time);
        if let Some(time) = time {
            self.commits = Some(with(self.commits, EndedAt { start: record.start, time }));
        }
        for relation in end.relations.iter() {
            for fork in [Fork::Main, Fork::Vm, Fork::Init] {
                self.pages.cut(ChangedFork { relation, fork }, 0);
            }
        }
        self.activities.ended(end.xid);
        end.subxacts.iter().for_each(|xid| self.activities.ended(xid));
        let (mut dropped, mut redefined) = (Vec::new(), Vec::new());
        for stat in end.stats.iter().filter(|stat| stat.kind == STATISTICS_OF_RELATION) {
            if let Ok(oid) = u32::try_from(stat.object) {
                dropped.push(RelationOid { database: stat.database, oid });
            }
        }
        for message in end.invalidations.iter() {
            if let Invalidation::Relation { database, relation: oid } = message
                && oid != 0
            {
                redefined.push(RelationOid { database, oid });
            }
        }
        redefined.sort_unstable();
        redefined.dedup();
        self.transactions.push(&EndedTransaction {
            start: record.start,
            xid: end.xid,
            time: time.unwrap_or(Time::EPOCH),
            how,
            prepared: end.two_phase.is_some(),
            database: end.database.map(|(database, _)| database),
            subtransactions: end.subxacts.iter().collect(),
            dropped_files: end.relations.iter().collect(),
            dropped,
            redefined,
        });
    }

    fn storage(&mut self, record: &Record<'_>, change: StorageChange) {
        match change {
            StorageChange::Create { relation, fork } => {
                if fork != Fork::Fsm {
                    self.pages.cut(ChangedFork { relation, fork }, 0);
                }
                if fork == Fork::Main {
                    self.activities.of(record.header.xid, relation).made = true;
                }
            }
            StorageChange::Truncate { relation, blocks, main, vm, .. } => {
                if main {
                    self.pages.cut(ChangedFork { relation, fork: Fork::Main }, blocks);
                    let activity = self.activities.of(record.header.xid, relation);
                    activity.cut_to = Some(activity.cut_to.map_or(blocks, |least| least.min(blocks)));
                }
                if vm {
                    let map_pages = blocks.div_ceil(HEAP_BLOCKS_PER_VISIBILITY_PAGE);
                    self.pages.cut(ChangedFork { relation, fork: Fork::Vm }, map_pages);
                }
            }
        }
    }

    fn database(&mut self, record: &Record<'_>, change: &DatabaseChange<'_>) {
        let mut anew = |database, tablespace| {
            let relation = RelationId { tablespace, database, number: 0 };
            self.pages.cut(ChangedFork { relation, fork: Fork::Main }, 0);
        };
        let what = match *change {
            DatabaseChange::CreateByCopy { database, tablespace, .. }
            | DatabaseChange::CreateByPages { database, tablespace } => {
                anew(database, tablespace);
                MarkWhat::DatabaseCreated { database, tablespace }
            }
            DatabaseChange::Drop { database, tablespaces } => {
                tablespaces.iter().for_each(|tablespace| anew(database, tablespace));
                MarkWhat::DatabaseDropped { database, tablespaces: tablespaces.iter().collect() }
            }
        };
        self.mark(record, what);
    }

    fn xlog(&mut self, record: &Record<'_>, xlog: &Xlog<'_>) {
        match xlog {
            Xlog::Checkpoint { shutdown, checkpoint } => {
                let time =
                    checkpoint.time.checked_mul(1_000_000).and_then(Time::from_micros).unwrap_or(Time::EPOCH);
                let redo = checkpoint.redo;
                self.mark(record, MarkWhat::Checkpoint { redo, shutdown: *shutdown, time });
                self.level(record, checkpoint.wal_level);
            }
            Xlog::CheckpointRedo { wal_level } => self.level(record, Some(*wal_level)),
            Xlog::ParameterChange(change) => self.level(record, Some(change.wal_level)),
            Xlog::EndOfRecovery { time: at, timeline, previous, wal_level } => {
                let time = time(*at).unwrap_or(Time::EPOCH);
                let (timeline, previous) = (*timeline, *previous);
                self.mark(record, MarkWhat::EndOfRecovery { timeline, previous, time });
                self.level(record, *wal_level);
            }
            Xlog::RestorePoint { time: at, name } => {
                let name = String::from_utf8_lossy(name).into_owned();
                let time = time(*at).unwrap_or(Time::EPOCH);
                self.mark(record, MarkWhat::RestorePoint { name, time });
            }
            Xlog::FullPageWrites(on) => self.mark(record, MarkWhat::FullPageWrites { on: *on }),
            Xlog::BackupEnd { start } => self.mark(record, MarkWhat::BackupEnded { began: *start }),
            Xlog::OverwriteContrecord { lost, .. } => self.given_up = self.given_up.or(Some(*lost)),
            Xlog::Noop | Xlog::NextOid(_) | Xlog::Switch | Xlog::Pages { .. } => {}
        }
    }

    fn rows(&mut self, record: &Record<'_>, change: &HeapChange<'_>) {
        let Some(relation) = record.blocks().next().map(|block| block.relation) else { return };
        let (inserted, updated, deleted) = match change {
            HeapChange::Insert { .. } => (1, 0, 0),
            HeapChange::MultiInsert { tuples, .. } => (u64::from(*tuples), 0, 0),
            // The row goes on in another partition.
            HeapChange::Delete { partition_move: true, .. } | HeapChange::Update { .. } => (0, 1, 0),
            HeapChange::Delete { speculative: false, .. } => (0, 0, 1),
            HeapChange::Delete { .. }
            | HeapChange::Lock { .. }
            | HeapChange::Truncate { .. }
            | HeapChange::Inplace { .. } => return,
        };
        let activity = self.activities.of(record.header.xid, relation);
        activity.inserted += inserted;
        activity.updated += updated;
        activity.deleted += deleted;
    }

    fn mark(&mut self, record: &Record<'_>, what: MarkWhat) {
        self.marks.push(Mark { start: record.start, what });
    }

    /// Told once, and again when it changes.
    fn level(&mut self, record: &Record<'_>, level: Option<WalLevel>) {
        if let Some(level) = level.filter(|level| self.wal_level != Some(*level)) {
            self.wal_level = Some(level);
            self.mark(record, MarkWhat::WalLevel { level });
        }
    }
}

/// None outside the years 1970 to 9999: a server's clock can say anything.
fn time(time: PgTime) -> Option<Time> {
    time.unix_micros().and_then(Time::from_micros)
}

fn with(span: Option<CommitSpan>, at: EndedAt) -> CommitSpan {
    let one = CommitSpan { count: 1, first: at, last: at, earliest: at.time, latest: at.time };
    span.map_or(one, |span| span.then(&one))
}
