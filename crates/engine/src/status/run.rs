//! Asking every region what it shows. Changes nothing, anywhere.

use std::time::Duration;

use futures::StreamExt as _;
use seawall_pg::{WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::wal_object::WalHeader;
use seawall_store::Listed;

use super::judge::{BackupSeen, Seen, SystemSeen, judge};
use super::report::StatusReport;
use crate::archive::inventory::load;
use crate::error::Result;
use crate::repository::{Catalog, Repository, object_error};

/// What the caller adds.
#[derive(Debug, Clone, Default)]
pub struct StatusOptions {
    /// How much may be lost, where an objective says so.
    pub rpo: Option<Duration>,
}

/// Looks.
///
/// # Errors
/// No region can be listed.
pub async fn status(repository: &Repository, options: &StatusOptions) -> Result<StatusReport> {
    let catalog = repository.catalog().await?;
    let mut systems = Vec::new();
    for adoption in repository.adoptions().await? {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        systems.push(system_seen(repository, &place, &catalog).await?);
    }
    let unreached = |name: &seawall_store::RegionName| {
        catalog.unreached.iter().find(|one| one.region == *name).map(|one| one.why.clone())
    };
    let regions = repository.regions().iter().map(|region| (region.name().clone(), unreached(region.name())));
    let mut findings = catalog.refused.clone();
    findings.extend(repository.take_findings());
    let seen = Seen {
        cluster: repository.cluster().clone(),
        now: crate::backup::now(repository.world())?,
        rpo: options.rpo,
        systems,
        regions: regions.collect(),
        findings,
    };
    Ok(judge(&seen))
}

async fn system_seen(repository: &Repository, place: &Place, catalog: &Catalog) -> Result<SystemSeen> {
    let of_place = catalog.backups.iter().filter(|backup| backup.place == *place);
    let backups: Vec<BackupSeen> = of_place
        .map(|backup| BackupSeen { header: backup.header.clone(), regions: backup.regions.clone() })
        .collect();
    let size = match backups.last() {
        Some(backup) => Some(backup.header.segment_size),
        None => size_from_wal(repository, place).await?,
    };
    let wal = match size {
        Some(size) => Some(load(repository, place, size).await?),
        None => None,
    };
    Ok(SystemSeen { system: place.system, backups, wal })
}

/// The size of segments, from the first WAL file there is; none where there is none.
pub(crate) async fn size_from_wal(repository: &Repository, place: &Place) -> Result<Option<WalSegmentSize>> {
    let mut listed = repository.regions().list_all(&place.wal());
    while let Some(entry) = listed.next().await {
        let Listed::Object { name, .. } = entry else { continue };
        let Some(name) = ObjectName::parse(&name) else { continue };
        if let Named::Wal { file: WalFileName::Segment(_), .. } = name.named() {
            let head = repository.read_head(&name).await?.value;
            let header: WalHeader = head.header_as().map_err(|error| object_error(&error))?;
            return Ok(Some(header.segment_size));
        }
    }
    Ok(None)
}
