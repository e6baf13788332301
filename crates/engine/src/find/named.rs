//! What is left of candidates once everything has a name that can have one. Pure.
//!
//! Promises: a relation that no list names is told with the name that WAL gave it, and if it is no table, it is no loss; what nobody can
//! name stays, with its number, unless only a name could tell whether it is what was looked for: then it is counted.

use std::collections::BTreeMap;

use seawall_pg::SegmentNo;
use seawall_pg::wal::RelationId;

use super::catalog_rows::CatalogRows;
use super::judge::{Judge, Operation, Wanted, fits};
use super::names::{Names, Oid};
use super::report::{Candidate, NameBasis, Relation, Weight};

/// Schemas that have the same OID everywhere (`catalog/pg_namespace.dat`).
const SCHEMAS: [(u32, &str); 3] = [(11, "pg_catalog"), (99, "pg_toast"), (2200, "public")];

/// Files without a name by the segment in which each was made, where that is known.
pub(super) fn unnamed(judge: &Judge<'_>) -> BTreeMap<SegmentNo, Vec<RelationId>> {
    let mut all: BTreeMap<SegmentNo, Vec<RelationId>> = BTreeMap::new();
    let relations = judge.candidates.iter().flat_map(|candidate| &candidate.relations);
    for file in relations.filter(|relation| relation.name.is_none()).filter_map(|relation| relation.file) {
        let file = judge.names.origin(file);
        if let Some(number) = judge.made.get(&file) {
            let files = all.entry(*number).or_default();
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    all
}

/// Puts names in; of how many candidates only a name could have told whether they are what was looked for.
pub(super) fn settle(
    candidates: &mut Vec<Candidate>,
    names: &Names,
    rows: &CatalogRows,
    wanted: &Wanted,
) -> u64 {
    let mut unsure = 0;
    candidates.retain_mut(|candidate| {
        if candidate.relations.iter().all(|relation| relation.name.is_some()) {
            return true;
        }
        candidate.relations.retain_mut(|relation| name(relation, names, rows));
        // What nobody names may be an index or TOAST of what is named.
        if candidate.relations.iter().any(|relation| relation.name.is_some()) {
            candidate.relations.retain(|relation| relation.name.is_some() && fits(relation, wanted));
        } else if !candidate.relations.is_empty()
            && (candidate.operation == Operation::Truncate
                || wanted.table.is_some()
                || wanted.schema.is_some())
        {
            unsure += 1;
            candidate.relations.clear();
        }
        judge_again(candidate);
        !candidate.relations.is_empty()
    });
    unsure
}

/// Whether the relation stays, with the name that WAL gave it where it did.
fn name(relation: &mut Relation, names: &Names, rows: &CatalogRows) -> bool {
    let Some(file) = relation.file.filter(|_| relation.name.is_none()) else { return true };
    let Some(row) = rows.relations.get(&names.origin(file)) else { return true };
    relation.oid = Some(row.oid);
    relation.name = Some(row.name.clone());
    relation.schema = schema((file.database, row.namespace), names, rows);
    relation.basis = Some(NameBasis::Wal);
    let is_system = SCHEMAS.iter().take(2).any(|(oid, _)| *oid == row.namespace);
    matches!(row.kind, b'r' | b'm' | b'p') && !is_system
}

/// A schema's name: its own where it has the same OID everywhere, else as a list has it, else as WAL does.
fn schema(oid: Oid, names: &Names, rows: &CatalogRows) -> Option<String> {
    let own = SCHEMAS.iter().find(|(own, _)| *own == oid.1).map(|(_, name)| *name);
    own.or_else(|| names.schema(oid))
        .or_else(|| rows.schemas.get(&oid).map(String::as_str))
        .map(str::to_owned)
}

/// Weight, rows and words, after relations were named or left out.
fn judge_again(candidate: &mut Candidate) {
    let by_wal = candidate.relations.iter().filter(|one| one.basis == Some(NameBasis::Wal)).count();
    if matches!(candidate.operation, Operation::Delete | Operation::Update) {
        candidate.rows = candidate.relations.iter().filter_map(|one| one.rows).reduce(u64::saturating_add);
    } else if by_wal > 0 {
        candidate.weight = Weight::High;
    }
    if by_wal > 0 {
        let what = if by_wal == 1 { "a relation" } else { "relations" };
        candidate.hint = Some(format!(
            "{what} in no list of a backup, made since the one before: the name was read from WAL"
        ));
    }
}
