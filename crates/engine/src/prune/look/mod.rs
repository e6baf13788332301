//! What a repository has that retention must know of: backups, packs and maps, WAL, running backups, and what was decided before.
//!
//! Promises: reads only; regions that could not be listed are named ([`Seen::broken`]) and nothing is concluded about them;
//! what cannot be read where it could keep something keeps everything of its place.

mod decisions;
mod folders;
mod heals;
mod intents;
mod listing;
mod wal;

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::WalSegmentSize;
use seawall_repo::condemned::PolicyRecord;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{ObjectName, Place};
use seawall_repo::time::Time;
use seawall_store::RegionName;

pub(crate) use decisions::HoldSeen;
pub(super) use decisions::{TombstoneSeen, holds, policies, tombstones};
pub(super) use folders::{Folder, Numbered};
pub(super) use intents::{DEAD_AFTER, IntentsSeen};
pub(super) use listing::Broken;
pub(super) use wal::WalSeen;

use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::repository::{BackupEntry, Repository, unlistable};
use crate::retention::Lineage;
use crate::status::size_from_wal;

/// One system identifier of the cluster.
#[derive(Debug)]
pub(super) struct PlaceSeen {
    pub(super) place: Place,
    pub(super) lineage: Lineage,
    /// In the order of positions.
    pub(super) backups: Vec<BackupEntry>,
    /// Backups whose manifests are there and not believed: what lies in their folders is left alone.
    /// Whether a stranger signed it; others are damaged in every region that could be asked.
    pub(super) unbelieved: BTreeMap<BackupId, bool>,
    /// Backups of whose manifests only heal copies are left: the backups are gone.
    pub(super) healed_only: BTreeSet<BackupId>,
    pub(super) folders: BTreeMap<BackupId, Folder>,
    pub(super) intents: IntentsSeen,
    pub(super) wal: WalSeen,
    pub(super) tombstones: Vec<TombstoneSeen>,
    /// What is left of tombstones that are gone, and since when.
    pub(super) strays: Vec<(ObjectName, Time)>,
}

impl PlaceSeen {
    /// Why nothing of it may be condemned for now: a region that cannot be asked may have the good copy of a manifest, and nobody else
    /// says what that backup uses; or the only backups that can be restored, and what was archived since is here alone.
    pub(super) fn keeps_all_meanwhile(&self, broken: &Broken, has_fit_backup: bool) -> Option<String> {
        let region = broken.keys().next()?;
        let damaged = self.unbelieved.iter().find(|(_, of_a_stranger)| !**of_a_stranger);
        match damaged {
            Some((id, _)) => Some(format!(
                "the manifest of backup {id} is damaged, and region {region}, which may have a good copy, cannot be asked"
            )),
            None if !has_fit_backup => Some(format!(
                "no backup that could be restored is in the regions that answer, and region {region}, which may have some, cannot be asked"
            )),
            None => None,
        }
    }
}

/// All of a cluster.
#[derive(Debug)]
pub(super) struct Seen {
    /// The time by which ages are told: of the region whose clock is earliest.
    pub(super) now: Time,
    /// Every region, in the order of the settings.
    pub(super) regions: Vec<RegionName>,
    pub(super) places: Vec<PlaceSeen>,
    pub(super) holds: Vec<HoldSeen>,
    pub(super) policies: Vec<(PolicyRecord, Time)>,
    /// Regions that could not be asked for everything.
    pub(super) broken: Broken,
    /// Objects with names that this version does not know.
    pub(super) strange: u64,
    pub(super) findings: Vec<Finding>,
}

/// Looks at everything of the cluster. `now` is the time by which ages are told.
pub(super) async fn look(repository: &Repository, now: Time) -> Result<Seen> {
    let regions: Vec<RegionName> = repository.regions().iter().map(|region| region.name().clone()).collect();
    let (mut broken, mut findings, mut strange) = (Broken::new(), Vec::new(), 0);
    // First what keeps, then what is there: whatever comes meanwhile was announced before (`backup::intent`).
    let mut places: Vec<PlaceSeen> = Vec::new();
    let mut holds = Vec::new();
    let policies = decisions::policies(repository, &mut broken, &mut findings).await?.records;
    let known = policies.last().map(|(policy, _)| policy.holds.clone()).unwrap_or_default();
    let adoptions = repository.adoptions().await?;
    let mut intents_of = BTreeMap::new();
    for adoption in &adoptions {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let (seen, unknown) = intents::intents(repository, &place, now, &mut broken, &mut findings).await?;
        strange += unknown;
        intents_of.insert(place.system, seen);
        let (held, unknown) =
            decisions::holds(repository, &place, &known, &mut broken, &mut findings).await?;
        strange += unknown;
        holds.extend(held);
    }
    let catalog = repository.catalog().await?;
    for unreached in &catalog.unreached {
        broken.entry(unreached.region.clone()).or_insert_with(|| unreached.why.clone());
    }
    findings.extend(catalog.refused);
    for adoption in adoptions {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let backups: Vec<BackupEntry> =
            catalog.backups.iter().filter(|entry| entry.place == place).cloned().collect();
        let size = segment_size(&backups);
        let (folders, unknown) = folders::folders(repository, &place, &regions, &mut broken).await;
        strange += unknown;
        let stones = decisions::tombstones(repository, &place, &[], &mut broken, &mut findings).await?;
        strange += stones.strange;
        let refused = catalog.unbelieved.iter().filter(|one| one.place == place);
        let unbelieved: BTreeMap<_, _> = refused.map(|one| (one.id, one.is_of_a_stranger)).collect();
        let size = size_of_segments(repository, &place, size, &stones.seen, !unbelieved.is_empty()).await?;
        let (wal, unknown) = wal::wal(repository, &place, size, &mut broken).await?;
        strange += unknown;
        let mut there = heals::There { folders, wal, manifests: BTreeSet::new() };
        strange += there.add(repository, &place, &regions, &mut broken).await;
        let heals::There { folders, wal, manifests } = there;
        let known =
            |id: &BackupId| unbelieved.contains_key(id) || backups.iter().any(|entry| entry.id == *id);
        let healed_only = manifests.into_iter().filter(|id| !known(id)).collect();
        places.push(PlaceSeen {
            lineage: Lineage { system: adoption.system, after: adoption.after, adopted: adoption.adopted },
            intents: intents_of.remove(&place.system).unwrap_or_default(),
            place,
            backups,
            unbelieved,
            healed_only,
            folders,
            wal,
            tombstones: stones.seen,
            strays: stones.strays,
        });
    }
    if broken.len() == regions.len() {
        return Err(unlistable(&broken));
    }
    findings.extend(repository.take_findings());
    Ok(Seen { now, regions, places, holds, policies, broken, strange, findings })
}

/// The segments' size: WAL that is left when the last backup has gone is counted as its tombstones counted.
async fn size_of_segments(
    repository: &Repository,
    place: &Place,
    by_backups: std::result::Result<Option<WalSegmentSize>, String>,
    stones: &[TombstoneSeen],
    some_unbelieved: bool,
) -> Result<std::result::Result<Option<WalSegmentSize>, String>> {
    if !matches!(by_backups, Ok(None)) {
        return Ok(by_backups);
    }
    match stones.iter().find_map(|stone| stone.record.segment_size) {
        // Of a backup that nobody can read nobody knows what leads to it.
        None if some_unbelieved => Ok(Err("its backups' manifests cannot be believed".to_owned())),
        None => size_by_wal(repository, place).await,
        by_stones => Ok(Ok(by_stones)),
    }
}

/// The segments' size where there is neither a backup nor a tombstone: as the segments say themselves.
async fn size_by_wal(
    repository: &Repository,
    place: &Place,
) -> Result<std::result::Result<Option<WalSegmentSize>, String>> {
    match size_from_wal(repository, place).await {
        Ok(size) => Ok(Ok(size)),
        Err(error) if error.kind() == Kind::Data => {
            Ok(Err(format!("nobody says how long its segments are: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// The segments' size that all backups agree on; none where there is no backup to say it.
fn segment_size(backups: &[BackupEntry]) -> std::result::Result<Option<WalSegmentSize>, String> {
    let mut sizes = backups.iter().map(|entry| entry.header.segment_size);
    let Some(first) = sizes.next() else { return Ok(None) };
    match sizes.find(|size| *size != first) {
        None => Ok(Some(first)),
        Some(other) => {
            Err(format!("backups speak of segments of {} and of {} bytes", first.bytes(), other.bytes()))
        }
    }
}

fn not_believed(name: &ObjectName, why: &str) -> Finding {
    Finding {
        id: "prune.record-refused",
        what: format!("{name} is not believed: {why}"),
        hint: Some("find out who could write to the region".to_owned()),
    }
}
