//! Names for the numbers in WAL: from the lists that stand with backups, and followed through WAL where a relation got another file.
//!
//! Promises: pure; a name says which list it comes from, and both names are told where a relation was renamed between two lists.

use std::collections::HashMap;

use seawall_pg::Lsn;
use seawall_pg::wal::RelationId;
use seawall_repo::bytes::DecodeError;
use seawall_repo::id::BackupId;
use seawall_repo::relation_list::{Coverage, Relation, RelationListReader};

use super::report::NameBasis;

/// The tablespace of what all databases share; its files belong to no database.
const GLOBAL: u32 = 1664;
/// The OIDs of `pg_class` and `pg_namespace` in every database.
const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;

/// A relation by database and OID.
pub(super) type Oid = (u32, u32);

/// The lists of one backup.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) backup: BackupId,
    pub(super) coverage: Coverage,
    relations: HashMap<Oid, Relation>,
    files: HashMap<RelationId, Oid>,
}

impl Snapshot {
    pub(super) fn new(backup: BackupId, coverage: Coverage) -> Self {
        Self { backup, coverage, relations: HashMap::new(), files: HashMap::new() }
    }

    /// Takes the list of a database.
    pub(super) fn add(&mut self, list: &[u8]) -> Result<(), DecodeError> {
        let mut reader = RelationListReader::new(list)?;
        let database = reader.database();
        while let Some(relation) = reader.next_row()? {
            let oid = (database, relation.oid);
            if relation.number != 0 {
                let owner = if relation.tablespace == GLOBAL { 0 } else { database };
                let file =
                    RelationId { tablespace: relation.tablespace, database: owner, number: relation.number };
                self.files.insert(file, oid);
            }
            self.relations.insert(oid, relation);
        }
        Ok(())
    }
}

/// What is known of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) schema: String,
    pub(super) name: String,
    /// What a later list calls it, where that differs.
    pub(super) later: Option<String>,
    pub(super) kind: u8,
    pub(super) owner: u32,
    pub(super) rows: Option<u64>,
    pub(super) basis: NameBasis,
}

impl Label {
    /// Whether it holds rows of users: tables, their partitions, materialized views.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, b'r' | b'm' | b'p') && !self.is_system()
    }

    /// Whether it is the server's own.
    pub(super) fn is_system(&self) -> bool {
        matches!(self.schema.as_str(), "pg_catalog" | "information_schema" | "pg_toast")
    }
}

/// All that is known, lists in the order of WAL.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) snapshots: Vec<Snapshot>,
    /// Files that took the place of known ones.
    followed: HashMap<RelationId, Oid>,
    /// Files in no list that took the place of others in no list.
    came_from: HashMap<RelationId, RelationId>,
}

impl Names {
    pub(super) fn new(mut snapshots: Vec<Snapshot>) -> Self {
        snapshots.sort_by_key(|snapshot| snapshot.coverage.from);
        Self { snapshots, ..Self::default() }
    }

    /// Whose file this is.
    pub(super) fn of_file(&self, file: RelationId) -> Option<Oid> {
        let listed = || self.snapshots.iter().find_map(|snapshot| snapshot.files.get(&file));
        self.followed.get(&file).or_else(listed).copied()
    }

    /// Notes that a relation has this file from now on.
    pub(super) fn follow(&mut self, file: RelationId, oid: Oid) {
        self.followed.insert(file, oid);
    }

    /// Notes that this file took the place of another one, neither of which is in a list.
    pub(super) fn follow_unknown(&mut self, file: RelationId, gone: RelationId) {
        let first = self.origin(gone);
        self.came_from.insert(file, first);
    }

    /// The file that a relation in no list had first.
    pub(super) fn origin(&self, file: RelationId) -> RelationId {
        self.came_from.get(&file).copied().unwrap_or(file)
    }

    /// What a relation is called, as seen at a position.
    pub(super) fn label(&self, oid: Oid, at: Lsn) -> Option<Label> {
        let mut known =
            self.snapshots.iter().filter_map(|one| Some((one, one.relations.get(&oid)?))).peekable();
        let (mut snapshot, mut relation) = known.next()?;
        // The last list before the position knows it best.
        while let Some((next, newer)) = known.next_if(|(next, _)| next.coverage.from <= at) {
            (snapshot, relation) = (next, newer);
        }
        let later = known.last().map(|(_, later)| later);
        let later = later.filter(|later| (&later.schema, &later.name) != (&relation.schema, &relation.name));
        let rows = relation.rows.or_else(|| self.rows(oid));
        let basis =
            if snapshot.coverage.from <= at { NameBasis::BackupBefore } else { NameBasis::BackupAfter };
        Some(Label {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            later: later.map(|later| format!("{}.{}", later.schema, later.name)),
            kind: relation.kind,
            owner: relation.owner,
            rows,
            basis,
        })
    }

    fn rows(&self, oid: Oid) -> Option<u64> {
        self.snapshots.iter().filter_map(|one| one.relations.get(&oid)?.rows).next()
    }

    /// Whether the relation is in the first list taken behind a position; none if no such list covers its database.
    pub(super) fn is_there_after(&self, oid: Oid, at: Lsn) -> Option<bool> {
        let after = self.snapshots.iter().find(|one| one.coverage.from > at)?;
        let asked = after.coverage.databases.iter().find(|database| database.oid == oid.0)?;
        asked.not_asked.is_none().then(|| after.relations.contains_key(&oid))
    }

    /// A database's name.
    pub(super) fn database(&self, oid: u32) -> Option<&str> {
        let mut all = self.snapshots.iter().flat_map(|one| &one.coverage.databases);
        all.find(|database| database.oid == oid).map(|database| database.name.as_str())
    }

    /// A schema's name, by database and OID, as the newest list has it.
    pub(super) fn schema(&self, (database, oid): Oid) -> Option<&str> {
        let mut all = self.snapshots.iter().rev().flat_map(|one| &one.coverage.databases);
        all.find_map(|known| known.schemas.get(&oid).filter(|_| known.oid == database)).map(String::as_str)
    }

    /// The file number of `pg_class` in a database.
    pub(super) fn class_number(&self, database: u32) -> u32 {
        self.catalog_number(database, PG_CLASS)
    }

    /// The file number of `pg_namespace` in a database.
    pub(super) fn namespace_number(&self, database: u32) -> u32 {
        self.catalog_number(database, PG_NAMESPACE)
    }

    /// A catalog's file number: its OID until it is rewritten.
    fn catalog_number(&self, database: u32, catalog: u32) -> u32 {
        let listed = self.snapshots.iter().find_map(|one| one.relations.get(&(database, catalog)));
        listed.map_or(catalog, |relation| relation.number)
    }
}
