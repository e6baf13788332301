//! What the server's own word means for backups: values in, findings out.

use std::path::Path;

use seawall_pg::WalLevel;

use super::archive_command::{ExpectedCommand, fault};
use super::{CheckReport, server::Archiver};
use crate::source::facts::{Archiving, Facts};
use crate::words::SystemIdentifier;

/// More finished segments than this wait while nothing fails: the archive does not keep up.
const BACKLOG_MAX: u64 = 16;

const CONFIGURE: &str = "seawall init --administrator 'user=postgres' --configure-postgres";

/// Judges what the server says of itself. `in_directory` is what `pg_control` of the data directory says.
pub(super) fn server(
    report: &mut CheckReport,
    facts: &Facts,
    in_directory: SystemIdentifier,
    directory: &Path,
    expected: &ExpectedCommand,
) {
    if facts.system_identifier == in_directory {
        report.good(format!("the server is that of {}: {}", directory.display(), in_directory));
    } else {
        report.bad(
            "check.other-server",
            format!(
                "the connection reaches system identifier {}, and {} holds {in_directory}",
                facts.system_identifier,
                directory.display()
            ),
            "correct host and port in connection, or data_directory",
        );
    }
    if let Some(service) = facts.managed_service {
        report.bad(
            "check.managed-service",
            service.refusal().to_string(),
            service.refusal().hints().join("; "),
        );
    }
    if facts.wal_level == WalLevel::Minimal {
        let cure = format!("{CONFIGURE}, then restart PostgreSQL");
        report.bad("check.wal-level", "wal_level is minimal: there is nothing to recover from", cure);
    }
    if !facts.full_page_writes {
        report.bad(
            "check.full-page-writes",
            "full_page_writes is off: a backup of the running server can hold torn pages",
            CONFIGURE,
        );
    }
    archiving(report, &facts.archiving, facts.in_recovery, expected);
}

pub(super) fn archiving(
    report: &mut CheckReport,
    archiving: &Archiving,
    in_recovery: bool,
    expected: &ExpectedCommand,
) {
    let before = report.findings.len();
    match archiving.mode.as_str() {
        "off" => {
            let cure = format!("{CONFIGURE}, then restart PostgreSQL");
            report.bad("check.archive-mode", "archive_mode is off: no WAL is archived", cure);
            return;
        }
        "on" if in_recovery => report.good("archive_mode is on: this standby archives once it is promoted"),
        _ => {}
    }
    if let Some(library) = archiving.library.as_ref().filter(|library| !library.is_empty()) {
        report.bad(
            "check.archive-library",
            format!("archive_library is {library}: it archives instead of seawall"),
            CONFIGURE,
        );
        return;
    }
    if let Some(fault) = fault(&archiving.command, expected) {
        report.bad(
            "check.archive-command",
            format!("archive_command is {:?}: {fault}", archiving.command),
            format!("{CONFIGURE}, or set archive_command = '{}' and reload", expected.command),
        );
    }
    if archiving.timeout_seconds == 0 {
        report.bad(
            "check.archive-timeout",
            "archive_timeout is 0: with little traffic WAL leaves this machine hours late",
            format!("{CONFIGURE}, or set archive_timeout = 60 and reload"),
        );
    }
    if report.findings.len() == before {
        report.good("archive_mode, archive_command, archive_timeout");
    }
}

/// Judges how archiving goes.
pub(super) fn archiver(report: &mut CheckReport, archiver: &Archiver, waiting: Option<u64>) {
    if archiver.failing {
        report.bad(
            "check.archiving-fails",
            format!(
                "archiving fails since {}: {} at {}, {} failures in all",
                archiver
                    .last_archived_time
                    .as_deref()
                    .map_or_else(|| "the beginning".to_owned(), str::to_owned),
                archiver.last_failed_wal.as_deref().unwrap_or("a segment"),
                archiver.last_failed_time.as_deref().unwrap_or("an unknown time"),
                archiver.failed_count
            ),
            "the server's log has the messages of seawall wal push",
        );
    }
    match waiting {
        Some(waiting) if waiting > BACKLOG_MAX => report.bad(
            "check.archive-backlog",
            format!("{waiting} finished WAL files wait in pg_wal to be archived"),
            "look for archiving failures in the server's log; is a region slow or away? pg_wal grows meanwhile",
        ),
        Some(waiting) if !archiver.failing => {
            report.good(format!("archiving: {} done, {waiting} waiting", archiver.archived_count));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(judge: impl FnOnce(&mut CheckReport)) -> Vec<&'static str> {
        let mut report = CheckReport::default();
        judge(&mut report);
        assert!(report.findings.iter().all(|finding| finding.hint.is_some()));
        report.findings.iter().map(|finding| finding.id).collect()
    }

    fn of(mode: &str, command: &str, library: Option<&str>, timeout_seconds: u32) -> Vec<&'static str> {
        let expected = ExpectedCommand {
            command: "/usr/bin/seawall wal push %p".to_owned(),
            program: "/usr/bin/seawall".into(),
            settings: "/etc/seawall/seawall.toml".into(),
            default_settings: "/etc/seawall/seawall.toml".into(),
        };
        let (mode, command, library) = (mode.to_owned(), command.to_owned(), library.map(str::to_owned));
        let archiving_is = Archiving { mode, command, library, timeout_seconds };
        ids(|report| archiving(report, &archiving_is, false, &expected))
    }

    #[test]
    fn archiving_is_judged() {
        assert_eq!(of("on", "/usr/bin/seawall wal push %p", Some(""), 60), Vec::<&str>::new());
        assert_eq!(of("always", "seawall wal push %p", None, 60), Vec::<&str>::new());
        assert_eq!(of("off", "", None, 0), ["check.archive-mode"]);
        assert_eq!(of("on", "", Some("basic_archive"), 60), ["check.archive-library"]);
        assert_eq!(of("on", "cp %p /x", None, 0), ["check.archive-command", "check.archive-timeout"]);
    }

    #[test]
    fn a_failing_archiver_and_a_backlog_are_found() {
        let mut state = Archiver { archived_count: 7, ..Archiver::default() };
        assert_eq!(ids(|report| archiver(report, &state, Some(2))), Vec::<&str>::new());
        assert_eq!(ids(|report| archiver(report, &state, Some(17))), ["check.archive-backlog"]);
        state.failing = true;
        assert_eq!(ids(|report| archiver(report, &state, None)), ["check.archiving-fails"]);
    }
}
