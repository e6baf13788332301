//! What a verification saw: the one truth behind text, JSON and the event that remembers it.

use std::collections::BTreeMap;

use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::Serialize;

use super::endangers::Endangered;
use super::healed::Healed;
use super::memory::Place;
use crate::monitor::Finding;

/// What was verified, and what of it is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The cluster.
    pub cluster: String,
    /// `quick`, `sample` or `full`.
    pub depth: &'static str,
    /// The share of a sample.
    pub share: Option<String>,
    /// When it began.
    pub began: Time,
    /// How long it took.
    pub seconds: f64,
    /// How it ended.
    pub ended: Ended,
    /// Each judged region by itself.
    pub regions: Vec<RegionReport>,
    /// What is wrong, at most ten thousand.
    pub findings: Vec<VerifyFinding>,
    /// How many more.
    pub findings_more: u64,
    /// What is damaged under its own name and served by a heal copy, as far as this run looked: nothing is lost.
    pub healed: Vec<Healed>,
    /// Damaged pages that backups knew of when they stored them.
    pub known_damage: Vec<Known>,
    /// What could not be looked at, in words.
    pub not_checked: Vec<String>,
    /// The place as it is remembered, for the next run.
    pub place: Option<Place>,
    /// The event that remembers it; none where nothing is remembered.
    pub event: Option<String>,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Everything that was asked for was looked at.
    Complete,
    /// The budget was used up; the next run with one goes on there.
    Budget,
}

/// One region.
#[derive(Debug, Clone, Serialize)]
pub struct RegionReport {
    /// Which.
    pub region: RegionName,
    /// Why it could not be asked, or not to the end.
    pub broken: Option<String>,
    /// By kind of object.
    pub kinds: Vec<KindCount>,
    /// Packs and maps that nothing needs, and heal copies whose originals are not there.
    pub orphans: Orphans,
    /// Files that writers left when they died; none for stores that leave none.
    pub leftovers: Option<u64>,
    /// Pages that were looked at in packs.
    pub pages: u64,
    /// Of them relation pages whose checksums nobody can judge any more.
    pub pages_unjudged: u64,
    /// Links between neighbouring segments that were compared.
    pub links: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Requests, by kind: as in other reports.
    pub requests: seawall_store::MeterReading,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Signed texts: the repository's, writers', keys', adoptions, intents, tombstones, holds.
    #[default]
    Records,
    /// Manifests.
    Manifests,
    /// Maps.
    Maps,
    /// Packs.
    Packs,
    /// WAL files and their parts.
    Wal,
    /// Chapters of WAL.
    Chapters,
    /// Events.
    Events,
    /// Heal copies of objects that are damaged under their own names.
    Heals,
}

impl Kind {
    /// All of them, in the order of the report.
    pub(super) const ALL: [Self; 8] = [
        Self::Records,
        Self::Manifests,
        Self::Maps,
        Self::Packs,
        Self::Wal,
        Self::Chapters,
        Self::Events,
        Self::Heals,
    ];

    pub(super) fn of(named: &Named) -> Self {
        match named {
            Named::Manifest { .. } => Self::Manifests,
            Named::Map { .. } => Self::Maps,
            Named::Pack { .. } => Self::Packs,
            Named::Wal { .. } | Named::WalPart { .. } => Self::Wal,
            Named::Event { .. } => Self::Events,
            Named::Chapter { .. } => Self::Chapters,
            Named::Heal { .. } => Self::Heals,
            _ => Self::Records,
        }
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Manifests => "manifests",
            Self::Maps => "maps",
            Self::Packs => "packs",
            Self::Wal => "WAL",
            Self::Chapters => "chapters",
            Self::Events => "events",
            Self::Heals => "heal copies",
        }
    }
}

/// What was seen of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// Which.
    pub kind: Kind,
    /// Objects there are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were read whole.
    pub read: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Findings about objects of this kind, missing ones included.
    pub bad: u64,
}

impl KindCount {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// Packs and maps that no manifest needs and no backup under way covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Damaged pages that a backup knew of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Which backup.
    pub backup: BackupId,
    /// How many pages.
    pub pages: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyFinding {
    /// Stable id.
    pub id: &'static str,
    /// The object.
    pub object: String,
    /// In which region.
    pub region: RegionName,
    /// What is wrong with it.
    pub fault: String,
    /// What that means.
    pub endangers: Endangered,
    /// What to do.
    pub mend: String,
}

impl VerifyFinding {
    /// As it is told while the operation runs.
    #[must_use]
    pub fn told(&self) -> Finding {
        let Self { id, object, region, fault, endangers, mend } = self;
        let what = format!("{object} in region {region}: {fault}; endangers {}", endangers.what);
        Finding { id, what, hint: Some(mend.clone()) }
    }
}

impl VerifyReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty() || self.findings_more > 0
    }

    /// How many findings there are of each id.
    #[must_use]
    pub fn by_id(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        self.findings.iter().for_each(|finding| *counts.entry(finding.id).or_default() += 1);
        counts
    }
}
