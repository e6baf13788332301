//! What backups there are, and what one of them holds: `list` and `show`.

use seawall_repo::id::BackupId;
use seawall_repo::layout::Place;
use seawall_repo::manifest::{Manifest, ManifestHeader};
use seawall_store::RegionName;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{BackupEntry, Repository, Unreached};

pub use seawall_repo::manifest::{Finding as DamagedPage, Way};

/// The backups of a cluster, oldest first within each system identifier.
#[derive(Debug, Clone, Serialize)]
pub struct ListReport {
    /// The cluster.
    pub cluster: String,
    /// Its backups.
    pub backups: Vec<Listed>,
    /// Regions that could not be asked, and why.
    pub unreached: Vec<Unreached>,
    /// What was not believed.
    pub findings: Vec<Finding>,
}

/// One backup in the list.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What its manifest says in plain.
    #[serde(flatten)]
    pub header: ManifestHeader,
    /// Regions that show it.
    pub regions: Vec<RegionName>,
}

impl ListReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.unreached.is_empty()
            || !self.findings.is_empty()
            || self.backups.iter().any(|one| one.header.damaged_pages > 0)
    }
}

/// Lists the backups; of one region only where it is named.
///
/// # Errors
/// No region can be asked, or the one named is none of them.
pub async fn list(repository: &Repository, region: Option<&str>) -> Result<ListReport> {
    let only = region.map(|name| find_region(repository, name)).transpose()?;
    let catalog = repository.catalog().await?;
    let shown = |entry: &BackupEntry| only.as_ref().is_none_or(|only| entry.regions.contains(only));
    let mut findings = catalog.refused;
    findings.extend(repository.take_findings());
    Ok(ListReport {
        cluster: repository.cluster().to_string(),
        backups: catalog
            .backups
            .into_iter()
            .filter(shown)
            .map(|entry| Listed { header: entry.header, regions: entry.regions })
            .collect(),
        unreached: catalog.unreached,
        findings,
    })
}

fn find_region(repository: &Repository, name: &str) -> Result<RegionName> {
    let found = repository.regions().find(name).map(|region| region.name().clone());
    found.ok_or_else(|| {
        let known = repository
            .regions()
            .iter()
            .map(|region| region.name().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        Error::usage("settings.unknown-region", format!("there is no region {name}")).fact("regions", known)
    })
}

/// One backup in full.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Cluster and system identifier.
    pub place: Place,
    /// Its manifest.
    pub manifest: Manifest,
    /// Regions that show it.
    pub regions: Vec<RegionName>,
    /// Regions that could not be asked, and why.
    pub unreached: Vec<Unreached>,
    /// What was not believed on the way to it.
    pub findings: Vec<Finding>,
}

impl Shown {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        self.manifest.header.damaged_pages > 0 || !self.unreached.is_empty() || !self.findings.is_empty()
    }
}

/// Shows one backup: by id, or the newest by position.
///
/// # Errors
/// There is no such backup, or its manifest cannot be read.
pub async fn show(repository: &Repository, backup: Option<BackupId>, region: Option<&str>) -> Result<Shown> {
    let only = region.map(|name| find_region(repository, name)).transpose()?;
    let catalog = repository.catalog().await?;
    let mut entries = catalog
        .backups
        .into_iter()
        .filter(|entry| only.as_ref().is_none_or(|only| entry.regions.contains(only)));
    let found = match backup {
        Some(id) => entries.find(|entry| entry.id == id),
        None => entries.last(),
    };
    let entry = found.ok_or_else(|| {
        let what =
            backup.map_or_else(|| "there is no backup".to_owned(), |id| format!("there is no backup {id}"));
        Error::data("repository.no-such-backup", what).hint("seawall list shows what there is")
    })?;
    let manifest = repository.manifest(&entry.place, entry.id).await?;
    let mut findings = catalog.refused;
    findings.extend(repository.take_findings());
    Ok(Shown { place: entry.place, manifest, regions: entry.regions, unreached: catalog.unreached, findings })
}
