//! What a transaction took away, and what that was: DROP, TRUNCATE, or a rewrite that lost nothing.

use std::collections::{BTreeMap, HashMap};

use seawall_pg::Lsn;
use seawall_pg::wal::RelationId;
use seawall_repo::wal_index::transactions::{Activity, EndedTransaction};

use super::judge::Operation;
use super::names::{Label, Names, Oid};
use super::report::{Relation, Weight};

/// Without a number asked for, so many rows are worth telling whatever the table's size, and so many where they are half of it.
const MANY_ROWS: u64 = 10_000;
const FEW_ROWS: u64 = 20;
/// The first OID of users.
const FIRST_NORMAL_OID: u32 = 16_384;

/// A relation that something was done to.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) relation: Relation,
    pub(super) database: Option<u32>,
    pub(super) weight: Weight,
    pub(super) is_named: bool,
}

/// Per cent, at most 100: an estimate may be old.
pub(super) fn share(rows: u64, of: u64) -> Option<u64> {
    (of > 0).then(|| (u128::from(rows) * 100 / u128::from(of)).min(100) as u64)
}

/// The files that a transaction took away, and those it made instead.
#[derive(Debug)]
pub(super) struct Lost {
    /// Taken away, not made by itself, in order.
    gone: Vec<RelationId>,
    /// Made and still there, rising.
    made: Vec<RelationId>,
    /// Rows of `pg_class` that came and went.
    class_inserted: u64,
    class_updated: u64,
    class_deleted: u64,
    owners: Vec<Option<Oid>>,
}

impl Lost {
    pub(super) fn of(ended: &EndedTransaction, files: &HashMap<RelationId, Activity>, names: &Names) -> Self {
        let made_here = |file: &RelationId| files.get(file).is_some_and(|activity| activity.made);
        let gone: Vec<RelationId> =
            ended.dropped_files.iter().filter(|file| !made_here(file)).copied().collect();
        let mut made: Vec<RelationId> = files
            .values()
            .filter(|activity| activity.made && !ended.dropped_files.contains(&activity.relation))
            .map(|activity| activity.relation)
            .collect();
        made.sort_unstable_by_key(|file| (file.number, file.database, file.tablespace));
        let class = |count: fn(&Activity) -> u64| {
            let of_class = files.values().filter(|activity| {
                let file = activity.relation;
                file.database != 0 && file.number == names.class_number(file.database)
            });
            of_class.map(count).sum()
        };
        let owners = gone.iter().map(|file| names.of_file(*file)).collect();
        Self {
            class_inserted: class(|activity| activity.inserted),
            class_updated: class(|activity| activity.updated),
            class_deleted: class(|activity| activity.deleted),
            gone,
            made,
            owners,
        }
    }

    /// Whether it made a relation beside another one, and dropped that.
    fn is_rewrite(&self) -> bool {
        self.class_inserted > 0 && self.class_deleted > 0 && !self.made.is_empty()
    }

    /// What was done, by kind.
    pub(super) fn relations(
        &self,
        ended: &EndedTransaction,
        files: &HashMap<RelationId, Activity>,
        names: &Names,
        min_rows: Option<u64>,
    ) -> BTreeMap<Operation, Vec<Hit>> {
        let mut all: BTreeMap<Operation, Vec<Hit>> = BTreeMap::new();
        let mut told: Vec<Oid> = Vec::new();
        for (file, owner) in self.gone.iter().zip(&self.owners) {
            let label = owner.and_then(|oid| names.label(oid, ended.start));
            if label.as_ref().is_some_and(|label| !label.is_table()) {
                continue;
            }
            let operation = match owner {
                Some(oid) => self.fate(*oid, file, ended, names),
                None => self.fate_of_unknown(file),
            };
            if let Some(operation) = operation {
                told.extend(owner);
                all.entry(operation).or_default().push(hit(*owner, label, Some(*file), None));
            }
        }
        // Relations without a file of their own: partitioned tables, views.
        for dropped in &ended.dropped {
            let oid = (dropped.database, dropped.oid);
            let label = names.label(oid, ended.start).filter(Label::is_table);
            if label.is_some() && !told.contains(&oid) {
                all.entry(Operation::Drop).or_default().push(hit(Some(oid), label, None, None));
            }
        }
        for activity in files.values() {
            if let Some((operation, changed)) = rows_changed(activity, ended, names, &self.gone, min_rows) {
                all.entry(operation).or_default().push(changed);
            }
        }
        for hits in all.values_mut() {
            hits.sort_by(|a, b| {
                b.weight.cmp(&a.weight).then_with(|| key(&a.relation).cmp(&key(&b.relation)))
            });
            // A table that nobody names may be an index or TOAST of one that is named: then it is no candidate of its own.
            if hits.iter().any(|hit| hit.is_named) {
                hits.retain(|hit| hit.is_named);
            }
        }
        all
    }

    /// What became of a known relation whose file is gone; none for a rewrite, or a move to another tablespace.
    fn fate(
        &self,
        oid: Oid,
        file: &RelationId,
        ended: &EndedTransaction,
        names: &Names,
    ) -> Option<Operation> {
        let in_dropped = ended.dropped.iter().any(|one| (one.database, one.oid) == oid);
        if in_dropped {
            return Some(Operation::Drop);
        }
        // Before PostgreSQL 15 nothing says which relations were dropped.
        let untold = ended.dropped.is_empty() && self.class_deleted > 0 && !self.is_rewrite();
        if untold {
            let gone = match names.is_there_after(oid, ended.start) {
                Some(there) => !there,
                None => self.made.len() < self.gone.len(),
            };
            return Some(if gone { Operation::Drop } else { Operation::Truncate });
        }
        if self.is_rewrite() || self.made.is_empty() {
            return None;
        }
        let same_place = self.made.iter().any(|made| made.tablespace == file.tablespace);
        same_place.then_some(Operation::Truncate)
    }

    /// What became of a file in no list. TRUNCATE and REINDEX look alike: which it was is told by the relation's kind, once it has a name.
    fn fate_of_unknown(&self, file: &RelationId) -> Option<Operation> {
        if self.made.is_empty() && self.class_deleted > 0 {
            return Some(Operation::Drop);
        }
        let only_changed = self.class_updated > 0 && self.class_deleted == 0 && self.class_inserted == 0;
        let same_place = self.made.iter().any(|made| made.tablespace == file.tablespace);
        (only_changed && same_place && self.made.len() == self.gone.len()).then_some(Operation::Truncate)
    }

    /// Files that took the place of others. They are taken away newest first and made in order; in a rewrite the table's comes first.
    pub(super) fn follow(&self, names: &mut Names) {
        if self.is_rewrite() {
            let mut tables = self
                .owners
                .iter()
                .flatten()
                .filter(|oid| names.label(**oid, Lsn(u64::MAX)).is_some_and(|label| label.is_table()));
            if let (Some(table), None, Some(first)) = (tables.next(), tables.next(), self.made.first()) {
                names.follow(*first, *table);
            } else if let (true, Some(gone), Some(first)) =
                (self.owners.iter().all(Option::is_none), self.gone.first(), self.made.first())
            {
                // The relation beside it is dropped last of all, with the old file and behind what belongs to it.
                names.follow_unknown(*first, *gone);
            }
        } else if self.made.len() == self.gone.len() {
            for (made, (gone, owner)) in self.made.iter().zip(self.gone.iter().zip(&self.owners).rev()) {
                match owner {
                    Some(oid) => names.follow(*made, *oid),
                    None => names.follow_unknown(*made, *gone),
                }
            }
        }
    }
}

fn key(relation: &Relation) -> (Option<&str>, Option<&str>, Option<u32>) {
    (relation.schema.as_deref(), relation.name.as_deref(), relation.oid)
}

fn hit(oid: Option<Oid>, label: Option<Label>, file: Option<RelationId>, rows: Option<u64>) -> Hit {
    let database = oid.map(|(database, _)| database).or(file.map(|file| file.database));
    let is_named = label.is_some();
    let of_rows = label.as_ref().and_then(|label| label.rows);
    let (mut schema, mut name, mut later, mut basis) = (None, None, None, None);
    if let Some(label) = label {
        (schema, name, later, basis) = (Some(label.schema), Some(label.name), label.later, Some(label.basis));
    }
    let weight = match (rows, of_rows) {
        (None, Some(0)) => Weight::Low,
        (None, _) if is_named => Weight::High,
        (None, _) => Weight::Low,
        (Some(rows), Some(of)) if share(rows, of).is_some_and(|share| share >= 50) => Weight::High,
        _ => Weight::Low,
    };
    let relation = Relation { oid: oid.map(|(_, oid)| oid), schema, name, later, basis, file, rows, of_rows };
    Hit { relation, database, weight, is_named }
}

/// Whether so many rows of a table went or changed that it may be an accident.
fn rows_changed(
    activity: &Activity,
    ended: &EndedTransaction,
    names: &Names,
    gone: &[RelationId],
    min_rows: Option<u64>,
) -> Option<(Operation, Hit)> {
    let file = activity.relation;
    let (operation, rows) = match (activity.deleted, activity.updated) {
        (0, 0) => return None,
        (deleted, updated) if deleted >= updated => (Operation::Delete, deleted),
        (_, updated) => (Operation::Update, updated),
    };
    if activity.made || gone.contains(&file) || file.database == 0 {
        return None;
    }
    let owner = names.of_file(file);
    let label = owner.and_then(|oid| names.label(oid, ended.start));
    match &label {
        Some(label) if !label.is_table() => return None,
        None if file.number < FIRST_NORMAL_OID => return None,
        _ => {}
    }
    let of = label.as_ref().and_then(|label| label.rows);
    let half = of.is_some_and(|of| rows.saturating_mul(2) >= of);
    let enough = match min_rows {
        Some(least) => rows >= least,
        None => rows >= MANY_ROWS || (half && rows >= FEW_ROWS),
    };
    enough.then(|| (operation, hit(owner, label, Some(file), Some(rows))))
}
