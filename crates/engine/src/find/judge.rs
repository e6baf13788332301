//! From what transactions did to what may be the accident.
//!
//! Promises: pure; takes segments in the order of WAL, and memory is bounded by what is open and by [`CANDIDATES_MAX`]. Rows of
//! subtransactions count for the transaction; what was aborted counts for nothing; what a transaction made itself it cannot lose.
//! How DROP, TRUNCATE and a rewrite are told apart: all three take a file away. DROP takes the relation's row out of `pg_class`;
//! TRUNCATE changes it (and only that); a rewrite (VACUUM FULL, CLUSTER, ALTER TABLE) makes a relation beside it and drops that.

use std::collections::{BTreeMap, HashMap};

use seawall_pg::wal::RelationId;
use seawall_pg::{Lsn, SegmentNo};
use seawall_repo::time::Time;
use seawall_repo::wal_index::transactions::{Activity, EndedTransaction, How, Transactions};
use seawall_repo::wal_index::{Mark, MarkWhat};
use serde::Serialize;

use super::lost::{Hit, Lost, share};
use super::names::Names;
use super::report::{Candidate, Event, EventWhat, Relation, Target, Weight};

/// Candidates that are kept.
pub(super) const CANDIDATES_MAX: usize = 5_000;
const EVENTS_MAX: usize = 1_000;
/// Relations of one candidate that are listed.
const RELATIONS_MAX: usize = 200;
/// Rows of a pair that was left out, or subtransactions, from which on the rows told may be too few.
const LOST_ROWS: u64 = 20;
const LOST_PAIRS: usize = 20;
/// Pairs of a transaction and a file that are open at the same time.
const OPEN_MAX: usize = 1 << 18;
/// Files in no list of which it is known where they were made.
const MADE_MAX: usize = 1 << 16;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Relations were dropped.
    Drop,
    /// A database was dropped.
    DropDatabase,
    /// Tables were emptied.
    Truncate,
    /// Rows were deleted.
    Delete,
    /// Rows were changed.
    Update,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only this; all where unset.
    pub operation: Option<Operation>,
    /// Only relations of this name.
    pub table: Option<String>,
    /// Only relations in this schema.
    pub schema: Option<String>,
    /// Only in this database.
    pub database: Option<String>,
    /// Only so many rows or more; by default what is many for the table.
    pub min_rows: Option<u64>,
    /// Only what committed from then on.
    pub since: Option<Time>,
    /// Only what committed until then.
    pub until: Option<Time>,
    /// Only what committed from here on.
    pub since_lsn: Option<Lsn>,
    /// Only what committed until here.
    pub until_lsn: Option<Lsn>,
}

/// Takes segments, gives candidates.
#[derive(Debug)]
pub(super) struct Judge<'w> {
    pub(super) names: Names,
    wanted: &'w Wanted,
    open: BTreeMap<u32, HashMap<RelationId, Activity>>,
    open_pairs: usize,
    /// The highest number among those seen in the first segment: what is not above it may have begun earlier.
    begun_before: Option<u32>,
    lossy: bool,
    /// The most rows that one pair lost.
    lost_rows: u64,
    waiting: Vec<Candidate>,
    /// In which segment a file in no list was made.
    pub(super) made: HashMap<RelationId, SegmentNo>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) candidates_more: u64,
    pub(super) events: Vec<Event>,
    pub(super) events_more: u64,
    pub(super) transactions: u64,
}

impl<'w> Judge<'w> {
    pub(super) fn new(names: Names, wanted: &'w Wanted) -> Self {
        Self {
            names,
            wanted,
            open: BTreeMap::new(),
            open_pairs: 0,
            begun_before: None,
            lossy: false,
            lost_rows: 0,
            waiting: Vec::new(),
            made: HashMap::new(),
            candidates: Vec::new(),
            candidates_more: 0,
            events: Vec::new(),
            events_more: 0,
            transactions: 0,
        }
    }

    /// Takes the next segment.
    pub(super) fn segment(&mut self, number: SegmentNo, marks: &[Mark], transactions: &Transactions) {
        self.lossy |= transactions.left_out > 0;
        self.lost_rows = self.lost_rows.max(transactions.left_out_rows_most);
        if self.begun_before.is_none() {
            let ended =
                transactions.ended.iter().flat_map(|one| one.subtransactions.iter().chain([&one.xid]));
            let all = transactions.activity.iter().map(|one| &one.xid).chain(ended);
            self.begun_before = all.copied().max();
        }
        for activity in &transactions.activity {
            self.add(activity);
            let file = activity.relation;
            if activity.made && self.made.len() < MADE_MAX && self.names.of_file(file).is_none() {
                self.made.entry(file).or_insert(number);
            }
        }
        let mut marks = marks.iter().peekable();
        for ended in &transactions.ended {
            while let Some(mark) = marks.next_if(|mark| mark.start < ended.start) {
                self.mark(mark);
            }
            self.end(ended);
        }
        marks.for_each(|mark| self.mark(mark));
    }

    /// All was taken: what still waits for a commit has none.
    pub(super) fn finish(&mut self) {
        for candidate in std::mem::take(&mut self.waiting) {
            self.keep(candidate);
        }
        self.candidates.sort_by_key(|candidate| candidate.lsn);
    }

    fn add(&mut self, activity: &Activity) {
        if self.open_pairs >= OPEN_MAX {
            // Whoever holds this many open is no accident of one statement; the oldest goes.
            (self.lossy, self.lost_rows) = (true, u64::MAX);
            if let Some((_, files)) = self.open.pop_first() {
                self.open_pairs = self.open_pairs.saturating_sub(files.len());
            }
        }
        let files = self.open.entry(activity.xid).or_default();
        let before = files.len();
        join(files, activity);
        self.open_pairs += files.len() - before;
    }

    fn mark(&mut self, mark: &Mark) {
        let (time, what) = match &mark.what {
            MarkWhat::RestorePoint { name, time } => {
                (Some(*time), EventWhat::RestorePoint { name: name.clone() })
            }
            MarkWhat::WalLevel { level } => (None, EventWhat::WalLevel { level: *level }),
            MarkWhat::Checkpoint { shutdown: true, time, .. } => (Some(*time), EventWhat::Shutdown),
            MarkWhat::EndOfRecovery { timeline, time, .. } => {
                (Some(*time), EventWhat::EndOfRecovery { timeline: *timeline })
            }
            MarkWhat::DatabaseCreated { database, .. } => {
                let name = self.names.database(*database).map(str::to_owned);
                (None, EventWhat::DatabaseCreated { database: *database, name })
            }
            MarkWhat::DatabaseDropped { database, .. } => {
                return self.database_dropped(mark.start, *database);
            }
            MarkWhat::TablespaceCreated { tablespace } => {
                (None, EventWhat::TablespaceCreated { tablespace: *tablespace })
            }
            MarkWhat::TablespaceDropped { tablespace } => {
                (None, EventWhat::TablespaceDropped { tablespace: *tablespace })
            }
            MarkWhat::Checkpoint { .. } | MarkWhat::FullPageWrites { .. } | MarkWhat::BackupEnded { .. } => {
                return;
            }
        };
        // Every segment says which level it has; only a switch is worth telling.
        if let EventWhat::WalLevel { .. } = &what {
            let last =
                self.events.iter().rev().find(|event| matches!(event.what, EventWhat::WalLevel { .. }));
            if last.is_some_and(|last| last.what == what) {
                return;
            }
        }
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { lsn: mark.start, time, what });
        } else {
            self.events_more += 1;
        }
    }

    /// Its commit follows at once, and gives the time.
    fn database_dropped(&mut self, lsn: Lsn, database: u32) {
        self.waiting.push(Candidate {
            operation: Operation::DropDatabase,
            weight: Weight::High,
            xid: None,
            time: None,
            lsn,
            database: Some(database),
            database_name: self.names.database(database).map(str::to_owned),
            relations: Vec::new(),
            relations_more: 0,
            rows: None,
            rows_at_least: false,
            prepared: false,
            target: Target { lsn, before: true },
            from_backup: None,
            hint: None,
        });
    }

    fn end(&mut self, ended: &EndedTransaction) {
        for mut candidate in std::mem::take(&mut self.waiting) {
            candidate.time = Some(ended.time);
            self.keep(candidate);
        }
        let mut files = HashMap::new();
        for xid in std::iter::once(&ended.xid).chain(&ended.subtransactions) {
            if let Some(done) = self.open.remove(xid) {
                self.open_pairs = self.open_pairs.saturating_sub(done.len());
                done.values().for_each(|activity| join(&mut files, activity));
            }
        }
        if ended.how == How::Aborted {
            return;
        }
        self.transactions += 1;
        let lost = Lost::of(ended, &files, &self.names);
        for (operation, relations) in lost.relations(ended, &files, &self.names, self.wanted.min_rows) {
            self.offer(ended, operation, relations);
        }
        lost.follow(&mut self.names);
    }

    fn offer(&mut self, ended: &EndedTransaction, operation: Operation, relations: Vec<Hit>) {
        let wanted = self.wanted;
        // Of one without a name it is not known yet.
        let relations: Vec<Hit> =
            relations.into_iter().filter(|hit| !hit.is_named || fits(&hit.relation, wanted)).collect();
        let Some(first) = relations.first() else { return };
        let database = first.database.or(ended.database);
        let rows: Option<u64> = relations
            .iter()
            .map(|hit| hit.relation.rows.or(hit.relation.of_rows))
            .fold(None, |sum, rows| rows.map_or(sum, |rows| Some(sum.unwrap_or(0).saturating_add(rows))));
        let is_row_change = matches!(operation, Operation::Delete | Operation::Update);
        let weight = relations.iter().map(|hit| hit.weight).max().unwrap_or(Weight::Low);
        let began_before = self.begun_before.is_some_and(|last| ended.xid <= last);
        // What a segment leaves out are the pairs of the fewest rows: they matter where they are many, or large.
        let lossy = self.lossy && (self.lost_rows >= LOST_ROWS || ended.subtransactions.len() >= LOST_PAIRS);
        let count = relations.len();
        let hint = hint(operation, &relations);
        let candidate = Candidate {
            operation,
            weight,
            xid: Some(ended.xid),
            time: Some(ended.time),
            lsn: ended.start,
            database,
            database_name: database.and_then(|oid| self.names.database(oid).map(str::to_owned)),
            relations: relations.into_iter().take(RELATIONS_MAX).map(|hit| hit.relation).collect(),
            relations_more: count.saturating_sub(RELATIONS_MAX) as u64,
            rows,
            rows_at_least: is_row_change && (lossy || began_before),
            prepared: ended.prepared,
            target: Target { lsn: ended.start, before: true },
            from_backup: None,
            hint,
        };
        self.keep(candidate);
    }

    /// Keeps it, if it is of what is looked for; of too many those that weigh most.
    fn keep(&mut self, candidate: Candidate) {
        let wanted = self.wanted;
        let is_drop = candidate.operation == Operation::DropDatabase;
        let of_operation = wanted.operation.is_none_or(|operation| {
            operation == candidate.operation || (operation == Operation::Drop && is_drop)
        });
        let of_database = wanted
            .database
            .as_ref()
            .is_none_or(|name| candidate.database_name.as_ref().is_none_or(|known| known == name));
        let of_table = !is_drop || (wanted.table.is_none() && wanted.schema.is_none());
        let of_rows = match (wanted.min_rows, candidate.rows) {
            (Some(least), Some(rows)) => rows >= least,
            _ => true,
        };
        let in_time = candidate.time.is_none_or(|time| {
            wanted.since.is_none_or(|since| time >= since) && wanted.until.is_none_or(|until| time <= until)
        });
        let in_wal = wanted.since_lsn.is_none_or(|since| candidate.lsn >= since)
            && wanted.until_lsn.is_none_or(|until| candidate.lsn <= until);
        if !(of_operation && of_database && of_table && of_rows && in_time && in_wal) {
            return;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            self.candidates_more += 1;
            let lightest = self.candidates.iter().position(|known| known.weight < candidate.weight);
            match lightest {
                Some(at) => drop(self.candidates.remove(at)),
                None => return,
            }
        }
        self.candidates.push(candidate);
    }
}

fn join(files: &mut HashMap<RelationId, Activity>, activity: &Activity) {
    files
        .entry(activity.relation)
        .and_modify(|known| {
            known.inserted = known.inserted.saturating_add(activity.inserted);
            known.updated = known.updated.saturating_add(activity.updated);
            known.deleted = known.deleted.saturating_add(activity.deleted);
            known.made |= activity.made;
            known.cut_to = [known.cut_to, activity.cut_to].into_iter().flatten().min();
        })
        .or_insert(*activity);
}

/// Whether a relation is one that is looked for.
pub(super) fn fits(relation: &Relation, wanted: &Wanted) -> bool {
    let later = relation.later.as_deref().and_then(|later| later.split_once('.'));
    let of_table = wanted.table.as_ref().is_none_or(|table| {
        relation.name.as_ref() == Some(table) || later.is_some_and(|(_, name)| name == table)
    });
    let of_schema = wanted.schema.as_ref().is_none_or(|schema| {
        relation.schema.as_ref() == Some(schema) || later.is_some_and(|(known, _)| known == schema)
    });
    of_table && of_schema
}

fn hint(operation: Operation, relations: &[Hit]) -> Option<String> {
    let unnamed = relations.iter().filter(|hit| !hit.is_named).count();
    if unnamed > 0 {
        return Some(format!(
            "{unnamed} of its relations are in no list of a backup: made and gone between two backups"
        ));
    }
    let share = relations.iter().filter_map(|hit| share(hit.relation.rows?, hit.relation.of_rows?)).max()?;
    let what = match operation {
        Operation::Delete => "deleted",
        Operation::Update => "changed",
        _ => return None,
    };
    (share >= 50).then(|| format!("{share} % of the table's rows were {what}"))
}
