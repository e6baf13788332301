//! The log itself: checkpoints, settings, switches, the ends of backups and of recovery (`catalog/pg_control.h`,
//! `access/xlog_internal.h`).

use crate::control::{Checkpoint, ControlMinimums, WalLevel, checkpoint_of_record, wal_level_of_number};
use crate::lsn::Lsn;
use crate::timeline::Timeline;
use crate::wal::record::Record;

use super::body::{Body, MeaningFault, PgTime, no_such_operation};

const CHECKPOINT_SHUTDOWN: u8 = 0x00;
const CHECKPOINT_ONLINE: u8 = 0x10;
const NOOP: u8 = 0x20;
const NEXT_OID: u8 = 0x30;
const SWITCH: u8 = 0x40;
const BACKUP_END: u8 = 0x50;
const PARAMETER_CHANGE: u8 = 0x60;
const RESTORE_POINT: u8 = 0x70;
const FULL_PAGE_WRITES: u8 = 0x80;
const END_OF_RECOVERY: u8 = 0x90;
const PAGE_FOR_HINT: u8 = 0xA0;
const PAGE: u8 = 0xB0;
const OVERWRITE_CONTRECORD: u8 = 0xD0;
const CHECKPOINT_REDO: u8 = 0xE0;

const WHAT: &str = "XLOG";
const RESTORE_POINT_NAME_BYTES: usize = 64;

/// A record about the log itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Xlog<'a> {
    /// A checkpoint.
    Checkpoint {
        /// Whether the server was shut down with it; its redo position is then the record's own.
        shutdown: bool,
        /// What it says.
        checkpoint: Box<Checkpoint>,
    },
    /// Where an online checkpoint's replay begins (17 and later).
    CheckpointRedo {
        /// `wal_level` then.
        wal_level: WalLevel,
    },
    /// Nothing.
    Noop,
    /// OIDs below this one may have been given away.
    NextOid(u32),
    /// The rest of the segment is empty.
    Switch,
    /// A backup ended.
    BackupEnd {
        /// Where it began.
        start: Lsn,
    },
    /// Settings that a standby must follow.
    ParameterChange(ParameterChange),
    /// A named point.
    RestorePoint {
        /// When it was made, by the server's clock.
        time: PgTime,
        /// Its name.
        name: &'a [u8],
    },
    /// `full_page_writes` was switched.
    FullPageWrites(bool),
    /// Recovery ended, without a checkpoint.
    EndOfRecovery {
        /// When, by the server's clock.
        time: PgTime,
        /// The timeline that begins.
        timeline: Timeline,
        /// The one before it.
        previous: Timeline,
        /// `wal_level` then (17 and later).
        wal_level: Option<WalLevel>,
    },
    /// Images of pages.
    Pages {
        /// Whether they are there because of hints only.
        for_hint: bool,
    },
    /// A record was lost in a crash and is overwritten.
    OverwriteContrecord {
        /// Where that record began.
        lost: Lsn,
        /// When, by the server's clock.
        time: PgTime,
    },
}

/// Settings that a standby must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterChange {
    /// Those that a standby must have at least as large.
    pub minimums: ControlMinimums,
    /// `wal_level`.
    pub wal_level: WalLevel,
    /// `wal_log_hints`.
    pub wal_log_hints: bool,
    /// `track_commit_timestamp`.
    pub track_commit_timestamp: bool,
}

impl<'a> Xlog<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        let facts = &record.version().facts().wal;
        match record.operation() {
            CHECKPOINT_SHUTDOWN => checkpoint(record, true),
            CHECKPOINT_ONLINE => checkpoint(record, false),
            NOOP => Ok(Self::Noop),
            NEXT_OID => only("next OID", record, |body| body.u32().map(Self::NextOid)),
            SWITCH => only("switch", record, |_| Ok(Self::Switch)),
            BACKUP_END => only("backup end", record, |body| Ok(Self::BackupEnd { start: Lsn(body.u64()?) })),
            PARAMETER_CHANGE => only("parameter change", record, parameter_change),
            RESTORE_POINT => only("restore point", record, restore_point),
            FULL_PAGE_WRITES => {
                only("full page writes", record, |body| flag(body, "on").map(Self::FullPageWrites))
            }
            END_OF_RECOVERY => {
                only("end of recovery", record, |body| end_of_recovery(body, facts.end_of_recovery_wal_level))
            }
            PAGE_FOR_HINT => Ok(Self::Pages { for_hint: true }),
            PAGE => Ok(Self::Pages { for_hint: false }),
            OVERWRITE_CONTRECORD => only("overwrite contrecord", record, |body| {
                Ok(Self::OverwriteContrecord { lost: Lsn(body.u64()?), time: PgTime(body.i64()?) })
            }),
            CHECKPOINT_REDO if facts.checkpoint_redo_record => only("checkpoint redo", record, |body| {
                Ok(Self::CheckpointRedo { wal_level: wal_level(body)? })
            }),
            _ => Err(no_such_operation(WHAT, record)),
        }
    }
}

/// A body with nothing but what `read` takes.
fn only<'a>(
    what: &'static str,
    record: &Record<'a>,
    read: impl FnOnce(&mut Body<'a>) -> Result<Xlog<'a>, MeaningFault>,
) -> Result<Xlog<'a>, MeaningFault> {
    let mut body = Body::of(what, record);
    let xlog = read(&mut body)?;
    body.end_padded()?;
    Ok(xlog)
}

fn checkpoint<'a>(record: &Record<'a>, shutdown: bool) -> Result<Xlog<'a>, MeaningFault> {
    only("checkpoint", record, |body| {
        let bytes = body.bytes(crate::control::CHECKPOINT_RECORD_BYTES)?;
        let checkpoint = checkpoint_of_record(bytes, record.version())
            .map_err(|_| body.value("a field", i64::from(record.header.info)))?;
        Ok(Xlog::Checkpoint { shutdown, checkpoint: Box::new(checkpoint) })
    })
}

fn parameter_change<'a>(body: &mut Body<'a>) -> Result<Xlog<'a>, MeaningFault> {
    let minimums = ControlMinimums {
        max_connections: body.i32()?,
        max_worker_processes: body.i32()?,
        max_wal_senders: body.i32()?,
        max_prepared_transactions: body.i32()?,
        max_locks_per_transaction: body.i32()?,
    };
    let wal_level = wal_level(body)?;
    let (wal_log_hints, track_commit_timestamp) =
        (flag(body, "wal_log_hints")?, flag(body, "track_commit_timestamp")?);
    Ok(Xlog::ParameterChange(ParameterChange { minimums, wal_level, wal_log_hints, track_commit_timestamp }))
}

fn restore_point<'a>(body: &mut Body<'a>) -> Result<Xlog<'a>, MeaningFault> {
    let time = PgTime(body.i64()?);
    let name = body.bytes(RESTORE_POINT_NAME_BYTES)?;
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(Xlog::RestorePoint { time, name: name.get(..length).unwrap_or(name) })
}

fn end_of_recovery<'a>(body: &mut Body<'a>, has_wal_level: bool) -> Result<Xlog<'a>, MeaningFault> {
    let time = PgTime(body.i64()?);
    let (timeline, previous) = (timeline(body)?, timeline(body)?);
    let wal_level = if has_wal_level { Some(wal_level(body)?) } else { None };
    Ok(Xlog::EndOfRecovery { time, timeline, previous, wal_level })
}

fn timeline(body: &mut Body<'_>) -> Result<Timeline, MeaningFault> {
    Timeline::new(body.u32()?).ok_or_else(|| body.value("a timeline", 0))
}

fn wal_level(body: &mut Body<'_>) -> Result<WalLevel, MeaningFault> {
    let number = body.u32()?;
    wal_level_of_number(number).ok_or_else(|| body.value("wal_level", i64::from(number)))
}

fn flag(body: &mut Body<'_>, field: &'static str) -> Result<bool, MeaningFault> {
    match body.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(body.value(field, i64::from(other))),
    }
}
