//! `global/pg_control`: the cluster's identity, state and last checkpoint.
//!
//! Promises: decodes the file of every supported version, checked in a fixed order (length, version, checksum,
//! then every value that the rest of the program relies on); [`ControlReader`] decides whether a read that looks
//! torn is to be tried again. Deliberately does not read the file.

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::segment::{SegmentError, WalSegmentSize};
use crate::system_identifier::SystemIdentifier;
use crate::timeline::Timeline;
use crate::version::{Version, VersionError};

mod decode;
#[cfg(any(test, feature = "testing"))]
pub mod encode;
mod offsets;
mod reader;

pub(crate) use decode::{CHECKPOINT_RECORD_BYTES, checkpoint_of_record, wal_level_of_number};
pub use reader::{ControlRead, ControlReader, READ_ATTEMPTS_MAX, READ_PAUSE};

/// The length of the file, in bytes; most of it is zero.
pub const CONTROL_FILE_BYTES: usize = 8192;

/// Its path, relative to the data directory.
pub const CONTROL_FILE_PATH: &str = "global/pg_control";

/// What the server was doing when it last wrote the file (`DBState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are PostgreSQL's")]
pub enum ClusterState {
    StartingUp,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

/// How much is written to WAL (`wal_level`). Ordered: later ones contain earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are PostgreSQL's")]
pub enum WalLevel {
    Minimal,
    Replica,
    Logical,
}

/// The last checkpoint, as `pg_control` repeats it (`CheckPoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where recovery begins.
    pub redo: Lsn,
    /// The timeline of the checkpoint.
    pub timeline: Timeline,
    /// The timeline before it; equal unless the checkpoint begins a timeline.
    pub previous_timeline: Timeline,
    /// Whether full-page writes were on.
    pub full_page_writes: bool,
    /// `wal_level` at the checkpoint; versions before 17 do not say.
    pub wal_level: Option<WalLevel>,
    /// Epoch and number of the next transaction.
    pub next_xid: u64,
    /// The next object identifier.
    pub next_oid: u32,
    /// The next multixact.
    pub next_multi: u32,
    /// The next multixact offset.
    pub next_multi_offset: u32,
    /// The oldest transaction that may still be looked up.
    pub oldest_xid: u32,
    /// The oldest multixact that may still be looked up.
    pub oldest_multi: u32,
    /// When it was made, in seconds since 1970 by the server's clock.
    pub time: i64,
}

/// The content of `pg_control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Which cluster this is.
    pub system_identifier: SystemIdentifier,
    /// Which major version it belongs to.
    pub version: Version,
    /// What the server was doing.
    pub state: ClusterState,
    /// When the file was written, in seconds since 1970 by the server's clock.
    pub time: i64,
    /// Where the last checkpoint record begins.
    pub checkpoint_lsn: Lsn,
    /// What that record says.
    pub checkpoint: Checkpoint,
    /// How far recovery must go before the cluster is consistent; zero when no recovery is under way.
    pub min_recovery_point: Lsn,
    /// The timeline of `min_recovery_point`; `None` when no recovery is under way.
    pub min_recovery_timeline: Option<Timeline>,
    /// Start of the backup being recovered; zero for none.
    pub backup_start: Lsn,
    /// End of the standby's backup being recovered; zero for none.
    pub backup_end: Lsn,
    /// Whether recovery must meet the end-of-backup record.
    pub backup_end_required: bool,
    /// `wal_level` now.
    pub wal_level: WalLevel,
    /// `wal_log_hints` now.
    pub wal_log_hints: bool,
    /// Settings that a server recovering from this must have at least as large.
    pub minimums: ControlMinimums,
    /// `track_commit_timestamp` now.
    pub track_commit_timestamp: bool,
    /// Pages in one file of a relation (131072 unless built otherwise).
    pub relation_segment_blocks: u32,
    /// The size of WAL segments.
    pub wal_segment_size: WalSegmentSize,
    /// `data_checksum_version`: 0 off, 1 on.
    pub data_checksum_version: u32,
    /// Whether `char` is signed where the cluster was made; versions before 18 do not say.
    pub default_char_signed: Option<bool>,
    /// Random bytes for authentication.
    pub mock_authentication_nonce: [u8; 32],
}

/// Values of settings at the server that wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the setting of that name")]
pub struct ControlMinimums {
    pub max_connections: i32,
    pub max_worker_processes: i32,
    pub max_wal_senders: i32,
    pub max_prepared_transactions: i32,
    pub max_locks_per_transaction: i32,
}

/// Why bytes are not a usable `pg_control`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ControlError {
    #[error("pg_control is {found} bytes long, its content needs {needed}")]
    TooShort { found: usize, needed: usize },
    #[error(
        "pg_control was written on a machine of the other byte order (its version reads as {swapped} there); \
         only little-endian machines are supported"
    )]
    ByteOrder { swapped: u32 },
    #[error("pg_control cannot be read")]
    Version(#[from] VersionError),
    #[error(
        "pg_control has checksum {stored:08X} but its content gives {computed:08X}: it is damaged or was torn"
    )]
    Checksum { stored: u32, computed: u32 },
    #[error("pg_control cannot be used")]
    SegmentSize(#[from] SegmentError),
    #[error("pg_control says pages of {found} bytes for {what}; only 8192 is supported")]
    BlockSize { what: &'static str, found: u32 },
    #[error("pg_control was written by a server with another floating-point format")]
    FloatFormat,
    #[error("pg_control was written by a server that aligns to {found} bytes; only 8 is supported")]
    Alignment { found: u32 },
    #[error("pg_control holds {value} as {field}, which no PostgreSQL writes")]
    Value { field: &'static str, value: u32 },
}

impl ControlFile {
    /// Reads the content of `pg_control`, at least its meaningful part (296 bytes).
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        decode::decode(bytes)
    }

    /// Whether pages carry checksums.
    pub fn data_checksums(&self) -> bool {
        self.data_checksum_version != 0
    }
}

#[cfg(test)]
mod tests;
