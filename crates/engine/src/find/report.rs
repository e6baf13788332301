//! What `find` found.

use seawall_pg::wal::RelationId;
use seawall_pg::{Lsn, Timeline};
use seawall_repo::id::BackupId;
use seawall_repo::time::Time;
use serde::Serialize;

use super::judge::Operation;
use crate::backup::Requests;
use crate::monitor::Finding;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct FindReport {
    /// The cluster.
    pub cluster: String,
    /// The system identifier.
    pub system: String,
    /// The timeline whose way was looked at.
    pub timeline: Timeline,
    /// Whether the archive has other timelines too.
    pub other_timelines: bool,
    /// Where looking began.
    pub from: Lsn,
    /// Where it ended.
    pub to: Lsn,
    /// Segments that were looked at; of others findings tell.
    pub segments: u64,
    /// Transactions that committed in them.
    pub transactions: u64,
    /// What was found, by position.
    pub candidates: Vec<Candidate>,
    /// How many more there were, those of the least weight.
    pub candidates_more: u64,
    /// What else stands out, by position.
    pub events: Vec<Event>,
    /// How many more there were.
    pub events_more: u64,
    /// The lists that names come from.
    pub snapshots: Vec<SnapshotLine>,
    /// Requests to each region.
    pub requests: Vec<Requests>,
    /// What could not be looked at.
    pub findings: Vec<Finding>,
}

/// A list of names, and what it lacks.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotLine {
    /// Of which backup.
    pub backup: BackupId,
    /// When it was taken.
    pub taken: Time,
    /// How many relations it names.
    pub relations: u64,
    /// How many were left out for want of room.
    pub left_out: u64,
    /// Databases without a list, and why.
    pub not_asked: Vec<NotAsked>,
}

/// A database without a list.
#[derive(Debug, Clone, Serialize)]
pub struct NotAsked {
    /// Which.
    pub database: String,
    /// Why.
    pub reason: String,
}

/// Something that may be the accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What was done.
    pub operation: Operation,
    /// How much it weighs.
    pub weight: Weight,
    /// The transaction; none where the record names none.
    pub xid: Option<u32>,
    /// When it committed, by the server's clock.
    pub time: Option<Time>,
    /// The record that made it count.
    pub lsn: Lsn,
    /// The database.
    pub database: Option<u32>,
    /// Its name, where known.
    pub database_name: Option<String>,
    /// What it was done to.
    pub relations: Vec<Relation>,
    /// Further relations.
    pub relations_more: u64,
    /// Rows deleted or changed by it; of dropped and emptied tables those that they were believed to have.
    pub rows: Option<u64>,
    /// Whether it may have been more: a part of it lies before what was read, or was not listed.
    pub rows_at_least: bool,
    /// Whether it was prepared first; the time is that of COMMIT PREPARED.
    pub prepared: bool,
    /// The target of a restore that ends just before it.
    pub target: Target,
    /// The newest backup from which that target can be reached; none where there is none.
    pub from_backup: Option<BackupId>,
    /// What a person should know of it.
    pub hint: Option<String>,
}

/// A recovery target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The position.
    pub lsn: Lsn,
    /// Recovery stops just before the record that begins there.
    pub before: bool,
}

/// How much a candidate weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// It may be ordinary work.
    Low,
    /// It took a table, a database, or most rows of a table.
    High,
}

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameBasis {
    /// The list of a backup taken before.
    BackupBefore,
    /// The list of a backup taken afterwards.
    BackupAfter,
    /// The row that it got in the catalog when it was made, read from WAL: it is in no list.
    Wal,
}

/// A relation that something was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relation {
    /// Its OID, where known.
    pub oid: Option<u32>,
    /// Its schema, where known.
    pub schema: Option<String>,
    /// Its name, where known.
    pub name: Option<String>,
    /// What a later list calls it, with its schema, where that differs.
    pub later: Option<String>,
    /// Where the name comes from.
    pub basis: Option<NameBasis>,
    /// Its file, where one was touched.
    pub file: Option<RelationId>,
    /// Rows deleted or changed in it.
    pub rows: Option<u64>,
    /// Rows that it was believed to have.
    pub of_rows: Option<u64>,
}

/// What else a person may want to recover to, or not past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Where.
    pub lsn: Lsn,
    /// When, by the server's clock, where the record says.
    pub time: Option<Time>,
    /// What.
    #[serde(flatten)]
    pub what: EventWhat,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventWhat {
    /// A point was named.
    RestorePoint {
        /// Its name.
        name: String,
    },
    /// `wal_level` was switched.
    WalLevel {
        /// To what.
        level: seawall_pg::WalLevel,
    },
    /// The server was stopped in order.
    Shutdown,
    /// A recovery ended: after a crash, a restore or a promotion.
    EndOfRecovery {
        /// The timeline from here on.
        timeline: Timeline,
    },
    /// A database was made.
    DatabaseCreated {
        /// Its OID.
        database: u32,
        /// Its name, where known.
        name: Option<String>,
    },
    /// A tablespace was made.
    TablespaceCreated {
        /// Its OID.
        tablespace: u32,
    },
    /// A tablespace was dropped.
    TablespaceDropped {
        /// Its OID.
        tablespace: u32,
    },
}
