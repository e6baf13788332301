//! Backups by WAL, held against a scan of everything.

#![allow(dead_code, reason = "each test binary uses the part it needs")]

use std::time::Duration;

use seawall_testkit::{Failure, Result};
use serde_json::Value;

use super::Site;

/// A number in a report.
pub(crate) fn count(report: &Value, key: &str) -> Result<u64> {
    report[key].as_u64().ok_or_else(|| Failure::new(format!("no {key} in {report}")))
}

/// A backup that must be by WAL.
#[track_caller]
pub(crate) fn by_wal(site: &Site, more: &[&str]) -> Result<Value> {
    let report = site.backup(more)?;
    assert_eq!(report["way"], "wal", "{report}");
    Ok(report)
}

/// The scan builds on the last backup, which was by WAL with nothing written meanwhile, and found nothing that it lacks: what changes by
/// looking at the server (its log, the state of transactions) is no relation's, is compared by content both ways, and so is as much
/// both times.
#[track_caller]
pub(crate) fn found_nothing(last: &Value, scan: &Value) -> Result<()> {
    assert_eq!((&scan["way"], &scan["parent"]), (&"scan".into(), &last["backup"]), "{scan}");
    let looking = count(last, "changed_pages")?;
    assert!(looking <= 2, "{last}");
    assert_eq!(count(scan, "changed_pages")?, looking, "by WAL: {last}\nby scan: {scan}");
    Ok(())
}

/// Nothing is written any more: a scan that builds on the last backup finds nothing that it lacks.
pub(crate) fn nothing_is_missed(site: &Site) -> Result<()> {
    site.server.set("autovacuum", "off")?;
    std::thread::sleep(Duration::from_millis(300));
    // Looking at the server sets hints in catalogs, which WAL tells to the next one.
    by_wal(site, &[])?;
    let last = by_wal(site, &[])?;
    found_nothing(&last, &site.backup(&["--scan"])?)
}
