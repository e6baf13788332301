//! What a backup did: the one truth behind text, JSON and what `list` shows.

use seawall_pg::{Lsn, Timeline};
use seawall_repo::id::BackupId;
use seawall_repo::manifest::Way;
use seawall_store::{MeterReading, RegionName, Regions};
use serde::Serialize;

use super::plan::ChosenWay;
use super::worker::Broken;
use crate::monitor::Finding;
use crate::text;

/// A backup that exists.
#[derive(Debug, Clone, Serialize)]
pub struct BackupReport {
    /// Its id.
    pub backup: BackupId,
    /// How pages were found, and why so.
    #[serde(flatten)]
    pub way: ChosenWay,
    /// Regions in which it exists now.
    pub regions: Vec<RegionName>,
    /// Regions that lack it, and why.
    pub left_out: Vec<LeftOut>,
    /// Where recovery of it begins.
    pub start: Lsn,
    /// How far recovery must go.
    pub stop: Lsn,
    /// On which timeline.
    pub timeline: Timeline,
    /// Size of the files, bytes.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Bytes read of them.
    pub read: u64,
    /// Bytes this backup added to each region.
    pub stored: u64,
    /// Pages stored because they changed.
    pub changed_pages: u64,
    /// Pages stored again to empty old packs.
    pub rewritten_pages: u64,
    /// Packs taken over from an interrupted backup.
    pub adopted_packs: u64,
    /// Files that vanished between listing and reading: normal, the server drops relations.
    pub vanished: u64,
    /// Pages with a wrong checksum.
    pub damaged_pages: u64,
    /// Chapters of full folders of WAL that were put afterwards.
    pub chapters: u64,
    /// Seconds from start to commit.
    pub seconds: f64,
    /// Calls and bytes, by region.
    pub requests: Vec<Requests>,
    /// Everything that was told while it ran and is wrong, damaged pages included.
    pub findings: Vec<Finding>,
    /// Findings that did not fit into the list.
    pub findings_more: u64,
}

/// What was asked of a region.
#[derive(Debug, Clone, Serialize)]
pub struct Requests {
    /// Which.
    pub region: RegionName,
    /// Calls and bytes.
    #[serde(flatten)]
    pub reading: MeterReading,
}

/// A region without this backup.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// Which.
    pub region: RegionName,
    /// Why.
    pub reason: String,
}

pub(crate) fn requests(regions: &Regions) -> Vec<Requests> {
    regions.meters().into_iter().map(|(region, reading)| Requests { region, reading }).collect()
}

impl BackupReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        self.damaged_pages > 0 || !self.left_out.is_empty() || !self.findings.is_empty()
    }

    /// The report for a person, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let way = match self.way.way {
            Way::Full => "full",
            Way::Scan => "scan",
            Way::Wal => "wal",
        };
        let mut lines = vec![
            format!("backup {} is complete in {}", self.backup, names(&self.regions)),
            format!("  way       {way}: {}", self.way.reason),
            format!(
                "  data      {} in {} files, {} read, {} stored",
                mib(self.bytes),
                self.files,
                mib(self.read),
                mib(self.stored)
            ),
            format!(
                "  pages     {} changed, {} stored again to empty old packs",
                self.changed_pages, self.rewritten_pages
            ),
            format!("  WAL       {} to {} on timeline {}", self.start, self.stop, self.timeline),
            format!("  took      {:.1} s", self.seconds),
        ];
        if self.adopted_packs > 0 {
            lines.push(format!(
                "  resumed   {} packs of an interrupted backup were taken over",
                self.adopted_packs
            ));
        }
        lines.extend(
            self.left_out.iter().map(|left| format!("  missing   in {}: {}", left.region, left.reason)),
        );
        if self.damaged_pages > 0 {
            lines.push(format!("  DAMAGED   {} pages have a wrong checksum", self.damaged_pages));
        }
        lines
    }
}

fn names(regions: &[RegionName]) -> String {
    regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// A broken page, as it is reported while the backup runs and for ever after.
pub(super) fn broken_finding(broken: &Broken) -> Finding {
    let (path, page) = (text::shown_bytes(&broken.path), &broken.page);
    Finding {
        id: "backup.damaged-page",
        what: format!(
            "block {} of {path} is damaged: checksum stored {}, computed {} ({:?}, LSN {})",
            page.block, page.stored, page.computed, page.reason, page.lsn
        ),
        hint: Some("the page is in the backup as it is on disk; look for an older backup with the good page, and at the disk".to_owned()),
    }
}
