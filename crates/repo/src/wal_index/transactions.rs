//! What transactions did in a segment: who ended, who changed how many rows of what. The contents of a segment's footer.
//!
//! Promises: numbers and positions only, under the meta key like the index; rows in canonical form. It stands behind the segment
//! and not in front, because backups have no use for it and read the front alone. Deliberately knows no names.

use seawall_pg::Lsn;
use seawall_pg::wal::RelationId;

use crate::bytes::{DecodeError, Reader, Writer};
use crate::time::Time;

/// A relation by its identity in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationOid {
    /// The database's OID, 0 for shared relations.
    pub database: u32,
    /// The relation's OID.
    pub oid: u32,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Its changes count.
    Committed,
    /// They do not.
    Aborted,
}

/// A transaction whose commit or abort ends in the segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedTransaction {
    /// Where its record begins: recovery that stops just before it knows nothing of the transaction.
    pub start: Lsn,
    /// The transaction (of a prepared one its own id, not that of who committed it).
    pub xid: u32,
    /// When, by the server's clock.
    pub time: Time,
    /// How.
    pub how: How,
    /// Whether it was prepared before.
    pub prepared: bool,
    /// The database it ran in, where the record tells.
    pub database: Option<u32>,
    /// Its subtransactions, rising.
    pub subtransactions: Vec<u32>,
    /// Files that went with it, in order.
    pub dropped_files: Vec<RelationId>,
    /// Relations that were dropped by it (from PostgreSQL 15 on), in order.
    pub dropped: Vec<RelationOid>,
    /// Relations whose definition changed, in order.
    pub redefined: Vec<RelationOid>,
}

/// What one (sub)transaction did to one relation within the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Who.
    pub xid: u32,
    /// To what.
    pub relation: RelationId,
    /// Rows put in.
    pub inserted: u64,
    /// Rows changed.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Whether it made the file.
    pub made: bool,
    /// The shortest length in pages that it cut the file to; none if it did not.
    pub cut_to: Option<u32>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transactions {
    /// In the order of their records.
    pub ended: Vec<EndedTransaction>,
    /// By transaction, then relation.
    pub activity: Vec<Activity>,
    /// How many activities of the fewest rows were left out because there were too many.
    pub left_out: u64,
    /// The most rows among those left out.
    pub left_out_rows_most: u64,
}

impl Activity {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.inserted.saturating_add(self.updated).saturating_add(self.deleted)
    }

    fn key(&self) -> (u32, RelationId) {
        (self.xid, self.relation)
    }
}

impl Transactions {
    /// As bytes: FORMAT §9.2.
    pub fn encode(&self) -> Vec<u8> {
        let mut builder = TransactionsBuilder::default();
        self.ended.iter().for_each(|ended| builder.push(ended));
        builder.finish(&self.activity, self.left_out, self.left_out_rows_most)
    }

    /// Reads bytes back.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(4)?;
        let mut ended: Vec<EndedTransaction> = Vec::with_capacity(count);
        let (mut start, mut xid, mut time) = (0, 0, 0);
        for index in 0..count {
            let next = decode_ended(&mut reader, &mut start, &mut xid, &mut time)?;
            if index > 0 && ended.last().is_some_and(|last| last.start >= next.start) {
                return Err(reader.invalid("transactions out of order"));
            }
            ended.push(next);
        }
        let count = reader.count(8)?;
        let (mut activity, mut xid): (Vec<Activity>, u32) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let next = decode_activity(&mut reader, &mut xid)?;
            if activity.last().is_some_and(|last| last.key() >= next.key()) {
                return Err(reader.invalid("activities out of order"));
            }
            activity.push(next);
        }
        let (left_out, left_out_rows_most) = (reader.varint()?, reader.varint()?);
        reader.finish()?;
        Ok(Self { ended, activity, left_out, left_out_rows_most })
    }
}

/// Writes transactions one by one: a long segment has millions.
#[derive(Debug, Default)]
pub struct TransactionsBuilder {
    rows: Writer,
    count: u64,
    start: u64,
    xid: u32,
    time: i64,
}

impl TransactionsBuilder {
    /// Adds the next one, by position.
    pub fn push(&mut self, ended: &EndedTransaction) {
        encode_ended(ended, &mut self.rows, &mut self.start, &mut self.xid, &mut self.time);
        self.count += 1;
    }

    /// All of it, with what was done: by transaction, then relation.
    pub fn finish(self, activity: &[Activity], left_out: u64, left_out_rows_most: u64) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.rows.len() + 32 + 12 * activity.len());
        writer.varint(self.count);
        writer.raw(self.rows.as_slice());
        writer.count(activity.len());
        let mut xid = 0;
        for activity in activity {
            encode_activity(activity, &mut writer, &mut xid);
        }
        writer.varint(left_out);
        writer.varint(left_out_rows_most);
        writer.into_bytes()
    }
}

const ABORTED: u8 = 1;
const PREPARED: u8 = 2;
const DATABASE: u8 = 4;
const SUBTRANSACTIONS: u8 = 8;
const DROPPED_FILES: u8 = 16;
const DROPPED: u8 = 32;
const REDEFINED: u8 = 64;

/// Small differences of either sign become small numbers.
fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn encode_ended(
    ended: &EndedTransaction,
    writer: &mut Writer,
    start: &mut u64,
    xid: &mut u32,
    time: &mut i64,
) {
    writer.varint(ended.start.0.wrapping_sub(*start));
    writer.varint(zigzag(i64::from(ended.xid) - i64::from(*xid)));
    let micros = ended.time.micros();
    writer.varint(zigzag(micros - *time));
    (*start, *xid, *time) = (ended.start.0, ended.xid, micros);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    writer.u8(flag(ended.how == How::Aborted, ABORTED)
        | flag(ended.prepared, PREPARED)
        | flag(ended.database.is_some(), DATABASE)
        | flag(!ended.subtransactions.is_empty(), SUBTRANSACTIONS)
        | flag(!ended.dropped_files.is_empty(), DROPPED_FILES)
        | flag(!ended.dropped.is_empty(), DROPPED)
        | flag(!ended.redefined.is_empty(), REDEFINED));
    if let Some(database) = ended.database {
        writer.varint(u64::from(database));
    }
    if !ended.subtransactions.is_empty() {
        writer.count(ended.subtransactions.len());
        let mut last = 0u32;
        for sub in &ended.subtransactions {
            writer.varint(u64::from(sub.wrapping_sub(last)));
            last = *sub;
        }
    }
    if !ended.dropped_files.is_empty() {
        writer.count(ended.dropped_files.len());
        ended.dropped_files.iter().for_each(|file| encode_number(file, writer));
    }
    for relations in [&ended.dropped, &ended.redefined] {
        if !relations.is_empty() {
            writer.count(relations.len());
            for relation in relations {
                writer.varint(u64::from(relation.database));
                writer.varint(u64::from(relation.oid));
            }
        }
    }
}

fn decode_ended(
    reader: &mut Reader<'_>,
    start: &mut u64,
    xid: &mut u32,
    time: &mut i64,
) -> Result<EndedTransaction, DecodeError> {
    *start =
        start.checked_add(reader.varint()?).ok_or_else(|| reader.invalid("a position beyond the last"))?;
    *xid = decode_xid(reader, *xid)?;
    let at = time.checked_add(unzigzag(reader.varint()?)).and_then(Time::from_micros);
    let at = at.ok_or_else(|| reader.invalid("a time out of range"))?;
    *time = at.micros();
    let flags = reader.u8()?;
    if flags & 0x80 != 0 {
        return Err(reader.invalid("unknown flag of a transaction"));
    }
    let has = |flag: u8| flags & flag != 0;
    let database = if has(DATABASE) { Some(reader.varint_u32("database")?) } else { None };
    let mut last = 0u32;
    let subtransactions = listed(reader, has(SUBTRANSACTIONS), 1, |reader| {
        last = last.wrapping_add(reader.varint_u32("subtransaction")?);
        Ok(last)
    })?;
    let dropped_files = listed(reader, has(DROPPED_FILES), 3, decode_number)?;
    let dropped = listed(reader, has(DROPPED), 2, decode_oid)?;
    let redefined = listed(reader, has(REDEFINED), 2, decode_oid)?;
    Ok(EndedTransaction {
        start: Lsn(*start),
        xid: *xid,
        time: at,
        how: if has(ABORTED) { How::Aborted } else { How::Committed },
        prepared: has(PREPARED),
        database,
        subtransactions,
        dropped_files,
        dropped,
        redefined,
    })
}

fn decode_xid(reader: &mut Reader<'_>, before: u32) -> Result<u32, DecodeError> {
    let xid =
        i64::from(before).checked_add(unzigzag(reader.varint()?)).and_then(|xid| u32::try_from(xid).ok());
    xid.ok_or_else(|| reader.invalid("no id of a transaction"))
}

/// A list that is there only where it has entries.
fn listed<T>(
    reader: &mut Reader<'_>,
    there: bool,
    entry_bytes_min: usize,
    mut entry: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if !there {
        return Ok(Vec::new());
    }
    let count = reader.count(entry_bytes_min)?;
    if count == 0 {
        return Err(reader.invalid("a list without entries"));
    }
    (0..count).map(|_| entry(reader)).collect()
}

fn encode_number(file: &RelationId, writer: &mut Writer) {
    for number in [file.tablespace, file.database, file.number] {
        writer.varint(u64::from(number));
    }
}

fn decode_number(reader: &mut Reader<'_>) -> Result<RelationId, DecodeError> {
    Ok(RelationId {
        tablespace: reader.varint_u32("tablespace")?,
        database: reader.varint_u32("database")?,
        number: reader.varint_u32("file number")?,
    })
}

fn decode_oid(reader: &mut Reader<'_>) -> Result<RelationOid, DecodeError> {
    Ok(RelationOid { database: reader.varint_u32("database")?, oid: reader.varint_u32("OID")? })
}

fn encode_activity(activity: &Activity, writer: &mut Writer, xid: &mut u32) {
    writer.varint(zigzag(i64::from(activity.xid) - i64::from(*xid)));
    *xid = activity.xid;
    encode_number(&activity.relation, writer);
    for rows in [activity.inserted, activity.updated, activity.deleted] {
        writer.varint(rows);
    }
    writer.u8(u8::from(activity.made) | u8::from(activity.cut_to.is_some()) << 1);
    if let Some(length) = activity.cut_to {
        writer.varint(u64::from(length));
    }
}

fn decode_activity(reader: &mut Reader<'_>, xid: &mut u32) -> Result<Activity, DecodeError> {
    *xid = decode_xid(reader, *xid)?;
    let relation = decode_number(reader)?;
    let [inserted, updated, deleted] = [reader.varint()?, reader.varint()?, reader.varint()?];
    let flags = reader.u8()?;
    if flags > 3 {
        return Err(reader.invalid("unknown flag of an activity"));
    }
    let cut_to = if flags & 2 != 0 { Some(reader.varint_u32("length")?) } else { None };
    Ok(Activity { xid: *xid, relation, inserted, updated, deleted, made: flags & 1 != 0, cut_to })
}

#[cfg(test)]
mod tests;
