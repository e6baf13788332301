//! Backups by WAL, held against a scan of everything.

use std::time::Duration;

use seawall_testkit::{Failure, Result};
use serde_json::Value;

use super::{Site, json};

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

/// Hints that looking at the server sets are a handful of pages; more would be work, beside which a page that is missed hides.
const HINTED_MAX: u64 = 20;

/// The scan builds on the last backup, which was by WAL with nothing written meanwhile, and found nothing that it lacks, but for what
/// changes by looking at the server: the state of transactions, which is no relation's and is compared by content both ways, and hints in
/// catalogs since that backup's start, which WAL tells.
#[track_caller]
pub(crate) fn found_nothing(site: &Site, last: &Value, scan: &Value) -> Result<()> {
    assert_eq!((&scan["way"], &scan["parent"]), (&"scan".into(), &last["backup"]), "{scan}");
    let looking = count(last, "changed_pages")?;
    assert!(looking <= 2, "{last}");
    let hinted = named_between(site, last, scan)?;
    assert!(hinted <= HINTED_MAX, "{hinted} pages changed since {last}");
    let found = count(scan, "changed_pages")?;
    assert!(found <= looking + hinted, "{hinted} pages named since\nby WAL: {last}\nby scan: {scan}");
    Ok(())
}

/// How many pages WAL names between the starts of two backups, whole segments counted.
fn named_between(site: &Site, last: &Value, scan: &Value) -> Result<u64> {
    let segment = |of: &Value| {
        let start = of["start"].as_str().unwrap_or_default();
        site.server.value(&format!("SELECT pg_walfile_name('{start}')"))
    };
    let (first, end, identity) = (segment(last)?, segment(scan)?, site.identity("first"));
    let identity = identity.to_string_lossy();
    let line = ["debug", "index", &first, &end, "--identity", &identity, "--json"];
    count(&json(&site.seawall(line)?.expect_code(0)?)?, "pages")
}

/// Workers that were at it when autovacuum was switched off go on to the end of their database, which takes a busy machine long.
fn autovacuum_ended(site: &Site) -> Result<()> {
    let running = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'";
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(300));
        if site.server.value(running)? == "0" {
            return Ok(());
        }
    }
    Err(Failure::new("autovacuum goes on three minutes after it was switched off"))
}

/// Nothing is written any more: a scan that builds on the last backup finds nothing that it lacks.
pub(crate) fn nothing_is_missed(site: &Site) -> Result<()> {
    site.server.set("autovacuum", "off")?;
    autovacuum_ended(site)?;
    // Looking at the server sets hints in catalogs, which WAL tells to the next one.
    by_wal(site, &[])?;
    let last = by_wal(site, &[])?;
    found_nothing(site, &last, &site.backup(&["--scan"])?)
}
