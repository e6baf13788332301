//! What the relations of a database are called: the list that stands among a backup's files (FORMAT §7.5).
//!
//! Promises: rows rise by OID and have fixed places for what changes often, so that little of a list differs from the one before
//! it and a backup stores only those pages; what is decoded encodes to the same bytes; whatever is read is checked before it is
//! believed. Deliberately knows no server and no object: bytes in, rows out.

use std::collections::BTreeMap;

use seawall_pg::Lsn;
use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, Writer};
use crate::time::Time;

/// What the paths of these files begin with. No file of a data directory has such a path.
pub const MADE_PREFIX: &[u8] = b"@seawall";
/// The folder of the lists.
const FOLDER: &str = "@seawall/relations/";
/// The file that says what the lists cover.
pub const COVERAGE_PATH: &[u8] = b"@seawall/relations/databases.json";
/// No list is longer.
pub const LIST_BYTES_MAX: usize = 64 << 20;
/// Names are this long at most (`NAMEDATALEN` of a server built to have long ones).
const NAME_BYTES_MAX: usize = 1024;
const VERSION: u8 = 1;
/// The numbers, the kinds, and two empty names.
const ROW_BYTES_MIN: usize = 32;
/// Stands for an unknown number of rows.
const ROWS_UNKNOWN: u64 = u64::MAX;

/// A relation, as a database's catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its OID.
    pub oid: u32,
    /// The number of its file; 0 if it has none.
    pub number: u32,
    /// The OID of the tablespace of its file; 0 if it has none.
    pub tablespace: u32,
    /// What it belongs to: the table of an index or of a TOAST table; 0 for others.
    pub owner: u32,
    /// How many rows the planner believes it has; none where nobody counted.
    pub rows: Option<u64>,
    /// `relkind`.
    pub kind: u8,
    /// `relpersistence`.
    pub persistence: u8,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// What the lists cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Where WAL ended before the first question: what committed before is in the lists.
    pub from: Lsn,
    /// Where it ended behind the last: what was committed behind is in none.
    pub to: Lsn,
    /// When, by the server's clock.
    pub taken: Time,
    /// Every database.
    pub databases: Vec<CoveredDatabase>,
}

/// Whether and how far a database is covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredDatabase {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Relations in its list.
    pub relations: u64,
    /// Relations left out because the list was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// Its schemas by OID: of a relation that is in no list WAL tells the number of its schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<u32, String>,
    /// Why it has no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The path of a database's list.
#[must_use]
pub fn list_path(database: u32) -> Vec<u8> {
    format!("{FOLDER}{database}").into_bytes()
}

/// Whether a path is of a file that seawall made for the backup, and none of the cluster.
#[must_use]
pub fn is_made(path: &[u8]) -> bool {
    path.strip_prefix(MADE_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Writes a list, row by row.
#[derive(Debug)]
pub struct RelationListWriter {
    bytes: Writer,
    bytes_max: usize,
    last: Option<u32>,
    rows: u64,
    left_out: u64,
}

impl RelationListWriter {
    /// An empty list of this database, which becomes no longer than `bytes_max`.
    #[must_use]
    pub fn new(database: u32, bytes_max: usize) -> Self {
        let mut bytes = Writer::new();
        bytes.u8(VERSION);
        bytes.u32(database);
        Self { bytes, bytes_max: bytes_max.min(LIST_BYTES_MAX), last: None, rows: 0, left_out: 0 }
    }

    /// Adds the next relation; one that does not rise, or does not fit, is counted as left out.
    pub fn push(&mut self, row: &Relation) {
        let rises = self.last.is_none_or(|last| last < row.oid);
        let fits = [&row.schema, &row.name].iter().all(|text| text.len() <= NAME_BYTES_MAX);
        let bytes = ROW_BYTES_MIN + 4 + row.schema.len() + row.name.len();
        if !rises || !fits || self.bytes.len() + bytes > self.bytes_max {
            self.left_out += 1;
            return;
        }
        for number in [row.oid, row.number, row.tablespace, row.owner] {
            self.bytes.u32(number);
        }
        self.bytes.u64(row.rows.unwrap_or(ROWS_UNKNOWN));
        self.bytes.u8(row.kind);
        self.bytes.u8(row.persistence);
        self.bytes.bytes(row.schema.as_bytes());
        self.bytes.bytes(row.name.as_bytes());
        self.last = Some(row.oid);
        self.rows += 1;
    }

    /// The list's bytes, the rows in it, and how many were left out.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, u64, u64) {
        (self.bytes.into_bytes(), self.rows, self.left_out)
    }
}

/// Reads a list, row by row.
#[derive(Debug)]
pub struct RelationListReader<'a> {
    reader: Reader<'a>,
    database: u32,
    last: Option<u32>,
}

impl<'a> RelationListReader<'a> {
    /// Begins.
    ///
    /// # Errors
    /// It is of another version, or no list.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(reader.invalid("a list of relations of another version"));
        }
        let database = reader.u32()?;
        Ok(Self { reader, database, last: None })
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// The next relation; none behind the last.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn next_row(&mut self) -> Result<Option<Relation>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let oid = self.reader.u32()?;
        if self.last.is_some_and(|last| last >= oid) {
            return Err(self.reader.invalid("relations out of order"));
        }
        self.last = Some(oid);
        let (number, tablespace, owner) = (self.reader.u32()?, self.reader.u32()?, self.reader.u32()?);
        let rows = Some(self.reader.u64()?).filter(|rows| *rows != ROWS_UNKNOWN);
        let (kind, persistence) = (self.reader.u8()?, self.reader.u8()?);
        let (schema, name) = (self.text()?, self.text()?);
        Ok(Some(Relation { oid, number, tablespace, owner, rows, kind, persistence, schema, name }))
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.reader.bytes()?;
        if bytes.len() > NAME_BYTES_MAX {
            return Err(self.reader.invalid("a name that is too long"));
        }
        String::from_utf8(bytes.to_vec()).map_err(|_| self.reader.invalid("a name that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_relation() -> impl Strategy<Value = Relation> {
        let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), proptest::option::of(0..u64::MAX));
        (numbers, any::<u8>(), any::<u8>(), "\\PC{0,20}", "\\PC{0,70}").prop_map(
            |((number, tablespace, owner, rows), kind, persistence, schema, name)| Relation {
                oid: 0,
                number,
                tablespace,
                owner,
                rows,
                kind,
                persistence,
                schema,
                name,
            },
        )
    }

    fn written(database: u32, rows: &[Relation]) -> Vec<u8> {
        let mut writer = RelationListWriter::new(database, LIST_BYTES_MAX);
        rows.iter().for_each(|row| writer.push(row));
        let (bytes, count, left_out) = writer.finish();
        assert_eq!((count, left_out), (rows.len() as u64, 0));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(u32, Vec<Relation>), DecodeError> {
        let mut reader = RelationListReader::new(bytes)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        Ok((reader.database(), rows))
    }

    fn one() -> Relation {
        Relation {
            oid: 0x4001,
            number: 0x4002,
            tablespace: 1663,
            owner: 0,
            rows: None,
            kind: b'r',
            persistence: b'p',
            schema: "s".into(),
            name: "ab".into(),
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        #[rustfmt::skip]
        assert_eq!(written(5, &[one()]), [
            1, 5, 0, 0, 0,
            0x01, 0x40, 0, 0, 0x02, 0x40, 0, 0, 0x7F, 0x06, 0, 0, 0, 0, 0, 0,
            0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, b'r', b'p', 1, b's', 2, b'a', b'b',
        ]);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_does_not_rise_refused() {
        let mut writer = RelationListWriter::new(5, 80);
        writer.push(&one());
        writer.push(&one());
        writer.push(&Relation { oid: 0x4002, name: "x".repeat(NAME_BYTES_MAX + 1), ..one() });
        writer.push(&Relation { oid: 0x4003, name: "longer than 80".into(), ..one() });
        let (bytes, rows, left_out) = writer.finish();
        assert_eq!((rows, left_out), (1, 3));
        let twice = [&bytes[..], &bytes[5..]].concat();
        assert!(matches!(read(&twice), Err(DecodeError::Invalid { .. })));
    }

    #[test]
    fn files_that_seawall_made_are_told_by_their_path() {
        assert!(is_made(COVERAGE_PATH) && is_made(&list_path(5)) && is_made(b"@seawall"));
        assert!(!is_made(b"@seawalls/x") && !is_made(b"base/5/1"));
        assert!(list_path(5).as_slice() < COVERAGE_PATH && list_path(u32::MAX).as_slice() < COVERAGE_PATH);
    }

    proptest! {
        #[test]
        fn a_list_round_trips(rows in proptest::collection::vec(any_relation(), 0..20), database: u32) {
            let rows: Vec<Relation> =
                rows.into_iter().zip(1..).map(|(row, oid)| Relation { oid: oid * 3, ..row }).collect();
            prop_assert_eq!(read(&written(database, &rows)), Ok((database, rows)));
        }

        #[test]
        fn every_accepted_list_is_the_one_written(bytes in proptest::collection::vec(0..4u8, 0..120)) {
            if let Ok((database, rows)) = read(&bytes) {
                prop_assert_eq!(written(database, &rows), bytes);
            }
        }
    }
}
