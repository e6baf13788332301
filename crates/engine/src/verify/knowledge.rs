//! What a place's manifests, intents and tombstones say, region by region: what everything else is held against.
//!
//! Promises: a region's manifests are believed from that region's own copies; memory grows with backups (some hundred bytes each, and runs of
//! numbers), never with packs or pages. A manifest that is no good is a finding and stands for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use seawall_pg::{ControlFile, Lsn, Timeline, Version, WalSegmentSize};
use seawall_repo::condemned::{Condemned, Tombstone};
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::pack::PackId;
use seawall_repo::records::{Adoption, Intent};
use seawall_repo::time::Time;
use seawall_store::{Held as Listing, Listed, RegionName};

use super::manifests::{ReadManifest, manifest};
use super::numbers::Numbers;
use super::tasks::{Outcome, Reading};
use crate::error::Result;
use crate::holes::acknowledgements;
use crate::repository::{Apart, Copy, Repository};
use crate::retention::{Lineage, WalRanges};

/// A word about what is used is dead so long after it was given.
const INTENT_LIVES: Duration = Duration::from_secs(24 * 3600);
/// Sizes of packs that are kept, 16 bytes each; beyond, sizes are read again from the manifest of the folder at hand.
const SIZES_MAX: usize = 1 << 20;

/// What is kept of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backup {
    pub(super) id: BackupId,
    pub(super) timeline: Timeline,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
    pub(super) stop_timeline: Timeline,
    pub(super) size: WalSegmentSize,
    pub(super) checksums: bool,
    pub(super) damaged_pages: u64,
    pub(super) relation_segment_blocks: u32,
    /// When it was stored first, by the store; when it ended, by its writer.
    pub(super) stored: Time,
    pub(super) claimed: Time,
    /// Whether it holds nothing.
    pub(super) empty: bool,
}

/// What one region's manifests say.
#[derive(Debug, Default)]
pub(super) struct OfRegion {
    pub(super) backups: BTreeMap<BackupId, Backup>,
    /// Packs and maps that manifests name, by folder.
    pub(super) packs: BTreeMap<BackupId, Numbers>,
    pub(super) maps: BTreeMap<BackupId, Numbers>,
}

/// One copy of a manifest that is no good.
#[derive(Debug)]
pub(super) struct BadManifest {
    pub(super) region: RegionName,
    pub(super) name: ObjectName,
    pub(super) outcome: Outcome,
}

/// What is known of a place before its objects are looked at.
#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) place: Place,
    pub(super) lineage: Lineage,
    pub(super) version: Option<Version>,
    pub(super) size: Option<WalSegmentSize>,
    pub(super) regions: BTreeMap<RegionName, OfRegion>,
    /// Manifests as they are listed anywhere.
    pub(super) shown: BTreeSet<BackupId>,
    sizes: BTreeMap<BackupId, Vec<(u32, u64)>>,
    sizes_kept: usize,
    sizes_all: bool,
    /// Backups under way, and what they take over.
    pub(super) under_way: BTreeSet<BackupId>,
    pub(super) adopted: BTreeSet<PackId>,
    condemned: Vec<Condemned>,
    /// What of WAL those name.
    pub(super) condemned_wal: WalRanges,
    /// What somebody who may acknowledged as lost.
    pub(super) acknowledged: WalRanges,
    pub(super) bad: Vec<BadManifest>,
    /// Copies of manifests that were read and are good, by backup.
    pub(super) good: BTreeMap<BackupId, Vec<RegionName>>,
    /// The first good copy of each, and those that differ from it.
    first: BTreeMap<BackupId, Copy>,
    pub(super) differing: Vec<(ObjectName, [Copy; 2])>,
    /// Copies of manifests that were read: region and bytes.
    pub(super) read: Vec<(RegionName, u64)>,
}

impl Knowledge {
    /// Reads what a place says of itself. `regions` are those that are judged.
    pub(super) async fn load(reading: &Reading, adoption: &Adoption, regions: &[RegionName]) -> Result<Self> {
        let place = Place { cluster: adoption.cluster.clone(), system: adoption.system };
        let mut known = Self::new(place, adoption, regions);
        let listed = known.list_manifests(&reading.repository).await;
        known.shown = listed.keys().copied().collect();
        let judged = |held: Vec<Listing>| -> Vec<Listing> {
            held.into_iter().filter(|held| regions.contains(&held.region)).collect()
        };
        let copies = listed.into_iter().flat_map(|(id, held)| {
            let created = held.iter().map(|held| held.modified_unix_us).min().and_then(Time::from_micros);
            judged(held).into_iter().map(move |held| (id, held, created))
        });
        let place = known.place.clone();
        let mut reads = stream::iter(copies)
            .map(|(id, held, created)| read_manifest(reading.clone(), place.clone(), id, held, created))
            .buffered(reading.at_once);
        while let Some((id, Listing { region, size_bytes, .. }, created, read)) = reads.next().await {
            known.read.push((region.clone(), size_bytes));
            match read? {
                Ok((manifest, copy)) => {
                    known.compare(id, copy);
                    known.add(&region, *manifest, created);
                }
                Err(outcome) => {
                    let name = Named::Manifest { place: known.place.clone(), backup: id }.into();
                    known.bad.push(BadManifest { region, name, outcome });
                }
            }
        }
        drop(reads);
        known.add_intents(&reading.repository).await?;
        known.add_tombstones(&reading.repository).await?;
        known.settle_size(&reading.repository).await?;
        if let Some(size) = known.size {
            // A record that is not believed is found when its turn comes.
            let mut told = Vec::new();
            let read = acknowledgements(&reading.repository, &known.place, size, &mut told).await?;
            known.acknowledged = read.ranges();
        }
        Ok(known)
    }

    fn new(place: Place, adoption: &Adoption, regions: &[RegionName]) -> Self {
        Self {
            place,
            lineage: Lineage { system: adoption.system, after: adoption.after, adopted: adoption.adopted },
            version: Version::from_major(adoption.postgresql).ok(),
            size: None,
            regions: regions.iter().map(|region| (region.clone(), OfRegion::default())).collect(),
            shown: BTreeSet::new(),
            sizes: BTreeMap::new(),
            sizes_kept: 0,
            sizes_all: true,
            under_way: BTreeSet::new(),
            adopted: BTreeSet::new(),
            condemned: Vec::new(),
            condemned_wal: WalRanges::default(),
            acknowledged: WalRanges::default(),
            bad: Vec::new(),
            good: BTreeMap::new(),
            first: BTreeMap::new(),
            differing: Vec::new(),
            read: Vec::new(),
        }
    }

    async fn list_manifests(&self, repository: &Repository) -> BTreeMap<BackupId, Vec<Listing>> {
        let mut all = BTreeMap::new();
        let mut listed = repository.regions().list_all(&self.place.manifests());
        // A region whose listing breaks here breaks in the pass over everything too, and is told there.
        while let Some(entry) = listed.next().await {
            if let Listed::Object { name, held, .. } = entry
                && let Some(name) = ObjectName::parse(&name)
                && let Named::Manifest { backup, .. } = name.named()
            {
                all.insert(*backup, held);
            }
        }
        all
    }

    fn compare(&mut self, id: BackupId, copy: Copy) {
        let Some(first) = self.first.get(&id) else {
            self.first.insert(id, copy);
            return;
        };
        if let Some(Apart { one, other }) = Apart::of([first.clone(), copy]) {
            let name = Named::Manifest { place: self.place.clone(), backup: id }.into();
            self.differing.push((name, [one, other]));
        }
    }

    fn add(&mut self, region: &RegionName, manifest: Manifest, stored: Option<Time>) {
        let (header, body) = (manifest.header, manifest.body);
        let blocks =
            ControlFile::decode(&body.control).map_or(131_072, |control| control.relation_segment_blocks);
        let backup = Backup {
            id: header.backup,
            timeline: header.timeline,
            start: header.start,
            stop: header.stop,
            stop_timeline: header.stop_timeline,
            size: header.segment_size,
            checksums: body.server.data_checksums,
            damaged_pages: header.damaged_pages,
            relation_segment_blocks: blocks,
            stored: stored.unwrap_or(header.stopped),
            claimed: header.stopped,
            empty: header.bytes == 0,
        };
        self.good.entry(backup.id).or_default().push(region.clone());
        for row in &body.packs {
            // A backup's own packs, and those of backups whose manifests are gone: there no other manifest tells.
            if row.pack.backup == backup.id || !self.shown.contains(&row.pack.backup) {
                self.keep_size(row.pack, row.stored_bytes);
            }
        }
        let Some(of) = self.regions.get_mut(region) else { return };
        let mut last: Option<(BackupId, Numbers)> = None;
        for row in &body.packs {
            // Rows come in the order of backups: each folder is looked up once.
            if last.as_ref().is_none_or(|(backup, _)| *backup != row.pack.backup) {
                settle(&mut of.packs, last.take());
                last = Some((row.pack.backup, Numbers::default()));
            }
            if let Some((_, numbers)) = &mut last {
                numbers.add(row.pack.number);
            }
        }
        settle(&mut of.packs, last);
        of.maps.entry(backup.id).or_default().add_all(&Numbers::first(header.maps));
        for block in &body.blocks {
            of.maps.entry(block.node.backup).or_default().add(block.node.map);
        }
        of.backups.insert(backup.id, backup);
    }

    fn keep_size(&mut self, pack: PackId, bytes: u64) {
        if self.sizes_kept >= SIZES_MAX {
            self.sizes_all = false;
            return;
        }
        let sizes = self.sizes.entry(pack.backup).or_default();
        if let Err(at) = sizes.binary_search_by_key(&pack.number, |(number, _)| *number) {
            sizes.insert(at, (pack.number, bytes));
            self.sizes_kept += 1;
        }
    }

    /// The size a pack has by the manifest that names it; none where no manifest at hand tells.
    pub(super) fn pack_size(&self, pack: PackId) -> Option<u64> {
        let sizes = self.sizes.get(&pack.backup)?;
        let at = sizes.binary_search_by_key(&pack.number, |(number, _)| *number).ok()?;
        sizes.get(at).map(|(_, bytes)| *bytes)
    }

    /// Whether the sizes of a folder's packs were too many to be kept.
    pub(super) fn lacks_sizes(&self, folder: BackupId) -> bool {
        !self.sizes_all && !self.sizes.contains_key(&folder) && self.shown.contains(&folder)
    }

    /// Sizes of the folder at hand, in place of those of all folders before.
    pub(super) fn take_sizes(&mut self, folder: BackupId, sizes: Vec<(u32, u64)>) {
        self.sizes.clear();
        self.sizes.insert(folder, sizes);
    }

    /// What any region says of a backup.
    pub(super) fn backup(&self, id: BackupId) -> Option<&Backup> {
        self.regions.values().find_map(|of| of.backups.get(&id))
    }

    /// Whether a manifest in any judged region names it.
    pub(super) fn is_needed_anywhere(&self, pack: PackId, is_map: bool) -> bool {
        let in_region = |of: &OfRegion| {
            let folders = if is_map { &of.maps } else { &of.packs };
            folders.get(&pack.backup).is_some_and(|numbers| numbers.holds(pack.number))
        };
        self.regions.values().any(in_region)
    }

    /// Whether a tombstone that was not revoked names it.
    pub(super) fn is_condemned(&self, named: &Named) -> bool {
        self.condemned.iter().any(|condemned| condemned.names(named, self.size))
    }

    async fn add_intents(&mut self, repository: &Repository) -> Result<()> {
        let now = crate::backup::now(repository.world())?;
        let mut newest: BTreeMap<BackupId, (u32, i64)> = BTreeMap::new();
        let mut listed = repository.regions().list_all(&self.place.intents());
        while let Some(entry) = listed.next().await {
            if let Listed::Object { name, held, .. } = entry
                && let Some(name) = ObjectName::parse(&name)
                && let Named::Intent { backup, number, .. } = name.named()
                && !self.shown.contains(backup)
            {
                let at = held.iter().map(|held| held.modified_unix_us).max().unwrap_or_default();
                let kept = newest.entry(*backup).or_insert((*number, at));
                *kept = (*kept).max((*number, at));
            }
        }
        drop(listed);
        let oldest = now.micros().saturating_sub(i64::try_from(INTENT_LIVES.as_micros()).unwrap_or(i64::MAX));
        for (backup, (number, _)) in newest.into_iter().filter(|(_, (_, at))| *at >= oldest) {
            self.under_way.insert(backup);
            let name = Named::Intent { place: self.place.clone(), backup, number }.into();
            // One that cannot be read is found when its turn comes.
            if let Ok(intent) = repository.read_record::<Intent>(&name).await {
                self.adopted.extend(intent.value.adopts);
            }
        }
        Ok(())
    }

    async fn add_tombstones(&mut self, repository: &Repository) -> Result<()> {
        let (mut given, mut revoked): (BTreeSet<RecordId>, BTreeSet<RecordId>) = Default::default();
        let mut listed = repository.regions().list_all(&self.place.tombstones());
        while let Some(entry) = listed.next().await {
            let Listed::Object { name, .. } = entry else { continue };
            match ObjectName::parse(&name).as_ref().map(ObjectName::named) {
                Some(Named::Tombstone { id, .. }) => drop(given.insert(*id)),
                Some(Named::TombstoneRevoked { id, .. }) => drop(revoked.insert(*id)),
                _ => {}
            }
        }
        drop(listed);
        for id in given.difference(&revoked) {
            let name = Named::Tombstone { place: self.place.clone(), id: *id }.into();
            if let Ok(tombstone) = repository.read_record::<Tombstone>(&name).await {
                self.condemned.push(tombstone.value.condemned);
            }
        }
        let wal = self.condemned.iter().flat_map(|condemned| &condemned.wal);
        self.condemned_wal = WalRanges::of(wal.map(|of| (of.timeline, of.first, of.last)));
        Ok(())
    }

    async fn settle_size(&mut self, repository: &Repository) -> Result<()> {
        let of_backups =
            self.regions.values().flat_map(|of| of.backups.values()).map(|backup| backup.size).next_back();
        self.size = match of_backups {
            Some(size) => Some(size),
            None => crate::status::size_from_wal(repository, &self.place).await.unwrap_or_default(),
        };
        Ok(())
    }
}

fn settle(folders: &mut BTreeMap<BackupId, Numbers>, numbers: Option<(BackupId, Numbers)>) {
    if let Some((backup, numbers)) = numbers {
        folders.entry(backup).or_default().add_all(&numbers);
    }
}

async fn read_manifest(
    reading: Reading,
    place: Place,
    id: BackupId,
    held: Listing,
    created: Option<Time>,
) -> (BackupId, Listing, Option<Time>, ReadManifest) {
    let read = manifest(&reading, &place, id, &held.region, created).await;
    (id, held, created, read)
}

impl Backup {
    /// The damaged pages that its manifest lists.
    pub(super) fn known_pages(manifest: &Manifest) -> Arc<BTreeSet<(Vec<u8>, u64)>> {
        Arc::new(
            manifest.body.findings.iter().map(|finding| (finding.path.0.clone(), finding.page)).collect(),
        )
    }

    /// One of nothing, for tests to fill in.
    #[cfg(test)]
    pub(super) fn blank() -> Self {
        Self {
            id: "20310504T020000Z-0123456789abcdef".parse().unwrap(),
            timeline: Timeline::FIRST,
            start: Lsn(1),
            stop: Lsn(2),
            stop_timeline: Timeline::FIRST,
            size: WalSegmentSize::new(1 << 20).unwrap(),
            checksums: true,
            damaged_pages: 0,
            relation_segment_blocks: 131_072,
            stored: Time::EPOCH,
            claimed: Time::EPOCH,
            empty: false,
        }
    }
}
