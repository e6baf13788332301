//! Asking the server, as the role that backups run as.

use std::path::Path;

use super::{CheckOptions, CheckReport, judge};
use crate::error::{Error, Result};
use crate::source::connect::QueryError;
use crate::source::{Connection, Facts, grants};
use crate::words::SystemIdentifier;

/// What `pg_stat_archiver` says.
#[derive(Debug, Default)]
pub(super) struct Archiver {
    pub(super) archived_count: u64,
    pub(super) failed_count: u64,
    pub(super) last_archived_time: Option<String>,
    pub(super) last_failed_wal: Option<String>,
    pub(super) last_failed_time: Option<String>,
    pub(super) failing: bool,
}

/// Checks the server. The connection is handed on to what needs it next.
///
/// # Errors
/// The server cannot be reached as the role, or does not answer.
pub(super) async fn check(
    report: &mut CheckReport,
    options: &CheckOptions,
    in_directory: SystemIdentifier,
) -> Result<Connection> {
    let connection = Connection::open(&options.connect).await?;
    let missing = grants::missing(&connection).await?;
    for grant in &missing {
        report.bad(
            "check.grant-missing",
            format!("the role lacks what it needs to {}", grant.purpose),
            format!("as a superuser, in database {}: {}", connection.database(), grant.statement),
        );
    }
    if missing.is_empty() {
        report.good("PostgreSQL can be reached and the role has all grants");
    }
    match Facts::gather(&connection, &options.connect).await {
        Ok(facts) => {
            judge::server(report, &facts, in_directory, &options.data_directory, &options.command);
        }
        // Without its grants the role cannot see the settings; that is told already.
        Err(_) if !missing.is_empty() => report.not_checked.push("check.server-settings"),
        Err(error) => return Err(error.into()),
    }
    let archiver = archiver(&connection).await?;
    judge::archiver(report, &archiver, Some(waiting(&options.data_directory)?));
    Ok(connection)
}

async fn archiver(connection: &Connection) -> std::result::Result<Archiver, QueryError> {
    let sql = "SELECT archived_count, failed_count, last_archived_time, last_failed_wal, last_failed_time, \
               coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing \
               FROM pg_stat_archiver";
    let answer = connection.ask("the question how archiving goes", sql).await?;
    let row = answer.only()?;
    Ok(Archiver {
        archived_count: row.parsed("archived_count")?,
        failed_count: row.parsed("failed_count")?,
        last_archived_time: row.optional_text("last_archived_time")?,
        last_failed_wal: row.optional_text("last_failed_wal")?,
        last_failed_time: row.optional_text("last_failed_time")?,
        failing: row.flag("failing")?,
    })
}

/// Finished WAL files that wait to be archived.
fn waiting(data_directory: &Path) -> Result<u64> {
    let directory = data_directory.join("pg_wal/archive_status");
    let unreadable = |error: std::io::Error| {
        Error::source_side("check.archive-status", format!("cannot read {}", directory.display()))
            .hint("run as the owner of the data directory (often postgres)")
            .because(error)
    };
    let mut waiting = 0;
    for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        waiting += u64::from(name.to_string_lossy().ends_with(".ready"));
    }
    Ok(waiting)
}
