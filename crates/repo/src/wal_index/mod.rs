//! What a segment of WAL says, without its data: the index that stands in front of the segment's object.
//!
//! Promises: everything a backup needs in order to read only what changed, and a listing in order to tell windows, is told by one
//! small read under the meta key; no row, no key of an index and no bytes of a record stand in it, because hosts hold that key
//! (THREATS). Neighbours are compared by positions alone ([`SegmentIndex::then`]); a record that spans segments is told by
//! the one in which it ends. Neighbours joined are an index again. Deliberately parses no WAL.

mod changes;
mod join;
mod marks;
pub mod transactions;

use seawall_pg::Lsn;
use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, Writer};
use crate::time::Time;

pub use changes::{ChangedFork, Changes, ForkChanges};
pub use join::Break;
pub use marks::{Mark, MarkWhat};

/// The version of the index that this release writes and reads.
pub const INDEX_VERSION: &str = "1";
/// A reference to a page takes so many bytes of a record at least (a block header that repeats the relation of the one before).
const REFERENCE_BYTES_MIN: u64 = 8;

/// How the WAL in a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "with")]
pub enum Begins {
    /// The beginning of a record.
    Record,
    /// The rest of a record that begins in an earlier segment; what it says stands in the index of the segment in which it ends.
    Rest {
        /// Where that record begins.
        of: Lsn,
    },
    /// The rest of a record of which the pushing host knew no more: what it says is not in the index.
    UnknownRest,
    /// The place of a record from before whose rest was never written (after a crash of the server): given up at once or on a
    /// later page.
    Overwritten {
        /// Where the abandoned record begins.
        of: Lsn,
    },
}

/// How the WAL in a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "with")]
pub enum Ends {
    /// The end of a record: the next one begins with the next segment.
    Record,
    /// A switch: the rest of the segment holds nothing.
    Switch {
        /// Where the record of the switch begins.
        at: Lsn,
    },
    /// The beginning of a record that goes on in the next segment.
    Beginning {
        /// Where that record begins; in a segment full of its middle, in an earlier one.
        of: Lsn,
        /// Whether what it changes is told here already. All else it says is told where it ends.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        told: bool,
    },
    /// The middle of a record of which the pushing host knew no beginning.
    UnknownMiddle,
}

/// The first record that begins in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRecord {
    /// Where it begins.
    pub start: Lsn,
    /// Where the record before it begins, as it says.
    pub previous: Lsn,
}

/// A commit or abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAt {
    /// Where its record begins.
    pub start: Lsn,
    /// When, by the server's clock.
    pub time: Time,
}

/// The commits and aborts among the records of a segment. Times need not rise with positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSpan {
    /// How many.
    pub count: u64,
    /// The first by position.
    pub first: EndedAt,
    /// The last by position.
    pub last: EndedAt,
    /// The earliest time.
    pub earliest: Time,
    /// The latest time.
    pub latest: Time,
}

/// The index of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentIndex {
    /// How its WAL begins.
    pub begins: Begins,
    /// The first record that begins in it; none in one that is full of one record's middle.
    pub first: Option<FirstRecord>,
    /// Where the last record that begins in it begins.
    pub last: Option<Lsn>,
    /// How its WAL ends.
    pub ends: Ends,
    /// How many records end in it.
    pub records: u64,
    /// Its commits and aborts.
    pub commits: Option<CommitSpan>,
    /// What a backup or a person should know of, in order.
    pub marks: Vec<Mark>,
    /// Where records begin that end in it and of which it tells nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Lsn>,
    /// Pages changed by records that end in it.
    #[serde(skip)]
    pub changes: Changes,
}

/// Why bytes are not an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A version of another release.
    #[error("the index is of version {found}, which this release does not read")]
    Version {
        /// The version found.
        found: String,
    },
    /// The words in front.
    #[error("the index's words cannot be read: {reason}")]
    Words {
        /// Why.
        reason: String,
    },
    /// The changes behind them.
    #[error("the index's changes cannot be read")]
    Changes(#[from] DecodeError),
}

impl SegmentIndex {
    /// As the plain front section of an object: FORMAT §9.1.
    ///
    /// # Errors
    /// None is expected: words become JSON.
    pub fn encode(&self) -> Result<Vec<u8>, IndexError> {
        let words = serde_json::to_vec(self).map_err(|error| words_error(&error))?;
        let mut writer = Writer::with_capacity(words.len() + 1024);
        writer.bytes(&words);
        self.changes.encode(&mut writer);
        Ok(writer.into_bytes())
    }

    /// Reads a front section. `wal_bytes` is the length of the WAL that it tells of, which bounds what it may claim.
    pub fn decode(front: &[u8], wal_bytes: u64) -> Result<Self, IndexError> {
        let mut reader = Reader::new(front);
        let words = reader.bytes()?;
        let mut index: Self = serde_json::from_slice(words).map_err(|error| words_error(&error))?;
        index.changes = Changes::decode(&mut reader, wal_bytes / REFERENCE_BYTES_MIN)?;
        reader.finish()?;
        Ok(index)
    }

    /// Whether it tells of every record that begins and ends in it. A rest at its beginning may still be unknown.
    pub fn is_whole(&self) -> bool {
        self.untold.is_empty()
    }
}

fn words_error(error: &serde_json::Error) -> IndexError {
    IndexError::Words { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
