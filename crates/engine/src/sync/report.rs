//! What a sync would do or did: the one truth behind text and JSON.

use seawall_repo::id::ClusterName;
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::Serialize;

use crate::monitor::Finding;

/// What is copied, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Which kind: `record`, `wal`, `data` (packs and maps), `manifest`; `heal`: heal copies of damaged objects.
    pub kind: &'static str,
    /// Objects that the region lacked and others have; of `heal` those that are damaged and that others can heal.
    pub lacking: u64,
    /// Their bytes.
    pub lacking_bytes: u64,
    /// Objects that were copied into it.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that it lacks and that are not copied, for tombstones name them or no kept backup uses them.
    pub not_wanted: u64,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionReport {
    /// Which.
    pub region: RegionName,
    /// Why it could not be brought up to date as a whole; none if it was, or is.
    pub incomplete: Option<String>,
    /// Kinds of which it lacked anything.
    pub kinds: Vec<KindReport>,
}

impl RegionReport {
    /// Of one kind.
    #[must_use]
    pub fn kind(&self, kind: &'static str) -> KindReport {
        let known = self.kinds.iter().find(|known| known.kind == kind);
        known.copied().unwrap_or(KindReport { kind, ..KindReport::default() })
    }

    /// Of one kind, to be counted in.
    pub(super) fn kind_mut(&mut self, kind: &'static str) -> &mut KindReport {
        let at = self.kinds.iter().position(|known| known.kind == kind).unwrap_or_else(|| {
            self.kinds.push(KindReport { kind, ..KindReport::default() });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    /// Of all kinds together.
    #[must_use]
    pub fn total(&self) -> KindReport {
        self.kinds.iter().fold(KindReport::default(), |sum, kind| KindReport {
            kind: "all",
            lacking: sum.lacking + kind.lacking,
            lacking_bytes: sum.lacking_bytes + kind.lacking_bytes,
            copied: sum.copied + kind.copied,
            copied_bytes: sum.copied_bytes + kind.copied_bytes,
            not_wanted: sum.not_wanted + kind.not_wanted,
        })
    }
}

/// A sync.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// When it began, by the clock of the host that ran it.
    pub began: Time,
    /// Whether it only looked.
    pub dry_run: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Every region that was asked to be brought up to date.
    pub regions: Vec<RegionReport>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl SyncReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty() || self.regions.iter().any(|region| region.incomplete.is_some())
    }

    /// As text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for region in &self.regions {
            let total = region.total();
            let state = match (&region.incomplete, self.dry_run, total.lacking) {
                (Some(why), ..) => format!("not brought up to date: {why}"),
                (None, _, 0) => "lacks nothing".to_owned(),
                (None, true, lacking) => {
                    format!("lacks {lacking} objects, {} MiB", total.lacking_bytes >> 20)
                }
                (None, false, _) => {
                    format!("up to date: {} objects copied, {} MiB", total.copied, total.copied_bytes >> 20)
                }
            };
            lines.push(format!("region {}: {state}", region.region));
            lines.extend(region.kinds.iter().map(|told| {
                format!(
                    "  {:<9} {} lacking ({} bytes), {} copied, {} not wanted",
                    told.kind, told.lacking, told.lacking_bytes, told.copied, told.not_wanted
                )
            }));
        }
        lines
    }
}
