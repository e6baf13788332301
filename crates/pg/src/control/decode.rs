//! From bytes to a [`ControlFile`]; the way back stands in `encode`.

use super::{Checkpoint, ClusterState, ControlError, ControlFile, ControlMinimums, WalLevel, offsets as at};
use crate::bytes::{u8_at, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::segment::WalSegmentSize;
use crate::system_identifier::SystemIdentifier;
use crate::timeline::Timeline;
use crate::version::{Version, VersionError};

pub(super) fn decode(bytes: &[u8]) -> Result<ControlFile, ControlError> {
    let fields = Fields(bytes);
    let version = check(fields)?;
    let layout = &version.facts().control_layout;
    Ok(ControlFile {
        system_identifier: SystemIdentifier(fields.u64(at::SYSTEM_IDENTIFIER)?),
        version,
        state: cluster_state(fields.u32(at::STATE)?)?,
        time: fields.i64(at::TIME)?,
        checkpoint_lsn: fields.lsn(at::CHECKPOINT_LSN)?,
        checkpoint: checkpoint(fields, version)?,
        min_recovery_point: fields.lsn(at::MIN_RECOVERY_POINT)?,
        min_recovery_timeline: Timeline::new(fields.u32(at::MIN_RECOVERY_TIMELINE)?),
        backup_start: fields.lsn(at::BACKUP_START)?,
        backup_end: fields.lsn(at::BACKUP_END)?,
        backup_end_required: fields.flag("backupEndRequired", at::BACKUP_END_REQUIRED)?,
        wal_level: wal_level(fields.u32(at::WAL_LEVEL)?)?,
        wal_log_hints: fields.flag("wal_log_hints", at::WAL_LOG_HINTS)?,
        minimums: minimums(fields)?,
        track_commit_timestamp: fields.flag("track_commit_timestamp", at::TRACK_COMMIT_TIMESTAMP)?,
        relation_segment_blocks: relation_segment_blocks(fields)?,
        wal_segment_size: WalSegmentSize::new(fields.u32(at::WAL_SEGMENT_SIZE)?)?,
        data_checksum_version: data_checksum_version(fields)?,
        default_char_signed: layout
            .default_char_signedness
            .map(|offset| fields.flag("default_char_signedness", offset))
            .transpose()?,
        mock_authentication_nonce: fields.nonce(layout.nonce)?,
    })
}

/// Everything that must hold before a field is believed, in the order in which the cause is best told.
fn check(fields: Fields<'_>) -> Result<Version, ControlError> {
    fields.slice(at::BYTES)?;
    let control = fields.u32(at::CONTROL_VERSION)?;
    let catalog = fields.u32(at::CATALOG_VERSION)?;
    let Some(layout) = Version::control_layout(control) else {
        return Err(unknown_version(control, catalog));
    };
    let stored = fields.u32(layout.crc)?;
    let computed = crc32c::crc32c(fields.slice(layout.crc)?);
    if stored != computed {
        return Err(ControlError::Checksum { stored, computed });
    }
    let version = Version::from_control(control, catalog)?;
    WalSegmentSize::new(fields.u32(at::WAL_SEGMENT_SIZE)?)?;
    check_build(fields)?;
    Ok(version)
}

fn unknown_version(control: u32, catalog: u32) -> ControlError {
    let swapped = control.swap_bytes();
    match Version::control_layout(swapped) {
        Some(_) => ControlError::ByteOrder { swapped },
        None => VersionError::UnknownFormat { control, catalog }.into(),
    }
}

/// Whether the server was built as every supported server is.
fn check_build(fields: Fields<'_>) -> Result<(), ControlError> {
    for (what, offset) in [("relations", at::BLOCK_SIZE), ("WAL", at::WAL_BLOCK_SIZE)] {
        let found = fields.u32(offset)?;
        if found != crate::page::PAGE_BYTES_U32 {
            return Err(ControlError::BlockSize { what, found });
        }
    }
    if fields.u64(at::FLOAT_FORMAT)? != at::FLOAT_FORMAT_VALUE.to_bits() {
        return Err(ControlError::FloatFormat);
    }
    let found = fields.u32(at::MAX_ALIGN)?;
    if found != at::MAX_ALIGN_VALUE {
        return Err(ControlError::Alignment { found });
    }
    Ok(())
}

fn checkpoint(fields: Fields<'_>, version: Version) -> Result<Checkpoint, ControlError> {
    let wal_level_offset = version.facts().control_layout.checkpoint_wal_level;
    Ok(Checkpoint {
        redo: fields.lsn(at::REDO)?,
        timeline: fields.timeline("ThisTimeLineID", at::TIMELINE)?,
        previous_timeline: fields.timeline("PrevTimeLineID", at::PREVIOUS_TIMELINE)?,
        full_page_writes: fields.flag("fullPageWrites", at::FULL_PAGE_WRITES)?,
        wal_level: wal_level_offset.map(|offset| fields.u32(offset).and_then(wal_level)).transpose()?,
        next_xid: fields.u64(at::NEXT_XID)?,
        next_oid: fields.u32(at::NEXT_OID)?,
        next_multi: fields.u32(at::NEXT_MULTI)?,
        next_multi_offset: fields.u32(at::NEXT_MULTI_OFFSET)?,
        oldest_xid: fields.u32(at::OLDEST_XID)?,
        oldest_multi: fields.u32(at::OLDEST_MULTI)?,
        time: fields.i64(at::CHECKPOINT_TIME)?,
    })
}

/// The length of a checkpoint record's main data: `sizeof(CheckPoint)`.
pub(crate) const CHECKPOINT_RECORD_BYTES: usize = 88;

/// The main data of a checkpoint record: what `pg_control` repeats from its redo position on.
pub(crate) fn checkpoint_of_record(bytes: &[u8], version: Version) -> Result<Checkpoint, ControlError> {
    let mut file = [0; at::REDO + CHECKPOINT_RECORD_BYTES];
    let place = file.iter_mut().skip(at::REDO);
    place.zip(bytes).for_each(|(to, from)| *to = *from);
    checkpoint(Fields(&file), version)
}

fn minimums(fields: Fields<'_>) -> Result<ControlMinimums, ControlError> {
    Ok(ControlMinimums {
        max_connections: fields.i32(at::MAX_CONNECTIONS)?,
        max_worker_processes: fields.i32(at::MAX_WORKER_PROCESSES)?,
        max_wal_senders: fields.i32(at::MAX_WAL_SENDERS)?,
        max_prepared_transactions: fields.i32(at::MAX_PREPARED_TRANSACTIONS)?,
        max_locks_per_transaction: fields.i32(at::MAX_LOCKS_PER_TRANSACTION)?,
    })
}

fn relation_segment_blocks(fields: Fields<'_>) -> Result<u32, ControlError> {
    match fields.u32(at::RELATION_SEGMENT_BLOCKS)? {
        0 => Err(ControlError::Value { field: "relseg_size", value: 0 }),
        blocks => Ok(blocks),
    }
}

fn data_checksum_version(fields: Fields<'_>) -> Result<u32, ControlError> {
    match fields.u32(at::DATA_CHECKSUM_VERSION)? {
        known @ (0 | 1) => Ok(known),
        value => Err(ControlError::Value { field: "data_checksum_version", value }),
    }
}

fn cluster_state(value: u32) -> Result<ClusterState, ControlError> {
    Ok(match value {
        0 => ClusterState::StartingUp,
        1 => ClusterState::ShutDown,
        2 => ClusterState::ShutDownInRecovery,
        3 => ClusterState::ShuttingDown,
        4 => ClusterState::InCrashRecovery,
        5 => ClusterState::InArchiveRecovery,
        6 => ClusterState::InProduction,
        _ => return Err(ControlError::Value { field: "state", value }),
    })
}

fn wal_level(value: u32) -> Result<WalLevel, ControlError> {
    wal_level_of_number(value).ok_or(ControlError::Value { field: "wal_level", value })
}

/// `wal_level` as files and records number it.
pub(crate) fn wal_level_of_number(value: u32) -> Option<WalLevel> {
    match value {
        0 => Some(WalLevel::Minimal),
        1 => Some(WalLevel::Replica),
        2 => Some(WalLevel::Logical),
        _ => None,
    }
}

/// Typed fields by offset.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn too_short(self) -> ControlError {
        ControlError::TooShort { found: self.0.len(), needed: at::BYTES }
    }

    fn slice(self, bytes: usize) -> Result<&'a [u8], ControlError> {
        self.0.get(..bytes).ok_or_else(|| self.too_short())
    }

    fn u32(self, offset: usize) -> Result<u32, ControlError> {
        u32_at(self.0, offset).ok_or_else(|| self.too_short())
    }

    fn i32(self, offset: usize) -> Result<i32, ControlError> {
        self.u32(offset).map(u32::cast_signed)
    }

    fn u64(self, offset: usize) -> Result<u64, ControlError> {
        u64_at(self.0, offset).ok_or_else(|| self.too_short())
    }

    fn i64(self, offset: usize) -> Result<i64, ControlError> {
        self.u64(offset).map(u64::cast_signed)
    }

    fn lsn(self, offset: usize) -> Result<Lsn, ControlError> {
        self.u64(offset).map(Lsn)
    }

    fn flag(self, field: &'static str, offset: usize) -> Result<bool, ControlError> {
        match u8_at(self.0, offset).ok_or_else(|| self.too_short())? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(ControlError::Value { field, value: u32::from(other) }),
        }
    }

    fn timeline(self, field: &'static str, offset: usize) -> Result<Timeline, ControlError> {
        Timeline::new(self.u32(offset)?).ok_or(ControlError::Value { field, value: 0 })
    }

    fn nonce(self, offset: usize) -> Result<[u8; 32], ControlError> {
        let nonce = self.0.get(offset..).and_then(|rest| rest.first_chunk::<32>());
        nonce.copied().ok_or_else(|| self.too_short())
    }
}
