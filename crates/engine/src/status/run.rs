//! Asking every region what it shows. Changes nothing, anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use seawall_pg::{WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::wal_object::WalHeader;
use seawall_store::{Listed, RegionName};

use super::judge::{BackupSeen, Known, Seen, SystemSeen, judge};
use super::report::StatusReport;
use super::verified;
use crate::error::{Kind, Result};
use crate::repository::{Repository, object_error};
use crate::wal_status::{PlaceSeen, look};

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
    let at = crate::backup::now(repository.world())?;
    let looked = look(repository, at).await?;
    let unreached = |name: &RegionName| {
        looked.unreached.iter().find(|(region, _)| region == name).map(|(_, why)| why.clone())
    };
    let regions = repository.regions().iter().map(|region| (region.name().clone(), unreached(region.name())));
    let regions = regions.collect();
    let known = known(repository, &looked.places).await;
    let mut findings = looked.findings;
    findings.extend(repository.take_findings());
    let seen = Seen {
        cluster: repository.cluster().clone(),
        now: at,
        rpo: options.rpo,
        systems: looked.places.into_iter().map(system_seen).collect(),
        regions,
        known,
        findings,
    };
    Ok(judge(&seen))
}

fn system_seen(place: PlaceSeen) -> SystemSeen {
    let backups = place.backups.iter();
    let backups =
        backups.map(|entry| BackupSeen { header: entry.header.clone(), regions: entry.regions.clone() });
    let backups = backups.collect();
    let excused = place.wal.as_ref().map(|wal| wal.excused(&place.backups)).unwrap_or_default();
    let lacking = place.wal.as_ref().map(|wal| wal.lacking.clone()).unwrap_or_default();
    SystemSeen { system: place.place.system, backups, wal: place.wal.map(|wal| wal.held), excused, lacking }
}

/// What the calls so far and the events tell of each region.
async fn known(repository: &Repository, places: &[PlaceSeen]) -> BTreeMap<RegionName, Known> {
    let mut verified = match places.last() {
        Some(present) => verified::last(repository, &present.place).await,
        None => BTreeMap::new(),
    };
    let known = repository.regions().iter().map(|region| {
        let latency = region.health().latency_us;
        let latency = (latency > 0).then(|| Duration::from_micros(latency));
        (region.name().clone(), Known { latency, verified: verified.remove(region.name()) })
    });
    known.collect()
}

/// Damaged segments that are passed over before one is asked no more.
const SEGMENTS_ASKED: usize = 16;

/// The size of segments, from the first one there is that can be read; none where there is none.
pub(crate) async fn size_from_wal(repository: &Repository, place: &Place) -> Result<Option<WalSegmentSize>> {
    let mut listed = repository.regions().list_all(&place.wal());
    let (mut asked, mut bad) = (0, None);
    while let Some(entry) = listed.next().await {
        let Listed::Object { name, .. } = entry else { continue };
        let Some(name) = ObjectName::parse(&name) else { continue };
        if let Named::Wal { file: WalFileName::Segment(_) | WalFileName::Partial(_), .. } = name.named() {
            match size_in(repository, &name).await {
                Ok(size) => return Ok(Some(size)),
                Err(error) if error.kind() == Kind::Data && asked < SEGMENTS_ASKED => bad = Some(error),
                Err(error) => return Err(error),
            }
            asked += 1;
        }
    }
    bad.map_or(Ok(None), Err)
}

/// What a segment's object says.
async fn size_in(repository: &Repository, name: &ObjectName) -> Result<WalSegmentSize> {
    let head = repository.read_head(name).await?.value;
    let header: WalHeader = head.header_as().map_err(|error| object_error(&error))?;
    Ok(header.segment_size)
}
