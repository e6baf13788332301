//! Byte offsets in `pg_control` that are the same in all supported versions (`src/include/catalog/pg_control.h`).
//!
//! Offsets that moved stand in the version table.

pub(super) const SYSTEM_IDENTIFIER: usize = 0;
pub(super) const CONTROL_VERSION: usize = 8;
pub(super) const CATALOG_VERSION: usize = 12;
pub(super) const STATE: usize = 16;
pub(super) const TIME: usize = 24;
pub(super) const CHECKPOINT_LSN: usize = 32;
pub(super) const REDO: usize = 40;
pub(super) const TIMELINE: usize = 48;
pub(super) const PREVIOUS_TIMELINE: usize = 52;
pub(super) const FULL_PAGE_WRITES: usize = 56;
pub(super) const NEXT_XID: usize = 64;
pub(super) const NEXT_OID: usize = 72;
pub(super) const NEXT_MULTI: usize = 76;
pub(super) const NEXT_MULTI_OFFSET: usize = 80;
pub(super) const OLDEST_XID: usize = 84;
pub(super) const OLDEST_MULTI: usize = 92;
pub(super) const CHECKPOINT_TIME: usize = 104;
pub(super) const MIN_RECOVERY_POINT: usize = 136;
pub(super) const MIN_RECOVERY_TIMELINE: usize = 144;
pub(super) const BACKUP_START: usize = 152;
pub(super) const BACKUP_END: usize = 160;
pub(super) const BACKUP_END_REQUIRED: usize = 168;
pub(super) const WAL_LEVEL: usize = 172;
pub(super) const WAL_LOG_HINTS: usize = 176;
pub(super) const MAX_CONNECTIONS: usize = 180;
pub(super) const MAX_WORKER_PROCESSES: usize = 184;
pub(super) const MAX_WAL_SENDERS: usize = 188;
pub(super) const MAX_PREPARED_TRANSACTIONS: usize = 192;
pub(super) const MAX_LOCKS_PER_TRANSACTION: usize = 196;
pub(super) const TRACK_COMMIT_TIMESTAMP: usize = 200;
pub(super) const MAX_ALIGN: usize = 204;
pub(super) const FLOAT_FORMAT: usize = 208;
pub(super) const BLOCK_SIZE: usize = 216;
pub(super) const RELATION_SEGMENT_BLOCKS: usize = 220;
pub(super) const WAL_BLOCK_SIZE: usize = 224;
pub(super) const WAL_SEGMENT_SIZE: usize = 228;
pub(super) const DATA_CHECKSUM_VERSION: usize = 252;

/// `sizeof(ControlFileData)` in all supported versions.
pub(super) const BYTES: usize = 296;

/// `FLOATFORMAT_VALUE`: a double with a well-known bit pattern.
pub(super) const FLOAT_FORMAT_VALUE: f64 = 1_234_567.0;
/// `MAXIMUM_ALIGNOF` on every 64-bit platform.
pub(super) const MAX_ALIGN_VALUE: u32 = 8;
