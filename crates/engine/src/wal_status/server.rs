//! How far the server is, where it can be asked.

use seawall_pg::Lsn;

use super::report::{ServerReport, SystemWal};
use crate::error::Result;
use crate::source::{ConnectOptions, Connection};

/// Writes, receives, archives. The server keeps its identifier unsigned and shows it signed.
const SERVER: &str = "SELECT pg_is_in_recovery() AS in_recovery, system.system_identifier, \
     (CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
           ELSE pg_current_wal_lsn() END)::text AS position, \
     archiver.archived_count, archiver.failed_count, archiver.last_archived_wal, archiver.last_archived_time, \
     archiver.last_failed_wal, \
     coalesce(archiver.last_failed_time > coalesce(archiver.last_archived_time, '-infinity'), false) AS failing \
     FROM pg_control_system() AS system, pg_stat_archiver AS archiver";

/// Asks. That it cannot be reached is an answer: the host may be gone.
pub(super) async fn ask(connect: &ConnectOptions, present: Option<&SystemWal>) -> ServerReport {
    match answer(connect, present).await {
        Ok(report) => report,
        Err(error) => ServerReport { unreached: Some(error.to_string()), ..ServerReport::default() },
    }
}

async fn answer(connect: &ConnectOptions, present: Option<&SystemWal>) -> Result<ServerReport> {
    let connection = Connection::open(connect).await?;
    let answer = connection.ask("the question how far its WAL is", SERVER).await?;
    let row = answer.only()?;
    let signed: i64 = row.parsed("system_identifier")?;
    if present.is_some_and(|present| present.system.0 != signed.cast_unsigned()) {
        let why = format!("the server is another one: its system identifier is {}", signed.cast_unsigned());
        return Ok(ServerReport { unreached: Some(why), ..ServerReport::default() });
    }
    let position: Option<Lsn> = row.optional_text("position")?.and_then(|text| text.parse().ok());
    let end = present.and_then(|present| present.newest.as_ref()).map(|newest| newest.end);
    let behind = position.map(|position| position.0.saturating_sub(end.map_or(0, |end| end.0)));
    Ok(ServerReport {
        unreached: None,
        position,
        in_recovery: row.flag("in_recovery")?,
        behind_bytes: behind.filter(|_| end.is_some()),
        archived_count: row.parsed("archived_count")?,
        failed_count: row.parsed("failed_count")?,
        last_archived: row.optional_text("last_archived_wal")?,
        last_archived_time: row.optional_text("last_archived_time")?,
        last_failed: row.optional_text("last_failed_wal")?,
        failing: row.flag("failing")?,
    })
}
