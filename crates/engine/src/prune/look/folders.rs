//! The packs and maps that are there, by the backup in whose folder they lie.
//!
//! Promises: memory of some bytes an object, whatever the regions; numbers rise.

use std::collections::BTreeMap;

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::listing::{Broken, Found, each};
use crate::repository::Repository;

/// A set of regions, by their place in the settings. More than 32 regions are not told apart: the last bit stands for all behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::prune) struct InRegions(u32);

impl InRegions {
    pub(super) fn of(found: &Found, regions: &[RegionName]) -> Self {
        let bit = |name: &RegionName| regions.iter().position(|known| known == name).map_or(0, Self::bit);
        Self(found.held.iter().fold(0, |bits, at| bits | bit(&at.region)))
    }

    fn bit(index: usize) -> u32 {
        1 << index.min(31)
    }

    /// These, and those.
    pub(super) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether the region at this place of the settings is among them.
    pub(in crate::prune) fn has(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }
}

/// A pack or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::prune) struct Numbered {
    pub(in crate::prune) number: u32,
    pub(in crate::prune) bytes: u64,
    pub(in crate::prune) regions: InRegions,
}

/// What lies in one backup's folder.
#[derive(Debug, Clone, Default)]
pub(in crate::prune) struct Folder {
    pub(in crate::prune) packs: Vec<Numbered>,
    pub(in crate::prune) maps: Vec<Numbered>,
    /// When the newest of it was stored, in any region.
    pub(in crate::prune) newest: Option<Time>,
    /// When the oldest of it was stored, in any region.
    pub(in crate::prune) oldest: Option<Time>,
}

impl Folder {
    fn sort(&mut self) {
        self.packs.sort_unstable_by_key(|one| one.number);
        self.maps.sort_unstable_by_key(|one| one.number);
    }

    /// A pack, if it is there.
    pub(in crate::prune) fn pack(&self, number: u32) -> Option<&Numbered> {
        let at = self.packs.binary_search_by_key(&number, |one| one.number).ok()?;
        self.packs.get(at)
    }
}

/// All folders of a place.
pub(super) async fn folders(
    repository: &Repository,
    place: &Place,
    regions: &[RegionName],
    broken: &mut Broken,
) -> (BTreeMap<BackupId, Folder>, u64) {
    let mut folders: BTreeMap<BackupId, Folder> = BTreeMap::new();
    let strange = each(repository, &place.backups(), broken, |found| {
        let (backup, number, is_pack) = match *found.name.named() {
            Named::Pack { backup, number, .. } => (backup, number, true),
            Named::Map { backup, number, .. } => (backup, number, false),
            _ => return,
        };
        let folder = folders.entry(backup).or_default();
        let one = Numbered { number, bytes: found.bytes(), regions: InRegions::of(&found, regions) };
        if is_pack {
            folder.packs.push(one);
        } else {
            folder.maps.push(one);
        }
        folder.newest = folder.newest.max(found.last_stored());
        let first = found.first_stored();
        folder.oldest = folder.oldest.min(first).or(folder.oldest).or(first);
    })
    .await;
    folders.values_mut().for_each(Folder::sort);
    (folders, strange)
}
